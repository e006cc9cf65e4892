//! egrad's Vulkan backend: kernels as SPIR-V, dispatched through a loader opened at run time.
//!
//! ```text
//! Schedule of kernels ── spread ──▶ launches ── spirv ──▶ SPIR-V ── pipeline ──▶ VkPipeline ─┐
//!      └──────────────────────── memory ─▶ places in slabs ────────────────────────────────┴─ run ──▶ one submit
//! ```
//!
//! * `spread` turns each kernel into launches, by the device's limits;
//! * `spirv` emits a module per launch and refuses what it can't run, before anything runs;
//! * `glsl` prints a launch for people to read, and for shaderc to compile (feature `shaderc`);
//! * `device` opens the loader, picks a device and knows what it can do;
//! * `memory` places buffers in device memory; `pipeline` holds what the driver compiled;
//! * `run` records a command buffer per executable, once, and submits it for every run.
//!
//! The backend runs every kernel, but not under strict numerics.
//!
//! Set `EGRAD_VULKAN_DEVICE` to a device's number or part of its name to take that one,
//! `EGRAD_VULKAN_VALIDATION=1` to run under the validation layers, `EGRAD_VULKAN_LOADER` to the
//! path of a Vulkan loader to open that instead of the system's, and `EGRAD_VULKAN_SHADERS=glsl` to
//! compile kernels from GLSL.

mod device;
mod glsl;
mod memory;
mod pipeline;
mod run;
mod spirv;
mod spread;
#[cfg(test)]
mod tests;
mod validation;

pub use device::{DeviceInfo, DeviceKind};
pub use validation::Messages;

use egrad_ir::kernel::{Backend, Executable};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// The Vulkan loader to open instead of the system's.
    pub loader: Option<PathBuf>,
    /// What kernels are compiled from.
    pub shaders: Shaders,
    /// Capabilities to do without.
    pub without: Without,
}

/// Capabilities the device has and the backend is to ignore, so that tests on one device see the
/// paths of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Without {
    /// Memory that both the device and the host reach quickly: inputs and outputs are staged.
    pub shared_memory: bool,
    /// 64-bit floats.
    pub float64: bool,
    /// 64-bit integers.
    pub int64: bool,
    /// Storage of single bytes.
    pub storage8: bool,
    /// Exchanges between the invocations of a subgroup.
    pub subgroups: bool,
    /// Workgroups in a row beyond this many.
    pub groups: Option<u32>,
    /// Buffers beyond this many bytes.
    pub range: Option<u64>,
    /// Loops beyond this many iterations in one piece, where there are few points to work on.
    pub long: Option<usize>,
}

impl Options {
    /// The options the environment asks for: `EGRAD_VULKAN_VALIDATION`, `EGRAD_VULKAN_LOADER`,
    /// `EGRAD_VULKAN_SHADERS`.
    pub fn from_env(selection: Selection) -> Options {
        let validation = std::env::var_os("EGRAD_VULKAN_VALIDATION").is_some_and(|v| v != "0" && !v.is_empty());
        let loader = std::env::var_os("EGRAD_VULKAN_LOADER").filter(|v| !v.is_empty()).map(PathBuf::from);
        let glsl = std::env::var_os("EGRAD_VULKAN_SHADERS").is_some_and(|v| v == "glsl");
        let shaders = if glsl { Shaders::Glsl } else { Shaders::Spirv };
        Options { selection, validation, loader, shaders, without: Without::default() }
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
    context: Arc<device::Context>,
    shaders: Shaders,
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
        Ok(Vulkan { context: Arc::new(device::Context::open(options)?), shaders: options.shaders })
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
        Ok(Box::new(run::Program::new(&self.context, self.shaders, schedule)?))
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
