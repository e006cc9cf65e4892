//! Functions with derivatives of their own, under every nesting of transforms; derivatives in other
//! forms; checks of derivatives; searches for NaN; limits of memory.

use egrad::{
    Array, Calls, Device, Error, Modes, Options, Result, Span, Tensor, check_grads, cond, custom_jvp, custom_vjp,
    fori_loop, grad, grad_with_aux, hessian, hvp, jacfwd, jacrev, jit, jvp, linearize, trace, value_and_grad_with_aux,
    vjp, vmap, vmap_chunked,
};

fn array(data: &[f64]) -> Array {
    Array::from_vec(data.to_vec(), [data.len()]).unwrap()
}

fn x() -> Array {
    array(&[0.5, -1.5, 2.0])
}

/// Runs on the interpreter and on the CPU in every way of making calls; the results agree.
#[track_caller]
fn everywhere<F>(f: impl Fn() -> F, args: &(Array,)) -> Vec<f64>
where
    F: egrad::Function<(Tensor,), Output = Tensor>,
{
    let interpreter = Options { device: Device::Interpreter, ..Options::default() };
    let want = jit::<F, (Tensor,)>(f()).options(interpreter).run(args).unwrap().0;
    for calls in [Calls::Auto, Calls::Inline, Calls::PushIn, Calls::Dispatch] {
        let options = Options { device: Device::Cpu, calls, ..Options::default() };
        let got = jit::<F, (Tensor,)>(f()).options(options).run(args).unwrap().0;
        assert_eq!(got.shape(), want.shape());
        for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
            assert!((g - w).abs() <= 1e-12 * w.abs().max(1.0), "{calls:?}: {got}, not {want}");
        }
    }
    want.to_f64()
}

/// sin, said to have the derivative 2 cos: told apart from the real one.
fn sine(x: Tensor) -> Tensor {
    custom_jvp(|x: Tensor| x.sin(), |(x,), (dx,)| (x.sin(), dx * x.cos() * 2.0))(x)
}

/// The same in reverse mode.
fn sine_back(x: Tensor) -> Tensor {
    custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sin(), x.cos()), |c: Tensor, g: Tensor| (g * c * 2.0,))(x)
}

#[track_caller]
fn like(got: &[f64], want: impl Fn(f64) -> f64) {
    for (g, x) in got.iter().zip(x().to_f64()) {
        assert!((g - want(x)).abs() < 1e-12, "{got:?}: at {x} it should be {}", want(x));
    }
}

/// One rule in forward mode, the other in reverse mode: the same answers under everything that both
/// have.
#[test]
fn rules_are_used() {
    for f in [sine, sine_back] {
        let x = (x(),);
        like(&everywhere(|| f, &x), f64::sin);
        like(&everywhere(|| grad(move |x: Tensor| f(x).sum()), &x), |x| 2.0 * x.cos());
        like(&everywhere(|| vmap(f, 0), &x), f64::sin);
        like(&everywhere(|| vmap(grad(f), 0), &x), |x| 2.0 * x.cos());
        like(&everywhere(|| grad(move |x: Tensor| vmap(f, 0)(x).sum()), &x), |x| 2.0 * x.cos());
        like(&everywhere(|| vmap(jit(grad(jit(f))), 0), &x), |x| 2.0 * x.cos());
        // The rule's own derivative: that of 2 cos x, which the rule says nothing of.
        like(&everywhere(|| vmap(grad(grad(f)), 0), &x), |x| -2.0 * x.sin());
        like(&everywhere(|| grad(move |x: Tensor| vmap(grad(f), 0)(x).sum()), &x), |x| -2.0 * x.sin());
        like(&everywhere(|| vmap(grad(vmap_over_two(f)), 0), &x), |x| 4.0 * x.cos());
        like(&everywhere(|| vmap(jacfwd(jacrev(f)), 0), &x), |x| -2.0 * x.sin());
        like(&everywhere(|| vmap(grad(grad(grad(f))), 0), &x), |x| -2.0 * x.cos());
    }
    like(&everywhere(|| move |x: Tensor| jvp(sine)((x,), (x * 0.0 + 1.0,)).1, &(x(),)), |x| 2.0 * x.cos());
    like(&everywhere(|| vmap(jacfwd(sine), 0), &(x(),)), |x| 2.0 * x.cos());
    like(&everywhere(|| vmap(jacfwd(jacfwd(sine)), 0), &(x(),)), |x| -2.0 * x.sin());
}

#[test]
fn rules_are_used_in_loops_and_branches_and_may_hold_them() {
    let twice = |f: fn(Tensor) -> Tensor| move |x: Tensor| fori_loop(0, 2, move |_: Tensor, y: Tensor| f(y), x);
    let slope = |x: f64| 4.0 * x.cos() * x.sin().cos();
    for f in [sine, sine_back] {
        like(&everywhere(|| vmap(twice(f), 0), &(x(),)), |x| x.sin().sin());
        like(&everywhere(|| vmap(grad(twice(f)), 0), &(x(),)), slope);
        like(&everywhere(|| grad(move |x: Tensor| vmap(twice(f), 0)(x).sum()), &(x(),)), slope);
        let chosen = move |x: Tensor| cond(x.gt(0.0), f, |x: Tensor| x * 10.0, (x,));
        let want = |x: f64| if x > 0.0 { 2.0 * x.cos() } else { 10.0 };
        like(&everywhere(|| vmap(grad(chosen), 0), &(x(),)), want);
    }
    like(&everywhere(|| vmap(jacfwd(twice(sine)), 0), &(x(),)), slope);
    // A loop in the rule: x³, with the derivative 5x², in either mode.
    let power = |x: Tensor, n: i32| fori_loop(0, n, move |_: Tensor, y: Tensor| y * x, x * 0.0 + 1.0);
    let cube = move |x: Tensor| {
        custom_jvp(move |x: Tensor| power(x, 3), move |(x,), (dx,)| (power(x, 3), dx * 5.0 * power(x, 2)))(x)
    };
    like(&everywhere(|| vmap(cube, 0), &(x(),)), |x| x.powi(3));
    like(&everywhere(|| vmap(grad(cube), 0), &(x(),)), |x| 5.0 * x * x);
    like(&everywhere(|| vmap(jacfwd(cube), 0), &(x(),)), |x| 5.0 * x * x);
    like(&everywhere(|| vmap(grad(grad(cube)), 0), &(x(),)), |x| 10.0 * x);
}

/// Σ of f over a batch of two equal elements.
fn vmap_over_two(f: fn(Tensor) -> Tensor) -> impl Fn(Tensor) -> Tensor {
    move |x: Tensor| vmap(f, 0)(egrad::stack([x, x], 0)).sum()
}

#[test]
fn a_rule_may_use_the_function() {
    // d/dx eˣ is the function itself, with its rule.
    fn exp(x: Tensor) -> Tensor {
        custom_jvp(
            |x: Tensor| x.exp(),
            |(x,), (dx,)| {
                let y = exp_again(x);
                (y, dx * y)
            },
        )(x)
    }
    fn exp_again(x: Tensor) -> Tensor {
        custom_jvp(|x: Tensor| x.exp(), |(x,), (dx,)| (x.exp(), dx * x.exp() * 3.0))(x)
    }
    like(&everywhere(|| vmap(grad(exp), 0), &(x(),)), f64::exp);
    like(&everywhere(|| vmap(grad(grad(exp)), 0), &(x(),)), |x| 3.0 * x.exp());
    like(&everywhere(|| vmap(jacfwd(jacfwd(exp)), 0), &(x(),)), |x| 3.0 * x.exp());
}

#[test]
fn several_arguments_and_results_some_of_them_integers() {
    // (w x, n) with gradients (2 x ḡ, 3 w ḡ) by (w, x); w is shared by the batch.
    type Args = ((Tensor, Tensor), Tensor);
    fn scaled() -> impl Fn((Tensor, Tensor), Tensor) -> (Tensor, Tensor) {
        custom_vjp(
            |(w, x): (Tensor, Tensor), n: Tensor| (w * x, n),
            |(w, x): (Tensor, Tensor), n: Tensor| ((w * x, n), vec![w, x, n]),
            |kept: Vec<Tensor>, (g, _): (Tensor, Tensor)| ((kept[1] * g * 2.0, kept[0] * g * 3.0), kept[2]),
        )
    }
    fn pushed() -> impl Fn((Tensor, Tensor), Tensor) -> (Tensor, Tensor) {
        custom_jvp(
            |(w, x): (Tensor, Tensor), n: Tensor| (w * x, n),
            |((w, x), n): Args, ((dw, dx), dn): Args| ((w * x, n), (dw * x * 2.0 + dx * w * 3.0, dn)),
        )
    }
    let (w, n) = (Array::from(10.0f64), Array::from(7));
    for which in [true, false] {
        let f = move |p: (Tensor, Tensor), n: Tensor| if which { scaled()(p, n) } else { pushed()(p, n) };
        let batched = move |(w, x): (Tensor, Tensor), n: Tensor| {
            let (y, n) = vmap(f, ((None, 0), None))((w, x), n);
            (y * (egrad::arange(3, egrad::Dtype::F64) + 1.0)).sum() + n.sum().convert(egrad::Dtype::F64)
        };
        for calls in [Calls::Auto, Calls::PushIn, Calls::Dispatch] {
            let options = Options { calls, ..Options::default() };
            let (dw, dx) = jit(grad(batched)).options(options)(&(w.clone(), x()), &n).unwrap();
            // Σ k x_k 2 of x = 0.5, -1.5, 2; and 3 w k.
            assert_eq!(dw.to_f64(), [2.0 * (0.5 - 3.0 + 6.0)]);
            assert_eq!(dx.to_f64(), [30.0, 60.0, 90.0]);
        }
        let (y, same) = jit(f)(&(w.clone(), Array::from(0.5f64)), &n).unwrap();
        assert_eq!((y, same), (Array::from(5.0f64), n.clone()));
    }
}

#[test]
fn unused_and_absent_directions() {
    // Only one of two results is used, and only one of two arguments is differentiated.
    let f = |x: Tensor| {
        let both = custom_jvp(
            |x: Tensor, y: Tensor| (x * y, x + y),
            |(x, y): (Tensor, Tensor), (dx, dy): (Tensor, Tensor)| ((x * y, x + y), (dx * y + dy * x, dx + dy * 100.0)),
        );
        both(x, x.stop_gradient()).0 + both(x.stop_gradient(), x).1
    };
    like(&everywhere(|| vmap(grad(f), 0), &(x(),)), |x| x + 100.0);
    // A rule that keeps nothing.
    let none = |x: Tensor| {
        custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sin(), Vec::<Tensor>::new()), |_, g: Tensor| (g * 7.0,))(x)
    };
    like(&everywhere(|| vmap(grad(none), 0), &(x(),)), |_| 7.0);
}

#[track_caller]
fn refused<T>(result: Result<T>, kind: &str, expect: &str) -> Error {
    let error = result.err().expect("it should be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(expect), "{error}\nshould say: {expect}");
    error
}

#[test]
fn rules_that_do_not_fit() {
    let one = Array::from(1.0f64);
    let f = |x: Tensor| x.sin();
    refused(
        jit(custom_jvp(f, |(x,), (_,)| (x.gt(0.0), x)))(&one),
        "dtype",
        "the result of the rule's value must be f64[], not bool[]",
    );
    refused(
        jit(custom_jvp(f, |(x,), (dx,)| (x, dx.reshape([1]))))(&one),
        "shape",
        "the result of the rule's tangent must be f64[], not f64[1]",
    );
    refused(
        jit(custom_vjp(f, |x: Tensor| (x.reshape([1]), x), |_: Tensor, g| (g,)))(&one),
        "shape",
        "the result of the value of `forward` must be f64[], not f64[1]",
    );
    let error = jit(custom_vjp(f, |x: Tensor| (x, x), |_: Tensor, g: Tensor| (g.convert(egrad::Dtype::F32),)))(&one);
    refused(error, "dtype", "the result at `.0` of the result of `backward` must be f64[], not f32[]");
    let pairs = |x: Vec<Tensor>| x[0];
    refused(
        jit(custom_vjp(pairs, |x: Vec<Tensor>| (x[0], x[0]), |x: Tensor, _: Tensor| (vec![x, x],)))(&vec![one.clone()]),
        "tree",
        "and the result of `backward` have different structures: at `.0` a `Vec` of 1 and a `Vec` of 2",
    );
    refused(
        jit(jvp(sine_back))(&(one.clone(),), &(one.clone(),)),
        "missing_rule",
        "(custom_vjp) and none for forward mode",
    );
    refused(jit(jacfwd(sine_back))(&one), "missing_rule", "give it one by custom_jvp");
}

#[test]
fn what_a_rule_captures_is_held_fixed_or_refused() {
    let by = |x: Tensor| custom_jvp(move |y: Tensor| x * y, move |(y,): (Tensor,), (dy,): (Tensor,)| (x * y, x * dy));
    let one = Array::from(1.0f64);
    // By the argument alone: fine. By the captured tensor: the rule says nothing of it.
    let f = jit(move |x: Tensor| grad(by(x))(x * 2.0));
    assert_eq!(f(&Array::from(3.0f64)).unwrap(), Array::from(3.0f64));
    let batched = jit(vmap(move |x: Tensor| grad(by(x))(x * 2.0), 0));
    assert_eq!(batched(&x()).unwrap(), x());
    let error = refused(
        jit(grad(move |x: Tensor| by(x)(x)))(&one),
        "missing_rule",
        "says nothing of the tensors it captures, and one of them is differentiated: pass it as an argument",
    );
    assert!(matches!(error.report().at, Span::Rust(_)), "{error}");
    // An array is no tensor.
    let table = array(&[1.0, 2.0, 3.0]);
    let f = move |x: Tensor| {
        let t = Tensor::from(&table);
        custom_jvp(move |x: Tensor| x * t, move |(x,): (Tensor,), (dx,): (Tensor,)| (x * t, dx * t * 5.0))(x).sum()
    };
    assert_eq!(jit(grad(f))(&x()).unwrap().to_f64(), [5.0, 10.0, 15.0]);
}

#[test]
fn custom_functions_as_text() {
    let program = trace(grad(|x: Tensor| sine(x) + sine_back(x)), &(Array::from(1.0f64),)).unwrap();
    let text = program.to_string();
    assert!(text.contains("= custom_jvp @") && text.contains("= custom_vjp @"), "{text}");
    assert!(text.contains("{params = 1, results = 1}"), "{text}");
    program.verify().unwrap();
    let again = egrad::Program::parse(&text).unwrap();
    assert_eq!(again, program);
    let broken = text.replacen("{params = 1, results = 1}", "{params = 1, results = 2}", 1);
    let error = egrad::Program::parse(&broken).unwrap_err();
    assert!(error.to_string().contains("is no `custom_"), "{error}");
}

#[test]
fn aux_is_differentiated_by_enclosing_derivatives() {
    // The gradient of x³ is 3x², and the aux x⁴; then the derivative of their sum.
    let f = |x: Tensor| {
        let (g, aux) = grad_with_aux(|x: Tensor| (x.powi(3), x.powi(4)))(x);
        g + aux
    };
    like(&everywhere(|| vmap(grad(f), 0), &(x(),)), |x| 6.0 * x + 4.0 * x.powi(3));
    // An infinite derivative of the aux doesn't spoil the gradient.
    let f = jit(value_and_grad_with_aux(|x: Tensor| (x * 2.0, x.sqrt())));
    let ((y, root), dx) = f(&Array::from(0.0f64)).unwrap();
    assert_eq!([y, root, dx], [0.0, 0.0, 2.0].map(Array::from));
    refused(
        jit(grad_with_aux(|x: Tensor| (x, x)))(&x()),
        "shape",
        "`grad_with_aux` needs a function with a scalar result",
    );
}

#[test]
fn linearize_is_jvp_at_a_point() {
    let f = |x: Tensor, n: Tensor| (x.sin() * x, n);
    let pushed = move |x: Tensor| {
        let n = egrad::full([], 2i32);
        let ((y, _), d) = linearize(f)(x, n);
        y + d((x * 0.0 + 1.0, n)).0 + d((x, n)).0
    };
    let derivative = |x: f64| x.cos() * x + x.sin();
    like(&everywhere(|| pushed, &(x(),)), |x| x.sin() * x + derivative(x) * (1.0 + x));
    let wrong = |x: Tensor| linearize(|x: Tensor| x.sin())(x).1((x.sum(),));
    refused(jit(wrong)(&x()), "shape", "`linearize`: the direction of argument 0 must be f64[3], not f64[]");
    let wrong = |x: Tensor| linearize(|x: Vec<Tensor>| x[0])(vec![x]).1((vec![],));
    refused(
        jit(wrong)(&x()),
        "tree",
        "the arguments and the directions have different structures: at `.0` a `Vec` of 1",
    );
}

#[test]
fn hvp_is_a_product_with_the_hessian() {
    let f = |x: Tensor| (x.powi(3) * x.sum()).sum();
    let v = array(&[1.0, -2.0, 0.5]);
    let product = jit(hvp(f))(&(x(),), &v).unwrap().to_f64();
    let h = jit(hessian(f))(&x()).unwrap().to_f64();
    for i in 0..3 {
        let row: f64 = (0..3).map(|j| h[3 * i + j] * v.to_f64()[j]).sum();
        assert!((row - product[i]).abs() < 1e-12);
    }
    refused(
        jit(hvp(f))(&(x(),), &array(&[1.0])),
        "shape",
        "`hvp`: the tangent of argument 0 must be f64[3], not f64[1]",
    );
    let trees = |x: Vec<Tensor>| x[0].sum();
    let error = jit(hvp(trees))(&(vec![x()],), &vec![]);
    refused(
        error,
        "tree",
        "the first argument and the vector have different structures: a `Vec` of 1 and a `Vec` of 0",
    );
}

#[test]
fn checks_pass_and_fail() {
    let args = ((x(), Array::from(3)), Array::from(0.7f64));
    let f = |(x, n): (Tensor, Tensor), y: Tensor| ((x * y).tanh() + x.powi(2), n, y.exp() * x.sum());
    check_grads(f, &args, 3, Modes::Both).unwrap();
    let single = Array::from_vec(vec![0.5f32, -1.5], [2]).unwrap();
    check_grads(|x: Tensor| x.exp().sum(), &(single,), 2, Modes::Both).unwrap();
    check_grads(sine, &(x(),), 0, Modes::Both).unwrap();
    refused(check_grads(sine, &(x(),), 1, Modes::Forward), "numeric", "of element 0 of result 0 along a direction is");
    refused(check_grads(sine_back, &(x(),), 1, Modes::Reverse), "numeric", "by `vjp` and");
    // Only one leaf is wrong, and only in the second order.
    let wrong = |(x, _): (Tensor, Tensor), y: Tensor| {
        let slope = custom_jvp(|y: Tensor| y.cos(), |(y,), (dy,)| (y.cos(), dy));
        let f = custom_jvp(|y: Tensor| y.sin(), move |(y,), (dy,)| (y.sin(), dy * slope(y)));
        x.powi(2).sum() + f(y)
    };
    check_grads(wrong, &args, 1, Modes::Both).unwrap();
    refused(
        check_grads(wrong, &args, 2, Modes::Forward),
        "numeric",
        "the derivative by argument 1 of element 0 of result 0 of order 2 along a direction is",
    );
}

#[test]
fn chunks_change_nothing() {
    let table = Array::from_vec((0..20).map(f64::from).collect(), [2, 10]).unwrap();
    let f = |row: Tensor, w: Tensor| (row.sin() * w, (row.sum(), row.sum().gt(20.0)));
    let want = jit(vmap(f, (1, None)))(&table, &Array::from(2.0f64)).unwrap();
    for n in [1, 3, 5, 10, 11, 1000] {
        let chunked = vmap(f, (1, None)).chunked(n);
        let got = chunked(&table, &Array::from(2.0f64)).unwrap();
        assert_eq!(got, want, "chunks of {n}");
    }
    let none = Array::from_vec(Vec::<f64>::new(), [2, 0]).unwrap();
    let empty = vmap_chunked(f, (1, None), 3)(&none, &Array::from(2.0f64)).unwrap();
    assert_eq!(**empty.0.shape(), [0, 2]);
    let error =
        refused(vmap_chunked(f, (1, None), 0)(&table, &Array::from(2.0f64)), "axis", "at least one element at a time");
    assert!(matches!(error.report().at, Span::Rust(_)), "{error}");
    let error = refused(
        vmap_chunked(f, (2, None), 3)(&table, &Array::from(2.0f64)),
        "axis",
        "`vmap`: in_axes 2 is out of range for argument 0, f64[2,10]",
    );
    assert!(error.report().notes.is_empty(), "{error}");
}

#[test]
fn too_much_memory_is_refused_before_it_runs() {
    let outer = |x: Tensor| {
        let table = (x.expand_dims(0) * x.expand_dims(1)).sin();
        table.matmul(table).sum()
    };
    let x = array(&[1.0; 300]);
    for device in [Device::Cpu, Device::Interpreter] {
        let door = jit(outer).options(Options { device, memory: Some(1 << 20), ..Options::default() });
        let error = refused(door(&x), "memory", "1.0 MiB are allowed (`Options::memory`); map over fewer elements");
        assert!(error.to_string().contains("2.3 KiB of inputs, 8 bytes of results and"), "{error}");
        let door = jit(outer).options(Options { device, memory: Some(1 << 26), ..Options::default() });
        door(&x).unwrap();
        let compiled = door.compile(&(x.clone(),)).unwrap();
        assert!((2 * 720_000..8 * 720_000).contains(&compiled.memory()), "{}", compiled.memory());
    }
    // What a step takes is counted, though nothing of it is left.
    let looped = move |x: Tensor| fori_loop(0, 5, move |_: Tensor, y: Tensor| y + outer(x + y), Tensor::from(0.0f64));
    for device in [Device::Cpu, Device::Interpreter] {
        let compiled = jit(looped).device(device).compile(&(x.clone(),)).unwrap();
        assert!((720_000..8 * 720_000).contains(&compiled.memory()), "{}", compiled.memory());
    }
    // Elements of a batch that a thread has a tile of.
    let each =
        jit(vmap(jit(outer), 0)).options(Options { device: Device::Cpu, calls: Calls::Dispatch, ..Options::default() });
    let many = Array::full([64, 300], egrad::Literal::new(egrad::Dtype::F64, 1.0)).unwrap();
    let bytes = each.compile(&(many,)).unwrap().memory();
    assert!((720_000..64 * 8 * 720_000).contains(&bytes), "{bytes}");
    let huge = |x: Tensor| x.broadcast_to([1 << 20, 1 << 25]) * 2.0;
    refused(jit(huge)(&Array::from(1.0f64)), "memory", "256.0 TiB of results");
}

#[test]
fn nans_are_traced_to_their_line() {
    let options = |device| Options { device, debug_nans: true, ..Options::default() };
    let line = line!() + 2;
    let f = |x: Tensor| {
        let y = (x - 1.0).log();
        (y.cos() + 1.0, x)
    };
    for device in [Device::Cpu, Device::Interpreter] {
        let door = jit(f).options(options(device));
        door(&array(&[2.0, 3.0])).unwrap();
        let error = refused(
            door(&array(&[2.0, 0.5])),
            "numeric",
            "result 0 of `nans_are_traced_to_their_line` holds NaN: `log` of f64[2] makes it",
        );
        assert!(matches!(error.report().at, Span::Rust(at) if at.line() == line), "{error}");
        refused(door(&array(&[2.0, f64::NAN])), "numeric", "leaf 0 of the arguments, f64[2], holds it");
        // In a derivative, the line of the operation it is the derivative of.
        let line = line!() + 1;
        let root = |x: Tensor| (x * x).sqrt();
        let door = jit(grad(root)).options(options(device));
        let error = refused(door(&Array::from(0.0f64)), "numeric", "holds NaN");
        assert!(matches!(error.report().at, Span::Rust(at) if at.line() == line), "{error}");
    }
    // A loop is named as a whole.
    let rooted = |x: Tensor| fori_loop(0, 3, |_: Tensor, x: Tensor| x.sqrt() - 1.0, x);
    refused(jit(rooted).options(options(Device::Cpu))(&Array::from(2.0f64)), "numeric", "something in `scan` makes it");
    // What is chosen away is no result.
    let masked = jit(|x: Tensor| x.gt(0.0).select(x.log(), 0.0)).options(options(Device::Cpu));
    assert_eq!(masked(&array(&[1.0, -1.0])).unwrap().to_f64(), [0.0, 0.0]);
    let captured = array(&[f64::NAN]);
    let door = jit(move |x: Tensor| x + Tensor::from(&captured)).options(options(Device::Cpu));
    refused(door(&array(&[1.0])), "numeric", "a captured array, f64[1], holds it");
}

#[test]
fn vjp_of_custom_is_given_cotangents() {
    let f = jit(vjp(|x: Tensor| (sine_back(x), x)));
    let (_, (dx,)) = f(&(Array::from(0.0f64),), &(Array::from(3.0f64), Array::from(10.0f64))).unwrap();
    assert_eq!(dx, Array::from(16.0f64));
}
