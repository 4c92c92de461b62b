//! The second decision: whether what was observed settles where the job is answered from.
//!
//! It is asked on every new observation, and answers from what it is given alone: it remembers nothing, so it may be asked
//! again at any time, also after it has settled, and a dispatch that breaks after that is just another observation. What it
//! weighs is the cost *from now on*: what was spent is spent on both sides.
//!
//! - A lead whose head is here answers. What the client may have begun to read is never switched.
//! - A lead that broke gives way to a shadow, or to the next network in the order of the plan's costs, target first. The
//!   caller takes a network that failed out of the plan's eligible ones, so a job that breaks everywhere comes to an end.
//! - A shadow with the whole answer is adopted.
//! - Otherwise rates of progress are compared (see `estimate`): early only if the difference is larger than its doubt, at the
//!   end of the window as they stand, but for a margin against noise. Without progress on any side nothing is known that was
//!   not known to the plan, and the lead goes on.
//! - After the window the lead alone is watched, if it shows progress: one that turns out far slower than any job of its kind
//!   is a straggler, and is left for a fresh run elsewhere. A job is moved of free will once, from the plan's target.
//!
//! A shadow that still runs when its window ends is reason enough to settle: nothing else ends it for sure. A caller that
//! ends shadows with their window by itself gets the watch, which is a `WaitUntil` past the window.

mod case;
mod estimate;
mod failure;
mod probe;

use crate::cost::known;
use crate::job::Job;
use crate::model::Model;
use crate::observation::{Evidence, Observation};
use crate::plan::{Plan, Shadowing};
use crate::prediction::Prediction;
use crate::reason::Reason;
use crate::units::{NetworkId, PerNetwork};
use crate::view::View;

use case::{Case, Standing, standing};

/// What to do with the target's dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The lead goes on; shadows are cancelled, but for those of a `Sample`, which nobody waits for: they run out their
    /// window in the background.
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
#[expect(
    clippy::large_enum_variant,
    reason = "a box would allocate on every decision; a step is looked at once and dropped"
)]
pub enum Step {
    /// Settled: no further evidence will be waited for.
    Settled(Decision),
    /// Not settled: look again when something new is observed, or at this time at the latest.
    WaitUntil(f64),
}

/// Looks at what a planned job's dispatches have shown by `now_s`.
///
/// `view` is of now, and counts the job's own dispatches like any other; they are taken out here, or staying would look dearer
/// than it did to the plan only because the job has come there. `plan.eligible` no longer has the networks on which a dispatch of the job has failed. `planned_s` is when the plan was
/// made, or when its shadows started. The predictions are the plan's, so that one model decides a job; `model` fills in
/// where the plan was made without one.
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
    let others = others(view, evidence);
    Case::new(job, &others, model, plan, evidence, planned_s, now_s).decide()
}

/// The view without the job's own dispatches that still hold a slot.
fn others(view: &View, evidence: &Evidence) -> View {
    let mut others = *view;
    let mut leave = |network: NetworkId, observation: &Observation| {
        if matches!(standing(observation), Standing::Open | Standing::Answering) {
            let in_flight = &mut others.state[network].in_flight;
            *in_flight = in_flight.saturating_sub(1);
        }
    };
    if let Some((network, lead)) = &evidence.lead {
        leave(*network, lead);
    }
    for network in view.networks.iter() {
        if let Some(shadow) = &evidence.shadows[network] {
            leave(network, shadow);
        }
    }
    others
}

/// Whether the lead of a job that is sent without shadows must be watched all the same: what it shows could move it. Of most
/// jobs it could not, and nobody need look.
#[must_use]
pub fn is_watched(job: &Job, view: &View, plan: &Plan) -> bool {
    let predicted_s = plan.predictions[plan.target].map_or(0.0, |prediction| known(prediction.mean_s));
    plan.shadowing == Shadowing::Direct
        && case::may_move(job, plan)
        && predicted_s > 0.0
        && predicted_s >= known(view.shadowing.worthwhile_s)
        && plan.eligible.contains(plan.target)
        && plan.eligible.len() > 1
}

#[cfg(test)]
mod tests;
