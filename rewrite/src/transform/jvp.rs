//! Forward mode: the functor rule.
//!
//! From the parameters to the results, the tangent of a value is the sum of what its operands'
//! tangents push forward to it: one `push` marker per edge that carries a tangent.

use super::functions::Functions;
use super::{Marked, Workspace, call, class, params};
use crate::rules::Report;
use crate::term::{Head, Term};
use egg::Id;
use egrad_ir::{Aval, Binary, Function, Op, Result, Span};

/// `(p…, a tangent per wrt) -> (y…, a tangent per float y…)`.
pub(super) fn jvp(f: &Function, wrt: &[usize], functions: &mut Functions<'_>) -> Result<Marked> {
    let table = &functions.tables.push;
    let mut params: Vec<(Aval, Span)> = params(f).collect();
    let seeds = params.len();
    let tangents: Vec<_> = wrt.iter().map(|i| params[*i].clone()).collect();
    params.extend(tangents);

    let mut work = Workspace::new(params.iter().map(|(aval, _)| aval.clone()).collect());
    let values = work.load(f, functions)?;
    let size = values.order.iter().map(|(id, _)| usize::from(*id) + 1).max().unwrap_or(0);
    let mut tangent: Vec<Option<Id>> = vec![None; size];
    for (j, i) in wrt.iter().enumerate() {
        let x = class(&values, (*i).into())?;
        tangent[usize::from(x)] = Some(work.param(seeds + j, params[*i].1));
    }
    for (y, span) in &values.order {
        let node = work.node(*y).clone();
        let prim = match node.head {
            Head::Prim(prim) => prim,
            Head::Call(..) => {
                call::jvp(&mut work, functions, (*y, *span), &mut tangent)?;
                continue;
            }
            _ => continue,
        };
        if !work.is_float(*y) {
            continue;
        }
        for (k, operand) in node.operands().iter().enumerate() {
            let head = Head::Push(prim, k as u8);
            let Some(t) = tangent[usize::from(*operand)].filter(|_| !table.is_absent(&head)) else { continue };
            let push = work.add(Term::new(head, node.args.iter().copied().chain([*y, t])), *span);
            tangent[usize::from(*y)] = Some(match tangent[usize::from(*y)] {
                Some(sum) => work.op(&Op::Binary(Binary::Add), &[sum, push], *span),
                None => push,
            });
        }
    }

    let mut results: Vec<Id> = f.results().iter().map(|r| class(&values, *r)).collect::<Result<_>>()?;
    for r in f.results().iter().filter(|r| f.aval(**r).dtype.is_float()) {
        let y = class(&values, *r)?;
        results.push(tangent[usize::from(y)].unwrap_or_else(|| work.zeros(f.aval(*r))));
    }
    Ok(Marked { work, params, results, nodes: values.class, report: Report::default() })
}
