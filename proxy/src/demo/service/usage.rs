//! What the service used, job by job: slot, CPU and device seconds of every run, finished or not.
//!
//! The bill of a network is made from this, so a shadow that was cancelled halfway is paid for like anything else. A
//! run is booked under the `x-demo-job` its request carried, which a shadow carries too.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Jobs booked apart; later ones share one entry, and the totals stay right.
const JOBS: usize = 50_000;

/// What the runs of one job used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// Seconds a slot was held.
    pub(crate) slot_s: f64,
    /// Seconds of CPU time within them.
    pub(crate) cpu_s: f64,
    /// Seconds of waiting for the device within them.
    pub(crate) device_s: f64,
    /// Runs that came to their end.
    pub(crate) finished: u32,
    /// Runs that were cancelled while they held a slot.
    pub(crate) stopped: u32,
    /// Runs that were cancelled while they waited for one.
    pub(crate) dropped: u32,
}

impl Used {
    /// Adds another's use.
    pub(crate) fn add(&mut self, other: &Self) {
        self.slot_s += other.slot_s;
        self.cpu_s += other.cpu_s;
        self.device_s += other.device_s;
        self.finished += other.finished;
        self.stopped += other.stopped;
        self.dropped += other.dropped;
    }

    fn to_json(self) -> Value {
        json!([self.slot_s, self.cpu_s, self.device_s, self.finished, self.stopped, self.dropped])
    }

    /// Reads what [`Usage::to_json`] wrote for one job.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let count = |index: usize| value.get(index)?.as_u64().and_then(|count| u32::try_from(count).ok());
        Some(Self {
            slot_s: value.get(0)?.as_f64()?,
            cpu_s: value.get(1)?.as_f64()?,
            device_s: value.get(2)?.as_f64()?,
            finished: count(3)?,
            stopped: count(4)?,
            dropped: count(5)?,
        })
    }
}

/// The service's book.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    jobs: Mutex<BTreeMap<String, Used>>,
}

impl Usage {
    /// Books what a run of `job` used.
    pub(crate) fn book(&self, job: &str, used: &Used) {
        let mut jobs = self.jobs.lock();
        let job = if jobs.len() < JOBS || jobs.contains_key(job) { job } else { "more" };
        jobs.entry(job.to_owned()).or_default().add(used);
    }

    /// `{job: [slot seconds, CPU seconds, device seconds, finished, stopped, dropped]}`.
    pub(crate) fn to_json(&self) -> Value {
        let jobs = self.jobs.lock();
        Value::Object(jobs.iter().map(|(job, used)| (job.clone(), used.to_json())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Usage, Used};

    #[test]
    fn runs_of_a_job_add_up_and_survive_the_wire() {
        let usage = Usage::default();
        usage.book("a/1", &Used { slot_s: 0.5, cpu_s: 0.25, finished: 1, ..Used::default() });
        usage.book("a/1", &Used { slot_s: 0.25, cpu_s: 0.125, stopped: 1, ..Used::default() });
        let wire = usage.to_json();
        let expected = Used { slot_s: 0.75, cpu_s: 0.375, device_s: 0.0, finished: 1, stopped: 1, dropped: 0 };
        assert_eq!(Used::from_json(&wire["a/1"]), Some(expected));
        assert_eq!(Used::from_json(&wire["b/1"]), None);
    }
}
