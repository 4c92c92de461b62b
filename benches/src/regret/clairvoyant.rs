//! Who knows every true time, every queue and every transfer, and prices what it takes from the jobs that come after.
//!
//! It places each job once, at the least of time, money and a congestion price λ·x at home, x being the job's true time there.
//! The best λ and the load from which it is asked are found afterwards, run by run. It is the yardstick, not a bound: an arm
//! that beats it has found a fault of the bench, which is why the bench fails then.

use super::ground::Ground;
use super::lots::Lot;

/// A congestion price: as a share of the value of time at the default urgency, and the load it begins at.
#[derive(Clone, Copy, Debug)]
pub struct Toll {
    /// The most.
    pub most: f64,
    /// The load it begins at.
    pub from: f64,
    /// The load at which it is asked in full.
    pub full: f64,
}

/// Every toll that is tried.
pub(super) fn tolls() -> Vec<Toll> {
    let mut tolls = vec![Toll { most: 0.0, from: 0.0, full: 1.0 }];
    for (from, full) in [(0.6, 1.0), (0.2, 1.0), (0.85, 1.0), (0.6, 2.0)] {
        for most in [0.15, 0.3, 0.45, 0.6, 0.8, 1.1, 1.5, 2.2] {
            tolls.push(Toll { most, from, full });
        }
    }
    tolls
}

/// The network of the least true cost.
pub(super) fn choose(ground: &Ground<'_>, lot: &Lot, toll: &Toll) -> usize {
    let world = ground.world;
    let cost = |n: usize| {
        let place = &world.networks[n];
        let moving_s = ground.true_moving_s(lot, n);
        let wait_s = ground.true_wait_s(n, moving_s);
        let runs_s = lot.takes_s(n, ground.now_s + wait_s);
        let back_s = if n == 0 { 0.0 } else { place.rtt_ms / 2e3 + lot.response_bytes / world.wan_bytes_per_s() };
        let load = ground.leads_on(n).count() as f64 / f64::from(place.slots);
        let share = ((load - toll.from) / (toll.full - toll.from)).clamp(0.0, 1.0);
        let congestion = if n == 0 { toll.most * world.time_value_per_s[3] * share } else { 0.0 };
        lot.value_per_s * (wait_s + runs_s + back_s) + (place.price_per_slot_s + congestion) * runs_s
    };
    let costs: Vec<f64> = (0..world.networks.len()).map(cost).collect();
    (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0)
}
