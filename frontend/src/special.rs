//! Special functions, under the names that `jax.scipy.special` has for them.
//!
//! All go element by element, broadcast as operators do, and are made of primitives, so that every
//! transform goes through them and they run on every device. Arguments are floats of one type; whole
//! numbers and tensors of integers among them take it. Values are right to a few last places unless a
//! function says otherwise, and derivatives are those of JAX, where it has any, by every argument. Floats of
//! 16 bits are computed with in f32, to round once at the end.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit, special};
//! # fn main() -> egrad::Result<()> {
//! let tail = |x: Tensor| special::log_ndtr(x);
//! let x = Array::from(-40.0f64);
//! assert!((jit(tail)(&x)?.item::<f64>()? + 804.608442).abs() < 1e-6);
//! assert!((jit(grad(tail))(&x)?.item::<f64>()? - 40.0249).abs() < 1e-3);
//! # Ok(()) }
//! ```
//!
//! | | |
//! |---|---|
//! | the gamma function | [`gamma`], [`gammaln`], [`gammasgn`], [`factorial`], [`multigammaln`], [`digamma`], [`polygamma`], [`zeta`] |
//! | incomplete | [`gammainc`], [`gammaincc`], [`betainc`] |
//! | the beta function | [`beta`], [`betaln`] |
//! | errors and normal distributions | [`erf`], [`erfc`], [`erfcx`], [`erfinv`], [`ndtr`], [`log_ndtr`], [`ndtri`] |
//! | logarithms | [`xlogy`], [`xlog1py`], [`entr`], [`rel_entr`], [`kl_div`], [`logit`], [`expit`] |
//! | Bessel functions | [`i0`], [`i0e`], [`i1`], [`i1e`] |
//!
//! The functions of one argument that networks use are methods of [`Tensor`], too: see
//! [`Tensor::lgamma`], [`Tensor::erf`], [`Tensor::sigmoid`].

mod bessel;
mod beta;
mod gamma;
mod incomplete_beta;
mod logarithms;
mod normal;

pub use bessel::{i0, i0e, i1, i1e};
pub use beta::{beta, betaln};
pub(crate) use gamma::{HALF_LN_2PI, stirling_rest};
pub use gamma::{digamma, factorial, gamma, gammainc, gammaincc, gammaln, gammasgn, multigammaln, polygamma, zeta};
pub use incomplete_beta::betainc;
pub(crate) use incomplete_beta::no_beta;
pub use logarithms::{entr, expit, kl_div, logit, rel_entr, xlog1py, xlogy};
pub use normal::{erf, erfc, erfcx, erfinv, log_ndtr, ndtr, ndtri};

use crate::raise;
use crate::tensor::{Operand, Tensor, operand};
use crate::trace::Tape;
use egrad_ir::builder::Recorder;
use egrad_ir::{Dtype, Error, Span};

/// Makes tensors of one float type of a function's arguments: `floats!("name", x, y => name(x, y))`, which
/// says how the function is called; with floats of 16 bits it is called again, with the `f32` they are.
macro_rules! floats {
    ($name:expr, $($x:ident),+ => $again:expr) => {
        let _in = $crate::raise::within($name);
        let dtype = $crate::special::float_type($name, &[$(($x.as_tensor(), $x.own_dtype())),+]);
        $(let $x = $crate::special::as_float($name, $x, dtype).wide();)+
        if dtype.computed() != dtype {
            return $again.convert(dtype);
        }
    };
}
pub(crate) use floats;

/// The float type that the tensors among the arguments have; that of numbers if there are no tensors.
#[track_caller]
pub(crate) fn float_type(name: &str, given: &[(Option<Tensor>, Dtype)]) -> Dtype {
    let span = Span::here();
    let mut tensors = given.iter().filter_map(|(t, dtype)| t.map(|t| (t, *dtype)));
    let mut floats = tensors.clone().filter(|(_, dtype)| dtype.is_float());
    match (floats.next(), tensors.next()) {
        (Some((first, dtype)), _) => {
            if let Some((other, _)) = floats.find(|(_, d)| *d != dtype) {
                let m = format!("`{name}` takes floats of one type, not {} and {}", first.aval(), other.aval());
                raise::throw(Error::dtype(format!("{m}: convert one of them")).at(span));
            }
            dtype
        }
        (None, Some((t, _))) => {
            raise::throw(Error::dtype(format!("`{name}` takes floats, not {}: convert it", t.aval())).at(span))
        }
        (None, None) => Dtype::F32,
    }
}

/// An argument as a tensor of that float type.
#[track_caller]
pub(crate) fn as_float(name: &str, x: impl Operand, dtype: Dtype) -> Tensor {
    let x = operand(name, x, dtype);
    if x.dtype() == Dtype::Bool {
        raise::throw(Error::dtype(format!("`{name}` takes numbers, not {}", x.aval())).at(Span::here()));
    }
    x.convert(dtype)
}

/// All in the shape they broadcast to.
#[track_caller]
pub(crate) fn together<const N: usize>(name: &str, x: [Tensor; N]) -> [Tensor; N] {
    let all = raise::get(Tape.broadcast_all(name, &x, Span::here()));
    std::array::from_fn(|i| all[i])
}

/// Whether constants are to be chosen for 53 bits, not 24.
#[track_caller]
pub(crate) fn double(x: Tensor) -> bool {
    x.dtype() == Dtype::F64
}

/// c₀ + c₁x + c₂x² + …
#[track_caller]
fn polynomial(x: Tensor, coefficients: &[f64]) -> Tensor {
    let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    rest.iter().rev().fold(operand("constant", *last, x.dtype()), |sum, c| sum * x + *c)
}

/// c₀ + c₁/z² + c₂/z⁴ + …
#[track_caller]
fn inverse_powers(z: Tensor, coefficients: &[f64]) -> Tensor {
    polynomial(1.0 / (z * z), coefficients)
}
