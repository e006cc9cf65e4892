//! Loop nests: a team of invocations for each point of the domain.
//!
//! ```text
//! point = group * teams + team
//! if point < points {
//!   for i in member.. step members { load …; compute …; store …; accumulate }
//!   combine what the members accumulated
//!   …                                     the next pass; once-passes in all members, stored by one
//! }
//! ```
//!
//! Barriers are met by the whole workgroup: where there are some and a workgroup has several teams,
//! of which the last ones may have no point, the condition is around each pass instead, and what
//! later passes use is carried out of it.

use super::control::Shares;
use super::index::{Axes, Indices, Place, affines, steps, wrapping};
use super::team::{Team, exceeds_subgroup, operation};
use super::{Emitter, Grid, Value, built};
use crate::device::Caps;
use crate::spread::across;
use egrad_ir::kernel::{Acc, Affine, Along, Inst, Kernel, LoopNest, Pass, ValueId};
use egrad_ir::op::{Binary, Reduce};
use egrad_ir::{Dtype, Literal, Result, scalar};
use rspirv::spirv::{Decoration, Word};

/// The function of a loop nest.
pub(super) fn emit(e: &mut Emitter, kernel: &Kernel, nest: &LoopNest, lanes: u32, caps: &Caps) -> Result<Grid> {
    let dtypes = nest.dtypes(&kernel.operands)?;
    let teams = caps.workgroup / lanes;
    // Neighbouring invocations are at neighbouring elements: members of a team, or teams.
    let stride = if across(nest) { teams } else { 1 };
    let combines = lanes > 1 && nest.passes.iter().any(|p| !p.accs.is_empty());
    let subgroup = caps.subgroup.filter(|size| combines && stride < *size);
    let waits = if lanes > 1 { waits(kernel, nest) } else { vec![false; nest.passes.len()] };
    let barriers = waits.contains(&true) || (combines && exceeds_subgroup(lanes * stride, subgroup));
    if waits.contains(&true) {
        e.coherent(kernel, nest);
    }
    let entry = e.enter(subgroup);

    let (u32, boolean) = (e.types.u32, e.types.boolean);
    let many = e.u32(teams);
    let first = built(e.b.i_mul(u32, None, entry.group, many));
    let (within, member) = match (lanes, stride) {
        (1, _) => (entry.invocation, e.u32(0)),
        (_, 1) => e.div_rem(entry.invocation, lanes as usize),
        _ => {
            let (member, within) = e.div_rem(entry.invocation, teams as usize);
            (within, member)
        }
    };
    let team = Team::new(lanes, stride, caps.workgroup, subgroup, entry.invocation, member);
    let number = built(e.b.i_add(u32, None, first, within));
    let inside = built(e.b.u_less_than(boolean, None, number, entry.points));
    let domain = Axes::domain(nest);
    let points = domain.points();
    let mut n = Nest {
        nest,
        team,
        domain,
        dtypes,
        point: Vec::new(),
        indices: Indices::default(),
        values: Vec::new(),
        last_use: last_uses(nest),
    };
    if barriers && teams > 1 {
        n.point = n.domain.split(e, number);
        for (at, wait) in waits.into_iter().enumerate() {
            if wait {
                e.barrier(Shares::Buffers);
            }
            let (first, mark) = (n.values.len(), n.indices.mark());
            let only = e.only(inside);
            let mut sums = n.pass(e, at);
            n.indices.forget(mark);
            let later = n.values[first..].iter_mut().zip(&n.last_use[first..]);
            let later = later.filter(|(_, last)| nest.passes[at].loops.is_empty() && last.is_some_and(|l| l > at));
            let mut carried: Vec<&mut Value> = later.map(|(v, _)| v).chain(&mut sums).collect();
            e.everywhere(only, &mut carried);
            n.combine(e, at, sums);
        }
    } else {
        let only = e.only(inside);
        n.point = n.domain.split(e, number);
        for (at, wait) in waits.into_iter().enumerate() {
            if wait {
                e.barrier(Shares::Buffers);
            }
            let sums = n.pass(e, at);
            n.combine(e, at, sums);
        }
        e.everywhere(only, &mut []);
    }
    e.leave(entry);
    Ok(Grid { points, per_group: teams, workgroup: caps.workgroup, subgroup })
}

/// Before which passes the team waits: those that load or store what another member may have
/// stored, or store what another may have to load yet.
fn waits(kernel: &Kernel, nest: &LoopNest) -> Vec<bool> {
    let (mut loaded, mut stored) = (vec![false; kernel.operands.len()], vec![false; kernel.operands.len()]);
    let mut waits = Vec::new();
    for pass in &nest.passes {
        let loads = || loads(pass).filter(|o| kernel.operands[*o].written);
        let stores = || pass.stores.iter().map(|s| s.operand);
        let wait = loads().any(|o| stored[o]) || stores().any(|o| stored[o] || loaded[o]);
        if wait {
            loaded.fill(false);
            stored.fill(false);
        }
        loads().for_each(|o| loaded[o] = true);
        stores().for_each(|o| stored[o] = true);
        waits.push(wait);
    }
    waits
}

/// The operands a pass loads.
fn loads(pass: &Pass) -> impl Iterator<Item = usize> {
    pass.insts.iter().filter_map(|inst| match inst {
        Inst::Load { operand, .. } | Inst::LoadWithin { operand, .. } => Some(*operand),
        Inst::Within(_)
        | Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => None,
    })
}

/// Per value the last pass that uses it.
fn last_uses(nest: &LoopNest) -> Vec<Option<usize>> {
    let count = nest.passes.iter().map(|p| p.insts.len() + p.accs.len()).sum();
    let mut last = vec![None; count];
    for (at, pass) in nest.passes.iter().enumerate() {
        let insts = pass.insts.iter().flat_map(Inst::args);
        for value in insts.chain(pass.accs.iter().map(|a| a.value)).chain(pass.stores.iter().map(|s| s.value)) {
            last[value.index()] = Some(at);
        }
    }
    last
}

impl Emitter {
    /// Lets what one invocation writes be read by others, for operands that are written and loaded.
    fn coherent(&mut self, kernel: &Kernel, nest: &LoopNest) {
        for (at, operand) in kernel.operands.iter().enumerate() {
            if operand.written && nest.passes.iter().flat_map(loads).any(|o| o == at) {
                self.b.decorate(self.buffers[at].variable, Decoration::Coherent, []);
            }
        }
    }
}

/// A loop of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Over a whole axis.
    Axis(usize),
    /// Over an axis in blocks of that many iterations of each member.
    Blocks(usize, usize),
    /// Over such a block.
    Within(usize, usize),
}

/// The loops of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Levels {
    all: Vec<Level>,
    /// From which loop on accumulators start anew, to be combined with the outer ones where it ends.
    anew: Option<usize>,
}

/// Loops over axes of these extents, of `lanes` members each.
///
/// A sum of many terms one after the other rounds as many times. Eight lanes, which the CPU has,
/// round an eighth as often; so does a member here, if there are eight. Fewer members sum blocks of
/// about √n terms, and those sums: twice √n roundings.
fn levels(extents: &[usize], lanes: usize, sums: bool) -> Levels {
    const FEW: usize = 32;
    let axes = 0..extents.len();
    let terms = extents.iter().product::<usize>().div_ceil(lanes);
    if !sums || lanes >= scalar::LANES || terms < FEW {
        return Levels { all: axes.map(Level::Axis).collect(), anew: None };
    }
    let target = 1 << terms.ilog2().div_ceil(2);
    let mut inner = 1;
    let mut all = Vec::new();
    let mut anew = None;
    for axis in axes.rev() {
        let extent = extents[axis].div_ceil(lanes);
        let block = target / inner;
        if anew.is_some() || extent <= block {
            all.insert(0, Level::Axis(axis));
            inner *= extent;
        } else if block >= 2 {
            all.splice(0..0, [Level::Blocks(axis, block), Level::Within(axis, block)]);
            anew = Some(all.len() - 1);
        } else {
            anew = Some(all.len());
            all.insert(0, Level::Axis(axis));
        }
    }
    // Counted from the innermost loop on so far.
    Levels { anew: anew.map(|from_inner| all.len() - from_inner), all }
}

/// The loops of a pass, being emitted.
struct Looping<'a> {
    pass: &'a Pass,
    axes: Axes,
    /// Of `axes`; for several members, of all of them as one.
    extents: Vec<usize>,
    levels: Levels,
    /// Per extent the index of the loop over it.
    ids: Vec<Word>,
    /// What accumulators start from.
    start: Vec<Value>,
}

struct Nest<'a> {
    nest: &'a LoopNest,
    team: Team,
    domain: Axes,
    /// Of every value.
    dtypes: Vec<Dtype>,
    /// The point's index along each axis of the domain.
    point: Vec<Word>,
    indices: Indices,
    /// Per [`ValueId`]; those of other passes' loops are not to be used.
    values: Vec<Value>,
    last_use: Vec<Option<usize>>,
}

impl Nest<'_> {
    /// A pass; what this invocation accumulated.
    fn pass(&mut self, e: &mut Emitter, at: usize) -> Vec<Value> {
        let pass = &self.nest.passes[at];
        if !pass.loops.is_empty() {
            return self.loops(e, pass);
        }
        self.insts(e, pass, None);
        if pass.stores.is_empty() {
            return Vec::new();
        }
        if self.team.lanes == 1 {
            self.stores(e, pass, None);
        } else {
            let (boolean, zero, mark) = (e.types.boolean, e.u32(0), self.indices.mark());
            let one = built(e.b.i_equal(boolean, None, self.team.member, zero));
            let only = e.only(one);
            self.stores(e, pass, None);
            e.everywhere(only, &mut []);
            self.indices.forget(mark);
        }
        Vec::new()
    }

    /// The results of a pass's accumulators, from what each member accumulated.
    fn combine(&mut self, e: &mut Emitter, at: usize, mut sums: Vec<Value>) {
        if self.team.lanes > 1 {
            let kinds: Vec<Reduce> = self.nest.passes[at].accs.iter().map(|a| a.kind).collect();
            self.team.combine(e, &kinds, &mut sums);
        }
        self.values.extend(sums);
    }

    fn loops(&mut self, e: &mut Emitter, pass: &Pass) -> Vec<Value> {
        let axes = Axes::loops(pass, self.nest.domain.len());
        let identity = |acc: &Acc| scalar::identity(acc.kind, self.dtypes[acc.value.index()]);
        let start: Vec<Value> =
            pass.accs.iter().map(|a| e.literal(identity(a).expect("the verifier lets no bool be reduced"))).collect();
        // What iterations share is computed before them.
        for affine in affines(pass) {
            self.indices.point(e, &affine, Place { axes: &self.domain, ids: &self.point });
        }
        let sums = pass.accs.iter().zip(&start).any(|(a, v)| a.kind == Reduce::Sum && v.dtype.is_float());
        let lanes = self.team.lanes as usize;
        let extents = if lanes == 1 { axes.extents() } else { vec![axes.points() as usize] };
        let levels = levels(&extents, lanes, sums);
        let ids = vec![0; extents.len()];
        let mut looping = Looping { pass, axes, extents, levels, ids, start: start.clone() };
        self.level(e, &mut looping, 0, start)
    }

    fn level(&mut self, e: &mut Emitter, l: &mut Looping<'_>, at: usize, state: Vec<Value>) -> Vec<Value> {
        if l.levels.anew == Some(at) {
            l.levels.anew = None;
            let block = self.level(e, l, at, l.start.clone());
            return self.accumulate(e, l.pass, &state, &block);
        }
        let Some(level) = l.levels.all.get(at).copied() else { return self.iteration(e, l, state) };
        let lanes = self.team.lanes as usize;
        let u32 = e.types.u32;
        let (axis, range) = match level {
            Level::Axis(axis) => (axis, [self.team.member, e.u32(l.extents[axis] as u32), e.u32(self.team.lanes)]),
            Level::Blocks(axis, block) => {
                (axis, [e.u32(0), e.u32(l.extents[axis] as u32), e.u32((block * lanes) as u32)])
            }
            Level::Within(axis, block) => {
                let (length, extent, begin) = (e.u32((block * lanes) as u32), l.extents[axis], l.ids[axis]);
                let mut end = built(e.b.i_add(u32, None, begin, length));
                if !extent.is_multiple_of(block * lanes) {
                    let whole = e.u32(extent as u32);
                    let boolean = e.types.boolean;
                    let before = built(e.b.u_less_than(boolean, None, end, whole));
                    end = built(e.b.select(u32, None, before, end, whole));
                }
                let from = match lanes {
                    1 => begin,
                    _ => built(e.b.i_add(u32, None, begin, self.team.member)),
                };
                (axis, [from, end, e.u32(self.team.lanes)])
            }
        };
        e.repeat(range, state, &mut |e, id, state| {
            l.ids[axis] = id;
            self.level(e, l, at + 1, state)
        })
    }

    /// The instructions of a pass at an iteration.
    fn iteration(&mut self, e: &mut Emitter, l: &Looping<'_>, state: Vec<Value>) -> Vec<Value> {
        let mark = self.indices.mark();
        let ids = match self.team.lanes {
            1 => l.ids.clone(),
            _ => l.axes.split(e, l.ids[0]),
        };
        let place = Place { axes: &l.axes, ids: &ids };
        self.insts(e, l.pass, Some(place));
        self.stores(e, l.pass, Some(place));
        self.indices.forget(mark);
        let elements: Vec<Value> = l.pass.accs.iter().map(|a| self.values[a.value.index()]).collect();
        self.accumulate(e, l.pass, &state, &elements)
    }

    fn accumulate(&mut self, e: &mut Emitter, pass: &Pass, state: &[Value], more: &[Value]) -> Vec<Value> {
        let pairs = pass.accs.iter().zip(state).zip(more);
        pairs.map(|((acc, x), y)| e.binary(operation(acc.kind), *x, *y)).collect()
    }

    fn insts(&mut self, e: &mut Emitter, pass: &Pass, inner: Option<Place<'_>>) {
        for inst in &pass.insts {
            let of = |id: &ValueId| self.values[id.index()];
            let value = match inst {
                Inst::Literal(l) => e.literal(*l),
                Inst::Index(affine) => Value { id: self.index(e, affine, inner), dtype: Dtype::I32 },
                Inst::Load { operand, index } => {
                    let index = self.index(e, index, inner);
                    e.load(*operand, index)
                }
                Inst::LoadWithin { operand, index, along } => {
                    let (inside, positions) = self.positions(e, along, inner);
                    let base = self.index(e, index, inner);
                    self.load_within(e, *operand, base, inside, &positions, along)
                }
                Inst::Within(along) => self.positions(e, along, inner).0,
                Inst::Unary(op, x) => e.unary(*op, of(x)),
                Inst::Binary(op, x, y) => e.binary(*op, of(x), of(y)),
                Inst::Compare(op, x, y) => e.compare(*op, of(x), of(y)),
                Inst::Select(p, x, y) => e.select(of(p), of(x), of(y)),
                Inst::IntegerPow(n, x) => e.integer_pow(*n, of(x)),
                Inst::Convert(to, x) => e.convert(*to, of(x)),
            };
            self.values.push(value);
        }
    }

    /// Positions, and whether all are inside. In 32 bits they wrap around, and lie outside then as
    /// well: the verifier keeps them below 2^30 in size, what is added apart.
    fn positions(&mut self, e: &mut Emitter, along: &[Along], inner: Option<Place<'_>>) -> (Value, Vec<Value>) {
        let (u32, mut all, mut positions) = (e.types.u32, None, Vec::new());
        for a in along {
            let mut id = self.index(e, &wrapping(a), inner);
            if let Some(plus) = a.plus {
                let plus = self.values[plus.index()].id;
                id = built(e.b.i_add(u32, None, id, plus));
            }
            let extent = e.u32(a.extent as u32);
            let inside = e.value(Dtype::Bool, |b, ty| b.u_less_than(ty, None, id, extent));
            all = Some(all.map_or(inside, |all| e.binary(Binary::And, all, inside)));
            positions.push(Value { id, dtype: Dtype::I32 });
        }
        (all.expect("verified: there is a position"), positions)
    }

    /// What lies outside is not read: position 0 is, and its element replaced.
    fn load_within(
        &mut self,
        e: &mut Emitter,
        operand: usize,
        base: Word,
        inside: Value,
        positions: &[Value],
        along: &[Along],
    ) -> Value {
        let start = Value { id: e.u32(0), dtype: Dtype::I32 };
        let mut element = base;
        for (position, a) in positions.iter().zip(along) {
            let position = e.select(inside, *position, start);
            element = steps(e, Some(element), &[a.by], &[position.id]).unwrap_or(element);
        }
        let loaded = e.load(operand, element);
        let nothing = e.literal(Literal::new(loaded.dtype, 0.0));
        e.select(inside, loaded, nothing)
    }

    fn stores(&mut self, e: &mut Emitter, pass: &Pass, inner: Option<Place<'_>>) {
        for store in &pass.stores {
            let index = self.index(e, &store.index, inner);
            e.store(store.operand, index, self.values[store.value.index()]);
        }
    }

    fn index(&mut self, e: &mut Emitter, affine: &Affine, inner: Option<Place<'_>>) -> Word {
        self.indices.at(e, affine, Place { axes: &self.domain, ids: &self.point }, inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Axis, Blocks, Within};

    #[track_caller]
    fn check(extents: &[usize], lanes: usize, expect: &[Level], anew: Option<usize>) {
        assert_eq!(levels(extents, lanes, true), Levels { all: expect.into(), anew });
        let whole = (0..extents.len()).map(Axis).collect();
        assert_eq!(levels(extents, lanes, false), Levels { all: whole, anew: None });
    }

    #[test]
    fn long_sums_are_sums_of_blocks() {
        check(&[], 1, &[], None);
        check(&[31], 1, &[Axis(0)], None);
        check(&[64], 1, &[Blocks(0, 8), Within(0, 8)], Some(1));
        check(&[1000], 1, &[Blocks(0, 32), Within(0, 32)], Some(1));
        check(&[1000], 4, &[Blocks(0, 16), Within(0, 16)], Some(1));
        check(&[1000], 8, &[Axis(0)], None);
        check(&[9, 8], 1, &[Axis(0), Axis(1)], Some(1));
        check(&[500, 3], 1, &[Blocks(0, 10), Within(0, 10), Axis(1)], Some(1));
        check(&[50, 40, 2], 1, &[Axis(0), Blocks(1, 32), Within(1, 32), Axis(2)], Some(2));
        check(&[6, 31, 2], 1, &[Axis(0), Blocks(1, 8), Within(1, 8), Axis(2)], Some(2));
    }
}
