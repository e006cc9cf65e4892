//! Distributions of vectors.

/// Normal vectors of a mean and a covariance.
///
/// ```
/// # use egrad::{Array, Tensor, eye, jit, stats};
/// let f = jit(|x: Tensor| stats::multivariate_normal::logpdf(x, 0.0 * x, eye(2, 2, x.dtype())));
/// let y = f(&Array::from_vec(vec![3.0f64, 4.0], [2]).unwrap()).unwrap().item::<f64>().unwrap();
/// assert_eq!(y, -12.5 - (2.0 * std::f64::consts::PI).ln());
/// ```
pub mod multivariate_normal {
    use crate::linalg::{Triangle, triangular_solve};
    use crate::raise;
    use crate::special::floats;
    use crate::tensor::{Operand, Tensor};
    use egrad_ir::{Error, Span};
    use std::f64::consts::PI;

    /// The logarithm of the density, for vectors along the last axis of `x` and `mean`; other axes
    /// broadcast, and are those of the result.
    ///
    /// `cov` is a matrix along its last two axes, positive definite (else the result is NaN), of which the
    /// factorisation is on the CPU and the interpreter alone; or a scalar, the variance in every direction.
    /// A scalar `mean` is that of a normal number.
    ///
    /// # Errors and panics
    /// As the other functions; [`Error::Shape`] if the lengths of the vectors and of `cov` aren't one.
    #[track_caller]
    pub fn logpdf(x: impl Operand, mean: impl Operand, cov: impl Operand) -> Tensor {
        let (name, span) = ("multivariate_normal::logpdf", Span::here());
        floats!(name, x, mean, cov => logpdf(x, mean, cov));
        if mean.rank() == 0 {
            return -0.5 * ((x - mean).square() / cov) - 0.5 * ((2.0 * PI).ln() + cov.log());
        }
        let (y, shape) = (x - mean, cov.shape());
        let n = mean.shape()[mean.rank() - 1];
        let constant = 0.5 * n as f64 * (2.0 * PI).ln();
        if shape.rank() == 0 {
            let half = 0.5 * n as f64;
            return -0.5 * (y.square().sum_axes(-1) / cov) - half * cov.log() - constant;
        }
        if shape.rank() < 2 || shape[shape.rank() - 2..] != [n, n] || y.shape()[y.rank() - 1] != n {
            let m = format!(
                "`{name}` of vectors of length {n}, {} − {}: the covariance is {}",
                x.aval(),
                mean.aval(),
                cov.aval()
            );
            raise::throw(Error::shape(m).at(span));
        }
        let factor = cov.cholesky();
        let half_log = factor.diagonal().log().sum_axes(-1);
        let square = whitened(factor, y).square().sum_axes(-1);
        -0.5 * square - constant - half_log
    }

    /// L⁻¹y along the last axis of y.
    #[track_caller]
    fn whitened(factor: Tensor, y: Tensor) -> Tensor {
        let lower = Triangle { lower: true, ..Triangle::default() };
        let (wide, n) = (y.shape(), y.shape()[y.rank() - 1]);
        if factor.rank() == 2 {
            // All of them are columns of one matrix.
            let columns = y.reshape([y.size() / n.max(1), n]).transpose([1, 0]);
            return triangular_solve(factor, columns, lower).transpose([1, 0]).reshape(wide);
        }
        let [of_factor, of_y] = [(factor, 2), (y, 1)].map(|(x, last)| {
            let shape = x.shape();
            shape[..shape.rank() - last].to_vec()
        });
        let batch =
            raise::get(egrad_ir::infer::broadcast(&of_factor.into(), &of_y.into()).map_err(|e| e.at(Span::here())));
        let factor = factor.broadcast_to([&batch[..], &[n, n]].concat());
        let y = y.broadcast_to([&batch[..], &[n]].concat());
        triangular_solve(factor, y.expand_dims(-1), lower).reshape(y.shape())
    }

    /// The density; see [`logpdf`].
    ///
    /// # Errors and panics
    /// As [`logpdf`].
    #[track_caller]
    pub fn pdf(x: impl Operand, mean: impl Operand, cov: impl Operand) -> Tensor {
        floats!("multivariate_normal::pdf", x, mean, cov => pdf(x, mean, cov));
        logpdf(x, mean, cov).exp()
    }
}

/// Points of a simplex, of concentrations `alpha`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, ones, stats};
/// let f = jit(|x: Tensor| stats::dirichlet::pdf(x, ones([3], x.dtype())));
/// let y = f(&Array::from_vec(vec![0.5f64, 0.25, 0.25], [3]).unwrap()).unwrap().item::<f64>().unwrap();
/// assert!((y - 2.0).abs() < 1e-14);
/// ```
pub mod dirichlet {
    use crate::raise;
    use crate::special::{floats, xlogy};
    use crate::tensor::{Operand, Tensor, concatenate};
    use egrad_ir::{Dtype, Error, Span};

    /// The logarithm of the density, for points along the first axis of `x` (as in SciPy) and one `alpha`
    /// for each coordinate; the last coordinate may be left out. It is −∞ unless all are positive and their
    /// sum is within 10⁻⁶ of 1.
    ///
    /// # Errors and panics
    /// As the other functions; [`Error::Shape`] if there isn't one number in `alpha` for each coordinate.
    #[track_caller]
    pub fn logpdf(x: impl Operand, alpha: impl Operand) -> Tensor {
        let (name, span) = ("dirichlet::logpdf", Span::here());
        floats!(name, x, alpha => logpdf(x, alpha));
        let (of_x, of_alpha) = (x.shape(), alpha.shape());
        let fits = |n: usize| of_x.first().is_some_and(|m| *m == n || m + 1 == n);
        if of_alpha.rank() != 1 || !fits(of_alpha[0]) {
            let m = format!(
                "`{name}` takes points along the first axis and a vector `alpha`, not {} and {}",
                x.aval(),
                alpha.aval()
            );
            raise::throw(Error::shape(m).at(span));
        }
        let x = if of_x[0] == of_alpha[0] { x } else { concatenate([x, 1.0 - x.sum_keepdims(0)], 0) };
        let positive = x.gt(0.0).not().convert(Dtype::I32).sum_axes(0).equal(0);
        let simplex = positive.and((x.sum_axes(0) - 1.0).abs().lt(1e-6));
        let constant = alpha.lgamma().sum() - alpha.sum().lgamma();
        let each = alpha.reshape([&of_alpha[..], &vec![1; of_x.rank() - 1]].concat());
        let inside = simplex.expand_dims(0).broadcast_to(x.shape()).select(x, 1.0);
        let log = xlogy(each - 1.0, inside).sum_axes(0) - constant;
        simplex.select(log, f64::NEG_INFINITY)
    }

    /// The density; see [`logpdf`].
    ///
    /// # Errors and panics
    /// As [`logpdf`].
    #[track_caller]
    pub fn pdf(x: impl Operand, alpha: impl Operand) -> Tensor {
        floats!("dirichlet::pdf", x, alpha => pdf(x, alpha));
        logpdf(x, alpha).exp()
    }
}

/// How often each of several things happens in n times, whose probabilities are p.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// let f = jit(|x: Tensor, p: Tensor| stats::multinomial::pmf(x, 3, p));
/// let (x, p) = (Array::from_vec(vec![2i32, 1], [2]).unwrap(), Array::from_vec(vec![0.5f64, 0.5], [2]).unwrap());
/// assert!((f(&x, &p).unwrap().item::<f64>().unwrap() - 0.375).abs() < 1e-15);
/// ```
pub mod multinomial {
    use crate::special::{floats, xlogy};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the probability of the counts along the last axis of `x`, whose probabilities are
    /// along that of `p`; −∞ where their sum isn't n.
    ///
    /// # Errors and panics
    /// As the other functions; [`Error::Axis`](crate::Error::Axis) if `x` and `p` are scalars.
    #[track_caller]
    pub fn logpmf(x: impl Operand, n: impl Operand, p: impl Operand) -> Tensor {
        floats!("multinomial::logpmf", x, n, p => logpmf(x, n, p));
        let fits = x.sum_axes(-1).equal(n);
        let log = (n + 1.0).lgamma() + (xlogy(x, p) - (x + 1.0).lgamma()).sum_axes(-1);
        fits.select(log, f64::NEG_INFINITY)
    }

    /// The probability of the counts; see [`logpmf`].
    ///
    /// # Errors and panics
    /// As [`logpmf`].
    #[track_caller]
    pub fn pmf(x: impl Operand, n: impl Operand, p: impl Operand) -> Tensor {
        floats!("multinomial::pmf", x, n, p => pmf(x, n, p));
        logpmf(x, n, p).exp()
    }
}
