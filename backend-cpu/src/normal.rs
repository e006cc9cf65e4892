//! Loop nests in normal form: the same computation with as few axes as its accesses allow.
//!
//! Axes of extent 1 go, neighbouring axes that every access walks as one become one (an
//! elementwise kernel of any rank ends with one axis), and the axis that vectors run along can be
//! moved innermost. What comes out is again a loop nest, which the tests check by evaluating both.

use egrad_ir::Numerics;
use egrad_ir::kernel::{Affine, Inst, LoopNest, Pass};
use smallvec::SmallVec;

/// The nest without axes it doesn't need.
pub(crate) fn normalise(nest: &LoopNest, numerics: Numerics) -> LoopNest {
    let mut nest = nest.clone();
    let rank = nest.domain.len();
    for pass in &mut nest.passes {
        let axes = rank + pass.loops.len();
        for index in pass_indices(pass) {
            index.strides.resize(axes, 0);
        }
    }
    drop_unit_axes(&mut nest, numerics);
    coalesce_domain(&mut nest);
    let rank = nest.domain.len();
    for pass in &mut nest.passes {
        coalesce_loops(pass, rank, numerics);
    }
    nest
}

/// Moves a domain axis innermost; points run in any order.
pub(crate) fn make_innermost(nest: &mut LoopNest, axis: usize) {
    let last = nest.domain.len() - 1;
    nest.domain[axis..].rotate_left(1);
    for index in nest.passes.iter_mut().flat_map(pass_indices) {
        index.strides[axis..=last].rotate_left(1);
    }
}

/// Every index a pass makes.
fn pass_indices(pass: &mut Pass) -> impl Iterator<Item = &mut Affine> {
    let loaded = pass.insts.iter_mut().filter_map(|inst| match inst {
        Inst::Index(index) | Inst::Load { index, .. } => Some(index),
        Inst::Literal(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => None,
    });
    loaded.chain(pass.stores.iter_mut().map(|store| &mut store.index))
}

fn drop_unit_axes(nest: &mut LoopNest, numerics: Numerics) {
    let rank = nest.domain.len();
    for pass in &mut nest.passes {
        let mut keep: SmallVec<[bool; 8]> = nest.domain.iter().chain(&pass.loops).map(|n| *n != 1).collect();
        if !pass.accs.is_empty() {
            let innermost = keep.len() - 1;
            // A reduction needs a loop, and in strict mode its innermost one decides the lanes.
            keep[innermost] |= numerics == Numerics::Strict || keep[rank..].iter().all(|k| !k);
        }
        for index in pass_indices(pass) {
            retain(&mut index.strides, &keep);
        }
        let mut kept = keep[rank..].iter();
        pass.loops.retain(|_| *kept.next().expect("one per loop"));
    }
    nest.domain.retain(|n| *n != 1);
}

fn coalesce_domain(nest: &mut LoopNest) {
    let mut axis = nest.domain.len();
    while axis > 1 {
        axis -= 1;
        let inner = nest.domain[axis];
        let one = nest.passes.iter_mut().flat_map(pass_indices).all(|i| as_one(&i.strides, axis, inner));
        if one {
            for index in nest.passes.iter_mut().flat_map(pass_indices) {
                index.strides.remove(axis - 1);
            }
            nest.domain.remove(axis);
            nest.domain[axis - 1] *= inner;
        }
    }
}

fn coalesce_loops(pass: &mut Pass, rank: usize, numerics: Numerics) {
    let mut at = pass.loops.len();
    while at > 1 {
        at -= 1;
        let inner = pass.loops[at];
        let innermost = at == pass.loops.len() - 1;
        // The lanes of a strict reduction count along the innermost loop.
        let kept = pass.accs.is_empty()
            || numerics == Numerics::Fast
            || !innermost
            || inner.is_multiple_of(egrad_ir::scalar::LANES);
        if kept && pass_indices(pass).all(|i| as_one(&i.strides, rank + at, inner)) {
            for index in pass_indices(pass) {
                index.strides.remove(rank + at - 1);
            }
            pass.loops.remove(at);
            pass.loops[at - 1] *= inner;
        }
    }
}

/// Whether an access walks `axis` (of extent `inner`) and the axis around it as one.
fn as_one(strides: &[usize], axis: usize, inner: usize) -> bool {
    strides[axis - 1] == strides[axis] * inner
}

fn retain(strides: &mut SmallVec<[usize; 4]>, keep: &[bool]) {
    let mut kept = keep.iter();
    strides.retain(|_| *kept.next().expect("one per axis"));
}
