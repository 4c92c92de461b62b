//! What a shadow teaches that ran to its end.
//!
//! Its own worker was looked at when it ended. A far one was looked at a while before that, or never, if it was over before
//! the first look; so its sidecar, which remembers it for a little, is asked once more before the label is made. Nobody waits
//! for that but the label: it is asked by a task of its own, which ends with the answer or the question's time, holds no
//! permit and no place in a ledger, and without an answer learns what is known.

use std::sync::Arc;

use policy::learn::{Label, Row};

use super::Run;
use crate::lane::Used;
use crate::path::course::Course;
use crate::path::shadow::Tally;
use crate::peer::{self, Asked};

/// What is known of it, but for what its sidecar may add.
pub(super) struct Whole {
    pub(super) tally: Arc<Tally>,
    pub(super) course: Arc<Course>,
    pub(super) ran_s: f64,
    pub(super) used: Used,
    pub(super) response_bytes: f64,
}

impl Run {
    /// Learns how long the job took, and what of.
    pub(super) fn learn_it_took(&mut self) {
        let Some(whole) = self.lesson.whole() else { return };
        match self.upload.went(self.network.id).filter(|_| self.network.is_sidecar()) {
            Some(endpoint) => {
                let (network, id) = (Arc::clone(&self.network), self.id.clone());
                let of = Asked { network, endpoint, worker: self.worker };
                tokio::spawn(async move { whole.learn_with(peer::used(&of, &id).await) });
            }
            None => whole.learn_with(None),
        }
    }
}

impl Whole {
    fn learn_with(mut self, last: Option<Used>) {
        self.used.update(last.unwrap_or_default());
        let Used { cpu_s, memory_bytes, granted } = self.used;
        // What was measured of its caps is taken off: the label is what the job takes without them.
        let took_s = (self.ran_s * granted.unwrap_or(1.0)).max(f64::MIN_POSITIVE);
        self.tally.took(took_s);
        self.course.hindsight.ran(&self.course, self.tally.on, took_s);
        self.tally.shared.oracle.learn(Row {
            job: self.course.job,
            pair: self.course.id,
            network: self.tally.on,
            label: Label::Took(took_s),
            cpu_s,
            memory_bytes,
            response_bytes: Some(self.response_bytes),
        });
    }
}
