//! Factorisations whose orthogonal matrices are square.

use super::factor::{cholesky, qr, svd};
use super::{Triangle, matrix, triangular_solve, turned};
use crate::tensor::{Tensor, concatenate, eye, zeros};

/// `(q, r)` of x `[…, m, n]` as [`qr`] has them, with q square, `[…, m, m]`, and r `[…, m, n]` (JAX's
/// `mode="complete"`).
///
/// The columns that q has more than [`qr`]'s are orthonormal among themselves and to the others, and not
/// determined further; JAX has others, and no derivative. Here they have that of the basis that turns as
/// little as it can, so what doesn't depend on their choice has the right derivative.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![3.0f64, 4.0], [2, 1]).unwrap();
/// let (q, r) = jit(linalg::qr_full)(&a).unwrap();
/// assert_eq!((&q.shape()[..], &r.shape()[..]), (&[2, 2][..], &[2, 1][..]));
/// assert!((q.to_f64()[1].abs() - 0.8).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As [`qr`].
#[track_caller]
pub fn qr_full(x: Tensor) -> (Tensor, Tensor) {
    let _in = crate::raise::within("qr_full");
    let [m, n] = matrix("qr_full", x);
    let (q, r) = qr(x);
    if m <= n {
        return (q, r);
    }
    let lead = &x.shape()[..x.rank() - 2];
    let none = zeros([lead, &[m - n, n]].concat(), x.dtype());
    (concatenate([q, complement(q)], -1), concatenate([r, none], -2))
}

/// `(u, s, vt)` of x `[…, m, n]` as [`svd`] has them, with u `[…, m, m]` and vt `[…, n, n]` square (JAX's
/// `full_matrices=True`). Of the vectors there are more than in [`svd`] the same holds as of
/// [`qr_full`]'s.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![3.0f64, 4.0], [1, 2]).unwrap();
/// let (u, s, vt) = jit(linalg::svd_full)(&a).unwrap();
/// assert_eq!((&u.shape()[..], &s.shape()[..], &vt.shape()[..]), (&[1, 1][..], &[1][..], &[2, 2][..]));
/// ```
///
/// # Errors and panics
/// As [`svd`].
#[track_caller]
pub fn svd_full(x: Tensor) -> (Tensor, Tensor, Tensor) {
    let _in = crate::raise::within("svd_full");
    let [m, n] = matrix("svd_full", x);
    let (u, s, vt) = svd(x);
    let u = if m > n { concatenate([u, complement(u)], -1) } else { u };
    let vt = if m < n { concatenate([vt, turned(complement(turned(vt)))], -2) } else { vt };
    (u, s, vt)
}

/// The columns that q `[…, m, k]`, of orthonormal ones, has too few to be square.
#[track_caller]
fn complement(q: Tensor) -> Tensor {
    let [m, k] = matrix("complement", q);
    let lead = &q.shape()[..q.rank() - 2];
    // Reflections are orthogonal, whether the columns are independent or not.
    let more = eye(m, m - k, q.dtype()).broadcast_to([lead, &[m, m - k]].concat());
    let (all, _) = qr(concatenate([q.stop_gradient(), more], -1));
    let rest = all.slice_axis(-1, k, m).stop_gradient();
    // Orthonormal as it is, it changes with q: what q has of it is taken away, and lengths made 1.
    let own = rest - q.matmul(turned(q).matmul(rest));
    let lengths = cholesky(turned(own).matmul(own));
    turned(triangular_solve(lengths, turned(own), Triangle { lower: true, ..Triangle::default() }))
}
