//! What the emitter has to know of a loop nest before it starts: where each value is computed, and
//! along which axis vectors run.

use crate::normal;
use crate::unroll::{self, Order};
use egrad_ir::kernel::{Acc, Affine, Along, Inst, Kernel, LoopNest, Pass, ValueId};
use egrad_ir::math::Elementary;
use egrad_ir::{Binary, Dtype, Numerics, Reduce, Unary, elementary};
use smallvec::SmallVec;

/// A loop nest ready to be emitted.
pub(crate) struct Plan {
    /// The nest in normal form.
    pub(crate) nest: LoopNest,
    /// Lanes of a group of neighbouring points of the last domain axis; 1 if points run singly.
    pub(crate) points: usize,
    /// Per pass what isn't in the nest.
    pub(crate) passes: Vec<PassPlan>,
    /// Per value where and how it is computed.
    pub(crate) values: Vec<ValuePlan>,
    /// Distinct ways operands are walked.
    pub(crate) streams: Vec<Stream>,
    pub(crate) numerics: Numerics,
    /// Whether some body is so long that its constants don't fit into registers.
    pub(crate) heavy: bool,
    /// Extent of the strips of the domain's last axis but one that run inside the groups of its
    /// last, see [`strip`]; 0 if there are none.
    pub(crate) strip: usize,
    /// Whether the first pass, a reduction of long columns, runs in blocks; see [`blocked`].
    pub(crate) blocked: bool,
    /// Indices of the axis that lanes run along which stay together.
    together: usize,
    /// The domain axis whose range the argument block gives, so that threads can share it.
    pub(crate) split: usize,
    /// About how long the nest takes, in ns.
    pub(crate) time: f64,
}

/// A pass's part of the plan.
pub(crate) struct PassPlan {
    /// The number of its first instruction among all values.
    pub(crate) first: usize,
    /// Lanes of a group of neighbouring indices of the innermost loop; 1 if they run singly.
    pub(crate) lanes: usize,
    /// The stream of each load (by instruction) and then of each store.
    pub(crate) load_streams: Vec<usize>,
    pub(crate) store_streams: Vec<usize>,
    /// Those streams, each once.
    pub(crate) streams: SmallVec<[usize; 8]>,
}

/// Where and how a value is computed.
#[derive(Clone, Debug)]
pub(crate) struct ValuePlan {
    pub(crate) dtype: Dtype,
    /// How many axes around it have to be entered first, counting the domain's and then the
    /// loops of its pass.
    pub(crate) level: usize,
    /// Whether it has to be computed at its place among the passes.
    pub(crate) pinned: bool,
    /// Whether it differs between the lanes of a group.
    pub(crate) varying: bool,
    /// Whether some varying value or a store of a group uses it.
    pub(crate) splat: bool,
    /// A product that exists only inside a fused multiply-add.
    pub(crate) absorbed: bool,
    /// For a sum or difference: the operand (0 or 1) that is an absorbed product.
    pub(crate) fused: Option<usize>,
}

/// A way an operand is walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) operand: usize,
    /// In elements, per axis in scope.
    pub(crate) strides: SmallVec<[usize; 4]>,
}

/// Indices that stay together of other axes that lanes run along: more than a group has lanes.
const GRAIN: usize = 64;

/// Columns of a reduction in blocks that stay together, if rows are all that it reads: a page of each.
const PANEL: usize = 1024;

/// So many parts are enough for any number of threads to share an axis evenly.
const ENOUGH: usize = 64;

/// Lanes that vectors can hold at all.
const NARROWEST: usize = 4;

/// Plans a kernel's nest. `fused`: multiply-adds are single instructions.
pub(crate) fn plan(kernel: &Kernel, nest: &LoopNest, fused: bool) -> Plan {
    let numerics = kernel.numerics;
    let mut nest = normal::normalise(nest, numerics);
    let (cost, choice) = choose(kernel, &nest, numerics);
    let time = time(kernel, &nest, cost);
    let fast = numerics == Numerics::Fast;
    let (mut points, mut strip) = (1, 0);
    match choice {
        Choice::Rows if fast => nest = rows_abreast(kernel, nest),
        Choice::Rows => {}
        Choice::Points { axis } => {
            if fast {
                nest = unroll::unrolled(kernel, &nest, SHORT);
            }
            normal::make_innermost(&mut nest, axis);
            if let Some(beside) = crossed(&nest) {
                normal::make_innermost(&mut nest, beside);
                let lane = nest.domain.len() - 2;
                normal::make_innermost(&mut nest, lane);
                strip = STRIP;
            } else if fast {
                nest = points_abreast(kernel, nest);
            }
            points = point_lanes(kernel, &nest, numerics);
        }
    }
    let rank = nest.domain.len();
    let mut plan = Plan {
        points,
        passes: Vec::with_capacity(nest.passes.len()),
        values: Vec::new(),
        streams: Vec::new(),
        numerics,
        heavy: nest.passes.iter().any(|p| p.insts.iter().map(weight).sum::<f64>() >= HEAVY),
        strip,
        blocked: false,
        together: GRAIN,
        split: 0,
        time,
        nest: LoopNest::default(),
    };
    let mut deps: Vec<u64> = Vec::new();
    for pass in &nest.passes {
        let lanes = if plan.points > 1 { 1 } else { row_lanes(kernel, pass, numerics).unwrap_or(1) };
        plan.pass(kernel, pass, rank, lanes, &mut deps);
    }
    if numerics == Numerics::Fast && fused {
        plan.fuse(&nest);
    }
    plan.blocked = plan.points > 1 && strip == 0 && numerics == Numerics::Fast && blocked(kernel, &nest);
    if plan.blocked && nest.passes.iter().flat_map(accesses).all(|index| index.strides[rank - 1] <= 1) {
        plan.together = PANEL;
    }
    plan.mark_splats(&nest, rank);
    plan.nest = nest;
    plan.split = plan.splits();
    plan
}

impl Plan {
    /// How many indices of the axis that threads share have to stay together: a range that is a
    /// part of the axis starts at a multiple of that, ends at one or with the axis, and isn't
    /// shorter.
    pub(crate) fn grain(&self) -> usize {
        self.grain_of(self.split)
    }

    /// Into how many parts the axis that threads share can be cut.
    pub(crate) fn parts(&self) -> usize {
        self.nest.domain.get(self.split).map_or(1, |extent| extent / self.grain())
    }

    fn grain_of(&self, axis: usize) -> usize {
        let rank = self.nest.domain.len();
        if self.points > 1 && axis + 1 == rank {
            // At least a group, and few groups that are moved back.
            self.together
        } else if self.strip > 0 && axis + 2 == rank {
            self.strip
        } else {
            1
        }
    }

    /// The outermost axis that many threads can share, or the one that the most can.
    fn splits(&self) -> usize {
        let parts = |axis: &usize| self.nest.domain[*axis] / self.grain_of(*axis);
        let mut axes = 0..self.nest.domain.len();
        let most = axes.clone().rev().max_by_key(parts).unwrap_or(0);
        axes.find(|axis| parts(axis) >= ENOUGH).unwrap_or(most)
    }

    fn pass(&mut self, kernel: &Kernel, pass: &Pass, rank: usize, lanes: usize, deps: &mut Vec<u64>) {
        let first = self.values.len();
        let axes = rank + pass.loops.len();
        let lane = if self.points > 1 {
            Some(rank - 1)
        } else if lanes > 1 {
            Some(axes - 1)
        } else {
            None
        };
        let domain = (1u64 << rank) - 1;
        let of = |strides: &[usize]| {
            strides.iter().enumerate().filter(|(_, s)| **s != 0).fold(0u64, |bits, (axis, _)| bits | 1 << axis)
        };
        let mut load_streams = Vec::with_capacity(pass.insts.len());
        for inst in &pass.insts {
            let mut stream = 0;
            let mut pinned = false;
            let mut on = 0;
            for arg in inst.args() {
                on |= deps[arg.index()];
                pinned |= self.values[arg.index()].pinned;
            }
            match inst {
                Inst::Index(index) => on |= of(&index.strides),
                Inst::Load { operand, index } => {
                    on |= of(&index.strides);
                    if kernel.operands[*operand].written {
                        on |= domain;
                        pinned = true;
                    }
                    stream = self.stream(*operand, &index.strides);
                }
                Inst::LoadWithin { operand, index, along } => {
                    on |= of(&index.strides) | walked(along);
                    stream = self.stream(*operand, &index.strides);
                }
                Inst::Within(along) => on |= walked(along),
                Inst::Literal(_)
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::IntegerPow(..)
                | Inst::Convert(..) => {}
            }
            let dtype = match inst {
                Inst::Literal(literal) => literal.dtype(),
                Inst::Index(_) => Dtype::I32,
                Inst::Load { operand, .. } | Inst::LoadWithin { operand, .. } => kernel.operands[*operand].dtype,
                Inst::Compare(..) | Inst::Within(_) => Dtype::Bool,
                Inst::Convert(dtype, _) => *dtype,
                Inst::Unary(_, x) | Inst::IntegerPow(_, x) | Inst::Binary(_, x, _) | Inst::Select(_, x, _) => {
                    let x = if let Inst::Select(_, on, _) = inst { on } else { x };
                    self.values[x.index()].dtype
                }
            };
            load_streams.push(stream);
            deps.push(on);
            self.values.push(ValuePlan {
                dtype,
                level: (64 - on.leading_zeros() as usize).max(if pinned { rank } else { 0 }),
                pinned,
                varying: lane.is_some_and(|lane| on >> lane & 1 == 1),
                splat: false,
                absorbed: false,
                fused: None,
            });
        }
        for acc in &pass.accs {
            deps.push(domain);
            self.values.push(ValuePlan {
                dtype: self.values[acc.value.index()].dtype,
                level: rank,
                pinned: true,
                varying: self.points > 1,
                splat: false,
                absorbed: false,
                fused: None,
            });
        }
        let store_streams: Vec<usize> = pass.stores.iter().map(|s| self.stream(s.operand, &s.index.strides)).collect();
        let loads = pass.insts.iter().zip(&load_streams).filter(|(inst, _)| is_load(inst));
        let mut streams: SmallVec<[usize; 8]> = loads.map(|(_, s)| *s).chain(store_streams.iter().copied()).collect();
        streams.sort_unstable();
        streams.dedup();
        self.passes.push(PassPlan { first, lanes, load_streams, store_streams, streams });
    }

    fn stream(&mut self, operand: usize, strides: &[usize]) -> usize {
        let stream = Stream { operand, strides: strides.into() };
        self.streams.iter().position(|s| *s == stream).unwrap_or_else(|| {
            self.streams.push(stream);
            self.streams.len() - 1
        })
    }

    /// Marks products that a sum or difference beside them can absorb.
    fn fuse(&mut self, nest: &LoopNest) {
        let mut uses = vec![0usize; self.values.len()];
        for pass in &nest.passes {
            for arg in pass.insts.iter().flat_map(Inst::args) {
                uses[arg.index()] += 1;
            }
            for value in pass.accs.iter().map(|a| a.value).chain(pass.stores.iter().map(|s| s.value)) {
                uses[value.index()] += 1;
            }
        }
        for (pass, planned) in nest.passes.iter().zip(&self.passes) {
            let first = planned.first;
            let product = |values: &[ValuePlan], v: ValueId| {
                let i = v.index();
                let multiplies = i >= first
                    && matches!(pass.insts.get(i - first), Some(Inst::Binary(Binary::Mul, ..)))
                    && values[i].dtype.is_float();
                multiplies && uses[i] == 1 && !values[i].absorbed
            };
            for (i, inst) in pass.insts.iter().enumerate() {
                let Inst::Binary(Binary::Add | Binary::Sub, x, y) = inst else { continue };
                let ValuePlan { level, varying, .. } = self.values[first + i];
                let beside = |v: &ValuePlan| v.level == level && v.varying == varying;
                let at = [x, y].iter().position(|v| product(&self.values, **v) && beside(&self.values[v.index()]));
                if let Some(at) = at {
                    self.values[first + i].fused = Some(at);
                    self.values[[x, y][at].index()].absorbed = true;
                }
            }
            for acc in &pass.accs {
                let innermost = nest.domain.len() + pass.loops.len();
                let groups = self.points > 1 || planned.lanes > 1;
                let ValuePlan { level, varying, .. } = self.values[acc.value.index()];
                if acc.kind == Reduce::Sum
                    && product(&self.values, acc.value)
                    && level == innermost
                    && varying == groups
                {
                    self.values[acc.value.index()].absorbed = true;
                }
            }
        }
    }

    fn mark_splats(&mut self, nest: &LoopNest, rank: usize) {
        for (pass, planned) in nest.passes.iter().zip(&self.passes) {
            for (i, inst) in pass.insts.iter().enumerate() {
                if self.values[planned.first + i].varying {
                    for arg in inst.args() {
                        self.values[arg.index()].splat = true;
                    }
                }
            }
            // A store or an accumulator in the innermost place of a group takes groups.
            if self.points > 1 || planned.lanes > 1 {
                for value in pass.accs.iter().map(|a| a.value).chain(pass.stores.iter().map(|s| s.value)) {
                    self.values[value.index()].splat = true;
                }
            }
        }
        debug_assert!(self.points == 1 || rank > 0);
    }
}

/// Indices of a strip: few enough that as many pages stay in the translation cache.
const STRIP: usize = 32;

/// The domain axis whose neighbours lie side by side in memory where the lanes of a group don't (a
/// transposition): the lines a group touches are touched again by the next index of that axis, so
/// strips of it run inside the groups, before the cache has lost them.
fn crossed(nest: &LoopNest) -> Option<usize> {
    let lane = nest.domain.len() - 1;
    (0..lane).rev().find(|axis| {
        nest.domain[*axis] > 4
            && nest.passes.iter().flat_map(accesses).any(|i| i.strides[lane] > 1 && i.strides[*axis] == 1)
    })
}

/// Memory a walk down one group of columns may touch before running in blocks pays.
const LONG: usize = 1 << 19;

/// Rows from which on they run in blocks.
pub(crate) const BLOCKED: usize = 128;

/// Whether the first pass reduces columns so long that walking down each group of them by itself
/// would touch more pages than the processor can keep track of. Then blocks of rows are walked
/// across instead, and what the columns have come to waits in memory.
fn blocked(kernel: &Kernel, nest: &LoopNest) -> bool {
    let lane = nest.domain.len() - 1;
    let Some(pass) = nest.passes.first() else { return false };
    let [rows] = pass.loops[..] else { return false };
    let long = pass.insts.iter().any(|inst| match inst {
        Inst::Load { operand, index } => {
            let bytes = kernel.operands[*operand].dtype.bytes();
            index.strides[lane] == 1 && index.strides[lane + 1] * rows * bytes > LONG
        }
        _ => false,
    });
    long && rows >= BLOCKED && pass.stores.is_empty() && pass.accs.len() <= 4 && nest.domain[lane] >= 64
}

/// Loops of up to so many steps are written out.
const SHORT: usize = 4;

/// The nest with several rows as one, if it does little more than to read each and reduce it.
fn rows_abreast(kernel: &Kernel, nest: LoopNest) -> LoopNest {
    let Some(axis) = nest.domain.len().checked_sub(1) else { return nest };
    let mut looped = nest.passes.iter().filter(|pass| !pass.loops.is_empty());
    let (Some(pass), None) = (looped.next(), looped.next()) else { return nest };
    let body = |pass: &Pass| pass.insts.iter().map(weight).sum::<f64>() + accumulating(pass);
    let light = nest.passes.iter().all(|p| body(p) <= if p.loops.is_empty() { HEAVIEST_JAMMED } else { LIGHT });
    let forgotten =
        !pass.accs.is_empty() && pass.stores.is_empty() && pass.loops.iter().product::<usize>() >= 4 * NARROWEST;
    // As many accumulators as there are streams.
    let fits = |rows: &usize| nest.domain[axis].is_multiple_of(*rows) && rows * pass.accs.len() <= 4;
    match [4, 2].into_iter().find(fits) {
        Some(rows) if light && forgotten => unroll::abreast(kernel, &nest, axis, rows, Order::Interleaved),
        Some(_) | None => nest,
    }
}

/// The nest with several points of the last axis but one as one, if these share what the lanes of a
/// group along the last can't load together.
fn points_abreast(kernel: &Kernel, nest: LoopNest) -> LoopNest {
    let Some(axis) = nest.domain.len().checked_sub(2) else { return nest };
    let shared = |index: &Affine| index.strides[axis] == 0 && index.strides[axis + 1] > 1;
    let shares = nest.passes.iter().flat_map(accesses).any(shared);
    let light = nest.passes.iter().flat_map(|p| &p.insts).map(weight).sum::<f64>() <= HEAVIEST_JAMMED;
    let straight = nest.passes.iter().all(|pass| pass.loops.is_empty());
    match [4, 2].into_iter().find(|rows| nest.domain[axis].is_multiple_of(*rows)) {
        Some(rows) if shares && light && straight => unroll::abreast(kernel, &nest, axis, rows, Order::ByCopy),
        Some(_) | None => nest,
    }
}

/// The axes that positions depend on, as bits.
fn walked(along: &[Along]) -> u64 {
    let bits = |a: &Along| a.strides.iter().enumerate().fold(0, |bits, (axis, s)| bits | u64::from(*s != 0) << axis);
    along.iter().fold(0, |all, a| all | bits(a))
}

fn is_load(inst: &Inst) -> bool {
    matches!(inst, Inst::Load { .. } | Inst::LoadWithin { .. })
}

/// Whether a pass loads an operand that it stores.
pub(crate) fn in_place(pass: &Pass) -> bool {
    let stored = |operand: &usize| pass.stores.iter().any(|s| s.operand == *operand);
    let load =
        |inst: &Inst| matches!(inst, Inst::Load { operand, .. } | Inst::LoadWithin { operand, .. } if stored(operand));
    pass.insts.iter().any(load)
}

/// How vectors run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    /// Along a domain axis, through all passes.
    Points { axis: usize },
    /// Along the innermost loop of each pass, where that serves; points singly.
    Rows,
}

/// Chooses by the estimated cost of one domain point; gives that too.
fn choose(kernel: &Kernel, nest: &LoopNest, numerics: Numerics) -> (f64, Choice) {
    let rank = nest.domain.len();
    let rows: f64 = nest
        .passes
        .iter()
        .map(|pass| {
            let trips: usize = pass.loops.iter().product();
            match row_lanes(kernel, pass, numerics) {
                Some(_) => {
                    let n = pass.loops[pass.loops.len() - 1];
                    let groups = n.div_ceil(NARROWEST) * (trips / n);
                    groups as f64 * group_cost(kernel, pass, rank + pass.loops.len() - 1) + pass.accs.len() as f64 * 8.0
                }
                None => trips as f64 * scalar_cost(pass),
            }
        })
        .sum();
    let mut best = (rows, Choice::Rows);
    for axis in (0..rank).rev().filter(|axis| nest.domain[*axis] >= NARROWEST) {
        let cost: f64 = nest
            .passes
            .iter()
            .map(|pass| {
                let trips: usize = pass.loops.iter().product();
                let lanes = if numerics == Numerics::Strict && !pass.accs.is_empty() { 3.0 } else { 0.0 };
                trips as f64 * (group_cost(kernel, pass, axis) + lanes) / NARROWEST as f64
            })
            .sum();
        if cost < best.0 {
            best = (cost, Choice::Points { axis });
        }
    }
    best
}

/// How long a nest takes whose points cost that much each, in ns: a cheap instruction takes about
/// a tenth, and so do ten bytes of a cache.
fn time(kernel: &Kernel, nest: &LoopNest, cost: f64) -> f64 {
    let points: f64 = nest.domain.iter().map(|n| *n as f64).product();
    let bytes: f64 = kernel.operands.iter().map(|o| (o.len * o.dtype.bytes()) as f64).sum();
    0.1 * points * cost + 0.01 * bytes
}

/// What an instruction costs, in cheap instructions.
fn weight(inst: &Inst) -> f64 {
    match inst {
        Inst::Literal(_) | Inst::Load { .. } => 0.0,
        Inst::Unary(unary, _) => match unary {
            elementary!() => Elementary::of(*unary).map_or(0.0, Elementary::work),
            Unary::Sqrt | Unary::Rsqrt => 4.0,
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Floor
            | Unary::Round
            | Unary::Not
            | Unary::StopGradient
            | Unary::Barrier => 1.0,
        },
        Inst::Binary(Binary::Pow, ..) => 60.0,
        Inst::Binary(Binary::Atan2, ..) => 40.0,
        Inst::Binary(Binary::Rem, ..) => 20.0,
        Inst::Binary(Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic, ..) => 20.0,
        Inst::Binary(Binary::Div, ..) => 4.0,
        Inst::Binary(Binary::Max | Binary::Min, ..) => 3.0,
        Inst::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::And | Binary::Or | Binary::Xor, ..) => 1.0,
        Inst::Index(_) | Inst::Compare(..) | Inst::Select(..) | Inst::Convert(..) => 1.0,
        Inst::Within(along) => 2.0 * along.len() as f64,
        Inst::LoadWithin { along, .. } => along.iter().map(|a| if a.plus.is_some() { 8.0 } else { 3.0 }).sum(),
        Inst::IntegerPow(n, _) => f64::from(32 - n.unsigned_abs().leading_zeros()) * 1.5,
    }
}

/// What a pass's accumulators cost, in cheap instructions: a maximum has to keep NaN.
fn accumulating(pass: &Pass) -> f64 {
    let weight = |acc: &Acc| match acc.kind {
        Reduce::Sum | Reduce::Prod => 1.0,
        Reduce::Max => 3.0,
    };
    pass.accs.iter().map(weight).sum()
}

fn accesses(pass: &Pass) -> impl Iterator<Item = &Affine> {
    let loads = pass.insts.iter().filter_map(|i| if let Inst::Load { index, .. } = i { Some(index) } else { None });
    loads.chain(pass.stores.iter().map(|s| &s.index))
}

/// The cost of a pass's body for one index, without vectors.
fn scalar_cost(pass: &Pass) -> f64 {
    pass.insts.iter().map(weight).sum::<f64>() + accesses(pass).count() as f64 + accumulating(pass)
}

/// The cost of a pass's body for four indices along `lane`.
fn group_cost(kernel: &Kernel, pass: &Pass, lane: usize) -> f64 {
    let wide = if has_wide(kernel) { 2.0 } else { 1.0 };
    let body = pass.insts.iter().map(weight).sum::<f64>() + accumulating(pass);
    let memory = accesses(pass).map(|index| match index.strides.get(lane) {
        Some(0) | None => 0.3,
        Some(1) => wide,
        Some(_) => 6.0,
    });
    body * wide + memory.sum::<f64>()
}

/// Whether it computes with 64 bits.
fn has_wide(kernel: &Kernel) -> bool {
    kernel.operands.iter().any(|o| o.dtype.bytes() == 8)
}

/// Up to this weight (one exponential and a little more), four vectors side by side are quicker
/// than two; the code of more is long, and slow to compile.
const HEAVIEST_JAMMED: f64 = 26.0;

/// Up to this weight, eight vectors of a reduction are.
const LIGHT: f64 = 3.0;

/// From this weight on, a body has more constants than registers.
const HEAVY: f64 = 12.0;

/// How many vectors of the widest type stand side by side in a body of that weight.
fn jam(weight: f64) -> usize {
    if weight > HEAVIEST_JAMMED { 2 } else { 4 }
}

/// Lanes of the groups of a pass with loops; `None` if its indices have to run singly.
fn row_lanes(kernel: &Kernel, pass: &Pass, numerics: Numerics) -> Option<usize> {
    let n = *pass.loops.last()?;
    let strict = numerics == Numerics::Strict && !pass.accs.is_empty();
    if n < NARROWEST || (strict && n < egrad_ir::scalar::LANES) {
        return None;
    }
    let weight: f64 = pass.insts.iter().map(weight).sum();
    let per_vector = if has_wide(kernel) { 2 } else { 4 };
    let accs = pass.accs.len();
    let vectors = match accs {
        1.. if weight + accumulating(pass) <= LIGHT => 8,
        // As many accumulators as registers hold.
        4.. => (8 / accs).clamp(1, jam(weight)),
        _ => jam(weight),
    };
    let mut lanes = if strict { egrad_ir::scalar::LANES } else { (vectors * per_vector).max(NARROWEST) };
    if in_place(pass) {
        // No index may run twice: groups have to fit exactly.
        while !n.is_multiple_of(lanes) {
            lanes /= 2;
            if lanes < NARROWEST || strict {
                return None;
            }
        }
    }
    while lanes > n {
        lanes /= 2;
    }
    Some(lanes)
}

/// Lanes of the groups of points, along the last axis.
fn point_lanes(kernel: &Kernel, nest: &LoopNest, numerics: Numerics) -> usize {
    let weight: f64 = nest.passes.iter().flat_map(|p| &p.insts).map(weight).sum();
    let accs: usize = nest.passes.iter().map(|p| p.accs.len()).sum();
    let per_vector = if has_wide(kernel) { 2 } else { 4 };
    let vectors = match (numerics, accs) {
        (_, 0) => jam(weight),
        (Numerics::Strict, _) => 2,
        (Numerics::Fast, 1) if weight + nest.passes.iter().map(accumulating).sum::<f64>() <= LIGHT => 8,
        (Numerics::Fast, _) => jam(weight),
    };
    let mut lanes = (vectors * per_vector).max(NARROWEST);
    while lanes > *nest.domain.last().unwrap_or(&1) {
        lanes /= 2;
    }
    lanes
}
