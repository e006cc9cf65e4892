//! Random kernels and elements, from a seed.

use egrad_ir::kernel::{Body, Kernel};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Dtype, Numerics};
use std::sync::Arc;

#[path = "../../../backend-cpu/tests/common/functions.rs"]
pub(crate) mod functions;
#[path = "../../../backend-cpu/tests/common/maker.rs"]
pub(crate) mod maker;

/// Whether random functions are of kernels whose results change little when their arguments do.
const SMOOTH: bool = true;

fn kernel(text: &str) -> Kernel {
    Kernel::parse(text).unwrap()
}

/// The kernel, and all it runs, under fast numerics.
pub(crate) fn fast(mut kernel: Kernel) -> Kernel {
    let callee = |callee: &mut Arc<Schedule>| {
        for step in &mut Arc::make_mut(callee).steps {
            step.kernel = fast(step.kernel.clone());
        }
    };
    kernel.numerics = Numerics::Fast;
    match &mut kernel.body {
        Body::Loops(_) | Body::Contract(_) | Body::Scatter(_) | Body::Argsort(_) | Body::Linalg(_) | Body::Print(_) => {
        }
        Body::Call(call) => callee(&mut call.callee),
        Body::Scan(scan) => callee(&mut scan.body),
        Body::While(w) => [&mut w.cond, &mut w.body].into_iter().for_each(callee),
        Body::Switch(switch) => switch.branches.iter_mut().for_each(callee),
    }
    kernel
}

/// Numbers that come out the same everywhere, from a seed (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Between -1 and 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// What a kernel of loops reads: floats between -2 and 2, integers between -4 and 4.
    pub(crate) fn read(&mut self, kernel: &Kernel) -> Vec<Array> {
        let element = |numbers: &mut Numbers, dtype| match dtype {
            Dtype::Bool => f64::from(u8::from(numbers.below(4) > 0)),
            Dtype::I32 | Dtype::I64 => numbers.below(9) as f64 - 4.0,
            Dtype::U32 | Dtype::U8 => numbers.below(9) as f64,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => 2.0 * numbers.unit(),
        };
        let read = kernel.operands.iter().filter(|o| !o.written);
        let all = read.map(|o| {
            let elements: Vec<f64> = (0..o.len).map(|_| element(self, o.dtype)).collect();
            Array::from_f64(o.dtype, &elements, [o.len]).unwrap()
        });
        all.collect()
    }

    /// Floats between -2 and 2, integers between -1000 and 1000.
    pub(crate) fn array(&mut self, dtype: Dtype, len: usize) -> Array {
        let element = |numbers: &mut Numbers| match dtype {
            Dtype::Bool => numbers.below(2) as f64,
            Dtype::I32 | Dtype::I64 => (1000.0 * numbers.unit()).trunc(),
            Dtype::U32 | Dtype::U8 => numbers.below(300) as f64,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => 2.0 * numbers.unit(),
        };
        Array::from_f64(dtype, &(0..len).map(|_| element(self)).collect::<Vec<_>>(), [len]).unwrap()
    }
}
