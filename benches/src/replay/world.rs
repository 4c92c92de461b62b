//! The world of the policy study, in numbers, and its slots and queues: eight private slots at 0.3 a second, thirty-two public
//! ones at 1.0 behind 40 ms and 1 Gb/s; time worth what the default configuration says.

use std::collections::{BTreeMap, VecDeque};

use policy::job::{EXTRACTED, Job, ShadowMode};
use policy::ledger::{self, Entry};
use policy::units::{MAX_NETWORKS, Urgency};
use policy::view::{NetworkView, Price, Pricing, ShadowLimits, View};
use policy::{Caps, ClassId, LevelCaps, Levels, NetworkId, NetworkSet, PerNetwork};

use crate::dice::Dice;

/// Home.
pub(super) const PRIVATE: NetworkId = network(0);
/// The other network.
pub(super) const PUBLIC: NetworkId = network(1);
/// Slots at home.
pub const PRIVATE_SLOTS: u32 = 8;
const PUBLIC_SLOTS: u32 = 32;

const fn network(place: usize) -> NetworkId {
    match NetworkId::new(place) {
        Some(network) => network,
        None => panic!("there are two networks"),
    }
}

/// Both networks healthy and empty, and the default configuration's bounds; windows of up to half a minute, since jobs take
/// minutes.
pub(super) fn world() -> View {
    let mut state = PerNetwork([NetworkView::default(); MAX_NETWORKS]);
    state[PRIVATE] = NetworkView {
        healthy: true,
        capacity: PRIVATE_SLOTS,
        price: Price { per_slot_s: 0.3, congestion: 0.6, congestion_from: 0.6, ..Price::default() },
        ..NetworkView::default()
    };
    state[PUBLIC] = NetworkView {
        healthy: true,
        capacity: PUBLIC_SLOTS,
        rtt_s: 0.04,
        link_bytes_per_s: 125e6,
        price: Price { per_slot_s: 1.0, ..Price::default() },
        ..NetworkView::default()
    };
    let caps = |cpu_share| Caps { cpu_share, memory_bytes: 1 << 30, bytes_per_s: 4e6, window_s: 30.0 };
    View {
        home: PRIVATE,
        networks: [PRIVATE, PUBLIC].into_iter().collect(),
        state,
        pricing: Pricing { time_value_per_s: [3.2, 1.6, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1] },
        shadowing: ShadowLimits {
            window_share: 0.1,
            window_min_s: 0.1,
            worthwhile_s: 0.3,
            sample_share: 0.0,
            sample_window_s: 30.0,
            explore_share: 0.02,
            levels: Levels::default(),
            caps: LevelCaps { low: caps(0.1), medium: caps(0.25), high: caps(0.5) },
        },
    }
}

/// A job that may do everything, of which nothing is known.
pub(super) fn job() -> Job {
    Job {
        class: ClassId(0),
        urgency: Urgency::DEFAULT,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        leaves_twin: false,
        located: None,
        body_bytes: None,
        input_bytes: None,
        hour: 12.0,
        extracted: [f32::NAN; EXTRACTED],
        draw: 0.5,
    }
}

/// What the trace cannot say of one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odd {
    /// How many times as long as the trace says it takes on each network.
    pub(super) slower: [f64; 2],
    pub(super) bend: [f64; 2],
    pub(super) draw: f64,
}

/// What the trace cannot say of the jobs, drawn from a seed.
#[derive(Clone, Debug)]
pub struct Odds(pub(super) Vec<Odd>);

/// How much classes differ in it, and how unevenly a run shows its work.
const CLASS_SIGMA: f64 = 0.4;
const BEND_SIGMA: f64 = 0.15;
/// How many times as long a run takes that is stuck.
const STUCK: f64 = 6.0;

impl Odds {
    /// For jobs of these classes; `job_sigma` is how much jobs of one class differ in how they take to the other network, and
    /// `stuck` the share of runs that are six times as slow as they should be.
    #[must_use]
    pub fn draw(seed: u64, classes: impl Iterator<Item = u16>, job_sigma: f64, stuck: f64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
        let mut ratios = BTreeMap::new();
        let odd = |class| {
            let of_class = *ratios.entry(class).or_insert_with(|| (CLASS_SIGMA * dice.normal()).exp());
            let ratio = of_class * (job_sigma * dice.normal()).exp();
            let slower = [1.0, ratio].map(|slower| if dice.uniform() < stuck { STUCK * slower } else { slower });
            Odd { slower, bend: [dice.normal(), dice.normal()].map(|z| (BEND_SIGMA * z).exp()), draw: dice.uniform() }
        };
        Self(classes.map(odd).collect())
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    Arrives(usize),
    Ends(usize, NetworkId),
    Look(usize),
}

/// Events by time, and who waits and runs where.
#[derive(Debug)]
pub(super) struct Slots {
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    queues: [VecDeque<usize>; 2],
    running: [Vec<usize>; 2],
}

impl Slots {
    pub(super) fn new(arrivals: impl Iterator<Item = f64>) -> Self {
        let mut slots =
            Self { events: BTreeMap::new(), number: 0, queues: Default::default(), running: Default::default() };
        arrivals.enumerate().for_each(|(i, at_s)| slots.at(at_s, Event::Arrives(i)));
        slots
    }

    pub(super) fn at(&mut self, at_s: f64, event: Event) {
        self.number += 1;
        self.events.insert(((at_s * 1e9).ceil() as u64, self.number), event);
    }

    pub(super) fn next(&mut self) -> Option<(f64, Event)> {
        self.events.pop_first().map(|((at_ns, _), event)| (at_ns as f64 / 1e9, event))
    }

    pub(super) fn queue(&mut self, i: usize, network: NetworkId) {
        self.queues[network.index()].push_back(i);
    }

    /// The next that gets a slot, if there is one and a slot is free.
    pub(super) fn take_next(&mut self, network: NetworkId, slots: usize) -> Option<usize> {
        let n = network.index();
        let i = if self.running[n].len() < slots { self.queues[n].pop_front() } else { None }?;
        self.running[n].push(i);
        Some(i)
    }

    pub(super) fn leave(&mut self, i: usize, network: NetworkId) {
        self.queues[network.index()].retain(|other| *other != i);
        self.running[network.index()].retain(|other| *other != i);
    }

    /// The view a sidecar would have: its own dispatches, and the wait that a replay of them gives.
    pub(super) fn seen_in(
        &self,
        mut view: View,
        shadow_room: bool,
        sent_s: impl Fn(usize) -> f64,
        predicted_s: impl Fn(usize, NetworkId) -> f64,
        now_s: f64,
    ) -> View {
        for network in [PRIVATE, PUBLIC] {
            let n = network.index();
            let entry = |i: &usize| Entry { started_s: sent_s(*i), predicted_s: predicted_s(*i, network) };
            let mut entries: Vec<Entry> = self.running[n].iter().chain(&self.queues[n]).map(entry).collect();
            entries.sort_by(|a, b| a.started_s.total_cmp(&b.started_s));
            let state = &mut view.state[network];
            state.in_flight = entries.len() as u32;
            state.wait_s = ledger::wait_s(&entries, 0, state.capacity, 8.0, now_s);
            state.shadow_room = shadow_room && state.in_flight < state.capacity;
        }
        view
    }
}
