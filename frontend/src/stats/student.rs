//! Student's distribution.

/// Student's t distribution of `df` degrees of freedom, of z = (x − loc)/scale.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stats};
/// // With one degree of freedom it is Cauchy's.
/// let f = jit(|x: Tensor| stats::t::logpdf(x, 1, 0, 1) - stats::cauchy::logpdf(x, 0, 1));
/// assert!(f(&Array::from(3.0f64)).unwrap().item::<f64>().unwrap().abs() < 1e-15);
/// ```
pub mod t {
    use crate::special::{betaln, floats};
    use crate::tensor::{Operand, Tensor};

    /// The logarithm of the density.
    #[track_caller]
    pub fn logpdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("t::logpdf", x, df, loc, scale => logpdf(x, df, loc, scale));
        let (half, z) = (df * 0.5, (x - loc) / scale);
        // Γ(df/2)/Γ((df + 1)/2) is B(df/2, 1/2)/√π.
        let constant = betaln(half, 0.5) + 0.5 * df.log() + scale.abs().log();
        -(constant + (half + 0.5) * (z * z / df).log1p())
    }

    /// The density.
    #[track_caller]
    pub fn pdf(x: impl Operand, df: impl Operand, loc: impl Operand, scale: impl Operand) -> Tensor {
        floats!("t::pdf", x, df, loc, scale => pdf(x, df, loc, scale));
        logpdf(x, df, loc, scale).exp()
    }
}
