//! `jvp` and `vjp`: derivatives along given directions.

use super::{argument, inner, leaves, result};
use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::tree::{Flat, Structure, Traced, build, mismatch, paths};
use crate::{raise, trace};
use egrad_ir::{Aval, Error, Literal, Span, Transform};

/// Forward mode: a function of the arguments as a tuple and of their tangents, likewise, that
/// returns the result and its tangent.
///
/// ```
/// use egrad::{Array, Tensor, jit, jvp};
/// let f = jit(jvp(|x: Tensor, y: Tensor| x * y));
/// let [x, y, dx, dy] = [2.0f32, 3.0, 1.0, 10.0].map(Array::from);
/// let (z, dz) = f(&(x, y), &(dx, dy)).unwrap();
/// assert_eq!((z.item::<f32>().unwrap(), dz.item::<f32>().unwrap()), (6.0, 23.0));
/// ```
///
/// Integers and bools have no derivative: what is given for their tangents is not used, and
/// zeros stand where the tangents of such results would.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Shape`] if a
/// float argument's tangent has another shape or element type, [`Error::Tree`] if it has another
/// structure.
#[track_caller]
#[expect(clippy::type_complexity, reason = "the type is the documentation")]
pub fn jvp<F, A>(f: F) -> Box<dyn Fn(A, A) -> (F::Output, F::Output)>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    Box::new(move |primals: A, tangents: A| {
        let pushed = leaves(&tangents, span).0;
        let same = Flat::of(&primals).structure == Flat::of(&tangents).structure;
        if !same {
            raise::throw(mismatch("jvp", ("the arguments", &primals), ("the tangents", &tangents)).at(span));
        }
        let (results, tangents, structure) = push("jvp", &f, &primals, &pushed, span);
        (build(results, &structure), build(tangents, &structure))
    })
}

/// The results of a function and their tangents. Tangents are given for the first so many leaves of
/// the arguments, the others are held fixed.
#[track_caller]
pub(super) fn push<F, A>(
    name: &str,
    f: &F,
    primals: &A,
    tangents: &[Tensor],
    span: Span,
) -> (Vec<Tensor>, Vec<Tensor>, Structure)
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (mut operands, params) = leaves(primals, span);
    let floats: Vec<usize> = (0..tangents.len()).filter(|i| params[*i].0.dtype.is_float()).collect();
    let what = |i: usize| format!("the tangent of {}", argument(&paths(primals)[i]));
    for i in &floats {
        expect(name, &params[*i].0, tangents[*i], || what(*i), span);
    }
    let inner = inner::<F, A>(f, params, &Flat::of(primals).structure, span);
    operands.extend(&inner.captures);
    operands.extend(floats.iter().map(|i| tangents[*i]));
    let all = trace::apply(Transform::Jvp { wrt: floats }, inner.function, &operands, span);
    let (results, pushed) = all.split_at(inner.results.len());
    let tangents = among(&inner.results, pushed, span);
    (results.to_vec(), tangents, inner.extra.structure)
}

/// Reverse mode: a function of the arguments as a tuple and of a cotangent like the result, that
/// returns the result and the gradient, like the arguments.
///
/// ```
/// use egrad::{Array, Tensor, jit, vjp};
/// let f = jit(vjp(|x: Tensor, y: Tensor| x * y));
/// let [x, y, dz] = [2.0f32, 3.0, 10.0].map(Array::from);
/// let (z, (dx, dy)) = f(&(x, y), &dz).unwrap();
/// assert_eq!(z.item::<f32>().unwrap(), 6.0);
/// assert_eq!((dx.item::<f32>().unwrap(), dy.item::<f32>().unwrap()), (30.0, 20.0));
/// ```
///
/// Integers and bools have no derivative: what is given for the cotangents of such results is not
/// used, and zeros stand where the gradients of such arguments would.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Shape`] if a
/// float result's cotangent has another shape or element type, [`Error::Tree`] if it has another
/// structure.
#[track_caller]
#[expect(clippy::type_complexity, reason = "the type is the documentation")]
pub fn vjp<F, A>(f: F) -> Box<dyn Fn(A, F::Output) -> (F::Output, A)>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    Box::new(move |primals: A, cotangents: F::Output| {
        let (results, gradients, structure) = pull("vjp", &f, &primals, &cotangents, span);
        (build(results, &structure), build(gradients, &Flat::of(&primals).structure))
    })
}

/// The results of a function and the gradients of all arguments.
#[track_caller]
pub(super) fn pull<F, A>(
    name: &str,
    f: &F,
    primals: &A,
    cotangents: &F::Output,
    span: Span,
) -> (Vec<Tensor>, Vec<Tensor>, Structure)
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (mut operands, params) = leaves(primals, span);
    let avals: Vec<Aval> = params.iter().map(|(aval, _)| aval.clone()).collect();
    let wrt: Vec<usize> = (0..avals.len()).filter(|i| avals[*i].dtype.is_float()).collect();
    let inner = inner::<F, A>(f, params, &Flat::of(primals).structure, span);
    let given = Flat::of(cotangents);
    if given.structure != inner.extra.structure {
        let result: F::Output = build(zeros_of(&inner.results, span), &inner.extra.structure);
        raise::throw(mismatch(name, ("the result", &result), ("the cotangents", cotangents)).at(span));
    }
    operands.extend(&inner.captures);
    for (i, aval) in inner.results.iter().enumerate() {
        if aval.dtype.is_float() {
            let what = || format!("the cotangent of {}", result(&paths(cotangents)[i]));
            expect(name, aval, *given.leaves[i], what, span);
            operands.push(*given.leaves[i]);
        }
    }
    let all = trace::apply(Transform::Vjp { wrt }, inner.function, &operands, span);
    let (results, pulled) = all.split_at(inner.results.len());
    (results.to_vec(), among(&avals, pulled, span), inner.extra.structure)
}

/// Derivatives of the floats among these avals, with zeros in the places of the others.
#[track_caller]
pub(super) fn among(avals: &[Aval], derivatives: &[Tensor], span: Span) -> Vec<Tensor> {
    let mut derivatives = derivatives.iter();
    let mut all = Vec::with_capacity(avals.len());
    for aval in avals {
        all.push(match aval.dtype.is_float() {
            true => *derivatives.next().expect("a derivative for each float"),
            false => trace::literal(Literal::new(aval.dtype, 0.0), span).broadcast_to(aval.shape.clone()),
        });
    }
    all
}

/// Zeros of these avals.
#[track_caller]
pub(super) fn zeros_of(avals: &[Aval], span: Span) -> Vec<Tensor> {
    let mut zeros = Vec::with_capacity(avals.len());
    for aval in avals {
        zeros.push(trace::literal(Literal::new(aval.dtype, 0.0), span).broadcast_to(aval.shape.clone()));
    }
    zeros
}

#[track_caller]
fn expect(name: &str, want: &Aval, given: Tensor, what: impl Fn() -> String, span: Span) {
    let (have, made) = trace::look(given, span, |n| (n.avals[0].clone(), n.span));
    if have != *want {
        let m = format!("`{name}`: {} must be {want}, not {have}", what());
        raise::throw(Error::shape(m).at(span).note("it was made here", made));
    }
}
