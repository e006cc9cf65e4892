//! The normal distribution, all of it and a part.

/// The normal distribution of mean `loc` and standard deviation `scale`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor| stats::norm::logcdf(x, 0, 1));
/// assert_eq!(f(&Array::from(-1e4f64)).unwrap().item::<f64>().unwrap(), -50000010.12927891);
/// ```
pub mod norm {
    use crate::special::{floats, log_ndtr, ndtr, ndtri};
    use crate::tensor::{Operand, Tensor};
    use std::f64::consts::PI;

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::logpdf", x, loc, scale => logpdf(x, loc, scale));
        let z = (x - loc) / scale;
        -0.5 * (z * z) - scale.abs().log() - 0.5 * (2.0 * PI).ln()
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::pdf", x, loc, scale => pdf(x, loc, scale));
        logpdf(x, loc, scale).exp()
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::cdf", x, loc, scale => cdf(x, loc, scale));
        ndtr((x - loc) / scale)
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::logcdf", x, loc, scale => logcdf(x, loc, scale));
        log_ndtr((x - loc) / scale)
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::sf", x, loc, scale => sf(x, loc, scale));
        ndtr((loc - x) / scale)
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::logsf", x, loc, scale => logsf(x, loc, scale));
        log_ndtr((loc - x) / scale)
    }

    /// The inverse of the distribution function.
    #[track_caller]
    pub fn ppf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::ppf", q, loc, scale => ppf(q, loc, scale));
        ndtri(q) * scale + loc
    }

    /// The inverse of [`sf`].
    #[track_caller]
    pub fn isf(q: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("norm::isf", q, loc, scale => isf(q, loc, scale));
        -ndtri(q) * scale + loc
    }
}

/// The normal distribution of which only z = (x − loc)/scale between a and b counts; NaN unless a < b.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// // As good as an exponential distribution, far away.
/// let f = jit(|x: Tensor| stats::truncnorm::logpdf(x, 1e4, f64::INFINITY, 0, 1));
/// let y = f(&Array::from(1e4f64)).unwrap().item::<f64>().unwrap();
/// assert!((y - 1e4f64.ln()).abs() < 1e-6);
/// ```
pub mod truncnorm {
    use super::norm;
    use crate::special::{floats, log_ndtr, ndtr};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of P(a < N < b) for a < b, from the tail that both lie in, if they do.
    #[track_caller]
    fn log_mass(a: Tensor, b: Tensor) -> Tensor {
        let (left, right) = (b.le(0.0), a.gt(0.0));
        let tail = left.or(right);
        let low = tail.select(right.select(-b, a), -2.0);
        let high = tail.select(right.select(-a, b), -1.0);
        let high = log_ndtr(high);
        let of_tail = high + (-(log_ndtr(low) - high).expm1()).log();
        let (a, b) = (tail.select(-1.0, a), tail.select(1.0, b));
        tail.select(of_tail, (-ndtr(a) - ndtr(-b)).log1p())
    }

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::logpdf", x, a, b, loc, scale => logpdf(x, a, b, loc, scale));
        let z = (x - loc) / scale;
        let log = norm::logpdf(x, loc, scale) - log_mass(a, b);
        let log = z.lt(a).or(z.gt(b)).select(f64::NEG_INFINITY, log);
        a.ge(b).select(f64::NAN, log)
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::pdf", x, a, b, loc, scale => pdf(x, a, b, loc, scale));
        logpdf(x, a, b, loc, scale).exp()
    }

    /// The logarithm of the distribution function.
    #[track_caller]
    pub fn logcdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::logcdf", x, a, b, loc, scale => logcdf(x, a, b, loc, scale));
        let z = (x - loc) / scale;
        let (below, above) = (z.le(a), z.ge(b));
        // Somewhere between, where it is one of both.
        let middle = a.maximum(-1e3) * 0.5 + b.minimum(1e3) * 0.5;
        let inside = below.or(above).select(middle, z);
        let all = log_mass(a, b);
        let log = log_mass(a, inside) - all;
        // Near 0 by what is left of 1.
        let near = log.gt(-0.1);
        let rest = near.select(log_mass(inside, b) - all, -1.0);
        let log = near.select((-rest.exp()).log1p(), log);
        let log = above.select(0.0, below.select(f64::NEG_INFINITY, log));
        a.ge(b).select(f64::NAN, log)
    }

    /// The distribution function.
    #[track_caller]
    pub fn cdf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::cdf", x, a, b, loc, scale => cdf(x, a, b, loc, scale));
        logcdf(x, a, b, loc, scale).exp()
    }

    /// The logarithm of 1 minus the distribution function.
    #[track_caller]
    pub fn logsf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::logsf", x, a, b, loc, scale => logsf(x, a, b, loc, scale));
        logcdf(-x, -b, -a, -loc, scale)
    }

    /// 1 minus the distribution function.
    #[track_caller]
    pub fn sf(x: impl Operand, a: impl Operand, b: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("truncnorm::sf", x, a, b, loc, scale => sf(x, a, b, loc, scale));
        logsf(x, a, b, loc, scale).exp()
    }
}
