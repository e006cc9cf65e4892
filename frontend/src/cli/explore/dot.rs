//! Stages as graphs for Graphviz.

use super::json::op;
use super::kernels::{Typed, buffers, ops};
use crate::cli::time::Time;
use egrad_ir::schedule::BufferId;
use egrad_ir::{Function, NodeKind};
use egrad_rewrite::Compilation;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::io::{Result, Write};

const HEAD: &str = "digraph {\n  node [shape=box, fontname=monospace]\n  edge [fontname=monospace]\n";

/// Text in a quoted label.
fn label(text: impl Display) -> String {
    text.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The dataflow graph of each function, in a box if there are several.
pub(super) fn functions<'a>(out: &mut impl Write, functions: impl IntoIterator<Item = &'a Function>) -> Result<()> {
    out.write_all(HEAD.as_bytes())?;
    for (k, f) in functions.into_iter().enumerate() {
        writeln!(out, "  subgraph cluster_{k} {{\n    label=\"@{k} {}\"", label(&f.name))?;
        let graph = f.dataflow();
        for id in graph.node_weights() {
            let node = f.node(*id);
            let types: Vec<String> = node.avals.iter().map(|a| a.to_string()).collect();
            let callee: String = node.kind.callees().iter().map(|callee| format!(" {callee}")).collect();
            let shape = match &node.kind {
                NodeKind::Param(_) => ", shape=ellipse",
                NodeKind::Op(_) | NodeKind::Get(_) => "",
                NodeKind::Apply(..) | NodeKind::Control(_) => ", shape=box3d",
            };
            let text = label(format!("{id} {}{callee}\n{}", op(node), types.join(", ")));
            writeln!(out, "    n{k}_{} [label=\"{text}\"{shape}]", id.0)?;
        }
        for edge in graph.raw_edges() {
            let (from, to) = (graph[edge.source()], graph[edge.target()]);
            let several = f.node(to).args.len() > 1;
            let position = if several { format!(" [label=\"{}\"]", edge.weight) } else { String::new() };
            writeln!(out, "    n{k}_{} -> n{k}_{}{position}", from.0, to.0)?;
        }
        for (i, r) in f.results().iter().enumerate() {
            writeln!(out, "    r{k}_{i} [label=\"result {i}\", shape=ellipse]\n    n{k}_{} -> r{k}_{i}", r.0)?;
        }
        writeln!(out, "  }}")?;
    }
    writeln!(out, "}}")
}

/// The kernels, with an edge for each buffer from its writer to its readers.
pub(super) fn kernels(out: &mut impl Write, compilation: &Compilation) -> Result<()> {
    let schedule = &compilation.schedule;
    let graph = schedule.graph();
    out.write_all(HEAD.as_bytes())?;
    for i in graph.node_weights() {
        let kernel = &schedule.steps[*i].kernel;
        let us = Time::us(compilation.predicted_us.get(*i).copied().unwrap_or(0.0));
        let text = label(format!("{i}: {}\n{}\npredicted {us}", kernel.name, ops(kernel).join(" ")));
        writeln!(out, "  k{i} [label=\"{text}\"]")?;
    }
    for edge in graph.raw_edges() {
        let (from, to) = (graph[edge.source()], graph[edge.target()]);
        writeln!(out, "  k{from} -> k{to} [label=\"{}\"]", Typed(schedule, edge.weight))?;
    }
    let mut writer: HashMap<BufferId, String> = HashMap::new();
    for (i, (buffer, aval)) in schedule.inputs.iter().enumerate() {
        writeln!(out, "  in{i} [label=\"input {i}\\n{aval}\", shape=ellipse]")?;
        writer.insert(*buffer, format!("in{i}"));
    }
    for (k, step) in schedule.steps.iter().enumerate() {
        for buffer in buffers(step, false) {
            if let Some(input) = writer.get(&buffer).filter(|w| w.starts_with("in")) {
                writeln!(out, "  {input} -> k{k} [label=\"{buffer}\"]")?;
            }
        }
        for buffer in buffers(step, true) {
            writer.insert(buffer, format!("k{k}"));
        }
    }
    for (i, (buffer, aval)) in schedule.outputs.iter().enumerate() {
        writeln!(out, "  out{i} [label=\"result {i}\\n{aval}\", shape=ellipse]")?;
        if let Some(from) = writer.get(buffer) {
            writeln!(out, "  {from} -> out{i} [label=\"{buffer}\"]")?;
        }
    }
    writeln!(out, "}}")
}

/// The e-graph: a box per class with its e-nodes inside, an edge from each e-node to the classes it
/// takes.
pub(super) fn egraph(out: &mut impl Write, compilation: &Compilation) -> Result<()> {
    let egraph = &compilation.egraph.egraph;
    let classes: BTreeMap<usize, _> = egraph.classes().map(|c| (usize::from(c.id), c)).collect();
    out.write_all(HEAD.as_bytes())?;
    writeln!(out, "  compound=true")?;
    for (id, class) in &classes {
        let aval = class.data.aval().map(|a| format!(" {a}")).unwrap_or_default();
        writeln!(out, "  subgraph cluster_{id} {{\n    style=dotted\n    label=\"{id}{aval}\"")?;
        for (i, node) in class.iter().enumerate() {
            writeln!(out, "    c{id}_{i} [label=\"{}\"]", label(node))?;
        }
        writeln!(out, "  }}")?;
    }
    for (id, class) in &classes {
        for (i, node) in class.iter().enumerate() {
            for arg in &node.args {
                let to = usize::from(egraph.find(*arg));
                writeln!(out, "  c{id}_{i} -> c{to}_0 [lhead=cluster_{to}]")?;
            }
        }
    }
    for (i, r) in compilation.egraph.results.iter().enumerate() {
        let to = usize::from(egraph.find(*r));
        writeln!(out, "  r{i} [label=\"result {i}\", shape=ellipse]\n  r{i} -> c{to}_0 [lhead=cluster_{to}]")?;
    }
    writeln!(out, "}}")
}
