//! Compiling schedules: their kernels to functions of one piece of code, the schedules they call once
//! each.

use crate::contract::{self, Products};
use crate::control::Control;
use crate::launch::Function;
use crate::print::Printer;
use crate::rows::Rows;
use crate::run::{Call, Launch, Program, Work};
use crate::{emit, fills, isa, jit, partial, plan};
use cranelift_codegen::Context;
use cranelift_frontend::FunctionBuilderContext;
use egrad_ir::Result;
use egrad_ir::kernel::{Body, Kernel, LoopNest};
use egrad_ir::schedule::{Schedule, Step};
use hashbrown::HashMap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Compiles a verified schedule.
pub(crate) fn compile(schedule: &Schedule) -> Result<Program> {
    let machine = isa::machine()?;
    let split = partial::split(schedule, machine.fused);
    if let Cow::Owned(split) = &split {
        // Running it relies on that as much as on the original's being sound.
        split.verify()?;
    }
    let mut compiler = Compiler::new(machine, false);
    let mut functions = Functions::default();
    let mut launches = Vec::with_capacity(split.steps.len());
    // Memory that launches have for themselves.
    let mut own: Vec<usize> = Vec::new();
    let fills = fills::find(&split);
    for (i, step) in split.steps.iter().enumerate() {
        if fills.values().any(|fill| fill.step == i) {
            continue;
        }
        let kernel = &step.kernel;
        let mut operands: Vec<usize> = step.operands.iter().map(|b| b.index()).collect();
        let work = match (nest(kernel), &kernel.body) {
            (Some(nest), _) => Work::Function(match functions.find(kernel) {
                Some(function) => function,
                None => {
                    let plan = compiler.build(kernel, &nest);
                    let number = compiler.compile(kernel)?;
                    let extent = plan.nest.domain.get(plan.split).copied().unwrap_or(1);
                    functions.add(kernel, Function { number, extent, grain: plan.grain(), time: plan.time })
                }
            }),
            (None, Body::Contract(contract)) => Work::Products(Box::new(Products::new(contract.clone()))),
            (None, Body::Scatter(scatter)) => {
                let fill = fills.get(&step.operands[scatter.x]).map(|fill| fill.number);
                if fill.is_some() {
                    // It isn't read.
                    operands[scatter.x] = operands[scatter.result];
                }
                Work::Rows(Box::new(Rows::scatter(kernel, scatter, fill)))
            }
            (None, Body::Argsort(argsort)) => Work::Rows(Box::new(Rows::argsort(kernel, argsort))),
            (None, Body::Print(print)) => Work::Print(Box::new(Printer::new(kernel, print))),
            (None, Body::Linalg(linalg)) => Work::Rows(Box::new(Rows::linalg(kernel, linalg))),
            (None, Body::Call(call)) => Work::Call(Box::new(Call::new(call, callee(&call.callee)?))),
            (None, body @ (Body::Scan(_) | Body::While(_) | Body::Switch(_))) => {
                let callees = body.callees().into_iter().map(callee).collect::<Result<Vec<_>>>()?;
                let control = Control::new(body, callees);
                if control.is_light() {
                    let number = compiler.control(kernel, &control)?;
                    own.push(control.scratch());
                    operands.push(split.buffers.len() + own.len() - 1);
                    let function = Function { number, extent: 1, grain: 1, time: control.time() };
                    Work::Loop(function, control.callees)
                } else {
                    Work::Control(Box::new(control))
                }
            }
            (None, Body::Loops(_)) => unreachable!("loop nests are compiled"),
        };
        launches.push(Launch { work, operands });
    }
    Ok(Program::new(&split, launches, &own, compiler.assembly.finish()?, schedule.launches()))
}

/// A schedule that others call, compiled once for all of them and for batches of any size.
pub(crate) struct Callee {
    /// Kept for its address, by which callers find what it was compiled to.
    schedule: Arc<Schedule>,
    pub(crate) program: Program,
}

/// Every callee of this process, by the address of its schedule.
static CALLEES: Mutex<BTreeMap<usize, Weak<Callee>>> = Mutex::new(BTreeMap::new());

fn callees() -> MutexGuard<'static, BTreeMap<usize, Weak<Callee>>> {
    CALLEES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address(schedule: &Arc<Schedule>) -> usize {
    Arc::as_ptr(schedule).addr()
}

/// What a verified schedule was compiled to, or is now.
fn callee(schedule: &Arc<Schedule>) -> Result<Arc<Callee>> {
    let known = |callees: &BTreeMap<usize, Weak<Callee>>| callees.get(&address(schedule)).and_then(Weak::upgrade);
    if let Some(callee) = known(&callees()) {
        return Ok(callee);
    }
    // Compiling takes long, and takes the lock for the schedule's own callees.
    let new = Arc::new(Callee { schedule: schedule.clone(), program: compile(schedule)? });
    let mut callees = callees();
    // If another thread was quicker, ours is dropped, after the lock has been given back.
    if let Some(callee) = known(&callees) {
        return Ok(callee);
    }
    callees.insert(address(schedule), Arc::downgrade(&new));
    Ok(new)
}

impl Drop for Callee {
    fn drop(&mut self) {
        let mut callees = callees();
        let at = address(&self.schedule);
        // The schedule may have been compiled again since the last owner let go of this.
        if callees.get(&at).is_some_and(|callee| callee.strong_count() == 0) {
            callees.remove(&at);
        }
    }
}

/// The functions compiled so far: equal kernels (the layers of a network) share one.
#[derive(Default)]
struct Functions<'a> {
    by_name: HashMap<&'a str, Vec<(&'a Kernel, Function)>>,
}

impl<'a> Functions<'a> {
    fn find(&self, kernel: &Kernel) -> Option<Function> {
        self.by_name.get(&*kernel.name)?.iter().find(|(k, _)| *k == kernel).map(|(_, function)| *function)
    }

    fn add(&mut self, kernel: &'a Kernel, function: Function) -> Function {
        self.by_name.entry(&kernel.name).or_default().push((kernel, function));
        function
    }
}

/// The loop nest a kernel is compiled from; `None` for what `gemm` does, and for calls.
pub(crate) fn nest(kernel: &Kernel) -> Option<Cow<'_, LoopNest>> {
    match &kernel.body {
        Body::Loops(nest) => Some(Cow::Borrowed(nest)),
        Body::Contract(c) if contract::as_loops(c, kernel.numerics) => Some(Cow::Owned(contract::loop_nest(c))),
        Body::Contract(_)
        | Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_) => None,
    }
}

/// Compiles kernels one after the other, reusing its memory.
struct Compiler {
    assembly: jit::Assembly,
    context: Context,
    builder: FunctionBuilderContext,
    /// Whether a fused multiply-add is one instruction.
    fused: bool,
    /// Whether machine code is wanted as text too.
    listing: bool,
}

impl Compiler {
    fn new(machine: &isa::Machine, listing: bool) -> Compiler {
        Compiler {
            assembly: jit::Assembly::new(machine),
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            fused: machine.fused,
            listing,
        }
    }

    /// Builds the kernel's function.
    fn build(&mut self, kernel: &Kernel, nest: &LoopNest) -> plan::Plan {
        self.context.clear();
        self.context.set_disasm(self.listing);
        let plan = plan::plan(kernel, nest, self.fused);
        emit::function(&mut self.assembly.module, &mut self.context, &mut self.builder, kernel, &plan);
        plan
    }

    /// Compiles the function of a loop or branch; returns its number in the code.
    fn control(&mut self, kernel: &Kernel, control: &Control) -> Result<usize> {
        self.context.clear();
        let operands = kernel.operands.len();
        let module = &mut self.assembly.module;
        emit::control::function(module, &mut self.context, &mut self.builder, control, operands);
        self.compile(kernel)
    }

    /// Compiles the function built last; returns its number in the code.
    fn compile(&mut self, kernel: &Kernel) -> Result<usize> {
        self.assembly.define(&kernel.name, &mut self.context)
    }
}

/// What a stage of the compilation looks like, one text per step; `None` if there is no such stage.
pub(crate) fn listing(schedule: &Schedule, stage: &str) -> Option<Vec<String>> {
    let assembly = match stage {
        "clif" => false,
        "assembly" => true,
        _ => return None,
    };
    let compiler = Compiler::new(isa::machine().ok()?, assembly);
    let mut lister = Lister { compiler, shown: Vec::new() };
    schedule.steps.iter().map(|step| lister.step(step)).collect()
}

/// Writes listings.
struct Lister<'a> {
    compiler: Compiler,
    /// Callees whose kernels have been listed.
    shown: Vec<&'a Arc<Schedule>>,
}

impl<'a> Lister<'a> {
    fn step(&mut self, step: &'a Step) -> Option<String> {
        let kernel = &step.kernel;
        match &kernel.body {
            Body::Call(call) => {
                let times = if call.count == 1 { "once".to_owned() } else { format!("{} times", call.count) };
                self.callees(&kernel.name, &format!("calls {{}} {times}"), &[("", &call.callee)])
            }
            Body::Scan(scan) => {
                self.callees(&kernel.name, &format!("runs {{}} {} times", scan.length), &[("", &scan.body)])
            }
            Body::While(w) => {
                let parts = [("; condition\n", &w.cond), ("; body\n", &w.body)];
                self.callees(&kernel.name, "runs {} as long as its condition holds", &parts)
            }
            Body::Switch(switch) => {
                let parts: Vec<_> = switch.branches.iter().map(|b| ("; branch\n", b)).collect();
                self.callees(&kernel.name, "runs one of {}", &parts)
            }
            Body::Print(_) => Some(format!("; {}: prints, not compiled\n", kernel.name)),
            Body::Scatter(_) | Body::Argsort(_) => Some(format!("; {}: row by row, not compiled\n", kernel.name)),
            Body::Linalg(c) => {
                let library = match c.kind {
                    egrad_ir::Linalg::Fft { .. } => "rustfft",
                    egrad_ir::Linalg::Factor(_) | egrad_ir::Linalg::TriangularSolve(_) => "faer",
                };
                Some(format!("; {}: a call of {library}\n", kernel.name))
            }
            Body::Loops(_) | Body::Contract(_) => match partial::in_two(kernel, self.compiler.fused) {
                Some(two) => Some(self.kernel(&two.first)? + &self.kernel(&two.second)?),
                None => self.kernel(kernel),
            },
        }
    }

    /// A kernel that runs these schedules, as `what` says of them.
    fn callees(&mut self, name: &str, what: &str, parts: &[(&str, &'a Arc<Schedule>)]) -> Option<String> {
        let known = parts.iter().all(|(_, part)| self.shown.iter().any(|shown| Arc::ptr_eq(shown, part)));
        if known {
            return Some(format!("; {name}: {}\n", what.replace("{}", "what is listed above")));
        }
        let mut text = format!("; {name}: {}\n", what.replace("{}", "what follows"));
        for (role, part) in parts {
            self.shown.push(part);
            text += role;
            for step in &part.steps {
                text += &self.step(step)?;
            }
        }
        Some(text)
    }

    fn kernel(&mut self, kernel: &Kernel) -> Option<String> {
        let Some(nest) = nest(kernel) else { return Some(format!("; {}: a call of gemm\n", kernel.name)) };
        self.compiler.build(kernel, &nest);
        if !self.compiler.listing {
            return Some(format!("; {}\n{}", kernel.name, self.compiler.context.func.display()));
        }
        self.compiler.compile(kernel).ok()?;
        let compiled = self.compiler.context.compiled_code()?;
        Some(format!("; {}\n{}", kernel.name, compiled.vcode.as_deref().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Compiler, isa, nest};
    use egrad_ir::Array;
    use egrad_ir::kernel::Kernel;
    use egrad_ir::scalar::Elementary;

    /// Code for a CPU of the architecture's first years computes the same: what that lacks is
    /// called.
    #[test]
    #[allow(unsafe_code)]
    fn machines_without_newer_instructions_get_the_same_bits() {
        let machine = isa::oldest().unwrap();
        for (op, dtype) in [("exp", "f32"), ("log", "f64"), ("sin", "f32")] {
            let text = format!(
                "kernel k(b0: read {dtype}[21], b1: write {dtype}[21]) strict {{
                   parallel p0 in 0..21 {{
                     once {{
                       %0 = load b0[p0]
                       %1 = {op} %0
                       store b1[p0] = %1
                     }}
                   }}
                 }}"
            );
            let kernel = Kernel::parse(&text).unwrap();
            let data: Vec<f64> = (0..21).map(|i| 0.37 * f64::from(i)).collect();
            let x = Array::from_f64(kernel.operands[0].dtype, &data, [21]).unwrap();
            let want = kernel.eval(&[&x], Elementary::Shared).unwrap().remove(0);
            let mut got = Array::scratch(want.aval().clone()).unwrap();
            let mut compiler = Compiler::new(&machine, false);
            compiler.build(&kernel, &nest(&kernel).unwrap());
            let number = compiler.compile(&kernel).unwrap();
            let code = compiler.assembly.finish().unwrap();
            let arguments = [0, 21, 0, 1, x.as_ptr().unwrap() as u64, got.as_mut_ptr().unwrap() as u64, 0, 0];
            // SAFETY: the block holds the axis' range, a batch of one, and the addresses and strides
            // of two live arrays of the operands' type and length, the second of which nothing else
            // refers to.
            unsafe { code.entry(number)(arguments.as_ptr()) };
            assert_eq!(got.to_f64(), want.to_f64());
        }
    }
}
