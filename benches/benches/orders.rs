//! Times every function in every order of `jit` and `vmap`, over batch sizes.
//!
//! `cargo bench -p egrad-benches [-- FILTER]`; with EGRAD_BENCH_QUICK=1 fewer sizes, for less time.
//! `cargo run --release -p egrad-benches --bin report` makes the report of it.

use criterion::{BenchmarkId, Criterion};
use egrad::Array;
use egrad_benches::estimates;
use egrad_benches::machine::Machine;
use egrad_benches::orders::{BATCHES, Order, Subject, same, subjects};
use egrad_benches::program::Case;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

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
    let folder = estimates::folder();
    let machine = Machine::here();
    let orders: Vec<Order> = match &machine.vulkan {
        Ok(_) => Order::all(),
        Err(why) => {
            eprintln!("Vulkan is left out: {why}");
            Order::all().into_iter().filter(|o| *o != Order::Vulkan).collect()
        }
    };
    // Already now, so that there is a report of what was timed if the rest is not waited for.
    write(&machine, &folder);
    time(&mut criterion, &orders, |batch| !quick || [100, 1_000, 10_000, 100_000].contains(&batch));
    criterion.final_summary();
    write(&machine.ended(), &folder);
}

fn write(machine: &Machine, folder: &Path) {
    let written = std::fs::create_dir_all(folder).and_then(|()| machine.write(folder));
    written.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
}

/// The longest call that is timed: criterion makes it eleven times at least.
const LONGEST: Duration = Duration::from_secs(2);

fn time(criterion: &mut Criterion, orders: &[Order], wanted: impl Fn(usize) -> bool) {
    for subject in subjects() {
        let mut group = criterion.benchmark_group(subject.name);
        // Per order the largest batch so far, and how long a call took.
        let mut calls: HashMap<Order, (usize, Duration)> = HashMap::new();
        for batch in BATCHES.into_iter().filter(|n| wanted(*n)) {
            let mut reference = None;
            for order in orders.iter().copied().filter(|o| subject.fits(*o, batch)) {
                if let Some((before, call)) = calls.get(&order)
                    && call.mul_f64(batch as f64 / *before as f64) > LONGEST
                {
                    eprintln!("{}/{}/{batch}: left out, it takes too long", subject.name, order.name());
                    continue;
                }
                // Criterion calls the closure for every sample, if the filter lets it.
                let mut ready = None;
                group.bench_function(BenchmarkId::new(order.name(), batch), |b| {
                    let case: &Case = ready.get_or_insert_with(|| {
                        let case = checked(&subject, order, batch, &mut reference);
                        let start = Instant::now();
                        case.call().expect("it ran before");
                        calls.insert(order, (batch, start.elapsed()));
                        case
                    });
                    b.iter(|| case.call().expect("it ran before"));
                });
            }
        }
        group.finish();
    }
}

/// The function ready to be timed, its results compared with those of `jit(vmap f)`.
fn checked(subject: &Subject, order: Order, batch: usize, reference: &mut Option<Vec<Array>>) -> Case {
    let run = |case: &Case| case.results().unwrap_or_else(|e| panic!("{}: {e}", subject.name));
    let build = |order| subject.build(order, batch).unwrap_or_else(|e| panic!("{}: {e}", subject.name));
    let want = reference.get_or_insert_with(|| run(&build(Order::JitVmap)));
    let case = build(order);
    if let Err(what) = same(&run(&case), want) {
        panic!("{} by {}, batch {batch}: {what}", subject.name, order.title());
    }
    case
}
