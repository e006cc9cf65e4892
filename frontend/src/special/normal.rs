//! Error functions and the normal distribution.

use super::{double, floats, polynomial};
use crate::tensor::{Operand, Tensor};
use crate::transform::custom_jvp;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI, SQRT_2};

impl Tensor {
    /// The Gaussian error linear unit, x · P(N ≤ x) of a standard normal N. See
    /// [`gelu_tanh`](Tensor::gelu_tanh) for the approximation.
    #[track_caller]
    pub fn gelu(self) -> Tensor {
        self * (0.5 * (self * (-1.0 / SQRT_2)).erfc())
    }
}

/// The error function: [`Tensor::erf`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn erf(x: impl Operand) -> Tensor {
    floats!("erf", x => erf(x));
    x.erf()
}

/// 1 − erf x: [`Tensor::erfc`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn erfc(x: impl Operand) -> Tensor {
    floats!("erfc", x => erfc(x));
    x.erfc()
}

/// The inverse of the error function: [`Tensor::erf_inv`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn erfinv(x: impl Operand) -> Tensor {
    floats!("erfinv", x => erfinv(x));
    x.erf_inv()
}

/// exp(x²) erfc x, which is 1/(x√π) for large x, where erfc is 0.
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|x: Tensor| special::erfcx(x));
/// assert_eq!(f(&Array::from(1e10f64)).unwrap().item::<f64>().unwrap(), 5.641895835477563e-11);
/// ```
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn erfcx(x: impl Operand) -> Tensor {
    floats!("erfcx", x => erfcx(x));
    // Beyond `far` by the asymptotic series Σ (−1)ᵏ (2k − 1)!!/(2x²)ᵏ/(x√π), below `low` it overflows.
    let (far, terms, low) = if double(x) { (12.0, 13, -27.0) } else { (6.0, 8, -9.5) };
    let (beyond, below) = (x.gt(far), x.lt(low));
    let next = |last: &mut f64, k: u32| {
        let this = *last;
        *last *= 0.5 - f64::from(k);
        Some(this)
    };
    let coefficients: Vec<f64> = (1..=terms).scan(1.0, next).collect();
    let z = 1.0 / beyond.select(x, 1.0);
    let asymptotic = polynomial(z * z, &coefficients) * (z * (1.0 / PI.sqrt()));

    // exp(x²) = exp(h²) exp((x − h)(x + h)), where h² is exact: the square's rounding would be its error.
    let y = beyond.or(below).select(0.0, x);
    let a = y.abs();
    let h = (a * 16.0).floor() / 16.0;
    let direct = (h * h).exp() * (((a - h) * (a + h)).exp() * y.erfc());
    // Times −∞, so that this is the derivative.
    let overflow = below.select(x, -1.0) * f64::NEG_INFINITY;
    beyond.select(asymptotic, below.select(overflow, direct))
}

/// The distribution function of the standard normal distribution.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn ndtr(x: impl Operand) -> Tensor {
    floats!("ndtr", x => ndtr(x));
    0.5 * (x * -FRAC_1_SQRT_2).erfc()
}

/// The logarithm of [`ndtr`], right where that is 0.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn log_ndtr(x: impl Operand) -> Tensor {
    floats!("log_ndtr", x => log_ndtr(x));
    let tail = x.lt(-1.0);
    let body = (-0.5 * (tail.select(0.0, x) * FRAC_1_SQRT_2).erfc()).log1p();
    let y = tail.select(x, -1.0);
    let far = erfcx(y * -FRAC_1_SQRT_2).log() - LN_2 - 0.5 * (y * y);
    tail.select(far, body)
}

/// The inverse of [`ndtr`]: the quantile of the standard normal distribution; ∓∞ at 0 and 1, NaN beyond.
///
/// In the tails by Newton's method for the logarithm, from formula 26.2.23 of Abramowitz and Stegun.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn ndtri(p: impl Operand) -> Tensor {
    floats!("ndtri", p => ndtri(p));
    let rule = |(p,): (Tensor,), (dp,): (Tensor,)| {
        let x = quantile(p);
        (x, dp * ((x * x * 0.5).exp() * (2.0 * PI).sqrt()))
    };
    custom_jvp(quantile, rule)(p)
}

#[track_caller]
fn quantile(p: Tensor) -> Tensor {
    let upper = p.gt(0.5);
    let q = upper.select(1.0 - p, p);
    let tail = q.lt(0.1);
    let central = tail.select(0.0, 2.0 * q - 1.0).erf_inv() * SQRT_2;

    let inside = tail.and(q.gt(0.0));
    let log = inside.select(q, 0.01).log();
    let t = (-2.0 * log).sqrt();
    let above = polynomial(t, &[2.515517, 0.802853, 0.010328]);
    let mut x = above / polynomial(t, &[1.0, 1.432788, 0.189269, 0.001308]) - t;
    for _ in 0..if double(p) { 3 } else { 2 } {
        // By the slope of the logarithm, density over distribution function.
        let value = log_ndtr(x);
        x += (log - value) * (value + 0.5 * (x * x)).exp() * (2.0 * PI).sqrt();
    }
    let far = inside.select(x, q.equal(0.0).select(f64::NEG_INFINITY, q * f64::NAN));
    let x = tail.select(far, central);
    upper.select(-x, x)
}
