//! Kernels of few points with long loops, as several kernels of many points.
//!
//! A domain point runs on one workgroup at most, so that the sum of ten million elements would keep
//! one of a device's hundred multiprocessors busy. Here a long pass becomes a kernel by itself:
//!
//! ```text
//! for r0 in 0..10000000 { %1 = reduce_sum (load b0[r0]) }   once { store b1[0] = exp %1 }
//!     ──▶ parallel p0 in 0..256 { for r0 in 0..39062 { sum of b0[39062*p0 + r0] } store s0[p0] }
//!     ──▶ the same for the 128 elements that are left: store s1[0]
//!     ──▶ for r0 in 0..256 { sum of s0[r0] }   once { store b1[0] = exp (sum + s1[0]) }
//! ```
//!
//! A long pass that only stores becomes a kernel over its loops as well. What later passes use of
//! earlier ones goes through scratch memory, an element per point.

use super::{Binding, Memory, Part, Spread};
use egrad_ir::kernel::{Acc, Affine, Along, Body, Inst, Kernel, LoopNest, Operand, Pass, Positions, Store, ValueId};
use egrad_ir::op::{Binary, Reduce};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Dtype, Result};
use hashbrown::HashMap;

/// What is worth splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worth {
    /// Domain points that keep the device busy: kernels of as many are left whole.
    pub(crate) points: usize,
    /// Iterations worth a workgroup: a pass is cut into pieces of no fewer.
    pub(crate) piece: usize,
}

impl Worth {
    /// Sixteen elements for each invocation of 256, on a device of a hundred multiprocessors.
    pub(crate) const USUAL: Worth = Worth { points: 256, piece: 4096 };

    /// Whatever it is worth, so many pieces of each long pass of a kernel of that many points.
    pub(super) fn at_least(points: usize, pieces: usize) -> Worth {
        Worth { points: points.saturating_mul(pieces), piece: 1 }
    }

    /// In how many pieces to cut a pass of that many iterations at each of that many points.
    fn pieces(self, points: usize, iterations: usize) -> Option<usize> {
        let pieces = (iterations / self.piece).min(self.points.div_ceil(points));
        (points < self.points && pieces >= 2).then_some(pieces)
    }
}

/// The part in one piece, or split where it has long passes at few points.
///
/// # Errors
/// [`egrad_ir::Error::Internal`] if the kernel is invalid.
pub(super) fn split(part: Part, worth: Worth, spread: &mut Spread) -> Result<Vec<Part>> {
    let nest = match &part.kernel.body {
        Body::Loops(nest) => nest,
        Body::Contract(_)
        | Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_) => return Ok(vec![part]),
    };
    let points = nest.domain.iter().product();
    let cuts: Vec<Option<usize>> =
        nest.passes.iter().map(|pass| worth.pieces(points, pass.loops.iter().product())).collect();
    if cuts.iter().all(Option::is_none) || !separable(nest, &cuts) {
        return Ok(vec![part]);
    }
    let dtypes = nest.dtypes(&part.kernel.operands)?;
    let mut splitter = Splitter::new(&part, nest, dtypes, spread);
    for (at, (pass, cut)) in nest.passes.iter().zip(cuts).enumerate() {
        match cut {
            None => splitter.keep(at, pass),
            Some(_) if pass.accs.is_empty() => splitter.flatten(at, pass),
            Some(pieces) => splitter.cut(at, pass, pieces),
        }
    }
    splitter.flush(nest.passes.len());
    Ok(splitter.parts)
}

/// Whether each written operand is written by one of the kernels alone.
fn separable(nest: &LoopNest, cuts: &[Option<usize>]) -> bool {
    let mut writer: HashMap<usize, usize> = HashMap::new();
    let mut group = 0;
    nest.passes.iter().zip(cuts).all(|(pass, cut)| {
        // Long passes stand alone; what lies between two of them stays together.
        group += usize::from(cut.is_some());
        let own = group;
        group += usize::from(cut.is_some());
        pass.stores.iter().all(|s| *writer.entry(s.operand).or_insert(own) == own)
    })
}

/// How a kernel in the making gets a value of the whole kernel.
#[derive(Clone, Copy)]
enum Known {
    /// It is this value of the group of passes being made.
    Here(ValueId),
    /// It is in scratch memory, an element per point.
    Stored(usize),
}

struct Splitter<'a> {
    part: &'a Part,
    nest: &'a LoopNest,
    dtypes: Vec<Dtype>,
    /// Per value the last pass that uses it.
    last_use: Vec<usize>,
    /// Per pass its first value.
    first: Vec<usize>,
    /// Values of the whole kernel that are known so far.
    known: HashMap<ValueId, Known>,
    /// The passes that stay together at present.
    group: Group,
    parts: Vec<Part>,
    spread: &'a mut Spread,
}

/// A kernel in the making.
#[derive(Default)]
struct Group {
    passes: Vec<Pass>,
    /// Values so far, accumulators included.
    values: usize,
    bindings: Vec<(Operand, Binding)>,
}

impl Group {
    /// The operand with this binding.
    fn operand(&mut self, operand: Operand, binding: Binding) -> usize {
        // One may be read here and written there: then it is written, and loaded after its store.
        if let Some(at) = self.bindings.iter().position(|(_, b)| *b == binding) {
            self.bindings[at].0.written |= operand.written;
            return at;
        }
        self.bindings.push((operand, binding));
        self.bindings.len() - 1
    }

    fn inst(&mut self, pass: &mut Pass, inst: Inst) -> ValueId {
        pass.insts.push(inst);
        self.values += 1;
        ValueId::from(self.values - 1)
    }
}

impl<'a> Splitter<'a> {
    fn new(part: &'a Part, nest: &'a LoopNest, dtypes: Vec<Dtype>, spread: &'a mut Spread) -> Splitter<'a> {
        let mut last_use = vec![0; dtypes.len()];
        let mut first = Vec::new();
        let mut next = 0;
        for (at, pass) in nest.passes.iter().enumerate() {
            first.push(next);
            next += pass.insts.len() + pass.accs.len();
            let used = pass.insts.iter().flat_map(Inst::args).chain(pass.stores.iter().map(|s| s.value));
            for value in used {
                last_use[value.index()] = at;
            }
        }
        let (known, group, parts) = (HashMap::new(), Group::default(), Vec::new());
        Splitter { part, nest, dtypes, last_use, first, known, group, parts, spread }
    }

    /// The strides of a point's number along the domain.
    fn point(&self) -> Affine {
        Affine { offset: 0, strides: egrad_ir::Shape::from(&self.nest.domain[..]).strides().into_iter().collect() }
    }

    fn points(&self) -> usize {
        self.nest.domain.iter().product()
    }

    /// New scratch memory of so many elements.
    fn scratch(&mut self, dtype: Dtype, len: usize) -> usize {
        self.spread.scratch.push(Buffer { dtype, len });
        self.spread.scratch.len() - 1
    }

    /// The present group's operand for scratch memory.
    fn bind_scratch(&mut self, scratch: usize, written: bool) -> usize {
        let Buffer { dtype, len } = self.spread.scratch[scratch];
        self.group.operand(Operand { dtype, len, written }, Binding::fixed(Memory::Scratch(scratch), len))
    }

    /// The present group's operand for one of the whole kernel's.
    fn bind(&mut self, operand: usize, written: bool) -> usize {
        let of = Operand { written, ..self.part.kernel.operands[operand].clone() };
        self.group.operand(of, self.part.bindings[operand].clone())
    }

    /// A value of the whole kernel, in the pass in the making; `rank` is how many axes it has.
    fn value(&mut self, pass: &mut Pass, values: &mut HashMap<ValueId, ValueId>, rank: usize, id: ValueId) -> ValueId {
        if let Some(known) = values.get(&id) {
            return *known;
        }
        match self.known.get(&id) {
            Some(Known::Here(here)) => *here,
            Some(Known::Stored(scratch)) => {
                let operand = self.bind_scratch(*scratch, false);
                let mut index = self.point();
                index.strides.resize(rank, 0);
                let loaded = self.group.inst(pass, Inst::Load { operand, index });
                values.insert(id, loaded);
                loaded
            }
            None => unreachable!("the verifier saw that {id} is visible"),
        }
    }

    /// Translates a pass, or a piece of it, into the present group, with that many axes.
    fn translate(&mut self, at: usize, pass: &Pass, rank: usize, cut: Option<Cut>) -> Translated {
        let index = |a: &Affine| cut.map_or_else(|| a.clone(), |cut| cut.index(a));
        let along = |a: &Along| cut.map_or_else(|| a.clone(), |cut| cut.along(a));
        let mut made = Pass::default();
        let mut values: HashMap<ValueId, ValueId> = HashMap::new();
        for (next, inst) in (self.first[at]..).zip(&pass.insts) {
            let args: Vec<ValueId> =
                inst.args().into_iter().map(|id| self.value(&mut made, &mut values, rank, id)).collect();
            let inst = match inst {
                Inst::Literal(l) => Inst::Literal(*l),
                Inst::Index(a) => Inst::Index(index(a)),
                Inst::Load { operand, index: a } => Inst::Load { operand: self.bind(*operand, false), index: index(a) },
                Inst::LoadWithin { operand, index: a, along: of } => Inst::LoadWithin {
                    operand: self.bind(*operand, false),
                    index: index(a),
                    along: added(of.iter().map(&along).collect(), &args),
                },
                Inst::Within(of) => Inst::Within(added(of.iter().map(&along).collect(), &args)),
                Inst::Unary(op, _) => Inst::Unary(*op, args[0]),
                Inst::Binary(op, ..) => Inst::Binary(*op, args[0], args[1]),
                Inst::Compare(op, ..) => Inst::Compare(*op, args[0], args[1]),
                Inst::Select(..) => Inst::Select(args[0], args[1], args[2]),
                Inst::IntegerPow(n, _) => Inst::IntegerPow(*n, args[0]),
                Inst::Convert(to, _) => Inst::Convert(*to, args[0]),
            };
            let id = self.group.inst(&mut made, inst);
            values.insert(ValueId::from(next), id);
        }
        for store in &pass.stores {
            let value = self.value(&mut made, &mut values, rank, store.value);
            let operand = self.bind(store.operand, true);
            made.stores.push(Store { operand, index: index(&store.index), value });
        }
        Translated { pass: made, values }
    }

    /// A pass that stays as it is.
    fn keep(&mut self, at: usize, pass: &Pass) {
        let rank = self.nest.domain.len() + pass.loops.len();
        let Translated { pass: mut made, values } = self.translate(at, pass, rank, None);
        made.loops.clone_from(&pass.loops);
        if pass.loops.is_empty() {
            self.known.extend(values.into_iter().map(|(id, here)| (id, Known::Here(here))));
        } else {
            self.accumulate(at, pass, &mut made, &values);
        }
        self.group.passes.push(made);
    }

    /// Gives the pass in the making the accumulators of `pass`; they are then known.
    fn accumulate(&mut self, at: usize, pass: &Pass, made: &mut Pass, values: &HashMap<ValueId, ValueId>) {
        let first = self.first[at] + pass.insts.len();
        for (i, acc) in pass.accs.iter().enumerate() {
            made.accs.push(Acc { kind: acc.kind, value: values[&acc.value] });
            self.known.insert(ValueId::from(first + i), Known::Here(ValueId::from(self.group.values)));
            self.group.values += 1;
        }
    }

    /// A long pass that only stores: a kernel over the domain and its loops.
    fn flatten(&mut self, at: usize, pass: &Pass) {
        self.flush(at);
        let domain = [&self.nest.domain[..], &pass.loops].concat();
        let made = self.translate(at, pass, domain.len(), None).pass;
        self.group.passes.push(made);
        self.finish(domain);
    }

    /// A long pass that accumulates: its pieces, each by itself, and then all of them together, in
    /// a group that goes on with the next passes.
    fn cut(&mut self, at: usize, pass: &Pass, pieces: usize) {
        self.flush(at);
        let d = self.nest.domain.len();
        // Along the longest loop, with as few elements left over as equal pieces allow.
        let axis = (0..pass.loops.len()).max_by_key(|i| pass.loops[*i]).unwrap_or(0);
        let extent = pass.loops[axis];
        let length = extent.div_ceil(pieces.min(extent));
        let whole = extent / length;
        let rest = extent - whole * length;

        let inner = |loops: &[usize], length: usize| {
            let mut loops = loops.to_vec();
            loops[axis] = length;
            loops
        };
        let mut stored = Vec::new();
        for (count, length, start) in [(whole, length, 0), (1, rest, whole * length)] {
            if length == 0 {
                continue;
            }
            let rank = d + 1 + pass.loops.len();
            let cut = Cut { at: d, axis: d + axis, length, start };
            let Translated { pass: mut made, values } = self.translate(at, pass, rank, Some(cut));
            made.loops = inner(&pass.loops, length);
            let mut store = Pass::default();
            let mut scratches = Vec::new();
            for acc in &pass.accs {
                made.accs.push(Acc { kind: acc.kind, value: values[&acc.value] });
                let value = ValueId::from(self.group.values);
                self.group.values += 1;
                let scratch = self.scratch(self.dtypes[acc.value.index()], self.points() * count);
                let operand = self.bind_scratch(scratch, true);
                store.stores.push(Store { operand, index: self.piece(count), value });
                scratches.push(scratch);
            }
            self.group.passes.extend([made, store]);
            self.finish([&self.nest.domain[..], &[count]].concat());
            stored.push(scratches);
        }

        let mut gather = Pass { loops: vec![whole], ..Pass::default() };
        let partial: Vec<ValueId> =
            stored[0].iter().map(|scratch| self.load(&mut gather, *scratch, self.piece(whole))).collect();
        let mut totals = Vec::new();
        for (acc, value) in pass.accs.iter().zip(partial) {
            gather.accs.push(Acc { kind: acc.kind, value });
            totals.push(ValueId::from(self.group.values));
            self.group.values += 1;
        }
        self.group.passes.push(gather);
        if let Some(rest) = stored.get(1) {
            let mut add = Pass::default();
            for ((total, scratch), acc) in totals.iter_mut().zip(rest).zip(&pass.accs) {
                let left = self.load(&mut add, *scratch, self.point());
                let op = match acc.kind {
                    Reduce::Sum => Binary::Add,
                    Reduce::Max => Binary::Max,
                    Reduce::Prod => Binary::Mul,
                };
                *total = self.group.inst(&mut add, Inst::Binary(op, *total, left));
            }
            self.group.passes.push(add);
        }
        let first = self.first[at] + pass.insts.len();
        for (i, total) in totals.into_iter().enumerate() {
            self.known.insert(ValueId::from(first + i), Known::Here(total));
        }
    }

    /// The element of a piece: `count` to a point.
    fn piece(&self, count: usize) -> Affine {
        let mut index = self.point();
        index.strides.iter_mut().for_each(|s| *s *= count);
        index.strides.push(1);
        index
    }

    fn load(&mut self, pass: &mut Pass, scratch: usize, index: Affine) -> ValueId {
        let operand = self.bind_scratch(scratch, false);
        self.group.inst(pass, Inst::Load { operand, index })
    }

    /// Ends the group of passes over the domain: what passes from `next` on use of it is stored.
    fn flush(&mut self, next: usize) {
        let mut here: Vec<(ValueId, ValueId)> = Vec::new();
        self.known.retain(|id, known| match known {
            Known::Here(value) => {
                if self.last_use[id.index()] >= next {
                    here.push((*id, *value));
                }
                false
            }
            Known::Stored(_) => true,
        });
        here.sort_unstable();
        if self.group.passes.is_empty() {
            return;
        }
        let mut spill = Pass::default();
        for (id, value) in here {
            let scratch = self.scratch(self.dtypes[id.index()], self.points());
            let operand = self.bind_scratch(scratch, true);
            spill.stores.push(Store { operand, index: self.point(), value });
            self.known.insert(id, Known::Stored(scratch));
        }
        if !spill.stores.is_empty() {
            self.group.passes.push(spill);
        }
        self.finish(self.nest.domain.clone());
    }

    /// Makes a kernel of the group, over that domain.
    fn finish(&mut self, domain: Vec<usize>) {
        let Group { passes, values: _, bindings } = std::mem::take(&mut self.group);
        let (operands, bindings) = bindings.into_iter().unzip();
        let whole = &self.part.kernel;
        let name = format!("{}_{}", whole.name, self.parts.len());
        let body = Body::Loops(LoopNest { domain, passes });
        let (guard, when) = (self.part.guard.clone(), self.part.when.clone());
        let kernel = Kernel { name, operands, body, numerics: whole.numerics };
        self.parts.push(Part { kernel, bindings, guard, when });
    }
}

/// A loop cut into pieces of a length, from a start on; the number of the piece is a new axis.
#[derive(Clone, Copy)]
struct Cut {
    /// Where the new axis goes.
    at: usize,
    /// The axis of the loop.
    axis: usize,
    length: usize,
    start: usize,
}

impl Cut {
    fn index(self, a: &Affine) -> Affine {
        let stride = a.strides[self.axis];
        let mut strides = a.strides.clone();
        strides.insert(self.at, stride * self.length);
        Affine { offset: a.offset + stride * self.start, strides }
    }

    fn along(self, a: &Along) -> Along {
        let stride = a.strides[self.axis];
        let mut strides = a.strides.clone();
        strides.insert(self.at, stride * self.length as isize);
        Along { offset: a.offset + stride * self.start as isize, strides, ..a.clone() }
    }
}

/// Positions with these values added to those that have one added.
fn added(mut along: Positions, values: &[ValueId]) -> Positions {
    along.iter_mut().filter_map(|a| a.plus.as_mut()).zip(values).for_each(|(plus, value)| *plus = *value);
    along
}

/// A pass of the whole kernel in terms of a group, with the group's values for the pass's own.
struct Translated {
    pass: Pass,
    values: HashMap<ValueId, ValueId>,
}
