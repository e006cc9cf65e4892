//! `grad`, `value_and_grad`, and which arguments they differentiate by.

use super::{Output, argument, inner, leaves};
use crate::function::{ArgAt, Args, Function};
use crate::tensor::Tensor;
use crate::trace::Inner;
use crate::tree::{Flat, Traced, Tree, build, paths};
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
    /// Lists the leaves by position, and flattens what is chosen.
    #[doc(hidden)]
    fn choose<'a>(args: &'a A, leaves: &mut Vec<usize>, into: &mut Flat<'a, Tensor>);
}

impl<A: ArgAt<N>, const N: usize> Argnums<A> for Arg<N> {
    type Gradients = A::Arg;
    fn choose<'a>(args: &'a A, leaves: &mut Vec<usize>, into: &mut Flat<'a, Tensor>) {
        let counts = args.leaves_per_argument();
        let start: usize = counts[..N].iter().sum();
        leaves.extend(start..start + counts[N]);
        args.at().flatten(into);
    }
}

macro_rules! tuple {
    ($($X:ident),*) => {
        impl<Given: Args, $($X: Argnums<Given>),*> Argnums<Given> for ($($X,)*) {
            type Gradients = ($($X::Gradients,)*);
            fn choose<'a>(args: &'a Given, leaves: &mut Vec<usize>, into: &mut Flat<'a, Tensor>) {
                $($X::choose(args, leaves, into);)*
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
        build(gradients, &Flat::of(args.first()).structure)
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
        (value, build(gradients, &Flat::of(args.first()).structure))
    })
}

/// As [`grad`], of a function that returns something beside its scalar: the gradient, and that.
///
/// ```
/// use egrad::{Array, Tensor, grad_with_aux, jit};
/// # fn main() -> egrad::Result<()> {
/// let f = jit(grad_with_aux(|x: Tensor| (x.powi(2), (x.sin(), x.gt(0.0)))));
/// let (dx, (sine, positive)) = f(&Array::from(0.0f32))?;
/// assert_eq!((dx.item::<f32>()?, sine.item::<f32>()?, positive.item::<bool>()?), (0.0, 0.0, false));
/// # Ok(()) }
/// ```
///
/// An enclosing derivative goes through both.
///
/// # Errors and panics
/// As [`grad`].
#[track_caller]
pub fn grad_with_aux<F, A, Aux>(f: F) -> A::Fn<(A::First, Aux)>
where
    F: Function<A, Output = (Tensor, Aux)>,
    A: Args,
    Aux: Traced,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let first = args.leaves_per_argument()[0];
        let (_, gradients, aux) = pull_aux("grad_with_aux", &f, &args, (0..first).collect(), span);
        (build(gradients, &Flat::of(args.first()).structure), aux)
    })
}

/// As [`value_and_grad`], of a function that returns something beside its scalar: what the function
/// returns, and the gradient.
///
/// ```
/// use egrad::{Array, Tensor, jit, value_and_grad_with_aux};
/// let f = jit(value_and_grad_with_aux(|x: Tensor| (x.powi(2), vec![x])));
/// let ((y, aux), dx) = f(&Array::from(3.0f32)).unwrap();
/// assert_eq!([y, aux[0].clone(), dx].map(|x| x.item::<f32>().unwrap()), [9.0, 3.0, 6.0]);
/// ```
///
/// # Errors and panics
/// As [`grad`].
#[track_caller]
pub fn value_and_grad_with_aux<F, A, Aux>(f: F) -> A::Fn<((Tensor, Aux), A::First)>
where
    F: Function<A, Output = (Tensor, Aux)>,
    A: Args,
    Aux: Traced,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let first = args.leaves_per_argument()[0];
        let (value, gradients, aux) = pull_aux("value_and_grad_with_aux", &f, &args, (0..first).collect(), span);
        ((value, aux), build(gradients, &Flat::of(args.first()).structure))
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
        let (mut wrt, mut chosen) = (Vec::new(), Flat::default());
        W::choose(&args, &mut wrt, &mut chosen);
        let (_, gradients) = pull("grad_argnums", &f, &args, wrt, span);
        build(gradients, &chosen.structure)
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
        let (mut wrt, mut chosen) = (Vec::new(), Flat::default());
        W::choose(&args, &mut wrt, &mut chosen);
        let (value, gradients) = pull("value_and_grad_argnums", &f, &args, wrt, span);
        (value, build(gradients, &chosen.structure))
    })
}

/// The value of a scalar function and its gradients by these leaves of the arguments.
#[track_caller]
pub(super) fn pull<F, A>(name: &str, f: &F, args: &A, by: Vec<usize>, span: Span) -> (Tensor, Vec<Tensor>)
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let inner = traced::<F, A>(name, f, args, &by, span);
    pull_first(name, &trace::name_of::<F>(), &inner, args, by, span)
}

/// As [`pull`], with what the function returns beside its scalar.
#[track_caller]
fn pull_aux<F, A, Aux>(name: &str, f: &F, args: &A, by: Vec<usize>, span: Span) -> (Tensor, Vec<Tensor>, Aux)
where
    F: Function<A, Output = (Tensor, Aux)>,
    A: Args,
    Aux: Traced,
{
    let whole = traced::<F, A>(name, f, args, &by, span);
    // The scalar alone is differentiated: a cotangent of zero for the rest would make 0·∞ of infinite
    // derivatives.
    let alone = Inner {
        function: trace::select(whole.function, &[0]),
        captures: whole.captures.clone(),
        results: whole.results.clone(),
        extra: Output { structure: whole.extra.structure.clone(), spans: whole.extra.spans.clone() },
    };
    let (value, gradients) = pull_first(name, &trace::name_of::<F>(), &alone, args, by, span);
    let mut operands = leaves(args, span).0;
    operands.extend(&whole.captures);
    let results = trace::apply(Transform::Call, whole.function, &operands, span);
    let aux = build(results[1..].iter().copied(), &whole.extra.structure);
    (value, gradients, aux)
}

/// Traces a function that is to be differentiated by these leaves of its arguments.
#[track_caller]
fn traced<F, A>(name: &str, f: &F, args: &A, by: &[usize], span: Span) -> Inner<Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (_, params) = leaves(args, span);
    if let Some(i) = by.iter().find(|i| !params[**i].0.dtype.is_float()) {
        let (aval, made) = &params[*i];
        let m = format!(
            "`{name}` can't differentiate by {}, {aval}: only floats have derivatives",
            argument(&paths(args)[*i])
        );
        raise::throw(Error::dtype(m).at(span).note("it was made here", *made));
    }
    inner::<F, A>(f, params, &Flat::of(args).structure, span)
}

/// The value of a function's first result, which must be a scalar and the only one that is traced to
/// be differentiated, and its gradients by these leaves of the arguments.
#[track_caller]
fn pull_first<A: Args>(
    name: &str,
    of: &str,
    inner: &Inner<Output>,
    args: &A,
    by: Vec<usize>,
    span: Span,
) -> (Tensor, Vec<Tensor>) {
    let mut operands = leaves(args, span).0;
    let result = inner.results[0].clone();
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
