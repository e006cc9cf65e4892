//! A call as a kernel: where the callee finds its operands and leaves its results.

use super::{Chosen, Illegal, Lowered, Operands};
use egrad_ir::Transform;
use egrad_ir::kernel::{self, Body, Slot};

/// Lowers a call.
///
/// # Errors
/// If an operand is not in memory.
pub(crate) fn call(chosen: &dyn Chosen, number: usize) -> Result<Lowered, Illegal> {
    let call = &chosen.choices().calls[number];
    let callee = &call.callee;
    let len = |of: &[(egrad_ir::schedule::BufferId, egrad_ir::Aval)], i: usize| of[i].1.shape.size();
    let (count, mapped) = match &callee.site.transform {
        Transform::Vmap { in_axes, size, .. } => (*size, Some(in_axes)),
        Transform::Call
        | Transform::Jvp { .. }
        | Transform::Vjp { .. }
        | Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. } => (1, None),
    };
    let mut operands = Operands::default();
    let mut inputs = Vec::with_capacity(call.args.len());
    for (i, arg) in call.args.iter().enumerate() {
        if !chosen.in_memory(*arg) {
            return Err(Illegal::Anchor(*arg));
        }
        let along = mapped.is_some_and(|axes| axes[i].is_some());
        let stride = if along { len(&callee.schedule.inputs, i) } else { 0 };
        inputs.push(Slot { operand: operands.position(chosen, *arg, false), stride });
    }
    let outputs = call.results.iter().enumerate().map(|(i, v)| {
        let stride = if mapped.is_some() { len(&callee.schedule.outputs, i) } else { 0 };
        Slot { operand: operands.position(chosen, *v, true), stride }
    });
    let outputs = outputs.collect();
    let body = Body::Call(kernel::Call { callee: callee.schedule.clone(), count, inputs, outputs });
    let name = format!("call_{}", callee.name);
    Ok(Lowered { body, operands: operands.operands, values: operands.values, name })
}
