//! Jacobians and Hessians: `jvp` or `vjp` mapped over a basis.

use super::grad::Argnums;
use super::push::pull;
use super::{argument, inner, leaves};
use crate::function::{Args, Function};
use crate::tensor::{Tensor, eye};
use crate::tree::{Flat, build, paths};
use crate::{raise, trace};
use egrad_ir::{Aval, Error, Span, Transform};

/// The derivative of the whole result by the whole first argument, column by column: for each of the
/// argument's leaves the shape of the result, then the shape of the leaf. Forward mode: quicker than
/// [`jacrev`] where the argument is the smaller of the two.
///
/// ```
/// use egrad::{Array, Tensor, jacfwd, jit};
/// let f = jit(jacfwd(|x: Tensor| x.powi(2)));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [2.0, 0.0, 0.0, 4.0]);
///
/// // By both parts of a pair.
/// let f = jit(jacfwd(|(a, b): (Tensor, Tensor)| a * b));
/// let (da, db) = f(&(x.clone(), Array::from(3.0f32))).unwrap();
/// assert_eq!(da.as_slice::<f32>().unwrap(), [3.0, 0.0, 0.0, 3.0]);
/// assert_eq!(db.as_slice::<f32>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Dtype`] if a leaf of the
/// argument or the result is no float.
#[track_caller]
pub fn jacfwd<F, A>(f: F) -> A::Fn<A::First>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| by_first(&args, forward("jacfwd", &f, &args, &first(&args), span)))
}

/// The derivative of the whole result by the whole first argument, row by row: for each of the
/// argument's leaves the shape of the result, then the shape of the leaf. Reverse mode: quicker than
/// [`jacfwd`] where the result is the smaller of the two.
///
/// ```
/// use egrad::{Array, Tensor, jacrev, jit};
/// let f = jit(jacrev(|x: Tensor| x * x.sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [4.0, 1.0, 2.0, 5.0]);
/// ```
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn jacrev<F, A>(f: F) -> A::Fn<A::First>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| by_first(&args, reverse("jacrev", &f, &args, &first(&args), span)))
}

/// As [`jacfwd`], by the arguments chosen: see [`grad_argnums`](crate::grad_argnums).
///
/// ```
/// use egrad::{Arg, Array, Tensor, jacfwd_argnums, jit};
/// let f = jit(jacfwd_argnums(|x: Tensor, y: Tensor| x * y, (Arg::<1>, Arg::<0>)));
/// let (dy, dx) = f(&Array::from(2.0f32), &Array::from(3.0f32)).unwrap();
/// assert_eq!((dy.item::<f32>().unwrap(), dx.item::<f32>().unwrap()), (2.0, 3.0));
/// ```
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn jacfwd_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<W::Gradients>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
{
    let span = Span::here();
    A::by_value(move |args: A| by_chosen::<A, W>(&args, |wrt| forward("jacfwd_argnums", &f, &args, wrt, span)))
}

/// As [`jacrev`], by the arguments chosen: see [`grad_argnums`](crate::grad_argnums).
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn jacrev_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<W::Gradients>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
{
    let span = Span::here();
    A::by_value(move |args: A| by_chosen::<A, W>(&args, |wrt| reverse("jacrev_argnums", &f, &args, wrt, span)))
}

/// The derivative of the whole result by the whole first argument, as [`jacfwd`] or [`jacrev`] has it:
/// the former if the argument has no more elements than the result.
///
/// ```
/// use egrad::{Array, Tensor, jacobian, jit};
/// let f = jit(jacobian(|x: Tensor| x.powi(2).sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [2.0, 4.0]);
/// ```
///
/// Functions with a derivative of their own in reverse mode alone
/// ([`custom_vjp`](crate::custom_vjp)) need [`jacrev`].
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn jacobian<F, A>(f: F) -> A::Fn<A::First>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let wrt = first(&args);
        let given: usize = wrt.iter().map(|i| leaves(&args, span).1[*i].0.shape.size()).sum();
        let rows = given <= result(&f, &args, span).shape.size();
        let mode = if rows { forward::<F, A> } else { reverse::<F, A> };
        by_first(&args, mode("jacobian", &f, &args, &wrt, span))
    })
}

/// The second derivative of a function by its first argument: shape of the result, then twice the
/// shape of the argument. Forward mode over reverse mode.
///
/// ```
/// use egrad::{Array, Tensor, hessian, jit};
/// let f = jit(hessian(|x: Tensor| x.powi(3).sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [6.0, 0.0, 0.0, 12.0]);
/// ```
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn hessian<F, A>(f: F) -> A::Fn<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args<First = Tensor>,
{
    jacfwd::<_, A>(jacrev::<F, A>(f))
}

/// The leaves of the first argument.
fn first<A: Args>(args: &A) -> Vec<usize> {
    (0..args.leaves_per_argument()[0]).collect()
}

/// What is like the first argument.
fn by_first<A: Args>(args: &A, leaves: Vec<Tensor>) -> A::First {
    build(leaves, &Flat::of(args.first()).structure)
}

/// What is like the arguments chosen.
fn by_chosen<A: Args, W: Argnums<A>>(args: &A, jacobians: impl FnOnce(&[usize]) -> Vec<Tensor>) -> W::Gradients {
    let (mut wrt, mut chosen) = (Vec::new(), Flat::default());
    W::choose(args, &mut wrt, &mut chosen);
    build(jacobians(&wrt), &chosen.structure)
}

/// The Jacobians by these leaves, in forward mode.
#[track_caller]
fn forward<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let avals = floats(name, args, wrt, span);
    let mut all = Vec::with_capacity(wrt.len());
    for (i, x) in wrt.iter().zip(avals) {
        let n = x.shape.size();
        let columns = over(basis(&x, n), n, span, |direction| {
            let (mut operands, params) = leaves(args, span);
            let inner = inner::<F, A>(f, params, &Flat::of(args).structure, span);
            float_result(name, &inner.results[0], span);
            operands.extend(&inner.captures);
            operands.push(direction);
            vec![trace::apply(Transform::Jvp { wrt: vec![*i] }, inner.function, &operands, span)[1]]
        })[0];
        // [n, result…] to [result…, argument…].
        let shape = [&columns.shape()[1..], &x.shape[..]].concat();
        all.push(columns.move_axis(0, -1).reshape(shape));
    }
    all
}

/// The Jacobians by these leaves, in reverse mode.
#[track_caller]
fn reverse<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let avals = floats(name, args, wrt, span);
    let out = result(f, args, span);
    float_result(name, &out, span);
    let n = out.shape.size();
    let rows = over(basis(&out, n), n, span, |cotangent| {
        let gradients = pull(name, f, args, &cotangent, span).1;
        wrt.iter().map(|i| gradients[*i]).collect()
    });
    let mut all = Vec::with_capacity(wrt.len());
    for (rows, x) in rows.into_iter().zip(avals) {
        all.push(rows.reshape([&out.shape[..], &x.shape[..]].concat()));
    }
    all
}

/// The result's aval.
#[track_caller]
fn result<F, A>(f: &F, args: &A, span: Span) -> Aval
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    inner::<F, A>(f, leaves(args, span).1, &Flat::of(args).structure, span).results[0].clone()
}

/// The avals of these leaves, which must be floats'.
#[track_caller]
fn floats<A: Args>(name: &str, args: &A, wrt: &[usize], span: Span) -> Vec<Aval> {
    let params = leaves(args, span).1;
    let mut avals = Vec::with_capacity(wrt.len());
    for i in wrt {
        let (aval, _) = &params[*i];
        if !aval.dtype.is_float() {
            let path = argument(&paths(args)[*i]);
            let m = format!("`{name}` can't differentiate by {path}, {aval}: only floats have derivatives");
            raise::throw(Error::dtype(m).at(span));
        }
        avals.push(aval.clone());
    }
    avals
}

#[track_caller]
fn float_result(name: &str, result: &Aval, span: Span) {
    if !result.dtype.is_float() {
        let m = format!("`{name}` needs a function with a float result, not {result}");
        raise::throw(Error::dtype(m).at(span));
    }
}

/// Every unit vector of the space of tensors of that aval, stacked.
#[track_caller]
fn basis(aval: &Aval, n: usize) -> Tensor {
    eye(n, n, aval.dtype).reshape(aval.shape.insert(0, n))
}

/// The function of each element along axis 0.
#[track_caller]
fn over(elements: Tensor, size: usize, span: Span, f: impl FnOnce(Tensor) -> Vec<Tensor>) -> Vec<Tensor> {
    let mut aval = elements.aval();
    aval.shape = aval.shape.without(&[0]);
    let axis = Some(trace::Axis { name: None, size });
    let inner = trace::inner_over(axis, "direction".to_owned(), vec![(aval, span)], span, |params| (f(params[0]), ()));
    let mut operands = vec![elements];
    operands.extend(&inner.captures);
    let mut in_axes = vec![Some(0)];
    in_axes.resize(operands.len(), None);
    let transform = Transform::Vmap { in_axes, out_axes: vec![0; inner.results.len()], size };
    trace::apply(transform, inner.function, &operands, span)
}
