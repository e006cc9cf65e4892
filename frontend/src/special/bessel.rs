//! Modified Bessel functions of the first kind, of the orders 0 and 1.
//!
//! Near 0 by the power series, whose terms are all positive, and far away by the asymptotic one (NIST
//! Digital Library of Mathematical Functions, 10.25.2 and 10.40.1); so derivatives of every order come
//! from the rules.

use super::{double, floats, polynomial};
use crate::tensor::{Operand, Tensor};
use std::f64::consts::PI;

/// I₀(x).
///
/// ```
/// # use egrad::{Array, Tensor, grad, jit, special};
/// let (f, slope) = (jit(|x: Tensor| special::i1(x)), jit(grad(|x: Tensor| special::i0(x))));
/// let x = Array::from(1.5f64);
/// let [y, z] = [f(&x), slope(&x)].map(|y| y.unwrap().item::<f64>().unwrap());
/// assert!((y - z).abs() < 1e-15);
/// ```
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn i0(x: impl Operand) -> Tensor {
    floats!("i0", x => i0(x));
    bessel(0, x, false)
}

/// e^(−|x|) I₀(x), which doesn't overflow.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn i0e(x: impl Operand) -> Tensor {
    floats!("i0e", x => i0e(x));
    bessel(0, x, true)
}

/// I₁(x).
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn i1(x: impl Operand) -> Tensor {
    floats!("i1", x => i1(x));
    bessel(1, x, false)
}

/// e^(−|x|) I₁(x), which doesn't overflow.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn i1e(x: impl Operand) -> Tensor {
    floats!("i1e", x => i1e(x));
    bessel(1, x, true)
}

/// The function of that order, times e^(−|x|) if it is scaled.
#[track_caller]
fn bessel(order: u32, x: Tensor, scaled: bool) -> Tensor {
    let (limit, terms, far_terms) = if double(x) { (20.0, 44, 32) } else { (10.0, 20, 10) };
    let large = x.abs().gt(limit);

    // Σ (x²/4)ᵏ/(k! (k + order)!), times (x/2)^order. e^(−|x|) has the derivative 0 at 0.
    let near = large.select(1.0, x);
    let sum = polynomial(near * near * 0.25, &power_series(order, terms));
    let sum = if order == 1 { sum * (near * 0.5) } else { sum };
    let near = if scaled { sum * (-(near * near.sign())).exp() } else { sum };

    // 1/√(2πx) Σ (−1)ᵏ (4·order² − 1²)(4·order² − 3²)…/(k! (8x)ᵏ), times eˣ.
    let (sign, a) = (x.sign(), large.select(x.abs(), limit + 1.0));
    let sum = polynomial(1.0 / a, &asymptotic_series(order, far_terms)) / (a.sqrt() * (2.0 * PI).sqrt());
    let sum = if scaled {
        sum
    } else {
        let half = (a * 0.5).exp();
        half * sum * half
    };
    large.select(if order == 1 { sum * sign } else { sum }, near)
}

fn power_series(order: u32, terms: u32) -> Vec<f64> {
    let next = |last: &mut f64, k: u32| {
        let this = *last;
        *last /= f64::from((k + 1) * (k + 1 + order));
        Some(this)
    };
    (0..terms).scan(1.0, next).collect()
}

fn asymptotic_series(order: u32, terms: u32) -> Vec<f64> {
    let next = |last: &mut f64, k: u32| {
        let this = *last;
        let odd = f64::from(2 * k + 1);
        *last *= (odd * odd - f64::from(4 * order * order)) / (8.0 * f64::from(k + 1));
        Some(this)
    };
    (0..terms).scan(1.0, next).collect()
}
