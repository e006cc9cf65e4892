//! Results that JAX computed from the same inputs, and the check against them.
//!
//! `benches/jax/values/NAME.json` has a record per result: its type, some of its elements, and two
//! means over all of them, computed by JAX in double precision. The tolerances come from JAX's own
//! single-precision results: eight times their distance from the double-precision ones, and no
//! less than a few units of single precision. `benches/jax/run values.py` writes the files.

use crate::data::Stream;
use egrad::{Array, Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is stored of a result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Element type and shape, as in `f32[2,3]`.
    aval: String,
    /// Positions in row-major order, and the elements there.
    at: Vec<usize>,
    values: Vec<f64>,
    /// The mean of all elements.
    mean: f64,
    /// The mean of all elements, each times its weight.
    weighted_mean: f64,
    /// How far an element may be off.
    tolerance: f64,
    /// How far a mean may be off.
    mean_tolerance: f64,
}

/// The weight of element i in the weighted mean, between -1/2 and 1/2: it tells results apart that
/// have the same elements in another order.
fn weight(i: usize) -> f64 {
    f64::from(Stream::new(0).uniform(i as u64)) - 0.5
}

/// Where the values are stored in this checkout.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jax/values")
}

/// Checks a program's results against those stored in a folder.
///
/// # Errors
/// [`Error::Parse`] if none are stored, else an error that names the first result that is wrong,
/// what it is and what it should be.
pub fn check(folder: &Path, program: &str, results: &[Array]) -> Result<()> {
    let path = folder.join(format!("{program}.json"));
    let wrong = |e: &dyn std::fmt::Display| Error::parse(format!("{}: {e}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(&e))?;
    let stored: Vec<Stored> = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    if stored.len() != results.len() {
        let m = format!("{program} has {} results, and JAX's has {}", results.len(), stored.len());
        return Err(Error::tree(m));
    }
    stored.iter().zip(results).enumerate().try_for_each(|(i, (stored, result))| {
        compare(stored, result).map_err(|what| Error::shape(format!("{program}: result {i}: {what}")))
    })
}

fn compare(stored: &Stored, result: &Array) -> std::result::Result<(), String> {
    let aval = result.aval().to_string();
    if aval != stored.aval {
        return Err(format!("its type is {aval}, and JAX's is {}", stored.aval));
    }
    let near = |what: &str, got: f64, want: f64, tolerance: f64| {
        // Written so that NaN fails.
        if (got - want).abs() <= tolerance {
            return Ok(());
        }
        Err(format!("{what} is {got}, and JAX's is {want}: they may differ by {tolerance:.1e}"))
    };
    let elements = result.to_f64();
    for (i, want) in stored.at.iter().zip(&stored.values) {
        let got = elements.get(*i).ok_or_else(|| format!("there is no element {i}"))?;
        near(&format!("element {i}"), *got, *want, stored.tolerance)?;
    }
    let n = elements.len() as f64;
    let mean = elements.iter().sum::<f64>() / n;
    near("the mean", mean, stored.mean, stored.mean_tolerance)?;
    let weighted = elements.iter().enumerate().map(|(i, x)| x * weight(i)).sum::<f64>() / n;
    near("the weighted mean", weighted, stored.weighted_mean, stored.mean_tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(of: &[f64]) -> Stored {
        let n = of.len() as f64;
        Stored {
            aval: format!("f32[{}]", of.len()),
            at: vec![0],
            values: vec![of[0]],
            mean: of.iter().sum::<f64>() / n,
            weighted_mean: of.iter().enumerate().map(|(i, x)| x * weight(i)).sum::<f64>() / n,
            tolerance: 1e-5,
            mean_tolerance: 1e-5,
        }
    }

    #[test]
    fn what_differs_is_said() {
        let given = |data: &[f32]| Array::from_vec(data.to_vec(), [data.len()]).unwrap();
        let stored = stored(&[1.0, 2.0, 3.0]);
        let check = |data: &[f32]| compare(&stored, &given(data));
        assert_eq!(check(&[1.0, 2.0, 3.0]), Ok(()));
        assert_eq!(check(&[1.0, 2.0]), Err("its type is f32[2], and JAX's is f32[3]".to_owned()));
        assert!(check(&[1.1, 2.0, 3.0]).unwrap_err().starts_with("element 0 is 1.1"));
        assert!(check(&[1.0, f32::NAN, 3.0]).unwrap_err().starts_with("the mean is NaN"));
        assert!(check(&[1.0, 2.0, 3.5]).unwrap_err().starts_with("the mean is 2.16"));
        assert!(check(&[1.0, 3.0, 2.0]).unwrap_err().starts_with("the weighted mean is "));
    }

    /// Nothing else is stored, and what is stored is well-formed.
    #[test]
    fn every_program_has_its_values() {
        let mut names: Vec<String> = crate::programs::all().into_iter().map(|p| format!("{}.json", p.name)).collect();
        names.sort();
        let files = std::fs::read_dir(folder()).unwrap();
        let mut stored: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        stored.sort();
        assert_eq!(stored, names);
        for name in stored {
            let text = std::fs::read_to_string(folder().join(&name)).unwrap();
            let outputs: Vec<Stored> = serde_json::from_str(&text).unwrap();
            assert!(!outputs.is_empty(), "{name}");
            for o in outputs {
                assert!(!o.at.is_empty() && o.at.len() == o.values.len(), "{name}");
                assert!(o.tolerance.is_finite() && o.mean_tolerance.is_finite(), "{name}");
            }
        }
    }
}
