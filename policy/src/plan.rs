//! The first decision: what to do with a job on arrival.
//!
//! Three questions, in this order. *Which networks may have it*: the gates. *Which gets it*: with a model and leave to act,
//! the cheapest; else home first, and the cheapest other when home is full, which is the strongest of the fixed rules.
//! *What is shadowed meanwhile*: a shadow that is worth its bill, opposite a running lead; else, for a declared share of
//! jobs, one that only teaches; else nothing, which is the rule and not the exception.
//!
//! The job is never held for a shadow unless its route says that the lead may not start: holding costs every job what the
//! shadow could save a few (POLICY-STUDY, finding 1).

pub(crate) mod draws;
mod shadows;
mod taught;
mod worth;

use crate::cost;
use crate::gate::{self, Gates};
use crate::job::{Job, ShadowMode};
use crate::level::{Caps, Level};
use crate::model::Model;
use crate::prediction::Prediction;
use crate::reason::Reason;
use crate::units::{NetworkId, NetworkSet, PerNetwork};
use crate::view::View;
use crate::watchdog::Arm;

use draws::{Draw, draw};
use taught::Taught;

/// While there is no model, at least this share explores, if exploration is allowed at all: else one network would never be
/// labelled, and the first model could not tell them apart.
const COLD_EXPLORE_SHARE: f64 = 0.15;
/// Exploring is bounded: a network predicted to cost more than this many times the cheapest is not tried out on a client.
const EXPLORE_COST_MOST: f64 = 2.0;

/// What happens to the real job at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shadowing {
    /// Send now; nothing is shadowed.
    Direct,
    /// The target starts at once; shadows run on `on`, and the question is whether to switch.
    Lead {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long they may, seconds.
        window_s: f64,
    },
    /// Shadows run on `on` and the real job is held until the answer is settled or the window ends.
    Probe {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long the job may be held, seconds.
        window_s: f64,
    },
    /// The target starts at once; shadows on `on` run in the background, only to learn.
    Sample {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long they may, seconds.
        window_s: f64,
    },
}

/// What to do with a job, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Where it goes, or where it leans while it is held.
    pub target: NetworkId,
    /// Why there.
    pub reason: Reason,
    /// Who placed it.
    pub arm: Arm,
    /// What is shadowed meanwhile.
    pub shadowing: Shadowing,
    /// How much shadow the job's urgency buys, whether any is worth its bill or not.
    pub level: Level,
    /// What each of its shadows may use at the most. Their window is that of `shadowing`: no longer than this one, but for samples.
    pub caps: Caps,
    /// The networks that passed every gate.
    pub eligible: NetworkSet,
    /// What was predicted for each network, where a model could.
    pub predictions: PerNetwork<Option<Prediction>>,
    /// What each eligible network would cost, all terms; NaN where it was not computed.
    pub costs: PerNetwork<f64>,
    /// The expected gain from shadowing, in money, that the plan was chosen by.
    pub worth: f64,
}

/// Plans a job. The same job, view and model give the same plan; `_now_s` is here so that a plan may come to depend on when
/// it is made, and no caller has to change then.
#[must_use]
pub fn plan(job: &Job, view: &View, model: Option<&Model>, now_s: f64) -> Plan {
    plan_as(Arm::Policy, job, view, model, now_s)
}

/// Whether the policy and the fixed rule may place this job in different places, so that it can tell which is better.
#[must_use]
pub fn is_compared(job: &Job, view: &View, modelled: bool) -> bool {
    let places = gate::existing(view).and(job.residency);
    modelled && job.mode == ShadowMode::On && !job.last_hop && job.located.is_none() && places.len() > 1
}

/// What the job was predicted to cost at home if it did not wait there: its size, whoever places it. `None` where nothing was
/// predicted.
#[must_use]
pub fn size(job: &Job, view: &View, plan: &Plan) -> Option<f64> {
    let prediction = plan.predictions[view.home].as_ref()?;
    let run_s = cost::known(prediction.mean_s);
    let bill = cost::bill(job, view, view.home, Some(prediction), run_s);
    Some(cost::time_value(job, view) * run_s + bill.expected)
}

/// Plans a job that `arm` places: as [`plan`], or by the fixed rule, *spill when full*, with nothing shadowed but to learn.
#[must_use]
pub fn plan_as(arm: Arm, job: &Job, view: &View, model: Option<&Model>, _now_s: f64) -> Plan {
    if let Some(on) = located(job, view) {
        return at(on);
    }
    let gates = gate::gates(job, view);
    let predictions = view.corrected(
        model.map_or_else(PerNetwork::default, |model| model.predict_each(job, gate::existing(view).iter())),
    );
    let costs = costs(job, view, &gates, &predictions);
    let taught = Taught::of(job.class, model, &view.shadowing);
    let (target, reason) = place(arm, job, view, &gates, &costs, &taught, model.is_some());
    let level = view.shadowing.levels.of(job.urgency);
    let plan = Plan {
        target,
        reason,
        arm,
        shadowing: Shadowing::Direct,
        level,
        caps: view.shadowing.caps.of(level),
        eligible: gates.eligible,
        predictions,
        costs: if model.is_some() { costs } else { PerNetwork([f64::NAN; crate::units::MAX_NETWORKS]) },
        worth: 0.0,
    };
    shadows::add(job, view, plan, &taught)
}

impl Shadowing {
    /// Where shadows run.
    #[must_use]
    pub const fn on(&self) -> NetworkSet {
        match *self {
            Self::Direct => NetworkSet::EMPTY,
            Self::Lead { on, .. } | Self::Probe { on, .. } | Self::Sample { on, .. } => on,
        }
    }

    /// For how long they may, seconds; 0 if there are none.
    #[must_use]
    pub const fn window_s(&self) -> f64 {
        match *self {
            Self::Direct => 0.0,
            Self::Lead { window_s, .. } | Self::Probe { window_s, .. } | Self::Sample { window_s, .. } => window_s,
        }
    }

    /// The word for it: a metric label, a log field.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Lead { .. } => "lead",
            Self::Probe { .. } => "probe",
            Self::Sample { .. } => "sample",
        }
    }
}

/// Where the asynchronous job runs that this one is about. A job that may leave no byte there is not sent there, whatever it
/// is about; one that has made its last hop goes nowhere.
fn located(job: &Job, view: &View) -> Option<NetworkId> {
    job.located.filter(|on| !job.last_hop && job.residency.and(gate::existing(view)).contains(*on))
}

/// There and nowhere else, healthy or not: what it asks for is nowhere else.
fn at(on: NetworkId) -> Plan {
    Plan {
        target: on,
        reason: Reason::Located,
        arm: Arm::Policy,
        shadowing: Shadowing::Direct,
        level: Level::Off,
        caps: Caps::NONE,
        eligible: NetworkSet::only(on),
        predictions: PerNetwork::default(),
        costs: PerNetwork([f64::NAN; crate::units::MAX_NETWORKS]),
        worth: 0.0,
    }
}

/// What each eligible network would cost; NaN for the others. Where nothing is predicted, as if the job took a second, which
/// is enough to tell a dear network from a cheap one.
fn costs(job: &Job, view: &View, gates: &Gates, predictions: &PerNetwork<Option<Prediction>>) -> PerNetwork<f64> {
    let mut costs = PerNetwork([f64::NAN; crate::units::MAX_NETWORKS]);
    for network in gates.eligible.iter() {
        let prediction = predictions[network].unwrap_or_else(|| Prediction::exactly(1.0));
        costs[network] = cost::fresh(job, view, network, &prediction);
    }
    costs
}

/// Where the job goes, and why.
fn place(
    arm: Arm,
    job: &Job,
    view: &View,
    gates: &Gates,
    costs: &PerNetwork<f64>,
    taught: &Taught<'_>,
    modelled: bool,
) -> (NetworkId, Reason) {
    if job.last_hop {
        return (view.home, Reason::LastHop);
    }
    if gates.eligible.is_empty() {
        return (last_resort(job, view), Reason::NothingEligible);
    }
    if job.mode != ShadowMode::On {
        return home_first(view, gates, costs, Reason::RouteOff);
    }
    if let Some(word) = by_rule(arm) {
        return match home_first(view, gates, costs, word) {
            (spilled, Reason::Spill) => (spilled, word),
            placed => placed,
        };
    }
    let (target, reason) = match cheapest(view, gates.eligible, costs) {
        Some(target) if modelled => (target, gates.why_alone(target).unwrap_or(Reason::Cheaper)),
        _ => home_first(view, gates, costs, Reason::NoModelHome),
    };
    match explore(job, view, gates.eligible.without(target), costs, taught, (costs[target], modelled)) {
        Some(other) => (other, Reason::Explore),
        None => (target, reason),
    }
}

/// The word for a job that the fixed rule places in the policy's stead.
const fn by_rule(arm: Arm) -> Option<Reason> {
    match arm {
        Arm::Policy => None,
        Arm::Rule => Some(Reason::Guard),
        Arm::Fallback => Some(Reason::Fallback),
    }
}

/// Where a job goes that may go nowhere: home if it is allowed there, or where it is allowed. A job that is allowed nowhere
/// is a configuration that cannot be loaded; its bytes are at home already.
fn last_resort(job: &Job, view: &View) -> NetworkId {
    if job.residency.contains(view.home) {
        return view.home;
    }
    gate::existing(view).and(job.residency).iter().next().unwrap_or(view.home)
}

/// Home while it has a free slot, else the cheapest other that has one, else where the queue is shortest for its slots: home
/// alone would be the worst of all when a burst fills everything. Something is eligible.
fn home_first(view: &View, gates: &Gates, costs: &PerNetwork<f64>, at_home: Reason) -> (NetworkId, Reason) {
    let home = view.home;
    let others = gates.eligible.without(home);
    if !gates.eligible.contains(home) {
        let why = gates.shut[home].unwrap_or(Reason::NothingEligible);
        return (cheapest(view, others, costs).unwrap_or(home), why);
    }
    if !gate::full(&view.state[home]) {
        return (home, at_home);
    }
    match cheapest(view, with_room(view, others), costs) {
        Some(other) => (other, Reason::Spill),
        None if others.is_empty() => (home, gates.why_alone(home).unwrap_or(at_home)),
        None => match least_loaded(view, gates.eligible) {
            Some(other) if other != home => (other, Reason::Spill),
            _ => (home, Reason::Capacity),
        },
    }
}

/// The network to explore, if this job's draw says so: one that has room and is not much dearer than the `best` cost. What is
/// dearer than twice the best is tried out the more rarely: in the mean, exploring adds at most its share to what jobs cost,
/// whatever the networks charge. Without a model that is by their prices, for a job of a second.
fn explore(
    job: &Job,
    view: &View,
    others: NetworkSet,
    costs: &PerNetwork<f64>,
    taught: &Taught<'_>,
    (best, modelled): (f64, bool),
) -> Option<NetworkId> {
    let allowed = cost::known(view.shadowing.explore_share);
    let share = if allowed > 0.0 && !modelled { allowed.max(COLD_EXPLORE_SHARE) } else { allowed };
    if draw(job, Draw::Explore) >= share {
        return None;
    }
    let bearable = |network: &NetworkId| {
        !modelled || costs[*network] <= EXPLORE_COST_MOST * best && taught.is_worth_exploring(*network)
    };
    let other = pick(with_room(view, others).iter().filter(bearable).collect(), draw(job, Draw::ExploreWhere))?;
    let dearer = costs[other] - best;
    (dearer <= 0.0 || draw(job, Draw::ExploreCost) * dearer < best).then_some(other)
}

/// The cheapest of `among`; home where it is as cheap as any. A cost that is not a number loses.
fn cheapest(view: &View, among: NetworkSet, costs: &PerNetwork<f64>) -> Option<NetworkId> {
    let key = |network: &NetworkId| (costs[*network], *network != view.home);
    among.iter().min_by(|a, b| {
        let ((cost_a, away_a), (cost_b, away_b)) = (key(a), key(b));
        cost_a.total_cmp(&cost_b).then(away_a.cmp(&away_b))
    })
}

/// The one of `among` with the fewest jobs for each slot; home where it has as few as any.
fn least_loaded(view: &View, among: NetworkSet) -> Option<NetworkId> {
    let key = |network: NetworkId| (cost::load(&view.state[network]), network != view.home);
    among.iter().min_by(|a, b| {
        let ((load_a, away_a), (load_b, away_b)) = (key(*a), key(*b));
        load_a.total_cmp(&load_b).then(away_a.cmp(&away_b))
    })
}

/// Those of `among` that have a free slot, or may have.
fn with_room(view: &View, among: NetworkSet) -> NetworkSet {
    among.iter().filter(|network| !gate::full(&view.state[*network])).collect()
}

/// One of `among`, each as likely, by a draw from 0..1.
fn pick(among: NetworkSet, draw: f64) -> Option<NetworkId> {
    among.iter().nth((draw * among.len() as f64) as usize)
}

#[cfg(test)]
mod several;
#[cfg(test)]
pub(crate) mod tests;
