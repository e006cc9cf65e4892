//! The pool's protocol under loom, which runs every order of its steps that the memory model
//! allows (with at most so many preemptions) and finds races, deadlocks and lost wake-ups.

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};

mod sync {
    pub(super) use loom::hint::spin_loop;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use loom::thread::{Thread, current, park};

    pub(super) const SPINS: usize = 1;

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[path = "../src/pool/board.rs"]
#[allow(dead_code, reason = "the model posts jobs without asking who is looking")]
mod board;

use board::Board;

/// Cells that chunks write, each its own, and whoever posted the job reads afterwards.
struct Cells(Vec<UnsafeCell<usize>>);

// SAFETY: loom reports any two accesses of a cell that aren't ordered, which is what is tested.
#[allow(unsafe_code)]
unsafe impl Sync for Cells {}

impl Cells {
    fn new(n: usize) -> Cells {
        Cells((0..n).map(|_| UnsafeCell::new(0)).collect())
    }

    #[allow(unsafe_code)]
    fn add(&self, i: usize) {
        // SAFETY: as for `Sync`.
        self.0[i].with_mut(|p| unsafe { *p += 1 });
    }

    #[allow(unsafe_code)]
    fn read(&self) -> Vec<usize> {
        // SAFETY: as for `Sync`.
        self.0.iter().map(|cell| cell.with(|p| unsafe { *p })).collect()
    }
}

/// Runs a job; its cells are gone when it returns, as a caller's stack would be.
fn post(board: &Board, chunks: usize) {
    let cells = Cells::new(chunks);
    board.run(chunks, &|chunk| cells.add(chunk));
    assert_eq!(cells.read(), vec![1; chunks]);
}

/// Runs `users` of the board beside `workers`, in every order with so many preemptions.
fn model(preemptions: usize, workers: usize, users: &'static [fn(&Board)]) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let board = Arc::new(Board::new());
        let start = |_| {
            let board = board.clone();
            thread::spawn(move || board.serve())
        };
        let workers: Vec<_> = (0..workers).map(start).collect();
        let others: Vec<_> = (users[1..].iter())
            .map(|user| {
                let board = board.clone();
                thread::spawn(move || user(&board))
            })
            .collect();
        users[0](&board);
        for other in others {
            other.join().unwrap();
        }
        board.close();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_worker_helps() {
    model(4, 1, &[|board| post(board, 3)]);
}

#[test]
fn a_worker_helps_again() {
    model(
        3,
        1,
        &[|board| {
            post(board, 2);
            post(board, 2);
        }],
    );
}

#[test]
fn two_workers_help() {
    model(2, 2, &[|board| post(board, 3)]);
}

#[test]
fn two_users_share_a_worker() {
    model(2, 1, &[|board| post(board, 2), |board| post(board, 2)]);
}

#[test]
fn jobs_post_jobs() {
    model(2, 1, &[|board| board.run(2, &|_| post(board, 2))]);
}

#[test]
fn panics_reach_who_posted() {
    model(
        3,
        1,
        &[|board| {
            let cells = Cells::new(3);
            let work = |chunk| {
                cells.add(chunk);
                assert!(chunk != 1, "chunk one");
            };
            let panic = catch_unwind(AssertUnwindSafe(|| board.run(3, &work))).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"chunk one"));
            let ran = cells.read();
            assert!(ran[0] == 1 && ran[1] == 1 && ran[2] <= 1);
            post(board, 2);
        }],
    );
}
