//! Functions whose derivatives trade time for memory.

use super::{inner, leaves};
use crate::function::{Args, Function};
use crate::trace;
use crate::tree::{Flat, Traced, build};
use egrad_ir::{Policy, Span, Transform};

/// The function itself, whose derivative in reverse mode keeps the arguments alone: everything else it
/// needs is computed again when it goes back.
///
/// The classic use is a loop, which then saves what it carries, and nothing of what its steps compute:
///
/// ```
/// use egrad::{Array, Tensor, checkpoint, grad, jit, scan};
/// fn step(x: Tensor, w: Tensor) -> (Tensor, Vec<Tensor>) {
///     (((w * x).sin() + x.exp().recip()).tanh(), vec![])
/// }
/// let loss = |x: Tensor, ws: Tensor| scan(step, x, ws).0;
/// let frugal = |x: Tensor, ws: Tensor| scan(checkpoint(step), x, ws).0;
/// # fn main() -> egrad::Result<()> {
/// let (x, ws) = (Array::from(0.5f32), Array::from_vec(vec![0.1f32, 0.2, 0.3], [3])?);
/// assert_eq!(jit(grad(loss))(&x, &ws)?, jit(grad(frugal))(&x, &ws)?);
/// # Ok(()) }
/// ```
///
/// What is computed again stands behind barriers ([`Tensor::barrier`](crate::Tensor::barrier)), so that
/// the compiler doesn't make one of it and what went forward. Without reverse mode, and on the way
/// forward, the function is as if it were called.
#[track_caller]
pub fn checkpoint<F, A>(f: F) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| apply(&f, &args, Policy::Nothing, span))
}

/// As [`checkpoint`], with what the policy says kept beside the arguments.
///
/// ```
/// use egrad::{Array, Policy, Tensor, checkpoint_name, checkpoint_with, grad, jit};
/// // Keeps the sine, computes the exponential again.
/// let f = |x: Tensor| checkpoint_name(x.sin(), "sine").exp().powi(2);
/// let f = checkpoint_with(f, Policy::Names(vec!["sine".to_owned()]));
/// let slope = jit(grad(f))(&Array::from(0.0f64)).unwrap();
/// assert_eq!(slope.item::<f64>().unwrap(), 2.0);
/// ```
///
/// A policy looks at the operations of the function, and of functions it calls; a loop or branch in it
/// is computed again as a whole, but for results that have a name. [`Policy::Everything`] keeps all
/// that the derivative needs.
#[track_caller]
pub fn checkpoint_with<F, A>(f: F, policy: Policy) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| apply(&f, &args, policy.clone(), span))
}

#[track_caller]
fn apply<F, A>(f: &F, args: &A, policy: Policy, span: Span) -> F::Output
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (mut operands, params) = leaves(args, span);
    let inner = inner::<F, A>(f, params, &Flat::of(args).structure, span);
    operands.extend(&inner.captures);
    build(trace::apply(Transform::Checkpoint { policy }, inner.function, &operands, span), &inner.extra.structure)
}

/// The same values, with a name by which a checkpoint may keep them: see [`checkpoint_with`].
/// Elsewhere the name means nothing.
#[track_caller]
pub fn checkpoint_name<T: Traced>(x: T, name: &str) -> T {
    let span = Span::here();
    let (operands, params) = leaves(&x, span);
    let structure = Flat::of(&x).structure;
    let same = trace::inner(name.to_owned(), params, span, |given| (given.to_vec(), ()));
    let transform = Transform::Named { name: name.to_owned() };
    build(trace::apply(transform, same.function, &operands, span), &structure)
}
