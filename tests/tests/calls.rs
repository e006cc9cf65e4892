//! `jit` inside traced code: three ways to make a call, one result.

use egrad::*;
use egrad_ir::kernel::Body;
use egrad_ir::schedule::Schedule;

fn mode(calls: Calls) -> Options {
    Options { device: Device::Cpu, calls, ..Options::default() }
}

const KEPT: [Calls; 2] = [Calls::PushIn, Calls::Dispatch];

/// Numbers that differ, none of them special.
fn numbers(dtype: Dtype, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n).map(|i| ((i * 7919 + 13) % 1009) as f64 / 500.0 - 1.0).collect();
    Array::from_f64(dtype, &data, shape).unwrap()
}

fn f32s(shape: &[usize]) -> Array {
    numbers(Dtype::F32, shape)
}

#[track_caller]
fn assert_close(what: &str, got: &Array, want: &Array) {
    assert_eq!(got.aval(), want.aval(), "{what}");
    for (i, (x, y)) in got.to_f64().iter().zip(want.to_f64()).enumerate() {
        assert!((x - y).abs() <= 1e-4 * y.abs().max(1.0), "{what}, element {i}: {x}, not {y}");
    }
}

/// How many calls a schedule makes, those inside what it calls included, and how many kernels.
fn calls(schedule: &Schedule) -> usize {
    let of = |body: &Body| match body {
        Body::Loops(_)
        | Body::Contract(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_) => 0,
        Body::Call(call) => 1 + calls(&call.callee),
    };
    schedule.steps.iter().map(|step| of(&step.kernel.body)).sum()
}

/// What functions here return, as a list of arrays.
trait Leaves {
    fn leaves(self) -> Vec<Array>;
}

impl Leaves for Array {
    fn leaves(self) -> Vec<Array> {
        vec![self]
    }
}

macro_rules! tuples {
    ($($($A:ident $i:tt),+;)*) => {$(
        impl<$($A: Leaves),+> Leaves for ($($A,)+) {
            fn leaves(self) -> Vec<Array> {
                [$(self.$i.leaves()),+].concat()
            }
        }
    )*};
}
tuples! { A 0, B 1; A 0, B 1, C 2, D 3, E 4, F 5; }

/// Runs a function of arrays in every mode; checks the results against the interpreter's, and that
/// the modes that keep calls make at least so many, if it matters.
macro_rules! check {
    ($name:literal, $least:expr, $make:expr, $($arg:expr),+) => {{
        let args = ($($arg,)+);
        let reference = Options { device: Device::Interpreter, ..Options::default() };
        let want = $make.options(reference).run(&args).unwrap().0.leaves();
        for calls_mode in Calls::ALL {
            let compiled = $make.options(mode(calls_mode)).compile(&args).unwrap();
            let n = calls(compiled.schedule().unwrap());
            if let Some(least) = $least.filter(|_| KEPT.contains(&calls_mode)) {
                assert!(n >= least, "{}: {calls_mode} makes {n} calls", $name);
            }
            if calls_mode == Calls::Inline {
                assert_eq!(n, 0, "{}", $name);
            }
            let got = compiled.call(&args).unwrap().leaves();
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                assert_close(&format!("{}, {calls_mode}", $name), got, want);
            }
        }
    }};
}

fn row(w: Tensor, x: Tensor) -> Tensor {
    (x.dot(w).tanh() + x.sum()).softmax(-1)
}

fn loss(w: Tensor, x: Tensor) -> Tensor {
    row(w, x).powi(2).sum()
}

#[test]
fn every_mode_gives_the_same() {
    let (w, x) = (f32s(&[5, 5]), f32s(&[7, 5]));
    check!("a plain call", Some(1), jit(|w: Tensor, x: Tensor| jit(row).call((w, x)).exp()), w.clone(), f32s(&[5]));
    check!("vmap", Some(1), jit(vmap(jit(row), (None, 0))), w.clone(), x.clone());
    check!("a transposing copy", Some(1), jit(vmap(jit(row), (None, 1))), w.clone(), f32s(&[5, 9]));
    check!("out axes", Some(1), jit(vmap_with(jit(row), (None, 0), 1)), w.clone(), x.clone());
    check!("both mapped", Some(1), jit(vmap(jit(row), (0, 0))), f32s(&[3, 5, 5]), f32s(&[3, 5]));
    check!("a batch of one", Some(1), jit(vmap(jit(row), (None, 0))), w.clone(), f32s(&[1, 5]));
    check!("an empty batch", None::<usize>, jit(vmap(jit(row), (None, 0))), w.clone(), f32s(&[0, 5]));
    check!("grad of jit", Some(1), jit(grad(jit(loss))), w.clone(), f32s(&[5]));
    check!("per-example gradients", Some(1), jit(vmap(grad(jit(loss)), (None, 0))), w.clone(), x.clone());
    check!("jit of grad", Some(1), jit(vmap(jit(grad(loss)), (None, 0))), w.clone(), x.clone());
    check!(
        "grad of vmap of jit",
        Some(2),
        jit(grad(|w: Tensor, x: Tensor| vmap(jit(loss), (None, 0))(w, x).sum())),
        w.clone(),
        x.clone()
    );
    check!("nested batches", Some(1), jit(vmap(vmap(jit(row), (None, 0)), (None, 0))), w.clone(), f32s(&[3, 4, 5]));
    check!(
        "nested calls",
        Some(2),
        jit(vmap(
            jit(|w: Tensor, x: Tensor| jit(row).call((w.sin(), x)) * vmap(jit(|a: Tensor| a * a), 0)(x)),
            (None, 0)
        )),
        w.clone(),
        x.clone()
    );
    check!("second order", Some(1), jit(vmap(hessian(jit(|x: Tensor| (x.sin() * x).sum().exp())), 0)), f32s(&[3, 4]));
    check!(
        "jvp",
        Some(1),
        jit(|x: Tensor| jvp(|x: Tensor| vmap(jit(|r: Tensor| r.sin().sum()), 0)(x))((x,), (x * x,))),
        f32s(&[3, 4])
    );
    check!(
        "captured",
        Some(1),
        jit(|w: Tensor, x: Tensor| vmap(jit(move |r: Tensor| row(w, r)), 0)(x)),
        w.clone(),
        x.clone()
    );
    check!(
        "results as they came in, twice, and constant",
        Some(1),
        jit(vmap(jit(|x: Tensor, n: Tensor| (x, x, x.sum(), ones_like(x), n.not(), x.reshape([4]))), (0, None))),
        f32s(&[6, 2, 2]),
        numbers(Dtype::Bool, &[3])
    );
    check!(
        "f64, i32",
        Some(1),
        jit(vmap(jit(|x: Tensor, n: Tensor| (x.sin() * x, n + 1)), (0, 0))),
        numbers(Dtype::F64, &[11, 3]),
        numbers(Dtype::I32, &[11])
    );
}

/// What has no derivative has none through a call either: a zero for it would be NaN here.
#[test]
fn absent_derivatives_stay_absent() {
    let f = |x: Tensor| {
        let pair = jit(|x: Tensor| (2.0 * x, x.stop_gradient() * f64::INFINITY));
        let (a, b) = pair.call((x,));
        a + 0.0 * b
    };
    for calls in Calls::ALL {
        let slope = jit(grad(f)).options(mode(calls))(&Array::from(1.0f32)).unwrap();
        assert_eq!(slope.item::<f32>().unwrap(), 2.0, "{calls}");
        let slopes = jit(vmap(grad(f), 0)).options(mode(calls))(&f32s(&[3])).unwrap();
        assert_eq!(slopes.to_f64(), [2.0; 3], "{calls}");
    }
    let times = |x: Tensor, n: Tensor| jit(|x: Tensor, n: Tensor| x * n.convert(Dtype::F32)).call((x, n));
    for calls in Calls::ALL {
        let slope = jit(grad(times)).options(mode(calls))(&Array::from(1.0f32), &Array::from(3i32)).unwrap();
        assert_eq!(slope.item::<f32>().unwrap(), 3.0, "{calls}");
    }
}

/// A hundred arguments, some of them unused; results nobody asks for.
#[test]
fn calls_take_many_arguments() {
    let f = |xs: Vec<Tensor>| {
        let all = jit(|xs: Vec<Tensor>| (xs.iter().skip(3).fold(xs[0], |s, x| s + x.sin()), xs[1] * xs[2], xs[5]));
        all.call((xs,)).0
    };
    let args = (vec![f32s(&[4]); 100],);
    let want = jit(f).options(mode(Calls::Inline)).compile(&args).unwrap().call(&args).unwrap();
    for calls in KEPT {
        let compiled = jit(f).options(mode(calls)).compile(&args).unwrap();
        assert_close(calls.name(), &compiled.call(&args).unwrap(), &want);
        let Body::Call(call) = &compiled.schedule().unwrap().steps[0].kernel.body else { panic!("a call") };
        assert_eq!((call.inputs.len(), call.outputs.len()), (98, 1), "{calls}");
    }
}

/// Calls that double at every level are refused before anything walks them all.
#[test]
fn calls_that_multiply_are_refused() {
    let mut text = "egrad 1\nfn @0 f(%0: f32[]) { %1 = sin %0 return %1 }\n".to_owned();
    for i in 1..=60 {
        let call =
            |to: usize, x: usize| format!("%{} = call @{} %{x} %{to} = get %{} {{index = 0}}", to - 1, i - 1, to - 1);
        text.push_str(&format!("fn @{i} f(%0: f32[]) {{ {} {} return %4 }}\n", call(2, 0), call(4, 2)));
    }
    let program = Program::parse(&text).unwrap();
    for calls in Calls::ALL {
        let options = egrad_rewrite::Options { calls, ..Default::default() };
        assert_eq!(egrad_rewrite::compile(&program, &options).unwrap_err().kind(), "memory", "{calls}");
    }
}

#[test]
fn the_order_of_jit_and_vmap_makes_no_difference() {
    let (w, x) = (f32s(&[5, 5]), f32s(&[64, 5]));
    let args = (w, x);
    let kernels = |compiled: &Compiled<(Array, Array), Array>| {
        compiled.schedule().unwrap().steps.iter().map(|s| s.kernel.to_string()).collect::<Vec<_>>()
    };
    for calls in [Calls::Inline, Calls::Auto] {
        let inside = jit(vmap(loss, (None, 0))).options(mode(calls)).compile(&args).unwrap();
        let outside = jit(vmap(jit(loss), (None, 0))).options(mode(calls)).compile(&args).unwrap();
        assert_eq!(kernels(&inside), kernels(&outside), "{calls}");
        let inside = jit(vmap(grad(loss), (None, 0))).options(mode(calls)).compile(&args).unwrap();
        let outside = jit(vmap(jit(grad(loss)), (None, 0))).options(mode(calls)).compile(&args).unwrap();
        assert_eq!(kernels(&inside), kernels(&outside), "{calls}");
    }
}

#[test]
fn dispatch_recompiles_nothing() {
    let w = f32s(&[5, 5]);
    let f = jit(vmap(jit(row), (None, 0))).options(mode(Calls::Dispatch));
    let few = f.compile(&(w.clone(), f32s(&[7, 5]))).unwrap();
    let many = f.compile(&(w.clone(), f32s(&[1000, 5]))).unwrap();
    assert!(!few.code().is_empty());
    assert_eq!(few.code(), many.code());
    // Another program that calls the same function runs the same code too.
    let other = jit(|w: Tensor, x: Tensor| vmap(jit(row), (None, 0))(w, x).sum()).options(mode(Calls::Dispatch));
    let other = other.compile(&(w.clone(), f32s(&[20, 5]))).unwrap();
    assert!(few.code().iter().all(|at| other.code().contains(at)), "{:?} {:?}", few.code(), other.code());
    // Of another type it is another function.
    let wide = jit(vmap(jit(row), (None, 0))).options(mode(Calls::Dispatch));
    let wide = wide.compile(&(numbers(Dtype::F64, &[5, 5]), numbers(Dtype::F64, &[7, 5]))).unwrap();
    assert!(few.code().iter().all(|at| !wide.code().contains(at)));
}

#[test]
fn one_function_called_often_is_compiled_once() {
    let f = jit(|x: Tensor| {
        let step = jit(|x: Tensor| (x.sin() * x).softmax(-1));
        (0..6).fold(x, |x, _| step.call((x,)))
    })
    .options(mode(Calls::PushIn));
    let x = f32s(&[33]);
    let compiled = f.compile(&(x.clone(),)).unwrap();
    let callees = compiled.schedule().unwrap().steps.iter().filter_map(|s| match &s.kernel.body {
        Body::Call(call) => Some(std::sync::Arc::as_ptr(&call.callee)),
        Body::Loops(_)
        | Body::Contract(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_) => None,
    });
    let callees: Vec<_> = callees.collect();
    assert_eq!(callees.len(), 6);
    assert!(callees.iter().all(|c| *c == callees[0]));
    let distinct: std::collections::BTreeSet<usize> = compiled.code().into_iter().collect();
    assert!(distinct.len() * 6 <= compiled.code().len(), "{:?}", compiled.code());
}

/// What auto chooses is never priced above inlining, and where the boundary costs nothing but
/// memory traffic it inlines.
#[test]
fn auto_inlines_what_is_small() {
    fn squared_error((w, b): (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
        (w * x + b - y).powi(2)
    }
    let f = jit(vmap(jit(grad(squared_error)), (None, 0, 0))).options(mode(Calls::Auto));
    let one = Array::from(1.0f32);
    let compiled = f.compile(&((one.clone(), one), f32s(&[1000]), f32s(&[1000]))).unwrap();
    assert_eq!(compiled.schedule().unwrap().steps.len(), 1);
    assert_eq!(calls(compiled.schedule().unwrap()), 0);
}

#[test]
fn run_op_by_op_calls_stay_whole() {
    let f = eager(|x: Tensor| jit(|x: Tensor| (x.sin() * x).exp() + 1.0).call((x + 1.0,)));
    let (_, report) = f.options(mode(Calls::Auto)).run(&(f32s(&[9]),)).unwrap();
    let g = eager(|x: Tensor| ((x + 1.0).sin() * (x + 1.0)).exp() + 1.0);
    let (_, plain) = g.options(mode(Calls::Auto)).run(&(f32s(&[9]),)).unwrap();
    assert!(report.dispatches < plain.dispatches, "{} {}", report.dispatches, plain.dispatches);
}

#[test]
fn errors_inside_a_call_name_the_line() {
    let f = jit(|x: Tensor| vmap(jit(|r: Tensor| r + f32_of_three()), 0)(x));
    let error = f(&f32s(&[2, 5])).unwrap_err().to_string();
    assert!(error.contains("`add`") && error.contains("calls.rs"), "{error}");
    fn f32_of_three() -> Tensor {
        zeros([3], Dtype::F32)
    }
}
