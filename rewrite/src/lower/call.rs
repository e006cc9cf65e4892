//! A call, a loop or a branch as a kernel: where the functions find their operands and leave their
//! results.

use super::{Chosen, Illegal, Lowered, Operands};
use crate::analysis::What;
use crate::choices::ValueIx;
use egrad_ir::kernel::{self, Body, Slot};
use egrad_ir::schedule::BufferId;
use egrad_ir::{Aval, Control, Transform};

/// Lowers a call, a loop or a branch.
///
/// # Errors
/// If an operand is not in memory.
pub(crate) fn call(chosen: &dyn Chosen, number: usize) -> Result<Lowered, Illegal> {
    let call = &chosen.choices().calls[number];
    let callee = &call.callee;
    if let Some(arg) = call.args.iter().find(|arg| !chosen.in_memory(**arg)) {
        return Err(Illegal::Anchor(*arg));
    }
    let len = |of: &[(BufferId, Aval)], i: usize| of[i].1.shape.size();
    let mut operands = Operands::default();
    // Slots with these strides.
    let mut inputs = |stride: &dyn Fn(usize) -> usize| -> Vec<Slot> {
        let slot =
            |(i, arg): (usize, &ValueIx)| Slot { operand: operands.position(chosen, *arg, false), stride: stride(i) };
        call.args.iter().enumerate().map(slot).collect()
    };
    let (body, verb) = match (&callee.site.what, &callee.schedules[..]) {
        (What::Function(transform, _), [schedule]) => {
            let (count, mapped) = match transform {
                Transform::Vmap { in_axes, size, .. } => (*size, Some(in_axes)),
                Transform::Call
                | Transform::Jvp { .. }
                | Transform::Vjp { .. }
                | Transform::CustomJvp { .. }
                | Transform::CustomVjp { .. }
                | Transform::Checkpoint { .. }
                | Transform::Named { .. } => (1, None),
            };
            let inputs = inputs(&|i| {
                let along = mapped.is_some_and(|axes| axes[i].is_some());
                if along { len(&schedule.inputs, i) } else { 0 }
            });
            let outputs = results(chosen, number, &mut operands, &|i| {
                if mapped.is_some() { len(&schedule.outputs, i) } else { 0 }
            });
            (Body::Call(kernel::Call { callee: schedule.clone(), count, inputs, outputs }), "call")
        }
        (What::Control(Control::Scan { consts, carry, length, reverse, .. }), [body]) => {
            let inputs = inputs(&|i| if i < consts + carry { 0 } else { len(&body.inputs, i) });
            let outputs =
                results(chosen, number, &mut operands, &|i| if i < *carry { 0 } else { len(&body.outputs, i) });
            let body = body.clone();
            let scan = kernel::Scan {
                body,
                consts: *consts,
                carry: *carry,
                length: *length,
                reverse: *reverse,
                inputs,
                outputs,
            };
            (Body::Scan(scan), "scan")
        }
        (What::Control(Control::While { cond_consts, body_consts, .. }), [cond, body]) => {
            let inputs = inputs(&|_| 0);
            let outputs = results(chosen, number, &mut operands, &|_| 0);
            let (cond, body) = (cond.clone(), body.clone());
            let (cond_consts, body_consts) = (*cond_consts, *body_consts);
            (Body::While(kernel::While { cond, body, cond_consts, body_consts, inputs, outputs }), "while")
        }
        (What::Control(Control::Switch { .. }), branches) => {
            let mut inputs = inputs(&|_| 0);
            let index = inputs.remove(0).operand;
            let outputs = results(chosen, number, &mut operands, &|_| 0);
            (Body::Switch(kernel::Switch { branches: branches.to_vec(), index, inputs, outputs }), "switch")
        }
        (What::Control(Control::Print { format, levels }), _) => {
            let slots = inputs(&|_| 0);
            let shape = |v: &ValueIx| chosen.choices().value(*v).aval.shape.to_vec();
            let values = slots.iter().zip(&call.args).skip(1).map(|(slot, v)| (slot.operand, shape(v))).collect();
            let token = slots[0].operand;
            let result = results(chosen, number, &mut operands, &|_| 0)[0].operand;
            let print = kernel::Print { format: format.clone(), levels: levels.clone(), token, values, result };
            (Body::Print(print), "print")
        }
        (What::Control(Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Either { .. }), _) => {
            unreachable!("refused, or written out, before")
        }
        (What::Function(..) | What::Control(Control::Scan { .. } | Control::While { .. }), _) => {
            unreachable!("a schedule for each function")
        }
    };
    let name = if callee.name.is_empty() { verb.to_owned() } else { format!("{verb}_{}", callee.name) };
    Ok(Lowered { body, operands: operands.operands, values: operands.values, name, size: 4 })
}

/// Where results go, with these strides.
fn results(chosen: &dyn Chosen, number: usize, operands: &mut Operands, stride: &dyn Fn(usize) -> usize) -> Vec<Slot> {
    let results = &chosen.choices().calls[number].results;
    let slot = |(i, v): (usize, &ValueIx)| Slot { operand: operands.position(chosen, *v, true), stride: stride(i) };
    results.iter().enumerate().map(slot).collect()
}
