//! Compiles, calls and drops a million small random programs and watches resident memory.

use clap::Parser;
use egrad_benches::cycles::{cycle, grew, resident};
use std::process::ExitCode;
use std::time::Instant;

/// Compiles, calls and drops small random programs, and fails if resident memory grows after the
/// first tenth of them.
#[derive(Parser)]
struct Args {
    /// How many programs.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(20..))]
    cycles: u64,
    /// Which programs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let start = Instant::now();
    let mut warm = None;
    let mut last = None;
    for part in 0..20 {
        let bound = |i: u64| args.cycles * i / 20;
        if let Err(e) = cycle(args.seed, bound(part), bound(part + 1)) {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
        let Some(now) = resident() else {
            eprintln!("this system doesn't say how much memory a process has resident");
            return ExitCode::FAILURE;
        };
        let seconds = start.elapsed().as_secs_f64();
        let mib = now as f64 / f64::from(1 << 20);
        println!("{:9} cycles  {seconds:8.1} s  {mib:8.1} MiB resident", bound(part + 1));
        if part == 1 {
            warm = Some(now);
        }
        last = Some(now);
    }
    match (warm, last) {
        (Some(warm), Some(end)) if !grew(warm, end) => {
            println!("flat: {:+} KiB since the first tenth", (end as i64 - warm as i64) / 1024);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("resident memory grew");
            ExitCode::FAILURE
        }
    }
}
