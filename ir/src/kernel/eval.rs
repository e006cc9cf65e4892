//! The reference interpreter of kernels: the kernel IR's meaning, one element at a time.

use super::{
    Acc, Along, Argsort, Backend, Body, Call, Contract, Executable, Inst, Kernel, Linalg, LoopNest, Matrix, Operand,
    Print, Run, Scan, Scatter, Slot, Switch, While,
};
use crate::array::Array;
use crate::dtype::{Dtype, Element, Literal};
use crate::error::{Error, Result};
use crate::eval::check_inputs;
use crate::graph::Aval;
use crate::op::{Binary, Reduce};
use crate::scalar::{self, Elementary, LANES, by_dtype};
use crate::schedule::{BufferId, Schedule};
use crate::shape::Shape;

impl Kernel {
    /// Runs the kernel on the operands it reads (in order, of any shape with that many elements)
    /// and gives those it writes, as one-dimensional arrays. Elements it doesn't store are NaN,
    /// the smallest integer or false.
    ///
    /// Reductions have the documented order whatever the kernel's [`numerics`](Self::numerics).
    ///
    /// # Errors
    /// [`Error::Internal`] if the kernel is invalid or the operands don't fit;
    /// [`Error::Memory`] if memory runs out.
    pub fn eval(&self, read: &[&Array], mode: Elementary) -> Result<Vec<Array>> {
        self.verify()?;
        self.eval_part(read, mode)
    }

    /// Runs a kernel that need not store its written operands [whole](Self::verify_part), as
    /// [`eval`](Self::eval) does.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn eval_part(&self, read: &[&Array], mode: Elementary) -> Result<Vec<Array>> {
        self.verify_part()?;
        let mut given = read.iter();
        let mut memory = Vec::new();
        for operand in &self.operands {
            memory.push(match operand.written {
                true => Bound::Written(blank(operand)?),
                false => match given.next() {
                    Some(x) if x.dtype() == operand.dtype && x.shape().size() == operand.len => {
                        x.fetch()?;
                        Bound::Read(x)
                    }
                    Some(x) => return Err(self.fail(format!("reads {} {}, not {x:?}", operand.len, operand.dtype))),
                    None => return Err(self.fail(format!("reads more than {} operands", read.len()))),
                },
            });
        }
        if given.next().is_some() {
            return Err(self.fail(format!("reads fewer than {} operands", read.len())));
        }
        match &self.body {
            Body::Loops(nest) => run_loops(nest, &mut memory, mode),
            Body::Contract(contract) => run_contract(contract, &mut memory, mode),
            Body::Call(call) => run_call(call, &mut memory, mode)?,
            Body::Scan(scan) => run_scan(scan, &mut memory, mode)?,
            Body::While(w) => run_while(w, &mut memory, mode)?,
            Body::Switch(switch) => run_switch(switch, &mut memory, mode)?,
            Body::Scatter(scatter) => run_scatter(scatter, &mut memory, mode),
            Body::Argsort(argsort) => run_argsort(argsort, &mut memory, mode)?,
            Body::Print(print) => run_print(print, &mut memory)?,
            Body::Linalg(linalg) => run_linalg(linalg, &mut memory),
        }
        .ok_or_else(|| self.fail("an instruction has no meaning for its operands".into()))?;
        Ok(memory.into_iter().filter_map(Bound::written).collect())
    }

    fn fail(&self, what: String) -> Error {
        Error::internal(format!("kernel `{}`: {what}", self.name))
    }
}

/// What an operand is bound to.
enum Bound<'a> {
    Read(&'a Array),
    Written(Array),
}

impl Bound<'_> {
    fn written(self) -> Option<Array> {
        match self {
            Bound::Read(_) => None,
            Bound::Written(array) => Some(array),
        }
    }

    fn get(&self, i: usize) -> Literal {
        match self {
            Bound::Read(array) => array.literal(i),
            Bound::Written(array) => array.literal(i),
        }
    }

    fn zero(&self) -> Literal {
        match self {
            Bound::Read(array) => Literal::new(array.dtype(), 0.0),
            Bound::Written(array) => Literal::new(array.dtype(), 0.0),
        }
    }

    fn set(&mut self, i: usize, x: Literal) -> Option<()> {
        match self {
            Bound::Read(_) => None,
            Bound::Written(array) => by_dtype!(x.dtype(), T => {
                array.as_mut_slice::<T>()?[i] = <T as scalar::Scalar>::from_literal(x);
                Some(())
            }),
        }
    }
}

fn blank(operand: &Operand) -> Result<Array> {
    let nothing = match operand.dtype {
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => f64::NAN,
        Dtype::I32 | Dtype::I64 => f64::NEG_INFINITY,
        Dtype::U32 | Dtype::U8 | Dtype::Bool => 0.0,
    };
    Array::full([operand.len], Literal::new(operand.dtype, nothing))
}

fn run_loops(nest: &LoopNest, memory: &mut [Bound<'_>], mode: Elementary) -> Option<()> {
    let mut values: Vec<Literal> = Vec::new();
    for point in Shape::from(&nest.domain[..]).indices() {
        values.clear();
        for pass in &nest.passes {
            let first = values.len();
            let mut sums = Vec::new();
            for index in Shape::from(&pass.loops[..]).indices() {
                let axes = [&point[..], &index[..]].concat();
                values.truncate(first);
                for inst in &pass.insts {
                    let value = run_inst(inst, &values, &axes, memory, mode)?;
                    values.push(value);
                }
                for store in &pass.stores {
                    memory[store.operand].set(store.index.at(&axes), values[store.value.index()])?;
                }
                if sums.is_empty() {
                    let start = |a: &Acc| Sum::new(a.kind, values[a.value.index()].dtype());
                    sums = pass.accs.iter().map(start).collect::<Option<_>>()?;
                }
                for (acc, sum) in pass.accs.iter().zip(&mut sums) {
                    sum.add(*index.last()?, values[acc.value.index()], mode)?;
                }
            }
            for sum in &sums {
                values.push(sum.finish(mode)?);
            }
        }
    }
    Some(())
}

fn run_inst(
    inst: &Inst,
    values: &[Literal],
    axes: &[usize],
    memory: &[Bound<'_>],
    mode: Elementary,
) -> Option<Literal> {
    let value = |v: &super::ValueId| values[v.index()];
    match inst {
        Inst::Literal(literal) => Some(*literal),
        Inst::Index(index) => Some(Literal::new(Dtype::I32, index.at(axes) as f64)),
        Inst::Load { operand, index } => Some(memory[*operand].get(index.at(axes))),
        Inst::LoadWithin { operand, index, along } => {
            let memory = &memory[*operand];
            let mut element = index.at(axes);
            for a in along {
                match inside(a, axes, values) {
                    Some(position) => element += position * a.by,
                    None => return Some(memory.zero()),
                }
            }
            Some(memory.get(element))
        }
        Inst::Within(along) => Some(along.iter().all(|a| inside(a, axes, values).is_some()).literal()),
        Inst::Unary(u, x) => scalar::unary(*u, value(x), mode),
        Inst::Binary(b, x, y) => scalar::binary(*b, value(x), value(y), mode),
        Inst::Compare(c, x, y) => scalar::compare(*c, value(x), value(y)).map(Element::literal),
        Inst::Select(p, x, y) => Some(if value(p).bits() == 1 { value(x) } else { value(y) }),
        Inst::IntegerPow(n, x) => scalar::integer_pow(*n, value(x), mode),
        Inst::Convert(d, x) => Some(scalar::convert(*d, value(x), mode)),
    }
}

/// The position, if it is inside.
fn inside(along: &Along, axes: &[usize], values: &[Literal]) -> Option<usize> {
    let plus = along.plus.map_or(0, |v| values[v.index()].to_f64() as i64);
    usize::try_from(along.at(axes, plus)).ok().filter(|position| *position < along.extent)
}

/// What combines two elements of a reduction.
fn combine(kind: Reduce) -> Binary {
    match kind {
        Reduce::Sum => Binary::Add,
        Reduce::Max => Binary::Max,
        Reduce::Prod => Binary::Mul,
    }
}

/// A reduction in progress, in the order documented on [`Acc`].
struct Sum {
    lanes: [Literal; LANES],
    op: Binary,
}

impl Sum {
    fn new(kind: Reduce, dtype: Dtype) -> Option<Sum> {
        Some(Sum { lanes: [scalar::identity(kind, dtype)?; LANES], op: combine(kind) })
    }

    fn add(&mut self, innermost: usize, x: Literal, mode: Elementary) -> Option<()> {
        let lane = &mut self.lanes[innermost % LANES];
        *lane = scalar::binary(self.op, *lane, x, mode)?;
        Some(())
    }

    fn finish(&self, mode: Elementary) -> Option<Literal> {
        let l = self.lanes;
        let o = |x, y| scalar::binary(self.op, x, y, mode);
        o(o(o(l[0], l[4])?, o(l[2], l[6])?)?, o(o(l[1], l[5])?, o(l[3], l[7])?)?)
    }
}

fn run_contract(c: &Contract, memory: &mut [Bound<'_>], mode: Elementary) -> Option<()> {
    let element = |m: &Matrix, batch: &[usize], row: usize, column: usize| {
        let base: usize = m.batch_strides.iter().zip(batch).map(|(s, i)| s * i).sum();
        m.offset + base + m.row * row + m.column * column
    };
    for batch in Shape::from(&c.batch[..]).indices() {
        for row in 0..c.m {
            for column in 0..c.n {
                let mut sum = Sum::new(Reduce::Sum, c.dtype)?;
                for k in 0..c.k {
                    let x = memory[c.a.operand].get(element(&c.a, &batch, row, k));
                    let y = memory[c.b.operand].get(element(&c.b, &batch, k, column));
                    sum.add(k, scalar::binary(Binary::Mul, x, y, mode)?, mode)?;
                }
                memory[c.c.operand].set(element(&c.c, &batch, row, column), sum.finish(mode)?)?;
            }
        }
    }
    Some(())
}

/// What a slot holds for element or step `i`.
fn take(memory: &[Bound<'_>], slot: &Slot, i: usize, aval: &Aval) -> Result<Option<Array>> {
    let mut own = Bound::Written(Array::full(aval.shape.clone(), Literal::new(aval.dtype, 0.0))?);
    for e in 0..aval.shape.size() {
        if own.set(e, memory[slot.operand].get(i * slot.stride + e)).is_none() {
            return Ok(None);
        }
    }
    Ok(own.written())
}

/// What slots hold for element or step `i`.
fn take_all(memory: &[Bound<'_>], slots: &[Slot], i: usize, own: &[(BufferId, Aval)]) -> Result<Option<Vec<Array>>> {
    slots.iter().zip(own).map(|(slot, (_, aval))| take(memory, slot, i, aval)).collect()
}

/// Writes an array to a slot, for element or step `i`.
fn put(memory: &mut [Bound<'_>], slot: &Slot, i: usize, x: &Array) -> Option<()> {
    (0..x.shape().size()).try_for_each(|e| memory[slot.operand].set(i * slot.stride + e, x.literal(e)))
}

fn run_scatter(c: &Scatter, memory: &mut [Bound<'_>], mode: Elementary) -> Option<()> {
    let op = combine(c.kind);
    let [x, _, updates] = c.sizes()?;
    for i in 0..x {
        let element = memory[c.x].get(i);
        memory[c.result].set(i, element)?;
    }
    for i in 0..updates {
        if let Some(at) = c.place(i, |index| memory[c.indices].get(index).to_f64() as i32) {
            let combined = scalar::binary(op, memory[c.result].get(at), memory[c.updates].get(i), mode)?;
            memory[c.result].set(at, combined)?;
        }
    }
    Some(())
}

fn run_argsort(c: &Argsort, memory: &mut [Bound<'_>], mode: Elementary) -> Result<Option<()>> {
    let whole = match &memory[c.x] {
        Bound::Read(array) => array.reshape([c.outer, c.length, c.inner])?,
        Bound::Written(array) => array.reshape([c.outer, c.length, c.inner])?,
    };
    let order = crate::eval::eval_op(&crate::op::Op::Argsort(1), &[&whole], mode)?;
    for i in 0..order.shape().size() {
        if memory[c.result].set(i, order.literal(i)).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

fn run_print(p: &Print, memory: &mut [Bound<'_>]) -> Result<Option<()>> {
    let shaped = |(operand, shape): &(usize, Vec<usize>)| match &memory[*operand] {
        Bound::Read(array) => array.reshape(&shape[..]),
        Bound::Written(array) => array.reshape(&shape[..]),
    };
    let values = p.values.iter().map(shaped).collect::<Result<Vec<Array>>>()?;
    crate::print::print(&p.format, &p.levels, &values)?;
    Ok(memory[p.result].set(0, Literal::new(Dtype::I32, 0.0)))
}

fn run_linalg(c: &Linalg, memory: &mut [Bound<'_>]) -> Option<()> {
    let sizes = c.sizes()?;
    let mut result = vec![0.0; sizes[c.read.len()]];
    for i in 0..c.batch {
        let part = |k: usize| -> Vec<f64> {
            (0..sizes[k]).map(|j| memory[c.read[k]].get(i * sizes[k] + j).to_f64()).collect()
        };
        let parts: Vec<Vec<f64>> = (0..c.read.len()).map(part).collect();
        let b: &[f64] = parts.get(1).map_or(&[], |b| b);
        crate::linalg::matrix(c.kind, [c.rows, c.columns], &parts[0], b, &mut result);
        for (j, x) in result.iter().enumerate() {
            let x = Literal::new(memory[c.result].zero().dtype(), *x);
            memory[c.result].set(i * result.len() + j, x)?;
        }
    }
    Some(())
}

fn run_call(c: &Call, memory: &mut [Bound<'_>], mode: Elementary) -> Result<Option<()>> {
    for i in 0..c.count {
        let Some(inputs) = take_all(memory, &c.inputs, i, &c.callee.inputs)? else { return Ok(None) };
        let run = c.callee.run(&inputs.iter().collect::<Vec<_>>(), mode)?;
        for (slot, output) in c.outputs.iter().zip(&run.outputs) {
            if put(memory, slot, i, output).is_none() {
                return Ok(None);
            }
        }
    }
    Ok(Some(()))
}

fn run_scan(s: &Scan, memory: &mut [Bound<'_>], mode: Elementary) -> Result<Option<()>> {
    let fixed = s.consts + s.carry;
    let Some(mut inputs) = take_all(memory, &s.inputs[..fixed], 0, &s.body.inputs)? else { return Ok(None) };
    for step in 0..s.length {
        let at = if s.reverse { s.length - 1 - step } else { step };
        inputs.truncate(fixed);
        let Some(xs) = take_all(memory, &s.inputs[fixed..], at, &s.body.inputs[fixed..])? else { return Ok(None) };
        inputs.extend(xs);
        let run = s.body.run(&inputs.iter().collect::<Vec<_>>(), mode)?;
        for (slot, y) in s.outputs[s.carry..].iter().zip(&run.outputs[s.carry..]) {
            if put(memory, slot, at, y).is_none() {
                return Ok(None);
            }
        }
        inputs[s.consts..fixed].clone_from_slice(&run.outputs[..s.carry]);
    }
    let carried = s.outputs.iter().zip(&inputs[s.consts..fixed]);
    Ok({ carried }.try_for_each(|(slot, x)| put(memory, slot, 0, x)))
}

fn run_while(w: &While, memory: &mut [Bound<'_>], mode: Elementary) -> Result<Option<()>> {
    let (asked, rest) = w.inputs.split_at(w.cond_consts);
    let Some(mut asked) = take_all(memory, asked, 0, &w.cond.inputs)? else { return Ok(None) };
    let Some(mut inputs) = take_all(memory, rest, 0, &w.body.inputs)? else { return Ok(None) };
    loop {
        asked.truncate(w.cond_consts);
        asked.extend_from_slice(&inputs[w.body_consts..]);
        let more = w.cond.run(&asked.iter().collect::<Vec<_>>(), mode)?;
        if more.outputs[0].literal(0).bits() != 1 {
            let carried = w.outputs.iter().zip(&inputs[w.body_consts..]);
            return Ok({ carried }.try_for_each(|(slot, x)| put(memory, slot, 0, x)));
        }
        let run = w.body.run(&inputs.iter().collect::<Vec<_>>(), mode)?;
        inputs[w.body_consts..].clone_from_slice(&run.outputs);
    }
}

fn run_switch(s: &Switch, memory: &mut [Bound<'_>], mode: Elementary) -> Result<Option<()>> {
    let index = memory[s.index].get(0).to_f64();
    let branch = &s.branches[(index.max(0.0) as usize).min(s.branches.len() - 1)];
    let Some(inputs) = take_all(memory, &s.inputs, 0, &branch.inputs)? else { return Ok(None) };
    let run = branch.run(&inputs.iter().collect::<Vec<_>>(), mode)?;
    let results = s.outputs.iter().zip(&run.outputs);
    Ok({ results }.try_for_each(|(slot, y)| put(memory, slot, 0, y)))
}

impl Schedule {
    /// Runs every step on the reference interpreter of kernels.
    ///
    /// # Errors
    /// If the schedule is invalid, the inputs are not those it takes, or memory runs out.
    pub fn eval(&self, inputs: &[&Array], mode: Elementary) -> Result<Run> {
        self.verify()?;
        self.run(inputs, mode)
    }

    fn run(&self, inputs: &[&Array], mode: Elementary) -> Result<Run> {
        let avals: Vec<_> = self.inputs.iter().map(|(_, aval)| aval.clone()).collect();
        check_inputs("the schedule", &avals, inputs)?;
        let mut buffers: Vec<Option<Array>> = vec![None; self.buffers.len()];
        for ((id, _), x) in self.inputs.iter().zip(inputs) {
            buffers[id.index()] = Some((*x).clone());
        }
        for (buffer, slot) in self.buffers.iter().zip(&mut buffers) {
            if buffer.len == 0 && slot.is_none() {
                *slot = Some(Array::full([0], Literal::new(buffer.dtype, 0.0))?);
            }
        }
        let missing = || Error::internal("the schedule reads a buffer nobody has written");
        for step in &self.steps {
            let ids = || step.kernel.operands.iter().zip(&step.operands);
            let read: Option<Vec<&Array>> =
                ids().filter(|(o, _)| !o.written).map(|(_, b)| buffers[b.index()].as_ref()).collect();
            let written = step.kernel.eval(&read.ok_or_else(missing)?, mode)?;
            for ((_, b), array) in ids().filter(|(o, _)| o.written).zip(written) {
                buffers[b.index()] = Some(array);
            }
        }
        let output = |(id, aval): &(crate::schedule::BufferId, crate::Aval)| {
            buffers[id.index()].as_ref().ok_or_else(missing)?.reshape(aval.shape.clone())
        };
        Ok(Run { outputs: self.outputs.iter().map(output).collect::<Result<_>>()?, dispatches: self.launches() })
    }
}

/// The backend that runs schedules on the reference interpreter of kernels: slow, and right.
///
/// ```
/// use egrad_ir::{kernel::{Backend, KernelInterpreter}, schedule::Schedule};
/// let compiled = KernelInterpreter::default().compile(Schedule::default())?;
/// assert_eq!(compiled.run(&[])?.dispatches, 0);
/// # Ok::<(), egrad_ir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelInterpreter {
    /// The elementary functions it computes with.
    pub mode: Elementary,
}

impl KernelInterpreter {
    /// An interpreter with these elementary functions.
    pub fn new(mode: Elementary) -> KernelInterpreter {
        KernelInterpreter { mode }
    }
}

impl Backend for KernelInterpreter {
    fn name(&self) -> &str {
        "kernel-interpreter"
    }

    fn compile(&self, schedule: Schedule) -> Result<Box<dyn Executable>> {
        schedule.verify()?;
        Ok(Box::new(Interpreted { schedule, mode: self.mode }))
    }
}

struct Interpreted {
    schedule: Schedule,
    mode: Elementary,
}

impl Executable for Interpreted {
    fn run(&self, inputs: &[&Array]) -> Result<Run> {
        self.schedule.run(inputs, self.mode)
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn listing(&self, stage: &str) -> Option<Vec<String>> {
        (stage == "kernels").then(|| self.schedule.steps.iter().map(|s| s.kernel.to_string()).collect())
    }

    fn code(&self) -> Vec<usize> {
        Vec::new()
    }
}
