//! Distributions on the real line.

/// Cauchy's distribution: of density 1/π(1 + z²) for z = (x − loc)/scale, by `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::cauchy::cdf(x, 0, 2));
/// assert_eq!(f(&Array::from(2.0f64)).unwrap().item::<f64>().unwrap(), 0.75);
/// ```
pub mod cauchy {
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};
    use std::f64::consts::PI;

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::logpdf", x, loc, scale => logpdf(x, loc, scale));
        let z = (x - loc) / scale;
        -((PI * scale).log() + (z * z).log1p())
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::cdf", x, loc, scale => cdf(x, loc, scale));
        0.5 + ((x - loc) / scale).atan() / PI
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::logcdf", x, loc, scale => logcdf(x, loc, scale));
        cdf(x, loc, scale).log()
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::sf", x, loc, scale => sf(x, loc, scale));
        cdf(-x, -loc, scale)
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::logsf", x, loc, scale => logsf(x, loc, scale));
        sf(x, loc, scale).log()
    }

    /// The inverse of the distribution function.
    #[track_caller]
    pub fn ppf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::ppf", q, loc, scale => ppf(q, loc, scale));
        quantile(q) * scale + loc
    }

    /// The inverse of [`sf`].
    #[track_caller]
    pub fn isf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("cauchy::isf", q, loc, scale => isf(q, loc, scale));
        -quantile(q) * scale + loc
    }

    /// tan π(q − ½), of the angle to the nearer of ½ and an end, in which no digits are lost.
    #[track_caller]
    fn quantile(q: Tensor) -> Tensor {
        let (centre, upper) = (q - 0.5, q.gt(0.5));
        let near = centre.abs().le(0.25);
        let tan = (PI * near.select(centre, upper.select(1.0 - q, -q))).tan();
        near.select(tan, 1.0 / near.select(1.0, tan))
    }
}

/// Laplace's distribution: of density e^(−|z|)/2 for z = (x − loc)/scale, by `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::laplace::cdf(x, 1, 2));
/// assert_eq!(f(&Array::from(1.0f64)).unwrap().item::<f64>().unwrap(), 0.5);
/// ```
pub mod laplace {
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("laplace::logpdf", x, loc, scale => logpdf(x, loc, scale));
        -((x - loc).abs() / scale + (2.0 * scale).log())
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("laplace::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("laplace::cdf", x, loc, scale => cdf(x, loc, scale));
        let z = (x - loc) / scale;
        let below = z.le(0.0);
        let half = 0.5 * below.select(z, -z).exp();
        below.select(half, 1.0 - half)
    }
}

/// The logistic distribution: of distribution function 1/(1 + e⁻ᶻ) for z = (x − loc)/scale.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::logistic::logpdf(x, 0, 1));
/// assert_eq!(f(&Array::from(1e4f64)).unwrap().item::<f64>().unwrap(), -1e4);
/// ```
pub mod logistic {
    use crate::special::{expit, floats, logit};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::logpdf", x, loc, scale => logpdf(x, loc, scale));
        let half = (x - loc) / scale * 0.5;
        -2.0 * half.logaddexp(-half) - scale.log()
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::cdf", x, loc, scale => cdf(x, loc, scale));
        expit((x - loc) / scale)
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::sf", x, loc, scale => sf(x, loc, scale));
        expit(-((x - loc) / scale))
    }

    /// The inverse of the distribution function.
    #[track_caller]
    pub fn ppf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::ppf", q, loc, scale => ppf(q, loc, scale));
        logit(q) * scale + loc
    }

    /// The inverse of [`sf`].
    #[track_caller]
    pub fn isf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("logistic::isf", q, loc, scale => isf(q, loc, scale));
        -logit(q) * scale + loc
    }
}
