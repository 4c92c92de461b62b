//! How long to wait before a process that died is started again.
//!
//! Each death doubles the wait, up to a bound; one that ran well for a while is forgiven. So a service that crashes once is
//! back at once, and one that cannot run does not keep the machine busy with starting.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(200);
/// A process that took connections for so long ran well.
const WELL: Duration = Duration::from_secs(10);

/// The waits between the lives of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    most: Duration,
    deaths: u32,
}

impl BackOff {
    /// Waits of at most `most`.
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, deaths: 0 }
    }

    /// It has died after it had taken connections for `served`, `None` if it never did. Says how long to wait.
    pub(crate) fn died(&mut self, served: Option<Duration>) -> Duration {
        if served.is_some_and(|served| served >= WELL) {
            self.deaths = 0;
        }
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.deaths)).min(self.most);
        self.deaths = self.deaths.saturating_add(1);
        wait
    }

    /// It was ended because it was done, not because it failed.
    pub(crate) fn was_ended(&mut self) {
        self.deaths = 0;
    }

    /// Deaths since it last ran well.
    pub(crate) fn deaths(&self) -> u32 {
        self.deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_begin_anew_after_a_good_life() {
        let mut back_off = BackOff::new(Duration::from_secs(1));
        let mut check = |served: Option<u64>, expected_ms: u64| {
            let wait = back_off.died(served.map(Duration::from_secs));
            assert_eq!(wait, Duration::from_millis(expected_ms));
        };
        check(None, 200);
        check(Some(1), 400);
        check(None, 800);
        check(None, 1000);
        check(None, 1000);
        check(Some(10), 200);
        check(Some(9), 400);
    }

    #[test]
    fn no_number_of_deaths_overflows() {
        let mut back_off = BackOff::new(Duration::MAX);
        for _ in 0..200 {
            back_off.died(None);
        }
        assert_eq!(back_off.deaths(), 200);
        back_off.was_ended();
        assert_eq!(back_off.died(None), FIRST);
    }
}
