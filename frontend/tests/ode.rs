//! Differential equations, beside their solutions and JAX's numbers.

use egrad::ode::{Tolerance, odeint, solve};
use egrad::{Array, Tensor, grad, hessian, hvp, jacfwd, jit, vmap};

const FINE: Tolerance = Tolerance { rtol: 1e-10, atol: 1e-10, steps: 10_000 };

fn times(t: &[f64]) -> Array {
    Array::from_vec(t.to_vec(), [t.len()]).unwrap()
}

#[track_caller]
fn close(got: &Array, want: &[f64], within: f64) {
    let got = got.to_f64();
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= within), "{got:?}\n{want:?}");
}

/// y' = sin(t) y by rate: y₀ exp(rate (1 − cos t)).
fn swelling(y: Tensor, t: Tensor, rate: Tensor) -> Tensor {
    rate * t.sin() * y
}

fn swollen(y0: f64, rate: f64, t: f64) -> f64 {
    y0 * (rate * (1.0 - t.cos())).exp()
}

#[test]
fn solutions_are_those_of_calculus() {
    let f = jit(|y0: Tensor, ts: Tensor, rate: Tensor| odeint(swelling, y0, ts, rate, FINE));
    let ts = [0.0, 0.5, 0.5, 0.7, 3.0, 9.0];
    let want = ts.map(|t| swollen(2.0, 0.7, t));
    close(&f(&Array::from(2.0), &times(&ts), &Array::from(0.7)).unwrap(), &want, 1e-8);
    // One time alone, and a state of nothing.
    close(&f(&Array::from(2.0), &times(&[1.0]), &Array::from(0.7)).unwrap(), &[2.0], 0.0);
    let none = jit(|y0: Tensor, ts: Tensor| odeint(|y: Tensor, _: Tensor, _: Vec<Tensor>| -y, y0, ts, vec![], FINE));
    let y = none(&Array::from_vec(Vec::<f64>::new(), [0, 2]).unwrap(), &times(&[0.0, 1.0])).unwrap();
    assert_eq!(**y.shape(), [2, 0, 2]);
}

#[test]
fn errors_follow_the_tolerance() {
    let off = |tol: f64| {
        let tolerance = Tolerance { rtol: tol, atol: tol, steps: 10_000 };
        let f = jit(move |y0: Tensor, ts: Tensor, rate: Tensor| solve(swelling, y0, ts, rate, tolerance));
        let s = f(&Array::from(2.0), &times(&[0.0, 20.0]), &Array::from(0.7)).unwrap();
        let steps = s.steps.to_f64()[0];
        ((s.ys.to_f64()[1] - swollen(2.0, 0.7, 20.0)).abs(), steps)
    };
    let (coarse, fine) = (off(1e-5), off(1e-10));
    assert!(coarse.0 < 1e-3 && fine.0 < 1e-8, "{coarse:?} {fine:?}");
    // Of order 5: a tolerance of 10⁵ less needs ten times as many steps.
    let more = fine.1 / coarse.1;
    assert!((5.0..15.0).contains(&more), "{coarse:?} {fine:?}");
}

#[test]
fn derivatives_are_those_of_the_solution() {
    let last = |y0: Tensor, ts: Tensor, rate: Tensor| {
        let ys = odeint(swelling, y0, ts, rate, FINE);
        (ys * ys).sum()
    };
    let (y0, rate, ts) = (2.0, 0.7, [0.1, 1.0, 2.5]);
    let args = (Array::from(y0), times(&ts), Array::from(rate));
    let value = move |y0: f64, rate: f64| -> f64 {
        ts.iter().map(|t| (y0 * (rate * (ts[0].cos() - t.cos())).exp()).powi(2)).sum()
    };
    let h = 1e-5;
    let by = |f: &dyn Fn(f64) -> f64| (f(h) - f(-h)) / (2.0 * h);
    let g = jit(egrad::grad_argnums(last, (egrad::Arg::<0>, egrad::Arg::<1>, egrad::Arg::<2>)));
    let (dy, dt, dr) = g(&args.0, &args.1, &args.2).unwrap();
    close(&dy, &[by(&|h| value(y0 + h, rate))], 1e-6);
    close(&dr, &[by(&|h| value(y0, rate + h))], 1e-6);
    // d/dt y² = 2y y', and at the first time it is what all others lose.
    let y = |t: f64| y0 * (rate * (ts[0].cos() - t.cos())).exp();
    let moved = |t: f64| 2.0 * y(t).powi(2) * rate * t.sin();
    let lost: f64 = ts[1..].iter().map(|t| -2.0 * y(*t).powi(2) * rate * ts[0].sin()).sum();
    close(&dt, &[lost, moved(ts[1]), moved(ts[2])], 1e-6);

    // Forward mode, by the arguments, and over the adjoint.
    let forward = jit(jacfwd(|rate: Tensor, y0: Tensor, ts: Tensor| solve(swelling, y0, ts, rate, FINE).ys));
    let slopes: Vec<f64> = ts.iter().map(|t| y(*t) * (ts[0].cos() - t.cos())).collect();
    close(&forward(&args.2, &args.0, &args.1).unwrap(), &slopes, 1e-7);
    let second = move |rate: Tensor, y0: Tensor, ts: Tensor| last(y0, ts, rate);
    let want: f64 = ts.iter().map(|t| y(*t).powi(2) * (2.0 * (ts[0].cos() - t.cos())).powi(2)).sum();
    let curvature = jit(hessian(second))(&args.2, &args.0, &args.1).unwrap();
    close(&curvature, &[want], 1e-5);
    let product = jit(hvp(second))(&(args.2.clone(), args.0.clone(), args.1.clone()), &Array::from(2.0)).unwrap();
    close(&product, &[2.0 * want], 1e-5);
    let twice = jit(grad(move |r: Tensor, y: Tensor, t: Tensor| grad(second)(r, y, t)));
    assert_eq!(twice(&args.2, &args.0, &args.1).unwrap_err().kind(), "missing_rule");
}

#[test]
fn a_batch_has_steps_of_its_own() {
    let one = |y0: Tensor, ts: Tensor, rate: Tensor| odeint(swelling, y0, ts, rate, FINE).slice_axis(0, 1, 2).sum();
    let rates = [0.1, 1.0, 4.0];
    let array = times(&rates);
    let (y0, ts) = (Array::from(2.0), times(&[0.0, 2.0]));
    let ys = jit(vmap(one, (None, None, 0)))(&y0, &ts, &array).unwrap();
    close(&ys, &rates.map(|r| swollen(2.0, r, 2.0)), 1e-6);
    let slopes = jit(vmap(grad(one), (None, None, 0)))(&y0, &ts, &array).unwrap();
    close(&slopes, &rates.map(|r| swollen(1.0, r, 2.0)), 1e-6);
}

#[test]
fn what_is_not_reached_is_nan() {
    let few = Tolerance { steps: 3, ..FINE };
    let f = jit(move |y0: Tensor, ts: Tensor, rate: Tensor| odeint(swelling, y0, ts, rate, few));
    let ys = f(&Array::from(2.0), &times(&[0.0, 1e-3, 50.0]), &Array::from(0.7)).unwrap().to_f64();
    assert!(ys[1].is_finite() && ys[2].is_nan(), "{ys:?}");
    // y' = y² has a pole at 1.
    let pole = jit(|y: Tensor, ts: Tensor| odeint(|y: Tensor, _: Tensor, _: Vec<Tensor>| y * y, y, ts, vec![], FINE));
    let ys = pole(&Array::from(1.0), &times(&[0.0, 0.5, 2.0])).unwrap().to_f64();
    assert!((ys[1] - 2.0).abs() < 1e-8 && ys[2].is_nan(), "{ys:?}");
}

#[test]
fn mistakes_are_named() {
    let f = jit(|y0: Tensor, ts: Tensor| odeint(|y: Tensor, _: Tensor, _: Vec<Tensor>| -y, y0, ts, vec![], FINE));
    let message = |y: Array, t: Array| f(&y, &t).unwrap_err().to_string();
    let of_types = message(Array::from(1.0f32), times(&[0.0]));
    assert!(of_types.starts_with("dtype error: `odeint` needs y0 and ts of one float type, not f32[] and f64[1]"));
    assert!(of_types.contains("ode.rs"), "{of_types}");
    assert!(message(Array::from(1.0), Array::from(0.0)).contains("needs a vector of times, not f64[]"));
    let wide = |y: Tensor, _: Tensor, _: Vec<Tensor>| y.broadcast_to([2]);
    let error = jit(move |y: Tensor, ts: Tensor| odeint(wide, y, ts, vec![], FINE))(&Array::from(1.0), &times(&[0.0]));
    assert!(error.unwrap_err().to_string().contains("f gives f64[2] where y is f64[]"));
}
