//! Which replica of a network gets the jobs that read the same thing: the one that has it.
//!
//! Consistent hashing, so that a replica that comes or goes moves only its own part of the inputs, and every sidecar that
//! knows the same replicas sends there without a word between them. With bounded loads (Mirrokni, Thorup and Zadimoghaddam,
//! SODA 2018): a replica that has a quarter more than its part passes a job on to the next on the ring, so one hot input does
//! not fill one replica while others are idle.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};

use pingora_ketama::{Bucket, Continuum};
use sha2::{Digest, Sha256};

/// What a replica may have of the mean.
const OVER_MEAN: f64 = 1.25;

/// The replicas of a network on a ring.
pub(super) struct Ring {
    continuum: Continuum,
    places: HashMap<SocketAddr, usize>,
}

impl Ring {
    /// A ring of replicas that are called so: by what all sidecars call them.
    pub(super) fn of(labels: impl Iterator<Item = String>) -> Self {
        // Ketama knows its nodes by an address. A name may lead to any, so it is made into one that never changes.
        let places: HashMap<SocketAddr, usize> =
            labels.enumerate().map(|(place, label)| (point(&label), place)).collect();
        let mut buckets: Vec<&SocketAddr> = places.keys().collect();
        buckets.sort_unstable();
        let buckets: Vec<Bucket> = buckets.into_iter().map(|point| Bucket::new(*point, 1)).collect();
        Self { continuum: Continuum::new(&buckets), places }
    }

    /// The first replica for `key` that takes jobs and has room, with `in_flight` by place; `None` for one that takes none.
    pub(super) fn holder(&self, key: &[u8], in_flight: &[Option<u32>]) -> Option<usize> {
        let taking = in_flight.iter().flatten();
        let (count, sum) = taking.fold((0_u32, 0_u32), |(count, sum), load| (count + 1, sum.saturating_add(*load)));
        if count == 0 {
            return None;
        }
        let most = (OVER_MEAN * f64::from(sum.saturating_add(1)) / f64::from(count)).ceil();
        let mut tried = vec![false; in_flight.len()];
        let on_ring = self.continuum.node_iter(key).filter_map(|point| self.places.get(point).copied());
        let mut first_seen =
            on_ring.filter(|place| tried.get_mut(*place).is_some_and(|tried| !std::mem::replace(tried, true)));
        first_seen.find(|place| in_flight[*place].is_some_and(|load| f64::from(load) < most))
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("replicas", &self.places.len()).finish_non_exhaustive()
    }
}

fn point(label: &str) -> SocketAddr {
    let digest = Sha256::digest(label.as_bytes());
    let bits = digest.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    SocketAddr::from((Ipv6Addr::from_bits(bits), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(replicas: usize) -> Ring {
        Ring::of((0..replicas).map(|at| format!("replica-{at}:8081")))
    }

    fn holders(ring: &Ring, idle: &[Option<u32>]) -> Vec<usize> {
        (0..2000_u32).map(|key| ring.holder(&key.to_be_bytes(), idle).expect("one takes jobs")).collect()
    }

    #[test]
    fn each_has_its_part_and_keeps_it_when_another_goes() {
        let all = holders(&ring(4), &[Some(0); 4]);
        for place in 0..4 {
            let part = all.iter().filter(|holder| **holder == place).count();
            assert!((300..800).contains(&part), "{place}: {part} of 2000");
        }
        // The last one goes, or only takes no jobs: what the others had stays with them.
        let gone = holders(&ring(3), &[Some(0); 3]);
        let shut = holders(&ring(4), &[Some(0), Some(0), Some(0), None]);
        for ((before, gone), shut) in all.iter().zip(gone).zip(shut) {
            if *before < 3 {
                assert_eq!((gone, shut), (*before, *before));
            } else {
                assert_eq!(gone, shut);
            }
        }
        assert_eq!(ring(2).holder(b"x", &[None, None]), None);
    }

    #[test]
    fn one_hot_input_does_not_fill_one_replica() {
        let ring = ring(4);
        let mut in_flight = [0_u32; 4];
        for _ in 0..100 {
            let place = ring.holder(b"hot", &in_flight.map(Some)).expect("all take jobs");
            in_flight[place] += 1;
        }
        assert!(in_flight.iter().all(|load| *load <= 32), "{in_flight:?}");
        let first = ring.holder(b"hot", &[Some(0); 4]).expect("all take jobs");
        assert_eq!(in_flight[first], *in_flight.iter().max().expect("four"), "and it still has most");
    }
}
