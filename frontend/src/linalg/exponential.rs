//! The exponential of matrices.

use super::{solve, square};
use crate::tensor::{Tensor, eye, zeros};
use crate::transform::fori_loop;
use egrad_ir::Dtype;

/// The coefficients of the Padé approximants of degree 7 and 13, from that of the unit matrix on, and up to which
/// 1-norm they are exact to the last place in `f32` and `f64`.
const SINGLE: (&[f64], f64) =
    (&[17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0], 3.92572478313866);
const DOUBLE: (&[f64], f64) = (
    &[
        64764752532480000.0,
        32382376266240000.0,
        7771770303897600.0,
        1187353796428800.0,
        129060195264000.0,
        10559470521600.0,
        670442572800.0,
        33522128640.0,
        1323241920.0,
        40840800.0,
        960960.0,
        16380.0,
        182.0,
        1.0,
    ],
    5.371920351148152,
);

/// How often a matrix is halved at most.
const MOST: i32 = 16;

/// eˣ = Σ xᵏ/k! of matrices x `[…, n, n]`; NaN where their 1-norm is above 350,000 (257,000 in `f32`), as in
/// JAX.
///
/// By scaling, a Padé approximant and squaring (Higham, "The scaling and squaring method for the matrix
/// exponential revisited", 2005), always with the approximant of the highest degree, which is as exact for
/// small matrices. 16 products are made, of which those count that were scaled for.
///
/// ```
/// # use egrad::{Array, jit, linalg};
/// let a = Array::from_vec(vec![0.0f64, 2.0, 0.0, 0.0], [2, 2]).unwrap();
/// let y = jit(linalg::expm)(&a).unwrap();
/// assert!(y.to_f64().iter().zip([1.0, 2.0, 0.0, 1.0]).all(|(y, want)| (y - want).abs() < 1e-15));
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if x is no square matrix of floats.
#[track_caller]
pub fn expm(x: Tensor) -> Tensor {
    let _in = crate::raise::within("expm");
    let n = square("expm", x);
    if n == 0 {
        return x;
    }
    let (coefficients, most) = if x.dtype() == Dtype::F64 { DOUBLE } else { SINGLE };
    let norm = x.stop_gradient().abs().sum_axes([-2]).max_keepdims([-1]).expand_dims([-1]);
    let above = |i: i32| norm.gt(most * 2f64.powi(i));
    let mut scaled = x;
    let mut halvings = zeros(norm.shape(), Dtype::I32);
    for i in 0..MOST {
        scaled *= above(i).select(0.5, norm * 0.0 + 1.0);
        halvings += above(i).convert(Dtype::I32);
    }
    let power = fori_loop(
        0,
        MOST,
        move |i: Tensor, y: Tensor| halvings.gt(i).select(y.matmul(y), y),
        approximant(scaled, coefficients),
    );
    above(MOST).select(f64::NAN, power)
}

/// p(x)/p(−x), for these coefficients of p.
#[track_caller]
fn approximant(x: Tensor, coefficients: &[f64]) -> Tensor {
    let n = x.shape()[x.rank() - 1];
    let unit = eye(n, n, x.dtype());
    let x2 = x.matmul(x);
    let x4 = x2.matmul(x2);
    let x6 = x4.matmul(x2);
    // The terms of even powers, from coefficient i on, of which every second one counts.
    let even = |i: usize| {
        let c = |k: usize| coefficients[i + 2 * k];
        let low = x6 * c(3) + x4 * c(2) + x2 * c(1) + unit * c(0);
        match coefficients.get(i + 8..) {
            Some([_, _, _, _, _, ..]) => x6.matmul(x6 * c(6) + x4 * c(5) + x2 * c(4)) + low,
            _ => low,
        }
    };
    let (odd, even) = (x.matmul(even(1)), even(0));
    solve(even - odd, even + odd)
}
