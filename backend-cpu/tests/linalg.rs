//! Matrices by faer and rustfft, beside the interpreter's textbook; under strict numerics its bits.

mod common;

use common::{Fill, check, kernel};

fn one(
    what: &str,
    dtype: &str,
    batch: usize,
    [rows, columns]: [usize; 2],
    sizes: [usize; 2],
    fill: Fill,
    fast: Option<f64>,
) {
    let text = format!(
        "kernel k(b0: read {dtype}[{}], b1: write {dtype}[{}]) fast {{
           linalg {what} batch {batch} rows {rows} columns {columns} {{
             x = b0
             result = b1
           }}
         }}",
        batch * sizes[0],
        batch * sizes[1],
    );
    check(&kernel(&text), fill, fast);
}

#[test]
fn factorisations() {
    for (m, n) in [(0, 0), (1, 1), (2, 2), (5, 5), (17, 17), (3, 2), (17, 5), (4, 0), (40, 33)] {
        for (batch, dtype, close) in [(1, "f64", 1e-8), (3, "f64", 1e-8), (0, "f64", 0.0), (2, "f32", 5e-2)] {
            let factors = [
                ("cholesky", m == n, m * n),
                ("eigh", m == n, (1 + n) * n),
                ("lu", true, m * (n + 1)),
                ("qr", true, (m + n) * n),
                ("svd", true, (1 + m + n) * n),
            ];
            for (what, _, result) in factors.into_iter().filter(|(_, fits, _)| *fits) {
                // Near ties in single precision, pivots and small gaps differ.
                let fast = (dtype == "f64" || m < 10).then_some(close);
                one(what, dtype, batch, [m, n], [m * n, result], Fill::Tame, fast);
                one(what, dtype, batch, [m, n], [m * n, result], Fill::Wild, None);
            }
        }
    }
}

#[test]
fn transforms() {
    for n in [0, 1, 2, 3, 5, 8, 17, 30, 64, 1000] {
        for (batch, dtype, close) in [(1, "f64", 1e-12), (3, "f32", 1e-5), (0, "f32", 0.0)] {
            for what in ["fft forward", "fft inverse"] {
                one(what, dtype, batch, [2, n], [2 * n, 2 * n], Fill::Tame, Some(close));
                one(what, dtype, batch, [2, n], [2 * n, 2 * n], Fill::Wild, None);
            }
        }
    }
}

#[test]
fn triangles() {
    for which in ["lower", "upper"] {
        for way in ["plain", "transposed"] {
            for diagonal in ["read", "unit"] {
                for (n, k) in [(0, 2), (1, 1), (2, 3), (4, 1), (9, 5), (3, 0)] {
                    for (batch, dtype) in [(1, "f64"), (3, "f64"), (2, "f32")] {
                        let text = format!(
                            "kernel k(b0: read {dtype}[{}], b1: read {dtype}[{}], b2: write {dtype}[{}]) fast {{
                               linalg triangular_solve {which} {way} {diagonal} batch {batch} rows {n} columns {k} {{
                                 a = b0
                                 b = b1
                                 result = b2
                               }}
                             }}",
                            batch * n * n,
                            batch * n * k,
                            batch * n * k,
                        );
                        // Random triangles are worse to solve with the larger they are.
                        let fast = (dtype == "f64" || n < 5).then_some(if dtype == "f64" { 1e-6 } else { 5e-2 });
                        check(&kernel(&text), Fill::Tame, fast);
                        check(&kernel(&text), Fill::Wild, None);
                    }
                }
            }
        }
    }
}
