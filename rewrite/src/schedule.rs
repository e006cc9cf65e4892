//! From a plan to a schedule: kernels in topological order, over numbered buffers.

use crate::Place;
use crate::analysis::What;
use crate::choices::{Source, ValueIx};
use crate::extract::Plan;
use crate::lower::Chosen;
use egrad_ir::kernel::{Body, Kernel};
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Error, Function, NodeId, Numerics, Op, Result, Span};
use hashbrown::{HashMap, HashSet};
use petgraph::Direction::Incoming;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The schedule of a plan, and per step its predicted time in microseconds and its kernel's number
/// in the plan.
///
/// # Errors
/// If the kernels depend on one another in a cycle, which is a bug of the extraction.
pub(crate) fn schedule(plan: &Plan<'_>, numerics: Numerics) -> Result<(Schedule, Vec<f64>, Vec<u32>)> {
    let choices = plan.choices();
    let mut schedule = Schedule::default();
    let mut buffers: HashMap<ValueIx, BufferId> = HashMap::new();
    for aval in &choices.params {
        schedule.inputs.push((BufferId::from(schedule.buffers.len()), aval.clone()));
        schedule.buffers.push(Buffer { dtype: aval.dtype, len: aval.shape.size() });
    }
    for (i, v) in choices.values.iter().enumerate() {
        if let Source::Param(p) = v.source {
            buffers.insert(ValueIx::from(i), schedule.inputs[p].0);
        }
    }
    let mut buffer = |v: ValueIx, schedule: &mut Schedule| {
        *buffers.entry(v).or_insert_with(|| {
            let aval = &choices.value(v).aval;
            schedule.buffers.push(Buffer { dtype: aval.dtype, len: aval.shape.size() });
            BufferId::from(schedule.buffers.len() - 1)
        })
    };

    let mut graph: DiGraph<u32, ()> = DiGraph::new();
    let mut nodes = HashMap::new();
    let mut writer = HashMap::new();
    for (k, group) in plan.groups() {
        nodes.insert(k, graph.add_node(k));
        for (operand, v) in group.lowered.operands.iter().zip(&group.lowered.values) {
            if operand.written {
                writer.insert(*v, k);
            }
        }
    }
    for (k, group) in plan.groups() {
        for v in group.lowered.loads() {
            let value = choices.value(v);
            if !value.load {
                let message = format!("no fuse rule lets a kernel read {} from memory", value.aval);
                return Err(Error::missing_rule(message).at(value.span));
            }
            if let Some(w) = writer.get(&v) {
                graph.update_edge(nodes[w], nodes[&k], ());
            }
        }
    }
    let order = toposort(&graph, None).map_err(|_| Error::internal("the chosen kernels depend on one another"))?;
    let order = frugal(plan, &graph, order);
    let groups: HashMap<u32, _> = plan.groups().collect();
    let (mut predicted, mut kernels) = (Vec::new(), Vec::new());
    for node in order {
        let group = groups[&graph[node]];
        let stores = match &group.lowered.body {
            Body::Loops(nest) => nest.passes.iter().any(|p| !p.stores.is_empty()),
            Body::Contract(c) => c.m * c.n * c.batch.iter().product::<usize>() > 0,
            Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_)
            | Body::Linalg(_)
            | Body::Print(_) => group.lowered.operands.iter().any(|o| o.written && o.len > 0),
        };
        if !stores {
            continue; // every result is empty
        }
        let kernel = Kernel {
            name: group.lowered.name.clone(),
            operands: group.lowered.operands.clone(),
            body: group.lowered.body.clone(),
            numerics,
        };
        let operands = group.lowered.values.iter().map(|v| buffer(*v, &mut schedule)).collect();
        schedule.steps.push(Step { kernel, operands });
        predicted.push(group.ns / 1000.0);
        kernels.push(graph[node]);
    }
    for r in &choices.results {
        let aval = choices.value(*r).aval.clone();
        let b = buffer(plan.storage(*r), &mut schedule);
        schedule.outputs.push((b, aval));
    }
    Ok((schedule, predicted, kernels))
}

/// The order, or one that takes clearly less memory: first what most kernels wait for in a row, so that
/// what is computed again is computed when it is needed.
fn frugal(plan: &Plan<'_>, graph: &DiGraph<u32, ()>, order: Vec<NodeIndex>) -> Vec<NodeIndex> {
    let mut row = vec![0usize; graph.node_count()];
    for node in order.iter().rev() {
        row[node.index()] = graph.neighbors(*node).map(|next| row[next.index()] + 1).max().unwrap_or(0);
    }
    let mut waits: Vec<usize> = graph.node_indices().map(|n| graph.neighbors_directed(n, Incoming).count()).collect();
    let mut ready: BinaryHeap<(usize, Reverse<usize>)> = BinaryHeap::new();
    let add = |ready: &mut BinaryHeap<_>, n: NodeIndex| ready.push((row[n.index()], Reverse(n.index())));
    graph.node_indices().filter(|n| waits[n.index()] == 0).for_each(|n| add(&mut ready, n));
    let mut other = Vec::with_capacity(order.len());
    while let Some((_, Reverse(n))) = ready.pop() {
        let n = NodeIndex::new(n);
        other.push(n);
        for next in graph.neighbors(n) {
            waits[next.index()] -= 1;
            if waits[next.index()] == 0 {
                add(&mut ready, next);
            }
        }
    }
    let (now, then) = (memory(plan, graph, &order), memory(plan, graph, &other));
    if then < now / 8 * 7 { other } else { order }
}

/// The most that values between inputs and results take at one time, in bytes.
fn memory(plan: &Plan<'_>, graph: &DiGraph<u32, ()>, order: &[NodeIndex]) -> usize {
    let choices = plan.choices();
    let results: HashSet<ValueIx> = choices.results.iter().map(|r| plan.storage(*r)).collect();
    let groups: HashMap<u32, _> = plan.groups().collect();
    let mut last: HashMap<ValueIx, usize> = HashMap::new();
    for (i, node) in order.iter().enumerate() {
        let values = &groups[&graph[*node]].lowered.values;
        let between = |v: &&ValueIx| !results.contains(*v) && !matches!(choices.value(**v).source, Source::Param(_));
        last.extend(values.iter().filter(between).map(|v| (*v, i)));
    }
    let mut ends = vec![0usize; order.len()];
    let (mut live, mut most) = (0usize, 0);
    for (i, node) in order.iter().enumerate() {
        let lowered = &groups[&graph[*node]].lowered;
        for (operand, v) in lowered.operands.iter().zip(&lowered.values).filter(|(o, _)| o.written) {
            if let Some(end) = last.get(v) {
                let bytes = operand.len.saturating_mul(operand.dtype.bytes());
                live = live.saturating_add(bytes);
                ends[*end] = ends[*end].saturating_add(bytes);
            }
        }
        most = most.max(live);
        live = live.saturating_sub(ends[i]);
    }
    most
}

/// Per node of the extracted function where it is computed, for the kernels of these steps.
pub(crate) fn places(plan: &Plan<'_>, nodes: &HashMap<ValueIx, NodeId>, kernels: &[u32]) -> Vec<Place> {
    let choices = plan.choices();
    let of = |v: ValueIx| match choices.value(v).source {
        Source::Param(_) => Place::Input,
        Source::Literal(_) => Place::Literal,
        // Its kernel says so below.
        Source::Call(_) => Place::Inline(Vec::new()),
        Source::Computed if plan.is_inline(v) => Place::Inline(Vec::new()),
        Source::Computed => Place::View(nodes[&plan.storage(v)]),
    };
    // The scalar that a literal repeats has no value of its own.
    let mut places = vec![Place::Input; choices.params.len()];
    places.resize(nodes.values().map(|n| n.index() + 1).max().unwrap_or(0).max(places.len()), Place::Literal);
    nodes.iter().for_each(|(v, node)| places[node.index()] = of(*v));
    for (step, k) in kernels.iter().enumerate() {
        let mut seen: HashSet<ValueIx> = HashSet::new();
        let mut stack: Vec<ValueIx> = plan.members(*k).to_vec();
        while let Some(v) = stack.pop() {
            let Some(node) = nodes.get(&v).filter(|_| seen.insert(v)) else { continue };
            match choices.value(v).source {
                // An input or a constant that is a result as it is.
                Source::Param(_) | Source::Literal(_) => continue,
                Source::Call(_) => {
                    places[node.index()] = Place::Kernel(step);
                    continue;
                }
                Source::Computed => {}
            }
            match &mut places[node.index()] {
                Place::Inline(steps) => steps.push(step),
                place => *place = Place::Kernel(step),
            }
            let args = plan.alternative(v).args.iter().copied();
            stack.extend(args.filter(|a| plan.is_inline(*a)));
        }
    }
    places
}

/// The primitives a plan chose, as a function, and where in it each value is.
pub(crate) fn extracted(plan: &Plan<'_>, name: &str) -> Result<(Function, HashMap<ValueIx, NodeId>)> {
    let choices = plan.choices();
    let mut f = Function::new(name, choices.params.iter().map(|a| (a.clone(), Span::Unknown)));
    let params: Vec<NodeId> = f.params().collect();
    let mut nodes: HashMap<ValueIx, NodeId> = HashMap::new();
    for v in plan.live() {
        let value = choices.value(v);
        let node = match value.source {
            Source::Param(p) => params[p],
            Source::Call(c) => {
                let call = &choices.calls[c];
                if !nodes.contains_key(&v) {
                    let site = &call.callee.site;
                    let args: Vec<NodeId> = call.args.iter().map(|a| nodes[a]).collect();
                    let avals = site.results.to_vec();
                    let results = match &site.what {
                        What::Function(transform, callee) => {
                            f.apply(transform.clone(), *callee, &args, avals, value.span)
                        }
                        What::Control(control) => f.control(control.clone(), &args, avals, value.span),
                    };
                    nodes.extend(call.results.iter().copied().zip(results));
                }
                nodes[&v]
            }
            Source::Literal(l) => {
                let scalar = f.add(Op::Constant(l), &[], value.span)?;
                if value.aval.shape.rank() == 0 {
                    scalar
                } else {
                    let op = Op::BroadcastInDim { shape: value.aval.shape.clone(), dims: Default::default() };
                    f.add(op, &[scalar], value.span)?
                }
            }
            Source::Computed => {
                let alternative = plan.alternative(v);
                let args: Vec<NodeId> = alternative.args.iter().map(|a| nodes[a]).collect();
                f.add(alternative.op.clone(), &args, value.span)?
            }
        };
        nodes.insert(v, node);
    }
    f.set_results(choices.results.iter().map(|r| nodes[r]).collect());
    Ok((f, nodes))
}
