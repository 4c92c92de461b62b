//! The one thing that is done to an object, whether it comes from a file or from an API server.

use serde_json::Value;

use crate::annotation::Settings;
use crate::patch::Add;
use crate::pod;
use crate::problem::Refusal;
use crate::workload::{self, Workload};

/// What became of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gets a sidecar.
    Injected,
    /// It has one.
    Already,
    /// It asks for none.
    NotAsked,
}

/// What is added to an object, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// All additions, in the order in which they are to be made.
    pub patch: Vec<Add>,
    /// Each workload in it.
    pub workloads: Vec<(Workload, Outcome)>,
}

/// What `object` must be given so that the pods that ask for a sidecar have one. The same object and settings give the same
/// patch, and what was patched is given nothing more.
///
/// # Errors
/// All that is wrong with it, if anything is; nothing is to be added then.
pub fn patch(object: &Value, settings: &Settings) -> Result<Plan, Vec<Refusal>> {
    let mut plan = Plan::default();
    let mut refusals = Vec::new();
    for workload in workload::find(object)? {
        match pod::patch(object, &workload.pod, settings) {
            Ok((patch, outcome)) => {
                plan.patch.extend(patch);
                plan.workloads.push((workload, outcome));
            }
            Err(wrong) => refusals.extend(wrong),
        }
    }
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}
