//! egrad's Vulkan backend: kernels as SPIR-V, dispatched through a loader opened at run time.
//!
//! ```text
//! Schedule of kernels ── spread ──▶ launches ── spirv ──▶ SPIR-V ── pipeline ──▶ VkPipeline ─┐
//!      └──────────────────────── memory ─▶ places in slabs ────────────────────────────────┴─ run ──▶ one submit
//! ```
//!
//! * `spread` turns each kernel into launches, by the device's limits, and loops into trees of them;
//! * `spirv` emits a module per launch and refuses what it can't run, before anything runs;
//! * `glsl` prints a launch for people to read, and for shaderc to compile (feature `shaderc`);
//! * `device` opens the loader, picks a device and knows what it can do;
//! * `memory` gives out the device's memory; `pipeline` holds what the driver compiled;
//! * `commands` are recorded and submitted to the `queue`, which counts how far the device got;
//! * `runtime` is what programs and arrays share, and copies between host and device;
//! * `run` plans programs, and submits one command buffer for every run. Results are arrays on the
//!   device: a run returns once it is submitted, and whoever asks for elements waits.
//!
//! The backend runs every kernel, but not under strict numerics. A run returns before its results are
//! computed, unless it holds a loop or a branch that the host must look after: a `while` always, a branch of
//! many kernels, or one with a `while` in it.
//!
//! Set `EGRAD_VULKAN_DEVICE` to a device's number or part of its name to take that one,
//! `EGRAD_VULKAN_VALIDATION=1` to run under the validation layers and `=gpu` to have them check what
//! kernels access as well, `EGRAD_VULKAN_LOADER` to the
//! path of a Vulkan loader to open that instead of the system's, and `EGRAD_VULKAN_SHADERS=glsl` to
//! compile kernels from GLSL. What drivers compiled is kept in `EGRAD_CACHE_DIR`, or else the
//! platform's directory for caches; set to nothing, nowhere.

mod cache;
mod commands;
mod device;
mod glsl;
mod info;
mod memory;
mod pipeline;
mod queue;
mod run;
mod runtime;
mod spirv;
mod spread;
#[cfg(test)]
mod tests;
mod validation;

pub use info::{DeviceInfo, DeviceKind};
pub use validation::Messages;

use egrad_ir::kernel::{Backend, Executable};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which of the machine's Vulkan devices to take, the best first: discrete, integrated, virtual,
/// other, software. `EGRAD_VULKAN_DEVICE` overrides all but [`Selection::Named`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Whatever there is, a software device if there is nothing better (`--device vulkan`).
    #[default]
    Any,
    /// Hardware alone (`--device auto`).
    Hardware,
    /// The device of that number in [`devices`], or the first whose name contains that text.
    Named(String),
}

/// What kernels are compiled from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shaders {
    /// SPIR-V, emitted directly.
    #[default]
    Spirv,
    /// GLSL, compiled by shaderc: slower to compile and to run, and made in another way, so that
    /// each checks the other. Only in builds with the feature `shaderc`.
    Glsl,
}

/// How to open a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which device.
    pub selection: Selection,
    /// Whether the validation layers watch, synchronization included; what they say is in
    /// [`Vulkan::messages`].
    pub validation: bool,
    /// Whether they check, beside that, what kernels access while they run (GPU-assisted
    /// validation). That is slow.
    pub bounds: bool,
    /// The Vulkan loader to open instead of the system's.
    pub loader: Option<PathBuf>,
    /// The directory to keep compiled pipelines in, for the next process; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// What kernels are compiled from.
    pub shaders: Shaders,
    /// Capabilities to do without.
    pub without: Without,
    /// What to let fail, in tests.
    pub faults: Faults,
}

/// Failures to act out, so that tests see what becomes of them. Everything is counted from the
/// opening of the device, from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// From which request for memory on, of any kind, how many are refused.
    pub allocations: Option<(usize, usize)>,
    /// The submission at which the device is lost.
    pub submission: Option<usize>,
}

/// Capabilities the device has and the backend is to ignore, so that tests on one device see the
/// paths of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Without {
    /// Memory that both the device and the host reach quickly: inputs and outputs are staged.
    pub shared_memory: bool,
    /// Timeline semaphores, without which it is of no use.
    pub timeline: bool,
    /// 64-bit floats.
    pub float64: bool,
    /// 64-bit integers.
    pub int64: bool,
    /// Storage of single bytes.
    pub storage8: bool,
    /// Storage of elements of two bytes.
    pub storage16: bool,
    /// Exchanges between the invocations of a subgroup.
    pub subgroups: bool,
    /// Workgroups in a row beyond this many.
    pub groups: Option<u32>,
    /// Buffers beyond this many bytes.
    pub range: Option<u64>,
    /// Bytes of host memory to stage through beyond this many.
    pub ring: Option<u64>,
    /// Loops beyond this many iterations in one piece, where there are few points to work on.
    pub long: Option<usize>,
}

impl Options {
    /// The options the environment asks for: `EGRAD_VULKAN_VALIDATION`, `EGRAD_VULKAN_LOADER`,
    /// `EGRAD_VULKAN_SHADERS`, `EGRAD_CACHE_DIR`.
    pub fn from_env(selection: Selection) -> Options {
        let asked = std::env::var_os("EGRAD_VULKAN_VALIDATION").filter(|v| v != "0" && !v.is_empty());
        let (validation, bounds) = (asked.is_some(), asked.is_some_and(|v| v == "gpu"));
        let loader = std::env::var_os("EGRAD_VULKAN_LOADER").filter(|v| !v.is_empty()).map(PathBuf::from);
        let glsl = std::env::var_os("EGRAD_VULKAN_SHADERS").is_some_and(|v| v == "glsl");
        let shaders = if glsl { Shaders::Glsl } else { Shaders::Spirv };
        Options { selection, validation, bounds, loader, shaders, cache: cache::directory(), ..Options::default() }
    }
}

/// The machine's Vulkan devices, in the order in which they would be picked.
///
/// # Errors
/// If there is no Vulkan loader or no driver, saying what to install.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    Ok(device::list(&Options::from_env(Selection::Any))?)
}

/// A Vulkan device that runs schedules.
#[derive(Clone)]
pub struct Vulkan {
    runtime: Arc<runtime::Runtime>,
    context: Arc<device::Context>,
    shaders: Shaders,
}

/// Bytes of a device's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// What was taken from the driver.
    pub allocated: u64,
    /// What arrays and programs have of that.
    pub used: u64,
}

/// Bytes of arrays copied to a device and back since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the host to the device.
    pub up: u64,
    /// From the device to the host.
    pub down: u64,
}

impl Vulkan {
    /// Opens a device, under the options the environment asks for.
    ///
    /// # Errors
    /// If there is no Vulkan loader, no driver, no such device, or the device lacks a feature:
    /// an [`Error::Device`] that says which and what to do about it.
    pub fn new(selection: Selection) -> Result<Vulkan> {
        Vulkan::open(&Options::from_env(selection))
    }

    /// Opens a device.
    ///
    /// # Errors
    /// As [`Vulkan::new`]; and if kernels are to be compiled from GLSL, which this build can't.
    pub fn open(options: &Options) -> Result<Vulkan> {
        if options.shaders == Shaders::Glsl {
            glsl::available()?;
        }
        let runtime = Arc::new(runtime::Runtime::new(device::Context::open(options)?));
        let context = Arc::clone(&runtime.context);
        Ok(Vulkan { runtime, context, shaders: options.shaders })
    }

    /// The array with its elements on this device, for programs to read them there without a copy.
    /// One that is there already is that array.
    ///
    /// # Errors
    /// If memory runs out, the device fails, or the elements can't be fetched from another one.
    pub fn put(&self, array: &Array) -> Result<Array> {
        self.runtime.put(array)
    }

    /// How much was copied to the device and back so far.
    pub fn traffic(&self) -> Traffic {
        let of = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        Traffic { up: of(&self.runtime.up), down: of(&self.runtime.down) }
    }

    /// How much of the device's memory arrays and programs have.
    pub fn memory(&self) -> MemoryUse {
        let (allocated, free) = self.runtime.heap.bytes(&self.context);
        MemoryUse { allocated, used: allocated - free }
    }

    /// Whether the device was lost: it runs nothing any more, and must be opened anew.
    pub fn is_lost(&self) -> bool {
        self.context.is_lost()
    }

    /// The device in use.
    pub fn device(&self) -> &DeviceInfo {
        &self.context.info
    }

    /// What the validation layers said of this device so far. The handle outlives the device, so
    /// that what they say of its destruction can be read as well.
    pub fn messages(&self) -> Messages {
        self.context.messages()
    }
}

impl Backend for Vulkan {
    fn name(&self) -> &str {
        "vulkan"
    }

    fn compile(&self, schedule: Schedule) -> Result<Box<dyn Executable>> {
        Ok(Box::new(run::Program::new(&self.runtime, self.shaders, schedule)?))
    }
}

impl fmt::Debug for Vulkan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vulkan({})", self.device())
    }
}

impl From<device::Unavailable> for Error {
    fn from(u: device::Unavailable) -> Error {
        Error::device(u.to_string())
    }
}
