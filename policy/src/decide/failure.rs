//! After the lead broke: a shadow takes over, or the next network, or the client hears of it.

use super::case::{Case, Move, Standing, cheaper};
use super::estimate::Estimates;
use super::{Action, Step};
use crate::cost;
use crate::reason::Reason;
use crate::units::NetworkId;

impl Case<'_> {
    /// The dispatch on `network` broke, or was `refused`: then it is known not to have been executed, and may go elsewhere
    /// even if the job must not run twice. Failing over is no act of prediction: it is done whatever the route's mode.
    pub(super) fn after_failure(&self, network: NetworkId, refused: bool) -> Step {
        if self.job.last_hop || !(self.job.repeatable || refused) {
            return self.keep(network, Reason::LeadFailed);
        }
        if let Some(shadow) = self.shadow_to_take_over(network) {
            return self.settle(shadow, Action::Adopt, Reason::LeadFailed, self.no_costs());
        }
        match self.next_after(network) {
            Some(next) => self.settle(next, Action::Send, Reason::Failover, self.no_costs()),
            None => self.keep(network, Reason::LeadFailed),
        }
    }

    /// A shadow with the whole answer, else the one that is cheapest from now on: it has a start on any fresh run.
    fn shadow_to_take_over(&self, broken: NetworkId) -> Option<NetworkId> {
        let shadows = self.adoptable().without(broken);
        if let Some(finished) = shadows.iter().find(|shadow| self.stands(*shadow, Standing::Answered)) {
            return Some(finished);
        }
        let estimates = Estimates::new(self, self.plan.target, None);
        let mut best = None;
        for network in shadows.iter() {
            let cost = match (estimates.of(network), self.predictions[network]) {
                (Some(estimate), Some(prediction)) => {
                    cost::rest(self.job, self.view, network, &prediction, estimate.rest_s)
                }
                _ => f64::INFINITY,
            };
            best = cheaper(best, Move { network, action: Action::Adopt, cost });
        }
        best.map(|adopt| adopt.network)
    }

    /// The network to try after `broken`: the plan's target if it has not broken itself (a job may have been moved from it),
    /// then the others by the plan's cost, then by their place in the configuration. What has failed before is not eligible
    /// any more, so no network comes twice.
    fn next_after(&self, broken: NetworkId) -> Option<NetworkId> {
        let rank = |network: NetworkId| (network != self.plan.target, self.plan.costs[network], network.index());
        self.open_to_the_job().without(broken).iter().min_by(|a, b| {
            let ((away_a, cost_a, place_a), (away_b, cost_b, place_b)) = (rank(*a), rank(*b));
            away_a.cmp(&away_b).then(cost_a.total_cmp(&cost_b)).then(place_a.cmp(&place_b))
        })
    }
}
