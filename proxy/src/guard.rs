//! The comparison of the policy with the fixed rule, as the process keeps it: one for all workers and all configurations.
//!
//! What is compared, and what comes of it, is `policy::watchdog`'s; here its verdicts are said and counted.

use std::sync::Arc;

use parking_lot::Mutex;
use policy::watchdog::{Came, Seat, Standing, Verdict, Watchdog};
use policy::{Job, View};

use crate::metrics::Metrics;

/// The comparison.
#[derive(Debug)]
pub(crate) struct Guard {
    dog: Mutex<Watchdog>,
    metrics: Arc<Metrics>,
}

impl Guard {
    /// One that knows nothing yet.
    pub(crate) fn new(share: f64, metrics: &Arc<Metrics>) -> Self {
        Self { dog: Mutex::new(Watchdog::new(share)), metrics: Arc::clone(metrics) }
    }

    /// Who places a job that comes now, in a configuration that gives the rule this share.
    pub(crate) fn seat(&self, job: &Job, view: &View, modelled: bool, share: f64, now_s: f64) -> Seat {
        if !policy::plan::is_compared(job, view, modelled) {
            return Seat::POLICY;
        }
        let mut dog = self.dog.lock();
        dog.share(share);
        dog.seat(job, view, modelled, now_s)
    }

    /// Who would place it, for whoever only asks.
    pub(crate) fn would_seat(&self, job: &Job, view: &View, modelled: bool, now_s: f64) -> Seat {
        self.dog.lock().clone().seat(job, view, modelled, now_s)
    }

    /// A job has ended; `None` if it came to nothing that its placing could be judged by.
    pub(crate) fn ended(&self, seat: Seat, came: Option<&Came>) {
        if !seat.is_compared() {
            return;
        }
        let verdict = {
            let mut dog = self.dog.lock();
            let verdict = match came {
                Some(came) => dog.ended(seat, came),
                None => dog.left(seat),
            };
            verdict.map(|verdict| (verdict, dog.standing()))
        };
        let Some((verdict, Standing { policy_blocks, rule_blocks, .. })) = verdict else { return };
        self.metrics.guard_said(verdict);
        match verdict {
            Verdict::FellBack => tracing::warn!(
                policy_blocks,
                rule_blocks,
                "jobs cost more where the policy placed them than by \"spill when full\", which places them from now on; the comparison goes on"
            ),
            Verdict::CameBack => tracing::info!(
                policy_blocks,
                rule_blocks,
                "jobs cost less where the policy placed them than by \"spill when full\": it places them again"
            ),
        }
    }

    /// How things stand.
    pub(crate) fn standing(&self) -> Standing {
        self.dog.lock().standing()
    }
}
