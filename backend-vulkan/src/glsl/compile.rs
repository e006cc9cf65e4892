//! Shaders to SPIR-V, by shaderc.

use super::Shader;
use crate::spirv::Module;
use egrad_ir::{Error, Result};

/// Whether this build can compile shaders.
///
/// # Errors
/// If it can't: how to build one that can.
#[cfg(not(feature = "shaderc"))]
pub(crate) fn available() -> Result<()> {
    Err(Error::device(
        "this egrad was built without shaderc, which compiles shaders from GLSL: build it with `--features shaderc`",
    ))
}

/// The module of a shader.
///
/// # Errors
/// If this build can't compile shaders.
#[cfg(not(feature = "shaderc"))]
pub(crate) fn compile(_shader: &Shader) -> Result<Module> {
    available()?;
    Err(Error::internal("no shaderc"))
}

/// Whether this build can compile shaders.
///
/// # Errors
/// If memory runs out.
#[cfg(feature = "shaderc")]
pub(crate) fn available() -> Result<()> {
    compiler().map(|_| ())
}

/// The process's one compiler: the first takes a tenth of a second to start.
#[cfg(feature = "shaderc")]
fn compiler() -> Result<&'static shaderc::Compiler> {
    use std::sync::OnceLock;
    static COMPILER: OnceLock<std::result::Result<shaderc::Compiler, String>> = OnceLock::new();
    let compiler = COMPILER.get_or_init(|| shaderc::Compiler::new().map_err(|e| e.to_string()));
    compiler.as_ref().map_err(|e| Error::device(format!("shaderc doesn't start: {e}")))
}

/// The module of a shader.
///
/// # Errors
/// [`Error::Internal`] if shaderc refuses it.
#[cfg(feature = "shaderc")]
pub(crate) fn compile(shader: &Shader) -> Result<Module> {
    let refused = |e: shaderc::Error| Error::internal(format!("shaderc refuses a kernel: {e}\n{}", shader.text));
    let mut options = shaderc::CompileOptions::new().map_err(refused)?;
    options.set_target_env(shaderc::TargetEnv::Vulkan, shaderc::EnvVersion::Vulkan1_2 as u32);
    options.set_optimization_level(shaderc::OptimizationLevel::Zero);
    options.set_warnings_as_errors();
    let compiled = compiler()?
        .compile_into_spirv(&shader.text, shaderc::ShaderKind::Compute, "kernel.comp", "main", Some(&options))
        .map_err(refused)?;
    let Shader { bindings, points, per_group, workgroup, .. } = *shader;
    Ok(Module { words: compiled.as_binary().to_vec(), bindings, points, per_group, workgroup })
}
