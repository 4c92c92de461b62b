//! What dispatches have shown so far, or why they showed nothing.
//!
//! An [`Observation`] is what one dispatch looked like at a moment; [`Evidence`] is all of a job's together. A figure that
//! was not measured is `None`, never zero: what is missing must not look like what is small.

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
        /// Whether the status is one that a client should see (below 500, and not a conflict between twins).
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
            granted: None,
            cpu_s: None,
            memory_bytes: None,
            response_bytes: 0,
        }
    }
}

impl Observation {
    /// Seconds the whole job takes at full speed where this ran, by its rate of progress up to `now_s`: time run, less
    /// `arriving_s` of it, as much of it as it was granted, over the share of the work that is done. `granted` is taken where
    /// nobody measured it. `None` without progress, or where its data has yet to arrive.
    ///
    /// It is also the label that a dispatch which did not run to its end can teach: a pair of such rates gives the ratio of
    /// two networks for one job.
    #[must_use]
    pub fn whole_s(&self, arriving_s: f64, granted: f64, now_s: f64) -> Option<f64> {
        if self.phase == Phase::BlockedOnData {
            return None;
        }
        let progress = self.progress.filter(|progress| *progress > 0.0 && *progress <= 1.0)?;
        let whole_s = self.run_s(arriving_s, granted, now_s) / progress;
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

/// Everything a job's dispatches have shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The unthrottled dispatch, if one is running, and where.
    pub lead: Option<(NetworkId, Observation)>,
    /// The throttled ones.
    pub shadows: PerNetwork<Option<Observation>>,
}
