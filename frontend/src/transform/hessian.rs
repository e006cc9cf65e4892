//! Hessians: the Jacobian of a Jacobian, for each pair of leaves.

use super::grad::Argnums;
use super::jacobian::{first, forward, reverse};
use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::tree::{Flat, Nest, Structure, Traced, Tree, build};
use egrad_ir::Span;

/// What [`hessian`] returns of a tree: the tree with one like it in place of each leaf. Of a
/// [`Tensor`] it is a tensor.
pub type Hessian<T> = <T as Nest>::Of<T>;

/// The second derivative of a function by its first argument: for each pair of the argument's leaves
/// the shape of the result, then that of the first, then that of the second. Forward mode over reverse
/// mode.
///
/// ```
/// use egrad::{Array, Tensor, hessian, jit};
/// # fn main() -> egrad::Result<()> {
/// let f = jit(hessian(|x: Tensor| x.powi(3).sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2])?;
/// assert_eq!(f(&x)?.as_slice::<f32>().unwrap(), [6.0, 0.0, 0.0, 12.0]);
///
/// // By both parts of a pair: a pair of pairs.
/// let f = jit(hessian(|(a, b): (Tensor, Tensor)| (a * a * b).sum()));
/// let ((aa, ab), (ba, bb)) = f(&(x, Array::from(3.0f32)))?;
/// assert_eq!(aa.as_slice::<f32>().unwrap(), [6.0, 0.0, 0.0, 6.0]);
/// assert_eq!((ab.as_slice::<f32>().unwrap(), ba.as_slice::<f32>().unwrap()), (&[2.0, 4.0][..], &[2.0, 4.0][..]));
/// assert_eq!(bb.item::<f32>()?, 0.0);
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As [`jacfwd`](crate::jacfwd).
#[track_caller]
pub fn hessian<F, A>(f: F) -> A::Fn<Hessian<A::First>>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    A::First: Nest,
    Hessian<A::First>: Traced,
{
    let span = Span::here();
    let jacobian = A::by_value(move |args: A| reverse("hessian", &f, &args, &first(&args), span));
    A::by_value(move |args: A| {
        let structure = Flat::of(args.first()).structure;
        pairs::<A::Fn<Vec<Tensor>>, A, A::First>("hessian", &jacobian, &args, (&first(&args), &structure), span)
    })
}

/// As [`hessian`], by the arguments chosen: see [`grad_argnums`](crate::grad_argnums).
///
/// ```
/// use egrad::{Arg, Array, Tensor, hessian_argnums, jit};
/// let f = jit(hessian_argnums(|x: Tensor, y: Tensor| x * x * y, (Arg::<0>, Arg::<1>)));
/// let ((xx, xy), (yx, yy)) = f(&Array::from(2.0f32), &Array::from(3.0f32)).unwrap();
/// assert_eq!([xx, xy, yx, yy].map(|h| h.item::<f32>().unwrap()), [6.0, 4.0, 4.0, 0.0]);
/// ```
///
/// # Errors and panics
/// As [`jacfwd`](crate::jacfwd).
#[track_caller]
pub fn hessian_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<Hessian<W::Gradients>>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
    W::Gradients: Nest,
    Hessian<W::Gradients>: Traced,
{
    let span = Span::here();
    let jacobian = A::by_value(move |args: A| reverse("hessian_argnums", &f, &args, &chosen::<A, W>(&args).0, span));
    A::by_value(move |args: A| {
        let (wrt, structure) = chosen::<A, W>(&args);
        pairs::<A::Fn<Vec<Tensor>>, A, W::Gradients>("hessian_argnums", &jacobian, &args, (&wrt, &structure), span)
    })
}

/// The leaves chosen, and the structure of what is.
fn chosen<A: Args, W: Argnums<A>>(args: &A) -> (Vec<usize>, Structure) {
    let (mut wrt, mut chosen) = (Vec::new(), Flat::default());
    W::choose(args, &mut wrt, &mut chosen);
    (wrt, chosen.structure)
}

/// The Jacobians of Jacobians by these leaves, which are those of a `T` of that structure.
#[track_caller]
fn pairs<F, A, T>(
    name: &str,
    jacobian: &F,
    args: &A,
    (wrt, structure): (&[usize], &Structure),
    span: Span,
) -> Hessian<T>
where
    F: Function<A, Output = Vec<Tensor>>,
    A: Args,
    T: Nest + Tree<Leaf = Tensor>,
{
    let columns = forward(name, jacobian, args, wrt, span);
    let flat = Flat::of(args);
    let like: T = build(wrt.iter().map(|i| *flat.leaves[*i]), structure);
    let mut rows = 0..wrt.len();
    like.nest(&mut || {
        let row = rows.next().unwrap_or_default();
        build(columns.iter().map(|column| column[row]), structure)
    })
}
