//! Distributions on the real line that are a function of one uniform number.

use super::bits::fraction;
use super::key::Key;
use super::{float, parameter, spread};
use crate::tensor::{Operand, Tensor, operand};
use egrad_ir::{Dtype, Shape, Span, bf16, f16};
use std::f64::consts::{PI, SQRT_2};

/// Numbers in [0, 1): multiples of 2⁻²³ of `f32`, 2⁻⁵² of `f64`, 2⁻¹⁰ of `f16` and 2⁻⁷ of `bf16`.
///
/// ```
/// # use egrad::{Dtype, jit, random, random::Key};
/// let f = jit(|key: Key| random::uniform(key, [1000], Dtype::F64));
/// let x = f(&random::key(3)).unwrap();
/// assert!(x.as_slice::<f64>().unwrap().iter().all(|x| (0.0..1.0).contains(x)));
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`](crate::Error::Shape) if the key is a batch of keys,
/// or the shape has more elements than `u32` counts; [`Error::Dtype`](crate::Error::Dtype) if `dtype`
/// is no float.
#[track_caller]
pub fn uniform(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    drawn_fraction("uniform", key, shape, dtype, Span::here())
}

/// Numbers in [0, 1), for a distribution of that name.
#[track_caller]
pub(super) fn drawn_fraction(
    name: &'static str,
    key: Key,
    shape: impl Into<Shape>,
    dtype: Dtype,
    span: Span,
) -> Tensor {
    float(name, dtype, span);
    fraction(name, key.used(name, span), &shape.into(), dtype, span)
}

/// Fractions brought to [low, high), as JAX does it.
#[track_caller]
fn between(fraction: Tensor, low: Tensor, high: Tensor) -> Tensor {
    (fraction * (high - low) + low).maximum(low)
}

/// The same with bounds that are numbers.
#[track_caller]
fn between_numbers(fraction: Tensor, low: f64, high: f64) -> Tensor {
    let [low, high] = [low, high].map(|x| operand("uniform", x, fraction.dtype()));
    between(fraction, low, high)
}

/// Numbers in [low, high), where `low` and `high` are numbers or tensors that broadcast to the shape.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, grad, jit, random, random::Key};
/// let mean = |high: Tensor, key: Key| random::uniform_between(key, [100], Dtype::F64, -1.0, high).mean();
/// // d/dh (−1 + u (h + 1)) = u
/// let slope = jit(grad(mean))(&Array::from(1.0f64), &random::key(0)).unwrap().item::<f64>().unwrap();
/// assert!((slope - 0.5).abs() < 0.1);
/// ```
///
/// # Errors and panics
/// As [`uniform`]; [`Error::Dtype`](crate::Error::Dtype) and [`Error::Shape`](crate::Error::Shape) if
/// `low` or `high` doesn't fit.
#[track_caller]
pub fn uniform_between(
    key: Key,
    shape: impl Into<Shape>,
    dtype: Dtype,
    low: impl Operand,
    high: impl Operand,
) -> Tensor {
    let (name, span, shape) = ("uniform_between", Span::here(), shape.into());
    float(name, dtype, span);
    let low = spread(name, "low", parameter(name, "low", low, dtype, span), &shape, span);
    let high = spread(name, "high", parameter(name, "high", high, dtype, span), &shape, span);
    between(drawn_fraction(name, key, shape, dtype, span), low, high)
}

/// Standard normal numbers; `mean + deviation * normal(…)` has others.
///
/// ```
/// # use egrad::{Dtype, jit, random, random::Key};
/// let f = jit(|key: Key| random::normal(key, [10000], Dtype::F32).var());
/// assert!((f(&random::key(0)).unwrap().item::<f32>().unwrap() - 1.0).abs() < 0.05);
/// ```
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn normal(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    normal_of(drawn_fraction("normal", key, shape, dtype, Span::here()))
}

/// The normal numbers of fractions.
#[track_caller]
pub(super) fn normal_of(fraction: Tensor) -> Tensor {
    let above = Grid::of(fraction.dtype()).epsilon / 2.0 - 1.0;
    between_numbers(fraction, above, 1.0).erf_inv() * SQRT_2
}

/// Standard normal numbers of which only those in (low, high) count.
///
/// ```
/// # use egrad::{Dtype, jit, random, random::Key};
/// let f = jit(|key: Key| random::truncated_normal(key, [1000], Dtype::F32, -2.0, 2.0));
/// assert!(f(&random::key(0)).unwrap().as_slice::<f32>().unwrap().iter().all(|x| x.abs() < 2.0));
/// ```
///
/// # Errors and panics
/// As [`uniform_between`].
#[track_caller]
pub fn truncated_normal(
    key: Key,
    shape: impl Into<Shape>,
    dtype: Dtype,
    low: impl Operand,
    high: impl Operand,
) -> Tensor {
    let (name, span, shape) = ("truncated_normal", Span::here(), shape.into());
    float(name, dtype, span);
    let low = spread(name, "low", parameter(name, "low", low, dtype, span), &shape, span);
    let high = spread(name, "high", parameter(name, "high", high, dtype, span), &shape, span);
    let [a, b] = [low, high].map(|x| (x / SQRT_2).erf());
    let x = between(drawn_fraction(name, key, shape, dtype, span), a, b).erf_inv() * SQRT_2;
    // Rounding must not bring it to a bound.
    x.clamp(next_up(low.stop_gradient()), -next_up(-high.stop_gradient()))
}

/// Which numbers a float type has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// The distance from 1 up.
    pub(super) epsilon: f64,
    /// The smallest positive numbers, normal and not.
    pub(super) normal: f64,
    subnormal: f64,
    /// The least finite one.
    least: f64,
}

impl Grid {
    pub(super) fn of(dtype: Dtype) -> Grid {
        macro_rules! grid {
            ($T:ty, $subnormal:expr, $f64:expr) => {{
                let [epsilon, normal, subnormal, least] =
                    [<$T>::EPSILON, <$T>::MIN_POSITIVE, $subnormal, <$T>::MIN].map($f64);
                Grid { epsilon, normal, subnormal, least }
            }};
        }
        match dtype {
            Dtype::F16 => grid!(f16, f16::MIN_POSITIVE_SUBNORMAL, f16::to_f64),
            Dtype::Bf16 => grid!(bf16, bf16::MIN_POSITIVE_SUBNORMAL, bf16::to_f64),
            Dtype::F32 => grid!(f32, f32::from_bits(1), f64::from),
            _ => grid!(f64, f64::from_bits(1), f64::from),
        }
    }
}

/// The next float above; of −∞ the least finite one.
///
/// Rump, Zimmermann, Boldo and Melquiond, "Computing predecessor and successor in rounding to
/// nearest", 2009.
#[track_caller]
fn next_up(x: Tensor) -> Tensor {
    let Grid { epsilon, subnormal, least, .. } = Grid::of(x.dtype());
    let step = x.abs() * (0.5 * epsilon * (1.0 + epsilon)) + subnormal;
    x.equal(f64::NEG_INFINITY).select(least, x + step)
}

/// Exponential numbers of mean 1.
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn exponential(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    exponential_of(drawn_fraction("exponential", key, shape, dtype, Span::here()))
}

/// The exponential numbers of fractions.
#[track_caller]
pub(super) fn exponential_of(fraction: Tensor) -> Tensor {
    -(-fraction).log1p()
}

/// Gumbel numbers, −ln(−ln u): whose argmax over logits is a categorical number.
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn gumbel(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    gumbel_of(drawn_fraction("gumbel", key, shape, dtype, Span::here()))
}

/// The Gumbel numbers of fractions.
#[track_caller]
pub(super) fn gumbel_of(fraction: Tensor) -> Tensor {
    -(-positive(fraction).log()).log()
}

/// Fractions that aren't 0.
#[track_caller]
fn positive(fraction: Tensor) -> Tensor {
    between_numbers(fraction, Grid::of(fraction.dtype()).normal, 1.0)
}

/// Laplace numbers, of density e^(−|x|)/2.
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn laplace(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    let fraction = drawn_fraction("laplace", key, shape, dtype, Span::here());
    let above = Grid::of(dtype).epsilon / 2.0 - 1.0;
    let u = between_numbers(fraction, above, 1.0);
    u.sign() * (-u.abs()).log1p()
}

/// Logistic numbers, of density e⁻ˣ/(1 + e⁻ˣ)².
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn logistic(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    let u = positive(drawn_fraction("logistic", key, shape, dtype, Span::here()));
    u.log() - (-u).log1p()
}

/// Cauchy numbers, of density 1/π(1 + x²).
///
/// # Errors and panics
/// As [`uniform`].
#[track_caller]
pub fn cauchy(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    let fraction = drawn_fraction("cauchy", key, shape, dtype, Span::here());
    ((between_numbers(fraction, Grid::of(dtype).epsilon, 1.0) - 0.5) * PI).tan()
}
