//! The device's queue: what was submitted, and how far the device got.
//!
//! Every submission raises one timeline semaphore to the next value, so that a number says for all
//! of them whether they are over. Commands begin with a barrier on what was submitted before (see
//! `commands`), so that they run as if one after the other.
#![allow(unsafe_code)]

use crate::Faults;
use crate::device::Context;
use ash::vk;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What Vulkan's commands give.
pub(crate) type Commanded<T> = ash::prelude::VkResult<T>;

/// A queue and the semaphore that counts its submissions.
pub(crate) struct Queue {
    raw: Mutex<Submitted>,
    pub(crate) timeline: vk::Semaphore,
    /// A value the semaphore had.
    reached: AtomicU64,
    lost: AtomicBool,
    faults: Faults,
    pub(crate) allocations: AtomicUsize,
    pub(crate) submissions: AtomicUsize,
}

struct Submitted {
    queue: vk::Queue,
    /// The value of the last submission.
    last: u64,
}

/// So many submissions may be under way; the next one waits.
const UNDER_WAY: u64 = 64;

impl Queue {
    pub(crate) fn new(queue: vk::Queue, timeline: vk::Semaphore, faults: Faults) -> Queue {
        let (reached, lost) = (AtomicU64::new(0), AtomicBool::new(false));
        let (allocations, submissions) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let raw = Mutex::new(Submitted { queue, last: 0 });
        Queue { raw, timeline, reached, lost, faults, allocations, submissions }
    }

    fn lock(&self) -> MutexGuard<'_, Submitted> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// Asked before whatever takes memory of the device, so that tests can refuse it.
    pub(crate) fn granted(&self) -> Commanded<()> {
        let n = self.queue.allocations.fetch_add(1, Ordering::Relaxed);
        match self.queue.faults.allocations {
            Some((first, count)) if n >= first && n - first < count => Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY),
            Some(_) | None => Ok(()),
        }
    }

    /// Submits the commands, and says which value the timeline has when they are done.
    ///
    /// # Safety
    /// The commands are this device's, recorded, not in flight, and stay alive with everything
    /// they use until that value is reached.
    pub(crate) unsafe fn submit(&self, commands: vk::CommandBuffer) -> Commanded<u64> {
        let mut queue = self.queue.lock();
        let n = self.queue.submissions.fetch_add(1, Ordering::Relaxed);
        if self.queue.faults.submission == Some(n) {
            self.lose(&queue);
        }
        if self.is_lost() {
            return Err(vk::Result::ERROR_DEVICE_LOST);
        }
        let value = queue.last + 1;
        let (commands, signalled, values) = ([commands], [self.queue.timeline], [value]);
        let mut timeline = vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let submit = vk::SubmitInfo::default().command_buffers(&commands).signal_semaphores(&signalled);
        // `vkQueueSubmit2` would do; but GPU-assisted validation of 2023 doesn't look at it.
        let submit = [submit.push_next(&mut timeline)];
        // SAFETY: the caller's promise; the lock keeps other threads from the queue, and values
        // rise from one submission to the next.
        let done = unsafe { self.raw.queue_submit(queue.queue, &submit, vk::Fence::null()) };
        match done {
            Ok(()) => queue.last = value,
            Err(e) => {
                if e == vk::Result::ERROR_DEVICE_LOST {
                    self.lose(&queue);
                }
                return Err(e);
            }
        }
        drop(queue);
        if value > UNDER_WAY {
            // A failure is the next caller's to see: this submission was made.
            let _ = self.wait(value - UNDER_WAY);
        }
        Ok(value)
    }

    /// Waits until the timeline has that value.
    pub(crate) fn wait(&self, value: u64) -> Commanded<()> {
        if self.is_lost() {
            return Err(vk::Result::ERROR_DEVICE_LOST);
        }
        if self.queue.reached.load(Ordering::Acquire) >= value {
            return Ok(());
        }
        let (semaphores, values) = ([self.queue.timeline], [value]);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: the semaphore is the device's and alive.
        match unsafe { self.raw.wait_semaphores(&wait, u64::MAX) } {
            Ok(()) => {
                self.queue.reached.fetch_max(value, Ordering::AcqRel);
                // What was waiting when another thread lost the device has no results.
                if self.is_lost() { Err(vk::Result::ERROR_DEVICE_LOST) } else { Ok(()) }
            }
            Err(e) => {
                if e == vk::Result::ERROR_DEVICE_LOST {
                    self.lose(&self.queue.lock());
                }
                Err(e)
            }
        }
    }

    /// Waits for all that was submitted.
    pub(crate) fn wait_all(&self) -> Commanded<()> {
        let last = self.queue.lock().last;
        self.wait(last)
    }

    /// The value the timeline has: what was submitted up to it is over.
    pub(crate) fn completed(&self) -> u64 {
        if self.is_lost() {
            return u64::MAX;
        }
        // SAFETY: the semaphore is the device's and alive. A failure tells nothing new.
        if let Ok(value) = unsafe { self.raw.get_semaphore_counter_value(self.queue.timeline) } {
            self.queue.reached.fetch_max(value, Ordering::AcqRel);
        }
        self.reached()
    }

    /// A value the timeline had, without asking the driver.
    pub(crate) fn reached(&self) -> u64 {
        if self.is_lost() { u64::MAX } else { self.queue.reached.load(Ordering::Acquire) }
    }

    /// Whether the device was lost: nothing will run on it any more, and nothing does.
    pub(crate) fn is_lost(&self) -> bool {
        self.queue.lost.load(Ordering::Acquire)
    }

    /// Notes that the device is lost, when it is idle: what it used may be destroyed from then on.
    fn lose(&self, _queue: &MutexGuard<'_, Submitted>) {
        // SAFETY: the device is alive, and the lock keeps other threads from its queue. It fails
        // if the device is really lost, and nothing runs then.
        let _ = unsafe { self.raw.device_wait_idle() };
        self.queue.lost.store(true, Ordering::Release);
    }

    /// Waits until the device does nothing; for destroying what may be in use.
    pub(crate) fn wait_idle(&self) {
        let _queue = self.queue.lock();
        // SAFETY: the device is alive, and the lock keeps other threads from its queue. On
        // failure the device is lost, and what it used may be destroyed.
        let _ = unsafe { self.raw.device_wait_idle() };
    }
}
