//! Runs, checks and times the programs that JAX runs beside egrad (`benches/compare`).
//!
//! Each program runs in a process of its own, so that its first call is the first one of a process
//! and nobody else's memory counts. Steady-state samples are means over as many calls as last
//! about 100 µs; a call ends when the device has computed its results, which are dropped at once.
//! Inputs are on the device before the first call, and results stay there.

use clap::Parser;
use egrad::{Device, Error, Options, Result};
use egrad_benches::program::Program;
use egrad_benches::{machine, programs, sample, values};
use egrad_vulkan::DeviceKind;
use glob::Pattern;
use serde::Serialize;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Runs, checks and times programs.
///
/// How many threads they use is EGRAD_NUM_THREADS's to say.
#[derive(Parser)]
struct Args {
    /// Name the programs instead.
    #[arg(long)]
    list: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// Only programs whose names match this pattern; repeatable.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// How long to sample each program, in seconds; 0 takes five samples.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where to run.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Where the values to check against are stored.
    #[arg(long, default_value_os_t = values::folder())]
    values: PathBuf,
}

/// A line of `--list`.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    what: &'a str,
}

/// A program's figures.
#[derive(Serialize)]
struct Line {
    name: String,
    device: &'static str,
    /// The Vulkan device in words, if it ran on one, and whether it is the processor itself.
    hardware: Option<String>,
    software: bool,
    first_call_us: f64,
    us_min: f64,
    us_median: f64,
    /// Bytes of the inputs and the results.
    bytes_min: usize,
    /// Arithmetic operations that the mathematics asks for.
    flops: u64,
    /// Kernels per call.
    kernels: Option<usize>,
    /// The most bytes of inputs, results and temporaries at one time.
    peak_bytes: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let patterns = match patterns(&args.only) {
        Ok(patterns) => patterns,
        Err(e) => return failure(&e),
    };
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|p| p.matches(name));
    let chosen: Vec<Program> = programs::all().into_iter().filter(|p| wanted(&p.name)).collect();
    if args.list {
        list(&args, &chosen);
        return ExitCode::SUCCESS;
    }
    let outcome = match &chosen[..] {
        [] => Err(Error::parse("no program has such a name; see --list")),
        [program] => run(program, &args).map(|line| print(&line, args.json)),
        programs => each_alone(programs),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failure(&e),
    }
}

fn failure(e: &Error) -> ExitCode {
    eprintln!("{e}");
    ExitCode::FAILURE
}

fn patterns(only: &[String]) -> Result<Vec<Pattern>> {
    let pattern = |p: &String| Pattern::new(p).map_err(|e| Error::parse(format!("--only {p:?}: {e}")));
    only.iter().map(pattern).collect()
}

fn list(args: &Args, chosen: &[Program]) {
    for Program { name, what, .. } in chosen {
        match args.json {
            true => println!("{}", serde_json::to_string(&Listed { name, what }).expect("strings are JSON")),
            false => println!("{name:35} {what}"),
        }
    }
}

/// Runs each program by this executable, with the arguments given to this process.
fn each_alone(programs: &[Program]) -> Result<()> {
    let executable = std::env::current_exe().map_err(|e| Error::device(format!("this executable: {e}")))?;
    let mut failed = Vec::new();
    for program in programs {
        let mut command = Command::new(&executable);
        command.args(kept_arguments(std::env::args().skip(1))).args(["--only", &program.name]);
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(_) => failed.push(program.name.as_str()),
            Err(e) => return Err(Error::device(format!("{}: {e}", executable.display()))),
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::device(format!("{} of {} failed: {}", failed.len(), programs.len(), failed.join(", ")))),
    }
}

/// Arguments without those that choose programs.
fn kept_arguments(mut arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--only" {
            arguments.next();
        } else if !argument.starts_with("--only=") {
            kept.push(argument);
        }
    }
    kept
}

fn run(program: &Program, args: &Args) -> Result<Line> {
    let device: Device = args.device.parse()?;
    let case = program.build(&Options { device, ..Options::default() })?;
    let times = sample::sample(args.seconds, || case.call())?;
    let results = case.results()?;
    values::check(&args.values, &program.name, &results)?;
    let facts = case.facts()?;
    let vulkan = if facts.device == Device::Vulkan { Some(machine::vulkan()?) } else { None };
    Ok(Line {
        name: program.name.clone(),
        device: facts.device.name(),
        hardware: vulkan.as_ref().map(machine::described),
        software: vulkan.is_some_and(|v| v.kind == DeviceKind::Software),
        first_call_us: times.first,
        us_min: times.least,
        us_median: times.median,
        bytes_min: case.least_bytes(&results),
        flops: program.flops,
        kernels: facts.kernels,
        peak_bytes: facts.peak_bytes,
    })
}

fn print(line: &Line, json: bool) {
    if json {
        println!("{}", serde_json::to_string(line).expect("numbers are JSON"));
        return;
    }
    let Line { name, first_call_us, us_min, us_median, kernels, .. } = line;
    let kernels = kernels.map_or(String::new(), |n| format!("{n:5} kernels"));
    println!("{name:34} first {first_call_us:10.0} µs  min {us_min:10.2} µs  median {us_median:10.2} µs  {kernels}");
}
