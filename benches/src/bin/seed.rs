//! The tutorial's programs, timed as `benches/jax/seed.py` times them in JAX: one JSON line each.
//!
//! `first_call_us` is the first call in a fresh process (tracing, compiling and running); run one
//! program at a time (`--only`) to have every one of them first. Steady-state samples are means
//! over as many calls as last about 100 µs; each result is dropped at once.

use clap::Parser;
use egrad::{Array, Device, Result, Tensor, grad, jit, vmap};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Times the tutorial's programs.
#[derive(Parser)]
struct Args {
    /// Print JSON lines instead of a table.
    #[arg(long)]
    json: bool,
    /// Only the program of this name.
    #[arg(long)]
    only: Option<String>,
    /// How long to sample each program, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where to run.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn squared_error((w, b): (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (w * x + b - y).powi(2)
}

/// Reproducible numbers, uniform in [-1, 1).
fn uniform(n: usize, mut seed: u64) -> Array {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    let data: Vec<f32> = std::iter::repeat_with(next).take(n).collect();
    Array::from_vec(data, [n]).expect("n elements")
}

struct Timing {
    name: &'static str,
    first_call_us: f64,
    us_min: f64,
    us_median: f64,
}

fn time(name: &'static str, seconds: f64, mut call: impl FnMut() -> Result<()>) -> Result<Timing> {
    let us = |d: Duration| d.as_secs_f64() * 1e6;
    let start = Instant::now();
    call()?;
    let first_call_us = us(start.elapsed());
    for _ in 0..3 {
        call()?;
    }
    let start = Instant::now();
    call()?;
    let calls = (100.0 / us(start.elapsed()).max(0.05)).ceil().max(1.0) as u32;
    let mut samples = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds || samples.len() < 5 {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        samples.push(us(start.elapsed()) / f64::from(calls));
    }
    samples.sort_by(f64::total_cmp);
    Ok(Timing { name, first_call_us, us_min: samples[0], us_median: samples[samples.len() / 2] })
}

fn run(args: &Args) -> Result<()> {
    let device: Device = args.device.parse()?;
    let mut timings = Vec::new();
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    for (name, n) in [("per_example_grad.100k", 100_000), ("per_example_grad.10m", 10_000_000)] {
        if !wanted(name) {
            continue;
        }
        let f = jit(vmap(grad(squared_error), (None, 0, 0))).device(device);
        let (params, x, y) = ((Array::from(1.5f32), Array::from(-0.25f32)), uniform(n, 1), uniform(n, 2));
        timings.push(time(name, args.seconds, || f(&params, &x, &y).map(|out| drop(black_box(out))))?);
    }
    if wanted("sinx") {
        let f = jit(|x: Tensor| x.sin() * x).device(device);
        let x = Array::from(0.5f32);
        timings.push(time("sinx", args.seconds, || f(&x).map(|out| drop(black_box(out))))?);
    }
    for Timing { name, first_call_us, us_min, us_median } in timings {
        if args.json {
            let line = serde_json::json!({
                "name": name, "first_call_us": first_call_us, "us_min": us_min, "us_median": us_median,
            });
            println!("{line}");
        } else {
            println!("{name:24} first {first_call_us:10.1} µs   min {us_min:10.3} µs   median {us_median:10.3} µs");
        }
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    match run(&Args::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
