//! Kernels as GLSL for people to read and, with the feature `shaderc`, for devices to run.
//!
//! A shader has the interface of the module that [`spirv::emit`](crate::spirv::emit) makes of the
//! same launch: a storage buffer per operand, push constants with the number of points and of
//! workgroups in a row, and a workgroup size that is specialised. What it does inside, it does in
//! its own way, so that each of the two checks the other:
//!
//! * loops are loops, and values that are used once are part of the expression that uses them;
//! * elementary functions are series in GLSL (`functions/`), not `egrad_ir::math`;
//! * teams combine what they have through shared memory, and matrix products follow `tile.glsl`.

mod compile;
mod expression;
mod library;
mod nest;
mod tile;

pub(crate) use compile::{available, compile};

use crate::device::Caps;
use crate::spirv;
use crate::spread::{Form, Launch, Tile};
use egrad_ir::kernel::Body;
use egrad_ir::{Dtype, Error, Result};
use library::Included;
use std::fmt::Write;

/// A kernel in GLSL.
#[derive(Clone, Debug)]
pub(crate) struct Shader {
    pub(crate) text: String,
    /// Storage buffers, from binding 0 on.
    pub(crate) bindings: u32,
    /// How many points there are: of the domain, or tiles.
    pub(crate) points: u64,
    /// How many of them a workgroup does.
    pub(crate) per_group: u32,
    /// Invocations per workgroup.
    pub(crate) workgroup: u32,
}

/// What the forms differ in.
struct Parts {
    /// What a workgroup does, in words.
    about: String,
    included: Included,
    /// Invocations per team.
    team: u32,
    /// Definitions and the function `main`.
    text: String,
    points: u64,
    per_group: u32,
    workgroup: u32,
}

/// The shader of a launch.
///
/// # Errors
/// If a device of these capabilities can't run the kernel: what is lacking.
pub(crate) fn print(launch: &Launch, caps: &Caps, device: &str) -> Result<Shader> {
    let kernel = &launch.kernel;
    spirv::check(launch, caps, device)?;
    // shaderc knows no cooperative matrices: their products are tiles here.
    const TILE: Tile = Tile::ALL[Tile::ALL.len() - 1];
    let (parts, computed) = match (launch.form, &kernel.body) {
        (Form::Team(lanes), Body::Loops(nest)) => {
            (nest::print(kernel, nest, lanes, caps)?, nest.dtypes(&kernel.operands)?)
        }
        (Form::Tile(tile), Body::Contract(contract)) => (tile::print(contract, tile), vec![contract.dtype]),
        (Form::Cooperative(_), Body::Contract(contract)) => (tile::print(contract, TILE), vec![contract.dtype]),
        (Form::Team(_), Body::Contract(_))
        | (Form::Tile(_) | Form::Cooperative(_), Body::Loops(_))
        | (
            _,
            Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_),
        ) => {
            return Err(Error::internal(format!("kernel `{}` isn't one of form {:?}", kernel.name, launch.form)));
        }
    };
    let mut text = format!("#version 450\n// {}: {}\n", kernel.name, parts.about);
    if kernel.operands.iter().any(|o| o.dtype == Dtype::Bool) {
        text += "#extension GL_EXT_shader_8bit_storage : require\n";
    }
    if parts.text.contains(library::UNROLL) || parts.included.unrolls() {
        text += "#extension GL_EXT_control_flow_attributes : require\n";
    }
    let keeps = [(Dtype::F32, 32, caps.f32.keeps_nan), (Dtype::F64, 64, caps.f64.keeps_nan)];
    let modes: Vec<u32> = keeps.iter().filter(|(d, _, keeps)| *keeps && computed.contains(d)).map(|k| k.1).collect();
    if !modes.is_empty() {
        text += "#extension GL_EXT_spirv_intrinsics : require\n\n// Keep NaN, infinities and -0.\n";
        for width in modes {
            text += &format!("spirv_execution_mode(capabilities = [4466], 4461, {width});\n");
        }
    }
    text += "\nlayout(local_size_x_id = 0) in;\n";
    text += "layout(push_constant) uniform Launch { uint points; uint row; } launch;\n";
    for (i, operand) in kernel.operands.iter().enumerate() {
        let access = match (operand.written, nest::is_loaded(kernel, i)) {
            (false, _) => "readonly ",
            (true, false) => "writeonly ",
            // One member of a team may load what another stored.
            (true, true) => "coherent ",
        };
        let element = match operand.dtype {
            Dtype::F32 => "float",
            Dtype::F64 => "double",
            Dtype::I32 => "int",
            Dtype::Bool => "uint8_t",
        };
        writeln!(text, "layout(set = 0, binding = {i}) {access}buffer B{i} {{ {element} b{i}[]; }};")
            .expect("a string");
    }
    text += &parts.included.text(parts.team);
    text += &parts.text;
    let Parts { points, per_group, workgroup, .. } = parts;
    Ok(Shader { text, bindings: kernel.operands.len() as u32, points, per_group, workgroup })
}
