//! One question to `decide`: everything it is given, and the branches.

use super::estimate::{Estimate, Estimates};
use super::{Action, Decision, Step};
use crate::cost::{self, known};
use crate::gate;
use crate::job::{Job, ShadowMode};
use crate::model::Model;
use crate::observation::{Evidence, Observation, Phase};
use crate::plan::{Plan, Shadowing};
use crate::prediction::Prediction;
use crate::reason::Reason;
use crate::units::{MAX_NETWORKS, NetworkId, NetworkSet, PerNetwork};
use crate::view::View;
use crate::watchdog::Arm;

/// Moving must save at least this share of the cost: below it, the gain is of the size of what is not modelled.
pub(super) const MARGIN: f64 = 0.05;
/// Leaving a straggler for a run from the start must save this share: everything done so far is thrown away.
const STRAGGLER_MARGIN: f64 = 0.3;
/// A lead that has done this share of its work is not left any more, and need not be watched.
const WATCHED_SHARE: f64 = 0.6;
/// A lead is looked at again after this share of its predicted time, but never sooner than the least.
const WATCH_SHARE: f64 = 0.1;
const WATCH_LEAST_S: f64 = 0.05;

/// Everything that is known of one job at one moment.
pub(super) struct Case<'a> {
    pub(super) job: &'a Job,
    pub(super) view: &'a View,
    pub(super) plan: &'a Plan,
    pub(super) evidence: &'a Evidence,
    pub(super) predictions: PerNetwork<Option<Prediction>>,
    planned_s: f64,
    pub(super) now_s: f64,
}

/// What became of a dispatch, as far as deciding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs.
    Open,
    /// It has begun to answer, or has answered, with something a client should see.
    Answering,
    /// The whole of that answer is here.
    Answered,
    /// It was not executed.
    Refused,
    /// It broke, or answered with something a client should not see.
    Broken,
}

pub(super) fn standing(observation: &Observation) -> Standing {
    match observation.phase {
        Phase::Running | Phase::BlockedOnData => Standing::Open,
        Phase::Head { good: true, .. } => Standing::Answering,
        Phase::Finished { good: true, .. } => Standing::Answered,
        Phase::Refused => Standing::Refused,
        Phase::Head { good: false, .. } | Phase::Finished { good: false, .. } | Phase::Failed => Standing::Broken,
    }
}

/// A way on that is not the lead, and what it costs from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) network: NetworkId,
    pub(super) action: Action,
    pub(super) cost: f64,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        job: &'a Job,
        view: &'a View,
        model: Option<&Model>,
        plan: &'a Plan,
        evidence: &'a Evidence,
        planned_s: f64,
        now_s: f64,
    ) -> Self {
        let mut predictions = plan.predictions;
        if let Some(model) = model
            && predictions[plan.target].is_none()
        {
            predictions = view.corrected(model.predict_each(job, plan.eligible.with(plan.target).iter()));
        }
        Self { job, view, plan, evidence, predictions, planned_s, now_s }
    }

    pub(super) fn decide(&self) -> Step {
        match &self.evidence.lead {
            Some((network, lead)) => match standing(lead) {
                Standing::Answering | Standing::Answered => self.keep(*network, Reason::LeadAnswered),
                Standing::Refused => self.after_failure(*network, true),
                // A head that says 5xx is the service's answer all the same: it ran the job, and running it again is not
                // what anybody asked for.
                Standing::Broken if lead.phase != Phase::Failed => self.keep(*network, Reason::LeadAnswered),
                Standing::Broken => self.after_failure(*network, false),
                Standing::Open => self.while_it_runs(*network, lead),
            },
            None if matches!(self.plan.shadowing, Shadowing::Probe { .. }) => self.probe(),
            None => self.without_lead(),
        }
    }

    /// The lead runs and has not answered.
    fn while_it_runs(&self, network: NetworkId, lead: &Observation) -> Step {
        // A job moves once of free will, and where a probe has put it, it stays.
        let probed = matches!(self.plan.shadowing, Shadowing::Probe { .. });
        if !self.may_move() || network != self.plan.target || probed {
            return self.keep(network, self.plan.reason);
        }
        if let Some(shadow) = self.adoptable().iter().find(|shadow| self.stands(*shadow, Standing::Answered)) {
            return self.settle(shadow, Action::Adopt, Reason::ShadowFinished, self.no_costs());
        }
        let estimates = Estimates::new(self, network, Some(lead));
        if let Some(step) = self.compare(network, lead, &estimates) {
            return step;
        }
        self.wait(network, lead, &estimates)
    }

    /// Moves the job if the evidence says so.
    fn compare(&self, network: NetworkId, lead: &Observation, estimates: &Estimates) -> Option<Step> {
        let here = estimates.of(network)?;
        let stay = cost::rest(self.job, self.view, network, &self.predictions[network]?, here.rest_s);
        let mut costs = self.no_costs();
        costs[network] = stay;
        if let Some(adopt) = self.best_adoption(estimates, &mut costs) {
            let doubt = estimates.doubt_between(adopt.network);
            // At the window's end what was seen counts as it stands; where nothing was seen it never does.
            let doubt = if self.window_is_over() && doubt.is_finite() { 0.0 } else { doubt };
            if (stay / adopt.cost).ln() > (1.0 + MARGIN).ln() + doubt {
                return Some(self.settle(adopt.network, Action::Adopt, Reason::Switched, costs));
            }
        }
        if !estimates.straggles || lead.progress.is_none() {
            return None;
        }
        let send = self.best_sending(network, estimates, &mut costs)?;
        // What runs there already is ahead of a fresh run.
        let action = if self.adoptable().contains(send.network) { Action::Adopt } else { Action::Send };
        (stay > (1.0 + STRAGGLER_MARGIN) * send.cost)
            .then(|| self.settle(send.network, action, Reason::Switched, costs))
    }

    /// Nothing speaks for a move: waits for the window's end, or watches the lead, or lets it be.
    fn wait(&self, network: NetworkId, lead: &Observation, estimates: &Estimates) -> Step {
        let progress = lead.progress.filter(|progress| progress.is_finite());
        if progress.is_some_and(|progress| progress >= WATCHED_SHARE) {
            return self.keep(network, self.confirmed(estimates));
        }
        let leads = matches!(self.plan.shadowing, Shadowing::Lead { .. });
        if leads && !self.window_is_over() {
            return Step::WaitUntil(self.window_end_s());
        }
        // No shadow outlives its window: while one runs, only settling ends it for sure.
        if leads && !self.adoptable().is_empty() {
            return self.keep(network, self.confirmed(estimates));
        }
        let Some(prediction) = self.predictions[network] else { return self.keep(network, self.plan.reason) };
        let predicted_s = known(prediction.mean_s);
        let watchable = predicted_s > 0.0 && predicted_s >= known(self.view.shadowing.worthwhile_s);
        // A lead that has shown nothing by the end of the window will not begin to; of the others, the first look is due.
        let first_look_s = self.planned_s + known(self.view.shadowing.window_share) * predicted_s;
        if watchable && !self.others().is_empty() && (progress.is_some() || (!leads && self.now_s < first_look_s)) {
            let next_s = self.now_s + (WATCH_SHARE * predicted_s).max(WATCH_LEAST_S);
            return if next_s.is_finite() { Step::WaitUntil(next_s) } else { self.keep(network, self.plan.reason) };
        }
        self.keep(network, if leads { self.confirmed(estimates) } else { self.plan.reason })
    }

    /// The word for a lead that is kept: confirmed if anything was seen of it and of what it was compared with.
    fn confirmed(&self, estimates: &Estimates) -> Reason {
        if !matches!(self.plan.shadowing, Shadowing::Lead { .. }) {
            self.plan.reason
        } else if estimates.compared {
            Reason::LeadConfirmed
        } else {
            Reason::WindowEnded
        }
    }

    /// The lead is not there yet, or nobody says what became of it.
    fn without_lead(&self) -> Step {
        let leads = matches!(self.plan.shadowing, Shadowing::Lead { .. });
        if !leads || !self.may_move() {
            return self.keep(self.plan.target, self.plan.reason);
        }
        if let Some(shadow) = self.adoptable().iter().find(|shadow| self.stands(*shadow, Standing::Answered)) {
            return self.settle(shadow, Action::Adopt, Reason::ShadowFinished, self.no_costs());
        }
        if self.window_is_over() {
            return self.keep(self.plan.target, Reason::WindowEnded);
        }
        Step::WaitUntil(self.window_end_s())
    }

    /// The cheapest shadow to adopt, by what is left of it.
    pub(super) fn best_adoption(&self, estimates: &Estimates, costs: &mut PerNetwork<f64>) -> Option<Move> {
        let mut best: Option<Move> = None;
        for network in self.adoptable().iter() {
            let (Some(Estimate { rest_s, .. }), Some(prediction)) = (estimates.of(network), self.predictions[network])
            else {
                continue;
            };
            let runs = self.stands(network, Standing::Open);
            if runs && gate::spent(&self.view.state[network]) {
                continue;
            }
            let rest_s = if runs { rest_s } else { 0.0 };
            costs[network] = cost::rest(self.job, self.view, network, &prediction, rest_s);
            best = cheaper(best, Move { network, action: Action::Adopt, cost: costs[network] });
        }
        best
    }

    /// The cheapest network to send the job to from the start, `but` one.
    pub(super) fn best_sending(
        &self,
        but: NetworkId,
        estimates: &Estimates,
        costs: &mut PerNetwork<f64>,
    ) -> Option<Move> {
        let mut best: Option<Move> = None;
        for network in self.others().without(but).iter() {
            let (Some(estimate), Some(prediction)) = (estimates.of(network), self.predictions[network]) else {
                continue;
            };
            let cost = cost::fresh_at(self.job, self.view, network, &prediction, estimate.whole_s);
            if costs[network].is_nan() {
                costs[network] = cost;
            }
            best = cheaper(best, Move { network, action: Action::Send, cost });
        }
        best
    }

    /// Whether the job may be moved of free will at all.
    fn may_move(&self) -> bool {
        may_move(self.job, self.plan)
    }

    /// The networks a job may be sent to now: eligible when it was planned and not failed since, allowed, healthy now.
    pub(super) fn open_to_the_job(&self) -> NetworkSet {
        let fit = |network: &NetworkId| {
            let state = &self.view.state[*network];
            state.healthy && !gate::spent(state) && !self.stands(*network, Standing::Broken)
        };
        self.plan.eligible.and(self.job.residency).iter().filter(fit).collect()
    }

    /// Of these, those besides where the plan put it.
    pub(super) fn others(&self) -> NetworkSet {
        self.open_to_the_job().without(self.plan.target)
    }

    /// The networks whose shadow could become the real job.
    pub(super) fn adoptable(&self) -> NetworkSet {
        if !self.may_move() {
            return NetworkSet::EMPTY;
        }
        let on = match self.plan.shadowing {
            Shadowing::Lead { on, .. } | Shadowing::Probe { on, .. } => on,
            Shadowing::Direct | Shadowing::Sample { .. } => NetworkSet::EMPTY,
        };
        let lives = |network: &NetworkId| {
            [Standing::Open, Standing::Answering, Standing::Answered].iter().any(|s| self.stands(*network, *s))
        };
        on.and(self.plan.eligible).and(self.job.residency).iter().filter(lives).collect()
    }

    /// Whether there is a shadow on `network` and it stands so.
    pub(super) fn stands(&self, network: NetworkId, wanted: Standing) -> bool {
        self.evidence.shadows[network].is_some_and(|shadow| standing(&shadow) == wanted)
    }

    pub(super) fn window_end_s(&self) -> f64 {
        self.planned_s + self.plan.shadowing.window_s()
    }

    /// Whether the window has ended; one whose end is not a time has.
    pub(super) fn window_is_over(&self) -> bool {
        !(self.now_s < self.window_end_s() && self.window_end_s().is_finite())
    }

    pub(super) fn no_costs(&self) -> PerNetwork<f64> {
        PerNetwork([f64::NAN; MAX_NETWORKS])
    }

    pub(super) fn keep(&self, target: NetworkId, reason: Reason) -> Step {
        self.settle(target, Action::Keep, reason, self.no_costs())
    }

    pub(super) fn settle(&self, target: NetworkId, action: Action, reason: Reason, costs: PerNetwork<f64>) -> Step {
        Step::Settled(Decision { target, action, reason, predictions: self.predictions, costs })
    }
}

/// Whether a job may be moved of free will. One that was only accepted leaves a twin behind, unless somebody may delete it; and
/// the fixed rule moves none.
pub(super) fn may_move(job: &Job, plan: &Plan) -> bool {
    plan.arm == Arm::Policy
        && job.mode == ShadowMode::On
        && job.repeatable
        && job.spoolable
        && !job.last_hop
        && !job.leaves_twin
}

/// The cheaper of two; a cost that is not a number loses.
pub(super) fn cheaper(best: Option<Move>, candidate: Move) -> Option<Move> {
    match best {
        Some(best) if best.cost.total_cmp(&candidate.cost).is_le() => Some(best),
        _ => Some(candidate),
    }
}
