//! Distributions of whole numbers, and random orders and choices.

use super::bits::{fraction, from_signed, signed, word, word_each, words};
use super::continuous::{drawn_fraction, gumbel_of};
use super::key::Key;
use super::{float, parameter, spread};
use crate::raise;
use crate::tensor::{Operand, Outside, Tensor, arange, normalize_axis};
use egrad_ir::{Dtype, Error, Shape, Span};

/// True with probability `p`: a number, or a tensor that broadcasts to the shape. It is found out by a
/// number in [0, 1) of p's element type, `f32` where p is a number.
///
/// ```
/// # use egrad::{Dtype, jit, random, random::Key};
/// let f = jit(|key: Key| random::bernoulli(key, 0.25, [10000]).convert(Dtype::F32).mean());
/// assert!((f(&random::key(0)).unwrap().item::<f32>().unwrap() - 0.25).abs() < 0.02);
/// ```
///
/// # Errors and panics
/// As [`uniform`](super::uniform); [`Error::Dtype`] if p isn't a float.
#[track_caller]
pub fn bernoulli(key: Key, p: impl Operand, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("bernoulli", Span::here(), shape.into());
    let dtype = p.own_dtype();
    if !dtype.is_float() {
        raise::throw(Error::dtype(format!("`{name}`: the probability must be a float, not {dtype}")).at(span));
    }
    let p = spread(name, "the probability", parameter(name, "the probability", p, dtype, span), &shape, span);
    drawn_fraction(name, key, shape, dtype, span).lt(p)
}

/// −1 or 1, with equal probability.
///
/// # Errors and panics
/// As [`uniform`](super::uniform).
#[track_caller]
pub fn rademacher(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    let span = Span::here();
    float("rademacher", dtype, span);
    drawn_fraction("rademacher", key, shape.into(), Dtype::F32, span).lt(0.5).convert(dtype) * 2 - 1
}

/// Whole numbers from `low` up to but not including `high`, as `i32`; `low` where that is none. Both
/// are numbers or `i32` tensors that broadcast to the shape.
///
/// Every number is the remainder of 64 bits, so none is favoured by more than one part in 2³².
///
/// ```
/// # use egrad::{jit, random, random::Key};
/// let dice = jit(|key: Key| random::randint(key, [100], 1, 7));
/// assert!(dice(&random::key(0)).unwrap().as_slice::<i32>().unwrap().iter().all(|x| (1..7).contains(x)));
/// ```
///
/// # Errors and panics
/// As [`bits`](super::bits()); [`Error::Dtype`] and [`Error::Shape`] if `low` or `high` doesn't fit.
#[track_caller]
pub fn randint(key: Key, shape: impl Into<Shape>, low: impl Operand, high: impl Operand) -> Tensor {
    let (name, span, shape) = ("randint", Span::here(), shape.into());
    let low = parameter(name, "low", low, Dtype::I32, span);
    let high = parameter(name, "high", high, Dtype::I32, span);
    let [low, high] = [("low", low), ("high", high)].map(|(what, x)| spread(name, what, x, &shape, span));
    within(name, key.used(name, span), &shape, low, high, span)
}

#[track_caller]
fn within(name: &str, key: [Tensor; 2], shape: &Shape, low: Tensor, high: Tensor, span: Span) -> Tensor {
    let [upper, lower] = pair(name, key, span).map(|key| word_each(name, key, shape, span));
    let some = high.gt(low);
    let length = some.select(from_signed(high - low), word(1));
    // 2³² leaves what 2¹⁶ leaves, squared.
    let root = word(1 << 16) % length;
    let factor = root * root % length;
    let sum = upper % length * factor + lower % length;
    low + signed(sum % length)
}

/// The words of two keys of one.
#[track_caller]
pub(super) fn pair(name: &str, key: [Tensor; 2], span: Span) -> [[Tensor; 2]; 2] {
    several(name, key, span)
}

/// The words of N keys of one.
#[track_caller]
pub(super) fn several<const N: usize>(name: &str, key: [Tensor; 2], span: Span) -> [[Tensor; 2]; N] {
    let both = words(name, key, &Shape::from([N]), span);
    std::array::from_fn(|i| both.map(|x| x.slice_axis(0, i, i + 1).reshape([])))
}

/// The numbers 0, 1, …, n − 1 in random order, as `i32`.
///
/// ```
/// # use egrad::{jit, random, random::Key};
/// let f = jit(|key: Key| random::permutation(key, 5).sort(0));
/// assert_eq!(f(&random::key(0)).unwrap().as_slice::<i32>().unwrap(), [0, 1, 2, 3, 4]);
/// ```
///
/// # Errors and panics
/// As [`bits`](super::bits()).
#[track_caller]
pub fn permutation(key: Key, n: usize) -> Tensor {
    let span = Span::here();
    permuted("permutation", key.used("permutation", span), arange(n, Dtype::I32), 0, span)
}

/// The elements along an axis in random order, the others' with them: a batch of examples, for example.
///
/// # Errors and panics
/// As [`bits`](super::bits()); [`Error::Axis`] if there is no such axis.
#[track_caller]
pub fn shuffle(key: Key, x: Tensor, axis: isize) -> Tensor {
    let (name, span) = ("shuffle", Span::here());
    let shape = x.shape();
    let at = raise::get(normalize_axis(name, axis, shape.rank()).map_err(|e| e.at(span)));
    let order = permuted(name, key.used(name, span), arange(shape[at], Dtype::I32), 0, span);
    x.take(order, axis, Outside::Clip)
}

/// The elements along an axis in random order, another one for each position along the other axes.
///
/// # Errors and panics
/// As [`shuffle`].
#[track_caller]
pub fn shuffle_independent(key: Key, x: Tensor, axis: isize) -> Tensor {
    let (name, span) = ("shuffle_independent", Span::here());
    let at = raise::get(normalize_axis(name, axis, x.rank()).map_err(|e| e.at(span)));
    permuted(name, key.used(name, span), x, at, span)
}

/// Sorted by random words along an axis, as often as it takes for equal words not to matter.
#[track_caller]
fn permuted(name: &str, mut key: [Tensor; 2], mut x: Tensor, axis: usize, span: Span) -> Tensor {
    let shape = x.shape();
    let times = 3.0 * (shape.size().max(1) as f64).ln() / f64::from(u32::MAX).ln();
    for _ in 0..times.ceil() as usize {
        let [next, by] = pair(name, key, span);
        let order = word_each(name, by, &shape, span).argsort(axis as isize);
        x = x.take_along_axis(order, axis as isize);
        key = next;
    }
    x
}

/// Elements along axis 0 drawn with replacement: the shape drawn, then x's other axes.
///
/// ```
/// # use egrad::{Array, Tensor, jit, random, random::Key};
/// let batch = jit(|key: Key, x: Tensor| random::choice(key, x, [8]));
/// let x = Array::from_vec(vec![0.0f32; 100 * 3], [100, 3]).unwrap();
/// assert_eq!(batch(&random::key(0), &x).unwrap().shape()[..], [8, 3]);
/// ```
///
/// # Errors and panics
/// As [`bits`](super::bits()); [`Error::Axis`] if x is a scalar; [`Error::Shape`] if there is nothing
/// to choose from.
#[track_caller]
pub fn choice(key: Key, x: Tensor, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("choice", Span::here(), shape.into());
    let n = choices(name, x, &shape, span);
    let key = key.used(name, span);
    let [low, high] = [0, n as i32].map(|x| parameter(name, "bound", x, Dtype::I32, span).broadcast_to(shape.clone()));
    x.take(within(name, key, &shape, low, high, span), 0, Outside::Clip)
}

/// Elements along axis 0, none of them twice: the shape drawn, then x's other axes.
///
/// # Errors and panics
/// As [`choice`]; [`Error::Shape`] if more are drawn than there are.
#[track_caller]
pub fn choice_without_replacement(key: Key, x: Tensor, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("choice_without_replacement", Span::here(), shape.into());
    let n = choices(name, x, &shape, span);
    if shape.size() > n {
        let m = format!("`{name}` of {shape}: there are {n} elements to choose from, of which none is drawn twice");
        raise::throw(Error::shape(m).at(span));
    }
    let order = permuted(name, key.used(name, span), arange(n, Dtype::I32), 0, span);
    x.take(order.slice_axis(0, 0, shape.size()).reshape(shape), 0, Outside::Clip)
}

/// Elements along axis 0 drawn with replacement, with these probabilities, which need not sum to 1.
///
/// # Errors and panics
/// As [`choice`]; [`Error::Dtype`] and [`Error::Shape`] if there isn't one float for each element.
#[track_caller]
pub fn choice_weighted(key: Key, x: Tensor, p: Tensor, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("choice_weighted", Span::here(), shape.into());
    let n = choices(name, x, &shape, span);
    let aval = p.aval();
    if !aval.dtype.is_float() {
        raise::throw(Error::dtype(format!("`{name}`: the probabilities must be floats, not {aval}")).at(span));
    }
    if aval.shape != Shape::from([n]) {
        let m = format!("`{name}` takes one probability for each of {n} elements, not {aval}");
        raise::throw(Error::shape(m).at(span));
    }
    let sums = p.cumsum(0, false);
    let u = 1.0 - fraction(name, key.used(name, span), &shape, aval.dtype, span);
    let at = u * sums.slice_axis(0, n - 1, n).reshape([]);
    let rank = shape.rank() as isize;
    let passed = sums.lt(at.expand_dims(rank)).convert(Dtype::I32).sum_axes(rank);
    x.take(passed, 0, Outside::Clip)
}

/// How many elements there are to choose from.
#[track_caller]
fn choices(name: &str, x: Tensor, shape: &Shape, span: Span) -> usize {
    let aval = x.aval();
    let Some(n) = aval.shape.first().copied() else {
        let m = format!("`{name}` goes along axis 0, which {aval} doesn't have: `arange` makes it of a number");
        raise::throw(Error::axis(m).at(span));
    };
    if n == 0 && shape.size() > 0 {
        raise::throw(Error::shape(format!("`{name}`: {aval} has nothing to choose from")).at(span));
    }
    n
}

/// Positions along an axis of `logits`, as `i32`, with the probabilities softmax(logits).
///
/// ```
/// # use egrad::{Array, Tensor, jit, random, random::Key};
/// let f = jit(|key: Key, logits: Tensor| random::categorical(key, logits, -1));
/// let logits = Array::from_vec(vec![0.0f32, 1e3, 1e3, 0.0], [2, 2]).unwrap();
/// assert_eq!(f(&random::key(0), &logits).unwrap().as_slice::<i32>().unwrap(), [1, 0]);
/// ```
///
/// # Errors and panics
/// As [`bits`](super::bits()); [`Error::Dtype`] if logits aren't floats, [`Error::Axis`] if there is no
/// such axis, [`Error::Shape`] if it is empty.
#[track_caller]
pub fn categorical(key: Key, logits: Tensor, axis: isize) -> Tensor {
    let span = Span::here();
    let (at, batch) = classes("categorical", logits, axis, span);
    drawn_classes("categorical", key, logits, at, batch.clone(), &batch, span)
}

/// As [`categorical`], with a result of this shape: several draws from each distribution, whose axes
/// come before those of `logits` without the one drawn from.
///
/// # Errors and panics
/// As [`categorical`]; [`Error::Shape`] if the shape doesn't end so.
#[track_caller]
pub fn categorical_with_shape(key: Key, logits: Tensor, axis: isize, shape: impl Into<Shape>) -> Tensor {
    let (name, span, shape) = ("categorical_with_shape", Span::here(), shape.into());
    let (at, batch) = classes(name, logits, axis, span);
    if !shape.ends_with(&batch) {
        let m = format!("`{name}`: the shape {shape} must end with the logits' other axes, {batch}");
        raise::throw(Error::shape(m).at(span));
    }
    drawn_classes(name, key, logits, at, shape, &batch, span)
}

#[track_caller]
fn classes(name: &str, logits: Tensor, axis: isize, span: Span) -> (usize, Shape) {
    let aval = logits.aval();
    if !aval.dtype.is_float() {
        raise::throw(Error::dtype(format!("`{name}`: the logits must be floats, not {aval}")).at(span));
    }
    let at = raise::get(normalize_axis(name, axis, aval.shape.rank()).map_err(|e| e.at(span)));
    (at, aval.shape.without(&[at]))
}

#[track_caller]
fn drawn_classes(
    name: &'static str,
    key: Key,
    logits: Tensor,
    axis: usize,
    shape: Shape,
    batch: &Shape,
    span: Span,
) -> Tensor {
    let more = shape.rank() - batch.rank();
    let own = logits.shape();
    if own[axis] == 0 {
        let m = format!("`{name}` along axis {axis} of {}, which is empty", logits.aval());
        raise::throw(Error::shape(m).at(span));
    }
    let wide = shape.insert(more + axis, own[axis]);
    let gumbel = gumbel_of(drawn_fraction(name, key, wide.clone(), logits.dtype(), span));
    (gumbel + logits).argmax((more + axis) as isize)
}
