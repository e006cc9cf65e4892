//! Loop nests with instructions for several indices at once, so that these share what they can.
//!
//! Rows that are read once and reduced are taken several *abreast*. One row is one stream of memory,
//! which keeps too few of the processor's loads under way; and what all rows are multiplied by is
//! loaded once for them. Points are, where they share what is loaded lane by lane.
//!
//! ```text
//! parallel p0 in 0..2048
//!   for r0 in 0..2048     %3 = reduce_sum over (load b0[2048*p0 + r0] · load b1[r0])
//!   once                  store b2[p0] = %3
//!
//! parallel p0 in 0..512
//!   for r0 in 0..2048     %1 = load b1[r0]
//!                         %9 = reduce_sum over (load b0[8192*p0 + r0] · %1)
//!                         %10 = reduce_sum over (load b0[8192*p0 + r0 + 2048] · %1)
//!                         …
//!   once                  store b2[4*p0] = %9, store b2[4*p0 + 1] = %10, …
//! ```
//!
//! Loops of a few steps go altogether, and with them what they carry; what doesn't depend on the
//! points around is then computed outside of them.

use crate::normal::{self, Walk, renumber};
use crate::plan;
use egrad_ir::kernel::{Acc, Inst, Kernel, LoopNest, Pass, Store, ValueId};
use egrad_ir::{Binary, Reduce};
use std::ops::Range;

/// Which instructions come first.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Order {
    /// The same of all copies.
    Interleaved,
    /// All of one copy.
    ByCopy,
}

/// The nest with `rows` neighbouring points of a domain axis as one; its extent is a multiple of that.
pub(crate) fn abreast(kernel: &Kernel, nest: &LoopNest, axis: usize, rows: usize, order: Order) -> LoopNest {
    let mut out = LoopNest { domain: nest.domain.clone(), passes: Vec::with_capacity(nest.passes.len()) };
    out.domain[axis] /= rows;
    let mut copies = Copies { kernel, of: vec![Vec::new(); rows], next: 0 };
    let at = |mut walk: Walk<'_>, row: usize| {
        walk.advance(axis, row);
        walk.widen(axis, rows);
    };
    for pass in &nest.passes {
        let insts = copies.insts(pass, axis..axis + 1, order, &at);
        let stores = copies.stores(pass, &at);
        let mut accs = Vec::with_capacity(rows * pass.accs.len());
        for acc in &pass.accs {
            for of in &mut copies.of {
                accs.push(Acc { kind: acc.kind, value: ValueId::from(of[acc.value.index()]) });
                of.push(copies.next);
                copies.next += 1;
            }
        }
        out.passes.push(Pass { loops: pass.loops.clone(), insts, accs, stores });
    }
    out
}

/// The nest without its loops of up to `most` steps, but for those in place; any order of a reduction will do.
pub(crate) fn unrolled(kernel: &Kernel, nest: &LoopNest, most: usize) -> LoopNest {
    let rank = nest.domain.len();
    let mut out = LoopNest { domain: nest.domain.clone(), passes: Vec::with_capacity(nest.passes.len()) };
    let mut copies = Copies { kernel, of: vec![Vec::new()], next: 0 };
    for pass in &nest.passes {
        let steps: usize = pass.loops.iter().product();
        // What a step stores the next one may load.
        let short = pass.loops.is_empty() || ((1..=most).contains(&steps) && !plan::in_place(pass));
        let count = if short { steps } else { 1 };
        copies.of = vec![copies.of.swap_remove(0); count];
        let at = |mut walk: Walk<'_>, step: usize| {
            let mut rest = step;
            for (i, extent) in pass.loops.iter().enumerate().rev().filter(|_| short) {
                walk.advance(rank + i, rest % extent);
                walk.remove(rank + i);
                rest /= extent;
            }
        };
        let mut insts = copies.insts(pass, rank..rank + pass.loops.len(), Order::ByCopy, &at);
        let stores = copies.stores(pass, &at);
        let mut accs = Vec::new();
        for acc in &pass.accs {
            let mut values = copies.of.iter().map(|of| of[acc.value.index()]);
            let first = values.next().unwrap_or_default();
            let value = if short {
                let before = insts.len();
                let joined = values.fold(first, |so_far, value| {
                    insts.push(Inst::Binary(joining(acc.kind), ValueId::from(so_far), ValueId::from(value)));
                    copies.next + insts.len() - before - 1
                });
                copies.next += insts.len() - before;
                joined
            } else {
                accs.push(Acc { kind: acc.kind, value: ValueId::from(first) });
                copies.next += 1;
                copies.next - 1
            };
            copies.of[0].push(value);
        }
        let loops = if short { Vec::new() } else { pass.loops.clone() };
        out.passes.push(Pass { loops, insts, accs, stores });
    }
    out
}

/// What joins the parts of a reduction.
pub(crate) fn joining(kind: Reduce) -> Binary {
    match kind {
        Reduce::Sum => Binary::Add,
        Reduce::Max => Binary::Max,
        Reduce::Prod => Binary::Mul,
    }
}

/// Instructions copied for several indices.
struct Copies<'k> {
    kernel: &'k Kernel,
    /// Per copy the numbers that the values get.
    of: Vec<Vec<usize>>,
    next: usize,
}

impl Copies<'_> {
    /// The instructions of a pass, those that are the same at all indices of `axes` once. `at` moves
    /// a copy's walks to its index.
    fn insts(&mut self, pass: &Pass, axes: Range<usize>, order: Order, at: &impl Fn(Walk<'_>, usize)) -> Vec<Inst> {
        let (first, copies, count) = (self.of[0].len(), self.of.len(), pass.insts.len());
        let mut differs: Vec<bool> = (0..first).map(|v| self.of.iter().any(|of| of[v] != self.of[0][v])).collect();
        for inst in &pass.insts {
            let own = self.depends(inst, axes.clone()) || inst.args().iter().any(|arg| differs[arg.index()]);
            differs.push(own);
        }
        let all: Vec<(usize, usize)> = match order {
            Order::Interleaved => (0..count).flat_map(|i| (0..copies).map(move |copy| (copy, i))).collect(),
            Order::ByCopy => (0..copies).flat_map(|copy| (0..count).map(move |i| (copy, i))).collect(),
        };
        let wanted: Vec<(usize, usize)> =
            all.into_iter().filter(|(copy, i)| *copy == 0 || differs[first + i]).collect();
        self.of.iter_mut().for_each(|of| of.resize(first + count, 0));
        for (copy, i) in &wanted {
            for (c, of) in self.of.iter_mut().enumerate() {
                if c == *copy || !differs[first + i] {
                    of[first + i] = self.next;
                }
            }
            self.next += 1;
        }
        let copied = |(copy, i): (usize, usize)| {
            let one = Pass { insts: vec![pass.insts[i].clone()], ..Pass::default() };
            self.moved(one, copy, at).insts
        };
        wanted.into_iter().flat_map(copied).collect()
    }

    /// The stores of a pass, of all copies.
    fn stores(&self, pass: &Pass, at: &impl Fn(Walk<'_>, usize)) -> Vec<Store> {
        let of_copy = |copy| self.moved(Pass { stores: pass.stores.clone(), ..Pass::default() }, copy, at).stores;
        (0..self.of.len()).flat_map(of_copy).collect()
    }

    fn moved(&self, mut pass: Pass, copy: usize, at: &impl Fn(Walk<'_>, usize)) -> Pass {
        normal::walks(&mut pass).for_each(|walk| at(walk, copy));
        renumber(&mut pass, |value| self.of[copy][value]);
        pass
    }

    /// Whether an instruction may give something else at another index of `axes`, its operands aside.
    fn depends(&self, inst: &Inst, axes: Range<usize>) -> bool {
        let written = |operand: &usize| self.kernel.operands[*operand].written;
        let along = |strides: &[isize]| strides[axes.clone()].iter().any(|s| *s != 0);
        let index = |strides: &[usize]| strides[axes.clone()].iter().any(|s| *s != 0);
        match inst {
            Inst::Index(i) => index(&i.strides),
            Inst::Load { operand, index: i } => index(&i.strides) || written(operand),
            Inst::LoadWithin { operand, index: i, along: positions } => {
                index(&i.strides) || written(operand) || positions.iter().any(|a| along(&a.strides))
            }
            Inst::Within(positions) => positions.iter().any(|a| along(&a.strides)),
            Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, abreast, unrolled};
    use egrad_ir::Array;
    use egrad_ir::kernel::{Body, Kernel, LoopNest};
    use egrad_ir::scalar::Elementary;

    /// The changed nest, which must compute what the kernel does.
    #[track_caller]
    fn check(text: &str, change: impl Fn(&Kernel, &LoopNest) -> LoopNest) -> LoopNest {
        let kernel = Kernel::parse(text).unwrap_or_else(|e| panic!("{e}"));
        let Body::Loops(nest) = &kernel.body else { panic!("a loop nest") };
        let changed = change(&kernel, nest);
        let reads = kernel.operands.iter().filter(|o| !o.written).enumerate();
        let value = |k: usize, i: usize| ((i * i + 5 * k) % 37) as f32;
        let inputs: Vec<Array> =
            reads.map(|(k, o)| Array::from_vec((0..o.len).map(|i| value(k, i)).collect(), [o.len]).unwrap()).collect();
        let inputs: Vec<&Array> = inputs.iter().collect();
        let want = kernel.eval(&inputs, Elementary::Shared).unwrap();
        let got = Kernel { body: Body::Loops(changed.clone()), ..kernel }.eval(&inputs, Elementary::Shared).unwrap();
        assert!(want.iter().flat_map(Array::to_f64).any(|x| x != 0.0));
        let values = |all: &[Array]| all.iter().map(Array::to_f64).collect::<Vec<_>>();
        assert_eq!(values(&got), values(&want));
        changed
    }

    /// A matrix times a vector, plus another, in terms of what a prologue loads.
    const PRODUCT: &str = "kernel k(b0: read f32[96], b1: read f32[12], b2: read f32[8], b3: write f32[8]) fast {
        parallel p0 in 0..8 {
          once {
            %0 = load b2[p0]
          }
          for r0 in 0..12 {
            %1 = load b0[12*p0 + r0]
            %2 = load b1[r0]
            %3 = mul %1 %2
            %4 = reduce_sum %3
          }
          once {
            %5 = add %4 %0
            store b3[p0] = %5
          }
        }
      }";

    #[test]
    fn rows_abreast_share_what_is_the_same_for_all() {
        for order in [Order::Interleaved, Order::ByCopy] {
            for rows in [1, 2, 4, 8] {
                let nest = check(PRODUCT, |kernel, nest| abreast(kernel, nest, 0, rows, order));
                assert_eq!(nest.domain, [8 / rows]);
                let [before, sum, after] = &nest.passes[..] else { panic!("three passes") };
                assert_eq!([before.insts.len(), sum.accs.len(), after.stores.len()], [rows; 3]);
                assert_eq!(sum.insts.len(), 2 * rows + 1);
            }
        }
    }

    /// Distances of points in the plane, two kinds of reductions.
    const DISTANCES: &str = "kernel k(b0: read f32[12], b1: write f32[36]) fast {
        parallel p0 in 0..6, p1 in 0..6 {
          for r0 in 0..2 {
            %0 = load b0[2*p0 + r0]
            %1 = load b0[2*p1 + r0]
            %2 = sub %0 %1
            %3 = mul %2 %2
            %4 = reduce_sum %3
            %5 = reduce_max %2
          }
          once {
            %6 = sub %4 %5
            store b1[p0 + 6*p1] = %6
          }
        }
      }";

    #[test]
    fn short_loops_go() {
        let nest = check(DISTANCES, |kernel, nest| unrolled(kernel, nest, 2));
        assert!(nest.passes.iter().all(|pass| pass.loops.is_empty() && pass.accs.is_empty()));
        assert_eq!(nest.passes[0].insts.len(), 2 * 4 + 2);
        let kept = check(DISTANCES, |kernel, nest| unrolled(kernel, nest, 1));
        assert_eq!(kept.passes[0].loops, [2]);
    }

    #[test]
    fn points_abreast_share_what_they_load() {
        let flat = |kernel: &Kernel, nest: &LoopNest| unrolled(kernel, nest, 4);
        let nest = check(DISTANCES, |kernel, nest| abreast(kernel, &flat(kernel, nest), 0, 3, Order::ByCopy));
        // Both coordinates of the other point once, and for each point its own, two differences,
        // two squares, and what joins them.
        assert_eq!(nest.passes[0].insts.len(), 2 + 3 * (2 + 2 + 2 + 2));
        assert_eq!(nest.passes[1].stores.len(), 3);
    }

    #[test]
    fn stores_in_loops_and_positions_move_along() {
        let text = "kernel k(b0: read f32[24], b1: write f32[24]) fast {
            parallel p0 in 0..4 {
              for r0 in 0..2, r1 in 0..3 {
                %0 = load b0[6*p0 + 3*r0 + r1]
                %1 = index p0 + 2*r1
                %2 = convert f32 %1
                %3 = mul %0 %2
                store b1[6*p0 + 3*r0 + r1] = %3
              }
            }
          }";
        let nest = check(text, |kernel, nest| unrolled(kernel, nest, 6));
        assert_eq!((nest.passes[0].loops.len(), nest.passes[0].stores.len()), (0, 6));
        check(text, |kernel, nest| abreast(kernel, nest, 0, 2, Order::Interleaved));
    }
}
