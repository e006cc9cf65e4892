//! The hyperbolic tangent: |tanh x| = -t/(t + 2), t = e^(-2|x|) - 1.
//!
//! A rational function of x would save a few operations, but its rounding errors carry it beyond 1.

use super::Lanes;
use super::exp::{Exp, expm1_of_negative};
use super::format::with_sign_of;

/// tanh x
pub(super) fn tanh<L: Lanes>(l: &mut L, exp: &Exp, x: L::F) -> L::F {
    let size = l.abs(x);
    let minus_two = l.float(-2.0);
    let argument = l.mul(size, minus_two);
    let t = expm1_of_negative(l, exp, argument);
    let two = l.float(2.0);
    let denominator = l.add(t, two);
    let y = l.div(t, denominator);
    let y = l.abs(y);
    with_sign_of(l, exp.format, y, x)
}
