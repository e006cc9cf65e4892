//! egrad's CPU backend: kernels compiled to machine code by Cranelift.
//!
//! ```text
//! kernel ─ normal ─▶ nest in normal form ─ plan ─▶ what is computed where ─ emit ─▶ CLIF ─▶ code
//! ```
//!
//! * `normal` drops and joins axes, `plan` chooses the axis vectors run along and where each
//!   value is computed, `emit` writes the function;
//! * `contract` hands matrix products to the `gemm` crate;
//! * `memory` owns the machine code, `run` the calls.
//!
//! Cranelift's vectors have 128 bits, so a group of lanes is several of them side by side.

mod contract;
mod emit;
mod isa;
mod memory;
mod normal;
mod plan;
mod rare;
mod run;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use egrad_ir::kernel::{Backend, Body, Executable, Kernel, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Error, Result};
use run::{Launch, Runner, Work};

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
    /// [`Error::Device`] if Cranelift doesn't generate code for this CPU.
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
        let mut compiler = Compiler::new(false)?;
        let mut assembly = memory::Assembly::default();
        let mut functions = 0;
        let mut launches = Vec::with_capacity(schedule.steps.len());
        for step in &schedule.steps {
            let work = match nest(&step.kernel) {
                Some(nest) => {
                    let plan = compiler.build(&step.kernel, &nest)?;
                    assembly.add(compiler.compile(&step.kernel)?)?;
                    functions += 1;
                    let extent = plan.nest.domain.first().copied().unwrap_or(1);
                    Work::Call { function: functions - 1, extent }
                }
                None => match &step.kernel.body {
                    Body::Contract(contract) => Work::Contract(Box::new(contract.clone())),
                    Body::Loops(_) => unreachable!("loop nests are compiled"),
                },
            };
            launches.push(Launch { work, operands: step.operands.iter().map(|b| b.index()).collect() });
        }
        let runner = Runner::new(&schedule, launches, assembly.finish()?);
        Ok(Box::new(Compiled { schedule, runner }))
    }
}

/// The loop nest a kernel is compiled from; `None` for what `gemm` does.
fn nest(kernel: &Kernel) -> Option<std::borrow::Cow<'_, egrad_ir::kernel::LoopNest>> {
    use std::borrow::Cow;
    match &kernel.body {
        Body::Loops(nest) => Some(Cow::Borrowed(nest)),
        Body::Contract(c) if contract::as_loops(c, kernel.numerics) => Some(Cow::Owned(contract::loop_nest(c))),
        Body::Contract(_) => None,
    }
}

/// Compiles kernels one after the other, reusing its memory.
struct Compiler {
    machine: &'static isa::Machine,
    context: Context,
    builder: FunctionBuilderContext,
    control: ControlPlane,
    /// Whether machine code is wanted as text too.
    listing: bool,
}

impl Compiler {
    fn new(listing: bool) -> Result<Compiler> {
        Ok(Compiler {
            listing,
            machine: isa::machine()?,
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            control: ControlPlane::default(),
        })
    }

    /// Builds the kernel's function.
    fn build(&mut self, kernel: &Kernel, nest: &egrad_ir::kernel::LoopNest) -> Result<plan::Plan> {
        self.context.clear();
        self.context.set_disasm(self.listing);
        let plan = plan::plan(kernel, nest, self.machine.fused);
        emit::function(&*self.machine.isa, &mut self.context, &mut self.builder, kernel, &plan);
        Ok(plan)
    }

    /// Compiles the function built last.
    fn compile(&mut self, kernel: &Kernel) -> Result<&cranelift_codegen::CompiledCode> {
        self.context
            .compile(&*self.machine.isa, &mut self.control)
            .map_err(|e| Error::internal(format!("Cranelift refuses kernel `{}`: {:?}", kernel.name, e.inner)))
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

    fn listing(&self, stage: &str) -> Option<Vec<String>> {
        let assembly = match stage {
            "clif" => false,
            "assembly" => true,
            _ => return None,
        };
        let mut compiler = Compiler::new(assembly).ok()?;
        let text = |step: &egrad_ir::schedule::Step| {
            let kernel = &step.kernel;
            let Some(nest) = nest(kernel) else { return Some(format!("; {}: a call of gemm\n", kernel.name)) };
            compiler.build(kernel, &nest).ok()?;
            if !assembly {
                return Some(format!("; {}\n{}", kernel.name, compiler.context.func.display()));
            }
            let compiled = compiler.compile(kernel).ok()?;
            Some(format!("; {}\n{}", kernel.name, compiled.vcode.as_deref().unwrap_or_default()))
        };
        self.schedule.steps.iter().map(text).collect()
    }
}
