//! Distributions of positive numbers.

/// The gamma distribution: of density zᵃ⁻¹e⁻ᶻ/Γ(a) for z = (x − loc)/scale, by `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| (stats::gamma::logpdf(x, 1, 0, 1), stats::gamma::logpdf(-x, 1, 0, 1)));
/// let (y, z) = f(&Array::from(3.0f64)).unwrap();
/// assert_eq!([y, z].map(|y| y.item::<f64>().unwrap()), [-3.0, f64::NEG_INFINITY]);
/// ```
pub mod gamma {
    use super::super::positive_part;
    use crate::special::{floats, xlogy};
    use crate::tensor::{Operand, Tensor, operand};

    /// Whether z isn't positive, and z, or 1 there. At 0, where the density may be infinite, the slope is 0,
    /// as in JAX.
    #[track_caller]
    fn positive(x: Tensor, loc: Tensor, scale: Tensor) -> (Tensor, Tensor) {
        let z = (x - loc) / scale;
        let below = z.le(0.0);
        (below, below.select(1.0, z))
    }

    /// The value at the lower end, where there is such a distribution.
    #[track_caller]
    fn end(a: Tensor, value: f64) -> Tensor {
        a.gt(0.0).select(operand("gamma", value, a.dtype()), f64::NAN)
    }

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::logpdf", x, a, loc, scale => logpdf(x, a, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        let log = xlogy(a - 1.0, z) - z - (a.lgamma() + scale.log());
        outside.select(f64::NEG_INFINITY, log)
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::pdf", x, a, loc, scale => pdf(x, a, loc, scale));
        logpdf(x, a, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::cdf", x, a, loc, scale => cdf(x, a, loc, scale));
        let (below, z) = positive(x, loc, scale);
        below.select(end(a, 0.0), a.igamma(z))
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::logcdf", x, a, loc, scale => logcdf(x, a, loc, scale));
        cdf(x, a, loc, scale).log()
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::sf", x, a, loc, scale => sf(x, a, loc, scale));
        let (below, z) = positive(x, loc, scale);
        below.select(end(a, 1.0), a.igammac(z))
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, a: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("gamma::logsf", x, a, loc, scale => logsf(x, a, loc, scale));
        sf(x, a, loc, scale).log()
    }
}

/// The distribution of the sum of the squares of `df` standard normal numbers, as z = (x − loc)/scale.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::chi2::sf(x, 2, 0, 1));
/// assert!((f(&Array::from(3.0f64)).unwrap().item::<f64>().unwrap() - (-1.5f64).exp()).abs() < 1e-15);
/// ```
pub mod chi2 {
    use super::super::positive_part;
    use crate::special::{floats, xlogy};
    use crate::tensor::{Operand, Tensor};
    use std::f64::consts::LN_2;

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::logpdf", x, df, loc, scale => logpdf(x, df, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        let half = df * 0.5;
        let log = xlogy(half - 1.0, z) - z * 0.5 - (half.lgamma() + LN_2 * half) - scale.log();
        outside.select(f64::NEG_INFINITY, log)
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::pdf", x, df, loc, scale => pdf(x, df, loc, scale));
        logpdf(x, df, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::cdf", x, df, loc, scale => cdf(x, df, loc, scale));
        super::gamma::cdf(x, df * 0.5, loc, scale * 2.0)
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::logcdf", x, df, loc, scale => logcdf(x, df, loc, scale));
        cdf(x, df, loc, scale).log()
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::sf", x, df, loc, scale => sf(x, df, loc, scale));
        super::gamma::sf(x, df * 0.5, loc, scale * 2.0)
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("chi2::logsf", x, df, loc, scale => logsf(x, df, loc, scale));
        sf(x, df, loc, scale).log()
    }
}

/// The exponential distribution: of density e⁻ᶻ for z = (x − loc)/scale, by `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|q: Tensor| stats::expon::cdf(stats::expon::ppf(q, 1, 2), 1, 2));
/// assert!((f(&Array::from(0.25f64)).unwrap().item::<f64>().unwrap() - 0.25).abs() < 1e-15);
/// ```
pub mod expon {
    use super::super::{positive_part, probability};
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::logpdf", x, loc, scale => logpdf(x, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        outside.select(f64::NEG_INFINITY, -(z + scale.log()))
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::cdf", x, loc, scale => cdf(x, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        outside.select(0.0, -(-z).expm1())
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::logcdf", x, loc, scale => logcdf(x, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        // The logarithm of what is small, or of what is close to 1.
        let small = z.lt(1.0);
        let log = small.select((-(-z).expm1()).log(), (-(-small.select(1.0, z)).exp()).log1p());
        outside.select(f64::NEG_INFINITY, log)
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::logsf", x, loc, scale => logsf(x, loc, scale));
        let (outside, z) = positive_part(x, loc, scale);
        outside.select(0.0, -z)
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::sf", x, loc, scale => sf(x, loc, scale));
        logsf(x, loc, scale).exp()
    }

    /// The inverse of the distribution function; NaN outside of [0, 1].
    #[track_caller]
    pub fn ppf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("expon::ppf", q, loc, scale => ppf(q, loc, scale));
        probability(q, loc - scale * (-q).log1p())
    }
}

/// Pareto's distribution: of density b/zᵇ⁺¹ for z = (x − loc)/scale from 1 on, by `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::pareto::sf(x, 2, 0, 3));
/// assert!((f(&Array::from(6.0f64)).unwrap().item::<f64>().unwrap() - 0.25).abs() < 1e-15);
/// ```
pub mod pareto {
    use super::super::probability;
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};

    /// Where x is below the support, and z, or 2 there.
    #[track_caller]
    fn above(x: Tensor, loc: Tensor, scale: Tensor) -> (Tensor, Tensor) {
        let below = x.lt(loc + scale);
        (below, below.select(2.0, (x - loc) / scale))
    }

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::logpdf", x, b, loc, scale => logpdf(x, b, loc, scale));
        let (below, z) = above(x, loc, scale);
        below.select(f64::NEG_INFINITY, -((scale / b).log() + (b + 1.0) * z.log()))
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::pdf", x, b, loc, scale => pdf(x, b, loc, scale));
        logpdf(x, b, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::cdf", x, b, loc, scale => cdf(x, b, loc, scale));
        let (below, z) = above(x, loc, scale);
        below.select(0.0, -(-b * z.log()).expm1())
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::logcdf", x, b, loc, scale => logcdf(x, b, loc, scale));
        let (below, z) = above(x, loc, scale);
        below.select(f64::NEG_INFINITY, (-z.pow(-b)).log1p())
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::logsf", x, b, loc, scale => logsf(x, b, loc, scale));
        let (below, z) = above(x, loc, scale);
        below.select(0.0, -(b * z.log()))
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::sf", x, b, loc, scale => sf(x, b, loc, scale));
        logsf(x, b, loc, scale).exp()
    }

    /// The inverse of the distribution function; NaN outside of [0, 1].
    #[track_caller]
    pub fn ppf(q: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("pareto::ppf", q, b, loc, scale => ppf(q, b, loc, scale));
        probability(q, loc + scale * (1.0 - q).pow(-1.0 / b))
    }
}
