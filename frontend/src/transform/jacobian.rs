//! Jacobians and Hessians: `jvp` or `vjp` mapped over a basis.

use super::push::{pull, push};
use super::{argument, leaves};
use crate::function::{Args, Function};
use crate::tensor::{Tensor, eye};
use crate::tree::{Flat, paths};
use crate::{raise, trace};
use egrad_ir::{Aval, Error, Span, Transform};

/// The derivative of the whole result by the whole first argument, column by column: shape of the
/// result, then shape of the argument. Forward mode: quicker than [`jacrev`] where the argument is
/// the smaller of the two.
///
/// ```
/// use egrad::{Array, Tensor, jacfwd, jit};
/// let f = jit(jacfwd(|x: Tensor| x.powi(2)));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<f32>().unwrap(), [2.0, 0.0, 0.0, 4.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Dtype`] if the
/// argument or the result is no float.
#[track_caller]
pub fn jacfwd<F, A>(f: F) -> A::Fn<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args<First = Tensor>,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let x = first("jacfwd", &args, span);
        let n = x.shape.size();
        let basis = basis(&x, n);
        let columns = over(basis, n, span, |direction| push("jacfwd", &f, &args, &[direction], span).1[0]);
        let out = columns.aval();
        float_result("jacfwd", &out, span);
        // [n, result…] to [result…, argument…].
        let shape = [&out.shape[1..], &x.shape[..]].concat();
        columns.move_axis(0, -1).reshape(shape)
    })
}

/// The derivative of the whole result by the whole first argument, row by row: shape of the
/// result, then shape of the argument. Reverse mode: quicker than [`jacfwd`] where the result is
/// the smaller of the two.
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
pub fn jacrev<F, A>(f: F) -> A::Fn<Tensor>
where
    F: Function<A, Output = Tensor>,
    A: Args<First = Tensor>,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let x = first("jacrev", &args, span);
        let out = super::inner::<F, A>(&f, leaves(&args, span).1, &Flat::of(&args).structure, span).results[0].clone();
        let stacked = Aval::new(out.dtype, out.shape.insert(0, 1));
        float_result("jacrev", &stacked, span);
        let n = out.shape.size();
        let rows = over(basis(&out, n), n, span, |ct| pull("jacrev", &f, &args, &ct, span).1[0]);
        rows.reshape([&out.shape[..], &x.shape[..]].concat())
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

/// The first argument's aval, which must be a float's.
#[track_caller]
fn first<A: Args<First = Tensor>>(name: &str, args: &A, span: Span) -> Aval {
    let aval = trace::aval(*args.first(), span);
    if !aval.dtype.is_float() {
        let path = argument(&paths(args)[0]);
        let m = format!("`{name}` can't differentiate by {path}, {aval}: only floats have derivatives");
        raise::throw(Error::dtype(m).at(span));
    }
    aval
}

#[track_caller]
fn float_result(name: &str, stacked: &Aval, span: Span) {
    if !stacked.dtype.is_float() {
        let result = Aval::new(stacked.dtype, stacked.shape.without(&[0]));
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
fn over(elements: Tensor, size: usize, span: Span, f: impl FnOnce(Tensor) -> Tensor) -> Tensor {
    let mut aval = elements.aval();
    aval.shape = aval.shape.without(&[0]);
    let inner = trace::inner("direction".to_owned(), vec![(aval, span)], span, |params| (vec![f(params[0])], ()));
    let mut operands = vec![elements];
    operands.extend(&inner.captures);
    let mut in_axes = vec![Some(0)];
    in_axes.resize(operands.len(), None);
    let transform = Transform::Vmap { in_axes, out_axes: vec![0], size };
    trace::apply(transform, inner.function, &operands, span)[0]
}
