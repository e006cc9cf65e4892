//! What can't be run, found before anything runs.

use super::math::function;
use crate::device::Caps;
use egrad_ir::kernel::{Body, Inst, Kernel, LoopNest};
use egrad_ir::op::Binary;
use egrad_ir::{Dtype, Error, Numerics, Result};

/// The kernel's loop nest, if the backend and a device of these capabilities can run it.
pub(super) fn check<'a>(kernel: &'a Kernel, caps: &Caps, device: &str) -> Result<&'a LoopNest> {
    let name = &kernel.name;
    let not_yet = |what: &str| {
        let m = format!("the Vulkan backend doesn't run {what} yet, which kernel `{name}` has: use `--device cpu`");
        Err(Error::device(m))
    };
    let lacks = |what: &str| Err(Error::device(format!("`{device}` lacks {what}, which kernel `{name}` needs")));
    if kernel.numerics == Numerics::Strict {
        return Err(Error::device(format!(
            "the Vulkan backend can't run kernel `{name}` under strict numerics: Vulkan leaves the last bits of \
             division, square roots and denormals to each device; use `--device cpu`, or fast numerics"
        )));
    }
    let nest = match &kernel.body {
        Body::Contract(_) => return not_yet("matrix products"),
        Body::Call(_) => return not_yet("calls of functions compiled by themselves"),
        Body::Scan(_) => return not_yet("`scan`"),
        Body::While(_) => return not_yet("`while`"),
        Body::Switch(_) => return not_yet("`switch`"),
        Body::Loops(nest) => nest,
    };
    if nest.passes.iter().any(|p| !p.accs.is_empty()) {
        return not_yet("reductions");
    }
    if nest.passes.iter().any(|p| !p.loops.is_empty()) {
        return not_yet("loops inside a point");
    }
    let dtypes = nest.dtypes(&kernel.operands)?;
    if !caps.float64 && (dtypes.contains(&Dtype::F64) || kernel.operands.iter().any(|o| o.dtype == Dtype::F64)) {
        return lacks("64-bit floats (`shaderFloat64`)");
    }
    let mut insts = nest.passes.iter().flat_map(|p| &p.insts).zip(&dtypes);
    if !caps.int64 && insts.any(|(inst, dtype)| *dtype == Dtype::F64 && is_elementary(inst)) {
        return lacks("64-bit integers (`shaderInt64`), for elementary functions of f64");
    }
    if kernel.operands.iter().any(|o| o.dtype == Dtype::Bool) && !caps.storage8 {
        return lacks("bytes in storage buffers (`storageBuffer8BitAccess`), as bools are stored");
    }
    if kernel.operands.len() > caps.bindings as usize {
        let (n, most) = (kernel.operands.len(), caps.bindings);
        return lacks(&format!("more than {most} buffers per kernel, here {n}"));
    }
    for operand in &kernel.operands {
        let bytes = operand.len as u64 * operand.dtype.bytes() as u64;
        if bytes > caps.range {
            return lacks(&format!("buffers beyond {} bytes (`maxStorageBufferRange`), here {bytes}", caps.range));
        }
    }
    Ok(nest)
}

/// Whether the instruction is a function that computes with the bits of floats.
fn is_elementary(inst: &Inst) -> bool {
    match inst {
        Inst::Unary(op, _) => function(*op).is_some(),
        Inst::Binary(op, ..) => *op == Binary::Pow,
        Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Load { .. }
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => false,
    }
}
