//! Rewriting: the pipeline from a traced program to a schedule of kernels.

pub mod analysis;
mod choices;
mod clock;
mod compare;
pub mod cost;
pub mod explain;
mod extract;
#[cfg(test)]
mod extract_tests;
mod lower;
pub mod rules;
pub mod saturate;
mod schedule;
pub mod term;
mod transform;

pub use compare::{Compared, Comparison, Difference, compare};
pub use saturate::{Saturated, saturate};
pub use transform::{Expanded, egraph_of, expand_timed, expand_with};

use egrad_ir::schedule::Schedule;
use egrad_ir::{Function, Numerics, Program, Result};
use std::time::Instant;

/// What the optimizer may do and for which machine.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which float classes of rules may fire.
    pub numerics: Numerics,
    /// Whether kernels may hold more than one primitive.
    pub fusion: Fusion,
    /// The machine kernels are priced for.
    pub machine: cost::Machine,
    /// Names of rules that must not fire (`fuse/inline`, `simplify/add-zero`, …).
    pub disabled: Vec<String>,
    /// Whether to note what only people want to know: how long the search for each rule took, and
    /// where each value is computed.
    pub watch: bool,
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
    /// What each rule did, stage by stage.
    pub stages: Vec<(&'static str, rules::Report)>,
    /// How many microseconds the search for the cheapest kernels took.
    pub extraction_us: f64,
    /// Per node of the extracted function where it is computed, if that was asked for
    /// ([`Options::watch`]).
    pub places: Vec<Place>,
    /// The e-graph extraction chose from.
    pub egraph: Saturated,
    /// How large it is.
    pub size: EgraphSize,
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

/// Compiles the program's entry function.
///
/// # Errors
/// As [`expand`], or if a result would be too large for memory.
pub fn compile(program: &Program, options: &Options) -> Result<Compilation> {
    compile_plain(expand(program)?, options)
}

/// Compiles a function of primitives: simplify, fuse, extract, schedule.
///
/// # Errors
/// If no enabled rule makes a kernel of some primitive.
pub fn compile_plain(transformed: Function, options: &Options) -> Result<Compilation> {
    let tables = rules::Tables::standard();
    let allow = |r: &rules::Rule| r.float.allowed(options.numerics) && !options.disabled.iter().any(|d| d == r.name);
    // Running op by op runs what was written.
    let mut saturated = match options.fusion {
        Fusion::Search => saturate(&transformed, options)?,
        Fusion::Off => saturate::saturate_with(&transformed, options, &rules::Tables::default())?,
    };
    let mut stages = vec![("simplify", std::mem::take(&mut saturated.report))];
    // The encoding is built in three rounds, each by rules whose patterns the one before makes.
    let rounds: [&[&str]; 3] = [&["fuse/kernel"], &["fuse/compute", "fuse/contract"], &["fuse/load", "fuse/inline"]];
    for round in rounds {
        let of_round = |r: &rules::Rule| allow(r) && round.iter().any(|prefix| r.name.starts_with(prefix));
        stages.push(("fuse", tables.fuse.run(&mut saturated.egraph, 1, &of_round)?));
    }
    saturated.refresh();
    let egraph = &saturated.egraph;
    let choices = choices::Choices::of_egraph(egraph, &saturated.results, &|id| saturated.span(id))?;
    let strict = options.numerics == Numerics::Strict;
    let start = Instant::now();
    let plan = extract::extract(&choices, &options.machine, strict, options.fusion);
    let extraction_us = start.elapsed().as_secs_f64() * 1e6;
    let (schedule, predicted_us, kernels) = schedule::schedule(&plan, options.numerics)?;
    let (extracted, nodes) = schedule::extracted(&plan, &transformed.name)?;
    let places = if options.watch { schedule::places(&plan, &nodes, &kernels) } else { Vec::new() };
    let size = EgraphSize { nodes: egraph.total_number_of_nodes(), classes: egraph.number_of_classes() };
    let egraph = saturated;
    Ok(Compilation { transformed, extracted, schedule, predicted_us, stages, extraction_us, places, egraph, size })
}
