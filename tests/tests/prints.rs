//! What programs print: JAX's lines, in the order of the program, under every nesting of transforms.

use egrad::{
    Array, Calls, Device, Dtype, Error, Options, Program, Tensor, arange, checkpoint, cond, custom_jvp, debug_print,
    fori_loop, grad, hessian, jacfwd, jacrev, jit, jvp, linearize, scan, set_print_sink, switch, trace,
    value_and_grad_with_aux, vmap, while_loop,
};
use egrad_ir::kernel::{Backend, Kernel, KernelInterpreter};
use std::sync::{Arc, Mutex, PoisonError};

/// The sink is one for the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What is printed meanwhile.
fn printed<T>(run: impl FnOnce() -> T) -> (Vec<String>, T) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let to = lines.clone();
    set_print_sink(Some(Arc::new(move |line: &str| to.lock().unwrap().push(line.to_owned()))));
    let result = run();
    set_print_sink(None);
    let lines = lines.lock().unwrap().clone();
    (lines, result)
}

fn array(data: &[f32], shape: &[usize]) -> Array {
    Array::from_vec(data.to_vec(), shape.to_vec()).unwrap()
}

/// What the function prints on the interpreter and on the CPU in every way of making calls, where its
/// results are the same; twice, because the second run compiles nothing.
#[track_caller]
fn prints<F>(f: impl Fn() -> F, x: &Array, want: &[&str])
where
    F: egrad::Function<(Tensor,), Output = Tensor>,
{
    let mut results: Vec<Vec<f64>> = Vec::new();
    for (device, calls) in [
        (Device::Interpreter, Calls::Auto),
        (Device::Cpu, Calls::Auto),
        (Device::Cpu, Calls::Inline),
        (Device::Cpu, Calls::PushIn),
        (Device::Cpu, Calls::Dispatch),
    ] {
        let compiled = jit::<F, (Tensor,)>(f()).options(Options { device, calls, ..Options::default() });
        for _ in 0..2 {
            let (lines, got) = printed(|| compiled.run(&(x.clone(),)).unwrap().0);
            assert_eq!(lines, want, "{device:?}, {calls:?}");
            results.push(got.to_f64());
        }
    }
    let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(results.iter().all(|r| close(r, &results[0])), "{results:?}");
}

fn sine(x: Tensor) -> Tensor {
    debug_print("x {} y {}", (x, 2.0 * x));
    x.sin()
}

/// The batch of a function of scalars.
fn over<F: egrad::Function<(Tensor,), Output = Tensor>>(f: F) -> impl Fn(Tensor) -> Tensor + 'static {
    vmap::<F, (Tensor,), i32>(f, 0).boxed()
}

fn recurrence(x: Tensor) -> Tensor {
    let step = |c: Tensor, e: Tensor| {
        debug_print("c {} e {}", (c, e));
        (c * e + 1.0, c)
    };
    scan(step, x, arange(3, Dtype::F32)).0
}

fn branches(x: Tensor) -> Tensor {
    let on_true = |x: Tensor| {
        debug_print("t {}", x);
        x
    };
    let on_false = |x: Tensor| {
        debug_print("u {}", x);
        -x
    };
    cond(x.gt(1), on_true, on_false, (x,))
}

fn doubling(x: Tensor) -> Tensor {
    let step = |c: Tensor| {
        debug_print("c {}", c);
        2.0 * c
    };
    while_loop(|c: Tensor| c.lt(10), step, x)
}

/// Every line is JAX 0.10.2's for the same function, which writes arrays without commas.
#[test]
fn lines_are_those_of_jax() {
    let (one, three) = (Array::from(1.5f32), array(&[0.0, 1.0, 2.0], &[3]));
    prints(|| sine, &three, &["x [0.0, 1.0, 2.0] y [0.0, 2.0, 4.0]"]);
    prints(|| grad(|x: Tensor| sine(x).sum()), &three, &["x [0.0, 1.0, 2.0] y [0.0, 2.0, 4.0]"]);
    prints(|| over(sine), &three, &["x 0.0 y 0.0", "x 1.0 y 2.0", "x 2.0 y 4.0"]);
    prints(|| recurrence, &one, &["c 1.5 e 0.0", "c 1.0 e 1.0", "c 2.0 e 2.0"]);
    prints(|| grad(recurrence), &one, &["c 1.5 e 0.0", "c 1.0 e 1.0", "c 2.0 e 2.0"]);
    prints(|| branches, &Array::from(0.5f32), &["u 0.5"]);
    prints(|| branches, &Array::from(2.5f32), &["t 2.5"]);
    prints(|| doubling, &Array::from(3.0f32), &["c 3.0", "c 6.0"]);
    prints(|| over(doubling), &array(&[3.0, 6.0], &[2]), &["c 3.0", "c 6.0", "c 6.0", "c 12.0"]);
    prints(|| over(grad(sine)), &array(&[0.5, 1.5], &[2]), &["x 0.5 y 1.0", "x 1.5 y 3.0"]);
    prints(|| grad(|x: Tensor| over(sine)(x).sum()), &array(&[0.5, 1.5], &[2]), &["x 0.5 y 1.0", "x 1.5 y 3.0"]);
    prints(|| |x: Tensor| jvp(doubling)((x,), (x,)).1, &Array::from(3.0f32), &["c 3.0", "c 6.0"]);
    prints(|| jacrev(sine), &three, &["x [0.0, 1.0, 2.0] y [0.0, 2.0, 4.0]"]);
    prints(|| jacfwd(sine), &three, &["x [0.0, 1.0, 2.0] y [0.0, 2.0, 4.0]"]);
    prints(|| hessian(|x: Tensor| sine(x).sum()), &three, &["x [0.0, 1.0, 2.0] y [0.0, 2.0, 4.0]"]);
    let aux = |x: Tensor| value_and_grad_with_aux(|x: Tensor| (sine(x), x))(x).1;
    prints(|| aux, &one, &["x 1.5 y 3.0"]);
}

/// The search for a NaN runs the program again, and prints nothing.
#[test]
fn prints_once_where_nans_are_searched() {
    let f = |x: Tensor| {
        debug_print("x {}", x);
        scan(
            |c: Tensor, e: Tensor| {
                debug_print("e {}", e);
                (c / e, c)
            },
            x,
            arange(2, Dtype::F32),
        )
        .0 * 0.0
    };
    for device in [Device::Interpreter, Device::Cpu] {
        let options = Options { device, debug_nans: true, ..Options::default() };
        let (lines, result) = printed(|| jit(f).options(options)(&Array::from(1.5f32)));
        assert_eq!(lines, ["x 1.5", "e 0.0", "e 1.0"], "{device}");
        assert_eq!(result.unwrap_err().kind(), "numeric");
    }
}

/// Under two batches the inner one's elements vary slowest; under a loop each step's come together.
#[test]
fn batches_have_an_order() {
    let two_by_three = array(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3]);
    let lines = ["x 0.0 y 0.0", "x 3.0 y 6.0", "x 1.0 y 2.0", "x 4.0 y 8.0", "x 2.0 y 4.0", "x 5.0 y 10.0"];
    prints(|| over(over(sine)), &two_by_three, &lines);
    let two = array(&[1.5, 2.5], &[2]);
    let steps = ["c 1.5 e 0.0", "c 2.5 e 0.0", "c 1.0 e 1.0", "c 1.0 e 1.0", "c 2.0 e 2.0", "c 2.0 e 2.0"];
    prints(|| over(recurrence), &two, &steps);
    prints(|| over(grad(recurrence)), &two, &steps);
    // What elements share is printed once, or beside what differs.
    let shared = |x: Tensor| {
        let y = 7.5 * egrad::ones_like(x.sum());
        over(move |x: Tensor| {
            debug_print("y {}", y);
            debug_print("x {} y {}", (x, y));
            x + y
        })(x)
    };
    prints(|| shared, &two, &["y 7.5", "x 1.5 y 7.5", "x 2.5 y 7.5"]);
    // Elements that go different ways go both; which comes first nobody says.
    let f = jit(over(branches)).options(Options { device: Device::Cpu, ..Options::default() });
    let (mut lines, _) = printed(|| f(&array(&[0.5, 2.5], &[2])).unwrap());
    lines.sort();
    assert_eq!(lines, ["t 0.5", "t 2.5", "u 0.5", "u 2.5"]);
    prints(|| over(sine), &array(&[], &[0]), &[]);
}

#[test]
fn none_is_left_out_or_doubled_and_they_are_in_order() {
    let one = Array::from(1.5f32);
    let f = |x: Tensor| {
        debug_print!("same {}", x);
        debug_print!("same {}", x);
        debug_print!("nothing");
        let y = 3.0 * x;
        debug_print!("dead {}", y);
        x
    };
    prints(|| f, &one, &["same 1.5", "same 1.5", "nothing", "dead 4.5"]);
    prints(|| grad(grad(f)), &one, &["same 1.5", "same 1.5", "nothing", "dead 4.5"]);
    // A loop whose results nobody uses, between others.
    let unused = |x: Tensor| {
        debug_print!("before");
        let _ = recurrence(x);
        let _ = branches(x);
        let _ = fori_loop(0, 2, |i: Tensor, c: Tensor| sine(c) + i.convert(Dtype::F32), x);
        debug_print!("after");
        x
    };
    let x = Array::from(0.0f32);
    let all = ["before", "c 0.0 e 0.0", "c 1.0 e 1.0", "c 2.0 e 2.0", "u 0.0", "x 0.0 y 0.0", "x 0.0 y 0.0", "after"];
    prints(|| unused, &x, &all);
    prints(|| grad(unused), &x, &all);
    // Calls, of which each prints.
    let calls = |x: Tensor| egrad::Function::call(&jit(sine), (x,)) + egrad::Function::call(&jit(sine), (x,));
    prints(|| calls, &one, &["x 1.5 y 3.0"; 2]);
    prints(|| grad(calls), &one, &["x 1.5 y 3.0"; 2]);
    // A linear map prints when it is made, not when it is applied.
    let linear = |x: Tensor| {
        let (y, map) = linearize(sine)(x);
        debug_print!("between");
        y + map((x,)) + map((2.0 * x,))
    };
    prints(|| linear, &one, &["x 1.5 y 3.0", "between"]);
}

#[test]
fn loops_and_branches_nest() {
    let steps = |x: Tensor| {
        let step = |c: Tensor, e: Tensor| {
            let on_true = |c: Tensor| {
                debug_print!("big {}", c);
                2.0 * c
            };
            let c = cond(e.gt(0.5), on_true, |c: Tensor| c + 1.0, (c,));
            (c, c)
        };
        scan(step, x, 0.5 * arange(3, Dtype::F32)).0
    };
    prints(|| steps, &Array::from(1.5f32), &["big 3.5"]);
    prints(|| grad(steps), &Array::from(1.5f32), &["big 3.5"]);
    let nested = |x: Tensor| {
        fori_loop(
            0,
            2,
            |i: Tensor, c: Tensor| {
                debug_print!("step {}", i);
                fori_loop(
                    0,
                    2,
                    move |j: Tensor, c: Tensor| {
                        debug_print!("{{{}, {}}}", i, j);
                        c * 2.0
                    },
                    c,
                )
            },
            x,
        )
    };
    let all = ["step 0", "{0, 0}", "{0, 1}", "step 1", "{1, 0}", "{1, 1}"];
    prints(|| nested, &Array::from(1.0f32), &all);
    prints(|| grad(nested), &Array::from(1.0f32), &all);
    let chosen = |x: Tensor| {
        let branches: [fn(Tensor) -> Tensor; 3] = [|x| x, sine, |x| -x];
        switch(x.convert(Dtype::I32), branches, (x,))
    };
    prints(|| chosen, &Array::from(0.0f32), &[]);
    prints(|| chosen, &Array::from(1.0f32), &["x 1.0 y 2.0"]);
    prints(|| grad(chosen), &Array::from(1.0f32), &["x 1.0 y 2.0"]);
}

/// What a checkpoint computes again may be printed again.
#[test]
fn checkpoints_print_at_most_twice() {
    let f = jit(grad(checkpoint(|x: Tensor| sine(x).sin())));
    let f = f.options(Options { device: Device::Cpu, ..Options::default() });
    let (lines, _) = printed(|| f(&Array::from(1.5f32)).unwrap());
    assert!((1..=2).contains(&lines.len()) && lines.iter().all(|line| line == "x 1.5 y 3.0"), "{lines:?}");
    prints(|| checkpoint(sine), &Array::from(1.5f32), &["x 1.5 y 3.0"]);
}

#[test]
fn every_type_and_shape_has_a_text() {
    let all = |x: Tensor| {
        debug_print!("{} {} {}", x.gt(1), x.convert(Dtype::I64), x.convert(Dtype::U8));
        debug_print!("{} {}", x.convert(Dtype::F64).reshape([2, 2]), x.convert(Dtype::I32).reshape([4, 1]));
        debug_print!("{}", x.slice([0], [0]));
        debug_print!("{} {}", (x - 1.0) / 0.0, arange(1001, Dtype::U32));
        x
    };
    let want = [
        "[false, false, true, true] [0, 1, 2, 3] [0, 1, 2, 3]",
        "[[0.0, 1.0], [2.0, 3.0]] [[0], [1], [2], [3]]",
        "[]",
        "[-inf, nan, inf, inf] [0, 1, 2, …, 998, 999, 1000]",
    ];
    prints(|| all, &array(&[0.0, 1.0, 2.0, 3.0], &[4]), &want);
}

fn refused(f: impl Fn(Tensor) -> Tensor + 'static) -> Error {
    jit(f)(&Array::from(1.0f32)).unwrap_err()
}

#[test]
fn what_is_refused_is_named() {
    let asked = refused(|x: Tensor| {
        let more = |c: Tensor| {
            debug_print!("c {}", c);
            c.lt(3)
        };
        while_loop(more, |c: Tensor| c + 1.0, x)
    });
    assert!(matches!(asked, Error::Trace(_)) && asked.to_string().contains("in the condition of a `while_loop`"));
    let own = refused(|x: Tensor| custom_jvp(sine, |(x,): (Tensor,), (t,): (Tensor,)| (x.sin(), t * x.cos()))(x));
    assert!(own.to_string().contains("`debug_print` in `sine`, which has a derivative of its own"), "{own}");
    let format = refused(|x: Tensor| {
        debug_print("{x}", x);
        x
    });
    assert!(matches!(format, Error::Parse(_)) && format.to_string().contains("prints.rs"), "{format}");
    let number = refused(|x: Tensor| {
        debug_print("{} {}", x);
        x
    });
    assert!(number.to_string().contains("`debug_print` of 1 tensors with 2 placeholders"), "{number}");
}

/// A program that prints is refused before anything runs, wherever the print is.
#[test]
fn vulkan_refuses() {
    let f = jit(|x: Tensor| x).device(Device::Vulkan);
    if f(&Array::from(1.5f32)).is_err() {
        assert!(std::env::var_os("EGRAD_REQUIRE_VULKAN").is_none());
        return;
    }
    for f in [sine as fn(Tensor) -> Tensor, recurrence, doubling, branches] {
        let f = jit(f).device(Device::Vulkan);
        let (lines, error) = printed(|| f(&Array::from(1.5f32)).unwrap_err());
        assert!(lines.is_empty());
        assert!(matches!(error, Error::Device(_)) && error.to_string().contains("`debug_print`"), "{error}");
    }
}

#[test]
fn programs_and_kernels_that_print_have_texts() {
    for f in [sine as fn(Tensor) -> Tensor, recurrence, doubling, branches] {
        let program = trace(grad_of(f), &(Array::from(1.5f32),)).unwrap();
        assert_eq!(Program::parse(&program.to_string()).unwrap().to_string(), program.to_string());
        let options = Options { device: Device::Cpu, ..Options::default() };
        let compiled = jit(f).options(options).compile(&(Array::from(1.5f32),)).unwrap();
        let schedule = compiled.schedule().unwrap();
        schedule.verify().unwrap();
        let text = schedule.to_string();
        assert!(text.contains("print \""), "{text}");
        for step in &schedule.steps {
            assert_eq!(Kernel::parse(&step.kernel.to_string()).unwrap(), step.kernel);
        }
        // The kernels' interpreter prints what the CPU does.
        let x = Array::from(1.5f32);
        let (want, _) = printed(|| compiled.call(&(x.clone(),)).unwrap());
        let interpreted = KernelInterpreter::default().compile(schedule.clone()).unwrap();
        let (lines, _) = printed(|| interpreted.run(&[&x]).unwrap());
        assert_eq!(lines, want);
    }
}

fn grad_of(f: fn(Tensor) -> Tensor) -> impl Fn(Tensor) -> Tensor + 'static {
    move |x: Tensor| jvp(f)((x,), (x,)).1
}
