//! Prints: what is in memory, as text.
#![allow(unsafe_code)]

use egrad_ir::kernel::{Kernel, Print};
use egrad_ir::{Array, Dtype, Element, Result, bf16, f16};
use std::slice;

/// A print of a verified kernel.
pub(crate) struct Printer {
    print: Print,
    /// Per value its type.
    dtypes: Vec<Dtype>,
}

impl Printer {
    pub(crate) fn new(kernel: &Kernel, print: &Print) -> Printer {
        let dtypes = print.values.iter().map(|(operand, _)| kernel.operands[*operand].dtype).collect();
        Printer { print: print.clone(), dtypes }
    }

    /// Prints what is at these addresses of the kernel's operands.
    ///
    /// # Errors
    /// If memory runs out.
    ///
    /// # Safety
    /// The kernel has been verified, and its operands are at these addresses: live memory of their
    /// lengths, aligned to their types, which nothing writes meanwhile; nothing else accesses the result.
    pub(crate) unsafe fn run(&self, at: &[u64]) -> Result<()> {
        let mut values = Vec::with_capacity(self.dtypes.len());
        for ((operand, shape), dtype) in self.print.values.iter().zip(&self.dtypes) {
            // SAFETY: by the caller's promise, for the type that the operand has.
            values.push(unsafe {
                match dtype {
                    Dtype::F32 => array::<f32>(at[*operand], shape),
                    Dtype::F64 => array::<f64>(at[*operand], shape),
                    Dtype::F16 => array::<f16>(at[*operand], shape),
                    Dtype::Bf16 => array::<bf16>(at[*operand], shape),
                    Dtype::I32 => array::<i32>(at[*operand], shape),
                    Dtype::I64 => array::<i64>(at[*operand], shape),
                    Dtype::U32 => array::<u32>(at[*operand], shape),
                    Dtype::U8 => array::<u8>(at[*operand], shape),
                    Dtype::Bool => array::<bool>(at[*operand], shape),
                }?
            });
        }
        egrad_ir::print::print(&self.print.format, &self.print.levels, &values)?;
        // SAFETY: the result is one `i32`, which the verifier has checked.
        unsafe { (at[self.print.result] as *mut i32).write(0) };
        Ok(())
    }
}

/// A copy of what is at an address.
///
/// # Safety
/// There are as many elements as the shape has, aligned, live and not written meanwhile.
unsafe fn array<T: Element>(at: u64, shape: &[usize]) -> Result<Array> {
    let elements = match shape.iter().product() {
        0 => Vec::new(),
        // SAFETY: by the caller's promise; memory of some elements isn't null.
        n => unsafe { slice::from_raw_parts(at as *const T, n) }.to_vec(),
    };
    Array::from_vec(elements, shape)
}
