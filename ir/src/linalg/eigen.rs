//! Eigenvalues and singular values by Jacobi's rotations.

use super::sign;

/// After so many sweeps over all pairs it ends in any case; some ten are enough.
const SWEEPS: usize = 60;

/// The rotation that makes the matrix `[[p, r], [r, q]]` diagonal (Golub and Van Loan, algorithm
/// 8.5.1): cosine and sine.
fn rotation(p: f64, q: f64, r: f64) -> (f64, f64) {
    let tau = (q - p) / (2.0 * r);
    let t = if tau.is_infinite() { 0.5 / tau } else { 1.0_f64.copysign(tau) / (tau.abs() + tau.hypot(1.0)) };
    let c = 1.0 / t.hypot(1.0);
    (c, t * c)
}

/// Turns columns `i` and `j` of a matrix of `n` columns.
fn turn(a: &mut [f64], n: usize, [i, j]: [usize; 2], (c, s): (f64, f64)) {
    for row in a.chunks_exact_mut(n) {
        (row[i], row[j]) = (c * row[i] - s * row[j], s * row[i] + c * row[j]);
    }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect()
}

fn column(a: &[f64], n: usize, j: usize) -> impl Iterator<Item = f64> + Clone + '_ {
    a.iter().skip(j).step_by(n.max(1)).copied()
}

/// Cyclic Jacobi (algorithm 8.5.3) of (x + xᵀ)/2.
pub(super) fn eigh(n: usize, x: &[f64], result: &mut [f64]) {
    let mut a: Vec<f64> = (0..n * n).map(|i| 0.5 * (x[i] + x[i % n * n + i / n])).collect();
    let mut v = identity(n);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..n {
            for j in i + 1..n {
                let (p, q, r) = (a[i * n + i], a[j * n + j], a[i * n + j]);
                // What adds nothing to either is zero.
                if r == 0.0 || (p.abs() + r.abs() == p.abs() && q.abs() + r.abs() == q.abs()) {
                    continue;
                }
                turned = true;
                let by = rotation(p, q, r);
                turn(&mut a, n, [i, j], by);
                let (c, s) = by;
                for k in 0..n {
                    let (x, y) = (a[i * n + k], a[j * n + k]);
                    (a[i * n + k], a[j * n + k]) = (c * x - s * y, s * x + c * y);
                }
                turn(&mut v, n, [i, j], by);
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[i * n + i].total_cmp(&a[j * n + j]));
    for (to, from) in order.into_iter().enumerate() {
        result[to] = a[from * n + from];
        let sign = sign(column(&v, n, from));
        for (i, x) in column(&v, n, from).enumerate() {
            result[(1 + i) * n + to] = sign * x;
        }
    }
}

/// One-sided Jacobi (section 8.6.3): the columns of x are turned until they are orthogonal. Their
/// lengths are the singular values.
pub(super) fn svd(m: usize, n: usize, x: &[f64], result: &mut [f64]) {
    let mut u = x.to_vec();
    let mut v = identity(n);
    let dot = |u: &[f64], i: usize, j: usize| -> f64 { column(u, n, i).zip(column(u, n, j)).map(|(x, y)| x * y).sum() };
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..n {
            for j in i + 1..n {
                let (p, q, r) = (dot(&u, i, i), dot(&u, j, j), dot(&u, i, j));
                if r == 0.0 || r.abs() <= f64::EPSILON * (p * q).sqrt() {
                    continue;
                }
                turned = true;
                let by = rotation(p, q, r);
                turn(&mut u, n, [i, j], by);
                turn(&mut v, n, [i, j], by);
            }
        }
        if !turned {
            break;
        }
    }
    let length = |j: usize| column(&u, n, j).fold(0.0, f64::hypot);
    let mut order: Vec<(f64, usize)> = (0..n).map(|j| (length(j), j)).collect();
    order.sort_by(|(x, _), (y, _)| y.total_cmp(x));
    let largest = order.first().map_or(0.0, |(length, _)| *length);
    let mut left: Vec<Vec<f64>> = Vec::with_capacity(n);
    for (to, (length, from)) in order.into_iter().enumerate() {
        // Too short to have a direction of its own.
        let short = length <= largest * f64::EPSILON * f64::EPSILON || length == 0.0;
        left.push(if short { orthogonal(m, &left) } else { column(&u, n, from).map(|x| x / length).collect() });
        result[to] = length;
        let sign = sign(column(&v, n, from));
        for (i, x) in left[to].iter().enumerate() {
            result[(1 + i) * n + to] = sign * x;
        }
        for (i, x) in column(&v, n, from).enumerate() {
            result[(1 + m + i) * n + to] = sign * x;
        }
    }
}

/// A vector of length 1 orthogonal to these, of which there are fewer than `m`: what the vectors leave
/// of the axis they leave most of.
fn orthogonal(m: usize, others: &[Vec<f64>]) -> Vec<f64> {
    let reach = |i: usize| others.iter().map(|o| o[i] * o[i]).sum::<f64>();
    let axis = (0..m).min_by(|i, j| reach(*i).total_cmp(&reach(*j))).unwrap_or(0);
    let mut v = vec![0.0; m];
    v[axis] = 1.0;
    // Twice is enough (section 5.2.8).
    for other in others.iter().chain(others) {
        let along: f64 = other.iter().zip(&v).map(|(x, y)| x * y).sum();
        v.iter_mut().zip(other).for_each(|(v, other)| *v -= along * other);
    }
    let length = v.iter().copied().fold(0.0, f64::hypot);
    v.iter().map(|v| v / length).collect()
}
