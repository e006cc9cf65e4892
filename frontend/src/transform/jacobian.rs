//! Jacobians: `jvp` or `vjp` mapped over a basis.

use super::grad::Argnums;
use super::push::pull;
use super::{argument, inner, leaves};
use crate::function::{Args, Function};
use crate::tensor::{Tensor, eye};
use crate::tree::{Flat, Traced, build, paths};
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
    A::by_value(move |args: A| by_first(&args, forward_one("jacfwd", &f, &args, &first(&args), span)))
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
    A::by_value(move |args: A| by_chosen::<A, W>(&args, |wrt| forward_one("jacfwd_argnums", &f, &args, wrt, span)))
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

/// The derivative of the whole result by the whole first argument, as [`jacfwd`] or [`jacrev`] has it,
/// whichever costs less.
///
/// Both are part of what is compiled, as two ways to make one value, and the search for the cheapest
/// kernels chooses between them by the predicted time of the whole program; `egrad explore` says which
/// it took and what each would cost. Run op by op, on the interpreter, under strict numerics, or where an outer derivative goes through, it is
/// forward mode if the argument has no more elements than the result, else reverse mode; and so it is of
/// functions that print, so that what is printed doesn't depend on prices. If one mode isn't possible
/// ([`custom_vjp`](crate::custom_vjp) has none forward, [`while_loop`](crate::while_loop) none backward),
/// it is the other one.
///
/// ```
/// use egrad::{Array, Tensor, jacobian, jit};
/// let f = jit(jacobian(|x: Tensor| x.powi(2).sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [2.0, 4.0]);
/// ```
///
/// Where a derivative is infinite, the modes may differ in what is NaN, as `jacfwd` and `jacrev` do.
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
    A::by_value(move |args: A| by_first(&args, cheapest("jacobian", &f, &args, &first(&args), span)))
}

/// As [`jacobian`], by the arguments chosen: see [`grad_argnums`](crate::grad_argnums).
///
/// ```
/// use egrad::{Arg, Array, Tensor, jacobian_argnums, jit};
/// let f = jit(jacobian_argnums(|x: Tensor, y: Tensor| x * y, Arg::<1>));
/// assert_eq!(f(&Array::from(2.0f32), &Array::from(3.0f32)).unwrap().item::<f32>().unwrap(), 2.0);
/// ```
///
/// # Errors and panics
/// As [`jacfwd`].
#[track_caller]
pub fn jacobian_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<W::Gradients>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
{
    let span = Span::here();
    A::by_value(move |args: A| by_chosen::<A, W>(&args, |wrt| cheapest("jacobian_argnums", &f, &args, wrt, span)))
}

/// The leaves of the first argument.
pub(super) fn first<A: Args>(args: &A) -> Vec<usize> {
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

/// The Jacobians by these leaves, in whichever mode costs less.
#[track_caller]
fn cheapest<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let given: usize = floats(name, args, wrt, span).iter().map(|x| x.shape.size()).sum();
    let out = result(f, args, span);
    float_result(name, &out, span);
    let (operands, params) = leaves(args, span);
    let structure = Flat::of(args).structure;
    let mode = |title: &str, mode: Mode<F, A>| {
        trace::inner(title.to_owned(), params.clone(), span, |tensors| {
            let args: A = build(tensors.iter().copied(), &structure);
            (mode(name, f, &args, wrt, span), ())
        })
    };
    let mut ways = [mode("forward", forward_one), mode("reverse", reverse)];
    // The one with fewer directions to go in is what it is where nothing is priced.
    if out.shape.size() < given {
        ways.swap(0, 1);
    }
    super::control::either(&ways, operands, params, span)
}

type Mode<F, A> = fn(&str, &F, &A, &[usize], Span) -> Vec<Tensor>;

/// As [`forward`], of a function with one result.
#[track_caller]
fn forward_one<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    forward(name, f, args, wrt, span).into_iter().map(|results| results[0]).collect()
}

/// The Jacobians by these leaves, in forward mode: for each of them those of all results.
#[track_caller]
pub(super) fn forward<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Vec<Tensor>>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let avals = floats(name, args, wrt, span);
    let mut all = Vec::with_capacity(wrt.len());
    for (i, x) in wrt.iter().zip(avals) {
        let n = x.shape.size();
        let columns = over(basis(&x, n), n, span, |direction| {
            let (mut operands, params) = leaves(args, span);
            let inner = inner::<F, A>(f, params, &Flat::of(args).structure, span);
            for result in &inner.results {
                float_result(name, result, span);
            }
            operands.extend(&inner.captures);
            operands.push(direction);
            let pushed = trace::apply(Transform::Jvp { wrt: vec![*i] }, inner.function, &operands, span);
            pushed[inner.results.len()..].to_vec()
        });
        let mut results = Vec::with_capacity(columns.len());
        for columns in columns {
            // [n, result…] to [result…, argument…].
            let shape = [&columns.shape()[1..], &x.shape[..]].concat();
            results.push(columns.move_axis(0, -1).reshape(shape));
        }
        all.push(results);
    }
    all
}

/// The Jacobians by these leaves, in reverse mode.
#[track_caller]
pub(super) fn reverse<F, A>(name: &str, f: &F, args: &A, wrt: &[usize], span: Span) -> Vec<Tensor>
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
