//! What can be asked of the ground without changing it: true waits and transfers, for one who knows all, and what a sidecar
//! may know of the link and of a network's data.

use super::{Ground, Run};
use crate::regret::lots::Lot;
use crate::regret::wan::Freight;

impl Ground<'_> {
    /// Jobs that have a slot of a network, wait for one, or are on their way there.
    pub(in crate::regret) fn leads_on(&self, network: usize) -> impl Iterator<Item = &Run> {
        // Those on their way are few and young: they are among the last that were sent.
        let network_state = &self.networks[network];
        network_state.running.iter().chain(&network_state.queue).map(|run| &self.runs[*run])
    }

    /// Seconds from now until a job that arrives on a network `after_s` from now would get a slot, if nobody else comes.
    pub(in crate::regret) fn true_wait_s(&self, network: usize, after_s: f64) -> f64 {
        let place = &self.networks[network];
        let mut free: Vec<f64> =
            place.running.iter().map(|run| (self.runs[*run].end_s - self.now_s).max(0.0)).collect();
        free.resize(place.slots, 0.0);
        for run in &place.queue {
            let run = &self.runs[*run];
            let slot = earliest(&mut free);
            let takes_s = if run.takes_s.is_finite() {
                run.takes_s
            } else {
                self.lots[run.lot].takes_s(network, self.now_s + *slot)
            };
            *slot += (1.0 - run.done) * takes_s;
        }
        earliest(&mut free).max(after_s)
    }

    /// Seconds until everything that a job needs would be on a network, if nothing else were sent.
    pub(in crate::regret) fn true_moving_s(&self, lot: &Lot, network: usize) -> f64 {
        if network == 0 {
            return 0.0;
        }
        let body = lot.job.body_bytes.unwrap_or(0) as f64;
        let mut bytes = body + self.wan.ahead_of(body);
        if let Some(data) = lot.data.filter(|data| !self.networks[network].cache.holds(data.key)) {
            let left = self.wan.left(Freight::Data(network, data.key));
            let own = left.unwrap_or(data.bytes as f64);
            let others = self.wan.ahead_of(own) - left.unwrap_or(0.0);
            bytes = bytes.max(own + others + body);
        }
        (self.world.networks[network].rtt_ms / 2e3).max(bytes / self.wan.bytes_per_s())
    }

    /// Bytes of a job's data that are on a network, or will be without its doing.
    pub(in crate::regret) fn warm_bytes(&self, lot: &Lot, network: usize) -> u64 {
        let Some(data) = lot.data else { return 0 };
        if network == 0 || self.networks[network].cache.holds(data.key) {
            return data.bytes;
        }
        let left = self.wan.left(Freight::Data(network, data.key));
        left.map_or(0, |left| data.bytes.saturating_sub(left as u64))
    }

    /// Bytes that would go before a job's own on the link, or beside them.
    pub(in crate::regret) fn queued_bytes(&self, lot: &Lot, network: usize) -> f64 {
        let own = self.to_cross(lot, network);
        let moving = lot.data.and_then(|data| self.wan.left(Freight::Data(network, data.key))).unwrap_or(0.0);
        (self.wan.ahead_of(own) - moving).max(0.0)
    }

    /// Bytes that a job sent to a network would still need to move there.
    pub(in crate::regret) fn to_cross(&self, lot: &Lot, network: usize) -> f64 {
        let data = lot.data.map_or(0, |data| data.bytes) - self.warm_bytes(lot, network);
        lot.job.body_bytes.unwrap_or(0) as f64 + data as f64
    }
}

fn earliest(free: &mut [f64]) -> &mut f64 {
    let mut first = 0;
    for slot in 1..free.len() {
        if free[slot] < free[first] {
            first = slot;
        }
    }
    &mut free[first]
}
