//! Criterion's estimates of what `cargo bench` timed.

use crate::orders::{BATCHES, Order, Subject};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where criterion writes to in this checkout.
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("criterion")
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Median times of one function, in nanoseconds, by order and batch size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Medians(HashMap<(Order, usize), f64>);

impl Medians {
    /// Reads a function's estimates; what wasn't timed is left out.
    ///
    /// # Errors
    /// If a file can't be read or isn't criterion's.
    pub fn read(folder: &Path, subject: &Subject) -> io::Result<Medians> {
        let mut medians = HashMap::new();
        for order in Order::all() {
            for batch in BATCHES {
                let path = folder.join(subject.name).join(order.name()).join(batch.to_string());
                match std::fs::read_to_string(path.join("new/estimates.json")) {
                    Ok(text) => {
                        let estimates: Estimates = serde_json::from_str(&text)?;
                        medians.insert((order, batch), estimates.median.point_estimate);
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(Medians(medians))
    }

    /// The median of that order and batch size, if it was timed.
    pub fn get(&self, order: Order, batch: usize) -> Option<f64> {
        self.0.get(&(order, batch)).copied()
    }

    /// The batch sizes that were timed in any order, increasing.
    pub fn batches(&self) -> Vec<usize> {
        let timed = |batch: &usize| Order::all().into_iter().any(|o| self.get(o, *batch).is_some());
        BATCHES.into_iter().filter(timed).collect()
    }

    /// Batch size and median of that order.
    pub fn series(&self, order: Order) -> Vec<(f64, f64)> {
        BATCHES.into_iter().filter_map(|n| Some((n as f64, self.get(order, n)?))).collect()
    }

    /// Batch size, and the median of one order over that of another, where both were timed.
    pub fn ratios(&self, order: Order, over: Order) -> Vec<(usize, f64)> {
        BATCHES.into_iter().filter_map(|n| Some((n, self.get(order, n)? / self.get(over, n)?))).collect()
    }

    /// Whether nothing was timed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::subjects;
    use egrad::Calls;

    #[test]
    fn criterions_files_are_read() {
        let folder = std::env::temp_dir().join(format!("egrad-estimates-{}", std::process::id()));
        let subject = &subjects()[0];
        let write = |order: Order, batch: usize, ns: f64| {
            let at = folder.join(subject.name).join(order.name()).join(batch.to_string()).join("new");
            std::fs::create_dir_all(&at).unwrap();
            let text = format!(r#"{{"mean": null, "median": {{"point_estimate": {ns}, "standard_error": 1.0}}}}"#);
            std::fs::write(at.join("estimates.json"), text).unwrap();
        };
        let auto = Order::VmapJit(Calls::Auto);
        write(Order::JitVmap, 10, 200.0);
        write(Order::JitVmap, 1000, 400.0);
        write(auto, 1000, 600.0);
        let medians = Medians::read(&folder, subject).unwrap();
        assert_eq!(medians.batches(), [10, 1000]);
        assert_eq!(medians.series(Order::JitVmap), [(10.0, 200.0), (1000.0, 400.0)]);
        assert_eq!(medians.ratios(auto, Order::JitVmap), [(1000, 1.5)]);
        assert!(Medians::read(&folder, &subjects()[1]).unwrap().is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
