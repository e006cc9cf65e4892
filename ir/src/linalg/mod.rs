//! Factorisations, triangular solves and Fourier transforms by the textbook: what the interpreters
//! mean by [`Op::Linalg`](crate::Op::Linalg), one matrix at a time, in `f64`.
//!
//! Plain and unblocked, after Golub and Van Loan, *Matrix Computations* (4th edition): what other
//! implementations are tested against, and what strict numerics compute.

mod eigen;
mod factor;
mod fourier;

use crate::op::{Factor, Linalg, Triangle};

/// Computes one matrix: of an operand `x` of so many rows and columns, or of a triangle `x` and
/// right-hand sides `y` of so many. All are row-major.
///
/// Results of operands that aren't finite are NaN, triangular solves and Fourier transforms aside.
///
/// # Panics
/// If there is no such matrix ([`Linalg::result`]) or a slice is shorter.
pub fn matrix(kind: Linalg, [rows, columns]: [usize; 2], x: &[f64], y: &[f64], result: &mut [f64]) {
    let x = &x[..x.len().min(if matches!(kind, Linalg::TriangularSolve(_)) { rows * rows } else { rows * columns })];
    match kind {
        Linalg::Factor(_) if x.iter().any(|x| !x.is_finite()) => result.fill(f64::NAN),
        Linalg::Factor(Factor::Cholesky) => factor::cholesky(rows, x, result),
        Linalg::Factor(Factor::Lu) => factor::lu(rows, columns, x, result),
        Linalg::Factor(Factor::Qr) => factor::qr(rows, columns, x, result),
        Linalg::Factor(Factor::Eigh) => eigen::eigh(rows, x, result),
        Linalg::Factor(Factor::Svd) => eigen::svd(rows, columns, x, result),
        Linalg::TriangularSolve(triangle) => triangular_solve(triangle, rows, columns, x, y, result),
        Linalg::Fft { inverse } => fourier::transform(columns, inverse, x, result),
    }
    for x in result.iter_mut().filter(|x| x.is_nan()) {
        *x = f64::NAN;
    }
}

/// Substitution, row by row of the result.
fn triangular_solve(triangle: Triangle, n: usize, columns: usize, a: &[f64], b: &[f64], x: &mut [f64]) {
    let Triangle { lower, transpose, unit } = triangle;
    let element = |i: usize, j: usize| if transpose { a[j * n + i] } else { a[i * n + j] };
    // The transpose of a lower triangle is an upper one.
    let forward = lower != transpose;
    for step in 0..n {
        let i = if forward { step } else { n - 1 - step };
        for c in 0..columns {
            let known = if forward { 0..i } else { i + 1..n };
            let left = known.fold(b[i * columns + c], |left, j| left - element(i, j) * x[j * columns + c]);
            x[i * columns + c] = if unit { left } else { left / element(i, i) };
        }
    }
}

/// The sign that the eigenvector or singular vector in a column is given: that of its first component
/// above half the largest. `-1` or `1`.
///
/// ```
/// use egrad_ir::linalg::sign;
///
/// assert_eq!(sign([0.1, -0.9, 0.9].into_iter()), -1.0);
/// ```
pub fn sign(column: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = column.clone().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let first = column.into_iter().find(|x| x.abs() > 0.5 * largest);
    if first.is_some_and(|x| x < 0.0) { -1.0 } else { 1.0 }
}
