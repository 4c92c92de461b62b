//! What is counted of money: what was spent, what jobs would have come to elsewhere, and what a better choice would have saved.
//!
//! Costs are in the currency of the configuration's prices, and the value of time counts in them, as it does in decisions.

use policy::NetworkId;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped, millionths};
use super::words::{Word, words};

/// Whether the network that answered was the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    Better,
    Worse,
}

words!(Pair: Pair::Better => "better", Pair::Worse => "worse");

#[derive(Debug)]
pub(super) struct MoneyCounters {
    spent: Family<1>,
    jobs: Family<1>,
    cost: Family<1>,
    there: Family<1>,
    pairs: Family<1>,
    regret: Family<0>,
}

/// What the jobs that can be compared with one network have come to, and would have there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Compared {
    pub(crate) jobs: u64,
    pub(crate) cost: f64,
    pub(crate) there: f64,
}

impl MoneyCounters {
    pub(super) fn new(network: &Axis) -> Self {
        Self {
            spent: Family::amounts(
                Head::new("adumbra_spent", "Money charged for what was sent to a network, shadows included"),
                [network],
            ),
            jobs: Family::counters(
                Head::new(
                    "adumbra_compared_jobs",
                    "Jobs that ended well and whose cost on this network had been predicted",
                ),
                [network],
            ),
            cost: Family::amounts(
                Head::new(
                    "adumbra_compared_cost",
                    "What those jobs came to where they ran, in money and the value of time",
                ),
                [network],
            ),
            there: Family::amounts(
                Head::new(
                    "adumbra_compared_cost_there",
                    "What the same jobs were predicted to come to on this network",
                ),
                [network],
            ),
            pairs: Family::counters(
                Head::new(
                    "adumbra_paired_jobs",
                    "Jobs seen to run on two networks, by whether the one that answered was the better",
                ),
                [&Axis::of::<Pair>("answered")],
            ),
            regret: Family::amounts(
                Head::new(
                    "adumbra_regret",
                    "What those jobs came to beyond what they would have where they were seen to be cheaper",
                ),
                [],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 6] {
        [&self.spent, &self.jobs, &self.cost, &self.there, &self.pairs, &self.regret]
    }
}

impl Metrics {
    /// Money was charged.
    pub(crate) fn spent(&self, on: NetworkId, money: f64) {
        self.money.spent.add([on.index()], millionths(money));
    }

    /// A job that has come to `cost` would have come to `there` on a network.
    pub(crate) fn compared(&self, with: NetworkId, cost: f64, there: f64) {
        let place = [with.index()];
        self.money.jobs.add(place, 1);
        self.money.cost.add(place, millionths(cost));
        self.money.there.add(place, millionths(there));
    }

    /// A job was seen on two networks, and was `regret` dearer than on the better one.
    pub(crate) fn paired(&self, regret: f64) {
        let pair = if regret > 0.0 { Pair::Worse } else { Pair::Better };
        self.money.pairs.add([pair.place()], 1);
        self.money.regret.add([], millionths(regret));
    }

    /// What comparisons with one network have come to.
    pub(crate) fn compared_so_far(&self, with: NetworkId) -> Compared {
        let place = [with.index()];
        let amount = |family: &Family<1>| family.value(place) as f64 / 1e6;
        Compared {
            jobs: self.money.jobs.value(place),
            cost: amount(&self.money.cost),
            there: amount(&self.money.there),
        }
    }

    /// Jobs seen on two networks, of these where the one that answered was the worse, and what that came to.
    pub(crate) fn regret_so_far(&self) -> (u64, u64, f64) {
        let worse = self.money.pairs.value([Pair::Worse.place()]);
        (self.money.pairs.total(), worse, self.money.regret.value([]) as f64 / 1e6)
    }
}
