//! Devices, and what it takes to run a program on each.

use egrad_ir::eval::Elementary;
use egrad_ir::kernel::{Backend, Executable, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Error, Numerics, Program, Result};
use egrad_rewrite as rewrite;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

/// Where compiled functions run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// What the environment variable `EGRAD_DEVICE` names, else the CPU.
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
    /// What becomes of calls of jitted functions in traced code. Vulkan and the interpreter inline
    /// them; Vulkan refuses to do otherwise.
    pub calls: Calls,
}

pub use rewrite::Calls;

/// What running op by op is called: no primitive shares a kernel with another.
pub(crate) use rewrite::Fusion;

/// A program that is ready to run on a device.
pub(crate) enum Ready {
    /// Functions of primitives, for the interpreter.
    Plain { program: Program, mode: Elementary },
    /// Kernels, for a backend.
    Kernels { device: Device, executable: Box<dyn Executable> },
}

impl Ready {
    pub(crate) fn new(program: &Program, options: &Options, fusion: Fusion) -> Result<Ready> {
        let device = match options.device {
            Device::Auto => from_environment()?,
            named @ (Device::Interpreter | Device::Cpu | Device::Vulkan) => named,
        };
        let compile = |device: Device, backend: &dyn Backend| {
            let Options { device: _, numerics, disabled, calls } = options.clone();
            let calls = match (device, calls) {
                (Device::Vulkan, Calls::Auto) => Calls::Inline,
                (_, calls) => calls,
            };
            let options = rewrite::Options { numerics, fusion, disabled, calls, ..rewrite::Options::default() };
            let schedule = rewrite::compile(program, &options)?.schedule;
            Ok(Ready::Kernels { device, executable: backend.compile(schedule)? })
        };
        match device {
            Device::Interpreter => {
                let mode = match options.numerics {
                    Numerics::Fast => Elementary::Std,
                    Numerics::Strict => Elementary::Shared,
                };
                let tables = rewrite::rules::Tables::standard();
                Ok(Ready::Plain { program: rewrite::transform(program, tables, Calls::Inline)?, mode })
            }
            Device::Cpu | Device::Auto => compile(Device::Cpu, &*cpu()?),
            Device::Vulkan => compile(Device::Vulkan, &*vulkan()?),
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

/// The process's Vulkan backend.
fn vulkan() -> Result<Arc<dyn Backend>> {
    static VULKAN: OnceLock<Result<Arc<dyn Backend>>> = OnceLock::new();
    let open = || Ok(Arc::new(egrad_vulkan::Vulkan::new(egrad_vulkan::Selection::Any)?) as Arc<dyn Backend>);
    VULKAN.get_or_init(open).clone()
}
