//! How errors travel from operators to the door (`jit`, `eager`, [`trace`](crate::trace())).
//!
//! An operator returns a [`Tensor`](crate::Tensor), not a `Result`: under an active trace its error
//! unwinds to the door in a private payload, without the panic hook printing anything, and comes
//! out there as `Err`. Outside of a trace, and under `panic = "abort"`, it is an ordinary panic
//! with the same text.

use crate::trace;
use egrad_ir::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The payload that carries an error to the door.
struct Thrown(Error);

/// Ends the operator with this error.
#[track_caller]
pub(crate) fn throw(error: Error) -> ! {
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
