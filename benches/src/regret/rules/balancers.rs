//! Two balancers that learn latency: peak EWMA as in finagle and linkerd, and Prequal as in its paper.

use policy::MAX_NETWORKS;

use super::{Answer, Rule, Seen, least, load};
use crate::regret::lots::Lot;

/// The least of latency times jobs for each slot. Latency is a mean that jumps up at once and sinks slowly.
#[derive(Debug)]
pub(in crate::regret) struct PeakEwma {
    /// In how many seconds it sinks.
    decay_s: f64,
    /// How many times as long other networks are taken to answer.
    away: f64,
    latency_s: [f64; MAX_NETWORKS],
    at_s: [f64; MAX_NETWORKS],
}

impl PeakEwma {
    pub(in crate::regret) const fn new(decay_s: f64, away: f64) -> Self {
        Self { decay_s, away, latency_s: [0.0; MAX_NETWORKS], at_s: [0.0; MAX_NETWORKS] }
    }
}

impl Rule for PeakEwma {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, _: usize) -> usize {
        // A network that was never heard of is tried as soon as the other has one job more for each slot.
        let latency = |n: usize| if self.latency_s[n] > 0.0 { self.latency_s[n] } else { 1e-3 };
        least(seen, |n| latency(n) * load(seen, n, 1) * if n == 0 { 1.0 } else { self.away })
    }

    fn answered(&mut self, _: &Lot, answer: &Answer) {
        let (latency_s, at_s) = (&mut self.latency_s[answer.network], &mut self.at_s[answer.network]);
        let took_s = answer.at_s - answer.sent_s;
        let kept = (-(answer.at_s - *at_s) / self.decay_s).exp();
        *latency_s = if took_s > *latency_s { took_s } else { *latency_s * kept + took_s * (1.0 - kept) };
        *at_s = answer.at_s;
    }
}

/// Hot and cold, in that order: among the networks whose jobs in flight are below a quantile of what probes have seen, the
/// one of the lowest latency at about that many jobs; if all are hot, the one with the fewest (Wydrowski et al., 2024).
/// A probe is answered at once here, which is in its favour.
#[derive(Debug)]
pub(in crate::regret) struct Prequal {
    /// The quantile.
    hot_from: f64,
    /// How many times as long other networks are taken to answer.
    away: f64,
    /// The loads that the latest probes have seen.
    probed: Vec<f64>,
    next: usize,
    /// Of each network the latest answers: the load when they were sent, and how long they took.
    answers: Vec<Vec<(f64, f64)>>,
    sent: Vec<(f64, usize, f64)>,
}

/// Loads remembered for the quantile, and answers of each network for its latency.
const PROBES: usize = 128;
const ANSWERS: usize = 16;

impl Prequal {
    pub(in crate::regret) fn new(hot_from: f64, away: f64) -> Self {
        let answers = vec![Vec::new(); MAX_NETWORKS];
        Self { hot_from, away, probed: Vec::new(), next: 0, answers, sent: Vec::new() }
    }

    /// The median latency of the answers at the loads nearest to `load`.
    fn latency_s(&self, network: usize, load: f64) -> f64 {
        let mut near: Vec<(f64, f64)> =
            self.answers[network].iter().map(|(at, took_s)| ((at - load).abs(), *took_s)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(ANSWERS / 2);
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        near.get(near.len() / 2).map_or(0.0, |(_, took_s)| *took_s)
    }

    fn probe(&mut self, load: f64) {
        if self.probed.len() < PROBES {
            self.probed.push(load);
        } else {
            self.probed[self.next % PROBES] = load;
        }
        self.next += 1;
    }
}

impl Rule for Prequal {
    fn choose(&mut self, seen: &Seen<'_>, _: &Lot, _: usize) -> usize {
        let networks = seen.world.networks.len();
        (0..networks).for_each(|n| self.probe(load(seen, n, 0)));
        let mut sorted = self.probed.clone();
        sorted.sort_by(f64::total_cmp);
        let hot = sorted[((sorted.len() - 1) as f64 * self.hot_from) as usize];
        let cold: Vec<usize> = (0..networks).filter(|n| load(seen, *n, 0) < hot).collect();
        let chosen = if cold.is_empty() {
            least(seen, |n| load(seen, n, 0))
        } else {
            let score = |n: usize| self.latency_s(n, load(seen, n, 0)) * if n == 0 { 1.0 } else { self.away };
            cold.into_iter().min_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap_or(0)
        };
        self.sent.push((seen.now_s, chosen, load(seen, chosen, 0)));
        chosen
    }

    fn answered(&mut self, _: &Lot, answer: &Answer) {
        let is_it = |(sent_s, network, _): &(f64, usize, f64)| *network == answer.network && *sent_s == answer.sent_s;
        let Some(place) = self.sent.iter().position(is_it) else { return };
        let (.., load) = self.sent.swap_remove(place);
        let answers = &mut self.answers[answer.network];
        answers.push((load, answer.at_s - answer.sent_s));
        if answers.len() > ANSWERS {
            answers.remove(0);
        }
    }
}
