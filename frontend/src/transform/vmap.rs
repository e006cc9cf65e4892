//! `vmap`.

use super::{argument, inner_with, leaves, output, result};
use crate::axes::Axes;
use crate::function::{Args, Function};
use crate::tensor::normalize_axis;
use crate::tree::{Flat, Traced, build, paths};
use crate::{raise, trace};
use egrad_ir::{Aval, Error, Result, Span, Transform};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// The function of every element along an axis: a function of the same arguments, with an axis
/// more in each that is mapped, and in the result.
///
/// `in_axes` says which axis of each argument counts the elements; where it says `None`, all
/// elements share the argument. It is a prefix of the arguments' tree, see [`Axes`]. The elements
/// are along axis 0 of each result; [`vmap_with`] has it otherwise.
///
/// ```
/// use egrad::{Array, Tensor, jit, vmap};
/// fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor { w * x + b }
///
/// # fn main() -> egrad::Result<()> {
/// let batched = jit(vmap(predict, (None, 0)));
/// let xs = Array::from_vec(vec![0.0f32, 1.0, 2.0], [3])?;
/// let ys = batched(&(Array::from(2.0f32), Array::from(1.0f32)), &xs)?;
/// assert_eq!(ys.as_slice::<f32>().unwrap(), [1.0, 3.0, 5.0]);
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`](crate::Tensor)), when the returned function is called:
/// [`Error::Axis`] if an axis is out of range, if nothing is mapped, or if the mapped axes differ in length, naming each argument;
/// [`Error::Tree`] if a `Vec` of axes has another length than its `Vec` of arguments.
#[track_caller]
pub fn vmap<F, A, X>(f: F, in_axes: X) -> Vmapped<A, F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
    X: Axes<A> + 'static,
{
    let span = Span::here();
    let in_axes: Rc<dyn Axes<A>> = Rc::new(in_axes);
    let axes = Rc::clone(&in_axes);
    let over = A::by_value(move |args: A| map(&f, &args, (&*axes, &0usize), None, span));
    Vmapped { over, in_axes, span }
}

/// What [`vmap`] returns: a function of the same arguments, called like one in traced code, which
/// transforms and [`jit`](crate::jit()) take, and which [`chunked`](Self::chunked) makes run for so many
/// elements at a time.
pub struct Vmapped<A: Args, O: 'static> {
    pub(super) over: A::Fn<O>,
    pub(super) in_axes: Rc<dyn Axes<A>>,
    pub(super) span: Span,
}

impl<A: Args, O: 'static> Vmapped<A, O> {
    /// The function by itself, of the type that other transforms return.
    ///
    /// ```
    /// use egrad::{Tensor, vmap};
    /// fn each(f: fn(Tensor) -> Tensor) -> impl Fn(Tensor) -> Tensor {
    ///     vmap(f, 0).boxed()
    /// }
    /// # let _ = each(Tensor::sin);
    /// ```
    pub fn boxed(self) -> A::Fn<O> {
        self.over
    }
}

impl<A: Args, O: 'static> Deref for Vmapped<A, O> {
    type Target = A::Fn<O>;
    fn deref(&self) -> &A::Fn<O> {
        &self.over
    }
}

impl<A: Args, O: 'static> Function<A> for Vmapped<A, O> {
    type Output = O;
    #[track_caller]
    fn call(&self, args: A) -> O {
        self.over.call(args)
    }
}

impl<A: Args, O: 'static> fmt::Debug for Vmapped<A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vmapped")
    }
}

/// As [`vmap`], with the elements along these axes of the results: a prefix of the result's tree.
///
/// ```
/// use egrad::{Array, Tensor, jit, vmap_with};
/// let columns = jit(vmap_with(|x: Tensor| (x, 2.0 * x), 0, (-1, 0)));
/// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]).unwrap();
/// let (t, twice) = columns(&x).unwrap();
/// assert_eq!((&t.shape()[..], &twice.shape()[..]), (&[3, 2][..], &[2, 3][..]));
/// ```
///
/// # Errors and panics
/// As [`vmap`]; [`Error::Axis`] if an `out_axes` is out of range or `None`.
#[track_caller]
pub fn vmap_with<F, A, X, Y>(f: F, in_axes: X, out_axes: Y) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
    X: Axes<A> + 'static,
    Y: Axes<F::Output> + 'static,
{
    let span = Span::here();
    A::by_value(move |args: A| map(&f, &args, (&in_axes, &out_axes), None, span))
}

/// As [`vmap`], with a name for the elements, by which the function can look at all of them:
/// [`psum`](crate::psum), [`pmean`](crate::pmean), [`pmax`](crate::pmax), [`pmin`](crate::pmin),
/// [`all_gather`](crate::all_gather), [`axis_index`](crate::axis_index) and
/// [`ppermute`](crate::ppermute).
///
/// ```
/// use egrad::{Array, Tensor, jit, psum, vmap_named};
/// // Each weight as a part of all.
/// let shares = jit(vmap_named(|w: Tensor| w / psum(w, "weights"), 0, "weights"));
/// let w = Array::from_vec(vec![1.0f32, 2.0, 5.0], [3]).unwrap();
/// assert_eq!(shares(&w).unwrap().as_slice::<f32>().unwrap(), [0.125, 0.25, 0.625]);
/// ```
///
/// The name is known in whatever the function calls while it is traced, in loops, branches, and other
/// transforms; of two batches with one name the inner one is meant. In a branch that elements choose each
/// for themselves, what all elements have counts, taken or not, as in JAX.
///
/// # Errors and panics
/// As [`vmap`].
#[track_caller]
pub fn vmap_named<F, A, X>(f: F, in_axes: X, name: &str) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
    X: Axes<A> + 'static,
{
    let (span, name) = (Span::here(), Rc::from(name));
    A::by_value(move |args: A| map(&f, &args, (&in_axes, &0usize), Some(Rc::clone(&name)), span))
}

#[track_caller]
pub(super) fn map<F, A>(
    f: &F,
    args: &A,
    (in_axes, out_axes): (&dyn Axes<A>, &dyn Axes<F::Output>),
    name: Option<Rc<str>>,
    span: Span,
) -> F::Output
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (mut operands, mut params) = leaves(args, span);
    let paths_of_args = || paths(args);
    let (mut in_axes, size) = raise::get(mapped(args, in_axes, &params, paths_of_args).map_err(|e| e.at(span)));
    for ((aval, _), axis) in params.iter_mut().zip(&in_axes) {
        if let Some(axis) = axis {
            *aval = Aval::new(aval.dtype, aval.shape.without(&[*axis]));
        }
    }
    let axis = Some(trace::Axis { name, size });
    let inner = inner_with::<F, A, _>(axis, f, params, &Flat::of(args).structure, span, |out| {
        let mut axes = Vec::new();
        raise::get(out_axes.axes(out, &mut axes).map_err(|e| e.at(span)));
        let (tensors, output) = output(out, span);
        (tensors, (output, axes, paths(out)))
    });
    let (output, axes, names) = inner.extra;
    let mut stacked = Vec::with_capacity(axes.len());
    for ((axis, name), aval) in axes.iter().zip(&names).zip(&inner.results) {
        let Some(axis) = axis else {
            let m = format!("`vmap` needs an axis in out_axes for {}, {aval}, not None", result(name));
            raise::throw(Error::axis(m).at(span))
        };
        let rank = aval.shape.rank() + 1;
        stacked.push(raise::get(normalize_axis("vmap", *axis, rank).map_err(|_| {
            let m = format!("`vmap`: out_axes {axis} is out of range for {}, {aval} per element", result(name));
            Error::axis(m).at(span)
        })));
    }
    operands.extend(&inner.captures);
    in_axes.resize(operands.len(), None);
    let transform = Transform::Vmap { in_axes, out_axes: stacked, size };
    build(trace::apply(transform, inner.function, &operands, span), &output.structure)
}

/// The axis of each leaf, and how many elements there are.
pub(super) fn mapped<A: Args>(
    args: &A,
    in_axes: &dyn Axes<A>,
    params: &[(Aval, Span)],
    paths: impl Fn() -> Vec<String>,
) -> Result<(Vec<Option<usize>>, usize)> {
    let mut given = Vec::new();
    in_axes.axes(args, &mut given).map_err(|e| Error::tree(format!("`vmap`: in in_axes, {}", e.report().message)))?;
    let mut axes = Vec::with_capacity(given.len());
    for (i, (axis, (aval, made))) in given.iter().zip(params).enumerate() {
        axes.push(match axis {
            None => None,
            Some(a) => match normalize_axis("vmap", *a, aval.shape.rank()) {
                Ok(axis) => Some(axis),
                Err(_) => {
                    let m = format!("`vmap`: in_axes {a} is out of range for {}, {aval}", argument(&paths()[i]));
                    return Err(Error::axis(m).note("it was made here", *made));
                }
            },
        });
    }
    let mut lengths = axes.iter().zip(params).filter_map(|(axis, (aval, _))| axis.map(|a| aval.shape[a]));
    let Some(size) = lengths.next() else {
        return Err(Error::axis("`vmap` needs at least one mapped argument: every in_axes is None"));
    };
    if lengths.all(|n| n == size) {
        return Ok((axes, size));
    }
    let paths = paths();
    let mut notes = Error::axis("");
    let mut each = Vec::new();
    for (i, (axis, (aval, made))) in axes.iter().zip(params).enumerate() {
        if let Some(axis) = axis {
            let what = format!("{}, {aval}, has {} along axis {axis}", argument(&paths[i]), aval.shape[*axis]);
            notes = notes.note(format!("{}, {aval}, was made here", argument(&paths[i])), *made);
            each.push(what);
        }
    }
    let message = format!("`vmap`: the mapped axes must have one length, and {}", each.join("; "));
    let places = notes.report().notes.clone();
    Err(places.into_iter().fold(Error::axis(message), |e, (what, span)| e.note(what, span)))
}
