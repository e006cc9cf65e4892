//! Derivatives at a point, as linear functions.

use super::push::{self, among};
use super::{argument, inner, leaves};
use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::tree::{Flat, Traced, build, mismatch, paths};
use crate::{raise, trace};
use egrad_ir::{Error, Span, Transform};

/// A linear function, from directions to derivatives along them.
type Linear<A, O> = Box<dyn Fn(A) -> O>;

/// The result of a function, and its derivative there: a linear function of directions, which are a
/// tuple like the arguments.
///
/// The derivative may be taken along many directions; what doesn't depend on them is computed once.
///
/// ```
/// use egrad::{Array, Tensor, jit, linearize};
/// let f = jit(|x: Tensor, y: Tensor| {
///     let (z, derivative) = linearize(|x: Tensor, y: Tensor| x.powi(2) * y)(x, y);
///     (z, derivative((x * 0 + 1, y * 0)), derivative((x * 0, y * 0 + 1)))
/// });
/// let (z, dx, dy) = f(&Array::from(3.0f32), &Array::from(2.0f32)).unwrap();
/// assert_eq!([z, dx, dy].map(|x| x.item::<f32>().unwrap()), [18.0, 12.0, 9.0]);
/// ```
///
/// # Errors and panics
/// As [`jvp`](crate::jvp()).
#[track_caller]
#[expect(clippy::type_complexity, reason = "the type is the documentation")]
pub fn linearize<F, A>(f: F) -> A::Fn<(F::Output, Linear<A, F::Output>)>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let (mut operands, params) = leaves(&args, span);
        let floats: Vec<usize> = (0..params.len()).filter(|i| params[*i].0.dtype.is_float()).collect();
        let inner = inner::<F, A>(&f, params, &Flat::of(&args).structure, span);
        operands.extend(&inner.captures);
        let results = trace::apply(Transform::Call, inner.function, &operands, span);
        let value = build(results, &inner.extra.structure);
        let derivative = move |directions: A| {
            let tangents = leaves(&directions, span).0;
            if Flat::of(&directions).structure != Flat::of(&args).structure {
                raise::throw(mismatch("linearize", ("the arguments", &args), ("the directions", &directions)).at(span));
            }
            let mut operands = operands.clone();
            for i in &floats {
                let (want, have) = (trace::aval(operands[*i], span), trace::aval(tangents[*i], span));
                if want != have {
                    let what = argument(&paths(&args)[*i]);
                    let m = format!("`linearize`: the direction of {what} must be {want}, not {have}");
                    raise::throw(Error::shape(m).at(span));
                }
            }
            operands.extend(floats.iter().map(|i| tangents[*i]));
            let all = trace::apply(Transform::Jvp { wrt: floats.clone() }, inner.function, &operands, span);
            build(among(&inner.results, &all[inner.results.len()..], span), &inner.extra.structure)
        };
        (value, Box::new(derivative) as Linear<A, F::Output>)
    })
}

/// The Hessian of a scalar function by its first argument, times a vector: a function of the
/// arguments as a tuple and of a vector like the first of them. The Hessian itself is never formed.
///
/// ```
/// use egrad::{Array, Tensor, hvp, jit};
/// let f = jit(hvp(|x: Tensor, scale: Tensor| scale * x.powi(3).sum()));
/// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
/// let v = Array::from_vec(vec![1.0f32, 10.0], [2]).unwrap();
/// let y = f(&(x, Array::from(2.0f32)), &v).unwrap();
/// assert_eq!(y.as_slice::<f32>().unwrap(), [12.0, 240.0]);
/// ```
///
/// Forward mode over reverse mode.
///
/// # Errors and panics
/// As [`grad`](crate::grad()); [`Error::Tree`] and [`Error::Shape`] if the vector isn't like the first
/// argument.
#[track_caller]
pub fn hvp<F, A>(f: F) -> Box<dyn Fn(A, A::First) -> A::First>
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let span = Span::here();
    let gradient = A::by_value(move |args: A| {
        let first = args.leaves_per_argument()[0];
        let gradients = super::grad::pull("hvp", &f, &args, (0..first).collect(), span).1;
        build::<A::First>(gradients, &Flat::of(args.first()).structure)
    });
    Box::new(move |args: A, vector: A::First| {
        let structure = Flat::of(args.first()).structure;
        if Flat::of(&vector).structure != structure {
            raise::throw(mismatch("hvp", ("the first argument", args.first()), ("the vector", &vector)).at(span));
        }
        let tangents = leaves(&vector, span).0;
        build(push::push("hvp", &gradient, &args, &tangents, span).1, &structure)
    })
}
