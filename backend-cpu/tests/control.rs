//! Loops and branches over compiled functions.

mod common;

use common::functions::{call, function, scan, switch, while_loop};
use common::{Close, Fill, Numbers, assert_close, check_on, inputs, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Body, Kernel, Operand, Scan, Slot};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Dtype, Numerics};
use std::sync::Arc;

/// Backends with one and several threads.
fn cpus() -> [Cpu; 3] {
    [Cpu::with_threads(1).unwrap(), Cpu::sharing_anything(2).unwrap(), Cpu::sharing_anything(4).unwrap()]
}

/// Checks random loops or branches, made down to some depth.
fn random(make: fn(&mut Numbers, usize) -> Kernel) {
    let cpus = cpus();
    let mut ran = 0;
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let depth = numbers.below(3);
        let kernel = make(&mut numbers, depth);
        let operands: usize = kernel.operands.iter().map(|o| o.len).sum();
        if operands > 30_000 {
            continue;
        }
        ran += 1;
        check_on(&cpus, &kernel, Fill::Wild, None);
    }
    assert!(ran > 100, "{ran} kernels ran");
}

#[test]
fn scans_run_as_their_steps_would() {
    random(scan);
}

#[test]
fn loops_end_when_their_condition_does() {
    random(while_loop);
}

#[test]
fn one_branch_runs() {
    random(switch);
}

/// Loops and branches in functions that are called for every element of a batch.
#[test]
fn batches_of_loops_run_as_their_elements_would() {
    random(|numbers, depth| {
        let callee = Arc::new(function(numbers, depth + 1, true));
        let count = [1, 2, 3, 7][numbers.below(4)];
        call(&callee, count, numbers)
    });
}

/// A scan of `c = tanh(c + x)` over rows of `n` elements, with temporaries.
fn rows(n: usize, length: usize, numerics: &str) -> Kernel {
    let text = |name: &str, op: &str| {
        format!(
            "kernel {name}(b0: read f32[{n}], b1: read f32[{n}], b2: write f32[{n}]) {numerics} {{
               parallel p0 in 0..{n} {{
                 once {{
                   %0 = load b0[p0]
                   %1 = load b1[p0]
                   %2 = add %0 %1
                   %3 = {op} %2
                   store b2[p0] = %3
                 }}
               }}
             }}"
        )
    };
    let mut body = schedule(kernel(&text("sum", "neg")));
    let mut last = schedule(kernel(&text("bend", "tanh"))).steps.remove(0);
    last.operands = [2, 1, 3].map(egrad_ir::schedule::BufferId).to_vec();
    body.buffers.push(body.buffers[0].clone());
    body.outputs[0].0 = last.operands[2];
    body.steps.push(last);
    body.outputs.push(body.outputs[0].clone());
    let operand = |len: usize, written: bool| Operand { dtype: Dtype::F32, len, written };
    let slot = |operand: usize, stride: usize| Slot { operand, stride };
    let scan = Scan {
        body: Arc::new(body),
        consts: 0,
        carry: 1,
        length,
        reverse: false,
        inputs: vec![slot(0, 0), slot(1, n)],
        outputs: vec![slot(2, 0), slot(3, n)],
    };
    Kernel {
        name: "rows".into(),
        operands: vec![operand(n, false), operand(n * length, false), operand(n, true), operand(n * length, true)],
        body: Body::Scan(scan),
        numerics: Numerics::Strict,
    }
}

/// Steps that are worth several threads, and steps that aren't.
#[test]
fn steps_of_any_size_run_on_any_number_of_threads() {
    let mut cpus = Vec::from(cpus());
    cpus.push(Cpu::with_threads(2).unwrap());
    for (n, length) in [(7, 5), (1000, 4), (60_000, 3)] {
        check_on(&cpus, &rows(n, length, "strict"), Fill::Tame, None);
    }
}

/// A small loop is one function, and calls those of its body, which others call too.
#[test]
fn bodies_are_compiled_once() {
    let cpu = Cpu::with_threads(1).unwrap();
    let kernel = rows(4, 3, "fast");
    let [one, other] = [0, 1].map(|_| cpu.compile(schedule(kernel.clone())).unwrap());
    let (a, b) = (one.code(), other.code());
    assert_eq!(a.len(), 3, "the loop and two kernels");
    assert!(a[0] != b[0] && a[1..] == b[1..], "{a:?} {b:?}");
    let text = one.listing("clif").unwrap().concat();
    assert!(text.starts_with("; rows: runs what follows 3 times\n; sum\n"), "{text}");
}

#[test]
fn products_are_steps_too() {
    let (m, k) = (40, 40);
    let product = kernel(&format!(
        "kernel product(b0: read f32[{0}], b1: read f32[{0}], b2: write f32[{0}]) fast {{
           contract f32 batch [] m {m} n {m} k {k} {{
             a = b0 offset 0 batch [] row {k} column 1
             b = b1 offset 0 batch [] row {m} column 1
             c = b2 offset 0 batch [] row {m} column 1
           }}
         }}",
        m * k,
    ));
    let body: Schedule = schedule(product);
    let operand = |written: bool| Operand { dtype: Dtype::F32, len: m * k, written };
    let slot = |operand: usize| Slot { operand, stride: 0 };
    for length in [1, 4] {
        let scan = Scan {
            body: Arc::new(body.clone()),
            consts: 1,
            carry: 1,
            length,
            reverse: false,
            inputs: vec![slot(0), slot(1)],
            outputs: vec![slot(2)],
        };
        let operands = vec![operand(false), operand(false), operand(true)];
        let all = schedule(Kernel { name: "power".into(), operands, body: Body::Scan(scan), numerics: Numerics::Fast });
        let x = inputs(&all, Fill::Tame, &mut Numbers(3));
        let x: Vec<&Array> = x.iter().collect();
        let want = all.eval(&x, Elementary::Shared).unwrap();
        for cpu in cpus() {
            let got = cpu.compile(all.clone()).unwrap().run(&x).unwrap();
            assert_close(&got.outputs[0], &want.outputs[0], Close::Within(1e-5), &|| format!("{length} steps"));
        }
    }
}
