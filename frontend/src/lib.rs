//! JAX's `grad`, `vmap` and `jit` for Rust, compiled by equality saturation.
//!
//! A program is a plain function of [`Tensor`]s. Transforms make other functions of it, and nest
//! freely; [`jit`] is the door through which [`Array`]s, which hold numbers, go in and come out.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit, vmap};
//!
//! // A straight line, and how far it misses a point.
//! fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
//!     w * x + b
//! }
//! fn squared_error(p: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
//!     (predict(p, x) - y).powi(2)
//! }
//!
//! # fn main() -> egrad::Result<()> {
//! let params = (Array::from(2.0f32), Array::from(1.0f32));
//! let xs = Array::from_vec(vec![0.0f32, 1.0, 2.0], [3])?;
//! let ys = Array::from_vec(vec![0.5f32, 3.0, 6.0], [3])?;
//!
//! // Over a batch: the parameters are shared, `x` has an axis more.
//! let forward = jit(vmap(predict, (None, 0)));
//! assert_eq!(forward(&params, &xs)?.as_slice::<f32>().unwrap(), [1.0, 3.0, 5.0]);
//!
//! // One gradient per example.
//! let per_example = jit(vmap(grad(squared_error), (None, 0, 0)));
//! let (dw, db) = per_example(&params, &xs, &ys)?;
//! assert_eq!(dw.as_slice::<f32>().unwrap(), [0.0, 0.0, -4.0]);
//! assert_eq!(db.as_slice::<f32>().unwrap(), [1.0, 0.0, -2.0]);
//!
//! // The gradient of the mean over the batch, with `vmap` inside.
//! fn mean_loss(p: (Tensor, Tensor), xs: Tensor, ys: Tensor) -> Tensor {
//!     (vmap(predict, (None, 0))(p, xs) - ys).powi(2).mean()
//! }
//! let (_, db) = jit(grad(mean_loss))(&params, &xs, &ys)?;
//! assert!((db.item::<f32>()? + 1.0 / 3.0).abs() < 1e-6);
//! # Ok(()) }
//! ```
//!
//! # What happens
//!
//! Called for the first time on arrays of some types, a jitted function is *traced*: it runs once
//! on tensors that hold no numbers, and the operators record what is to be computed. Transforms
//! record what is to be derived or batched. The program recorded ([`trace()`] shows it) is expanded
//! and optimised as rewrites of one e-graph, from which the cheapest kernels are extracted and
//! compiled. Later calls with the same types run those kernels alone. So `if` and `for` in the
//! function see shapes, not numbers; a choice by numbers is [`cond`] or [`Tensor::select`], and a loop
//! that is not to be written out is [`scan`], [`fori_loop`] or [`while_loop`].
//!
//! # Finding one's way
//!
//! | | |
//! |---|---|
//! | values inside | [`Tensor`]: operators, methods for every primitive and common function; [`zeros`], [`ones`], [`full`], [`arange`], [`iota`], [`eye`], [`stack`](stack()), [`einsum`] |
//! | values outside | [`Array`], from and to `Vec`, numbers and ndarray |
//! | several at once | [`Tree`]: tuples, `Vec`, arrays, `Option`, maps, structs and enums with `#[derive(Tree)]`; [`tree`] for their leaves, [`files`] to keep them |
//! | derivatives | [`grad`], [`value_and_grad`], [`grad_argnums`], [`grad_with_aux`], [`vjp`], [`jvp`], [`linearize`], [`jacfwd`], [`jacrev`], [`jacobian`], [`jacfwd_argnums`], [`jacrev_argnums`], [`jacobian_argnums`], [`hessian`], [`hessian_argnums`], [`hvp`], [`Tensor::stop_gradient`] |
//! | derivatives of your own | [`custom_jvp`], [`custom_vjp`]; [`check_grads`] compares with differences |
//! | memory | [`checkpoint`], [`checkpoint_with`], [`Policy`], [`checkpoint_name`]; [`Tensor::barrier`] |
//! | batches | [`vmap`], [`vmap_with`], [`Vmapped::chunked`], [`vmap_chunked`], [`Axes`] |
//! | among a batch | [`vmap_named`], [`psum`], [`pmean`], [`pmax`], [`pmin`], [`all_gather`], [`ppermute`], [`axis_index`], [`axis_size`] |
//! | loops and branches | [`scan`], [`scan_with`], [`while_loop`], [`fori_loop`], [`cond`], [`switch`](switch()) |
//! | special functions, distributions | [`special`], [`stats`] |
//! | matrices, spectra | [`linalg`], [`fft`] |
//! | training | [`optim`], [`losses`] |
//! | random numbers | [`random`]; [`init`], starting values of parameters |
//! | differential equations | [`ode`] |
//! | doors | [`jit`], [`eager`], [`Jit::compile`] for use from many threads, [`trace()`] |
//! | where and how it runs | [`Options`], [`Device`], [`Numerics`], [`Report`], [`device_put`], [`device_get`] |
//! | what can go wrong | [`Error`] |
//!
//! # Transforms nest
//!
//! A transform takes a function and returns a boxed function of the same arguments, which is called
//! like any other. A function given to a transform owns what it captures; tensors of an enclosing
//! function may be among that, and an outer derivative goes through them.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit};
//! // d/dx (x · d/dy (x² y³)) at y = x: the inner derivative holds x fixed, the outer one does not.
//! let f = jit(grad(|x: Tensor| {
//!     let inner = grad(move |y: Tensor| x.powi(2) * y.powi(3));
//!     x * inner(x)
//! }));
//! // d/dx 3x⁵ = 15x⁴.
//! assert_eq!(f(&Array::from(1.0f32)).unwrap().item::<f32>().unwrap(), 15.0);
//! ```
//!
//! Inside traced code a jitted function is called by [`f.call((x,))`](Function::call). What becomes
//! of the call is the compiler's choice, or yours: see [`Calls`].
//!
//! # Errors
//!
//! Operators return tensors, so that formulas read like formulas. What doesn't fit ends the trace,
//! and comes out of the door as `Err`, with the user's line and the lines the operands come from:
//!
//! ```
//! # use egrad::{Array, Tensor, jit};
//! let f = jit(|x: Tensor, y: Tensor| x * y);
//! let (x, y) = (Array::from_vec(vec![0.0f32; 2], [2]).unwrap(), Array::from_vec(vec![0.0f32; 3], [3]).unwrap());
//! let error = f(&x, &y).unwrap_err();
//! assert!(error.to_string().starts_with(
//!     "shape error: the operands of `mul`, f32[2] and f32[3], don't broadcast: from the last axis, lengths must be equal or 1"
//! ));
//! ```
//!
//! The error travels by unwinding, without the panic hook's message. Outside of a trace, and under
//! `panic = "abort"`, it is an ordinary panic with the same text.
//!
//! # Floats of 16 bits
//!
//! [`f16`](struct@f16) and [`bf16`] save memory: they are computed with in `f32`, and every operation rounds its result once,
//! sums (also those in products, convolutions, cumulative sums and scatters) when they are complete.
//! Linear algebra, Fourier transforms and random draws don't take them. To train with them, keep the
//! parameters in `f32`:
//!
//! ```
//! use egrad::{Array, Dtype, Tensor, grad, jit};
//! let loss = |w: Tensor, x: Tensor| {
//!     let y = x.convert(Dtype::Bf16).matmul(w.convert(Dtype::Bf16)).tanh();
//!     y.convert(Dtype::F32).powi(2).mean()
//! };
//! let x = Array::from_vec(vec![1.0f32; 6], [2, 3]).unwrap();
//! let slope = jit(grad(loss))(&Array::from_vec(vec![0.25f32; 12], [3, 4]).unwrap(), &x).unwrap();
//! assert_eq!(slope.dtype(), Dtype::F32);
//! ```
//!
//! # As in JAX, and not
//!
//! Broadcasting, derivatives at kinks, and what happens to NaN and infinity are JAX's. Different
//! are these: operands of an operation have one element type (convert one of them), except that a
//! number literal takes the tensor's; `2.0 * x` and `x * 2.0` take literals of any type, but a
//! *variable* on the left of an operator must be `f64` or `i32`; `jvp` and `vjp` return functions,
//! of the arguments as a tuple; a choice of arguments to differentiate by is written
//! `(Arg::<0>, Arg::<2>)`.

// What `derive(Tree)` writes names the crate.
extern crate self as egrad;

mod axes;
mod check;
mod device;
pub mod fft;
pub mod files;
mod function;
mod functions;
mod incomplete;
pub mod init;
mod jit;
pub mod linalg;
pub mod losses;
mod memory;
mod nans;
pub mod ode;
pub mod optim;
mod print;
mod quotients;
mod raise;
pub mod random;
pub mod special;
pub mod stats;
mod tensor;
mod trace;
mod transform;
pub mod tree;

pub use axes::Axes;
pub use check::{Modes, check_grads};
pub use device::{Calls, Device, Options, device_get, device_put};
pub use egrad_derive::Tree;
pub use egrad_ir::print::{Sink as PrintSink, set_sink as set_print_sink};
pub use egrad_ir::{Array, Aval, Dtype, Element, Error, Literal, Numerics, Policy, Program, Result, Shape, Span};
pub use egrad_ir::{bf16, f16};
pub use function::{ArgAt, Args, Function};
pub use functions::stack;
pub use jit::{Compiled, Jit, Report, eager, jit, trace, trace_avals};
pub use print::debug_print;
pub use tensor::{
    AxisList, Convolution, Operand, Outside, Padding, Tensor, arange, concatenate, conv, einsum, eye, full, iota, ones,
    ones_like, select, zeros, zeros_like,
};
pub use transform::{
    Arg, Argnums, Bound, Chunked, Hessian, ScanOptions, Vmapped, all_gather, axis_index, axis_size, checkpoint,
    checkpoint_name, checkpoint_with, cond, custom_jvp, custom_vjp, fori_loop, grad, grad_argnums, grad_with_aux,
    hessian, hessian_argnums, hvp, jacfwd, jacfwd_argnums, jacobian, jacobian_argnums, jacrev, jacrev_argnums, jvp,
    linearize, pmax, pmean, pmin, ppermute, psum, scan, scan_with, switch, value_and_grad, value_and_grad_argnums,
    value_and_grad_with_aux, vjp, vmap, vmap_chunked, vmap_named, vmap_with, while_loop,
};
pub use tree::{Fixed, Flat, Leaf, Nest, Outline, Parts, Traced, Tree};
