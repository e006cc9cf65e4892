//! A group of values as one loop nest.
//!
//! The group's *domain* is the shape its reductions leave, or, without reductions, the shape of
//! its values. A value is *outer* if its index uses the domain's axes alone, and computed once per
//! point; it is *inner* if it also runs along a pass's own loops. Passes follow from dependences:
//! a reduction that uses another one's result runs in a later pass, so softmax becomes three
//! passes over a row. What is outer is computed between the passes, once.
//!
//! An inner value that a later pass needs again is loaded from where it was stored. One that is
//! not stored for others is kept in the memory of a later result of the same type, which
//! overwrites it: a row of exponentials waits where the softmax is going to be.

use super::counted::counted;
use super::index::{Axis, Digit, Index, Position, Taken, operand_index, reshaped_axis};
use super::{
    Chosen, Illegal, Lowered, MAX_INSTS, MAX_OPERANDS, MAX_SIZE, Operands, affine, along, always_inside, extents,
    is_reduction, literal, quarters,
};
use crate::choices::ValueIx;
use egrad_ir::kernel::{Acc, Affine, Along, Body, Inst, LoopNest, Pass, Positions, Store, ValueId};
use egrad_ir::{Binary, Dtype, Literal, Op, Reduce, Shape, Unary};
use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};

/// Lowers `members` (operands before users), of which `stored` says which are written to memory.
///
/// # Errors
/// If the members are no one kernel.
pub(crate) fn nest(
    chosen: &dyn Chosen,
    members: &[ValueIx],
    stored: &dyn Fn(ValueIx) -> bool,
) -> Result<Lowered, Illegal> {
    // Where a result would overwrite what is still read, nothing waits in results.
    fill(chosen, members, stored, true).or_else(|late| match late {
        Unfilled::Illegal(why) => Err(why),
        Unfilled::Late => match fill(chosen, members, stored, false) {
            Err(Unfilled::Illegal(why)) => Err(why),
            Err(Unfilled::Late) => Err(Illegal::Together),
            Ok(lowered) => Ok(lowered),
        },
    })
}

/// Why a nest could not be filled.
enum Unfilled {
    Illegal(Illegal),
    /// A result overwrites a value that a pass after it reads, or the other way round.
    Late,
}

impl From<Illegal> for Unfilled {
    fn from(why: Illegal) -> Unfilled {
        Unfilled::Illegal(why)
    }
}

fn fill(
    chosen: &dyn Chosen,
    members: &[ValueIx],
    stored: &dyn Fn(ValueIx) -> bool,
    waiting: bool,
) -> Result<Lowered, Unfilled> {
    let choices = chosen.choices();
    let reductions: SmallVec<[ValueIx; 4]> = members
        .iter()
        .copied()
        .filter(|m| literal(chosen, *m).is_none() && is_reduction(&chosen.alternative(*m).op))
        .collect();
    let shape = |m: &ValueIx| &choices.value(*m).aval.shape;
    let nothing = |m: &ValueIx| shape(m).contains(&0);
    let first = reductions.first().or_else(|| members.iter().find(|m| !nothing(m))).unwrap_or(&members[0]);
    let domain = extents(shape(first));
    // Over an empty domain nothing is computed, so it is no place for what has elements.
    let lost = nothing(first) && !members.iter().all(nothing);
    if lost || reductions.iter().any(|r| extents(shape(r)) != domain) {
        return Err(Illegal::Together.into());
    }
    let mut nest = Nest {
        chosen,
        members,
        domain,
        reductions,
        depths: HashMap::new(),
        passes: Vec::new(),
        memo: HashMap::new(),
        indices: vec![Index::new()],
        results: HashMap::new(),
        kept: HashMap::new(),
        overwritten: HashMap::new(),
        rereads: Vec::new(),
        late: false,
        operands: Operands::default(),
        size: 0,
        names: Vec::new(),
    };
    let mut hosts = if waiting { nest.hosts(stored) } else { HashMap::new() };
    for m in members {
        if nest.domain.contains(&0) || nest.shape(*m).contains(&0) {
            continue; // nothing to compute
        }
        if nest.reductions.contains(m) {
            nest.reduce(*m)?;
            if stored(*m) {
                let value = nest.results[m];
                nest.store_outer(*m, value)?;
            }
        } else if stored(*m) {
            nest.store(*m, *m)?;
        } else if let Some(host) = hosts.remove(m) {
            // Where it can't be kept it is computed again.
            let _ = nest.store(*m, host);
        }
    }
    let turn = |pass: usize| nest.turn(pass);
    let late = |(operand, pass): &(usize, usize)| nest.overwritten.get(operand).is_some_and(|o| turn(*pass) > turn(*o));
    if nest.late || nest.rereads.iter().any(late) {
        return Err(Unfilled::Late);
    }
    Ok(nest.finish()?)
}

/// A value while passes are still being filled: an instruction or an accumulator of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Temp {
    Inst { pass: usize, position: usize },
    Acc { pass: usize, position: usize },
}

/// A position in [`Nest::indices`].
type IndexIx = u32;

/// A pass being filled.
struct Filling {
    /// How many rounds of reductions come before; loops of a round run before its outer part.
    depth: usize,
    loops: SmallVec<[usize; 4]>,
    insts: Vec<(Inst, SmallVec<[Temp; 3]>)>,
    accs: Vec<(Reduce, Temp)>,
    stores: Vec<(Store, Temp)>,
}

/// Where an inner value waits for later passes.
struct Kept {
    /// The pass that stores it.
    pass: usize,
    index: Index,
    operand: usize,
    /// Whether it waits in the memory of another value.
    guest: bool,
}

struct Nest<'a> {
    chosen: &'a dyn Chosen,
    members: &'a [ValueIx],
    domain: SmallVec<[usize; 4]>,
    reductions: SmallVec<[ValueIx; 4]>,
    /// Per value the rounds of the group's reductions it depends on.
    depths: HashMap<ValueIx, usize>,
    passes: Vec<Filling>,
    memo: HashMap<(u32, ValueIx, IndexIx), Temp>,
    /// The indices values are wanted at, each once; the first is that of literals.
    indices: Vec<Index>,
    /// The accumulator of each reduction.
    results: HashMap<ValueIx, Temp>,
    kept: HashMap<ValueIx, Kept>,
    /// Per operand the pass that overwrites what was kept in it.
    overwritten: HashMap<usize, usize>,
    /// Operands that hold what was kept, and passes that read it there.
    rereads: Vec<(usize, usize)>,
    /// Whether a result is overwritten by what should have waited in its memory.
    late: bool,
    operands: Operands,
    /// How large what was emitted is, in [`quarters`].
    size: usize,
    names: Vec<&'static str>,
}

impl Nest<'_> {
    fn shape(&self, v: ValueIx) -> &Shape {
        &self.chosen.choices().value(v).aval.shape
    }

    fn dtype(&self, v: ValueIx) -> Dtype {
        self.chosen.choices().value(v).aval.dtype
    }

    /// Per inner member that nobody else reads, a later stored member of the same type whose memory
    /// it may be kept in.
    fn hosts(&self, stored: &dyn Fn(ValueIx) -> bool) -> HashMap<ValueIx, ValueIx> {
        let mut hosts = HashMap::new();
        if self.reductions.is_empty() {
            return hosts;
        }
        let inner = |v: &ValueIx| {
            literal(self.chosen, *v).is_none() && !self.reductions.contains(v) && extents(self.shape(*v)) != self.domain
        };
        let mut taken: SmallVec<[ValueIx; 2]> = SmallVec::new();
        for (i, v) in self.members.iter().enumerate() {
            let aval = &self.chosen.choices().value(*v).aval;
            let fits = |h: &&ValueIx| {
                stored(**h) && inner(h) && !taken.contains(h) && self.chosen.choices().value(**h).aval == *aval
            };
            if !stored(*v)
                && inner(v)
                && let Some(host) = self.members[i + 1..].iter().find(fits).copied()
            {
                taken.push(host);
                hosts.insert(*v, host);
            }
        }
        hosts
    }

    /// Whether the kernel finds `v` in memory rather than computing it.
    fn is_loaded(&self, v: ValueIx) -> bool {
        self.chosen.in_memory(v) && !self.members.contains(&v)
    }

    /// The index of an outer value: its axes are the domain's.
    fn outer_index(&self, shape: &Shape) -> Index {
        let mut axes = 0..;
        let position = |extent: &usize| match extent {
            1 => Position::default(),
            _ => Position::along(Axis::Domain(axes.next().unwrap_or(u8::MAX)), *extent),
        };
        shape.iter().map(position).collect()
    }

    /// How many rounds of the group's reductions come before `v` can be computed.
    fn depth(&mut self, v: ValueIx) -> Result<usize, Illegal> {
        if let Some(d) = self.depths.get(&v) {
            return Ok(*d);
        }
        // Operands first, iteratively: inlined chains may be long before they are cut.
        let mut stack = vec![v];
        while let Some(&u) = stack.last() {
            if self.depths.contains_key(&u) {
                stack.pop();
                continue;
            }
            if literal(self.chosen, u).is_some() || self.is_loaded(u) {
                self.depths.insert(u, 0);
                stack.pop();
                continue;
            }
            let args = &self.chosen.alternative(u).args;
            let missing: SmallVec<[ValueIx; 3]> =
                args.iter().copied().filter(|a| !self.depths.contains_key(a)).collect();
            if missing.is_empty() {
                let below = args.iter().map(|a| self.depths[a]).max().unwrap_or(0);
                let is_reduction = self.reductions.contains(&u);
                self.depths.insert(u, below + usize::from(is_reduction));
                stack.pop();
            } else {
                if stack.len() > 8 * MAX_INSTS {
                    return Err(Illegal::Anchor(u));
                }
                stack.extend(missing);
            }
        }
        Ok(self.depths[&v])
    }

    /// The pass with these loops after `depth` rounds (its own round included, if it has loops).
    fn pass(&mut self, depth: usize, loops: &[usize]) -> usize {
        let found = self.passes.iter().position(|p| p.depth == depth && p.loops.as_slice() == loops);
        found.unwrap_or_else(|| {
            self.passes.push(Filling {
                depth,
                loops: loops.into(),
                insts: Vec::new(),
                accs: Vec::new(),
                stores: Vec::new(),
            });
            self.passes.len() - 1
        })
    }

    fn inst(&mut self, pass: usize, inst: Inst, args: SmallVec<[Temp; 3]>, at: ValueIx) -> Result<Temp, Illegal> {
        if !is_read(&inst) {
            let op = if let Inst::Binary(op, ..) = inst { Some(op) } else { None };
            self.size += quarters(op, self.dtype(at));
        }
        if self.size > MAX_SIZE {
            return Err(Illegal::Anchor(at));
        }
        let insts = &mut self.passes[pass].insts;
        insts.push((inst, args));
        Ok(Temp::Inst { pass, position: insts.len() - 1 })
    }

    fn name(&mut self, name: &'static str) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn intern(&mut self, index: Index) -> IndexIx {
        let found = self.indices.iter().position(|i| *i == index);
        found.unwrap_or_else(|| {
            self.indices.push(index);
            self.indices.len() - 1
        }) as IndexIx
    }

    /// Emits the value at that index, in a pass with these loops if it is inner.
    fn emit(&mut self, v: ValueIx, at: IndexIx, inner: Option<usize>) -> Result<Temp, Illegal> {
        if let Some(l) = literal(self.chosen, v) {
            let outer = self.pass(0, &[]);
            let key = (outer as u32, v, 0);
            if let Some(t) = self.memo.get(&key) {
                return Ok(*t);
            }
            let t = self.inst(outer, Inst::Literal(l), SmallVec::new(), v)?;
            self.memo.insert(key, t);
            return Ok(t);
        }
        let pass = if self.is_inner(at) {
            inner.ok_or(Illegal::Together)?
        } else {
            let depth = self.depth(v)?.max(self.index_depth(at)?);
            self.pass(depth, &[])
        };
        let key = (pass as u32, v, at);
        if let Some(t) = self.memo.get(&key) {
            return Ok(*t);
        }
        let t = match self.reload(v, at, pass) {
            Some((operand, index)) => {
                if self.kept[&v].guest {
                    self.rereads.push((operand, pass));
                }
                self.inst(pass, Inst::Load { operand, index }, SmallVec::new(), v)?
            }
            None => self.compute(v, at, pass, inner)?,
        };
        self.memo.insert(key, t);
        Ok(t)
    }

    /// How many rounds of reductions come before what is added to the positions of an index.
    fn index_depth(&mut self, at: IndexIx) -> Result<usize, Illegal> {
        let taken: SmallVec<[Taken; 2]> = self.indices[at as usize].iter().filter_map(|p| p.taken).collect();
        let mut depth = 0;
        for t in taken {
            depth = depth.max(self.depth(t.value)?).max(self.index_depth(t.at)?);
        }
        Ok(depth)
    }

    /// Whether an index runs along loops of a pass, or what is added to it does.
    fn is_inner(&self, at: IndexIx) -> bool {
        self.indices[at as usize]
            .iter()
            .any(|p| p.axes().any(|axis| matches!(axis, Axis::Loop(_))) || p.taken.is_some_and(|t| self.is_inner(t.at)))
    }

    /// What passes run in the order of.
    fn turn(&self, pass: usize) -> (usize, bool, usize) {
        // Round d's loops come before what is computed once per point after it.
        (self.passes[pass].depth, self.passes[pass].loops.is_empty(), pass)
    }

    /// Where an earlier pass has stored the value, if it is still there.
    fn reload(&self, v: ValueIx, at: IndexIx, pass: usize) -> Option<(usize, Affine)> {
        let kept = self.kept.get(&v)?;
        let index = &self.indices[at as usize];
        let depth = self.passes[pass].depth;
        let over = self.overwritten.get(&kept.operand);
        let there = !kept.guest || over.is_none_or(|over| self.turn(pass) <= self.turn(*over));
        if depth <= self.passes[kept.pass].depth || kept.index != *index || !there {
            return None;
        }
        let strides = self.shape(v).strides();
        Some((kept.operand, affine(index, &strides, self.domain.len(), self.passes[pass].loops.len())))
    }

    fn compute(&mut self, v: ValueIx, at: IndexIx, pass: usize, inner: Option<usize>) -> Result<Temp, Illegal> {
        if self.is_loaded(v) {
            let shape = self.shape(v).clone();
            return self.load(v, at, &shape, pass, inner);
        }
        if self.reductions.contains(&v) {
            // A reduction's result is at hand at its own domain point alone.
            let index = &self.indices[at as usize];
            let digits = index.iter().flat_map(|p| p.digits.iter().copied());
            let own = self.domain.iter().enumerate().map(|(i, e)| Digit { axis: Axis::Domain(i as u8), extent: *e });
            return if index.iter().all(Position::is_plain) && digits.eq(own) {
                Ok(self.results[&v])
            } else {
                Err(Illegal::Together)
            };
        }
        let chosen = self.chosen;
        let alternative = chosen.alternative(v);
        let (op, args) = (&alternative.op, &alternative.args);
        if is_reduction(op) {
            return Err(Illegal::Anchor(v));
        }
        self.name(op.name());
        let index = &self.indices[at as usize];
        match op {
            Op::Constant(l) => self.inst(pass, Inst::Literal(*l), SmallVec::new(), v),
            Op::Iota { dtype, axis, .. } => {
                let position = index[*axis].clone();
                let t = self.count(&position, pass, inner, v)?;
                if *dtype == Dtype::I32 {
                    return Ok(t);
                }
                self.inst(pass, Inst::Convert(*dtype, PLACEHOLDER), smallvec![t], v)
            }
            Op::Reshape(_) if self.is_loaded(args[0]) => {
                // Memory is row-major: the reshaped position is the position.
                let shape = self.shape(v).clone();
                self.load(args[0], at, &shape, pass, inner)
            }
            // A reshape has its operand's shape to regroup by.
            Op::Reshape(_)
            | Op::BroadcastInDim { .. }
            | Op::Transpose(_)
            | Op::Reduce { .. }
            | Op::Slice { .. }
            | Op::Reverse(_) => {
                let below = operand_index(op, 0, self.shape(args[0]), index).ok_or(Illegal::Anchor(args[0]))?;
                let below = self.intern(below);
                self.emit(args[0], below, inner)
            }
            Op::Pad { .. } if self.shape(args[0]).contains(&0) => self.operand(v, op, args, 1, at, inner),
            Op::Pad { .. } => {
                let shape = self.shape(args[0]).clone();
                let below = operand_index(op, 0, &shape, index).ok_or(Illegal::Anchor(args[0]))?;
                let tested: Vec<(Position, usize)> = below.into_iter().zip(shape.iter().copied()).collect();
                let inside = self.within(&tested, pass, inner, v)?;
                let x = self.operand(v, op, args, 0, at, inner)?;
                match inside {
                    None => Ok(x),
                    Some(inside) => {
                        let value = self.operand(v, op, args, 1, at, inner)?;
                        self.choose([inside, x, value], pass, v)
                    }
                }
            }
            Op::Concatenate(axis) => {
                let first = self.shape(args[0])[*axis];
                let mut second = index.clone();
                second[*axis].offset -= first as isize;
                let position = index[*axis].clone();
                let reach = position.reach();
                let all_first = self.shape(args[1])[*axis] == 0 || reach.is_some_and(|(_, high)| high < first as isize);
                let all_second = first == 0 || reach.is_some_and(|(low, _)| low >= first as isize);
                if all_first {
                    return self.emit(args[0], at, inner);
                }
                let second = self.intern(second);
                if all_second {
                    return self.emit(args[1], second, inner);
                }
                let inside = self.within(&[(position, first)], pass, inner, v)?;
                let (x, y) = (self.emit(args[0], at, inner)?, self.emit(args[1], second, inner)?);
                match inside {
                    None => Ok(x),
                    Some(inside) => self.choose([inside, x, y], pass, v),
                }
            }
            Op::Take { axis, .. } => {
                let shape = self.shape(args[0]).clone();
                let zero = Inst::Literal(Literal::new(self.dtype(v), 0.0));
                if shape[*axis] == 0 {
                    return self.inst(pass, zero, SmallVec::new(), v);
                }
                let indices = operand_index(op, 1, self.shape(args[1]), index).ok_or(Illegal::Anchor(args[1]))?;
                let mut below = operand_index(op, 0, &shape, index).ok_or(Illegal::Anchor(args[0]))?;
                let places = self.chosen.choices().value(args[1]).places.as_deref();
                below[*axis] = places.and_then(|p| counted(p, &indices)).unwrap_or_else(|| {
                    let taken = Some(Taken { value: args[1], at: self.intern(indices) });
                    Position { taken, ..Position::default() }
                });
                let position = below[*axis].clone();
                let below = self.intern(below);
                let x = self.emit(args[0], below, inner)?;
                if self.is_zero_outside(args[0], *axis) {
                    return Ok(x);
                }
                match self.within(&[(position, shape[*axis])], pass, inner, v)? {
                    None => Ok(x),
                    Some(inside) => {
                        let zero = self.inst(pass, zero, SmallVec::new(), v)?;
                        self.choose([inside, x, zero], pass, v)
                    }
                }
            }
            Op::Scatter { .. } | Op::Argsort(_) | Op::Linalg(_) => Err(Illegal::Anchor(v)),
            Op::Unary(Unary::StopGradient | Unary::Barrier) => self.emit(args[0], at, inner),
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::IntegerPow(_) | Op::Convert(_) => {
                let temps = args.iter().map(|a| self.emit(*a, at, inner)).collect::<Result<_, _>>()?;
                let inst = match op {
                    Op::Unary(u) => Inst::Unary(*u, PLACEHOLDER),
                    Op::Binary(b) => Inst::Binary(*b, PLACEHOLDER, PLACEHOLDER),
                    Op::Compare(c) => Inst::Compare(*c, PLACEHOLDER, PLACEHOLDER),
                    Op::Select => Inst::Select(PLACEHOLDER, PLACEHOLDER, PLACEHOLDER),
                    Op::IntegerPow(n) => Inst::IntegerPow(*n, PLACEHOLDER),
                    Op::Convert(d) => Inst::Convert(*d, PLACEHOLDER),
                    Op::Constant(_)
                    | Op::Iota { .. }
                    | Op::BroadcastInDim { .. }
                    | Op::Reshape(_)
                    | Op::Transpose(_)
                    | Op::Reduce { .. }
                    | Op::DotGeneral(_)
                    | Op::Slice { .. }
                    | Op::Pad { .. }
                    | Op::Reverse(_)
                    | Op::Concatenate(_)
                    | Op::Take { .. }
                    | Op::Scatter { .. }
                    | Op::Argsort(_)
                    | Op::Linalg(_) => unreachable!("matched above"),
                };
                self.inst(pass, inst, temps, v)
            }
            // A product that contracts nothing: every pair of elements.
            Op::DotGeneral(_) => {
                let mut temps = SmallVec::new();
                for (side, a) in args.iter().enumerate() {
                    let index = &self.indices[at as usize];
                    let below = operand_index(op, side, self.shape(*a), index).ok_or(Illegal::Anchor(*a))?;
                    let below = self.intern(below);
                    temps.push(self.emit(*a, below, inner)?);
                }
                self.inst(pass, Inst::Binary(Binary::Mul, PLACEHOLDER, PLACEHOLDER), temps, v)
            }
        }
    }

    /// Whether the value reads as zero outside of that axis, as what is in memory does and what is taken
    /// of it along other axes.
    fn is_zero_outside(&self, mut v: ValueIx, mut axis: usize) -> bool {
        let chosen = self.chosen;
        while !self.is_loaded(v) {
            if super::literal(chosen, v).is_some() || self.reductions.contains(&v) {
                return false;
            }
            let alternative = chosen.alternative(v);
            let below = alternative.args.first().copied();
            let of = |at: usize| self.shape(alternative.args[at]);
            let same = match &alternative.op {
                Op::Transpose(perm) => Some(perm[axis]),
                // Memory has the shape it is read in.
                Op::Reshape(_) if self.is_loaded(alternative.args[0]) => return true,
                Op::Reshape(_) => reshaped_axis(self.shape(v), of(0), axis),
                Op::Take { axis: own, batch } => {
                    let added = of(1).rank() - batch;
                    match axis {
                        a if a < *own => Some(a),
                        a if a < own + added => None,
                        a => Some(a + 1 - added),
                    }
                }
                Op::Constant(_)
                | Op::Iota { .. }
                | Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Select
                | Op::IntegerPow(_)
                | Op::Convert(_)
                | Op::BroadcastInDim { .. }
                | Op::Reduce { .. }
                | Op::DotGeneral(_)
                | Op::Slice { .. }
                | Op::Pad { .. }
                | Op::Reverse(_)
                | Op::Concatenate(_)
                | Op::Scatter { .. }
                | Op::Argsort(_)
                | Op::Linalg(_) => None,
            };
            let (Some(below), Some(same)) = (below, same) else { return false };
            (v, axis) = (below, same);
        }
        true
    }

    /// An operand of `v`, which is wanted at that index.
    fn operand(
        &mut self,
        v: ValueIx,
        op: &Op,
        args: &[ValueIx],
        which: usize,
        at: IndexIx,
        inner: Option<usize>,
    ) -> Result<Temp, Illegal> {
        let arg = args[which];
        let below = operand_index(op, which, self.shape(arg), &self.indices[at as usize]).ok_or(Illegal::Anchor(v))?;
        let below = self.intern(below);
        self.emit(arg, below, inner)
    }

    fn choose(&mut self, args: [Temp; 3], pass: usize, v: ValueIx) -> Result<Temp, Illegal> {
        self.inst(pass, Inst::Select(PLACEHOLDER, PLACEHOLDER, PLACEHOLDER), args.into_iter().collect(), v)
    }

    /// What is added to a position, if something is.
    fn taken(&mut self, p: &Position, pass: usize, inner: Option<usize>, v: ValueIx) -> Result<Option<Temp>, Illegal> {
        let Some(taken) = p.taken else { return Ok(None) };
        let t = self.emit(taken.value, taken.at, inner)?;
        if !p.mirrored {
            return Ok(Some(t));
        }
        // The least i32 stays itself, and outside.
        self.inst(pass, Inst::Unary(Unary::Neg, PLACEHOLDER), smallvec![t], v).map(Some)
    }

    /// Positions to test, in axes of these lengths whose elements are so far apart, with the values
    /// that are added to them.
    fn positions(
        &mut self,
        tested: &[(Position, usize, usize)],
        pass: usize,
        inner: Option<usize>,
        v: ValueIx,
    ) -> Result<(Positions, SmallVec<[Temp; 3]>), Illegal> {
        let (mut positions, mut temps) = (Positions::new(), SmallVec::new());
        for (position, extent, by) in tested {
            let plus = self.taken(position, pass, inner, v)?;
            let loops = self.passes[pass].loops.len();
            let along = along(position, *extent, *by, self.domain.len(), loops);
            positions.push(Along { plus: plus.map(|_| PLACEHOLDER), ..along });
            temps.extend(plus);
        }
        Ok((positions, temps))
    }

    /// Whether these positions are inside of axes of these lengths; none if they always are.
    fn within(
        &mut self,
        tested: &[(Position, usize)],
        pass: usize,
        inner: Option<usize>,
        v: ValueIx,
    ) -> Result<Option<Temp>, Illegal> {
        let unsure = tested.iter().filter(|(p, extent)| !always_inside(p, *extent));
        let unsure: Vec<_> = unsure.map(|(p, extent)| (p.clone(), *extent, 0)).collect();
        if unsure.is_empty() {
            return Ok(None);
        }
        let (positions, temps) = self.positions(&unsure, pass, inner, v)?;
        self.inst(pass, Inst::Within(positions), temps, v).map(Some)
    }

    /// A position as an `i32`.
    fn count(&mut self, p: &Position, pass: usize, inner: Option<usize>, v: ValueIx) -> Result<Temp, Illegal> {
        let axes = self.domain.len() + self.passes[pass].loops.len();
        let [mut up, mut down] = [0, 0].map(|offset| Affine { offset, strides: SmallVec::from_elem(0, axes) });
        for step in p.steps() {
            let along = if step.by < 0 { &mut down } else { &mut up };
            along.strides[step.digit.axis.position(self.domain.len())] += step.by.unsigned_abs();
        }
        let [rises, falls] = [&up, &down].map(|along| along.strides.iter().any(|s| *s != 0));
        let mut t =
            self.inst(pass, Inst::Index(if rises || !falls { up } else { down.clone() }), SmallVec::new(), v)?;
        if falls && rises {
            let less = self.inst(pass, Inst::Index(down), SmallVec::new(), v)?;
            t = self.inst(pass, Inst::Binary(Binary::Sub, PLACEHOLDER, PLACEHOLDER), smallvec![t, less], v)?;
        } else if falls {
            t = self.inst(pass, Inst::Unary(Unary::Neg, PLACEHOLDER), smallvec![t], v)?;
        }
        let plus = self.taken(p, pass, inner, v)?;
        let offset = match p.offset {
            0 => None,
            n => Some(self.inst(pass, Inst::Literal(Literal::new(Dtype::I32, n as f64)), SmallVec::new(), v)?),
        };
        for term in plus.into_iter().chain(offset) {
            t = self.inst(pass, Inst::Binary(Binary::Add, PLACEHOLDER, PLACEHOLDER), smallvec![t, term], v)?;
        }
        Ok(t)
    }

    /// Loads from the memory of `v`, whose elements are those of a tensor of that shape.
    fn load(
        &mut self,
        v: ValueIx,
        at: IndexIx,
        shape: &Shape,
        pass: usize,
        inner: Option<usize>,
    ) -> Result<Temp, Illegal> {
        let (strides, index) = (shape.strides(), self.indices[at as usize].clone());
        let mut sure = Index::new();
        let mut unsure = Vec::new();
        for ((p, extent), by) in index.into_iter().zip(shape.iter().copied()).zip(strides.iter().copied()) {
            let inside = always_inside(&p, extent) && p.ascends();
            sure.push(if inside { p.clone() } else { Position::default() });
            if !inside {
                unsure.push((p, extent, by));
            }
        }
        if shape.contains(&0) {
            // Nobody wants it: it is chosen against.
            return self.inst(pass, Inst::Literal(Literal::new(self.dtype(v), 0.0)), SmallVec::new(), v);
        }
        let operand = self.operands.position(self.chosen, v, false);
        if self.operands.values.len() > MAX_OPERANDS {
            return Err(Illegal::Anchor(v));
        }
        let (along, temps) = self.positions(&unsure, pass, inner, v)?;
        let index = affine(&sure, &strides, self.domain.len(), self.passes[pass].loops.len());
        let load =
            if along.is_empty() { Inst::Load { operand, index } } else { Inst::LoadWithin { operand, index, along } };
        self.inst(pass, load, temps, v)
    }

    /// Accumulates a reduction over the loops of its pass.
    fn reduce(&mut self, r: ValueIx) -> Result<(), Illegal> {
        let depth = self.depth(r)?;
        let chosen = self.chosen;
        let alternative = chosen.alternative(r);
        let outer = self.outer_index(self.shape(r));
        self.name(alternative.op.name());
        let strict = chosen.strict();
        let loop_index = |extents: &mut SmallVec<[usize; 4]>, extent: usize| -> Position {
            // The order of a strict sum counts its axes as written.
            if extent != 1 || strict {
                extents.push(extent);
            }
            if extent == 1 {
                return Position::default();
            }
            Position::along(Axis::Loop((extents.len() - 1) as u8), extent)
        };
        let mut loops = SmallVec::new();
        let (kind, value, pass) = match &alternative.op {
            Op::Reduce { kind, axes } => {
                let x = alternative.args[0];
                let mut kept = outer.into_iter();
                let shape = self.shape(x).clone();
                let mut below = Index::new();
                for (i, extent) in shape.iter().enumerate() {
                    below.push(if axes.contains(&i) {
                        loop_index(&mut loops, *extent)
                    } else {
                        kept.next().expect("a kept axis per axis of the result")
                    });
                }
                if loops.contains(&0) {
                    return self.empty(r, *kind);
                }
                let pass = self.pass(depth, &keep_one(&loops));
                (*kind, self.emit_in(x, below, pass)?, pass)
            }
            Op::DotGeneral(dims) => {
                let [x, y] = [alternative.args[0], alternative.args[1]];
                let [sx, sy] = [self.shape(x).clone(), self.shape(y).clone()];
                let mut ix = operand_index(&alternative.op, 0, &sx, &outer).ok_or(Illegal::Together)?;
                let mut iy = operand_index(&alternative.op, 1, &sy, &outer).ok_or(Illegal::Together)?;
                for (a, b) in dims.contract[0].iter().zip(&dims.contract[1]) {
                    let digits = loop_index(&mut loops, sx[*a]);
                    ix[*a] = digits.clone();
                    iy[*b] = digits;
                }
                if loops.contains(&0) {
                    return self.empty(r, Reduce::Sum);
                }
                let pass = self.pass(depth, &keep_one(&loops));
                let temps = smallvec![self.emit_in(x, ix, pass)?, self.emit_in(y, iy, pass)?];
                let product = Inst::Binary(Binary::Mul, PLACEHOLDER, PLACEHOLDER);
                (Reduce::Sum, self.inst(pass, product, temps, r)?, pass)
            }
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
            | Op::Linalg(_) => unreachable!("no reduction"),
        };
        // What is accumulated is a value of the pass, also where it is the same at every index.
        let value = match value {
            Temp::Inst { pass: p, .. } if p == pass => value,
            _ => self.inst(pass, Inst::Unary(Unary::StopGradient, PLACEHOLDER), smallvec![value], r)?,
        };
        let accs = &mut self.passes[pass].accs;
        accs.push((kind, value));
        let position = accs.len() - 1;
        self.results.insert(r, Temp::Acc { pass, position });
        Ok(())
    }

    /// Emits in a pass with loops; where the index uses none of them the value is outer.
    fn emit_in(&mut self, v: ValueIx, index: Index, pass: usize) -> Result<Temp, Illegal> {
        let at = self.intern(index);
        self.emit(v, at, Some(pass))
    }

    /// A reduction over nothing is its identity.
    fn empty(&mut self, r: ValueIx, kind: Reduce) -> Result<(), Illegal> {
        let identity = identity(kind, self.dtype(r));
        let outer = self.pass(0, &[]);
        let t = self.inst(outer, Inst::Literal(identity), SmallVec::new(), r)?;
        self.results.insert(r, t);
        Ok(())
    }

    /// Stores `v` in the memory of `host`: its own, or where it is kept until `host` is stored.
    fn push_store(
        &mut self,
        v: ValueIx,
        host: ValueIx,
        index: &Index,
        pass: usize,
        value: Temp,
    ) -> Result<(), Illegal> {
        let operand = self.operands.position(self.chosen, host, true);
        let strides = self.shape(v).strides();
        if v == host
            && let Some(guest) = self.kept.values().find(|k| k.guest && k.operand == operand)
        {
            if guest.index != *index {
                return Err(Illegal::Together);
            }
            self.late |= self.turn(guest.pass) > self.turn(pass);
            self.overwritten.insert(operand, pass);
        }
        let loops = self.passes[pass].loops.len();
        let at = affine(index, &strides, self.domain.len(), loops);
        if loops > 0 {
            self.kept.insert(v, Kept { pass, index: index.clone(), operand, guest: v != host });
        }
        self.passes[pass].stores.push((Store { operand, index: at, value: PLACEHOLDER }, value));
        Ok(())
    }

    /// Stores a value that has one element per domain point.
    fn store_outer(&mut self, v: ValueIx, value: Temp) -> Result<(), Illegal> {
        let depth = self.depths.get(&v).copied().unwrap_or(0);
        let pass = self.pass(depth, &[]);
        let index = self.outer_index(&self.shape(v).clone());
        self.push_store(v, v, &index, pass, value)
    }

    /// Stores a member that is no reduction: outer, or inner over the axes the domain lacks.
    fn store(&mut self, v: ValueIx, host: ValueIx) -> Result<(), Illegal> {
        let shape = self.shape(v).clone();
        let own = extents(&shape);
        if own == self.domain {
            let index = self.outer_index(&shape);
            let at = self.intern(index);
            let value = self.emit(v, at, None)?;
            return self.store_outer(v, value);
        }
        if self.reductions.is_empty() {
            return Err(Illegal::Together);
        }
        let mut last = Illegal::Together;
        for choice in placements(&own, &self.domain) {
            let saved = self.save();
            match self.store_inner(v, host, &shape, &choice) {
                Ok(()) => return Ok(()),
                Err(e) => {
                    last = e;
                    self.restore(saved);
                }
            }
        }
        Err(last)
    }

    /// Stores `v` in a pass whose loops are the axes not in `domain_axes` (positions among the
    /// axes longer than 1).
    fn store_inner(&mut self, v: ValueIx, host: ValueIx, shape: &Shape, domain_axes: &[usize]) -> Result<(), Illegal> {
        let mut loops: SmallVec<[usize; 4]> = SmallVec::new();
        let mut index = Index::new();
        let mut long = 0;
        for extent in shape.iter() {
            if *extent == 1 {
                index.push(Position::default());
                continue;
            }
            let axis = match domain_axes.iter().position(|a| *a == long) {
                Some(i) => Axis::Domain(i as u8),
                None => {
                    loops.push(*extent);
                    Axis::Loop((loops.len() - 1) as u8)
                }
            };
            long += 1;
            index.push(Position::along(axis, *extent));
        }
        let depth = self.depth(v)? + 1;
        let pass = self.pass(depth, &loops);
        let value = self.emit_in(v, index.clone(), pass)?;
        self.push_store(v, host, &index, pass, value)
    }

    fn save(&self) -> Saved {
        Saved {
            passes: self.passes.iter().map(|p| (p.insts.len(), p.accs.len(), p.stores.len())).collect(),
            operands: self.operands.values.len(),
            rereads: self.rereads.len(),
            size: self.size,
        }
    }

    /// Takes back what a failed placement emitted.
    fn restore(&mut self, saved: Saved) {
        self.passes.truncate(saved.passes.len());
        for (p, (insts, accs, stores)) in self.passes.iter_mut().zip(&saved.passes) {
            p.insts.truncate(*insts);
            p.accs.truncate(*accs);
            p.stores.truncate(*stores);
        }
        self.rereads.truncate(saved.rereads);
        self.operands.values.truncate(saved.operands);
        self.operands.operands.truncate(saved.operands);
        self.size = saved.size;
        let passes = &self.passes;
        self.memo.retain(|_, t| match t {
            Temp::Inst { pass, position } => passes.get(*pass).is_some_and(|p| *position < p.insts.len()),
            Temp::Acc { .. } => true,
        });
    }

    /// Orders the passes and numbers the values.
    fn finish(mut self) -> Result<Lowered, Illegal> {
        if self.operands.values.len() > MAX_OPERANDS && self.members.len() > 1 {
            return Err(Illegal::Together);
        }
        let mut order: Vec<usize> = (0..self.passes.len()).collect();
        order.retain(|p| {
            let p = &self.passes[*p];
            !(p.insts.is_empty() && p.accs.is_empty() && p.stores.is_empty())
        });
        order.sort_by_key(|p| self.turn(*p));
        let mut first = vec![0; self.passes.len()];
        let mut next = 0;
        for p in &order {
            first[*p] = next;
            next += self.passes[*p].insts.len() + self.passes[*p].accs.len();
        }
        let insts: Vec<usize> = self.passes.iter().map(|p| p.insts.len()).collect();
        let id = |t: &Temp| match t {
            Temp::Inst { pass, position } => ValueId::from(first[*pass] + position),
            Temp::Acc { pass, position } => ValueId::from(first[*pass] + insts[*pass] + position),
        };
        let mut passes = Vec::new();
        for p in order {
            let filling = &mut self.passes[p];
            let numbered = |(inst, args): (Inst, SmallVec<[Temp; 3]>)| {
                let a = |i: usize| id(&args[i]);
                match inst {
                    Inst::Literal(_) | Inst::Index(_) | Inst::Load { .. } => inst,
                    Inst::LoadWithin { operand, index, along } => {
                        Inst::LoadWithin { operand, index, along: added(along, &args, &id) }
                    }
                    Inst::Within(along) => Inst::Within(added(along, &args, &id)),
                    Inst::Unary(u, _) => Inst::Unary(u, a(0)),
                    Inst::Binary(b, _, _) => Inst::Binary(b, a(0), a(1)),
                    Inst::Compare(c, _, _) => Inst::Compare(c, a(0), a(1)),
                    Inst::Select(..) => Inst::Select(a(0), a(1), a(2)),
                    Inst::IntegerPow(n, _) => Inst::IntegerPow(n, a(0)),
                    Inst::Convert(d, _) => Inst::Convert(d, a(0)),
                }
            };
            passes.push(Pass {
                loops: filling.loops.to_vec(),
                insts: std::mem::take(&mut filling.insts).into_iter().map(numbered).collect(),
                accs: filling.accs.iter().map(|(kind, t)| Acc { kind: *kind, value: id(t) }).collect(),
                stores: filling.stores.iter().map(|(s, t)| Store { value: id(t), ..s.clone() }).collect(),
            });
        }
        const SHOWN: usize = 5;
        let mut name = self.names.iter().take(SHOWN).copied().collect::<Vec<_>>().join("_");
        if self.names.len() > SHOWN {
            name.push_str("_etc");
        }
        if name.is_empty() {
            name.push_str("fill");
        }
        let reads: usize = passes.iter().map(|p| p.insts.iter().filter(|i| is_read(i)).count()).sum();
        let body = Body::Loops(LoopNest { domain: self.domain.to_vec(), passes });
        let size = self.size + 4 * reads;
        Ok(Lowered { body, operands: self.operands.operands, values: self.operands.values, name, size })
    }
}

/// Whether an instruction is a number or a load.
fn is_read(inst: &Inst) -> bool {
    matches!(inst, Inst::Literal(_) | Inst::Load { .. } | Inst::LoadWithin { .. })
}

/// Positions with the values added to them, which `temps` are in order.
fn added(mut along: Positions, temps: &[Temp], id: &dyn Fn(&Temp) -> ValueId) -> Positions {
    let values = along.iter_mut().filter_map(|a| a.plus.as_mut());
    values.zip(temps).for_each(|(value, t)| *value = id(t));
    along
}

/// How much had been emitted when a placement was tried.
struct Saved {
    passes: Vec<(usize, usize, usize)>,
    operands: usize,
    rereads: usize,
    size: usize,
}

/// Stands for an operand until values are numbered.
const PLACEHOLDER: ValueId = ValueId(u32::MAX);

/// A pass that reduces has a loop, even over a single element.
fn keep_one(loops: &[usize]) -> SmallVec<[usize; 4]> {
    if loops.is_empty() { smallvec![1] } else { loops.into() }
}

/// The ways to pick the domain's extents, in order, among a value's: positions increase. The
/// leading axes come first.
fn placements(own: &[usize], domain: &[usize]) -> Vec<SmallVec<[usize; 4]>> {
    let mut found: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new()];
    for extent in domain {
        let mut longer = Vec::new();
        for f in &found {
            let from = f.last().map_or(0, |l| l + 1);
            for (i, _) in own.iter().enumerate().skip(from).filter(|(_, e)| *e == extent) {
                let mut g = f.clone();
                g.push(i);
                longer.push(g);
            }
        }
        found = longer;
    }
    found.truncate(8);
    found
}

/// What a reduction over no elements gives.
fn identity(kind: Reduce, dtype: Dtype) -> Literal {
    match (kind, dtype) {
        (Reduce::Sum, _) => Literal::new(dtype, 0.0),
        (Reduce::Prod, _) => Literal::new(dtype, 1.0),
        // Which saturates to the smallest integer.
        (Reduce::Max, _) => Literal::new(dtype, f64::NEG_INFINITY),
    }
}
