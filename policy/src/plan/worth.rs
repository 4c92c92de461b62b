//! What a shadow opposite the target is expected to be worth, in money.
//!
//! A couple of dozen scenarios: the job may turn out short or long (the quantiles of its time), and the other network may
//! turn out faster or slower for this very job than its class is (the doubt about the ratio). In each, the regret is what
//! the target costs more than the other, less what it costs to come to know it so late. The mean of it is what one would
//! pay for certainty. A shadow does not give certainty, so a share of it counts, and from that goes the shadow's bill: the
//! slot and bytes it uses, and the time its neighbours lose.
//!
//! Where the ratio is known and nothing waits, no scenario turns the choice over, the regret is nothing and no job is
//! shadowed: that is as it should be (POLICY-STUDY, finding 5).

use super::Plan;
use crate::cost::{self, known};
use crate::job::Job;
use crate::prediction::WEIGHTS;
use crate::units::{NetworkId, Urgency};
use crate::view::View;

/// The share of the expected regret that a shadow removes. The study's shadows, with progress visible and a window of a tenth
/// of the job, removed 0.5 to 0.8 of it; those of opaque jobs hardly any. Until what past shadows removed is counted by
/// class, the middle: in the simulation 0.5 leaves a hundredth of the cost behind, and more than 0.8 brings nothing.
const REMOVED_SHARE: f64 = 0.65;
/// The means of the fifths of a standard normal.
const DOUBTS: [f64; 5] = [-1.400, -0.532, 0.0, 0.532, 1.400];

/// What a shadow on `other` for `window_s` seconds is worth: the regret of choosing now that it would remove, less its
/// bill. `None` where nothing is predicted for both.
pub(super) fn of(job: &Job, view: &View, plan: &Plan, other: NetworkId, window_s: f64) -> Option<f64> {
    let net = REMOVED_SHARE * regret(job, view, plan, other, window_s)? - bill(job, view, plan, other, window_s)?;
    net.is_finite().then_some(net)
}

/// What holding the job for `window_s` costs: the client's time that its shadow does not make good, and the bill of a
/// shadow on the target.
pub(super) fn of_holding(job: &Job, view: &View, plan: &Plan, window_s: f64) -> Option<f64> {
    let waited_s = window_s * (1.0 - speed(plan, plan.target));
    Some(cost::time_value(job, view) * waited_s + bill(job, view, plan, plan.target, window_s)?)
}

/// The mean regret of choosing the target now, if the other could still be chosen when the window has ended.
fn regret(job: &Job, view: &View, plan: &Plan, other: NetworkId, window_s: f64) -> Option<f64> {
    let here = Line::of(job, view, plan, plan.target)?;
    let there = Line::of(job, view, plan, other)?;
    let (target_s, other_s) = (plan.predictions[plan.target]?.quantiles_s, plan.predictions[other]?.quantiles_s);
    let doubt = known(plan.predictions[plan.target]?.doubt).hypot(known(plan.predictions[other]?.doubt));
    let factors = DOUBTS.map(|z| (z * doubt).exp());
    // Whoever switches has paid for the target's slot, and the client has waited while the shadow ran at a share of its speed.
    let late = window_s * (1.0 - speed(plan, other)) * cost::time_value(job, view) + here.held_per_s * window_s;
    let mut regret = 0.0;
    for ((target_s, other_s), weight) in target_s.iter().zip(other_s).zip(WEIGHTS) {
        for factor in factors {
            let saved = here.at(*target_s) - there.at(other_s * factor) - late;
            regret += weight / DOUBTS.len() as f64 * saved.max(0.0);
        }
    }
    Some(regret)
}

/// What the shadow costs: its slot, its bytes, and the time that a busy network's other jobs lose to it.
fn bill(job: &Job, view: &View, plan: &Plan, on: NetworkId, window_s: f64) -> Option<f64> {
    let state = &view.state[on];
    let granted_s = window_s * speed(plan, on);
    let slot = cost::holding(view, on, &plan.predictions[on]?, granted_s);
    let bytes = cost::crossing(view, on, cost::to_move(job, state));
    let neighbour = known(view.pricing.time_value_per_s(Urgency::DEFAULT));
    Some(slot + bytes + neighbour * cost::load(state).min(1.0) * granted_s)
}

/// A cost as a line over the time the job takes.
#[derive(Clone, Copy, Debug)]
struct Line {
    at_once: f64,
    per_s: f64,
    held_per_s: f64,
}

impl Line {
    fn of(job: &Job, view: &View, plan: &Plan, network: NetworkId) -> Option<Self> {
        let prediction = plan.predictions[network]?;
        let at_once = cost::fresh_at(job, view, network, &prediction, 0.0);
        let held_per_s = cost::holding(view, network, &prediction, 1.0);
        let per_s = cost::time_value(job, view) + held_per_s;
        at_once.is_finite().then_some(Self { at_once, per_s, held_per_s })
    }

    fn at(&self, run_s: f64) -> f64 {
        self.at_once + self.per_s * known(run_s)
    }
}

/// A shadow's share of full speed there, under its level's caps.
fn speed(plan: &Plan, on: NetworkId) -> f64 {
    plan.caps.speed(plan.predictions[on].as_ref())
}
