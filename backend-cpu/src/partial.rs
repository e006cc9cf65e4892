//! Long reductions to few results, in two kernels, so that threads can share them.
//!
//! A kernel's domain is what threads share, and `sum(x)` has none. With fast numerics, which leave
//! the order of a reduction open, its first kernel has one axis more, of pieces of a loop, and
//! stores what each comes to; the second reduces that, adds what the pieces left over, and goes on
//! as the original does:
//!
//! ```text
//! for r0 in 0..1000                 %1 = reduce_sum over (%0 = load b0[r0])
//! once                              store b1[0] = exp %1
//!
//! parallel p0 in 0..7
//!   for r0 in 0..128                %1 = reduce_sum over (%0 = load b0[128*p0 + r0])
//!   once                            store b2[p0] = %1
//!
//! for r0 in 0..7                    %1 = reduce_sum over (%0 = load b2[r0])
//! for r0 in 0..104                  %3 = reduce_sum over (%2 = load b0[r0 + 896])
//! once                              %4 = add %1 %3
//! once                              store b1[0] = exp %4
//! ```
//!
//! A matrix product that sums over a long axis becomes a batch of products and the sum of these.
//! The pieces depend on the kernel alone, and so do the results, however many threads there are.

use crate::contract::{self, Products};
use crate::normal::{self, renumber};
use crate::plan::{self, Plan};
use crate::unroll;
use egrad_ir::kernel::{Acc, Affine, Body, Contract, Inst, Kernel, LoopNest, Matrix, Operand, Pass, Store, ValueId};
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Binary, Dtype, Numerics, Reduce};
use smallvec::SmallVec;
use std::borrow::Cow;

/// A reduction that takes less, in ns, isn't worth a second kernel.
const LONG: f64 = 6_000.0;

/// About how long a piece takes, in ns, if that makes no more than so many.
const PIECE: f64 = 1_500.0;
const PIECES: usize = 64;

/// A domain that can be cut into so many parts is shared as it is.
const PARTS: usize = 16;

/// Pieces of an only loop have a multiple of this many indices, so that vectors fit.
const GRAIN: usize = 64;

/// The schedule with its long reductions in two kernels each. `fused`: multiply-adds are single
/// instructions.
pub(crate) fn split(schedule: &Schedule, fused: bool) -> Cow<'_, Schedule> {
    let mut split = Cow::Borrowed(schedule);
    for (i, step) in schedule.steps.iter().enumerate().rev() {
        let Some(two) = in_two(&step.kernel, fused) else { continue };
        let split = split.to_mut();
        let start = split.buffers.len();
        let written = two.first.operands.iter().filter(|operand| operand.written);
        split.buffers.extend(written.map(|o| Buffer { dtype: o.dtype, len: o.len }));
        let partial = (start..split.buffers.len()).map(BufferId::from);
        let used = two.used.iter().map(|operand| step.operands[*operand]);
        let first = Step { kernel: two.first, operands: used.chain(partial.clone()).collect() };
        let all = step.operands.iter().copied();
        let second = Step { kernel: two.second, operands: all.chain(partial).collect() };
        split.steps.splice(i..=i, [first, second]);
    }
    split
}

/// What a kernel becomes.
pub(crate) struct Two {
    /// Reads some of the kernel's operands and writes one partial result per accumulator.
    pub(crate) first: Kernel,
    /// Those operands.
    used: Vec<usize>,
    /// Takes the kernel's operands and then the partial results.
    pub(crate) second: Kernel,
}

/// The two kernels that a long reduction becomes; `None` for what is no such thing.
pub(crate) fn in_two(kernel: &Kernel, fused: bool) -> Option<Two> {
    match &kernel.body {
        Body::Contract(c) if contract::as_loops(c, kernel.numerics) => {
            in_two(&Kernel { body: Body::Loops(contract::loop_nest(c)), ..kernel.clone() }, fused)
        }
        Body::Loops(nest) => {
            let nest = candidate(nest, kernel.numerics)?;
            let plan = plan::plan(kernel, &nest, fused);
            let pieces = pieces(&nest, &plan)?;
            let accs = &nest.passes[0].accs;
            // The plan may take several points as one.
            let planned = &plan.nest.passes[0].accs;
            let dtype = |i: usize| plan.values[planned[i * planned.len() / accs.len()].value.index()].dtype;
            let dtypes: Vec<Dtype> = (0..accs.len()).map(dtype).collect();
            Some(divide(kernel, &nest, &dtypes, &pieces))
        }
        Body::Contract(contract) => Some(divide_product(kernel, contract, &pieces_of_product(contract)?)),
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => None,
    }
}

/// The normal form of a nest that may be worth it.
fn candidate(nest: &LoopNest, numerics: Numerics) -> Option<LoopNest> {
    let pass = nest.passes.first()?;
    let trips = |pass: &Pass| pass.loops.iter().product::<usize>();
    let later: usize = nest.passes[1..].iter().map(trips).sum();
    let fits = numerics == Numerics::Fast
        && !pass.accs.is_empty()
        && pass.stores.is_empty()
        && trips(pass) >= 4 * GRAIN
        && trips(pass) / 8 >= later;
    fits.then(|| normal::normalise(nest, numerics))
}

/// Pieces of a loop.
struct Pieces {
    /// Which of the pass's loops.
    of: usize,
    count: usize,
    /// Indices of each; what is left over is less than that.
    len: usize,
}

/// The pieces of the outermost loop that has enough indices, or of the longest; `None` if the kernel
/// needs none.
fn pieces(nest: &LoopNest, plan: &Plan) -> Option<Pieces> {
    if plan.time < LONG || plan.parts() >= PARTS {
        return None;
    }
    let loops = &nest.passes[0].loops;
    let most = if plan.blocked { PARTS } else { PIECES };
    let wanted = ((plan.time / PIECE) as usize).clamp(2, most);
    let longest = (0..loops.len()).rev().max_by_key(|i| loops[*i])?;
    let of = loops.iter().position(|n| *n >= wanted * GRAIN).unwrap_or(longest);
    let grain = match of + 1 == loops.len() {
        true if plan.blocked => plan::BLOCKED,
        true => GRAIN,
        false => 1,
    };
    let len = (loops[of] / wanted / grain).max(1) * grain;
    let count = loops[of] / len;
    (count > 1).then_some(Pieces { of, count, len })
}

/// Divides the first pass, whose accumulators have those types.
fn divide(kernel: &Kernel, nest: &LoopNest, dtypes: &[Dtype], pieces: &Pieces) -> Two {
    let Pieces { of, count: pieces, len } = *pieces;
    let pass = &nest.passes[0];
    let (rank, points) = (nest.domain.len(), nest.domain.iter().product::<usize>());
    // What the pieces come to lies piece by piece, the domain's points in order in each.
    let mut dense: SmallVec<[usize; 4]> = SmallVec::from_elem(0, rank);
    let mut size = 1;
    for axis in (0..rank).rev() {
        dense[axis] = size;
        size *= nest.domain[axis];
    }
    let partial =
        |written: bool| dtypes.iter().map(move |dtype| Operand { dtype: *dtype, len: pieces * points, written });
    let (base, count) = (kernel.operands.len(), pass.accs.len());

    let mut of_pieces = pass.clone();
    let used = only_used(&mut of_pieces);
    of_pieces.loops[of] = len;
    normal::walks(&mut of_pieces).for_each(|walk| walk.cut(rank + of, len));
    let kept = (0..count).map(|i| Store {
        operand: used.len() + i,
        index: Affine { offset: 0, strides: [points].iter().chain(&dense).copied().collect() },
        value: ValueId::from(pass.insts.len() + i),
    });
    let keep = Pass { stores: kept.collect(), ..Pass::default() };
    let reads = used.iter().map(|operand| kernel.operands[*operand].clone());
    let first = Kernel {
        name: format!("{}_pieces", kernel.name),
        operands: reads.chain(partial(true)).collect(),
        body: Body::Loops(LoopNest {
            domain: [pieces].iter().chain(&nest.domain).copied().collect(),
            passes: vec![of_pieces, keep],
        }),
        numerics: kernel.numerics,
    };

    let mut passes = vec![Pass {
        loops: vec![pieces],
        insts: (0..count)
            .map(|i| Inst::Load {
                operand: base + i,
                index: Affine { offset: 0, strides: dense.iter().copied().chain([points]).collect() },
            })
            .collect(),
        accs: (pass.accs.iter().enumerate()).map(|(i, acc)| Acc { kind: acc.kind, value: ValueId::from(i) }).collect(),
        stores: Vec::new(),
    }];
    // Where the results of the first pass are now, and how far later values have moved.
    let mut results = count;
    let mut next = 2 * count;
    let rest = pass.loops[of] - pieces * len;
    if rest > 0 {
        let mut left_over = pass.clone();
        left_over.loops[of] = rest;
        normal::walks(&mut left_over).for_each(|mut walk| walk.advance(rank + of, pieces * len));
        renumber(&mut left_over, |value| value + next);
        let sums = next + pass.insts.len();
        let join = |(i, acc): (usize, &Acc)| {
            Inst::Binary(unroll::joining(acc.kind), ValueId::from(results + i), ValueId::from(sums + i))
        };
        let joined = Pass { insts: pass.accs.iter().enumerate().map(join).collect(), ..Pass::default() };
        passes.extend([left_over, joined]);
        results = sums + count;
        next = results + count;
    }
    let before = pass.insts.len();
    let after = before + count;
    for pass in &nest.passes[1..] {
        let mut pass = pass.clone();
        renumber(&mut pass, |value| if value < after { value - before + results } else { value - after + next });
        passes.push(pass);
    }
    let second = Kernel {
        name: kernel.name.clone(),
        operands: kernel.operands.iter().cloned().chain(partial(false)).collect(),
        body: Body::Loops(LoopNest { domain: nest.domain.clone(), passes }),
        numerics: kernel.numerics,
    };
    Two { first, used, second }
}

/// A product of matrices is cut if it takes long, in ns, its strips are few, and pieces of the summed
/// axis are long enough to make up for adding what they come to.
const LONG_PRODUCT: f64 = 40_000.0;
const STRIPS: usize = 8;
const SHORTEST: usize = 512;

/// The pieces of a contraction's summed axis; `None` if it needs none.
fn pieces_of_product(contract: &Contract) -> Option<Pieces> {
    let products = Products::new(contract.clone());
    if products.time < LONG_PRODUCT || products.strips * products.batch >= STRIPS {
        return None;
    }
    let wanted = ((2.0 * products.time / LONG_PRODUCT) as usize).min(contract.k / SHORTEST).min(2 * STRIPS);
    (wanted > 1).then(|| Pieces { of: 0, count: wanted, len: contract.k / wanted })
}

/// Divides the summed axis of a contraction.
fn divide_product(kernel: &Kernel, contract: &Contract, pieces: &Pieces) -> Two {
    let Pieces { count, len, .. } = *pieces;
    let (a, b, c) = (&contract.a, &contract.b, &contract.c);
    let mut size = contract.m * contract.n;
    let mut dense: SmallVec<[usize; 4]> = SmallVec::new();
    for extent in contract.batch.iter().rev() {
        dense.insert(0, size);
        size *= extent;
    }
    let partial = |written: bool| Operand { dtype: contract.dtype, len: count * size, written };
    let used: Vec<usize> = if a.operand == b.operand { vec![a.operand] } else { vec![a.operand, b.operand] };
    let of_pieces = |matrix: &Matrix, step: usize, operand: usize| Matrix {
        operand,
        batch_strides: [step * len].iter().chain(&matrix.batch_strides).copied().collect(),
        ..matrix.clone()
    };
    let first = Kernel {
        name: format!("{}_pieces", kernel.name),
        operands: used.iter().map(|operand| kernel.operands[*operand].clone()).chain([partial(true)]).collect(),
        body: Body::Contract(Contract {
            batch: [count].iter().chain(&contract.batch).copied().collect(),
            k: len,
            a: of_pieces(a, a.column, 0),
            b: of_pieces(b, b.row, used.len() - 1),
            c: Matrix {
                operand: used.len(),
                offset: 0,
                batch_strides: [size].iter().chain(&dense).copied().collect(),
                row: contract.n,
                column: 1,
            },
            ..contract.clone()
        }),
        numerics: kernel.numerics,
    };

    let value = ValueId::from;
    let at = [&dense[..], &[contract.n, 1, size]].concat();
    let load = Inst::Load { operand: kernel.operands.len(), index: Affine { offset: 0, strides: at.into() } };
    let sum = Acc { kind: Reduce::Sum, value: value(0) };
    let mut passes = vec![Pass { loops: vec![count], insts: vec![load], accs: vec![sum], stores: Vec::new() }];
    let from = count * len;
    let rest = contract::loop_nest(&Contract {
        k: contract.k - from,
        a: Matrix { offset: a.offset + a.column * from, ..a.clone() },
        b: Matrix { offset: b.offset + b.row * from, ..b.clone() },
        c: c.clone(),
        ..contract.clone()
    });
    // What is left over is a sum, or zero if that is nothing, and a store of it.
    let mut after = rest.passes;
    after.iter_mut().for_each(|pass| renumber(pass, |value| value + 2));
    let last = after.last_mut().expect("it is stored");
    let left_over = last.stores[0].value;
    last.stores[0].value = value(left_over.index() + 1);
    last.insts.push(Inst::Binary(Binary::Add, value(1), left_over));
    passes.extend(after);
    let second = Kernel {
        name: kernel.name.clone(),
        operands: kernel.operands.iter().cloned().chain([partial(false)]).collect(),
        body: Body::Loops(LoopNest { domain: rest.domain, passes }),
        numerics: kernel.numerics,
    };
    Two { first, used, second }
}

/// Numbers the operands a pass loads from 0 on; returns which they were.
fn only_used(pass: &mut Pass) -> Vec<usize> {
    let mut used = Vec::new();
    for inst in &mut pass.insts {
        if let Inst::Load { operand, .. } | Inst::LoadWithin { operand, .. } = inst {
            let at = used.iter().position(|u| u == operand).unwrap_or_else(|| {
                used.push(*operand);
                used.len() - 1
            });
            *operand = at;
        }
    }
    used
}
