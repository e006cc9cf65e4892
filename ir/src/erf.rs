//! The error function and its relatives as the oracle has them: Rust's standard library has none.
//!
//! Slow, and independent of `math`: sums and continued fractions that converge, in f64.

use std::f64::consts::PI;

/// 2/√π ∫₀ˣ e^(−t²) dt
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() <= 1.0 || x.is_nan() { sum(x) } else { (1.0 - tail(x.abs())).copysign(x) }
}

/// 1 − erf x
pub(crate) fn erfc(x: f64) -> f64 {
    if x < -1.0 {
        2.0 - tail(-x)
    } else if x <= 0.5 || x.is_nan() {
        1.0 - sum(x)
    } else {
        tail(x)
    }
}

/// The x whose erf is y: Newton's steps with a second-order term (Halley), on erf near 0 and on
/// erfc where that keeps the digits.
pub(crate) fn erf_inv(y: f64) -> f64 {
    let rest = 1.0 - y.abs();
    if y == 0.0 || rest == 0.0 {
        return if y == 0.0 { y } else { f64::INFINITY.copysign(y) };
    }
    if rest < 0.0 || y.is_nan() {
        return f64::NAN;
    }
    // Winitzki's approximation, right to two digits.
    let log = (rest * (1.0 + y.abs())).ln();
    let t = 2.0 / (PI * 0.147) + 0.5 * log;
    let mut x = ((t * t - log / 0.147).sqrt() - t).sqrt();
    if y.abs() < 1e-3 {
        x = 0.5 * PI.sqrt() * y.abs();
    }
    for _ in 0..6 {
        let excess = if y.abs() < 0.5 { erf(x) - y.abs() } else { rest - erfc(x) };
        let step = excess / (2.0 / PI.sqrt() * gauss(x));
        x -= step / (1.0 + x * step);
    }
    x.copysign(y)
}

/// erf x up to 1, by 2/√π Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1)), the small terms first.
fn sum(x: f64) -> f64 {
    let mut power = x;
    let mut terms = vec![x];
    for n in 1..25 {
        power *= -x * x / f64::from(n);
        terms.push(power / f64::from(2 * n + 1));
    }
    (2.0 / PI.sqrt() * terms.into_iter().rev().sum::<f64>()).copysign(x)
}

/// erfc x from ½ on, by the continued fraction 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))).
fn tail(x: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    // Enough for f64: what n terms leave falls with e^(−2x√(2n)).
    let terms = 24 + (200.0 / (x * x)) as u32;
    let rest = (1..terms).rev().fold(0.0, |rest, n| 0.5 * f64::from(n) / (x + rest));
    gauss(x) / (PI.sqrt() * (x + rest))
}

/// e^(−x²), with what rounding x² loses.
fn gauss(x: f64) -> f64 {
    let square = x * x;
    let lost = x.mul_add(x, -square);
    if square < 1000.0 { (-square).exp() * (1.0 - lost) } else { (-square).exp() }
}
