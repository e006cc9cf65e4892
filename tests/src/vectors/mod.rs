//! The reference vectors of `tests/vectors`: values, gradients, tangents and batched results that
//! JAX computes, for the programs that the frontend can express.
//!
//! * `schema`: the files;
//! * `ops`: their operations as the frontend's methods, one line each;
//! * `program`: a case's program as a Rust function of tensors;
//! * `compare`: whether the results are what was recorded;
//! * this file: running cases and files.

mod compare;
mod ops;
mod program;
mod schema;

use compare::{Tolerance, compare};
use egrad::{Array, Calls, Device, Dtype, Literal, Numerics, Options, jit};
use program::{Callable, Unbuilt};
use schema::{Case, File, Vjp};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// How cases are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub device: Device,
    /// How wide floats are: f32 or f64.
    pub width: Dtype,
    /// [`Numerics::Strict`], and the signs of zeros count.
    pub strict: bool,
    /// What becomes of calls. If they are kept, every function of a case is called as a jitted one.
    pub calls: Calls,
    /// Only cases whose name, or family and name (`unary/exp_1`), match: `*` stands for anything.
    pub only: Option<String>,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything recorded came out.
    Passed,
    /// Something came out wrong: for each such part (`forward`, `vjp`, `jvp`, `vmap[i]`,
    /// `vmap[i] vjp`) the first element that is.
    Failed(Vec<String>),
    /// The frontend lacks these operations or transforms.
    Unsupported(Vec<String>),
}

/// A file's cases and their verdicts.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// By name, in the file's order.
    pub cases: Vec<(String, Verdict)>,
}

impl Report {
    /// How many cases passed, failed, and aren't supported.
    pub fn counts(&self) -> [usize; 3] {
        let count = |f: fn(&Verdict) -> bool| self.cases.iter().filter(|(_, v)| f(v)).count();
        [
            count(|v| matches!(v, Verdict::Passed)),
            count(|v| matches!(v, Verdict::Failed(_))),
            count(|v| matches!(v, Verdict::Unsupported(_))),
        ]
    }
}

/// Zeros whose sign differs from the one recorded, which counts in strict runs alone: the reason,
/// and each part that is concerned, by family, case and part. Everything else about them is compared,
/// and a part that is listed here and has all its signs right fails, so that the list stays true.
const OTHER_SIGNS: &[(&str, &[(&str, &str)])] = &[
    (
        "A minimum is the negated maximum of the negated operand. So is its derivative: what isn't the minimum gets -0.",
        &[
            ("edge_kinks/reduce_min_ties", "vjp"),
            ("edge_kinks/reduce_min_ties", "vmap[0] vjp"),
            ("edge_nonfinite/reduce_min_nan", "vjp"),
            ("reductions/reduce_min_3x4_0", "vjp"),
            ("reductions/reduce_min_3x4_0", "vmap[0] vjp"),
            ("reductions/reduce_min_3x4_all", "vjp"),
            ("reductions/reduce_min_3x4_all", "vmap[0] vjp"),
            ("reductions/reduce_min_2x3x4_02_keep", "vjp"),
            ("reductions/reduce_min_2x3x4_02_keep", "vmap[0] vjp"),
            ("reductions/reduce_min_2x3x4_2", "vjp"),
            ("reductions/reduce_min_2x3x4_2", "vmap[0] vjp"),
        ],
    ),
    (
        "These are composed of two terms or branches, each with its derivative: where the whole derivative is 0 times \
         a negative number, theirs are 0 and -0, or c/2 and -c/2, of which the sum is 0.",
        &[
            ("edge_nonfinite/cbrt", "vjp"),
            ("edge_nonfinite/cbrt", "jvp"),
            ("edge_nonfinite/cosh", "vjp"),
            ("edge_nonfinite/cosh", "jvp"),
            ("edge_nonfinite/asinh", "jvp"),
            ("edge_nonfinite/acosh", "vjp"),
            ("edge_nonfinite/acosh", "jvp"),
            ("edge_nonfinite/atanh", "vjp"),
            ("edge_nonfinite/logaddexp", "vjp"),
            ("random_programs/program13", "vmap[0] vjp"),
        ],
    ),
    (
        "JAX differentiates a product as a tree, padded to a power of two: it sums where c times the product of the \
         other factors is all there is here, and multiplies where here the tangents of the factors are summed.",
        &[("edge_kinks/reduce_prod_zeros", "vjp"), ("edge_kinks/reduce_prod_zeros", "jvp")],
    ),
    (
        "The cotangent is -0, and JAX adds two terms of which one is 0, where there is one term here.",
        &[("unary/sinc_0d", "vmap[0] vjp")],
    ),
    (
        "The cotangent of what was broadcast is a sum, and a sum of one -0 is 0 as that of several is.",
        &[("edge_sizes/max_ones", "vjp")],
    ),
    (
        "The second derivative of x^2 is 2 x^0, whose derivative is a 0 here; JAX takes x for x^1, and has none.",
        &[("programs_seed/per_example_hessian_w", "vjp")],
    ),
    (
        "What was read at an index gets its cotangent added to 0, which makes -0 into 0; JAX writes it.",
        &[("edge_indices/dynamic_slice_clamped.1", "vmap[0] vjp"), ("indexing/take_axis0.2", "vjp")],
    ),
    (
        "XLA drops the addition of a 0 that it knows, here from a branch that is never taken; 0 + -0 is 0.",
        &[("random_programs/program56", "vmap[0] vjp")],
    ),
];

/// What a strict run lets pass although the sign of a zero isn't the one recorded: per reason, the
/// parts concerned, by `family/case` and part.
pub fn other_signs() -> &'static [(&'static str, &'static [(&'static str, &'static str)])] {
    OTHER_SIGNS
}

/// Runs the cases of these files, on several threads; `each` gets the reports in the files' order.
///
/// # Errors
/// If a file can't be read, or isn't what `tests/vectors/README.md` says.
pub fn run_files(files: &[PathBuf], settings: &Settings, mut each: impl FnMut(Report)) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(files.len().max(1));
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                while let Some(file) = { files.get(next.fetch_add(1, Ordering::Relaxed)) } {
                    // Nobody listens after an error.
                    let _ = send.send((file, run_file(file, settings)));
                }
            });
        }
        drop(send);
        let mut done = BTreeMap::new();
        let mut waiting = files.iter().peekable();
        for (file, report) in receive {
            done.insert(file, report?);
            while let Some(report) = waiting.peek().and_then(|file| done.remove(*file)) {
                waiting.next();
                each(report);
            }
        }
        Ok(())
    })
}

/// The JSON files among these paths and in the directories among them, in order.
///
/// # Errors
/// If a path can't be read.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        inside.retain(|p| p.extension().is_some_and(|e| e == "json"));
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn run_file(path: &Path, settings: &Settings) -> Result<Report, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    let file: File = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    if file.schema != "egrad-vectors/1" {
        return Err(wrong(&format!("schema {:?} is not known", file.schema)));
    }
    let wanted = |case: &&Case| match &settings.only {
        None => true,
        Some(glob) => matches(glob, &case.name) || matches(glob, &format!("{}/{}", file.family, case.name)),
    };
    let mut cases = Vec::new();
    for case in file.cases.iter().filter(wanted) {
        cases.push((case.name.clone(), run_case(&file.family, case, settings)));
    }
    Ok(Report { path: path.to_owned(), cases })
}

fn run_case(family: &str, case: &Case, settings: &Settings) -> Verdict {
    if settings.width == Dtype::F32 && case.tags.iter().any(|t| t == "f64_only") {
        return Verdict::Unsupported(vec!["f64_only".to_owned()]);
    }
    let called = matches!(settings.calls, Calls::PushIn | Calls::Dispatch);
    match program::entry(case, settings.width, called) {
        Err(Unbuilt::Missing(what)) => Verdict::Unsupported(what),
        Err(Unbuilt::Malformed(what)) => Verdict::Failed(vec![what]),
        Ok(entry) => match (Run { family, case, settings, entry }).all() {
            Ok(()) => Verdict::Passed,
            Err(what) => Verdict::Failed(what),
        },
    }
}

/// A case being run.
struct Run<'a> {
    family: &'a str,
    case: &'a Case,
    settings: &'a Settings,
    entry: Callable,
}

impl Run<'_> {
    /// Runs every part; one message per part that is wrong.
    fn all(&self) -> Result<(), Vec<String>> {
        let Run { case, entry, .. } = self;
        let error = case.f32_error;
        let outputs_error = error.map(|e| e.outputs);
        let vjp_error = error.and_then(|e| e.vjp);
        let mut wrong = Vec::new();
        let mut part = |name: &str, f32_error, f: &Callable, inputs: &[_], want: &[_]| {
            wrong.extend(self.part(name, f32_error, f, inputs, want).err());
        };
        part("forward", outputs_error, entry, &all(&case.inputs), &all(&case.outputs));
        if let Some(vjp) = &case.vjp {
            part("vjp", vjp_error, &self.pulled(vjp), &with_cotangents(&case.inputs, vjp), &all(&vjp.grads));
        }
        if let Some(jvp) = &case.jvp {
            let pushed = entry.jvp(&jvp.wrt).without_first(entry.results());
            let inputs = case.inputs.iter().chain(&jvp.tangents).map(Some).collect::<Vec<_>>();
            let want = jvp.outputs.iter().map(Option::as_ref).collect::<Vec<_>>();
            part("jvp", error.and_then(|e| e.jvp), &pushed, &inputs, &want);
        }
        for (i, vmap) in case.vmap.iter().enumerate() {
            let name = format!("vmap[{i}]");
            let mapped = entry.mapped(vmap.in_axes.clone());
            part(&name, outputs_error, &mapped, &all(&vmap.inputs), &all(&vmap.outputs));
            if let Some(vjp) = &vmap.vjp {
                // A null cotangent is that of an integer or bool: its place is filled, and not mapped.
                let cotangents = vjp.cotangents.iter().map(|c| c.as_ref().map(|_| 0));
                let mapped = self.pulled(vjp).mapped(vmap.in_axes.iter().copied().chain(cotangents).collect());
                let inputs = with_cotangents(&vmap.inputs, vjp);
                part(&format!("vmap[{i}] vjp"), vjp_error, &mapped, &inputs, &all(&vjp.grads));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// (inputs.., cotangents..) → gradients..
    fn pulled(&self, vjp: &Vjp) -> Callable {
        self.entry.vjp(&vjp.wrt).without_first(self.entry.results())
    }

    /// Runs a function and compares its results.
    fn part(
        &self,
        name: &str,
        f32_error: Option<f64>,
        f: &Callable,
        inputs: &[Option<&schema::Tensor>],
        want: &[Option<&schema::Tensor>],
    ) -> Result<(), String> {
        let Settings { device, width, strict, calls, .. } = *self.settings;
        let id = (format!("{}/{}", self.family, self.case.name), name);
        let looser = LOOSER.iter().find(|(case, ..)| *case == id.0).map(|(_, relative, _)| *relative);
        let relative = match width {
            Dtype::F64 => looser.unwrap_or(1e-11),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                (8.0 * f32_error.unwrap_or(0.0)).max(1e-5)
            }
        };
        // What stands for the cotangents of integers and bools is not used.
        let array = |x: &Option<&schema::Tensor>| match x {
            Some(x) => x.array(width),
            None => Array::full([], Literal::new(Dtype::I32, 0.0)),
        };
        let arrays = inputs.iter().map(array).collect::<egrad::Result<Vec<_>>>().map_err(|e| e.to_string())?;
        let numerics = if strict { Numerics::Strict } else { Numerics::Fast };
        let compiled = jit(f.function()).options(Options { device, numerics, calls, ..Options::default() });
        let got = catch_unwind(AssertUnwindSafe(|| compiled(&arrays)));
        let got = match got {
            Ok(Ok(got)) => got,
            Ok(Err(e)) => return Err(format!("{name}: {e}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                return Err(format!("{name}: panic: {text}"));
            }
        };
        let compare = |signed_zeros| compare(&got, want, width, Tolerance { relative, signed_zeros });
        let listed =
            OTHER_SIGNS.iter().flat_map(|(_, parts)| *parts).any(|(case, part)| *case == id.0 && *part == id.1);
        if strict && listed && compare(true).is_ok() {
            return Err(format!("{name}: it is listed in `OTHER_SIGNS`, and all its signs are right"));
        }
        compare(strict && !listed).map_err(|e| format!("{name}: {e}"))
    }
}

/// Cases whose f64 results may be farther off than others: how far, and why.
pub const LOOSER: &[(&str, f64, &str)] = &[(
    "random_programs/program23",
    1e-9,
    "its derivatives are 1 - tanh² of a tanh within 1e-6 of 1, which magnify the last bit of the tanh a million times",
)];

fn all(tensors: &[schema::Tensor]) -> Vec<Option<&schema::Tensor>> {
    tensors.iter().map(Some).collect()
}

fn with_cotangents<'a>(inputs: &'a [schema::Tensor], vjp: &'a Vjp) -> Vec<Option<&'a schema::Tensor>> {
    inputs.iter().map(Some).chain(vjp.cotangents.iter().map(Option::as_ref)).collect()
}

/// Whether a text matches a pattern, in which `*` stands for anything.
fn matches(glob: &str, text: &str) -> bool {
    let Some((head, tail)) = glob.split_once('*') else { return glob == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|i| rest.is_char_boundary(*i)).any(|i| matches(tail, &rest[i..]))
}
