//! What transforms do to operations over the elements of a batch.
//!
//! Which batch is said by counting the `vmap`s around, so functions mean the same wherever they are
//! called from. The `vmap` that an operation counts down to knows the elements, and resolves it:
//!
//! ```text
//! vmap  all_gather x       =>  x, whose batch axis becomes an axis of the result; a copy per element if x has none
//! vmap  axis_index         =>  iota
//! vmap  … of a batch further out   =>  the same, of one that is a `vmap` nearer
//! jvp   all_gather x       =>  all_gather ẋ
//! vjp   all_gather x       =>  (Σ of all_gather ȳ, along axis 0)[axis_index]
//! vmap  print t x…         =>  print t x…, of all elements
//! ```
//!
//! So the transpose of a sum over the elements is a sum over theirs, as JAX has it.

use super::Workspace;
use super::control::{repeated, swapped};
use super::functions::{Edge, Functions};
use crate::analysis::What;
use egg::Id;
use egrad_ir::graph::no_batch;
use egrad_ir::op::Axes;
use egrad_ir::{Control, Dtype, Error, Op, Reduce, Result, Shape, Span};

/// Whether the result depends on the operand.
pub(super) fn flow(control: &Control, edge: Edge, from: &[bool]) -> Vec<bool> {
    let operand = from.first() == Some(&true);
    vec![match (control, edge) {
        // All elements see the same.
        (Control::AllGather { up, .. }, Edge::Batch) => *up > 0 && operand,
        (Control::AxisIndex { up, .. }, Edge::Batch) => *up == 0,
        (Control::AxisIndex { .. }, Edge::Tangent | Edge::Cotangent) => false,
        // A token is no number, and one for all elements.
        (Control::Print { .. }, _) => false,
        (
            Control::AllGather { .. }
            | Control::Scan { .. }
            | Control::While { .. }
            | Control::Switch { .. }
            | Control::Either { .. },
            _,
        ) => operand,
    }]
}

/// Pushes the tangent through the operation that is class `y`.
///
/// # Errors
/// If the operand doesn't fit.
pub(super) fn jvp(
    work: &mut Workspace,
    functions: &Functions<'_>,
    (control, operands): (&Control, &[Id]),
    (y, span): (Id, Span),
    tangent: &mut [Option<Id>],
) -> Result<()> {
    let (false, Some(x), Some(result)) =
        (matches!(control, Control::Print { .. }), operands.first(), work.result(y, 0))
    else {
        return Ok(());
    };
    if let Some(t) = tangent[usize::from(*x)] {
        let pushed = work.call(functions, &What::Control(control.clone()), &[t], span)?;
        tangent[usize::from(result)] = Some(pushed.results[0]);
    }
    Ok(())
}

/// What the operand gets of the result's cotangent.
///
/// # Errors
/// If the cotangent doesn't fit.
pub(super) fn pull(
    work: &mut Workspace,
    functions: &Functions<'_>,
    control: &Control,
    seeds: &[Option<Id>],
    span: Span,
) -> Result<Option<Id>> {
    let (Control::AllGather { up, size }, [Some(seed)]) = (control, seeds) else { return Ok(None) };
    let all = work.call(functions, &What::Control(control.clone()), &[*seed], span)?.results[0];
    let sum = work.op(&Op::Reduce { kind: Reduce::Sum, axes: Axes::from_slice(&[0]) }, &[all], span);
    let index = Control::AxisIndex { up: *up, size: *size };
    let index = work.call(functions, &What::Control(index), &[], span)?.results[0];
    Ok(Some(work.op(&Op::Take { axis: 0, batch: 0 }, &[sum, index], span)))
}

/// The operation for every element of a batch of that size: the result's class, and whether it has the
/// batch axis.
///
/// # Errors
/// If the batch has another size than the operation says.
pub(super) fn vmap(
    work: &mut Workspace,
    functions: &Functions<'_>,
    control: &Control,
    operands: &[(Id, bool)],
    size: usize,
    span: Span,
) -> Result<Vec<(Id, bool)>> {
    let own = |of: usize| match of == size {
        true => Ok(()),
        false => {
            let m = format!("`{}` is over a batch of {of} elements, and this `vmap` has {size}", control.name());
            Err(Error::axis(m).at(span))
        }
    };
    Ok(vec![match (control, operands) {
        (Control::AllGather { up: 0, size: of }, [(x, batched)]) => {
            own(*of)?;
            (if *batched { *x } else { repeated(work, *x, size, span) }, false)
        }
        (Control::AllGather { up, size: of }, [(x, batched)]) => {
            let what = What::Control(Control::AllGather { up: up - 1, size: *of });
            let all = work.call(functions, &what, &[*x], span)?.results[0];
            (if *batched { swapped(work, all, span) } else { all }, *batched)
        }
        (Control::AxisIndex { up: 0, size: of }, _) => {
            own(*of)?;
            let shape = Shape::from([size]);
            (work.op(&Op::Iota { dtype: Dtype::I32, shape, axis: 0 }, &[], span), true)
        }
        (Control::AxisIndex { up, size: of }, _) => {
            let what = What::Control(Control::AxisIndex { up: up - 1, size: *of });
            (work.call(functions, &what, &[], span)?.results[0], false)
        }
        (Control::Print { format, levels }, [(token, batched), xs @ ..]) => {
            let token = if *batched { joined(work, *token, span) } else { *token };
            (printed(work, functions, (format, levels), (token, xs), size, span)?, false)
        }
        (
            Control::AllGather { .. }
            | Control::Scan { .. }
            | Control::While { .. }
            | Control::Switch { .. }
            | Control::Either { .. }
            | Control::Print { .. },
            _,
        ) => {
            return Err(no_batch(control).at(span));
        }
    }])
}

/// One token for those of all elements.
fn joined(work: &mut Workspace, tokens: Id, span: Span) -> Id {
    work.op(&Op::Reduce { kind: Reduce::Max, axes: Axes::from_slice(&[0]) }, &[tokens], span)
}

/// A print for every element of a batch: the batch is a level further out than those there are. If the
/// elements share what is printed, it is printed once.
fn printed(
    work: &mut Workspace,
    functions: &Functions<'_>,
    (format, levels): (&str, &[usize]),
    (token, xs): (Id, &[(Id, bool)]),
    size: usize,
    span: Span,
) -> Result<Id> {
    let differs = xs.iter().any(|(_, batched)| *batched);
    let mut operands = vec![token];
    for (x, batched) in xs {
        operands.push(if differs && !batched { repeated(work, *x, size, span) } else { *x });
    }
    let levels = differs.then_some(size).into_iter().chain(levels.iter().copied()).collect();
    let print = Control::Print { format: format.to_owned(), levels };
    Ok(work.call(functions, &What::Control(print), &operands, span)?.results[0])
}
