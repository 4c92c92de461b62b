//! The mean time of each class on each network, and nothing else: what a person would do in an afternoon.

use std::collections::BTreeMap;

use policy::MAX_NETWORKS;
use policy::ledger::{self, Entry, Ledger};

use super::{Answer, Rule, Seen};
use crate::regret::dice::{For, uniform};
use crate::regret::lots::Lot;

/// As `adumbra` while it has no model: until so many answers, this share goes elsewhere.
const COLD_ANSWERS: u32 = 40;
const COLD_EXPLORES: f64 = 0.15;
/// A class counts itself from so many answers on.
const ANSWERS_LEAST: f64 = 3.0;

/// A sum and a number.
#[derive(Clone, Copy, Debug, Default)]
struct Mean(f64, f64);

/// The cheapest by class means: time, price, and the wait that a replay of the queue says.
#[derive(Debug)]
pub(in crate::regret) struct ClassMeans {
    of_class: BTreeMap<u16, [Mean; MAX_NETWORKS]>,
    of_all: [Mean; MAX_NETWORKS],
    answers: u32,
    ledgers: Vec<Ledger>,
    /// The ledgers' own numbers, by network and when it was sent.
    entered: Vec<(usize, f64, u64)>,
}

impl ClassMeans {
    pub(in crate::regret) fn new(slots: impl Iterator<Item = u32>) -> Self {
        Self {
            of_class: BTreeMap::new(),
            of_all: [Mean::default(); MAX_NETWORKS],
            answers: 0,
            ledgers: slots.map(Ledger::new).collect(),
            entered: Vec::new(),
        }
    }

    /// The mean of the class there, else at home, else of all.
    fn mean_s(&self, class: u16, network: usize) -> f64 {
        let of =
            |means: &[Mean; MAX_NETWORKS], n: usize| (means[n].1 >= ANSWERS_LEAST).then(|| means[n].0 / means[n].1);
        let class = self.of_class.get(&class);
        let own = class.and_then(|means| of(means, network).or_else(|| of(means, 0)));
        own.or_else(|| of(&self.of_all, network)).unwrap_or(1.0)
    }
}

impl Rule for ClassMeans {
    fn choose(&mut self, seen: &Seen<'_>, lot: &Lot, i: usize) -> usize {
        let networks = seen.world.networks.len();
        let cost = |rule: &mut Self, n: usize| {
            let place = &seen.world.networks[n];
            let others = seen.in_flight[n].saturating_sub(rule.ledgers[n].len());
            let typical_s = rule.ledgers[n].typical_s();
            let wait_s = ledger::wait_s(rule.ledgers[n].entries(), others, place.slots, typical_s, seen.now_s);
            let mean_s = rule.mean_s(lot.job.class.0, n);
            let moved = if n == 0 { 0.0 } else { lot.data.map_or(0.0, |data| data.bytes as f64) };
            let moving_s = place.rtt_ms / 1e3 + moved / seen.world.wan_bytes_per_s();
            lot.value_per_s * (wait_s + moving_s + mean_s) + place.price_per_slot_s * mean_s
        };
        let explores = self.answers < COLD_ANSWERS && uniform(seen.seed, For::Rule, i as u64, 1) < COLD_EXPLORES;
        let is_full = seen.in_flight[0] >= seen.world.networks[0].slots;
        let chosen = if self.answers < COLD_ANSWERS {
            usize::from(is_full != explores)
        } else {
            let costs: Vec<f64> = (0..networks).map(|n| cost(self, n)).collect();
            (0..networks).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0)
        };
        let predicted_s = self.mean_s(lot.job.class.0, chosen);
        let id = self.ledgers[chosen].enter(Entry { started_s: seen.now_s, predicted_s });
        self.entered.push((chosen, seen.now_s, id));
        chosen
    }

    fn answered(&mut self, lot: &Lot, answer: &Answer) {
        let is_it = |(n, sent_s, _): &(usize, f64, u64)| *n == answer.network && *sent_s == answer.sent_s;
        if let Some(place) = self.entered.iter().position(is_it) {
            let (n, _, id) = self.entered.swap_remove(place);
            self.ledgers[n].leave(id, answer.at_s);
            self.ledgers[n].ran(answer.ran_s);
        }
        let class = self.of_class.entry(lot.job.class.0).or_insert([Mean::default(); MAX_NETWORKS]);
        for mean in [&mut class[answer.network], &mut self.of_all[answer.network]] {
            *mean = Mean(mean.0 + answer.ran_s, mean.1 + 1.0);
        }
        self.answers += 1;
    }
}
