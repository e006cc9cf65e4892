//! What the programs and arrays of a device share: its memory, and the way to it and back.
#![allow(unsafe_code)]

use crate::commands::{Actor, Commands};
use crate::device::Context;
use crate::memory::{self, Heap, Region, Ring, Spot, Use};
use egrad_ir::{Array, Aval, Dtype, Error, Resident, Result};
use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An open device with its memory.
pub(crate) struct Runtime {
    pub(crate) heap: Heap,
    /// Through which data is staged; made when it is first needed.
    ring: Mutex<Option<Ring>>,
    /// Commands for copies, to be used again.
    copies: Mutex<Vec<Commands>>,
    /// Bytes copied to the device and back.
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    /// Last: what is above is destroyed before the device.
    pub(crate) context: Arc<Context>,
}

/// The elements of an array, on the device.
pub(crate) struct Elements {
    pub(crate) region: Region,
    aval: Aval,
    /// The timeline's value at which they are computed.
    ready: u64,
    runtime: Arc<Runtime>,
}

/// Bytes of the ring.
const RING: u64 = 16 << 20;

impl Runtime {
    pub(crate) fn new(context: Context) -> Runtime {
        let usage = if memory::is_shared(&context) { Use::Shared } else { Use::Device };
        let heap = Heap::new(usage, &context);
        let (ring, copies) = (Mutex::default(), Mutex::default());
        Runtime { heap, ring, copies, up: AtomicU64::new(0), down: AtomicU64::new(0), context: Arc::new(context) }
    }

    /// Whether the host sees the heap's memory.
    pub(crate) fn shared(&self) -> bool {
        self.heap.usage() == Use::Shared
    }

    /// The elements of an array, if they are on this device.
    pub(crate) fn elements<'a>(self: &Arc<Self>, array: &'a Array) -> Option<&'a Elements> {
        let elements = array.resident()?.as_any().downcast_ref::<Elements>()?;
        Arc::ptr_eq(&elements.runtime, self).then_some(elements)
    }

    /// Uses the ring, which nobody else does meanwhile.
    pub(crate) fn with_ring<T>(&self, stage: impl FnOnce(&mut Ring) -> Result<T>) -> Result<T> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.is_none() {
            *ring = Some(Ring::new(&self.context, self.ring_bytes())?);
        }
        let ring = ring.as_mut().ok_or_else(|| Error::internal("the ring is gone"))?;
        let staged = stage(ring);
        ring.cancel();
        staged
    }

    /// The array on this device: itself if it is there.
    pub(crate) fn put(self: &Arc<Self>, array: &Array) -> Result<Array> {
        if self.elements(array).is_some() || array.shape().size() == 0 {
            return Ok(array.clone());
        }
        let (aval, bytes) = (array.aval().clone(), bytes(array.aval()));
        let region = Region::new(self, bytes)?;
        let ready = self.send(array, &region)?;
        Ok(self.array(aval, region, ready))
    }

    /// An array of what the region holds when the timeline has that value.
    pub(crate) fn array(self: &Arc<Self>, aval: Aval, region: Region, ready: u64) -> Array {
        let runtime = Arc::clone(self);
        Array::on_device(aval.clone(), Box::new(Elements { region, aval, ready, runtime }))
    }

    /// Copies an array's elements to where the device sees them, when the timeline has the value
    /// returned. Nothing uses the region.
    pub(crate) fn send(&self, array: &Array, region: &Region) -> Result<u64> {
        let (bytes, from) = (bytes(array.aval()), array.as_ptr()?);
        assert!(bytes <= region.size(), "{} in {} bytes", array.aval(), region.size());
        if self.shared() {
            self.up.fetch_add(bytes, Ordering::Relaxed);
            // SAFETY: the array has `bytes` bytes of elements and the region as many in its
            // mapping, which is no Rust object's memory; the device is done with the region, and
            // no other thread uses it, as its owner called.
            unsafe { std::ptr::copy_nonoverlapping(from, region.address().as_ptr(), bytes as usize) };
            return Ok(0);
        }
        let (mut done, mut value) = (0, 0);
        while done < bytes {
            let size = self.staged_at_once().min(bytes - done);
            value = self.with_ring(|ring| {
                let (piece, to) = ring.take(&self.context, size)?;
                // SAFETY: as above; the piece is this caller's alone, and `done + size` is no more
                // than the array has.
                unsafe { std::ptr::copy_nonoverlapping(from.add(done as usize), to.as_ptr(), size as usize) };
                let there = region.spot();
                let value = self.copy(region, piece, Spot { offset: there.offset + done, ..there }, size)?;
                ring.submitted(value);
                Ok(value)
            })?;
            self.up.fetch_add(size, Ordering::Relaxed);
            done += size;
        }
        Ok(value)
    }

    /// The most bytes that are staged before one submission.
    pub(crate) fn staged_at_once(&self) -> u64 {
        (self.ring_bytes() / 2).max(1)
    }

    fn ring_bytes(&self) -> u64 {
        self.context.ring.unwrap_or(RING).max(2)
    }

    /// Writes an array's elements to the ring, for the caller to copy from there.
    pub(crate) fn stage(&self, array: &Array, ring: &mut Ring) -> Result<Spot> {
        let (size, from) = (bytes(array.aval()), array.as_ptr()?);
        let (piece, to) = ring.take(&self.context, size)?;
        self.up.fetch_add(size, Ordering::Relaxed);
        // SAFETY: the array has `size` bytes of elements, and the piece as many, in a mapping that
        // is no Rust object's memory; the device doesn't use it, and the ring is the caller's.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_ptr(), size as usize) };
        Ok(piece)
    }

    /// Submits a copy from or to the region, and says until which value it is under way.
    fn copy(&self, region: &Region, from: Spot, to: Spot, size: u64) -> Result<u64> {
        let context = &self.context;
        let failed = |e| context.error("copy data", e);
        let mut all = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let done = context.completed();
        let idle = all.iter().position(|c| c.until <= done).map(|at| all.swap_remove(at));
        let mut commands = idle.map_or_else(|| Commands::new(context), Ok).map_err(failed)?;
        commands.begin().map_err(failed)?;
        commands.copy(from, to, size);
        commands.barrier(Actor::Copies, Actor::Host);
        commands.end().map_err(failed)?;
        // SAFETY: recorded just now; the region isn't given out again, nor the ring's piece taken
        // again, before the value returned; `Runtime::drop` waits before either is destroyed.
        let value = unsafe { commands.submit() }.map_err(failed)?;
        region.used(value);
        all.push(commands);
        Ok(value)
    }

    /// The elements of that many the region holds, when the timeline has the value `ready`.
    fn receive(&self, aval: &Aval, region: &Region, ready: u64) -> Result<Array> {
        let (context, bytes) = (&self.context, bytes(aval));
        let failed = |e| context.error(&format!("fetch {aval}"), e);
        assert!(bytes <= region.size(), "{aval} in {} bytes", region.size());
        let mut array = Array::scratch(aval.clone())?;
        let to = array.as_mut_ptr().ok_or_else(|| Error::internal("a new array is shared"))?;
        self.down.fetch_add(bytes, Ordering::Relaxed);
        if self.shared() {
            context.wait(ready).map_err(failed)?;
            // SAFETY: both sides have `bytes` bytes and are apart; the device wrote the region up
            // to `ready`, made that visible to the host, and only reads it since.
            unsafe { take(aval.dtype, region.address().as_ptr(), to, bytes as usize) };
            return Ok(array);
        }
        let mut done = 0;
        while done < bytes {
            let size = self.staged_at_once().min(bytes - done);
            self.with_ring(|ring| {
                let (piece, from) = ring.take(context, size)?;
                let there = region.spot();
                let value = self.copy(region, Spot { offset: there.offset + done, ..there }, piece, size)?;
                ring.submitted(value);
                context.wait(value).map_err(failed)?;
                // SAFETY: as above, for a piece that the device has just written.
                unsafe { take(aval.dtype, from.as_ptr(), to.add(done as usize), size as usize) };
                Ok(())
            })?;
            done += size;
        }
        Ok(array)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Copies may be under way, and parts of slabs given back that the device still uses.
        self.context.wait_idle();
    }
}

impl Resident for Elements {
    fn device(&self) -> &str {
        &self.runtime.context.info.name
    }

    fn wait(&self) -> Result<()> {
        let context = &self.runtime.context;
        context.wait(self.ready).map_err(|e| context.error(&format!("wait for {}", self.aval), e))
    }

    fn fetch(&self) -> Result<Array> {
        self.runtime.receive(&self.aval, &self.region, self.ready)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The bytes of an array's elements.
pub(crate) fn bytes(aval: &Aval) -> u64 {
    aval.shape.size() as u64 * aval.dtype.bytes() as u64
}

/// Copies elements of a type from the device's memory, whatever bytes are there.
///
/// # Safety
/// Both sides have `bytes` bytes, are apart, and nobody else writes them.
unsafe fn take(dtype: Dtype, from: *const u8, to: *mut u8, bytes: usize) {
    match dtype {
        // SAFETY: the caller's promise; every bit pattern is an element of these types.
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 => unsafe {
            std::ptr::copy_nonoverlapping(from, to, bytes)
        },
        Dtype::Bool => {
            for i in 0..bytes {
                // SAFETY: as above, byte by byte; what is written is 0 or 1, whatever is read.
                unsafe { to.add(i).write(u8::from(from.add(i).read() != 0)) };
            }
        }
    }
}
