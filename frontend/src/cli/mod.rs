//! The commands: `tour`, `run`, `explore`, `diff`, `devices`.
//!
//! ```text
//! tour      the tutorial's programs, timed and checked             tour/
//! run       a program's text on given inputs                       run, value
//! explore   any stage of a program's compilation, as text, JSON    explore/
//!           or Graphviz; the rules, and why they made what they made
//! diff      whether two programs compute the same, and how         diff
//! devices   what this machine can run programs on                  device
//! ```
//!
//! What went wrong is said on standard error in a sentence with its place. The exit status is 0 if
//! all went well, 2 if the command line itself was wrong, and 1 for everything else. A reader that
//! stops listening (`| head`) is no error.

mod device;
mod diff;
mod explore;
mod programs;
mod run;
mod source;
mod time;
mod tour;
mod value;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use egrad::{Calls, Device, Error, Numerics};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// grad, vmap and jit for Rust, compiled by equality saturation.
#[derive(Parser)]
#[command(name = "egrad", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the tutorial: batches, per-example gradients, kernels, a network trained on digits.
    ///
    /// Every step checks its results; the exit status is 1 if a check fails.
    Tour(tour::Options),
    /// Runs a program's text on given inputs and prints the results.
    Run(run::Options),
    /// Prints a stage of a program's compilation, or why the rules made it what it is.
    Explore(explore::Options),
    /// Compares two programs: whether they compute the same, by which kernels, and how fast.
    Diff(diff::Options),
    /// Lists what programs can run on.
    Devices,
}

/// Where and how a program runs.
#[derive(Args, Clone)]
struct Target {
    /// Where it runs; `auto` is what EGRAD_DEVICE names, else a GPU that can run it, else the CPU.
    #[arg(long, default_value = "auto", value_parser = device_parser())]
    device: Device,
    /// Give every result the bits the reference interpreter computes. Under `--calls push-in` and
    /// `dispatch` these are the bits of the program with its calls kept, whose sums over a batch may
    /// be in another order.
    #[arg(long)]
    strict: bool,
    /// What becomes of calls: whatever costs least (`auto`), `inline`, `push-in` (compiled by
    /// themselves, run once), or `dispatch` (compiled by themselves, run for each element of a batch).
    #[arg(long, default_value = "auto", value_name = "MODE", value_parser = calls_parser())]
    calls: Calls,
}

impl Target {
    fn numerics(&self) -> Numerics {
        if self.strict { Numerics::Strict } else { Numerics::Fast }
    }
}

fn device_parser() -> impl TypedValueParser<Value = Device> {
    PossibleValuesParser::new(Device::ALL.map(Device::name)).try_map(|name| name.parse::<Device>())
}

fn calls_parser() -> impl TypedValueParser<Value = Calls> {
    PossibleValuesParser::new(Calls::ALL.map(Calls::name)).try_map(|name| name.parse::<Calls>())
}

/// Why a command failed.
enum Failure {
    /// egrad's error.
    Error(Error),
    /// egrad's error about what was read from this file or argument.
    In(String, Error),
    /// This file or argument isn't usable, for the reason given.
    Unusable(String, String),
    /// The arguments don't go together.
    Usage(String),
    /// So many of the tour's checks failed; they have been named.
    Checks(usize),
    /// The output couldn't be written.
    Output(io::Error),
}

type Outcome = Result<(), Failure>;

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Error(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Output(e)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(e) => write!(f, "{e}"),
            Failure::In(place, e) => write!(f, "{place}: {e}"),
            Failure::Unusable(place, why) => write!(f, "{place}: {why}"),
            Failure::Usage(m) => write!(f, "{m}"),
            Failure::Checks(1) => f.write_str("a check failed"),
            Failure::Checks(n) => write!(f, "{n} checks failed"),
            Failure::Output(e) => write!(f, "the output can't be written: {e}"),
        }
    }
}

/// Runs the command that the process's arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // What can't be written to a closed pipe needn't be.
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()) * 2);
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = match cli.command {
        Command::Tour(options) => tour::tour(&options, &mut out),
        Command::Run(options) => run::run(&options, &mut out),
        Command::Explore(options) => explore::explore(&options, &mut out),
        Command::Diff(options) => diff::diff(&options, &mut out),
        Command::Devices => device::list(&mut out),
    };
    match outcome.and_then(|()| out.flush().map_err(Failure::Output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = out.flush();
            let _ = writeln!(io::stderr(), "egrad: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}
