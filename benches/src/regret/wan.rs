//! The one link that everything between home and the other networks shares, and the data that need not cross it again.

use std::collections::BTreeMap;

use super::world::{Sharing, World};

/// What a transfer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freight {
    /// A run's request.
    Body(usize),
    /// An input, to a network.
    Data(usize, u32),
    /// A run's answer.
    Answer(usize),
}

/// Transfers under way.
#[derive(Debug)]
pub(super) struct Wan {
    bytes_per_s: f64,
    sharing: Sharing,
    flows: Vec<(Freight, f64)>,
    at_s: f64,
    /// Counts changes, so that an event made before one is known to be stale.
    pub(super) turn: u64,
}

/// Less than this is nothing: it is what rounding leaves of a transfer.
const CRUMB_BYTES: f64 = 1e-3;

impl Wan {
    pub(super) fn new(world: &World) -> Self {
        Self { bytes_per_s: world.wan_bytes_per_s(), sharing: world.wan.sharing, flows: Vec::new(), at_s: 0.0, turn: 0 }
    }

    pub(super) fn start(&mut self, freight: Freight, bytes: f64, now_s: f64) {
        self.advance(now_s);
        self.flows.push((freight, bytes.max(1.0)));
        self.turn += 1;
    }

    pub(super) fn cancel(&mut self, freight: Freight, now_s: f64) {
        self.advance(now_s);
        self.flows.retain(|(of, _)| *of != freight);
        self.turn += 1;
    }

    /// When the next transfer ends, if nothing changes.
    pub(super) fn next_s(&self) -> Option<f64> {
        let left = match self.sharing {
            Sharing::Fifo => self.flows.first()?.1,
            Sharing::Fair => self.flows.iter().map(|(_, left)| *left).reduce(f64::min)? * self.flows.len() as f64,
        };
        Some(self.at_s + left / self.bytes_per_s)
    }

    /// Takes out what has arrived by `now_s`.
    pub(super) fn arrived(&mut self, now_s: f64) -> Vec<Freight> {
        self.advance(now_s);
        let here: Vec<Freight> =
            self.flows.iter().filter(|(_, left)| *left <= CRUMB_BYTES).map(|(freight, _)| *freight).collect();
        self.flows.retain(|(_, left)| *left > CRUMB_BYTES);
        self.turn += 1;
        here
    }

    /// Bytes that go before `bytes` more, or beside them while they are on their way, if nothing else comes.
    pub(super) fn ahead_of(&self, bytes: f64) -> f64 {
        self.flows.iter().map(|(_, left)| if self.sharing == Sharing::Fair { left.min(bytes) } else { *left }).sum()
    }

    /// What is left of a transfer.
    pub(super) fn left(&self, freight: Freight) -> Option<f64> {
        self.flows.iter().find(|(of, _)| *of == freight).map(|(_, left)| *left)
    }

    pub(super) const fn bytes_per_s(&self) -> f64 {
        self.bytes_per_s
    }

    fn advance(&mut self, now_s: f64) {
        let mut moved = (now_s - self.at_s).max(0.0) * self.bytes_per_s;
        self.at_s = self.at_s.max(now_s);
        match self.sharing {
            Sharing::Fair if !self.flows.is_empty() => {
                let each = moved / self.flows.len() as f64;
                self.flows.iter_mut().for_each(|(_, left)| *left -= each);
            }
            Sharing::Fair => {}
            Sharing::Fifo => {
                for (_, left) in &mut self.flows {
                    let of_this = moved.min(*left);
                    *left -= of_this;
                    moved -= of_this;
                }
            }
        }
    }
}

/// A network's store of inputs: what was used longest ago goes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    most_bytes: f64,
    held_bytes: f64,
    uses: u64,
    /// Bytes and last use, of what is here.
    here: BTreeMap<u32, (f64, u64)>,
    /// Who waits for what is on its way.
    pub(super) coming: BTreeMap<u32, Vec<usize>>,
}

impl Cache {
    pub(super) fn new(most_bytes: f64) -> Self {
        Self { most_bytes, ..Self::default() }
    }

    pub(super) fn holds(&self, key: u32) -> bool {
        self.here.contains_key(&key)
    }

    pub(super) fn touch(&mut self, key: u32) {
        self.uses += 1;
        if let Some((_, used)) = self.here.get_mut(&key) {
            *used = self.uses;
        }
    }

    /// Keeps an input that has arrived, and says who waited for it.
    pub(super) fn keep(&mut self, key: u32, bytes: f64) -> Vec<usize> {
        self.uses += 1;
        if self.here.insert(key, (bytes, self.uses)).is_none() {
            self.held_bytes += bytes;
        }
        while self.held_bytes > self.most_bytes && self.here.len() > 1 {
            let Some(oldest) = self.here.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key) else { break };
            self.held_bytes -= self.here.remove(&oldest).map_or(0.0, |(bytes, _)| bytes);
        }
        self.coming.remove(&key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wan(sharing: Sharing) -> Wan {
        let mut world = World::default();
        (world.wan.bits_per_s, world.wan.sharing) = (800.0, sharing);
        Wan::new(&world)
    }

    /// When each of three transfers ends.
    fn ends(sharing: Sharing) -> Vec<(Freight, f64)> {
        let mut wan = wan(sharing);
        wan.start(Freight::Body(0), 100.0, 0.0);
        wan.start(Freight::Body(1), 300.0, 0.0);
        wan.start(Freight::Body(2), 200.0, 1.0);
        let mut ends = Vec::new();
        while let Some(at_s) = wan.next_s() {
            ends.extend(wan.arrived(at_s).into_iter().map(|freight| (freight, at_s)));
        }
        ends
    }

    #[test]
    fn a_fair_link_is_shared_and_a_queue_is_not() {
        // 100 bytes a second. Fair: two at 50, from 1 s on three at 33 until the first is done.
        let fair = ends(Sharing::Fair);
        assert_eq!(fair.iter().map(|(freight, _)| *freight).collect::<Vec<_>>(), [0, 2, 1].map(Freight::Body));
        assert!((fair[0].1 - 2.5).abs() < 1e-6 && (fair[2].1 - 6.0).abs() < 1e-6, "{fair:?}");
        let fifo = ends(Sharing::Fifo);
        assert_eq!(fifo.iter().map(|(freight, _)| *freight).collect::<Vec<_>>(), [0, 1, 2].map(Freight::Body));
        assert!((fifo[0].1 - 1.0).abs() < 1e-6 && (fifo[2].1 - 6.0).abs() < 1e-6, "{fifo:?}");
    }

    #[test]
    fn a_full_cache_lets_go_what_was_used_longest_ago() {
        let mut cache = Cache::new(100.0);
        cache.keep(1, 50.0);
        cache.keep(2, 50.0);
        cache.touch(1);
        cache.keep(3, 40.0);
        assert!(cache.holds(1) && !cache.holds(2) && cache.holds(3));
    }
}
