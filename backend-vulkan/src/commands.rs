//! Commands: recorded, submitted, and waited for.
#![allow(unsafe_code)]

use crate::device::Context;
use crate::memory::Spot;
use crate::queue::Commanded;
use ash::vk;
use std::sync::Arc;
use vk::{AccessFlags2 as Access, PipelineStageFlags2 as Stage};

/// A command buffer with a pool of its own.
pub(crate) struct Commands {
    pool: vk::CommandPool,
    pub(crate) raw: vk::CommandBuffer,
    /// The timeline's value at which the last submission is over.
    pub(crate) until: u64,
    context: Arc<Context>,
}

/// Who accesses memory, on one side of a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Kernels.
    Kernels,
    /// Copies.
    Copies,
    /// Kernels and copies.
    Device,
    /// The host, which only reads.
    Host,
}

impl Actor {
    fn stage(self) -> Stage {
        match self {
            Actor::Kernels => Stage::COMPUTE_SHADER,
            Actor::Copies => Stage::COPY,
            Actor::Device => Stage::COMPUTE_SHADER | Stage::COPY,
            Actor::Host => Stage::HOST,
        }
    }

    fn writes(self) -> Access {
        match self {
            Actor::Kernels => Access::SHADER_STORAGE_WRITE,
            Actor::Copies => Access::TRANSFER_WRITE,
            Actor::Device => Access::SHADER_STORAGE_WRITE | Access::TRANSFER_WRITE,
            Actor::Host => Access::NONE,
        }
    }

    fn accesses(self) -> Access {
        match self {
            Actor::Kernels => Access::SHADER_STORAGE_READ | Access::SHADER_STORAGE_WRITE,
            Actor::Copies => Access::TRANSFER_READ | Access::TRANSFER_WRITE,
            Actor::Device => Actor::Kernels.accesses() | Actor::Copies.accesses(),
            Actor::Host => Access::HOST_READ,
        }
    }
}

impl Commands {
    pub(crate) fn new(context: &Arc<Context>) -> Commanded<Commands> {
        let device = &context.raw;
        let create = vk::CommandPoolCreateInfo::default().queue_family_index(context.family);
        context.granted()?;
        // SAFETY: the device has a queue of that family.
        let pool = unsafe { device.create_command_pool(&create, None) }?;
        let (raw, context) = (vk::CommandBuffer::null(), Arc::clone(context));
        // Kept in `commands` from here on, so that a failure drops it.
        let mut commands = Commands { pool, raw, until: 0, context };
        let allocate = vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        commands.context.granted()?;
        // SAFETY: the pool is alive and ours alone; it frees the buffer when it is destroyed.
        commands.raw = unsafe { commands.context.raw.allocate_command_buffers(&allocate) }?[0];
        Ok(commands)
    }

    /// Begins to record, what was recorded before being forgotten: first of all a barrier, so that
    /// all that was submitted before is seen, and over with what it used.
    ///
    /// # Panics
    /// If the commands are in flight.
    pub(crate) fn begin(&mut self) -> Commanded<()> {
        assert!(self.until <= self.context.reached(), "commands in flight are recorded anew");
        let device = &self.context.raw;
        // SAFETY: the pool is alive and ours alone, and its buffer isn't in flight.
        unsafe { device.reset_command_pool(self.pool, vk::CommandPoolResetFlags::empty()) }?;
        // SAFETY: the buffer was just reset.
        unsafe { device.begin_command_buffer(self.raw, &vk::CommandBufferBeginInfo::default()) }?;
        self.barrier(Actor::Device, Actor::Device);
        Ok(())
    }

    /// A barrier: `to` sees what `from` wrote, and writes when `from` has read.
    pub(crate) fn barrier(&self, from: Actor, to: Actor) {
        let barriers = [vk::MemoryBarrier2::default()
            .src_stage_mask(from.stage())
            .src_access_mask(from.writes())
            .dst_stage_mask(to.stage())
            .dst_access_mask(to.accesses())];
        let dependency = vk::DependencyInfo::default().memory_barriers(&barriers);
        // SAFETY: the commands are being recorded, and the device has `synchronization2`.
        unsafe { self.context.raw.cmd_pipeline_barrier2(self.raw, &dependency) };
    }

    /// A copy of `size` bytes from one slab to another.
    ///
    /// # Panics
    /// If they aren't inside, or the slabs are one.
    pub(crate) fn copy(&self, from: Spot, to: Spot, size: u64) {
        let inside = |spot: Spot| spot.offset + size <= spot.end;
        assert!(size > 0 && inside(from) && inside(to) && from.slab != to.slab, "{size} bytes: {from:?}, {to:?}");
        let region = [vk::BufferCopy { src_offset: from.offset, dst_offset: to.offset, size }];
        // SAFETY: the commands are being recorded; the bytes are inside both slabs, which are
        // apart, as was just checked.
        unsafe { self.context.raw.cmd_copy_buffer(self.raw, from.buffer, to.buffer, &region) };
    }

    /// Ends recording.
    pub(crate) fn end(&self) -> Commanded<()> {
        // SAFETY: the commands are being recorded.
        unsafe { self.context.raw.end_command_buffer(self.raw) }
    }

    /// Submits what was recorded, and says until which value it is in flight.
    ///
    /// # Safety
    /// The commands are recorded, not in flight, and all they use stays alive until then.
    pub(crate) unsafe fn submit(&mut self) -> Commanded<u64> {
        // SAFETY: the caller's promise; the buffer itself waits before it is dropped.
        self.until = unsafe { self.context.submit(self.raw) }?;
        Ok(self.until)
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        // On failure the device is lost, and idle.
        let _ = self.context.wait(self.until);
        // SAFETY: the pool is this device's, alive and ours alone; its buffer is not in flight.
        unsafe { self.context.raw.destroy_command_pool(self.pool, None) };
    }
}
