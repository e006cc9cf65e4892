//! egg's clock, stopped.
//!
//! egg times every rebuild for its log, with a clock that calibrates itself for most of a
//! millisecond when it is first read: longer than a small program takes to compile. The
//! optimizer's own times (`rules::Report`) come from the standard clock.

use quanta::Clock;
use std::sync::OnceLock;

/// Runs `f` with egg's clock standing still.
pub(crate) fn stopped<T>(f: impl FnOnce() -> T) -> T {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    quanta::with_clock(CLOCK.get_or_init(|| Clock::mock().0), f)
}
