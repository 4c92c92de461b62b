//! One sidecar: what it knows of the networks, and its model, which starts cold and is grown again as the proxy does it.
//!
//! Ledgers, budgets, windows and fits are `policy`'s own; this is only the glue that the proxy has between them (its
//! `upstream` and `oracle`), in virtual time.

use policy::budget::{Load, ShadowBudget};
use policy::learn::{Row, Window, refit};
use policy::ledger::{self, Entry, Ledger};
use policy::units::MAX_NETWORKS;
use policy::view::{NetworkView, Price, Pricing, ShadowLimits, View};
use policy::{Caps, LevelCaps, Levels, Model, NetworkId, PerNetwork};

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
    pub(super) model: Option<Model>,
    window: Window,
    fresh: usize,
    attempted_s: Option<f64>,
    without: Option<Part>,
}

/// The network at a place.
pub(super) const fn id(network: usize) -> NetworkId {
    NetworkId::new(network).expect("a world has no more networks than there may be")
}

impl Sidecar {
    pub(super) fn new(world: &World, without: Option<Part>) -> Self {
        let budget = ShadowBudget::new(world.adumbra.shadows_in_flight, world.adumbra.shadows_per_s, f64::INFINITY)
            .within(world.adumbra.shadows_share);
        Self {
            ledgers: world.networks.iter().map(|place| Ledger::new(place.slots)).collect(),
            budgets: vec![budget; world.networks.len()],
            model: None,
            window: Window::new(world.adumbra.window),
            fresh: 0,
            attempted_s: None,
            without,
        }
    }

    /// A load report is here.
    pub(super) fn hear(&mut self, world: &World, others: &Each, now_s: f64) {
        for ((ledger, place), others) in self.ledgers.iter_mut().zip(&world.networks).zip(others) {
            ledger.holds(place.slots, *others, now_s);
        }
    }

    /// What it knows of all networks, for one job.
    pub(super) fn view(&mut self, ground: &Ground<'_>, lot: &Lot, others: &Each) -> View {
        let world = ground.world;
        let mut state = PerNetwork([NetworkView::default(); MAX_NETWORKS]);
        for (n, place) in world.networks.iter().enumerate() {
            let ledger = &mut self.ledgers[n];
            let in_flight = ledger.len().saturating_add(others[n]);
            let typical_s = ledger.typical_s();
            let wait_s = if in_flight >= place.slots {
                ledger::wait_s(ledger.entries(), others[n], place.slots, typical_s, ground.now_s)
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
                price: Price {
                    per_slot_s: place.price_per_slot_s,
                    per_gib_moved: place.price_per_gib,
                    congestion,
                    congestion_from: place.congestion_from,
                    ..Price::default()
                },
                spend_left: None,
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
        self.ledgers[network].enter(Entry { started_s: now_s, predicted_s })
    }

    /// Takes a label in, and grows a model if it is time.
    pub(super) fn learn(&mut self, world: &World, mut row: Row, now_s: f64) {
        if self.without == Some(Part::Pairing) {
            row.pair = u64::MAX - self.window.taken();
        }
        if self.window.push(row).is_err() {
            return;
        }
        self.fresh += 1;
        let of = &world.adumbra;
        let is_due = match self.attempted_s {
            None => self.window.len() >= of.first_after,
            Some(at_s) => self.fresh >= of.refit_after && now_s - at_s >= of.refit_every_s,
        };
        if !is_due {
            return;
        }
        (self.fresh, self.attempted_s) = (0, Some(now_s));
        if let Ok(model) = refit(&self.window, id(0), self.model.as_ref()) {
            self.model = Some(if self.without == Some(Part::Calibration) { model.uncalibrated() } else { model });
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
