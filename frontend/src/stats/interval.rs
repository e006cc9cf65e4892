//! Distributions on an interval.

/// The beta distribution: of density zᵃ⁻¹(1 − z)ᵇ⁻¹/B(a, b) for z = (x − loc)/scale in [0, 1], by `scale`;
/// NaN where a, b or scale isn't positive.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::beta::pdf(x, 2, 2, 0, 1));
/// assert!((f(&Array::from(0.5f64)).unwrap().item::<f64>().unwrap() - 1.5).abs() < 1e-15);
/// ```
pub mod beta {
    use crate::special::{betainc, betaln, floats, no_beta, xlog1py, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// Where z is not above and not below the support's inside, and z, or ½ there. At the ends, where the
    /// density may be infinite, slopes are 0, as in JAX.
    #[track_caller]
    fn inside(x: Tensor, loc: Tensor, scale: Tensor) -> (Tensor, Tensor, Tensor) {
        let z = (x - loc) / scale;
        let (below, above) = (z.le(0.0), z.ge(1.0));
        (below, above, below.or(above).select(0.5, z))
    }

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::logpdf", x, a, b, loc, scale => logpdf(x, a, b, loc, scale));
        let (below, above) = (x.lt(loc), x.gt(loc + scale));
        let outside = below.or(above);
        let z = outside.select(0.5, (x - loc) / scale);
        let log = xlogy(a - 1.0, z) + xlog1py(b - 1.0, -z) - betaln(a, b) - scale.log();
        let log = outside.select(f64::NEG_INFINITY, log);
        a.le(0.0).or(b.le(0.0)).or(scale.le(0.0)).select(f64::NAN, log)
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::pdf", x, a, b, loc, scale => pdf(x, a, b, loc, scale));
        logpdf(x, a, b, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::cdf", x, a, b, loc, scale => cdf(x, a, b, loc, scale));
        let (below, above, z) = inside(x, loc, scale);
        no_beta(a, b).select(f64::NAN, below.select(0.0, above.select(1.0, betainc(a, b, z))))
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::logcdf", x, a, b, loc, scale => logcdf(x, a, b, loc, scale));
        cdf(x, a, b, loc, scale).log()
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::sf", x, a, b, loc, scale => sf(x, a, b, loc, scale));
        let (below, above, z) = inside(x, loc, scale);
        no_beta(a, b).select(f64::NAN, below.select(1.0, above.select(0.0, betainc(b, a, 1.0 - z))))
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("beta::logsf", x, a, b, loc, scale => logsf(x, a, b, loc, scale));
        sf(x, a, b, loc, scale).log()
    }
}

/// The uniform distribution from `loc` to `loc + scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::uniform::cdf(x, 1, 4));
/// assert_eq!(f(&Array::from(2.0f64)).unwrap().item::<f64>().unwrap(), 0.25);
/// ```
pub mod uniform {
    use super::super::probability;
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("uniform::logpdf", x, loc, scale => logpdf(x, loc, scale));
        x.lt(loc).or(x.gt(loc + scale)).select(f64::NEG_INFINITY, -scale.log())
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("uniform::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("uniform::cdf", x, loc, scale => cdf(x, loc, scale));
        x.lt(loc).select(0.0, x.gt(loc + scale).select(1.0, (x - loc) / scale))
    }

    /// The inverse of the distribution function; NaN outside of [0, 1].
    #[track_caller]
    pub fn ppf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("uniform::ppf", q, loc, scale => ppf(q, loc, scale));
        probability(q, loc + scale * q)
    }
}
