//! What is in flight on a network, and the guards that take it off again on every way out.
//!
//! The ledger keeps its entries in the order they were sent, so that with a known capacity it can tell which of them run
//! and which wait: when one ends, the first that waited begins. That is how a dispatch's time is told from its waiting.

use std::sync::Arc;

use policy::ledger::Entry;

use super::Network;
use crate::clock;

/// A network's own dispatches, oldest first.
#[derive(Debug)]
pub(super) struct Ledger {
    ids: Vec<u64>,
    entries: Vec<Entry>,
    next: u64,
    capacity: usize,
    typical_s: f64,
}

/// How much one more job's time moves what is typical.
const TYPICAL_WEIGHT: f64 = 0.05;

impl Ledger {
    pub(super) fn new(capacity: u32) -> Self {
        Self { ids: Vec::new(), entries: Vec::new(), next: 0, capacity: capacity as usize, typical_s: 0.0 }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Seconds a job typically takes there, waiting left out; 0 before the first.
    pub(super) fn typical_s(&self) -> f64 {
        self.typical_s
    }

    fn enter(&mut self, entry: Entry) -> u64 {
        let id = self.next;
        self.next += 1;
        self.ids.push(id);
        self.entries.push(entry);
        id
    }

    /// Takes an entry off; the first that waited begins now. Says when this one began.
    fn leave(&mut self, id: u64, now_s: f64) -> Option<f64> {
        let place = self.ids.binary_search(&id).ok()?;
        self.ids.remove(place);
        let gone = self.entries.remove(place);
        if self.capacity > 0
            && place < self.capacity
            && let Some(begins) = self.entries.get_mut(self.capacity - 1)
        {
            begins.started_s = now_s;
        }
        Some(gone.started_s)
    }

    fn ran(&mut self, seconds: f64) {
        self.typical_s =
            if self.typical_s > 0.0 { self.typical_s + TYPICAL_WEIGHT * (seconds - self.typical_s) } else { seconds };
    }
}

/// One dispatch in flight; dropping it takes it off the ledger.
#[derive(Debug)]
pub(crate) struct Flight {
    network: Arc<Network>,
    id: u64,
    sent_s: f64,
    landed: bool,
}

impl Flight {
    pub(super) fn depart(network: Arc<Network>, predicted_s: Option<f64>) -> Self {
        let sent_s = clock::now_s();
        let id = network
            .state
            .lock()
            .ledger
            .enter(Entry { started_s: sent_s, predicted_s: predicted_s.unwrap_or(f64::NAN) });
        Self { network, id, sent_s, landed: false }
    }

    /// When it was sent.
    pub(crate) fn sent_s(&self) -> f64 {
        self.sent_s
    }

    /// It ended by itself, well. Says how many seconds it ran, its waiting for a slot left out.
    pub(crate) fn land(mut self) -> f64 {
        self.landed = true;
        let now_s = clock::now_s();
        let mut state = self.network.state.lock();
        let began_s = state.ledger.leave(self.id, now_s).unwrap_or(self.sent_s);
        let ran_s = (now_s - began_s).max(0.0);
        state.ledger.ran(ran_s);
        ran_s
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            let now_s = clock::now_s();
            self.network.state.lock().ledger.leave(self.id, now_s);
        }
    }
}

/// The right to run one shadow on a network; dropping it frees the shadow's place.
#[derive(Debug)]
pub(crate) struct ShadowPermit {
    network: Arc<Network>,
}

impl ShadowPermit {
    pub(super) fn new(network: Arc<Network>) -> Self {
        Self { network }
    }
}

impl Drop for ShadowPermit {
    fn drop(&mut self) {
        self.network.state.lock().budget.ended();
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
    fn leaving_twice_changes_nothing() {
        let mut ledger = Ledger::new(1);
        let first = ledger.enter(entry(0.0));
        assert!(ledger.leave(first, 1.0).is_some());
        assert!(ledger.leave(first, 1.0).is_none());
    }
}
