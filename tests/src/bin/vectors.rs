//! Runs the reference vectors: see `tests/vectors/README.md`.

use clap::{Parser, ValueEnum};
use egrad::{Calls, Device, Dtype};
use egrad_tests::vectors::{LOOSER, Settings, Verdict, files, other_signs, run_files};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs reference vectors: small programs with what JAX computes for them.
///
/// A case passes if its outputs, gradients (vjp), tangents (jvp) and every batched run (vmap) are
/// what was recorded: integers, bools, NaN and infinities exactly; f64 within 1e-11 of a tensor's
/// largest entry, f32 within eight times the error of JAX's own f32 run, or 1e-5. A case with an
/// operation that egrad doesn't offer counts as unsupported.
#[derive(Parser)]
struct Arguments {
    /// Where the programs run: interpreter, cpu, vulkan or auto.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// How wide the programs' floats are.
    #[arg(long, default_value = "f64")]
    float: Float,
    /// Compile strictly, and compare the signs of zeros.
    #[arg(long)]
    strict: bool,
    /// What becomes of calls: auto, inline, push-in or dispatch. With the last two every function of a
    /// case is called as a jitted one.
    #[arg(long, default_value = "auto")]
    calls: Calls,
    /// Name what each unsupported case lacks, and how many lack each.
    #[arg(long)]
    list_unsupported: bool,
    /// Only cases whose name, or family and name (`unary/exp*`), match; `*` stands for anything.
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Files, and directories of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Float {
    F32,
    F64,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(failed) => ExitCode::from(u8::from(failed > 0)),
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

/// How many cases failed.
fn run(arguments: Arguments) -> Result<usize, String> {
    let Arguments { device, float, strict, calls, list_unsupported, only, paths } = arguments;
    let width = match float {
        Float::F32 => Dtype::F32,
        Float::F64 => Dtype::F64,
    };
    let only_some = only.is_some();
    let mut total = [0; 3];
    let mut lacking: BTreeMap<String, usize> = BTreeMap::new();
    run_files(&files(&paths)?, &Settings { device, width, strict, calls, only }, |report| {
        if only_some && report.cases.is_empty() {
            return;
        }
        let counts = report.counts();
        let name = report.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<26} {:>4} passed {:>4} failed {:>4} unsupported", counts[0], counts[1], counts[2]);
        for (case, verdict) in &report.cases {
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed(what) => what.iter().for_each(|what| println!("    {case}: {what}")),
                Verdict::Unsupported(what) => {
                    for op in what {
                        *lacking.entry(op.clone()).or_default() += 1;
                    }
                    if list_unsupported {
                        println!("    {case} lacks {}", what.join(", "));
                    }
                }
            }
        }
        total = [0, 1, 2].map(|i| total[i] + counts[i]);
    })?;
    if list_unsupported {
        let mut lacking: Vec<(String, usize)> = lacking.into_iter().collect();
        lacking.sort_by_key(|(op, n)| (std::cmp::Reverse(*n), op.clone()));
        let lines: Vec<String> = lacking.iter().map(|(op, n)| format!("{op} {n}")).collect();
        println!("lacking, with the number of cases: {}", lines.join(", "));
    }
    if width == Dtype::F64 {
        println!("cases that may be farther off than 1e-11:");
        for (case, relative, reason) in LOOSER {
            println!("    {case}, up to {relative:e}: {reason}");
        }
    }
    if strict {
        println!("zeros whose sign may differ from the one recorded:");
        for (reason, parts) in other_signs() {
            let parts: Vec<String> = parts.iter().map(|(case, part)| format!("{case} {part}")).collect();
            println!("    {}: {reason}", parts.join(", "));
        }
    }
    println!("total: {} passed, {} failed, {} unsupported", total[0], total[1], total[2]);
    Ok(total[1])
}
