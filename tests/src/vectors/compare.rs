//! Whether arrays are what a case says.

use super::schema::Tensor;
use egrad::{Array, Dtype};

/// How close floats must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// The largest difference, relative to the tensor's largest finite entry.
    pub(super) relative: f64,
    /// Whether zeros must have the sign that was recorded.
    pub(super) signed_zeros: bool,
}

/// Compares results with what was recorded; `None` is not compared. Integers, bools, NaN and
/// infinities must be the same.
///
/// # Errors
/// The first element that is wrong.
pub(super) fn compare(
    got: &[Array],
    want: &[Option<&Tensor>],
    width: Dtype,
    tolerance: Tolerance,
) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} results, expected {}", got.len(), want.len()));
    }
    got.iter().zip(want).enumerate().try_for_each(|(i, (got, want))| match want {
        Some(want) => tensor(got, want, width, tolerance).map_err(|e| format!("result {i}{e}")),
        None => Ok(()),
    })
}

fn tensor(got: &Array, want: &Tensor, width: Dtype, tolerance: Tolerance) -> Result<(), String> {
    let dtype = want.dtype.dtype(width);
    if got.dtype() != dtype || got.shape().to_vec() != want.shape {
        return Err(format!(" is {}, expected {dtype}{:?}", got.aval(), want.shape));
    }
    let (got, want) = (got.to_f64(), &want.numbers());
    let relative = if dtype.is_float() { tolerance.relative } else { 0.0 };
    let largest = want.iter().filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = if w.is_nan() {
            g.is_nan()
        } else if w.is_infinite() {
            g == w
        } else {
            (g - w).abs() <= relative * largest
        };
        let signs = !tolerance.signed_zeros || *g != 0.0 || *w != 0.0 || g.is_sign_negative() == w.is_sign_negative();
        if !same || !signs {
            let off = (g - w).abs() / largest;
            let off = if off.is_finite() && *g != *w {
                format!(" (off by {off:.2e}, allowed {relative:.2e})")
            } else {
                String::new()
            };
            return Err(format!("[{i}]: expected {w:?}, got {g:?}{off}"));
        }
    }
    Ok(())
}
