//! Densities and distribution functions, under the names that `jax.scipy.stats` has for them.
//!
//! A distribution is a module, and its functions take a value and then the parameters, all of them:
//! where SciPy's have defaults (0 for `loc` and 1 for `scale`), write those. All go element by element
//! and broadcast, but for those of vectors: [`multivariate_normal`], [`dirichlet`], [`multinomial`].
//! Arguments are as those of [`special`](crate::special): floats of one type, which whole numbers and
//! tensors of integers take.
//!
//! ```
//! use egrad::{Array, Tensor, jit, stats, value_and_grad};
//! # fn main() -> egrad::Result<()> {
//! // The negative log-likelihood of a normal distribution, by its mean.
//! let loss = |mean: Tensor, x: Tensor| -stats::norm::logpdf(x, mean, 2.0).sum();
//! let x = Array::from_vec(vec![1.0f64, 2.0, 6.0], [3])?;
//! let (_, slope) = jit(value_and_grad(loss))(&Array::from(3.0f64), &x)?;
//! assert_eq!(slope.item::<f64>()?, 0.0);
//! # Ok(()) }
//! ```
//!
//! Outside of a distribution's support a density is 0 and its logarithm −∞, with the derivative 0; so a
//! gradient of a sum over data is finite wherever JAX's is. Derivatives exist by every argument, and whole
//! numbers counted by `k` are treated as any others are.
//!
//! Of parameters that there is no distribution of (a negative `df`, a NaN) results are as JAX's, mostly NaN;
//! but they are NaN also where JAX has a number by accident, as of a value that is NaN itself.
//!
//! | on | |
//! |---|---|
//! | the real line | [`cauchy`], [`laplace`], [`logistic`], [`norm`], [`t`], [`truncnorm`] |
//! | what is positive | [`chi2`], [`expon`], [`gamma`], [`pareto`] |
//! | an interval | [`beta`], [`uniform`] |
//! | whole numbers | [`bernoulli`], [`binom`], [`geom`], [`nbinom`], [`poisson`] |
//! | vectors | [`dirichlet`], [`multinomial`], [`multivariate_normal`] |

mod discrete;
mod interval;
mod line;
mod normal;
mod positive;
mod student;
mod vectors;

pub use discrete::{bernoulli, binom, geom, nbinom, poisson};
pub use interval::{beta, uniform};
pub use line::{cauchy, laplace, logistic};
pub use normal::{norm, truncnorm};
pub use positive::{chi2, expon, gamma, pareto};
pub use student::t;
pub use vectors::{dirichlet, multinomial, multivariate_normal};

use crate::tensor::Tensor;

/// Whether x is below loc, and z = (x − loc)/scale, or 1 there.
#[track_caller]
fn positive_part(x: Tensor, loc: Tensor, scale: Tensor) -> (Tensor, Tensor) {
    let below = x.lt(loc);
    (below, below.select(1.0, (x - loc) / scale))
}

/// The value where q is a probability, else NaN.
#[track_caller]
fn probability(q: Tensor, value: Tensor) -> Tensor {
    q.ge(0.0).and(q.le(1.0)).select(value, f64::NAN)
}
