//! Memory for arrays and programs: parts of slabs.

use super::ranges::Ranges;
use super::{Slab, Spot, Use};
use crate::device::Context;
use crate::runtime::Runtime;
use egrad_ir::{Error, Result};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Gives out parts of slabs. A small buffer shares a slab with others, a large one has its own;
/// slabs nothing is in are kept for the next ones, up to a limit.
pub(crate) struct Heap {
    usage: Use,
    alignment: u64,
    /// How many bytes of empty slabs to keep.
    kept: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    /// What was given back while the device might still use it, and the value until when.
    waiting: Vec<(u64, Part)>,
}

struct Block {
    slab: Arc<Slab>,
    free: Ranges,
    /// Whether it holds one buffer alone.
    alone: bool,
}

/// Part of a slab.
struct Part {
    slab: Arc<Slab>,
    offset: u64,
    size: u64,
}

/// Part of a slab, given back when dropped, as soon as the device is done with it.
pub(crate) struct Region {
    slab: Arc<Slab>,
    offset: u64,
    size: u64,
    /// The value at which the device is done with what was submitted so far.
    until: AtomicU64,
    runtime: Arc<Runtime>,
}

/// A buffer of that many bytes or more has a slab of its own.
const LARGE: u64 = 16 << 20;

/// The sizes slabs for several buffers have, from the first one on.
const SHARED: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 20);

impl Heap {
    pub(crate) fn new(usage: Use, context: &Context) -> Heap {
        let heaps = context.memory.memory_heaps_as_slice();
        let largest = heaps.iter().map(|h| h.size).max().unwrap_or(0);
        Heap { usage, alignment: context.caps.alignment, kept: (largest / 8).min(1 << 30), state: Mutex::default() }
    }

    /// Where the heap's memory is.
    pub(crate) fn usage(&self) -> Use {
        self.usage
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, context: &Arc<Context>, size: u64) -> Result<Part> {
        let mut state = self.state();
        state.collect(context, self.kept);
        for block in &mut state.blocks {
            let fits = if context.bounds {
                block.slab.size == size
            } else if size >= LARGE {
                block.alone && size <= block.slab.size && block.slab.size - size <= size / 4
            } else {
                !block.alone
            };
            if fits && let Some(offset) = block.free.take(size) {
                return Ok(Part { slab: Arc::clone(&block.slab), offset, size });
            }
        }
        let alone = size >= LARGE || context.bounds;
        let shared: u64 = state.blocks.iter().filter(|b| !b.alone).map(|b| b.slab.size).sum();
        let block = shared.next_power_of_two().clamp(*SHARED.start(), *SHARED.end()).min(context.caps.allocation);
        let bytes = if alone { size } else { block.max(size) };
        let slab = Arc::new(Slab::new(context, bytes, self.usage)?);
        let mut free = Ranges::whole(bytes);
        let offset = free.take(size).ok_or_else(|| Error::internal("a new slab is too small"))?;
        state.blocks.push(Block { slab: Arc::clone(&slab), free, alone });
        Ok(Part { slab, offset, size })
    }

    /// Gives back what the device uses until that value.
    fn give(&self, context: &Context, until: u64, part: Part) {
        let mut state = self.state();
        if until <= context.reached() {
            state.give(&part, self.kept);
        } else {
            state.waiting.push((until, part));
        }
    }

    /// Takes back what the device is done with, and frees slabs nothing is in.
    fn trim(&self, context: &Context) {
        self.state().collect(context, 0);
    }

    /// Bytes of slabs, and bytes of them that nothing is in.
    pub(crate) fn bytes(&self, context: &Context) -> (u64, u64) {
        let mut state = self.state();
        state.collect(context, u64::MAX);
        let all = state.blocks.iter().map(|b| b.slab.size).sum();
        (all, state.blocks.iter().map(|b| b.free.bytes()).sum())
    }
}

impl State {
    fn give(&mut self, part: &Part, kept: u64) {
        if let Some(block) = self.blocks.iter_mut().find(|b| b.slab.id == part.slab.id) {
            block.free.give(part.offset, part.size);
        }
        self.keep(kept);
    }

    /// Frees empty slabs, the oldest first, beyond so many bytes of them.
    fn keep(&mut self, kept: u64) {
        let empty = |b: &Block| b.free.is_whole(b.slab.size);
        let mut surplus: u64 = self.blocks.iter().filter(|b| empty(b)).map(|b| b.slab.size).sum();
        if surplus > kept {
            self.blocks.retain(|block| {
                let free = surplus > kept && empty(block);
                surplus -= if free { block.slab.size } else { 0 };
                !free
            });
        }
    }

    fn collect(&mut self, context: &Context, kept: u64) {
        if !self.waiting.is_empty() {
            let done = context.completed();
            let (over, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(until, _)| *until <= done);
            self.waiting = waiting;
            let over: Vec<(u64, Part)> = over;
            over.iter().for_each(|(_, part)| self.give(part, kept));
        }
        self.keep(kept);
    }
}

impl Region {
    /// A buffer of that many bytes (1 at least, as Vulkan has no empty ones), whose values are
    /// unspecified. Nothing uses it.
    pub(crate) fn new(runtime: &Arc<Runtime>, size: u64) -> Result<Region> {
        let (heap, context) = (&runtime.heap, &runtime.context);
        // The layers see what is outside of a slab: then each buffer has its own.
        let alignment = if context.bounds { 1 } else { heap.alignment };
        let size = size.max(1).checked_next_multiple_of(alignment);
        let size = size.ok_or_else(|| Error::memory("a buffer's size overflows memory"))?;
        let part = match heap.take(context, size) {
            Err(Error::Memory(_)) => {
                // What is in flight may hold memory, and so may empty slabs.
                context.wait_all().map_err(|e| context.error("wait for memory", e))?;
                heap.trim(context);
                heap.take(context, size)?
            }
            taken => taken?,
        };
        let Part { slab, offset, size } = part;
        Ok(Region { slab, offset, size, until: AtomicU64::new(0), runtime: Arc::clone(runtime) })
    }

    /// Where it is.
    pub(crate) fn spot(&self) -> Spot {
        self.slab.spot(self.offset, self.size)
    }

    /// How many bytes it has; no fewer than were asked for.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The device uses it until that value.
    pub(crate) fn used(&self, until: u64) {
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Where the host sees it.
    ///
    /// # Panics
    /// If the host doesn't.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.slab.address(self.offset, self.size)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let until = self.until.load(Ordering::Acquire);
        let part = Part { slab: Arc::clone(&self.slab), offset: self.offset, size: self.size };
        self.runtime.heap.give(&self.runtime.context, until, part);
    }
}
