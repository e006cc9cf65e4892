//! Stages as JSON.

use super::kernels::{buffers, ops};
use crate::cli::Outcome;
use egrad::Program;
use egrad_ir::schedule::{Buffer, BufferId, Step};
use egrad_ir::{FnId, Function, Node, NodeKind, Span};
use egrad_rewrite::{Compilation, Picked};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt::Display;
use std::io::Write;

/// Writes a value and ends the line.
pub(in crate::cli) fn write(out: &mut impl Write, value: &impl Serialize) -> Outcome {
    serde_json::to_writer_pretty(&mut *out, &value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// A function of a program.
#[derive(Serialize)]
pub(super) struct FunctionJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    name: String,
    params: Vec<String>,
    results: Vec<String>,
    nodes: Vec<NodeJson>,
}

#[derive(Serialize)]
struct NodeJson {
    id: String,
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

#[derive(Serialize)]
struct KernelJson {
    name: String,
    inputs: Vec<BufferJson>,
    outputs: Vec<BufferJson>,
    ops: Vec<&'static str>,
    predicted_us: f64,
}

#[derive(Serialize)]
struct BufferJson {
    buffer: String,
    dtype: &'static str,
    len: usize,
}

fn texts<T: Display>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|x| x.to_string()).collect()
}

pub(super) fn program(program: &Program) -> impl Serialize {
    let one = |(id, f): (FnId, &Function)| FunctionJson { id: Some(id.to_string()), ..function(f) };
    HashMap::from([("functions", program.functions().map(one).collect::<Vec<_>>())])
}

pub(super) fn function(f: &Function) -> FunctionJson {
    let text = f.to_string();
    // A line per node that is no parameter, after that of the signature.
    let mut lines = text.lines().skip(1);
    let nodes = f.nodes().map(|(id, node)| {
        let is_param = matches!(node.kind, NodeKind::Param(_));
        let line = if is_param { None } else { lines.next() };
        NodeJson {
            id: id.to_string(),
            op: op(node),
            function: node.kind.is_tuple().then(|| texts(node.kind.callees()).join(" ")),
            args: texts(&node.args),
            attributes: line.and_then(|l| l.find('{').map(|at| l[at..].trim_end().to_owned())),
            types: texts(&node.avals),
            at: (node.span != Span::Unknown).then(|| node.span.to_string()),
        }
    });
    FunctionJson {
        id: None,
        name: f.name.clone(),
        nodes: nodes.collect(),
        params: texts(f.params()),
        results: texts(f.results()),
    }
}

/// What a node is called.
pub(super) fn op(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Param(_) => "param",
        NodeKind::Op(op) => op.name(),
        NodeKind::Apply(transform, _) => transform.name(),
        NodeKind::Control(control) => control.name(),
        NodeKind::Get(_) => "get",
    }
}

/// Which functions were taken of those that compute the same, and what the program would take with each.
pub(super) fn picked(picked: &[Picked]) -> Value {
    let one = |p: &Picked| {
        let ways: Vec<Value> = p.ways.iter().map(|w| json!({"name": w.name, "predicted_us": w.us})).collect();
        let at = Some(p.span).filter(|at| *at != Span::Unknown).map(|at| at.to_string());
        json!({"at": at, "ways": ways, "taken": p.taken.map(|w| &p.ways[w].name)})
    };
    picked.iter().map(one).collect()
}

pub(super) fn kernels(compilation: &Compilation) -> Value {
    let schedule = &compilation.schedule;
    let buffer = |b: BufferId| {
        let Buffer { dtype, len } = schedule.buffer(b);
        BufferJson { buffer: b.to_string(), dtype: dtype.name(), len: *len }
    };
    let kernel = |(step, us): (&'_ Step, &f64)| KernelJson {
        name: step.kernel.name.clone(),
        inputs: buffers(step, false).map(buffer).collect(),
        outputs: buffers(step, true).map(buffer).collect(),
        ops: ops(&step.kernel),
        predicted_us: *us,
    };
    let steps = schedule.steps.iter().zip(&compilation.predicted_us);
    let mut kernels = json!({"kernels": steps.map(kernel).collect::<Vec<_>>()});
    if !compilation.picked.is_empty() {
        kernels["picked"] = picked(&compilation.picked);
    }
    kernels
}

/// What every rule did, and the e-graph in the form of `egraph-serialize`.
pub(super) fn egraph(compilation: &Compilation) -> Value {
    let stages: Vec<Value> = compilation
        .stages
        .iter()
        .map(|(stage, report)| {
            let iterations = report.iterations.iter().map(|i| {
                let rules = i.rules.iter().map(
                    |r| json!({"rule": r.rule, "class": r.float.name(), "matches": r.matches, "applied": r.applied}),
                );
                json!({
                    "nodes": i.nodes,
                    "classes": i.classes,
                    "us": i.micros,
                    "rules": rules.collect::<Vec<_>>(),
                })
            });
            json!({"stage": stage, "saturated": report.saturated, "iterations": iterations.collect::<Vec<_>>()})
        })
        .collect();

    let egraph = &compilation.egraph.egraph;
    // Children are named by the first node of their class.
    let mut nodes = Map::new();
    let mut classes = Map::new();
    let first: HashMap<_, String> = egraph.classes().map(|c| (c.id, format!("{}.0", c.id))).collect();
    let node_of = |id| first.get(&egraph.find(id)).cloned().unwrap_or_default();
    for class in egraph.classes() {
        if let Some(aval) = class.data.aval() {
            classes.insert(class.id.to_string(), json!({"type": aval.to_string()}));
        }
        for (i, node) in class.iter().enumerate() {
            let children: Vec<String> = node.args.iter().map(|a| node_of(*a)).collect();
            let value = json!({
                "op": node.to_string(),
                "children": children,
                "eclass": class.id.to_string(),
                "cost": 1.0,
                "subsumed": false,
            });
            nodes.insert(format!("{}.{i}", class.id), value);
        }
    }
    let roots: Vec<String> = compilation.egraph.results.iter().map(|r| egraph.find(*r).to_string()).collect();
    json!({
        "size": {"nodes": compilation.size.nodes, "classes": compilation.size.classes},
        "stages": stages,
        "nodes": nodes,
        "root_eclasses": roots,
        "class_data": classes,
    })
}
