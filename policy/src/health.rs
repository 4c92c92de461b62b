//! A circuit breaker on real outcomes and active checks.
//!
//! It counts failures in a row, not a share of them: networks see few jobs of minutes each, and a share needs many. It
//! opens for a fixed time and then lets a single job try, so that a network that is down costs one job per period and not
//! one job per client. What comes in while it is open is from before it opened, and is not believed either way.

/// Closed, open, or letting one try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    failures_to_open: u32,
    open_for_s: f64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Jobs flow; this many failed in a row.
    Closed { failures: u32 },
    /// Nothing is sent before this time.
    Open { until_s: f64 },
    /// One job tries; if nothing is heard of it by then, another may.
    HalfOpen { until_s: f64 },
}

impl Breaker {
    /// A closed breaker that opens after `failures_to_open` failures in a row (at least one), for `open_for_s` seconds.
    #[must_use]
    pub fn new(failures_to_open: u32, open_for_s: f64) -> Self {
        let open_for_s = if open_for_s.is_finite() { open_for_s.max(0.0) } else { 0.0 };
        Self { failures_to_open: failures_to_open.max(1), open_for_s, state: State::Closed { failures: 0 } }
    }

    /// Goes by other numbers from now on, and keeps what it has seen.
    pub fn retune(&mut self, failures_to_open: u32, open_for_s: f64) {
        *self = Self { state: self.state, ..Self::new(failures_to_open, open_for_s) };
    }

    /// Forgets what it has seen: what stands there is new.
    pub fn forget(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Takes an outcome in.
    pub fn saw(&mut self, good: bool, now_s: f64) {
        self.state = match self.state {
            State::Open { until_s } if now_s < until_s => self.state,
            _ if good => State::Closed { failures: 0 },
            State::Closed { failures } if failures + 1 < self.failures_to_open => {
                State::Closed { failures: failures + 1 }
            }
            _ => State::Open { until_s: now_s + self.open_for_s },
        };
    }

    /// Whether jobs may be sent. When the time is up, the first caller to be told `true` is the one that tries: others
    /// are told `false` until its outcome is seen or the time is up again.
    pub fn admits(&mut self, now_s: f64) -> bool {
        let admitted = self.would_admit(now_s);
        if admitted && !matches!(self.state, State::Closed { .. }) {
            self.state = State::HalfOpen { until_s: now_s + self.open_for_s };
        }
        admitted
    }

    /// Whether jobs would be admitted, without taking the try.
    #[must_use]
    pub fn would_admit(&self, now_s: f64) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until_s } | State::HalfOpen { until_s } => now_s >= until_s,
        }
    }

    /// The state's name, for `/status`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_good_outcome_forgets_them() {
        let mut breaker = Breaker::new(3, 10.0);
        for good in [false, false, true, false, false] {
            breaker.saw(good, 0.0);
        }
        assert!(breaker.would_admit(0.0));
        breaker.saw(false, 1.0);
        assert_eq!(breaker.as_str(), "open");
        assert!(!breaker.admits(10.9));
    }

    #[test]
    fn one_tries_after_the_time_and_its_outcome_decides() {
        let open = || {
            let mut breaker = Breaker::new(1, 10.0);
            breaker.saw(false, 0.0);
            breaker
        };
        let mut breaker = open();
        assert!(breaker.admits(10.0));
        assert!(!breaker.admits(10.0), "only one tries");
        breaker.saw(true, 11.0);
        assert!(breaker.admits(11.0) && breaker.admits(11.0));

        let mut breaker = open();
        assert!(breaker.admits(10.0));
        breaker.saw(false, 11.0);
        assert!(!breaker.admits(20.9));
        assert!(breaker.admits(21.0));
    }

    #[test]
    fn a_try_that_is_never_heard_of_again_does_not_hold_it_open() {
        let mut breaker = Breaker::new(1, 10.0);
        breaker.saw(false, 0.0);
        assert!(breaker.admits(10.0));
        assert!(!breaker.admits(19.0));
        assert!(breaker.admits(20.0));
    }

    #[test]
    fn late_outcomes_do_not_move_an_open_breaker() {
        let mut breaker = Breaker::new(1, 10.0);
        breaker.saw(false, 0.0);
        breaker.saw(true, 1.0);
        breaker.saw(false, 9.0);
        assert!(!breaker.would_admit(9.9));
        assert!(breaker.would_admit(10.0));
    }

    #[test]
    fn other_numbers_keep_what_was_seen() {
        let mut breaker = Breaker::new(3, 10.0);
        breaker.saw(false, 0.0);
        breaker.saw(false, 0.0);
        breaker.retune(3, 20.0);
        breaker.saw(false, 1.0);
        assert!(!breaker.would_admit(20.9), "the two before count, and it is open for as long as it says now");
        breaker.retune(9, 1.0);
        assert!(!breaker.would_admit(20.9) && breaker.would_admit(21.0), "it is open for as long as it was told");
        breaker.forget();
        assert_eq!(breaker, Breaker::new(9, 1.0));
    }

    #[test]
    fn odd_settings_neither_panic_nor_shut_it_for_ever() {
        let mut breaker = Breaker::new(0, f64::NAN);
        breaker.saw(false, 0.0);
        assert!(breaker.admits(0.0));
        assert!(breaker.would_admit(1.0));
    }
}
