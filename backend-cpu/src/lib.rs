//! egrad's CPU backend: kernels compiled to machine code by Cranelift.
//!
//! ```text
//! kernel ─ normal ─▶ nest in normal form ─ plan ─▶ what is computed where ─ emit ─▶ CLIF ─ jit ─▶ code
//! ```
//!
//! * `partial` cuts long sums in two kernels first, so that threads can share them;
//! * `normal` drops and joins axes, `plan` chooses the axis vectors run along and where each
//!   value is computed, `emit` writes the function;
//! * `contract` hands matrix products to the `gemm` crate;
//! * `compile` does all that for a schedule, and once for each schedule that others call; `jit`
//!   puts the functions in one `JITModule`, in memory that `memory` owns and gives back; what they
//!   call is in `symbols`;
//! * `run` gives kernels memory, for one element or a batch; `control` runs loops and branches over
//!   compiled schedules; `launch` calls kernels, on the threads of `pool` if that is quicker.
//!
//! A function takes the address of an argument block: a range of a domain axis, for threads to share
//! the rest; a range of a batch; per operand its address, and its stride from one element of the
//! batch to the next. So what is compiled once runs over batches of any size and layout.
//!
//! Cranelift's vectors have 128 bits, so a group of lanes is several of them side by side.

mod compile;
mod contract;
mod control;
mod emit;
mod fills;
mod isa;
mod jit;
mod launch;
mod linalg;
mod memory;
mod normal;
mod partial;
mod plan;
mod pool;
mod print;
mod rows;
mod run;
mod symbols;
mod unroll;

pub use run::batch_bytes;

use egrad_ir::kernel::{Backend, Executable, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Result};
use pool::{Pool, Worth};
use run::Program;
use std::sync::Arc;

/// The CPU this process runs on.
///
/// Kernels that are worth it run on several threads: as many as run at once, or as the environment
/// variable `EGRAD_NUM_THREADS` says (from 1 to 1024). All of a process share them, they start with
/// the first such kernel, and they sleep while there is none. With one, everything runs on the
/// thread that asks for it.
///
/// ```
/// use egrad_cpu::Cpu;
/// use egrad_ir::kernel::Backend;
/// use egrad_ir::schedule::Schedule;
/// let compiled = Cpu::new()?.compile(Schedule::default())?;
/// assert_eq!(compiled.run(&[])?.dispatches, 0);
/// # Ok::<(), egrad_ir::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cpu {
    pool: Arc<Pool>,
}

impl Cpu {
    /// The backend, with the process's threads.
    ///
    /// # Errors
    /// [`egrad_ir::Error::Device`] if Cranelift doesn't generate code for this CPU, or if
    /// `EGRAD_NUM_THREADS` is no number of threads.
    pub fn new() -> Result<Cpu> {
        isa::machine()?;
        Ok(Cpu { pool: Pool::shared()? })
    }

    /// The backend with threads of its own: as many as given, whoever runs a kernel being one of
    /// them. They end when this value, its clones and everything compiled by them are dropped.
    ///
    /// # Errors
    /// [`egrad_ir::Error::Device`] if Cranelift doesn't generate code for this CPU, or if `threads`
    /// is 0 or more than 1024.
    pub fn with_threads(threads: usize) -> Result<Cpu> {
        isa::machine()?;
        Ok(Cpu { pool: Arc::new(Pool::new(threads, Worth::USUAL)?) })
    }

    /// As [`Cpu::with_threads`], but every kernel that can be is cut into as many pieces as large
    /// ones are: for tests.
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)]
    pub fn sharing_anything(threads: usize) -> Result<Cpu> {
        isa::machine()?;
        Ok(Cpu { pool: Arc::new(Pool::new(threads, Worth::ANYTHING)?) })
    }
}

impl Backend for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn compile(&self, schedule: Schedule) -> Result<Box<dyn Executable>> {
        // What makes running the code sound, so it is not left to the caller.
        schedule.verify()?;
        let program = compile::compile(&schedule)?;
        Ok(Box::new(Compiled { schedule, program, pool: self.pool.clone() }))
    }
}

struct Compiled {
    schedule: Schedule,
    program: Program,
    pool: Arc<Pool>,
}

const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<Compiled>();
};

impl Executable for Compiled {
    fn run(&self, inputs: &[&Array]) -> Result<Run> {
        self.program.run(&self.schedule, inputs, &self.pool)
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn listing(&self, stage: &str) -> Option<Vec<String>> {
        compile::listing(&self.schedule, stage)
    }

    fn code(&self) -> Vec<usize> {
        self.program.code()
    }
}
