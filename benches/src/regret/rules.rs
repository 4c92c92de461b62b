//! The rules that people use: fixed ones, and the balancers that learn a latency and no more.
//!
//! None knows a job's class, price or size (but `class means`, which is the least that could be called a prediction). Each
//! that has a knob comes with a grid of it, and is compared at the setting that turns out best, which nobody can know before.

use policy::MAX_NETWORKS;

use super::census::Each;
use super::dice::{For, uniform};
use super::lots::Lot;
use super::world::World;

mod balancers;
mod means;

pub(super) use balancers::{PeakEwma, Prequal};
pub(super) use means::ClassMeans;

/// What a rule may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) world: &'a World,
    pub(super) seed: u64,
    pub(super) now_s: f64,
    pub(super) in_flight: Each,
}

/// What a rule hears of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) network: usize,
    pub(super) sent_s: f64,
    pub(super) at_s: f64,
    /// How long it ran there; only `class means` asks.
    pub(super) ran_s: f64,
}

/// Chooses a network for each job.
pub(super) trait Rule: std::fmt::Debug {
    fn choose(&mut self, seen: &Seen<'_>, lot: &Lot, i: usize) -> usize;
    fn answered(&mut self, _lot: &Lot, _answer: &Answer) {}
}

/// Always the same network.
#[derive(Debug)]
pub(super) struct Only(pub(super) usize);

/// Home with this chance, else another, each as likely.
#[derive(Debug)]
pub(super) struct Random(pub(super) f64);

/// In turn; home gets this share of the turns.
#[derive(Debug)]
pub(super) struct RoundRobin {
    pub(super) home: f64,
    pub(super) owed: [f64; MAX_NETWORKS],
}

/// Where the fewest jobs are for each slot, those of other networks counted this many times.
#[derive(Debug)]
pub(super) struct LeastInFlight(pub(super) f64);

/// Home while fewer than this many jobs are there, for each slot; then the cheapest other that has room; then where the queue
/// is shortest for its slots.
#[derive(Debug)]
pub(super) struct Spill(pub(super) f64);

impl Rule for Only {
    fn choose(&mut self, _: &Seen<'_>, _: &Lot, _: usize) -> usize {
        self.0
    }
}

impl Rule for Random {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, i: usize) -> usize {
        let draw = uniform(seen.seed, For::Rule, i as u64, 0);
        if draw < self.0 {
            return 0;
        }
        let others = seen.world.networks.len() - 1;
        1 + (((draw - self.0) / (1.0 - self.0) * others as f64) as usize).min(others - 1)
    }
}

impl RoundRobin {
    pub(super) const fn new(home: f64) -> Self {
        Self { home, owed: [0.0; MAX_NETWORKS] }
    }
}

impl Rule for RoundRobin {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, _: usize) -> usize {
        let networks = seen.world.networks.len();
        let each = (1.0 - self.home) / (networks - 1) as f64;
        for (n, owed) in self.owed[..networks].iter_mut().enumerate() {
            *owed += if n == 0 { self.home } else { each };
        }
        let most = (0..networks).rev().max_by(|a, b| self.owed[*a].total_cmp(&self.owed[*b])).unwrap_or(0);
        self.owed[most] -= 1.0;
        most
    }
}

impl Rule for LeastInFlight {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, _: usize) -> usize {
        least(seen, |n| load(seen, n, 1) * if n == 0 { 1.0 } else { self.0 })
    }
}

impl Rule for Spill {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, _: usize) -> usize {
        if load(seen, 0, 0) < self.0 {
            return 0;
        }
        let room = (1..seen.world.networks.len()).filter(|n| load(seen, *n, 0) < 1.0);
        let price = |n: &usize| seen.world.networks[*n].price_per_slot_s;
        room.min_by(|a, b| price(a).total_cmp(&price(b))).unwrap_or_else(|| least(seen, |n| load(seen, n, 0)))
    }
}

/// Jobs for each slot, with `more`.
pub(super) fn load(seen: &Seen<'_>, network: usize, more: u32) -> f64 {
    f64::from(seen.in_flight[network] + more) / f64::from(seen.world.networks[network].slots)
}

/// The network of the least `score`; the first of equals.
pub(super) fn least(seen: &Seen<'_>, score: impl Fn(usize) -> f64) -> usize {
    (0..seen.world.networks.len()).min_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0)
}
