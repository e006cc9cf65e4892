//! Calls: callees' kernels over batches of any size and layout, compiled once.

mod common;

use common::functions::{call, function};
use common::{Close, Fill, Numbers, assert_close, check_on, inputs, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Body, Call, Executable, Kernel, Operand, Slot};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Array, Aval, Dtype, Numerics};
use std::sync::Arc;

/// Backends with one and several threads.
fn cpus() -> [Cpu; 3] {
    [Cpu::with_threads(1).unwrap(), Cpu::sharing_anything(2).unwrap(), Cpu::sharing_anything(4).unwrap()]
}

/// How deep calls nest in what a schedule calls.
fn depth(schedule: &Schedule) -> usize {
    let callees = schedule.steps.iter().flat_map(|step| step.kernel.body.callees());
    callees.map(|callee| 1 + depth(callee)).max().unwrap_or(0)
}

#[test]
fn batches_run_as_their_elements_would() {
    let cpus = cpus();
    let mut deepest = [0; 4];
    for seed in 0..250 {
        let mut numbers = Numbers(seed);
        let deep = numbers.below(3);
        let callee = Arc::new(function(&mut numbers, deep, false));
        let count = [1, 2, 3, 7, 33][numbers.below(5)];
        let kernel = call(&callee, count, &mut numbers);
        let written: usize = kernel.operands.iter().map(|o| o.len).sum();
        if written > 30_000 {
            continue;
        }
        deepest[1 + depth(&callee)] += 1;
        check_on(&cpus, &kernel, Fill::Wild, None);
    }
    assert!(deepest[1..].iter().all(|n| *n > 10), "calls nest {deepest:?} deep");
}

/// `x·w` and a function of it, of which only that is a result: there is a temporary.
fn layer(n: usize, m: usize, numerics: Numerics) -> Schedule {
    let numerics = match numerics {
        Numerics::Fast => "fast",
        Numerics::Strict => "strict",
    };
    let product = kernel(&format!(
        "kernel product(b0: read f32[{n}], b1: read f32[{0}], b2: write f32[{m}]) {numerics} {{
           parallel p0 in 0..{m} {{
             for r0 in 0..{n} {{
               %0 = load b0[r0]
               %1 = load b1[{m}*r0 + p0]
               %2 = mul %0 %1
               %3 = reduce_sum %2
             }}
             once {{
               store b2[p0] = %3
             }}
           }}
         }}",
        n * m
    ));
    let activation = kernel(&format!(
        "kernel activation(b0: read f32[{m}], b1: write f32[{m}]) {numerics} {{
           parallel p0 in 0..{m} {{
             once {{
               %0 = load b0[p0]
               %1 = tanh %0
               store b1[p0] = %1
             }}
           }}
         }}"
    ));
    let id = BufferId::from;
    let lens = [n, n * m, m, m];
    Schedule {
        buffers: lens.iter().map(|len| Buffer { dtype: Dtype::F32, len: *len }).collect(),
        inputs: vec![(id(0), Aval::new(Dtype::F32, [n])), (id(1), Aval::new(Dtype::F32, [n, m]))],
        outputs: vec![(id(3), Aval::new(Dtype::F32, [m]))],
        steps: vec![
            Step { kernel: product, operands: vec![id(0), id(1), id(2)] },
            Step { kernel: activation, operands: vec![id(2), id(3)] },
        ],
    }
}

/// A layer for a batch of rows, the weights shared.
fn rows(callee: &Arc<Schedule>, count: usize) -> Kernel {
    let [n, m, weights] = [&callee.inputs[0], &callee.outputs[0], &callee.inputs[1]].map(|(_, aval)| aval.shape.size());
    let operand = |len: usize, written: bool| Operand { dtype: Dtype::F32, len, written };
    let slot = |operand: usize, stride: usize| Slot { operand, stride };
    let call = Call { callee: callee.clone(), count, inputs: vec![slot(0, n), slot(1, 0)], outputs: vec![slot(2, m)] };
    Kernel {
        name: "rows".into(),
        operands: vec![operand(n * count, false), operand(weights, false), operand(m * count, true)],
        body: Body::Call(call),
        numerics: Numerics::Strict,
    }
}

#[test]
fn batches_whose_temporaries_are_large_run_in_tiles() {
    let mut cpus = Vec::from(cpus());
    cpus.push(Cpu::with_threads(2).unwrap());
    // Bytes of temporaries: 3 KB for each of 200 elements, 400 KB for each of 3.
    for (n, m, count) in [(3, 750, 200), (1, 100_000, 3)] {
        let callee = Arc::new(layer(n, m, Numerics::Strict));
        check_on(&cpus, &rows(&callee, count), Fill::Tame, None);
    }
}

#[test]
fn callees_are_compiled_once_for_batches_of_any_size() {
    let callee = Arc::new(layer(3, 20, Numerics::Fast));
    let cpu = Cpu::with_threads(2).unwrap();
    let compile = |cpu: &Cpu, kernel: Kernel| cpu.compile(schedule(kernel)).unwrap();
    let small = compile(&cpu, rows(&callee, 7));
    let large = compile(&cpu, rows(&callee, 1000));
    let code = small.code();
    assert!(code.len() == 2 && code[0] != code[1] && !code.contains(&0), "{code:?}");
    assert_eq!(large.code(), code);
    assert_eq!(compile(&Cpu::with_threads(1).unwrap(), rows(&callee, 1)).code(), code);
    drop(small);
    assert_eq!(compile(&cpu, rows(&callee, 2)).code(), code);
    // An equal function that is another one.
    let other = compile(&cpu, rows(&Arc::new((*callee).clone()), 7));
    assert!(other.code().iter().all(|address| !code.contains(address)));
    for compiled in [&large, &other] {
        let x = inputs(compiled.schedule(), Fill::Tame, &mut Numbers(1));
        let x: Vec<&Array> = x.iter().collect();
        let want = compiled.schedule().eval(&x, Elementary::Shared).unwrap();
        let got = compiled.run(&x).unwrap();
        assert_eq!(got.dispatches, 2);
        assert_close(&got.outputs[0], &want.outputs[0], Close::Within(1e-5), &|| "rows".into());
    }
}

#[test]
fn one_callee_is_compiled_from_many_threads() {
    let callee = Arc::new(layer(3, 20, Numerics::Fast));
    let compiled: Vec<Box<dyn Executable>> = std::thread::scope(|scope| {
        let callee = &callee;
        let compile = move |count| Cpu::new().unwrap().compile(schedule(rows(callee, count))).unwrap();
        let threads: Vec<_> = (1..9).map(|count| scope.spawn(move || compile(count))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let code = compiled[0].code();
    assert!(compiled.iter().all(|compiled| compiled.code() == code));
}

#[test]
fn matrix_products_run_over_batches() {
    let (m, n, k) = (20, 19, 33);
    let product = kernel(&format!(
        "kernel product(b0: read f32[{}], b1: read f32[{}], b2: write f32[{}]) fast {{
           contract f32 batch [2] m {m} n {n} k {k} {{
             a = b0 offset 0 batch [{}] row {k} column 1
             b = b1 offset 0 batch [0] row {n} column 1
             c = b2 offset 0 batch [{4}] row {n} column 1
           }}
         }}",
        2 * m * k,
        k * n,
        2 * m * n,
        m * k,
        m * n,
    ));
    let callee = Arc::new(schedule(product));
    for seed in 0..20 {
        let kernel = call(&callee, 1 + seed as usize % 6, &mut Numbers(seed));
        let schedule = schedule(kernel);
        let x = inputs(&schedule, Fill::Tame, &mut Numbers(seed));
        let x: Vec<&Array> = x.iter().collect();
        let want = schedule.eval(&x, Elementary::Shared).unwrap();
        for cpu in cpus() {
            let got = cpu.compile(schedule.clone()).unwrap().run(&x).unwrap();
            assert_close(&got.outputs[0], &want.outputs[0], Close::Within(1e-5), &|| format!("seed {seed}"));
        }
    }
}

#[test]
fn listings_show_callees_once() {
    let callee = Arc::new(layer(3, 20, Numerics::Fast));
    let mut all = schedule(rows(&callee, 7));
    let mut again = schedule(rows(&callee, 7)).steps.remove(0);
    let moved = all.buffers.len();
    all.buffers.extend_from_within(..);
    again.operands = again.operands.iter().map(|id| BufferId::from(id.index() + moved)).collect();
    for (role, i) in [(0, 0), (0, 1), (1, 0)] {
        let list = if role == 0 { &mut all.inputs } else { &mut all.outputs };
        let (id, aval) = list[i].clone();
        list.push((BufferId::from(id.index() + moved), aval));
    }
    all.steps.push(again);
    let compiled = Cpu::new().unwrap().compile(all).unwrap();
    for stage in ["clif", "assembly"] {
        let [first, second] = &compiled.listing(stage).unwrap()[..] else { panic!("one text per step") };
        assert!(first.starts_with("; rows: calls what follows 7 times\n; product\n"), "{first}");
        assert!(first.contains("\n; activation\n") && first.lines().count() > 40, "{first}");
        assert_eq!(second, "; rows: calls what is listed above 7 times\n");
    }
}
