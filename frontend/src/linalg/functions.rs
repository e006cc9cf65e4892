//! Numbers of a matrix, and powers.

use super::factor::packed_lu;
use super::{inv, matrix, square, svdvals};
use crate::raise;
use crate::tensor::{AxisList, Tensor, eye, iota, ones, zeros};
use egrad_ir::{Dtype, Error, Span};

/// −1 or 1 by the parity of an order `[…, n]`, in this element type: as many swaps as pairs out of order.
#[track_caller]
fn parity(order: Tensor, dtype: Dtype) -> Tensor {
    let n = order.shape()[order.rank() - 1];
    let later = iota([n, n], 0, Dtype::I32).lt(iota([n, n], 1, Dtype::I32));
    let swapped = order.expand_dims([-1]).gt(order.expand_dims([-2])).and(later);
    let odd = swapped.convert(Dtype::I32).sum_axes([-2, -1]).rem(2);
    1 - 2 * odd.convert(dtype)
}

/// The determinant of x `[…, n, n]`: up to 3 rows as Leibniz' sum of products, which has a derivative where
/// x is singular, too; of more by [`lu`](super::lu()), with NaN for a singular x's derivative.
///
/// ```
/// # use egrad::{Array, grad, jit, linalg};
/// let a = Array::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], [2, 2]).unwrap();
/// assert_eq!(jit(linalg::det)(&a).unwrap().item::<f64>().unwrap(), -2.0);
/// assert_eq!(jit(grad(linalg::det))(&a).unwrap().as_slice::<f64>().unwrap(), [4.0, -3.0, -2.0, 1.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn det(x: Tensor) -> Tensor {
    let _in = crate::raise::within("det");
    let n = square("det", x);
    let at = |i: usize, j: usize| x.slice_axis(-2, i, i + 1).slice_axis(-1, j, j + 1).squeeze([-2, -1]);
    match n {
        0 => ones(&x.shape()[..x.rank() - 2], x.dtype()),
        1 => at(0, 0),
        2 => at(0, 0) * at(1, 1) - at(0, 1) * at(1, 0),
        3 => {
            let minor = |j: usize, k: usize| at(1, j) * at(2, k) - at(1, k) * at(2, j);
            at(0, 0) * minor(1, 2) - at(0, 1) * minor(0, 2) + at(0, 2) * minor(0, 1)
        }
        _ => {
            let (order, packed) = packed_lu(x);
            parity(order, x.dtype()) * packed.diagonal().prod_axes([-1])
        }
    }
}

/// `(sign, ln |det x|)` of x `[…, n, n]`, by [`lu`](super::lu()); of a singular x `(0, −∞)`.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![0.0f64, 2.0, 3.0, 0.0], [2, 2]).unwrap();
/// let (sign, log) = jit(linalg::slogdet)(&a).unwrap();
/// assert_eq!(sign.item::<f64>().unwrap(), -1.0);
/// assert!((log.item::<f64>().unwrap() - 6.0f64.ln()).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn slogdet(x: Tensor) -> (Tensor, Tensor) {
    let _in = crate::raise::within("slogdet");
    square("slogdet", x);
    let (order, packed) = packed_lu(x);
    let diagonal = packed.diagonal();
    let sign = parity(order, x.dtype()) * diagonal.sign().prod_axes([-1]);
    (sign, diagonal.abs().log().sum_axes([-1]))
}

/// The sum of the main diagonal of the last two axes.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
/// assert_eq!(jit(linalg::trace)(&a).unwrap().item::<f32>().unwrap(), 5.0);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if there are fewer than two axes.
#[track_caller]
pub fn trace(x: Tensor) -> Tensor {
    let _in = crate::raise::within("trace");
    x.diagonal().sum_axes([-1])
}

/// xⁿ of x `[…, m, m]`, by repeated squaring; for negative n of the inverse.
///
/// ```
/// # use egrad::{Array, Tensor, jit, linalg};
/// let f = jit(|x: Tensor| linalg::matrix_power(x, 5));
/// let a = Array::from_vec(vec![1.0f32, 1.0, 0.0, 1.0], [2, 2]).unwrap();
/// assert_eq!(f(&a).unwrap().as_slice::<f32>().unwrap(), [1.0, 5.0, 0.0, 1.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn matrix_power(x: Tensor, n: i32) -> Tensor {
    let _in = crate::raise::within("matrix_power");
    let m = square("matrix_power", x);
    let mut square = if n < 0 { inv(x) } else { x };
    let mut left = n.unsigned_abs();
    let mut power: Option<Tensor> = None;
    while left > 0 {
        if left & 1 == 1 {
            power = Some(power.map_or(square, |p| p.matmul(square)));
        }
        left >>= 1;
        if left > 0 {
            square = square.matmul(square);
        }
    }
    power.unwrap_or_else(|| eye(m, m, x.dtype()).broadcast_to(x.shape()))
}

/// A norm of matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// The square root of the sum of the squares.
    Frobenius,
    /// The sum of the singular values.
    Nuclear,
    /// The largest singular value.
    Spectral,
    /// The largest sum of the sizes of a column's elements.
    One,
    /// The largest sum of the sizes of a row's elements.
    Infinity,
}

/// A norm of the matrices in the last two axes. [`Tensor::norm`] is that of vectors.
///
/// ```
/// # use egrad::linalg::{self, Norm};
/// # use egrad::{Array, Tensor, jit};
/// let f = jit(|x: Tensor| (linalg::norm(x, Norm::Frobenius), linalg::norm(x, Norm::One)));
/// let (frobenius, one) = f(&Array::from_vec(vec![3.0f32, 0.0, 0.0, -4.0], [2, 2]).unwrap()).unwrap();
/// assert_eq!([frobenius, one].map(|x| x.item::<f32>().unwrap()), [5.0, 4.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats.
#[track_caller]
pub fn norm(x: Tensor, norm: Norm) -> Tensor {
    let _in = crate::raise::within("norm");
    matrix("norm", x);
    match norm {
        Norm::Frobenius => x.norm([-2, -1]),
        Norm::Nuclear => svdvals(x).sum_axes([-1]),
        Norm::Spectral => svdvals(x).max_axes([-1]),
        Norm::One => x.abs().sum_axes([-2]).max_axes([-1]),
        Norm::Infinity => x.abs().sum_axes([-1]).max_axes([-1]),
    }
}

/// The norm of vectors along these axes (of all elements along several): (Σ |x|ᵖ)^(1/p), with its limits for
/// p = ±∞, the largest and the least size, and for p = 0 how many elements aren't 0. [`norm`] is that of matrices.
///
/// ```
/// # use egrad::{Array, Tensor, jit, linalg};
/// let f = jit(|x: Tensor| (linalg::vector_norm(x, 1.0, [0]), linalg::vector_norm(x, f64::INFINITY, [0])));
/// let (sum, most) = f(&Array::from_vec(vec![3.0f32, -4.0], [2]).unwrap()).unwrap();
/// assert_eq!([sum, most].map(|x| x.item::<f32>().unwrap()), [7.0, 4.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x isn't of floats or there is no such axis.
#[track_caller]
pub fn vector_norm(x: Tensor, p: f64, axes: impl Into<AxisList>) -> Tensor {
    let _in = crate::raise::within("vector_norm");
    if !x.dtype().is_float() {
        let m = format!("`vector_norm` takes floats, not {}: convert it", x.aval());
        raise::throw(Error::dtype(m).at(Span::here()));
    }
    match p {
        f64::INFINITY => x.abs().max_axes(axes),
        f64::NEG_INFINITY => x.abs().min_axes(axes),
        0.0 => x.not_equal(0.0).convert(x.dtype()).sum_axes(axes),
        1.0 => x.abs().sum_axes(axes),
        2.0 => x.norm(axes),
        p => x.abs().pow(p).sum_axes(axes).pow(1.0 / p),
    }
}

/// The condition of x `[…, m, n]` for a norm: that of x times that of its inverse, for which x must be
/// square; for [`Norm::Spectral`] the largest singular value by the least, of any matrix. ∞ where x is singular.
///
/// ```
/// # use egrad::linalg::{self, Norm};
/// # use egrad::{Array, Tensor, jit};
/// let f = jit(|x: Tensor| linalg::cond(x, Norm::One));
/// let a = Array::from_vec(vec![2.0f64, 0.0, 0.0, 0.5], [2, 2]).unwrap();
/// assert_eq!(f(&a).unwrap().item::<f64>().unwrap(), 4.0);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats, or not one of that kind; [`Error::Shape`] if it
/// has no elements.
#[track_caller]
pub fn cond(x: Tensor, norm: Norm) -> Tensor {
    let _in = crate::raise::within("cond");
    let [m, n] = matrix("cond", x);
    if m.min(n) == 0 {
        raise::throw(Error::shape(format!("`cond` of {}: there are no elements", x.aval())).at(Span::here()));
    }
    let value = match norm {
        Norm::Spectral => {
            let (s, k) = (svdvals(x), m.min(n));
            let at = |i: usize| s.slice_axis(-1, i, i + 1).squeeze([-1]);
            at(0) / at(k - 1)
        }
        Norm::Frobenius | Norm::Nuclear | Norm::One | Norm::Infinity => {
            square("cond", x);
            super::norm(x, norm) * super::norm(inv(x), norm)
        }
    };
    // What isn't defined of numbers is singular.
    let number = x.is_nan().convert(Dtype::I32).sum_axes([-2, -1]).equal(0);
    value.is_nan().and(number).select(f64::INFINITY, value)
}

/// The rank of x `[…, m, n]`, as `i32`: how many singular values are above `rtol` times the largest; without one,
/// max(m, n) ε times, ε the distance from 1 to the next float.
///
/// ```
/// # use egrad::{Array, Tensor, jit, linalg};
/// let f = jit(|x: Tensor| linalg::matrix_rank(x, None));
/// let a = Array::from_vec(vec![1.0f64, 2.0, 2.0, 4.0], [2, 2]).unwrap();
/// assert_eq!(f(&a).unwrap().item::<i32>().unwrap(), 1);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no matrix of floats.
#[track_caller]
pub fn matrix_rank(x: Tensor, rtol: impl Into<Option<f64>>) -> Tensor {
    let _in = crate::raise::within("matrix_rank");
    let [m, n] = matrix("matrix_rank", x);
    if m.min(n) == 0 {
        return zeros(&x.shape()[..x.rank() - 2], Dtype::I32);
    }
    let epsilon = if x.dtype() == Dtype::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let s = svdvals(x).stop_gradient();
    let least = s.slice_axis(-1, 0, 1) * rtol.into().unwrap_or(m.max(n) as f64 * epsilon);
    s.gt(least).convert(Dtype::I32).sum_axes([-1])
}
