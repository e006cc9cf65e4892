//! The device's memory: which kind of it serves for what, slabs of it, and what is made of them.
//!
//! * [`Layout`] places a program's temporaries, by when they live;
//! * [`Heap`] gives out parts of slabs to programs and arrays, and takes them back;
//! * [`Ring`] is host memory through which data is staged.
#![allow(unsafe_code)]

mod heap;
mod layout;
mod ranges;
mod ring;

pub(crate) use heap::{Heap, Region};
pub(crate) use layout::{Layout, Place};
pub(crate) use ring::Ring;

use crate::device::Context;
use ash::vk;
use egrad_ir::{Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a slab is for, which decides the memory it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Kernels work on it; the host doesn't see it.
    Device,
    /// Kernels work on it and the host sees it, both quickly.
    Shared,
    /// The host reads and writes it, the device copies from and to it.
    Staging,
}

/// The properties that memory for a use must have, the best first.
fn wanted(usage: Use) -> &'static [vk::MemoryPropertyFlags] {
    use vk::MemoryPropertyFlags as Flags;
    const HOST: Flags = Flags::from_raw(Flags::HOST_VISIBLE.as_raw() | Flags::HOST_COHERENT.as_raw());
    const CACHED: Flags = Flags::from_raw(HOST.as_raw() | Flags::HOST_CACHED.as_raw());
    const SHARED: Flags = Flags::from_raw(CACHED.as_raw() | Flags::DEVICE_LOCAL.as_raw());
    const ANY: Flags = Flags::empty();
    match usage {
        Use::Device => &[Flags::DEVICE_LOCAL, ANY],
        // Without a cache the host reads at a hundredth of the speed: a card's memory mapped
        // through its bus is not shared in this sense.
        Use::Shared => &[SHARED],
        Use::Staging => &[CACHED, HOST],
    }
}

/// The memory type for a use among those in `allowed` (a bit each).
fn pick(memory: &vk::PhysicalDeviceMemoryProperties, allowed: u32, usage: Use) -> Option<u32> {
    let types = memory.memory_types_as_slice();
    let has = |i: usize, flags| allowed & (1 << i) != 0 && types[i].property_flags.contains(flags);
    wanted(usage).iter().find_map(|flags| (0..types.len()).find(|i| has(*i, *flags))).map(|i| i as u32)
}

/// Whether the device has memory that both it and the host reach quickly.
pub(crate) fn is_shared(context: &Context) -> bool {
    context.caps.shared_memory && has_shared(&context.memory)
}

/// Whether some of the memory is such.
pub(crate) fn has_shared(memory: &vk::PhysicalDeviceMemoryProperties) -> bool {
    pick(memory, u32::MAX, Use::Shared).is_some()
}

/// Bytes of a slab, as commands name them. Equal spots are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) buffer: vk::Buffer,
    /// The slab's number.
    pub(crate) slab: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// A buffer with memory of its own.
struct Slab {
    raw: vk::Buffer,
    /// Different for every slab of the process, unlike handles, which come back.
    id: u64,
    memory: vk::DeviceMemory,
    /// Where the host sees it; null where it doesn't.
    mapped: *mut u8,
    size: u64,
    context: Arc<Context>,
}

// SAFETY: the mapping belongs to the slab, any thread may access it, and access through a shared
// slab is `unsafe` with the duty to keep writes exclusive.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// `size` bytes, not 0; their values are unspecified.
    fn new(context: &Arc<Context>, size: u64, usage: Use) -> Result<Slab> {
        let device = &context.raw;
        if size > context.caps.allocation {
            let (name, most) = (&context.info.name, context.caps.allocation);
            return Err(Error::memory(format!("`{name}` allocates up to {most} bytes at once; {size} were needed")));
        }
        let failed = |e| context.error(&format!("allocate {size} bytes"), e);
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let flags = match usage {
            Use::Device | Use::Shared => {
                vk::BufferUsageFlags::STORAGE_BUFFER
                    | vk::BufferUsageFlags::TRANSFER_SRC
                    | vk::BufferUsageFlags::TRANSFER_DST
            }
            Use::Staging => vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST,
        };
        let create = vk::BufferCreateInfo::default().size(size).usage(flags);
        // SAFETY: the size isn't 0, and no more than the device's largest buffer.
        let raw = context.granted().and_then(|()| unsafe { device.create_buffer(&create, None) }).map_err(failed)?;
        // Each part is kept in `slab` as soon as it exists, so that a failure drops it.
        let (memory, mapped) = (vk::DeviceMemory::null(), std::ptr::null_mut());
        let mut slab = Slab { raw, id, memory, mapped, size, context: Arc::clone(context) };
        // SAFETY: the buffer is alive.
        let needs = unsafe { device.get_buffer_memory_requirements(raw) };
        let kind = pick(&context.memory, needs.memory_type_bits, usage).ok_or_else(|| {
            Error::device(format!("`{}` lacks memory to use as {usage:?} memory for buffers", context.info.name))
        })?;
        let allocate = vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(kind);
        // SAFETY: the type is one of the device's.
        let memory = context.granted().and_then(|()| unsafe { device.allocate_memory(&allocate, None) });
        slab.memory = memory.map_err(failed)?;
        // SAFETY: the memory is as large as the buffer needs, of a type it allows, and neither is
        // bound yet.
        unsafe { device.bind_buffer_memory(raw, slab.memory, 0) }.map_err(failed)?;
        match usage {
            Use::Device => {}
            Use::Shared | Use::Staging => {
                let whole = vk::WHOLE_SIZE;
                // SAFETY: the type is host-visible, and the memory isn't mapped yet.
                let mapped = unsafe { device.map_memory(slab.memory, 0, whole, vk::MemoryMapFlags::empty()) };
                slab.mapped = mapped.map_err(failed)?.cast();
            }
        }
        Ok(slab)
    }

    /// These bytes of the slab.
    fn spot(&self, offset: u64, size: u64) -> Spot {
        Spot { buffer: self.raw, slab: self.id, offset, end: offset + size }
    }

    /// Where the host sees `size` bytes from `offset` on.
    ///
    /// # Panics
    /// If they aren't inside the slab, or the host doesn't see it.
    fn address(&self, offset: u64, size: u64) -> NonNull<u8> {
        assert!(offset.checked_add(size).is_some_and(|end| end <= self.size), "{size} bytes at {offset} are outside");
        let mapped = NonNull::new(self.mapped).expect("memory the host sees");
        // SAFETY: the offset is inside the mapping, as was just checked.
        unsafe { mapped.add(offset as usize) }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: each is null or this device's, alive and ours alone, and not in use: the
        // heap and the ring drop a slab when the device is done with it. Freeing memory unmaps it.
        unsafe {
            self.context.raw.destroy_buffer(self.raw, None);
            self.context.raw.free_memory(self.memory, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vk::MemoryPropertyFlags as Flags;

    #[track_caller]
    fn check(types: &[Flags], expect: [Option<u32>; 3]) {
        let memory_type_count = types.len() as u32;
        let mut memory = vk::PhysicalDeviceMemoryProperties { memory_type_count, ..Default::default() };
        for (slot, flags) in memory.memory_types.iter_mut().zip(types) {
            slot.property_flags = *flags;
        }
        let got = [Use::Device, Use::Shared, Use::Staging].map(|u| pick(&memory, u32::MAX, u));
        assert_eq!(got, expect);
    }

    #[test]
    fn memory_of_cards_and_processors() {
        let host = Flags::HOST_VISIBLE | Flags::HOST_COHERENT;
        let local = Flags::DEVICE_LOCAL;
        // A software device, or graphics in the processor.
        check(&[local | host | Flags::HOST_CACHED], [Some(0), Some(0), Some(0)]);
        // A card whose memory the host sees a window of.
        check(&[Flags::empty(), local, host, host | Flags::HOST_CACHED, local | host], [Some(1), None, Some(3)]);
        // Memory of the host alone that the device can reach.
        check(&[host], [Some(0), None, Some(0)]);
    }
}
