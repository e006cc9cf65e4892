//! Threads that kernels share: started when the first job is posted, parked when there is none.

mod board;

use board::{Board, Work};
use egrad_ir::{Error, Result};
use std::ffi::OsStr;
use std::fmt;
use std::panic::RefUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// What [`board`] is made of.
mod sync {
    pub(super) use std::hint::spin_loop;
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use std::thread::{Thread, current, park};

    /// How often a thread looks again before it sleeps: a few microseconds, about what waking it
    /// would take.
    pub(super) const SPINS: usize = 200;

    /// Locks, whoever panicked with it: no state is left half changed.
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The environment variable that says how many threads kernels run on.
const VARIABLE: &str = "EGRAD_NUM_THREADS";

/// More threads than any machine has use for.
const MOST: usize = 1024;

/// So many threads: those that post jobs, and workers.
pub(crate) struct Pool {
    board: Arc<Board>,
    threads: usize,
    worth: Worth,
    workers: OnceLock<Vec<JoinHandle<()>>>,
}

/// How much work is worth what, in ns.
#[derive(Clone, Copy)]
pub(crate) struct Worth {
    /// Being shared with workers that are looking for some: another thread's caches have to get to
    /// know of it, which takes a good part of a microsecond.
    shared: f64,
    /// Waking a worker, which takes the system ten times as long.
    woken: f64,
    /// Claiming a chunk.
    chunk: f64,
}

impl Worth {
    /// What is quickest.
    pub(crate) const USUAL: Worth = Worth { shared: 3_000.0, woken: 20_000.0, chunk: 1_500.0 };

    /// Everything is worth everything.
    pub(crate) const ANYTHING: Worth = Worth { shared: 0.0, woken: 0.0, chunk: 0.0 };
}

/// No more chunks than so many per thread: enough for threads to finish together.
const CHUNKS: usize = 16;

impl Pool {
    /// A pool of that many threads, the caller's own among them, which shares what is worth it.
    ///
    /// # Errors
    /// If that is none, or more than [`MOST`].
    pub(crate) fn new(threads: usize, worth: Worth) -> Result<Pool> {
        if !(1..=MOST).contains(&threads) {
            return Err(Error::device(format!("kernels run on 1 to {MOST} threads, not {threads}")));
        }
        Ok(Pool { board: Arc::new(Board::new()), threads, worth, workers: OnceLock::new() })
    }

    /// The process's pool, of as many threads as the environment asks for.
    ///
    /// # Errors
    /// If that is no number of threads, naming the variable and what it is.
    pub(crate) fn shared() -> Result<Arc<Pool>> {
        static SHARED: OnceLock<Result<Arc<Pool>>> = OnceLock::new();
        let open = || Ok(Arc::new(Pool::new(wanted(std::env::var_os(VARIABLE).as_deref())?, Worth::USUAL)?));
        SHARED.get_or_init(open).clone()
    }

    /// How many threads work at most on one job.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Into how many chunks to cut so much work, in ns; `None` if it isn't worth sharing.
    pub(crate) fn parts(&self, time: f64) -> Option<usize> {
        let worth = &self.worth;
        if self.threads == 1 || time < worth.shared || (time < worth.woken && !self.board.is_watched()) {
            return None;
        }
        Some(((time / worth.chunk) as usize).clamp(2, CHUNKS * self.threads))
    }

    /// Does `work` once for each of so many chunks, on this thread and whichever workers are free:
    /// several threads may post jobs at the same time, and jobs may post jobs. Returns when all
    /// chunks are done; what a chunk panics with goes on here, and the pool is none the worse.
    pub(crate) fn run(&self, chunks: usize, work: &Work<'_>) {
        if self.threads == 1 || chunks < 2 {
            return (0..chunks).for_each(work);
        }
        self.workers.get_or_init(|| self.start());
        self.board.run(chunks, work);
    }

    /// Starts the workers; if the system refuses some, the others do.
    fn start(&self) -> Vec<JoinHandle<()>> {
        let start = |number: usize| {
            let board = self.board.clone();
            std::thread::Builder::new().name(format!("egrad-{number}")).spawn(move || board.serve()).ok()
        };
        (1..self.threads).map_while(start).collect()
    }
}

// Jobs are forgotten when they panic, and workers don't.
impl RefUnwindSafe for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        self.board.close();
        for worker in self.workers.take().into_iter().flatten() {
            // A worker catches what its chunks panic with and has nothing else to fail at.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.threads)
    }
}

/// How many threads the environment asks for: as many as run at once, if it doesn't say.
fn wanted(value: Option<&OsStr>) -> Result<usize> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MOST));
    };
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|n| (1..=MOST).contains(n));
    number.ok_or_else(|| {
        let shown = value.to_string_lossy();
        Error::device(format!("{VARIABLE} is `{shown}`: it takes a number of threads, from 1 to {MOST}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{MOST, Pool, Worth, wanted};
    use std::ffi::OsStr;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pool(threads: usize) -> Pool {
        Pool::new(threads, Worth::ANYTHING).unwrap()
    }

    /// Runs a job and checks that every chunk ran once.
    #[track_caller]
    fn check(pool: &Pool, chunks: usize) {
        let ran: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
        pool.run(chunks, &|chunk| {
            ran[chunk].fetch_add(1, Ordering::Relaxed);
        });
        assert!(ran.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_chunk_runs_once() {
        for threads in [1, 2, 3, 8] {
            let pool = pool(threads);
            for chunks in [0, 1, 2, 3, 7, 100, 10_000] {
                check(&pool, chunks);
            }
        }
    }

    #[test]
    fn one_thread_does_all_itself_and_in_order() {
        let pool = pool(1);
        let (here, seen) = (std::thread::current().id(), Mutex::new(Vec::new()));
        pool.run(50, &|chunk| seen.lock().unwrap().push((chunk, std::thread::current().id())));
        assert!(seen.into_inner().unwrap().into_iter().eq((0..50).map(|chunk| (chunk, here))));
        assert!(pool.workers.get().is_none());
    }

    /// Two chunks that wait for one another need two threads.
    #[test]
    fn workers_come() {
        let pool = pool(2);
        for _ in 0..100 {
            let barrier = std::sync::Barrier::new(2);
            pool.run(2, &|_| {
                barrier.wait();
            });
        }
    }

    /// The worker is kept busy by one user, and the other gets done without it.
    #[test]
    fn nobody_waits_for_a_busy_worker() {
        let pool = &pool(2);
        let (entered, release) = (&std::sync::Barrier::new(3), &std::sync::Barrier::new(3));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                pool.run(2, &|_| {
                    entered.wait();
                    release.wait();
                });
            });
            entered.wait();
            for chunks in 2..100 {
                check(pool, chunks);
            }
            release.wait();
        });
    }

    #[test]
    fn users_contend_and_jobs_post_jobs() {
        let pool = &pool(3);
        std::thread::scope(|scope| {
            for user in 0..8 {
                scope.spawn(move || {
                    for i in 0..300 {
                        check(pool, 2 + (user * 31 + i) % 40);
                    }
                    pool.run(5, &|chunk| check(pool, 3 + chunk));
                });
            }
        });
    }

    #[test]
    fn panics_reach_who_posted_and_nobody_else() {
        let pool = &pool(4);
        std::thread::scope(|scope| {
            for user in 0..4 {
                scope.spawn(move || {
                    for i in 0..100 {
                        let bad = if user % 2 == 0 { i % 20 } else { usize::MAX };
                        let ran = AtomicUsize::new(0);
                        let job = |chunk| {
                            ran.fetch_add(1, Ordering::Relaxed);
                            if chunk == bad {
                                // Not by `panic!`, whose message would be printed.
                                std::panic::resume_unwind(Box::new(user));
                            }
                        };
                        let result = catch_unwind(AssertUnwindSafe(|| pool.run(20, &job)));
                        match result {
                            Ok(()) => assert_eq!((user % 2, ran.into_inner()), (1, 20)),
                            Err(panic) => assert_eq!((user % 2, panic.downcast_ref()), (0, Some(&user))),
                        }
                    }
                });
            }
        });
        check(pool, 100);
    }

    #[test]
    fn what_a_dead_user_was_doing_is_forgotten() {
        let pool = &pool(2);
        let user = std::thread::scope(|scope| {
            let user = scope.spawn(|| pool.run(64, &|_| std::panic::resume_unwind(Box::new("gone"))));
            user.join()
        });
        assert_eq!(user.unwrap_err().downcast_ref::<&str>(), Some(&"gone"));
        assert!(pool.board.is_clear());
        check(pool, 64);
    }

    #[test]
    fn work_is_shared_when_it_is_worth_it() {
        let shares = |worth, time| Pool::new(4, worth).unwrap().parts(time);
        assert_eq!(shares(Worth::USUAL, 100.0), None);
        assert_eq!(shares(Worth::USUAL, 30_000.0), Some(20));
        assert_eq!(shares(Worth::USUAL, 1e9), Some(64));
        assert_eq!(shares(Worth::ANYTHING, 0.5), Some(64));
        assert_eq!(Pool::new(1, Worth::ANYTHING).unwrap().parts(1e9), None);
    }

    #[test]
    fn the_environment_gives_a_number_of_threads() {
        let most = MOST.to_string();
        for (text, want) in [("1", 1), ("2", 2), ("64", 64), (&most, MOST)] {
            assert_eq!(wanted(Some(OsStr::new(text))).unwrap(), want);
        }
        let usual = std::thread::available_parallelism().map_or(1, usize::from);
        for unset in [None, Some(OsStr::new(""))] {
            assert_eq!(wanted(unset).unwrap(), usual.min(MOST));
        }
        for text in ["0", "-1", "two", "1.5", " 2", "1025", "99999999999999999999"] {
            let error = wanted(Some(OsStr::new(text))).unwrap_err();
            assert_eq!(error.kind(), "device");
            let message = &error.report().message;
            assert!(message.contains("EGRAD_NUM_THREADS") && message.contains(&format!("`{text}`")), "{message}");
        }
        assert!(Pool::new(0, Worth::USUAL).is_err() && Pool::new(MOST + 1, Worth::USUAL).is_err());
    }
}
