//! Checkpoints: the same derivatives, under every nesting of transforms, from less memory.

use egrad::{
    Array, Calls, Compiled, Device, Numerics, Options, Policy, Program, Tensor, checkpoint, checkpoint_name,
    checkpoint_with, cond, eager, grad, hessian, hvp, jacfwd, jit, jvp, linearize, scan, trace, value_and_grad, vmap,
};
use egrad_ir::kernel::Body;
use egrad_ir::schedule::Schedule;

fn numbers(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n).map(|i| (((i + seed) * 7919 + 13) % 1009) as f64 / 1000.0 - 0.5).collect();
    Array::from_vec(data, shape.to_vec()).unwrap()
}

/// Something with values worth saving.
fn layer(x: Tensor) -> Tensor {
    (x.sin() * x.exp()).tanh() + x.powi(2).log1p()
}

fn kept() -> Vec<Policy> {
    let names = Policy::Names(vec!["inner".to_owned()]);
    vec![Policy::Nothing, Policy::Everything, Policy::Dots, Policy::DotsWithoutBatch, names]
}

/// `layer` twice, under this policy, one checkpoint in another, the inner one after something with a name.
fn nested(policy: &Policy) -> impl Fn(Tensor) -> Tensor + Clone + 'static {
    let policy = policy.clone();
    move |x: Tensor| {
        let p = policy.clone();
        let inner = move |x: Tensor| layer(checkpoint_with(layer, p.clone())(checkpoint_name(x.cos(), "inner")));
        checkpoint_with(inner, policy.clone())(x)
    }
}

fn plain(x: Tensor) -> Tensor {
    layer(layer(x.cos()))
}

/// Runs both on the interpreter and on the CPU in every way of making calls; all results agree.
#[track_caller]
fn same<F, G>(f: impl Fn() -> F, g: impl Fn() -> G, x: &Array)
where
    F: egrad::Function<(Tensor,), Output = Tensor>,
    G: egrad::Function<(Tensor,), Output = Tensor>,
{
    let args = (x.clone(),);
    let interpreter = Options { device: Device::Interpreter, ..Options::default() };
    let want = jit::<G, (Tensor,)>(g()).options(interpreter.clone()).run(&args).unwrap().0;
    let check = |got: Array, how: &str| {
        assert_eq!(got.shape(), want.shape());
        for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
            assert!((g - w).abs() <= 1e-11 * w.abs().max(1.0), "{how}: {got}, not {want}");
        }
    };
    check(jit::<F, (Tensor,)>(f()).options(interpreter).run(&args).unwrap().0, "interpreter");
    for calls in [Calls::Auto, Calls::PushIn, Calls::Dispatch] {
        let options = Options { device: Device::Cpu, calls, ..Options::default() };
        check(jit::<F, (Tensor,)>(f()).options(options).run(&args).unwrap().0, &format!("{calls:?}"));
    }
    let strict = Options { device: Device::Cpu, numerics: Numerics::Strict, ..Options::default() };
    check(jit::<F, (Tensor,)>(f()).options(strict).run(&args).unwrap().0, "strict");
    check(eager::<F, (Tensor,)>(f()).run(&args).unwrap().0, "eager");
}

#[test]
fn derivatives_are_those_without() {
    let (x, none) = (numbers(&[5], 1), Array::from_vec(Vec::<f64>::new(), [0]).unwrap());
    for policy in kept() {
        let f = || nested(&policy);
        let sum = || {
            let f = f();
            move |x: Tensor| f(x).sum()
        };
        for x in [&x, &none] {
            same(f, || plain, x);
            same(|| grad(sum()), || grad(|x: Tensor| plain(x).sum()), x);
            let f1 = sum();
            let along = move |x: Tensor| jvp(f1.clone())((x,), (x,)).1;
            same(|| along.clone(), || |x: Tensor| jvp(|x: Tensor| plain(x).sum())((x,), (x,)).1, x);
        }
        let one = || f();
        same(|| vmap(grad(one()), 0), || vmap(grad(plain), 0), &x);
        same(|| vmap(jit(grad(jit(one()))), 0), || vmap(grad(plain), 0), &x);
        same(|| vmap(grad(grad(one())), 0), || vmap(grad(grad(plain)), 0), &x);
        same(|| vmap(grad(grad(grad(one()))), 0), || vmap(grad(grad(grad(plain))), 0), &x);
        same(|| vmap(jacfwd(grad(one())), 0), || vmap(grad(grad(plain)), 0), &x);
        let f1 = sum();
        same(|| hessian(f1.clone()), || hessian(|x: Tensor| plain(x).sum()), &x);
        let f1 = sum();
        same(
            || {
                let f = hvp(f1.clone());
                move |x: Tensor| f((x,), x)
            },
            || {
                let f = hvp(|x: Tensor| plain(x).sum());
                move |x: Tensor| f((x,), x)
            },
            &x,
        );
        let f1 = f();
        same(
            || {
                let f = f1.clone();
                move |x: Tensor| linearize(f.clone())(x).1((x,))
            },
            || |x: Tensor| jvp(plain)((x,), (x,)).1,
            &x,
        );
        // Checkpoints of derivatives, and of batches.
        let f1 = f();
        same(|| grad(checkpoint(hessian_trace(f1.clone()))), || grad(hessian_trace(plain)), &x);
        same(|| grad(checkpoint(sum_of(vmap(one(), 0).boxed()))), || grad(|x: Tensor| plain(x).sum()), &x);
    }
}

fn sum_of(f: impl Fn(Tensor) -> Tensor + 'static) -> impl Fn(Tensor) -> Tensor + 'static {
    move |x| f(x).sum()
}

/// The sum of the second derivatives of each element.
fn hessian_trace(f: impl Fn(Tensor) -> Tensor + Clone + 'static) -> impl Fn(Tensor) -> Tensor + 'static {
    move |x| vmap(grad(grad(f.clone())), 0)(x).sum()
}

/// What it captures is differentiated; integers and branches go through it; several arguments and
/// results, trees of them.
#[test]
fn captures_integers_trees_and_branches() {
    let whole = |kept: bool| {
        move |x: Tensor| {
            let pair = move |(a, i): (Tensor, Tensor), b: Tensor| {
                let y = cond(i.gt(0), |z: Tensor| z.sin(), |z: Tensor| z.exp(), (a * x.sum(),));
                ((y * b).exp(), vec![i + 1, i])
            };
            let i = x.sum().gt(0.0).convert(egrad::Dtype::I32);
            let (y, more) = if kept { checkpoint(pair)((x, i), x.cos()) } else { pair((x, i), x.cos()) };
            y.sum() * more[0].convert(egrad::Dtype::F64)
        }
    };
    for seed in 0..3 {
        let x = numbers(&[4], 100 * seed);
        same(|| grad(whole(true)), || grad(whole(false)), &x);
        same(|| hessian(whole(true)), || hessian(whole(false)), &x);
    }
}

type Step = fn(Tensor, Tensor) -> (Tensor, Tensor);

fn step(x: Tensor, w: Tensor) -> (Tensor, Tensor) {
    let y = layer(layer(w.dot(x)));
    (y, y.sum())
}

fn looped(kept: bool) -> impl Fn(Tensor) -> Tensor + Clone + 'static {
    move |ws: Tensor| {
        let x = ws.sum_axes([0, 1]);
        let (last, each) = if kept { scan(checkpoint(step as Step), x, ws) } else { scan(step as Step, x, ws) };
        last.sum() + each.sum()
    }
}

#[test]
fn loops_have_the_same_derivatives() {
    let ws = numbers(&[6, 3, 3], 5);
    same(|| grad(looped(true)), || grad(looped(false)), &ws);
    same(|| grad(checkpoint(looped(true))), || grad(looped(false)), &ws);
    let all = numbers(&[2, 6, 3, 3], 9);
    same(|| vmap(grad(looped(true)), 0), || vmap(grad(looped(false)), 0), &all);
    let second = |kept: bool| {
        let f = hvp(looped(kept));
        move |x: Tensor| f((x,), x)
    };
    same(|| second(true), || second(false), &ws);
    let twice = |kept: bool| grad(sum_of(grad(looped(kept))));
    same(|| twice(true), || twice(false), &ws);
    // No steps at all.
    same(|| grad(looped(true)), || grad(looped(false)), &numbers(&[0, 3, 3], 5));
}

fn compiled<F>(f: F, x: &Array) -> Compiled<(Array,), Array>
where
    F: egrad::Function<(Tensor,), Output = Tensor>,
{
    let options = Options { device: Device::Cpu, ..Options::default() };
    jit::<F, (Tensor,)>(f).options(options).compile(&(x.clone(),)).unwrap()
}

/// A loop saves what it carries, and nothing of what its steps compute.
#[test]
fn loops_save_carries_alone() {
    let ws = numbers(&[100, 8, 8], 5);
    let scans = |kept: bool| {
        let c = compiled(grad(looped(kept)), &ws);
        let elements = |schedule: &Schedule| -> Vec<usize> {
            let of = |step: &egrad_ir::schedule::Step| match &step.kernel.body {
                Body::Scan(_) => {
                    let written = step.kernel.operands.iter().filter(|o| o.written);
                    Some(written.map(|o| o.len).sum::<usize>())
                }
                _ => None,
            };
            schedule.steps.iter().filter_map(of).collect()
        };
        (elements(c.schedule().unwrap()), c.memory())
    };
    let ((plain, all), (frugal, less)) = (scans(false), scans(true));
    // Forward: what is carried last, a sum and the carry of every step; with nothing dead among it.
    assert!(frugal[0] <= 8 + 100 + 800, "{frugal:?}");
    assert!(plain[0] >= 8 + 3 * 800, "{plain:?}");
    assert!(less + 2 * 800 * 8 <= all, "{less} bytes, not much less than {all}");
}

/// Without a loop, too: each of many layers keeps its argument, and computes the rest when it goes back.
#[test]
fn chains_take_less_memory() {
    fn block(x: Tensor, w: Tensor) -> Tensor {
        (0..4).fold(x, |x, _| layer(w.dot(x)))
    }
    let deep = |kept: bool| {
        move |w: Tensor| (0..8).fold(w, move |x, _| if kept { checkpoint(block)(x, w) } else { block(x, w) }).sum()
    };
    let w = numbers(&[32, 32], 3);
    same(|| grad(deep(true)), || grad(deep(false)), &numbers(&[3, 3], 3));
    let (all, less) = (compiled(grad(deep(false)), &w).memory(), compiled(grad(deep(true)), &w).memory());
    assert!(2 * less < all, "{less} bytes, not half of {all}");
}

/// How many matrix products, and how many sines and exponentials, a program's kernels compute.
fn counts(c: &Compiled<(Array,), Array>) -> (usize, usize, usize) {
    let schedule = c.schedule().unwrap();
    let text: String = schedule.steps.iter().map(|s| s.kernel.to_string()).collect();
    let products = schedule.steps.iter().filter(|s| matches!(s.kernel.body, Body::Contract(_))).count();
    (products, text.matches("= sin ").count(), text.matches("= exp ").count())
}

/// What a policy keeps is not computed again, and nothing else is kept.
#[test]
fn policies_decide_what_is_computed_again() {
    let f = |policy: Option<Policy>| {
        let block = |w: Tensor| checkpoint_name(w.dot(w.sin()).exp(), "inner").sin().sum();
        let f = move |w: Tensor| match &policy {
            Some(policy) => checkpoint_with(block, policy.clone())(w).powi(2),
            None => block(w).powi(2),
        };
        counts(&compiled(grad(f), &numbers(&[64, 64], 3)))
    };
    let [nothing, everything, dots, no_batch, names] = [0, 1, 2, 3, 4].map(|i| f(Some(kept()[i].clone())));
    let without = f(None);
    assert_eq!(everything, without);
    assert_eq!(nothing.0, without.0 + 1, "the product is computed again");
    assert_eq!((dots.0, no_batch.0), (without.0, without.0), "the product is kept");
    assert!(dots.2 > without.2, "the exponential is computed again");
    assert_eq!((names.0, names.2), (without.0, without.2), "what has the name is kept, and computed once");
    assert!(names.1 > without.1, "the sine, which the product's derivative takes, is computed again");
    assert_eq!(f(Some(Policy::Names(vec!["other".to_owned()]))), nothing);

    // A product that shares an axis is one of a batch.
    let batched = |policy: Policy| {
        let block = |w: Tensor| vmap(|a: Tensor| a.dot(a), 0)(w).sin().sum();
        let f = move |w: Tensor| checkpoint_with(block, policy.clone())(w).powi(2);
        counts(&compiled(grad(f), &numbers(&[4, 64, 64], 3))).0
    };
    assert!(batched(Policy::Dots) < batched(Policy::DotsWithoutBatch));
}

/// What is computed again is fused with what goes back.
#[test]
fn recomputation_fuses() {
    let x = numbers(&[1000], 1);
    let kernels = |c: &Compiled<_, _>| c.schedule().unwrap().launches();
    let f = |x: Tensor| vmap(checkpoint(layer), 0)(x).sum();
    assert_eq!(kernels(&compiled(grad(f), &x)), 1);
    // The value is wanted as well, so the function is computed twice, in two kernels at most.
    let both = move |x: Tensor| {
        let (y, dx) = value_and_grad(f)(x);
        dx * y
    };
    assert!(kernels(&compiled(both, &x)) <= 3);
}

/// A barrier is the identity, in batches and derivatives too, and what is behind it is computed apart.
#[test]
fn barriers() {
    let f = |x: Tensor| x.barrier().sin() * x.sin();
    let plain = |x: Tensor| x.sin() * x.sin();
    let x = numbers(&[7], 1);
    same(|| f, || plain, &x);
    same(|| vmap(grad(f), 0), || vmap(grad(plain), 0), &x);
    same(|| vmap(grad(grad(f)), 0), || vmap(grad(grad(plain)), 0), &x);
    assert_eq!(counts(&compiled(f, &x)).1, 2);
    assert_eq!(counts(&compiled(plain, &x)).1, 1);
    // Of any type and shape, and where it takes nothing but memory.
    let all = jit(|a: Tensor, b: Tensor, c: Tensor| (a.barrier(), b.barrier(), c.barrier().sum_axes(0)));
    let (a, b) = (Array::from(3i32), Array::from_vec(vec![true, false], [2]).unwrap());
    let (x, y, z) = all(&a, &b, &Array::from_vec(Vec::<f32>::new(), [3, 0]).unwrap()).unwrap();
    assert_eq!((x, y, &z.shape()[..]), (a, b, &[0][..]));
}

#[test]
fn text_round_trips() {
    for policy in kept().into_iter().chain([Policy::Names(vec!["a \"b\"".to_owned(), "ü\n".to_owned()])]) {
        let f = nested(&policy);
        let program = trace(grad(move |x: Tensor| f(x).sum()), &(numbers(&[3], 1),)).unwrap();
        let text = program.to_string();
        assert!(text.contains(&format!("{{policy = {}", policy.name())), "{text}");
        assert_eq!(Program::parse(&text).unwrap().to_string(), text);
    }
    let wrong = |attrs: &str| {
        let text = format!(
            "egrad 1 fn @0 f(%0: f32[]) {{ return %0 }} fn @1 m(%0: f32[]) {{ %1 = {attrs} %2 = get %1 {{index = 0}} return %2 }}"
        );
        Program::parse(&text).unwrap_err().to_string()
    };
    assert!(wrong("checkpoint @0 %0 {policy = some}").contains("expected a policy: `nothing`"));
    assert!(wrong("checkpoint @0 %0").contains("`checkpoint` needs the attribute `policy`"));
    assert!(wrong("checkpoint @0 %0 {policy = names, names = [1]}").contains("an element of `names`"));
    assert!(wrong("named @0 %0 {name = 1}").contains("expected a text in quotes for `name`"));
    assert!(wrong("checkpoint @0 {policy = nothing}").contains("argument"));
}

/// Errors are those of the function.
#[test]
fn errors_name_the_line_inside() {
    let f = jit(grad(checkpoint(|x: Tensor| x.reshape([4]).sum())));
    let error = f(&numbers(&[3], 1)).unwrap_err().to_string();
    assert!(error.contains("checkpoint.rs"), "{error}");
}
