//! Counters without neighbours: each thread adds to cells of its own, and a scrape sums them.
//!
//! A job counts a dozen things. On one shared cell each of these additions would first fetch the cache line from the
//! worker that counted last; here a worker finds its lines where it left them. Scrapes are rare and pay for it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads beyond this many share cells, which costs them time, not counts.
const SHARDS: usize = 8;
/// Cells in one cache line.
const PER_LINE: usize = 8;

/// A cache line of cells, all of one thread.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; PER_LINE]);

/// A fixed number of counters, all 0 at first.
#[derive(Debug)]
pub(super) struct Cells {
    lines: Box<[Line]>,
    lines_per_shard: usize,
}

impl Cells {
    pub(super) fn new(count: usize) -> Self {
        let lines_per_shard = count.div_ceil(PER_LINE);
        Self { lines: (0..SHARDS * lines_per_shard).map(|_| Line::default()).collect(), lines_per_shard }
    }

    /// Adds `by` to the counter at `place`; a place beyond the last is left out.
    #[inline]
    pub(super) fn add(&self, place: usize, by: u64) {
        debug_assert!(place / PER_LINE < self.lines_per_shard, "a counter is added to that was never made");
        if let Some(line) = self.lines.get(shard() * self.lines_per_shard + place / PER_LINE) {
            line.0[place % PER_LINE].fetch_add(by, Relaxed);
        }
    }

    /// What the counter at `place` has come to. It wraps, so that what was subtracted (added as its complement) is gone.
    pub(super) fn sum(&self, place: usize) -> u64 {
        (0..SHARDS)
            .filter_map(|shard| self.lines.get(shard * self.lines_per_shard + place / PER_LINE))
            .fold(0, |sum, line| sum.wrapping_add(line.0[place % PER_LINE].load(Relaxed)))
    }
}

/// Which shard this thread adds to.
#[inline]
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNSET: usize = usize::MAX;
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(UNSET) };
    }
    let mine = MINE.get();
    if mine != UNSET {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Relaxed) % SHARDS;
    MINE.set(mine);
    mine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_addition_of_every_thread_is_in_the_sum() {
        let cells = Cells::new(11);
        std::thread::scope(|scope| {
            for _ in 0..SHARDS + 3 {
                scope.spawn(|| (0..1000).for_each(|_| cells.add(10, 3)));
            }
        });
        assert_eq!(cells.sum(10), 3 * 1000 * (SHARDS as u64 + 3));
        assert_eq!(cells.sum(9), 0);
    }

    #[test]
    fn what_one_thread_subtracts_is_missing_from_what_another_added() {
        let cells = Cells::new(1);
        std::thread::scope(|scope| {
            scope.spawn(|| cells.add(0, 5));
            scope.spawn(|| cells.add(0, 2_u64.wrapping_neg()));
        });
        assert_eq!(cells.sum(0), 3);
    }
}
