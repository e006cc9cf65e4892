//! What there is to say of a kernel in a line.

use egrad_ir::kernel::{Body, Inst, Kernel};
use egrad_ir::schedule::{BufferId, Schedule, Step};
use std::fmt;

/// The primitives that a kernel computes, in order.
pub(crate) fn ops(kernel: &Kernel) -> Vec<&'static str> {
    let nest = match &kernel.body {
        Body::Contract(_) => return vec!["dot_general"],
        Body::Call(_) | Body::Scan(_) | Body::While(_) | Body::Switch(_) => {
            let steps = kernel.body.callees().into_iter().flat_map(|callee| &callee.steps);
            return steps.flat_map(|step| ops(&step.kernel)).collect();
        }
        Body::Scatter(scatter) => return vec![egrad_ir::op::scatter_name(scatter.kind)],
        Body::Argsort(_) => return vec!["argsort"],
        Body::Print(_) => return vec!["print"],
        Body::Linalg(c) => return vec![c.kind.name()],
        Body::Loops(nest) => nest,
    };
    let mut ops = Vec::new();
    for pass in &nest.passes {
        ops.extend(pass.insts.iter().filter_map(|inst| match inst {
            Inst::Literal(_) | Inst::Load { .. } => None,
            Inst::LoadWithin { along, .. } if along.iter().any(|a| a.plus.is_some()) => Some("take"),
            Inst::LoadWithin { .. } | Inst::Within(_) => Some("pad"),
            Inst::Index(_) => Some("iota"),
            Inst::Unary(u, _) => Some(u.name()),
            Inst::Binary(b, ..) => Some(b.name()),
            Inst::Compare(c, ..) => Some(c.name()),
            Inst::Select(..) => Some("select"),
            Inst::IntegerPow(..) => Some("integer_pow"),
            Inst::Convert(..) => Some("convert"),
        }));
        ops.extend(pass.accs.iter().map(|acc| acc.kind.name()));
    }
    ops
}

/// The buffers that a step reads, or those that it writes.
pub(crate) fn buffers(step: &Step, written: bool) -> impl Iterator<Item = BufferId> {
    let both = step.kernel.operands.iter().zip(&step.operands);
    both.filter(move |(operand, _)| operand.written == written).map(|(_, buffer)| *buffer)
}

/// A buffer with its type: `b2 f32[100000]`.
pub(crate) struct Typed<'a>(pub(crate) &'a Schedule, pub(crate) BufferId);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Typed(schedule, id) = self;
        let buffer = schedule.buffer(*id);
        write!(f, "{id} {}[{}]", buffer.dtype, buffer.len)
    }
}

/// `1 kernel`, `3 kernels`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
