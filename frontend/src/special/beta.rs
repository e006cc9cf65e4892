//! The beta function.

use super::gamma::{HALF_LN_2PI, gammasgn, stirling_rest};
use super::{floats, together};
use crate::tensor::{Operand, Tensor};

/// The logarithm of |B(a, b)| = |Γ(a) Γ(b)/Γ(a + b)|, whose digits are not lost where a or b is large.
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|a: Tensor| special::betaln(a, 1e10));
/// // B(a, b) is close to Γ(a)/bᵃ here.
/// let y = f(&Array::from(1.0f64)).unwrap().item::<f64>().unwrap();
/// assert!((y + 1e10f64.ln()).abs() < 1e-14);
/// ```
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn betaln(a: impl Operand, b: impl Operand) -> Tensor {
    floats!("betaln", a, b => betaln(a, b));
    let [a, b] = together("betaln", [a, b]);
    let (p, q) = (a.minimum(b), a.maximum(b));
    // With Stirling's formula for large arguments, and what it leaves of ln Γ, logarithms that nearly
    // cancel become one of 1 + p/q.
    let large = q.ge(8.0).and(p.ge(0.0));
    let both = large.and(p.ge(8.0));
    let one = p.lgamma();
    let near = one + large.select(1.0, q).lgamma() - large.select(1.0, p + q).lgamma();

    let z = large.select(q, 8.0);
    let r = large.select(p, 1.0);
    let ratio = (r / z).log1p();
    let rest = stirling_rest(z) - stirling_rest(z + r);
    let middle = one - (z - 0.5) * ratio - r * (z + r).log() + r + rest;

    let y = both.select(p, 8.0);
    let far = (y - 0.5) * (y / (z + y)).log() - z * ratio - 0.5 * z.log() + HALF_LN_2PI + rest + stirling_rest(y);
    both.select(far, large.select(middle, near))
}

/// B(a, b) = Γ(a) Γ(b)/Γ(a + b) = ∫ tᵃ⁻¹(1 − t)ᵇ⁻¹ dt from 0 to 1.
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn beta(a: impl Operand, b: impl Operand) -> Tensor {
    floats!("beta", a, b => beta(a, b));
    gammasgn(a) * gammasgn(b) * gammasgn(a + b) * betaln(a, b).exp()
}
