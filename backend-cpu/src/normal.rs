//! Loop nests in normal form: the same computation with as few axes as its accesses allow.
//!
//! Axes of extent 1 go, neighbouring axes that every access walks as one become one (an
//! elementwise kernel of any rank ends with one axis), and the axis that vectors run along can be
//! moved innermost. What comes out is again a loop nest, which the tests check by evaluating both.

use egrad_ir::Numerics;
use egrad_ir::kernel::{Affine, Along, Inst, LoopNest, Pass, ValueId};
use smallvec::SmallVec;

/// The nest without axes it doesn't need.
pub(crate) fn normalise(nest: &LoopNest, numerics: Numerics) -> LoopNest {
    let mut nest = nest.clone();
    let rank = nest.domain.len();
    for pass in &mut nest.passes {
        let axes = rank + pass.loops.len();
        walks(pass).for_each(|walk| walk.resize(axes));
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
    nest.passes.iter_mut().flat_map(walks).for_each(|walk| walk.rotate(axis, last));
}

/// What walks the axes in scope, with one stride per axis.
pub(crate) enum Walk<'a> {
    /// An index.
    Index(&'a mut Affine),
    /// A position that may lie outside.
    Position(&'a mut Along),
}

/// Does the same to the strides of either kind.
macro_rules! strides {
    ($walk:expr, $s:ident => $body:expr) => {
        match $walk {
            Walk::Index(Affine { strides: $s, .. }) => $body,
            Walk::Position(Along { strides: $s, .. }) => $body,
        }
    };
}

impl Walk<'_> {
    fn resize(self, axes: usize) {
        strides!(self, s => s.resize(axes, 0));
    }

    /// Leaves an axis out.
    pub(crate) fn remove(&mut self, axis: usize) {
        strides!(self, s => {
            s.remove(axis);
        });
    }

    fn rotate(self, axis: usize, last: usize) {
        strides!(self, s => s[axis..=last].rotate_left(1));
    }

    fn retain(self, keep: &[bool]) {
        let mut kept = keep.iter();
        strides!(self, s => s.retain(|_| *kept.next().expect("one per axis")));
    }

    /// Whether it walks `axis` (of extent `inner`) and the axis around it as one.
    fn as_one(&self, axis: usize, inner: usize) -> bool {
        match self {
            Walk::Index(Affine { strides, .. }) => strides[axis - 1] == strides[axis] * inner,
            Walk::Position(Along { strides, .. }) => strides[axis - 1] == strides[axis] * inner as isize,
        }
    }

    /// A new outermost axis, each index of which goes so far along `axis`.
    pub(crate) fn cut(self, axis: usize, len: usize) {
        match self {
            Walk::Index(Affine { strides, .. }) => strides.insert(0, strides[axis] * len),
            Walk::Position(Along { strides, .. }) => strides.insert(0, strides[axis] * len as isize),
        }
    }

    /// Makes every step along an axis so many times as wide.
    pub(crate) fn widen(self, axis: usize, times: usize) {
        match self {
            Walk::Index(Affine { strides, .. }) => strides[axis] *= times,
            Walk::Position(Along { strides, .. }) => strides[axis] *= times as isize,
        }
    }

    /// Begins so far along an axis.
    pub(crate) fn advance(&mut self, axis: usize, by: usize) {
        match self {
            Walk::Index(index) => index.offset += index.strides[axis] * by,
            Walk::Position(along) => along.offset += along.strides[axis] * by as isize,
        }
    }
}

/// Every index and position of a pass.
pub(crate) fn walks(pass: &mut Pass) -> impl Iterator<Item = Walk<'_>> {
    let of_inst = |inst| {
        let mut walks: SmallVec<[Walk<'_>; 2]> = SmallVec::new();
        match inst {
            &mut Inst::Index(ref mut index) | &mut Inst::Load { ref mut index, .. } => {
                walks.push(Walk::Index(index));
            }
            Inst::LoadWithin { index, along, .. } => {
                walks.push(Walk::Index(index));
                walks.extend(along.iter_mut().map(Walk::Position));
            }
            Inst::Within(along) => walks.extend(along.iter_mut().map(Walk::Position)),
            Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => {}
        }
        walks
    };
    let stored = pass.stores.iter_mut().map(|store| Walk::Index(&mut store.index));
    pass.insts.iter_mut().flat_map(of_inst).chain(stored)
}

/// Gives the values a pass uses other numbers.
pub(crate) fn renumber(pass: &mut Pass, number: impl Fn(usize) -> usize) {
    let new = |value: &mut ValueId| *value = ValueId::from(number(value.index()));
    for inst in &mut pass.insts {
        match inst {
            Inst::Literal(_) | Inst::Index(_) | Inst::Load { .. } => {}
            Inst::LoadWithin { along, .. } | Inst::Within(along) => {
                along.iter_mut().filter_map(|a| a.plus.as_mut()).for_each(new);
            }
            Inst::Unary(_, x) | Inst::IntegerPow(_, x) | Inst::Convert(_, x) => new(x),
            Inst::Binary(_, x, y) | Inst::Compare(_, x, y) => [x, y].into_iter().for_each(new),
            Inst::Select(p, x, y) => [p, x, y].into_iter().for_each(new),
        }
    }
    pass.accs.iter_mut().for_each(|acc| new(&mut acc.value));
    pass.stores.iter_mut().for_each(|store| new(&mut store.value));
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
        walks(pass).for_each(|walk| walk.retain(&keep));
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
        let one = nest.passes.iter_mut().flat_map(walks).all(|walk| walk.as_one(axis, inner));
        if one {
            nest.passes.iter_mut().flat_map(walks).for_each(|mut walk| walk.remove(axis - 1));
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
        if kept && walks(pass).all(|walk| walk.as_one(rank + at, inner)) {
            walks(pass).for_each(|mut walk| walk.remove(rank + at - 1));
            pass.loops.remove(at);
            pass.loops[at - 1] *= inner;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;
    use egrad_ir::kernel::{Body, Kernel, LoopNest};
    use egrad_ir::{Numerics, scalar::Elementary};

    /// The extents of the normal form's domain and of its first pass's loops; the normal form must
    /// compute what the kernel does.
    #[track_caller]
    fn check(text: &str, numerics: Numerics, domain: &[usize], loops: &[usize]) {
        let kernel = Kernel::parse(text).unwrap_or_else(|e| panic!("{e}"));
        let Body::Loops(nest) = &kernel.body else { panic!("a loop nest") };
        let normal: LoopNest = normalise(nest, numerics);
        assert_eq!((&normal.domain[..], &normal.passes[0].loops[..]), (domain, loops));
        let len = kernel.operands[0].len;
        let x = egrad_ir::Array::from_vec((0..len).map(|i| (i * i % 37) as f32).collect(), [len]).unwrap();
        let want = kernel.eval(&[&x], Elementary::Shared).unwrap();
        let got = Kernel { body: Body::Loops(normal), ..kernel }.eval(&[&x], Elementary::Shared).unwrap();
        assert_eq!(got[0].to_f64(), want[0].to_f64());
    }

    fn elementwise(loaded: &str, stored: &str) -> String {
        format!(
            "kernel k(b0: read f32[60], b1: write f32[60]) fast {{
               parallel p0 in 0..3, p1 in 0..1, p2 in 0..4, p3 in 0..5 {{
                 once {{
                   %0 = load b0[{loaded}]
                   store b1[{stored}] = %0
                 }}
               }}
             }}"
        )
    }

    #[test]
    fn elementwise_kernels_have_one_axis() {
        let dense = "20*p0 + 7*p1 + 5*p2 + p3";
        check(&elementwise(dense, "20*p0 + 5*p2 + p3"), Numerics::Strict, &[60], &[]);
        check(&elementwise("p0 + 15*p2 + 3*p3", "20*p0 + 5*p2 + p3"), Numerics::Fast, &[3, 20], &[]);
        check(&elementwise("20*p0 + p2 + 4*p3", "20*p0 + 5*p2 + p3"), Numerics::Fast, &[3, 4, 5], &[]);
    }

    fn reduction(a: usize, b: usize) -> String {
        format!(
            "kernel k(b0: read f32[{}], b1: write f32[2]) fast {{
               parallel p0 in 0..2 {{
                 for r0 in 0..{a}, r1 in 0..{b} {{
                   %0 = load b0[{}*p0 + {b}*r0 + r1]
                   %1 = reduce_sum %0
                 }}
                 once {{
                   store b1[p0] = %1
                 }}
               }}
             }}",
            2 * a * b,
            a * b
        )
    }

    #[test]
    fn strict_reductions_keep_their_lanes() {
        check(&reduction(3, 5), Numerics::Fast, &[2], &[15]);
        check(&reduction(3, 5), Numerics::Strict, &[2], &[3, 5]);
        check(&reduction(3, 16), Numerics::Strict, &[2], &[48]);
        check(&reduction(9, 1), Numerics::Strict, &[2], &[9, 1]);
        check(&reduction(9, 1), Numerics::Fast, &[2], &[9]);
        check(&reduction(1, 1), Numerics::Fast, &[2], &[1]);
    }
}
