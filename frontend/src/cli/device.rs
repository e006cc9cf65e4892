//! What programs run on.

use super::{Failure, Outcome, Target};
use egrad::{Device, Error, Numerics, Program, Result};
use egrad_cpu::Cpu;
use egrad_ir::Array;
use egrad_ir::eval::{Elementary, run};
use egrad_ir::kernel::{Backend, Executable};
use egrad_rewrite::{self as rewrite, Calls};
use egrad_vulkan::{Selection, Vulkan};
use std::io::{self, Write};

/// The device that `auto` stands for by EGRAD_DEVICE, if it is set.
pub(crate) fn named(device: Device) -> Result<Device> {
    let variable = match std::env::var("EGRAD_DEVICE") {
        Ok(name) if device == Device::Auto && !name.is_empty() => name,
        Err(std::env::VarError::NotUnicode(_)) if device == Device::Auto => {
            return Err(Error::device("EGRAD_DEVICE: not UTF-8"));
        }
        Ok(_) | Err(_) => return Ok(device),
    };
    variable.parse().map_err(|e: Error| Error::device(format!("EGRAD_DEVICE: {}", e.report().message)))
}

/// The backend of a device, which is `cpu` or `vulkan`.
pub(crate) fn backend(device: Device) -> Result<Box<dyn Backend>> {
    match device {
        Device::Cpu => Ok(Box::new(Cpu::new()?)),
        Device::Vulkan => Ok(Box::new(Vulkan::new(Selection::Any)?)),
        Device::Auto | Device::Interpreter => Err(Error::device(format!("device `{device}` runs no kernels"))),
    }
}

/// A program ready to run on a device.
pub(crate) enum Ready {
    /// For the interpreter.
    Plain(Program, Elementary),
    /// For a backend.
    Kernels(Device, Box<dyn Executable>),
}

impl Ready {
    /// Makes a program ready for where it is to run.
    pub(crate) fn new(target: &Target, program: &Program) -> Result<Ready> {
        let numerics = target.numerics();
        let compile = |calls| {
            let options = rewrite::Options { numerics, calls, ..rewrite::Options::default() };
            rewrite::compile(program, &options).map(|c| c.schedule)
        };
        // A GPU has no other way yet.
        let on_gpu = if target.calls == Calls::Auto { Calls::Inline } else { target.calls };
        match named(target.device)? {
            Device::Interpreter => {
                let mode = match numerics {
                    Numerics::Fast => Elementary::Std,
                    Numerics::Strict => Elementary::Shared,
                };
                let tables = rewrite::rules::Tables::standard();
                Ok(Ready::Plain(rewrite::transform(program, tables, Calls::Inline)?, mode))
            }
            device @ (Device::Cpu | Device::Vulkan) => {
                let backend = backend(device)?;
                let calls = if device == Device::Vulkan { on_gpu } else { target.calls };
                Ok(Ready::Kernels(device, backend.compile(compile(calls)?)?))
            }
            Device::Auto => {
                // An error of the program is one on every device.
                let schedule = compile(target.calls)?;
                let gpu = Vulkan::new(Selection::Hardware).and_then(|gpu| gpu.compile(compile(on_gpu)?));
                match gpu {
                    Ok(executable) => Ok(Ready::Kernels(Device::Vulkan, executable)),
                    Err(why) => {
                        // Whoever closed standard error doesn't want to know.
                        let _ = writeln!(io::stderr(), "egrad: running on the CPU: {}", why.report().message);
                        Ok(Ready::Kernels(Device::Cpu, backend(Device::Cpu)?.compile(schedule)?))
                    }
                }
            }
        }
    }

    /// Where it runs.
    pub(crate) fn device(&self) -> Device {
        match self {
            Ready::Plain(..) => Device::Interpreter,
            Ready::Kernels(device, _) => *device,
        }
    }

    /// Runs it, and waits for the results.
    pub(crate) fn run(&self, inputs: &[&Array]) -> Result<Vec<Array>> {
        match self {
            Ready::Plain(program, mode) => Ok(run(program, inputs, *mode)?.outputs.into_iter().collect()),
            Ready::Kernels(_, executable) => {
                let outputs = executable.run(inputs)?.outputs;
                outputs.iter().map(Array::to_host).collect()
            }
        }
    }
}

/// `egrad devices`.
pub(crate) fn list(out: &mut impl Write) -> Outcome {
    writeln!(out, "interpreter  every primitive by itself, as written")?;
    match Cpu::new() {
        Ok(_) => writeln!(out, "cpu          {}", processor())?,
        Err(e) => writeln!(out, "cpu          none: {}", e.report().message)?,
    }
    match egrad_vulkan::devices() {
        Ok(devices) if devices.is_empty() => writeln!(out, "vulkan       none: the driver shows no device")?,
        Ok(devices) => {
            for (i, device) in devices.iter().enumerate() {
                writeln!(out, "{:<13}{i}: {device}", if i == 0 { "vulkan" } else { "" })?;
                for line in device.features() {
                    writeln!(out, "{:<16}{line}", "")?;
                }
            }
        }
        Err(e) => writeln!(out, "vulkan       none: {}", e.report().message)?,
    }
    let chosen = match named(Device::Auto).map_err(Failure::Error)? {
        Device::Auto => match Vulkan::new(Selection::Hardware) {
            Ok(gpu) => format!("{} where it can run the program, else cpu", gpu.device().name),
            Err(_) => "cpu (there is no GPU to use)".to_owned(),
        },
        device => format!("{device} (by EGRAD_DEVICE)"),
    };
    writeln!(out, "auto         {chosen}")?;
    Ok(())
}

/// The processor's architecture, and the features that kernels can be compiled for.
fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!("{}, {cores} hardware thread{}", std::env::consts::ARCH, if cores == 1 { "" } else { "s" });
    let features = features();
    if !features.is_empty() {
        text += &format!("; {}", features.join(", "));
    }
    text
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! detected {
        ($($feature:tt)*) => {
            [$(($feature, std::arch::is_x86_feature_detected!($feature))),*]
        };
    }
    let all = detected!("sse4.1" "sse4.2" "avx" "fma" "avx2" "avx512f" "avx512vl" "avx512dq");
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}
