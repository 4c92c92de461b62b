//! How a client asks about its job, and what that is good for.
//!
//! Nobody but the client says that a job is done, and it need not: it may be told of it by other ways, or have gone. A job
//! that nobody asks about must not look like one that runs, or whoever sends jobs and never asks could fill a network by it.

/// The shortest time for which a job is taken to run that nobody asks about.
const PATIENCE_S: f64 = 30.0;
/// The same, in times of what it is predicted to take.
const PATIENCE_TIMES: f64 = 2.0;
/// The most that a pause may be of all the time a job took, for its end to be known by what came after it.
const PAUSE_SHARE: f64 = 0.5;

/// When a job was asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polls {
    last_s: f64,
    /// Seconds between the last two.
    pause_s: f64,
    patience_s: f64,
}

impl Polls {
    /// Of a job that was accepted at `now_s`.
    pub(super) fn since(now_s: f64, predicted_s: Option<f64>) -> Self {
        let predicted_s = predicted_s.filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
        Self { last_s: now_s, pause_s: 0.0, patience_s: PATIENCE_S.max(PATIENCE_TIMES * predicted_s) }
    }

    /// It is asked about.
    pub(super) fn came(&mut self, now_s: f64) {
        self.pause_s = now_s - self.last_s;
        self.last_s = now_s;
    }

    /// Whether nobody seems to ask about it any more.
    pub(super) fn have_ceased(&self, now_s: f64) -> bool {
        now_s - self.last_s > self.patience_s
    }

    /// Whether they were close enough for a job that an answer says is done to have ended about then, after `took_s`.
    pub(super) fn tell_the_end(&self, took_s: f64) -> bool {
        self.pause_s <= self.patience_s.max(PAUSE_SHARE * took_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_taken_to_run_while_it_is_asked_about() {
        let check = |predicted_s, polls: &[f64], now_s, ceased| {
            let mut seen = Polls::since(100.0, predicted_s);
            polls.iter().for_each(|at_s| seen.came(*at_s));
            assert_eq!(seen.have_ceased(now_s), ceased, "{predicted_s:?} {polls:?} at {now_s}");
        };
        check(None, &[], 130.0, false);
        check(None, &[], 130.1, true);
        check(None, &[120.0, 140.0], 169.0, false);
        check(None, &[120.0, 140.0], 171.0, true);
        check(Some(5.0), &[], 129.0, false);
        check(Some(600.0), &[], 1299.0, false);
        check(Some(600.0), &[], 1301.0, true);
        check(Some(f64::INFINITY), &[], 131.0, true);
        check(Some(f64::NAN), &[], 131.0, true);
    }

    #[test]
    fn what_is_fetched_long_after_it_was_done_says_nothing_of_when_that_was() {
        let check = |polls: &[f64], tells| {
            let mut seen = Polls::since(0.0, Some(1.0));
            polls.iter().for_each(|at_s| seen.came(*at_s));
            let took_s = polls.last().copied().unwrap_or_default();
            assert_eq!(seen.tell_the_end(took_s), tells, "{polls:?}");
        };
        check(&[1.0], true);
        check(&[29.0], true);
        check(&[3600.0], false);
        check(&[60.0, 120.0, 180.0], true);
        check(&[60.0, 3600.0], false);
    }
}
