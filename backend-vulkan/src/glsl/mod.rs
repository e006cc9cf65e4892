//! Kernels as GLSL for people to read and, with the feature `shaderc`, for devices to run.
//!
//! A shader has the interface of the module that [`spirv::emit`](crate::spirv::emit) makes of the
//! same launch: a storage buffer per operand, push constants with the number of points and of
//! workgroups in a row, and a workgroup size that is specialised. What it does inside, it does in
//! its own way, so that each of the two checks the other:
//!
//! * loops are loops, and values that are used once are part of the expression that uses them;
//! * elementary functions are series in GLSL (`functions/`), not `egrad_ir::math`;
//! * teams combine what they have through shared memory, and matrix products follow `tile.glsl`;
//! * where counters of loops move an operand, `at0` is by how many elements.

mod compile;
mod expression;
mod library;
mod nest;
mod tile;

pub(crate) use compile::{available, compile};

use crate::device::Caps;
use crate::spirv;
use crate::spread::{Form, Launch, Moves, Tile};
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
    /// Counters of loops among the push constants.
    pub(crate) counters: usize,
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
            (nest::print(launch, nest, lanes, caps)?, nest.dtypes(&kernel.operands)?)
        }
        (Form::Tile(tile), Body::Contract(contract)) => (tile::print(launch, contract, tile), vec![contract.dtype]),
        (Form::Cooperative(_), Body::Contract(contract)) => (tile::print(launch, contract, TILE), vec![contract.dtype]),
        (Form::Team(_), Body::Contract(_))
        | (Form::Tile(_) | Form::Cooperative(_), Body::Loops(_))
        | (
            _,
            Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_)
            | Body::Linalg(_)
            | Body::Print(_),
        ) => {
            return Err(Error::internal(format!("kernel `{}` isn't one of form {:?}", kernel.name, launch.form)));
        }
    };
    let mut text = format!("#version 450\n// {}: {}\n", kernel.name, parts.about);
    if computed.contains(&Dtype::I64) || kernel.operands.iter().any(|o| o.dtype == Dtype::I64) {
        text += "#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require\n";
    }
    if kernel.operands.iter().any(|o| o.dtype.bytes() == 1) {
        text += "#extension GL_EXT_shader_8bit_storage : require\n";
    }
    if kernel.operands.iter().any(|o| o.dtype.bytes() == 2) {
        text += "#extension GL_EXT_shader_16bit_storage : require\n";
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
    let counters: String = (0..launch.counters()).map(|i| format!(" uint counter{i};")).collect();
    writeln!(text, "layout(push_constant) uniform Launch {{ uint points; uint row;{counters} }} launch;")
        .expect("a string");
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
            Dtype::I64 => "int64_t",
            Dtype::U32 => "uint",
            Dtype::U8 | Dtype::Bool => "uint8_t",
            Dtype::F16 | Dtype::Bf16 => "uint16_t",
        };
        writeln!(text, "layout(set = 0, binding = {i}) {access}buffer B{i} {{ {element} b{i}[]; }};")
            .expect("a string");
    }
    let mut moves: Vec<String> = (0..kernel.operands.len()).filter_map(|i| moved(i, launch.moves(i)?)).collect();
    if let Some(guard) = &launch.guard {
        let i = kernel.operands.len();
        writeln!(text, "layout(set = 0, binding = {i}) readonly buffer B{i} {{ int b{i}[]; }};").expect("a string");
        moves.extend(moved(i, &guard.flags.moves));
    }
    text += &moves.concat();
    text += &parts.included.text(parts.team);
    text += &parts.text;
    let (bindings, counters) = (launch.buffers() as u32, launch.counters());
    let Parts { points, per_group, workgroup, .. } = parts;
    Ok(Shader { text, bindings, counters, points, per_group, workgroup })
}

/// The definition of by how many elements a buffer is moved.
fn moved(buffer: usize, moves: &Moves) -> Option<String> {
    let by = moves.by.iter().enumerate().filter(|(_, by)| **by > 0);
    let mut terms: Vec<String> = by.map(|(i, by)| format!("{by}u * launch.counter{i}")).collect();
    // Negative numbers wrap around, and so does what they are added to.
    terms.extend((moves.once != 0).then(|| format!("{}u", moves.once as u32)));
    (!terms.is_empty()).then(|| format!("#define at{buffer} ({})\n", terms.join(" + ")))
}

/// An element of a buffer.
fn element(launch: &Launch, buffer: usize, index: &str) -> String {
    match launch.moves(buffer) {
        Some(_) => format!("b{buffer}[at{buffer} + {index}]"),
        None => format!("b{buffer}[{index}]"),
    }
}

/// What leaves a shader whose guard is 0; nothing for one without.
fn leave(launch: &Launch) -> Option<String> {
    let guard = launch.guard.as_ref()?;
    let (i, at) = (launch.kernel.operands.len(), guard.at);
    let index = if guard.flags.moves.are_none() { at.to_string() } else { format!("at{i} + {at}") };
    Some(format!("if (b{i}[{index}] == 0) return; // all of the launch, so that barriers are reached by all or none"))
}
