//! Regression by a Gaussian process: how far cars of the 1920s went on after braking. Its three
//! parameters (how much the curve varies, how fast, and the noise) are those of the greatest
//! likelihood, found by Newton's method with derivatives of first and second order through the
//! Cholesky decomposition.
//!
//! ```text
//! cargo run --release --example gaussian_process
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::linalg::{Triangle, cholesky, solve, triangular_solve};
use egrad::{Array, Result, Tensor, eye, grad, hessian, jit};
use std::f64::consts::PI;
use std::process::ExitCode;

/// Covariances of the curve at these speeds and those, of parameters that are logarithms: its
/// deviation, how far speeds are apart whose values differ, and the noise's deviation.
fn covariance(parameters: Tensor, a: Tensor, b: Tensor) -> Tensor {
    let [deviation, scale] = [0, 1].map(|i| parameters.slice_axis(0, i, i + 1).exp());
    let apart = (a.expand_dims(1) - b.expand_dims(0)) / scale;
    deviation.powi(2) * (-0.5 * apart.powi(2)).exp()
}

/// The Cholesky factor of the covariances of what is measured.
fn factor(parameters: Tensor, x: Tensor) -> Tensor {
    let noise = parameters.slice_axis(0, 2, 3).exp().powi(2);
    let n = x.shape()[0];
    cholesky(covariance(parameters, x, x) + noise * eye(n, n, x.dtype()))
}

/// −ln of the likelihood.
fn surprise(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor {
    let l = factor(parameters, x);
    let white = lower(l, y);
    0.5 * white.powi(2).sum() + l.diagonal().log().sum() + 0.5 * (2.0 * PI).ln() * y.size() as f64
}

/// The mean and the deviation of the curve at some speeds.
fn predicted(parameters: Tensor, x: Tensor, y: Tensor, at: Tensor) -> (Tensor, Tensor) {
    let l = factor(parameters, x);
    let across = lower(l, covariance(parameters, x, at));
    let own = (2.0 * parameters.slice_axis(0, 0, 1)).exp();
    let mean = across.t().matmul(lower(l, y));
    (mean, (own - across.powi(2).sum_axes(0)).sqrt())
}

/// l⁻¹ b of a lower triangular matrix.
fn lower(l: Tensor, b: Tensor) -> Tensor {
    triangular_solve(l, b, Triangle { lower: true, ..Triangle::default() })
}

/// The parameters of the greatest likelihood, and the surprise before every step. Where a step of Newton's
/// leads nowhere, the curvature is raised until it does (Levenberg and Marquardt).
fn fitted(x: &Array, y: &Array) -> Result<(Array, Vec<f64>)> {
    let value = jit(surprise);
    let step = jit(|p: Tensor, x: Tensor, y: Tensor, raise: Tensor| {
        let (g, h) = (grad(surprise)(p, x, y), hessian(surprise)(p, x, y));
        (p - solve(h + raise * eye(3, 3, p.dtype()), g), g.powi(2).sum().sqrt())
    });
    let mut p = Array::from_vec(vec![0.0, 0.0, -1.0], [3])?;
    let (mut raise, mut rows) = (1.0f64, vec![value(&p, x, y)?.item::<f64>()?]);
    println!("step       surprise   gradient");
    for i in 0..100 {
        let (next, slope) = step(&p, x, y, &Array::from(raise))?;
        let (now, slope) = (value(&next, x, y)?.item::<f64>()?, slope.item::<f64>()?);
        println!("{i:4} {:14.10} {slope:10.1e}", rows[rows.len() - 1]);
        if slope < 1e-10 {
            break;
        }
        if now <= rows[rows.len() - 1] {
            (p, raise) = (next, raise * 0.1);
            rows.push(now);
        } else {
            raise = (raise * 10.0).max(1e-6);
        }
    }
    Ok((p, rows))
}

pub(crate) fn run(args: &Args) -> Done {
    let lines = include_str!("../data/cars.csv").lines().skip(1);
    let number = |s: &str| s.parse::<f64>().expect("the file holds numbers");
    let (speeds, ways): (Vec<f64>, Vec<f64>) =
        lines.filter_map(|line| line.split_once(',')).map(|(s, d)| (number(s), number(d))).unzip();
    let n = speeds.len();
    // Centred, and brought to about 1.
    let mean = |x: &[f64]| x.iter().sum::<f64>() / n as f64;
    let (speed, way) = (mean(&speeds), mean(&ways));
    let scaled = |x: &[f64], by: f64, unit: f64| x.iter().map(|x| (x - by) / unit).collect::<Vec<f64>>();
    let x = Array::from_vec(scaled(&speeds, speed, 10.0), [n])?;
    let y = Array::from_vec(scaled(&ways, way, 25.0), [n])?;

    // A straight line first, by least squares, which R's documentation has.
    let line = jit(|x: Tensor, y: Tensor| {
        let columns = egrad::stack([egrad::ones_like(x), x], 1);
        solve(columns.t().matmul(columns), columns.t().matmul(y))
    });
    let line = line(&Array::from_vec(speeds.clone(), [n])?, &Array::from_vec(ways.clone(), [n])?)?.to_f64();
    let (parameters, surprises) = fitted(&x, &y)?;
    let [deviation, scale, noise] = [0, 1, 2].map(|i| parameters.to_f64()[i].exp());
    println!("deviation {deviation:.5}, scale {scale:.5}, noise {noise:.5}");

    let shown: Vec<f64> =
        (0..=args.size(200, 20)).map(|i| 2.0 + 25.0 * f64::from(i) / args.size(200.0, 20.0)).collect();
    let at = |speeds: &[f64]| Array::from_vec(scaled(speeds, speed, 10.0), [speeds.len()]);
    let predict = jit(predicted);
    let (means, deviations) = predict(&parameters, &x, &y, &at(&shown)?)?;
    let curve: Vec<(f64, f64)> =
        means.to_f64().iter().map(|y| way + 25.0 * y).zip(&shown).map(|(y, x)| (*x, y)).collect();
    let edge = |sign: f64| {
        let away = deviations.to_f64();
        curve.iter().zip(away).map(move |((x, y), d)| (*x, y + sign * 50.0 * d)).collect::<Vec<_>>()
    };
    let plot = Plot {
        title: "A Gaussian process: how far cars went on after braking".to_owned(),
        x: "speed, miles an hour".to_owned(),
        y: "distance, feet".to_owned(),
        log: false,
        series: vec![
            Series::new("two deviations", Mark::Area, edge(1.0).into_iter().chain(edge(-1.0).into_iter().rev())),
            Series::new("mean", Mark::Line, curve.clone()),
            Series::new("cars", Mark::Dots, speeds.iter().copied().zip(ways.iter().copied())),
        ],
    };
    args.save("gaussian_process", &plot.svg()?)?;

    common::agree("the straight line's offset", line[0], -17.5791, 5e-5)?;
    common::agree("and slope", line[1], 3.9324, 5e-5)?;
    // What SciPy finds by BFGS and differences.
    common::agree("surprise", surprises[surprises.len() - 1], 52.020_090_123_5, 1e-9)?;
    common::agree("deviation", deviation, 2.36462, 2e-5)?;
    common::agree("scale", scale, 2.10947, 2e-5)?;
    common::agree("noise", noise, 0.611637, 1e-6)?;
    let (means, deviations) = predict(&parameters, &x, &y, &at(&[10.0, 21.0])?)?;
    for (i, (mean, deviation)) in [(21.5545, 3.1910), (65.4411, 3.2449)].into_iter().enumerate() {
        common::agree("mean there", way + 25.0 * means.to_f64()[i], mean, 2e-4)?;
        common::agree("and deviation", 25.0 * deviations.to_f64()[i], deviation, 2e-4)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    common::main(run)
}
