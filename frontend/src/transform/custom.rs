//! Functions whose derivatives the user gives.

use super::push::{among, zeros_of};
use super::{inner, leaves, output, result};
use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::tree::{Flat, Structure, Traced, build, mismatch, paths};
use crate::{raise, trace};
use egrad_ir::{Aval, Error, Span, Transform};

/// The function with a derivative of its own, in forward mode: `rule` gets the arguments and their
/// tangents, each as a tuple, and returns the result and its tangent, which must be linear in the
/// tangents. Reverse mode transposes it.
///
/// ```
/// use egrad::{Array, Tensor, custom_jvp, grad, jit};
/// // ln(1 + eˣ), whose derivative as written is ∞/∞ for large x.
/// fn log1pexp(x: Tensor) -> Tensor {
///     custom_jvp(|x: Tensor| x.exp().log1p(), |(x,), (dx,)| (x.exp().log1p(), dx * (1.0 - 1.0 / (1.0 + x.exp()))))(x)
/// }
/// let slope = |x: f32| jit(grad(log1pexp))(&Array::from(x)).unwrap().item::<f32>().unwrap();
/// assert_eq!(slope(100.0), 1.0);
/// assert_eq!(slope(0.0), 0.5);
/// ```
///
/// The rule is a traced function, so it can be differentiated and batched in turn. It is given zeros
/// for tangents that don't exist, and nothing it says of integers and bools is used.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Tree`],
/// [`Error::Shape`] or [`Error::Dtype`] if the rule's result or tangent isn't like the function's
/// result. When it is compiled: [`Error::MissingRule`] if something that the function or rule captures
/// is differentiated.
#[track_caller]
pub fn custom_jvp<F, A>(f: F, rule: impl Fn(A, A) -> (F::Output, F::Output) + 'static) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let (mut operands, mut params) = leaves(&args, span);
        let (n, structure) = (params.len(), Flat::of(&args).structure);
        let avals: Vec<Aval> = params.iter().map(|(aval, _)| aval.clone()).collect();
        let tangents: Vec<_> = params.iter().filter(|(aval, _)| aval.dtype.is_float()).cloned().collect();
        params.extend(tangents);
        let of = trace::name_of::<F>();
        let whole = trace::inner(of.clone(), params, span, |given| {
            let primals = || build::<A>(given[..n].iter().copied(), &structure);
            let (mut results, own) = output(&f.call_at(primals(), span), span);
            let (value, tangent) = rule(primals(), build(among(&avals, &given[n..], span), &structure));
            let m = results.len();
            let wanted = Wanted { avals: avals_of(&results, span), structure: own.structure, of: &of };
            results.extend(wanted.check("custom_jvp", "the rule's value", &value, span));
            let pushed = wanted.check("custom_jvp", "the rule's tangent", &tangent, span);
            results.extend(wanted.floats(&pushed));
            (results, (m, wanted.structure))
        });
        operands.extend(&whole.captures);
        let (results, structure) = whole.extra;
        let transform = Transform::CustomJvp { params: n, results };
        build(trace::apply(transform, whole.function, &operands, span), &structure)
    })
}

/// The function with a derivative of its own, in reverse mode: `forward` gets the arguments and
/// returns the result and whatever `backward` needs, `backward` gets that and the cotangent of the
/// result, and returns the gradients as a tuple like the arguments.
///
/// ```
/// use egrad::{Array, Tensor, custom_vjp, grad, jit};
/// // The identity, whose gradient is no larger than 1.
/// fn clipped(x: Tensor) -> Tensor {
///     custom_vjp(|x: Tensor| x, |x: Tensor| (x, x), |_: Tensor, g: Tensor| (g.clamp(-1.0, 1.0),))(x)
/// }
/// let slope = jit(grad(|x: Tensor| clipped(x).powi(2)));
/// assert_eq!(slope(&Array::from(5.0f32)).unwrap().item::<f32>().unwrap(), 1.0);
/// assert_eq!(slope(&Array::from(0.25f32)).unwrap().item::<f32>().unwrap(), 0.5);
/// ```
///
/// Forward and backward are traced functions, so reverse mode applies to them in turn, and both can be
/// batched. Forward mode is refused; `jacfwd` of `grad` is forward mode of `backward`, which has it,
/// unless `forward` calls the function with the rule itself.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), when the returned function is called: [`Error::Tree`],
/// [`Error::Shape`] or [`Error::Dtype`] if what `forward` returns isn't like the function's result, or
/// what `backward` returns isn't like the arguments. When it is compiled: [`Error::MissingRule`] in
/// forward mode, and if something that is captured is differentiated.
#[track_caller]
pub fn custom_vjp<F, A, R>(
    f: F,
    forward: impl Function<A, Output = (F::Output, R)>,
    backward: impl Fn(R, F::Output) -> A + 'static,
) -> A::Fn<F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
    R: Traced,
{
    let span = Span::here();
    A::by_value(move |args: A| {
        let (mut operands, mut params) = leaves(&args, span);
        let (n, structure) = (params.len(), Flat::of(&args).structure);
        let avals: Vec<Aval> = params.iter().map(|(aval, _)| aval.clone()).collect();
        let own = inner::<F, A>(&f, params.clone(), &structure, span);
        let floats = own.results.iter().zip(&own.extra.spans).filter(|(aval, _)| aval.dtype.is_float());
        params.extend(floats.map(|(aval, made)| (aval.clone(), *made)));
        let of = trace::name_of::<F>();
        let whole = trace::inner(of.clone(), params, span, |given| {
            let mut all: Vec<Tensor> = given[..n].to_vec();
            all.extend(&own.captures);
            let mut results = trace::apply(Transform::Call, own.function, &all, span);
            let wanted = Wanted { avals: own.results.clone(), structure: own.extra.structure.clone(), of: &of };
            let (value, kept) = forward.call_at(build::<A>(given[..n].iter().copied(), &structure), span);
            results.extend(wanted.check("custom_vjp", "the value of `forward`", &value, span));
            let cotangent = build(among(&own.results, &given[n..], span), &own.extra.structure);
            let gradients = backward(kept, cotangent);
            let wanted = Wanted { avals: avals.clone(), structure: structure.clone(), of: &of };
            let pulled = wanted.check("custom_vjp", "the result of `backward`", &gradients, span);
            results.extend(wanted.floats(&pulled));
            (results, ())
        });
        operands.extend(&whole.captures);
        let transform = Transform::CustomVjp { params: n, results: own.results.len() };
        build(trace::apply(transform, whole.function, &operands, span), &own.extra.structure)
    })
}

#[track_caller]
fn avals_of(tensors: &[Tensor], span: Span) -> Vec<Aval> {
    let mut avals = Vec::with_capacity(tensors.len());
    for t in tensors {
        avals.push(trace::aval(*t, span));
    }
    avals
}

/// What a rule's results must be like.
struct Wanted<'a> {
    avals: Vec<Aval>,
    structure: Structure,
    /// The function's name.
    of: &'a str,
}

impl Wanted<'_> {
    /// The leaves of something that a rule returned, which must be like what is wanted.
    #[track_caller]
    fn check<T: Traced>(&self, name: &str, what: &str, given: &T, span: Span) -> Vec<Tensor> {
        let flat = Flat::of(given);
        if flat.structure != self.structure {
            let wanted: T = build(zeros_of(&self.avals, span), &self.structure);
            let like = format!("what `{}` has", self.of);
            raise::throw(mismatch(name, (&like, &wanted), (what, given)).at(span));
        }
        for (i, (t, want)) in flat.leaves.iter().zip(&self.avals).enumerate() {
            let (have, made) = trace::look(**t, span, |n| (n.avals[0].clone(), n.span));
            if have != *want {
                let at = result(&paths(given)[i]);
                let m = format!("`{name}` of `{}`: {at} of {what} must be {want}, not {have}", self.of);
                let error = if have.dtype == want.dtype { Error::shape(m) } else { Error::dtype(m) };
                raise::throw(error.at(span).note("it was made here", made));
            }
        }
        flat.leaves.iter().map(|t| **t).collect()
    }

    /// Those of the leaves that stand for floats.
    fn floats(&self, leaves: &[Tensor]) -> Vec<Tensor> {
        leaves.iter().zip(&self.avals).filter(|(_, aval)| aval.dtype.is_float()).map(|(t, _)| *t).collect()
    }
}
