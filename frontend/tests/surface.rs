//! The surface of the design document: transforms of plain functions, nested freely, called on
//! arrays.

use egrad::*;

fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
    w * x + b
}
fn squared_error(p: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (predict(p, x) - y).powi(2)
}
fn mean_loss(p: (Tensor, Tensor), xs: Tensor, ys: Tensor) -> Tensor {
    (vmap(predict, (None, 0))(p, xs) - ys).powi(2).mean()
}

fn vector(data: &[f32]) -> Array {
    Array::from_vec(data.to_vec(), [data.len()]).unwrap()
}

fn params() -> (Array, Array) {
    (Array::from(2.0f32), Array::from(1.0f32))
}

#[track_caller]
fn check(array: &Array, expected: &[f32]) {
    let got = array.as_slice::<f32>().unwrap();
    assert_eq!(got.len(), expected.len(), "{array}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{array} is not {expected:?}");
    }
}

#[test]
fn the_tutorial() {
    let (p, xs, ys) = (params(), vector(&[0.0, 1.0, 2.0]), vector(&[0.5, 3.0, 6.0]));
    let forward = jit(vmap(predict, (None, 0)));
    check(&forward(&p, &xs).unwrap(), &[1.0, 3.0, 5.0]);
    let per_example = jit(vmap(grad(squared_error), (None, 0, 0)));
    let (dw, db) = per_example(&p, &xs, &ys).unwrap();
    check(&dw, &[0.0, 0.0, -4.0]);
    check(&db, &[1.0, 0.0, -2.0]);
    let mean = jit(grad(mean_loss));
    let (dw, db) = mean(&p, &xs, &ys).unwrap();
    check(&dw, &[-4.0 / 3.0]);
    check(&db, &[-1.0 / 3.0]);
    let boundary = jit(vmap(jit(grad(squared_error)), (None, 0, 0)));
    check(&boundary(&p, &xs, &ys).unwrap().0, &[0.0, 0.0, -4.0]);
    let plain = eager(vmap(predict, (None, 0)));
    check(&plain(&p, &xs).unwrap(), &[1.0, 3.0, 5.0]);
}

#[derive(Tree)]
struct Layer<T> {
    w: T,
    b: T,
}

#[derive(Tree)]
struct Model<T> {
    layers: Vec<Layer<T>>,
    scale: Option<T>,
    pair: (T, [T; 2]),
}

#[derive(Tree)]
struct Pair<T>(T, T);

#[test]
fn derived_trees_go_through_every_transform() {
    let model = || Model {
        layers: vec![
            Layer { w: Array::from(2.0f32), b: Array::from(1.0f32) },
            Layer { w: Array::from(3.0f32), b: Array::from(0.0f32) },
        ],
        scale: Some(Array::from(10.0f32)),
        pair: (Array::from(0.0f32), [Array::from(0.0f32), Array::from(5.0f32)]),
    };
    fn run(m: Model<Tensor>, x: Tensor) -> Tensor {
        let y = m.layers.iter().fold(x, |x, l| l.w * x + l.b);
        m.scale.unwrap() * y + m.pair.1[1]
    }
    let x = Array::from(1.0f32);
    let gradient = jit(grad(run))(&model(), &x).unwrap();
    check(&gradient.layers[0].w, &[30.0]);
    check(&gradient.layers[1].w, &[30.0]);
    check(&gradient.layers[1].b, &[10.0]);
    check(gradient.scale.as_ref().unwrap(), &[9.0]);
    check(&gradient.pair.1[1], &[1.0]);

    // Axes for the leaves of a struct.
    let pair = Pair(vector(&[1.0, 2.0]), Array::from(10.0f32));
    let f = jit(vmap(|p: Pair<Tensor>| p.0 + p.1, (Pair(Some(0), None),)));
    check(&f(&pair).unwrap(), &[11.0, 12.0]);
}

#[test]
fn outer_derivatives_go_through_what_inner_functions_capture() {
    // d/dx of grad_y (x²y³) at y = x is d/dx 3x²y² = 6xy² with y held, and with y = x: 12x³.
    let held = jit(|x: Tensor, y: Tensor| grad(move |x: Tensor| grad(move |y: Tensor| x.powi(2) * y.powi(3))(y))(x));
    check(&held(&Array::from(2.0f32), &Array::from(3.0f32)).unwrap(), &[108.0]);
    let through = jit(grad(|x: Tensor| grad(move |y: Tensor| x.powi(2) * y.powi(3))(x)));
    check(&through(&Array::from(2.0f32)).unwrap(), &[96.0]);
    // The same through a batch inside, and mapped outside.
    let sum = grad(|w: Tensor| vmap(move |x: Tensor| (w * x).sin(), 0)(arange(3, Dtype::F32)).sum());
    let (a, b) = (0.5f32, -1.0f32);
    let slope = |w: f32| (0..3).map(|i| i as f32 * (w * i as f32).cos()).sum::<f32>();
    check(&jit(vmap(sum, 0))(&vector(&[a, b])).unwrap(), &[slope(a), slope(b)]);
}

#[test]
fn mixed_axes_nest() {
    let f = vmap_with(|x: Tensor, y: Tensor| vmap(|a: Tensor, b: Tensor| a * b, (0, None))(x, y), (1, 0), -1);
    // x is [2, 3], mapped along 1; y has one number for each of the three.
    let x = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]).unwrap();
    let out = jit(f)(&x, &vector(&[1.0, 10.0, 100.0])).unwrap();
    assert_eq!(out.shape()[..], [2, 3]);
    check(&out, &[1.0, 20.0, 300.0, 4.0, 50.0, 600.0]);
}

#[test]
fn jacobians_and_hessians_agree() {
    let f = |x: Tensor, w: Tensor| (w.matmul(x)).sin() * x.sum();
    let x = vector(&[0.1, -0.4, 0.7]);
    let w = Array::from_vec((0..6).map(|i| 0.3 * i as f32 - 0.5).collect(), [2, 3]).unwrap();
    let (forward, reverse) = (jit(jacfwd(f))(&x, &w).unwrap(), jit(jacrev(f))(&x, &w).unwrap());
    assert_eq!(forward.shape()[..], [2, 3]);
    check(&forward, reverse.as_slice::<f32>().unwrap());
    let scalar = move |x: Tensor, w: Tensor| f(x, w).sum();
    let h = jit(hessian(scalar))(&x, &w).unwrap();
    assert_eq!(h.shape()[..], [3, 3]);
    check(&h, jit(jacrev(grad(scalar)))(&x, &w).unwrap().as_slice::<f32>().unwrap());
    check(&h, jit(jacrev(jacfwd(scalar)))(&x, &w).unwrap().as_slice::<f32>().unwrap());
}

#[test]
fn empty_batches_and_empty_tensors() {
    let empty = Array::from_vec(Vec::<f32>::new(), [0]).unwrap();
    let out = jit(vmap(|x: Tensor| x.sin() + arange(2, Dtype::F32), 0))(&empty).unwrap();
    assert_eq!(out.shape()[..], [0, 2]);
    let dx = jit(grad(|x: Tensor| x.sin().sum()))(&empty).unwrap();
    assert_eq!(dx.shape()[..], [0]);
    let sum = jit(|x: Tensor| (x.sum(), x.max(), x.mean(), x.gt(0).any(), x.gt(0).all(), x.logsumexp()));
    let (sum, max, mean, any, all, lse) = sum(&empty).unwrap();
    check(&sum, &[0.0]);
    assert_eq!(max.item::<f32>().unwrap(), f32::NEG_INFINITY);
    assert!(mean.item::<f32>().unwrap().is_nan());
    assert!(!any.item::<bool>().unwrap() && all.item::<bool>().unwrap());
    assert_eq!(lse.item::<f32>().unwrap(), f32::NEG_INFINITY);
    let (m, n) =
        (Array::from_vec(Vec::<f32>::new(), [2, 0]).unwrap(), Array::from_vec(Vec::<f32>::new(), [0, 3]).unwrap());
    check(&jit(|a: Tensor, b: Tensor| a.matmul(b))(&m, &n).unwrap(), &[0.0; 6]);
    // No leaf at all in an argument.
    let none = jit(|xs: Vec<Tensor>, x: Tensor| xs.iter().fold(x, |a, b| a + *b));
    check(&none(&vec![], &Array::from(1.0f32)).unwrap(), &[1.0]);
    check(&none(&vec![Array::from(2.0f32); 3], &Array::from(1.0f32)).unwrap(), &[7.0]);
}

#[test]
fn matmul_follows_numpy() {
    let of = |shape: &[usize]| Array::from_vec((0..shape.iter().product()).map(|i| i as f32).collect(), shape).unwrap();
    let shape = |a: &[usize], b: &[usize]| {
        let out = jit(|a: Tensor, b: Tensor| (a.matmul(b), a.matmul(b).shape().len()).0)(&of(a), &of(b)).unwrap();
        out.shape().to_vec()
    };
    assert_eq!(shape(&[3], &[3]), [0usize; 0]);
    assert_eq!(shape(&[2, 3], &[3]), [2]);
    assert_eq!(shape(&[3], &[3, 4]), [4]);
    assert_eq!(shape(&[5, 2, 3], &[3, 4]), [5, 2, 4]);
    assert_eq!(shape(&[2, 3], &[5, 3, 4]), [5, 2, 4]);
    assert_eq!(shape(&[5, 2, 3], &[5, 3, 4]), [5, 2, 4]);
    assert_eq!(shape(&[1, 2, 3], &[5, 3, 4]), [5, 2, 4]);
    assert_eq!(shape(&[6, 1, 2, 3], &[5, 3, 4]), [6, 5, 2, 4]);
    assert_eq!(shape(&[3], &[5, 3, 4]), [5, 4]);
    assert_eq!(shape(&[5, 2, 3], &[3]), [5, 2]);
    // Values: every element against a loop, with an axis broadcast on either side.
    let (a, b) = (of(&[2, 1, 2, 3]), of(&[4, 3, 2]));
    let out = jit(|a: Tensor, b: Tensor| a.matmul(b))(&a, &b).unwrap();
    let (a, b) = (a.view::<f32>().unwrap().into_owned(), b.view::<f32>().unwrap().into_owned());
    let mut expected = vec![];
    for index in Shape::from([2, 4, 2, 2]).indices() {
        expected.push((0..3).map(|k| a[[index[0], 0, index[2], k]] * b[[index[1], k, index[3]]]).sum::<f32>());
    }
    check(&out, &expected);
}

#[test]
fn einsum_names_axes() {
    let a = Array::from_vec((0..6).map(|i| i as f32).collect(), [2, 3]).unwrap();
    let m = Array::from_vec((0..9).map(|i| i as f32).collect(), [3, 3]).unwrap();
    let f = jit(|a: Tensor, m: Tensor| {
        (
            einsum("ij->ji", [a]),
            einsum("ij->", [a]),
            einsum("ii", [m]),
            einsum("ii->i", [m]),
            einsum("ij,jk,ik->i", [a, m, a]),
            einsum("ij,kl->ljki", [a, m]),
            einsum("ij,jk", [a, m]),
        )
    });
    let (t, sum, trace, diagonal, three, outer, product) = f(&a, &m).unwrap();
    check(&t, &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    check(&sum, &[15.0]);
    check(&trace, &[12.0]);
    check(&diagonal, &[0.0, 4.0, 8.0]);
    // Σⱼₖ a[i,j] m[j,k] a[i,k]
    check(&three, &[60.0, 672.0]);
    assert_eq!(outer.shape()[..], [3, 3, 3, 2]);
    assert_eq!(outer.view::<f32>().unwrap()[[2, 1, 0, 1]], 4.0 * 2.0);
    check(&product, &[15.0, 18.0, 21.0, 42.0, 54.0, 66.0]);
}

#[test]
fn einsum_broadcasts_axes_without_names() {
    let numbers = |shape: &[usize]| {
        let size: usize = shape.iter().product();
        Array::from_vec((0..size).map(|i| (i * i % 11) as f32).collect(), shape).unwrap()
    };
    let (x, y, m) = (numbers(&[2, 1, 3, 4]), numbers(&[5, 4, 2]), numbers(&[3, 4]));
    let f = jit(|x: Tensor, y: Tensor, m: Tensor| {
        let pairs = [
            (einsum("...ij,...jk->...ik", [x, y]), x.matmul(y)),
            (einsum("...ij , ...jk", [x, y]), x.matmul(y)),
            (einsum("ij,...jk->k...i", [m, y]), m.matmul(y).transpose([2, 0, 1])),
            (einsum("b...a", [x]), x.transpose([1, 2, 3, 0])),
            (einsum("...", [m]), m),
            (einsum("ij...,ij->...", [m, m]), (m * m).sum()),
            (einsum("...,...->...", [x, m]), x * m),
            (einsum("...,i...->...i", [y.sum_axes(0), y]), (y.sum_axes(0) * y).transpose([1, 2, 0])),
            (
                einsum("a...a->...", [y.slice_axis(0, 0, 2)]),
                (0..2).map(|i| y.slice([i, 0, i], [i + 1, 4, i + 1]).reshape([4])).reduce(|a, b| a + b).unwrap(),
            ),
        ];
        pairs.into_iter().collect::<Vec<_>>()
    });
    for (i, (got, want)) in f(&x, &y, &m).unwrap().iter().enumerate() {
        assert_eq!(got.shape(), want.shape(), "{i}");
        check(got, want.as_slice::<f32>().unwrap());
    }
}

#[test]
fn the_least_exponent_has_derivatives() {
    let f = |x: Tensor| x.powi(i32::MIN);
    let n = f64::from(i32::MIN);
    for device in [Device::Interpreter, Device::Cpu] {
        let all = jit(move |x: Tensor| (f(x), grad(f)(x), jvp(f)((x,), (2.0 * x,)).1, grad(grad(f))(x)));
        let all = all.options(Options { device, ..Options::default() });
        let (y, slope, pushed, second) = all(&Array::from(-1.0f64)).unwrap();
        let got = [y, slope, pushed, second].map(|y| y.item::<f64>().unwrap());
        assert_eq!(got, [1.0, -n, 2.0 * n, n * (n - 1.0)], "{device}");
    }
}

#[test]
fn integers_and_bools_pass_through_derivatives() {
    let f = |x: Tensor, n: Tensor| (x * n.convert(Dtype::F32), n + 1, n.gt(0));
    let (x, n) = (Array::from(3.0f32), Array::from(2i32));
    let ((y, m, b), (dy, dm, db)) = jit(jvp(f))(&(x.clone(), n.clone()), &(x.clone(), n.clone())).unwrap();
    check(&y, &[6.0]);
    check(&dy, &[6.0]);
    assert_eq!((m.item::<i32>().unwrap(), dm.item::<i32>().unwrap()), (3, 0));
    assert_eq!((b.item::<bool>().unwrap(), db.item::<bool>().unwrap()), (true, false));
    let ct = (Array::from(10.0f32), n.clone(), Array::from(true));
    let (_, (dx, dn)) = jit(vjp(f))(&(x, n), &ct).unwrap();
    check(&dx, &[20.0]);
    assert_eq!(dn.item::<i32>().unwrap(), 0);
}

#[test]
fn programs_are_compiled_once_per_type() {
    let traced = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&traced);
    let f = jit(move |xs: Vec<Tensor>| {
        count.set(count.get() + 1);
        xs[0] + xs[xs.len() - 1]
    });
    let (a, b) = (vector(&[1.0]), vector(&[1.0, 2.0]));
    for _ in 0..3 {
        f(&vec![a.clone()]).unwrap();
        f(&vec![b.clone()]).unwrap();
        f(&vec![a.clone(), a.clone()]).unwrap();
    }
    assert_eq!((traced.get(), f.compiled()), (3, 3));
    let f = f.device(Device::Interpreter);
    f(&vec![a.clone()]).unwrap();
    assert_eq!((traced.get(), f.compiled()), (4, 1));
    // Failures are not kept.
    assert!(f(&vec![a, vector(&[1.0, 2.0, 3.0])]).is_ok());
    assert!(f(&vec![b, vector(&[1.0, 2.0, 3.0])]).is_err());
}

/// Every call is traced; what is captured or decided there counts, and nothing is compiled twice in a row.
#[test]
fn eager_calls_see_what_has_changed() {
    let scale = std::rc::Rc::new(std::cell::RefCell::new(vector(&[2.0, 3.0])));
    let negate = std::rc::Rc::new(std::cell::Cell::new(false));
    let (own, minus) = (std::rc::Rc::clone(&scale), std::rc::Rc::clone(&negate));
    let f = eager(move |x: Tensor| {
        let y = x * Tensor::from(&*own.borrow());
        if minus.get() { -y } else { y }
    });
    let x = vector(&[1.0, 10.0]);
    check(&f(&x).unwrap(), &[2.0, 30.0]);
    check(&f(&x).unwrap(), &[2.0, 30.0]);
    *scale.borrow_mut() = vector(&[5.0, 7.0]);
    check(&f(&x).unwrap(), &[5.0, 70.0]);
    negate.set(true);
    check(&f(&x).unwrap(), &[-5.0, -70.0]);
    assert_eq!(f.compiled(), 1);
}

#[test]
fn eager_runs_every_primitive_by_itself() {
    let f = |x: Tensor| ((x.sin() * x).exp() + 1).sum();
    let x = (vector(&[1.0, 2.0, 3.0]),);
    let (y, fused) = jit(f).run(&x).unwrap();
    let (z, single) = eager(f).run(&x).unwrap();
    check(&y, z.as_slice::<f32>().unwrap());
    assert_eq!(fused.device, Device::Cpu);
    assert_eq!(fused.dispatches, 1);
    assert!(single.dispatches >= 5, "{single:?}");
    let (_, interpreted) = jit(f).device(Device::Interpreter).run(&x).unwrap();
    assert_eq!((interpreted.device, interpreted.dispatches > 0), (Device::Interpreter, true));
}

#[test]
fn compiled_functions_are_shared_by_threads() {
    let table = Array::from_vec((0..1000).map(|i| i as f32).collect(), [1000]).unwrap();
    let f = jit(move |x: Tensor| (x * Tensor::from(&table)).sum());
    let compiled = f.compile(&(Array::from(1.0f32),)).unwrap();
    drop(f);
    std::thread::scope(|s| {
        for i in 0..4 {
            let compiled = compiled.clone();
            s.spawn(move || {
                for j in 0..50 {
                    let x = (i * 50 + j) as f32;
                    let y = compiled.call(&(Array::from(x),)).unwrap();
                    assert_eq!(y.item::<f32>().unwrap(), x * 499_500.0);
                }
            });
        }
    });
    assert!(compiled.schedule().is_some());
    assert_eq!(compiled.device(), Device::Cpu);
    assert!(format!("{compiled:?}").contains("on cpu"));
}

#[test]
fn strict_results_have_the_interpreters_bits() {
    let options = |device| Options { device, numerics: Numerics::Strict, ..Options::default() };
    let f = |x: Tensor| (x.exp() * x.sin() + 0.1).sum() / x.tanh();
    let x = Array::from_vec((0..1003).map(|i| i as f32 * 0.01 - 5.0).collect(), [1003]).unwrap();
    let on = |device| jit(grad(move |x: Tensor| f(x).mean())).options(options(device))(&x).unwrap();
    assert_eq!(on(Device::Cpu), on(Device::Interpreter));
}

#[test]
fn diagonals_at_the_ends_of_i32() {
    let x = Array::from_vec(vec![0.75f32, 1.5, -2.0, -1.25], [2, 2]).unwrap();
    let kept = |f: fn(Tensor) -> Tensor| jit(f)(&x).unwrap().to_f64().iter().filter(|v| **v != 0.0).count();
    assert_eq!([kept(|x| x.triu(i32::MAX)), kept(|x| x.triu(i32::MIN))], [0, 4]);
    assert_eq!([kept(|x| x.tril(i32::MAX)), kept(|x| x.tril(i32::MIN))], [4, 0]);
}

#[test]
fn arrays_are_put_on_devices_and_fetched() {
    let tree = (vector(&[1.0, 2.0]), vec![vector(&[3.0]), Array::from(true)]);
    for device in [Device::Auto, Device::Cpu, Device::Interpreter] {
        let there = egrad::device_put(&tree, device).unwrap();
        assert_eq!(there, tree);
        assert_eq!(egrad::device_get(&there).unwrap(), tree);
    }
    let vulkan = match egrad::device_put(&tree, Device::Vulkan) {
        Ok(there) => there,
        Err(e) if std::env::var_os("EGRAD_REQUIRE_VULKAN").is_none() => return eprintln!("SKIPPED: {e}"),
        Err(e) => panic!("{e}"),
    };
    let name = vulkan.0.device().unwrap().to_owned();
    let double = jit(|x: Tensor| x + x).device(Device::Vulkan);
    let mut x = vulkan.0.clone();
    for _ in 0..3 {
        x = double(&x).unwrap();
        assert_eq!(x.device(), Some(&*name));
    }
    assert_eq!(x.clone().item::<f32>().unwrap_err().kind(), "shape");
    // The CPU's functions and traces take them as they take any.
    let on_cpu = jit(move |y: Tensor| y * Tensor::from(&x)).device(Device::Cpu);
    let y = on_cpu(&vulkan.1[0]).unwrap();
    assert_eq!((y.device(), y.as_slice::<f32>().unwrap()), (None, &[24.0f32, 48.0][..]));
    assert_eq!(egrad::device_get(&vulkan).unwrap(), tree);
    assert_eq!(egrad::device_put(&vulkan, Device::Cpu).unwrap().0.device(), None);
}

/// Nothing is before and after the tensor, whatever its type.
#[test]
fn windows_of_truth_values() {
    let x = Array::from_vec(vec![true, false, false], [3]).unwrap();
    let most = jit(|x: Tensor| x.window_max(&[2], &[1], &[(2, 2)]))(&x).unwrap();
    assert_eq!(most.as_slice::<bool>().unwrap(), [false, true, true, false, false, false]);
    let least = jit(|x: Tensor| x.window_min(&[2], &[1], &[(2, 2)]))(&x).unwrap();
    assert_eq!(least.as_slice::<bool>().unwrap(), [true, true, false, false, false, true]);
}

#[test]
fn convolutions_that_are_none() {
    let refused = |layouts: [&str; 3], groups: usize, k: [usize; 3], part: &str| {
        let how = Convolution { layouts: layouts.map(str::to_owned), groups, ..Convolution::default() };
        let f = jit(move |x: Tensor, k: Tensor| conv(x, k, &how));
        let zeros = |shape: [usize; 3]| Array::from_vec(vec![0.0f32; shape.iter().product()], shape).unwrap();
        let e = f(&zeros([1, 3, 1]), &zeros(k)).unwrap_err().to_string();
        assert!(e.contains("`conv`") && e.contains(part), "{e}");
    };
    refused(["NWC", "WIO", "NWC"], 0, [2, 1, 1], "not 0 groups");
    refused(["NWC", "WIO", "NWC"], 1, [0, 1, 1], "an element of the kernel along every spatial axis");
    refused(["NWW", "WIO", "NWC"], 1, [2, 1, 1], "don't name their axes");
    refused(["NWC", "WIOW", "NWC"], 1, [2, 1, 1], "don't name their axes");
}

#[test]
fn what_is_undefined_has_no_slope() {
    let f = jit(value_and_grad(|x: (Tensor, Tensor)| special::zeta(x.0, x.1)));
    let (y, slopes) = f(&(Array::from(0.5f64), Array::from(2.0f64))).unwrap();
    assert!([y, slopes.0, slopes.1].iter().all(|x| x.item::<f64>().unwrap().is_nan()));
}
