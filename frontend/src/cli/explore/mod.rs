//! `egrad explore`: any stage of a program's compilation.

mod dot;
pub(super) mod json;
mod kernels;
mod rules;
mod text;
mod timeline;
mod why;

pub(super) use kernels::{buffers, count, ops};

use super::device;
use super::source::Source;
use super::{Failure, Outcome, Target, programs};
use clap::{Args, ValueEnum};
use egrad::{Calls, Device, Error, Program, Span};
use egrad_ir::{Control, Node, NodeKind};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::{self as rewrite, Compilation, Fusion, Picked};
use std::collections::BTreeSet;
use std::io::Write;

/// A stage of the pipeline, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// What was traced or read: primitives, and transforms of functions.
    Trace,
    /// The entry function with every transform expanded.
    Transformed,
    /// The e-graph: its size, and what every rule did.
    Egraph,
    /// The primitives that were chosen from the e-graph.
    Extracted,
    /// The kernels to run, with predicted times.
    Kernels,
    /// The kernels in Cranelift's language.
    Clif,
    /// The kernels as the processor's instructions.
    Assembly,
    /// The kernels as GLSL.
    Glsl,
    /// The kernels as SPIR-V.
    Spirv,
}

/// The arguments of `egrad explore`.
#[derive(Args)]
pub(crate) struct Options {
    /// A file with a program's text, or the name of a built-in program (see --list).
    #[arg(required_unless_present_any = ["list", "rules"])]
    program: Option<String>,
    /// As --why NODE, said in words: `explore PROGRAM why result 0`.
    #[arg(value_names = ["why", "NODE"], num_args = 2..=3, conflicts_with_all = ["why", "timeline", "dot"])]
    question: Vec<String>,
    /// Which stage to print.
    #[arg(long, value_enum, default_value = "kernels")]
    stage: Stage,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print a graph for Graphviz: `… --dot | dot -Tsvg`.
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Print the rules that made a node what it is, from what was written to what was chosen: `%12`
    /// of the transformed function, `extracted %12`, `result 0`, or `all`.
    #[arg(long, value_name = "NODE", conflicts_with_all = ["dot", "timeline"])]
    why: Option<String>,
    /// Print what each rule did and how long it took, pass by pass.
    #[arg(long, conflicts_with = "dot")]
    timeline: bool,
    /// Print the rules of a set with their mathematics, or of all sets.
    #[arg(
        long,
        value_name = "SET",
        num_args = 0..=1,
        default_missing_value = rules::ALL,
        value_parser = clap::builder::PossibleValuesParser::new(rules::sets()),
        conflicts_with_all = ["dot", "program"]
    )]
    rules: Option<String>,
    /// List the built-in programs.
    #[arg(long)]
    list: bool,
    /// Do without a rewrite rule; may be given several times.
    #[arg(long, value_name = "RULE")]
    disable: Vec<String>,
    /// Reckon with this many nanoseconds for starting a kernel.
    #[arg(long, value_name = "N", value_parser = nanoseconds, allow_negative_numbers = true)]
    launch_ns: Option<f64>,
    /// Give each primitive a kernel of its own.
    #[arg(long)]
    no_fusion: bool,
    #[command(flatten)]
    target: Target,
}

fn nanoseconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ns) if ns.is_finite() && ns >= 0.0 => Ok(ns),
        Ok(_) | Err(_) => Err("it must be a number from 0".to_owned()),
    }
}

/// Runs the command.
pub(crate) fn explore(options: &Options, out: &mut impl Write) -> Outcome {
    if options.list {
        return list(options, out);
    }
    if let Some(set) = &options.rules {
        return rules::rules(set, options.json, out);
    }
    let source = Source::named(options.program.as_deref().unwrap_or_default())?;
    let question = question(options)?;
    if (question.is_some() || options.timeline) && matches!(options.target.calls, Calls::PushIn | Calls::Dispatch) {
        let m = format!(
            "--calls {}: `why` and --timeline are about a program with its calls inlined",
            options.target.calls
        );
        return Err(Failure::Usage(m));
    }
    let settled = rewrite::settled(&source.program, |_, _| 0)?;
    if (question.is_some() || options.timeline) && settled.has_control() {
        let m = "`why` and --timeline are about programs without loops and branches";
        return Err(Failure::Usage(m.to_owned()));
    }
    if let Some(words) = question {
        return why::why(options, &words, &source, out);
    }
    if options.timeline {
        return timeline::timeline(options, &source, out);
    }
    stage(options, &source, out)
}

/// The program with one function in place of each choice between several, the one that extraction takes
/// (the first, if it takes parts of each); and what it took.
fn chosen(
    source: &Source,
    tables: &Tables,
    settings: &rewrite::Options,
) -> std::result::Result<(Program, Vec<Picked>), Failure> {
    if !source.program.has_choices() {
        return Ok((source.program.clone(), Vec::new()));
    }
    let picked = rewrite::compile_with(&source.program, tables, settings).map_err(|e| source.blame(e))?.picked;
    // Of those that are possible the first, where nothing is taken.
    let kept = rewrite::transform(&source.program, tables, Calls::Inline).map_err(|e| source.blame(e))?;
    let choices = kept.functions().flat_map(|(_, f)| f.nodes().map(|(_, node)| node));
    let first = |node: &Node| match &node.kind {
        NodeKind::Control(Control::Either { ways }) => Some((node.span, kept.function(*ways.first()?).name.clone())),
        NodeKind::Control(_) | NodeKind::Apply(..) | NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => None,
    };
    let possible: Vec<(Span, String)> = choices.filter_map(first).collect();
    let program = rewrite::settled(&source.program, |span, names| {
        let of = picked.iter().find(|p| p.span == span);
        let taken = of.and_then(|p| p.taken.map(|w| &p.ways[w].name));
        let first = || possible.iter().find(|(at, _)| *at == span).map(|(_, name)| name);
        taken.or_else(first).and_then(|taken| names.iter().position(|name| name == taken)).unwrap_or(0)
    })?;
    Ok((program, picked))
}

/// What `--why NODE` or `why NODE` asks about.
fn question(options: &Options) -> std::result::Result<Option<Vec<String>>, Failure> {
    match (&options.why, &options.question[..]) {
        (Some(node), _) => Ok(Some(vec![node.clone()])),
        (None, []) => Ok(None),
        (None, [word, node @ ..]) if word == "why" => Ok(Some(node.to_vec())),
        (None, words) => Err(Failure::Usage(format!("explore PROGRAM {}: only `why NODE` goes here", words.join(" ")))),
    }
}

fn list(options: &Options, out: &mut impl Write) -> Outcome {
    if options.json {
        let all: Vec<_> =
            programs::ALL.iter().map(|p| serde_json::json!({"name": p.name, "description": p.what})).collect();
        return json::write(out, &serde_json::json!({ "programs": all }));
    }
    let width = programs::ALL.iter().map(|p| p.name.len()).max().unwrap_or(0);
    for program in programs::ALL {
        writeln!(out, "{:width$}  {}", program.name, program.what)?;
    }
    Ok(())
}

fn stage(options: &Options, source: &Source, out: &mut impl Write) -> Outcome {
    let program = &source.program;
    if options.stage == Stage::Trace {
        return match (options.json, options.dot) {
            (true, _) => json::write(out, &json::program(program)),
            (_, true) => Ok(dot::functions(out, program.functions().map(|(_, f)| f))?),
            _ => Ok(write!(out, "{program}")?),
        };
    }
    let tables = tables(options)?;
    let tables = tables.as_ref().unwrap_or(Tables::standard());
    if options.stage == Stage::Transformed {
        let transformed = rewrite::transform(program, tables, options.target.calls);
        return functions(options, &transformed.map_err(|e| source.blame(e))?, out);
    }
    let compilation = rewrite::compile_with(program, tables, &settings(options)).map_err(|e| source.blame(e))?;
    match options.stage {
        Stage::Trace | Stage::Transformed => Ok(()),
        Stage::Egraph => match (options.json, options.dot) {
            (true, _) => json::write(out, &json::egraph(&compilation)),
            (_, true) => Ok(dot::egraph(out, &compilation)?),
            _ => Ok(text::egraph(out, &compilation)?),
        },
        Stage::Extracted => functions(options, &compilation.program(), out),
        Stage::Kernels => match (options.json, options.dot) {
            (true, _) => json::write(out, &json::kernels(&compilation)),
            (_, true) => Ok(dot::kernels(out, &compilation)?),
            _ => Ok(text::kernels(out, &compilation)?),
        },
        Stage::Clif => listing(options, "clif", Device::Cpu, compilation, out),
        Stage::Assembly => listing(options, "assembly", Device::Cpu, compilation, out),
        Stage::Glsl => listing(options, "glsl", Device::Vulkan, compilation, out),
        Stage::Spirv => listing(options, "spirv", Device::Vulkan, compilation, out),
    }
}

/// The text of a program, so that it can be run and explored again.
fn functions(options: &Options, program: &Program, out: &mut impl Write) -> Outcome {
    let alone = program.functions().len() == 1;
    match (options.json, options.dot) {
        (true, _) if alone => json::write(out, &json::function(program.entry())),
        (true, _) => json::write(out, &json::program(program)),
        (_, true) => Ok(dot::functions(out, program.functions().map(|(_, f)| f))?),
        _ if alone => Ok(write!(out, "egrad 1\n\n{}", program.entry())?),
        _ => Ok(write!(out, "{program}")?),
    }
}

/// The rule tables without the disabled lines, if there are any.
fn tables(options: &Options) -> std::result::Result<Option<Tables>, Failure> {
    let lines = Tables::standard().lines();
    for name in &options.disable {
        if !lines.iter().any(|l| l.name == name) {
            let rules = lines.iter().map(|l| l.name);
            return Err(Failure::Usage(format!("--disable: {}", unknown_rule(name, rules))));
        }
    }
    if options.disable.is_empty() {
        return Ok(None);
    }
    let kept = lines.iter().filter(|l| !options.disable.iter().any(|d| d == l.name));
    Ok(Some(Tables::new(kept.cloned().collect())?))
}

fn unknown_rule<'a>(name: &str, rules: impl Iterator<Item = &'a str> + Clone) -> String {
    let stage = name.split('/').next().unwrap_or_default();
    let of_stage: Vec<&str> = rules.clone().filter(|r| r.split('/').next() == Some(stage)).collect();
    if of_stage.is_empty() {
        let stages: BTreeSet<&str> = rules.filter_map(|r| r.split('/').next()).collect();
        let stages: Vec<&str> = stages.into_iter().collect();
        return format!("there is no rule `{name}`: names are `stage/rule`, the stages are {}", stages.join(", "));
    }
    format!("there is no rule `{name}`; the rules of `{stage}` are {}", of_stage.join(", "))
}

/// What the optimizer may do.
fn settings(options: &Options) -> rewrite::Options {
    let mut machine = rewrite::cost::Machine::default();
    machine.launch_ns = options.launch_ns.unwrap_or(machine.launch_ns);
    let fusion = if options.no_fusion { Fusion::Off } else { Fusion::Search };
    let numerics = options.target.numerics();
    let (calls, disabled) = (options.target.calls, options.disable.clone());
    rewrite::Options { numerics, fusion, machine, disabled, calls, ..rewrite::Options::default() }
}

/// What a backend makes of the kernels.
fn listing(options: &Options, stage: &str, usual: Device, compilation: Compilation, out: &mut impl Write) -> Outcome {
    if options.dot {
        return Err(Failure::Usage(format!("--dot: stage `{stage}` is no graph")));
    }
    let device = match device::named(options.target.device)? {
        Device::Auto => usual,
        device @ (Device::Interpreter | Device::Cpu | Device::Vulkan) => device,
    };
    let none = || Error::device(format!("device `{device}` has no stage `{stage}`; `--device {usual}` has"));
    if device == Device::Interpreter {
        return Err(none().into());
    }
    let executable = device::backend(device)?.compile(compilation.schedule)?;
    let texts = executable.listing(stage).ok_or_else(none)?;
    if options.json {
        let names = executable.schedule().steps.iter().map(|s| &s.kernel.name);
        let kernels: Vec<_> =
            names.zip(&texts).map(|(name, text)| serde_json::json!({"name": name, "text": text})).collect();
        return json::write(out, &serde_json::json!({"stage": stage, "kernels": kernels}));
    }
    for (i, text) in texts.iter().enumerate() {
        write!(out, "{}{}", if i > 0 { "\n" } else { "" }, text.trim_end())?;
        writeln!(out)?;
    }
    Ok(())
}
