//! The functions of a program whose calls are kept, and what transforms make of them.
//!
//! A call isn't opened: the transform of a call calls a transformed function. Those are made here,
//! each once, by the same tables as everything else.

use super::{MOST_NODES, Marked, control, vjp, vmap};
use crate::rules::{Table, Tables};
use crate::term::{Head, encode};
use egrad_ir::{
    Aval, Binary, Control, Error, FnId, Function, Node, NodeId, NodeKind, Op, Policy, Program, Result, Span, Transform,
    Unary,
};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Functions and the transforms of them made so far.
pub(crate) struct Functions<'t> {
    /// The functions, callees first.
    pub(crate) program: Program,
    pub(crate) tables: &'t Tables,
    /// Whether the call for every element of a batch is a call of what `vmap` makes of the function.
    pub(crate) push_in: bool,
    transformed: HashMap<(FnId, Transform), FnId>,
    selected: HashMap<(FnId, Vec<usize>), FnId>,
    halves: HashMap<(FnId, Vec<usize>, Vec<usize>, Keep), Halves>,
    wrapped: HashMap<(FnId, Transform), FnId>,
    pushed: HashMap<FnId, FnId>,
    batched: HashMap<(FnId, Vec<bool>, Vec<bool>, usize), FnId>,
    interned: HashMap<Function, FnId>,
    flows: HashMap<(FnId, Edge, Vec<bool>), Vec<bool>>,
    looks: HashMap<FnId, bool>,
}

/// Which edges of the dataflow graph count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Edge {
    /// All of them; and a function that is called for some elements of a batch is called for all.
    Batch,
    /// Those that carry a tangent.
    Tangent,
    /// Those that carry a cotangent.
    Cotangent,
}

/// What goes back may take from what went forward.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Keep {
    /// All but what is cheap to have again.
    Dear,
    /// What the policy says.
    Policy(Policy),
}

/// A reverse-mode derivative in two calls, as JAX's: what goes forward saves what goes back needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halves {
    /// `(p…) -> (y…, saved…)`.
    pub(crate) forward: FnId,
    /// `(p…, saved…, a cotangent per chosen y…) -> (a gradient per wrt…)`.
    pub(crate) backward: FnId,
}

impl<'t> Functions<'t> {
    /// No functions yet.
    pub(crate) fn new(tables: &'t Tables) -> Functions<'t> {
        Functions {
            program: Program::new(),
            tables,
            push_in: false,
            transformed: HashMap::new(),
            selected: HashMap::new(),
            halves: HashMap::new(),
            wrapped: HashMap::new(),
            pushed: HashMap::new(),
            batched: HashMap::new(),
            interned: HashMap::new(),
            flows: HashMap::new(),
            looks: HashMap::new(),
        }
    }

    /// Those of a program.
    pub(crate) fn of(program: Program, tables: &'t Tables) -> Functions<'t> {
        Functions { program, ..Functions::new(tables) }
    }

    /// The transform of a function, which is no [`Transform::Call`].
    ///
    /// # Errors
    /// If a primitive has no rule for it, or the function is too large.
    pub(crate) fn transformed(&mut self, f: FnId, transform: &Transform, at: Span) -> Result<FnId> {
        let key = (f, transform.clone());
        if let Some(known) = self.transformed.get(&key) {
            return Ok(*known);
        }
        let function = self.program.function(f).clone();
        too_large(&function, transform, at)?;
        let made = Marked::new(&function, transform, self).and_then(|marked| marked.read_back(&function.name));
        let what = || format!("the {} of `{}` is taken here", transform.name(), function.name);
        let id = self.program.add(made.map_err(|e| e.note(what(), at))?);
        self.transformed.insert(key, id);
        Ok(id)
    }

    /// The function to call once in place of a call: what `vmap` makes of the callee, and of what
    /// that calls for every element.
    ///
    /// # Errors
    /// As [`transformed`](Self::transformed).
    pub(crate) fn pushed_in(&mut self, transform: &Transform, callee: FnId, at: Span) -> Result<FnId> {
        if *transform == Transform::Call {
            return Ok(callee);
        }
        let mut pushed = self.program.function(callee).clone();
        let mut changed = false;
        for node in pushed.nodes_mut() {
            if let NodeKind::Apply(inner @ Transform::Vmap { .. }, f) = &node.kind {
                node.kind = NodeKind::Apply(Transform::Call, self.pushed_in(inner, *f, node.span)?);
                changed = true;
            }
        }
        let callee = match (changed, self.pushed.get(&callee)) {
            (false, _) => callee,
            (true, Some(known)) => *known,
            (true, None) => {
                let id = self.program.add(pushed);
                self.pushed.insert(callee, id);
                id
            }
        };
        self.transformed(callee, transform, at)
    }

    /// A function, or an equal one that is there already.
    pub(super) fn intern(&mut self, function: Function) -> FnId {
        if let Some(known) = self.interned.get(&function) {
            return *known;
        }
        let id = self.program.add(function.clone());
        self.interned.insert(function, id);
        id
    }

    /// The function with other parameters (see [`Function::rearranged`]).
    pub(super) fn rearranged(
        &mut self,
        f: FnId,
        params: Vec<(Aval, Span)>,
        places: &[usize],
        results: &[usize],
    ) -> FnId {
        let function = self.program.function(f).rearranged(params, places, results.iter().copied());
        self.intern(function)
    }

    /// Which parameters the results depend on.
    pub(super) fn used_params(&self, f: FnId) -> Vec<bool> {
        let function = self.program.function(f);
        let live = function.live();
        live[..function.params().len()].to_vec()
    }

    /// The function for every element of a batch, where these parameters and results have the batch
    /// axis, at position 0.
    ///
    /// # Errors
    /// As [`transformed`](Self::transformed).
    pub(super) fn batched(
        &mut self,
        f: FnId,
        params: &[bool],
        results: &[bool],
        size: usize,
        at: Span,
    ) -> Result<FnId> {
        if !params.contains(&true) && !results.contains(&true) && !self.looks_at_batches(f) {
            return Ok(f);
        }
        let key = (f, params.to_vec(), results.to_vec(), size);
        if let Some(known) = self.batched.get(&key) {
            return Ok(*known);
        }
        let axes = |of: &[bool]| of.iter().map(|b| b.then_some(0)).collect::<Vec<Option<usize>>>();
        let function = self.program.function(f).clone();
        let marked = vmap::vmap(&function, &axes(params), &axes(results), size, self);
        let tables = self.tables;
        let made = marked.and_then(|m| m.rewritten(Some(&tables.batch)));
        let made = made.and_then(|m| m.read_back(&function.name));
        let what = || format!("the vmap of `{}` is taken here", function.name);
        let id = self.intern(made.map_err(|e| e.note(what(), at))?);
        self.batched.insert(key, id);
        Ok(id)
    }

    /// The function with only these of its results.
    pub(crate) fn select(&mut self, f: FnId, results: &[usize]) -> FnId {
        let function = self.program.function(f);
        if results.iter().copied().eq(0..function.results().len()) {
            return f;
        }
        let key = (f, results.to_vec());
        if let Some(known) = self.selected.get(&key) {
            return *known;
        }
        let mut selected = function.clone();
        selected.set_results(results.iter().map(|r| function.results()[*r]).collect());
        let id = self.program.add(selected);
        self.selected.insert(key, id);
        id
    }

    /// A function that does nothing but apply a transform: what can be called in its stead.
    ///
    /// # Errors
    /// If the transform doesn't fit the function.
    pub(crate) fn wrapped(&mut self, f: FnId, transform: &Transform, params: &[Aval], span: Span) -> Result<FnId> {
        if *transform == Transform::Call {
            return Ok(f);
        }
        let key = (f, transform.clone());
        if let Some(known) = self.wrapped.get(&key) {
            return Ok(*known);
        }
        let avals = self.program.apply_avals(transform, f, params)?;
        let name = self.program.function(f).name.clone();
        let mut wrapper = Function::new(name, params.iter().map(|aval| (aval.clone(), span)));
        let args: Vec<NodeId> = wrapper.params().collect();
        let results = wrapper.apply(transform.clone(), f, &args, avals, span);
        wrapper.set_results(results);
        let id = self.program.add(wrapper);
        self.wrapped.insert(key, id);
        Ok(id)
    }

    /// Whether the function, or one it needs, looks at the elements of a batch that is around it.
    pub(super) fn looks_at_batches(&mut self, f: FnId) -> bool {
        if let Some(known) = self.looks.get(&f) {
            return *known;
        }
        let function = self.program.function(f).clone();
        let looks = function.nodes().any(|(_, node)| self.node_looks_at_batches(&node.kind));
        self.looks.insert(f, looks);
        looks
    }

    /// The same of one node.
    pub(super) fn node_looks_at_batches(&mut self, kind: &NodeKind) -> bool {
        // What is printed for every element goes through the rule, so that it is printed in one order.
        matches!(kind, NodeKind::Control(Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. }))
            || kind.callees().iter().any(|f| self.looks_at_batches(*f))
    }

    /// Which results depend on these parameters by edges of that kind.
    pub(crate) fn flow(&mut self, f: FnId, edge: Edge, from: &[bool]) -> Vec<bool> {
        let key = (f, edge, from.to_vec());
        if let Some(known) = self.flows.get(&key) {
            return known.clone();
        }
        let function = self.program.function(f).clone();
        let mut reached = vec![false; function.len()];
        let mut tuples: HashMap<NodeId, Vec<bool>> = HashMap::new();
        for (id, node) in function.nodes() {
            let operands = node.args.iter().map(|a| reached[a.index()]);
            reached[id.index()] = match &node.kind {
                NodeKind::Param(i) => from[*i],
                NodeKind::Op(op) => {
                    let ends = edge == Edge::Batch || node.avals[0].dtype.is_float();
                    ends && operands.enumerate().any(|(k, r)| r && self.carries(op, k, edge))
                }
                NodeKind::Apply(..) | NodeKind::Control(_) => {
                    let from: Vec<bool> = operands.collect();
                    let looks = edge == Edge::Batch && self.node_looks_at_batches(&node.kind);
                    let results = match &node.kind {
                        NodeKind::Apply(..) | NodeKind::Control(_) if !from.contains(&true) && !looks => Vec::new(),
                        NodeKind::Apply(..) if edge == Edge::Batch => vec![true; node.avals.len()],
                        NodeKind::Apply(transform, callee) => self.flow_through(transform, *callee, edge, &from),
                        NodeKind::Control(over) => control::flow(self, over, edge, &from),
                        NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => Vec::new(),
                    };
                    tuples.insert(id, results);
                    false
                }
                NodeKind::Get(i) => tuples.get(&node.args[0]).is_some_and(|t| t.get(*i) == Some(&true)),
            };
        }
        let results: Vec<bool> = function.results().iter().map(|r| reached[r.index()]).collect();
        self.flows.insert(key, results.clone());
        results
    }

    /// Which results of an application depend on these operands.
    pub(crate) fn flow_through(&mut self, transform: &Transform, f: FnId, edge: Edge, from: &[bool]) -> Vec<bool> {
        match transform {
            Transform::Call
            | Transform::Jvp { .. }
            | Transform::Vjp { .. }
            | Transform::Vmap { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => self.flow(f, edge, from),
            // The rule is not asked: it is given all tangents or cotangents there are.
            Transform::CustomJvp { results, .. } | Transform::CustomVjp { results, .. } => {
                let f = self.program.function(f);
                let y = f.results()[..*results].iter().map(|y| f.aval(*y).dtype.is_float());
                y.map(|float| from.contains(&true) && (float || edge == Edge::Batch)).collect()
            }
        }
    }

    fn carries(&self, op: &Op, k: usize, edge: Edge) -> bool {
        let (prim, _) = encode(op);
        let absent = |table: &Table, head| table.is_absent(&head);
        match edge {
            Edge::Batch => true,
            Edge::Tangent => !absent(&self.tables.push, Head::Push(prim, k as u8)),
            Edge::Cotangent => !absent(&self.tables.pull, Head::Pull(prim, k as u8)),
        }
    }

    /// The vector-Jacobian product of these results with respect to these parameters, in two
    /// functions: what doesn't depend on cotangents goes forward.
    ///
    /// # Errors
    /// As [`transformed`](Self::transformed).
    pub(crate) fn halves(&mut self, f: FnId, wrt: &[usize], of: &[usize], at: Span) -> Result<Halves> {
        self.halves_that_keep(Keep::Dear, f, wrt, of, at)
    }

    /// As [`halves`](Self::halves), where this much goes from the one to the other; the rest is computed
    /// again.
    ///
    /// # Errors
    /// As [`transformed`](Self::transformed).
    pub(crate) fn halves_that_keep(
        &mut self,
        keep: Keep,
        f: FnId,
        wrt: &[usize],
        of: &[usize],
        at: Span,
    ) -> Result<Halves> {
        let key = (f, wrt.to_vec(), of.to_vec(), keep.clone());
        if let Some(known) = self.halves.get(&key) {
            return Ok(*known);
        }
        let function = self.program.function(f).clone();
        let transform = Transform::Vjp { wrt: wrt.to_vec() };
        too_large(&function, &transform, at)?;
        let tables = self.tables;
        let marked = vjp::vjp_of(&function, wrt, of, self).and_then(|marked| marked.rewritten(Some(&tables.pull)));
        let whole = marked.and_then(|marked| marked.read_back(&function.name));
        let what = || format!("the vjp of `{}` is taken here", function.name);
        let whole = &whole.map_err(|e| e.note(what(), at))?;
        let halves = self.split(whole, function.params().len(), function.results().len(), &keep);
        self.halves.insert(key, halves);
        Ok(halves)
    }

    /// The halves of a vector-Jacobian product whose first parameters are not cotangents, and whose first
    /// results are not gradients and don't depend on cotangents.
    pub(super) fn split(&mut self, whole: &Function, params: usize, results: usize, keep: &Keep) -> Halves {
        let (primal, gradients) = whole.results().split_at(results);
        let (known, saved) = match keep {
            Keep::Dear => {
                let (known, mut saved) = saved(whole, params, gradients, |id| !is_view(whole.node(id)));
                without_cheap(whole, &mut saved);
                (known, saved)
            }
            Keep::Policy(policy) => {
                let named = named(policy, whole);
                saved(whole, params, gradients, |id| named[id.index()] || keeps(policy, whole.node(id)))
            }
        };

        let mut forward = Function::new(&*whole.name, signature(whole, whole.params().take(params)));
        let mut place = vec![None; whole.len()];
        for (i, p) in forward.params().enumerate() {
            place[i] = Some(p);
        }
        let wanted: Vec<NodeId> = primal.iter().chain(&saved).copied().collect();
        carry(whole, &wanted, &mut place, &mut forward, |id| known[id.index()]);
        forward.set_results(wanted.iter().filter_map(|n| place[n.index()]).collect());

        let seeds = (params..whole.params().len()).map(NodeId::from);
        let own: Vec<NodeId> = (0..params).map(NodeId::from).chain(saved.iter().copied()).chain(seeds).collect();
        let mut backward = Function::new(&*whole.name, signature(whole, own.iter().copied()));
        let mut place = vec![None; whole.len()];
        for (id, p) in own.iter().zip(backward.params()) {
            place[id.index()] = Some(p);
        }
        carry(whole, gradients, &mut place, &mut backward, |_| true);
        backward.set_results(gradients.iter().filter_map(|g| place[g.index()]).collect());

        Halves { forward: self.intern(forward), backward: self.intern(backward) }
    }
}

/// Avals and places of some nodes, as parameters.
pub(super) fn signature(f: &Function, nodes: impl Iterator<Item = NodeId>) -> impl Iterator<Item = (Aval, Span)> {
    nodes.map(|n| (f.aval(n).clone(), f.node(n).span))
}

/// Which nodes of a vector-Jacobian product don't depend on cotangents, and which of them are saved for
/// those that do: the last ones that `may` be. Constants are computed again, and so is what may not be
/// saved.
fn saved(
    whole: &Function,
    params: usize,
    gradients: &[NodeId],
    may: impl Fn(NodeId) -> bool,
) -> (Vec<bool>, Vec<NodeId>) {
    let known = known(whole, params);
    let varies = varies(whole);
    let mut wanted = vec![false; whole.len()];
    gradients.iter().for_each(|g| wanted[g.index()] = true);
    let mut saved = Vec::new();
    for (id, node) in whole.nodes().rev() {
        if !wanted[id.index()] || matches!(node.kind, NodeKind::Param(_)) {
            continue;
        }
        if known[id.index()] && varies[id.index()] && may(id) {
            saved.push(id);
        } else {
            node.args.iter().for_each(|a| wanted[a.index()] = true);
        }
    }
    saved.reverse();
    (known, saved)
}

/// Which nodes depend on nothing but the first parameters.
fn known(whole: &Function, params: usize) -> Vec<bool> {
    let mut known = vec![false; whole.len()];
    for (id, node) in whole.nodes() {
        known[id.index()] = match node.kind {
            NodeKind::Param(i) => i < params,
            NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => {
                node.args.iter().all(|a| known[a.index()])
            }
        };
    }
    known
}

/// Which nodes are no constants; a tuple can't be saved as a whole, but counts as if it varied.
fn varies(whole: &Function) -> Vec<bool> {
    let mut varies = vec![false; whole.len()];
    for (id, node) in whole.nodes() {
        varies[id.index()] = match node.kind {
            NodeKind::Param(_) => true,
            NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => {
                node.args.iter().any(|a| varies[a.index()]) || node.kind.is_tuple()
            }
        };
    }
    varies
}

/// Whether the node is a view, or stands for recomputation, which saving would defeat.
fn is_view(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Op(Op::BroadcastInDim { .. } | Op::Reshape(_) | Op::Transpose(_) | Op::Unary(Unary::Barrier)) => true,
        NodeKind::Op(_) | NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => false,
    }
}

/// Drops what takes next to nothing from others that are saved anyway: it is computed again.
fn without_cheap(whole: &Function, saved: &mut Vec<NodeId>) {
    let cheap = |node: &Node| match &node.kind {
        NodeKind::Op(op) => matches!(
            op,
            Op::Unary(Unary::Neg)
                | Op::Binary(Binary::Add | Binary::Sub | Binary::Mul)
                | Op::Compare(_)
                | Op::Select
                | Op::Convert(_)
        ),
        NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => false,
    };
    let varies = varies(whole);
    let mut kept = vec![false; whole.len()];
    saved.iter().for_each(|s| kept[s.index()] = true);
    // Later ones first: each stands on earlier ones.
    for s in std::mem::take(saved).into_iter().rev() {
        let node = whole.node(s);
        let mut operands = node.args.iter().map(|a| a.index());
        kept[s.index()] = !(cheap(node) && operands.all(|a| kept[a] || !varies[a]));
        if kept[s.index()] {
            saved.push(s);
        }
    }
    saved.reverse();
}

/// Whether a policy keeps what a node gives for what it is.
fn keeps(policy: &Policy, node: &Node) -> bool {
    let dot = |batched: bool| match &node.kind {
        NodeKind::Op(Op::DotGeneral(dims)) => batched || dims.batch[0].is_empty(),
        NodeKind::Op(_) | NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => false,
    };
    match policy {
        Policy::Nothing | Policy::Names(_) => false,
        Policy::Everything => !is_view(node) && !node.kind.is_tuple(),
        Policy::Dots => dot(true),
        Policy::DotsWithoutBatch => dot(false),
    }
}

/// Which nodes have a name that a policy keeps them by.
fn named(policy: &Policy, whole: &Function) -> Vec<bool> {
    let mut named = vec![false; whole.len()];
    for (_, node) in whole.nodes() {
        match (&node.kind, policy) {
            (NodeKind::Apply(Transform::Named { name }, _), Policy::Names(names)) if names.contains(name) => {
                node.args.iter().for_each(|a| named[a.index()] = true);
            }
            (
                NodeKind::Apply(..) | NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Control(_) | NodeKind::Get(_),
                _,
            ) => {}
        }
    }
    named
}

/// Copies the nodes that `of` depend on and that `allow` lets pass, as far as they have no place yet.
fn carry(
    from: &Function,
    of: &[NodeId],
    place: &mut [Option<NodeId>],
    into: &mut Function,
    allow: impl Fn(NodeId) -> bool,
) {
    let mut wanted = vec![false; from.len()];
    of.iter().for_each(|n| wanted[n.index()] = true);
    for (id, node) in from.nodes().rev() {
        if wanted[id.index()] && place[id.index()].is_none() {
            node.args.iter().for_each(|a| wanted[a.index()] = true);
        }
    }
    for (id, node) in from.nodes() {
        if wanted[id.index()] && place[id.index()].is_none() && allow(id) {
            let args: SmallVec<[NodeId; 3]> = node.args.iter().filter_map(|a| place[a.index()]).collect();
            place[id.index()] = Some(into.push(node.kind.clone(), &args, node.avals.clone(), node.span));
        }
    }
}

/// The error of a function that is too large to transform.
pub(super) fn too_large(f: &Function, transform: &Transform, at: Span) -> Result<()> {
    if f.len() <= MOST_NODES / 4 {
        return Ok(());
    }
    let m = format!("the {} of `{}`, {} operations, is too large", transform.name(), f.name, f.len());
    Err(Error::memory(m).at(at))
}

/// A program without what its entry doesn't need: no function has a result that no call or scan uses,
/// nor a parameter that it doesn't. What a scan carries only for itself is no use.
pub(crate) fn tidied(program: &Program) -> Program {
    let n = program.functions().len();
    // Which results somebody uses: callers before callees.
    let mut used: Vec<Vec<bool>> = program.functions().map(|(_, f)| vec![false; f.results().len()]).collect();
    // Loops and branches rely on the signatures of what they are over, but a scan can do without what
    // nobody uses.
    let mut fixed = vec![false; n];
    // Per function what scans over it carry: a result, and the parameter it becomes.
    let mut carried: Vec<Vec<(usize, usize)>> = vec![Vec::new(); n];
    if let Some(entry) = used.last_mut() {
        entry.fill(true);
        fixed[n - 1] = true;
    }
    for i in (0..n).rev() {
        let (f, live) = loop {
            let f = narrowed(program.function(FnId::from(i)), &used[i]);
            let live = f.live();
            // What the next step needs, this one gives.
            match carried[i].iter().find(|(result, param)| live[*param] && !used[i][*result]) {
                Some((result, _)) => used[i][*result] = true,
                None => break (f, live),
            }
        };
        for (_, node) in f.nodes().filter(|(id, _)| live[id.index()]) {
            match &node.kind {
                NodeKind::Get(result) => match &f.node(node.args[0]).kind {
                    NodeKind::Apply(_, callee) | NodeKind::Control(Control::Scan { body: callee, .. }) => {
                        used[callee.index()][*result] = true;
                    }
                    NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Control(_) | NodeKind::Get(_) => {}
                },
                NodeKind::Control(Control::Scan { body, consts, carry, .. }) => {
                    carried[body.index()].extend((0..*carry).map(|c| (c, consts + c)));
                }
                NodeKind::Control(
                    over @ (Control::While { .. }
                    | Control::Switch { .. }
                    | Control::Either { .. }
                    | Control::AllGather { .. }
                    | Control::AxisIndex { .. }
                    | Control::Print { .. }),
                ) => {
                    for callee in over.callees() {
                        fixed[callee.index()] = true;
                        used[callee.index()].fill(true);
                    }
                }
                NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Apply(..) => {}
            }
        }
    }
    let mut tidy = Program::new();
    // Per function its number and the parameters it has kept.
    let mut new: Vec<Option<(FnId, Vec<usize>)>> = vec![None; n];
    for (id, f) in program.functions() {
        let i = id.index();
        if !used[i].contains(&true) && !fixed[i] {
            continue;
        }
        let f = narrowed(f, &used[i]);
        let mut renamed = Function::new(&*f.name, signature(&f, f.params()));
        let mut place: Vec<Option<NodeId>> = renamed.params().map(Some).collect();
        place.resize(f.len(), None);
        let live = f.live();
        for (id, node) in f.nodes().skip(f.params().len()).filter(|(id, _)| live[id.index()]) {
            let args: SmallVec<[NodeId; 3]> = node.args.iter().filter_map(|a| place[a.index()]).collect();
            let (kind, args, avals) = match &node.kind {
                NodeKind::Apply(transform, callee) => {
                    let Some((to, params)) = &new[callee.index()] else { continue };
                    let results = &used[callee.index()];
                    let transform = match transform {
                        Transform::Vmap { in_axes, out_axes, size } => Transform::Vmap {
                            in_axes: params.iter().map(|p| in_axes[*p]).collect(),
                            out_axes: chosen(results, out_axes).copied().collect(),
                            size: *size,
                        },
                        other @ (Transform::Call
                        | Transform::Jvp { .. }
                        | Transform::Vjp { .. }
                        | Transform::CustomJvp { .. }
                        | Transform::CustomVjp { .. }
                        | Transform::Checkpoint { .. }
                        | Transform::Named { .. }) => other.clone(),
                    };
                    let args = params.iter().map(|p| args[*p]).collect();
                    (NodeKind::Apply(transform, *to), args, chosen(results, &node.avals).cloned().collect())
                }
                NodeKind::Get(result) => match &f.node(node.args[0]).kind {
                    NodeKind::Apply(_, callee) | NodeKind::Control(Control::Scan { body: callee, .. }) => {
                        let before = used[callee.index()][..*result].iter().filter(|u| **u).count();
                        (NodeKind::Get(before), args, node.avals.clone())
                    }
                    NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Control(_) | NodeKind::Get(_) => {
                        (node.kind.clone(), args, node.avals.clone())
                    }
                },
                NodeKind::Control(Control::Scan { body, consts, carry, length, reverse }) => {
                    let Some((to, params)) = &new[body.index()] else { continue };
                    let among = |range: std::ops::Range<usize>| params.iter().filter(|p| range.contains(p)).count();
                    let scan = Control::Scan {
                        body: *to,
                        consts: among(0..*consts),
                        carry: among(*consts..consts + carry),
                        length: *length,
                        reverse: *reverse,
                    };
                    let args = params.iter().map(|p| args[*p]).collect();
                    let avals = chosen(&used[body.index()], &node.avals).cloned().collect();
                    (NodeKind::Control(scan), args, avals)
                }
                NodeKind::Control(
                    Control::While { .. }
                    | Control::Switch { .. }
                    | Control::Either { .. }
                    | Control::AllGather { .. }
                    | Control::AxisIndex { .. }
                    | Control::Print { .. },
                ) => {
                    let to = |f: FnId| new[f.index()].as_ref().map_or(f, |(to, _)| *to);
                    (node.kind.over(to), args, node.avals.clone())
                }
                kind @ (NodeKind::Param(_) | NodeKind::Op(_)) => (kind.clone(), args, node.avals.clone()),
            };
            place[id.index()] = Some(renamed.push(kind, &args, avals, node.span));
        }
        renamed.set_results(f.results().iter().filter_map(|r| place[r.index()]).collect());
        // The entry's signature is its caller's, a body's its loop's.
        let live = renamed.live();
        let handed_on = |p: usize| carried[i].iter().any(|(result, param)| *param == p && used[i][*result]);
        let kept: Vec<usize> = (0..renamed.params().len()).filter(|p| live[*p] || fixed[i] || handed_on(*p)).collect();
        let function = if kept.len() == renamed.params().len() { renamed } else { without_params(&renamed, &kept) };
        new[i] = Some((tidy.add(function), kept));
    }
    tidy
}

/// The items at the places that are used.
fn chosen<'a, T>(used: &'a [bool], of: &'a [T]) -> impl Iterator<Item = &'a T> {
    of.iter().zip(used).filter(|(_, used)| **used).map(|(item, _)| item)
}

/// The function with only the results that are used.
pub(super) fn narrowed(f: &Function, used: &[bool]) -> Function {
    let mut narrow = f.clone();
    narrow.set_results(chosen(used, f.results()).copied().collect());
    narrow
}

/// The function with only these of its parameters, the others being dead.
pub(super) fn without_params(f: &Function, kept: &[usize]) -> Function {
    let mut g = Function::new(&*f.name, signature(f, kept.iter().map(|p| NodeId::from(*p))));
    let mut place = vec![None; f.len()];
    for (p, new) in kept.iter().zip(g.params()) {
        place[*p] = Some(new);
    }
    carry(f, f.results(), &mut place, &mut g, |_| true);
    g.set_results(f.results().iter().filter_map(|r| place[r.index()]).collect());
    g
}
