//! What the store keeps and lets go of.

use std::time::Duration;

use bytes::Bytes;
use config::value::Origin;
use http::uri::{PathAndQuery, Scheme};
use proptest::prelude::*;

use super::*;
use crate::data::object::tests::object;
use crate::metrics::Metrics;
use crate::spool::budget::Budget;

fn key(number: usize) -> Key {
    let origin = Origin { scheme: Scheme::HTTP, host: "data.example".into(), port: 80 };
    Key { origin: Arc::new(origin), path: PathAndQuery::try_from(format!("/{number}")).expect("a path") }
}

struct Setting {
    store: Store,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

impl Setting {
    fn new(bytes: usize) -> Self {
        let metrics = Arc::new(Metrics::new(&[]));
        Self { store: Store::new(bytes, bytes, Arc::clone(&metrics)), budget: Budget::new(1 << 30), metrics }
    }

    fn put(&self, number: usize, len: usize, purpose: Purpose) {
        let object = object(Some(len as u64), purpose, &self.budget, &self.metrics).expect("room");
        assert_eq!(object.append(&Bytes::from(vec![number as u8; len])), Ok(()));
        object.finish();
        self.store.put(&key(number), Arc::new(object), purpose);
    }

    fn has(&self, number: usize) -> bool {
        self.store.fresh(&key(number), Instant::now()).is_some()
    }
}

#[test]
fn what_is_put_is_found_until_it_is_stale() {
    let setting = Setting::new(1 << 20);
    setting.put(1, 1000, Purpose::Serve);
    assert!(setting.has(1) && !setting.has(2));
    assert!(setting.store.fresh(&key(1), Instant::now() + Duration::from_secs(56)).is_none());
}

#[test]
fn an_object_replaces_the_one_before_it() {
    let setting = Setting::new(1 << 20);
    setting.put(1, 1000, Purpose::Serve);
    setting.put(1, 3000, Purpose::Serve);
    let stats = setting.metrics.data.so_far();
    assert_eq!((stats.held, stats.held_bytes), (1, 3000));
    assert!(setting.budget.used_bytes() < 5000, "the first one's memory is free at once");
    assert_eq!(setting.store.fresh(&key(1), Instant::now()).expect("kept").len(), 3000);
}

#[test]
fn what_was_warmed_is_kept_however_popular_the_rest_is() {
    let setting = Setting::new(64 << 10);
    for number in 0..6 {
        setting.put(number, 8 << 10, Purpose::Serve);
        for _ in 0..10 {
            assert!(setting.has(number));
        }
    }
    for number in 10..13 {
        setting.put(number, 8 << 10, Purpose::Warm);
        assert!(setting.has(number));
    }
}

#[test]
fn what_nobody_reads_takes_no_more_than_half_of_the_room_from_what_is_used() {
    let setting = Setting::new(1 << 20);
    // One use does not make an object popular: a flood of others would push it out.
    for number in 0..40 {
        setting.put(number, 8 << 10, Purpose::Serve);
        assert!(setting.has(number));
    }
    for number in 1000..2000 {
        setting.put(number, 8 << 10, Purpose::Warm);
    }
    let kept = |numbers: std::ops::Range<usize>| numbers.filter(|number| setting.has(*number)).count();
    assert_eq!(kept(0..40), 40);
    let unread = kept(1000..2000);
    assert!((40..=56).contains(&unread), "{unread} objects of 9 KiB that nobody reads are kept");
}

#[test]
fn what_takes_most_of_the_room_is_not_kept() {
    let setting = Setting::new(64 << 10);
    setting.put(1, 1000, Purpose::Serve);
    // TinyUFO would keep both of them, since the first one is too small to be dropped from its small queue.
    setting.put(2, 62_000, Purpose::Serve);
    setting.put(3, 100_000, Purpose::Serve);
    assert!(setting.has(1) && !setting.has(2) && !setting.has(3));
    assert_eq!(setting.metrics.data.so_far().held, 1);
}

#[test]
fn threads_that_put_at_once_keep_the_bound() {
    let setting = Setting::new(256 << 10);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let setting = &setting;
            scope.spawn(move || {
                for round in 0..500 {
                    setting.put((round * 7 + thread) % 40, 500 + round * 13 % 20_000, Purpose::Serve);
                    setting.has(round % 40);
                }
            });
        }
    });
    assert!(setting.budget.used_bytes() <= 256 << 10, "{} bytes", setting.budget.used_bytes());
    let bytes: u64 =
        (0..40).filter_map(|number| setting.store.fresh(&key(number), Instant::now())).map(|object| object.len()).sum();
    assert_eq!(setting.metrics.data.so_far().held_bytes, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The bytes that are kept never go over the bound, and the counters say what they are.
    #[test]
    fn the_bound_is_hard(
        puts in prop::collection::vec((0_usize..30, 0_usize..40_000, any::<bool>(), any::<bool>()), 1..60),
        bytes in 20_000_usize..300_000,
    ) {
        let setting = Setting::new(bytes);
        for (number, len, warm, look) in puts {
            setting.put(number, len, if warm { Purpose::Warm } else { Purpose::Serve });
            if look {
                setting.has(number);
            }
            prop_assert!(setting.budget.used_bytes() <= bytes as u64, "{} bytes", setting.budget.used_bytes());
            let kept: Vec<u64> =
                (0..30).filter_map(|n| setting.store.fresh(&key(n), Instant::now())).map(|o| o.len()).collect();
            let stats = setting.metrics.data.so_far();
            prop_assert_eq!((stats.held, stats.held_bytes), (kept.len() as u64, kept.iter().sum::<u64>()));
        }
    }
}
