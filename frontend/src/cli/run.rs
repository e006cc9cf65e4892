//! `egrad run`: a program's text on given inputs.

use super::device::Ready;
use super::source::{self, Source};
use super::value::{self, Nested};
use super::{Failure, Outcome, Target};
use clap::Args;
use egrad::{Array, Error};
use std::io::Write;
use std::path::PathBuf;

/// Results of more elements than this are shortened, unless `--json` asks for them all.
const SHOWN: usize = 1000;

/// The arguments of `egrad run`.
#[derive(Args)]
pub(crate) struct Options {
    /// The program's text; its last function is run.
    file: PathBuf,
    /// An input, in the order of the parameters: a number, or nested lists of numbers, `nan`,
    /// `inf`, `true` and `false` (`--arg "[[1, 2], [3, nan]]"`).
    #[arg(long = "arg", value_name = "VALUE", allow_hyphen_values = true)]
    args: Vec<String>,
    /// A JSON file with a list of all inputs, written as for --arg.
    #[arg(long, value_name = "FILE", conflicts_with = "args")]
    input: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let source = Source::file(&options.file)?;
    let inputs = inputs(options, &source)?;
    let ready = Ready::new(&options.target, &source.program).map_err(|e| source.blame(e))?;
    let inputs: Vec<&Array> = inputs.iter().collect();
    let results = ready.run(&inputs).map_err(|e| source.blame(e))?;
    if options.json {
        return json(&ready, &results, out);
    }
    for (i, array) in results.iter().enumerate() {
        let n = array.shape().size();
        if n > SHOWN {
            writeln!(out, "{i}: {array} (--json prints all)")?;
        } else {
            writeln!(out, "{i}: {} {}", array.aval(), Nested { array, json: false })?;
        }
    }
    Ok(())
}

/// The arrays for the entry function's parameters.
fn inputs(options: &Options, source: &Source) -> Result<Vec<Array>, Failure> {
    let entry = source.program.entry();
    let avals = entry.param_avals();
    let what = |i: usize| format!("parameter {i} of `{}`", entry.name);
    if let Some(path) = &options.input {
        let text = source::read(path)?;
        return value::parse_list(&text, &avals, what).map_err(|e| Failure::In(path.display().to_string(), e));
    }
    if options.args.len() != avals.len() {
        let types: Vec<String> = avals.iter().map(|a| a.to_string()).collect();
        let m = format!(
            "`{}` takes {} input{} ({}); {} given by --arg",
            entry.name,
            avals.len(),
            if avals.len() == 1 { "" } else { "s" },
            types.join(", "),
            match options.args.len() {
                0 => "none is".to_owned(),
                1 => "one is".to_owned(),
                n => format!("{n} are"),
            }
        );
        return Err(Failure::In(source.name.clone(), Error::tree(m)));
    }
    let parse = |(i, (text, aval)): (usize, (&String, _))| {
        value::parse(text, aval, &what(i)).map_err(|e| Failure::In(format!("--arg {i}"), e))
    };
    options.args.iter().zip(&avals).enumerate().map(parse).collect()
}

fn json(ready: &Ready, results: &[Array], out: &mut impl Write) -> Outcome {
    write!(out, "{{\"device\": \"{}\", \"results\": [", ready.device())?;
    for (i, array) in results.iter().enumerate() {
        let shape = serde_json::json!(array.shape().to_vec());
        let (comma, dtype) = (if i > 0 { "," } else { "" }, array.dtype());
        write!(out, "{comma}\n  {{\"dtype\": \"{dtype}\", \"shape\": {shape}, \"data\": ")?;
        write!(out, "{}}}", Nested { array, json: true })?;
    }
    writeln!(out, "\n]}}")?;
    Ok(())
}
