//! Systems of linear equations.

use super::factor::{packed_lu, rows};
use super::{matrix, square, svd, turned};
use crate::tensor::{Tensor, eye};
use crate::trace::Tape;
use crate::{raise, trace};
use egrad_ir::builder::Recorder;
use egrad_ir::{Dtype, Error, Linalg, Op, Shape, Span, Triangle};

/// a and b with the same axes before the last two, and whether b is a vector, which is one column then.
#[track_caller]
fn system(name: &str, a: Tensor, b: Tensor) -> (Tensor, Tensor, bool) {
    let (x, y) = (a.aval(), b.aval());
    let vector = y.shape.rank() == 1;
    let fail = |e: Error| raise::throw(Tape.blame(e, &[a, b], Span::here()));
    if y.dtype != x.dtype {
        fail(Error::dtype(format!("`{name}` of {x} and {y}: the element types must be the same")));
    }
    let n = x.shape[x.shape.rank() - 2];
    if y.shape.rank() == 0 || y.shape[y.shape.rank() - if vector { 1 } else { 2 }] != n {
        fail(Error::shape(format!("`{name}` of {x} and {y}: the right-hand sides must have {n} rows")));
    }
    let b = if vector { b.expand_dims([-1]) } else { b };
    let (p, q) = (&x.shape[..x.shape.rank() - 2], &b.shape()[..b.rank() - 2]);
    let rank = p.len().max(q.len());
    let length = |lead: &[usize], i: usize| (i + lead.len()).checked_sub(rank).map_or(1, |i| lead[i]);
    let lead: Option<Vec<usize>> = (0..rank)
        .map(|i| match (length(p, i), length(q, i)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect();
    let Some(lead) = lead else {
        fail(Error::shape(format!("`{name}` of {x} and {y}: axes before the last two must broadcast")))
    };
    let wide = |t: Tensor| {
        let shape = t.shape();
        t.broadcast_to(Shape::from([&lead, &shape[shape.rank() - 2..]].concat()))
    };
    (wide(a), wide(b), vector)
}

fn vector_again(x: Tensor, vector: bool) -> Tensor {
    if vector { x.squeeze([-1]) } else { x }
}

/// The x with T x = b, for a triangle T of a `[…, n, n]` and b `[…, n, k]` or one vector `[n]`. The rest of a
/// is not read. Other axes broadcast.
///
/// Substitution (Golub and Van Loan, algorithms 3.1.1 and 3.1.2); a zero on the diagonal gives
/// infinities and NaN.
///
/// ```
/// # use egrad::linalg::{self, Triangle};
/// # use egrad::{Array, Tensor, jit};
/// let lower = Triangle { lower: true, ..Triangle::default() };
/// let f = jit(move |a: Tensor, b: Tensor| linalg::triangular_solve(a, b, lower));
/// let a = Array::from_vec(vec![2.0f32, 9.0, 1.0, 4.0], [2, 2]).unwrap();
/// let x = f(&a, &Array::from_vec(vec![2.0f32, 9.0], [2]).unwrap()).unwrap();
/// assert_eq!(x.as_slice::<f32>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if a is no square matrix of floats or b has another number of rows or
/// element type.
#[track_caller]
pub fn triangular_solve(a: Tensor, b: Tensor, triangle: Triangle) -> Tensor {
    let _in = crate::raise::within("triangular_solve");
    square("triangular_solve", a);
    let (a, b, vector) = system("triangular_solve", a, b);
    vector_again(trace::add(Op::Linalg(Linalg::TriangularSolve(triangle)), &[a, b], Span::here()), vector)
}

/// The x with x T = b, for a triangle T of a `[…, n, n]` and b `[…, k, n]`: see [`triangular_solve`].
///
/// ```
/// # use egrad::linalg::{self, Triangle};
/// # use egrad::{Array, Tensor, jit};
/// let f = jit(|a: Tensor, b: Tensor| linalg::triangular_solve_right(a, b, Triangle::default()));
/// let a = Array::from_vec(vec![2.0f32, 1.0, 0.0, 4.0], [2, 2]).unwrap();
/// let x = f(&a, &Array::from_vec(vec![2.0f32, 9.0], [1, 2]).unwrap()).unwrap();
/// assert_eq!(x.as_slice::<f32>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As [`triangular_solve`], of b's columns; b is no vector.
#[track_caller]
pub fn triangular_solve_right(a: Tensor, b: Tensor, triangle: Triangle) -> Tensor {
    let _in = crate::raise::within("triangular_solve_right");
    square("triangular_solve_right", a);
    matrix("triangular_solve_right", b);
    let triangle = Triangle { transpose: !triangle.transpose, ..triangle };
    let (a, b, _) = system("triangular_solve_right", a, turned(b));
    turned(trace::add(Op::Linalg(Linalg::TriangularSolve(triangle)), &[a, b], Span::here()))
}

/// The x with a x = b, for a `[…, n, n]` and b `[…, n, k]` or one vector `[n]`; other axes broadcast. A
/// singular a gives infinities and NaN.
///
/// By [`lu`](super::lu()) and two triangular solves (Golub and Van Loan, section 3.4.9).
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![0.0f64, 2.0, 1.0, 1.0], [2, 2]).unwrap();
/// let b = Array::from_vec(vec![4.0f64, 5.0], [2]).unwrap();
/// assert_eq!(jit(linalg::solve)(&a, &b).unwrap().as_slice::<f64>().unwrap(), [3.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As [`triangular_solve`].
#[track_caller]
pub fn solve(a: Tensor, b: Tensor) -> Tensor {
    let _in = crate::raise::within("solve");
    square("solve", a);
    let (order, packed) = packed_lu(a);
    // What the batches share is factored once.
    let lead = packed.rank() - 2;
    let (wide, b, vector) = system("solve", packed, b);
    let mut shape = wide.shape()[..wide.rank() - 2].to_vec();
    shape.push(order.shape()[lead]);
    let b = rows(b, order.broadcast_to(shape));
    let lower = Triangle { lower: true, transpose: false, unit: true };
    let y = trace::add(Op::Linalg(Linalg::TriangularSolve(lower)), &[wide, b], Span::here());
    let x = trace::add(Op::Linalg(Linalg::TriangularSolve(Triangle::default())), &[wide, y], Span::here());
    vector_again(x, vector)
}

/// The x with l lᵀ x = b, of what [`cholesky`](super::cholesky()) gives.
///
/// ```
/// # use egrad::{Array, Tensor, jit, linalg};
/// let f = jit(|a: Tensor, b: Tensor| linalg::cho_solve(linalg::cholesky(a), b));
/// let a = Array::from_vec(vec![4.0f64, 2.0, 2.0, 5.0], [2, 2]).unwrap();
/// let x = f(&a, &Array::from_vec(vec![8.0f64, 12.0], [2]).unwrap()).unwrap();
/// assert_eq!(x.as_slice::<f64>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As [`triangular_solve`].
#[track_caller]
pub fn cho_solve(l: Tensor, b: Tensor) -> Tensor {
    let _in = crate::raise::within("cho_solve");
    square("cho_solve", l);
    let (l, b, vector) = system("cho_solve", l, b);
    let lower = Triangle { lower: true, transpose: false, unit: false };
    let y = triangular_solve(l, b, lower);
    vector_again(triangular_solve(l, y, Triangle { transpose: true, ..lower }), vector)
}

/// The inverse of a `[…, n, n]`: [`solve`] of the unit matrix. A singular a gives infinities and NaN.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![2.0f64, 0.0, 0.0, 4.0], [2, 2]).unwrap();
/// assert_eq!(jit(linalg::inv)(&a).unwrap().as_slice::<f64>().unwrap(), [0.5, 0.0, 0.0, 0.25]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if a is no square matrix of floats.
#[track_caller]
pub fn inv(a: Tensor) -> Tensor {
    let _in = crate::raise::within("inv");
    let n = square("inv", a);
    solve(a, eye(n, n, a.dtype()))
}

/// The pseudo-inverse of a `[…, m, n]` by its [`svd`]: singular values of at most 10 max(m, n) ε times the
/// largest, ε the distance from 1 to the next float, count as 0, as in JAX.
///
/// Where singular values are equal or 0, derivatives are NaN.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![3.0f64, 0.0, 0.0, 2.0, 0.0, 0.0], [3, 2]).unwrap();
/// let p = jit(linalg::pinv)(&a).unwrap();
/// assert!((p.as_slice::<f64>().unwrap()[0] - 1.0 / 3.0).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if a is no matrix of floats.
#[track_caller]
pub fn pinv(a: Tensor) -> Tensor {
    let _in = crate::raise::within("pinv");
    let [m, n] = matrix("pinv", a);
    if m.min(n) == 0 {
        return turned(a);
    }
    let (u, s, vt) = svd(a);
    let epsilon = if a.dtype() == Dtype::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let least = s.slice_axis(-1, 0, 1) * (10.0 * m.max(n) as f64 * epsilon);
    let counts = s.gt(least.broadcast_to(s.shape()));
    let inverse = counts.select(1.0 / counts.select(s, 1.0), 0.0);
    (turned(vt) * inverse.expand_dims([-2])).matmul(turned(u))
}

/// The shortest x for which a x is nearest to b, of a `[…, m, n]` and b `[…, m, k]` or a vector `[m]`:
/// [`pinv`] times b.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![1.0f64, 1.0], [2, 1]).unwrap();
/// let x = jit(linalg::lstsq)(&a, &Array::from_vec(vec![1.0f64, 3.0], [2]).unwrap()).unwrap();
/// assert!((x.as_slice::<f64>().unwrap()[0] - 2.0).abs() < 1e-12);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if a is no matrix of floats, or b has another number of rows or element
/// type.
#[track_caller]
pub fn lstsq(a: Tensor, b: Tensor) -> Tensor {
    let _in = crate::raise::within("lstsq");
    pinv(a).matmul(b)
}
