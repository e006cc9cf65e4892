//! Numbers that look random and are the same in every run.

use egrad::{Array, Result};

/// SplitMix64.
pub(crate) struct Random(pub u64);

impl Random {
    /// Between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    pub(crate) fn shuffle(&mut self, items: &mut [usize]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Uniform numbers of this variance.
    pub(crate) fn weights(&mut self, shape: &[usize], variance: f64) -> Result<Array> {
        let limit = (3.0 * variance).sqrt();
        let n = shape.iter().product();
        Array::from_vec((0..n).map(|_| ((2.0 * self.uniform() - 1.0) * limit) as f32).collect(), shape)
    }
}
