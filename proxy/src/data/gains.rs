//! What finding inputs warm has been worth, by network and class.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use policy::inputs::gain::{Gain, Read};
use policy::{ClassId, NetworkId};

use super::attendance::Seen;

/// The most that are told apart; classes are bounded, but not by as little.
const GAINS_MOST: usize = 4096;

/// By network and class.
#[derive(Debug, Default)]
pub(crate) struct Gains(Mutex<BTreeMap<(NetworkId, ClassId), Gain>>);

impl Gains {
    /// A job has ended there, having read this. What it has saved, if that can be said.
    pub(crate) fn job(&self, on: NetworkId, class: ClassId, read: Read, took_s: f64) -> Option<f64> {
        let mut gains = self.0.lock();
        if gains.len() >= GAINS_MOST && !gains.contains_key(&(on, class)) {
            return None;
        }
        gains.entry((on, class)).or_default().job(read, took_s)
    }

    /// All of them, those with most bytes found warm first.
    pub(crate) fn all(&self) -> Vec<((NetworkId, ClassId), Gain)> {
        let mut all: Vec<_> = self.0.lock().iter().map(|(key, gain)| (*key, *gain)).collect();
        all.sort_by_key(|(_, gain)| std::cmp::Reverse(gain.read.hit_bytes));
        all
    }
}

/// What a job has read. What is hardly its own is not counted.
pub(crate) fn read(seen: &[Seen]) -> Read {
    let mut read = Read::default();
    for Seen { fetched, hit } in seen.iter().filter(|seen| seen.fetched.share >= 0.5) {
        let bytes = fetched.bytes.unwrap_or(0);
        let (count, sum) =
            if *hit { (&mut read.hits, &mut read.hit_bytes) } else { (&mut read.misses, &mut read.missed_bytes) };
        *count += 1;
        *sum = sum.saturating_add(bytes);
    }
    read
}
