//! `grad`, `value_and_grad`, and which arguments they differentiate by.

use super::{argument, inner, leaves};
use crate::function::{ArgAt, Args, Function};
use crate::tensor::Tensor;
use crate::tree::{Flat, Lengths, Traced, build, paths};
use crate::{raise, trace};
use egrad_ir::{Error, Literal, Span, Transform};
use smallvec::SmallVec;

/// The argument of position `N`, for [`grad_argnums`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arg<const N: usize>;

/// Which arguments are differentiated by: an [`Arg`], or a tuple of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` chooses no arguments of a function of `{A}`",
    note = "give `Arg::<0>` for the first argument, or a tuple such as `(Arg::<0>, Arg::<2>)`"
)]
pub trait Argnums<A: Args>: 'static {
    /// The gradients: the argument chosen, or a tuple of those chosen.
    type Gradients: Traced;
    /// Lists the leaves by position, and the structure's lengths.
    #[doc(hidden)]
    fn choose(args: &A, leaves: &mut Vec<usize>, lengths: &mut Lengths);
}

impl<A: ArgAt<N>, const N: usize> Argnums<A> for Arg<N> {
    type Gradients = A::Arg;
    fn choose(args: &A, leaves: &mut Vec<usize>, lengths: &mut Lengths) {
        let counts = args.leaves_per_argument();
        let start: usize = counts[..N].iter().sum();
        leaves.extend(start..start + counts[N]);
        lengths.extend(Flat::of(args.at()).lengths);
    }
}

macro_rules! tuple {
    ($($X:ident),*) => {
        impl<Given: Args, $($X: Argnums<Given>),*> Argnums<Given> for ($($X,)*) {
            type Gradients = ($($X::Gradients,)*);
            fn choose(args: &Given, leaves: &mut Vec<usize>, lengths: &mut Lengths) {
                $($X::choose(args, leaves, lengths);)*
            }
        }
    };
}
tuple!(A);
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);
tuple!(A, B, C, D, E, F);
tuple!(A, B, C, D, E, F, G);
tuple!(A, B, C, D, E, F, G, H);

/// The gradient of a function with a scalar result by its first argument: a function of the same
/// arguments that returns what is like the first of them.
///
/// ```
/// use egrad::{Array, Tensor, grad, jit};
/// fn loss((w, b): (Tensor, Tensor), x: Tensor) -> Tensor { (w * x + b).powi(2) }
///
/// # fn main() -> egrad::Result<()> {
/// let gradient = jit(grad(loss));
/// let (dw, db) = gradient(&(Array::from(2.0f32), Array::from(1.0f32)), &Array::from(3.0f32))?;
/// assert_eq!((dw.item::<f32>()?, db.item::<f32>()?), (42.0, 14.0));
/// # Ok(()) }
/// ```
///
/// What the function captures from an enclosing trace is held fixed here; an enclosing `grad`
/// differentiates through it.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Shape`] if the
/// function's result is no float scalar, [`Error::Dtype`] if the first argument has leaves that
/// are no floats, naming them.
#[track_caller]
pub fn grad<F, A>(f: F) -> A::Fn<A::First>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let first = args.leaves_per_argument()[0];
        let (_, gradients) = pull("grad", &f, &args, (0..first).collect(), span);
        build(gradients, &Flat::of(args.first()).lengths)
    })
}

/// The value of a function with a scalar result beside its gradient by the first argument.
///
/// ```
/// use egrad::{Array, Tensor, jit, value_and_grad};
/// let f = jit(value_and_grad(|x: Tensor| x.powi(2)));
/// let (y, dx) = f(&Array::from(3.0f32)).unwrap();
/// assert_eq!((y.item::<f32>().unwrap(), dx.item::<f32>().unwrap()), (9.0, 6.0));
/// ```
///
/// # Errors and panics
/// As [`grad`].
#[track_caller]
pub fn value_and_grad<F, A>(f: F) -> A::Fn<(Tensor, A::First)>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let first = args.leaves_per_argument()[0];
        let (value, gradients) = pull("value_and_grad", &f, &args, (0..first).collect(), span);
        (value, build(gradients, &Flat::of(args.first()).lengths))
    })
}

/// The gradient by the arguments chosen: [`Arg`]`::<1>` gives what is like the second argument, a
/// tuple of them a tuple.
///
/// ```
/// use egrad::{Arg, Array, Tensor, grad_argnums, jit};
/// let f = |x: Tensor, y: Tensor| x * y.powi(2);
/// let by_both = jit(grad_argnums(f, (Arg::<1>, Arg::<0>)));
/// let (dy, dx) = by_both(&Array::from(2.0f32), &Array::from(3.0f32)).unwrap();
/// assert_eq!((dy.item::<f32>().unwrap(), dx.item::<f32>().unwrap()), (12.0, 9.0));
/// ```
///
/// Where the arguments are only known at run time, capture the others:
/// `grad(move |x: Tensor| f(vec![x, y]))(z)`.
///
/// # Errors and panics
/// As [`grad`].
#[track_caller]
pub fn grad_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<W::Gradients>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let (mut wrt, mut lengths) = (Vec::new(), Lengths::new());
        W::choose(&args, &mut wrt, &mut lengths);
        let (_, gradients) = pull("grad_argnums", &f, &args, wrt, span);
        build(gradients, &lengths)
    })
}

/// The value beside [`grad_argnums`].
///
/// # Errors and panics
/// As [`grad`].
#[track_caller]
pub fn value_and_grad_argnums<F, A, W>(f: F, _argnums: W) -> A::Fn<(Tensor, W::Gradients)>
where
    F: Function<A, Output = Tensor>,
    A: Args,
    W: Argnums<A>,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let (mut wrt, mut lengths) = (Vec::new(), Lengths::new());
        W::choose(&args, &mut wrt, &mut lengths);
        let (value, gradients) = pull("value_and_grad_argnums", &f, &args, wrt, span);
        (value, build(gradients, &lengths))
    })
}

/// The value of a scalar function and its gradients by these leaves of the arguments.
#[track_caller]
fn pull<F, A>(name: &str, f: &F, args: &A, by: Vec<usize>, span: Span) -> (Tensor, Vec<Tensor>)
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let (mut operands, params) = leaves(args, span);
    if let Some(i) = by.iter().find(|i| !params[**i].0.dtype.is_float()) {
        let (aval, made) = &params[*i];
        let m = format!(
            "`{name}` can't differentiate by {}, {aval}: only floats have derivatives",
            argument(&paths(args)[*i])
        );
        raise::throw(Error::dtype(m).at(span).note("it was made here", *made));
    }
    let inner = inner::<F, A>(f, params, &Flat::of(args).lengths, span);
    let result = inner.results[0].clone();
    let of = trace::name_of::<F>();
    let made = inner.extra.spans[0];
    if result.shape.rank() > 0 {
        let m = format!(
            "`{name}` needs a function with a scalar result, and `{of}` returns {result}: \
             sum or average it, or take `jacrev`"
        );
        raise::throw(Error::shape(m).at(span).note("the result was made here", made));
    }
    if !result.dtype.is_float() {
        let m = format!("`{name}` needs a function with a float result, and `{of}` returns {result}");
        raise::throw(Error::dtype(m).at(span).note("the result was made here", made));
    }
    let mut wrt = by.clone();
    wrt.sort_unstable();
    wrt.dedup();
    operands.extend(&inner.captures);
    operands.push(trace::literal(Literal::new(result.dtype, 1.0), span));
    let results = trace::apply(Transform::Vjp { wrt: wrt.clone() }, inner.function, &operands, span);
    let place = |i: &usize| results[1 + wrt.binary_search(i).expect("every leaf asked for")];
    let gradients: SmallVec<[Tensor; 4]> = by.iter().map(place).collect();
    (results[0], gradients.into_vec())
}
