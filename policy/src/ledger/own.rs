//! A sidecar's own dispatches on one network, in the order they were sent.
//!
//! With a known capacity the order tells which of them run and which wait: when one ends, the first that waited begins. That
//! is how a dispatch's time is told from its waiting, and why an outcome teaches what the job took and not how long the queue
//! was. Where the capacity is what a load report says, the slots are those that others have left when it was made.

use std::collections::VecDeque;

use super::Entry;

/// A network's own dispatches, oldest first.
#[derive(Debug)]
pub struct Ledger {
    ids: VecDeque<u64>,
    entries: VecDeque<Entry>,
    /// How many have a slot, as far as can be told: the first ones, since whoever comes while others wait waits behind them.
    running: usize,
    next: u64,
    /// Slots for our own dispatches; 0 if nobody knows.
    slots: usize,
    typical_s: f64,
}

/// How much one more job's time moves what is typical.
const TYPICAL_WEIGHT: f64 = 0.05;

impl Ledger {
    /// Of a network with so many slots; 0 if nobody knows.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        let slots = slots as usize;
        Self { ids: VecDeque::new(), entries: VecDeque::new(), running: 0, next: 0, slots, typical_s: 0.0 }
    }

    /// Takes in that the network runs `capacity` jobs at once, 0 if that is not known, and that others have `others` there.
    pub fn holds(&mut self, capacity: u32, others: u32, now_s: f64) {
        // Others' jobs wait, too; at least one slot comes our way in turn.
        self.slots = if capacity == 0 { 0 } else { capacity.saturating_sub(others).max(1) as usize };
        self.begin_waiting(now_s);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// All of them, oldest first; `started_s` is when each began, as far as can be told.
    pub fn entries(&mut self) -> &[Entry] {
        self.entries.make_contiguous()
    }

    /// Seconds a job typically takes there, waiting left out; 0 before the first.
    #[must_use]
    pub fn typical_s(&self) -> f64 {
        self.typical_s
    }

    /// Puts an entry behind all others, and says what it is known by here.
    pub fn enter(&mut self, entry: Entry) -> u64 {
        let id = self.next;
        self.next += 1;
        self.running += usize::from(self.free() > 0);
        self.ids.push_back(id);
        self.entries.push_back(entry);
        id
    }

    /// Takes an entry off; the first that waited begins now. Says when this one began.
    pub fn leave(&mut self, id: u64, now_s: f64) -> Option<f64> {
        let place = self.ids.binary_search(&id).ok()?;
        self.ids.remove(place);
        let gone = self.entries.remove(place)?;
        self.running -= usize::from(place < self.running);
        self.begin_waiting(now_s);
        Some(gone.started_s)
    }

    /// When an entry began, as far as can be told; when it was sent, if it still waits.
    #[must_use]
    pub fn began_s(&self, id: u64) -> Option<f64> {
        let place = self.ids.binary_search(&id).ok()?;
        Some(self.entries.get(place)?.started_s)
    }

    /// Gives free slots to those that have waited longest.
    fn begin_waiting(&mut self, now_s: f64) {
        let begin = self.free().min(self.entries.len() - self.running);
        for entry in self.entries.iter_mut().skip(self.running).take(begin) {
            entry.started_s = now_s;
        }
        self.running += begin;
    }

    fn free(&self) -> usize {
        if self.slots == 0 { usize::MAX } else { self.slots.saturating_sub(self.running) }
    }

    /// A job took this long there.
    pub fn ran(&mut self, seconds: f64) {
        self.typical_s =
            if self.typical_s > 0.0 { self.typical_s + TYPICAL_WEIGHT * (seconds - self.typical_s) } else { seconds };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_s: f64) -> Entry {
        Entry { started_s: at_s, predicted_s: 1.0 }
    }

    #[test]
    fn a_job_that_waited_begins_when_a_slot_is_freed() {
        let mut ledger = Ledger::new(2);
        let first = ledger.enter(entry(0.0));
        let second = ledger.enter(entry(1.0));
        let third = ledger.enter(entry(2.0));
        assert_eq!(ledger.leave(second, 5.0), Some(1.0));
        assert_eq!(ledger.leave(third, 9.0), Some(5.0), "it began when the second ended, not when it was sent");
        assert_eq!(ledger.leave(first, 9.0), Some(0.0));
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn a_waiting_job_that_leaves_starts_nobody() {
        let mut ledger = Ledger::new(1);
        let _first = ledger.enter(entry(0.0));
        let second = ledger.enter(entry(1.0));
        let third = ledger.enter(entry(2.0));
        ledger.leave(second, 3.0);
        assert_eq!(ledger.leave(third, 4.0), Some(2.0));
    }

    #[test]
    fn slots_are_what_a_report_says_and_others_leave() {
        let mut ledger = Ledger::new(0);
        let first = ledger.enter(entry(0.0));
        ledger.holds(3, 2, 1.0);
        let second = ledger.enter(entry(2.0));
        let third = ledger.enter(entry(3.0));
        // One of the others ends, so the one that waited longest begins.
        ledger.holds(3, 1, 4.0);
        assert_eq!(ledger.leave(second, 5.0), Some(4.0));
        // Others crowd in: those that run still run, and whoever comes waits.
        ledger.holds(3, 9, 6.0);
        let fourth = ledger.enter(entry(7.0));
        assert_eq!(ledger.leave(first, 8.0), Some(0.0));
        assert_eq!(ledger.leave(third, 9.0), Some(5.0));
        assert_eq!(ledger.leave(fourth, 10.0), Some(9.0));
    }

    #[test]
    fn nobody_waits_where_the_capacity_is_not_known_any_more() {
        let mut ledger = Ledger::new(1);
        let _first = ledger.enter(entry(0.0));
        let second = ledger.enter(entry(1.0));
        ledger.holds(0, 5, 2.0);
        assert_eq!(ledger.leave(second, 9.0), Some(2.0));
    }

    #[test]
    fn leaving_twice_changes_nothing() {
        let mut ledger = Ledger::new(1);
        let first = ledger.enter(entry(0.0));
        assert!(ledger.leave(first, 1.0).is_some());
        assert!(ledger.leave(first, 1.0).is_none());
    }
}
