//! The gamma function's family.
//!
//! ln |Γ| and its derivatives are written out in primitives, so that derivatives of every order come
//! from the rules (as a primitive, each order would need one more). All pieces are analytic series of
//! the function itself, whose derivatives converge as they do.

use super::{double, floats, inverse_powers, polynomial, together};
use crate::tensor::{Operand, Tensor, arange, ones_like};
use crate::transform::custom_jvp;
use egrad_ir::Dtype;
use std::f64::consts::PI;

impl Tensor {
    /// The logarithm of |Γ(x)|, of floats; ∞ at 0 and the negative integers. Every derivative
    /// exists: the first is [`digamma`](Tensor::digamma).
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.lgamma());
    /// let y = f(&Array::from(5.0f64)).unwrap().item::<f64>().unwrap();
    /// assert!((y - 24f64.ln()).abs() < 1e-14);
    /// ```
    #[track_caller]
    pub fn lgamma(self) -> Tensor {
        if self.dtype().computed() != self.dtype() {
            return self.wide().lgamma().convert(self.dtype());
        }
        let finite = self.abs().lt(f64::INFINITY);
        let x = finite.select(self, 1.0);
        // Below ½, Γ(x) Γ(1 - x) = π / sin πx.
        let reflected = x.lt(0.5);
        let y = reflected.select(1.0 - x, x).lgamma_from_half();
        let sine = (reflected.select(x - x.round(), 0.5) * PI).sin().abs();
        finite.select(reflected.select(PI.ln() - sine.log() - y, y), self * self)
    }

    /// ln Γ(x) for x ≥ ½.
    #[track_caller]
    fn lgamma_from_half(self) -> Tensor {
        let single = self.dtype() == Dtype::F32;
        let large = self.ge(8.0);

        // From 8 on by Stirling's series.
        let z = large.select(self, 8.0);
        let series = inverse_powers(z, if single { &STIRLING[..5] } else { &STIRLING });
        let far = (z - 0.5) * (z.log() - 1.0) + (HALF_LN_2PI - 0.5) + series / z;

        // Up to there, brought to y = x - 2 between -½ and ½ by Γ(x + 1) = x Γ(x); there by the
        // series in y that the values of ζ make.
        let x = large.select(2.0, self);
        let below = x.lt(1.5);
        let (mut y, mut product) = (below.select(x + 1.0, x), below.select(x, 1.0));
        for _ in 0..6 {
            let above = y.ge(2.5);
            y = above.select(y - 1.0, y);
            product *= above.select(y, 1.0);
        }
        let y = y - 2.0;
        let near = y * polynomial(y, if single { &NEAR_TWO[..14] } else { &NEAR_TWO });
        let logarithm = product.log();
        let near = near + below.select(-logarithm, logarithm);
        large.select(far, near)
    }

    /// The derivative of ln |Γ(x)|, of floats; NaN at 0 and the negative integers. Every derivative
    /// exists.
    #[track_caller]
    pub fn digamma(self) -> Tensor {
        if self.dtype().computed() != self.dtype() {
            return self.wide().digamma().convert(self.dtype());
        }
        // Below ½, ψ(x) = ψ(1 - x) - π / tan πx.
        let x = self;
        let reflected = x.lt(0.5);
        let y = reflected.select(1.0 - x, x).digamma_from_half();
        let rest = x - x.round();
        let pole = rest.equal(0);
        let angle = reflected.and(pole.not()).select(rest, 0.5) * PI;
        let mirrored = pole.select(f64::NAN, y - PI * (angle.cos() / angle.sin()));
        reflected.select(mirrored, y)
    }

    /// ψ(x) for x ≥ ½.
    #[track_caller]
    fn digamma_from_half(self) -> Tensor {
        let single = self.dtype() == Dtype::F32;
        // Up to 8, ψ(x) = ψ(x + 8) - 1/x - 1/(x + 1) - … - 1/(x + 7).
        let small = self.lt(8.0);
        let x = small.select(self, 1.0);
        let sum = (1..8).fold(1.0 / x, |sum, k| sum + 1.0 / (x + k));
        // From there on by Stirling's series.
        let z = small.select(self + 8.0, self);
        let series = inverse_powers(z, if single { &DIGAMMA[..5] } else { &DIGAMMA });
        let far = z.log() - 0.5 / z - series / (z * z);
        small.select(far - sum, far)
    }
}

/// What Stirling's formula leaves of ln Γ: ln Γ(z) − (z − ½) ln z + z − ½ ln 2π, for z from 8 on.
#[track_caller]
pub(crate) fn stirling_rest(z: Tensor) -> Tensor {
    inverse_powers(z, if double(z) { &STIRLING } else { &STIRLING[..5] }) / z
}

/// ln |Γ(x)|: [`Tensor::lgamma`].
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Dtype`](crate::Error::Dtype) if the arguments aren't floats of
/// one type, [`Error::Shape`](crate::Error::Shape) if they don't broadcast.
#[track_caller]
pub fn gammaln(x: impl Operand) -> Tensor {
    floats!("gammaln", x => gammaln(x));
    x.lgamma()
}

/// The sign of Γ(x): 1 or −1, that of a zero its own; NaN at the negative integers.
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn gammasgn(x: impl Operand) -> Tensor {
    floats!("gammasgn", x => gammasgn(x));
    let x = x.stop_gradient();
    let (below, floor) = (x.lt(0.0), x.floor());
    let odd = (floor * 0.5).not_equal((floor * 0.5).floor());
    let minus = below.and(odd).or(x.equal(0.0).and(x.is_negative()));
    let nowhere = below.and(x.equal(floor)).or(x.is_nan());
    nowhere.select(f64::NAN, minus.select(-1.0, ones_like(x)))
}

/// Γ(x). Its error grows with ln |Γ(x)|, of which it is made.
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|x: Tensor| special::gamma(x));
/// assert!((f(&Array::from(5.0f64)).unwrap().item::<f64>().unwrap() - 24.0).abs() < 1e-13);
/// ```
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn gamma(x: impl Operand) -> Tensor {
    floats!("gamma", x => gamma(x));
    let value = |x: Tensor| gammasgn(x) * x.lgamma().exp();
    let rule = move |(x,): (Tensor,), (dx,): (Tensor,)| (value(x), dx * (value(x) * x.digamma()));
    custom_jvp(value, rule)(x)
}

/// n! = Γ(n + 1), and 0 for negative n.
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn factorial(n: impl Operand) -> Tensor {
    floats!("factorial", n => factorial(n));
    n.lt(0.0).select(0.0, (n + 1.0).lgamma().exp())
}

/// The logarithm of the gamma function of d dimensions, ¼ d(d − 1) ln π + Σ ln Γ(a − j/2) for j below d.
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn multigammaln(a: impl Operand, d: usize) -> Tensor {
    floats!("multigammaln", a => multigammaln(a, d));
    let steps = arange(d, a.dtype()) * 0.5;
    let constant = 0.25 * (d * d.saturating_sub(1)) as f64 * PI.ln();
    (a.expand_dims(-1) - steps).lgamma().sum_axes(-1) + constant
}

/// ψ(x), the derivative of ln |Γ|: [`Tensor::digamma`].
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn digamma(x: impl Operand) -> Tensor {
    floats!("digamma", x => digamma(x));
    x.digamma()
}

/// P(a, x): [`Tensor::igamma`].
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn gammainc(a: impl Operand, x: impl Operand) -> Tensor {
    floats!("gammainc", a, x => gammainc(a, x));
    a.igamma(x)
}

/// Q(a, x) = 1 − P(a, x): [`Tensor::igammac`].
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn gammaincc(a: impl Operand, x: impl Operand) -> Tensor {
    floats!("gammaincc", a, x => gammaincc(a, x));
    a.igammac(x)
}

/// The derivative of order n of ψ(x), which has derivatives of every order. At 0 and the negative integers
/// it is ∞ for odd n, where both sides agree, and NaN for even ones.
///
/// By ψₙ(x) = (−1)ⁿ⁺¹ n! ζ(n + 1, x) and Euler and Maclaurin's formula from ½ on, and below by
/// (−1)ⁿ ψₙ(1 − x) − ψₙ(x) = π dⁿ/dxⁿ cot πx.
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|x: Tensor| special::polygamma(1, x));
/// let y = f(&Array::from(1.0f64)).unwrap().item::<f64>().unwrap();
/// assert!((y - std::f64::consts::PI.powi(2) / 6.0).abs() < 1e-15);
/// ```
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn polygamma(n: u32, x: impl Operand) -> Tensor {
    floats!("polygamma", x => polygamma(n, x));
    if n == 0 {
        return x.digamma();
    }
    let mirrored = x.lt(0.5);
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    let right = polygamma_from_half(n, mirrored.select(1.0 - x, x)) * sign;

    let rest = x - x.round();
    let pole = mirrored.and(rest.equal(0.0));
    let angle = mirrored.and(pole.not()).select(rest, 0.5) * PI;
    let turn = polynomial(angle.cos() / angle.sin(), &cotangent_derivative(n)) * PI.powi(n as i32 + 1);
    let left = pole.select(if n % 2 == 1 { f64::INFINITY } else { f64::NAN }, -sign * right - turn);
    mirrored.select(left, right)
}

/// n! ζ(n + 1, x) for x from ½ on.
#[track_caller]
fn polygamma_from_half(n: u32, x: Tensor) -> Tensor {
    let (steps, terms) = if double(x) { (10, 10) } else { (5, 5) };
    let s = f64::from(n) + 1.0;
    let power = |x: Tensor| (1.0 / x).powi(n as i32 + 1);
    let near = (0..steps).fold(None, |sum: Option<Tensor>, k| {
        let term = power(x + f64::from(k));
        Some(sum.map_or(term, |sum| sum + term))
    });
    // z/(s − 1) + ½ + Σ B₂ⱼ/(2j)! · s(s + 1)…(s + 2j − 2)/z²ʲ⁻¹, times z⁻ˢ.
    let z = x + f64::from(steps);
    let mut rising = s;
    let coefficients: Vec<f64> = (0..terms)
        .map(|j| {
            // s(s + 1)…(s + 2j)/(2j + 2)! · B₂ⱼ₊₂, of which DIGAMMA has B₂ⱼ₊₂/(2j + 2).
            if j > 0 {
                let k = f64::from(2 * j);
                rising *= (s + k - 1.0) * (s + k) / (k * (k + 1.0));
            }
            DIGAMMA[j as usize] * rising
        })
        .collect();
    let far = power(z) * (z / f64::from(n) + 0.5 + inverse_powers(z, &coefficients) / z);
    let factorial = (1..=n).fold(1.0, |product, k| product * f64::from(k));
    near.map_or(far, |near| near + far) * factorial
}

/// The coefficients, from the lowest up, of the polynomial in cot t that the derivative of order n of
/// cot t is.
fn cotangent_derivative(n: u32) -> Vec<f64> {
    let mut of = vec![0.0, 1.0];
    for _ in 0..n {
        // d/dt p(c) = −(1 + c²) p′(c)
        let mut next = vec![0.0; of.len() + 1];
        for (k, c) in of.iter().enumerate().skip(1) {
            next[k - 1] -= k as f64 * c;
            next[k + 1] -= k as f64 * c;
        }
        of = next;
    }
    of
}

/// Hurwitz's zeta function ζ(s, q) = Σ (q + k)⁻ˢ for k from 0 on; ∞ at s = 1 and NaN below. Where q is
/// not positive, whole numbers s alone count: at the poles (0 and the negative integers) it is ∞ for even s and NaN
/// for odd, and below −8 NaN. Both derivatives exist for positive q.
///
/// By Euler and Maclaurin's formula (Johansson, "Rigorous high-precision computation of the Hurwitz zeta
/// function and its derivatives", 2015).
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|s: Tensor| special::zeta(s, 1));
/// let y = f(&Array::from(2.0f64)).unwrap().item::<f64>().unwrap();
/// assert!((y - std::f64::consts::PI.powi(2) / 6.0).abs() < 1e-14);
/// ```
///
/// # Errors and panics
/// As [`gammaln`].
#[track_caller]
pub fn zeta(s: impl Operand, q: impl Operand) -> Tensor {
    floats!("zeta", s, q => zeta(s, q));
    let [s, q] = together("zeta", [s, q]);
    let whole = |x: Tensor| x.equal(x.round());
    let pole = q.le(0.0).and(whole(q));
    let outside = s.lt(1.0).or(q.le(0.0).and(whole(s).not())).or(q.lt(-8.0)).or(s.is_nan()).or(q.is_nan());
    let value = zeta_sum(outside.or(pole).select(2.0, s), outside.or(pole).select(1.0, q));
    let defined = pole.select(f64::INFINITY, value);
    let odd = pole.and(whole(s * 0.5).not()).and(s.not_equal(1.0));
    // NaN with slopes of NaN.
    let undefined = outside.or(odd);
    undefined.select((s + q) * undefined.select(f64::NAN, ones_like(s)), defined)
}

/// The sum where it converges.
#[track_caller]
fn zeta_sum(s: Tensor, q: Tensor) -> Tensor {
    const STEPS: u32 = 16;
    let near = (1..STEPS).fold(q.pow(-s), |sum, k| sum + (q + f64::from(k)).pow(-s));
    let z = q + f64::from(STEPS);
    // B₂ⱼ/(2j)! · s(s + 1)…(s + 2j − 2)/z²ʲ⁻¹
    let (mut term, mut sum) = (s / z, None::<Tensor>);
    for j in 0..if double(q) { 10 } else { 4 } {
        if j > 0 {
            let k = f64::from(2 * j);
            term *= (s + (k - 1.0)) / z * ((s + k) / z) / (k * (k + 1.0));
        }
        let added = term * DIGAMMA[j as usize];
        sum = Some(sum.map_or(added, |sum| sum + added));
    }
    let far = z.pow(-s) * (z / (s - 1.0) + 0.5 + sum.unwrap_or(term));
    near + far
}

/// ½ ln 2π
pub(crate) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// ln Γ(2 + y)/y = (1 − γ) + Σ (−1)ᵏ (ζ(k) − 1)/k · yᵏ⁻¹, for k from 2 on.
const NEAR_TWO: [f64; 30] = [
    0.42278433509846713,
    0.3224670334241132,
    -0.0673523010531981,
    0.020580808427784546,
    -0.007385551028673986,
    0.0028905103307415234,
    -0.001192753911703261,
    0.0005096695247430425,
    -0.00022315475845357939,
    9.945751278180853e-05,
    -4.492623673813314e-05,
    2.050721277567069e-05,
    -9.439488275268397e-06,
    4.374866789907488e-06,
    -2.039215753801366e-06,
    9.55141213040742e-07,
    -4.492469198764566e-07,
    2.1207184805554665e-07,
    -1.0043224823968099e-07,
    4.7698101693639804e-08,
    -2.2711094608943164e-08,
    1.0838659214896955e-08,
    -5.183475041970047e-09,
    2.4836745438024785e-09,
    -1.1921401405860912e-09,
    5.731367241678862e-10,
    -2.7595228851242334e-10,
    1.330476437424449e-10,
    -6.4229645638381e-11,
    3.1044247747322276e-11,
];

/// B₂ₖ/(2k (2k − 1)), with the Bernoulli numbers B, for k from 1 on.
const STIRLING: [f64; 10] = [
    0.08333333333333333,
    -0.002777777777777778,
    0.0007936507936507937,
    -0.0005952380952380953,
    0.0008417508417508417,
    -0.0019175269175269176,
    0.00641025641025641,
    -0.029550653594771242,
    0.17964437236883057,
    -1.3924322169059011,
];

/// B₂ₖ/2k for k from 1 on.
const DIGAMMA: [f64; 10] = [
    0.08333333333333333,
    -0.008333333333333333,
    0.003968253968253968,
    -0.004166666666666667,
    0.007575757575757576,
    -0.021092796092796094,
    0.08333333333333333,
    -0.4432598039215686,
    3.0539543302701198,
    -26.456212121212122,
];
