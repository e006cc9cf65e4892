//! What can't be run, found before anything runs.

use crate::device::Caps;
use crate::spread::{Form, Launch, iterations, tile_iterations};
use egrad_ir::kernel::{Body, Inst, LoopNest, Pass};
use egrad_ir::math::Elementary;
use egrad_ir::op::Binary;
use egrad_ir::{Dtype, Error, Numerics, Result};

/// Numbers of elements and of iterations are computed in 32 bits; what addresses them has a sign.
const MOST: usize = i32::MAX as usize;

/// Whether the backend and a device of these capabilities can run the kernel.
///
/// # Errors
/// If not: what is lacking.
pub(crate) fn check(launch: &Launch, caps: &Caps, device: &str) -> Result<()> {
    let kernel = &launch.kernel;
    let name = &kernel.name;
    let lacks = |what: &str| Err(Error::device(format!("`{device}` lacks {what}, which kernel `{name}` needs")));
    if kernel.numerics == Numerics::Strict {
        return Err(Error::device(format!(
            "the Vulkan backend can't run kernel `{name}` under strict numerics: Vulkan leaves the last bits of \
             division, square roots and denormals to each device; use `--device cpu`, or fast numerics"
        )));
    }
    let wide = |dtypes: &[Dtype]| !caps.float64 && dtypes.contains(&Dtype::F64);
    let operands: Vec<Dtype> = kernel.operands.iter().map(|o| o.dtype).collect();
    match &kernel.body {
        Body::Loops(nest) => {
            let dtypes = nest.dtypes(&kernel.operands)?;
            if wide(&dtypes) || wide(&operands) {
                return lacks(FLOAT64);
            }
            if !caps.int64 && (dtypes.contains(&Dtype::I64) || operands.contains(&Dtype::I64)) {
                return lacks("64-bit integers (`shaderInt64`)");
            }
            let mut insts = values(nest).zip(&dtypes);
            if !caps.int64 && insts.any(|(inst, dtype)| *dtype == Dtype::F64 && inst.is_some_and(is_elementary)) {
                return lacks("64-bit integers (`shaderInt64`), for elementary functions of f64");
            }
            let of_pass = |p: &Pass| p.loops.iter().fold(1usize, |n, extent| n.saturating_mul(*extent));
            if nest.passes.iter().any(|p| of_pass(p) > MOST) {
                return lacks(&format!("loops of more than {MOST} iterations"));
            }
            if let Form::Team(lanes) = launch.form
                && iterations(nest, lanes) > caps.iterations
            {
                return lacks(&format!("more than {} iterations of an invocation's loops", caps.iterations));
            }
        }
        Body::Contract(c) if wide(&operands) || wide(&[c.dtype]) => return lacks(FLOAT64),
        Body::Contract(c) if c.k > MOST || tile_iterations(c) > caps.iterations => {
            return lacks(&format!("sums of more than {} products", MOST.min(caps.iterations / 2)));
        }
        Body::Contract(_)
        | Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_) => {}
    }
    if kernel.operands.iter().any(|o| o.dtype.bytes() == 1) && !caps.storage8 {
        return lacks("bytes in storage buffers (`storageBuffer8BitAccess`), as `bool` and `u8` are stored");
    }
    if kernel.operands.iter().any(|o| o.dtype.bytes() == 2) && !caps.storage16 {
        let what =
            "elements of two bytes in storage buffers (`storageBuffer16BitAccess`), as `f16` and `bf16` are stored";
        return lacks(what);
    }
    if launch.buffers() > caps.bindings as usize {
        let (n, most) = (launch.buffers(), caps.bindings);
        return lacks(&format!("more than {most} buffers per kernel, here {n}"));
    }
    for (i, operand) in kernel.operands.iter().enumerate() {
        let len = launch.bindings.get(i).map_or(operand.len, |b| b.reach(&launch.when));
        let bytes = len as u64 * operand.dtype.bytes() as u64;
        if bytes > caps.range {
            return lacks(&format!("buffers beyond {} bytes (`maxStorageBufferRange`), here {bytes}", caps.range));
        }
        if len > MOST {
            return lacks(&format!("buffers of more than {MOST} elements, here {len}"));
        }
    }
    Ok(())
}

const FLOAT64: &str = "64-bit floats (`shaderFloat64`)";

/// Per value the instruction it is of; none for accumulators.
fn values(nest: &LoopNest) -> impl Iterator<Item = Option<&Inst>> {
    nest.passes.iter().flat_map(|p| p.insts.iter().map(Some).chain(p.accs.iter().map(|_| None)))
}

/// Whether the instruction is a function that computes with the bits of floats.
fn is_elementary(inst: &Inst) -> bool {
    match inst {
        Inst::Unary(op, _) => Elementary::of(*op).is_some(),
        Inst::Binary(op, ..) => *op == Binary::Pow,
        Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Load { .. }
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..)
        | Inst::LoadWithin { .. }
        | Inst::Within(_) => false,
    }
}
