//! Floats of 16 bits: derivatives against JAX, sums of many, what isn't done with them, and the same bits
//! on every device.

use egrad::*;
use egrad_tests::devices;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::rc::Rc;

const SHORT: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// The distance of neighbours from 1 up.
fn unit(dtype: Dtype) -> f64 {
    if dtype == Dtype::F16 { f64::from(f16::EPSILON) } else { f64::from(bf16::EPSILON) }
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../dtypes/halves.json")).unwrap()
}

fn floats(x: &Value) -> Vec<f64> {
    x["data"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn array(x: &Value, dtype: Dtype) -> Array {
    let shape: Vec<usize> = x["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    Array::from_f64(dtype, &floats(x), shape).unwrap()
}

/// The function of that name.
fn function(name: &str, x: Tensor, rest: &[Tensor]) -> Tensor {
    match name {
        "network" => (rest[0].matmul(x) + rest[1]).tanh().powi(2).sum(),
        "entropy" => -(x.log_softmax(-1) * rest[0]).sum(),
        "normed" => {
            let moved = x - x.mean_keepdims(-1);
            let deviation = (moved.powi(2).mean_keepdims(-1) + 1e-3).sqrt();
            (moved / deviation * rest[0]).sin().sum()
        }
        "waves" => (x.sin() * (-x * x).exp() + x / (1.0 + rest[0] * rest[0])).sum(),
        "gathered" => {
            let places = Tensor::from(&Array::from_vec(vec![0, 2, 2, 1, 2, 0], [6]).unwrap());
            (x.take(places, 0, Outside::Clip).powi(2) * rest[0]).sum()
        }
        "windows" => {
            let layouts = ["NWC", "WIO", "NWC"].map(str::to_owned);
            conv(x, rest[0], &Convolution { layouts, ..Convolution::default() }).silu().sum()
        }
        other => panic!("`{other}` is no function of the reference"),
    }
}

/// A case's function of its first operand.
fn of(case: &Value, dtype: Dtype) -> impl Fn(Tensor) -> Tensor + Clone + 'static {
    let name: Rc<str> = case["function"].as_str().unwrap().into();
    let rest: Rc<[Array]> = case["operands"].as_array().unwrap()[1..].iter().map(|x| array(x, dtype)).collect();
    move |x| function(&name, x, &rest.iter().map(Tensor::from).collect::<Vec<_>>())
}

/// Derivatives of every kind and batches, within a few units of the largest number: each operation rounds,
/// and JAX leaves some of that out where it fuses.
#[test]
fn derivatives_are_those_of_jax() {
    let reference = reference();
    let cases = reference["derivatives"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    let mut wrong = Vec::new();
    for device in devices().iter().copied() {
        for case in cases {
            let dtype = Dtype::parse(case["dtype"].as_str().unwrap()).unwrap();
            let f = of(case, dtype);
            let [direction, batch] = ["direction", "batch"].map(|name| array(&case[name], dtype));
            let mut check = |what: &str, got: Array| {
                let want = array(&case[what], dtype);
                assert_eq!(got.aval(), want.aval(), "{} {what}", case["function"]);
                let largest = want.to_f64().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                let most = if what == "second" { 6.0 } else { 4.0 } * unit(dtype) * largest;
                let close = |(g, w): (f64, f64)| (g - w).abs() <= most;
                if !got.to_f64().into_iter().zip(want.to_f64()).all(close) {
                    wrong.push(format!("{device} {} {what}: {got}, not {want}", case["function"]));
                }
            };
            let x = array(&case["operands"][0], dtype);
            check("value", jit(f.clone()).device(device)(&x).unwrap());
            check("gradient", jit(grad(f.clone())).device(device)(&x).unwrap());
            let own = f.clone();
            let tangent = jit(move |x: Tensor, v: Tensor| jvp(own.clone())((x,), (v,)).1);
            check("tangent", tangent.device(device)(&x, &direction).unwrap());
            let own = f.clone();
            let slope = move |x: Tensor| (grad(own.clone())(x) * Tensor::from(&direction)).sum();
            check("second", jit(grad(slope)).device(device)(&x).unwrap());
            check("values", jit(vmap(f.clone(), 0)).device(device)(&batch).unwrap());
            check("gradients", jit(vmap(grad(f), 0)).device(device)(&batch).unwrap());
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Weights of 32 bits, activations of 16: the first gradient and thirty losses are JAX's.
#[test]
fn training_in_mixed_precision() {
    let reference = reference();
    let training = &reference["training"];
    let loss = |(w, b, v): (Tensor, Tensor, Tensor), x: Tensor, y: Tensor| {
        let [w, b, v] = [w, b, v].map(|p| p.convert(Dtype::Bf16));
        let hidden = (x.convert(Dtype::Bf16).matmul(w) + b).tanh();
        (hidden.matmul(v).convert(Dtype::F32) - y).powi(2).mean()
    };
    let f32s = |x: &Value| array(x, Dtype::F32);
    let (x, y) = (f32s(&training["x"]), f32s(&training["y"]));
    for device in devices().iter().copied() {
        let step = jit(move |p: (Tensor, Tensor, Tensor), x: Tensor, y: Tensor| {
            let (value, slope) = value_and_grad(loss)(p, x, y);
            let next = (p.0 - slope.0 * 0.1, p.1 - slope.1 * 0.1, p.2 - slope.2 * 0.1);
            (value, slope, next)
        })
        .device(device);
        let start = &training["params"];
        let mut p = (f32s(&start[0]), f32s(&start[1]), f32s(&start[2]));
        let wanted = training["losses"].as_array().unwrap();
        for (i, want) in wanted.iter().map(|x| x.as_f64().unwrap()).enumerate() {
            let (value, slope, next) = step(&p, &x, &y).unwrap();
            let got = f64::from(value.item::<f32>().unwrap());
            assert!((got - want).abs() <= 0.02 * want + 1e-3, "{device} step {i}: {got}, not {want}");
            if i == 0 {
                for (got, want) in [slope.0, slope.1, slope.2].iter().zip(training["gradient"].as_array().unwrap()) {
                    let want = f32s(want);
                    assert_eq!(got.aval(), want.aval());
                    let largest = want.to_f64().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
                        assert!((g - w).abs() <= 3.0 * unit(Dtype::Bf16) * largest, "{device}: {got}, not {want}");
                    }
                }
            }
            p = next;
        }
        assert!(wanted[29].as_f64().unwrap() < 0.1 * wanted[0].as_f64().unwrap());
    }
}

#[track_caller]
fn run(f: impl Fn(Tensor) -> Tensor + 'static, x: &Array, device: Device) -> Array {
    jit(f).device(device)(x).unwrap_or_else(|e| panic!("{device}: {e}"))
}

/// Many small numbers: what is added up in 16 bits stays at 256, or 2048.
#[test]
fn sums_are_made_in_32_bits() {
    let n = 5000;
    for device in devices().iter().copied() {
        for dtype in SHORT {
            let ones = Array::full([n], Literal::new(dtype, 1.0)).unwrap();
            let all = Literal::new(dtype, n as f64).to_f64();
            let last = |x: Array| *x.to_f64().last().unwrap();
            assert_eq!(last(run(|x| x.sum(), &ones, device)), all);
            assert_eq!(last(run(|x| x.dot(x), &ones, device)), all);
            assert_eq!(last(run(|x| x.cumsum(0, false), &ones, device)), all);
            assert_eq!(last(run(|x| x.cumsum(0, true), &ones, device)), 1.0);
            assert_eq!(
                last(run(|x| (x * 1.5 - x).cumsum(0, false), &ones, device)),
                Literal::new(dtype, 2500.0).to_f64()
            );
            let placed = |x: Tensor| zeros([2], x.dtype()).scatter_add(zeros([x.size()], Dtype::I32), x).sum();
            assert_eq!(last(run(placed, &ones, device)), all);
            let windows = |x: Tensor| {
                let layouts = ["NWC", "WIO", "NWC"].map(str::to_owned);
                let (x, k) = (x.reshape([1, x.size(), 1]), x.reshape([x.size(), 1, 1]));
                conv(x, k, &Convolution { layouts, ..Convolution::default() }).reshape([1])
            };
            assert_eq!(last(run(windows, &ones, device)), all);
            // What a broadcast's transpose adds up.
            let spread = grad(move |x: Tensor| x.broadcast_to([n]).sum());
            assert_eq!(last(run(spread, &Array::full([], Literal::new(dtype, 1.0)).unwrap(), device)), all);
            // Neither sum nor count is an f16.
            let many = Array::full([70_000], Literal::new(dtype, 3.0)).unwrap();
            assert_eq!(last(run(|x| x.mean(), &many, device)), 3.0);
            assert_eq!(last(run(|x| (x + 1.0).var(), &many, device)), 0.0);
            assert_eq!(last(run(|x| (x / 3.0).prod(), &many, device)), 1.0);
        }
    }
}

/// Rounding to 16 bits stays; what loses nothing goes.
#[test]
fn conversions_that_round_are_kept() {
    let data: Vec<f32> = (0..3001).map(|i| (i as f32 * 0.37).sin() * 100.0).collect();
    let x = Array::from_vec(data.clone(), [data.len()]).unwrap();
    for device in devices().iter().copied() {
        for dtype in SHORT {
            let rounded = run(move |x| x.convert(dtype).convert(Dtype::F32), &x, device);
            let want: Vec<f64> = data.iter().map(|x| Literal::new(dtype, f64::from(*x)).to_f64()).collect();
            assert_eq!(rounded.to_f64(), want);
            let short = Array::from_f64(dtype, &want, [want.len()]).unwrap();
            assert_eq!(run(move |x| x.convert(Dtype::F32).convert(dtype), &short, device), short);
            assert_eq!(run(move |x| x.convert(Dtype::F64).convert(dtype), &short, device), short);
        }
    }
}

/// Loops, branches, calls, and numbers beside tensors.
#[test]
fn programs_of_every_kind() {
    let x = || Array::from_f64(Dtype::Bf16, &[0.5, -1.25, 3.0], [3]).unwrap();
    let looped = |x: Tensor| {
        let (last, all) = scan(|c: Tensor, x: Tensor| ((c + x) * 0.5, c * x), zeros([], Dtype::Bf16), x);
        let more = while_loop(|c: Tensor| c.lt(100.0), |c: Tensor| c * 2.0 + 1, last.abs());
        let chosen = cond(last.gt(0), |x: Tensor| x * 2.0, |x: Tensor| -x, (all.sum(),));
        last + chosen + more * 0.0 + fori_loop(0, 3, |_: Tensor, c: Tensor| c.sin(), last)
    };
    let want = jit(looped).device(Device::Interpreter)(&x()).unwrap();
    assert_eq!(want.dtype(), Dtype::Bf16);
    for device in devices().iter().copied() {
        let got = jit(looped).device(device)(&x()).unwrap();
        assert!((got.to_f64()[0] - want.to_f64()[0]).abs() < 0.02, "{device}: {got}, not {want}");
        let swept = |x: Tensor| scan(|c: Tensor, x: Tensor| (c * x + c.tanh(), x), ones([], Dtype::Bf16), x).0;
        let slopes = jit(vmap(grad(swept), 0)).device(device);
        let batch = Array::from_f64(Dtype::Bf16, &[0.5, -1.25, 3.0, 1.0, 2.0, -0.5], [2, 3]).unwrap();
        let wide = Array::from_f64(Dtype::F64, &batch.to_f64(), [2, 3]).unwrap();
        let swept = |x: Tensor| scan(|c: Tensor, x: Tensor| (c * x + c.tanh(), x), ones([], Dtype::F64), x).0;
        let want = jit(vmap(grad(swept), 0)).device(Device::Interpreter)(&wide).unwrap();
        for (g, w) in slopes(&batch).unwrap().to_f64().iter().zip(want.to_f64()) {
            assert!((g - w).abs() < 0.1, "{device}: {g}, not {w}");
        }
        let of = |x: Tensor| x * f16::from_f32(1.5) + 0.25f64 - 1 + f32::from(2u8);
        let got = jit(of).device(device)(&Array::from(f16::from_f32(2.0))).unwrap();
        assert_eq!(got.item::<f16>().unwrap(), f16::from_f32(4.25));
    }
    for calls in [Calls::PushIn, Calls::Dispatch, Calls::Inline] {
        let inner = jit(|x: Tensor| (x.sin() * 2.0).sum());
        let outer =
            jit(vmap(move |x: Tensor| inner.call((x,)) + 1.0, 0)).options(Options { calls, ..Options::default() });
        let batch = Array::from_f64(Dtype::F16, &[0.5, -1.25, 3.0, 1.0, 2.0, -0.5], [2, 3]).unwrap();
        assert_eq!(outer(&batch).unwrap().to_f64().len(), 2);
    }
}

/// Without elements, with one, and of lengths that no vector has.
#[test]
fn every_shape() {
    for shape in [&[][..], &[0], &[1], &[5], &[33], &[3, 0], &[7, 9], &[2, 3, 11]] {
        let size: usize = shape.iter().product();
        for dtype in SHORT {
            let data: Vec<f64> = (0..size).map(|i| (i as f64 * 0.7).sin()).collect();
            let x = Array::from_f64(dtype, &data, shape).unwrap();
            let f = |x: Tensor| {
                let y = (x * 2.0 + x.abs()).tanh();
                vec![y, y.sum(), x.maximum(-x).max(), y.reshape([y.size()]).sort(0), x.gt(0.1).select(y, x)]
            };
            let of = |device, numerics| jit(f).options(Options { device, numerics, ..Options::default() })(&x);
            let want = of(Device::Interpreter, Numerics::Strict).unwrap();
            assert_eq!(of(Device::Cpu, Numerics::Strict).unwrap(), want);
            for device in devices().iter().copied() {
                for (got, want) in of(device, Numerics::Fast).unwrap().iter().zip(&want) {
                    assert_eq!(got.aval(), want.aval());
                    for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
                        assert!(*g == w || (g - w).abs() <= unit(dtype) * w.abs(), "{device}: {got}, not {want}");
                    }
                }
            }
        }
    }
}

#[track_caller]
fn refused(f: impl Fn(Tensor) -> Tensor + 'static, dtype: Dtype, shape: &[usize], parts: &[&str]) {
    let x = Array::full(shape, Literal::new(dtype, 1.0)).unwrap();
    let e = jit(f).device(Device::Interpreter)(&x).unwrap_err();
    assert_eq!(e.kind(), "dtype", "{e}");
    for part in parts {
        assert!(e.to_string().contains(part), "no `{part}` in: {e}");
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    for dtype in SHORT {
        let name = dtype.name();
        refused(|x| x.cholesky(), dtype, &[2, 2], &["`cholesky`", name, "f32"]);
        refused(|x| linalg::eigh(x).0, dtype, &[2, 2], &["`eigh`", name, "f32"]);
        refused(|x| x.solve(x), dtype, &[2, 2], &["`solve`", name, "f32"]);
        refused(|x| fft::fft((x, x), -1).0, dtype, &[4], &["`fft`", name, "convert to f32"]);
        refused(|x| x + x.convert(Dtype::F32), dtype, &[2], &["`add`", name, "f32"]);
        refused(|x| x.take(x, 0, Outside::Clip), dtype, &[2], &["`take`", "integers", name]);
        refused(|x| x & x, dtype, &[2], &["`and`", name]);
        let x = Array::full([2], Literal::new(dtype, 1.0)).unwrap();
        let e = check_grads(|x: Tensor| x.sum(), &(x,), 1, Modes::Both).unwrap_err();
        assert!(e.to_string().contains(name) && e.to_string().contains("check in f32"), "{e}");
    }
}

/// The same cases on every run; more of them with `PROPTEST_CASES`, others with `PROPTEST_RNG_SEED`.
fn config(cases: u32) -> ProptestConfig {
    let given = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let cases = given("PROPTEST_CASES").map_or(cases, |n: u64| n as u32);
    let rng_seed = RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(16));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// A value of a program: a choice, and two earlier values.
type Step = (u8, u8, u8);

/// Vectors of one length, made by operations on floats of 16 bits, and what they are of other types.
fn program(steps: &[Step], x: Tensor, y: Tensor) -> Vec<Tensor> {
    let mut values = vec![x, y];
    for (choice, a, b) in steps {
        let of = |i: &u8| values[usize::from(*i) % values.len()];
        let (a, b) = (of(a), of(b));
        let b = b.convert(a.dtype());
        values.push(match choice % 20 {
            0 => a + b,
            1 => a - b,
            2 => a * b,
            3 => a / b,
            4 => a % b,
            5 => a.maximum(b),
            6 => a.minimum(-b),
            7 => a.sin() + b.tanh(),
            8 => (-a.abs()).exp() * b,
            9 => a.abs().sqrt() + b.floor(),
            10 => a.lt(b).select(a.sign(), b.round()),
            11 => a.powi(i32::from(*choice / 20) - 5),
            12 => a + a.sum() * 0.01,
            13 => b - a.max() + a.min(),
            14 => a.sort(0) + b.argsort(0).convert(a.dtype()),
            15 => a.convert(SHORT[usize::from(*choice / 20) % 2]),
            16 => a.convert(Dtype::I32).convert(a.dtype()) - b.convert(Dtype::U8).convert(a.dtype()),
            17 => a.convert(Dtype::F64).sin().convert(a.dtype()) * 1.5,
            18 => a.take(b.convert(Dtype::I32), 0, Outside::Wrap),
            _ => zeros(a.shape(), a.dtype()).scatter_add(b.convert(Dtype::I32), a).cumsum(0, false),
        });
    }
    values
}

proptest! {
    #![proptest_config(config(60))]

    /// Under strict numerics the CPU has the interpreter's bits.
    #[test]
    fn strict_programs_have_the_same_bits(
        steps in prop::collection::vec(any::<Step>(), 1..14),
        (of, n, seed) in (0..2usize, prop::sample::select(vec![0usize, 1, 3, 7, 33]), any::<u64>()),
    ) {
        let mut seed = seed;
        let mut numbers = |dtype| {
            let mut next = || {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                match seed >> 60 {
                    0 => f64::INFINITY,
                    1 => 1e-7 * (seed >> 40) as i8 as f64,
                    2 => 1e4 * (seed >> 40) as i8 as f64,
                    _ => (seed >> 30) as i16 as f64 / 8192.0,
                }
            };
            Array::from_f64(dtype, &(0..n).map(|_| next()).collect::<Vec<_>>(), [n]).unwrap()
        };
        let (x, y) = (numbers(SHORT[of]), numbers(SHORT[1 - of]));
        let steps = Rc::new(steps);
        let run = |device| {
            let own = Rc::clone(&steps);
            let options = Options { device, numerics: Numerics::Strict, ..Options::default() };
            jit(move |x: Tensor, y: Tensor| program(&own, x, y)).options(options)(&x, &y).unwrap()
        };
        prop_assert_eq!(run(Device::Cpu), run(Device::Interpreter));
    }
}
