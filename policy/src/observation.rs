//! What dispatches have shown so far, or why they showed nothing.
//!
//! An [`Observation`] is what one dispatch looked like at a moment; [`Evidence`] is all of a job's together. A figure that
//! was not measured is `None`, never zero: what is missing must not look like what is small.

use crate::progress::{Progress, ProgressSource};
use crate::units::{NetworkId, PerNetwork};

/// How far a dispatch has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// Sent; no final response head yet.
    Running,
    /// The final response head is here and can be answered with, `at_s` seconds after the dispatch started.
    Head {
        /// Seconds from the dispatch's start to its head.
        at_s: f64,
        /// Whether the status is one that a client should see (of a shadow: a success or a redirect).
        good: bool,
    },
    /// The whole answer is here.
    Finished {
        /// Seconds from the dispatch's start to its last byte.
        at_s: f64,
        /// Whether the status is one that a client should see.
        good: bool,
    },
    /// The far side said that it did not execute the job (no permit, no room, no connection).
    Refused,
    /// It broke off, or answered what cannot be used.
    Failed,
    /// Held up by data that has yet to arrive: not slow, just not measured.
    BlockedOnData,
}

/// What one dispatch has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// When it was sent, in the caller's seconds.
    pub started_s: f64,
    /// How far it has come.
    pub phase: Phase,
    /// The share of the work that is done, 0..=1, where the service shows it.
    pub progress: Option<f64>,
    /// When it was last shown, in the caller's seconds; `None` is taken for now.
    pub progressed_s: Option<f64>,
    /// Where that was seen; `None` is taken for the service's own word.
    pub progress_source: Option<ProgressSource>,
    /// The share of a full-speed execution's resources it was granted; 1 for a lead, `None` where nobody measures it.
    pub granted: Option<f64>,
    /// CPU seconds used so far.
    pub cpu_s: Option<f64>,
    /// Peak memory so far.
    pub memory_bytes: Option<f64>,
    /// Bytes of its answer seen so far.
    pub response_bytes: u64,
}

impl Observation {
    /// A dispatch that was sent at `now_s` and has shown nothing.
    #[must_use]
    pub fn started(now_s: f64) -> Self {
        Self {
            started_s: now_s,
            phase: Phase::Running,
            progress: None,
            progressed_s: None,
            progress_source: None,
            granted: None,
            cpu_s: None,
            memory_bytes: None,
            response_bytes: 0,
        }
    }
}

impl Observation {
    /// Takes in what is believed of its progress; `None` is that it no longer shows any.
    pub fn shows(&mut self, progress: Option<Progress>) {
        self.progress = progress.map(|progress| progress.share);
        self.progressed_s = progress.map(|progress| progress.at_s);
        self.progress_source = progress.map(|progress| progress.source);
    }

    /// What is believed of its progress, if it shows any.
    #[must_use]
    pub fn believed(&self) -> Option<Progress> {
        Some(Progress { share: self.progress?, at_s: self.progressed_s?, source: self.progress_source? })
    }

    /// Whether what it shows is only inferred from what it reads.
    #[must_use]
    pub fn is_inferred(&self) -> bool {
        self.progress_source.is_some_and(|source| !source.is_explicit())
    }

    /// For so many seconds it has waited for whoever sent it, and did not run; not beyond what it has shown since.
    pub fn waited(&mut self, seconds: f64) {
        if seconds > 0.0 {
            self.started_s = self.progressed_s.map_or(self.started_s + seconds, |shown_s| {
                (self.started_s + seconds).min(shown_s.max(self.started_s))
            });
        }
    }

    /// Seconds the whole job takes at full speed where this ran, by its rate of progress: time run, less `arriving_s` of it,
    /// as much of it as it was granted, over the share of the work that is done. `granted` is taken where nobody measured it.
    /// `None` without progress, or where its data has yet to arrive.
    ///
    /// Progress comes in steps, so the time run is that of the last step, and not now: between two steps nothing is shown,
    /// which is not the same as nothing being done. Only when half of its time has passed without one has it stalled.
    ///
    /// It is also the label that a dispatch which did not run to its end can teach: a pair of such rates gives the ratio of
    /// two networks for one job.
    #[must_use]
    pub fn whole_s(&self, arriving_s: f64, granted: f64, now_s: f64) -> Option<f64> {
        if self.phase == Phase::BlockedOnData {
            return None;
        }
        let progress = self.progress.filter(|progress| *progress > 0.0 && *progress <= 1.0)?;
        let shown_s = self.progressed_s.filter(|shown_s| now_s - shown_s < (now_s - self.started_s) / 2.0);
        let whole_s = self.run_s(arriving_s, granted, shown_s.unwrap_or(now_s).min(now_s)) / progress;
        (whole_s.is_finite() && whole_s > 0.0).then_some(whole_s)
    }

    /// Seconds it has run at full speed, or the equivalent of it, by `now_s`; 0 at the least.
    #[must_use]
    pub fn run_s(&self, arriving_s: f64, granted: f64, now_s: f64) -> f64 {
        let granted = self.granted.filter(|granted| granted.is_finite()).unwrap_or(granted).clamp(0.0, 1.0);
        let run_s = (now_s - self.started_s - arriving_s) * granted;
        if run_s.is_finite() { run_s.max(0.0) } else { 0.0 }
    }
}

/// Whether a lead's status is one that speaks for its network. The client gets it either way.
#[must_use]
pub const fn lead_is_good(status: u16) -> bool {
    status < 500
}

/// Whether a shadow's status is one that a client may be given in the lead's place: only a success or a redirect. An error,
/// be it the client's (no such data there, not allowed there, too many requests, a conflict with its twin), is cheap and
/// quick, and says nothing about what the lead would have come to. The job's own errors the lead finds by itself.
#[must_use]
pub const fn shadow_is_good(status: u16) -> bool {
    status >= 200 && status < 400
}

/// Everything a job's dispatches have shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The unthrottled dispatch, if one is running, and where.
    pub lead: Option<(NetworkId, Observation)>,
    /// The throttled ones.
    pub shadows: PerNetwork<Option<Observation>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_waited_for_its_body_is_not_time_run() {
        let check = |progressed_s: Option<f64>, waited_s: f64, expected: f64| {
            let mut seen = Observation { progressed_s, ..Observation::started(10.0) };
            seen.waited(waited_s);
            assert!((seen.started_s - expected).abs() < 1e-9, "{progressed_s:?} {waited_s}: {}", seen.started_s);
        };
        check(None, 2.0, 12.0);
        check(Some(15.0), 2.0, 12.0);
        check(Some(11.0), 2.0, 11.0);
        check(Some(9.0), 2.0, 10.0);
        check(None, f64::NAN, 10.0);
    }

    #[test]
    fn a_rate_is_work_done_over_time_granted_up_to_the_last_step() {
        let check = |observation: Observation, now_s, expected| {
            assert_eq!(observation.whole_s(2.0, 0.5, now_s), expected, "{observation:?} at {now_s}");
        };
        let seen = Observation { progress: Some(0.25), granted: Some(1.0), ..Observation::started(10.0) };
        check(seen, 17.0, Some(20.0));
        check(Observation { granted: Some(0.2), ..seen }, 17.0, Some(4.0));
        check(Observation { granted: None, ..seen }, 17.0, Some(10.0));
        // Between two steps, and long after the last.
        check(Observation { progressed_s: Some(17.0), ..seen }, 20.0, Some(20.0));
        check(Observation { progressed_s: Some(17.0), ..seen }, 32.0, Some(80.0));
        check(Observation { progress: None, ..seen }, 17.0, None);
        check(Observation { progress: Some(0.0), ..seen }, 17.0, None);
        check(Observation { progress: Some(f64::NAN), ..seen }, 17.0, None);
        check(Observation { phase: Phase::BlockedOnData, ..seen }, 17.0, None);
        check(seen, 11.0, None);
    }
}
