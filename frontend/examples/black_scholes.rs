//! Prices of options by Monte Carlo, and how they change with what they depend on (the greeks), by one
//! gradient of the mean over all paths.
//!
//! Two options have formulas to compare with, and `grad` of a formula gives its greeks: a European
//! call (Black and Scholes, 1973), and a call on the geometric mean over twelve months (Kemna and Vorst,
//! 1990). Gamma, a second derivative, is 0 along nearly every path; it comes from the density of the
//! paths instead, whose weight is 1 with a derivative.
//!
//! ```text
//! cargo run --release --example black_scholes
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Tensor, Tree, grad, jit, tree, value_and_grad, vmap};
use std::process::ExitCode;

/// What a price depends on.
#[derive(Tree, Clone, Copy)]
pub(crate) struct Market<T> {
    /// The share's price now.
    spot: T,
    /// What may be paid for it.
    strike: T,
    rate: T,
    volatility: T,
    /// Years.
    time: T,
}

/// The normal distribution's function.
fn cumulated(x: Tensor) -> Tensor {
    0.5 * (-x * 0.5f64.sqrt()).erfc()
}

/// The price of a call on something whose logarithm at the end is normal with this mean, beside that
/// of the share, and deviation.
fn call(m: Market<Tensor>, drift: Tensor, deviation: Tensor) -> Tensor {
    let forward = m.spot * (drift + 0.5 * deviation.powi(2)).exp();
    let d = ((forward / m.strike).log() + 0.5 * deviation.powi(2)) / deviation;
    (-m.rate * m.time).exp() * (forward * cumulated(d) - m.strike * cumulated(d - deviation))
}

fn european(m: Market<Tensor>) -> Tensor {
    call(m, (m.rate - 0.5 * m.volatility.powi(2)) * m.time, m.volatility * m.time.sqrt())
}

const MONTHS: usize = 12;

fn geometric(m: Market<Tensor>) -> Tensor {
    let n = MONTHS as f64;
    let drift = (m.rate - 0.5 * m.volatility.powi(2)) * m.time * ((n + 1.0) / (2.0 * n));
    call(m, drift, m.volatility * (m.time * ((n + 1.0) * (2.0 * n + 1.0) / (6.0 * n * n))).sqrt())
}

/// Logarithms of the share's price after each month, of normal numbers `[paths, months]`.
fn paths(m: Market<Tensor>, normal: Tensor) -> Tensor {
    let dt = m.time / MONTHS as f64;
    let steps = (m.rate - 0.5 * m.volatility.powi(2)) * dt + m.volatility * dt.sqrt() * normal;
    m.spot.log() + steps.cumsum(1, false)
}

/// What a call on each path's last price is worth now, `[paths]`.
fn european_payoff(m: Market<Tensor>, normal: Tensor) -> Tensor {
    (-m.rate * m.time).exp() * (european_end(m, normal) - m.strike).relu()
}

fn european_end(m: Market<Tensor>, normal: Tensor) -> Tensor {
    paths(m, normal).slice_axis(1, MONTHS - 1, MONTHS).squeeze(1).exp()
}

/// What a call on each path's geometric mean is worth now.
fn geometric_payoff(m: Market<Tensor>, normal: Tensor) -> Tensor {
    (-m.rate * m.time).exp() * (paths(m, normal).mean_axes(1).exp() - m.strike).relu()
}

/// The second derivative by the spot of a European call: of its derivative along each path, which is
/// price / spot in the money, times a weight that is 1 and moves as the density of the last price does.
fn gamma(m: Market<Tensor>, normal: Tensor) -> Tensor {
    let last = european_end(m, normal).stop_gradient();
    let deviation = m.volatility * m.time.sqrt();
    let away = (normal.sum_axes(1) * (m.time / MONTHS as f64).sqrt() * m.volatility + m.spot.log()).stop_gradient();
    let slope = move |spot: Tensor| {
        let log_density = -0.5 * ((away - spot.log()) / deviation).powi(2);
        let weight = (log_density - log_density.stop_gradient()).exp();
        let inside = last.gt(m.strike).select(last, 0.0);
        ((-m.rate * m.time).exp() * inside / spot * weight).mean()
    };
    grad(slope)(m.spot)
}

/// Prices, greeks and gamma.
#[derive(Tree, Clone)]
pub(crate) struct Values<T> {
    european: (T, Market<T>),
    geometric: (T, Market<T>),
    gamma: T,
}

/// What so many paths say.
fn simulated(key: Key, m: Market<Tensor>, paths: usize) -> Values<Tensor> {
    let normal = random::normal(key, [paths, MONTHS], Dtype::F64);
    let mean = |payoff: fn(Market<Tensor>, Tensor) -> Tensor| {
        value_and_grad(move |m: Market<Tensor>, normal: Tensor| payoff(m, normal).mean())(m, normal)
    };
    Values { european: mean(european_payoff), geometric: mean(geometric_payoff), gamma: gamma(m, normal) }
}

/// What the formulas say.
fn known(m: Market<Tensor>) -> Values<Tensor> {
    let delta = move |spot: Tensor| grad(european)(Market { spot, ..m }).spot;
    Values {
        european: value_and_grad(european)(m),
        geometric: value_and_grad(geometric)(m),
        gamma: grad(delta)(m.spot),
    }
}

const NAMES: [&str; 13] = [
    "European call",
    "  by the spot (delta)",
    "  by the strike",
    "  by the rate (rho)",
    "  by the volatility (vega)",
    "  by the time",
    "geometric Asian call",
    "  by the spot (delta)",
    "  by the strike",
    "  by the rate (rho)",
    "  by the volatility (vega)",
    "  by the time",
    "European gamma",
];

pub(crate) fn run(args: &Args) -> Done {
    let (batches, size) = args.size((64, 16384), (16, 2048));
    let [spot, strike, rate, volatility, time] = [100.0, 100.0, 0.05, 0.2, 1.0].map(Array::from);
    let market = Market { spot, strike, rate, volatility, time };
    let all = jit(move |key: Key, m: Market<Tensor>| {
        vmap(move |key: Key, m: Market<Tensor>| simulated(key, m, size), (0, None))(random::split_many(key, batches), m)
    });
    let simulated = tree::leaves(&all(&random::key(11), &market)?);
    let formulas = tree::leaves(&jit(known)(&market)?);

    println!("{:28} {:>10} {:>9} {:>10}", "", "paths", "error", "formula");
    let (mut lines, mut far) = (Vec::new(), 0.0f64);
    for ((name, each), formula) in NAMES.iter().zip(&simulated).zip(&formulas) {
        let (each, formula) = (each.to_f64(), formula.item::<f64>()?);
        let n = each.len() as f64;
        let mean = each.iter().sum::<f64>() / n;
        let error = (each.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
        println!("{name:28} {mean:10.5} {error:9.5} {formula:10.5}");
        far = far.max((mean - formula).abs() / error);
        let mut sum = 0.0;
        let running = each.iter().enumerate().map(|(i, x)| {
            sum += x;
            (((i + 1) * size) as f64, (sum / (i + 1) as f64 / formula - 1.0).abs())
        });
        lines.push(Series::new(name.trim(), Mark::Line, running));
    }
    let errors = lines[0].points.iter().map(|(n, _)| (*n, 1.4 / n.sqrt()));
    let mut series = vec![Series::new("1.4 / √paths", Mark::Known, errors.collect::<Vec<_>>())];
    series.extend([0, 1, 4, 12].map(|i| lines[i].clone()));
    let plot = Plot {
        title: "A European call by Monte Carlo: errors".to_owned(),
        x: "paths".to_owned(),
        y: "error, relative".to_owned(),
        log: true,
        series,
    };
    args.save("black_scholes", &plot.svg()?)?;
    // The price that every textbook has.
    common::agree("European call by the formula", formulas[0].item()?, 10.450_583_572, 1e-8)?;
    common::between("farthest from a formula, in standard errors", far, 0.0, 3.5)
}

fn main() -> ExitCode {
    common::main(run)
}
