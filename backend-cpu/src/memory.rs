//! Memory for machine code, owned: dropping it gives it back.
//!
//! One mapping holds all kernels of a schedule. It is written first and made executable (and
//! read-only) before any address in it is handed out, so no page is ever both.
#![allow(unsafe_code)]

use cranelift_codegen::CompiledCode;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{ExternalName, LibCall};
use egrad_ir::{Error, Result};
use memmap2::{Mmap, MmapMut};

/// Compiled functions, to be made executable together.
#[derive(Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// Executable functions.
pub(crate) struct Code {
    /// `None` when there is no function: a mapping can't be empty.
    map: Option<Mmap>,
    starts: Vec<usize>,
}

/// A compiled kernel; the argument points at its argument block.
pub(crate) type Entry = unsafe extern "C" fn(*const u64);

/// Functions and their constants are placed at multiples of this.
const ALIGN: usize = 64;

impl Assembly {
    /// Adds a function.
    ///
    /// # Errors
    /// If it refers to something that can't be resolved.
    pub(crate) fn add(&mut self, compiled: &CompiledCode) -> Result<()> {
        let start = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(compiled.code_buffer());
        for reloc in compiled.buffer.relocs() {
            let target = match &reloc.target {
                cranelift_codegen::FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => libcall(*call),
                _ => None,
            };
            let (Some(target), Reloc::Abs8) = (target, reloc.kind) else {
                return Err(Error::internal(format!("generated code refers to {:?}", reloc.target)));
            };
            let at = start + reloc.offset as usize;
            let address = (target as u64).wrapping_add_signed(reloc.addend);
            self.bytes[at..at + 8].copy_from_slice(&address.to_ne_bytes());
        }
        self.starts.push(start);
        Ok(())
    }

    /// Makes the functions executable.
    ///
    /// # Errors
    /// If the system gives no memory for code.
    pub(crate) fn finish(self) -> Result<Code> {
        if self.bytes.is_empty() {
            return Ok(Code { map: None, starts: self.starts });
        }
        let refused =
            |e: std::io::Error| Error::memory(format!("no memory for {} bytes of code: {e}", self.bytes.len()));
        let mut map = MmapMut::map_anon(self.bytes.len()).map_err(refused)?;
        map[..self.bytes.len()].copy_from_slice(&self.bytes);
        clear_instruction_cache(&map);
        let map = map.make_exec().map_err(refused)?;
        Ok(Code { map: Some(map), starts: self.starts })
    }
}

impl Code {
    /// The function added as number `i`; it may be called as long as `self` lives.
    pub(crate) fn entry(&self, i: usize) -> Entry {
        let map = self.map.as_ref().expect("a function was added");
        let start = map[self.starts[i]..].as_ptr();
        // SAFETY: `start` is where `Assembly::add` put a function that Cranelift compiled for this
        // machine with the signature of `Entry` (one pointer argument, no result, the C calling
        // convention), and the mapping has been made executable.
        unsafe { std::mem::transmute::<*const u8, Entry>(start) }
    }
}

/// Functions Cranelift calls on machines that lack the instruction.
fn libcall(call: LibCall) -> Option<usize> {
    extern "C" fn fma_f32(x: f32, y: f32, z: f32) -> f32 {
        x.mul_add(y, z)
    }
    extern "C" fn fma_f64(x: f64, y: f64, z: f64) -> f64 {
        x.mul_add(y, z)
    }
    extern "C" fn floor_f32(x: f32) -> f32 {
        x.floor()
    }
    extern "C" fn floor_f64(x: f64) -> f64 {
        x.floor()
    }
    extern "C" fn nearest_f32(x: f32) -> f32 {
        x.round_ties_even()
    }
    extern "C" fn nearest_f64(x: f64) -> f64 {
        x.round_ties_even()
    }
    match call {
        LibCall::FmaF32 => Some(fma_f32 as *const () as usize),
        LibCall::FmaF64 => Some(fma_f64 as *const () as usize),
        LibCall::FloorF32 => Some(floor_f32 as *const () as usize),
        LibCall::FloorF64 => Some(floor_f64 as *const () as usize),
        LibCall::NearestF32 => Some(nearest_f32 as *const () as usize),
        LibCall::NearestF64 => Some(nearest_f64 as *const () as usize),
        _ => None,
    }
}

/// Makes instruction fetch see what was written; x86-64 keeps its caches coherent by itself.
fn clear_instruction_cache(code: &[u8]) {
    #[cfg(target_arch = "aarch64")]
    {
        // The smallest line size the architecture allows.
        const LINE: usize = 16;
        let range = code.as_ptr_range();
        for step in [true, false] {
            let mut at = range.start as usize & !(LINE - 1);
            while at < range.end as usize {
                // SAFETY: cache maintenance by address on memory we own changes no data.
                unsafe {
                    if step {
                        std::arch::asm!("dc cvau, {0}", in(reg) at, options(nostack, preserves_flags));
                    } else {
                        std::arch::asm!("ic ivau, {0}", in(reg) at, options(nostack, preserves_flags));
                    }
                }
                at += LINE;
            }
            // SAFETY: barriers order the maintenance above before what follows.
            unsafe { std::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
        }
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = code;
}
