//! Functions with derivatives of their own.
//!
//! Such a function stays whole until the last transform is done: a derivative of it is its rule,
//! called; a batch of it is one whose rule is batched too; and what nobody has differentiated is at
//! last the function itself.
//!
//! ```text
//! jvp   custom_jvp f p…  =>  call f p… ṗ…                 the rule's results and tangents
//! vjp   custom_jvp f p…  =>  call (forward of fᵀ) p…      the rule's results and what is saved
//!                            call (backward of fᵀ) … ȳ…   where fᵀ is the vjp by ṗ, at 0
//! vjp   custom_vjp f p…  =>  call (forward of f) p…       the rule's results and what is saved
//!                            call (backward of f) … ȳ…    the rule's gradients
//! vmap  custom f p…      =>  custom (vmap f) p…
//! ```
//!
//! What of a reverse-mode rule doesn't depend on cotangents goes forward, as that of a call does.
//!
//! As in JAX, a rule is given zeros for tangents and cotangents that don't exist.

use super::functions::{Functions, Halves, Keep, narrowed, signature, without_params};
use super::vjp::accumulate;
use super::{Callee, Workspace, checkpoint, inline};
use crate::analysis::{Site, What, aval};
use egg::Id;
use egrad_ir::op::Axes;
use egrad_ir::{Aval, Error, FnId, Function, Literal, NodeId, NodeKind, Op, Program, Reduce, Result, Span, Transform};
use std::borrow::Cow;

/// Whether the program's functions apply one that stays whole until the last transform is done: one that
/// has a derivative of its own, or a say in what its derivative keeps.
pub(super) fn is_in(program: &Program) -> bool {
    let is = |kind: &NodeKind| matches!(kind, NodeKind::Apply(t, _) if Rule::of(t).is_some() || checkpoint::is(t));
    program.functions().any(|(_, f)| f.nodes().any(|(_, n)| is(&n.kind)))
}

/// Which derivative is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Jvp,
    Vjp,
}

impl Rule {
    /// The rule, and how many parameters and results the function has.
    fn of(transform: &Transform) -> Option<(Rule, usize, usize)> {
        match transform {
            Transform::CustomJvp { params, results } => Some((Rule::Jvp, *params, *results)),
            Transform::CustomVjp { params, results } => Some((Rule::Vjp, *params, *results)),
            Transform::Call
            | Transform::Jvp { .. }
            | Transform::Vjp { .. }
            | Transform::Vmap { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => None,
        }
    }
}

/// A call of a function.
fn call(f: FnId) -> What {
    What::Function(Transform::Call, f)
}

/// The application of a function with a derivative of its own, in a workspace.
pub(super) struct Custom {
    rule: Rule,
    callee: FnId,
    name: String,
    /// How many operands the rule has derivatives for; the others come after them.
    params: usize,
    /// The results' avals.
    results: Vec<Aval>,
}

impl Custom {
    /// What a call is, if it is such an application.
    pub(super) fn of(site: &Site, functions: &Functions<'_>) -> Option<Custom> {
        let What::Function(transform, callee) = &site.what else { return None };
        let (rule, params, _) = Rule::of(transform)?;
        let name = functions.program.function(*callee).name.clone();
        Some(Custom { rule, callee: *callee, name, params, results: site.results.to_vec() })
    }

    /// Refuses derivatives by operands that the rule doesn't know.
    fn check(&self, operands: &[Id], active: impl Fn(Id) -> bool, span: Span) -> Result<()> {
        if !operands[self.params..].iter().any(|o| active(*o)) {
            return Ok(());
        }
        let m = format!(
            "`{}` has a derivative of its own, which says nothing of the tensors it captures, and one of them is \
             differentiated: pass it as an argument",
            self.name
        );
        Err(Error::missing_rule(m).at(span))
    }

    /// The positions of the float operands that the rule has derivatives for.
    fn floats(&self, work: &Workspace, operands: &[Id]) -> Vec<usize> {
        (0..self.params).filter(|k| work.is_float(operands[*k])).collect()
    }

    /// The positions of the float results.
    fn float_results(&self) -> Vec<usize> {
        (0..self.results.len()).filter(|i| self.results[*i].dtype.is_float()).collect()
    }

    /// The rule's operands.
    fn args(&self, operands: &[Id], directions: Vec<Id>) -> Vec<Id> {
        let (own, others) = operands.split_at(self.params);
        [own, &directions, others].concat()
    }

    /// Pushes tangents through the application that is class `y`.
    ///
    /// # Errors
    /// If the rule is one for reverse mode, or says nothing of an operand.
    pub(super) fn jvp(
        &self,
        work: &mut Workspace,
        functions: &mut Functions<'_>,
        (y, span): (Id, Span),
        tangent: &mut [Option<Id>],
    ) -> Result<()> {
        let (_, operands) = work.site(y);
        self.check(&operands, |o| tangent[usize::from(o)].is_some(), span)?;
        if self.rule == Rule::Vjp {
            let m = format!(
                "`{}` has a derivative of its own for reverse mode (custom_vjp) and none for forward mode (jvp): \
                 give it one by custom_jvp, which does for both",
                self.name
            );
            return Err(Error::missing_rule(m).at(span));
        }
        let mut directions = Vec::new();
        for k in self.floats(work, &operands) {
            let zero = aval(&work.egraph, operands[k]).clone();
            directions.push(tangent[usize::from(operands[k])].unwrap_or_else(|| work.zeros(&zero)));
        }
        let n = self.results.len();
        let total = functions.program.function(self.callee).results().len();
        let rule = functions.select(self.callee, &(n..total).collect::<Vec<_>>());
        let called = work.call(functions, &call(rule), &self.args(&operands, directions), span)?;
        for i in 0..n {
            work.supersede(y, i, called.results[i]);
        }
        for (j, i) in self.float_results().into_iter().enumerate() {
            if let Some(result) = work.result(y, i) {
                tangent[usize::from(result)] = Some(called.results[n + j]);
            }
        }
        Ok(())
    }

    /// Pulls cotangents back through the application that is class `y`.
    ///
    /// # Errors
    /// If the rule says nothing of an operand, or a primitive in it has no rule.
    pub(super) fn vjp(
        &self,
        work: &mut Workspace,
        functions: &mut Functions<'_>,
        (y, span): (Id, Span),
        reached: &[bool],
        cotangent: &mut [Option<Id>],
    ) -> Result<()> {
        let (_, operands) = work.site(y);
        let n = self.results.len();
        let given: Vec<Option<Id>> = (0..n)
            .map(|i| work.result(y, i).filter(|r| reached[usize::from(*r)]).and_then(|r| cotangent[usize::from(r)]))
            .collect();
        if given.iter().all(Option::is_none) {
            return Ok(());
        }
        self.check(&operands, |o| reached[usize::from(o)], span)?;
        let floats = self.floats(work, &operands);
        let wrt: Vec<usize> = (0..floats.len()).filter(|j| reached[usize::from(operands[floats[*j]])]).collect();
        let function = functions.program.function(self.callee).clone();
        let (own, rest) = (self.params, function.params().len() - operands.len());
        let all: Vec<NodeId> = function.params().collect();
        let known = all[..own].iter().chain(&all[own + rest..]).copied();
        // `(p…, o…, a cotangent per result) -> (y…, a gradient per operand)`, cotangents of those that
        // the rule is given.
        let mut cotangents = Vec::new();
        let mut whole = Function::new(&*self.name, signature(&function, known));
        let given_to: Vec<(usize, usize)> = self.float_results().into_iter().enumerate().collect();
        for (_, i) in &given_to {
            if self.rule == Rule::Vjp || given[*i].is_some() {
                whole.add_param(self.results[*i].clone(), span);
                cotangents.push(given[*i].unwrap_or_else(|| work.zeros(&self.results[*i])));
            }
        }
        let places: Vec<NodeId> = whole.params().collect();
        let (places, directions) = places.split_at(operands.len());
        let args = |directions: &[NodeId]| [&places[..own], directions, &places[own..]].concat();
        let results = match self.rule {
            Rule::Vjp => {
                let wanted: Vec<usize> = (n..2 * n).chain(wrt.iter().map(|j| 2 * n + j)).collect();
                let rule = functions.select(self.callee, &wanted);
                functions.program.function(rule).copy_into(&mut whole, &args(directions))
            }
            Rule::Jvp => {
                let mut zeros = Vec::new();
                for k in &floats {
                    zeros.push(zero(&mut whole, aval(&work.egraph, operands[*k]), span)?);
                }
                let mut args = args(&zeros);
                let values = functions.select(self.callee, &(n..2 * n).collect::<Vec<_>>());
                let mut results = functions.program.function(values).copy_into(&mut whole, &args);
                let of: Vec<usize> =
                    given_to.iter().filter(|(_, i)| given[*i].is_some()).map(|(j, _)| 2 * n + j).collect();
                let pushed = functions.select(self.callee, &of);
                let by = Transform::Vjp { wrt: wrt.iter().map(|j| own + j).collect() };
                let transposed = functions.transformed(pushed, &by, span)?;
                args.extend_from_slice(directions);
                let all = functions.program.function(transposed).copy_into(&mut whole, &args);
                results.extend_from_slice(&all[of.len()..]);
                results
            }
        };
        whole.set_results(results);
        let Halves { forward, backward } = functions.split(&whole, operands.len(), n, &Keep::Dear);
        let went = work.call(functions, &call(forward), &operands, span)?;
        for i in 0..n {
            work.supersede(y, i, went.results[i]);
        }
        let args = [&operands, &went.results[n..], &cotangents].concat();
        let gradients = work.call(functions, &call(backward), &args, span)?.results;
        for (j, gradient) in wrt.iter().zip(gradients) {
            accumulate(work, cotangent, operands[floats[*j]], gradient, span);
        }
        Ok(())
    }
}

/// Zeros in a function.
fn zero(f: &mut Function, aval: &Aval, span: Span) -> Result<NodeId> {
    let zero = f.add(Op::Constant(Literal::new(aval.dtype, 0.0)), &[], span)?;
    match aval.shape.rank() {
        0 => Ok(zero),
        _ => f.add(Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[zero], span),
    }
}

/// The application for every element of a batch, of which at least one operand is. Gives the results'
/// classes and whether they have the batch axis.
///
/// # Errors
/// If a primitive has no rule.
pub(super) fn vmap(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (transform, callee): (&Transform, FnId),
    operands: &[(Id, bool)],
    size: usize,
    span: Span,
) -> Result<Vec<(Id, bool)>> {
    let Some((rule, params, results)) = Rule::of(transform) else {
        return Err(Error::internal("no function with a derivative of its own"));
    };
    let axis = |batched: bool| batched.then_some(0);
    let (own, others) = operands.split_at(params);
    let floats: Vec<bool> = own.iter().filter(|(id, _)| work.is_float(*id)).map(|(_, batched)| *batched).collect();
    let f = functions.program.function(callee);
    let directions: Vec<Option<usize>> = match rule {
        // A tangent is like its operand.
        Rule::Jvp => floats.iter().map(|batched| axis(*batched)).collect(),
        Rule::Vjp => f.results()[..results].iter().filter(|y| f.aval(**y).dtype.is_float()).map(|_| Some(0)).collect(),
    };
    let of = |operands: &[(Id, bool)]| operands.iter().map(|(_, batched)| axis(*batched)).collect::<Vec<_>>();
    let in_axes = [of(own), directions, of(others)].concat();
    let over = Transform::Vmap { in_axes, out_axes: vec![0; f.results().len()], size };
    let mut batched = functions.transformed(callee, &over, span)?;
    if rule == Rule::Vjp && floats.contains(&false) {
        // Elements that share an operand each give it a cotangent.
        let mut summed = functions.program.function(batched).clone();
        let mut all = summed.results().to_vec();
        for (gradient, batched) in all[2 * results..].iter_mut().zip(&floats) {
            if !batched {
                let sum = Op::Reduce { kind: Reduce::Sum, axes: Axes::from_slice(&[0]) };
                *gradient = summed.add(sum, &[*gradient], span)?;
            }
        }
        summed.set_results(all);
        batched = functions.program.add(summed);
    }
    let classes: Vec<Id> = operands.iter().map(|(id, _)| *id).collect();
    let called = work.call(functions, &What::Function(transform.clone(), batched), &classes, span)?;
    Ok(called.results.into_iter().map(|r| (r, true)).collect())
}

/// The program with the functions themselves for those that have derivatives of their own, or are
/// checkpoints: nobody will differentiate any more. Calls are written out, if asked for.
///
/// # Errors
/// If such a function depends on tangents or cotangents.
pub(super) fn undifferentiated(program: &Program, write_out: bool) -> Result<Program> {
    let mut plain = Program::new();
    for (_, f) in program.functions() {
        let rewritten = inline(f, &f.live(), Ok, |transform, callee, span| {
            let Some((rule, params, results)) = Rule::of(transform) else {
                return Ok(match transform {
                    Transform::Call if write_out => Callee::Copied(Cow::Owned(plain.function(callee).clone())),
                    kept if checkpoint::is(kept) => Callee::Copied(Cow::Owned(plain.function(callee).clone())),
                    called => Callee::Called(called.clone(), callee),
                });
            };
            let whole = plain.function(callee);
            let used: Vec<bool> = (0..whole.results().len()).map(|i| i < results).collect();
            let own = narrowed(whole, &used);
            let (n, live) = (own.params().len(), own.live());
            let directions = directions(rule, whole, params, results);
            if live[params..params + directions].contains(&true) {
                let m = format!("`{}` depends on what only its derivative is given", own.name);
                return Err(Error::tree(m).at(span));
            }
            let kept: Vec<usize> = (0..params).chain(params + directions..n).collect();
            Ok(Callee::Copied(Cow::Owned(without_params(&own, &kept))))
        })?;
        plain.add(rewritten);
    }
    Ok(plain)
}

/// How many tangents or cotangents the rule takes.
fn directions(rule: Rule, f: &Function, params: usize, results: usize) -> usize {
    let avals = match rule {
        Rule::Jvp => f.param_avals()[..params].to_vec(),
        Rule::Vjp => f.result_avals()[..results].to_vec(),
    };
    avals.iter().filter(|a| a.dtype.is_float()).count()
}
