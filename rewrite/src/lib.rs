//! Rewriting: the pipeline from a traced program to a schedule of kernels.

use egrad_ir::schedule::Schedule;
use egrad_ir::{Function, Numerics, Program, Result};

/// What the optimizer may do and for which machine.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which float classes of rules may fire.
    pub numerics: Numerics,
    /// Whether kernels may hold more than one primitive.
    pub fusion: Fusion,
    /// Names of rules that must not fire (`fuse/inline`, `simplify/add-zero`, …).
    pub disabled: Vec<String>,
}

/// How values are grouped into kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fusion {
    /// Whatever costs least.
    #[default]
    Search,
    /// One kernel per primitive: what running op by op does.
    Off,
}

/// A compiled program, with what each stage made.
#[derive(Clone, Debug)]
pub struct Compilation {
    /// The entry function with every transform expanded: primitives alone.
    pub transformed: Function,
    /// The primitives extraction chose, after simplification.
    pub extracted: Function,
    /// The kernels to run.
    pub schedule: Schedule,
    /// Per step of the schedule its predicted time in microseconds.
    pub predicted_us: Vec<f64>,
}

/// Expands every transform of the program's entry function, inside-out.
///
/// # Errors
/// If a primitive has no rule for a transform, naming both and the user's line.
pub fn expand(_program: &Program) -> Result<Function> {
    Err(egrad_ir::Error::internal("expand is being written"))
}

/// Compiles the program's entry function.
///
/// # Errors
/// As [`expand`], or if the result is too large for memory.
pub fn compile(_program: &Program, _options: &Options) -> Result<Compilation> {
    Err(egrad_ir::Error::internal("compile is being written"))
}
