//! One run: jobs, a world and an arm, from the first arrival to the last answer.

use policy::prediction::LEVELS;

use super::adumbra::{Adumbra, Told};
use super::arms::Arm;
use super::census::Census;
use super::clairvoyant::{Toll, choose, tolls};
use super::ground::{Event, Ground};
use super::lots::Lot;
use super::rules::{Answer, Rule, Seen};
use super::world::World;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// Mean cost of a measured job, time and money.
    pub objective: f64,
    /// Mean time of one.
    pub mean_s: f64,
    /// 99 % of them are answered within it.
    pub p99_s: f64,
    /// Mean money of one.
    pub money: f64,
    /// Slot seconds that shadows were granted, as a share of all slot seconds there were.
    pub shadow_share: f64,
    /// Shares of measured jobs that were shadowed and moved.
    pub shadowed: f64,
    /// The same for those that were moved.
    pub moved: f64,
    /// The cost of every job, in order of arrival.
    pub costs: Vec<f64>,
    /// Measured jobs of which the true time was within the predicted 10 to 90 %, and all that were predicted.
    pub covered: (usize, usize),
    /// The sum of squared log errors of the median over these.
    pub squared: f64,
}

/// Runs all jobs of `lots` through `arm`.
#[must_use]
pub fn run(world: &World, lots: &[Lot], seed: u64, arm: &Arm) -> Came {
    let mut ground = Ground::new(world, lots);
    let mut end_s = vec![f64::NAN; lots.len()];
    let told = match arm {
        Arm::Adumbra(without) => play_adumbra(&mut ground, Adumbra::new(world, lots.len(), *without), &mut end_s).told,
        Arm::Clairvoyant => return clairvoyant(world, lots),
        Arm::Rule(_, rule) => {
            let rules = (0..world.sidecars.count).map(|_| rule.make(world)).collect();
            play_rule(&mut ground, rules, seed, &mut end_s);
            Vec::new()
        }
    };
    tally(&ground, &end_s, &told)
}

/// The best run of one who knows all, over the tolls.
fn clairvoyant(world: &World, lots: &[Lot]) -> Came {
    let has_data = lots.iter().any(|lot| lot.data.is_some());
    let mut best: Option<(Came, Toll)> = None;
    for _ in 0..3 {
        let before = best.as_ref().map(|(came, _)| came.objective);
        for toll in tolls(best.as_ref().map(|(_, toll)| *toll), has_data) {
            let came = with_toll(world, lots, &toll);
            if best.as_ref().is_none_or(|(best, _)| came.objective < best.objective) {
                best = Some((came, toll));
            }
        }
        if before.is_some_and(|before| best.as_ref().is_some_and(|(best, _)| best.objective >= before)) {
            break;
        }
    }
    best.map(|(came, _)| came).unwrap_or_default()
}

fn with_toll(world: &World, lots: &[Lot], toll: &Toll) -> Came {
    let mut ground = Ground::new(world, lots);
    let mut end_s = vec![f64::NAN; lots.len()];
    let typical_s = lots.iter().map(|lot| lot.takes_s(0, lot.arrived_s)).sum::<f64>() / lots.len() as f64;
    while let Some(event) = ground.next() {
        match event {
            Event::Arrives(i) => {
                let network = choose(&ground, &lots[i], toll, typical_s);
                ground.send(i, network, None);
            }
            Event::Answered(run) => end_s[ground.runs[run].lot] = ground.now_s,
            Event::Look(_) | Event::Finished(_) | Event::Report => {}
        }
    }
    tally(&ground, &end_s, &[])
}

/// adumbra's own run; what it knows in the end comes back.
pub(super) fn play_adumbra(ground: &mut Ground<'_>, mut adumbra: Adumbra, end_s: &mut [f64]) -> Adumbra {
    while let Some(event) = ground.next() {
        match event {
            Event::Arrives(i) => adumbra.arrives(ground, i),
            Event::Look(i) => adumbra.look(ground, i),
            Event::Finished(run) => adumbra.finished(ground, run),
            Event::Report => adumbra.report(ground),
            Event::Answered(run) => {
                end_s[ground.runs[run].lot] = ground.now_s;
                adumbra.answered(ground, run);
            }
        }
    }
    adumbra
}

fn play_rule(ground: &mut Ground<'_>, mut rules: Vec<Box<dyn Rule>>, seed: u64, end_s: &mut [f64]) {
    let mut census = Census::new(ground.world);
    while let Some(event) = ground.next() {
        match event {
            Event::Arrives(i) => {
                let lot = &ground.lots[i];
                let in_flight = census.seen(lot.sidecar, ground.now_s);
                let seen = Seen { world: ground.world, seed, now_s: ground.now_s, in_flight };
                let network = rules[lot.sidecar].choose(&seen, lot, i);
                census.enters(lot.sidecar, network);
                ground.send(i, network, None);
            }
            Event::Answered(run) => {
                let state = &ground.runs[run];
                let lot = &ground.lots[state.lot];
                end_s[state.lot] = ground.now_s;
                census.leaves(lot.sidecar, state.network);
                let (network, sent_s, ran_s) = (state.network, state.sent_s, state.takes_s);
                rules[lot.sidecar].answered(lot, &Answer { network, sent_s, at_s: ground.now_s, ran_s });
            }
            Event::Report => census.report(ground.now_s),
            Event::Look(_) | Event::Finished(_) => {}
        }
    }
}

fn tally(ground: &Ground<'_>, end_s: &[f64], told: &[Told]) -> Came {
    let lots = ground.lots;
    let from = ((1.0 - ground.world.measured_share) * lots.len() as f64) as usize;
    let took_s: Vec<f64> = lots.iter().zip(end_s).map(|(lot, end_s)| end_s - lot.arrived_s).collect();
    let costs: Vec<f64> = (0..lots.len()).map(|i| lots[i].value_per_s * took_s[i] + ground.money[i]).collect();
    let n = (lots.len() - from) as f64;
    let mean = |values: &[f64]| values[from..].iter().sum::<f64>() / n;
    let mut sorted = took_s[from..].to_vec();
    sorted.sort_by(f64::total_cmp);
    let told = told.get(from..).unwrap_or_default();
    let share = |of: fn(&Told) -> bool| told.iter().filter(|told| of(told)).count() as f64 / n;
    let (mut covered, mut squared) = ((0, 0), 0.0);
    for (prediction, true_s) in told.iter().filter_map(|told| told.prediction) {
        let [low, _, median, _, high] = prediction.quantiles_s;
        const { assert!(LEVELS[0] == 0.1 && LEVELS[4] == 0.9) };
        covered.1 += 1;
        covered.0 += usize::from((low..=high).contains(&true_s));
        squared += (true_s / median).ln().powi(2);
    }
    let slots: u32 = ground.world.networks.iter().map(|place| place.slots).sum();
    let span_s = end_s.iter().copied().fold(0.0, f64::max);
    Came {
        objective: mean(&costs),
        mean_s: mean(&took_s),
        p99_s: sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN),
        money: mean(&ground.money),
        shadow_share: ground.shadow_s / (f64::from(slots) * span_s).max(f64::MIN_POSITIVE),
        shadowed: share(|told| told.shadowed),
        moved: share(|told| told.moved),
        costs,
        covered,
        squared,
    }
}
