//! From the number of a point to the elements it reads and writes.

use super::{Emitter, built};
use egrad_ir::kernel::{Affine, Inst, LoopNest};
use hashbrown::HashMap;
use rspirv::spirv::Word;

/// A loop nest's domain with fewer axes: those of extent 1 are gone, and neighbours that every
/// index steps through as through one axis are one.
#[derive(Debug, PartialEq)]
pub(super) struct Domain {
    axes: Vec<Axis>,
    /// Indices already computed, by offset and strides of `axes`.
    known: HashMap<(usize, Vec<usize>), Word>,
}

#[derive(Debug, PartialEq)]
struct Axis {
    extent: usize,
    /// The axis of the loop nest whose stride is this axis's: the innermost of those merged.
    axis: usize,
    /// Its index at the point, once it was needed.
    id: Option<Word>,
}

/// Every index of the loop nest.
pub(super) fn affines(nest: &LoopNest) -> impl Iterator<Item = &Affine> {
    nest.passes.iter().flat_map(|pass| {
        let of_inst = |inst| match inst {
            &Inst::Index(ref index) | &Inst::Load { ref index, .. } => Some(index),
            Inst::LoadWithin { .. }
            | Inst::Within(_)
            | Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => None,
        };
        pass.insts.iter().filter_map(of_inst).chain(pass.stores.iter().map(|s| &s.index))
    })
}

/// The stride along an axis; 0 where none is given.
fn stride(affine: &Affine, axis: usize) -> usize {
    affine.strides.get(axis).copied().unwrap_or(0)
}

impl Domain {
    pub(super) fn new(nest: &LoopNest) -> Domain {
        let mut axes: Vec<Axis> = Vec::new();
        for (axis, extent) in nest.domain.iter().copied().enumerate().filter(|(_, e)| *e != 1) {
            match axes.last_mut() {
                Some(outer) if affines(nest).all(|a| stride(a, outer.axis) == stride(a, axis) * extent) => {
                    *outer = Axis { extent: outer.extent * extent, axis, id: None };
                }
                _ => axes.push(Axis { extent, axis, id: None }),
            }
        }
        Domain { axes, known: HashMap::new() }
    }

    /// How many points there are.
    pub(super) fn points(&self) -> u64 {
        self.axes.iter().map(|a| a.extent as u64).product()
    }

    /// Sets the point that indices are computed for.
    pub(super) fn begin(&mut self, e: &mut Emitter, point: Word) {
        let u32 = e.types.u32;
        let mut rest = point;
        for (i, axis) in self.axes.iter_mut().enumerate().rev() {
            if i == 0 {
                axis.id = Some(rest);
            } else {
                let extent = e.u32(axis.extent as u32);
                axis.id = Some(built(e.b.u_mod(u32, None, rest, extent)));
                rest = built(e.b.u_div(u32, None, rest, extent));
            }
        }
    }

    /// The index at the point.
    pub(super) fn index(&mut self, e: &mut Emitter, affine: &Affine) -> Word {
        let strides: Vec<usize> = self.axes.iter().map(|a| stride(affine, a.axis)).collect();
        let key = (affine.offset, strides);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let u32 = e.types.u32;
        let mut sum = (affine.offset != 0).then(|| e.u32(affine.offset as u32));
        for (axis, stride) in self.axes.iter().zip(&key.1).filter(|(_, s)| **s != 0) {
            let id = axis.id.expect("`begin` set every axis");
            let term = if *stride == 1 {
                id
            } else {
                let stride = e.u32(*stride as u32);
                built(e.b.i_mul(u32, None, id, stride))
            };
            sum = Some(match sum {
                None => term,
                Some(sum) => built(e.b.i_add(u32, None, sum, term)),
            });
        }
        let id = sum.unwrap_or_else(|| e.u32(0));
        self.known.insert(key, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egrad_ir::kernel::Pass;

    /// Coalesces a domain in which these indices are loaded; expects `(extent, axis)` of each axis.
    #[track_caller]
    fn check(domain: &[usize], strides: &[&[usize]], expect: &[(usize, usize)]) {
        let index = |s: &&[usize]| Inst::Index(Affine { offset: 3, strides: (*s).into() });
        let pass = Pass { insts: strides.iter().map(index).collect(), ..Pass::default() };
        let nest = LoopNest { domain: domain.into(), passes: vec![pass] };
        let axes = Domain::new(&nest).axes;
        assert_eq!(axes.iter().map(|a| (a.extent, a.axis)).collect::<Vec<_>>(), expect);
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
