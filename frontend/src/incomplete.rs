//! The incomplete gamma functions by their series and their continued fraction, with the derivatives
//! by a of both, as in Cephes and JAX.

use crate::special::{HALF_LN_2PI, stirling_rest};
use crate::tensor::{Operand, Tensor, ones_like, zeros_like};
use crate::transform::{custom_jvp, while_loop};
use egrad_ir::Dtype;

/// Which of the functions of a and x is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// P(a, x), or Q(a, x) where the continued fraction is used.
    Value,
    /// Its derivative by a.
    Slope,
    /// The derivative by a of the x at which P(a, x) keeps its value; negated for Q.
    SampleSlope,
}

impl Tensor {
    /// The regularised lower incomplete gamma function of a = `self` and x, P(a, x) = 1/Γ(a) ∫₀ˣ tᵃ⁻¹e⁻ᵗ dt,
    /// of floats; NaN where x or a is negative, or both are 0.
    ///
    /// Both derivatives of first order exist, that by x of every order. They are computed by loops, of which
    /// there is no reverse mode, so there is no second derivative by a in reverse mode.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|a: Tensor, x: Tensor| a.igamma(x));
    /// let p = f(&Array::from(1.0f64), &Array::from(2.0f64)).unwrap().item::<f64>().unwrap();
    /// assert!((p - (1.0 - (-2f64).exp())).abs() < 1e-14);
    /// ```
    #[track_caller]
    pub fn igamma(self, x: impl Operand) -> Tensor {
        let (a, x) = self.with(x);
        if a.dtype().computed() != a.dtype() {
            return a.wide().igamma(x.wide()).convert(a.dtype());
        }
        let rule = |(a, x): (Tensor, Tensor), (da, dx): (Tensor, Tensor)| {
            (lower(a, x), da * slope(a, x, Wanted::Slope) + dx * density(a, x))
        };
        custom_jvp(lower, rule)(a, x)
    }

    /// The regularised upper incomplete gamma function of a = `self` and x, Q(a, x) = 1 − P(a, x), which
    /// keeps its digits where it is small. See [`igamma`](Tensor::igamma).
    #[track_caller]
    pub fn igammac(self, x: impl Operand) -> Tensor {
        let (a, x) = self.with(x);
        if a.dtype().computed() != a.dtype() {
            return a.wide().igammac(x.wide()).convert(a.dtype());
        }
        let rule = |(a, x): (Tensor, Tensor), (da, dx): (Tensor, Tensor)| {
            (upper(a, x), -(da * slope(a, x, Wanted::Slope) + dx * density(a, x)))
        };
        custom_jvp(upper, rule)(a, x)
    }

    /// Both in the shape they broadcast to.
    #[track_caller]
    fn with(self, x: impl Operand) -> (Tensor, Tensor) {
        let x = self.like(x);
        let shape = (self + x).shape();
        (self.broadcast_to(shape.clone()), x.broadcast_to(shape))
    }
}

/// ∂P/∂x
#[track_caller]
fn density(a: Tensor, x: Tensor) -> Tensor {
    let near = (a - 1.0).xlogy(x) - x - a.lgamma();
    let zero = x.equal(0.0);
    let far = log_scale_of_large(a, x) - zero.select(1.0, x).log();
    a.ge(8.0).select(zero.select(f64::NEG_INFINITY, far), near).exp()
}

/// ln (xᵃ e⁻ˣ / Γ(a)) for a from 8 on, by Stirling's formula, in which large terms cancel beforehand.
#[track_caller]
fn log_scale_of_large(a: Tensor, x: Tensor) -> Tensor {
    let large = a.ge(8.0);
    let (a, x) = (large.select(a, 8.0), large.select(x, 8.0));
    let t = (x - a) / a;
    a * (t.log1p() - t) + 0.5 * a.log() - HALF_LN_2PI - stirling_rest(a)
}

/// P(a, x): by the series where it converges fast, else by the continued fraction of Q.
#[track_caller]
fn lower(a: Tensor, x: Tensor) -> Tensor {
    let (zero, infinite) = (x.equal(0.0), x.equal(f64::INFINITY));
    let outside = outside(a, x);
    let fraction = x.ge(1.0).and(x.gt(a));
    let (scale, underflow) = scale(a, x);
    let enabled = zero.or(outside).or(underflow).or(infinite).not();
    let far = continued_fraction(scale, a, x, enabled.and(fraction), Wanted::Value);
    let near = series(scale, a, x, enabled.and(fraction.not()), Wanted::Value);
    let value = infinite.select(1.0, zero.select(0.0, fraction.select(1.0 - far, near)));
    outside.select(f64::NAN, value)
}

/// Q(a, x), likewise.
#[track_caller]
fn upper(a: Tensor, x: Tensor) -> Tensor {
    let (zero, infinite, all) = (a.equal(0.0), x.equal(f64::INFINITY), x.equal(0.0));
    let outside = outside(a, x);
    let use_series = x.lt(1.0).or(x.lt(a));
    let (scale, underflow) = scale(a, x);
    let enabled = zero.or(outside).or(underflow).or(infinite).or(all).not();
    let near = series(scale, a, x, enabled.and(use_series), Wanted::Value);
    let far = continued_fraction(scale, a, x, enabled.and(use_series.not()), Wanted::Value);
    let value = zero.or(infinite).select(0.0, all.select(1.0, use_series.select(1.0 - near, far)));
    outside.select(f64::NAN, value)
}

/// Where P and Q aren't defined.
#[track_caller]
fn outside(a: Tensor, x: Tensor) -> Tensor {
    let both = a.equal(0.0).and(x.equal(0.0));
    x.lt(0.0).or(a.lt(0.0)).or(both).or(a.is_nan()).or(x.is_nan())
}

/// The distance of the element type's floats from 1 up, and the largest one's logarithm.
pub(crate) fn limits(dtype: Dtype) -> (f64, f64) {
    match dtype {
        Dtype::F32 => (f64::from(f32::EPSILON), f64::from(f32::MAX).ln()),
        _ => (f64::EPSILON, f64::MAX.ln()),
    }
}

/// Whether any element is true.
#[track_caller]
pub(crate) fn any(x: Tensor) -> Tensor {
    x.convert(Dtype::I32).sum().gt(0)
}

/// Where `enabled`, the new one of each, else the old.
#[track_caller]
pub(crate) fn where_enabled<const N: usize>(enabled: Tensor, new: [Tensor; N], old: [Tensor; N]) -> [Tensor; N] {
    std::array::from_fn(|i| enabled.select(new[i], old[i]))
}

/// dx/da of a gamma number x of shape parameter a, at a fixed value of the distribution function; NaN
/// outside of the domain.
#[track_caller]
pub(crate) fn gamma_sample_derivative(a: Tensor, x: Tensor) -> Tensor {
    slope(a, x, Wanted::SampleSlope)
}

/// ∂P/∂a, or the derivative of a sample.
#[track_caller]
fn slope(a: Tensor, x: Tensor, wanted: Wanted) -> Tensor {
    let nan = a.is_nan().or(x.is_nan());
    let zero = x.equal(0.0);
    let outside = x.lt(0.0).or(a.le(0.0));
    let fraction = x.gt(1.0).and(x.gt(a));
    let (scale, underflow) = scale(a, x);
    let enabled = zero.or(outside).or(underflow).or(nan).not();
    let far = continued_fraction(scale, a, x, enabled.and(fraction), wanted);
    let near = series(scale, a, x, enabled.and(fraction.not()), wanted);
    let slope = zero.select(0.0, fraction.select(-far, near));
    outside.or(nan).select(f64::NAN, slope)
}

/// xᵃ e⁻ˣ / Γ(a), and whether it is 0.
#[track_caller]
fn scale(a: Tensor, x: Tensor) -> (Tensor, Tensor) {
    let near = a * x.log() - x - a.lgamma();
    let log = a.ge(8.0).select(log_scale_of_large(a, x), near);
    (log.exp(), log.lt(-limits(a.dtype()).1))
}

/// P(a, x) = xᵃ e⁻ˣ / Γ(a + 1) · Σ xⁿ / (a + 1)…(a + n).
#[track_caller]
fn series(scale: Tensor, a: Tensor, x: Tensor, enabled: Tensor, wanted: Wanted) -> Tensor {
    let epsilon = limits(a.dtype()).0;
    // a + n; the term, the sum, and the derivatives of both by a.
    let state = [a, ones_like(a), ones_like(a), zeros_like(a), zeros_like(a)];
    let step = move |(enabled, state): (Tensor, [Tensor; 5])| {
        let [r, term, sum, term_slope, sum_slope] = state;
        let r = r + 1.0;
        let term_slope = term_slope * (x / r) - (term * x) / (r * r);
        let sum_slope = sum_slope + term_slope;
        let term = term * (x / r);
        let sum = sum + term;
        let more = match wanted {
            Wanted::Value => (term / sum).gt(epsilon),
            Wanted::Slope | Wanted::SampleSlope => (term_slope / sum_slope).abs().gt(epsilon),
        };
        (enabled.and(more), where_enabled(enabled, [r, term, sum, term_slope, sum_slope], state))
    };
    let (_, [_, _, sum, _, sum_slope]) =
        while_loop(|(enabled, _): (Tensor, [Tensor; 5])| any(enabled), step, (enabled, state));
    let scale_slope = || x.log() - (a + 1.0).digamma();
    match wanted {
        Wanted::Value => sum * scale / a,
        Wanted::Slope => scale * (sum * scale_slope() + sum_slope) / a,
        Wanted::SampleSlope => -(sum_slope + sum * scale_slope()) * x / a,
    }
}

/// Q(a, x) = xᵃ e⁻ˣ / Γ(a) · 1/(x + 1 − a − 1·(1 − a)/(x + 3 − a − …)).
#[track_caller]
fn continued_fraction(scale: Tensor, a: Tensor, x: Tensor, enabled: Tensor, wanted: Wanted) -> Tensor {
    let epsilon = limits(a.dtype()).0;
    let y = 1.0 - a;
    let z = x + y + 1.0;
    let (zero, one) = (zeros_like(a), ones_like(a));
    let fraction = Fraction { p: [x + 1.0, one], q: [z * x, x], dp: [zero, zero], dq: [-x, zero] };
    let ans = fraction.p[0] / fraction.q[0];
    let slope = (fraction.dp[0] - ans * fraction.dq[0]) / fraction.q[0];
    let state = (enabled, Tensor::from(0i32), [ans, slope, y, z], fraction.into_state());
    let more = |(enabled, n, _, _): State| n.lt(2000).and(any(enabled));
    let step = move |(enabled, n, around, state): State| {
        let [ans, slope, y, z] = around;
        let n = n + 1;
        let c = n.convert(ans.dtype());
        let (y, z) = (y + 1.0, z + 2.0);
        let next = Fraction::of(state).next(c, y, z);
        let [p, q, dp, dq] = [next.p[0], next.q[0], next.dp[0], next.dq[0]];
        let nonzero = q.not_equal(0.0);
        let r = p / q;
        let change = nonzero.select(((ans - r) / r).abs(), 1.0);
        let new_ans = nonzero.select(r, ans);
        let new_slope = nonzero.select((dp - new_ans * dq) / q, slope);
        let more = match wanted {
            Wanted::Value => change.gt(epsilon),
            Wanted::Slope | Wanted::SampleSlope => nonzero.select((new_slope - slope).abs(), 1.0).gt(epsilon),
        };
        let next = next.rescaled(epsilon).into_state();
        let around = where_enabled(enabled, [new_ans, new_slope, y, z], around);
        (enabled.and(more), n, around, where_enabled(enabled, next, state))
    };
    let (_, _, [ans, slope, _, _], _) = while_loop(more, step, state);
    let scale_slope = || x.log() - a.digamma();
    match wanted {
        Wanted::Value => ans * scale,
        Wanted::Slope => scale * (ans * scale_slope() + slope),
        Wanted::SampleSlope => -(slope + ans * scale_slope()) * x,
    }
}

/// Whether more is wanted; how many steps were made; the value, its slope and the fraction's
/// coefficients; and [`Fraction::into_state`].
type State = (Tensor, Tensor, [Tensor; 4], [Tensor; 8]);

/// Numerators p, denominators q and their derivatives by a, of the last step and the one before it.
#[derive(Clone, Copy)]
struct Fraction {
    p: [Tensor; 2],
    q: [Tensor; 2],
    dp: [Tensor; 2],
    dq: [Tensor; 2],
}

impl Fraction {
    fn of([p, p_before, q, q_before, dp, dp_before, dq, dq_before]: [Tensor; 8]) -> Fraction {
        Fraction { p: [p, p_before], q: [q, q_before], dp: [dp, dp_before], dq: [dq, dq_before] }
    }

    fn into_state(self) -> [Tensor; 8] {
        let Fraction { p, q, dp, dq } = self;
        [p[0], p[1], q[0], q[1], dp[0], dp[1], dq[0], dq[1]]
    }

    /// The c-th step, whose coefficients are z and −yc.
    #[track_caller]
    fn next(self, c: Tensor, y: Tensor, z: Tensor) -> Fraction {
        let yc = y * c;
        let step = |[last, before]: [Tensor; 2]| last * z - before * yc;
        let slope = |d: [Tensor; 2], of: [Tensor; 2]| d[0] * z - of[0] - d[1] * yc + of[1] * c;
        Fraction {
            p: [step(self.p), self.p[0]],
            q: [step(self.q), self.q[0]],
            dp: [slope(self.dp, self.p), self.dp[0]],
            dq: [slope(self.dq, self.q), self.dq[0]],
        }
    }

    /// All of it smaller where it is large.
    #[track_caller]
    fn rescaled(self, epsilon: f64) -> Fraction {
        let large = self.p[0].abs().gt(1.0 / epsilon);
        Fraction::of(self.into_state().map(|x| large.select(x * epsilon, x)))
    }
}
