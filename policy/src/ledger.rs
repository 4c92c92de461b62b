//! What this sidecar has in flight on one network, and how long a job sent now would wait there.
//!
//! The queue is replayed first come, first served, with what each dispatch is predicted to take still. A tree could learn
//! waiting from queue lengths, but it would learn the load of last week; the replay is right on the first job. A job that
//! has outlived its prediction is not about to end: times are skewed, and the longer it has run the longer it will run.
//!
//! Work is bounded whatever comes in: at most [`REPLAYED_MOST`] entries are looked at, in arrays on the stack, and what is
//! beyond them is taken to be like them.

mod own;

pub use own::Ledger;

/// One dispatch in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// When it was sent.
    pub started_s: f64,
    /// What it was predicted to take from its start, if anything was; NaN if not.
    pub predicted_s: f64,
}

/// The most entries that are replayed one by one.
pub const REPLAYED_MOST: usize = 256;
/// The most slots that are replayed one by one; a network with more is taken as a fluid.
const SLOTS_MOST: usize = 64;
/// The least a running job still needs, as a share of how long it has run: between the mean excess of the times measured
/// on real traces (0.2 to 0.5 of the time run) and the optimism that a queue needs to be used at all.
const OVERDUE_SHARE: f64 = 0.25;

/// Seconds a job sent at `now_s` would wait for one of `capacity` slots, by replaying `in_flight`, oldest first, first
/// come, first served. `others` counts jobs of other sidecars, of which nothing but the number is known: `typical_s` is
/// what a job takes. A capacity of 0 means not known: no wait.
#[must_use]
pub fn wait_s(in_flight: &[Entry], others: u32, capacity: u32, typical_s: f64, now_s: f64) -> f64 {
    let ahead = in_flight.len() + others as usize;
    if capacity == 0 || ahead < capacity as usize {
        return 0.0;
    }
    let typical_s = if typical_s.is_finite() { typical_s.max(0.0) } else { 0.0 };
    let replay = &in_flight[..in_flight.len().min(REPLAYED_MOST)];
    let left_out = (in_flight.len() - replay.len()) as f64;
    if capacity as usize > SLOTS_MOST {
        return fluid_wait_s(replay, ahead, capacity, typical_s, now_s);
    }
    let mut slots = Slots::new(capacity as usize, now_s);
    slots.seat_others(others, typical_s);
    for entry in replay {
        slots.seat(entry, typical_s);
    }
    slots.next_free_s() - now_s + left_out * typical_s / f64::from(capacity)
}

/// What `entry` still takes at `at_s`, if it has run since `since_s`.
fn remaining_s(entry: &Entry, since_s: f64, typical_s: f64, at_s: f64) -> f64 {
    let whole_s = if entry.predicted_s.is_finite() { entry.predicted_s.max(0.0) } else { typical_s };
    let run_s = at_s - since_s;
    if run_s > 0.0 { (whole_s - run_s).max(OVERDUE_SHARE * run_s) } else { whole_s }
}

/// With many slots the order no longer matters: they free up at the rate of their number over what a job still takes.
fn fluid_wait_s(replay: &[Entry], ahead: usize, capacity: u32, typical_s: f64, now_s: f64) -> f64 {
    let known: f64 = replay.iter().map(|entry| remaining_s(entry, entry.started_s, typical_s, now_s)).sum();
    let mean_s = if replay.is_empty() { typical_s / 2.0 } else { known / replay.len() as f64 };
    let queued = ahead as f64 - f64::from(capacity) + 1.0;
    let wait_s = queued * mean_s / f64::from(capacity);
    if wait_s.is_finite() { wait_s } else { 0.0 }
}

/// When each slot is free next.
struct Slots {
    free_s: [f64; SLOTS_MOST],
    used: usize,
    now_s: f64,
}

impl Slots {
    fn new(used: usize, now_s: f64) -> Self {
        Self { free_s: [f64::NEG_INFINITY; SLOTS_MOST], used, now_s }
    }

    /// Seats jobs nothing is known about: those that fit are half done, the rest wait in line behind them.
    fn seat_others(&mut self, others: u32, typical_s: f64) {
        let running = (others as usize).min(self.used);
        for slot in &mut self.free_s[..running] {
            *slot = self.now_s + typical_s / 2.0;
        }
        let queued = others as usize - running;
        if queued > 0 {
            let each_s = queued as f64 * typical_s / self.used as f64;
            self.free_s[..self.used].iter_mut().for_each(|slot| *slot += each_s);
        }
    }

    /// Seats an entry in the slot that is free first.
    fn seat(&mut self, entry: &Entry, typical_s: f64) {
        let slot = self.first();
        let sent_s = if entry.started_s.is_finite() { entry.started_s.min(self.now_s) } else { self.now_s };
        let since_s = sent_s.max(self.free_s[slot]);
        let at_s = since_s.max(self.now_s);
        self.free_s[slot] = at_s + remaining_s(entry, since_s, typical_s, at_s);
    }

    fn first(&self) -> usize {
        let mut first = 0;
        for slot in 1..self.used {
            if self.free_s[slot] < self.free_s[first] {
                first = slot;
            }
        }
        first
    }

    /// When the next job gets a slot; never before now.
    fn next_free_s(&self) -> f64 {
        self.free_s[self.first()].max(self.now_s)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(started_s: f64, predicted_s: f64) -> Entry {
        Entry { started_s, predicted_s }
    }

    #[test]
    fn waits_follow_the_queue() {
        let check = |entries: &[Entry], others, capacity, expected: f64| {
            let wait = wait_s(entries, others, capacity, 4.0, 10.0);
            assert!((wait - expected).abs() < 1e-9, "{entries:?} {others} {capacity}: {wait}, not {expected}");
        };
        check(&[], 0, 2, 0.0);
        check(&[sent(9.0, 5.0)], 0, 2, 0.0);
        check(&[sent(9.0, 5.0); 9], 0, 0, 0.0);
        // One slot: what is left of the one that runs.
        check(&[sent(9.0, 5.0)], 0, 1, 4.0);
        // One slot and one in line behind it.
        check(&[sent(9.0, 5.0), sent(9.5, 3.0)], 0, 1, 7.0);
        // Two slots: the earlier of the two.
        check(&[sent(9.0, 5.0), sent(9.0, 2.0)], 0, 2, 1.0);
        // Nothing predicted: what is typical.
        check(&[sent(10.0, f64::NAN)], 0, 1, 4.0);
        // Overdue: a quarter of what it has run.
        check(&[sent(2.0, 1.0)], 0, 1, 2.0);
        // Another sidecar's job is half done; a second one waits in line.
        check(&[], 1, 1, 2.0);
        check(&[], 2, 1, 6.0);
        check(&[sent(10.0, 1.0)], 1, 1, 3.0);
    }

    #[test]
    fn a_large_network_drains_at_the_rate_of_its_slots() {
        let entries = [sent(10.0, 4.0); 128];
        assert_eq!(wait_s(&entries, 0, 129, 4.0, 10.0), 0.0);
        let wait = wait_s(&entries, 0, 128, 4.0, 10.0);
        assert!((wait - 4.0 / 128.0).abs() < 1e-9, "{wait}");
    }

    proptest! {
        #[test]
        fn a_wait_is_a_finite_time_whatever_comes_in(
            entries in prop::collection::vec((any::<f64>(), any::<f64>()), 0..40),
            others in 0_u32..200,
            capacity in 0_u32..100,
            typical_s: f64,
        ) {
            let entries: Vec<_> = entries.into_iter().map(|(s, p)| sent(s % 1e9, p % 1e9)).collect();
            let wait = wait_s(&entries, others, capacity, typical_s % 1e9, 0.0);
            prop_assert!(wait.is_finite() && wait >= 0.0, "{}", wait);
        }

        #[test]
        fn one_job_more_never_shortens_the_wait(
            entries in prop::collection::vec((0.0..10.0_f64, 0.1..20.0_f64), 1..40),
            capacity in 1_u32..10,
        ) {
            let entries: Vec<_> = entries.into_iter().map(|(s, p)| sent(s, p)).collect();
            let fewer = wait_s(&entries[..entries.len() - 1], 0, capacity, 1.0, 10.0);
            let all = wait_s(&entries, 0, capacity, 1.0, 10.0);
            prop_assert!(all >= fewer - 1e-9, "{} {}", fewer, all);
        }
    }
}
