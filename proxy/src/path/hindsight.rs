//! What a job came to, beside what it would have come to elsewhere: as predicted there, and where a shadow or a failover saw it run
//! to its end, as it was.
//!
//! Nothing is decided by this; it is what the operator is shown of what decisions were worth. A prediction is of one job at a
//! time: if all had gone there, they would have waited for each other.

use parking_lot::Mutex;
use policy::{NetworkId, PerNetwork};

use super::course::Course;
use crate::record::Record;

/// How long a job ran where it was seen to its end.
#[derive(Debug, Default)]
pub(super) struct Hindsight(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    ran_s: PerNetwork<Option<f64>>,
    answered: Option<NetworkId>,
    is_counted: bool,
}

impl Hindsight {
    /// It ran on a network, for so long.
    pub(super) fn ran(&self, course: &Course, on: NetworkId, ran_s: f64) {
        self.note(course, |seen| seen.ran_s[on] = Some(ran_s));
    }

    /// It was answered from there, where it ran for so long.
    pub(super) fn answered(&self, course: &Course, from: NetworkId, ran_s: f64) {
        self.note(course, |seen| {
            seen.ran_s[from] = Some(ran_s);
            seen.answered = Some(from);
        });
    }

    /// As soon as the one that answered and another one are known, they are compared; once.
    fn note(&self, course: &Course, note: impl FnOnce(&mut Seen)) {
        let mut seen = self.0.lock();
        note(&mut seen);
        let Some(answered) = seen.answered.filter(|_| !seen.is_counted) else { return };
        let cost = |on: NetworkId| comes_to(course, on, seen.ran_s[on]?);
        let others = course.generation.config.network_ids().filter(|on| *on != answered);
        let (Some(own), Some(best)) = (cost(answered), others.filter_map(cost).min_by(f64::total_cmp)) else { return };
        seen.is_counted = true;
        course.shared.metrics.paired((own - best).max(0.0));
    }
}

/// A job that ended well has come to `cost`: counts that beside what was predicted of each network.
pub(super) fn count(course: &Course, record: &Record, cost: f64) {
    let predicted = |on: NetworkId| Some((on, record.predictions[on]?.mean_s));
    for (on, mean_s) in course.generation.config.network_ids().filter_map(predicted) {
        if let Some(there) = comes_to(course, on, mean_s) {
            course.shared.metrics.compared(on, cost, there);
        }
    }
}

/// What the job comes to if it runs on a network for so long; nothing where it would wait without end.
fn comes_to(course: &Course, on: NetworkId, ran_s: f64) -> Option<f64> {
    let nothing = policy::Prediction::default();
    let prediction = course.plan.predictions[on].as_ref().unwrap_or(&nothing);
    Some(policy::cost::comes_to(&course.job, &course.view, on, prediction, ran_s)).filter(|cost| cost.is_finite())
}
