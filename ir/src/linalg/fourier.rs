//! The discrete Fourier transform by Cooley and Tukey's recursion.

use std::f64::consts::PI;

/// A complex number.
type Complex = (f64, f64);

fn add(x: Complex, y: Complex) -> Complex {
    (x.0 + y.0, x.1 + y.1)
}

fn mul(x: Complex, y: Complex) -> Complex {
    (x.0 * y.0 - x.1 * y.1, x.0 * y.1 + x.1 * y.0)
}

/// Of `n` numbers, a row of real parts and one of imaginary parts.
pub(super) fn transform(n: usize, inverse: bool, x: &[f64], result: &mut [f64]) {
    let given: Vec<Complex> = (0..n).map(|i| (x[i], x[n + i])).collect();
    let sign = if inverse { 1.0 } else { -1.0 };
    // e^(±2πi k/n)
    let roots: Vec<Complex> =
        (0..n).map(|k| 2.0 * PI * k as f64 / n as f64).map(|a| (a.cos(), sign * a.sin())).collect();
    for (k, (re, im)) in recursive(&given, &roots).into_iter().enumerate() {
        (result[k], result[n + k]) = (re, im);
    }
}

/// With p the smallest prime factor of n: the transforms of every p-th number, put together; all the
/// sum as it is written if n is prime. `roots` are at least n and a multiple of it.
fn recursive(x: &[Complex], roots: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    if n < 2 {
        return x.to_vec();
    }
    let p = (2..n).take_while(|p| p * p <= n).find(|p| n.is_multiple_of(*p)).unwrap_or(n);
    let parts: Vec<Vec<Complex>> = (0..p)
        .map(|r| x.iter().skip(r).step_by(p).copied().collect::<Vec<_>>())
        .map(|part| recursive(&part, roots))
        .collect();
    let step = roots.len() / n;
    let at = |k: usize| {
        let term = |r: usize| mul(parts[r][k % (n / p)], roots[r * k % n * step]);
        (1..p).fold(parts[0][k % (n / p)], |sum, r| add(sum, term(r)))
    };
    (0..n).map(at).collect()
}
