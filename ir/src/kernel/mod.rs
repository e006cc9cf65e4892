//! The kernel IR both backends compile: loop nests and contractions over buffers.
//!
//! A [`LoopNest`] is a parallel *domain* of outer axes; for each of its points the *passes* run in
//! order. A pass with no loops of its own computes and stores once per point; a pass with loops
//! runs its instructions for every index of them, storing and accumulating as it goes. Reductions
//! with prologues and epilogues, several outputs, and row kernels that pass over a row several
//! times (softmax) are all of this form:
//!
//! ```text
//! kernel row_softmax(read f32 4096, write f32 4096)
//!   for p0 in 0..4
//!     for r1 in 0..1024                %1 = reduce_max over (%0 = load b0[1024*p0 + r1])
//!     for r1 in 0..1024                %4 = reduce_sum over (exp (load b0[…] - %1))
//!     for r1 in 0..1024                store b1[1024*p0 + r1] = …
//! ```
//!
//! Kernels know no calculus, no batching and no e-graphs.

mod eval;
mod parse;
mod text;
mod verify;

pub use eval::KernelInterpreter;

use crate::Numerics;
use crate::array::Array;
use crate::dtype::{Dtype, Literal};
use crate::error::Result;
use crate::graph::id;
use crate::op::{Binary, Compare, Factor, Reduce, Unary};
use crate::schedule::Schedule;
use smallvec::SmallVec;
use std::sync::Arc;

id! {
    /// A value computed in a [`LoopNest`]: instructions and accumulators are numbered together,
    /// through all passes, in order (a pass's instructions first, then its accumulators).
    ValueId "%";
}

/// A kernel: what one launch computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// A name for people, made of the operations: `mul_add`, `reduce_sum`.
    pub name: String,
    /// The buffers it reads and writes, by position in the call.
    pub operands: Vec<Operand>,
    /// What it does.
    pub body: Body,
    /// Whether results must have the reference interpreter's bits.
    pub numerics: Numerics,
}

/// A buffer a kernel reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The element type.
    pub dtype: Dtype,
    /// How many elements it has; every index the kernel makes is below it.
    pub len: usize,
    /// Whether the kernel writes it. A written operand aliases no other one; it may also be
    /// loaded, at points of a later pass that the same domain point stored in an earlier pass.
    pub written: bool,
}

/// What a kernel does.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A loop nest.
    Loops(LoopNest),
    /// A (batched) matrix product.
    Contract(Contract),
    /// A call of a function that was compiled by itself.
    Call(Call),
    /// A loop of known length over such a function.
    Scan(Scan),
    /// A loop as long as a condition holds.
    While(While),
    /// One of several such functions.
    Switch(Switch),
    /// Updates combined into a copy of a tensor, where indices say.
    Scatter(Scatter),
    /// Where the elements of rows are in ascending order.
    Argsort(Argsort),
    /// Prints elements.
    Print(Print),
    /// A factorisation, triangular solve or Fourier transform of matrices.
    Linalg(Linalg),
}

/// Passes over a parallel domain.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LoopNest {
    /// Extents of the domain's axes, outermost first; none of them is 0. Points may run in any
    /// order and in parallel.
    pub domain: Vec<usize>,
    /// What runs for each point, in order.
    pub passes: Vec<Pass>,
}

/// Part of a loop nest: instructions, under loops of their own or once per domain point.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Pass {
    /// Extents of the pass's own loops, outermost first, inside the domain's; none is 0. Empty:
    /// the pass runs once per domain point.
    pub loops: Vec<usize>,
    /// Values, each of earlier ones: of this pass, of earlier passes without loops, or results of
    /// earlier accumulators.
    pub insts: Vec<Inst>,
    /// Reductions over the pass's loops; only in a pass with loops. The result is visible to later
    /// passes.
    pub accs: Vec<Acc>,
    /// What is written, at each index of the loops.
    pub stores: Vec<Store>,
}

/// An instruction. Operands have the types the primitive of that name takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Inst {
    /// A literal.
    Literal(Literal),
    /// An index as an `i32`.
    Index(Affine),
    /// An element of an operand.
    Load {
        /// Position in [`Kernel::operands`].
        operand: usize,
        /// Which element.
        index: Affine,
    },
    /// An element found by positions that may lie outside: `index` plus `by` times the position, for
    /// each of `along`; zero (false) if one of them is outside.
    LoadWithin {
        /// Position in [`Kernel::operands`], of one that is only read.
        operand: usize,
        /// Where position 0 of every one of `along` is.
        index: Affine,
        /// At least one.
        along: Positions,
    },
    /// Whether the positions are all inside; their `by` is 0.
    Within(Positions),
    /// An elementwise function of one operand ([`Unary::StopGradient`] is the identity).
    Unary(Unary, ValueId),
    /// An elementwise function of two operands.
    Binary(Binary, ValueId, ValueId),
    /// A comparison.
    Compare(Compare, ValueId, ValueId),
    /// `(predicate, on_true, on_false)`
    Select(ValueId, ValueId, ValueId),
    /// xⁿ
    IntegerPow(i32, ValueId),
    /// Another element type.
    Convert(Dtype, ValueId),
}

/// `offset + Σ strides[i]·axis[i]`, over the domain's axes and then the pass's loops.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Affine {
    /// The constant part.
    pub offset: usize,
    /// One stride per axis in scope; 0 where the index doesn't depend on the axis.
    pub strides: SmallVec<[usize; 4]>,
}

/// Positions along axes of what is read.
pub type Positions = SmallVec<[Along; 1]>;

/// A position along an axis of what is read: inside if it is in `0..extent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Along {
    /// The constant part.
    pub offset: isize,
    /// One stride per axis in scope, as in [`Affine`].
    pub strides: SmallVec<[isize; 4]>,
    /// An `i32` to add.
    pub plus: Option<ValueId>,
    /// How many positions there are; not 0, and no more than 2^30.
    pub extent: usize,
    /// How many elements are from one position to the next.
    pub by: usize,
}

/// A reduction over a pass's loops.
///
/// **Order.** The sum has eight lanes. For each index of the outer loops in row-major order, the
/// element at index `j` of the *innermost* loop is added to lane `j % 8`, in order of `j`; lanes
/// start at the reduction's identity. At the end the lanes are combined as
/// `((0∘4)∘(2∘6)) ∘ ((1∘5)∘(3∘7))`. Under [`Numerics::Strict`] that order is kept exactly (and
/// the reference interpreter has it too, the innermost loop being the last reduced axis); under
/// [`Numerics::Fast`] any order is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acc {
    /// Which reduction.
    pub kind: Reduce,
    /// The element of each loop index: a value of this pass.
    pub value: ValueId,
}

/// A store of a value of this pass, or of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Position in [`Kernel::operands`], of a written one.
    pub operand: usize,
    /// Which element; distinct points store to distinct elements.
    pub index: Affine,
    /// What is stored.
    pub value: ValueId,
}

/// `c[i,m,n] = Σ_k a[i,m,k]·b[i,k,n]` for every index `i` of the batch axes, in floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// `f32` or `f64`.
    pub dtype: Dtype,
    /// Extents of the batch axes; none is 0.
    pub batch: Vec<usize>,
    /// Rows of `a` and `c`; not 0.
    pub m: usize,
    /// Columns of `b` and `c`; not 0.
    pub n: usize,
    /// Columns of `a` and rows of `b`; may be 0, `c` is then zero.
    pub k: usize,
    /// The left operand, m × k.
    pub a: Matrix,
    /// The right operand, k × n.
    pub b: Matrix,
    /// The result, m × n, written.
    pub c: Matrix,
}

/// A strided matrix per batch index, inside a buffer; strides are in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Position in [`Kernel::operands`].
    pub operand: usize,
    /// Where element (0, 0) of the first batch index is.
    pub offset: usize,
    /// Per batch axis; 0 where the matrix is shared.
    pub batch_strides: Vec<usize>,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub column: usize,
}

/// A copy of x with updates combined into it, as [`Op::Scatter`](crate::Op::Scatter) means it, in
/// row-major order of the updates: x is `batch × between × length × inner`, the indices
/// `batch × taken`, the updates `batch × between × taken × inner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scatter {
    /// What combines.
    pub kind: Reduce,
    /// Elements of the shared axes.
    pub batch: usize,
    /// Elements of x's axes between those and the one of the indices.
    pub between: usize,
    /// The length of that axis.
    pub length: usize,
    /// Elements of x's axes after it.
    pub inner: usize,
    /// Indices for each element of the shared axes.
    pub taken: usize,
    /// Positions in [`Kernel::operands`].
    pub x: usize,
    /// `i32`.
    pub indices: usize,
    /// Of x's type.
    pub updates: usize,
    /// Written.
    pub result: usize,
}

/// Where the elements of each row are in ascending order, as [`Op::Argsort`](crate::Op::Argsort)
/// means it: x and the result are `outer × length × inner`, a row runs along the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argsort {
    /// Elements of the axes before the sorted one.
    pub outer: usize,
    /// The length of a row.
    pub length: usize,
    /// Elements of the axes after it.
    pub inner: usize,
    /// Position in [`Kernel::operands`].
    pub x: usize,
    /// `i32`, written.
    pub result: usize,
}

/// Prints operands, as [`Control::Print`](crate::Control::Print) means it. It runs once, not in
/// parallel with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// What to print.
    pub format: String,
    /// The leading axes of every value, of which each element is printed.
    pub levels: Vec<usize>,
    /// What is printed before, one `i32`: position in [`Kernel::operands`].
    pub token: usize,
    /// Per value its position in [`Kernel::operands`], and its shape.
    pub values: Vec<(usize, Vec<usize>)>,
    /// One `i32`, written: 0.
    pub result: usize,
}

/// A factorisation, triangular solve or Fourier transform of each matrix of a batch, as
/// [`Op::Linalg`](crate::Op::Linalg) means it: matrices are row-major, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linalg {
    /// What is computed.
    pub kind: crate::Linalg,
    /// How many matrices.
    pub batch: usize,
    /// Rows of the operand; of a triangular solve of both.
    pub rows: usize,
    /// Columns of the operand; of a triangular solve those of the right-hand sides.
    pub columns: usize,
    /// Positions in [`Kernel::operands`] of what is read: of a triangular solve the triangle, then the
    /// right-hand sides.
    pub read: SmallVec<[usize; 2]>,
    /// Of the same type, written.
    pub result: usize,
}

impl Linalg {
    /// How many elements of each operand read, and of the result, one matrix has; `None` if they
    /// can't be counted, or there is no such matrix.
    pub fn sizes(&self) -> Option<SmallVec<[usize; 3]>> {
        let [m, n] = self.kind.result(self.rows, self.columns)?;
        let result = m.checked_mul(n)?;
        let operand = self.rows.checked_mul(self.columns)?;
        Some(match self.kind {
            crate::Linalg::Factor(_) | crate::Linalg::Fft { .. } => SmallVec::from_slice(&[operand, result]),
            crate::Linalg::TriangularSolve(_) => {
                SmallVec::from_slice(&[self.rows.checked_mul(self.rows)?, operand, result])
            }
        })
    }

    /// About how many multiplications it takes.
    pub fn work(&self) -> f64 {
        let [m, n] = [self.rows as f64, self.columns as f64];
        let one = match self.kind {
            crate::Linalg::Factor(Factor::Cholesky) => n * n * n / 6.0,
            crate::Linalg::Factor(Factor::Lu) => m * n * n / 2.0,
            crate::Linalg::Factor(Factor::Qr) => 2.0 * m * n * n,
            crate::Linalg::Factor(Factor::Eigh) => 6.0 * n * n * n,
            crate::Linalg::Factor(Factor::Svd) => 8.0 * m * n * n,
            crate::Linalg::TriangularSolve(_) => m * m * n / 2.0,
            crate::Linalg::Fft { .. } => 2.0 * n * (n + 1.0).log2(),
        };
        self.batch as f64 * one
    }
}

/// A call of a function that was compiled by itself: once, or for every element of a batch
/// (strided dispatch). The callee's kernels don't depend on the batch; how many elements there are
/// and where each one's operands lie is data.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What it runs for each element; calls of one function share it.
    pub callee: Arc<Schedule>,
    /// How many elements; not 0, and 1 for a plain call.
    pub count: usize,
    /// Per input of the callee where it is read.
    pub inputs: Vec<Slot>,
    /// Per output of the callee where it is written: operands of their own, stored whole.
    pub outputs: Vec<Slot>,
}

/// Where a callee's input or output lies: element `i` of the batch, or step `i` of a loop, at
/// `i * stride` of the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Position in [`Kernel::operands`].
    pub operand: usize,
    /// From one element of the batch, or step, to the next; 0 where all share an input, and for what
    /// is carried.
    pub stride: usize,
}

/// A loop of known length. Its steps run one after the other; what they carry lies in memory of the
/// loop's own until the last one writes it to the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// What each step runs: `(consts…, carry…, x…) -> (carry…, y…)`.
    pub body: Arc<Schedule>,
    /// How many inputs are the same in every step.
    pub consts: usize,
    /// How many are carried.
    pub carry: usize,
    /// How many steps there are; may be 0.
    pub length: usize,
    /// Whether step 0 is at the last elements of the `xs` and `ys`.
    pub reverse: bool,
    /// Per input of the body where it is read: what is carried, before the first step.
    pub inputs: Vec<Slot>,
    /// Per output of the body where it is written: what is carried, after the last step. Operands
    /// of their own, stored whole.
    pub outputs: Vec<Slot>,
}

/// A loop as long as a condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct While {
    /// Whether there is another step: `(its consts…, carry…) -> (bool)`.
    pub cond: Arc<Schedule>,
    /// What each step runs: `(its consts…, carry…) -> (carry…)`.
    pub body: Arc<Schedule>,
    /// How many inputs only the condition reads.
    pub cond_consts: usize,
    /// How many only the body reads.
    pub body_consts: usize,
    /// `(consts of cond…, consts of body…, carry…)`, read whole.
    pub inputs: Vec<Slot>,
    /// Per carry where it is written: operands of their own, stored whole.
    pub outputs: Vec<Slot>,
}

/// One of several functions of the same inputs and outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// The functions.
    pub branches: Vec<Arc<Schedule>>,
    /// The operand, one `i32`, that says which; out of range it means the nearest.
    pub index: usize,
    /// Per input of the branches where it is read whole.
    pub inputs: Vec<Slot>,
    /// Per output where it is written: operands of their own, stored whole.
    pub outputs: Vec<Slot>,
}

impl Body {
    /// The functions, compiled by themselves, that a call, a loop or a branch runs.
    pub fn callees(&self) -> SmallVec<[&Arc<Schedule>; 2]> {
        match self {
            Body::Loops(_)
            | Body::Contract(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_) => SmallVec::new(),
            Body::Call(call) => SmallVec::from_slice(&[&call.callee]),
            Body::Scan(scan) => SmallVec::from_slice(&[&scan.body]),
            Body::While(w) => SmallVec::from_slice(&[&w.cond, &w.body]),
            Body::Switch(switch) => switch.branches.iter().collect(),
        }
    }
}

/// A device that compiles schedules of kernels.
pub trait Backend: Send + Sync {
    /// The device's name, as in `--device`.
    fn name(&self) -> &str;

    /// Compiles every kernel of the schedule, which has been verified.
    ///
    /// # Errors
    /// If the device lacks something the schedule needs, naming it; nothing has run then.
    fn compile(&self, schedule: Schedule) -> Result<Box<dyn Executable>>;
}

/// A compiled schedule.
pub trait Executable: Send + Sync {
    /// Runs on these inputs, whose avals are those of the schedule's inputs (the caller checked).
    ///
    /// # Errors
    /// If memory or the device fails.
    fn run(&self, inputs: &[&Array]) -> Result<Run>;

    /// The schedule it was compiled from.
    fn schedule(&self) -> &Schedule;

    /// What a stage of the compilation looks like as text, one entry per kernel: `clif`,
    /// `assembly`, `spirv`. `None` if this backend has no such stage.
    fn listing(&self, stage: &str) -> Option<Vec<String>>;

    /// The addresses of the machine code it runs, that of functions it calls included, in the order
    /// of the steps; empty where there is none.
    fn code(&self) -> Vec<usize>;
}

/// What a run produced.
#[derive(Debug)]
pub struct Run {
    /// The schedule's outputs.
    pub outputs: SmallVec<[Array; 4]>,
    /// How many kernels the device ran.
    pub dispatches: usize,
}

impl Inst {
    /// The values it uses.
    pub fn args(&self) -> SmallVec<[ValueId; 3]> {
        let mut args = SmallVec::new();
        match self {
            Inst::Literal(_) | Inst::Index(_) | Inst::Load { .. } => {}
            Inst::LoadWithin { along, .. } | Inst::Within(along) => args.extend(along.iter().filter_map(|a| a.plus)),
            Inst::Unary(_, x) | Inst::IntegerPow(_, x) | Inst::Convert(_, x) => args.push(*x),
            Inst::Binary(_, x, y) | Inst::Compare(_, x, y) => args.extend([*x, *y]),
            Inst::Select(p, x, y) => args.extend([*p, *x, *y]),
        }
        args
    }
}

impl Scatter {
    /// Where update `i` goes in the result, whose element `indices(…)` finds; none outside.
    pub fn place(&self, i: usize, indices: impl FnOnce(usize) -> i32) -> Option<usize> {
        let (rest, inner) = (i / self.inner, i % self.inner);
        let (rest, taken) = (rest / self.taken, rest % self.taken);
        let position = usize::try_from(indices(rest / self.between * self.taken + taken)).ok()?;
        (position < self.length).then_some((rest * self.length + position) * self.inner + inner)
    }

    /// How many elements x, the indices and the updates have; `None` if they can't be counted.
    pub fn sizes(&self) -> Option<[usize; 3]> {
        let rows = self.batch.checked_mul(self.between)?;
        let x = rows.checked_mul(self.length)?.checked_mul(self.inner)?;
        let updates = rows.checked_mul(self.taken)?.checked_mul(self.inner)?;
        Some([x, self.batch.checked_mul(self.taken)?, updates])
    }
}

impl Along {
    /// The position for these axis indices and this number to add.
    pub fn at(&self, axes: &[usize], plus: i64) -> i64 {
        let term = |(stride, i): (&isize, &usize)| *stride as i64 * *i as i64;
        self.offset as i64 + self.strides.iter().zip(axes).map(term).sum::<i64>() + plus
    }

    /// The smallest and largest position, over axes of these extents and with nothing added.
    pub fn reach(&self, axes: &[usize]) -> (i64, i64) {
        let mut reach = (self.offset as i64, self.offset as i64);
        for (stride, extent) in self.strides.iter().zip(axes) {
            let far = *stride as i64 * (*extent as i64 - 1);
            if far < 0 { reach.0 += far } else { reach.1 += far }
        }
        reach
    }
}

impl Affine {
    /// The element for these axis indices.
    pub fn at(&self, axes: &[usize]) -> usize {
        self.offset + self.strides.iter().zip(axes).map(|(s, i)| s * i).sum::<usize>()
    }
}
