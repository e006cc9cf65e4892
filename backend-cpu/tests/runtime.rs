//! Running: memory, threads, aliases, temporaries, contractions.

mod common;

use common::{Close, Fill, Numbers, assert_close, check, filled, inputs, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Kernel};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Array, Aval, Dtype, Numerics};

fn unary(op: &str, n: usize) -> Kernel {
    kernel(&format!(
        "kernel {op}(b0: read f32[{n}], b1: write f32[{n}]) fast {{
           parallel p0 in 0..{n} {{
             once {{
               %0 = load b0[p0]
               %1 = {op} %0
               store b1[p0] = %1
             }}
           }}
         }}"
    ))
}

/// A chain of functions of one vector.
fn chain(ops: &[&str], n: usize) -> Schedule {
    let aval = Aval::new(Dtype::F32, [n]);
    let id = BufferId::from;
    Schedule {
        buffers: vec![Buffer { dtype: Dtype::F32, len: n }; ops.len() + 1],
        inputs: vec![(id(0), aval.clone())],
        outputs: vec![(id(ops.len()), aval)],
        steps: ops
            .iter()
            .enumerate()
            .map(|(i, op)| Step { kernel: unary(op, n), operands: vec![id(i), id(i + 1)] })
            .collect(),
    }
}

#[test]
fn temporaries_live_as_long_as_they_are_needed() {
    for n in [1, 7, 100, 5000] {
        let ops = ["exp", "neg", "tanh", "neg", "abs", "sqrt", "log1p", "sin", "cos", "logistic"];
        let mut schedule = chain(&ops, n);
        // An early temporary is needed again at the very end.
        let product = kernel(&format!(
            "kernel product(b0: read f32[{n}], b1: read f32[{n}], b2: write f32[{n}]) fast {{
               parallel p0 in 0..{n} {{
                 once {{
                   %0 = load b0[p0]
                   %1 = load b1[p0]
                   %2 = mul %0 %1
                   store b2[p0] = %2
                 }}
               }}
             }}"
        ));
        let last = BufferId::from(schedule.buffers.len());
        schedule.buffers.push(Buffer { dtype: Dtype::F32, len: n });
        let operands = vec![BufferId::from(2), BufferId::from(ops.len()), last];
        schedule.steps.push(Step { kernel: product, operands });
        schedule.outputs = vec![(last, Aval::new(Dtype::F32, [n]))];
        let x = filled(Dtype::F32, n, Fill::Tame, &mut Numbers(1));
        let want = schedule.eval(&[&x], Elementary::Shared).unwrap();
        let got = Cpu::new().unwrap().compile(schedule).unwrap().run(&[&x]).unwrap();
        assert_eq!(got.dispatches, ops.len() + 1);
        assert_close(&got.outputs[0], &want.outputs[0], Close::Within(1e-6), &|| "a chain".into());
    }
}

#[test]
fn results_may_be_inputs_and_shared() {
    let aval = Aval::new(Dtype::F32, [2, 3]);
    let mut schedule = chain(&["neg"], 6);
    let [x, y] = [BufferId::from(0), BufferId::from(1)];
    schedule.outputs = vec![(x, aval.clone()), (y, aval.clone()), (y, Aval::new(Dtype::F32, [6])), (x, aval)];
    let compiled = Cpu::new().unwrap().compile(schedule).unwrap();
    let input = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [6]).unwrap();
    let run = compiled.run(&[&input]).unwrap();
    let shown: Vec<String> = run.outputs.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "f32[2,3] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "f32[2,3] [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]",
            "f32[6] [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]",
            "f32[2,3] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
        ]
    );
}

#[test]
fn wrong_inputs_are_refused() {
    let compiled = Cpu::new().unwrap().compile(chain(&["neg"], 6)).unwrap();
    let short = Array::from_vec(vec![1.0f32; 5], [5]).unwrap();
    let other = Array::from_vec(vec![1i32; 6], [6]).unwrap();
    assert!(compiled.run(&[]).is_err());
    assert!(compiled.run(&[&short]).is_err());
    assert!(compiled.run(&[&other]).is_err());
}

#[test]
fn invalid_schedules_are_refused() {
    let mut schedule = chain(&["neg"], 6);
    schedule.buffers[1].len = 5;
    assert!(Cpu::new().unwrap().compile(schedule).is_err());
}

#[test]
fn several_threads_run_one_program() {
    let n = 10_000;
    let schedule = chain(&["exp", "sqrt", "log"], n);
    let compiled = Cpu::new().unwrap().compile(schedule.clone()).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (compiled, schedule) = (&compiled, &schedule);
            scope.spawn(move || {
                for i in 0..20 {
                    let x = filled(Dtype::F32, n, Fill::Tame, &mut Numbers(seed * 100 + i));
                    let got = compiled.run(&[&x]).unwrap();
                    if i == 0 {
                        let want = schedule.eval(&[&x], Elementary::Shared).unwrap();
                        assert_close(&got.outputs[0], &want.outputs[0], Close::Within(1e-6), &|| "threads".into());
                    }
                }
            });
        }
    });
}

fn contraction(dtype: Dtype, batch: &[usize], [m, n, k]: [usize; 3], transposed: [bool; 3]) -> Kernel {
    let outer: usize = batch.iter().product();
    let strides = |size: usize| -> String {
        let mut stride = size;
        let mut all: Vec<String> = Vec::new();
        for extent in batch.iter().rev() {
            all.push(stride.to_string());
            stride *= extent;
        }
        all.reverse();
        format!("[{}]", all.join(", "))
    };
    let matrix = |rows: usize, columns: usize, transposed: bool| {
        let (row, column) = if transposed { (1, rows.max(1)) } else { (columns.max(1), 1) };
        format!("offset 0 batch {} row {row} column {column}", strides(rows * columns))
    };
    kernel(&format!(
        "kernel product(b0: read {dtype}[{}], b1: read {dtype}[{}], b2: write {dtype}[{}]) fast {{
           contract {dtype} batch [{}] m {m} n {n} k {k} {{
             a = b0 {}
             b = b1 {}
             c = b2 {}
           }}
         }}",
        outer * m * k,
        outer * k * n,
        outer * m * n,
        batch.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
        matrix(m, k, transposed[0]),
        matrix(k, n, transposed[1]),
        matrix(m, n, transposed[2]),
    ))
}

#[test]
fn contractions() {
    let sizes = [
        [1, 1, 1],
        [3, 5, 7],
        [4, 4, 0],
        [1, 33, 9],
        [17, 1, 20],
        [16, 16, 16],
        [20, 19, 33],
        [64, 70, 5],
        [1, 300, 40],
    ];
    for dtype in [Dtype::F32, Dtype::F64] {
        for batch in [&[][..], &[3], &[2, 2]] {
            for mnk in sizes {
                for transposed in [[false; 3], [true, false, false], [false, true, false], [true, true, true]] {
                    check(&contraction(dtype, batch, mnk, transposed), Fill::Tame, Some(1e-5));
                }
            }
        }
    }
}

#[test]
fn listings_show_every_kernel() {
    let mut all = chain(&["exp", "neg"], 100);
    for step in &mut all.steps {
        step.kernel.numerics = Numerics::Strict;
    }
    let compiled = Cpu::new().unwrap().compile(all).unwrap();
    for stage in ["clif", "assembly"] {
        let listing = compiled.listing(stage).unwrap();
        assert_eq!(listing.len(), 2);
        assert!(listing[0].starts_with("; exp") && listing[0].lines().count() > 20, "{}", listing[0]);
    }
    assert!(compiled.listing("spirv").is_none());
}

/// More code than fits the first mapping.
#[test]
fn many_kernels_run() {
    let n = 37;
    let mut schedule = chain(&["sin"; 60], n);
    for (i, step) in schedule.steps.iter_mut().enumerate() {
        step.kernel = kernel(&format!(
            "kernel wave(b0: read f32[{n}], b1: write f32[{n}]) strict {{
               parallel p0 in 0..{n} {{
                 once {{
                   %0 = load b0[p0]
                   %1 = constant f32 {i}.5
                   %2 = add %0 %1
                   %3 = sin %2
                   store b1[p0] = %3
                 }}
               }}
             }}"
        ));
    }
    let x = inputs(&schedule, Fill::Wild, &mut Numbers(5));
    let want = schedule.eval(&[&x[0]], Elementary::Shared).unwrap();
    let compiled = Cpu::new().unwrap().compile(schedule).unwrap();
    let got = compiled.run(&[&x[0]]).unwrap();
    assert_close(&got.outputs[0], &want.outputs[0], Close::Bits, &String::new);
}

#[test]
fn a_run_reports_its_dispatches() {
    let schedule = schedule(unary("neg", 3));
    let x = inputs(&schedule, Fill::Tame, &mut Numbers(3));
    let run = Cpu::new().unwrap().compile(schedule).unwrap().run(&[&x[0]]).unwrap();
    assert_eq!(run.dispatches, 1);
}
