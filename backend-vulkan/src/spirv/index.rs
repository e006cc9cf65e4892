//! From the numbers of points and of loop iterations to the elements they read and write.

use super::{Emitter, built};
use egrad_ir::kernel::{Affine, Along, Inst, LoopNest, Pass};
use hashbrown::HashMap;
use rspirv::spirv::Word;
use std::borrow::Cow;

/// The axes of a domain, or of a pass's loops, with fewer of them: those of extent 1 are gone, and
/// neighbours that every index steps through as through one axis are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes(Vec<Axis>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    extent: usize,
    /// The position of the stride that is this axis's: that of the innermost of those merged.
    position: usize,
}

/// Every index and position of the pass.
pub(super) fn affines(pass: &Pass) -> Vec<Cow<'_, Affine>> {
    let mut all: Vec<Cow<'_, Affine>> = Vec::new();
    for inst in &pass.insts {
        match inst {
            Inst::Index(index) | Inst::Load { index, .. } => all.push(Cow::Borrowed(index)),
            Inst::LoadWithin { index, along, .. } => {
                all.push(Cow::Borrowed(index));
                all.extend(along.iter().map(|a| Cow::Owned(wrapping(a))));
            }
            Inst::Within(along) => all.extend(along.iter().map(|a| Cow::Owned(wrapping(a)))),
            Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => {}
        }
    }
    all.extend(pass.stores.iter().map(|s| Cow::Borrowed(&s.index)));
    all
}

/// A position as an index: negative numbers wrap around, and so does what is computed with them, in
/// 32 bits.
pub(super) fn wrapping(along: &Along) -> Affine {
    Affine { offset: along.offset as usize, strides: along.strides.iter().map(|s| *s as usize).collect() }
}

/// The stride along an axis; 0 where none is given.
fn stride(affine: &Affine, axis: usize) -> usize {
    affine.strides.get(axis).copied().unwrap_or(0)
}

impl Axes {
    /// The domain's.
    pub(super) fn domain(nest: &LoopNest) -> Axes {
        let all: Vec<Cow<'_, Affine>> = nest.passes.iter().flat_map(affines).collect();
        Axes::merged(&nest.domain, 0, &all.iter().map(|a| &**a).collect::<Vec<_>>())
    }

    /// Those of the pass's loops, inside a domain of that many axes.
    pub(super) fn loops(pass: &Pass, domain: usize) -> Axes {
        let all = affines(pass);
        Axes::merged(&pass.loops, domain, &all.iter().map(|a| &**a).collect::<Vec<_>>())
    }

    /// Axes of these extents, whose strides are from `first` on in these indices.
    pub(super) fn merged(extents: &[usize], first: usize, indices: &[&Affine]) -> Axes {
        let mut axes: Vec<Axis> = Vec::new();
        for (i, extent) in extents.iter().copied().enumerate().filter(|(_, e)| *e != 1) {
            let position = first + i;
            match axes.last_mut() {
                Some(outer)
                    if indices
                        .iter()
                        .all(|a| stride(a, outer.position) == stride(a, position).wrapping_mul(extent)) =>
                {
                    *outer = Axis { extent: outer.extent * extent, position };
                }
                _ => axes.push(Axis { extent, position }),
            }
        }
        Axes(axes)
    }

    pub(super) fn extents(&self) -> Vec<usize> {
        self.0.iter().map(|a| a.extent).collect()
    }

    /// How many indices there are.
    pub(super) fn points(&self) -> u64 {
        self.0.iter().map(|a| a.extent as u64).product()
    }

    /// The index along each axis of the point of that number.
    pub(super) fn split(&self, e: &mut Emitter, number: Word) -> Vec<Word> {
        let mut ids = vec![number; self.0.len()];
        let mut rest = number;
        for (i, axis) in self.0.iter().enumerate().skip(1).rev() {
            (rest, ids[i]) = e.div_rem(rest, axis.extent);
            ids[i - 1] = rest;
        }
        ids
    }

    /// The strides of its axes.
    pub(super) fn strides(&self, affine: &Affine) -> Vec<usize> {
        self.0.iter().map(|a| stride(affine, a.position)).collect()
    }
}

/// Indices already computed where the code being emitted can use them.
#[derive(Default)]
pub(super) struct Indices {
    known: HashMap<Key, Word>,
    /// In the order in which they became known.
    order: Vec<Key>,
}

/// Offset, strides of the domain's axes, strides of the loops' axes.
type Key = (usize, Vec<usize>, Vec<usize>);

/// Where an axis's index is at present.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) axes: &'a Axes,
    /// Per axis.
    pub(super) ids: &'a [Word],
}

impl Indices {
    /// How many are known: to [`forget`](Self::forget) those of a block when it ends.
    pub(super) fn mark(&self) -> usize {
        self.order.len()
    }

    pub(super) fn forget(&mut self, mark: usize) {
        for key in self.order.drain(mark..) {
            self.known.remove(&key);
        }
    }

    /// The element of an index at a point of the domain and, inside a pass's loops, an iteration.
    pub(super) fn at(&mut self, e: &mut Emitter, affine: &Affine, point: Place<'_>, inner: Option<Place<'_>>) -> Word {
        let sum = self.point(e, affine, point);
        let Some(inner) = inner else { return sum.unwrap_or_else(|| e.u32(0)) };
        let strides = inner.axes.strides(affine);
        let key = (affine.offset, point.axes.strides(affine), strides.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let sum = steps(e, sum, &strides, inner.ids).unwrap_or_else(|| e.u32(0));
        self.keep(key, sum);
        sum
    }

    /// The part of an index that iterations don't change; `None` if it is 0.
    pub(super) fn point(&mut self, e: &mut Emitter, affine: &Affine, point: Place<'_>) -> Option<Word> {
        let strides = point.axes.strides(affine);
        if affine.offset == 0 && strides.iter().all(|s| *s == 0) {
            return None;
        }
        let key = (affine.offset, strides.clone(), Vec::new());
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let offset = (affine.offset != 0).then(|| e.u32(affine.offset as u32));
        let sum = steps(e, offset, &strides, point.ids)?;
        self.keep(key, sum);
        Some(sum)
    }

    fn keep(&mut self, key: Key, id: Word) {
        self.known.insert(key.clone(), id);
        self.order.push(key);
    }
}

impl Emitter {
    /// Quotient and remainder.
    pub(super) fn div_rem(&mut self, number: Word, by: usize) -> (Word, Word) {
        let u32 = self.types.u32;
        let by = self.u32(by as u32);
        (built(self.b.u_div(u32, None, number, by)), built(self.b.u_mod(u32, None, number, by)))
    }
}

/// `sum + Σ strides[i]·ids[i]`; `None` if there is nothing to add up.
pub(super) fn steps(e: &mut Emitter, mut sum: Option<Word>, strides: &[usize], ids: &[Word]) -> Option<Word> {
    let u32 = e.types.u32;
    for (stride, id) in strides.iter().zip(ids).filter(|(s, _)| **s != 0) {
        let term = if *stride == 1 {
            *id
        } else {
            let stride = e.u32(*stride as u32);
            built(e.b.i_mul(u32, None, *id, stride))
        };
        sum = Some(match sum {
            None => term,
            Some(sum) => built(e.b.i_add(u32, None, sum, term)),
        });
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges the axes of a domain, and of loops inside another one, in which these indices are
    /// made; expects `(extent, position)` of each axis.
    #[track_caller]
    fn check(extents: &[usize], strides: &[&[usize]], expect: &[(usize, usize)]) {
        let index = |s: &[usize]| Inst::Index(Affine { offset: 3, strides: s.into() });
        let pass = Pass { insts: strides.iter().map(|s| index(s)).collect(), ..Pass::default() };
        let nest = LoopNest { domain: extents.into(), passes: vec![pass] };
        let pairs = |axes: Axes| axes.0.iter().map(|a| (a.extent, a.position)).collect::<Vec<_>>();
        assert_eq!(pairs(Axes::domain(&nest)), expect);

        let inner = |s: &[usize]| index(&[&[77, 5], s].concat());
        let pass = Pass { loops: extents.into(), insts: strides.iter().map(|s| inner(s)).collect(), ..Pass::default() };
        let shifted: Vec<_> = expect.iter().map(|(extent, position)| (*extent, position + 2)).collect();
        assert_eq!(pairs(Axes::loops(&pass, 2)), shifted);
    }

    #[test]
    fn neighbours_become_one_axis_where_every_index_allows() {
        check(&[2, 3, 4], &[&[12, 4, 1], &[12, 4, 1]], &[(24, 2)]);
        check(&[2, 3, 4], &[&[12, 4, 1], &[0, 4, 1]], &[(2, 0), (12, 2)]);
        check(&[2, 3, 4], &[&[12, 4, 1], &[0, 0, 1]], &[(6, 1), (4, 2)]);
        check(&[2, 3, 4], &[&[12, 4, 1], &[1, 2, 6]], &[(2, 0), (3, 1), (4, 2)]);
        check(&[2, 1, 4], &[&[4, 9, 1]], &[(8, 2)]);
        check(&[2, 1, 4], &[&[4, 9, 1], &[8, 9, 2]], &[(8, 2)]);
        check(&[1, 1], &[&[4, 9]], &[]);
        check(&[5, 2], &[&[]], &[(10, 1)]);
        check(&[], &[&[]], &[]);
    }
}
