//! Transforms of functions: each traces the function in a frame of its own and records one node
//! that applies the transform to it. What a derivative or a batch *is* is decided by `rewrite`.

mod axis;
mod checkpoint;
mod chunks;
mod control;
mod custom;
mod grad;
mod hessian;
mod jacobian;
mod linear;
mod push;
mod vmap;

pub use axis::{all_gather, axis_index, axis_size, pmax, pmean, pmin, ppermute, psum};
pub use checkpoint::{checkpoint, checkpoint_name, checkpoint_with};
pub use chunks::{Chunked, vmap_chunked};
pub use control::{Bound, ScanOptions, cond, fori_loop, scan, scan_with, switch, while_loop};
pub use custom::{custom_jvp, custom_vjp};
pub use grad::{
    Arg, Argnums, grad, grad_argnums, grad_with_aux, value_and_grad, value_and_grad_argnums, value_and_grad_with_aux,
};
pub use hessian::{Hessian, hessian, hessian_argnums};
pub use jacobian::{jacfwd, jacfwd_argnums, jacobian, jacobian_argnums, jacrev, jacrev_argnums};
pub use linear::{hvp, linearize};
pub use push::{jvp, vjp};
pub use vmap::{Vmapped, vmap, vmap_named, vmap_with};

use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::trace::{self, Axis, Inner};
use crate::tree::{Flat, Part, Structure, Traced, build};
use egrad_ir::{Aval, Span, Transform};

/// Records a call of a function: what a `jit` inside traced code is.
#[track_caller]
pub(crate) fn call<F, A>(f: &F, args: &A, span: Span) -> F::Output
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let (mut operands, params) = leaves(args, span);
    let inner = inner::<F, A>(f, params, &Flat::of(args).structure, span);
    operands.extend(&inner.captures);
    build(trace::apply(Transform::Call, inner.function, &operands, span), &inner.extra.structure)
}

/// What is known of a traced function's result.
struct Output {
    structure: Structure,
    /// Per leaf where it was made.
    spans: Vec<Span>,
}

/// The leaves of a tree with their avals and the places they were made.
#[track_caller]
fn leaves<T: Traced>(tree: &T, span: Span) -> (Vec<Tensor>, Vec<(Aval, Span)>) {
    let tensors: Vec<Tensor> = Flat::of(tree).leaves.iter().map(|t| **t).collect();
    let mut params = Vec::with_capacity(tensors.len());
    for t in &tensors {
        params.push(trace::look(*t, span, |n| (n.avals[0].clone(), n.span)));
    }
    (tensors, params)
}

/// Traces a function whose parameters are like these arguments.
#[track_caller]
fn inner<F, A>(f: &F, params: Vec<(Aval, Span)>, structure: &[Part], span: Span) -> Inner<Output>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    inner_with::<F, A, _>(None, f, params, structure, span, |out| output(out, span))
}

/// As [`inner`], with the result read by `read`; perhaps to be mapped over a batch.
#[track_caller]
fn inner_with<F, A, R>(
    axis: Option<Axis>,
    f: &F,
    params: Vec<(Aval, Span)>,
    structure: &[Part],
    span: Span,
    read: impl FnOnce(&F::Output) -> (Vec<Tensor>, R),
) -> Inner<R>
where
    F: Function<A>,
    A: Args,
{
    trace::inner_over(axis, trace::name_of::<F>(), params, span, |params| {
        let out = f.call_at(build::<A>(params.iter().copied(), structure), span);
        read(&out)
    })
}

/// A result's leaves.
#[track_caller]
fn output<O: Traced>(out: &O, span: Span) -> (Vec<Tensor>, Output) {
    let flat = Flat::of(out);
    let tensors: Vec<Tensor> = flat.leaves.iter().map(|t| **t).collect();
    let mut spans = Vec::with_capacity(tensors.len());
    for t in &tensors {
        spans.push(trace::look(*t, span, |n| n.span));
    }
    (tensors, Output { structure: flat.structure, spans })
}

/// A leaf of the arguments for people: `argument 0`, ``argument 0 at `.w` ``.
pub(crate) fn argument(path: &str) -> String {
    let path = path.strip_prefix('.').unwrap_or(path);
    let end = path.find(['.', '[']).unwrap_or(path.len());
    match path.split_at(end) {
        (n, "") => format!("argument {n}"),
        (n, rest) => format!("argument {n} at `{rest}`"),
    }
}

/// A leaf of the result for people.
fn result(path: &str) -> String {
    if path.is_empty() { "the result".to_owned() } else { format!("the result at `{path}`") }
}
