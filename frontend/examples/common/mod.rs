//! What the examples share: their command line, how they say that a result is as it should be, the
//! digits, and pictures.

#![allow(dead_code, reason = "each example uses its part")]

pub(crate) mod digits;
pub(crate) mod picture;

use clap::Parser;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// What an example ends with: nothing, or why its result isn't what it should be.
pub(crate) type Done<T = ()> = Result<T, Box<dyn Error>>;

/// What an example is asked on the command line.
#[derive(Parser, Clone, Debug)]
#[command(about = None)]
pub(crate) struct Args {
    /// A smaller size, which takes seconds without optimisation too.
    #[arg(long)]
    pub quick: bool,
    /// Where the picture goes; by default under target/pictures.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl Args {
    /// The first number in full, the second with `--quick`.
    pub(crate) fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Writes a picture, and says where.
    pub(crate) fn save(&self, name: &str, svg: &str) -> Done {
        let path = self.out.clone().unwrap_or_else(|| format!("target/pictures/{name}.svg").into());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, svg)?;
        println!("picture: {}", path.display());
        Ok(())
    }
}

/// Runs an example. It fails if its result isn't what it should be.
pub(crate) fn main(run: fn(&Args) -> Done) -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a result beside what it should be.
///
/// # Errors
/// If they are further apart than `within`, or either is NaN.
pub(crate) fn agree(what: &str, result: f64, known: f64, within: f64) -> Done {
    println!("{what}: {}, should be {} ± {}", number(result), number(known), number(within));
    if (result - known).abs() <= within { Ok(()) } else { Err(format!("{what}: {result}, not {known}").into()) }
}

/// Prints a result that should be in a range.
///
/// # Errors
/// If it isn't.
pub(crate) fn between(what: &str, result: f64, low: f64, high: f64) -> Done {
    println!("{what}: {}, should be {} to {}", number(result), number(low), number(high));
    if low <= result && result <= high { Ok(()) } else { Err(format!("{what}: {result}").into()) }
}

/// A number for people, with up to nine digits.
fn number(x: f64) -> String {
    let plain = x == 0.0 || (1e-3..1e6).contains(&x.abs());
    if plain { format!("{}", (x * 1e9).round() / 1e9) } else { format!("{x:.2e}") }
}
