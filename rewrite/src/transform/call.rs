//! What transforms do to calls, which they don't open: each calls a transformed function instead.
//!
//! ```text
//! jvp   call f p…        =>  call (jvp f) p… ṗ…                the results and their tangents
//! vjp   call f p…        =>  call (forward f) p…               the results and what is saved
//!                            call (backward f) p… saved… ȳ…    the cotangents of the operands
//! vmap  call f p…        =>  vmap f p…                         a call for every element of a batch
//! ```
//!
//! A call for every element is transformed element by element: shared operands have shared
//! tangents, and the sum of the elements' cotangents.

use super::Workspace;
use super::checkpoint;
use super::control;
use super::custom::{self, Custom};
use super::functions::{Edge, Functions, Halves};
use super::vjp::accumulate;
use crate::analysis::{Site, What, aval};
use crate::term::{Head, Term};
use egg::Id;
use egrad_ir::graph::not_plain;
use egrad_ir::op::Axes;
use egrad_ir::{Aval, Control, Error, FnId, Function, NodeId, NodeKind, Op, Reduce, Result, Span, Transform};
use hashbrown::HashMap;
use std::sync::Arc;

/// What is made of a call, a loop or a branch on some operands: its results.
type Run<'a> = dyn FnMut(&mut Workspace, &What, &[Id], Span) -> Result<Vec<Id>> + 'a;

/// A call in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    /// What is called, by its number among the sites.
    pub(crate) site: u32,
    /// The classes of its results.
    pub(crate) results: Vec<Id>,
}

impl Workspace {
    /// Runs functions of `functions`: calls one, once or for every element of a batch, or loops or
    /// branches.
    ///
    /// # Errors
    /// If the operands don't fit.
    pub(crate) fn call(
        &mut self,
        functions: &Functions<'_>,
        what: &What,
        operands: &[Id],
        span: Span,
    ) -> Result<Called> {
        let avals: Vec<Aval> = operands.iter().map(|o| aval(&self.egraph, *o).clone()).collect();
        let results = match what {
            What::Function(transform, callee) => functions.program.apply_avals(transform, *callee, &avals),
            What::Control(control) => functions.program.control_avals(control, &avals),
        };
        let results = results.map_err(|e| e.at(span))?;
        let n = results.len();
        let site = Site { what: what.clone(), params: avals.into(), results: Arc::from(results) };
        let sites = &mut self.egraph.analysis.sites;
        let number = sites.iter().position(|s| *s == site).unwrap_or(sites.len());
        if number == sites.len() {
            sites.push(site);
        }
        let arity = u16::try_from(operands.len());
        let arity = arity.map_err(|_| Error::memory("a call of more than 65,535 operands").at(span))?;
        let number = u32::try_from(number).expect("fewer than 2^32 functions");
        let tuple = self.add(Term::new(Head::Call(number, arity), operands.iter().copied()), span);
        let get = |i: usize| self.add(Term::new(Head::Get(i as u32), [tuple]), span);
        Ok(Called { site: number, results: (0..n).map(get).collect() })
    }

    /// What the call that is class `y` calls, and its operands.
    pub(super) fn site(&self, y: Id) -> (Site, Vec<Id>) {
        let node = self.node(y);
        let Head::Call(number, _) = node.head else { unreachable!("asked of calls alone") };
        (self.egraph.analysis.sites[number as usize].clone(), node.operands().to_vec())
    }

    /// A copy of a plain function's nodes; the classes of its results.
    ///
    /// # Errors
    /// If the function isn't plain.
    pub(crate) fn open(&mut self, f: &Function, operands: &[Id]) -> Result<Vec<Id>> {
        let live = f.live();
        let mut class: Vec<Option<Id>> = vec![None; f.len()];
        for (id, node) in f.nodes() {
            class[id.index()] = match &node.kind {
                NodeKind::Param(i) => Some(operands[*i]),
                NodeKind::Op(op) if live[id.index()] => {
                    let operands: Vec<Id> = node.args.iter().filter_map(|a| class[a.index()]).collect();
                    Some(self.op(op, &operands, node.span))
                }
                NodeKind::Op(_) => None,
                NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => return Err(not_plain(f)),
            };
        }
        f.results().iter().map(|r| class[r.index()].ok_or_else(|| not_plain(f))).collect()
    }

    /// A copy of a function's nodes, what it runs by itself included; the classes of its results.
    ///
    /// # Errors
    /// If the operands don't fit.
    pub(super) fn open_function(
        &mut self,
        functions: &Functions<'_>,
        f: FnId,
        operands: &[Id],
        span: Span,
    ) -> Result<Vec<Id>> {
        let f = functions.program.function(f).clone();
        let mut run = |work: &mut Workspace, what: &What, args: &[Id], span: Span| {
            work.call(functions, what, args, span).map(|called| called.results)
        };
        let class = self.open_with(&f, operands, span, &mut run)?;
        f.results().iter().map(|r| class[r.index()].ok_or_else(|| not_plain(&f))).collect()
    }

    /// A copy of a function's nodes, and of what it runs by itself whatever `run` makes; the class of
    /// every live node.
    ///
    /// # Errors
    /// As `run`.
    pub(crate) fn open_with(
        &mut self,
        f: &Function,
        operands: &[Id],
        span: Span,
        run: &mut Run<'_>,
    ) -> Result<Vec<Option<Id>>> {
        let live = f.live();
        let mut class: Vec<Option<Id>> = vec![None; f.len()];
        let mut tuples: HashMap<NodeId, Vec<Id>> = HashMap::new();
        for (id, node) in f.nodes() {
            if !live[id.index()] {
                continue;
            }
            let args: Vec<Id> = node.args.iter().filter_map(|a| class[a.index()]).collect();
            let span = node.span.or(span);
            let what = match &node.kind {
                NodeKind::Apply(transform, callee) => What::Function(transform.clone(), *callee),
                NodeKind::Control(control) => What::Control(control.clone()),
                NodeKind::Param(i) => {
                    class[id.index()] = Some(operands[*i]);
                    continue;
                }
                NodeKind::Op(op) => {
                    class[id.index()] = Some(self.op(op, &args, span));
                    continue;
                }
                NodeKind::Get(i) => {
                    class[id.index()] = node.args.first().and_then(|t| tuples.get(t)?.get(*i).copied());
                    continue;
                }
            };
            tuples.insert(id, run(self, &what, &args, span)?);
        }
        Ok(class)
    }

    /// Says that two classes are equal, which they become when the workspace is settled.
    pub(crate) fn unite(&mut self, x: Id, y: Id) {
        self.equal.push((x, y));
    }

    /// Says that a call's result is that of a call made later, which gives more.
    pub(super) fn supersede(&mut self, y: Id, i: usize, by: Id) {
        if let Some(result) = self.result(y, i) {
            self.unite(result, by);
        }
    }

    /// The class of a call's result, if somebody has asked for it.
    pub(super) fn result(&self, tuple: Id, i: usize) -> Option<Id> {
        self.egraph.lookup(Term::new(Head::Get(i as u32), [tuple]))
    }
}

/// Pushes tangents through the call that is class `y`.
///
/// # Errors
/// If a primitive in the function has no rule.
pub(super) fn jvp(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (y, span): (Id, Span),
    tangent: &mut [Option<Id>],
) -> Result<()> {
    let (site, operands) = work.site(y);
    let callee = match &site.what {
        What::Function(_, callee) => *callee,
        What::Control(Control::Either { ways }) => ways[0],
        What::Control(c) => return control::jvp(work, functions, (c, &operands), (y, span), tangent),
    };
    let active: Vec<bool> = operands.iter().map(|o| tangent[usize::from(*o)].is_some()).collect();
    if !active.contains(&true) {
        return Ok(());
    }
    if let Some(custom) = Custom::of(&site, functions) {
        return custom.jvp(work, functions, (y, span), tangent);
    }
    let wrt: Vec<usize> = (0..operands.len()).filter(|k| active[*k]).collect();
    let carried = functions.flow(callee, Edge::Tangent, &active);
    let pushed = functions.transformed(callee, &Transform::Jvp { wrt: wrt.clone() }, span)?;
    // The tangents that exist, after all results.
    let n = site.results.len();
    let floats = (0..n).filter(|i| site.results[*i].dtype.is_float());
    let tangents: Vec<(usize, usize)> =
        floats.enumerate().filter(|(_, i)| carried[*i]).map(|(t, i)| (i, n + t)).collect();
    let wanted: Vec<usize> = (0..n).chain(tangents.iter().map(|(_, t)| *t)).collect();
    let pushed = functions.select(pushed, &wanted);
    let what = site.mapped(pushed, |axes| axes.extend(wrt.iter().map(|k| site.axis(*k))), wanted.len());
    let args: Vec<Id> =
        operands.iter().copied().chain(wrt.iter().filter_map(|k| tangent[usize::from(operands[*k])])).collect();
    let called = work.call(functions, &what, &args, span)?;
    for i in 0..n {
        work.supersede(y, i, called.results[i]);
    }
    for (position, (i, _)) in tangents.iter().enumerate() {
        if let Some(result) = work.result(y, *i) {
            tangent[usize::from(result)] = Some(called.results[n + position]);
        }
    }
    Ok(())
}

/// Marks the results that the call of class `y` lets an input reach.
pub(super) fn reached(work: &Workspace, functions: &mut Functions<'_>, y: Id, reached: &mut [bool]) {
    let (site, operands) = work.site(y);
    let from: Vec<bool> = operands.iter().map(|o| reached[usize::from(*o)]).collect();
    if from.contains(&true) {
        let to = match &site.what {
            What::Function(transform, callee) => functions.flow_through(transform, *callee, Edge::Cotangent, &from),
            What::Control(c) => control::flow(functions, c, Edge::Cotangent, &from),
        };
        for (i, to) in to.into_iter().enumerate() {
            if let Some(result) = work.result(y, i) {
                reached[usize::from(result)] = to;
            }
        }
    }
}

/// Pulls cotangents back through the call that is class `y`.
///
/// # Errors
/// If a primitive in the function has no rule.
pub(super) fn vjp(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (y, span): (Id, Span),
    reached: &[bool],
    cotangent: &mut [Option<Id>],
) -> Result<()> {
    let (site, operands) = work.site(y);
    let callee = match &site.what {
        What::Function(_, callee) => *callee,
        What::Control(Control::Either { ways }) => ways[0],
        What::Control(c) => return control::vjp(work, functions, (c, &operands), (y, span), reached, cotangent),
    };
    let n = site.results.len();
    if let Some(custom) = Custom::of(&site, functions) {
        return custom.vjp(work, functions, (y, span), reached, cotangent);
    }
    let Some(Pulled { wrt, of, seeds }) = pulled(work, functions, (callee, n), (y, &operands), reached, cotangent)
    else {
        return Ok(());
    };
    if let What::Function(Transform::Checkpoint { policy }, _) = &site.what {
        let by = Pulled { wrt, of, seeds };
        return checkpoint::vjp(work, functions, (policy, callee), (y, span), by, cotangent);
    }
    let Halves { forward, backward } = functions.halves(callee, &wrt, &of, span)?;
    let saved = functions.program.function(forward).results().len() - n;
    let went = work.call(functions, &site.mapped(forward, |_| (), n + saved), &operands, span)?;
    for i in 0..n {
        work.supersede(y, i, went.results[i]);
    }
    let args: Vec<Id> = operands.iter().chain(&went.results[n..]).chain(&seeds).copied().collect();
    let stacked = |axes: &mut Vec<Option<usize>>| axes.extend(vec![Some(0); saved + seeds.len()]);
    let came = work.call(functions, &site.mapped(backward, stacked, wrt.len()), &args, span)?;
    for (k, gradient) in wrt.iter().zip(&came.results) {
        // Elements that share an operand each give it a cotangent.
        let gradient = if site.is_batch() && site.axis(*k).is_none() {
            let axes = Axes::from_slice(&[0]);
            work.op(&Op::Reduce { kind: Reduce::Sum, axes }, &[*gradient], span)
        } else {
            *gradient
        };
        accumulate(work, cotangent, operands[*k], gradient, span);
    }
    Ok(())
}

/// What a call is differentiated by.
pub(super) struct Pulled {
    /// The operands that have a gradient.
    pub(super) wrt: Vec<usize>,
    /// The results that have a cotangent, and those.
    pub(super) of: Vec<usize>,
    pub(super) seeds: Vec<Id>,
}

/// What a call of a function with `n` results is differentiated by, if by anything.
fn pulled(
    work: &Workspace,
    functions: &mut Functions<'_>,
    (callee, n): (FnId, usize),
    (y, operands): (Id, &[Id]),
    reached: &[bool],
    cotangent: &[Option<Id>],
) -> Option<Pulled> {
    let pulled =
        |i: &usize| work.result(y, *i).filter(|r| reached[usize::from(*r)]).and_then(|r| cotangent[usize::from(r)]);
    let (of, seeds): (Vec<usize>, Vec<Id>) = (0..n).filter_map(|i| pulled(&i).map(|c| (i, c))).unzip();
    let mut wrt = Vec::new();
    for (k, operand) in operands.iter().enumerate() {
        if reached[usize::from(*operand)] {
            let alone: Vec<bool> = (0..operands.len()).map(|j| j == k).collect();
            let to = functions.flow(callee, Edge::Cotangent, &alone);
            if of.iter().any(|i| to[*i]) {
                wrt.push(k);
            }
        }
    }
    (!wrt.is_empty()).then_some(Pulled { wrt, of, seeds })
}

/// The call for every element of a batch, the call itself if nothing is batched. Gives the results'
/// classes and whether they have the batch axis.
///
/// # Errors
/// If the operands don't fit.
pub(super) fn vmap(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (transform, callee): (&Transform, FnId),
    operands: &[(Id, bool)],
    size: usize,
    span: Span,
) -> Result<Vec<(Id, bool)>> {
    let classes: Vec<Id> = operands.iter().map(|(id, _)| *id).collect();
    if !operands.iter().any(|(_, batched)| *batched) && !functions.looks_at_batches(callee) {
        let called = work.call(functions, &What::Function(transform.clone(), callee), &classes, span)?;
        return Ok(called.results.into_iter().map(|r| (r, false)).collect());
    }
    if let Transform::CustomJvp { .. } | Transform::CustomVjp { .. } = transform {
        return custom::vmap(work, functions, (transform, callee), operands, size, span);
    }
    if checkpoint::is(transform) {
        return checkpoint::vmap(work, functions, (transform, callee), operands, size, span);
    }
    let element = |(id, batched): &(Id, bool)| {
        let aval = aval(&work.egraph, *id);
        if *batched { Aval::new(aval.dtype, &aval.shape[1..]) } else { aval.clone() }
    };
    let avals: Vec<Aval> = operands.iter().map(element).collect();
    let inner = functions.wrapped(callee, transform, &avals, span)?;
    let n = functions.program.function(inner).results().len();
    let in_axes = operands.iter().map(|(_, batched)| batched.then_some(0)).collect();
    let over = Transform::Vmap { in_axes, out_axes: vec![0; n], size };
    // One element by itself can't look at the others.
    let called = if functions.push_in || functions.looks_at_batches(inner) {
        let pushed = functions.pushed_in(&over, inner, span)?;
        work.call(functions, &What::Function(Transform::Call, pushed), &classes, span)?
    } else {
        work.call(functions, &What::Function(over, inner), &classes, span)?
    };
    Ok(called.results.into_iter().map(|r| (r, true)).collect())
}

impl Site {
    /// Whether a function is called for every element of a batch.
    fn is_batch(&self) -> bool {
        matches!(self.what, What::Function(Transform::Vmap { .. }, _))
    }

    /// The batch axis of an operand.
    fn axis(&self, k: usize) -> Option<usize> {
        match &self.what {
            What::Function(Transform::Vmap { in_axes, .. }, _) => in_axes[k],
            What::Function(
                Transform::Call
                | Transform::Jvp { .. }
                | Transform::Vjp { .. }
                | Transform::CustomJvp { .. }
                | Transform::CustomVjp { .. }
                | Transform::Checkpoint { .. }
                | Transform::Named { .. },
                _,
            )
            | What::Control(_) => None,
        }
    }

    /// What is run for a function of more operands, whose axes `more` adds, and so many results.
    fn mapped(&self, callee: FnId, more: impl FnOnce(&mut Vec<Option<usize>>), results: usize) -> What {
        match &self.what {
            What::Function(Transform::Vmap { in_axes, size, .. }, _) => {
                let mut in_axes = in_axes.clone();
                more(&mut in_axes);
                What::Function(Transform::Vmap { in_axes, out_axes: vec![0; results], size: *size }, callee)
            }
            What::Function(
                other @ (Transform::Call
                | Transform::Jvp { .. }
                | Transform::Vjp { .. }
                | Transform::CustomJvp { .. }
                | Transform::CustomVjp { .. }
                | Transform::Checkpoint { .. }
                | Transform::Named { .. }),
                _,
            ) => What::Function(other.clone(), callee),
            What::Control(_) => What::Function(Transform::Call, callee),
        }
    }
}
