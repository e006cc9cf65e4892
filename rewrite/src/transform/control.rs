//! What transforms do to loops and branches, which stay what they are: each goes over transformed
//! functions instead.
//!
//! ```text
//! jvp   scan f             =>  scan (jvp f)             what is carried, then its tangents
//! vjp   scan f             =>  scan (forward f)         the results and, per step, what is saved
//!                              scan (backward f)        the other way; carries cotangents
//! vmap  scan f             =>  scan (vmap f)
//! jvp   while p f          =>  while p (jvp f)
//! vmap  while p f          =>  while (any p) (select p (vmap f))      if p differs between elements
//! jvp   switch f…          =>  switch (jvp f)…
//! vjp   switch f…          =>  switch (forward f)…  and  switch (backward f)…
//! vmap  switch f…          =>  switch (vmap f)…         or, if the index differs, all of them and selects
//! jvp   either f…          =>  call (jvp f)             of the first: so are vjp and what it saves
//! vmap  either f…          =>  either (vmap f)…
//! ```
//!
//! Which carries have a tangent or cotangent, or differ between the elements of a batch, is a fixpoint:
//! what one step gives the next one takes. Per-step values lie along axis 0 of the operands, and a
//! batch along axis 1 of those.

use super::functions::{Edge, Functions, Halves};
use super::vjp::accumulate;
use super::{Workspace, axis};
use crate::analysis::{What, aval};
use egg::Id;
use egrad_ir::graph::move_axis;
use egrad_ir::op::Axes;
use egrad_ir::{
    Aval, Compare, Control, Dtype, Error, FnId, Function, Literal, NodeId, NodeKind, Op, Reduce, Result, Span,
    Transform,
};

/// Which results depend on these operands by edges of that kind.
pub(super) fn flow(functions: &mut Functions<'_>, control: &Control, edge: Edge, from: &[bool]) -> Vec<bool> {
    match control {
        Control::Scan { body, consts, carry, .. } => {
            let Through { results, .. } = through(functions, *body, edge, from, *consts, *carry);
            results
        }
        Control::While { cond, body, cond_consts, body_consts } => {
            let carry = from.len() - cond_consts - body_consts;
            let own = &from[*cond_consts..];
            let Through { params, results } = through(functions, *body, edge, own, *body_consts, carry);
            let asked: Vec<bool> = from[..*cond_consts].iter().chain(&params[*body_consts..]).copied().collect();
            // A condition that differs between elements makes everything differ.
            if edge == Edge::Batch && functions.flow(*cond, edge, &asked)[0] { vec![true; carry] } else { results }
        }
        Control::Switch { branches } => {
            if edge == Edge::Batch && from[0] {
                return vec![true; functions.program.function(branches[0]).results().len()];
            }
            of_any(functions, branches, edge, &from[1..])
        }
        // What is differentiated is the first.
        Control::Either { ways } if edge == Edge::Batch => of_any(functions, ways, edge, from),
        Control::Either { ways } => functions.flow(ways[0], edge, from),
        Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => {
            axis::flow(control, edge, from)
        }
    }
}

/// Which results of any of these functions depend on these parameters.
fn of_any(functions: &mut Functions<'_>, branches: &[FnId], edge: Edge, from: &[bool]) -> Vec<bool> {
    let all: Vec<Vec<bool>> = branches.iter().map(|b| functions.flow(*b, edge, from)).collect();
    (0..all[0].len()).map(|i| all.iter().any(|results| results[i])).collect()
}

/// What depends on some operands after any number of steps.
struct Through {
    /// Per parameter of the body.
    params: Vec<bool>,
    /// Per result of the loop.
    results: Vec<bool>,
}

/// The fixpoint over a loop's carry.
fn through(
    functions: &mut Functions<'_>,
    body: FnId,
    edge: Edge,
    from: &[bool],
    consts: usize,
    carry: usize,
) -> Through {
    let mut params = from.to_vec();
    loop {
        let mut results = functions.flow(body, edge, &params);
        let before = params.clone();
        for (param, result) in params[consts..].iter_mut().zip(&mut results[..carry]) {
            *param |= *result;
            *result = *param;
        }
        if params == before {
            return Through { params, results };
        }
    }
}

/// The positions at which a mask is true.
fn positions(mask: &[bool]) -> Vec<usize> {
    (0..mask.len()).filter(|i| mask[*i]).collect()
}

/// How many of a mask are true.
fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|m| **m).count()
}

/// A parameter or result of a derivative: of the function itself, or a derivative of that one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Value(usize),
    Tangent(usize),
}

/// Groups of values, each followed by the tangents of those that have one.
fn with_tangents(groups: &[std::ops::Range<usize>], has: &[bool]) -> Vec<Part> {
    let of = |group: &std::ops::Range<usize>| {
        let tangents = group.clone().filter(|i| has[*i]).map(Part::Tangent);
        group.clone().map(Part::Value).chain(tangents).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of).collect()
}

/// `(params…) -> (results…)` of a function's forward-mode derivative in that order.
fn pushed(
    functions: &mut Functions<'_>,
    f: FnId,
    has: &[bool],
    params: &[Part],
    results: &[Part],
    span: Span,
) -> Result<FnId> {
    let wrt = positions(has);
    let derivative = functions.transformed(f, &Transform::Jvp { wrt: wrt.clone() }, span)?;
    let function = functions.program.function(f);
    let n = function.results().len();
    let floats: Vec<usize> = (0..n).filter(|r| function.aval(function.results()[*r]).dtype.is_float()).collect();
    let result = |part: &Part| match part {
        Part::Value(r) => *r,
        Part::Tangent(r) => n + floats.iter().take_while(|float| *float < r).count(),
    };
    let results: Vec<usize> = results.iter().map(result).collect();
    let own = (0..has.len()).map(Part::Value).chain(wrt.iter().map(|w| Part::Tangent(*w)));
    let places: Vec<usize> = own.filter_map(|part| params.iter().position(|p| *p == part)).collect();
    let aval = |part: &Part| match part {
        Part::Value(i) | Part::Tangent(i) => (function.aval(NodeId::from(*i)).clone(), function.node((*i).into()).span),
    };
    let params: Vec<(Aval, Span)> = params.iter().map(aval).collect();
    Ok(functions.rearranged(derivative, params, &places, &results))
}

/// Pushes tangents through a loop or branch, whose tuple is class `y`.
///
/// # Errors
/// If a primitive in a function has no rule.
pub(super) fn jvp(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (control, operands): (&Control, &[Id]),
    (y, span): (Id, Span),
    tangent: &mut [Option<Id>],
) -> Result<()> {
    let has: Vec<bool> = operands.iter().map(|o| tangent[usize::from(*o)].is_some()).collect();
    if !has.contains(&true) {
        return Ok(());
    }
    let n = operands.len();
    // What the new loop or branch is, and which operands and results it has.
    let (control, params, results): (Control, Vec<Part>, Vec<Part>) = match control {
        Control::Scan { body, consts, carry, length, reverse } => {
            let fixed = consts + carry;
            let Through { params: has, results: to } = through(functions, *body, Edge::Tangent, &has, *consts, *carry);
            let params = with_tangents(&[0..*consts, *consts..fixed, fixed..n], &has);
            let results = with_tangents(&[0..*carry, *carry..to.len()], &to);
            let body = pushed(functions, *body, &has, &params, &results, span)?;
            let (consts, carry) = (consts + count(&has[..*consts]), carry + count(&to[..*carry]));
            (Control::Scan { body, consts, carry, length: *length, reverse: *reverse }, params, results)
        }
        Control::While { cond, body, cond_consts, body_consts } => {
            let carry = n - cond_consts - body_consts;
            let Through { params: has, results: to } =
                through(functions, *body, Edge::Tangent, &has[*cond_consts..], *body_consts, carry);
            let own = with_tangents(&[0..*body_consts, *body_consts..has.len()], &has);
            let results = with_tangents(std::slice::from_ref(&(0..carry)), &to);
            let body = pushed(functions, *body, &has, &own, &results, span)?;
            // The condition is asked about values alone.
            let avals: Vec<(Aval, Span)> = {
                let function = functions.program.function(*cond);
                let of = |i: usize| (function.aval(i.into()).clone(), function.node(i.into()).span);
                let at = |part: &Part| match part {
                    Part::Value(i) | Part::Tangent(i) => of(cond_consts + i),
                };
                (0..*cond_consts).map(of).chain(results.iter().map(at)).collect()
            };
            let places: Vec<usize> = (0..cond_consts + carry).collect();
            let cond = functions.rearranged(*cond, avals, &places, &[0]);
            let shift = |part: &Part| match part {
                Part::Value(i) => Part::Value(cond_consts + i),
                Part::Tangent(i) => Part::Tangent(cond_consts + i),
            };
            let params = (0..*cond_consts).map(Part::Value).chain(own.iter().map(shift)).collect();
            let body_consts = body_consts + count(&has[..*body_consts]);
            (Control::While { cond, body, cond_consts: *cond_consts, body_consts }, params, results)
        }
        Control::Switch { branches } => {
            let to = of_any(functions, branches, Edge::Tangent, &has[1..]);
            let own = with_tangents(std::slice::from_ref(&(0..n - 1)), &has[1..]);
            let results = with_tangents(std::slice::from_ref(&(0..to.len())), &to);
            let branches = branches.iter().map(|b| pushed(functions, *b, &has[1..], &own, &results, span));
            let branches = branches.collect::<Result<Vec<FnId>>>()?;
            let shift = |part: Part| match part {
                Part::Value(i) => Part::Value(1 + i),
                Part::Tangent(i) => Part::Tangent(1 + i),
            };
            let params = [Part::Value(0)].into_iter().chain(own.into_iter().map(shift)).collect();
            (Control::Switch { branches }, params, results)
        }
        Control::Either { .. } => return Err(Error::internal("the derivative of a choice is that of its first way")),
        Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => {
            return axis::jvp(work, functions, (control, operands), (y, span), tangent);
        }
    };
    let mut args = Vec::with_capacity(params.len());
    for part in &params {
        args.push(match part {
            Part::Value(i) => operands[*i],
            Part::Tangent(i) => match tangent[usize::from(operands[*i])] {
                Some(t) => t,
                // A later step has a tangent here, the first one none yet.
                None => work.zeros(&aval(&work.egraph, operands[*i]).clone()),
            },
        });
    }
    let called = work.call(functions, &What::Control(control), &args, span)?;
    for (part, result) in results.iter().zip(&called.results) {
        match part {
            Part::Value(i) => work.supersede(y, *i, *result),
            Part::Tangent(i) => {
                if let Some(value) = work.result(y, *i) {
                    tangent[usize::from(value)] = Some(*result);
                }
            }
        }
    }
    Ok(())
}

/// Pulls cotangents back through a loop or branch, whose tuple is class `y`.
///
/// # Errors
/// If a primitive in a function has no rule, or if it is a `while`.
pub(super) fn vjp(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (control, operands): (&Control, &[Id]),
    (y, span): (Id, Span),
    reached: &[bool],
    cotangent: &mut [Option<Id>],
) -> Result<()> {
    let results = functions
        .program
        .control_avals(control, &operands.iter().map(|o| aval(&work.egraph, *o).clone()).collect::<Vec<_>>())?;
    let seeds: Vec<Option<Id>> = (0..results.len())
        .map(|i| work.result(y, i).filter(|r| reached[usize::from(*r)]).and_then(|r| cotangent[usize::from(r)]))
        .collect();
    let active: Vec<bool> = operands.iter().map(|o| reached[usize::from(*o)]).collect();
    if seeds.iter().all(Option::is_none) || !active.contains(&true) {
        return Ok(());
    }
    let pulled = match control {
        Control::Scan { body, consts, carry, length, reverse } => {
            let scan = Scan { body: *body, consts: *consts, carry: *carry, length: *length, reverse: *reverse, span };
            scan.pull(work, functions, operands, (y, &seeds), &active)?
        }
        Control::While { .. } => {
            let m = "`while` has no reverse-mode derivative: how many steps it takes isn't known beforehand; \
                     use a loop with known bounds (`fori_loop` of numbers, or `scan`)";
            return Err(Error::missing_rule(m).at(span));
        }
        Control::Switch { branches } => pull_switch(work, functions, branches, operands, (y, &seeds), &active, span)?,
        Control::Either { .. } => return Err(Error::internal("the derivative of a choice is that of its first way")),
        Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => {
            axis::pull(work, functions, control, &seeds, span)?.map(|gradient| (0, gradient)).into_iter().collect()
        }
    };
    for (k, gradient) in pulled {
        accumulate(work, cotangent, operands[k], gradient, span);
    }
    Ok(())
}

/// Which of these parameters any of these results depends on, each by itself.
fn pullable(functions: &mut Functions<'_>, f: FnId, of: &[bool], among: &[bool]) -> Vec<bool> {
    let mut to = vec![false; among.len()];
    for k in positions(among) {
        let alone: Vec<bool> = (0..among.len()).map(|j| j == k).collect();
        to[k] = functions.flow(f, Edge::Cotangent, &alone).iter().zip(of).any(|(reached, of)| *reached && *of);
    }
    to
}

/// Which results take more than the first so many parameters to compute.
fn varying(f: &Function, constants: usize) -> Vec<bool> {
    let mut varies = vec![false; f.len()];
    for (id, node) in f.nodes() {
        varies[id.index()] = match node.kind {
            NodeKind::Param(i) => i >= constants,
            NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => {
                node.args.iter().any(|a| varies[a.index()])
            }
        };
    }
    f.results().iter().map(|r| varies[r.index()]).collect()
}

/// A scan being differentiated.
struct Scan {
    body: FnId,
    consts: usize,
    carry: usize,
    length: usize,
    reverse: bool,
    span: Span,
}

impl Scan {
    /// The gradients of those operands that have one.
    fn pull(
        &self,
        work: &mut Workspace,
        functions: &mut Functions<'_>,
        operands: &[Id],
        (y, seeds): (Id, &[Option<Id>]),
        active: &[bool],
    ) -> Result<Vec<(usize, Id)>> {
        let Scan { body, consts, carry, length, reverse, span } = *self;
        let fixed = consts + carry;
        let n = operands.len();
        let through = through(functions, body, Edge::Cotangent, active, consts, carry);
        // Which results of a step have a cotangent: those that a later step pulls back to among them.
        let mut of: Vec<bool> = seeds.iter().map(Option::is_some).collect();
        let wrt = loop {
            let wrt = pullable(functions, body, &of, &through.params);
            let before = of.clone();
            for i in 0..carry {
                of[i] |= wrt[consts + i];
            }
            if of == before {
                break wrt;
            }
        };
        // What is carried has a cotangent before and after a step, or not at all.
        let carried: Vec<bool> = (0..carry).map(|i| of[i] && through.params[consts + i]).collect();
        (0..carry).for_each(|i| of[i] = carried[i]);
        let wrt: Vec<bool> =
            (0..n).map(|k| if (consts..fixed).contains(&k) { carried[k - consts] } else { wrt[k] }).collect();
        let (of, wrt) = (positions(&of), positions(&wrt));
        let Halves { forward, backward } = functions.halves(body, &wrt, &of, span)?;

        // What goes back needs of a step's operands, and what is saved beside them.
        let results = seeds.len();
        let saved = functions.program.function(forward).results().len() - results;
        let used = functions.used_params(backward);
        let kept: Vec<usize> = (consts..fixed).filter(|k| used[*k]).collect();
        // What is the same in every step is computed once, outside.
        let varies = varying(functions.program.function(forward), consts)[results..].to_vec();
        let (stays, varies): (Vec<usize>, Vec<usize>) = (0..saved).partition(|s| !varies[*s]);
        let shared_results: Vec<usize> = stays.iter().map(|s| results + s).collect();
        let outside = functions.select(forward, &shared_results);
        let outside = work.open_function(functions, outside, operands, span)?;
        let forward = {
            let each: Vec<usize> = (0..results).chain(varies.iter().map(|s| results + s)).collect();
            let forward = functions.select(forward, &each);
            let f = functions.program.function(forward).clone();
            let mut forward = Function::new(f.name.clone(), f.params().map(|p| (f.aval(p).clone(), f.node(p).span)));
            let args: Vec<NodeId> = forward.params().collect();
            let mut given = f.copy_into(&mut forward, &args);
            given.splice(results..results, kept.iter().map(|k| args[*k]));
            forward.set_results(given);
            functions.intern(forward)
        };
        let control = Control::Scan { body: forward, consts, carry, length, reverse };
        let went = work.call(functions, &What::Control(control), operands, span)?;
        for i in 0..results {
            work.supersede(y, i, went.results[i]);
        }

        // Parameters of the backward half are the body's, then what is saved, then cotangents.
        let shared: Vec<usize> = (0..consts).filter(|k| used[*k]).collect();
        let elements: Vec<usize> = (fixed..n).filter(|k| used[*k]).collect();
        let summed: Vec<usize> = wrt.iter().copied().filter(|k| *k < consts).collect();
        let pulled: Vec<usize> = (0..wrt.len()).filter(|w| (consts..fixed).contains(&wrt[*w])).collect();
        let stacked: Vec<usize> = (0..wrt.len()).filter(|w| wrt[*w] >= fixed).collect();
        let seed = |i: usize| n + saved + i;
        let (last, each): (Vec<usize>, Vec<usize>) = (0..of.len()).partition(|i| of[*i] < carry);
        let order: Vec<Slot> = shared
            .iter()
            .map(|k| Slot::Param(*k))
            .chain(stays.iter().map(|s| Slot::Param(n + s)))
            .chain(last.iter().map(|i| Slot::Param(seed(*i))))
            .chain(summed.iter().map(|k| Slot::Sum(*k)))
            .chain(kept.iter().chain(&elements).map(|k| Slot::Param(*k)))
            .chain(varies.iter().map(|s| Slot::Param(n + s)))
            .chain(each.iter().map(|i| Slot::Param(seed(*i))))
            .collect();
        let step = self.backward(functions, backward, &order, &summed, &pulled, &stacked)?;
        let mut args: Vec<Id> = shared.iter().map(|k| operands[*k]).chain(outside).collect();
        let like = |work: &mut Workspace, id: Id| {
            let aval = aval(&work.egraph, id).clone();
            work.zeros(&aval)
        };
        for i in &last {
            args.push(match seeds[of[*i]] {
                Some(seed) => seed,
                None => like(work, operands[consts + of[*i]]),
            });
        }
        for k in &summed {
            args.push(like(work, operands[*k]));
        }
        args.extend(&went.results[results..results + kept.len()]);
        args.extend(elements.iter().map(|k| operands[*k]));
        args.extend(&went.results[results + kept.len()..]);
        args.extend(each.iter().filter_map(|i| seeds[of[*i]]));
        let control = Control::Scan {
            body: step,
            consts: shared.len() + stays.len(),
            carry: last.len() + summed.len(),
            length,
            reverse: !reverse,
        };
        let came = work.call(functions, &What::Control(control), &args, span)?;
        let whose = pulled.iter().map(|w| wrt[*w]).chain(summed).chain(stacked.iter().map(|w| wrt[*w]));
        Ok(whose.zip(came.results).collect())
    }

    /// The body of the scan that goes back: parameters as in `order`; results the cotangents of what
    /// is carried, sums for what is shared, and the gradients of elements.
    fn backward(
        &self,
        functions: &mut Functions<'_>,
        backward: FnId,
        order: &[Slot],
        summed: &[usize],
        pulled: &[usize],
        stacked: &[usize],
    ) -> Result<FnId> {
        let f = functions.program.function(backward).clone();
        let aval = |slot: &Slot| match slot {
            Slot::Param(p) | Slot::Sum(p) => (f.aval(NodeId::from(*p)).clone(), f.node((*p).into()).span),
        };
        let mut step = Function::new(f.name.clone(), order.iter().map(aval));
        let place = |slot: Slot| order.iter().position(|s| *s == slot).map(NodeId::from);
        // What the half doesn't use stands for nothing.
        let args: Vec<NodeId> = (0..f.params().len()).map(|p| place(Slot::Param(p)).unwrap_or(NodeId(0))).collect();
        let gradients = f.copy_into(&mut step, &args);
        let mut results: Vec<NodeId> = pulled.iter().map(|w| gradients[*w]).collect();
        for (w, k) in summed.iter().enumerate() {
            let sum = place(Slot::Sum(*k)).ok_or_else(|| Error::internal("a sum without a place"))?;
            let op = Op::Binary(egrad_ir::Binary::Add);
            results.push(step.add(op, &[sum, gradients[w]], self.span)?);
        }
        results.extend(stacked.iter().map(|w| gradients[*w]));
        step.set_results(results);
        Ok(functions.intern(step))
    }
}

/// A parameter of the body that goes back: one of the backward half, or the sum of the gradients of a
/// parameter so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Param(usize),
    Sum(usize),
}

/// The gradients of those operands of a `switch` that have one.
fn pull_switch(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    branches: &[FnId],
    operands: &[Id],
    (y, seeds): (Id, &[Option<Id>]),
    active: &[bool],
    span: Span,
) -> Result<Vec<(usize, Id)>> {
    let of: Vec<bool> = seeds.iter().map(Option::is_some).collect();
    let mut wrt = vec![false; operands.len() - 1];
    for branch in branches {
        let to = pullable(functions, *branch, &of, &active[1..]);
        wrt.iter_mut().zip(to).for_each(|(w, to)| *w |= to);
    }
    let (of, wrt) = (positions(&of), positions(&wrt));
    if wrt.is_empty() {
        return Ok(Vec::new());
    }
    let halves = branches.iter().map(|b| functions.halves(*b, &wrt, &of, span)).collect::<Result<Vec<Halves>>>()?;
    // A branch that looks at other elements of a batch must not see cotangents of those that don't take
    // it, so each branch gets its own, which are zeros but for those that do.
    let sets = if branches.iter().any(|b| functions.looks_at_batches(*b)) { branches.len() } else { 1 };
    // Values that branches save share places by their types.
    let mut places: Vec<Aval> = Vec::new();
    let mut taken: Vec<Vec<usize>> = Vec::new();
    for half in &halves {
        let f = functions.program.function(half.forward);
        let mut own: Vec<usize> = Vec::new();
        for saved in &f.result_avals()[seeds.len()..] {
            let free = (0..places.len()).find(|p| places[*p] == *saved && !own.contains(p));
            own.push(free.unwrap_or_else(|| {
                places.push(saved.clone());
                places.len() - 1
            }));
        }
        taken.push(own);
    }
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    for (half, own) in halves.iter().zip(&taken) {
        let f = functions.program.function(half.forward).clone();
        let signature = |f: &Function, p: NodeId| (f.aval(p).clone(), f.node(p).span);
        let mut forward = Function::new(f.name.clone(), f.params().map(|p| signature(&f, p)));
        let args: Vec<NodeId> = forward.params().collect();
        let mut results = f.copy_into(&mut forward, &args);
        let saved = results.split_off(seeds.len());
        for (p, aval) in places.iter().enumerate() {
            results.push(match own.iter().position(|o| *o == p) {
                Some(s) => saved[s],
                None => {
                    let zero = Op::Constant(Literal::new(aval.dtype, 0.0));
                    let zero = forward.add(zero, &[], span)?;
                    full(&mut forward, zero, aval, span)?
                }
            });
        }
        forward.set_results(results);
        forwards.push(functions.intern(forward));

        // Parameters of the backward half are the branch's, then what it saved, then cotangents.
        let b = functions.program.function(half.backward).clone();
        let n = operands.len() - 1;
        let params = (0..n)
            .map(|p| signature(&b, p.into()))
            .chain(places.iter().map(|aval| (aval.clone(), span)))
            .chain((0..sets * of.len()).map(|i| signature(&b, (n + own.len() + i % of.len()).into())));
        let set = if sets > 1 { backwards.len() * of.len() } else { 0 };
        let seeds = (0..of.len()).map(|i| n + places.len() + set + i);
        let positions: Vec<usize> = (0..n).chain(own.iter().map(|p| n + p)).chain(seeds).collect();
        let gradients: Vec<usize> = (0..wrt.len()).collect();
        let params: Vec<(Aval, Span)> = params.collect();
        backwards.push(functions.rearranged(half.backward, params, &positions, &gradients));
    }
    let went = work.call(functions, &What::Control(Control::Switch { branches: forwards }), operands, span)?;
    for i in 0..seeds.len() {
        work.supersede(y, i, went.results[i]);
    }
    let given: Vec<Id> = match sets {
        1 => seeds.iter().copied().flatten().collect(),
        _ => (0..sets).flat_map(|b| masked_seeds(work, operands[0], (b, sets), seeds, span)).collect(),
    };
    let args: Vec<Id> =
        operands.iter().copied().chain(went.results[seeds.len()..].iter().copied()).chain(given).collect();
    let came = work.call(functions, &What::Control(Control::Switch { branches: backwards }), &args, span)?;
    Ok(wrt.into_iter().map(|k| k + 1).zip(came.results).collect())
}

/// The cotangents where this branch of so many is the one that is taken, else zeros.
fn masked_seeds(
    work: &mut Workspace,
    index: Id,
    (b, branches): (usize, usize),
    seeds: &[Option<Id>],
    span: Span,
) -> Vec<Id> {
    // Out of range is the nearest.
    let compare = match b {
        0 => Compare::Le,
        _ if b + 1 == branches => Compare::Ge,
        _ => Compare::Eq,
    };
    let number = work.op(&Op::Constant(Literal::new(Dtype::I32, b as f64)), &[], span);
    let taken = work.op(&Op::Compare(compare), &[index, number], span);
    let mut masked = Vec::new();
    for seed in seeds.iter().copied().flatten() {
        let aval = aval(&work.egraph, seed).clone();
        let mask = match aval.shape.rank() {
            0 => taken,
            _ => work.op(&Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[taken], span),
        };
        let zeros = work.zeros(&aval);
        masked.push(work.op(&Op::Select, &[mask, seed, zeros], span));
    }
    masked
}

/// A scalar repeated.
fn full(f: &mut Function, scalar: NodeId, aval: &Aval, span: Span) -> Result<NodeId> {
    if aval.shape.rank() == 0 {
        return Ok(scalar);
    }
    f.add(Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[scalar], span)
}

/// The loop or branch for every element of a batch: the results' classes, and whether they have the
/// batch axis, which is at position 0 of operands and results.
///
/// # Errors
/// If a primitive in a function has no batching rule.
pub(super) fn vmap(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    control: &Control,
    operands: &[(Id, bool)],
    size: usize,
    span: Span,
) -> Result<Vec<(Id, bool)>> {
    let batched: Vec<bool> = operands.iter().map(|(_, batched)| *batched).collect();
    let mut classes: Vec<Id> = operands.iter().map(|(id, _)| *id).collect();
    let looks = functions.node_looks_at_batches(&NodeKind::Control(control.clone()));
    if !batched.contains(&true) && !looks {
        let called = work.call(functions, &What::Control(control.clone()), &classes, span)?;
        return Ok(called.results.into_iter().map(|r| (r, false)).collect());
    }
    match control {
        Control::Scan { body, consts, carry, length, reverse } => {
            let fixed = consts + carry;
            let Through { params, results } = through(functions, *body, Edge::Batch, &batched, *consts, *carry);
            let body = functions.batched(*body, &params, &results, size, span)?;
            for (k, id) in classes.iter_mut().enumerate() {
                if k < fixed && params[k] && !batched[k] {
                    *id = repeated(work, *id, size, span);
                } else if k >= fixed && params[k] {
                    *id = swapped(work, *id, span);
                }
            }
            let control = Control::Scan { body, consts: *consts, carry: *carry, length: *length, reverse: *reverse };
            let called = work.call(functions, &What::Control(control), &classes, span)?;
            let result = |(i, id): (usize, Id)| {
                let id = if i >= *carry && results[i] { swapped(work, id, span) } else { id };
                (id, results[i])
            };
            Ok(called.results.into_iter().enumerate().map(result).collect())
        }
        Control::While { cond, body, cond_consts, body_consts } => {
            let carry = operands.len() - cond_consts - body_consts;
            let consts = cond_consts + body_consts;
            let Through { mut params, .. } =
                through(functions, *body, Edge::Batch, &batched[*cond_consts..], *body_consts, carry);
            let mut asked: Vec<bool> = batched[..*cond_consts].iter().chain(&params[*body_consts..]).copied().collect();
            let differs = functions.flow(*cond, Edge::Batch, &asked)[0];
            if differs {
                params[*body_consts..].fill(true);
                asked[*cond_consts..].fill(true);
            }
            let results = params[*body_consts..].to_vec();
            for (k, id) in classes.iter_mut().enumerate().skip(consts) {
                if results[k - consts] && !batched[k] {
                    *id = repeated(work, *id, size, span);
                }
            }
            let body = functions.batched(*body, &params, &results, size, span)?;
            let cond = functions.batched(*cond, &asked, &[differs], size, span)?;
            let control = if differs {
                let (cond, body) = masked(functions, cond, body, *cond_consts, carry, span)?;
                classes.splice(..0, classes[..*cond_consts].to_vec());
                Control::While { cond, body, cond_consts: *cond_consts, body_consts: consts }
            } else {
                Control::While { cond, body, cond_consts: *cond_consts, body_consts: *body_consts }
            };
            let called = work.call(functions, &What::Control(control), &classes, span)?;
            Ok(called.results.into_iter().zip(results).collect())
        }
        Control::Switch { branches } if batched[0] => {
            let n = functions.program.function(branches[0]).results().len();
            let mut chosen: Vec<Id> = Vec::new();
            for (b, branch) in branches.iter().enumerate() {
                let branch = functions.batched(*branch, &batched[1..], &vec![true; n], size, span)?;
                let all = work.open_function(functions, branch, &classes[1..], span)?;
                if b == 0 {
                    chosen = all;
                    continue;
                }
                // Beyond the last branch is the last one, before the first the first.
                let number = work.op(&Op::Constant(Literal::new(Dtype::I32, b as f64)), &[], span);
                let numbers = repeated(work, number, size, span);
                let here = work.op(&Op::Compare(Compare::Ge), &[classes[0], numbers], span);
                for (chosen, result) in chosen.iter_mut().zip(all) {
                    let shape = aval(&work.egraph, result).shape.clone();
                    let dims = Axes::from_slice(&[0]);
                    let mask = work.op(&Op::BroadcastInDim { shape, dims }, &[here], span);
                    *chosen = work.op(&Op::Select, &[mask, result, *chosen], span);
                }
            }
            Ok(chosen.into_iter().map(|id| (id, true)).collect())
        }
        Control::Switch { branches } => {
            let results = of_any(functions, branches, Edge::Batch, &batched[1..]);
            let branches = branches.iter().map(|b| functions.batched(*b, &batched[1..], &results, size, span));
            let control = Control::Switch { branches: branches.collect::<Result<_>>()? };
            let called = work.call(functions, &What::Control(control), &classes, span)?;
            Ok(called.results.into_iter().zip(results).collect())
        }
        Control::Either { ways } => {
            let results = of_any(functions, ways, Edge::Batch, &batched);
            let ways = ways.iter().map(|f| functions.batched(*f, &batched, &results, size, span));
            let control = Control::Either { ways: ways.collect::<Result<_>>()? };
            let called = work.call(functions, &What::Control(control), &classes, span)?;
            Ok(called.results.into_iter().zip(results).collect())
        }
        Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => {
            axis::vmap(work, functions, control, operands, size, span)
        }
    }
}

/// A value for every element of a batch.
pub(super) fn repeated(work: &mut Workspace, id: Id, size: usize, span: Span) -> Id {
    let shape = aval(&work.egraph, id).shape.insert(0, size);
    let dims = (1..shape.rank()).collect();
    work.op(&Op::BroadcastInDim { shape, dims }, &[id], span)
}

/// A value with its first two axes exchanged.
pub(super) fn swapped(work: &mut Workspace, id: Id, span: Span) -> Id {
    let perm = move_axis(aval(&work.egraph, id).shape.rank(), 0, 1);
    work.op(&Op::Transpose(perm), &[id], span)
}

/// The condition and body of a loop in which elements that have finished wait for the others. The body
/// takes the condition's constants before its own.
fn masked(
    functions: &mut Functions<'_>,
    cond: FnId,
    body: FnId,
    cond_consts: usize,
    carry: usize,
    span: Span,
) -> Result<(FnId, FnId)> {
    let (p, f) = (functions.program.function(cond).clone(), functions.program.function(body).clone());
    let signature = |f: &Function| f.params().map(|p| (f.aval(p).clone(), f.node(p).span)).collect::<Vec<_>>();

    // There is a reduction of numbers, not of bools.
    let mut any = Function::new(p.name.clone(), signature(&p));
    let args: Vec<NodeId> = any.params().collect();
    let mask = p.copy_into(&mut any, &args)[0];
    let numbers = any.add(Op::Convert(Dtype::I32), &[mask], span)?;
    let most = any.add(Op::Reduce { kind: Reduce::Max, axes: Axes::from_slice(&[0]) }, &[numbers], span)?;
    let zero = any.add(Op::Constant(Literal::new(Dtype::I32, 0.0)), &[], span)?;
    let more = any.add(Op::Compare(Compare::Gt), &[most, zero], span)?;
    any.set_results(vec![more]);

    let own = signature(&p);
    let mut step = Function::new(f.name.clone(), own[..cond_consts].iter().cloned().chain(signature(&f)));
    let params: Vec<NodeId> = step.params().collect();
    let state = params.len() - carry;
    let asked: Vec<NodeId> = params[..cond_consts].iter().chain(&params[state..]).copied().collect();
    let mask = p.copy_into(&mut step, &asked)[0];
    let next = f.copy_into(&mut step, &params[cond_consts..]);
    let mut results = Vec::with_capacity(carry);
    for (old, new) in params[state..].iter().zip(next) {
        let shape = step.aval(*old).shape.clone();
        let dims = Axes::from_slice(&[0]);
        let mask = step.add(Op::BroadcastInDim { shape, dims }, &[mask], span)?;
        results.push(step.add(Op::Select, &[mask, new, *old], span)?);
    }
    step.set_results(results);
    Ok((functions.intern(any), functions.intern(step)))
}
