//! Rewriting: the pipeline from a traced program to a schedule of kernels.

pub mod analysis;
mod calls;
mod choices;
mod clock;
mod compare;
pub mod cost;
mod either;
pub mod explain;
mod extract;
#[cfg(test)]
mod extract_tests;
mod lower;
pub mod places;
pub mod rules;
pub mod saturate;
mod schedule;
pub mod term;
mod transform;
mod widen;

pub use calls::Calls;
pub use compare::{Compared, Comparison, Difference, compare};
pub use either::{Picked, Priced};
pub use saturate::{Saturated, saturate};
pub use transform::{Expanded, egraph_of, expand_timed, expand_with, first_ways, keep_calls, settled};
pub use widen::widened;

use egrad_ir::schedule::Schedule;
use egrad_ir::{Function, Node, NodeKind, Numerics, Program, Result, Transform};
use std::time::Instant;
use transform::Workspace;
use transform::functions::Functions;

/// What the optimizer may do and for which machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Which float classes of rules may fire.
    pub numerics: Numerics,
    /// Whether kernels may hold more than one primitive.
    pub fusion: Fusion,
    /// The machine kernels are priced for.
    pub machine: cost::Machine,
    /// Names of rules that must not fire (`fuse/inline`, `simplify/add-zero`, …).
    pub disabled: Vec<String>,
    /// What becomes of calls. Run op by op ([`Fusion::Off`]), they are kept unless this says
    /// otherwise, and what is called is fused.
    pub calls: Calls,
    /// Whether to note what only people want to know: how long the search for each rule took, and
    /// where each value is computed.
    pub watch: bool,
}

impl Options {
    /// How calls are made.
    fn calls(&self) -> Calls {
        match (self.calls, self.fusion) {
            (Calls::Auto, Fusion::Off) => Calls::PushIn,
            (calls, Fusion::Search | Fusion::Off) => calls,
        }
    }
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
    /// The entry function with every transform expanded: primitives, and calls that are kept. What is
    /// computed with floats of 16 bits is [`widened`].
    pub transformed: Function,
    /// The functions that are called, by the numbers that `transformed` and `extracted` use.
    pub functions: Program,
    /// The primitives and calls extraction chose, after simplification.
    pub extracted: Function,
    /// The kernels to run.
    pub schedule: Schedule,
    /// Per step of the schedule its predicted time in microseconds.
    pub predicted_us: Vec<f64>,
    /// What each rule did, stage by stage.
    pub stages: Vec<(&'static str, rules::Report)>,
    /// How many microseconds the search for the cheapest kernels took.
    pub extraction_us: f64,
    /// Per node of the extracted function where it is computed, if that was asked for
    /// ([`Options::watch`]).
    pub places: Vec<Place>,
    /// What became of choices between functions that compute the same: a Jacobian's two modes.
    pub picked: Vec<Picked>,
    /// The e-graph extraction chose from.
    pub egraph: Saturated,
    /// How large it is.
    pub size: EgraphSize,
}

impl Compilation {
    /// What extraction chose, as a program: the functions that are called, then the entry.
    pub fn program(&self) -> Program {
        let mut program = self.functions.clone();
        let entry = program.add(self.extracted.clone());
        program.about(entry)
    }
}

/// Where a value is computed. Steps are those of the schedule, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is an input.
    Input,
    /// It is a constant, written into the kernels that need it.
    Literal,
    /// The kernel of this step keeps it: in memory, if another kernel reads it or it is a result.
    Kernel(usize),
    /// The kernels of these steps compute it where they read it.
    Inline(Vec<usize>),
    /// It is another shape of that node's memory.
    View(egrad_ir::NodeId),
}

/// How large an e-graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgraphSize {
    /// E-nodes.
    pub nodes: usize,
    /// E-classes.
    pub classes: usize,
}

/// Expands every transform of the program's entry function, inside-out.
///
/// # Errors
/// If a primitive has no rule for a transform, naming both and the user's line.
pub fn expand(program: &Program) -> Result<Function> {
    expand_with(program, rules::Tables::standard())
}

/// Expands every transform of the program, and its calls as `calls` says: one function of
/// primitives where they are inlined, which is what `Auto` starts from, else functions that call one
/// another, the entry last. Loops and branches stay, over functions of their own.
///
/// # Errors
/// As [`expand`]; if calls that are kept nest too deep.
pub fn transform(program: &Program, tables: &rules::Tables, calls: Calls) -> Result<Program> {
    match calls {
        Calls::PushIn | Calls::Dispatch if calls_of(program) > 0 || program.has_control() => {
            keep_calls(program, tables, calls)
        }
        Calls::Auto | Calls::Inline if program.has_control() => keep_calls(program, tables, Calls::Inline),
        Calls::Auto | Calls::Inline | Calls::PushIn | Calls::Dispatch => {
            let mut plain = Program::new();
            plain.add(expand_with(program, tables)?);
            Ok(plain)
        }
    }
}

/// How many calls the program's functions make, as they are written.
fn calls_of(program: &Program) -> usize {
    let is_call = |n: &Node| matches!(n.kind, NodeKind::Apply(Transform::Call, _));
    program.functions().map(|(_, f)| f.nodes().filter(|(_, n)| is_call(n)).count()).sum()
}

/// How many operations a program may have, written out, for the ways of making its calls to be priced.
const MOST_PRICED: usize = 20_000;

/// About how many operations the program has with its calls and transforms written out.
fn operations(program: &Program) -> usize {
    let sizes = program.written_out(|kind, callee| match kind {
        NodeKind::Op(_) => 1,
        NodeKind::Param(_) | NodeKind::Get(_) => 0,
        NodeKind::Apply(
            Transform::Call
            | Transform::Vmap { .. }
            | Transform::CustomJvp { .. }
            | Transform::CustomVjp { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. },
            _,
        )
        | NodeKind::Control(_) => callee,
        // A derivative has a few operations for each.
        NodeKind::Apply(Transform::Jvp { .. } | Transform::Vjp { .. }, _) => callee.saturating_mul(4),
    });
    sizes.last().copied().unwrap_or(0)
}

/// Compiles the program's entry function.
///
/// # Errors
/// As [`transform`], or if a result would be too large for memory.
pub fn compile(program: &Program, options: &Options) -> Result<Compilation> {
    compile_with(program, rules::Tables::standard(), options)
}

/// As [`compile`], with transforms expanded by these tables.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(program: &Program, tables: &rules::Tables, options: &Options) -> Result<Compilation> {
    let options = &match options.calls() {
        // Bodies of loops are priced by themselves.
        Calls::Auto if program.has_control() => Options { calls: Calls::Inline, ..options.clone() },
        Calls::Auto | Calls::Inline | Calls::PushIn | Calls::Dispatch => options.clone(),
    };
    let mut transformed = transform(program, tables, options.calls())?;
    // Strict results must not depend on prices, and op by op nothing is searched.
    if options.numerics == Numerics::Strict || options.fusion == Fusion::Off {
        transformed = first_ways(&transformed, options.calls())?;
    }
    let inlined = compile_transformed(&transformed, options)?;
    // Each call that is kept runs a kernel at least, over no less memory.
    let few = inlined.schedule.steps.len() <= calls_of(program);
    // The order of strict sums must not depend on prices.
    let fixed = options.calls() != Calls::Auto || options.numerics == Numerics::Strict;
    if fixed || few || operations(program) > MOST_PRICED {
        return Ok(inlined);
    }
    let kept = keep_calls(program, tables, Calls::Auto).and_then(|kept| compile_transformed(&kept, options));
    // What can't be kept (calls that nest too deep) is inlined all the same.
    let Ok(kept) = kept else { return Ok(inlined) };
    let ns = |c: &Compilation| c.predicted_us.iter().sum::<f64>();
    Ok(if ns(&kept) < calls::WORTHWHILE * ns(&inlined) { kept } else { inlined })
}

/// Compiles a function of primitives: simplify, fuse, extract, schedule.
///
/// # Errors
/// If no enabled rule makes a kernel of some primitive.
pub fn compile_plain(transformed: Function, options: &Options) -> Result<Compilation> {
    let mut program = Program::new();
    program.add(transformed);
    compile_transformed(&program, options)
}

/// Compiles a program that [`transform`] gave: widen, load, simplify, fuse, extract, schedule.
///
/// # Errors
/// If no enabled rule makes a kernel of some primitive, or a primitive has no batching rule.
pub fn compile_transformed(program: &Program, options: &Options) -> Result<Compilation> {
    let program = &*widen::widened_program(program)?;
    let tables = rules::Tables::standard();
    let none = rules::Tables::default();
    let allow = |r: &rules::Rule| r.float.allowed(options.numerics) && !options.disabled.iter().any(|d| d == r.name);
    let mut functions = Functions::of(program.clone(), tables);
    let mut work = Workspace::new(program.entry().param_avals());
    let calls::Loaded { values, groups, choices } = calls::load(&mut work, program, &mut functions, options.calls())?;
    // Running op by op runs what was written.
    let simplify = match options.fusion {
        Fusion::Search => tables,
        Fusion::Off => &none,
    };
    let mut saturated = saturate::saturated(work, &values, program.entry(), options, simplify)?;
    let mut stages = vec![("simplify", std::mem::take(&mut saturated.report))];
    // The encoding is built in three rounds, each by rules whose patterns the one before makes.
    let rounds: [&[&str]; 3] = [&["fuse/kernel"], &["fuse/compute", "fuse/contract"], &["fuse/load", "fuse/inline"]];
    for round in rounds {
        let of_round = |r: &rules::Rule| allow(r) && round.iter().any(|prefix| r.name.starts_with(prefix));
        stages.push(("fuse", tables.fuse.run(&mut saturated.egraph, 1, &of_round)?));
    }
    saturated.refresh();
    let start = Instant::now();
    let (choices, picked) = calls::choose(&saturated, &functions.program, (&groups, &choices), options)?;
    let plan = calls::plan(&choices, options)?;
    let extraction_us = start.elapsed().as_secs_f64() * 1e6;
    let (schedule, predicted_us, kernels) = schedule::schedule(&plan, options.numerics)?;
    let (extracted, nodes) = schedule::extracted(&plan, &program.entry().name)?;
    let places = if options.watch { schedule::places(&plan, &nodes, &kernels) } else { Vec::new() };
    let egraph = &saturated.egraph;
    let size = EgraphSize { nodes: egraph.total_number_of_nodes(), classes: egraph.number_of_classes() };
    Ok(Compilation {
        transformed: program.entry().clone(),
        functions: functions.program,
        extracted,
        schedule,
        predicted_us,
        stages,
        extraction_us,
        places,
        picked,
        egraph: saturated,
        size,
    })
}
