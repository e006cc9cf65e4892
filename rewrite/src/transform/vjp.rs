//! Reverse mode: the chain rule.
//!
//! From the results to the parameters, the cotangent of a value is the sum of what its users pull
//! back to it: one `pull` marker per edge of the dataflow graph, so the gradient has a size linear
//! in the function's whatever its shape.

use super::functions::Functions;
use super::{Marked, Values, Workspace, call, class, params};
use crate::rules::Report;
use crate::term::{Head, Term};
use egg::Id;
use egrad_ir::{Aval, Binary, Function, Op, Result, Span};

/// `(p…, a cotangent per float y) -> (y…, a gradient per wrt)`.
pub(super) fn vjp(f: &Function, wrt: &[usize], functions: &mut Functions<'_>) -> Result<Marked> {
    let floats = (0..f.results().len()).filter(|i| f.aval(f.results()[*i]).dtype.is_float());
    vjp_of(f, wrt, &floats.collect::<Vec<_>>(), functions)
}

/// `(p…, a cotangent per y that is chosen) -> (y…, a gradient per wrt)`: results at other positions
/// have none.
pub(super) fn vjp_of(f: &Function, wrt: &[usize], of: &[usize], functions: &mut Functions<'_>) -> Result<Marked> {
    let table = &functions.tables.pull;
    let floats: Vec<_> = of.iter().map(|i| f.results()[*i]).collect();
    let mut params: Vec<(Aval, Span)> = params(f).collect();
    let seeds = params.len();
    params.extend(floats.iter().map(|r| (f.aval(*r).clone(), f.node(*r).span)));

    let mut work = Workspace::new(params.iter().map(|(aval, _)| aval.clone()).collect());
    let values = work.load(f, functions)?;
    let inputs: Vec<Id> = wrt.iter().map(|i| class(&values, (*i).into())).collect::<Result<_>>()?;
    let reached = reached(&work, &values, &inputs, functions);

    let mut cotangent: Vec<Option<Id>> = vec![None; reached.len()];
    for (i, result) in floats.iter().enumerate() {
        let to = class(&values, *result)?;
        let seed = work.param(seeds + i, f.node(*result).span);
        accumulate(&mut work, &mut cotangent, to, seed, f.node(*result).span);
    }
    for (y, span) in values.order.iter().rev() {
        if let Head::Call(..) = work.node(*y).head {
            call::vjp(&mut work, functions, (*y, *span), &reached, &mut cotangent)?;
            continue;
        }
        let (true, Some(c)) = (reached[usize::from(*y)], cotangent[usize::from(*y)]) else { continue };
        let node = work.node(*y).clone();
        let Head::Prim(prim) = node.head else { continue };
        for (k, operand) in node.operands().iter().enumerate() {
            let head = Head::Pull(prim, k as u8);
            if reached[usize::from(*operand)] && !table.is_absent(&head) {
                let args = node.args.iter().copied().chain([*y, c]);
                let pull = work.add(Term::new(head, args), *span);
                accumulate(&mut work, &mut cotangent, *operand, pull, *span);
            }
        }
    }

    let mut results: Vec<Id> = f.results().iter().map(|r| class(&values, *r)).collect::<Result<_>>()?;
    for (x, i) in inputs.iter().zip(wrt) {
        results.push(cotangent[usize::from(*x)].unwrap_or_else(|| work.zeros(&params[*i].0)));
    }
    Ok(Marked { work, params, results, nodes: values.class, report: Report::default() })
}

/// Which classes depend on the inputs through edges that carry a derivative, by id.
fn reached(work: &Workspace, values: &Values, inputs: &[Id], functions: &mut Functions<'_>) -> Vec<bool> {
    let table = &functions.tables.pull;
    let size = values.order.iter().map(|(id, _)| usize::from(*id) + 1).max().unwrap_or(0);
    let mut reached = vec![false; size];
    for x in inputs {
        reached[usize::from(*x)] = true;
    }
    for (y, _) in &values.order {
        let node = work.node(*y);
        match node.head {
            Head::Prim(prim) if work.is_float(*y) => {
                let carries =
                    |(k, o): (usize, &Id)| reached[usize::from(*o)] && !table.is_absent(&Head::Pull(prim, k as u8));
                reached[usize::from(*y)] = node.operands().iter().enumerate().any(carries);
            }
            Head::Call(..) => call::reached(work, functions, *y, &mut reached),
            _ => {}
        }
    }
    reached
}

/// Adds a contribution to the cotangent of a value.
pub(super) fn accumulate(work: &mut Workspace, cotangent: &mut [Option<Id>], to: Id, part: Id, span: Span) {
    let place = usize::from(to);
    cotangent[place] = Some(match cotangent[place] {
        Some(sum) => work.op(&Op::Binary(Binary::Add), &[sum, part], span),
        None => part,
    });
}
