//! Cholesky, LU and QR.

/// Column by column (Golub and Van Loan, algorithm 4.2.1), of (x + xᵀ)/2.
pub(super) fn cholesky(n: usize, x: &[f64], l: &mut [f64]) {
    l.fill(0.0);
    for j in 0..n {
        for i in j..n {
            let symmetric = 0.5 * (x[i * n + j] + x[j * n + i]);
            let left = (0..j).fold(symmetric, |left, k| left - l[i * n + k] * l[j * n + k]);
            l[i * n + j] = if i == j { left.sqrt() } else { left / l[j * n + j] };
        }
        if l[j * n + j].is_nan() || l[j * n + j] <= 0.0 {
            for i in 0..n {
                l[i * n..=i * n + i].fill(f64::NAN);
            }
            return;
        }
    }
}

/// Outer products with partial pivoting (algorithm 3.4.1): of rows equally large the first is the
/// pivot, and a column of zeros is left as it is.
pub(super) fn lu(m: usize, n: usize, x: &[f64], result: &mut [f64]) {
    let width = n + 1;
    for (i, row) in result.chunks_exact_mut(width).take(m).enumerate() {
        row[..n].copy_from_slice(&x[i * n..][..n]);
        row[n] = i as f64;
    }
    for k in 0..n {
        let pivot = (k..m).rev().max_by(|i, j| result[i * width + k].abs().total_cmp(&result[j * width + k].abs()));
        let pivot = pivot.unwrap_or(k);
        for c in 0..width {
            result.swap(k * width + c, pivot * width + c);
        }
        let head = result[k * width + k];
        if head == 0.0 {
            continue;
        }
        for i in k + 1..m {
            let by = result[i * width + k] / head;
            result[i * width + k] = by;
            for c in k + 1..n {
                result[i * width + c] -= by * result[k * width + c];
            }
        }
    }
}

/// Reflections of the columns (algorithm 5.2.1), then their product from the last to the first
/// (section 5.1.6). As in LAPACK, a reflection takes its column to minus the sign of the first
/// component times the length, and a column that is zero below the diagonal is left as it is.
pub(super) fn qr(m: usize, n: usize, x: &[f64], result: &mut [f64]) {
    let mut a = x.to_vec();
    let mut reflections: Vec<Option<Vec<f64>>> = Vec::with_capacity(n);
    for k in 0..n {
        let below = (k + 1..m).map(|i| a[i * n + k]);
        if below.clone().all(|x| x == 0.0) {
            reflections.push(None);
            continue;
        }
        let head = a[k * n + k];
        let length = below.clone().fold(head.abs(), f64::hypot);
        let to = if head < 0.0 { length } else { -length };
        let mut v: Vec<f64> = below.collect();
        v.insert(0, head - to);
        reflect(&v, k, &mut a, n, k..n);
        a[k * n + k] = to;
        (k + 1..m).for_each(|i| a[i * n + k] = 0.0);
        reflections.push(Some(v));
    }
    let (q, r) = result.split_at_mut(m * n);
    r.copy_from_slice(&a[..n * n]);
    q.fill(0.0);
    (0..n).for_each(|k| q[k * n + k] = 1.0);
    for (k, v) in reflections.iter().enumerate().rev() {
        if let Some(v) = v {
            reflect(v, k, q, n, 0..n);
        }
    }
}

/// Reflects these columns of a matrix of `n` columns at the plane that v, from row `k` on, is
/// orthogonal to.
fn reflect(v: &[f64], k: usize, a: &mut [f64], n: usize, columns: std::ops::Range<usize>) {
    let square: f64 = v.iter().map(|v| v * v).sum();
    for c in columns {
        let along: f64 = v.iter().enumerate().map(|(i, v)| v * a[(k + i) * n + c]).sum();
        for (i, v) in v.iter().enumerate() {
            a[(k + i) * n + c] -= 2.0 * along / square * v;
        }
    }
}
