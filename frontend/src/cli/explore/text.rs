//! Stages as text for people.

use super::kernels::{Typed, buffers, count, ops};
use crate::cli::time::Time;
use egrad_ir::Span;
use egrad_ir::schedule::BufferId;
use egrad_rewrite::rules::FloatClass;
use egrad_rewrite::{Compilation, Picked, Priced};
use std::io::{Result, Write};

/// The e-graph's size, and what every rule did.
pub(super) fn egraph(out: &mut impl Write, compilation: &Compilation) -> Result<()> {
    let size = compilation.size;
    writeln!(out, "{} in {}", count(size.nodes, "e-node"), count(size.classes, "class").replace("classs", "classes"))?;
    let mut last = "";
    let mut number = 0;
    for (stage, report) in &compilation.stages {
        number = if *stage == last { number } else { 0 };
        last = stage;
        for iteration in &report.iterations {
            number += 1;
            writeln!(out, "\n{stage} {number}: {} e-nodes in {} classes", iteration.nodes, iteration.classes)?;
            // A line of the table may be a rule for each of several primitives.
            let mut lines: Vec<(&str, FloatClass, usize, usize)> = Vec::new();
            for fired in &iteration.rules {
                match lines.iter_mut().find(|l| l.0 == fired.rule) {
                    Some(line) => (line.2, line.3) = (line.2 + fired.matches, line.3 + fired.applied),
                    None => lines.push((fired.rule, fired.float, fired.matches, fired.applied)),
                }
            }
            let (new, known): (Vec<_>, Vec<_>) = lines.iter().partition(|l| l.3 > 0);
            for (rule, float, matched, applied) in new {
                writeln!(out, "  {rule:<36} {:<12} {matched:>6} matched {applied:>6} new", float.name())?;
            }
            if !known.is_empty() {
                let names: Vec<&str> = known.iter().map(|l| l.0).collect();
                writeln!(out, "  nothing new by {}", names.join(", "))?;
            }
        }
    }
    Ok(())
}

/// Which functions were taken of those that compute the same, and what the program would take with each.
pub(super) fn picked(out: &mut impl Write, picked: &[Picked]) -> Result<()> {
    for Picked { span, ways, taken } in picked {
        let way = |way: &Priced| match way.us {
            Some(us) => format!("{} {}", way.name, Time::us(us)),
            None => format!("{} not by itself", way.name),
        };
        let all: Vec<String> = ways.iter().map(way).collect();
        let taken = taken.map_or("parts of each", |w| &ways[w].name);
        let at = if *span == Span::Unknown { String::new() } else { format!(", at {span}") };
        writeln!(out, "either{at}: {}; taken: {taken}", all.join(", "))?;
    }
    Ok(())
}

/// The kernels in a line each, then the schedule in full.
pub(super) fn kernels(out: &mut impl Write, compilation: &Compilation) -> Result<()> {
    let schedule = &compilation.schedule;
    let total: f64 = compilation.predicted_us.iter().sum();
    writeln!(out, "{}, predicted {}", count(schedule.steps.len(), "kernel"), Time::us(total))?;
    picked(out, &compilation.picked)?;
    let list = |buffers: &mut dyn Iterator<Item = BufferId>| {
        let all: Vec<String> = buffers.map(|b| Typed(schedule, b).to_string()).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    };
    for (i, (step, us)) in schedule.steps.iter().zip(&compilation.predicted_us).enumerate() {
        let kernel = &step.kernel;
        writeln!(out, "\nstep {i}: {}, predicted {}", kernel.name, Time::us(*us))?;
        writeln!(out, "  reads  {}", list(&mut buffers(step, false)))?;
        writeln!(out, "  writes {}", list(&mut buffers(step, true)))?;
        writeln!(out, "  ops    {}", ops(kernel).join(" "))?;
    }
    write!(out, "\n{schedule}")
}
