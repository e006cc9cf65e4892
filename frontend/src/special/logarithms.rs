//! Logarithms times what they are of, and of odds.

use super::{floats, together};
use crate::tensor::{Operand, Tensor};
use crate::transform::custom_jvp;

/// x ln y, and 0 where x is 0: [`Tensor::xlogy`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn xlogy(x: impl Operand, y: impl Operand) -> Tensor {
    floats!("xlogy", x, y => xlogy(x, y));
    x.xlogy(y)
}

/// x ln(1 + y), exact for small y, and 0 where x is 0 and y isn't NaN. The derivatives are ln(1 + y) and
/// x/(1 + y).
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|x: Tensor, y: Tensor| special::xlog1py(x, y));
/// assert_eq!(f(&Array::from(0.0f32), &Array::from(-1.0f32)).unwrap().item::<f32>().unwrap(), 0.0);
/// ```
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn xlog1py(x: impl Operand, y: impl Operand) -> Tensor {
    floats!("xlog1py", x, y => xlog1py(x, y));
    let [x, y] = together("xlog1py", [x, y]);
    let value = |x: Tensor, y: Tensor| x.not_equal(0.0).or(y.is_nan()).select(x * y.log1p(), 0.0);
    let rule = move |(x, y): (Tensor, Tensor), (dx, dy): (Tensor, Tensor)| {
        (value(x, y), dx * y.log1p() + dy * (x / (1.0 + y)))
    };
    custom_jvp(value, rule)(x, y)
}

/// x ln x, with the derivative ln x + 1 also where x is 0.
#[track_caller]
fn xlogx(x: Tensor) -> Tensor {
    let value = |x: Tensor| x.equal(0.0).select(0.0, x * x.log());
    custom_jvp(value, move |(x,): (Tensor,), (dx,): (Tensor,)| (value(x), dx * (x.log() + 1.0)))(x)
}

/// The entropy −x ln x, which is 0 at 0, and −∞ for negative x.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn entr(x: impl Operand) -> Tensor {
    floats!("entr", x => entr(x));
    let negative = x.lt(0.0);
    negative.select(f64::NEG_INFINITY, -xlogx(negative.select(1.0, x)))
}

/// The relative entropy p ln(p/q): 0 where p is 0 and q isn't negative, and ∞ where p or q is negative or
/// q alone 0.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn rel_entr(p: impl Operand, q: impl Operand) -> Tensor {
    floats!("rel_entr", p, q => rel_entr(p, q));
    let both = p.gt(0.0).and(q.gt(0.0));
    let none = p.equal(0.0).and(q.ge(0.0));
    let (p, q) = (both.select(p, 1.0), both.select(q, 1.0));
    both.select(p * (p.log() - q.log()), none.select(0.0 * p, f64::INFINITY))
}

/// Kullback and Leibler's p ln(p/q) − p + q; see [`rel_entr`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn kl_div(p: impl Operand, q: impl Operand) -> Tensor {
    floats!("kl_div", p, q => kl_div(p, q));
    rel_entr(p, q) - p + q
}

/// The logarithm of odds, ln(x/(1 − x)), with the derivative 1/(x(1 − x)). [`expit`] is its inverse.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn logit(x: impl Operand) -> Tensor {
    floats!("logit", x => logit(x));
    let value = |x: Tensor| (x / (1.0 - x)).log();
    custom_jvp(value, move |(x,): (Tensor,), (dx,): (Tensor,)| (value(x), dx / (x * (1.0 - x))))(x)
}

/// 1/(1 + e⁻ˣ): [`Tensor::sigmoid`].
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn expit(x: impl Operand) -> Tensor {
    floats!("expit", x => expit(x));
    x.sigmoid()
}
