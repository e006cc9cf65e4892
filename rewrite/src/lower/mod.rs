//! From chosen values to kernels: which loops compute a group of values, and in which passes.

mod alone;
mod call;
mod contract;
mod counted;
mod index;
mod nest;

pub(crate) use alone::alone;
pub(crate) use call::call;
pub(crate) use contract::contract;
pub(crate) use nest::nest;

use crate::choices::{Alternative, Choices, Source, ValueIx};
use egrad_ir::kernel::{Affine, Along, Body, Operand};
use egrad_ir::{Binary, Dtype, Op, Shape};
use smallvec::SmallVec;

/// How the values were chosen to be computed; what lowering asks of the extraction's plan.
pub(crate) trait Chosen {
    /// Every value there is.
    fn choices(&self) -> &Choices;
    /// The alternative chosen for a computed value.
    fn alternative(&self, v: ValueIx) -> &Alternative;
    /// Whether readers outside of the value's own kernel find it in memory; parameters are.
    fn in_memory(&self, v: ValueIx) -> bool;
    /// The value whose memory holds this one's elements in row-major order: itself, or what it
    /// reshapes.
    fn storage(&self, v: ValueIx) -> ValueIx;
    /// Whether results must have the interpreter's bits.
    fn strict(&self) -> bool;
}

/// Why a group of values is no kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Illegal {
    /// It would be one if this value were in memory.
    Anchor(ValueIx),
    /// These values don't belong in one kernel.
    Together,
}

/// A kernel may not read and write more buffers than this.
pub(crate) const MAX_OPERANDS: usize = 16;
/// A kernel may not be larger than this many instructions.
pub(crate) const MAX_INSTS: usize = 64;
/// The same in [`quarters`].
pub(crate) const MAX_SIZE: usize = 4 * MAX_INSTS;

/// How large an instruction of an element type is, in quarters of one of floats: sums and bits of
/// integers take a cycle and few registers, and come in long chains, as those that make random bits.
pub(crate) fn quarters(op: Option<Binary>, dtype: Dtype) -> usize {
    let bits = [Binary::And, Binary::Or, Binary::Xor, Binary::ShiftLeft, Binary::ShiftRightLogical];
    let sums = [Binary::Add, Binary::Sub];
    let quick = |op: &Binary| !dtype.is_float() && (bits.contains(op) || sums.contains(op));
    if op.as_ref().is_some_and(quick) { 1 } else { 4 }
}

/// A kernel with the values its operands stand for.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    pub(crate) body: Body,
    pub(crate) operands: Vec<Operand>,
    /// Per operand the value stored or loaded.
    pub(crate) values: Vec<ValueIx>,
    pub(crate) name: String,
    /// How large it is, in [`quarters`] of an instruction.
    pub(crate) size: usize,
}

impl Lowered {
    /// The values read from memory.
    pub(crate) fn loads(&self) -> impl Iterator<Item = ValueIx> + '_ {
        self.operands.iter().zip(&self.values).filter(|(o, _)| !o.written).map(|(_, v)| *v)
    }
}

/// The operands of a kernel being lowered.
#[derive(Default)]
struct Operands {
    operands: Vec<Operand>,
    values: Vec<ValueIx>,
}

impl Operands {
    /// The position of a value's storage among the operands, added if it is new.
    fn position(&mut self, chosen: &dyn Chosen, v: ValueIx, written: bool) -> usize {
        let v = chosen.storage(v);
        if let Some(i) = (0..self.values.len()).find(|i| self.values[*i] == v && self.operands[*i].written == written) {
            return i;
        }
        let aval = &chosen.choices().value(v).aval;
        self.operands.push(Operand { dtype: aval.dtype, len: aval.shape.size(), written });
        self.values.push(v);
        self.values.len() - 1
    }
}

/// Whether the primitive sums or otherwise reduces over an axis, and so needs loops of its own.
pub(crate) fn is_reduction(op: &Op) -> bool {
    match op {
        Op::Reduce { axes, .. } => !axes.is_empty(),
        Op::DotGeneral(dims) => !dims.contract[0].is_empty(),
        Op::Constant(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Take { .. }
        | Op::Scatter { .. }
        | Op::Argsort(_)
        | Op::Linalg(_) => false,
    }
}

/// Whether the primitive is a kernel of its own, on operands in memory, and no loop nest.
pub(crate) fn is_alone(op: &Op) -> bool {
    match op {
        Op::Scatter { .. } | Op::Argsort(_) | Op::Linalg(_) => true,
        Op::Constant(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Reduce { .. }
        | Op::DotGeneral(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Take { .. } => false,
    }
}

/// The lengths of a shape's axes that have any: those of length 1 need no loop.
pub(crate) fn extents(shape: &Shape) -> SmallVec<[usize; 4]> {
    shape.iter().copied().filter(|d| *d != 1).collect()
}

/// The element of a row-major tensor at this index, as an affine function of the axes: of positions
/// that ascend and aren't before the start, and to which nothing is added.
fn affine(index: &index::Index, strides: &[usize], domain: usize, loops: usize) -> Affine {
    let mut affine = Affine { offset: 0, strides: SmallVec::from_elem(0, domain + loops) };
    for (position, stride) in index.iter().zip(strides) {
        affine.offset += position.offset as usize * stride;
        for step in position.steps() {
            affine.strides[step.digit.axis.position(domain)] += step.by as usize * stride;
        }
    }
    affine
}

/// A position as a kernel tests it, in an axis of that length whose elements are `by` apart; what is
/// taken is yet to be added.
fn along(position: &index::Position, extent: usize, by: usize, domain: usize, loops: usize) -> Along {
    let mut along =
        Along { offset: position.offset, strides: SmallVec::from_elem(0, domain + loops), plus: None, extent, by };
    for step in position.steps() {
        along.strides[step.digit.axis.position(domain)] += step.by;
    }
    along
}

/// Whether a position is inside of an axis of that length wherever it is.
fn always_inside(position: &index::Position, extent: usize) -> bool {
    position.reach().is_some_and(|(low, high)| low >= 0 && high < extent as isize)
}

/// The source of a value, for a reader.
fn literal(chosen: &dyn Chosen, v: ValueIx) -> Option<egrad_ir::Literal> {
    match chosen.choices().value(v).source {
        Source::Literal(l) => Some(l),
        Source::Param(_) | Source::Call(_) | Source::Computed => None,
    }
}
