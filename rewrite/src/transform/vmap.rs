//! Vectorisation: the functor rule.
//!
//! From the parameters to the results, every node with a batched operand becomes a `batch` marker
//! saying which operands are; the others stay as they are and are shared by all elements. Inside,
//! the batch axis is always at position 0: parameters and results are moved there and back.

use super::functions::Functions;
use super::{Marked, Workspace, call, control, params};
use crate::rules::Report;
use crate::term::{Head, Mask, Term, encode};
use egg::Id;
use egrad_ir::graph::{move_axis, not_plain};
use egrad_ir::{Aval, Error, Function, NodeId, NodeKind, Op, Result, Span};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// `(P…) -> (Y…)`, where mapped parameters, and results that are given an axis, have one more axis.
///
/// # Errors
/// If a result that is given no axis depends on mapped parameters.
pub(super) fn vmap(
    f: &Function,
    in_axes: &[Option<usize>],
    out_axes: &[Option<usize>],
    size: usize,
    functions: &mut Functions<'_>,
) -> Result<Marked> {
    let stack = |(aval, span): (Aval, Span), axis: &Option<usize>| match axis {
        Some(axis) => (Aval::new(aval.dtype, aval.shape.insert(*axis, size)), span),
        None => (aval, span),
    };
    let params: Vec<(Aval, Span)> = params(f).zip(in_axes).map(|(p, axis)| stack(p, axis)).collect();
    let mut work = Workspace::new(params.iter().map(|(aval, _)| aval.clone()).collect());

    // The class of every live node, and whether it has the batch axis.
    let live = f.live();
    let mut values: Vec<Option<(Id, bool)>> = vec![None; f.len()];
    let mut tuples: HashMap<NodeId, Vec<(Id, bool)>> = HashMap::new();
    for (id, node) in f.nodes() {
        let value = match &node.kind {
            NodeKind::Param(i) => {
                let stacked = work.param(*i, node.span);
                match in_axes[*i] {
                    None => (stacked, false),
                    Some(0) => (stacked, true),
                    Some(axis) => {
                        let perm = move_axis(params[*i].0.shape.rank(), axis, 0);
                        (work.op(&Op::Transpose(perm), &[stacked], node.span), true)
                    }
                }
            }
            NodeKind::Op(op) if live[id.index()] => {
                let operands: SmallVec<[(Id, bool); 3]> = node.args.iter().filter_map(|a| values[a.index()]).collect();
                let mask = (0..operands.len()).filter(|k| operands[*k].1).fold(Mask::default(), Mask::with);
                let classes: SmallVec<[Id; 3]> = operands.iter().map(|(id, _)| *id).collect();
                if mask == Mask::default() {
                    (work.op(op, &classes, node.span), false)
                } else {
                    let (prim, attrs) = encode(op);
                    let mut args: SmallVec<[Id; 4]> = attrs.into_iter().map(|a| work.attr(a)).collect();
                    args.extend_from_slice(&classes);
                    (work.add(Term::new(Head::Batch(prim, mask), args), node.span), true)
                }
            }
            NodeKind::Apply(transform, callee) if live[id.index()] => {
                let operands: Vec<(Id, bool)> = node.args.iter().filter_map(|a| values[a.index()]).collect();
                let results = call::vmap(&mut work, functions, (transform, *callee), &operands, size, node.span)?;
                tuples.insert(id, results);
                continue;
            }
            NodeKind::Control(over) if live[id.index()] => {
                let operands: Vec<(Id, bool)> = node.args.iter().filter_map(|a| values[a.index()]).collect();
                let results = control::vmap(&mut work, functions, over, &operands, size, node.span)?;
                tuples.insert(id, results);
                continue;
            }
            NodeKind::Get(i) if live[id.index()] => {
                *tuples.get(&node.args[0]).and_then(|t| t.get(*i)).ok_or_else(|| not_plain(f))?
            }
            NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => continue,
        };
        values[id.index()] = Some(value);
    }
    work.egraph.analysis.check()?;

    let mut results = Vec::with_capacity(out_axes.len());
    for (r, axis) in f.results().iter().zip(out_axes) {
        let (id, batched) = values[r.index()].ok_or_else(|| Error::internal("a live value without a class"))?;
        let (one, span) = (f.aval(*r), f.node(*r).span);
        let rank = one.shape.rank() + 1;
        results.push(match (batched, axis) {
            (false, None) => id,
            (true, None) => return Err(Error::internal("a result that all elements share differs between them")),
            (true, Some(0)) => id,
            (true, Some(axis)) => work.op(&Op::Transpose(move_axis(rank, 0, *axis)), &[id], span),
            (false, Some(axis)) => {
                let dims = (0..rank).filter(|d| d != axis).collect();
                work.op(&Op::BroadcastInDim { shape: one.shape.insert(*axis, size), dims }, &[id], span)
            }
        });
    }
    let nodes = values.iter().map(|v| v.map(|(id, _)| id)).collect();
    Ok(Marked { work, params, results, nodes, report: Report::default() })
}
