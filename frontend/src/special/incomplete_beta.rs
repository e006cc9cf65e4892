//! The incomplete beta function by its continued fraction, with derivatives by all three arguments.

use super::beta::betaln;
use super::logarithms::{xlog1py, xlogy};
use super::{floats, together};
use crate::incomplete::{any, limits, where_enabled};
use crate::tensor::{Operand, Tensor, ones_like, operand, zeros_like};
use crate::transform::{custom_jvp, jvp, while_loop};

/// The regularised incomplete beta function I(a, b, x) = 1/B(a, b) ∫ tᵃ⁻¹(1 − t)ᵇ⁻¹ dt from 0 to x; NaN
/// where a or b is negative, or x outside of [0, 1].
///
/// All derivatives of first order exist, those by a and b too, which JAX refuses, and that by x of every
/// order. As those by a and b are computed by loops, there is no second derivative by them in reverse mode.
///
/// By the continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), of a, b and x
/// where x < (a + 1)/(a + b + 2), else of b, a and 1 − x.
///
/// ```
/// # use egrad::{Array, Tensor, jit, special};
/// let f = jit(|x: Tensor| special::betainc(2, 2, x));
/// // 3x² − 2x³
/// let y = f(&Array::from(0.25f64)).unwrap().item::<f64>().unwrap();
/// assert!((y - 0.15625).abs() < 1e-15);
/// ```
///
/// # Errors and panics
/// As [`gammaln`](super::gammaln).
#[track_caller]
pub fn betainc(a: impl Operand, b: impl Operand, x: impl Operand) -> Tensor {
    floats!("betainc", a, b, x => betainc(a, b, x));
    let [a, b, x] = together("betainc", [a, b, x]);
    let rule = |(a, b, x): (Tensor, Tensor, Tensor), (da, db, dx): (Tensor, Tensor, Tensor)| {
        let density = (xlogy(a - 1.0, x) + xlog1py(b - 1.0, -x) - betaln(a, b)).exp();
        (value(a, b, x), da * slope(a, b, x, By::A) + db * slope(a, b, x, By::B) + dx * density)
    };
    custom_jvp(value, rule)(a, b, x)
}

/// By which argument a derivative is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    A,
    B,
}

/// Where there is no such distribution.
#[track_caller]
pub(crate) fn no_beta(a: Tensor, b: Tensor) -> Tensor {
    let [zero, infinite] = [0.0, f64::INFINITY].map(|end| a.equal(end).and(b.equal(end)));
    a.ge(0.0).and(b.ge(0.0)).not().or(zero).or(infinite)
}

/// Where the value is known without a sum.
struct Ends {
    /// It is 0, or 1.
    zero: Tensor,
    one: Tensor,
    /// It isn't defined.
    nowhere: Tensor,
}

impl Ends {
    #[track_caller]
    fn of(a: Tensor, b: Tensor, x: Tensor) -> Ends {
        let infinity = f64::INFINITY;
        // All of the mass is at 0, or at 1.
        let low = a.equal(0.0).or(b.equal(infinity));
        let high = b.equal(0.0).or(a.equal(infinity));
        let (first, last) = (x.equal(0.0), x.equal(1.0));
        Ends {
            zero: high.and(last.not()).or(first),
            one: low.and(first.not()).or(last),
            nowhere: no_beta(a, b).or(x.lt(0.0)).or(x.gt(1.0)).or(x.is_nan()),
        }
    }

    /// What is summed up, where it must be; else something harmless.
    #[track_caller]
    fn inside(&self, a: Tensor, b: Tensor, x: Tensor) -> Fraction {
        let known = self.zero.or(self.one).or(self.nowhere);
        let [a, b, x] = [(a, 1.0), (b, 1.0), (x, 0.5)].map(|(y, safe)| known.select(safe, y));
        let straight = x.lt((a + 1.0) / (a + b + 2.0));
        Fraction { straight, a: straight.select(a, b), b: straight.select(b, a), x: straight.select(x, 1.0 - x) }
    }
}

/// I of these, or 1 − I where it isn't straight.
#[derive(Clone, Copy)]
struct Fraction {
    straight: Tensor,
    a: Tensor,
    b: Tensor,
    x: Tensor,
}

#[track_caller]
fn value(a: Tensor, b: Tensor, x: Tensor) -> Tensor {
    let ends = Ends::of(a, b, x);
    let of = ends.inside(a, b, x);
    let part = of.scale() / of.denominator();
    let sum = of.straight.select(part, 1.0 - part);
    let sum = ends.zero.select(0.0, ends.one.select(1.0, sum));
    ends.nowhere.select(f64::NAN, sum)
}

/// The derivative by a or b.
#[track_caller]
fn slope(a: Tensor, b: Tensor, x: Tensor, by: By) -> Tensor {
    let ends = Ends::of(a, b, x);
    let of = ends.inside(a, b, x);
    let first = if by == By::A { of.straight } else { of.straight.not() };
    let one = ones_like(a);
    let (da, db) = (first.select(one, 0.0), first.select(0.0, one));
    let (denominator, change) = of.denominator_with(da, db);
    let sum = of.a + of.b;
    let all = (sum + 1.0).digamma();
    let of_scale = da * (of.x.log() - (of.a + 1.0).digamma() + all - 1.0 / sum)
        + db * ((-of.x).log1p() - of.b.digamma() + all - 1.0 / sum);
    let slope = of.scale() / denominator * (of_scale - change / denominator);
    let known = ends.zero.or(ends.one);
    let one_sided = a.equal(0.0).or(b.equal(0.0));
    ends.nowhere.or(one_sided).select(f64::NAN, known.select(0.0, of.straight.select(slope, -slope)))
}

impl Fraction {
    /// xᵃ (1 − x)ᵇ / (a B(a, b)), which is (a + b) B(a + 1, b) below: so small a lose nothing.
    #[track_caller]
    fn scale(self) -> Tensor {
        let Fraction { a, b, x, .. } = self;
        (xlogy(a, x) + b * (-x).log1p() - betaln(a + 1.0, b) - (a + b).log()).exp()
    }

    /// The continued fraction below it, 1 + d₁/(1 + d₂/(1 + …)), by Lentz's algorithm as Thompson and
    /// Barnett have it ("Coulomb and Bessel functions of complex arguments and order", 1986).
    #[track_caller]
    fn denominator(self) -> Tensor {
        let (epsilon, one) = (limits(self.x.dtype()).0, ones_like(self.x));
        let state = [one, zeros_like(one), one];
        let more = |(m, off, _): (Tensor, Tensor, [Tensor; 3])| any(off).and(m.lt(MOST));
        // What stands is left alone: further factors close to 1 would move it in the end.
        let step = move |(m, off, state): (Tensor, Tensor, [Tensor; 3])| {
            let next = two_terms(self.a, self.b, self.x, m, state);
            let still = off.and((next[2] / state[2] - 1.0).abs().gt(epsilon));
            (m + 1.0, still, where_enabled(off, next, state))
        };
        let m = operand("betainc", 0.0, one.dtype());
        while_loop(more, step, (m, one.equal(1.0), state)).2[2]
    }

    /// The same, and its derivative in a direction, whose sum goes on until it stands.
    #[track_caller]
    fn denominator_with(self, da: Tensor, db: Tensor) -> (Tensor, Tensor) {
        let (epsilon, one) = (limits(self.x.dtype()).0, ones_like(self.x));
        let none = zeros_like(one);
        let (state, change) = ([one, none, one], [none; 3]);
        let more = |(m, off, _, _): (Tensor, Tensor, [Tensor; 3], [Tensor; 3])| any(off).and(m.lt(MOST));
        let step = move |(m, off, state, change): (Tensor, Tensor, [Tensor; 3], [Tensor; 3])| {
            let x = self.x;
            let terms = move |a: Tensor, b: Tensor, state: [Tensor; 3]| two_terms(a, b, x, m, state);
            let (next, moved) = jvp(terms)((self.a, self.b, state), (da, db, change));
            let value = (next[2] / state[2] - 1.0).abs().gt(epsilon);
            let slope = (moved[2] - change[2]).abs().gt(epsilon * moved[2].abs());
            let still = off.and(value.or(slope));
            (m + 1.0, still, where_enabled(off, next, state), where_enabled(off, moved, change))
        };
        let m = operand("betainc", 0.0, one.dtype());
        let (_, _, state, change) = while_loop(more, step, (m, one.equal(1.0), state, change));
        (state[2], change[2])
    }
}

/// More pairs of terms than this are not summed; it takes about as many as the root of a or b.
const MOST: f64 = 2000.0;

/// The terms d₂ₘ₊₁ and d₂ₘ₊₂ added to numerators' and denominators' ratios c and d, and the fraction.
#[track_caller]
fn two_terms(a: Tensor, b: Tensor, x: Tensor, m: Tensor, state: [Tensor; 3]) -> [Tensor; 3] {
    let twice = a + (m + m);
    let odd = -(a + m) * (a + b + m) * x / (twice * (twice + 1.0));
    // d₁ at a = 0, without 0/0.
    let odd = m.equal(0.0).select(-(a + b) * x / (a + 1.0), odd);
    let even = (m + 1.0) * (b - m - 1.0) * x / ((twice + 1.0) * (twice + 2.0));
    one_term(even, one_term(odd, state))
}

#[track_caller]
fn one_term(term: Tensor, [c, d, fraction]: [Tensor; 3]) -> [Tensor; 3] {
    let tiny = limits(term.dtype()).0.powi(2);
    let nonzero = |x: Tensor| x.abs().lt(tiny).select(tiny, x);
    let c = nonzero(1.0 + term / c);
    let d = 1.0 / nonzero(1.0 + term * d);
    [c, d, fraction * c * d]
}
