//! egrad's CPU backend: kernels compiled to machine code by Cranelift.
//!
//! ```text
//! kernel ─ normal ─▶ nest in normal form ─ plan ─▶ what is computed where ─ emit ─▶ CLIF ─ jit ─▶ code
//! ```
//!
//! * `normal` drops and joins axes, `plan` chooses the axis vectors run along and where each
//!   value is computed, `emit` writes the function;
//! * `contract` hands matrix products to the `gemm` crate;
//! * `jit` compiles a schedule's functions in one `JITModule`, into memory that `memory` owns and
//!   gives back; what they call is in `symbols`;
//! * `run` calls them.
//!
//! Cranelift's vectors have 128 bits, so a group of lanes is several of them side by side.

mod contract;
mod emit;
mod isa;
mod jit;
mod memory;
mod normal;
mod plan;
mod run;
mod symbols;

use cranelift_codegen::Context;
use cranelift_frontend::FunctionBuilderContext;
use egrad_ir::kernel::{Backend, Body, Executable, Kernel, LoopNest, Run};
use egrad_ir::schedule::{Schedule, Step};
use egrad_ir::{Array, Result};
use hashbrown::HashMap;
use run::{Launch, Runner, Work};
use std::borrow::Cow;

/// The CPU this process runs on, one thread of it.
///
/// ```
/// use egrad_cpu::Cpu;
/// use egrad_ir::kernel::Backend;
/// use egrad_ir::schedule::Schedule;
/// let compiled = Cpu::new()?.compile(Schedule::default())?;
/// assert_eq!(compiled.run(&[])?.dispatches, 0);
/// # Ok::<(), egrad_ir::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cpu(());

impl Cpu {
    /// The backend.
    ///
    /// # Errors
    /// [`egrad_ir::Error::Device`] if Cranelift doesn't generate code for this CPU.
    pub fn new() -> Result<Cpu> {
        isa::machine().map(|_| Cpu(()))
    }
}

impl Backend for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn compile(&self, schedule: Schedule) -> Result<Box<dyn Executable>> {
        // What makes running the code sound, so it is not left to the caller.
        schedule.verify()?;
        let runner = compile(&schedule)?;
        Ok(Box::new(Compiled { schedule, runner }))
    }
}

/// Compiles a verified schedule.
fn compile(schedule: &Schedule) -> Result<Runner> {
    let mut compiler = Compiler::new(isa::machine()?, false);
    let mut functions = Functions::default();
    let mut launches = Vec::with_capacity(schedule.steps.len());
    for step in &schedule.steps {
        let kernel = &step.kernel;
        let work = match (nest(kernel), &kernel.body) {
            (Some(nest), _) => match functions.find(kernel) {
                Some(Function { number, extent, .. }) => Work::Call { function: *number, extent: *extent },
                None => {
                    let plan = compiler.build(kernel, &nest);
                    let number = compiler.compile(kernel)?;
                    let extent = plan.nest.domain.first().copied().unwrap_or(1);
                    functions.add(Function { kernel, number, extent });
                    Work::Call { function: number, extent }
                }
            },
            (None, Body::Contract(contract)) => Work::Contract(Box::new(contract.clone())),
            (None, Body::Call(_)) => return Err(egrad_ir::Error::device("the CPU backend doesn't run calls yet")),
            (None, Body::Loops(_)) => unreachable!("loop nests are compiled"),
        };
        launches.push(Launch { work, operands: step.operands.iter().map(|b| b.index()).collect() });
    }
    Ok(Runner::new(schedule, launches, compiler.assembly.finish()?))
}

/// The functions compiled so far: equal kernels (the layers of a network) share one.
#[derive(Default)]
struct Functions<'a> {
    by_name: HashMap<&'a str, Vec<Function<'a>>>,
}

struct Function<'a> {
    kernel: &'a Kernel,
    number: usize,
    extent: usize,
}

impl<'a> Functions<'a> {
    fn find(&self, kernel: &Kernel) -> Option<&Function<'a>> {
        self.by_name.get(&*kernel.name)?.iter().find(|f| f.kernel == kernel)
    }

    fn add(&mut self, function: Function<'a>) {
        self.by_name.entry(&function.kernel.name).or_default().push(function);
    }
}

/// The loop nest a kernel is compiled from; `None` for what `gemm` does.
fn nest(kernel: &Kernel) -> Option<Cow<'_, LoopNest>> {
    match &kernel.body {
        Body::Loops(nest) => Some(Cow::Borrowed(nest)),
        Body::Contract(c) if contract::as_loops(c, kernel.numerics) => Some(Cow::Owned(contract::loop_nest(c))),
        Body::Contract(_) | Body::Call(_) => None,
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

    /// Compiles the function built last; returns its number in the code.
    fn compile(&mut self, kernel: &Kernel) -> Result<usize> {
        self.assembly.define(&kernel.name, &mut self.context)
    }
}

struct Compiled {
    schedule: Schedule,
    runner: Runner,
}

impl Executable for Compiled {
    fn run(&self, inputs: &[&Array]) -> Result<Run> {
        self.runner.run(&self.schedule, inputs)
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn code(&self) -> Vec<usize> {
        Vec::new()
    }

    fn listing(&self, stage: &str) -> Option<Vec<String>> {
        let assembly = match stage {
            "clif" => false,
            "assembly" => true,
            _ => return None,
        };
        let mut compiler = Compiler::new(isa::machine().ok()?, assembly);
        let text = |step: &Step| {
            let kernel = &step.kernel;
            let Some(nest) = nest(kernel) else { return Some(format!("; {}: a call of gemm\n", kernel.name)) };
            compiler.build(kernel, &nest);
            if !assembly {
                return Some(format!("; {}\n{}", kernel.name, compiler.context.func.display()));
            }
            compiler.compile(kernel).ok()?;
            let compiled = compiler.context.compiled_code()?;
            Some(format!("; {}\n{}", kernel.name, compiled.vcode.as_deref().unwrap_or_default()))
        };
        self.schedule.steps.iter().map(text).collect()
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
            let arguments = [0, 21, x.as_ptr() as u64, got.as_mut_ptr().unwrap() as u64];
            // SAFETY: the block holds the axis' range and the addresses of two live arrays of the
            // operands' type and length, the second of which nothing else refers to.
            unsafe { code.entry(number)(arguments.as_ptr()) };
            assert_eq!(got.to_f64(), want.to_f64());
        }
    }
}
