//! Random kernels: bit-equal to the interpreter in strict mode, close in fast mode.

mod common;

use common::maker::{Maker, work};
use common::{Fill, check_on};
use egrad_cpu::Cpu;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

fn run(cases: u32, smooth: bool, fill: Fill, fast: Option<f64>, cpus: &[Cpu]) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (proptest::num::u64::ANY, 1usize..12);
    let mut valid = 0;
    let seen = std::cell::Cell::new(0);
    let result = runner.run(&strategy, |(seed, size)| {
        let kernel = Maker::kernel(seed, size, smooth);
        if work(&kernel) > 40_000 || kernel.verify().is_err() {
            return Ok(());
        }
        seen.set(seen.get() + 1);
        let checked = std::panic::catch_unwind(|| check_on(cpus, &kernel, fill, fast));
        checked.map_err(|e| {
            let text = e.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(text)
        })
    });
    valid += seen.get();
    if let Err(e) = result {
        panic!("{e}");
    }
    assert!(valid * 3 > cases as usize, "only {valid} of {cases} kernels were valid");
}

#[test]
fn strict_kernels_have_the_interpreters_bits() {
    run(1500, false, Fill::Wild, None, &[Cpu::new().unwrap()]);
}

#[test]
fn fast_kernels_are_close() {
    run(700, true, Fill::Tame, Some(1e-3), &[Cpu::new().unwrap()]);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let threads = [1, 2, 4].map(|n| Cpu::sharing_anything(n).unwrap());
    run(400, false, Fill::Wild, None, &threads);
    run(300, true, Fill::Tame, Some(1e-3), &threads);
}
