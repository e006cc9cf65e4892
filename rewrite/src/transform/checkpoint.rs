//! Functions of which reverse mode keeps the operands and little else.
//!
//! Such a function stays whole until the last transform is done, as one with a derivative of its own
//! does. Its derivative computes it again, from operands behind barriers, so that nothing of it becomes
//! equal to what went forward, and is such a function itself:
//!
//! ```text
//! jvp   checkpoint f p…  =>  checkpoint (jvp f) p… ṗ…
//! vjp   checkpoint f p…  =>  checkpoint (forward f) p…                     the results and what the policy keeps
//!                            checkpoint (backward f) ‖p… ‖saved… ȳ…        the rest again; ‖ is a barrier
//! vmap  checkpoint f p…  =>  checkpoint (vmap f) p…
//! ```
//!
//! Results with a name are calls, but for being kept as these are.

use super::Workspace;
use super::call::Pulled;
use super::functions::{Edge, Functions, Halves, Keep};
use super::vjp::accumulate;
use crate::analysis::What;
use egg::Id;
use egrad_ir::{FnId, Op, Policy, Result, Span, Transform, Unary};

/// Whether a function applied so is kept whole for what its derivative keeps.
pub(super) fn is(transform: &Transform) -> bool {
    match transform {
        Transform::Checkpoint { .. } | Transform::Named { .. } => true,
        Transform::Call
        | Transform::Jvp { .. }
        | Transform::Vjp { .. }
        | Transform::Vmap { .. }
        | Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. } => false,
    }
}

/// Pulls cotangents back through the checkpoint that is class `y`.
///
/// # Errors
/// If a primitive in the function has no rule.
pub(super) fn vjp(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (policy, callee): (&Policy, FnId),
    (y, span): (Id, Span),
    Pulled { wrt, of, seeds }: Pulled,
    cotangent: &mut [Option<Id>],
) -> Result<()> {
    let (site, operands) = work.site(y);
    let n = site.results.len();
    let keep = Keep::Policy(policy.clone());
    let Halves { forward, backward } = functions.halves_that_keep(keep, callee, &wrt, &of, span)?;
    let again = |f: FnId| What::Function(Transform::Checkpoint { policy: policy.clone() }, f);
    let mut saved = Vec::new();
    if functions.program.function(forward).results().len() > n {
        let went = work.call(functions, &again(forward), &operands, span)?;
        for i in 0..n {
            work.supersede(y, i, went.results[i]);
        }
        saved.extend_from_slice(&went.results[n..]);
    }
    let behind = |id: &Id| work.op(&Op::Unary(Unary::Barrier), &[*id], span);
    let mut args: Vec<Id> = operands.iter().chain(&saved).map(behind).collect();
    args.extend(seeds);
    let came = work.call(functions, &again(backward), &args, span)?;
    for (k, gradient) in wrt.iter().zip(came.results) {
        accumulate(work, cotangent, operands[*k], gradient, span);
    }
    Ok(())
}

/// The application for every element of a batch, of which at least one operand is. Gives the results'
/// classes and whether they have the batch axis.
///
/// # Errors
/// If a primitive in the function has no batching rule.
pub(super) fn vmap(
    work: &mut Workspace,
    functions: &mut Functions<'_>,
    (transform, callee): (&Transform, FnId),
    operands: &[(Id, bool)],
    size: usize,
    span: Span,
) -> Result<Vec<(Id, bool)>> {
    let (classes, batched): (Vec<Id>, Vec<bool>) = operands.iter().copied().unzip();
    let results = functions.flow(callee, Edge::Batch, &batched);
    let f = functions.batched(callee, &batched, &results, size, span)?;
    let called = work.call(functions, &What::Function(transform.clone(), f), &classes, span)?;
    Ok(called.results.into_iter().zip(results).collect())
}
