//! Random numbers from keys, as JAX has them.
//!
//! A [`Key`] is a value like any other. Whoever draws with it twice gets the same numbers twice, so
//! every draw has a key of its own: [`split`] makes several of one, [`split_many`] a batch for
//! [`vmap`](crate::vmap()) or [`scan`](crate::scan()), [`fold_in`] one for each number. There is no
//! hidden state; what is drawn depends on the key, the shape and the element type alone, and is the
//! same on every device.
//!
//! ```
//! use egrad::{Array, Dtype, Tensor, jit, random};
//! use egrad::random::Key;
//!
//! fn noisy(key: Key, x: Tensor) -> Tensor {
//!     let [noise, mask] = random::split(key);
//!     let kept = random::bernoulli(mask, 0.9, x.shape());
//!     kept.select(x + 0.1 * random::normal(noise, x.shape(), x.dtype()), 0.0)
//! }
//!
//! # fn main() -> egrad::Result<()> {
//! let f = jit(noisy);
//! let x = Array::from_vec(vec![1.0f32; 1000], [1000])?;
//! let key = random::key(42);
//! // The same key, the same numbers; another key for every step of a training loop.
//! let again = f(&key, &x)?;
//! assert_eq!(f(&key, &x)?, again);
//! for step in 0..3 {
//!     assert_ne!(f(&random::fold_in(key.clone(), step), &x)?, again);
//! }
//! # Ok(()) }
//! ```
//!
//! The bits are those of `jax.random` in JAX 0.10 with its default settings, whose generator is
//! Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", 2011), and so are the numbers made of them, but for the last digits of logarithms and
//! the like. A seed's 64 bits all count; JAX, unless 64-bit types are enabled, takes the lower 32.
//!
//! # Keys used twice
//!
//! In debug builds, a key that is drawn with or split twice in one function is reported on standard
//! error, with both lines: such draws are not independent. To draw the same numbers on purpose, say so
//! by `fold_in(key, 0)` for one of the draws' keys: equal keys of different making aren't compared.
//! [`fold_in`] is no use of a key. A key from outside of a loop that is used in it once isn't reported,
//! though all steps draw the same: `fold_in` the step's number, or go over [`split_many`] keys.

mod bits;
mod continuous;
mod discrete;
mod gamma;
mod key;
mod reuse;

pub use bits::bits;
pub use continuous::{
    cauchy, exponential, gumbel, laplace, logistic, normal, truncated_normal, uniform, uniform_between,
};
pub use discrete::{
    bernoulli, categorical, categorical_with_shape, choice, choice_weighted, choice_without_replacement, permutation,
    rademacher, randint, shuffle, shuffle_independent,
};
pub use gamma::{beta, dirichlet, gamma, loggamma};
pub use key::{Key, Salt, Words, fold_in, key, key_data, seed, split, split_many, wrap_key_data};

use crate::raise;
use crate::tensor::{Operand, Tensor, operand};
use egrad_ir::{Dtype, Error, Shape, Span};

/// A draw's element type must be a float's.
#[track_caller]
fn float(name: &str, dtype: Dtype, span: Span) {
    if !dtype.is_float() {
        raise::throw(Error::dtype(format!("`{name}` draws floats, not {dtype}")).at(span));
    }
}

/// A parameter of a distribution as a tensor of this element type, of which numbers are made and
/// tensors must be.
#[track_caller]
fn parameter(name: &str, what: &str, x: impl Operand, dtype: Dtype, span: Span) -> Tensor {
    let x = operand(name, x, dtype);
    let aval = x.aval();
    if aval.dtype != dtype {
        raise::throw(Error::dtype(format!("`{name}`: {what} must be {dtype}, not {aval}")).at(span));
    }
    x
}

/// The parameter in the shape of the draw, to which it must broadcast.
#[track_caller]
fn spread(name: &str, what: &str, x: Tensor, shape: &Shape, span: Span) -> Tensor {
    let aval = x.aval();
    let missing = shape.rank().checked_sub(aval.shape.rank());
    let fits = missing.is_some_and(|m| aval.shape.iter().zip(&shape[m..]).all(|(n, wide)| n == wide || *n == 1));
    if !fits {
        let m = format!("`{name}`: {what}, {aval}, doesn't broadcast to the shape drawn, {shape}");
        raise::throw(Error::shape(m).at(span));
    }
    x.broadcast_to(shape.clone())
}
