//! Kernels of a called function, each over the whole batch: the batch becomes outer axes.
//!
//! ```text
//! call count 1000 { input b0 stride 64, callee { sum: parallel … for r0 in 0..64 } }
//!     ──▶ sum: parallel p0 in 0..1000 for r0 in 0..64 { load b0[64*p0 + r0] … }
//! ```
//!
//! The outermost axis's extent is in no module's words (a point's number divided by the extents of
//! the inner axes is its index), so that batches of any size run the same pipelines.

use super::tree::Scope;
use super::{Binding, Memory, Moves, Part, window};
use egrad_ir::kernel::{Affine, Along, Body, Contract, Inst, Kernel, LoopNest, Matrix, Operand, Pass, Store, ValueId};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Error, Numerics, Result};

/// Where a buffer of a function is, for each element of the batch.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) memory: Memory,
    /// Per axis of the batch.
    pub(super) strides: Vec<usize>,
    pub(super) moves: Moves,
}

impl Placed {
    /// All of a buffer, for the one element of no batch.
    pub(super) fn whole(memory: Memory) -> Placed {
        Placed { memory, strides: Vec::new(), moves: Moves::default() }
    }

    /// So many elements further with each value of a counter.
    pub(super) fn moved(&self, counter: usize, by: usize) -> Placed {
        Placed { moves: self.moves.clone().and(counter, by), ..self.clone() }
    }

    /// So many elements further; bindings begin before them, where they can begin.
    pub(super) fn from(&self, elements: usize) -> Placed {
        let moves = Moves { once: self.moves.once + elements as isize, ..self.moves.clone() };
        Placed { moves, ..self.clone() }
    }

    /// So many elements further with each element of a batch inside this one.
    pub(super) fn along(&self, stride: usize) -> Placed {
        Placed { strides: [&self.strides[..], &[stride]].concat(), ..self.clone() }
    }

    /// So many elements from here on.
    pub(super) fn binding(&self, len: usize) -> Binding {
        let len = len + self.moves.once as usize;
        Binding { memory: self.memory, first: 0, len, moves: self.moves.clone() }
    }
}

/// Where each element of a batch has its own of a buffer, and how many elements that is in all.
pub(super) fn strides(buffer: &Buffer, batch: &[usize]) -> Result<(Vec<usize>, usize)> {
    let Buffer { dtype, len } = *buffer;
    let mut strides = vec![0; batch.len()];
    let mut size = Some(len);
    for (stride, extent) in strides.iter_mut().zip(batch).rev() {
        *stride = size.unwrap_or(0);
        size = size.and_then(|n| n.checked_mul(*extent));
    }
    // Twice: for what a loop carries.
    let size = size.filter(|n| n.checked_mul(2 * dtype.bytes()).is_some()).ok_or_else(|| {
        Error::memory(format!("a batch of {batch:?} times {len} {dtype} in a called function is beyond any memory"))
    })?;
    Ok((strides, size))
}

/// The kernel, a loop nest or a matrix product, with its operands where they are for the whole batch.
pub(super) fn batched(kernel: &Kernel, places: &[&Placed], scope: &Scope) -> Option<Part> {
    let batch = &scope.batch;
    let body = match &kernel.body {
        Body::Loops(nest) => Body::Loops(over(nest, batch, places)),
        Body::Contract(c) => Body::Contract(product(c, batch, places)),
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => {
            return None;
        }
    };
    let bind = |(operand, place): (&Operand, &&Placed)| {
        let reach: usize = place.strides.iter().zip(batch).map(|(s, n)| s * (n - 1)).sum();
        // What has no elements has none in any batch, nor in any step.
        if operand.len == 0 {
            return (operand.clone(), Binding::fixed(place.memory, 0));
        }
        let len = reach + operand.len;
        (Operand { len, ..operand.clone() }, place.binding(len))
    };
    let (operands, bindings) = kernel.operands.iter().zip(places).map(bind).unzip();
    let (name, numerics) = (kernel.name.clone(), kernel.numerics);
    let kernel = Kernel { name, operands, body, numerics };
    let when = scope.counters.iter().map(|n| 0..*n).collect();
    Some(Part { kernel, bindings, guard: scope.guard.clone(), when })
}

/// A loop nest with the batch's axes outermost.
fn over(nest: &LoopNest, batch: &[usize], places: &[&Placed]) -> LoopNest {
    let none = vec![0; batch.len()];
    let index = |operand: Option<usize>, a: &Affine| {
        let outer = operand.map_or(&none[..], |operand| &places[operand].strides);
        Affine { offset: a.offset, strides: outer.iter().chain(&a.strides).copied().collect() }
    };
    // No element of the batch has other positions than another.
    let position = |a: &Along| Along {
        strides: std::iter::repeat_n(0, batch.len()).chain(a.strides.iter().copied()).collect(),
        ..a.clone()
    };
    window::map(nest, [batch, &nest.domain].concat(), &index, &position)
}

/// A matrix product with the batch's axes outermost.
fn product(c: &Contract, batch: &[usize], places: &[&Placed]) -> Contract {
    let matrix =
        |m: &Matrix| Matrix { batch_strides: [&places[m.operand].strides[..], &m.batch_strides].concat(), ..m.clone() };
    Contract { batch: [batch, &c.batch].concat(), a: matrix(&c.a), b: matrix(&c.b), c: matrix(&c.c), ..c.clone() }
}

/// A kernel that copies a buffer; none if it is empty.
pub(super) fn copy(buffer: &Buffer, numerics: Numerics) -> Option<Kernel> {
    let Buffer { dtype, len } = *buffer;
    let row = Affine { offset: 0, strides: [1].into_iter().collect() };
    let load = Inst::Load { operand: 0, index: row.clone() };
    let store = Store { operand: 1, index: row, value: ValueId::from(0) };
    let nest = LoopNest {
        domain: vec![len],
        passes: vec![Pass { insts: vec![load], stores: vec![store], ..Pass::default() }],
    };
    let operands = [false, true].map(|written| Operand { dtype, len, written }).into();
    (len > 0).then(|| Kernel { name: "copy".into(), operands, body: Body::Loops(nest), numerics })
}
