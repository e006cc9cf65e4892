//! `explore --timeline`: what every rule did, when, and how long it took.

use super::{json, tables};
use crate::cli::Outcome;
use crate::cli::source::Source;
use crate::cli::time::Time;
use egrad_rewrite::rules::{Fired, Iteration, Report, Tables};
use egrad_rewrite::{self as rewrite};
use serde_json::{Value, json};
use std::io::Write;

/// One run of a table.
struct Run<'a> {
    stage: &'static str,
    /// The function that was transformed; none for what comes after the transforms.
    of: Option<String>,
    report: &'a Report,
}

/// The table that carries out a transform.
fn table(transform: &'static str) -> &'static str {
    match transform {
        "vjp" => "pull",
        "jvp" => "push",
        "vmap" => "batch",
        other => other,
    }
}

/// What lines did, those that are a rule for several primitives summed up.
fn by_line(iteration: &Iteration) -> Vec<Fired> {
    let mut lines: Vec<Fired> = Vec::new();
    for fired in &iteration.rules {
        match lines.iter_mut().find(|l| l.rule == fired.rule) {
            Some(line) => {
                line.matches += fired.matches;
                line.applied += fired.applied;
                line.micros += fired.micros;
            }
            None => lines.push(fired.clone()),
        }
    }
    lines
}

/// Prints the timeline of a program's compilation.
pub(super) fn timeline(options: &super::Options, source: &Source, out: &mut impl Write) -> Outcome {
    let own = tables(options)?;
    let tables = own.as_ref().unwrap_or_else(|| Tables::standard());
    let settings = rewrite::Options { watch: true, ..super::settings(options) };
    let (program, picked) = super::chosen(source, tables, &settings)?;
    let (plain, expanded) = rewrite::expand_timed(&program, tables).map_err(|e| source.blame(e))?;
    let compilation = rewrite::compile_plain(plain, &settings).map_err(|e| source.blame(e))?;
    let transforms = expanded.iter().map(|e| Run {
        stage: table(e.transform),
        of: Some(format!("{} of {} {}", e.transform, e.function, e.name)),
        report: &e.report,
    });
    let stages = compilation.stages.iter().map(|(stage, report)| Run { stage, of: None, report });
    let runs: Vec<Run<'_>> = transforms.chain(stages).collect();
    if options.json {
        return json::write(out, &value(&runs, compilation.extraction_us));
    }
    super::text::picked(out, &picked)?;
    writeln!(out, "{:<36} {:<14} {:>8} {:>8} {:>9}", "rule", "class", "matched", "new", "time")?;
    let (mut last, mut number) = ("", 0);
    for run in &runs {
        // The rounds of fusion are runs of one stage.
        number = if run.stage == last && run.of.is_none() { number } else { 0 };
        last = run.stage;
        for iteration in &run.report.iterations {
            number += 1;
            let of = run.of.as_ref().map_or(String::new(), |of| format!(", {of}"));
            let Iteration { nodes, classes, micros, .. } = iteration;
            let time = Time::us(*micros);
            writeln!(out, "\n{} {number}{of}: {nodes} e-nodes in {classes} classes after {time}", run.stage)?;
            for Fired { rule, float, matches, applied, micros } in by_line(iteration) {
                let time = Time::us(micros).to_string();
                writeln!(out, "  {rule:<34} {:<14} {matches:>8} {applied:>8} {time:>9}", float.name())?;
            }
        }
    }
    writeln!(out, "\nextraction: {}", Time::us(compilation.extraction_us))?;
    Ok(())
}

fn value(runs: &[Run<'_>], extraction_us: f64) -> Value {
    let runs = runs.iter().map(|run| {
        let iterations = run.report.iterations.iter().map(|iteration| {
            let rules = by_line(iteration).into_iter().map(|f| {
                json!({
                    "rule": f.rule,
                    "class": f.float.name(),
                    "matches": f.matches,
                    "applied": f.applied,
                    "us": f.micros,
                })
            });
            json!({
                "nodes": iteration.nodes,
                "classes": iteration.classes,
                "us": iteration.micros,
                "rules": rules.collect::<Vec<_>>(),
            })
        });
        json!({
            "stage": run.stage,
            "of": run.of,
            "saturated": run.report.saturated,
            "iterations": iterations.collect::<Vec<_>>(),
        })
    });
    json!({"stages": runs.collect::<Vec<_>>(), "extraction_us": extraction_us})
}
