//! Timing calls.

use std::time::{Duration, Instant};

/// Times of a program's calls, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The first call: tracing, compiling and running.
    pub first: f64,
    /// The least sample.
    pub least: f64,
    /// The median of the samples.
    pub median: f64,
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Times the first call, and then for that many seconds samples of as many calls as last about
/// 100 µs, but no fewer than five samples.
///
/// # Errors
/// The first error of a call.
pub fn sample<E>(seconds: f64, mut call: impl FnMut() -> Result<(), E>) -> Result<Times, E> {
    let mut run = |calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        Ok(us(start.elapsed()) / f64::from(calls))
    };
    let first = run(1)?;
    // A call of minutes needs no samples to be known.
    if first > 20e6 * seconds.max(0.1) {
        return Ok(Times { first, least: first, median: first });
    }
    for _ in 0..3 {
        run(1)?;
    }
    let calls = (100.0 / run(1)?.max(0.05)).ceil() as u32;
    let mut samples = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds || samples.len() < 5 {
        samples.push(run(calls)?);
    }
    samples.sort_by(f64::total_cmp);
    Ok(Times { first, least: samples[0], median: samples[samples.len() / 2] })
}
