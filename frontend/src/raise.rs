//! How errors travel from operators to the door (`jit`, `eager`, [`trace`](crate::trace())).
//!
//! An operator returns a [`Tensor`](crate::Tensor), not a `Result`: under an active trace its error
//! unwinds to the door in a private payload, without the panic hook printing anything, and comes
//! out there as `Err`. Outside of a trace, and under `panic = "abort"`, it is an ordinary panic
//! with the same text.

use crate::trace;
use egrad_ir::{Error, Result, Span};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// The functions that are composed of operators and are being recorded, outermost first: what the
    /// user called, and where.
    static WITHIN: RefCell<Vec<(&'static str, Span)>> = const { RefCell::new(Vec::new()) };
}

/// As long as it lives, errors of operators are errors of the function of that name, called where the
/// caller's caller is: they say its name, and lie there.
#[track_caller]
pub(crate) fn within(name: &'static str) -> Within {
    let span = Span::here();
    WITHIN.with_borrow_mut(|all| all.push((name, span)));
    Within
}

/// See [`within`].
#[must_use]
pub(crate) struct Within;

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.with_borrow_mut(|all| all.pop());
    }
}

/// The error as one of the outermost function that is being recorded.
fn placed(mut error: Error) -> Error {
    let Some((name, span)) = WITHIN.with_borrow(|all| all.first().copied()) else { return error };
    if let Error::Shape(r) | Error::Dtype(r) | Error::Axis(r) | Error::Tree(r) | Error::Memory(r) = &mut error {
        if !r.message.contains(&format!("`{name}`")) {
            r.message = format!("`{name}`: {}", r.message);
        }
        r.at = span;
    }
    error
}

/// The payload that carries an error to the door.
struct Thrown(Error);

/// Ends the operator with this error.
#[track_caller]
pub(crate) fn throw(error: Error) -> ! {
    let error = placed(error);
    if trace::is_active() && cfg!(panic = "unwind") {
        resume_unwind(Box::new(Thrown(error)))
    }
    panic!("{error}")
}

/// The value, or the operator ends with the error.
#[track_caller]
pub(crate) fn get<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => throw(error),
    }
}

/// Runs `f`; an error thrown inside comes out as `Err`, any other panic goes on.
pub(crate) fn catch<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Thrown>() {
            Ok(thrown) => Err(thrown.0),
            Err(payload) => resume_unwind(payload),
        },
    }
}
