//! Times every function in every order of `jit` and `vmap`, over batch sizes.
//!
//! `cargo bench -p egrad-benches [-- FILTER]`; with EGRAD_BENCH_QUICK=1 fewer sizes, for less time.
//! `cargo run --release -p egrad-benches --bin report` makes the report of it.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use egrad_benches::estimates;
use egrad_benches::machine::Machine;
use egrad_benches::orders::{BATCHES, Order, same, subjects};
use std::time::Duration;

fn main() {
    let quick = std::env::var_os("EGRAD_BENCH_QUICK").is_some_and(|v| !v.is_empty() && v != "0");
    let [warm_up, measurement] = if quick { [50, 100] } else { [200, 500] }.map(Duration::from_millis);
    let mut criterion = Criterion::default()
        .output_directory(&estimates::folder())
        .without_plots()
        .sample_size(10)
        .warm_up_time(warm_up)
        .measurement_time(measurement)
        .configure_from_args();
    let machine = Machine::here();
    time(&mut criterion, |batch| !quick || [10, 1_000, 100_000].contains(&batch));
    criterion.final_summary();
    if let Err(e) = machine.ended().write(&estimates::folder()) {
        eprintln!("{}: {e}", estimates::folder().display());
    }
}

fn time(criterion: &mut Criterion, wanted: impl Fn(usize) -> bool) {
    for subject in subjects() {
        let mut group = criterion.benchmark_group(subject.name);
        group.sampling_mode(SamplingMode::Auto);
        for batch in BATCHES.into_iter().filter(|n| wanted(*n)) {
            let mut reference = None;
            for order in Order::all().into_iter().filter(|o| subject.fits(*o, batch)) {
                group.bench_function(BenchmarkId::new(order.name(), batch), |b| {
                    let case = subject.build(order, batch);
                    let results = case.results().unwrap_or_else(|e| panic!("{}: {e}", subject.name));
                    let want = reference.get_or_insert_with(|| match order {
                        Order::JitVmap => results.clone(),
                        _ => subject.build(Order::JitVmap, batch).results().expect("it compiles"),
                    });
                    if let Err(what) = same(&results, want) {
                        panic!("{} by {}, batch {batch}: {what}", subject.name, order.title());
                    }
                    drop(results);
                    b.iter(|| case.call().expect("it ran before"));
                });
            }
        }
        group.finish();
    }
}
