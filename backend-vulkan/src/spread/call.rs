//! Calls as the kernels they run, each over the whole batch: the batch becomes outer axes.
//!
//! ```text
//! call count 1000 { input b0 stride 64, callee { sum: parallel … for r0 in 0..64 } }
//!     ──▶ sum: parallel p0 in 0..1000 for r0 in 0..64 { load b0[64*p0 + r0] … }
//! ```
//!
//! The outermost axis's extent is in no module's words (a point's number divided by the extents of
//! the inner axes is its index), so that batches of any size run the same pipelines.

use super::rows::{self, Rows};
use super::{Binding, Memory, Part, Spread};
use egrad_ir::kernel::{
    Affine, Along, Body, Call, Contract, Inst, Kernel, LoopNest, Matrix, Operand, Pass, Store, ValueId,
};
use egrad_ir::schedule::{Buffer, BufferId, Schedule};
use egrad_ir::{Error, Numerics, Result};

/// Where a buffer of a callee is, for each element of the batch.
#[derive(Clone)]
struct Placed {
    memory: Memory,
    first: usize,
    /// Per axis of the batch.
    strides: Vec<usize>,
}

/// The kernels a call runs, in order; buffers of callees become scratch memory of `spread`.
///
/// # Errors
/// If the memory between them is beyond what can be counted, or the call is invalid.
pub(super) fn expand(kernel: &Kernel, call: &Call, spread: &mut Spread) -> Result<Vec<Part>> {
    let placed = |operand: usize| Placed { memory: Memory::Operand(operand), first: 0, strides: Vec::new() };
    let operands: Vec<Placed> = (0..kernel.operands.len()).map(placed).collect();
    let mut parts = Vec::new();
    inner(call, &[], &operands, kernel.numerics, spread, &mut parts)?;
    Ok(parts)
}

/// `batch` are the extents of the calls around this one, `operands` where the operands of the
/// kernel that makes the call are.
fn inner(
    call: &Call,
    batch: &[usize],
    operands: &[Placed],
    numerics: Numerics,
    spread: &mut Spread,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let batch = [batch, &[call.count]].concat();
    let callee = &*call.callee;
    let mut places: Vec<Option<Placed>> = vec![None; callee.buffers.len()];
    let slot = |slot: &egrad_ir::kernel::Slot| {
        let outer = &operands[slot.operand];
        Placed { strides: [&outer.strides[..], &[slot.stride]].concat(), ..outer.clone() }
    };
    for (s, (id, _)) in call.inputs.iter().zip(&callee.inputs) {
        places[id.index()] = Some(slot(s));
    }
    // A result that is an input, or another result, is a copy.
    let mut copies: Vec<(BufferId, Placed)> = Vec::new();
    for (s, (id, _)) in call.outputs.iter().zip(&callee.outputs) {
        let at = slot(s);
        match &mut places[id.index()] {
            place @ None => *place = Some(at),
            Some(_) => copies.push((*id, at)),
        }
    }
    for (place, buffer) in places.iter_mut().zip(&callee.buffers) {
        if place.is_none() {
            *place = Some(scratch(buffer, &batch, spread)?);
        }
    }
    let places: Vec<Placed> = places.into_iter().flatten().collect();
    for step in &callee.steps {
        let at: Vec<&Placed> = step.operands.iter().map(|id| &places[id.index()]).collect();
        if let Some(Rows { kernels, between }) = rows::loops(&step.kernel) {
            let own = between.iter().map(|buffer| scratch(buffer, &batch, spread)).collect::<Result<Vec<_>>>()?;
            let all: Vec<&Placed> = at.iter().copied().chain(&own).collect();
            for (kernel, operands) in &kernels {
                let Body::Loops(nest) = &kernel.body else { unreachable!("they are loop nests") };
                let at: Vec<&Placed> = operands.iter().map(|i| all[*i]).collect();
                parts.push(batched(kernel, Body::Loops(over(nest, &batch, &at)), &batch, &at));
            }
            continue;
        }
        match &step.kernel.body {
            Body::Scatter(_) | Body::Argsort(_) => unreachable!("they became loop nests"),
            Body::Linalg(linalg) => return Err(super::no_linalg(&step.kernel, linalg)),
            Body::Loops(nest) => parts.push(batched(&step.kernel, Body::Loops(over(nest, &batch, &at)), &batch, &at)),
            Body::Contract(c) => {
                parts.push(batched(&step.kernel, Body::Contract(product(c, &batch, &at)), &batch, &at))
            }
            Body::Call(call) => {
                let at: Vec<Placed> = at.into_iter().cloned().collect();
                inner(call, &batch, &at, numerics, spread, parts)?;
            }
            Body::Scan(_) | Body::While(_) | Body::Switch(_) => return Err(super::no_loops(&step.kernel)),
        }
    }
    for (id, to) in copies {
        parts.extend(copy(callee, id, &batch, &places[id.index()], &to, numerics));
    }
    Ok(())
}

/// Memory for a buffer of a callee, for every element of the batch.
fn scratch(buffer: &Buffer, batch: &[usize], spread: &mut Spread) -> Result<Placed> {
    let Buffer { dtype, len } = *buffer;
    let mut strides = vec![0; batch.len()];
    let mut size = Some(len);
    for (stride, extent) in strides.iter_mut().zip(batch).rev() {
        *stride = size.unwrap_or(0);
        size = size.and_then(|n| n.checked_mul(*extent));
    }
    let size = size.filter(|n| n.checked_mul(dtype.bytes()).is_some()).ok_or_else(|| {
        Error::memory(format!("a batch of {batch:?} times {len} {dtype} in a called function is beyond any memory"))
    })?;
    spread.scratch.push(Buffer { dtype, len: size });
    Ok(Placed { memory: Memory::Scratch(spread.scratch.len() - 1), first: 0, strides })
}

/// The kernel with that body, its operands where they are for the whole batch.
fn batched(kernel: &Kernel, body: Body, batch: &[usize], places: &[&Placed]) -> Part {
    let bind = |(operand, place): (&Operand, &&Placed)| {
        let reach: usize = place.strides.iter().zip(batch).map(|(s, n)| s * (n - 1)).sum();
        // What has no elements has none in any batch.
        let len = if operand.len == 0 { 0 } else { reach + operand.len };
        (Operand { len, ..operand.clone() }, Binding { memory: place.memory, first: place.first, len })
    };
    let (operands, bindings) = kernel.operands.iter().zip(places).map(bind).unzip();
    let (name, numerics) = (kernel.name.clone(), kernel.numerics);
    Part { kernel: Kernel { name, operands, body, numerics }, bindings }
}

/// A loop nest with the batch's axes outermost.
fn over(nest: &LoopNest, batch: &[usize], places: &[&Placed]) -> LoopNest {
    let none = vec![0; batch.len()];
    let index = |a: &Affine, outer: &[usize]| Affine {
        offset: a.offset,
        strides: outer.iter().chain(&a.strides).copied().collect(),
    };
    // No element of the batch has other positions than another.
    let position = |a: &Along| Along {
        strides: std::iter::repeat_n(0, batch.len()).chain(a.strides.iter().copied()).collect(),
        ..a.clone()
    };
    let inst = |inst: &Inst| match inst {
        Inst::Index(a) => Inst::Index(index(a, &none)),
        Inst::Load { operand, index: a } => {
            Inst::Load { operand: *operand, index: index(a, &places[*operand].strides) }
        }
        Inst::LoadWithin { operand, index: a, along } => Inst::LoadWithin {
            operand: *operand,
            index: index(a, &places[*operand].strides),
            along: along.iter().map(position).collect(),
        },
        Inst::Within(along) => Inst::Within(along.iter().map(position).collect()),
        Inst::Literal(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => inst.clone(),
    };
    let pass = |pass: &Pass| Pass {
        loops: pass.loops.clone(),
        insts: pass.insts.iter().map(inst).collect(),
        accs: pass.accs.clone(),
        stores: pass
            .stores
            .iter()
            .map(|s| Store { index: index(&s.index, &places[s.operand].strides), ..s.clone() })
            .collect(),
    };
    LoopNest { domain: [batch, &nest.domain].concat(), passes: nest.passes.iter().map(pass).collect() }
}

/// A matrix product with the batch's axes outermost.
fn product(c: &Contract, batch: &[usize], places: &[&Placed]) -> Contract {
    let matrix =
        |m: &Matrix| Matrix { batch_strides: [&places[m.operand].strides[..], &m.batch_strides].concat(), ..m.clone() };
    Contract { batch: [batch, &c.batch].concat(), a: matrix(&c.a), b: matrix(&c.b), c: matrix(&c.c), ..c.clone() }
}

/// A kernel that copies a buffer of the callee to where a result belongs; none if it is empty.
fn copy(
    callee: &Schedule,
    id: BufferId,
    batch: &[usize],
    from: &Placed,
    to: &Placed,
    numerics: Numerics,
) -> Option<Part> {
    let Buffer { dtype, len } = *callee.buffer(id);
    let row = Affine { offset: 0, strides: [1].into_iter().collect() };
    let load = Inst::Load { operand: 0, index: row.clone() };
    let store = Store { operand: 1, index: row, value: ValueId::from(0) };
    let nest = LoopNest {
        domain: vec![len],
        passes: vec![Pass { insts: vec![load], stores: vec![store], ..Pass::default() }],
    };
    let operands = [false, true].map(|written| Operand { dtype, len, written }).into();
    let kernel = Kernel { name: "copy".into(), operands, body: Body::Loops(nest.clone()), numerics };
    let places = [from, to];
    (len > 0).then(|| batched(&kernel, Body::Loops(over(&nest, batch, &places)), batch, &places))
}
