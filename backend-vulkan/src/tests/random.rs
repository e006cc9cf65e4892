//! Random kernels and elements, from a seed.

use egrad_ir::{Array, Dtype};

#[path = "../../../backend-cpu/tests/common/maker.rs"]
pub(super) mod maker;

/// Numbers that come out the same everywhere, from a seed (splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Between -1 and 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Floats between -2 and 2, integers between -1000 and 1000.
    pub(super) fn array(&mut self, dtype: Dtype, len: usize) -> Array {
        let element = |numbers: &mut Numbers| match dtype {
            Dtype::Bool => numbers.below(2) as f64,
            Dtype::I32 | Dtype::I64 => (1000.0 * numbers.unit()).trunc(),
            Dtype::U32 | Dtype::U8 => numbers.below(300) as f64,
            Dtype::F32 | Dtype::F64 => 2.0 * numbers.unit(),
        };
        Array::from_f64(dtype, &(0..len).map(|_| element(self)).collect::<Vec<_>>(), [len]).unwrap()
    }
}
