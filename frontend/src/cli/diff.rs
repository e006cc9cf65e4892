//! `egrad diff`: whether two programs compute the same, by which kernels, and how fast.

use super::explore::{count, json};
use super::source::Source;
use super::time::Time;
use super::{Failure, Outcome, calls_parser, device};
use clap::Args;
use egrad::{Array, Calls, Device, Dtype, Result};
use egrad_ir::kernel::Executable;
use egrad_ir::{Aval, Function, NodeId};
use egrad_rewrite::{self as rewrite, Comparison, Compilation, Difference};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// Lines of a kernel shown around those that differ.
const CONTEXT: usize = 3;
/// Each program is run so often, and for no longer than this where that is more than once.
const RUNS: usize = 101;
const LONGEST: Duration = Duration::from_millis(1000);

/// The arguments of `egrad diff`.
#[derive(Args)]
pub(crate) struct Options {
    /// A file with a program's text, or the name of a built-in program.
    a: String,
    /// Another one, of the same parameters and results.
    b: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Don't run the programs.
    #[arg(long)]
    no_measure: bool,
    /// Give every result the bits the reference interpreter computes.
    #[arg(long)]
    strict: bool,
    /// What becomes of calls, for the kernels and times of both programs: `auto`, `inline`,
    /// `push-in` or `dispatch`.
    #[arg(long, default_value = "auto", value_name = "MODE", value_parser = calls_parser())]
    calls: Calls,
    /// The same for the first program alone.
    #[arg(long, value_name = "MODE", value_parser = calls_parser())]
    calls_a: Option<Calls>,
    /// The same for the second program alone.
    #[arg(long, value_name = "MODE", value_parser = calls_parser())]
    calls_b: Option<Calls>,
}

impl Options {
    /// What the optimizer may do with a program.
    fn settings(&self, calls: Option<Calls>) -> rewrite::Options {
        let numerics = if self.strict { egrad::Numerics::Strict } else { egrad::Numerics::Fast };
        rewrite::Options { numerics, calls: calls.unwrap_or(self.calls), ..rewrite::Options::default() }
    }
}

/// One of the two programs.
struct Side {
    name: String,
    calls: Calls,
    /// The program with its calls inlined, whichever way they are made: what it computes.
    plain: Function,
    compilation: Compilation,
    /// The kernels as text, in the order in which they run.
    kernels: Vec<String>,
    measured_us: Option<f64>,
}

impl Side {
    fn new(name: &str, settings: &rewrite::Options) -> std::result::Result<Side, Failure> {
        let source = Source::named(name)?;
        let plain = rewrite::expand(&source.program).map_err(|e| source.blame(e))?;
        let plain = rewrite::widened(&plain)?.into_owned();
        let compilation = rewrite::compile(&source.program, settings).map_err(|e| source.blame(e))?;
        let kernels = compilation.schedule.steps.iter().map(|s| s.kernel.to_string()).collect();
        Ok(Side { name: source.name, calls: settings.calls, plain, compilation, kernels, measured_us: None })
    }

    fn predicted_us(&self) -> f64 {
        self.compilation.predicted_us.iter().sum()
    }

    /// Its name, and how it makes calls if that isn't left to it.
    fn title(&self) -> String {
        match self.calls {
            Calls::Auto => self.name.clone(),
            calls @ (Calls::Inline | Calls::PushIn | Calls::Dispatch) => format!("{} (calls: {calls})", self.name),
        }
    }

    fn kernel(&self, i: usize) -> &str {
        &self.compilation.schedule.steps[i].kernel.name
    }
}

/// What became of a sequence's elements in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// The same element, at these positions.
    Keep(usize, usize),
    /// Only in the first.
    Remove(usize),
    /// Only in the second.
    Add(usize),
}

/// A shortest way from one sequence to the other.
fn edits<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Edit> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (x, y) = (&a[start..], &b[start..]);
    let end = x.iter().rev().zip(y.iter().rev()).take_while(|(x, y)| x == y).count();
    let (x, y) = (&x[..x.len() - end], &y[..y.len() - end]);
    // The most elements that what follows positions i and j has in common.
    let mut common = vec![vec![0u32; y.len() + 1]; x.len() + 1];
    for i in (0..x.len()).rev() {
        for j in (0..y.len()).rev() {
            let without = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if x[i] == y[j] { common[i + 1][j + 1] + 1 } else { without };
        }
    }
    let mut edits: Vec<Edit> = (0..start).map(|i| Edit::Keep(i, i)).collect();
    let (mut i, mut j) = (0, 0);
    while i < x.len() || j < y.len() {
        edits.push(if i < x.len() && j < y.len() && x[i] == y[j] {
            Edit::Keep(start + i, start + j)
        } else if i < x.len() && (j == y.len() || common[i + 1][j] >= common[i][j + 1]) {
            Edit::Remove(start + i)
        } else {
            Edit::Add(start + j)
        });
        match edits.last() {
            Some(Edit::Keep(..)) => (i, j) = (i + 1, j + 1),
            Some(Edit::Remove(_)) => i += 1,
            Some(Edit::Add(_)) | None => j += 1,
        }
    }
    edits.extend((0..end).map(|k| Edit::Keep(a.len() - end + k, b.len() - end + k)));
    edits
}

/// The lines that differ, each after `-` or `+`, between some that don't.
fn unified(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let edits = edits(&a, &b);
    let changed: Vec<bool> = edits.iter().map(|e| !matches!(e, Edit::Keep(..))).collect();
    let near = |i: usize| changed[i.saturating_sub(CONTEXT)..(i + CONTEXT + 1).min(changed.len())].contains(&true);
    let mut text = String::new();
    let mut skipped = false;
    for (i, edit) in edits.iter().enumerate() {
        if !near(i) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            text += "  …\n";
        }
        text += &match edit {
            Edit::Keep(i, _) => format!("  {}\n", a[*i]),
            Edit::Remove(i) => format!("- {}\n", a[*i]),
            Edit::Add(j) => format!("+ {}\n", b[*j]),
        };
    }
    if skipped {
        text += "  …\n";
    }
    text
}

/// Kernels of the two programs that belong together.
struct Pair {
    a: Option<usize>,
    b: Option<usize>,
    /// How their texts differ; none if they are the same.
    difference: Option<String>,
}

/// Pairs the kernels: those that are the same, and between them the others in order.
fn pairs(a: &Side, b: &Side) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let (mut left, mut right): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let flush = |left: &mut Vec<usize>, right: &mut Vec<usize>, pairs: &mut Vec<Pair>| {
        for k in 0..left.len().max(right.len()) {
            let (i, j) = (left.get(k).copied(), right.get(k).copied());
            let text = |side: &Side, i: Option<usize>| i.map_or(String::new(), |i| side.kernels[i].clone());
            pairs.push(Pair { a: i, b: j, difference: Some(unified(&text(a, i), &text(b, j))) });
        }
        left.clear();
        right.clear();
    };
    for edit in edits(&a.kernels, &b.kernels) {
        match edit {
            Edit::Remove(i) => left.push(i),
            Edit::Add(j) => right.push(j),
            Edit::Keep(i, j) => {
                flush(&mut left, &mut right, &mut pairs);
                pairs.push(Pair { a: Some(i), b: Some(j), difference: None });
            }
        }
    }
    flush(&mut left, &mut right, &mut pairs);
    pairs
}

/// Numbers of that type: between -1 and 1, small from 0 for integers. The same every time.
fn input(aval: &Aval, seed: u64) -> Result<Array> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let data: Vec<f64> = (0..aval.shape.size())
        .map(|_| match aval.dtype {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => 2.0 * next() - 1.0,
            Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 => (next() * 10.0).floor(),
            Dtype::Bool => next().round(),
        })
        .collect();
    Array::from_f64(aval.dtype, &data, aval.shape.clone())
}

/// Runs both programs on the CPU in turn; the median of either's times.
fn measure(sides: [&mut Side; 2]) -> Result<()> {
    let [a, b] = sides;
    let avals = a.plain.param_avals();
    let inputs: Vec<Array> = avals.iter().zip(1..).map(|(aval, i)| input(aval, i)).collect::<Result<_>>()?;
    let inputs: Vec<&Array> = inputs.iter().collect();
    let backend = device::backend(Device::Cpu)?;
    let mut programs: Vec<(Box<dyn Executable>, Vec<f64>)> = Vec::new();
    for side in [&*a, &*b] {
        programs.push((backend.compile(side.compilation.schedule.clone())?, Vec::new()));
    }
    let start = Instant::now();
    for round in 0..=RUNS {
        // Whoever runs second finds warmer caches: they take turns.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for i in order {
            let (program, times) = &mut programs[i];
            let before = Instant::now();
            program.run(&inputs)?;
            let us = before.elapsed().as_secs_f64() * 1e6;
            // The first call pays for what later ones find ready.
            if round > 0 {
                times.push(us);
            }
        }
        if round > 0 && start.elapsed() > LONGEST {
            break;
        }
    }
    for (side, (_, mut times)) in [a, b].into_iter().zip(programs) {
        times.sort_by(f64::total_cmp);
        side.measured_us = times.get(times.len() / 2).copied();
    }
    Ok(())
}

/// A node's line in the text of its function.
fn line(f: &Function, node: NodeId) -> String {
    let at = node.index().checked_sub(f.params().len());
    let line = at.and_then(|i| f.to_string().lines().nth(i + 1).map(|l| l.trim().to_owned()));
    line.unwrap_or_else(|| format!("{node}: {}", f.aval(node)))
}

/// Runs the command.
pub(crate) fn diff(options: &Options, out: &mut impl Write) -> Outcome {
    let settings = [options.calls_a, options.calls_b].map(|calls| options.settings(calls));
    let [mut a, mut b] = [Side::new(&options.a, &settings[0])?, Side::new(&options.b, &settings[1])?];
    let comparison = rewrite::compare(&a.plain, &b.plain, &settings[0])?;
    if !options.no_measure {
        measure([&mut a, &mut b])?;
    }
    let pairs = pairs(&a, &b);
    if options.json {
        return json::write(out, &value(&a, &b, &comparison, &pairs));
    }
    writeln!(out, "A is {}, B is {}\n\nresults", a.title(), b.title())?;
    for (i, result) in comparison.results.iter().enumerate() {
        let Some(Difference { path, nodes, operations, shared }) = &result.difference else {
            writeln!(out, "  {i}: {} in the same e-class", result.aval)?;
            continue;
        };
        writeln!(out, "  {i}: {} not known to be the same", result.aval)?;
        let [n, m] = operations;
        writeln!(
            out,
            "     {} of A's {} are in B's, {} of B's {m} in A's",
            shared[0],
            count(*n, "operation"),
            shared[1]
        )?;
        let place = match &path[..] {
            [] => "at the result".to_owned(),
            path => {
                let operands: Vec<String> = path.iter().rev().map(|k| format!("operand {k}")).collect();
                format!("at {} of the result", operands.join(" of "))
            }
        };
        writeln!(out, "     first difference, {place}:")?;
        writeln!(out, "     A  {}", line(&a.plain, nodes[0]))?;
        writeln!(out, "     B  {}", line(&b.plain, nodes[1]))?;
    }
    let same = pairs.iter().filter(|p| p.difference.is_none()).count();
    let [n, m] = [a.kernels.len(), b.kernels.len()];
    writeln!(out, "\nkernels: {n} of A, {m} of B, {same} the same")?;
    for pair in &pairs {
        let of = |side: &Side, name: &str, i: Option<usize>| {
            i.map(|i| format!("{name} step {i}, predicted {}", Time::us(side.compilation.predicted_us[i])))
        };
        let which = [of(&a, "A", pair.a), of(&b, "B", pair.b)].into_iter().flatten().collect::<Vec<_>>().join("; ");
        match &pair.difference {
            None => writeln!(out, "  same    {} ({which})", pair.a.map_or("", |i| a.kernel(i)))?,
            Some(text) => {
                writeln!(out, "  differ  {which}")?;
                text.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
            }
        }
    }
    writeln!(out, "\ntimes")?;
    for (name, side) in [("A", &a), ("B", &b)] {
        write!(out, "  {name} predicted {}", Time::us(side.predicted_us()))?;
        match side.measured_us {
            Some(us) => writeln!(out, ", measured {}", Time::us(us))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn value(a: &Side, b: &Side, comparison: &Comparison, pairs: &[Pair]) -> Value {
    let side = |side: &Side| {
        let kernels = side.compilation.schedule.steps.iter().zip(&side.compilation.predicted_us);
        let kernels = kernels.map(|(s, us)| json!({"name": s.kernel.name, "predicted_us": us}));
        json!({
            "program": side.name,
            "calls": side.calls.name(),
            "kernels": kernels.collect::<Vec<_>>(),
            "predicted_us": side.predicted_us(),
            "measured_us": side.measured_us,
        })
    };
    let results = comparison.results.iter().map(|r| {
        let difference = r.difference.as_ref().map(|d| {
            let [x, y] = d.nodes;
            json!({
                "path": d.path,
                "a": line(&a.plain, x),
                "b": line(&b.plain, y),
                "operations": d.operations,
                "shared": d.shared,
            })
        });
        json!({"type": r.aval.to_string(), "same": difference.is_none(), "difference": difference})
    });
    let pairs = pairs.iter().map(|p| json!({"a": p.a, "b": p.b, "same": p.difference.is_none(), "diff": p.difference}));
    json!({
        "a": side(a),
        "b": side(b),
        "results": results.collect::<Vec<_>>(),
        "kernels": pairs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Edit, edits, unified};

    #[test]
    fn edits_lead_from_one_to_the_other() {
        let words = ["", "a", "ab", "abc", "acb", "xaybzc", "abcabc", "cabbac", "aaaa"];
        for a in words {
            for b in words {
                let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
                let (mut i, mut j, mut kept) = (0, 0, 0);
                for edit in edits(&x, &y) {
                    match edit {
                        Edit::Keep(k, l) => {
                            assert_eq!((k, l, x[k]), (i, j, y[l]), "{a} {b}");
                            (i, j, kept) = (i + 1, j + 1, kept + 1);
                        }
                        Edit::Remove(k) => {
                            assert_eq!(k, i, "{a} {b}");
                            i += 1;
                        }
                        Edit::Add(l) => {
                            assert_eq!(l, j, "{a} {b}");
                            j += 1;
                        }
                    }
                }
                assert_eq!((i, j), (x.len(), y.len()), "{a} {b}");
                assert!(a != b || kept == a.len(), "{a}");
            }
        }
        let kept = |a: &str, b: &str| {
            let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            edits(&x, &y).iter().filter(|e| matches!(e, Edit::Keep(..))).count()
        };
        assert_eq!((kept("abcabc", "cabbac"), kept("xaybzc", "abc"), kept("ab", "cd")), (4, 3, 0));
    }

    #[test]
    fn differences_are_shown_between_what_is_the_same() {
        let a = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        assert_eq!(unified(a, a), "  …\n");
        let b = a.replace('5', "five");
        assert_eq!(unified(a, &b), "  …\n  2\n  3\n  4\n- 5\n+ five\n  6\n  7\n  8\n  …\n");
        assert_eq!(unified("", "x"), "+ x\n");
    }
}
