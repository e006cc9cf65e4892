//! Schedules: kernels over buffers, in an order that can run.

use crate::dtype::Dtype;
use crate::graph::{Aval, id};
use crate::kernel::{Body, Kernel};
use petgraph::graph::DiGraph;

id! {
    /// A buffer of one [`Schedule`].
    BufferId "b";
}

/// A buffer: an input, an output, or a temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The element type.
    pub dtype: Dtype,
    /// How many elements.
    pub len: usize,
}

/// A kernel and the buffers it is launched on.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What to launch.
    pub kernel: Kernel,
    /// Per kernel operand the buffer; a written buffer is written by one step alone and is no
    /// input of the schedule.
    pub operands: Vec<BufferId>,
}

/// What a compiled function runs: steps in topological order over buffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    /// Every buffer.
    pub buffers: Vec<Buffer>,
    /// Per parameter its buffer and aval; buffers are distinct.
    pub inputs: Vec<(BufferId, Aval)>,
    /// Per result its buffer (possibly an input, or shared by several results) and aval.
    pub outputs: Vec<(BufferId, Aval)>,
    /// What to launch, writers before readers.
    pub steps: Vec<Step>,
}

impl Schedule {
    /// The buffer of that id.
    ///
    /// # Panics
    /// If the schedule has no such buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// How many kernels one run launches: those of callees too, each once for a whole batch. A
    /// `while`
    /// counts as one step, a branch as the longest one.
    pub fn launches(&self) -> usize {
        let of = |step: &Step| match &step.kernel.body {
            Body::Loops(_)
            | Body::Contract(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_) => 1,
            Body::Call(call) => call.callee.launches(),
            Body::Scan(scan) => scan.length.saturating_mul(scan.body.launches()),
            Body::While(w) => w.cond.launches() + w.body.launches(),
            Body::Switch(switch) => switch.branches.iter().map(|b| b.launches()).max().unwrap_or(0),
        };
        self.steps.iter().map(of).sum()
    }

    /// The schedule as a graph: a node per step (its position), an edge from each step to those
    /// that read what it writes, labelled with the buffer.
    pub fn graph(&self) -> DiGraph<usize, BufferId> {
        let mut graph = DiGraph::new();
        let nodes: Vec<_> = (0..self.steps.len()).map(|i| graph.add_node(i)).collect();
        let mut writer = vec![None; self.buffers.len()];
        for (i, step) in self.steps.iter().enumerate() {
            for (operand, buffer) in step.kernel.operands.iter().zip(&step.operands) {
                if operand.written {
                    writer[buffer.index()] = Some(i);
                } else if let Some(w) = writer[buffer.index()] {
                    graph.update_edge(nodes[w], nodes[i], *buffer);
                }
            }
        }
        graph
    }
}
