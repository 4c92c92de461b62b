//! One sidecar: what it knows of the networks, and its model, which starts cold and is grown again as the proxy does it.
//!
//! Ledgers, budgets, windows and fits are `policy`'s own; this is only the glue that the proxy has between them (its
//! `upstream` and `oracle`), in virtual time.

use std::sync::Arc;

use policy::budget::{Load, ShadowBudget};
use policy::forecast::Forecast;
use policy::herd::Others;
use policy::learn::{Learner, Pace, Row};
use policy::ledger::{self, Entry, Ledger};
use policy::units::MAX_NETWORKS;
use policy::view::{NetworkView, Price, Pricing, ShadowLimits, View};
use policy::watchdog::Watchdog;
use policy::{Caps, LevelCaps, Levels, Model, NetworkId, PerNetwork, Prediction};

use super::Part;
use super::census::Each;
use super::ground::Ground;
use super::lots::Lot;
use super::world::World;

/// What one sidecar knows.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) ledgers: Vec<Ledger>,
    budgets: Vec<ShadowBudget>,
    others: Vec<Others>,
    forecasts: Vec<Forecast>,
    pub(super) model: Option<Model>,
    learner: Learner,
    /// Compares the policy with *spill when full* on a share of the jobs.
    pub(super) watchdog: Watchdog,
    labels: u64,
    version: Option<u64>,
    without: Option<Part>,
}

/// The network at a place.
pub(super) const fn id(network: usize) -> NetworkId {
    NetworkId::new(network).expect("a world has no more networks than there may be")
}

impl Sidecar {
    pub(super) fn new(world: &World, without: Option<Part>) -> Self {
        let of = &world.adumbra;
        let pace = Pace { first_after: of.first_after, refit_after: of.refit_after, refit_every_s: of.refit_every_s };
        let budget = ShadowBudget::new(world.adumbra.shadows_in_flight, world.adumbra.shadows_per_s, f64::INFINITY)
            .within(world.adumbra.shadows_share);
        Self {
            ledgers: world.networks.iter().map(|place| Ledger::new(place.slots)).collect(),
            budgets: vec![budget; world.networks.len()],
            others: vec![Others::default(); world.networks.len()],
            forecasts: vec![Forecast::default(); world.networks.len()],
            model: None,
            learner: Learner::new(pace, of.window),
            watchdog: Watchdog::new(if without == Some(Part::Watchdog) { 0.0 } else { of.guard_share }),
            labels: 0,
            version: None,
            without,
        }
    }

    /// A load report is here: what others have on each network, and what we had there when it was made.
    pub(super) fn hear(&mut self, world: &World, others: &Each, ours: &Each, now_s: f64) {
        for (n, place) in world.networks.iter().enumerate() {
            self.ledgers[n].holds(place.slots, others[n], now_s);
            self.others[n].report(others[n], ours[n], now_s);
        }
    }

    /// Jobs of others there, as far as they can be told without a job's own draw.
    pub(super) fn others_on(&self, network: usize) -> u32 {
        self.others[network].now_expected(self.ledgers[network].len())
    }

    /// What it knows of all networks, for one job.
    pub(super) fn view(&mut self, ground: &Ground<'_>, lot: &Lot) -> View {
        let world = ground.world;
        let mut state = PerNetwork([NetworkView::default(); MAX_NETWORKS]);
        for (n, place) in world.networks.iter().enumerate() {
            let ledger = &mut self.ledgers[n];
            let others = self.others[n].now(ledger.len(), id(n), lot.job.draw, ground.now_s);
            let in_flight = ledger.len().saturating_add(others);
            self.forecasts[n].observe(f64::from(in_flight), ground.now_s);
            let mut correction = self.learner.residuals().correction(lot.job.class, id(n));
            if self.without == Some(Part::Calibration) {
                correction.widened = 0.0;
            }
            let typical_s = ledger.typical_s();
            let wait_s = if in_flight >= place.slots {
                ledger::wait_s(ledger.entries(), others, place.slots, typical_s, ground.now_s)
            } else {
                0.0
            };
            let load = load(world, in_flight, n);
            let has_room = self.without != Some(Part::Shadow) && self.budgets[n].would_spend(0, load, ground.now_s);
            let congestion = if self.without == Some(Part::Congestion) { 0.0 } else { place.congestion };
            state[id(n)] = NetworkView {
                healthy: true,
                in_flight,
                capacity: place.slots,
                wait_s,
                rtt_s: place.rtt_ms / 1e3,
                link_bytes_per_s: if n == 0 { 0.0 } else { world.wan_bytes_per_s() },
                link_queued_bytes: if n == 0 { 0.0 } else { ground.queued_bytes(lot, n) },
                shadow_room: has_room,
                warm_bytes: ground.warm_bytes(lot, n),
                // Inputs come over the link there.
                fetch_bytes_per_s: None,
                price: Price {
                    per_slot_s: place.price_per_slot_s,
                    per_gib_moved: place.price_per_gib,
                    congestion,
                    congestion_from: place.congestion_from,
                    ..Price::default()
                },
                spend_left: None,
                outlook: self.forecasts[n].outlook(ground.now_s),
                correction,
            };
        }
        View {
            home: id(0),
            networks: (0..world.networks.len()).map(id).collect(),
            state,
            pricing: Pricing { time_value_per_s: world.time_value_per_s },
            shadowing: limits(world),
        }
    }

    /// Whether a shadow may start, which spends its permit.
    pub(super) fn spend(&mut self, network: usize, load: Load, now_s: f64) -> bool {
        self.budgets[network].spend(0, load, now_s).is_ok()
    }

    /// How many shadows there must go.
    pub(super) fn to_shed(&self, network: usize, load: Load) -> u32 {
        self.budgets[network].to_shed(load)
    }

    pub(super) fn shadow_ended(&mut self, network: usize) {
        self.budgets[network].ended();
    }

    pub(super) fn enter(&mut self, network: usize, predicted_s: f64, now_s: f64) -> u64 {
        self.forecasts[network].began(now_s);
        self.ledgers[network].enter(Entry { started_s: now_s, predicted_s })
    }

    /// Takes a dispatch off; says when it began, as far as can be told.
    pub(super) fn leave(&mut self, network: usize, entry: u64, now_s: f64) -> Option<f64> {
        self.forecasts[network].ended(now_s);
        self.ledgers[network].leave(entry, now_s)
    }

    /// Takes a label in, with what was foreseen of it if its job is over, and grows a model if it is time.
    pub(super) fn learn(&mut self, mut row: Row, foreseen: Option<&Prediction>, now_s: f64) {
        self.labels += 1;
        if self.without == Some(Part::Pairing) {
            row.pair = u64::MAX - self.labels;
        }
        if self.learner.take_beside(row, foreseen).is_err() {
            return;
        }
        if self.learner.is_due(now_s) {
            self.learner.attempting(now_s);
            if let Ok(model) = self.learner.grow(id(0)) {
                self.learner.put_in_force(model);
            }
        }
        // What is in force is a new one, or an old one again.
        let version = self.learner.in_force().map(|model| model.version());
        if version != self.version {
            self.version = version;
            let calibrated = self.without != Some(Part::Calibration);
            let of = |model: &Arc<Model>| if calibrated { Model::clone(model) } else { model.uncalibrated() };
            self.model = self.learner.in_force().map(of);
        }
    }
}

/// How full a network is for shadows, as the proxy counts it: one on a worker of its own needs no slot.
pub(super) fn load(world: &World, in_flight: u32, network: usize) -> Load {
    Load { in_flight, capacity: if world.adumbra.shadows_apart { 0 } else { world.networks[network].slots } }
}

fn limits(world: &World) -> ShadowLimits {
    let of = &world.adumbra;
    let caps = |cpu_share| Caps { cpu_share, memory_bytes: 1 << 30, bytes_per_s: 4e6, window_s: of.window_most_s };
    ShadowLimits {
        window_share: of.window_share,
        window_min_s: of.window_min_s,
        worthwhile_s: of.worthwhile_s,
        sample_share: of.sample_share,
        sample_window_s: of.sample_window_s,
        explore_share: of.explore_share,
        levels: Levels::default(),
        caps: LevelCaps { low: caps(0.1), medium: caps(0.25), high: caps(0.5) },
    }
}
