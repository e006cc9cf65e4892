//! Random functions of kernels, calls, loops and branches.

use super::maker::{Maker, work};
use super::{Numbers, SMOOTH, kernel};
use egrad_ir::kernel::{Body, Call, Kernel, Operand, Scan, Slot, Switch, While};
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Aval, Dtype, Numerics, Shape};
use std::sync::Arc;

/// A call of `callee`: inputs shared, side by side, apart or overlapping, perhaps several in one
/// operand.
pub(crate) fn call(callee: &Arc<Schedule>, count: usize, numbers: &mut Numbers) -> Kernel {
    let mut operands: Vec<Operand> = Vec::new();
    let mut inputs = Vec::new();
    for (_, aval) in &callee.inputs {
        let len = aval.shape.size();
        let stride = [0, len, len + 1 + numbers.below(3), 1][numbers.below(4)];
        let reach = stride * (count - 1) + len;
        let fits = |o: &Operand| o.dtype == aval.dtype && o.len >= reach;
        let operand = match operands.iter().position(fits) {
            Some(operand) if numbers.below(2) == 0 => operand,
            _ => {
                operands.push(Operand { dtype: aval.dtype, len: reach + numbers.below(2), written: false });
                operands.len() - 1
            }
        };
        inputs.push(Slot { operand, stride });
    }
    let mut outputs = Vec::new();
    for (_, aval) in &callee.outputs {
        let stride = aval.shape.size();
        outputs.push(Slot { operand: operands.len(), stride });
        operands.push(Operand { dtype: aval.dtype, len: stride * count, written: true });
    }
    let body = Body::Call(Call { callee: callee.clone(), count, inputs, outputs });
    Kernel { name: "call".into(), operands, body, numerics: Numerics::Strict }
}

/// A function of a few random kernels, and of calls down to that depth; of loops and branches too, if
/// `loops`.
pub(crate) fn function(numbers: &mut Numbers, depth: usize, loops: bool) -> Schedule {
    let mut made = Schedule::default();
    let mut ready: Vec<BufferId> = Vec::new();
    for _ in 0..1 + numbers.below(3) {
        let mut kernel = if depth > 0 && numbers.below(2) == 0 {
            match numbers.below(4) {
                0 if loops => scan(numbers, depth - 1),
                1 if loops => while_loop(numbers, depth - 1),
                2 if loops => switch(numbers, depth - 1),
                _ => {
                    let callee = Arc::new(function(numbers, depth - 1, loops));
                    let count = [1, 2, 5][numbers.below(3)];
                    call(&callee, count, numbers)
                }
            }
        } else {
            small(numbers)
        };
        let mut operands = Vec::new();
        for operand in &mut kernel.operands {
            // What is read whole is read exactly.
            let exact = matches!(kernel.body, Body::Scan(_) | Body::While(_) | Body::Switch(_));
            let fits = |id: &BufferId| {
                let buffer = made.buffer(*id);
                let long = if exact { buffer.len == operand.len } else { buffer.len >= operand.len };
                buffer.dtype == operand.dtype && long
            };
            let old: Vec<BufferId> = ready.iter().copied().filter(fits).collect();
            if !operand.written && !old.is_empty() && numbers.below(4) > 0 {
                let id = old[numbers.below(old.len())];
                operand.len = made.buffer(id).len;
                operands.push(id);
                continue;
            }
            let id = BufferId::from(made.buffers.len());
            made.buffers.push(Buffer { dtype: operand.dtype, len: operand.len });
            if !operand.written {
                made.inputs.push((id, Aval::new(operand.dtype, [operand.len])));
            }
            operands.push(id);
        }
        ready.extend(kernel.operands.iter().zip(&operands).filter(|(o, _)| o.written).map(|(_, id)| *id));
        ready.extend(made.inputs.iter().map(|(id, _)| *id));
        ready.sort_unstable();
        ready.dedup();
        made.steps.push(Step { kernel, operands });
    }
    // Results may be inputs, shared, and of other shapes.
    for _ in 0..1 + numbers.below(3) {
        let id = ready[numbers.below(ready.len())];
        let Buffer { dtype, len } = *made.buffer(id);
        let shape = if numbers.below(2) == 0 { Shape::from([len]) } else { Shape::from([1, len]) };
        made.outputs.push((id, Aval::new(dtype, shape)));
    }
    made
}

/// A valid loop nest that doesn't take long.
fn small(numbers: &mut Numbers) -> Kernel {
    loop {
        let kernel = Maker::kernel(numbers.bits(), 1 + numbers.below(6), SMOOTH);
        if work(&kernel) < 1500 && kernel.verify().is_ok() {
            return kernel;
        }
    }
}

/// A buffer of that type and length, any of a function's.
fn like(f: &Schedule, aval: &Aval, numbers: &mut Numbers) -> BufferId {
    let fits = |b: &Buffer| b.dtype == aval.dtype && b.len == aval.shape.size();
    let all: Vec<usize> = (0..f.buffers.len()).filter(|i| fits(&f.buffers[*i])).collect();
    BufferId::from(all[numbers.below(all.len())])
}

/// A function whose first results are of the types of some of its inputs, which are the last but so
/// many; and how many those are.
fn stepping(numbers: &mut Numbers, depth: usize) -> (Schedule, usize) {
    let mut f = function(numbers, depth, true);
    let carry = numbers.below(f.inputs.len().min(3) + 1);
    let by = numbers.below(f.inputs.len().max(1));
    f.inputs.rotate_left(by);
    let start = f.inputs.len() - carry;
    let carried = f.inputs[start..].to_vec();
    let next: Vec<(BufferId, Aval)> = carried.into_iter().map(|(_, aval)| (like(&f, &aval, numbers), aval)).collect();
    f.outputs.splice(..0, next);
    (f, carry)
}

/// Operands as slots are laid out.
#[derive(Default)]
struct Operands(Vec<Operand>);

impl Operands {
    /// A slot for an element of that type in each of so many steps; for one that is whole, `None`.
    fn slot(&mut self, aval: &Aval, steps: Option<usize>, written: bool, numbers: &mut Numbers) -> Slot {
        let len = aval.shape.size();
        let operand = Operand { dtype: aval.dtype, len: len * steps.unwrap_or(1), written };
        let stride = if steps.is_some() { len } else { 0 };
        let known = self.0.iter().position(|o| *o == operand && !written);
        let position = known.filter(|_| numbers.below(2) == 0).unwrap_or_else(|| {
            self.0.push(operand);
            self.0.len() - 1
        });
        Slot { operand: position, stride }
    }
}

fn named(name: &str, operands: Operands, body: Body) -> Kernel {
    Kernel { name: name.into(), operands: operands.0, body, numerics: Numerics::Strict }
}

/// A loop of known length over a random function.
pub(crate) fn scan(numbers: &mut Numbers, depth: usize) -> Kernel {
    let (mut body, carry) = stepping(numbers, depth);
    let length = [3, 0, 1, 2, 8][numbers.below(5)];
    let first = body.inputs.len() - carry;
    let consts = numbers.below(first + 1);
    // Consts, carry, elements.
    body.inputs[consts..].rotate_left(first - consts);
    let mut operands = Operands::default();
    let whole = |i: usize, fixed: usize| (i >= fixed).then_some(length);
    let inputs = body.inputs.iter().enumerate();
    let inputs = inputs.map(|(i, (_, aval))| operands.slot(aval, whole(i, consts + carry), false, numbers)).collect();
    let outputs = body.outputs.iter().enumerate();
    let outputs = outputs.map(|(i, (_, aval))| operands.slot(aval, whole(i, carry), true, numbers)).collect();
    let reverse = numbers.below(2) == 0;
    let scan = Scan { body: Arc::new(body), consts, carry, length, reverse, inputs, outputs };
    named("scan", operands, Body::Scan(scan))
}

/// A loop over a random function and a counter, which ends when that has reached 4 or isn't positive,
/// and doesn't begin if a flag isn't set.
pub(crate) fn while_loop(numbers: &mut Numbers, depth: usize) -> Kernel {
    let (mut body, carry) = stepping(numbers, depth);
    body.outputs.truncate(carry);
    let body_consts = body.inputs.len() - carry;
    let count = kernel(
        "kernel count(b0: read i32[1], b1: write i32[1]) strict {
           parallel {
             once {
               %0 = load b0[0]
               %1 = constant i32 1
               %2 = add %0 %1
               store b1[0] = %2
             }
           }
         }",
    );
    let scalar = Aval::new(Dtype::I32, []);
    let [before, after] = [0, 1].map(|i| BufferId::from(body.buffers.len() + i));
    body.buffers.extend([Buffer { dtype: Dtype::I32, len: 1 }, Buffer { dtype: Dtype::I32, len: 1 }]);
    body.inputs.push((before, scalar.clone()));
    body.outputs.push((after, scalar));
    body.steps.push(Step { kernel: count, operands: vec![before, after] });
    let more = kernel(
        "kernel more(b0: read bool[1], b1: read i32[1], b2: write bool[1]) strict {
           parallel {
             once {
               %0 = load b0[0]
               %1 = load b1[0]
               %2 = constant i32 4
               %3 = lt %1 %2
               %4 = constant i32 -1
               %5 = gt %1 %4
               %6 = and %3 %5
               %7 = and %6 %0
               store b2[0] = %7
             }
           }
         }",
    );
    let flag = Aval::new(Dtype::Bool, []);
    let mut cond = Schedule::default();
    for (_, aval) in [&(before, flag.clone())].into_iter().chain(&body.inputs[body_consts..]) {
        cond.inputs.push((BufferId::from(cond.buffers.len()), aval.clone()));
        cond.buffers.push(Buffer { dtype: aval.dtype, len: aval.shape.size() });
    }
    let answer = BufferId::from(cond.buffers.len());
    cond.buffers.push(Buffer { dtype: Dtype::Bool, len: 1 });
    cond.outputs.push((answer, flag.clone()));
    cond.steps.push(Step { kernel: more, operands: vec![BufferId(0), BufferId::from(carry + 1), answer] });
    let mut operands = Operands::default();
    let asked = [flag];
    let inputs = asked.iter().chain(body.inputs.iter().map(|(_, aval)| aval));
    let inputs = inputs.map(|aval| operands.slot(aval, None, false, numbers)).collect();
    let outputs = body.outputs.iter().map(|(_, aval)| operands.slot(aval, None, true, numbers)).collect();
    let (cond, body) = (Arc::new(cond), Arc::new(body));
    named("while", operands, Body::While(While { cond, body, cond_consts: 1, body_consts, inputs, outputs }))
}

/// One of some functions of the same inputs.
pub(crate) fn switch(numbers: &mut Numbers, depth: usize) -> Kernel {
    let first = function(numbers, depth, true);
    let mut operands = Operands::default();
    let index = operands.slot(&Aval::new(Dtype::I32, []), None, false, numbers).operand;
    let inputs = first.inputs.iter().map(|(_, aval)| operands.slot(aval, None, false, numbers)).collect();
    let outputs = first.outputs.iter().map(|(_, aval)| operands.slot(aval, None, true, numbers)).collect();
    let mut branches = Vec::new();
    for _ in 0..1 + numbers.below(4) {
        let mut branch = first.clone();
        for output in &mut branch.outputs {
            output.0 = like(&first, &output.1, numbers);
        }
        branches.push(Arc::new(branch));
    }
    named("switch", operands, Body::Switch(Switch { branches, index, inputs, outputs }))
}
