//! The machine code is generated for: this machine, with everything it has.

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use egrad_ir::{Error, Result};
use std::sync::OnceLock;

/// What kernels are compiled for; made once per process.
pub(crate) struct Machine {
    /// Cranelift's target.
    pub(crate) isa: OwnedTargetIsa,
    /// Whether a fused multiply-add is one instruction (else it is a call, worth avoiding).
    pub(crate) fused: bool,
}

/// This machine.
///
/// # Errors
/// If Cranelift doesn't generate code for it.
pub(crate) fn machine() -> Result<&'static Machine> {
    static MACHINE: OnceLock<std::result::Result<Machine, String>> = OnceLock::new();
    MACHINE.get_or_init(detect).as_ref().map_err(|why| Error::device(why.clone()))
}

fn detect() -> std::result::Result<Machine, String> {
    let builder = cranelift_native::builder().map_err(|e| format!("no code can be generated for this CPU: {e}"))?;
    Ok(Machine { isa: finish(builder)?, fused: has_fma() })
}

/// This architecture with nothing that came later.
#[cfg(test)]
pub(crate) fn oldest() -> std::result::Result<Machine, String> {
    let builder = cranelift_native::builder_with_options(false)?;
    Ok(Machine { isa: finish(builder)?, fused: false })
}

fn finish(builder: cranelift_codegen::isa::Builder) -> std::result::Result<OwnedTargetIsa, String> {
    let mut flags = settings::builder();
    let chosen = [
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        // The emitter hoists, shares and jams by itself, knowing the loops; Cranelift's own
        // optimiser would undo some of it and double the compile time.
        ("opt_level", "none"),
        ("regalloc_algorithm", "backtracking"),
        // Frames of more than a page touch their pages in order, so that an overflow is caught.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
    ];
    for (flag, value) in chosen {
        flags.set(flag, value).map_err(|e| format!("Cranelift refuses {flag}={value}: {e}"))?;
    }
    builder.finish(settings::Flags::new(flags)).map_err(|e| e.to_string())
}

fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}
