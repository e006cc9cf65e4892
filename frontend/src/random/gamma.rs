//! Gamma numbers and what is made of them.

use super::bits::{fraction, words};
use super::continuous::{Grid, exponential_of, normal_of};
use super::discrete::{pair, several};
use super::key::Key;
use super::{float, parameter, spread};
use crate::incomplete::gamma_sample_derivative;
use crate::raise;
use crate::tensor::{Operand, Tensor, zeros};
use crate::transform::{custom_jvp, vmap, while_loop};
use egrad_ir::{Dtype, Error, Shape, Span};

/// Gamma numbers of shape parameter `a`, a number or a tensor that broadcasts to the shape, and of
/// scale 1.
///
/// By Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. The derivative by `a`
/// is that of the number at which the distribution function keeps its value (Figurnov, Mohamed and
/// Mnih, "Implicit reparameterization gradients", 2018); there is one of first order in reverse mode,
/// as it is computed by loops.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, grad, jit, random, random::Key};
/// let mean = |a: Tensor, key: Key| random::gamma(key, a, [4000], Dtype::F64).mean();
/// // The mean is a.
/// let slope = jit(grad(mean))(&Array::from(2.0f64), &random::key(0)).unwrap().item::<f64>().unwrap();
/// assert!((slope - 1.0).abs() < 0.05);
/// ```
///
/// # Errors and panics
/// As [`uniform_between`](super::uniform_between).
#[track_caller]
pub fn gamma(key: Key, a: impl Operand, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    drawn_gamma("gamma", key, a, shape.into(), dtype, false, Span::here())
}

/// The logarithm of [`gamma`], which keeps its digits where `a` is so small that the number itself is 0.
///
/// # Errors and panics
/// As [`gamma`].
#[track_caller]
pub fn loggamma(key: Key, a: impl Operand, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    drawn_gamma("loggamma", key, a, shape.into(), dtype, true, Span::here())
}

#[track_caller]
fn drawn_gamma(
    name: &'static str,
    key: Key,
    a: impl Operand,
    shape: Shape,
    dtype: Dtype,
    log: bool,
    span: Span,
) -> Tensor {
    float(name, dtype, span);
    let a = spread(name, "a", parameter(name, "a", a, dtype, span), &shape, span);
    sampled(name, key.used(name, span), a, log, span)
}

/// The numbers, with their derivative.
#[track_caller]
fn sampled(name: &'static str, key: [Tensor; 2], a: Tensor, log: bool, span: Span) -> Tensor {
    let draw = move |high: Tensor, low: Tensor, a: Tensor| each(name, [high, low], a, log, span);
    let rule = move |(high, low, a): (Tensor, Tensor, Tensor), (_, _, da): (Tensor, Tensor, Tensor)| {
        let x = each(name, [high, low], a, log, span);
        (x, da * slope(a, x, log))
    };
    custom_jvp(draw, rule)(key[0], key[1], a)
}

/// dx/da, or that of the logarithm, if x is one.
#[track_caller]
fn slope(a: Tensor, x: Tensor, log: bool) -> Tensor {
    let dtype = a.dtype();
    let (a, x) = (a.wide(), x.wide());
    if !log {
        return gamma_sample_derivative(a, x).convert(dtype);
    }
    let x = x.exp();
    let x = x.equal(0.0).select(Grid::of(x.dtype()).normal, x);
    (gamma_sample_derivative(a, x) / x).convert(dtype)
}

/// A number for each element of `a`, with a key of its own.
#[track_caller]
fn each(name: &'static str, key: [Tensor; 2], a: Tensor, log: bool, span: Span) -> Tensor {
    let shape = a.shape();
    let [high, low] = words(name, key, &Shape::from([shape.size()]), span);
    let one = move |high: Tensor, low: Tensor, a: Tensor| one(name, [high, low], a, log, span);
    vmap(one, (0, 0, 0))(high, low, a.flatten()).reshape(shape)
}

/// One number.
#[track_caller]
fn one(name: &'static str, key: [Tensor; 2], a: Tensor, log: bool, span: Span) -> Tensor {
    let (dtype, scalar) = (a.dtype(), Shape::scalar());
    // Below 1 from that of a + 1, times u^(1/a).
    let large = a.ge(1.0);
    let d = large.select(a, a + 1.0) - 1.0 / 3.0;
    let c = 1.0 / 3.0 / d.sqrt();

    let [key, boost] = pair(name, key, span);
    let rejected = move |(_, _, x, v, u): State| {
        let far = u.ge(1.0 - 0.0331 * (x * x));
        far.and(u.log().ge(x * 0.5 + d * ((1.0 - v) + v.log())))
    };
    let step = move |(high, low, _, _, _): State| {
        let [key, normal, uniform] = several(name, [high, low], span);
        let (x, v) = positive(name, normal, c, span);
        let u = fraction(name, uniform, &Shape::scalar(), dtype, span);
        (key[0], key[1], x * x, v * v * v, u)
    };
    let none = zeros([], dtype);
    // Nothing is accepted at x² = 0, v = 1 and u = 2.
    let v = while_loop(rejected, step, (key[0], key[1], none, none + 1.0, none + 2.0)).3;

    let u = fraction(name, boost, &scalar, dtype, span);
    if log {
        let less = -exponential_of(u);
        let whole = large.or(less.equal(0.0));
        d.log() + v.log() + whole.select(0.0, less * (1.0 / a))
    } else {
        d * v * large.select(1.0, (1.0 - u).pow(1.0 / a))
    }
}

/// A key's words, x², v and u.
type State = (Tensor, Tensor, Tensor, Tensor, Tensor);

/// A normal number x for which v = 1 + cx is positive, and v.
#[track_caller]
fn positive(name: &'static str, key: [Tensor; 2], c: Tensor, span: Span) -> (Tensor, Tensor) {
    let dtype = c.dtype();
    let none = zeros([], dtype);
    let step = move |(high, low, _, _): (Tensor, Tensor, Tensor, Tensor)| {
        let [key, normal] = pair(name, [high, low], span);
        let x = normal_of(fraction(name, normal, &Shape::scalar(), dtype, span));
        (key[0], key[1], x, 1.0 + x * c)
    };
    let more = |(_, _, _, v): (Tensor, Tensor, Tensor, Tensor)| v.le(0.0);
    let (_, _, x, v) = while_loop(more, step, (key[0], key[1], none, none - 1.0));
    (x, v)
}

/// Beta numbers of parameters `a` and `b`, which are numbers or tensors that broadcast to the shape.
/// Their derivatives are those of [`gamma`].
///
/// # Errors and panics
/// As [`gamma`].
#[track_caller]
pub fn beta(key: Key, a: impl Operand, b: impl Operand, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    let (name, span, shape) = ("beta", Span::here(), shape.into());
    float(name, dtype, span);
    let a = spread(name, "a", parameter(name, "a", a, dtype, span), &shape, span);
    let b = spread(name, "b", parameter(name, "b", b, dtype, span), &shape, span);
    let [of_a, of_b] = pair(name, key.used(name, span), span);
    let (x, y) = (sampled(name, of_a, a, true, span), sampled(name, of_b, b, true, span));
    let most = x.maximum(y);
    let (x, y) = ((x - most).exp(), (y - most).exp());
    x / (x + y)
}

/// Points of the simplex along the last axis, of concentrations `alpha`; the shape is that of the draws,
/// to which alpha's other axes broadcast. Their derivatives are those of [`gamma`].
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, jit, random, random::Key};
/// let f = jit(|key: Key, alpha: Tensor| random::dirichlet(key, alpha, [10]).sum_axes(-1));
/// let sums = f(&random::key(0), &Array::from_vec(vec![0.5f64, 1.0, 2.0], [3]).unwrap()).unwrap();
/// assert!(sums.as_slice::<f64>().unwrap().iter().all(|x| (x - 1.0).abs() < 1e-12));
/// ```
///
/// # Errors and panics
/// As [`gamma`]; [`Error::Axis`] if alpha is a scalar. The element type is alpha's.
#[track_caller]
pub fn dirichlet(key: Key, alpha: Tensor, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("dirichlet", Span::here(), shape.into());
    let aval = alpha.aval();
    float(name, aval.dtype, span);
    let Some(classes) = aval.shape.last().copied() else {
        raise::throw(Error::axis(format!("`{name}` takes concentrations along an axis, not {aval}")).at(span));
    };
    let alpha = spread(name, "alpha", alpha, &shape.insert(shape.rank(), classes), span);
    sampled(name, key.used(name, span), alpha, true, span).softmax(-1)
}
