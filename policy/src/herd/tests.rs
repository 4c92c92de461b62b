//! One, four and sixteen sidecars that share two networks and hear of each other by reports that are old.

use std::collections::VecDeque;

use super::*;
use crate::cost;
use crate::ledger::{self, Entry};
use crate::testing::{Dice, PRIVATE, PUBLIC, job, view};
use crate::{Job, Prediction, View};

#[test]
fn without_others_nothing_is_drawn_and_nothing_is_expected() {
    let mut others = Others::default();
    for ours in [0, 5, 3, 9, 0, 12] {
        others.report(0, ours, 1.0);
        for place in 0_u32..20 {
            assert_eq!(others.now(ours + place, PUBLIC, f64::from(place) / 20.0, 9.0), 0);
        }
    }
    assert_eq!(others.doubt(9.0), 0.0);
}

#[test]
fn others_are_taken_to_move_with_us_where_they_did() {
    let mut others = Others::default();
    for turn in 0..100 {
        let ours = if turn % 2 == 0 { 10 } else { 4 };
        others.report(3 * ours, ours, f64::from(turn));
    }
    // The latest said 12 and 4.
    assert_eq!((others.now_expected(4), others.now_expected(6), others.now_expected(2)), (12, 18, 6));
    assert_eq!(others.now_expected(0), 0);
    others.silent();
    assert_eq!(others.now(12, PUBLIC, 0.1, 100.0), 0);
    for turn in 0..200 {
        others.report(20, [10, 4, 7][turn % 3], turn as f64);
    }
    assert_eq!((others.now_expected(0), others.now_expected(30)), (20, 20), "they have their own mind");
}

#[test]
fn what_was_off_is_drawn_from_and_the_draws_of_networks_are_their_own() {
    let mut others = Others::default();
    for turn in 0..200 {
        others.report(if turn % 2 == 0 { 20 } else { 0 }, 5, f64::from(turn));
    }
    assert!((15.0..25.0).contains(&others.doubt(200.0)), "{}", others.doubt(200.0));
    assert!(others.doubt(199.1) < 0.4 * others.doubt(200.0), "a fresh report is to be believed");
    let draws = |network| (0..1000).map(move |i| others.now(5, network, f64::from(i) / 1000.0, 200.0));
    let mean = draws(PUBLIC).map(f64::from).sum::<f64>() / 1000.0;
    assert!(draws(PUBLIC).any(|n| n == 0) && draws(PUBLIC).any(|n| n > 20) && mean < 20.0, "{mean}");
    assert!(draws(PUBLIC).max() <= Some(60), "{:?}", draws(PUBLIC).max());
    assert!(draws(PUBLIC).zip(draws(PRIVATE)).filter(|(a, b)| a == b).count() < 800);
}

/// How the sidecars read reports.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reading {
    /// The others have what the latest report says.
    AsItSays,
    /// What this file makes of it.
    Weighed,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    cost: f64,
    longest_queue: usize,
}

/// A job that runs or waits: whose it is, when it was sent, how long it takes and when it ends.
#[derive(Clone, Copy, Debug)]
struct Sent {
    by: usize,
    at_s: f64,
    takes_s: f64,
    ends_s: f64,
}

#[derive(Default)]
struct Place {
    running: Vec<Sent>,
    waiting: VecDeque<Sent>,
}

impl Place {
    /// Lets time pass until `now_s`.
    fn pass(&mut self, slots: usize, now_s: f64) {
        while let Some(first) =
            (0..self.running.len()).min_by(|a, b| self.running[*a].ends_s.total_cmp(&self.running[*b].ends_s))
        {
            let free_s = self.running[first].ends_s;
            if free_s > now_s {
                return;
            }
            self.running.swap_remove(first);
            self.begin(slots, free_s);
        }
    }

    fn begin(&mut self, slots: usize, now_s: f64) {
        while self.running.len() < slots
            && let Some(next) = self.waiting.pop_front()
        {
            self.running.push(Sent { ends_s: now_s + next.takes_s, ..next });
        }
    }

    fn of(&self, sidecar: usize) -> Vec<Entry> {
        let mut own: Vec<Sent> =
            self.running.iter().chain(&self.waiting).filter(|sent| sent.by == sidecar).copied().collect();
        own.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        own.iter().map(|sent| Entry { started_s: sent.at_s, predicted_s: MEAN_S }).collect()
    }

    fn len(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// When a job sent now would end, which is what will happen: first come, first served.
    fn send(&mut self, slots: usize, sent: Sent, now_s: f64) -> f64 {
        self.waiting.push_back(sent);
        self.begin(slots, now_s);
        let mut free_s: Vec<f64> = self.running.iter().map(|sent| sent.ends_s).collect();
        if let Some(ends) = self.running.iter().find(|r| r.by == sent.by && r.at_s == sent.at_s) {
            return ends.ends_s;
        }
        for waits in &self.waiting {
            let first = (0..free_s.len()).min_by(|a, b| free_s[*a].total_cmp(&free_s[*b])).expect("there are slots");
            free_s[first] += waits.takes_s;
            if waits.at_s == sent.at_s && waits.by == sent.by {
                return free_s[first];
            }
        }
        unreachable!("it was sent")
    }
}

const MEAN_S: f64 = 4.0;
const JOBS: usize = 6_000;

/// Two shared networks, both of eight slots and one a little dearer, at nine tenths of what they can take together; a report
/// of each to all sidecars every `report_s`.
fn run(sidecars: usize, reading: Reading, report_s: f64, seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let mut view = view();
    (view.state[PUBLIC].capacity, view.state[PUBLIC].price.per_slot_s) = (8, 0.4);
    view.state[PUBLIC].price.congestion = 0.6;
    view.state[PUBLIC].price.congestion_from = 0.6;
    let mut places = [Place::default(), Place::default()];
    let mut heard = vec![[Others::default(); 2]; sidecars];
    let mut says = vec![[0_u32; 2]; sidecars];
    let (mut now_s, mut next_report_s) = (0.0, 0.0);
    let mut outcome = Outcome { cost: 0.0, longest_queue: 0 };
    for i in 0..JOBS {
        now_s += dice.exponential(MEAN_S / (0.9 * 16.0));
        while next_report_s <= now_s {
            places.iter_mut().for_each(|place| place.pass(8, next_report_s));
            for sidecar in 0..sidecars {
                for (n, place) in places.iter().enumerate() {
                    let ours = place.of(sidecar).len() as u32;
                    says[sidecar][n] = place.len() as u32 - ours;
                    heard[sidecar][n].report(says[sidecar][n], ours, next_report_s);
                }
            }
            next_report_s += report_s;
        }
        places.iter_mut().for_each(|place| place.pass(8, now_s));
        let (by, draw, takes_s) = (dice.below(sidecars), dice.uniform(), dice.exponential(MEAN_S));
        let job = Job { draw, ..job() };
        for network in [PRIVATE, PUBLIC] {
            let n = network.index();
            let own = places[n].of(by);
            let others = match reading {
                Reading::AsItSays => says[by][n],
                Reading::Weighed => heard[by][n].now(own.len() as u32, network, draw, now_s),
            };
            let state = &mut view.state[network];
            state.in_flight = own.len() as u32 + others;
            state.wait_s = ledger::wait_s(&own, others, 8, MEAN_S, now_s);
        }
        let to = cheaper(&job, &view);
        let sent = Sent { by, at_s: now_s, takes_s, ends_s: f64::INFINITY };
        let ends_s = places[to.index()].send(8, sent, now_s);
        let price = view.state[to].price.per_slot_s;
        if i >= JOBS / 5 {
            outcome.cost += (0.8 * (ends_s - now_s) + price * takes_s) / (JOBS - JOBS / 5) as f64;
            outcome.longest_queue = outcome.longest_queue.max(places[to.index()].waiting.len());
        }
    }
    outcome
}

fn cheaper(job: &Job, view: &View) -> NetworkId {
    let takes = Prediction::exactly(MEAN_S);
    let [here, there] = [PRIVATE, PUBLIC].map(|network| cost::fresh(job, view, network, &takes));
    if here <= there { PRIVATE } else { PUBLIC }
}

/// The means over some seeds, of the cost and of the longest queue.
fn compare(sidecars: usize, report_s: f64) -> [(f64, f64); 2] {
    let seeds = 1..=4_u64;
    let means = [Reading::AsItSays, Reading::Weighed].map(|reading| {
        let runs: Vec<Outcome> = seeds.clone().map(|seed| run(sidecars, reading, report_s, seed)).collect();
        let mean = |of: fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        (mean(|run| run.cost), mean(|run| run.longest_queue as f64))
    });
    println!(
        "{sidecars} sidecars, reports every {report_s} s: (cost, longest queue) {:?} as it says, {:?} weighed",
        means[0], means[1]
    );
    means
}

#[test]
fn with_one_sidecar_nothing_changes() {
    for seed in 1..=3 {
        assert_eq!(run(1, Reading::AsItSays, 4.0, seed), run(1, Reading::Weighed, 4.0, seed));
    }
}

#[test]
fn a_herd_is_kept_apart() {
    // Where reports are young there is little to gain, and nothing may be lost; the older they are, the more.
    for (sidecars, report_s, of_naive) in
        [(4, 1.0, 1.0), (4, 4.0, 0.97), (4, 8.0, 0.9), (16, 1.0, 1.0), (16, 4.0, 0.97), (16, 8.0, 0.9)]
    {
        let [naive, weighed] = compare(sidecars, report_s);
        assert!(weighed.0 < of_naive * naive.0, "{sidecars} sidecars, {report_s} s: {weighed:?} against {naive:?}");
        assert!(weighed.1 <= naive.1, "{sidecars} sidecars, {report_s} s: {weighed:?} against {naive:?}");
    }
}
