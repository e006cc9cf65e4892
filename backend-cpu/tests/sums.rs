//! Long reductions to few results, which threads share in pieces.

mod common;

use common::{Fill, check_on, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Kernel};

/// Checks a kernel on one and several threads, and whether it is cut into pieces.
#[track_caller]
fn check(text: &str, fill: Fill, fast: f64, in_pieces: bool) {
    let cpus = [
        Cpu::with_threads(1).unwrap(),
        Cpu::with_threads(2).unwrap(),
        Cpu::sharing_anything(2).unwrap(),
        Cpu::sharing_anything(4).unwrap(),
    ];
    let kernel: Kernel = kernel(text);
    check_on(&cpus, &kernel, fill, Some(fast));
    let listing = cpus[0].compile(schedule(kernel)).unwrap().listing("clif").unwrap();
    assert_eq!(listing.len(), 1);
    assert_eq!(listing[0].contains("_pieces\n"), in_pieces, "{}", listing[0]);
}

#[test]
fn of_everything() {
    for n in [100_000, 100_003, 262_144, 65_537] {
        for (dtype, kind) in [("f32", "sum"), ("f64", "sum"), ("i32", "sum"), ("f32", "max"), ("i32", "max")] {
            let text = format!(
                "kernel total(b0: read {dtype}[{n}], b1: write {dtype}[1], b2: write {dtype}[1]) fast {{
                   parallel {{
                     for r0 in 0..{n} {{
                       %0 = load b0[r0]
                       %1 = mul %0 %0
                       %2 = reduce_{kind} %1
                       %3 = reduce_max %0
                     }}
                     once {{
                       %4 = sub %2 %3
                       store b1[0] = %4
                       store b2[0] = %3
                     }}
                   }}
                 }}"
            );
            let exact = dtype == "i32" || kind == "max";
            check(&text, if exact { Fill::Wild } else { Fill::Tame }, if exact { 0.0 } else { 1e-4 }, true);
        }
    }
}

#[test]
fn of_columns() {
    for (rows, columns) in [(20_001, 5), (9_000, 100), (70_000, 1)] {
        let text = format!(
            "kernel columns(b0: read f32[{0}], b1: read f32[{rows}], b2: write f32[{columns}]) fast {{
               parallel p0 in 0..{columns} {{
                 for r0 in 0..{rows} {{
                   %0 = load b0[p0 + {columns}*r0]
                   %1 = load b1[r0]
                   %2 = mul %0 %1
                   %3 = reduce_sum %2
                 }}
                 once {{
                   %4 = tanh %3
                   store b2[p0] = %4
                 }}
               }}
             }}",
            rows * columns
        );
        check(&text, Fill::Tame, 1e-4, true);
    }
}

/// Loops that don't join, an index as a value, and a later pass with a loop of its own.
#[test]
fn of_several_loops() {
    for (n, m) in [(301, 200), (50, 1100), (7, 9_000)] {
        let text = format!(
            "kernel loops(b0: read f32[{0}], b1: write f32[3], b2: write f32[30]) fast {{
               parallel p0 in 0..3 {{
                 for r0 in 0..{n}, r1 in 0..{m} {{
                   %0 = load b0[r0 + {n}*r1]
                   %1 = index p0 + r0
                   %2 = convert f32 %1
                   %3 = mul %0 %2
                   %4 = reduce_sum %3
                 }}
                 once {{
                   store b1[p0] = %4
                 }}
                 for r0 in 0..10 {{
                   %5 = load b0[r0]
                   %6 = add %5 %4
                   store b2[10*p0 + r0] = %6
                 }}
               }}
             }}",
            n * m
        );
        check(&text, Fill::Tame, 1e-3, true);
    }
}

#[test]
fn what_threads_can_share_as_it_is_stays_whole() {
    // Short; many rows; a row that is passed over again.
    let sum = |rows: usize, n: usize, again: &str| {
        let (all, results) = (rows * n, if again.is_empty() { rows } else { rows * n });
        format!(
            "kernel rows(b0: read f32[{all}], b1: write f32[{results}]) fast {{
               parallel p0 in 0..{rows} {{
                 for r0 in 0..{n} {{
                   %0 = load b0[{n}*p0 + r0]
                   %1 = reduce_sum %0
                 }}
                 {}
               }}
             }}",
            if again.is_empty() { "once { store b1[p0] = %1 }" } else { again }
        )
    };
    check(&sum(1, 1_000, ""), Fill::Tame, 1e-4, false);
    check(&sum(300, 1_000, ""), Fill::Tame, 1e-4, false);
    let again = "for r0 in 0..100000 { %2 = load b0[100000*p0 + r0] %3 = sub %2 %1 store b1[100000*p0 + r0] = %3 }";
    check(&sum(1, 100_000, again), Fill::Tame, 1e-3, false);
}
