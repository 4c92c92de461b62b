//! The second decision: whether what was observed settles where the job is answered from.

use crate::job::Job;
use crate::model::Model;
use crate::observation::Evidence;
use crate::plan::Plan;
use crate::prediction::Prediction;
use crate::reason::Reason;
use crate::units::{NetworkId, PerNetwork};
use crate::view::View;

/// What to do with the target's dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The lead goes on; shadows are cancelled.
    Keep,
    /// The target's shadow becomes the real job.
    Adopt,
    /// The job is sent afresh to the target at full speed.
    Send,
}

/// Where a job is answered from, and what that was decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The network that answers.
    pub target: NetworkId,
    /// How.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The predictions it was made from.
    pub predictions: PerNetwork<Option<Prediction>>,
    /// The cost of each network from now on; NaN where it was not computed.
    pub costs: PerNetwork<f64>,
}

/// The result of looking at the evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Settled: no further evidence will be waited for.
    Settled(Decision),
    /// Not settled: look again when something new is observed, or at this time at the latest.
    WaitUntil(f64),
}

/// Looks at what a planned job's dispatches have shown by `now_s`. `planned_s` is when the plan was made.
#[must_use]
pub fn decide(
    job: &Job,
    view: &View,
    model: Option<&Model>,
    plan: &Plan,
    evidence: &Evidence,
    planned_s: f64,
    now_s: f64,
) -> Step {
    unimplemented!("{job:?} {view:?} {} {plan:?} {evidence:?} {planned_s} {now_s}", model.is_some())
}
