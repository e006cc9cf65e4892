//! Per-example gradients are one kernel that writes all of them, however the program is written.

use egrad::*;

/// Numbers in [-1, 1), the same everywhere.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 101 + 13) % 199) as f32 / 99.5 - 1.0).collect()
}

fn array(shape: &[usize], seed: usize) -> Array {
    Array::from_vec(numbers(shape.iter().product(), seed), shape).unwrap()
}

/// Asserts that the compiled function is one kernel which writes `outputs` buffers, and that it
/// ran as such.
#[track_caller]
fn check_one<A, O>(compiled: &Compiled<A, O>, args: &A, outputs: usize) -> O
where
    A: Tree<Leaf = Array>,
    O: Tree<Leaf = Array>,
{
    let schedule = compiled.schedule().expect("a device with kernels");
    let texts: Vec<String> = schedule.steps.iter().map(|s| s.kernel.to_string()).collect();
    assert_eq!(texts.len(), 1, "not one kernel:\n{}", texts.join("\n"));
    let written = schedule.steps[0].kernel.operands.iter().filter(|o| o.written).count();
    assert_eq!(written, outputs, "{}", texts[0]);
    assert_eq!(schedule.outputs.len(), outputs);
    let (out, report) = compiled.run(args).unwrap();
    assert_eq!(report, Report { device: Device::Cpu, dispatches: 1 });
    out
}

#[track_caller]
fn check(what: &str, got: &Array, want: &[f64]) {
    let got = got.to_f64();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "{what}[{i}] is {g}, not {w}");
    }
}

const BATCHES: [usize; 3] = [1, 5, 1000];

/// The residual w·x + b - y of each example, in f64.
fn residuals(w: f32, b: f32, xs: &[f32], ys: &[f32]) -> Vec<f64> {
    xs.iter().zip(ys).map(|(x, y)| f64::from(w) * f64::from(*x) + f64::from(b) - f64::from(*y)).collect()
}

/// What the gradients by w and b are.
fn expected(w: f32, b: f32, xs: &[f32], ys: &[f32]) -> [Vec<f64>; 2] {
    let r = residuals(w, b, xs, ys);
    let dw = r.iter().zip(xs).map(|(r, x)| 2.0 * r * f64::from(*x)).collect();
    [dw, r.iter().map(|r| 2.0 * r).collect()]
}

#[test]
fn the_tutorials() {
    fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
        w * x + b
    }
    fn squared_error(p: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
        (predict(p, x) - y).powi(2)
    }
    for n in BATCHES {
        let (x, y) = (array(&[n], 1), array(&[n], 2));
        let args = ((Array::from(0.75f32), Array::from(-0.5f32)), x.clone(), y.clone());
        let f = jit(vmap(grad(squared_error), (None, 0, 0))).device(Device::Cpu);
        let (dw, db) = check_one(&f.compile(&args).unwrap(), &args, 2);
        let want = expected(0.75, -0.5, x.as_slice().unwrap(), y.as_slice().unwrap());
        check("dw", &dw, &want[0]);
        check("db", &db, &want[1]);
    }
}

#[test]
fn renamed_and_reordered() {
    // Other names and another order of arguments, of operands and of the tree; the square as a product.
    fn cost(target: Tensor, input: Tensor, line: [Tensor; 2]) -> Tensor {
        let [offset, slope] = line;
        let miss = target - (offset + input * slope);
        miss * miss
    }
    for n in BATCHES {
        let (x, y) = (array(&[n], 1), array(&[n], 2));
        let line = [Array::from(-0.5f32), Array::from(0.75f32)];
        let want = expected(0.75, -0.5, x.as_slice().unwrap(), y.as_slice().unwrap());

        let args = (y.clone(), x.clone(), line.clone());
        let f = jit(vmap(grad_argnums(cost, Arg::<2>), (0, 0, None))).device(Device::Cpu);
        let [db, dw] = check_one(&f.compile(&args).unwrap(), &args, 2);
        check("dw", &dw, &want[0]);
        check("db", &db, &want[1]);

        // The same with the batch written by hand, as the gradient of a sum over copies.
        let f = |line: [Tensor; 2], x: Tensor, y: Tensor| vmap(cost, (0, 0, 0))(y, x, line).sum();
        let copies =
            [Array::full([n], Literal::new(Dtype::F32, -0.5)), Array::full([n], Literal::new(Dtype::F32, 0.75))];
        let args = (copies.map(Result::unwrap), x, y);
        let [db, dw] = check_one(&jit(grad(f)).device(Device::Cpu).compile(&args).unwrap(), &args, 2);
        check("dw", &dw, &want[0]);
        check("db", &db, &want[1]);
    }
}

#[test]
fn three_parameters() {
    #[derive(Tree)]
    struct Parabola<T> {
        w: T,
        b: T,
        c: T,
    }
    fn loss(p: Parabola<Tensor>, x: Tensor, y: Tensor) -> Tensor {
        (p.w * x + p.b + p.c * x.powi(2) - y).powi(2)
    }
    fn loss_by_products(p: Parabola<Tensor>, x: Tensor, y: Tensor) -> Tensor {
        let r = y - (p.b + x * (p.w + x * p.c));
        r * r
    }
    let point = || Parabola { w: Array::from(0.75f32), b: Array::from(-0.5f32), c: Array::from(0.25f32) };
    for n in BATCHES {
        let (x, y) = (array(&[n], 1), array(&[n], 2));
        let args = (point(), x.clone(), y.clone());
        let (xs, ys) = (x.to_f64(), y.to_f64());
        let r: Vec<f64> = xs.iter().zip(&ys).map(|(x, y)| 0.75 * x - 0.5 + 0.25 * x * x - y).collect();
        let times = |k: i32| r.iter().zip(&xs).map(|(r, x)| 2.0 * r * x.powi(k)).collect::<Vec<f64>>();
        let compiled = [
            jit(vmap(grad(loss), (None, 0, 0))).device(Device::Cpu).compile(&args).unwrap(),
            jit(vmap(grad(loss_by_products), (None, 0, 0))).device(Device::Cpu).compile(&args).unwrap(),
        ];
        for compiled in compiled {
            let out = check_one(&compiled, &args, 3);
            check("dw", &out.w, &times(1));
            check("db", &out.b, &times(0));
            check("dc", &out.c, &times(2));
        }
    }
}

/// Vector weights, `w·x` written by `product`.
fn check_vectors(product: fn(Tensor, Tensor) -> Tensor) {
    let loss = move |(w, b): (Tensor, Tensor), x: Tensor, y: Tensor| (product(w, x) + b - y).powi(2);
    for d in [1, 3, 8, 17] {
        for n in BATCHES {
            let (w, x, y) = (array(&[d], 3), array(&[n, d], 1), array(&[n], 2));
            let (ws, xs, ys) = (w.to_f64(), x.to_f64(), y.to_f64());
            let args = ((w, Array::from(-0.5f32)), x, y);
            let f = jit(vmap(grad(loss), (None, 0, 0))).device(Device::Cpu);
            let (dw, db) = check_one(&f.compile(&args).unwrap(), &args, 2);
            assert_eq!((&dw.shape()[..], &db.shape()[..]), (&[n, d][..], &[n][..]));
            let r: Vec<f64> =
                (0..n).map(|i| (0..d).map(|j| ws[j] * xs[i * d + j]).sum::<f64>() - 0.5 - ys[i]).collect();
            let want: Vec<f64> = (0..n * d).map(|k| 2.0 * r[k / d] * xs[k]).collect();
            check(&format!("dw, d = {d}, n = {n}"), &dw, &want);
            check("db", &db, &r.iter().map(|r| 2.0 * r).collect::<Vec<f64>>());
        }
    }
}

#[test]
fn vector_weights_by_dot() {
    check_vectors(|w, x| w.dot(x));
}

#[test]
fn vector_weights_by_sum() {
    check_vectors(|w, x| (w * x).sum());
}

/// Windows are read where they are: by strides, with zeros around, and nothing is copied but them.
#[test]
fn a_convolution_reads_its_windows_by_strides() {
    let padded = Convolution { padding: vec![(1, 1); 2], ..Convolution::default() };
    let f = jit(move |x: Tensor, k: Tensor| conv(x, k, &padded));
    let (x, k) = (array(&[2, 9, 7, 8], 1), array(&[3, 3, 8, 16], 2));
    let compiled = f.compile(&(x.clone(), k.clone())).unwrap();
    let texts: Vec<String> = compiled.schedule().unwrap().steps.iter().map(|s| s.kernel.to_string()).collect();
    assert_eq!(texts.len(), 2, "{}", texts.join("\n"));
    for computed in ["index", "within", "select"] {
        assert!(!texts[0].contains(computed), "{}", texts[0]);
    }
    assert!(texts[1].contains("contract f32"), "{}", texts[1]);
    let y = compiled.call(&(x.clone(), k.clone())).unwrap();
    let (x, k) = (x.to_f64(), k.to_f64());
    let want: Vec<f64> = (0..2 * 9 * 7 * 16)
        .map(|at| {
            let (n, i, j, o) = (at / 16 / 7 / 9, at / 16 / 7 % 9, at / 16 % 7, at % 16);
            let taps = (0..3 * 3 * 8).map(|t| (t / 24 + i, t / 8 % 3 + j, t % 8, t));
            let inside = taps.filter(|(a, b, _, _)| (1..=9).contains(a) && (1..=7).contains(b));
            inside.map(|(a, b, c, t)| x[((n * 9 + a - 1) * 7 + b - 1) * 8 + c] * k[t * 16 + o]).sum()
        })
        .collect();
    check("conv", &y, &want);
}
