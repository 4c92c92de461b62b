//! What is shadowed while the job runs.
//!
//! `Lead` (or `Probe`, where the lead may not start) only when a shadow is expected to save more than it costs; `Sample` for
//! a declared share of jobs, only to learn. A shadow goes nowhere the job could not go itself, needs a permit that is there
//! now, and must get its data within its window: one that spends it waiting for bytes shows nothing. How much a shadow may
//! use is its job's level, which its urgency buys: at `off` there is none, not even to learn.

use super::draws::{Draw, draw};
use super::taught::Taught;
use super::worth;
use super::{Plan, Shadowing, pick};
use crate::cost::{self, known};
use crate::job::{Job, ShadowMode};
use crate::level::Level;
use crate::reason::Reason;
use crate::units::{NetworkId, NetworkSet};
use crate::view::View;
use crate::watchdog::Arm;

/// A sample may run this many times the predicted time: it is there to be finished, and delays nobody.
const SAMPLE_WINDOW_SHARE: f64 = 2.0;

/// Adds to `plan` what is shadowed.
pub(super) fn add(job: &Job, view: &View, plan: Plan, taught: &Taught<'_>) -> Plan {
    if plan.level == Level::Off || !may_be_shadowed(job) || !plan.eligible.contains(plan.target) {
        return plan;
    }
    let predicted_s = plan.predictions[plan.target].map(|prediction| known(prediction.mean_s));
    // Where nothing is predicted a job may still be sampled: the first model is made of such labels.
    if predicted_s.is_some_and(|predicted_s| predicted_s < known(view.shadowing.worthwhile_s)) {
        return plan;
    }
    // Nor is one to act on worth anything where shadows show nothing.
    let acts =
        job.mode == ShadowMode::On && plan.reason != Reason::Explore && plan.arm == Arm::Policy && !taught.is_opaque();
    let best = predicted_s.filter(|_| acts).and_then(|predicted_s| best(job, view, &plan, predicted_s));
    let worth = best.map_or(0.0, |(worth, _)| worth);
    let shadowing = match best {
        Some((worth, shadowing)) if worth > 0.0 => shadowing,
        _ => sample(job, view, &plan, predicted_s, taught),
    };
    Plan { shadowing, worth, ..plan }
}

/// Whether the job's bytes may be sent twice at all.
fn may_be_shadowed(job: &Job) -> bool {
    job.mode != ShadowMode::Off && job.repeatable && job.spoolable && !job.last_hop && !job.leaves_twin
}

/// The shadowing that is worth most, and what it is worth, which may be less than nothing.
fn best(job: &Job, view: &View, plan: &Plan, predicted_s: f64) -> Option<(f64, Shadowing)> {
    let window_s = window_s(view, plan, known(view.shadowing.window_share) * predicted_s)?;
    let others = places(job, view, plan, window_s);
    let (worth, other) = others
        .iter()
        .filter_map(|other| worth::of(job, view, plan, other, window_s).map(|worth| (worth, other)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    if !job.hold {
        return Some((worth, Shadowing::Lead { on: NetworkSet::only(other), window_s }));
    }
    // A probe shadows the leaning too, or there would be nothing to compare with.
    if !ready(job, view, plan.target, window_s) {
        return None;
    }
    let held = worth::of_holding(job, view, plan, window_s)?;
    let on = NetworkSet::only(other).with(plan.target);
    Some((worth - held, Shadowing::Probe { on, window_s }))
}

/// A shadow that only teaches, if this job's draw says so.
fn sample(job: &Job, view: &View, plan: &Plan, predicted_s: Option<f64>, taught: &Taught<'_>) -> Shadowing {
    if draw(job, Draw::Sample) >= taught.share_to_sample() {
        return Shadowing::Direct;
    }
    // Where nothing is predicted, as long as its level lets any shadow run: a job that hangs must not hold a place for longer.
    let wanted_s = predicted_s.map_or(known(plan.caps.window_s), |predicted_s| SAMPLE_WINDOW_SHARE * predicted_s);
    // Else it delays nobody, and may outlast what its level lets a job wait; where a level leaves no window it has no samples.
    if window_s(view, plan, wanted_s).is_none() {
        return Shadowing::Direct;
    }
    let (least_s, most_s) = (known(view.shadowing.window_min_s), known(view.shadowing.sample_window_s));
    let window_s = wanted_s.min(most_s).max(least_s);
    match pick(places(job, view, plan, window_s), draw(job, Draw::SampleWhere)) {
        Some(other) => Shadowing::Sample { on: NetworkSet::only(other), window_s },
        None => Shadowing::Direct,
    }
}

/// Where a shadow opposite the target could run.
fn places(job: &Job, view: &View, plan: &Plan, window_s: f64) -> NetworkSet {
    plan.eligible.without(plan.target).iter().filter(|network| ready(job, view, *network, window_s)).collect()
}

/// Whether a shadow there has a permit, and its data within the window.
fn ready(job: &Job, view: &View, network: NetworkId, window_s: f64) -> bool {
    view.state[network].shadow_room && cost::arriving_s(job, view, network) < window_s
}

/// `wanted_s` within the bounds: the shortest window, and the level's own. `None` where they leave no window.
fn window_s(view: &View, plan: &Plan, wanted_s: f64) -> Option<f64> {
    let (least, most) = (known(view.shadowing.window_min_s), known(plan.caps.window_s));
    (most > 0.0 && least <= most).then(|| wanted_s.clamp(least, most))
}
