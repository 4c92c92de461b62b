//! A circuit breaker on real outcomes and active checks.

/// Closed, open, or letting one try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    failures_to_open: u32,
    open_for_s: f64,
}

impl Breaker {
    /// A closed breaker that opens after `failures_to_open` failures in a row, for `open_for_s` seconds.
    #[must_use]
    pub fn new(failures_to_open: u32, open_for_s: f64) -> Self {
        Self { failures_to_open, open_for_s }
    }

    /// Takes an outcome in.
    pub fn saw(&mut self, good: bool, now_s: f64) {
        unimplemented!("{good} {now_s}")
    }

    /// Whether jobs may be sent. When the time is up, the first caller to be told `true` is the one that tries: others
    /// are told `false` until its outcome is seen or the time is up again.
    pub fn admits(&mut self, now_s: f64) -> bool {
        unimplemented!("{now_s}")
    }

    /// Whether jobs would be admitted, without taking the try.
    #[must_use]
    pub fn would_admit(&self, now_s: f64) -> bool {
        unimplemented!("{now_s}")
    }
}
