//! Transforms: what `expand` does.
//!
//! A transform is one structural rule plus a table of local rewrites. The structural rule (the
//! chain rule of [`vjp`], the functor rule of [`jvp`] and [`vmap`]) walks the function once and
//! makes a marker per edge or node; the [table](crate::rules) rewrites every marker in one pass, at
//! any depth. Nothing else computes a derivative or a batch.
//!
//! Equal values don't have equal derivatives, so each transform works on a fresh e-graph holding
//! the function's own nodes and no rule but its table runs in it: until the last transform is done
//! every class holds one primitive, and that is read back.

mod axis;
mod call;
mod checkpoint;
mod control;
mod custom;
pub(crate) mod functions;
mod jvp;
mod trail;
mod vjp;
mod vmap;

use crate::analysis::{EGraph, Facts, What, aval};
use crate::rules::{Report, Table, Tables, template};
use crate::term::{Attr, Head, Term, encode};
use crate::{Calls, clock};
use egg::Id;
use egrad_ir::graph::{no_batch, not_plain};
use egrad_ir::{
    Aval, Control, Error, FnId, Function, Literal, Node, NodeId, NodeKind, Op, Program, Result, Span, Transform,
};
use functions::{Functions, too_large};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::borrow::Cow;
pub(crate) use trail::Trail;

/// Expands every transform of the program's entry function, inside-out, by these tables.
///
/// # Errors
/// If a primitive has no rule for a transform, naming primitive, transform and the user's line.
pub fn expand_with(program: &Program, tables: &Tables) -> Result<Function> {
    let program = without_customs(program, tables)?;
    expand_by(&program, &mut |_, f, transform| apply(f, transform, tables))
}

/// What expanding one transform of one function took.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// Which transform.
    pub transform: &'static str,
    /// The function it was applied to.
    pub function: FnId,
    /// What that is called.
    pub name: String,
    /// What each rule did.
    pub report: Report,
}

/// As [`expand_with`], timing every rule.
///
/// # Errors
/// As [`expand_with`].
pub fn expand_timed(program: &Program, tables: &Tables) -> Result<(Function, Vec<Expanded>)> {
    let mut all = Vec::new();
    let program = without_customs(program, tables)?;
    let function = expand_by(&program, &mut |id, f, transform| {
        let marked = Marked::watched(f, transform, &mut Functions::new(tables), Watch::Times)?;
        let result = marked.read_back(&f.name)?;
        let (transform, name) = (transform.name(), f.name.clone());
        all.push(Expanded { transform, function: id, name, report: marked.report });
        Ok(result)
    })?;
    Ok((function, all))
}

/// The program with transforms expanded around functions that have derivatives of their own, until
/// none is left: what transforms do to them needs them whole. Programs without such are left alone.
fn without_customs<'p>(program: &'p Program, tables: &Tables) -> Result<Cow<'p, Program>> {
    match custom::is_in(program) {
        true => Ok(Cow::Owned(keep_calls(program, tables, Calls::Inline)?)),
        false => Ok(Cow::Borrowed(program)),
    }
}

/// One transform of a plain function, which is the program's function of that id.
type Apply<'a> = dyn FnMut(FnId, &Function, &Transform) -> Result<Function> + 'a;

/// Expands every transform, each by `apply`.
fn expand_by(program: &Program, apply: &mut Apply<'_>) -> Result<Function> {
    let (mut plain, _) = expand_all(program, apply)?;
    match plain.pop().flatten() {
        Some(entry) => Ok(entry.into_owned()),
        None => Err(Error::internal("a program without an entry function")),
    }
}

/// Functions of primitives, for those of a program that its entry needs; and for the transforms
/// that are applied to them.
pub(crate) type Opened<'p> = (Vec<Option<Cow<'p, Function>>>, HashMap<(FnId, Transform), Function>);

/// Expands every transform and call of the functions that the entry needs.
pub(crate) fn open<'p>(program: &'p Program, tables: &Tables) -> Result<Opened<'p>> {
    expand_all(program, &mut |_, f, transform| apply(f, transform, tables))
}

fn expand_all<'p>(program: &'p Program, apply: &mut Apply<'_>) -> Result<Opened<'p>> {
    let mut plain: Vec<Option<Cow<'_, Function>>> = vec![None; program.functions().len()];
    let mut transformed: HashMap<(FnId, Transform), Function> = HashMap::new();
    let needed = needed(program);
    let mut written = 0;
    for (id, function) in program.functions() {
        if !needed[id.index()] {
            continue;
        }
        if function.is_plain() {
            plain[id.index()] = Some(Cow::Borrowed(function));
            continue;
        }
        let live = function.live();
        for (_, node) in function.nodes().filter(|(n, _)| live[n.index()]) {
            if let NodeKind::Apply(transform, callee) = &node.kind {
                let callee_plain = plain[callee.index()].as_deref().ok_or_else(|| later(*callee))?;
                let key = (*callee, transform.clone());
                if *transform != Transform::Call && !transformed.contains_key(&key) {
                    too_large(callee_plain, transform, node.span)?;
                    let result = apply(*callee, callee_plain, transform);
                    let what = || format!("the {} of `{}` is taken here", transform.name(), callee_plain.name);
                    transformed.insert(key, result.map_err(|e| e.note(what(), node.span))?);
                }
            }
        }
        let inlined = inline(
            function,
            &live,
            |_| Err(no_one_function(function)),
            |transform, callee, _| {
                let f = match transform {
                    Transform::Call => plain[callee.index()].as_deref(),
                    Transform::Jvp { .. }
                    | Transform::Vjp { .. }
                    | Transform::Vmap { .. }
                    | Transform::CustomJvp { .. }
                    | Transform::CustomVjp { .. }
                    | Transform::Checkpoint { .. }
                    | Transform::Named { .. } => transformed.get(&(callee, transform.clone())),
                };
                f.map(|f| Callee::Copied(Cow::Borrowed(f))).ok_or_else(|| later(callee))
            },
        )?;
        // A long chain of calls is written out once per link.
        written += inlined.len();
        if written > 2 * MOST_NODES {
            let m = format!("writing out the calls of `{}` and below takes too many operations", function.name);
            let at = function.nodes().find(|(_, n)| matches!(n.kind, NodeKind::Apply(..))).map(|(_, n)| n.span);
            return Err(Error::memory(m).at(at.unwrap_or_default()));
        }
        plain[id.index()] = Some(Cow::Owned(inlined));
    }
    Ok((plain, transformed))
}

/// Expands every transform but calls: the program's functions, of primitives and calls, perhaps
/// calls for every element of a batch, unless `calls` says to push batches in. Functions come before
/// those that call them, and have no result that no call uses nor a parameter they don't. To inline
/// keeps none.
///
/// # Errors
/// As [`expand_with`]; if calls nest too deep.
pub fn keep_calls(program: &Program, tables: &Tables, calls: Calls) -> Result<Program> {
    let mut functions = Functions::new(tables);
    functions.push_in = matches!(calls, Calls::PushIn | Calls::Inline);
    // What can't be expanded is an error for those that need it: of several ways one may do.
    let mut kept: Vec<Option<Result<FnId>>> = vec![None; program.functions().len()];
    let mut depth = vec![0; program.functions().len()];
    let needed = needed(program);
    for (id, function) in program.functions() {
        if !needed[id.index()] {
            continue;
        }
        let live = function.live();
        for (_, node) in function.nodes().filter(|(n, _)| live[n.index()]) {
            for callee in node.kind.callees() {
                depth[id.index()] = depth[id.index()].max(depth[callee.index()] + 1);
                if depth[id.index()] > DEEPEST {
                    let m = format!("calls, loops and branches nest more than {DEEPEST} deep");
                    return Err(Error::memory(m).at(node.span));
                }
            }
        }
        let renumber = |callee: FnId| kept[callee.index()].clone().ok_or_else(|| later(callee))?;
        let rewritten = inline(function, &live, renumber, |transform, callee, span| {
            let callee = renumber(callee)?;
            Ok(match transform {
                Transform::Call if calls == Calls::Inline => {
                    Callee::Copied(Cow::Owned(functions.program.function(callee).clone()))
                }
                Transform::Call
                | Transform::CustomJvp { .. }
                | Transform::CustomVjp { .. }
                | Transform::Checkpoint { .. }
                | Transform::Named { .. } => Callee::Called(transform.clone(), callee),
                Transform::Jvp { .. } | Transform::Vjp { .. } | Transform::Vmap { .. } => {
                    let f = functions.transformed(callee, transform, span)?;
                    Callee::Copied(Cow::Owned(functions.program.function(f).clone()))
                }
            })
        });
        kept[id.index()] = Some(rewritten.map(|f| functions.program.add(f)));
    }
    // Functions come before those that need them, the entry last.
    kept.pop().flatten().ok_or_else(|| Error::internal("a program without an entry function"))??;
    let kept = functions::tidied(&custom::undifferentiated(&functions.program, calls == Calls::Inline)?);
    for (_, f) in kept.functions() {
        let looks = |n: &Node| match &n.kind {
            NodeKind::Control(c @ (Control::AllGather { .. } | Control::AxisIndex { .. })) => Some((c.clone(), n.span)),
            NodeKind::Control(_) | NodeKind::Apply(..) | NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => {
                None
            }
        };
        if let Some((control, span)) = f.nodes().find_map(|(_, n)| looks(n)) {
            return Err(no_batch(&control).at(span));
        }
    }
    // Calls of calls multiply: a few lines can ask for more than any machine runs.
    let made = kept.written_out(|kind, callee| match kind {
        NodeKind::Apply(..) | NodeKind::Control(_) => callee.saturating_add(1),
        NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => 0,
    });
    if let Some((_, (_, f))) = made.iter().zip(kept.functions()).find(|(calls, _)| **calls > MOST_CALLS) {
        let at = f.nodes().find(|(_, n)| matches!(n.kind, NodeKind::Apply(..))).map(|(_, n)| n.span);
        let m = format!("`{}` makes more than {MOST_CALLS} calls, those inside what it calls included", f.name);
        return Err(Error::memory(m).at(at.unwrap_or_default()));
    }
    Ok(kept)
}

/// The program with the first way in place of every [choice](Control::Either): what it means where
/// nothing is priced. `pick` may say otherwise, by the line and the names of the functions.
///
/// # Errors
/// If a choice is between no functions.
pub fn settled(program: &Program, pick: impl Fn(Span, &[&str]) -> usize) -> Result<Program> {
    let mut settled = Program::new();
    for (_, f) in program.functions() {
        let mut f = f.clone();
        for node in f.nodes_mut() {
            if let NodeKind::Control(Control::Either { ways }) = &node.kind {
                let names: Vec<&str> = ways.iter().map(|w| &*program.function(*w).name).collect();
                let way = ways.get(pick(node.span, &names)).or(ways.first());
                let way = way.ok_or_else(|| Error::internal("a choice between no functions"))?;
                node.kind = NodeKind::Apply(Transform::Call, *way);
            }
        }
        settled.add(f);
    }
    let entry = FnId::from(settled.functions().len() - 1);
    Ok(settled.about(entry))
}

/// The program that [`transform`](crate::transform()) gave with the first way in place of every choice,
/// written out unless calls are kept.
///
/// # Errors
/// As [`settled`].
pub fn first_ways(program: &Program, calls: Calls) -> Result<Program> {
    if !program.has_choices() {
        return Ok(program.clone());
    }
    let called = settled(program, |_, _| 0)?;
    match calls {
        Calls::Auto | Calls::Inline => Ok(functions::tidied(&custom::undifferentiated(&called, true)?)),
        Calls::PushIn | Calls::Dispatch => Ok(called),
    }
}

/// How many calls a program that keeps them may make in one run.
const MOST_CALLS: usize = 100_000;

/// How deep calls that are kept may nest.
const DEEPEST: usize = 200;

/// One transform of a plain function.
fn apply(f: &Function, transform: &Transform, tables: &Tables) -> Result<Function> {
    if *transform == Transform::Call {
        return Ok(f.clone());
    }
    Marked::new(f, transform, &mut Functions::new(tables))?.read_back(&f.name)
}

/// The e-graph in which a transform of a plain function was carried out: its values, the markers of
/// the structural rule, and what the table says they are.
///
/// # Errors
/// If a rule is faulty. A marker without a rule is no error here.
pub fn egraph_of(f: &Function, transform: &Transform, tables: &Tables) -> Result<EGraph> {
    Ok(Marked::new(f, transform, &mut Functions::new(tables))?.work.egraph)
}

fn no_one_function(f: &Function) -> Error {
    Error::tree(format!("`{}` has loops or branches, which can't be written out as one function", f.name))
}

fn later(callee: FnId) -> Error {
    Error::internal(format!("function {callee} is applied before it is defined"))
}

/// Which functions the entry depends on.
fn needed(program: &Program) -> Vec<bool> {
    let mut needed = vec![false; program.functions().len()];
    if let Some(entry) = needed.last_mut() {
        *entry = true;
    }
    for i in (0..needed.len()).rev() {
        if needed[i] {
            for (_, node) in program.function(FnId::from(i)).nodes() {
                node.kind.callees().iter().for_each(|callee| needed[callee.index()] = true);
            }
        }
    }
    needed
}

/// How many operations a function may have when its calls are written out, and four times what one
/// may have that is transformed: a few lines of nested calls can ask for more than any memory holds.
const MOST_NODES: usize = 4_000_000;

/// Those of some ways that there are.
///
/// # Errors
/// The first one's, if there is none.
fn possible(ways: impl Iterator<Item = Result<FnId>>) -> Result<Vec<FnId>> {
    let (there, missing): (Vec<Result<FnId>>, Vec<Result<FnId>>) = ways.partition(Result::is_ok);
    match missing.into_iter().next() {
        Some(error) if there.is_empty() => Err(error.err().unwrap_or_else(|| Error::internal("no error"))),
        Some(_) | None => there.into_iter().collect(),
    }
}

/// What becomes of an application.
enum Callee<'f> {
    /// A copy of this function's nodes.
    Copied(Cow<'f, Function>),
    /// This, which is a call, applied to the function of that number.
    Called(Transform, FnId),
}

/// The function with a copy of the callee's nodes, or a call, in place of every application; loops and
/// branches are over functions of the numbers that `renumber` says.
fn inline<'f>(
    f: &Function,
    live: &[bool],
    renumber: impl Fn(FnId) -> Result<FnId>,
    mut callee: impl FnMut(&Transform, FnId, Span) -> Result<Callee<'f>>,
) -> Result<Function> {
    let params = f.params().map(|p| (f.aval(p).clone(), f.node(p).span));
    let mut out = Function::new(f.name.clone(), params);
    let mut at: Vec<Option<NodeId>> = vec![None; f.len()];
    let mut tuples: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (id, node) in f.nodes() {
        if let NodeKind::Param(_) = node.kind {
            at[id.index()] = Some(id);
        }
        if !live[id.index()] {
            continue;
        }
        // A tuple has no single place; nothing but `get` takes it.
        let args = node.args.iter().filter_map(|a| at[a.index()]);
        match &node.kind {
            NodeKind::Param(_) => {}
            NodeKind::Op(_) => {
                let args: SmallVec<[NodeId; 3]> = args.collect();
                at[id.index()] = Some(out.push(node.kind.clone(), &args, node.avals.clone(), node.span));
            }
            NodeKind::Apply(transform, function) => {
                let args: Vec<NodeId> = args.collect();
                let results = match callee(transform, *function, node.span)? {
                    Callee::Copied(g) => {
                        if out.len().saturating_add(g.len()) > MOST_NODES {
                            let m = format!("expanding `{}` here makes more than {MOST_NODES} operations", g.name);
                            return Err(Error::memory(m).at(node.span));
                        }
                        g.copy_into(&mut out, &args)
                    }
                    Callee::Called(call, to) => out.apply(call, to, &args, node.avals.to_vec(), node.span),
                };
                tuples.insert(id, results);
            }
            NodeKind::Control(control) => {
                let args: Vec<NodeId> = args.collect();
                let callees = control.callees().into_iter().map(&renumber);
                let callees = match control {
                    Control::Either { .. } => possible(callees)?,
                    Control::Scan { .. }
                    | Control::While { .. }
                    | Control::Switch { .. }
                    | Control::AllGather { .. }
                    | Control::AxisIndex { .. }
                    | Control::Print { .. } => callees.collect::<Result<Vec<FnId>>>()?,
                };
                let results = out.control(control.over(&callees), &args, node.avals.to_vec(), node.span);
                tuples.insert(id, results);
            }
            NodeKind::Get(i) => {
                let tuple = node.args.first().and_then(|t| tuples.get(t));
                let result = tuple.and_then(|t| t.get(*i)).ok_or_else(|| not_plain(f))?;
                at[id.index()] = Some(*result);
            }
        }
    }
    let results = f.results().iter().map(|r| at[r.index()].ok_or_else(|| not_plain(f)));
    let results = results.collect::<Result<_>>()?;
    out.set_results(results);
    Ok(out)
}

/// An e-graph under a transform, with the user's line per class.
pub(crate) struct Workspace {
    pub(crate) egraph: EGraph,
    pub(crate) spans: Vec<(Id, Span)>,
    /// Classes that become one when the e-graph is settled: ids mean the nodes they were made for
    /// until then.
    equal: Vec<(Id, Id)>,
}

/// A function's values in a [`Workspace`].
pub(crate) struct Values {
    /// The class of every live node and parameter.
    pub(crate) class: Vec<Option<Id>>,
    /// The classes in the order they were made, operands first, each once.
    order: Vec<(Id, Span)>,
}

impl Values {
    /// Notes a class, unless it has been.
    fn made(&mut self, class: Id, span: Span) {
        // Ids count up, so a class that is not the newest is there.
        if self.order.last().is_none_or(|(last, _)| *last < class) {
            self.order.push((class, span));
        }
    }
}

impl Workspace {
    /// An empty one, for a function of these parameters.
    pub(crate) fn new(params: Vec<Aval>) -> Workspace {
        Workspace { egraph: EGraph::new(Facts::new(params)), spans: Vec::new(), equal: Vec::new() }
    }

    /// Unites what is equal, and rebuilds the e-graph.
    pub(crate) fn settle(&mut self) {
        for (x, y) in std::mem::take(&mut self.equal) {
            self.egraph.union(x, y);
        }
        clock::stopped(|| self.egraph.rebuild());
    }

    fn add(&mut self, term: Term, span: Span) -> Id {
        let id = self.egraph.add(term);
        self.spans.push((id, span));
        id
    }

    fn attr(&mut self, attr: Attr) -> Id {
        self.egraph.add(Term::leaf(Head::Attr(attr)))
    }

    fn param(&mut self, i: usize, span: Span) -> Id {
        self.add(Term::leaf(Head::Param(NodeId::from(i).0)), span)
    }

    fn op(&mut self, op: &Op, operands: &[Id], span: Span) -> Id {
        let (prim, attrs) = encode(op);
        let mut args: SmallVec<[Id; 4]> = attrs.into_iter().map(|a| self.attr(a)).collect();
        args.extend_from_slice(operands);
        self.add(Term::new(Head::Prim(prim), args), span)
    }

    fn zeros(&mut self, aval: &Aval) -> Id {
        template::full(&mut self.egraph, Literal::new(aval.dtype, 0.0), &aval.shape)
    }

    /// Puts a function's nodes in; equal nodes share a class.
    pub(crate) fn load(&mut self, f: &Function, functions: &Functions<'_>) -> Result<Values> {
        self.load_with(f, |work, what, operands, span| {
            work.call(functions, what, operands, span).map(|called| called.results)
        })
    }

    /// Puts a function's nodes in, and for calls, loops and branches what `call` says: it is given what
    /// is run for which operands.
    pub(crate) fn load_with(
        &mut self,
        f: &Function,
        mut call: impl FnMut(&mut Workspace, &What, &[Id], Span) -> Result<Vec<Id>>,
    ) -> Result<Values> {
        let live = f.live();
        let mut values = Values { class: vec![None; f.len()], order: Vec::with_capacity(f.len()) };
        let mut tuples: HashMap<NodeId, Vec<Id>> = HashMap::new();
        for (id, node) in f.nodes() {
            let class = match &node.kind {
                NodeKind::Param(i) => self.param(*i, node.span),
                NodeKind::Op(op) if live[id.index()] => {
                    let operands: SmallVec<[Id; 3]> =
                        node.args.iter().filter_map(|a| values.class[a.index()]).collect();
                    self.op(op, &operands, node.span)
                }
                NodeKind::Apply(..) | NodeKind::Control(_) if live[id.index()] => {
                    let operands: Vec<Id> = node.args.iter().filter_map(|a| values.class[a.index()]).collect();
                    let what = match &node.kind {
                        NodeKind::Apply(transform, callee) => What::Function(transform.clone(), *callee),
                        NodeKind::Control(control) => What::Control(control.clone()),
                        NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => continue,
                    };
                    let results = call(self, &what, &operands, node.span)?;
                    for result in &results {
                        // A call comes before its results.
                        let result_of = &self.node(*result).args;
                        let tuple = result_of.first().filter(|_| matches!(self.node(*result).head, Head::Get(_)));
                        for made in tuple.copied().into_iter().chain([*result]) {
                            values.made(made, node.span);
                        }
                    }
                    tuples.insert(id, results);
                    continue;
                }
                NodeKind::Get(i) if live[id.index()] => {
                    let results = node.args.first().and_then(|t| tuples.get(t));
                    *results.and_then(|r| r.get(*i)).ok_or_else(|| not_plain(f))?
                }
                NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => continue,
            };
            values.made(class, node.span);
            values.class[id.index()] = Some(class);
        }
        self.egraph.analysis.check()?;
        Ok(values)
    }

    /// The one node of a class that nothing has been united with yet.
    fn node(&self, id: Id) -> &Term {
        &self.egraph[id].nodes[0]
    }

    /// The call that a class was made to hold a result of.
    pub(crate) fn tuple(&self, id: Id) -> Option<Id> {
        let node = self.node(id);
        matches!(node.head, Head::Get(_)).then(|| node.args[0])
    }

    fn is_float(&self, id: Id) -> bool {
        aval(&self.egraph, id).dtype.is_float()
    }

    /// The user's line per class, by the number of its representative; where several nodes have
    /// become equal, that of the first.
    pub(crate) fn spans_by_class(&self) -> Vec<Span> {
        let classes = self.egraph.classes().map(|c| usize::from(c.id) + 1).max().unwrap_or(0);
        let mut spans = vec![Span::Unknown; classes];
        for (id, span) in &self.spans {
            let place = &mut spans[usize::from(self.egraph.find(*id))];
            *place = place.or(*span);
        }
        spans
    }
}

/// A transformed function in its e-graph.
struct Marked {
    work: Workspace,
    params: Vec<(Aval, Span)>,
    results: Vec<Id>,
    /// What stands for each live node of the function, before the table: a value or a marker.
    nodes: Vec<Option<Id>>,
    /// What the table did.
    report: Report,
}

/// What is noted down while a table runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Nothing,
    Times,
    Applications,
}

impl Marked {
    /// Applies the structural rule, then the table.
    fn new(f: &Function, transform: &Transform, functions: &mut Functions<'_>) -> Result<Marked> {
        Marked::watched(f, transform, functions, Watch::Nothing)
    }

    fn watched(f: &Function, transform: &Transform, functions: &mut Functions<'_>, watch: Watch) -> Result<Marked> {
        let tables = functions.tables;
        let (mut marked, table): (Marked, Option<&Table>) = match transform {
            Transform::Call => {
                let params: Vec<_> = params(f).collect();
                let mut work = Workspace::new(f.param_avals());
                let values = work.load(f, functions)?;
                let results = f.results().iter().map(|r| class(&values, *r)).collect::<Result<_>>()?;
                (Marked { work, params, results, nodes: values.class, report: Report::default() }, None)
            }
            Transform::Jvp { wrt } => (jvp::jvp(f, wrt, functions)?, Some(&tables.push)),
            Transform::Vjp { wrt } => (vjp::vjp(f, wrt, functions)?, Some(&tables.pull)),
            Transform::Vmap { in_axes, out_axes, size } => {
                let out_axes: Vec<Option<usize>> = out_axes.iter().copied().map(Some).collect();
                (vmap::vmap(f, in_axes, &out_axes, *size, functions)?, Some(&tables.batch))
            }
            Transform::CustomJvp { .. }
            | Transform::CustomVjp { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => {
                return Err(Error::internal(format!("`{}` is expanded as if it were a transform", transform.name())));
            }
        };
        let facts = &mut marked.work.egraph.analysis;
        facts.timed = watch == Watch::Times;
        facts.applied = (watch == Watch::Applications).then(Vec::new);
        marked.rewritten(table)
    }

    /// With every marker rewritten by the table.
    fn rewritten(mut self, table: Option<&Table>) -> Result<Marked> {
        self.work.settle();
        if let Some(table) = table {
            // No right-hand side holds a marker, so one pass rewrites them all.
            self.report = table.run(&mut self.work.egraph, 1, &|_| true)?;
        }
        Ok(self)
    }

    /// The results as a plain function: the one primitive in every class.
    fn read_back(&self, name: &str) -> Result<Function> {
        let spans = self.work.spans_by_class();
        let egraph = &self.work.egraph;
        let index = |id: Id| usize::from(egraph.find(id));
        let mut function = Function::new(name, self.params.iter().cloned());
        let mut at: Vec<Option<NodeId>> = vec![None; spans.len()];
        for (i, param) in function.params().enumerate() {
            if let Some(id) = egraph.lookup(Term::leaf(Head::Param(NodeId::from(i).0))) {
                at[index(id)] = Some(param);
            }
        }
        for root in &self.results {
            // (class, the line of what it was made for, whether its operands are done)
            let mut stack = vec![(*root, Span::Unknown, false)];
            while let Some((id, inherited, ready)) = stack.pop() {
                let i = index(id);
                if at[i].is_some() {
                    continue;
                }
                let span = spans[i].or(inherited);
                let term = self.plain(id, span)?;
                if !ready {
                    stack.push((id, span, true));
                    stack.extend(term.operands().iter().rev().map(|o| (*o, span, false)));
                    continue;
                }
                let args: SmallVec<[NodeId; 3]> = term.operands().iter().filter_map(|o| at[index(*o)]).collect();
                let (kind, avals) = match term.head {
                    Head::Prim(prim) => {
                        let op = crate::analysis::operation(egraph, prim, term.attrs())?;
                        (NodeKind::Op(op), SmallVec::from_elem(aval(egraph, id).clone(), 1))
                    }
                    Head::Get(r) => (NodeKind::Get(r as usize), SmallVec::from_elem(aval(egraph, id).clone(), 1)),
                    Head::Call(site, _) => {
                        let site = &egraph.analysis.sites[site as usize];
                        (site.what.kind(), site.results.iter().cloned().collect())
                    }
                    _ => return Err(Error::internal(format!("`{term}` is no parameter of `{name}`"))),
                };
                at[i] = Some(function.push(kind, &args, avals, span));
            }
        }
        function.set_results(self.results.iter().filter_map(|r| at[index(*r)]).collect());
        Ok(function)
    }

    /// The primitive, parameter, call or result of a call in a class; of several calls the one made
    /// last.
    fn plain(&self, id: Id, span: Span) -> Result<&Term> {
        let nodes = &self.work.egraph[id].nodes;
        let made = |t: &&Term| match t.head {
            Head::Get(_) => t.args.first().copied(),
            _ => None,
        };
        let plain = nodes.iter().filter(|t| t.head.is_plain());
        let newest = plain.reduce(|a, b| if made(&b) > made(&a) { b } else { a });
        newest.ok_or_else(|| match nodes.first().map(|t| &t.head) {
            Some(Head::Pull(p, k)) => {
                Error::missing_rule(format!("`{p}` has no reverse-mode rule (vjp) for operand {k}")).at(span)
            }
            Some(Head::Push(p, k)) => {
                Error::missing_rule(format!("`{p}` has no forward-mode rule (jvp) for operand {k}")).at(span)
            }
            Some(Head::Batch(p, m)) => {
                let mask = m.text(p.arity());
                Error::missing_rule(format!("`{p}` has no batching rule (vmap) for operands batched {mask}")).at(span)
            }
            other => Error::internal(format!("a class holds no primitive but {other:?}")),
        })
    }
}

/// The class of every node of a function that was read back from an e-graph.
fn classes(egraph: &EGraph, f: &Function) -> Vec<Option<Id>> {
    let mut at: Vec<Option<Id>> = Vec::with_capacity(f.len());
    for (_, node) in f.nodes() {
        let term = match &node.kind {
            NodeKind::Param(i) => Some(Term::leaf(Head::Param(NodeId::from(*i).0))),
            NodeKind::Op(op) => {
                let (prim, attrs) = encode(op);
                let attrs = attrs.into_iter().map(|a| egraph.lookup(Term::leaf(Head::Attr(a))));
                let args: Option<SmallVec<[Id; 4]>> = attrs.chain(node.args.iter().map(|a| at[a.index()])).collect();
                args.map(|args| Term::new(Head::Prim(prim), args))
            }
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => None,
        };
        at.push(term.and_then(|t| egraph.lookup(t)));
    }
    at
}

/// The parameters of a function, with their lines.
fn params(f: &Function) -> impl Iterator<Item = (Aval, Span)> + '_ {
    f.params().map(|p| (f.aval(p).clone(), f.node(p).span))
}

/// The class of a result.
fn class(values: &Values, node: NodeId) -> Result<Id> {
    values.class[node.index()].ok_or_else(|| Error::internal("a live value without a class"))
}
