//! Distributions of whole numbers k, which are counted from `loc` on.

/// Poisson's distribution, of mean `mu`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|k: Tensor, mu: Tensor| stats::poisson::logpmf(k, mu, 0));
/// assert_eq!(f(&Array::from(0i32), &Array::from(2.0f64)).unwrap().item::<f64>().unwrap(), -2.0);
/// ```
pub mod poisson {
    use crate::special::{floats, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of k.
    #[track_caller]
    pub fn logpmf(k: impl Operand, mu: impl Operand, loc: impl Operand) -> Tensor {
        floats!("poisson::logpmf", k, mu, loc => logpmf(k, mu, loc));
        let n = k - loc;
        let outside = n.lt(0.0).or(k.round().not_equal(k));
        let n = outside.select(0.0, n);
        outside.select(f64::NEG_INFINITY, xlogy(n, mu) - (n + 1.0).lgamma() - mu)
    }

    /// The probability of k.
    #[track_caller]
    pub fn pmf(k: impl Operand, mu: impl Operand, loc: impl Operand) -> Tensor {
        floats!("poisson::pmf", k, mu, loc => pmf(k, mu, loc));
        logpmf(k, mu, loc).exp()
    }

    /// The probability of k and all below.
    #[track_caller]
    pub fn cdf(k: impl Operand, mu: impl Operand, loc: impl Operand) -> Tensor {
        floats!("poisson::cdf", k, mu, loc => cdf(k, mu, loc));
        let n = k - loc;
        let outside = n.lt(0.0);
        let next = (outside.select(0.0, n) + 1.0).floor();
        outside.select(0.0, next.igammac(mu))
    }
}

/// 1 with probability p, else 0.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|p: Tensor| stats::bernoulli::pmf(1, p, 0));
/// assert_eq!(f(&Array::from(0.25f64)).unwrap().item::<f64>().unwrap(), 0.25);
/// ```
pub mod bernoulli {
    use crate::special::{floats, xlog1py, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of k.
    #[track_caller]
    pub fn logpmf(k: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("bernoulli::logpmf", k, p, loc => logpmf(k, p, loc));
        let n = k - loc;
        let outside = n.lt(0.0).or(n.gt(1.0));
        let n = outside.select(0.5, n);
        let p = outside.select(0.5, p);
        outside.select(f64::NEG_INFINITY, xlogy(n, p) + xlog1py(1.0 - n, -p))
    }

    /// The probability of k.
    #[track_caller]
    pub fn pmf(k: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("bernoulli::pmf", k, p, loc => pmf(k, p, loc));
        logpmf(k, p, loc).exp()
    }

    /// The probability of k and all below.
    #[track_caller]
    pub fn cdf(k: impl Operand, p: impl Operand) -> Tensor {
        floats!("bernoulli::cdf", k, p => cdf(k, p));
        let nowhere = k.is_nan().or(p.is_nan()).or(p.lt(0.0)).or(p.gt(1.0));
        let value = k.lt(0.0).select(0.0, k.lt(1.0).select(1.0 - p, 1.0));
        nowhere.select(f64::NAN, value)
    }

    /// The least k whose [`cdf`] isn't below q; NaN outside of [0, 1].
    #[track_caller]
    pub fn ppf(q: impl Operand, p: impl Operand) -> Tensor {
        floats!("bernoulli::ppf", q, p => ppf(q, p));
        let value = q.gt(1.0 - p).convert(q.dtype());
        let value = p.ge(0.0).and(p.le(1.0)).select(value, f64::NAN);
        super::super::probability(q, value)
    }
}

/// The binomial distribution: how often of n times something happens whose probability is p.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|p: Tensor| stats::binom::pmf(1, 3, p, 0));
/// assert!((f(&Array::from(0.5f64)).unwrap().item::<f64>().unwrap() - 0.375).abs() < 1e-15);
/// ```
pub mod binom {
    use crate::special::{betaln, floats, xlog1py, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of k.
    #[track_caller]
    pub fn logpmf(k: impl Operand, n: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("binom::logpmf", k, n, p, loc => logpmf(k, n, p, loc));
        let inside = k.ge(loc).and(k.lt(loc + n + 1.0));
        let (m, n, p) = (inside.select(k - loc, 1.0), inside.select(n, 2.0), inside.select(p, 0.5));
        let choices = -betaln(n - m + 1.0, m + 1.0) - (n + 1.0).log();
        let linear = xlogy(m, p) + xlog1py(n - m, -p);
        // Where it is sure, rounding mustn't say otherwise.
        let sure = m.equal(0.0).and(n.equal(0.0)).or(linear.equal(0.0));
        inside.select(sure.select(0.0, choices + linear), f64::NEG_INFINITY)
    }

    /// The probability of k.
    #[track_caller]
    pub fn pmf(k: impl Operand, n: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("binom::pmf", k, n, p, loc => pmf(k, n, p, loc));
        logpmf(k, n, p, loc).exp()
    }
}

/// The geometric distribution: which try is the first in which something happens whose probability is p.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|p: Tensor| stats::geom::pmf(2, p, 0));
/// assert!((f(&Array::from(0.25f64)).unwrap().item::<f64>().unwrap() - 0.1875).abs() < 1e-15);
/// ```
pub mod geom {
    use crate::special::{floats, xlog1py};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of k, from 1 on.
    #[track_caller]
    pub fn logpmf(k: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("geom::logpmf", k, p, loc => logpmf(k, p, loc));
        let n = k - loc;
        let outside = n.le(0.0);
        let log = xlog1py(outside.select(1.0, n) - 1.0, -p) + p.log();
        outside.select(f64::NEG_INFINITY, log)
    }

    /// The probability of k.
    #[track_caller]
    pub fn pmf(k: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("geom::pmf", k, p, loc => pmf(k, p, loc));
        logpmf(k, p, loc).exp()
    }
}

/// The negative binomial distribution: how often something doesn't happen, whose probability is p, before
/// it has n times.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|p: Tensor| stats::nbinom::pmf(0, 2, p, 0));
/// assert!((f(&Array::from(0.5f64)).unwrap().item::<f64>().unwrap() - 0.25).abs() < 1e-15);
/// ```
pub mod nbinom {
    use crate::special::{betaln, floats, xlog1py, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of k.
    #[track_caller]
    pub fn logpmf(k: impl Operand, n: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("nbinom::logpmf", k, n, p, loc => logpmf(k, n, p, loc));
        let outside = k.lt(loc);
        let m = outside.select(0.0, k - loc);
        let choices = -betaln(n, m + 1.0) - (n + m).log();
        let log = choices + xlogy(n, p) + xlog1py(m, -p);
        outside.select(f64::NEG_INFINITY, log)
    }

    /// The probability of k.
    #[track_caller]
    pub fn pmf(k: impl Operand, n: impl Operand, p: impl Operand, loc: impl Operand) -> Tensor {
        floats!("nbinom::pmf", k, n, p, loc => pmf(k, n, p, loc));
        logpmf(k, n, p, loc).exp()
    }
}
