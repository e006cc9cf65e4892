//! Linear algebra: factorisations of matrices, and what is made of them.
//!
//! A matrix is the last two axes of a tensor of floats; axes before them are a batch. The primitives
//! are the factorisations themselves and the triangular solve; all else is composed of them. On the CPU
//! they are [faer](https://docs.rs/faer)'s, which follow Golub and Van Loan, *Matrix Computations*
//! (4th edition, 2013), and LAPACK; under strict numerics they are that book's algorithms as they stand.
//! Vulkan devices refuse them by name.
//!
//! Every function has derivatives of every order, in the form that JAX has them (Giles, "An extended
//! collection of matrix derivative results for forward and reverse mode AD", 2008), and can be batched.
//! A matrix that lacks what a function asks of it (is not positive definite, is singular) gives NaN or
//! infinity, not an error.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit, linalg};
//!
//! // The log-density of a normal distribution with mean 0, up to a constant, and its derivative.
//! fn log_density(covariance: Tensor, x: Tensor) -> Tensor {
//!     let l = linalg::cholesky(covariance);
//!     let z = linalg::cho_solve(l, x);
//!     -0.5 * x.dot(z) - l.diagonal().log().sum()
//! }
//! # fn main() -> egrad::Result<()> {
//! let covariance = Array::from_vec(vec![4.0f64, 0.0, 0.0, 1.0], [2, 2])?;
//! let x = Array::from_vec(vec![2.0f64, 1.0], [2])?;
//! let y = jit(log_density)(&covariance, &x)?;
//! assert!((y.item::<f64>()? - (-1.0 - 2.0f64.ln())).abs() < 1e-12);
//! let gradient = jit(grad(log_density))(&covariance, &x)?;
//! assert!((gradient.as_slice::<f64>().unwrap()[0]).abs() < 1e-12);
//! # Ok(()) }
//! ```

mod exponential;
mod factor;
mod full;
mod functions;
mod solve;

pub use egrad_ir::Triangle;
pub use exponential::expm;
pub use factor::{cholesky, eigh, eigvalsh, lu, qr, svd, svdvals};
pub use full::{qr_full, svd_full};
pub use functions::{Norm, cond, det, matrix_power, matrix_rank, norm, slogdet, trace, vector_norm};
pub use solve::{cho_solve, inv, lstsq, pinv, solve, triangular_solve, triangular_solve_right};

use crate::raise;
use crate::tensor::Tensor;
use crate::trace::Tape;
use egrad_ir::builder::Recorder;
use egrad_ir::{Error, Factor, Linalg, Op, Span};

impl Tensor {
    /// See [`linalg::cholesky`](cholesky()).
    #[track_caller]
    pub fn cholesky(self) -> Tensor {
        cholesky(self)
    }

    /// The x with `self` x = `b`; see [`linalg::solve`](solve()).
    #[track_caller]
    pub fn solve(self, b: Tensor) -> Tensor {
        solve::solve(self, b)
    }

    /// The inverse matrix; see [`linalg::inv`](inv()).
    #[track_caller]
    pub fn inv(self) -> Tensor {
        inv(self)
    }

    /// The determinant; see [`linalg::det`](det()).
    #[track_caller]
    pub fn det(self) -> Tensor {
        det(self)
    }

    /// The sum of the diagonal; see [`linalg::trace`](trace()).
    #[track_caller]
    pub fn trace(self) -> Tensor {
        functions::trace(self)
    }
}

/// The packed result of a factorisation.
#[track_caller]
fn factored(factor: Factor, x: Tensor) -> Tensor {
    crate::trace::add(Op::Linalg(Linalg::Factor(factor)), &[x], Span::here())
}

/// Rows and columns of a float matrix, or the operation named so ends.
#[track_caller]
fn matrix(name: &str, x: Tensor) -> [usize; 2] {
    let aval = x.aval();
    let span = Span::here();
    let fail = |e: Error| raise::throw(Tape.blame(e, &[x], span));
    if aval.shape.rank() < 2 {
        fail(Error::shape(format!("`{name}` takes matrices, with at least two axes, not {aval}")));
    }
    if !aval.dtype.is_float() {
        fail(Error::dtype(format!("`{name}` takes floats, not {aval}: convert it")));
    }
    let wide = aval.dtype.computed();
    if wide != aval.dtype {
        fail(Error::dtype(format!("`{name}` doesn't take {aval}: convert it to {wide}, and the result back")));
    }
    let lead = aval.shape.rank() - 2;
    [aval.shape[lead], aval.shape[lead + 1]]
}

/// The size of a square float matrix, or the operation named so ends.
#[track_caller]
fn square(name: &str, x: Tensor) -> usize {
    let [m, n] = matrix(name, x);
    if m != n {
        let m = format!("`{name}` takes square matrices in the last two axes, not {}", x.aval());
        raise::throw(Tape.blame(Error::shape(m), &[x], Span::here()));
    }
    n
}

/// xᵀ of the last two axes.
#[track_caller]
fn turned(x: Tensor) -> Tensor {
    x.swap_axes(-2, -1)
}
