//! Extraction: which way to compute each value, and which values share a kernel.
//!
//! A [`Plan`] has three choices per value: the alternative that computes it; whether a kernel
//! keeps it (and writes it, if another one reads it) or its readers compute it inline; and the
//! kernel it is kept in. The price of a plan is the exact cost of its kernels
//! ([`crate::cost`]), each lowered for real. The search starts from a greedy plan whose kernels
//! are acyclic by construction and tries single changes, keeping those that pay; every change is
//! priced by lowering only the kernels it touches, and taken back by an undo log. Its effort is
//! bounded by a count of changes tried, not by a clock, so the result is reproducible.

use crate::Fusion;
use crate::choices::{Alternative, Choices, Source, ValueIx};
use crate::cost::{Machine, kernel_ns};
use crate::lower::{
    self, Chosen, Illegal, Lowered, MAX_INSTS, MAX_OPERANDS, MAX_SIZE, extents, is_alone, is_reduction, quarters,
};
use egrad_ir::kernel::Body;
use egrad_ir::{Op, Unary};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::collections::BinaryHeap;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A parameter, a literal, or not needed.
    Source,
    /// Computed by whoever reads it.
    Inline,
    /// Kept by the kernel of that number.
    Kernel(u32),
    /// A reshape of what is in memory: the same elements.
    Alias,
}

/// A kernel as lowered and priced.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) lowered: Lowered,
    pub(crate) ns: f64,
}

/// The choices made.
pub(crate) struct Plan<'a> {
    choices: &'a Choices,
    machine: &'a Machine,
    strict: bool,
    alternative: Vec<u32>,
    /// Values in an order in which operands come first, whatever alternatives are chosen.
    rank: Vec<u32>,
    place: Vec<Place>,
    /// Per value how many barriers it is behind. Kernels don't keep values of different numbers: what is
    /// computed again would be kept beside what it is computed again for not keeping.
    behind: Vec<u32>,
    /// Per kernel the values it keeps, operands before users.
    members: Vec<SmallVec<[ValueIx; 4]>>,
    /// Per kernel what it is; none where nobody reads what it would write.
    groups: Vec<Option<Box<Group>>>,
    /// Products computed in the way that is not the default for their size.
    flipped: HashSet<ValueIx>,
    /// Per value the kernels that load it; results count as read by [`RESULT`].
    readers: Vec<SmallVec<[u32; 2]>>,
    users: Vec<SmallVec<[ValueIx; 4]>>,
    total_ns: f64,
    log: Vec<Undo>,
    /// Per kernel how often it has changed, and the changes tried since then in vain.
    version: Vec<u32>,
    tried: HashSet<Change>,
}

/// A change that may be tried, with the versions of the kernels it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Change {
    Merge(u32, u32, [u32; 2]),
    Flip(ValueIx, u32),
    Part(ValueIx, u32),
    Take(ValueIx, u32, u32),
}

/// Stands for the caller among the readers of a value.
const RESULT: u32 = u32::MAX;

/// One entry of the undo log.
enum Undo {
    Place(ValueIx, Place),
    Alternative(ValueIx, u32),
    Group(u32, Option<Box<Group>>),
    Members(u32, SmallVec<[ValueIx; 4]>),
    Flip(ValueIx),
    Readers(ValueIx, SmallVec<[u32; 2]>),
    Total(f64),
}

impl Chosen for Plan<'_> {
    fn choices(&self) -> &Choices {
        self.choices
    }

    fn alternative(&self, v: ValueIx) -> &Alternative {
        &self.choices.value(v).alternatives[self.alternative[v.index()] as usize]
    }

    fn in_memory(&self, v: ValueIx) -> bool {
        match self.place[v.index()] {
            Place::Source => matches!(self.choices.value(v).source, Source::Param(_)),
            Place::Inline => false,
            Place::Kernel(_) => true,
            Place::Alias => self.in_memory(self.storage(v)),
        }
    }

    fn storage(&self, mut v: ValueIx) -> ValueIx {
        while self.place[v.index()] == Place::Alias {
            v = self.alternative(v).args[0];
        }
        v
    }

    fn strict(&self) -> bool {
        self.strict
    }
}

/// Chooses how to compute the results. `None` if a call's operands depend on its results, as they may
/// in an e-graph that knows them to be equal to something else.
pub(crate) fn extract<'a>(
    choices: &'a Choices,
    machine: &'a Machine,
    strict: bool,
    fusion: Fusion,
) -> Option<Plan<'a>> {
    let (alternative, rank) = shallowest(choices);
    if choices.results.iter().any(|r| rank[r.index()] == u32::MAX) {
        return None;
    }
    let n = choices.values.len();
    let mut plan = Plan {
        choices,
        machine,
        strict,
        alternative,
        rank,
        place: vec![Place::Source; n],
        behind: vec![0; n],
        members: Vec::new(),
        groups: Vec::new(),
        flipped: HashSet::new(),
        readers: vec![SmallVec::new(); n],
        users: vec![SmallVec::new(); n],
        total_ns: 0.0,
        log: Vec::new(),
        version: Vec::new(),
        tried: HashSet::new(),
    };
    plan.start(fusion);
    match fusion {
        Fusion::Search => plan.search(),
        Fusion::Off => {}
    }
    Some(plan)
}

/// Per value the alternative of least height (the cheaper one where heights tie), and a rank in
/// which the operands of that alternative come first. Works from the leaves up, so the choice has
/// no cycle.
fn shallowest(choices: &Choices) -> (Vec<u32>, Vec<u32>) {
    let n = choices.values.len();
    let mut parents: Vec<SmallVec<[(u32, u32); 4]>> = vec![SmallVec::new(); n];
    let mut waiting: Vec<SmallVec<[u32; 2]>> = Vec::with_capacity(n);
    let mut level: Vec<ValueIx> = Vec::new();
    let mut ready: Vec<(ValueIx, u32)> = Vec::new();
    for (i, v) in choices.values.iter().enumerate() {
        let mut counts = SmallVec::new();
        for (a, args) in choices.ways(ValueIx::from(i)).into_iter().enumerate() {
            counts.push(args.len() as u32);
            for arg in args {
                parents[arg.index()].push((i as u32, a as u32));
            }
            if args.is_empty() {
                ready.push((ValueIx::from(i), a as u32));
            }
        }
        waiting.push(counts);
        match v.source {
            Source::Param(_) | Source::Literal(_) => level.push(ValueIx::from(i)),
            Source::Call(_) | Source::Computed => {}
        }
    }
    let mut chosen = vec![u32::MAX; n];
    let mut rank = vec![u32::MAX; n];
    let mut next = 0;
    loop {
        // Of the alternatives that became possible at this height, the cheapest per value.
        ready.sort_by(|(u, a), (v, b)| {
            let price = |v: &ValueIx, a: &u32| op_price(choices, *v, *a);
            u.cmp(v).then(price(u, a).total_cmp(&price(v, b))).then(a.cmp(b))
        });
        for (v, a) in ready.drain(..) {
            let made = matches!(choices.value(v).source, Source::Call(_) | Source::Computed);
            if rank[v.index()] == u32::MAX && made && chosen[v.index()] == u32::MAX {
                chosen[v.index()] = a;
                level.push(v);
            }
        }
        if level.is_empty() {
            return (chosen.into_iter().map(|c| if c == u32::MAX { 0 } else { c }).collect(), rank);
        }
        for v in level.drain(..) {
            rank[v.index()] = next;
            next += 1;
            for (user, a) in std::mem::take(&mut parents[v.index()]) {
                let count = &mut waiting[user as usize][a as usize];
                *count -= 1;
                if *count == 0 {
                    ready.push((ValueIx(user), a));
                }
            }
        }
    }
}

/// A rough price of an alternative by itself, for breaking ties.
fn op_price(choices: &Choices, v: ValueIx, a: u32) -> f64 {
    let value = choices.value(v);
    // A call is the only way to make its results.
    let Some(alternative) = value.alternatives.get(a as usize) else { return 0.0 };
    let size = |v: ValueIx| choices.value(v).aval.shape.size() as f64;
    match &alternative.op {
        Op::Constant(_) => 0.0,
        Op::Iota { .. } | Op::BroadcastInDim { .. } | Op::Reshape(_) | Op::Unary(Unary::Barrier) => 0.1,
        Op::Transpose(_) => 0.2,
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_) => size(v),
        Op::IntegerPow(n) => size(v) * (1.0 + 0.1 * f64::from(n.unsigned_abs())),
        Op::Reduce { .. } => size(alternative.args[0]),
        Op::DotGeneral(_) => size(alternative.args[0]).max(size(alternative.args[1])),
        Op::Slice { .. } | Op::Reverse(_) => 0.1,
        Op::Pad { .. } | Op::Concatenate(_) | Op::Take { .. } => size(v),
        Op::Scatter { .. } => size(v) + size(alternative.args[2]),
        Op::Linalg(_) => {
            let x = &choices.value(alternative.args[0]).aval.shape;
            size(v) * x.last().copied().unwrap_or(1) as f64
        }
        Op::Argsort(axis) => size(v) * (choices.value(v).aval.shape[*axis] as f64 + 1.0).log2(),
    }
}

/// Whether a view or counter costs nothing to repeat in every reader.
fn is_free(op: &Op) -> bool {
    match op {
        Op::Constant(_)
        | Op::Iota { .. }
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Reverse(_)
        | Op::Unary(Unary::Barrier) => true,
        Op::Reduce { axes, .. } => axes.is_empty(),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::DotGeneral(_)
        | Op::Pad { .. }
        | Op::Concatenate(_)
        | Op::Take { .. }
        | Op::Scatter { .. }
        | Op::Argsort(_)
        | Op::Linalg(_) => false,
    }
}

/// Whether the result lies in memory as the operand does.
fn is_same_memory(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Unary(Unary::Barrier))
}

/// A kernel of the greedy plan while it is still open.
#[derive(Default)]
struct Cluster {
    members: SmallVec<[ValueIx; 4]>,
    size: usize,
    loads: SmallVec<[ValueIx; 12]>,
}

impl<'a> Plan<'a> {
    /// The predicted time of all kernels, in nanoseconds.
    pub(crate) fn total_ns(&self) -> f64 {
        self.total_ns
    }

    /// The kernels, by number.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        self.groups.iter().enumerate().filter_map(|(i, g)| g.as_deref().map(|g| (i as u32, g)))
    }

    /// The values that a kernel keeps.
    pub(crate) fn members(&self, k: u32) -> &[ValueIx] {
        &self.members[k as usize]
    }

    /// Whether whoever reads the value computes it.
    pub(crate) fn is_inline(&self, v: ValueIx) -> bool {
        self.place[v.index()] == Place::Inline
    }

    /// The values the results depend on as chosen, operands first.
    pub(crate) fn live(&self) -> Vec<ValueIx> {
        let mut seen = vec![false; self.choices.values.len()];
        let mut stack = self.choices.results.clone();
        let mut live = Vec::new();
        while let Some(v) = stack.pop() {
            if std::mem::replace(&mut seen[v.index()], true) {
                continue;
            }
            live.push(v);
            match self.choices.value(v).source {
                Source::Param(_) | Source::Literal(_) => {}
                Source::Computed => stack.extend(&self.alternative(v).args),
                // A call writes all its results.
                Source::Call(c) => {
                    stack.extend(&self.choices.calls[c].args);
                    stack.extend(&self.choices.calls[c].results);
                }
            }
        }
        live.sort_by_key(|v| self.rank[v.index()]);
        live
    }

    /// The greedy plan: free views and values with one reader are inline, the rest is kept, in the
    /// newest kernel over the same extents that comes after all its operands.
    fn start(&mut self, fusion: Fusion) {
        let live = self.live();
        for v in &live {
            if self.choices.value(*v).source == Source::Computed {
                for a in self.alternative(*v).args.clone() {
                    if !self.users[a.index()].contains(v) {
                        self.users[a.index()].push(*v);
                    }
                }
            }
        }
        let choices = self.choices;
        for v in &live {
            self.behind[v.index()] = self.barriers(*v);
        }
        let mut results = vec![false; choices.values.len()];
        for r in &choices.results {
            results[r.index()] = true;
        }
        // What is called reads memory.
        let mut kept = vec![false; choices.values.len()];
        for v in &live {
            if let Source::Call(c) = choices.value(*v).source {
                choices.calls[c].args.iter().for_each(|a| kept[a.index()] = true);
            }
        }
        // What reads memory alone has its operands there.
        for v in live.iter().filter(|v| choices.value(**v).source == Source::Computed) {
            let alternative = self.alternative(*v);
            if is_alone(&alternative.op) {
                alternative.args.iter().for_each(|a| kept[a.index()] = true);
            }
        }
        // A result that reshapes shares the memory of what it reshapes, which is kept then.
        for v in live.iter().rev() {
            if choices.value(*v).source != Source::Computed {
                continue;
            }
            let alternative = self.alternative(*v);
            let (arg, wanted) = (alternative.args.first().copied(), results[v.index()] || kept[v.index()]);
            if let (true, Some(arg)) = (is_same_memory(&alternative.op), arg)
                && (wanted || fusion == Fusion::Off)
                && !matches!(choices.value(arg).source, Source::Literal(_))
            {
                self.place[v.index()] = Place::Alias;
                kept[arg.index()] = true;
            }
        }
        // Computing a value in a reader that runs over more points than it has would repeat it.
        let mut repeated = vec![false; choices.values.len()];
        for v in live.iter().rev() {
            let size = choices.value(*v).aval.shape.size();
            repeated[v.index()] = self.users[v.index()].iter().any(|u| match &self.alternative(*u).op {
                Op::DotGeneral(_) => true,
                Op::BroadcastInDim { .. } | Op::Pad { .. } | Op::Concatenate(_) | Op::Take { .. } => {
                    choices.value(*u).aval.shape.size() > size || repeated[u.index()]
                }
                Op::Reshape(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Reverse(_) | Op::Unary(Unary::Barrier) => {
                    repeated[u.index()]
                }
                Op::Constant(_)
                | Op::Iota { .. }
                | Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Select
                | Op::IntegerPow(_)
                | Op::Convert(_)
                | Op::Reduce { .. }
                | Op::Scatter { .. }
                | Op::Argsort(_)
                | Op::Linalg(_) => false,
            });
        }
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut newest: HashMap<(u32, SmallVec<[usize; 4]>), usize> = HashMap::new();
        // Per value the newest kernel it depends on (counted from 1), how many instructions it has
        // inline, and how many values (views, too) inline one in another.
        let mut after = vec![0usize; choices.values.len()];
        let mut size = vec![0usize; choices.values.len()];
        let mut deep = vec![0usize; choices.values.len()];
        for v in live {
            let value = choices.value(v);
            let i = v.index();
            let wanted = results[i] || kept[i];
            match value.source {
                Source::Param(_) => continue,
                Source::Literal(_) if !wanted && fusion == Fusion::Search => continue,
                Source::Call(c) => {
                    if self.place[i] == Place::Source {
                        let members: SmallVec<[ValueIx; 4]> = choices.calls[c].results.iter().copied().collect();
                        for m in &members {
                            self.place[m.index()] = Place::Kernel(clusters.len() as u32);
                            after[m.index()] = clusters.len() + 1;
                        }
                        clusters.push(Cluster { members, ..Cluster::default() });
                    }
                    continue;
                }
                Source::Literal(_) | Source::Computed => {}
            }
            let args: SmallVec<[ValueIx; 3]> = match value.source {
                Source::Computed => self.alternative(v).args.clone(),
                Source::Param(_) | Source::Literal(_) | Source::Call(_) => SmallVec::new(),
            };
            after[i] = args.iter().map(|a| after[a.index()]).max().unwrap_or(0);
            if self.place[i] == Place::Alias {
                // Read from memory, so by a kernel after the one that writes it.
                after[i] += usize::from(after[i] > 0);
                continue;
            }
            let inline_args = args.iter().filter(|a| self.place[a.index()] == Place::Inline);
            size[i] = inline_args.clone().map(|a| size[a.index()]).sum::<usize>();
            deep[i] = inline_args.map(|a| deep[a.index()]).max().unwrap_or(0) + 1;
            let own = (self.behind[i], extents(&value.aval.shape));
            let mut join = newest.get(&own).copied();
            let leaves = self.leaves(&args);
            if value.source == Source::Computed {
                let alternative = self.alternative(v);
                let free = is_free(&alternative.op);
                let reduction = is_reduction(&alternative.op);
                let op = if let Op::Binary(op) = alternative.op { Some(op) } else { None };
                size[i] += if free { 0 } else { quarters(op, value.aval.dtype) };
                let once = self.users[i].len() <= 1 && !repeated[i] || free;
                let inline = fusion == Fusion::Search && alternative.inline && !reduction;
                if inline && once && !wanted && size[i] <= MAX_SIZE / 2 && deep[i] <= MAX_INSTS {
                    self.place[i] = Place::Inline;
                    continue;
                }
                if fusion == Fusion::Off || self.contracts(v) || !alternative.inline && !reduction {
                    join = None;
                    newest.remove(&own);
                }
                join = join.filter(|k| {
                    let c = &clusters[*k];
                    let ready = if reduction { after[i] < k + 1 } else { after[i] <= k + 1 };
                    let new = leaves.iter().filter(|l| !c.loads.contains(l) && !c.members.contains(l)).count();
                    ready && c.size + size[i] <= MAX_SIZE * 3 / 4 && c.loads.len() + new <= MAX_OPERANDS - 4
                });
            }
            let k = join.unwrap_or(clusters.len());
            if join.is_none() {
                clusters.push(Cluster::default());
                let alone = |a: &Alternative| is_alone(&a.op) || self.contracts(v);
                if fusion == Fusion::Search && !(value.source == Source::Computed && alone(self.alternative(v))) {
                    newest.insert(own, k);
                }
            }
            self.place[i] = Place::Kernel(k as u32);
            let c = &mut clusters[k];
            for leaf in leaves {
                if !c.members.contains(&leaf) && !c.loads.contains(&leaf) {
                    c.loads.push(leaf);
                }
            }
            clusters[k].size += if size[i] == 0 { 4 } else { size[i] };
            clusters[k].members.push(v);
            after[i] = k + 1;
        }
        for r in &choices.results {
            let s = self.storage(*r);
            if !self.readers[s.index()].contains(&RESULT) {
                self.readers[s.index()].push(RESULT);
            }
        }
        self.members = clusters.into_iter().map(|c| c.members).collect();
        self.groups.resize_with(self.members.len(), || None);
        // A kernel's readers come after it: the last ones first, so that each knows its readers.
        let mut dirty: BinaryHeap<u32> = (0..self.members.len() as u32).collect();
        while let Some(k) = dirty.pop() {
            if let Err(e) = self.rebuild(k, &mut dirty) {
                self.repair(k, e, &mut dirty);
            }
        }
        self.log.clear();
    }

    /// How many barriers a value is behind, if that is known of its operands.
    fn barriers(&self, v: ValueIx) -> u32 {
        let most = |args: &[ValueIx]| args.iter().map(|a| self.behind[a.index()]).max().unwrap_or(0);
        match self.choices.value(v).source {
            Source::Param(_) | Source::Literal(_) => 0,
            Source::Call(c) => most(&self.choices.calls[c].args),
            Source::Computed => {
                let alternative = self.alternative(v);
                most(&alternative.args) + u32::from(alternative.op == Op::Unary(Unary::Barrier))
            }
        }
    }

    /// The values in memory, or kept by kernels still open, that computing from `args` reads.
    fn leaves(&self, args: &[ValueIx]) -> SmallVec<[ValueIx; 12]> {
        let mut leaves: SmallVec<[ValueIx; 12]> = SmallVec::new();
        let mut stack: SmallVec<[ValueIx; 12]> = args.into();
        while let Some(a) = stack.pop() {
            match self.place[a.index()] {
                Place::Inline => stack.extend(self.alternative(a).args.iter().copied()),
                Place::Source if !self.in_memory(a) => {}
                Place::Source | Place::Kernel(_) | Place::Alias if leaves.contains(&a) => {}
                Place::Source | Place::Kernel(_) | Place::Alias => leaves.push(a),
            }
        }
        leaves
    }

    /// Whether `v` may be, and by default is, computed as a matrix product.
    fn contracts(&self, v: ValueIx) -> bool {
        let alternative = self.alternative(v);
        let float = self.choices.value(v).aval.dtype.is_float();
        let Op::DotGeneral(dims) = &alternative.op else { return false };
        // Thin products are loops: their operands are read once either way.
        let [x, y] = [&alternative.args[0], &alternative.args[1]].map(|a| &self.choices.value(*a).aval.shape);
        let rows: usize = dims.free(0, x.rank()).iter().map(|a| x[*a]).product();
        let columns: usize = dims.free(1, y.rank()).iter().map(|a| y[*a]).product();
        let depth: usize = dims.contract[0].iter().map(|a| x[*a]).product();
        let large = rows > 1 && columns > 1 && depth > 1 && rows * columns * depth > 64;
        let flipped = self.flipped.contains(&v);
        alternative.contract && !self.strict && float && (large != flipped)
    }

    /// Whether kernel `k` is a call.
    fn calls(&self, k: u32) -> bool {
        let first = self.members[k as usize].first();
        first.is_some_and(|m| matches!(self.choices.value(*m).source, Source::Call(_)))
    }

    /// Whether something outside of its kernel reads the member.
    fn stored(&self, k: u32, v: ValueIx) -> bool {
        self.readers[v.index()].iter().any(|r| *r != k)
    }

    /// Lowers kernel `k` again and marks the kernels that it makes needed or unneeded.
    fn rebuild(&mut self, k: u32, dirty: &mut BinaryHeap<u32>) -> Result<(), Illegal> {
        let members = self.members[k as usize].clone();
        let new = if members.iter().any(|m| self.stored(k, *m)) {
            let computed = |m: &ValueIx| self.choices.value(*m).source == Source::Computed;
            let contract =
                computed(&members[0]) && is_contraction(&self.alternative(members[0]).op) && self.contracts(members[0]);
            let alone = contract || members.iter().any(|m| computed(m) && is_alone(&self.alternative(*m).op));
            let lowered = match (self.choices.value(members[0]).source, alone) {
                (Source::Call(c), _) => lower::call(self, c)?,
                (_, true) if members.len() > 1 => return Err(Illegal::Together),
                (_, true) if contract => lower::contract(self, members[0])?,
                (_, true) => lower::alone(self, members[0])?,
                (_, false) => lower::nest(self, &members, &|v| self.stored(k, v))?,
            };
            let ns = kernel_ns(self.machine, &lowered.operands, &lowered.body);
            Some(Box::new(Group { lowered, ns }))
        } else {
            None
        };
        let loads =
            |g: &Option<Box<Group>>| -> SmallVec<[ValueIx; 12]> { g.iter().flat_map(|g| g.lowered.loads()).collect() };
        let (before, after) = (loads(&self.groups[k as usize]), loads(&new));
        for v in before.iter().filter(|v| !after.contains(v)) {
            self.set_reader(*v, k, false, dirty);
        }
        for v in after.iter().filter(|v| !before.contains(v)) {
            self.set_reader(*v, k, true, dirty);
        }
        let ns = |g: &Option<Box<Group>>| g.as_ref().map_or(0.0, |g| g.ns);
        self.log.push(Undo::Total(self.total_ns));
        self.total_ns += ns(&new) - ns(&self.groups[k as usize]);
        let old = std::mem::replace(&mut self.groups[k as usize], new);
        self.log.push(Undo::Group(k, old));
        Ok(())
    }

    fn set_reader(&mut self, v: ValueIx, k: u32, reads: bool, dirty: &mut BinaryHeap<u32>) {
        let Place::Kernel(owner) = self.place[v.index()] else { return };
        self.log.push(Undo::Readers(v, self.readers[v.index()].clone()));
        let was = self.stored(owner, v);
        if reads {
            self.readers[v.index()].push(k);
        } else {
            self.readers[v.index()].retain(|r| *r != k);
        }
        if was != self.stored(owner, v) {
            dirty.push(owner);
        }
    }

    /// Makes a greedy kernel that can't be lowered into ones that can: it is halved, which makes no
    /// cycle since the first half never depends on the second; a single value has what is inlined
    /// into it kept by kernels of its own.
    fn repair(&mut self, k: u32, error: Illegal, dirty: &mut BinaryHeap<u32>) {
        let members = self.members[k as usize].clone();
        if members.len() > 1 && !self.calls(k) {
            self.split(k, self.rank[members[members.len() / 2].index()], dirty);
        } else {
            let anchor = match error {
                Illegal::Anchor(v) if self.place[v.index()] == Place::Inline => Some(v),
                Illegal::Anchor(_) | Illegal::Together if self.calls(k) => {
                    unreachable!("the operands of calls are kept")
                }
                Illegal::Anchor(_) | Illegal::Together => self.some_inline(members[0]),
            };
            match anchor {
                Some(v) => {
                    // Others that had it inline will load it: what it depends on must not be in
                    // the kernel with what depends on it.
                    let first = self.first_inline(v);
                    let owners = self.owners(first);
                    self.put_in_memory(v, dirty);
                    for owner in owners {
                        self.split(owner, self.rank[first.index()], dirty);
                        dirty.push(owner);
                    }
                }
                // A product no matrix kernel can read where it lies becomes loops.
                None if self.contracts(members[0]) => {
                    self.flipped.insert(members[0]);
                }
                None => unreachable!("a single primitive of values in memory is a kernel"),
            }
        }
        dirty.push(k);
    }

    /// Moves the members of that rank and later into a kernel of their own.
    fn split(&mut self, k: u32, rank: u32, dirty: &mut BinaryHeap<u32>) {
        let members = std::mem::take(&mut self.members[k as usize]);
        let (first, second): (SmallVec<[ValueIx; 4]>, SmallVec<[ValueIx; 4]>) =
            members.into_iter().partition(|m| self.rank[m.index()] < rank);
        if first.is_empty() || second.is_empty() {
            self.members[k as usize] = if first.is_empty() { second } else { first };
            return;
        }
        let new = self.members.len() as u32;
        for m in &second {
            self.place[m.index()] = Place::Kernel(new);
        }
        self.members[k as usize] = first;
        self.members.push(second);
        self.groups.push(None);
        dirty.push(new);
    }

    /// Puts an inlined value in memory; one that reshapes by putting what it reshapes there.
    fn put_in_memory(&mut self, v: ValueIx, dirty: &mut BinaryHeap<u32>) {
        match self.reshaped(v) {
            Some(below) => {
                if self.place[below.index()] == Place::Inline {
                    self.put_in_memory(below, dirty);
                }
                self.log.push(Undo::Place(v, self.place[v.index()]));
                self.place[v.index()] = Place::Alias;
            }
            None => self.new_kernel(v, dirty),
        }
    }

    /// What an inlined value reshapes, if that can be in memory.
    fn reshaped(&self, v: ValueIx) -> Option<ValueIx> {
        let alternative = self.alternative(v);
        let below = *alternative.args.first()?;
        let literal = matches!(self.choices.value(below).source, Source::Literal(_));
        (is_same_memory(&alternative.op) && !literal).then_some(below)
    }

    /// The innermost inlined value that putting `v` in memory puts there.
    fn first_inline(&self, v: ValueIx) -> ValueIx {
        match self.reshaped(v) {
            Some(below) if self.place[below.index()] == Place::Inline => self.first_inline(below),
            Some(_) | None => v,
        }
    }

    fn new_kernel(&mut self, v: ValueIx, dirty: &mut BinaryHeap<u32>) {
        let k = self.members.len() as u32;
        self.log.push(Undo::Place(v, self.place[v.index()]));
        self.place[v.index()] = Place::Kernel(k);
        self.members.push(SmallVec::from_slice(&[v]));
        self.groups.push(None);
        dirty.push(k);
    }

    /// An inlined operand of `v`.
    fn some_inline(&self, v: ValueIx) -> Option<ValueIx> {
        self.alternative(v).args.iter().copied().find(|a| self.place[a.index()] == Place::Inline)
    }

    /// Applies a change by `edit`, which marks the kernels it touches, and keeps it if it pays.
    fn attempt(&mut self, edit: impl FnOnce(&mut Self, &mut BinaryHeap<u32>)) -> bool {
        debug_assert!(self.log.is_empty());
        let before = self.total_ns;
        let kernels = self.members.len();
        let mut dirty = BinaryHeap::new();
        edit(self, &mut dirty);
        let mut legal = true;
        let mut steps = 0;
        while let Some(k) = dirty.pop() {
            steps += 1;
            // Far-reaching changes are rarely worth their price.
            if steps > 64 || self.rebuild(k, &mut dirty).is_err() {
                legal = false;
                break;
            }
        }
        if legal && self.total_ns < before - 1e-6 * before.abs() && self.acyclic() {
            self.version.resize(self.members.len(), 0);
            for undo in self.log.drain(..) {
                if let Undo::Group(k, _) = undo {
                    self.version[k as usize] += 1;
                }
            }
            return true;
        }
        while let Some(undo) = self.log.pop() {
            match undo {
                Undo::Place(v, p) => self.place[v.index()] = p,
                Undo::Alternative(v, a) => self.alternative[v.index()] = a,
                Undo::Group(k, g) => self.groups[k as usize] = g,
                Undo::Members(k, m) => self.members[k as usize] = m,
                Undo::Readers(v, r) => self.readers[v.index()] = r,
                Undo::Flip(v) => {
                    if !self.flipped.remove(&v) {
                        self.flipped.insert(v);
                    }
                }
                Undo::Total(ns) => self.total_ns = ns,
            }
        }
        self.members.truncate(kernels);
        self.groups.truncate(kernels);
        false
    }

    /// Local search: merge and part kernels, inline or keep values, change how products are computed,
    /// take other alternatives; as long as something pays and the budget of changes lasts.
    fn search(&mut self) {
        let mut budget = 32 + 6 * self.members.len().min(4000);
        for _ in 0..4 {
            let before = self.total_ns;
            self.merge_all(&mut budget);
            self.flip_all(&mut budget);
            if budget == 0 || self.total_ns >= before - 1e-6 * before.abs() {
                break;
            }
        }
    }

    fn version_of(&self, k: u32) -> u32 {
        self.version.get(k as usize).copied().unwrap_or(0)
    }

    fn merge_all(&mut self, budget: &mut usize) {
        let mut k = 0;
        let mut spans = self.spans();
        while k < self.members.len() as u32 && *budget > 0 {
            for other in self.neighbours(k) {
                if *budget == 0 || self.groups[k as usize].is_none() {
                    break;
                }
                let (a, b) = (k.min(other), k.max(other));
                let versions = [a, b].map(|k| self.version_of(k));
                if !self.tried.insert(Change::Merge(a, b, versions)) || !self.mergeable(k, other, &spans) {
                    continue;
                }
                *budget -= 1;
                if self.attempt(|plan, dirty| plan.merge(k, other, dirty)) {
                    spans = self.spans();
                }
            }
            k += 1;
        }
    }

    /// Kernels that share a buffer with `k`: what it reads, who reads it, who reads the same.
    fn neighbours(&self, k: u32) -> SmallVec<[u32; 16]> {
        const MOST: usize = 12;
        let mut found: SmallVec<[u32; 16]> = SmallVec::new();
        let mut add = |other: u32| {
            if other != k && other != RESULT && !found.contains(&other) && found.len() < MOST {
                found.push(other);
            }
        };
        let Some(group) = &self.groups[k as usize] else { return SmallVec::new() };
        for v in group.lowered.loads() {
            if let Place::Kernel(owner) = self.place[v.index()] {
                add(owner);
            }
        }
        for m in &self.members[k as usize] {
            self.readers[m.index()].iter().for_each(|r| add(*r));
        }
        for v in group.lowered.loads() {
            self.siblings(v).into_iter().take(4).for_each(&mut add);
        }
        found
    }

    /// Kernels that read `v`.
    fn siblings(&self, v: ValueIx) -> SmallVec<[u32; 4]> {
        match self.place[v.index()] {
            Place::Kernel(_) => self.readers[v.index()].iter().copied().collect(),
            // Readers of parameters aren't kept: the kernels of its users.
            Place::Source | Place::Inline | Place::Alias => {
                let users = self.users[v.index()].iter().take(16);
                users
                    .filter_map(|u| if let Place::Kernel(k) = self.place[u.index()] { Some(k) } else { None })
                    .collect()
            }
        }
    }

    /// How many barriers a kernel's values are behind.
    fn behind_of(&self, k: u32) -> Option<u32> {
        self.members[k as usize].first().map(|m| self.behind[m.index()])
    }

    fn mergeable(&self, a: u32, b: u32, spans: &[(u32, u32)]) -> bool {
        let (Some(x), Some(y)) = (&self.groups[a as usize], &self.groups[b as usize]) else { return false };
        let alone = |g: &Group| !matches!(g.lowered.body, Body::Loops(_));
        !alone(x)
            && !alone(y)
            && x.lowered.size + y.lowered.size <= MAX_SIZE
            && self.behind_of(a) == self.behind_of(b)
            && !self.path_between(a, b, spans)
            && !self.path_between(b, a, spans)
    }

    /// Whether the kernels that the log says have changed depend on nothing that depends on them.
    fn acyclic(&self) -> bool {
        let changed = self.log.iter().filter_map(|u| if let Undo::Group(k, _) = u { Some(*k) } else { None });
        let mut changed: SmallVec<[u32; 16]> = changed.collect();
        changed.sort_unstable();
        changed.dedup();
        let spans = self.spans();
        let cycle = |k: &u32| {
            let loads = self.groups[*k as usize].iter().flat_map(|g| g.lowered.loads());
            let owners = loads.filter_map(|v| match self.place[v.index()] {
                Place::Kernel(owner) => Some(owner),
                Place::Source | Place::Inline | Place::Alias => None,
            });
            owners.into_iter().any(|owner| owner == *k || self.reaches(self.readers_of(*k).collect(), owner, &spans))
        };
        !changed.iter().any(cycle)
    }

    /// The ranks that kernels span, joined where they overlap: a path never leads from one of
    /// these intervals to an earlier one.
    fn spans(&self) -> Vec<(u32, u32)> {
        let rank = |m: &ValueIx| self.rank[m.index()];
        let ends = |m: &SmallVec<[ValueIx; 4]>| Some((m.iter().map(rank).min()?, m.iter().map(rank).max()?));
        let mut all: Vec<(u32, u32)> = self.members.iter().filter_map(ends).collect();
        all.sort_unstable();
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for (first, last) in all {
            match spans.last_mut() {
                Some(span) if first <= span.1 => span.1 = span.1.max(last),
                _ => spans.push((first, last)),
            }
        }
        spans
    }

    /// The kernels that read what `k` stores.
    fn readers_of(&self, k: u32) -> impl Iterator<Item = u32> {
        let readers = self.members[k as usize].iter().flat_map(|m| self.readers[m.index()].iter().copied());
        readers.filter(move |r| *r != RESULT && *r != k)
    }

    /// Whether a path leads from kernel `a` to `b` through others: merging them would make a
    /// cycle.
    fn path_between(&self, a: u32, b: u32, spans: &[(u32, u32)]) -> bool {
        self.reaches(self.readers_of(a).filter(|r| *r != b).collect(), b, spans)
    }

    /// Whether `to` is, or comes after, one of these kernels. Gives up, saying yes, on searches
    /// that get long.
    fn reaches(&self, mut stack: SmallVec<[u32; 32]>, to: u32, spans: &[(u32, u32)]) -> bool {
        let mut seen: SmallVec<[u32; 32]> = SmallVec::new();
        // What comes after all that overlaps `to` can't lead back to it.
        let last = self.members[to as usize].iter().map(|m| self.rank[m.index()]).max().unwrap_or(0);
        let span = spans.partition_point(|(first, _)| *first <= last);
        let limit = span.checked_sub(1).map_or(last, |i| spans[i].1.max(last));
        while let Some(k) = stack.pop() {
            if k == to {
                return true;
            }
            let first = self.members[k as usize].iter().map(|m| self.rank[m.index()]).min().unwrap_or(0);
            if first > limit || seen.contains(&k) {
                continue;
            }
            seen.push(k);
            if seen.len() > 256 {
                return true;
            }
            stack.extend(self.readers_of(k));
        }
        false
    }

    /// Moves the members of kernel `b` into `a`.
    fn merge(&mut self, a: u32, b: u32, dirty: &mut BinaryHeap<u32>) {
        let mut members = self.members[a as usize].clone();
        members.extend_from_slice(&self.members[b as usize]);
        members.sort_by_key(|m| self.rank[m.index()]);
        for m in self.members[b as usize].clone() {
            self.log.push(Undo::Place(m, self.place[m.index()]));
            self.place[m.index()] = Place::Kernel(a);
        }
        self.set_members(b, SmallVec::new());
        self.set_members(a, members);
        // `b` goes first: what it read is read by `a` from now on.
        let both = [b, a];
        for k in both {
            let mut late = BinaryHeap::new();
            if self.rebuild(k, &mut late).is_err() {
                // The caller finds it illegal again.
                dirty.push(k);
                return;
            }
            dirty.append(&mut late);
        }
    }

    fn set_members(&mut self, k: u32, members: SmallVec<[ValueIx; 4]>) {
        let old = std::mem::replace(&mut self.members[k as usize], members);
        self.log.push(Undo::Members(k, old));
    }

    /// Single values: kept or inline, product or loops, a kernel's last, another alternative.
    fn flip_all(&mut self, budget: &mut usize) {
        for v in self.live() {
            if *budget == 0 {
                return;
            }
            if self.choices.value(v).source != Source::Computed {
                continue;
            }
            let contraction = is_contraction(&self.alternative(v).op);
            let version = match self.place[v.index()] {
                Place::Kernel(k) => self.version_of(k),
                Place::Source | Place::Inline | Place::Alias => 0,
            };
            let flips = self.tried.insert(Change::Flip(v, version));
            match self.place[v.index()] {
                Place::Kernel(_) if !flips => {}
                Place::Kernel(k) if contraction && self.alternative(v).contract && !self.strict => {
                    if self.members[k as usize].len() == 1 && self.choices.value(v).aval.dtype.is_float() {
                        *budget -= 1;
                        self.attempt(|plan, dirty| {
                            plan.log.push(Undo::Flip(v));
                            if !plan.flipped.remove(&v) {
                                plan.flipped.insert(v);
                            }
                            dirty.push(k);
                        });
                    }
                }
                Place::Kernel(k) => {
                    let inlinable = self.alternative(v).inline && !is_reduction(&self.alternative(v).op);
                    if inlinable && !self.readers[v.index()].contains(&RESULT) {
                        *budget -= 1;
                        self.attempt(|plan, dirty| plan.inline(v, k, dirty));
                    }
                }
                Place::Source | Place::Inline | Place::Alias => {}
            }
            if let Place::Kernel(k) = self.place[v.index()]
                && is_reduction(&self.alternative(v).op)
                && self.members[k as usize].iter().any(|m| self.rank[m.index()] > self.rank[v.index()])
                && self.tried.insert(Change::Part(v, self.version_of(k)))
                && *budget > 0
            {
                *budget -= 1;
                self.attempt(|plan, dirty| plan.part(k, v, dirty));
            }
            for a in 0..self.choices.value(v).alternatives.len() as u32 {
                if *budget > 0 && self.takes(v, a) && self.tried.insert(Change::Take(v, a, version)) {
                    *budget -= 1;
                    self.attempt(|plan, dirty| plan.take(v, a, dirty));
                }
            }
        }
    }

    /// Moves what comes after `v` in kernel `k` to a kernel of its own: beside the rows that `v` reduces
    /// it is computed point by point.
    fn part(&mut self, k: u32, v: ValueIx, dirty: &mut BinaryHeap<u32>) {
        let last = self.rank[v.index()];
        let (first, second): (SmallVec<[ValueIx; 4]>, SmallVec<[ValueIx; 4]>) =
            self.members[k as usize].iter().copied().partition(|m| self.rank[m.index()] <= last);
        let new = self.members.len() as u32;
        for m in &second {
            self.log.push(Undo::Place(*m, self.place[m.index()]));
            self.place[m.index()] = Place::Kernel(new);
        }
        self.set_members(k, first);
        self.members.push(second);
        self.groups.push(None);
        dirty.push(new);
        dirty.push(k);
    }

    fn inline(&mut self, v: ValueIx, k: u32, dirty: &mut BinaryHeap<u32>) {
        self.log.push(Undo::Place(v, self.place[v.index()]));
        self.place[v.index()] = Place::Inline;
        let members = self.members[k as usize].iter().copied().filter(|m| *m != v).collect();
        self.set_members(k, members);
        dirty.extend(self.readers[v.index()].iter().copied().filter(|r| *r != RESULT));
        dirty.push(k);
    }

    /// Whether alternative `a` can be taken now: its operands exist and come before `v`.
    fn takes(&self, v: ValueIx, a: u32) -> bool {
        let alternative = &self.choices.value(v).alternatives[a as usize];
        let available = |u: &ValueIx| {
            let live = match self.choices.value(*u).source {
                Source::Param(_) | Source::Literal(_) => true,
                Source::Call(_) | Source::Computed => self.place[u.index()] != Place::Source,
            };
            live && self.rank[u.index()] < self.rank[v.index()]
        };
        a != self.alternative[v.index()]
            && self.place[v.index()] != Place::Alias
            && !is_same_memory(&alternative.op)
            && is_reduction(&alternative.op) == is_reduction(&self.alternative(v).op)
            && (alternative.inline || self.place[v.index()] != Place::Inline)
            && alternative.args.iter().all(available)
    }

    fn take(&mut self, v: ValueIx, a: u32, dirty: &mut BinaryHeap<u32>) {
        self.log.push(Undo::Alternative(v, self.alternative[v.index()]));
        self.alternative[v.index()] = a;
        for arg in self.alternative(v).args.clone() {
            // Former users stay listed: a kernel lowered once too often is no harm.
            if !self.users[arg.index()].contains(&v) {
                self.users[arg.index()].push(v);
            }
        }
        dirty.extend(self.owners(v));
    }

    /// The kernels that compute `v`: its own, or those of the values that inline it.
    fn owners(&self, v: ValueIx) -> SmallVec<[u32; 8]> {
        let mut owners: SmallVec<[u32; 8]> = SmallVec::new();
        let mut stack = vec![v];
        let mut seen = 0;
        while let Some(u) = stack.pop() {
            seen += 1;
            match self.place[u.index()] {
                Place::Kernel(k) if !owners.contains(&k) => owners.push(k),
                Place::Inline if seen < 256 => stack.extend(&self.users[u.index()]),
                Place::Kernel(_) | Place::Inline | Place::Source | Place::Alias => {}
            }
        }
        owners
    }
}

/// Whether the primitive may be a matrix product.
fn is_contraction(op: &Op) -> bool {
    matches!(op, Op::DotGeneral(_)) && is_reduction(op)
}
