//! Who knows every true time, every queue and every transfer, and prices what it takes from the jobs that come after.
//!
//! It places each job once, at the least of time, money, and prices on what the next jobs may want: λ·x at home, x being the
//! job's true time there; x times the length of the queue, wherever there is one; and each second of the shared link. The best
//! prices are found afterwards, run by run. It is the yardstick, not a bound: an arm
//! that beats it has found a fault of the bench, which is why the bench fails then.

use super::ground::Ground;
use super::lots::Lot;

/// What is asked for taking what the next job may want: as shares of the value of time at the default urgency.
#[derive(Clone, Copy, Debug)]
pub struct Toll {
    /// For a second of a full home, at the most.
    pub most: f64,
    /// The load of home that it begins at.
    pub from: f64,
    /// The one at which it is asked in full.
    pub full: f64,
    /// For a second of a slot of any network that has a queue, for each job that the queue is long: whoever comes until it is
    /// empty again waits longer.
    pub queue: f64,
    /// For a second of the link.
    pub link: f64,
    /// How much of what moving an input costs is given back for the jobs that will find it there.
    pub reuse: f64,
}

/// None at all: where the search begins.
const FREE: Toll = Toll { most: 0.0, from: 0.6, full: 1.0, queue: 0.0, link: 0.0, reuse: 0.0 };
const MOST: [f64; 9] = [0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.1, 1.5, 2.2];
const RANGES: [(f64, f64); 4] = [(0.6, 1.0), (0.2, 1.0), (0.85, 1.0), (0.6, 2.0)];
const QUEUE: [f64; 7] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
const LINK: [f64; 7] = [0.0, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0];
const REUSE: [f64; 4] = [0.0, 0.5, 1.0, 2.0];

/// The tolls to try beside the best so far, one price at a time.
pub(super) fn tolls(best: Option<Toll>, has_data: bool) -> Vec<Toll> {
    let Some(best) = best else {
        let home = |(from, full)| MOST.map(|most| Toll { most, from, full, ..FREE });
        return RANGES.into_iter().flat_map(home).collect();
    };
    let mut tolls = QUEUE.map(|queue| Toll { queue, ..best }).to_vec();
    tolls.extend(MOST.map(|most| Toll { most, ..best }));
    if has_data {
        tolls.extend(LINK.map(|link| Toll { link, ..best }));
        tolls.extend(REUSE.map(|reuse| Toll { reuse, ..best }));
    }
    tolls
}

/// The network of the least true cost. `typical_s` is what a job takes at home on average.
pub(super) fn choose(ground: &Ground<'_>, lot: &Lot, toll: &Toll, typical_s: f64) -> usize {
    let world = ground.world;
    let cost = |n: usize| {
        let place = &world.networks[n];
        let moving_s = ground.true_moving_s(lot, n);
        let wait_s = ground.true_wait_s(n, moving_s);
        let runs_s = lot.takes_s(n, ground.now_s + wait_s);
        let back_s = if n == 0 { 0.0 } else { place.rtt_ms / 2e3 + lot.response_bytes / world.wan_bytes_per_s() };
        let load = ground.leads_on(n).count() as f64 / f64::from(place.slots);
        let share = ((load - toll.from) / (toll.full - toll.from)).clamp(0.0, 1.0);
        let usual = world.time_value_per_s[3];
        let full = if n == 0 { toll.most * share } else { 0.0 };
        let congestion = usual * (full + toll.queue * (wait_s - moving_s) / typical_s);
        let crosses = if n == 0 { 0.0 } else { ground.to_cross(lot, n) };
        let again = toll.reuse * (1.0 - 1.0 / f64::from(lot.uses.max(1)));
        let link = (toll.link - again) * usual * crosses / world.wan_bytes_per_s();
        link + lot.value_per_s * (wait_s + runs_s + back_s) + (place.price_per_slot_s + congestion) * runs_s
    };
    let costs: Vec<f64> = (0..world.networks.len()).map(cost).collect();
    (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0)
}
