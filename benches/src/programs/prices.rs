//! Prices of options by Black and Scholes, and what they react to.

use crate::data::uniform;
use crate::program::{Program, case};
use egrad::{Arg, Array, Tensor, grad, jit, value_and_grad_argnums, vmap};
use std::f64::consts::FRAC_1_SQRT_2;

/// The price of a call.
fn price(spot: Tensor, strike: Tensor, t: Tensor, rate: Tensor, vol: Tensor) -> Tensor {
    let normal = |z: Tensor| 0.5 * (1.0 + (z * FRAC_1_SQRT_2).erf());
    let deviation = vol * t.sqrt();
    let d1 = ((spot / strike).log() + (rate + 0.5 * vol * vol) * t) / deviation;
    let d2 = d1 - deviation;
    spot * normal(d1) - strike * (-rate * t).exp() * normal(d2)
}

const COUNT: usize = 1_000_000;

/// Spot prices, strike prices, times, rates and volatilities.
fn calls() -> [Array; 5] {
    let mut seed = 1200;
    [(80.0, 120.0), (80.0, 120.0), (0.1, 2.0), (0.0, 0.05), (0.1, 0.6)].map(|(low, high)| {
        seed += 1;
        uniform([COUNT], seed - 1, low, high)
    })
}

pub(super) fn programs() -> Vec<Program> {
    let n = COUNT as u64;
    vec![
        Program::new("black_scholes.price.1m", "call prices of 1M options", 19 * n, |options| {
            let [spot, strike, t, rate, vol] = calls();
            case!(options, jit(vmap(price, 0)), spot, strike, t, rate, vol)
        }),
        Program::new("black_scholes.greeks.1m", "vmap(value_and_grad) in all five inputs", 60 * n, |options| {
            let [spot, strike, t, rate, vol] = calls();
            let all = (Arg::<0>, Arg::<1>, Arg::<2>, Arg::<3>, Arg::<4>);
            case!(options, jit(vmap(value_and_grad_argnums(price, all), 0)), spot, strike, t, rate, vol)
        }),
        Program::new("black_scholes.gamma.1m", "vmap(grad(grad)) in the spot price", 20 * n, |options| {
            let [spot, strike, t, rate, vol] = calls();
            case!(options, jit(vmap(grad(grad(price)), 0)), spot, strike, t, rate, vol)
        }),
    ]
}
