//! Devices, and what it takes to run a program on each.

use crate::tree::{Flat, Parts, Tree};
use egrad_ir::eval::Elementary;
use egrad_ir::kernel::{Backend, Executable, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Error, Numerics, Program, Result};
use egrad_rewrite as rewrite;
use egrad_vulkan::{DeviceKind, Selection, Vulkan};
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where compiled functions run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// What the environment variable `EGRAD_DEVICE` names; else a GPU if Vulkan has one that runs
    /// the program, else the CPU. Software drivers are no GPUs. That there is a GPU and it isn't
    /// used is said on standard error, once for each reason; that there is none goes without
    /// saying. Strict numerics are a promise of the CPU's: `Auto` is the CPU under them.
    #[default]
    Auto,
    /// The reference interpreter: every primitive by itself, as written. Slow, and the measure of
    /// all others.
    Interpreter,
    /// Kernels compiled for this machine's processor.
    Cpu,
    /// Kernels dispatched through Vulkan.
    Vulkan,
}

impl Device {
    /// Every device.
    pub const ALL: [Device; 4] = [Device::Auto, Device::Interpreter, Device::Cpu, Device::Vulkan];

    /// The name, as in `--device` and `EGRAD_DEVICE`.
    pub fn name(self) -> &'static str {
        match self {
            Device::Auto => "auto",
            Device::Interpreter => "interpreter",
            Device::Cpu => "cpu",
            Device::Vulkan => "vulkan",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Device {
    type Err = Error;
    fn from_str(name: &str) -> Result<Device> {
        let device = Device::ALL.into_iter().find(|d| d.name() == name);
        let names = || Device::ALL.map(Device::name).join(", ");
        device.ok_or_else(|| Error::device(format!("there is no device {name:?}: it must be one of {}", names())))
    }
}

/// How a function is compiled, and for what.
///
/// ```
/// use egrad::{Array, Device, Options, Tensor, jit};
/// let options = Options { device: Device::Interpreter, ..Options::default() };
/// let f = jit(|x: Tensor| x.cos()).options(options);
/// assert_eq!(f(&Array::from(0.0f32)).unwrap().item::<f32>().unwrap(), 1.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The device.
    pub device: Device,
    /// How much freedom the compiler has with floating-point results.
    pub numerics: Numerics,
    /// Names of rewrite rules that must not fire (`fuse/inline`, `simplify/add-zero`, …).
    pub disabled: Vec<String>,
    /// What becomes of calls of jitted functions in traced code. The interpreter inlines them, and so
    /// does Vulkan by itself.
    pub calls: Calls,
    /// How many bytes a run may take, inputs and results included; more is refused before it runs.
    /// `None`: what the system has, where the device's memory is the system's.
    pub memory: Option<usize>,
    /// Whether results are searched for NaN: if there is one, the program is run again op by op on the
    /// interpreter, and the error names the line of the first operation that made it. Slow.
    pub debug_nans: bool,
}

pub use rewrite::Calls;

/// What running op by op is called: no primitive shares a kernel with another.
pub(crate) use rewrite::Fusion;

/// A program that is ready to run on a device.
#[derive(Clone)]
pub(crate) enum Ready {
    /// Functions of primitives, for the interpreter.
    Plain { program: Program, mode: Elementary },
    /// Kernels, for a backend.
    Kernels { device: Device, executable: Arc<dyn Executable> },
}

impl Ready {
    pub(crate) fn new(program: &Program, options: &Options, fusion: Fusion) -> Result<Ready> {
        let device = match options.device {
            Device::Auto => from_environment()?,
            named @ (Device::Interpreter | Device::Cpu | Device::Vulkan) => named,
        };
        let schedule = |calls: Calls| {
            let Options { device: _, numerics, disabled, calls: _, memory: _, debug_nans: _ } = options.clone();
            let options = rewrite::Options { numerics, fusion, disabled, calls, ..rewrite::Options::default() };
            rewrite::compile(program, &options).map(|c| c.schedule)
        };
        let compile = |device: Device, backend: &dyn Backend, schedule: Schedule| {
            Ok(Ready::Kernels { device, executable: Arc::from(backend.compile(schedule)?) })
        };
        // A GPU inlines calls unless told otherwise.
        let on_gpu = if options.calls == Calls::Auto { Calls::Inline } else { options.calls };
        match device {
            Device::Interpreter => {
                let mode = match options.numerics {
                    Numerics::Fast => Elementary::Std,
                    Numerics::Strict => Elementary::Shared,
                };
                let tables = rewrite::rules::Tables::standard();
                let transformed = rewrite::transform(program, tables, Calls::Inline)?;
                Ok(Ready::Plain { program: rewrite::first_ways(&transformed, Calls::Inline)?, mode })
            }
            Device::Cpu => compile(Device::Cpu, &*cpu()?, schedule(options.calls)?),
            Device::Vulkan => compile(Device::Vulkan, &vulkan(Selection::Any)?, schedule(on_gpu)?),
            Device::Auto => {
                let gpu = match options.numerics {
                    Numerics::Fast => vulkan(Selection::Hardware).ok(),
                    Numerics::Strict => None,
                };
                if let Some(gpu) = gpu {
                    // An error of the program is one on every device.
                    match compile(Device::Vulkan, &gpu, schedule(on_gpu)?) {
                        Ok(ready) => return Ok(ready),
                        Err(why) => fall_back(&why),
                    }
                }
                compile(Device::Cpu, &*cpu()?, schedule(options.calls)?)
            }
        }
    }

    /// The outputs, and how many kernels ran; for the interpreter, how many primitives.
    #[inline]
    pub(crate) fn run(&self, inputs: &[&Array]) -> Result<Run> {
        match self {
            Ready::Kernels { executable, .. } => executable.run(inputs),
            Ready::Plain { program, mode } => egrad_ir::eval::run(program, inputs, *mode),
        }
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Ready::Plain { .. } => Device::Interpreter,
            Ready::Kernels { device, .. } => *device,
        }
    }

    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        match self {
            Ready::Plain { .. } => None,
            Ready::Kernels { executable, .. } => Some(executable.schedule()),
        }
    }

    /// What the interpreter runs.
    pub(crate) fn plain(&self) -> Option<&Program> {
        match self {
            Ready::Plain { program, .. } => Some(program),
            Ready::Kernels { .. } => None,
        }
    }

    pub(crate) fn code(&self) -> Vec<usize> {
        match self {
            Ready::Plain { .. } => Vec::new(),
            Ready::Kernels { executable, .. } => executable.code(),
        }
    }

    pub(crate) fn listing(&self, stage: &str) -> Option<Vec<String>> {
        match self {
            Ready::Plain { .. } => None,
            Ready::Kernels { executable, .. } => executable.listing(stage),
        }
    }
}

/// What `Auto` stands for.
fn from_environment() -> Result<Device> {
    match std::env::var("EGRAD_DEVICE") {
        Err(std::env::VarError::NotPresent) => Ok(Device::Auto),
        Err(e) => Err(Error::device(format!("EGRAD_DEVICE: {e}"))),
        Ok(name) if name.is_empty() => Ok(Device::Auto),
        Ok(name) => name.parse().map_err(|e: Error| Error::device(format!("EGRAD_DEVICE: {}", e.report().message))),
    }
}

/// The process's CPU backend.
fn cpu() -> Result<Arc<dyn Backend>> {
    static CPU: OnceLock<Result<Arc<dyn Backend>>> = OnceLock::new();
    let open = || Ok(Arc::new(egrad_cpu::Cpu::new()?) as Arc<dyn Backend>);
    CPU.get_or_init(open).clone()
}

/// Says, once for each reason, that a GPU isn't used.
fn fall_back(why: &Error) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let why = &why.report().message;
    if !said.contains(why) {
        said.push(why.clone());
        // Whoever closed standard error doesn't want to know.
        let _ = writeln!(io::stderr(), "egrad: running on the CPU: {why}");
    }
}

/// The process's Vulkan device: whatever there is, or hardware alone. It is opened when it is
/// first asked for, and anew if it was lost.
fn vulkan(selection: Selection) -> Result<Vulkan> {
    type Opened = Option<(Selection, Result<Vulkan>)>;
    static VULKAN: Mutex<[Opened; 2]> = Mutex::new([None, None]);
    let mut opened = VULKAN.lock().unwrap_or_else(PoisonError::into_inner);
    for slot in opened.iter_mut() {
        if slot.as_ref().is_some_and(|(_, v)| v.as_ref().is_ok_and(Vulkan::is_lost)) {
            *slot = None;
        }
    }
    let fits = |(asked, vulkan): &(Selection, Result<Vulkan>)| match vulkan {
        // Hardware is what either would take.
        Ok(vulkan) => *asked == selection || vulkan.device().kind != DeviceKind::Software,
        Err(_) => *asked == selection,
    };
    if let Some((_, vulkan)) = opened.iter().flatten().find(|slot| fits(slot)) {
        return vulkan.clone();
    }
    let vulkan = Vulkan::new(selection.clone());
    if let Some(free) = opened.iter_mut().find(|slot| slot.is_none()) {
        *free = Some((selection, vulkan.clone()));
    }
    vulkan
}

/// The arrays with their elements on the device, for functions compiled for it to use there
/// without a copy. The CPU and the interpreter have theirs in the host's memory; `Auto` is the
/// device that functions would run on. What is there already is not copied.
///
/// Results stay on the device that computed them, so only what comes from the host need be put.
///
/// ```
/// use egrad::{Array, Device, Tensor, device_get, device_put, jit};
/// # fn main() -> egrad::Result<()> {
/// let weights = (Array::from(2.0f32), Array::from_vec(vec![1.0f32, 2.0], [2])?);
/// let weights = device_put(&weights, Device::Auto)?;
/// let f = jit(|(w, b): (Tensor, Tensor), x: Tensor| w * x + b);
/// let y = f(&weights, &Array::from(3.0f32))?;
/// // To the host, if it isn't there: here is seen whether all went well.
/// let y = device_get(&y)?;
/// assert_eq!(y.as_slice::<f32>(), Some(&[7.0f32, 8.0][..]));
/// # Ok(()) }
/// ```
///
/// # Errors
/// If there is no such device, memory runs out, or an array is on another device that failed.
pub fn device_put<T: Tree<Leaf = Array>>(arrays: &T, device: Device) -> Result<T> {
    let device = match device {
        Device::Auto => from_environment()?,
        named @ (Device::Interpreter | Device::Cpu | Device::Vulkan) => named,
    };
    let vulkan = match device {
        Device::Interpreter | Device::Cpu => None,
        Device::Vulkan => Some(vulkan(Selection::Any)?),
        Device::Auto => vulkan(Selection::Hardware).ok(),
    };
    moved(arrays, |array| match &vulkan {
        Some(vulkan) => vulkan.put(array),
        None => array.to_host(),
    })
}

/// The arrays with their elements in the host's memory: waits for what is computed, and copies what
/// is on a device.
///
/// # Errors
/// If a device failed or memory runs out.
pub fn device_get<T: Tree<Leaf = Array>>(arrays: &T) -> Result<T> {
    moved(arrays, Array::to_host)
}

fn moved<T: Tree<Leaf = Array>>(arrays: &T, to: impl Fn(&Array) -> Result<Array>) -> Result<T> {
    let flat = Flat::of(arrays);
    let leaves = flat.leaves.iter().map(|leaf| to(leaf)).collect::<Result<_>>()?;
    Ok(T::build(&mut Parts::new(leaves, &flat.structure)))
}
