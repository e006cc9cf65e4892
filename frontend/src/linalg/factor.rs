//! The factorisations.

use super::{factored, matrix, square, triangular_solve, turned};
use crate::tensor::{Tensor, concatenate, eye};
use egrad_ir::{Dtype, Factor, Triangle};

/// The lower triangular L with L Lᵀ = (x + xᵀ)/2, for x `[…, n, n]` positive definite (which by
/// symmetric x is x itself); as in JAX the triangle is NaN where x is not positive definite.
///
/// Golub and Van Loan, algorithm 4.2.1; the derivative is Murray, "Differentiation of the Cholesky
/// decomposition" (2016).
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![4.0f64, 2.0, 2.0, 5.0], [2, 2]).unwrap();
/// let l = jit(linalg::cholesky)(&a).unwrap();
/// assert_eq!(l.as_slice::<f64>().unwrap(), [2.0, 0.0, 1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn cholesky(x: Tensor) -> Tensor {
    let _in = crate::raise::within("cholesky");
    square("cholesky", x);
    factored(Factor::Cholesky, x)
}

/// `(order, l, u)` of x `[…, m, n]`, by partial pivoting: the rows of x in that order (`i32`, `[…, m]`)
/// are l u, with l `[…, m, k]` lower triangular with ones on the diagonal, u `[…, k, n]` upper
/// triangular, k the smaller of m and n. A singular x has a zero on u's diagonal.
///
/// Golub and Van Loan, algorithm 3.4.1.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![1.0f64, 2.0, 4.0, 4.0], [2, 2]).unwrap();
/// let (order, l, u) = jit(linalg::lu)(&a).unwrap();
/// assert_eq!(order.as_slice::<i32>().unwrap(), [1, 0]);
/// assert_eq!(l.as_slice::<f64>().unwrap(), [1.0, 0.0, 0.25, 1.0]);
/// assert_eq!(u.as_slice::<f64>().unwrap(), [4.0, 4.0, 0.0, 1.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats or has more than 2²⁴ rows.
#[track_caller]
pub fn lu(x: Tensor) -> (Tensor, Tensor, Tensor) {
    let _in = crate::raise::within("lu");
    let [m, n] = matrix("lu", x);
    let k = m.min(n);
    let (order, packed) = packed_lu(x.slice_axis(-1, 0, k));
    let unit = eye(m, k, x.dtype());
    let l = packed.tril(-1) + unit;
    let u = packed.slice_axis(-2, 0, k).triu(0);
    if m >= n {
        return (order, l, u);
    }
    // What is right of a square has no pivots of its own.
    let right = rows(x.slice_axis(-1, k, n), order);
    let right = triangular_solve(packed, right, Triangle { lower: true, transpose: false, unit: true });
    (order, l, concatenate([u, right], -1))
}

/// Of a matrix with no fewer rows than columns the order of the rows, and u with l below it.
#[track_caller]
pub(super) fn packed_lu(x: Tensor) -> (Tensor, Tensor) {
    let packed = factored(Factor::Lu, x);
    let n = packed.shape()[packed.rank() - 1] - 1;
    let order = packed.slice_axis(-1, n, n + 1).squeeze([-1]).stop_gradient().convert(Dtype::I32);
    (order, packed.slice_axis(-1, 0, n))
}

/// The rows of each matrix in an order.
#[track_caller]
pub(super) fn rows(x: Tensor, order: Tensor) -> Tensor {
    let lead = order.rank() - 1;
    x.take_within(order, lead, lead)
}

/// `(q, r)` of x `[…, m, n]`: x = q r with q `[…, m, k]` of orthonormal columns and r `[…, k, n]` upper
/// triangular, k the smaller of m and n ("reduced"). The signs are those of LAPACK: a column that has
/// anything below the diagonal gives r's diagonal the sign opposite to its own.
///
/// Householder's reflections (Golub and Van Loan, algorithm 5.2.1). The derivative needs k independent
/// columns in front.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![3.0f64, 4.0], [2, 1]).unwrap();
/// let (q, r) = jit(linalg::qr)(&a).unwrap();
/// assert!((r.as_slice::<f64>().unwrap()[0] + 5.0).abs() < 1e-12);
/// assert!((q.as_slice::<f64>().unwrap()[0] + 0.6).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats.
#[track_caller]
pub fn qr(x: Tensor) -> (Tensor, Tensor) {
    let _in = crate::raise::within("qr");
    let [m, n] = matrix("qr", x);
    let k = m.min(n);
    let packed = factored(Factor::Qr, x.slice_axis(-1, 0, k));
    let (q, r) = (packed.slice_axis(-2, 0, m), packed.slice_axis(-2, m, m + k));
    if m >= n {
        return (q, r);
    }
    (q, concatenate([r, turned(q).matmul(x.slice_axis(-1, k, n))], -1))
}

/// `(w, v)` of (x + xᵀ)/2 for x `[…, n, n]`: the eigenvalues `[…, n]`, ascending, and the matrix of the
/// eigenvectors, column by column, of length 1. Of the components of a vector that are above half the
/// largest, the first is positive.
///
/// The derivative of the vectors of equal eigenvalues is infinite or NaN, as in JAX.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![2.0f64, 1.0, 1.0, 2.0], [2, 2]).unwrap();
/// let (w, v) = jit(linalg::eigh)(&a).unwrap();
/// assert!(w.as_slice::<f64>().unwrap().iter().zip([1.0, 3.0]).all(|(w, want)| (w - want).abs() < 1e-12));
/// assert!((v.as_slice::<f64>().unwrap()[1] - 0.5f64.sqrt()).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn eigh(x: Tensor) -> (Tensor, Tensor) {
    let _in = crate::raise::within("eigh");
    let n = square("eigh", x);
    let packed = factored(Factor::Eigh, x);
    (packed.slice_axis(-2, 0, 1).squeeze([-2]), packed.slice_axis(-2, 1, n + 1))
}

/// The eigenvalues that [`eigh`] gives. They are differentiable where some are equal, too.
///
/// ```
/// # use egrad::{Array, Tensor, grad, jit, linalg};
/// let f = jit(grad(|x: Tensor| linalg::eigvalsh(x).sum()));
/// let one = Array::from_vec(vec![1.0f64, 0.0, 0.0, 1.0], [2, 2]).unwrap();
/// assert_eq!(f(&one).unwrap().as_slice::<f64>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
/// ```
///
/// # Errors and panics
/// As [`eigh`].
#[track_caller]
pub fn eigvalsh(x: Tensor) -> Tensor {
    let _in = crate::raise::within("eigvalsh");
    eigh(x).0
}

/// `(u, s, vt)` of x `[…, m, n]`: x = u diag(s) vt with u `[…, m, k]` and the transpose of vt `[…, k, n]` of
/// orthonormal columns and the singular values s `[…, k]` descending, k the smaller of m and n (JAX's
/// `full_matrices=False`). Signs are as in [`eigh`], of the rows of vt (where m < n of the columns of u).
///
/// The derivative of the vectors of equal singular values, and of those of the value 0, is infinite or
/// NaN, as in JAX.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![0.0f64, 3.0, 2.0, 0.0], [2, 2]).unwrap();
/// let (u, s, vt) = jit(linalg::svd)(&a).unwrap();
/// assert!(s.as_slice::<f64>().unwrap().iter().zip([3.0, 2.0]).all(|(s, want)| (s - want).abs() < 1e-12));
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats.
#[track_caller]
pub fn svd(x: Tensor) -> (Tensor, Tensor, Tensor) {
    let _in = crate::raise::within("svd");
    let [m, n] = matrix("svd", x);
    if m < n {
        let (v, s, ut) = svd(turned(x));
        return (turned(ut), s, turned(v));
    }
    let packed = factored(Factor::Svd, x);
    let v = packed.slice_axis(-2, m + 1, m + 1 + n);
    (packed.slice_axis(-2, 1, m + 1), packed.slice_axis(-2, 0, 1).squeeze([-2]), turned(v))
}

/// The singular values that [`svd`] gives. They are differentiable where some are equal, too.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![3.0f64, 4.0], [1, 2]).unwrap();
/// assert!((jit(linalg::svdvals)(&a).unwrap().as_slice::<f64>().unwrap()[0] - 5.0).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As [`svd`].
#[track_caller]
pub fn svdvals(x: Tensor) -> Tensor {
    let _in = crate::raise::within("svdvals");
    svd(x).1
}
