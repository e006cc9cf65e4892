//! Where jobs are posted and threads find them: the protocol, over whatever `super::sync` is (the
//! standard library's, or loom's in `tests/pool_model.rs`).
//!
//! A job is a number of chunks, and each thread that works on it claims one chunk after the other
//! from an atomic counter. Whoever posted the job claims too, and once no chunk is left unclaimed
//! waits only for those that others have claimed: never for a thread that hasn't woken up yet. That
//! thread will find the counter at its end, and what it then holds is the job alone, not the work.
//! (A scope of `rayon` waits for every task it has handed out to be picked up, which on a busy
//! machine takes as long as the system likes.)
#![allow(unsafe_code)]

use super::sync::{
    Arc, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, SPINS, Thread, current, lock, park, spin_loop,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a job does for one chunk.
pub(crate) type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Jobs that are being worked on, and the workers that look for some.
pub(crate) struct Board {
    state: Mutex<State>,
    /// Jobs posted so far, for workers to see that there is another without taking the lock.
    posted: AtomicUsize,
    /// Workers that are looking and would see it at once.
    looking: AtomicUsize,
    wake: Condvar,
}

struct State {
    jobs: Vec<Arc<Job>>,
    sleeping: usize,
    closed: bool,
}

/// Chunks to be claimed.
struct Job {
    work: Borrowed,
    chunks: usize,
    /// The first chunk nobody has claimed; from `chunks` on, all have been.
    next: AtomicUsize,
    /// Chunks that nobody will touch any more.
    done: AtomicUsize,
    /// The thread that posted it.
    owner: Thread,
    /// What the first chunk that panicked did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Work borrowed from the thread that posted it, for as long as chunks are claimed and not done.
struct Borrowed(*const Work<'static>);

// SAFETY: it is a shared reference to something `Sync`, followed only while that is borrowed.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Board {
    pub(crate) fn new() -> Board {
        Board {
            state: Mutex::new(State { jobs: Vec::new(), sleeping: 0, closed: false }),
            posted: AtomicUsize::new(0),
            looking: AtomicUsize::new(0),
            wake: Condvar::new(),
        }
    }

    /// Whether some worker would see a job without having to be woken.
    pub(crate) fn is_watched(&self) -> bool {
        self.looking.load(Ordering::Relaxed) > 0
    }

    /// Does `work` once for each of so many chunks, here and in whichever workers come; returns
    /// when all are done.
    ///
    /// # Panics
    /// With what the first chunk that panicked did so with, once no other one is running; chunks
    /// that nobody had claimed by then are left out.
    pub(crate) fn run(&self, chunks: usize, work: &Work<'_>) {
        // SAFETY: the two types differ in the lifetime alone. The pointer is followed for claimed
        // chunks only, and this function doesn't return before `wait` has seen all of them done:
        // nothing between here and there unwinds, since `claim` catches what the work panics with.
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        let job = Arc::new(Job {
            work: Borrowed(work),
            chunks,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            owner: current(),
            panic: Mutex::new(None),
        });
        self.post(&job);
        job.claim();
        lock(&self.state).jobs.retain(|other| !Arc::ptr_eq(other, &job));
        job.wait();
        let panic = lock(&job.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Whether no job is posted.
    #[cfg(test)]
    pub(crate) fn is_clear(&self) -> bool {
        lock(&self.state).jobs.is_empty()
    }

    fn post(&self, job: &Arc<Job>) {
        let mut state = lock(&self.state);
        state.jobs.push(job.clone());
        self.posted.fetch_add(1, Ordering::Relaxed);
        let helpers = job.chunks - 1;
        let wake = state.sleeping > 0 && self.looking.load(Ordering::Relaxed) < helpers;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// A worker's life: works on what is posted until the board is closed.
    pub(crate) fn serve(&self) {
        let mut seen = 0;
        while let Some(job) = self.find(&mut seen) {
            job.claim();
        }
    }

    /// A job with unclaimed chunks; waits for one. `seen`: how many had been posted when this
    /// worker last looked.
    fn find(&self, seen: &mut usize) -> Option<Arc<Job>> {
        self.looking.fetch_add(1, Ordering::Relaxed);
        for _ in 0..SPINS {
            if self.posted.load(Ordering::Relaxed) != *seen {
                break;
            }
            spin_loop();
        }
        let mut state = lock(&self.state);
        self.looking.fetch_sub(1, Ordering::Relaxed);
        loop {
            if state.closed {
                return None;
            }
            // The lock orders this after every post that is on the board.
            *seen = self.posted.load(Ordering::Relaxed);
            if let Some(job) = state.jobs.iter().find(|job| job.is_open()) {
                let job = job.clone();
                self.pass_on(state);
                return Some(job);
            }
            state.sleeping += 1;
            state = self.wake.wait(state).unwrap_or_else(|e| e.into_inner());
            state.sleeping -= 1;
        }
    }

    /// Wakes two more: whoever posts a job wakes one worker, which costs the poster a few
    /// microseconds, and the workers wake each other.
    fn pass_on(&self, state: MutexGuard<'_, State>) {
        let sleeping = state.sleeping;
        drop(state);
        for _ in 0..sleeping.min(2) {
            self.wake.notify_one();
        }
    }

    /// Sends the workers home.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.posted.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_all();
    }
}

impl Job {
    fn is_open(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.chunks
    }

    /// Claims chunks until none is left.
    fn claim(&self) {
        loop {
            // What the work reads was handed over with the job, under the board's lock.
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= self.chunks {
                return;
            }
            // SAFETY: this chunk is claimed and not done, so `Board::run` still borrows the work.
            let work = unsafe { &*self.work.0 };
            let mut done = 1;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(chunk))) {
                lock(&self.panic).get_or_insert(panic);
                // Those nobody has claimed will not be: the counter is at its end.
                done += self.chunks - self.next.swap(self.chunks, Ordering::Relaxed).min(self.chunks);
            }
            // From here on the work may be gone; the job isn't, this thread holds it.
            if self.done.fetch_add(done, Ordering::Release) + done == self.chunks {
                self.owner.unpark();
            }
        }
    }

    /// Waits until every chunk is done.
    fn wait(&self) {
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < self.chunks {
            if spins < SPINS {
                spins += 1;
                spin_loop();
            } else {
                park();
            }
        }
    }
}
