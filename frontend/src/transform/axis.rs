//! What the elements of a batch have together: operations over the axis of a
//! [`vmap_named`](crate::vmap_named).
//!
//! Two are recorded as such, [`all_gather`] and [`axis_index`]; the others are made of them.

use super::leaves;
use crate::raise;
use crate::tensor::Tensor;
use crate::trace;
use crate::tree::{Flat, Traced, build};
use egrad_ir::{Array, Control, Error, Op, Span};

/// What all elements of the batch of that name have, stacked along axis 0, leaf by leaf. All of them get
/// the same.
///
/// ```
/// use egrad::{Array, Tensor, all_gather, jit, vmap_named};
/// let f = jit(vmap_named(|x: Tensor| all_gather(x, "i") - x, 0, "i"));
/// let x = Array::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [0.0, 2.0, -2.0, 0.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Axis`] if no [`vmap_named`](crate::vmap_named) of that name is
/// around.
#[track_caller]
pub fn all_gather<T: Traced>(x: T, axis: &str) -> T {
    each("all_gather", x, axis, Span::here(), |all| all)
}

/// The sum over the elements of the batch of that name, leaf by leaf; of bools, how many are true.
///
/// The derivative of one element's result by that element's own argument counts what it does to all
/// results, so that gradients taken within a batch sum over it as JAX's do.
///
/// ```
/// use egrad::{Array, Tensor, grad, jit, psum, vmap_named};
/// // Every element's loss is the sum of all.
/// let f = jit(vmap_named(grad(|x: Tensor| psum(x.powi(2), "i")), 0, "i"));
/// let x = Array::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [4.0, 12.0]);
/// ```
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn psum<T: Traced>(x: T, axis: &str) -> T {
    each("psum", x, axis, Span::here(), |all| all.sum_axes(0))
}

/// The mean over the elements of the batch of that name, leaf by leaf; of integers and bools as `f32`.
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn pmean<T: Traced>(x: T, axis: &str) -> T {
    each("pmean", x, axis, Span::here(), |all| all.mean_axes(0))
}

/// The largest over the elements of the batch of that name, leaf by leaf. It has a derivative, which
/// those that are equal share.
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn pmax<T: Traced>(x: T, axis: &str) -> T {
    each("pmax", x, axis, Span::here(), |all| all.max_axes(0))
}

/// The smallest over the elements of the batch of that name, leaf by leaf. It has a derivative, which
/// those that are equal share.
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn pmin<T: Traced>(x: T, axis: &str) -> T {
    each("pmin", x, axis, Span::here(), |all| all.min_axes(0))
}

/// Which element of the batch of that name this one is, counted from 0: an `i32`.
///
/// ```
/// use egrad::{Array, Tensor, axis_index, jit, vmap_named};
/// let f = jit(vmap_named(|x: Tensor| x * axis_index("i").convert(egrad::Dtype::F32), 0, "i"));
/// let x = Array::from_vec(vec![5.0f32, 5.0, 5.0], [3]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [0.0, 5.0, 10.0]);
/// ```
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn axis_index(axis: &str) -> Tensor {
    index("axis_index", axis, Span::here())
}

/// How many elements the batch of that name has.
///
/// # Errors and panics
/// As [`all_gather`].
#[track_caller]
pub fn axis_size(axis: &str) -> usize {
    raise::get(trace::batch("axis_size", axis, Span::here())).1
}

/// What another element of the batch of that name has, leaf by leaf: for each pair, the second element
/// gets what the first one has. Elements that get nothing get zeros.
///
/// ```
/// use egrad::{Array, Tensor, jit, ppermute, vmap_named};
/// let f = jit(vmap_named(|x: Tensor| ppermute(x, "i", &[(0, 1), (1, 2)]), 0, "i"));
/// let x = Array::from_vec(vec![5.0f32, 6.0, 7.0], [3]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [0.0, 5.0, 6.0]);
/// ```
///
/// # Errors and panics
/// As [`all_gather`]; [`Error::Axis`] if there is no element of that number, or one gives or gets twice.
#[track_caller]
pub fn ppermute<T: Traced>(x: T, axis: &str, pairs: &[(usize, usize)]) -> T {
    let span = Span::here();
    let (_, size) = raise::get(trace::batch("ppermute", axis, span));
    let (mut from, mut given) = (vec![-1i32; size], vec![false; size]);
    for (source, to) in pairs {
        let refused = |m: String| raise::throw(Error::axis(format!("`ppermute` over `{axis}`: {m}")).at(span));
        if *source >= size || *to >= size {
            refused(format!("there is no pair ({source}, {to}) among {size} elements"));
        }
        if std::mem::replace(&mut given[*source], true) {
            refused(format!("element {source} gives twice"));
        }
        if from[*to] >= 0 {
            refused(format!("element {to} gets twice"));
        }
        from[*to] = *source as i32;
    }
    let from = trace::constant(&raise::get(Array::from_vec(from, [size])), span);
    let take = |x: Tensor, at: Tensor| trace::add(Op::Take { axis: 0, batch: 0 }, &[x, at], span);
    let source = take(from, index("ppermute", axis, span));
    each("ppermute", x, axis, span, |all| take(all, source))
}

/// Something of what all elements have, leaf by leaf.
#[track_caller]
fn each<T: Traced>(what: &str, x: T, axis: &str, span: Span, f: impl Fn(Tensor) -> Tensor) -> T {
    let (up, size) = raise::get(trace::batch(what, axis, span));
    let gather = |x: Tensor| f(trace::control(Control::AllGather { up, size }, &[x], span)[0]);
    let all: Vec<Tensor> = leaves(&x, span).0.into_iter().map(gather).collect();
    build(all, &Flat::of(&x).structure)
}

#[track_caller]
fn index(what: &str, axis: &str, span: Span) -> Tensor {
    let (up, size) = raise::get(trace::batch(what, axis, span));
    trace::control(Control::AxisIndex { up, size }, &[], span)[0]
}
