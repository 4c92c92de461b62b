//! While the real job is held: the shadows race, and the cheapest becomes the job.

use super::case::{Case, MARGIN, Move, Standing, cheaper};
use super::estimate::Estimates;
use super::{Action, Step};
use crate::cost;
use crate::reason::Reason;
use crate::units::{NetworkId, PerNetwork};

impl Case<'_> {
    /// No lead runs; the job waits for this.
    pub(super) fn probe(&self) -> Step {
        let shadows = self.adoptable();
        if let Some(shadow) = shadows.iter().find(|shadow| self.stands(*shadow, Standing::Answered)) {
            return self.settle(shadow, Action::Adopt, Reason::ShadowFinished, self.no_costs());
        }
        let pending = self.plan.shadowing.on().iter().any(|network| self.evidence.shadows[network].is_none());
        let over = self.window_is_over() || (shadows.is_empty() && !pending);
        let estimates = Estimates::new(self, self.plan.target, None);
        let mut costs = self.no_costs();
        let Some(best) = self.best_way(&estimates, &mut costs) else {
            return if over { self.settle_blind() } else { Step::WaitUntil(self.window_end_s()) };
        };
        if !over && !self.is_clear(&best, &estimates, &costs) {
            return Step::WaitUntil(self.window_end_s());
        }
        let reason = match (best.network == self.plan.target, estimates.compared) {
            (false, _) => Reason::Switched,
            (true, true) => Reason::LeadConfirmed,
            (true, false) => Reason::WindowEnded,
        };
        self.settle(best.network, best.action, reason, costs)
    }

    /// The cheapest shadow to adopt or network to send to.
    fn best_way(&self, estimates: &Estimates, costs: &mut PerNetwork<f64>) -> Option<Move> {
        let mut best = self.best_adoption(estimates, costs);
        let target = self.plan.target;
        let allowed = self.plan.eligible.and(self.job.residency).contains(target);
        if allowed
            && !self.adoptable().contains(target)
            && !self.stands(target, Standing::Broken)
            && let (Some(estimate), Some(prediction)) = (estimates.of(target), self.predictions[target])
        {
            costs[target] = cost::fresh_at(self.job, self.view, target, &prediction, estimate.whole_s);
            best = cheaper(best, Move { network: target, action: Action::Send, cost: costs[target] });
        }
        match self.best_sending(target, estimates, costs) {
            // What runs already is ahead of a fresh run there.
            Some(send) if !self.adoptable().contains(send.network) => cheaper(best, send),
            _ => best,
        }
    }

    /// Whether the best is so much cheaper than every other shadow that waiting would not turn it over.
    fn is_clear(&self, best: &Move, estimates: &Estimates, costs: &PerNetwork<f64>) -> bool {
        let beats = |other: NetworkId| {
            let doubt = estimates.doubt_between(if other == self.plan.target { best.network } else { other });
            (costs[other] / best.cost).ln() > (1.0 + MARGIN).ln() + doubt
        };
        estimates.compared && self.adoptable().without(best.network).iter().all(beats)
    }

    /// Nothing is predicted: the leaning's shadow, or any that lives, or the leaning afresh.
    fn settle_blind(&self) -> Step {
        let (target, shadows) = (self.plan.target, self.adoptable());
        let runs = if shadows.contains(target) { Some(target) } else { shadows.iter().next() };
        match runs {
            Some(shadow) => self.settle(shadow, Action::Adopt, Reason::WindowEnded, self.no_costs()),
            None => self.settle(target, Action::Send, Reason::WindowEnded, self.no_costs()),
        }
    }
}
