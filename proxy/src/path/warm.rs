//! Data starts to move towards the leaning network the moment a job arrives, not when its decision is made.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::course::Course;
use crate::data::Warming;
use crate::peer::{self, Asked};

/// Data on its way. Dropping this stops what nobody else waits for.
#[derive(Debug, Default)]
pub(super) struct OnItsWay {
    _here: Vec<Warming>,
    _there: Option<Asking>,
}

#[derive(Debug)]
struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to warm what the job needs where the plan leans.
pub(super) fn towards(course: &Course) -> OnItsWay {
    if course.needs.is_empty() {
        return OnItsWay::default();
    }
    let network = course.network(course.plan.target);
    if network.is_home() {
        let data = &course.shared.data;
        let allowance = data.allowance();
        let here = course.needs.all.iter().filter_map(|need| data.warm(&need.url, &allowance).ok()).collect();
        return OnItsWay { _here: here, _there: None };
    }
    if !network.is_sidecar() {
        return OnItsWay::default();
    }
    let Some(endpoint) = course.upload.preferred(network.id).or_else(|| network.leaning()) else {
        return OnItsWay::default();
    };
    let needs = course.needs.urls();
    // The job is to find it there.
    course.upload.prefer(network.id, endpoint);
    let of = Asked { network: Arc::clone(network), endpoint, worker: course.worker };
    let within = course.generation.config.data.timeout;
    // It ends with its answer, with its time, or with the job.
    let (shared, tab, on) = (Arc::clone(&course.shared), Arc::clone(&course.tab), network.id);
    let per_byte = policy::cost::bill(&course.job, &course.view, on, None, 0.0).per_byte;
    let task = tokio::spawn(async move {
        let fetched_bytes = peer::ask_for_warmth(&of, &needs, within).await;
        shared.purses.pay(on, fetched_bytes as f64 * per_byte, &tab);
    });
    OnItsWay { _here: Vec::new(), _there: Some(Asking(task.abort_handle())) }
}
