//! Linear algebra and Fourier transforms against JAX (`tests/linalg/values.json`, made by `make.py` beside
//! it): values, gradients and second derivatives, in both widths, on the interpreter and the CPU.

use egrad::linalg::{self, Norm, Triangle};
use egrad::{Array, Device, Dtype, Numerics, Options, Tensor, arange, eager, eye, fft, grad, jit, vmap};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    data: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    function: String,
    inputs: Vec<Values>,
    results: Vec<Values>,
    gradient: Vec<Values>,
    second: Vec<Values>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("linalg/values.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The functions that `make.py` has, by name.
fn function(name: &str, x: &[Tensor]) -> Vec<Tensor> {
    let pair = |z: (Tensor, Tensor)| vec![z.0, z.1];
    match name {
        "cholesky" => vec![x[0].cholesky()],
        "solve" => vec![x[0].solve(x[1])],
        "inv" => vec![x[0].inv()],
        "det" => vec![x[0].det()],
        "slogdet" => pair(linalg::slogdet(x[0])),
        "lu" => {
            let (_, l, u) = linalg::lu(x[0]);
            vec![l, u]
        }
        "qr" => pair(linalg::qr(x[0])),
        "eigh" => {
            let (w, v) = linalg::eigh(x[0]);
            vec![w, (v * (-w).exp().expand_dims([-2])).matmul(v.swap_axes(-1, -2))]
        }
        "svd" => {
            let (u, s, vt) = linalg::svd(x[0]);
            vec![s, u.matmul(vt)]
        }
        "pinv" => vec![linalg::pinv(x[0])],
        "matrix_power" => vec![linalg::matrix_power(x[0], 3), linalg::matrix_power(x[0], -2)],
        "expm" => vec![linalg::expm(x[0]), linalg::expm(9 * x[0])],
        "cond" => [Norm::Spectral, Norm::Frobenius, Norm::One, Norm::Infinity].map(|n| linalg::cond(x[0], n)).to_vec(),
        "vector_norms" => [f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0, 2.0, 3.0, 0.5]
            .map(|p| linalg::vector_norm(x[0], p, [-1]))
            .to_vec(),
        "trace" => vec![x[0].trace()],
        "norms" => [Norm::Frobenius, Norm::Nuclear, Norm::Spectral, Norm::One, Norm::Infinity]
            .map(|n| linalg::norm(x[0], n))
            .to_vec(),
        "fft" => pair(fft::fft((x[0], x[1]), -1)),
        "ifft" => pair(fft::ifft((x[0], x[1]), -1)),
        "rfft" => pair(fft::rfft(x[0], -1)),
        "irfft4" => vec![fft::irfft((x[0], x[1]), 4, -1)],
        "irfft5" => vec![fft::irfft((x[0], x[1]), 5, -1)],
        "fft2" => pair(fft::fft2((x[0], x[1]))),
        "ifft2" => pair(fft::ifft2((x[0], x[1]))),
        name => {
            let flags: Vec<bool> = name.strip_prefix("triangular_solve_").unwrap().chars().map(|c| c == '1').collect();
            let triangle = Triangle { lower: flags[0], transpose: flags[1], unit: flags[2] };
            vec![linalg::triangular_solve(x[0], x[1], triangle)]
        }
    }
}

/// Σ y f(1, 2, …)
fn weighed(y: Tensor, f: fn(Tensor) -> Tensor) -> Tensor {
    let weights = f(arange(y.size(), y.dtype()) + 1).reshape(y.shape());
    (y * weights).sum()
}

fn sum(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms.reduce(|x, y| x + y).unwrap()
}

fn loss(name: &'static str) -> impl Fn(Vec<Tensor>) -> Tensor + Clone + 'static {
    move |x: Vec<Tensor>| sum(function(name, &x).into_iter().map(|y| weighed(y, Tensor::cos)))
}

fn off(got: &Array, want: &Values) -> f64 {
    assert_eq!(**got.shape(), *want.shape);
    let scale = want.data.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    got.to_f64()
        .iter()
        .zip(&want.data)
        .map(|(g, w)| if g.is_nan() { f64::NAN } else { (g - w).abs() / scale })
        .fold(0.0, |m, x| if x.is_nan() { f64::INFINITY } else { m.max(x) })
}

#[track_caller]
fn check(device: Device, numerics: Numerics, width: Dtype) {
    let mut wrong = Vec::new();
    for (number, case) in cases().into_iter().enumerate() {
        let name: &'static str = case.function.clone().leak();
        let inputs: Vec<Array> =
            case.inputs.iter().map(|v| Array::from_f64(width, &v.data, v.shape.clone()).unwrap()).collect();
        let options = Options { device, numerics, ..Options::default() };
        let gradient = grad(loss(name));
        let second = grad(move |x: Vec<Tensor>| sum(gradient(x).into_iter().map(|g| weighed(g, Tensor::sin))));
        let all = jit(move |x: Vec<Tensor>| {
            let first = grad(loss(name))(x.clone());
            (function(name, &x), first, second(x))
        });
        let (results, first, second) = match all.options(options)(&inputs) {
            Ok(all) => all,
            Err(e) => {
                wrong.push(format!("{name} {number}: {e}"));
                continue;
            }
        };
        let (one, two) = if width == Dtype::F64 { (1e-9, 1e-7) } else { (2e-3, 5e-2) };
        for (what, got, want, most) in [
            ("results", &results, &case.results, one),
            ("gradient", &first, &case.gradient, one),
            ("second", &second, &case.second, two),
        ] {
            for (got, want) in got.iter().zip(want) {
                let off = off(got, want);
                if off > most {
                    wrong.push(format!("{name} {number} {:?}: {what} are off by {off:e}", want.shape));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_and_derivatives_are_those_of_jax_on_the_interpreter() {
    check(Device::Interpreter, Numerics::Fast, Dtype::F64);
}

#[test]
fn values_and_derivatives_are_those_of_jax_on_the_cpu() {
    check(Device::Cpu, Numerics::Fast, Dtype::F64);
    check(Device::Cpu, Numerics::Strict, Dtype::F64);
}

#[test]
fn values_and_derivatives_are_those_of_jax_in_single_precision() {
    check(Device::Interpreter, Numerics::Fast, Dtype::F32);
    check(Device::Cpu, Numerics::Fast, Dtype::F32);
}

/// A batch is its elements one by one, whichever operands have it.
#[test]
fn batches_are_their_elements() {
    let mut seen = Vec::new();
    for case in cases() {
        let name: &'static str = case.function.clone().leak();
        if seen.contains(&name) || case.inputs[0].shape.len() > 2 {
            continue;
        }
        seen.push(name);
        let n = case.inputs.len();
        let arrays: Vec<Array> =
            case.inputs.iter().map(|v| Array::from_f64(Dtype::F64, &v.data, v.shape.clone()).unwrap()).collect();
        for mask in 1..1usize << n {
            for size in [0, 3] {
                let batched: Vec<Array> = (arrays.iter().enumerate())
                    .map(|(k, x)| {
                        if mask & (1 << k) == 0 {
                            return x.clone();
                        }
                        let data: Vec<f64> = (0..size)
                            .flat_map(|i| x.to_f64().into_iter().map(move |x| x * (1.0 + 0.1 * i as f64)))
                            .collect();
                        Array::from_f64(Dtype::F64, &data, x.shape().insert(0, size)).unwrap()
                    })
                    .collect();
                let axes: Vec<Option<isize>> = (0..n).map(|k| (mask & (1 << k) != 0).then_some(0)).collect();
                let each = move |x: Vec<Tensor>| (function(name, &x), grad(loss(name))(x));
                let options = Options { device: Device::Cpu, ..Options::default() };
                let (results, gradients) = jit(vmap(each, (axes,))).options(options)(&batched).unwrap();
                for i in 0..size {
                    let own: Vec<Array> = (0..n)
                        .map(|k| {
                            let by = if mask & (1 << k) == 0 { 1.0 } else { 1.0 + 0.1 * i as f64 };
                            let data: Vec<f64> = arrays[k].to_f64().iter().map(|x| x * by).collect();
                            Array::from_f64(Dtype::F64, &data, arrays[k].shape().clone()).unwrap()
                        })
                        .collect();
                    let (r, g) = eager(each)(&own).unwrap();
                    for (all, one) in results.iter().chain(&gradients).zip(r.iter().chain(&g)) {
                        let len = one.shape().size();
                        let want = Values { shape: one.shape().to_vec(), data: one.to_f64() };
                        let got = Array::from_f64(Dtype::F64, &all.to_f64()[i * len..][..len], one.shape().clone());
                        assert!(off(&got.unwrap(), &want) < 1e-9, "{name} {mask:b} {i}");
                    }
                }
                assert!(results.iter().all(|r| r.shape()[0] == size), "{name}");
            }
        }
    }
    assert!(seen.len() > 20);
}

/// What has no factors, and sizes of 0.
#[test]
fn singular_and_empty_matrices() {
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        let array = |data: &[f64], shape: &[usize]| Array::from_f64(Dtype::F64, data, shape).unwrap();
        let singular = array(&[1.0, 2.0, 2.0, 4.0], &[2, 2]);
        let f = jit(|x: Tensor| (x.cholesky(), x.det(), linalg::slogdet(x), x.inv())).options(options());
        let (l, det, (sign, log), inv) = f(&array(&[1.0, 2.0, 2.0, 1.0], &[2, 2])).unwrap();
        assert!(l.to_f64()[0].is_nan() && l.to_f64()[1] == 0.0, "{l:?}");
        assert!((det.to_f64()[0] + 3.0).abs() < 1e-12 && sign.to_f64() == [-1.0]);
        assert!((log.to_f64()[0] - 3.0f64.ln()).abs() < 1e-12 && inv.to_f64().iter().all(|x| x.is_finite()));
        let (_, det, (sign, log), inv) = f(&singular).unwrap();
        assert_eq!((det.to_f64()[0], sign.to_f64()[0], log.to_f64()[0]), (0.0, 0.0, f64::NEG_INFINITY));
        assert!(inv.to_f64().iter().all(|x| !x.is_finite()), "{inv:?}");
        let four = array(&[1.0, 2.0, 3.0, 4.0, 2.0, 4.0, 6.0, 8.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0], &[4, 4]);
        assert_eq!(jit(linalg::det).options(options())(&four).unwrap().to_f64(), [0.0]);
        // A zero matrix has singular vectors, too.
        let (u, s, vt) = jit(linalg::svd).options(options())(&array(&[0.0; 6], &[3, 2])).unwrap();
        let product = |a: &[f64], n: usize| -> f64 { (0..a.len() / n).map(|i| a[i * n] * a[i * n + 1]).sum() };
        assert_eq!(s.to_f64(), [0.0, 0.0]);
        assert!(product(&u.to_f64(), 2).abs() < 1e-12 && product(&vt.to_f64(), 2).abs() < 1e-12);
        assert!((u.to_f64().iter().map(|x| x * x).sum::<f64>() - 2.0).abs() < 1e-12);
        for shape in [&[0usize, 0][..], &[0, 3, 3], &[2, 0, 0]] {
            let x = array(&vec![1.0; shape.iter().product()], shape);
            let f = jit(|x: Tensor| {
                let ((w, v), (q, r)) = (linalg::eigh(x), linalg::qr(x));
                (
                    x.cholesky(),
                    x.solve(x),
                    x.det(),
                    linalg::svdvals(x),
                    (w, v, q, r),
                    grad(|x: Tensor| x.inv().sum())(x),
                )
            });
            let (l, x, det, s, (w, v, ..), g) = f.options(options())(&x).unwrap();
            assert_eq!(*l.shape(), *x.shape());
            assert_eq!((s.shape(), v.shape(), g.shape()), (w.shape(), x.shape(), x.shape()));
            assert!(det.to_f64().iter().all(|d| *d == 1.0), "{det:?}");
        }
        let (re, im) = jit(|x: Tensor| fft::fft((x, x), -1)).options(options())(&array(&[], &[3, 0])).unwrap();
        assert_eq!((re.shape().size(), im.shape().size()), (0, 0));
    }
}

/// Matrices with more columns than rows, of which JAX has no derivative of `qr`: by differences.
#[test]
fn wide_matrices_multiply_back_and_have_derivatives() {
    let data: Vec<f64> = (0..6).map(|i| (1.0 + 7.3 * f64::from(i)).sin()).collect();
    let x = Array::from_f64(Dtype::F64, &data, [2, 3]).unwrap();
    let f = |x: Tensor| {
        let (order, l, u) = linalg::lu(x);
        let (q, r) = linalg::qr(x);
        let (v, s, wt) = linalg::svd(x);
        (order, l.matmul(u), q.matmul(r), (v * s.expand_dims([-2])).matmul(wt))
    };
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        let (order, lu, qr, svd) = jit(f).options(options())(&x).unwrap();
        let rows: Vec<f64> = order.to_f64().iter().flat_map(|i| data[*i as usize * 3..][..3].to_vec()).collect();
        for (got, want) in [(lu, &rows), (qr, &data), (svd, &data)] {
            assert!(got.to_f64().iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}");
        }
        let l = |x: Tensor| {
            let ((_, l, u), (q, r)) = (linalg::lu(x), linalg::qr(x));
            sum([l, u, q, r].into_iter().map(|y| weighed(y, Tensor::cos)))
        };
        let gradient = jit(grad(l)).options(options())(&x).unwrap().to_f64();
        for i in 0..6 {
            let at = |h: f64| {
                let mut data = data.clone();
                data[i] += h;
                jit(l).options(options())(&Array::from_f64(Dtype::F64, &data, [2, 3]).unwrap()).unwrap().to_f64()[0]
            };
            assert!(((at(1e-6) - at(-1e-6)) / 2e-6 - gradient[i]).abs() < 1e-6, "{i}");
        }
    }
}

/// Square orthogonal matrices: orthogonal, with the parts that the smaller ones have, and what doesn't depend
/// on the choice of the rest has its derivatives by differences.
#[test]
fn square_factors() {
    let f = |x: Tensor| {
        let ((q, r), (u, s, vt)) = (linalg::qr_full(x), linalg::svd_full(x));
        let k = s.size();
        let middle = u.slice_axis(-1, 0, k) * s.expand_dims([-2]);
        let back = [q.matmul(r), middle.matmul(vt.slice_axis(-2, 0, k))].map(|y| y - x);
        let units = [q, u, vt].map(|y| y.swap_axes(-1, -2).matmul(y) - eye(y.shape()[0], y.shape()[0], y.dtype()));
        sum(back.into_iter().chain(units).map(|y| y.abs().max()))
    };
    // The projection onto what x doesn't reach, by other columns and rows.
    let outside = |x: Tensor| {
        let [m, n] = [0, 1].map(|axis| x.shape()[axis]);
        let ((q, _), (u, _, vt)) = (linalg::qr_full(x), linalg::svd_full(x));
        let square = |y: Tensor| weighed(y.matmul(y.swap_axes(-1, -2)), Tensor::cos);
        let k = m.min(n);
        let columns = [q, u].map(|y| y.slice_axis(-1, k, m));
        sum(columns.into_iter().chain([vt.slice_axis(-2, k, n).swap_axes(-1, -2)]).map(square))
    };
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        for (m, n) in [(3, 2), (5, 1), (2, 3), (1, 4), (3, 3), (4, 2)] {
            let data: Vec<f64> = (0..m * n).map(|i| (1.0 + 7.3 * i as f64).sin()).collect();
            let array = |data: &[f64]| Array::from_f64(Dtype::F64, data, [m, n]).unwrap();
            // The first unit vectors, too, which are those that are taken for the rest.
            let units: Vec<f64> = (0..m * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
            for x in [&data, &units] {
                assert!(jit(f).options(options())(&array(x)).unwrap().to_f64()[0] < 1e-12, "{m} {n}");
            }
            // Of wide matrices q has no more columns, and of tall ones vt no more rows.
            let gradient = jit(grad(outside)).options(options())(&array(&data)).unwrap().to_f64();
            let batch = Array::from_f64(Dtype::F64, &[&data[..], &data].concat(), [2, m, n]).unwrap();
            let batched = jit(vmap(grad(outside), 0)).options(options())(&batch).unwrap().to_f64();
            for i in 0..m * n {
                let at = |h: f64| {
                    let mut data = data.clone();
                    data[i] += h;
                    jit(outside).options(options())(&array(&data)).unwrap().to_f64()[0]
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((difference - gradient[i]).abs() < 1e-6, "{m} {n} {i}: {} {difference}", gradient[i]);
                assert!((batched[m * n + i] - gradient[i]).abs() < 1e-9);
            }
        }
    }
}

/// Where there is nothing, something singular, or too much.
#[test]
fn ranks_conditions_and_exponentials() {
    for device in [Device::Interpreter, Device::Cpu] {
        let array = |data: &[f64], shape: &[usize]| Array::from_f64(Dtype::F64, data, shape).unwrap();
        let of = |f: fn(Tensor) -> Tensor, x: Array| jit(f).device(device)(&x).unwrap().to_f64();
        let rank: fn(Tensor) -> Tensor = |x| linalg::matrix_rank(x, None);
        let three = array(&[1.0, 2.0, 2.0, 4.0, 1.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 0.0], &[3, 2, 2]);
        assert_eq!(of(rank, three.clone()), [1.0, 2.0, 0.0]);
        assert_eq!(of(|x| linalg::matrix_rank(x, 0.01), three), [1.0, 1.0, 0.0]);
        assert_eq!(of(rank, array(&[], &[2, 0, 3])), [0.0, 0.0]);
        for norm in [Norm::Spectral, Norm::Frobenius, Norm::One] {
            let f = jit(move |x: Tensor| linalg::cond(x, norm)).device(device);
            let singular = f(&array(&[0.0; 4], &[2, 2])).unwrap().to_f64();
            assert_eq!(singular, [f64::INFINITY], "{norm:?}");
            assert!(f(&array(&[f64::NAN, 1.0, 1.0, 1.0], &[2, 2])).unwrap().to_f64()[0].is_nan(), "{norm:?}");
        }
        assert!(jit(|x: Tensor| linalg::cond(x, Norm::One)).device(device)(&array(&[], &[0, 0])).is_err());
        // Turns by 1 and by 300, nothing, and more than is halved for.
        for angle in [1.0f64, 300.0] {
            let y = of(linalg::expm, array(&[0.0, angle, -angle, 0.0], &[2, 2]));
            let want = [angle.cos(), angle.sin(), -angle.sin(), angle.cos()];
            assert!(y.iter().zip(want).all(|(y, want)| (y - want).abs() < 1e-12), "{y:?}");
        }
        let one = of(linalg::expm, array(&[0.0; 4], &[2, 2]));
        assert!(one.iter().zip([1.0, 0.0, 0.0, 1.0]).all(|(y, want)| (y - want).abs() < 1e-15), "{one:?}");
        assert!(of(linalg::expm, array(&[], &[0, 0])).is_empty());
        assert!(of(linalg::expm, array(&[1e9], &[1, 1]))[0].is_nan());
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let floats = |shape: &[usize]| Array::from_f64(Dtype::F32, &vec![1.0; shape.iter().product()], shape).unwrap();
    let says = |result: egrad::Result<Array>, expect: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains(file!()), "{error}\nshould say: {expect}");
    };
    let (wide, square, whole) = (floats(&[2, 3]), floats(&[2, 2]), Array::from_vec(vec![1i32; 4], [2, 2]).unwrap());
    says(eager(linalg::cholesky)(&wide), "`cholesky` takes square matrices in the last two axes, not f32[2,3]");
    says(eager(|x: Tensor| x.inv())(&wide), "`inv` takes square matrices in the last two axes, not f32[2,3]");
    says(eager(|x: Tensor| x.det())(&floats(&[3])), "`det` takes matrices, with at least two axes, not f32[3]");
    says(eager(|x: Tensor| linalg::eigh(x).0)(&whole), "`eigh` takes floats, not i32[2,2]: convert it");
    says(
        eager(|x: Tensor, y: Tensor| x.solve(y))(&square, &floats(&[3])),
        "`solve` of f32[2,2] and f32[3]: the right-hand sides must have 2 rows",
    );
    says(
        eager(|x: Tensor, y: Tensor| x.solve(y))(&square, &whole),
        "`solve` of f32[2,2] and i32[2,2]: the element types must be the same",
    );
    says(
        eager(|x: Tensor, y: Tensor| fft::fft((x, y), -1).0)(&square, &wide),
        "`fft` of f32[2,2] and f32[2,3]: real and imaginary parts must be alike",
    );
    says(eager(|x: Tensor| fft::rfft(x, 2).0)(&square), "`rfft`");
    says(eager(|x: Tensor| fft::rfft(x, 0).0)(&whole), "`rfft` takes floats, not i32[2,2]: convert it");
}
