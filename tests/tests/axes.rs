//! Operations over the elements of a batch: JAX's values, under every nesting of transforms.

use egrad::{
    Array, Calls, Device, Dtype, Options, Program, Tensor, all_gather, axis_index, axis_size, checkpoint, cond,
    custom_jvp, fori_loop, grad, jacfwd, jacrev, jit, jvp, pmax, pmean, pmin, ppermute, psum, scan, trace, vmap,
    vmap_named, while_loop,
};

fn array(data: &[f64], shape: &[usize]) -> Array {
    Array::from_vec(data.to_vec(), shape.to_vec()).unwrap()
}

fn x() -> Array {
    array(&[0.5, -1.5, 2.0], &[3])
}

/// Runs on the interpreter and on the CPU in every way of making calls.
#[track_caller]
fn gives<F>(f: impl Fn() -> F, x: &Array, want: &[f64])
where
    F: egrad::Function<(Tensor,), Output = Tensor>,
{
    for (device, calls) in [
        (Device::Interpreter, Calls::Auto),
        (Device::Cpu, Calls::Auto),
        (Device::Cpu, Calls::Inline),
        (Device::Cpu, Calls::PushIn),
        (Device::Cpu, Calls::Dispatch),
    ] {
        let options = Options { device, calls, ..Options::default() };
        let got = jit::<F, (Tensor,)>(f()).options(options).run(&(x.clone(),)).unwrap().0.to_f64();
        let close = |(g, w): (&f64, &f64)| (g - w).abs() <= 1e-13 * w.abs().max(1.0);
        assert!(
            got.len() == want.len() && got.iter().zip(want).all(close),
            "{device:?}, {calls:?}: {got:?}, not {want:?}"
        );
    }
}

/// The function for every element, called `i`.
fn over<F: egrad::Function<(Tensor,), Output = Tensor>>(f: F) -> impl Fn(Tensor) -> Tensor + 'static {
    vmap_named::<F, (Tensor,), i32>(f, 0, "i")
}

fn sine_times_sum(x: Tensor) -> Tensor {
    x.sin() * psum(x.powi(2), "i")
}

fn weighted(x: Tensor) -> Tensor {
    let all = all_gather(x.exp(), "i");
    all.dot(egrad::arange(3, Dtype::F64) + 1.0) * x
}

/// The values and derivatives that JAX 0.10.2 gives.
#[test]
fn values_are_those_of_jax() {
    let x = x();
    let third = || |x: Tensor| pmean(x.powi(3), "i");
    gives(|| over(sine_times_sum), &x, &[3.1162660009273195, -6.483717412926354, 5.910433274366931]);
    gives(|| over(weighted), &x, &[12.13107494389447, -36.39322483168341, 48.52429977557788]);
    gives(|| over(third()), &x, &[1.5833333333333333; 3]);
    gives(|| over(|x: Tensor| pmax(x, "i") * x), &x, &[1.0, -3.0, 4.0]);
    gives(|| over(|x: Tensor| pmin(x, "i") * x), &x, &[-0.75, 2.25, -3.0]);
    gives(|| over(|x: Tensor| axis_index("i").convert(Dtype::F64) * x), &x, &[0.0, -1.5, 4.0]);
    gives(|| over(|x: Tensor| ppermute(x.powi(2), "i", &[(0, 1), (1, 2), (2, 0)]) * x), &x, &[2.0, -0.375, 4.5]);
    gives(|| over(|x: Tensor| x + psum(egrad::ones_like(x), "i") + axis_size("i") as f64), &x, &[6.5, 4.5, 8.0]);
}

#[test]
fn derivatives_within_are_those_of_jax() {
    let x = x();
    gives(|| over(grad(sine_times_sum)), &x, &[6.095514631113253, -0.7138921256374218, -1.1400425222531045]);
    gives(|| over(grad(weighted)), &x, &[25.91087115848907, 24.708410208085798, 46.42931818458089]);
    gives(|| over(grad(|x: Tensor| pmean(x.powi(3), "i"))), &x, &[0.75, 6.75, 12.0]);
    let moved = |x: Tensor| ppermute(x.powi(2), "i", &[(0, 1), (1, 2), (2, 0)]) * x;
    gives(|| over(grad(moved)), &x, &[2.5, -5.75, 4.25]);
    gives(|| over(grad(grad(sine_times_sum))), &x, &[-0.04647199248398026, 5.8111289928806205, -3.8315792817658223]);
    let along = |x: Tensor| jvp(sine_times_sum)((x,), (x,)).1;
    gives(|| over(along), &x, &[9.084675327998351, -13.65712254211281, 6.410957673621011]);
    // Within calls, checkpoints and more derivatives.
    let want = [6.095514631113253, -0.7138921256374218, -1.1400425222531045];
    gives(|| over(jit(grad(jit(sine_times_sum)))), &x, &want);
    gives(|| over(grad(checkpoint(sine_times_sum))), &x, &want);
    gives(|| over(jacrev(sine_times_sum)), &x, &want);
}

/// Rules of one's own may look at the batch, too.
#[test]
fn own_derivatives() {
    let f = |x: Tensor| {
        let rule = |(x,): (Tensor,), (dx,): (Tensor,)| (psum(x.sin(), "i"), psum(dx * x.cos(), "i"));
        custom_jvp(|x: Tensor| psum(x.sin(), "i"), rule)(x) * x
    };
    let plain = |x: Tensor| psum(x.sin(), "i") * x;
    let run = |f: Box<dyn Fn(Tensor) -> Tensor>| jit(f)(&x()).unwrap().to_f64();
    gives(|| over(f), &x(), &run(Box::new(over(plain))));
    gives(|| over(grad(f)), &x(), &run(Box::new(over(grad(plain)))));
    gives(
        || grad(move |x: Tensor| over(f)(x).sum()),
        &x(),
        &run(Box::new(grad(move |x: Tensor| over(plain)(x).sum()))),
    );
}

/// A batch inside a derivative: what a sum over an array has.
#[test]
fn derivatives_of_batches() {
    let x = x();
    let want = [6.095514631113253, -0.7138921256374218, -1.1400425222531045];
    gives(|| grad(|x: Tensor| over(sine_times_sum)(x).sum()), &x, &want);
    let plain = |x: Tensor| x.sin() * x.powi(2).sum();
    let all = |f: fn(Tensor) -> Tensor| jit(jacrev(f))(&x).unwrap().to_f64();
    gives(|| jacfwd(over(sine_times_sum)), &x, &all(plain));
    gives(|| jacrev(over(sine_times_sum)), &x, &all(plain));
    // The directions of a Jacobian are a batch without a name, which counts nevertheless.
    let inside = |x: Tensor| jacfwd(|x: Tensor| egrad::stack([x, psum(x, "i")], 0))(x).sum();
    gives(|| over(inside), &x, &[4.0; 3]);
}

#[test]
fn names_nest() {
    let xy = array(&[-0.3, -0.05, 0.2, 0.45, 0.7, 0.95], &[2, 3]);
    fn h(x: Tensor) -> Tensor {
        psum(x.powi(2), "i") * psum(x, "j").sin() + psum(psum(x.powi(3), "i"), "j")
    }
    let two = |f: fn(Tensor) -> Tensor| vmap_named(vmap_named(f, 0, "j"), 0, "i");
    let want = [
        1.2286643462514721,
        1.1987767197567523,
        1.1315295601436326,
        1.5248637397447955,
        1.6975056130745703,
        2.0859498280665636,
    ];
    gives(|| two(h), &xy, &want);
    let want = [
        2.899839296629348,
        1.6817249137169852,
        2.713610530804623,
        3.4152724650614945,
        8.94715808214913,
        16.72904369923677,
    ];
    gives(|| vmap_named(vmap_named(grad(h), 0, "j"), 0, "i"), &xy, &want);
    gives(|| vmap_named(vmap_named(jit(grad(jit(h))), 0, "j"), 0, "i"), &xy, &want);
    // One without a name between; the same name twice; an element from outside.
    let sums = |x: Tensor| psum(x, "i") + axis_index("i").convert(Dtype::F64);
    gives(|| vmap_named(vmap(sums, 0), 0, "i"), &xy, &[0.15, 0.65, 1.15, 1.15, 1.65, 2.15]);
    gives(|| vmap_named(vmap_named(sums, 0, "i"), 0, "i"), &xy, &[-0.15, 0.85, 1.85, 2.1, 3.1, 4.1]);
    let outside = |x: Tensor| vmap_named(move |y: Tensor| y + psum(x.sum(), "i"), 0, "j")(x);
    gives(|| vmap_named(outside, 0, "i"), &xy, &[1.65, 1.9, 2.15, 2.4, 2.65, 2.9]);
    let gathered = |x: Tensor| all_gather(all_gather(x, "i"), "j").sum() * x;
    gives(|| two(gathered), &xy, &xy.to_f64().iter().map(|x| x * 1.95).collect::<Vec<_>>());
}

#[test]
fn loops_and_branches() {
    let x = x();
    fn looped(x: Tensor) -> Tensor {
        let step = |c: Tensor, w: Tensor| {
            let c = (c * w).tanh() + psum(c, "i") * 0.1;
            (c, c)
        };
        scan(step, x, Tensor::from(&array(&[0.5, 1.0, 2.0], &[3]))).0
    }
    gives(|| over(looped), &x, &[0.7370189396531281, -0.6139975973807403, 0.9842595291763354]);
    let want = [1.1199354307012397, 0.7738615518331616, 0.5061525613527514];
    gives(|| over(grad(looped)), &x, &want);
    gives(|| over(grad(checkpoint(looped))), &x, &want);
    // A loop that nothing but the number of the element makes differ; how often differs, too.
    let counted = |x: Tensor| {
        let end = axis_index("i") * 2;
        x * 0.0
            + fori_loop(0, 3, |_, n: Tensor| n + axis_index("i"), axis_index("i")).convert(Dtype::F64)
            + while_loop(move |n: Tensor| n.lt(end), |n: Tensor| n + 1, egrad::zeros_like(end)).convert(Dtype::F64)
    };
    gives(|| over(counted), &x, &[0.0, 6.0, 12.0]);
    // Branches by a number all elements share, and by one of their own.
    let shared = |x: Tensor| cond(psum(x, "i").gt(0.0), |x: Tensor| psum(x, "i"), |x: Tensor| x, (x,));
    gives(|| over(shared), &x, &[1.0; 3]);
    let own = |x: Tensor| cond(x.gt(0.0), |x: Tensor| psum(x, "i") * x, |x: Tensor| x, (x,));
    gives(|| over(own), &x, &[0.5, -1.5, 2.0]);
    gives(|| over(grad(own)), &x, &[1.0 + 2.5, 1.0, 1.0 + 2.5]);
}

/// Trees, integers, bools, no elements, and one.
#[test]
fn trees_types_and_sizes() {
    let f = jit(vmap_named(
        |(a, b): (Tensor, Tensor), c: Tensor| {
            let (a, b) = psum((a, b), "i");
            (a, vec![b, pmax(c, "i"), pmin(c, "i")], all_gather(c, "i"))
        },
        ((0, 1), 0),
        "i",
    ));
    let a = Array::from_vec(vec![1i32, 2, 4], [3]).unwrap();
    let b = Array::from_vec(vec![true, false, true], [1, 3]).unwrap();
    let c = Array::from_vec(vec![3i32, i32::MIN, 5], [3]).unwrap();
    let (a, b, c) = f(&(a, b), &c).unwrap();
    assert_eq!(a.as_slice::<i32>().unwrap(), [7; 3]);
    assert_eq!(b[0].to_f64(), [2.0; 3]);
    assert_eq!(b[1].as_slice::<i32>().unwrap(), [5; 3]);
    assert_eq!(b[2].as_slice::<i32>().unwrap(), [i32::MIN; 3]);
    assert_eq!((&c.shape()[..], c.as_slice::<i32>().unwrap()[4]), (&[3, 3][..], i32::MIN));
    let grads = || over(grad(|x: Tensor| psum(x.sin(), "i") * pmax(x, "i")));
    gives(grads, &array(&[], &[0]), &[]);
    let one = 0.7f64;
    gives(grads, &array(&[one], &[1]), &[one.cos() * one + one.sin()]);
}

/// A permutation may leave elements out, which get zeros and whose derivative is none.
#[test]
fn partial_permutations() {
    let shift = |x: Tensor| ppermute(x.powi(2), "i", &[(0, 1), (1, 2)]);
    gives(|| over(shift), &x(), &[0.0, 0.25, 2.25]);
    gives(|| over(grad(shift)), &x(), &[1.0, -3.0, 0.0]);
    gives(|| over(|x: Tensor| ppermute(x, "i", &[])), &x(), &[0.0; 3]);
}

#[test]
fn one_kernel_where_a_reduction_has_one() {
    let options = || Options { device: Device::Cpu, ..Options::default() };
    let x = array(&[0.5; 1000], &[1000]);
    let kernels = |c: egrad::Compiled<(Array,), Array>| c.schedule().unwrap().launches();
    let plain = |x: Tensor| x - x.mean();
    let named = jit(over(|x: Tensor| x - pmean(x, "i"))).options(options()).compile(&(x.clone(),)).unwrap();
    assert_eq!(kernels(named), kernels(jit(plain).options(options()).compile(&(x,)).unwrap()));
}

#[test]
fn text_round_trips() {
    let f = |x: Tensor| psum(x, "i") + axis_index("i").convert(Dtype::F64);
    let program = trace(vmap_named(vmap(grad(f), 0), 0, "i"), &(array(&[0.0; 6], &[2, 3]),)).unwrap();
    let text = program.to_string();
    assert!(
        text.contains("all_gather %0 {up = 1, size = 2}") && text.contains("axis_index {up = 1, size = 2}"),
        "{text}"
    );
    assert_eq!(Program::parse(&text).unwrap(), program);
    let wrong = |line: &str| {
        Program::parse(&format!("egrad 1 fn @0 f(%0: f32[]) {{ {line} return %0 }}")).unwrap_err().to_string()
    };
    assert!(wrong("%1 = all_gather %0 {size = 3}").contains("`all_gather` needs the attribute `up`"));
    assert!(wrong("%1 = all_gather {up = 0, size = 3}").contains("number 1, not 0"));
    assert!(wrong("%1 = axis_index %0 {up = 0, size = 3}").contains("number 0, not 1"));
}

#[test]
fn mistakes_are_named() {
    let message = |f: fn(Tensor) -> Tensor| jit(f)(&x()).unwrap_err().to_string();
    let unknown = message(|x| psum(x, "i"));
    assert!(
        unknown.contains("`psum`: no `vmap_named` around calls its elements `i`; none around has a name"),
        "{unknown}"
    );
    assert!(unknown.contains("axes.rs"), "{unknown}");
    let other = message(|x| vmap_named(|x: Tensor| vmap(|x: Tensor| pmean(x, "k"), 0)(x.broadcast_to([2])), 0, "i")(x));
    assert!(other.contains("those around are called `i`"), "{other}");
    let after = message(|x| vmap_named(|x: Tensor| x, 0, "i")(x) * axis_index("i").convert(Dtype::F64));
    assert!(after.contains("`axis_index`: no `vmap_named`"), "{after}");
    for (pairs, what) in [
        (vec![(0, 3)], "there is no pair (0, 3) among 3 elements"),
        (vec![(0, 1), (0, 2)], "element 0 gives twice"),
        (vec![(0, 1), (2, 1)], "element 1 gets twice"),
    ] {
        let f = over(move |x: Tensor| ppermute(x, "i", &pairs));
        let error = jit(f)(&x()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    // A program that was written, not traced.
    for line in ["%1: (f64[3]) = all_gather %0 {up = 0, size = 3}", "%1: (i32[]) = axis_index {up = 0, size = 3}"] {
        let text = format!("egrad 1 fn @0 f(%0: f64[]) {{ {line} %2 = get %1 {{index = 0}} return %2 }}");
        let program = Program::parse(&text).unwrap();
        let options = egrad_rewrite::Options::default();
        let error = egrad_rewrite::compile(&program, &options).unwrap_err().to_string();
        assert!(error.contains("there is no `vmap` around it"), "{error}");
        let mapped = format!(
            "egrad 1 fn @0 f(%0: f64[]) {{ {line} %2 = get %1 {{index = 0}} return %2 }}
             fn @1 g(%0: f64[4]) {{ %1 = vmap @0 %0 {{in_axes = [0], out_axes = [0], size = 4}} %2 = get %1 {{index = 0}} return %2 }}"
        );
        let error = egrad_rewrite::compile(&Program::parse(&mapped).unwrap(), &options).unwrap_err().to_string();
        assert!(error.contains("over a batch of 3 elements, and this `vmap` has 4"), "{error}");
    }
}
