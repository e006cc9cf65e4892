//! Durations for people.

use std::fmt;
use std::time::{Duration, Instant};

/// A duration with three significant digits in the unit that suits it.
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    /// That many microseconds.
    pub(crate) fn us(us: f64) -> Time {
        Time(Duration::from_secs_f64(us.max(0.0) * 1e-6))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs_f64();
        let (value, unit) = match s {
            s if s >= 0.9995 => (s, "s"),
            s if s >= 0.9995e-3 => (s * 1e3, "ms"),
            s if s >= 0.9995e-6 => (s * 1e6, "µs"),
            s => (s * 1e9, "ns"),
        };
        let decimals = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// The result and how long it took.
pub(crate) fn timed<T>(f: impl FnOnce() -> T) -> (T, Time) {
    let start = Instant::now();
    let result = f();
    (result, Time(start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn three_digits() {
        let shown = |us: f64| Time::us(us).to_string();
        assert_eq!(shown(0.0), "0.00 ns");
        assert_eq!(shown(0.0421), "42.0 ns");
        assert_eq!(shown(1.0), "1.00 µs");
        assert_eq!(shown(34.56), "34.6 µs");
        assert_eq!(shown(999.9), "1.00 ms");
        assert_eq!(shown(1_234_567.0), "1.23 s");
    }
}
