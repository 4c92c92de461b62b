//! What a network has cost and spared, and what shadows may still do there, on `/status`.

use std::collections::BTreeMap;

use policy::NetworkId;
use serde::Serialize;

use super::Seen;
use crate::record::rounded;

/// The jobs that can be compared with a network: those that ended well and whose cost there had been predicted.
#[derive(Debug, Serialize)]
pub(super) struct ComparedPage {
    jobs: u64,
    /// What they came to where they ran, in money and the value of time.
    cost: f64,
    /// What they were predicted to come to there, each by itself.
    cost_there: f64,
    /// The difference; negative if all of them had better gone there.
    saved: f64,
}

/// Shadows there: what they may do, and do.
#[derive(Debug, Serialize)]
pub(super) struct ShadowBudgetPage {
    in_flight: u64,
    in_flight_most: u32,
    /// `null` where there is no bound.
    per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    started: u64,
    adopted: u64,
    /// Those that were planned and not run, by what stood against them.
    refused: BTreeMap<&'static str, u64>,
}

/// What jobs came to beyond what they would have where they were seen to be cheaper.
#[derive(Debug, Serialize)]
pub(super) struct RegretPage {
    /// Jobs that were seen to run to their end on two networks.
    paired_jobs: u64,
    /// Of these, those that the dearer one answered.
    worse: u64,
    cost: f64,
}

impl ComparedPage {
    pub(super) fn of(id: NetworkId, seen: &Seen<'_>) -> Self {
        let compared = seen.metrics.compared_so_far(id);
        Self {
            jobs: compared.jobs,
            cost: rounded(compared.cost),
            cost_there: rounded(compared.there),
            saved: rounded(compared.there - compared.cost),
        }
    }
}

impl ShadowBudgetPage {
    pub(super) fn of(id: NetworkId, seen: &Seen<'_>) -> Self {
        let budget = &seen.generation.config.network(id).budget;
        let so_far = seen.metrics.shadows_on(id);
        let bound = |figure: f64| figure.is_finite().then_some(figure);
        Self {
            in_flight: so_far.in_flight,
            in_flight_most: budget.in_flight,
            per_second: bound(budget.per_second),
            bytes_per_second: bound(budget.bytes_per_second),
            started: so_far.started,
            adopted: so_far.adopted,
            refused: so_far.refused,
        }
    }
}

impl RegretPage {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let (paired_jobs, worse, cost) = seen.metrics.regret_so_far();
        Self { paired_jobs, worse, cost: rounded(cost) }
    }
}
