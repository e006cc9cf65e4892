//! `explore --rules`: the tables with their mathematics.

use super::json;
use crate::cli::Outcome;
use egrad_rewrite::rules::{Line, Right, STAGES, Tables, about};
use serde_json::{Value, json};
use std::io::Write;

/// What stands for every set.
pub(super) const ALL: &str = "all";

/// The names that `--rules` takes.
pub(super) fn sets() -> Vec<&'static str> {
    STAGES.into_iter().chain([ALL]).collect()
}

fn right(line: &Line) -> String {
    match &line.right {
        Right::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Right::Absent => "absent".to_owned(),
    }
}

/// Prints the lines of a set.
pub(super) fn rules(set: &str, as_json: bool, out: &mut impl Write) -> Outcome {
    let stages = STAGES.into_iter().filter(|s| set == ALL || *s == set);
    let lines = |stage: &'static str| {
        let of = move |l: &&Line| l.name.split('/').next() == Some(stage);
        Tables::standard().lines().iter().filter(of)
    };
    if as_json {
        let sets = stages.map(|stage| {
            // Lines without mathematics of their own are under what stands above them.
            let (mut section, mut mathematics) = (None, Vec::new());
            let all: Vec<Value> = lines(stage)
                .map(|line| {
                    section = line.section().or(section);
                    let own: Vec<&str> = line.mathematics().collect();
                    if !own.is_empty() || line.section().is_some() {
                        mathematics = own;
                    }
                    json!({
                        "name": line.name,
                        "class": line.float.name(),
                        "left": line.left,
                        "right": right(line),
                        "guards": line.guards,
                        "section": section,
                        "mathematics": mathematics.join(" "),
                    })
                })
                .collect();
            json!({"set": stage, "about": about(stage), "rules": all})
        });
        return json::write(out, &json!({ "sets": sets.collect::<Vec<_>>() }));
    }
    for (i, stage) in stages.enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        for (i, text) in about(stage).unwrap_or_default().lines().enumerate() {
            let head = if i == 0 { format!("{stage}: ") } else { String::new() };
            writeln!(out, "{head}{text}")?;
        }
        let width = lines(stage).map(|l| l.name.len()).max().unwrap_or(0);
        for line in lines(stage) {
            if let Some(section) = line.section() {
                writeln!(out, "\n{}", section.to_uppercase())?;
            }
            if line.mathematics().next().is_some() {
                writeln!(out)?;
                line.mathematics().try_for_each(|text| writeln!(out, "  {text}"))?;
            }
            let guards: String = line.guards.iter().map(|g| format!(", if {g}")).collect();
            writeln!(
                out,
                "    {:width$}  {:<14}  {} => {}{guards}",
                line.name,
                line.float.name(),
                line.left,
                right(line)
            )?;
        }
    }
    Ok(())
}
