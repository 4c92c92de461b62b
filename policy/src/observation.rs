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

/// Everything a job's dispatches have shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The unthrottled dispatch, if one is running, and where.
    pub lead: Option<(NetworkId, Observation)>,
    /// The throttled ones.
    pub shadows: PerNetwork<Option<Observation>>,
}
