//! Memory for machine code, owned: dropping it gives it back.
//!
//! `cranelift-jit` asks for memory function by function and never gives back what has been made
//! executable. Here all kernels of a schedule lie in a few mappings, one unless they are long,
//! which belong to whoever runs them. A mapping is written first and made executable (and
//! read-only) before any address in it is handed out, so no page is ever both.
#![allow(unsafe_code)]

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::{ModuleError, ModuleResult};
use memmap2::{Mmap, MmapMut};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Executable memory, unmapped when the last clone is dropped.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<Mmap>>>);

/// Gives memory to a `JITModule`, and once it is executable to a [`Memory`].
pub(crate) struct Provider {
    /// What is still written.
    open: Vec<Chunk>,
    done: Memory,
}

struct Chunk {
    map: MmapMut,
    used: usize,
}

/// Functions and their constants are placed at multiples of this.
const ALIGN: usize = 64;

/// The first mapping has this many bytes, each next one at least twice as many as the one before:
/// the system makes only those pages that are written.
const FIRST: usize = 32 << 10;

impl Provider {
    pub(crate) fn new(done: Memory) -> Provider {
        Provider { open: Vec::new(), done }
    }

    /// Opens a chunk of at least this many bytes.
    fn open(&mut self, bytes: usize) -> io::Result<()> {
        let next = self.open.last().map_or(FIRST, |last| last.map.len().saturating_mul(2));
        let map = MmapMut::map_anon(next.max(bytes).next_multiple_of(FIRST))?;
        self.open.push(Chunk { map, used: 0 });
        Ok(())
    }
}

impl Chunk {
    /// Memory of this many bytes, if that much is left.
    fn take(&mut self, bytes: usize, align: usize) -> Option<*mut u8> {
        let start = self.used.next_multiple_of(align);
        let end = start.checked_add(bytes)?;
        let taken = self.map.get_mut(start..end)?;
        self.used = end;
        Some(taken.as_mut_ptr())
    }
}

impl JITMemoryProvider for Provider {
    fn allocate(&mut self, size: usize, align: u64, kind: JITMemoryKind) -> io::Result<*mut u8> {
        let align = usize::try_from(align).map_or(usize::MAX, |align| align.max(ALIGN));
        // Mappings begin at pages, of which no system has smaller ones.
        if align > 4096 || matches!(kind, JITMemoryKind::Writable) {
            return Err(io::Error::other("kernels have code and constants, aligned within a page"));
        }
        if let Some(memory) = self.open.last_mut().and_then(|chunk| chunk.take(size, align)) {
            return Ok(memory);
        }
        self.open(size)?;
        Ok(self.open.last_mut().and_then(|chunk| chunk.take(size, align)).expect("the chunk is large enough"))
    }

    /// Gives everything back, as dropping the last owner does.
    unsafe fn free_memory(&mut self) {
        self.open.clear();
        self.done.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Branch protection is left off: on pages without it, its instructions do nothing.
    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        let mut done = self.done.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in self.open.drain(..) {
            clear_instruction_cache(&chunk.map[..chunk.used]);
            done.push(chunk.map.make_exec().map_err(|err| ModuleError::Allocation { err })?);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::{ALIGN, Memory, Provider};
    use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};

    #[test]
    fn pieces_are_apart_aligned_and_stay_where_they_are() {
        let memory = Memory::default();
        let mut provider = Provider::new(memory.clone());
        let mut pieces = Vec::new();
        for (i, size) in [1, 64, 65, 30_000, 5_000, 200_000, 7].into_iter().enumerate() {
            let piece = provider.allocate(size, 16, JITMemoryKind::Executable).unwrap();
            assert!(piece.addr().is_multiple_of(ALIGN));
            // SAFETY: the piece has `size` bytes and may be written until it is finalized.
            unsafe { piece.write_bytes(i as u8, size) };
            pieces.push((piece, size));
        }
        provider.finalize(BranchProtection::None).unwrap();
        drop(provider);
        for (i, (piece, size)) in pieces.into_iter().enumerate() {
            // SAFETY: the piece may be read as long as `memory` lives.
            let bytes = unsafe { std::slice::from_raw_parts(piece, size) };
            assert!(bytes.iter().all(|b| *b == i as u8));
        }
        assert_eq!(memory.0.lock().unwrap().len(), 3);
    }

    #[test]
    fn what_would_stay_writable_is_refused() {
        let mut provider = Provider::new(Memory::default());
        assert!(provider.allocate(8, 8, JITMemoryKind::Writable).is_err());
        assert!(provider.allocate(8, 1 << 20, JITMemoryKind::Executable).is_err());
    }
}
