//! Gates: deterministic rules outside the model that make a network ineligible.
//!
//! They come before every prediction and are not weighed against one: a cheap network that the job may not leave a byte
//! on is not cheap. Each says no with a [`Reason`] of its own. They are asked in order of what cannot be argued with:
//! residency, health, spend, capacity, bandwidth; the first that is shut is the one that is reported.
//!
//! The gates of capacity and bandwidth are wide on purpose. Waiting and moving have a price in [`crate::cost`]; the gates
//! are for where that price can no longer be trusted, because the queue or the link has got out of hand.

use crate::cost;
use crate::job::Job;
use crate::reason::Reason;
use crate::units::{NetworkId, NetworkSet, PerNetwork};
use crate::view::{NetworkView, View};

/// A network is shut when this many jobs are in flight there for each slot: what a replay of such a queue says is hardly more
/// than a guess. Wide, because a burst fills every queue at once and costs still tell the shorter one: with 2 in place of 8 the
/// workflow trace of the regret bench cost a third more.
const IN_FLIGHT_PER_SLOT_MOST: f64 = 8.0;

/// How far ahead the load is looked at: a queue that will be too long when a job has come to its head.
const FORECAST_S: f64 = 30.0;

/// A network is shut when the job's bytes would not arrive within this time: no link is measured well enough to bet more.
pub const MOVING_MOST_S: f64 = 60.0;

/// Which networks may compete for a job, and what shut the others out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// The networks that passed every gate.
    pub eligible: NetworkSet,
    /// The first gate that was shut, for each network there is.
    pub shut: PerNetwork<Option<Reason>>,
}

/// Asks every gate for every network.
#[must_use]
pub fn gates(job: &Job, view: &View) -> Gates {
    let mut gates = Gates { eligible: NetworkSet::EMPTY, shut: PerNetwork::default() };
    for network in existing(view).iter() {
        match shut(job, view, network) {
            None => gates.eligible = gates.eligible.with(network),
            reason => gates.shut[network] = reason,
        }
    }
    if gates.eligible.is_empty() {
        // Where every queue is out of hand, the gate of capacity tells nothing apart: what they cost still does.
        for network in existing(view).iter().filter(|n| gates.shut[*n] == Some(Reason::Capacity)) {
            gates.eligible = gates.eligible.with(network);
        }
    }
    gates
}

impl Gates {
    /// Why `network` had no competitor: the gate that shut out the one that came closest to competing; `None` if there was
    /// one, or if there is only one network.
    #[must_use]
    pub fn why_alone(&self, network: NetworkId) -> Option<Reason> {
        if !self.eligible.without(network).is_empty() {
            return None;
        }
        self.shut.0.iter().enumerate().filter(|(i, _)| *i != network.index()).filter_map(|(_, r)| *r).max_by_key(passed)
    }
}

/// The networks that exist: those named, and the one this sidecar stands on.
pub(crate) fn existing(view: &View) -> NetworkSet {
    view.networks.with(view.home)
}

/// How many gates are passed before this one is reported.
fn passed(reason: &Reason) -> u8 {
    match reason {
        Reason::Bandwidth => 4,
        Reason::Capacity => 3,
        Reason::Spend => 2,
        Reason::Health => 1,
        _ => 0,
    }
}

/// The first gate that is shut for `job` on `network`.
fn shut(job: &Job, view: &View, network: NetworkId) -> Option<Reason> {
    let state = &view.state[network];
    if !job.residency.contains(network) {
        return Some(Reason::Residency);
    }
    if !state.healthy {
        return Some(Reason::Health);
    }
    if spent(state) {
        return Some(Reason::Spend);
    }
    if overfull(state) {
        return Some(Reason::Capacity);
    }
    let moving_s = cost::arriving_s(job, view, network);
    (moving_s > MOVING_MOST_S).then_some(Reason::Bandwidth)
}

/// Whether one job more would make the queue too long to be predicted.
fn overfull(state: &NetworkView) -> bool {
    let in_flight = f64::from(state.in_flight);
    let expected = state.outlook.over(in_flight, FORECAST_S);
    state.capacity > 0 && in_flight.max(expected) >= IN_FLIGHT_PER_SLOT_MOST * f64::from(state.capacity)
}

/// Whether nothing may be spent there any more.
pub(crate) fn spent(state: &NetworkView) -> bool {
    // What is left of it is a figure or the cap means nothing: then it holds.
    state.spend_left.is_some_and(|left| left.is_nan() || left <= 0.0)
}

/// Whether every slot that is known of is taken, so that a job sent now would wait.
pub(crate) fn full(state: &NetworkView) -> bool {
    state.capacity > 0 && state.in_flight >= state.capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PRIVATE, PUBLIC, job, view};

    #[test]
    fn each_gate_shuts_with_its_own_reason() {
        let check = |change: fn(&mut Job, &mut View), expected| {
            let (mut job, mut view) = (job(), view());
            change(&mut job, &mut view);
            let gates = gates(&job, &view);
            assert_eq!(gates.shut[PUBLIC], expected);
            assert_eq!(gates.eligible.contains(PUBLIC), expected.is_none());
            assert_eq!(gates.why_alone(PRIVATE), expected);
        };
        check(|_, _| {}, None);
        check(|job, _| job.residency = NetworkSet::only(PRIVATE), Some(Reason::Residency));
        check(|_, view| view.state[PUBLIC].healthy = false, Some(Reason::Health));
        check(|_, view| view.state[PUBLIC].spend_left = Some(0.0), Some(Reason::Spend));
        check(|_, view| view.state[PUBLIC].spend_left = Some(-1.0), Some(Reason::Spend));
        check(|_, view| view.state[PUBLIC].spend_left = Some(f64::NAN), Some(Reason::Spend));
        check(|_, view| view.state[PUBLIC].spend_left = Some(0.01), None);
        check(|_, view| view.state[PUBLIC].spend_left = None, None);
        check(|_, view| view.state[PUBLIC].in_flight = 256, Some(Reason::Capacity));
        check(|_, view| view.state[PUBLIC].in_flight = 255, None);
        check(
            |_, view| {
                view.state[PUBLIC].in_flight = 250;
                view.state[PUBLIC].outlook = crate::forecast::Outlook { level: Some(250.0), per_s: 0.5 };
            },
            Some(Reason::Capacity),
        );
        check(|job, _| job.body_bytes = Some(100 << 30), Some(Reason::Bandwidth));
        check(|_, view| view.state[PUBLIC].link_queued_bytes = 1e12, Some(Reason::Bandwidth));
        check(|_, view| view.state[PUBLIC].link_bytes_per_s = 0.0, None);
        check(
            |job, view| {
                job.residency = NetworkSet::only(PRIVATE);
                view.state[PUBLIC].healthy = false;
            },
            Some(Reason::Residency),
        );
    }

    #[test]
    fn home_is_never_shut_by_a_link_nor_by_being_left_out_of_the_list() {
        let (mut job, mut view) = (job(), view());
        job.body_bytes = Some(u64::MAX);
        view.networks = NetworkSet::only(PUBLIC);
        assert!(gates(&job, &view).eligible.contains(PRIVATE));
    }

    #[test]
    fn where_every_queue_is_out_of_hand_all_of_them_compete() {
        let (job, mut view) = (job(), view());
        (view.state[PRIVATE].in_flight, view.state[PUBLIC].in_flight) = (1_000, 1_000);
        assert_eq!(gates(&job, &view).eligible.len(), 2);
        view.state[PUBLIC].healthy = false;
        assert_eq!(gates(&job, &view).eligible, NetworkSet::only(PRIVATE));
        (view.state[PRIVATE].in_flight, view.state[PUBLIC].healthy) = (0, true);
        assert_eq!(gates(&job, &view).eligible, NetworkSet::only(PRIVATE));
    }

    #[test]
    fn a_lone_network_is_not_explained_by_a_gate() {
        let (job, mut view) = (job(), view());
        view.networks = NetworkSet::only(PRIVATE);
        assert_eq!(gates(&job, &view).why_alone(PRIVATE), None);
    }
}
