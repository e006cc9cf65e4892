//! `explore … why NODE`: the rules from what was written to what was chosen.

use super::{json, tables};
use crate::cli::source::Source;
use crate::cli::{Failure, Outcome};
use egrad_ir::{Function, NodeId, Span};
use egrad_rewrite::explain::{Chain, Explanation, Named, Origin, Reason, RuleStep, Step, Subject, Whence, Why};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::{self as rewrite, Compilation, Place};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{Result, Write};

/// Which nodes are asked about.
pub(super) enum Asked {
    One(Subject),
    /// Every result, every transformed node that one depends on, and every extracted node.
    All,
}

/// Reads `%12`, `result 0`, `extracted %3`, `all`.
pub(super) fn asked(words: &[String]) -> std::result::Result<Asked, Failure> {
    let text = words.join(" ");
    let usage = || {
        let m = "it must be `%12` (a node of the transformed function), `extracted %12`, `result 0` or `all`";
        Failure::Usage(format!("why {text}: {m}"))
    };
    let words: Vec<&str> = text.split([' ', ':']).filter(|w| !w.is_empty()).collect();
    let node = |word: &str| word.strip_prefix('%').unwrap_or(word).parse().map(NodeId).map_err(|_| usage());
    Ok(match words[..] {
        ["all"] => Asked::All,
        ["result", i] => Asked::One(Subject::Result(i.parse().map_err(|_| usage())?)),
        ["extracted", n] => Asked::One(Subject::Extracted(node(n)?)),
        ["transformed", n] | [n] => Asked::One(Subject::Transformed(node(n)?)),
        _ => return Err(usage()),
    })
}

/// Runs the command.
pub(super) fn why(options: &super::Options, words: &[String], source: &Source, out: &mut impl Write) -> Outcome {
    let asked = asked(words)?;
    let own = tables(options)?;
    let tables = own.as_ref().unwrap_or_else(|| Tables::standard());
    let settings = rewrite::Options { watch: true, ..super::settings(options) };
    let (program, picked) = super::chosen(source, tables, &settings)?;
    let plain = rewrite::expand_with(&program, tables).map_err(|e| source.blame(e))?;
    let compilation = rewrite::compile_plain(plain, &settings).map_err(|e| source.blame(e))?;
    let standard = Tables::standard();
    let mut all = Explanation::new(Some(&program), &compilation, &settings, standard)?;
    let subjects = match asked {
        Asked::One(subject) => vec![subject],
        Asked::All => every(&compilation),
    };
    let said = subjects.into_iter().map(|s| all.why(s).map(|why| (s, why))).collect::<egrad::Result<Vec<_>>>()?;
    if options.json {
        let all: Vec<Value> = said.iter().map(|(subject, why)| value(*subject, why)).collect();
        let mut said = json!({ "why": all });
        if !picked.is_empty() {
            said["picked"] = json::picked(&picked);
        }
        return json::write(out, &said);
    }
    super::text::picked(out, &picked)?;
    if !picked.is_empty() {
        writeln!(out)?;
    }
    for (i, (subject, why)) in said.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        text(out, &compilation, *subject, why)?;
    }
    Ok(())
}

fn every(compilation: &Compilation) -> Vec<Subject> {
    let (transformed, extracted) = (&compilation.transformed, &compilation.extracted);
    let live = transformed.live();
    let results = (0..transformed.results().len()).map(Subject::Result);
    let written = transformed.nodes().map(|(id, _)| id).filter(|id| live[id.index()]).map(Subject::Transformed);
    results.chain(written).chain(extracted.nodes().map(|(id, _)| Subject::Extracted(id))).collect()
}

/// The node that was asked about, in words.
fn name(subject: Subject) -> String {
    match subject {
        Subject::Result(i) => format!("result {i}"),
        Subject::Transformed(node) => format!("{node} of the transformed function"),
        Subject::Extracted(node) => format!("{node} of the extracted function"),
    }
}

/// A node's line in the text of its function.
fn line(f: &Function, node: NodeId) -> String {
    let line =
        node.index().checked_sub(f.params().len()).and_then(|i| f.to_string().lines().nth(i + 1).map(str::to_owned));
    line.map_or_else(|| format!("{node}: {}", f.aval(node)), |l| l.trim().to_owned())
}

fn text(out: &mut impl Write, compilation: &Compilation, subject: Subject, why: &Why) -> Result<()> {
    let (transformed, extracted) = (&compilation.transformed, &compilation.extracted);
    write!(out, "{}", name(subject))?;
    if let Some(part) = why.part {
        writeln!(out, ": {}", line(extracted, part))?;
        writeln!(out, "nothing written; a part of what was chosen for {}", why.written)?;
    } else {
        writeln!(out)?;
    }
    for origin in why.origins.iter().rev() {
        origin_text(out, origin)?;
    }
    writeln!(out, "\ntransformed\n  {}", line(transformed, why.written))?;
    let mut defined = BTreeSet::new();
    for (i, chain) in why.chains.iter().enumerate() {
        chain_text(out, why, i, chain, &mut defined)?;
    }
    match (why.chosen, &why.place) {
        (None, _) => writeln!(out, "\nchosen\n  nothing: no chosen value needs it"),
        (Some(chosen), place) => {
            let unchanged = if why.chains.is_empty() { ", as it was written" } else { "" };
            writeln!(out, "\nchosen{unchanged}\n  {}", line(extracted, chosen))?;
            let shown = why.part.unwrap_or(chosen);
            writeln!(out, "\nkernels\n  {shown} {}", Placed(compilation, place.as_ref()))?;
            definitions(out, why, why.fused.iter().flat_map(|s| &s.leaves).map(|(n, _)| *n), &mut defined)?;
            why.fused.iter().try_for_each(|step| writeln!(out, "  {}", Shown(step)))
        }
    }
}

/// Where a value is computed, in words.
struct Placed<'a>(&'a Compilation, Option<&'a Place>);

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Placed(compilation, place) = self;
        let step = |i: &usize| format!("step {i} ({})", compilation.schedule.steps[*i].kernel.name);
        match place {
            Some(Place::Input) => f.write_str("is an input"),
            Some(Place::Literal) => f.write_str("is a constant, written into the kernels that use it"),
            Some(Place::Kernel(i)) => write!(f, "is computed by {}", step(i)),
            Some(Place::Inline(steps)) => {
                let all: Vec<String> = steps.iter().map(step).collect();
                write!(f, "is computed where it is read, in {}", all.join(", "))
            }
            Some(Place::View(node)) => write!(f, "is {node}'s memory in another shape"),
            None => f.write_str("is in no kernel"),
        }
    }
}

/// A step in a line: its rule, its class, its sides.
struct Shown<'a>(&'a RuleStep);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleStep { rule, float, forward, before, after, leaves: _ } = self.0;
        let backwards = if *forward { "" } else { ", backwards" };
        write!(f, "{rule} [{}]{backwards}\n      {before}\n    = {after}", float.name())
    }
}

fn origin_text(out: &mut impl Write, origin: &Origin) -> Result<()> {
    let Origin { transform, function, name, node, within, whence, terms } = origin;
    let of = |out: &mut dyn Write| {
        writeln!(out, "\n{} of {function} {name}, numbered as in {within} expanded", transform.unwrap_or("call"))
    };
    match whence {
        Whence::Written { text, at } => {
            writeln!(out, "\nwritten in {function} {name}\n  {text}")?;
            if *at != Span::Unknown {
                writeln!(out, "  at {at}")?;
            }
            Ok(())
        }
        Whence::Opened { text, at } => {
            writeln!(out, "\nopened: there is a function with a derivative of its own, or a checkpoint\n  {text}")?;
            if *at != Span::Unknown {
                writeln!(out, "  made of what is written at {at}")?;
            }
            Ok(())
        }
        Whence::Kept => Ok(()),
        Whence::Structure => {
            of(out)?;
            writeln!(out, "  {node}: made by the structural rule (a sum of contributions, or a move of the batch axis)")
        }
        Whence::Rules { steps, part } => {
            of(out)?;
            for term in terms.iter().filter(|t| !t.text.is_empty()) {
                writeln!(out, "    %{} is {}: {}", term.number, term.text, term.aval)?;
            }
            steps.iter().try_for_each(|step| writeln!(out, "  {}", Shown(step)))?;
            if *part {
                writeln!(out, "  of which {node} is a part")?;
            }
            Ok(())
        }
    }
}

/// Says what numbers stand for that haven't been said yet.
fn definitions(
    out: &mut impl Write,
    why: &Why,
    numbers: impl IntoIterator<Item = u32>,
    defined: &mut BTreeSet<u32>,
) -> Result<()> {
    for number in numbers {
        if !defined.insert(number) {
            continue;
        }
        let term = why.terms.binary_search_by_key(&number, |t| t.number).ok().map(|i| &why.terms[i]);
        if let Some(Named { text, aval, .. }) = term.filter(|t| !t.text.is_empty()) {
            writeln!(out, "    %{number} is {text}: {aval}")?;
        }
    }
    Ok(())
}

/// Where a node comes from, in a line.
fn history(node: NodeId, origins: &[Origin]) -> String {
    let mut text = String::new();
    for origin in origins.iter().rev() {
        let Origin { transform, function, name, whence, .. } = origin;
        let transform = transform.unwrap_or("call");
        text += &match whence {
            Whence::Written { text, at: Span::Unknown } => format!("{node} comes from `{text}` in {function} {name}"),
            Whence::Written { text, at } => format!("{node} comes from `{text}` in {function} {name} at {at}"),
            Whence::Opened { text, at: Span::Unknown } => format!("{node} is `{text}`, opened"),
            Whence::Opened { text, at } => format!("{node} is `{text}`, opened, of what is written at {at}"),
            Whence::Kept => String::new(),
            Whence::Structure => format!(", the structure of {transform}"),
            Whence::Rules { steps, .. } => {
                steps.iter().map(|s| format!(", {} [{}]", s.rule, s.float.name())).collect::<String>()
            }
        };
    }
    text
}

fn chain_text(out: &mut impl Write, why: &Why, i: usize, chain: &Chain, defined: &mut BTreeSet<u32>) -> Result<()> {
    let term = |n: u32| why.terms.binary_search_by_key(&n, |t| t.number).map_or("", |i| why.terms[i].text.as_str());
    let others = |differ: &[(usize, usize)]| {
        differ.iter().map(|(k, j)| format!("argument {k} by ({})", j + 1)).collect::<Vec<_>>().join(", ")
    };
    // What only follows from its operands is said in a line.
    if let [Step { from, to, reason: Reason::Operands(differ) }] = &chain.steps[..] {
        defined.insert(*to);
        return writeln!(out, "\nsimplified ({}): %{from} = %{to} = {}, {}", i + 1, term(*to), others(differ));
    }
    writeln!(out, "\nsimplified ({}): %{} = %{}", i + 1, chain.from, chain.to)?;
    if let Ok(at) = why.inner.binary_search_by_key(&chain.from, |(node, _)| node.0) {
        let (node, origins) = &why.inner[at];
        writeln!(out, "    {}", history(*node, origins))?;
    }
    let leaves = chain.steps.iter().filter_map(|s| match &s.reason {
        Reason::Rule(step) => Some(step.leaves.iter().map(|(n, _)| *n)),
        Reason::Operands(_) | Reason::Constant(_) => None,
    });
    let ends = chain.steps.iter().flat_map(|s| [s.from, s.to]);
    definitions(out, why, ends.chain(leaves.flatten()).collect::<Vec<_>>(), defined)?;
    for step in &chain.steps {
        match &step.reason {
            Reason::Rule(rule) => writeln!(out, "  {}", Shown(rule))?,
            Reason::Operands(differ) => {
                writeln!(out, "  {}\n      %{}\n    = %{}", others(differ), step.from, step.to)?;
            }
            Reason::Constant(literal) => {
                writeln!(out, "  every element is {literal}\n      %{}\n    = %{}", step.from, step.to)?;
            }
        }
    }
    Ok(())
}

fn step(s: &RuleStep) -> Value {
    let leaves: Vec<Value> = s.leaves.iter().map(|(n, aval)| json!({"number": n, "type": aval.to_string()})).collect();
    json!({
        "rule": s.rule,
        "class": s.float.name(),
        "forward": s.forward,
        "before": s.before,
        "after": s.after,
        "leaves": leaves,
    })
}

fn terms(all: &[Named]) -> Vec<Value> {
    all.iter().map(|t| json!({"number": t.number, "term": t.text, "type": t.aval.to_string()})).collect()
}

fn value(subject: Subject, why: &Why) -> Value {
    let origin = |o: &Origin| {
        let (steps, part, text, at) = match &o.whence {
            Whence::Written { text, at } | Whence::Opened { text, at } => {
                (Vec::new(), false, Some(text), Some(*at).filter(|at| *at != Span::Unknown))
            }
            Whence::Rules { steps, part } => (steps.iter().map(step).collect(), *part, None, None),
            Whence::Kept | Whence::Structure => (Vec::new(), false, None, None),
        };
        json!({
            "transform": o.transform,
            "function": o.function.to_string(),
            "name": o.name,
            "node": o.node.to_string(),
            "within": o.within.to_string(),
            "text": text,
            "at": at.map(|at| at.to_string()),
            "structure": o.whence == Whence::Structure,
            "opened": matches!(o.whence, Whence::Opened { .. }),
            "part": part,
            "steps": steps,
            "terms": terms(&o.terms),
        })
    };
    let origins = |all: &[Origin]| all.iter().rev().map(origin).collect::<Vec<_>>();
    let inner = why.inner.iter().map(|(node, all)| json!({"node": node.to_string(), "origins": origins(all)}));
    let chains = why.chains.iter().map(|c| {
        let steps = c.steps.iter().map(|s| match &s.reason {
            Reason::Rule(rule) => json!({"from": s.from, "to": s.to, "rule": step(rule)}),
            Reason::Operands(differ) => {
                let all = differ.iter().map(|(k, j)| json!({"argument": k, "chain": j}));
                json!({"from": s.from, "to": s.to, "operands": all.collect::<Vec<_>>()})
            }
            Reason::Constant(literal) => json!({"from": s.from, "to": s.to, "constant": literal.to_string()}),
        });
        json!({"from": c.from, "to": c.to, "steps": steps.collect::<Vec<_>>()})
    });
    let place = why.place.as_ref().map(|place| match place {
        Place::Input => json!("input"),
        Place::Literal => json!("constant"),
        Place::Kernel(step) => json!({"kernel": step}),
        Place::Inline(steps) => json!({"inline": steps}),
        Place::View(node) => json!({"view": node.to_string()}),
    });
    json!({
        "asked": name(subject),
        "transformed": why.written.to_string(),
        "extracted": why.chosen.map(|c| c.to_string()),
        "part": why.part.map(|c| c.to_string()),
        "origins": origins(&why.origins),
        "inner": inner.collect::<Vec<_>>(),
        "chains": chains.collect::<Vec<_>>(),
        "fused": why.fused.iter().map(step).collect::<Vec<_>>(),
        "place": place,
        "terms": terms(&why.terms),
    })
}
