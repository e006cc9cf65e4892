//! Shaders to SPIR-V, by shaderc: with the feature of that name.

use super::Shader;
use crate::spirv::Module;
use egrad_ir::Result;

pub(crate) use with::available;

/// The module of a shader.
///
/// # Errors
/// If this build can't compile shaders, or [`Error::Internal`](egrad_ir::Error::Internal) if
/// shaderc refuses it.
pub(crate) fn compile(shader: &Shader) -> Result<Module> {
    let Shader { bindings, counters, points, per_group, workgroup, ref text } = *shader;
    Ok(Module { words: with::words(text)?, bindings, counters, points, per_group, workgroup, subgroup: None })
}

#[cfg(not(feature = "shaderc"))]
mod with {
    use egrad_ir::{Error, Result};

    /// Whether this build can compile shaders: it can't.
    pub(crate) fn available() -> Result<()> {
        words("").map(|_| ())
    }

    pub(super) fn words(_text: &str) -> Result<Vec<u32>> {
        Err(Error::device(
            "this egrad was built without shaderc, which compiles kernels from GLSL: \
             build it with `--features shaderc`",
        ))
    }
}

#[cfg(feature = "shaderc")]
mod with {
    use egrad_ir::{Error, Result};
    use shaderc::{CompileOptions, Compiler, EnvVersion, OptimizationLevel, ShaderKind, TargetEnv};
    use std::sync::OnceLock;

    /// Whether this build can compile shaders: if shaderc starts.
    pub(crate) fn available() -> Result<()> {
        compiler().map(|_| ())
    }

    /// The process's one compiler: the first takes a tenth of a second to start.
    fn compiler() -> Result<&'static Compiler> {
        static COMPILER: OnceLock<std::result::Result<Compiler, String>> = OnceLock::new();
        let compiler = COMPILER.get_or_init(|| Compiler::new().map_err(|e| e.to_string()));
        compiler.as_ref().map_err(|e| Error::device(format!("shaderc doesn't start: {e}")))
    }

    pub(super) fn words(text: &str) -> Result<Vec<u32>> {
        let refused = |e: shaderc::Error| Error::internal(format!("shaderc refuses a kernel: {e}\n{text}"));
        let mut options = CompileOptions::new().map_err(refused)?;
        // As `spirv` has it: version 1.5.
        options.set_target_env(TargetEnv::Vulkan, EnvVersion::Vulkan1_2 as u32);
        // The driver optimises.
        options.set_optimization_level(OptimizationLevel::Zero);
        options.set_warnings_as_errors();
        let compiled = compiler()?.compile_into_spirv(text, ShaderKind::Compute, "kernel.comp", "main", Some(&options));
        Ok(compiled.map_err(refused)?.as_binary().to_vec())
    }
}
