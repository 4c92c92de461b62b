//! What is in flight on a network, and the guards that take it off again on every way out.
//!
//! The ledger keeps its entries in the order they were sent, so that with a known capacity it can tell which of them run
//! and which wait: when one ends, the first that waited begins. That is how a dispatch's time is told from its waiting.
//! Where the capacity is what a load report says, the slots are those that others have left when it was made.

use std::collections::VecDeque;
use std::sync::Arc;

use policy::ledger::Entry;
use tokio::sync::Notify;

use super::Network;
use crate::clock;
use crate::spend::Charge;

/// A network's own dispatches, oldest first.
#[derive(Debug)]
pub(super) struct Ledger {
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
    pub(super) fn new(slots: u32) -> Self {
        let slots = slots as usize;
        Self { ids: VecDeque::new(), entries: VecDeque::new(), running: 0, next: 0, slots, typical_s: 0.0 }
    }

    /// Takes in that the network runs `capacity` jobs at once, 0 if that is not known, and that others have `others` there.
    pub(super) fn holds(&mut self, capacity: u32, others: u32, now_s: f64) {
        // Others' jobs wait, too; at least one slot comes our way in turn.
        self.slots = if capacity == 0 { 0 } else { capacity.saturating_sub(others).max(1) as usize };
        self.begin_waiting(now_s);
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn entries(&mut self) -> &[Entry] {
        self.entries.make_contiguous()
    }

    /// Seconds a job typically takes there, waiting left out; 0 before the first.
    pub(super) fn typical_s(&self) -> f64 {
        self.typical_s
    }

    fn enter(&mut self, entry: Entry) -> u64 {
        let id = self.next;
        self.next += 1;
        self.running += usize::from(self.free() > 0);
        self.ids.push_back(id);
        self.entries.push_back(entry);
        id
    }

    /// Takes an entry off; the first that waited begins now. Says when this one began.
    fn leave(&mut self, id: u64, now_s: f64) -> Option<f64> {
        let place = self.ids.binary_search(&id).ok()?;
        self.ids.remove(place);
        let gone = self.entries.remove(place)?;
        self.running -= usize::from(place < self.running);
        self.begin_waiting(now_s);
        Some(gone.started_s)
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
    /// Whether it is in the ledger of those that take no slot.
    aside: bool,
    sent_s: f64,
    landed: bool,
    /// What it costs, if that is ours to pay.
    charge: Option<Charge>,
}

impl Flight {
    pub(super) fn depart(network: Arc<Network>, predicted_s: Option<f64>) -> Self {
        let sent_s = clock::now_s();
        let id = network
            .state
            .lock()
            .ledger
            .enter(Entry { started_s: sent_s, predicted_s: predicted_s.unwrap_or(f64::NAN) });
        Self { network, id, aside: false, sent_s, landed: false, charge: None }
    }

    pub(super) fn depart_aside(network: Arc<Network>) -> Self {
        let sent_s = clock::now_s();
        let id = network.state.lock().aside.enter(Entry { started_s: sent_s, predicted_s: f64::NAN });
        Self { network, id, aside: true, sent_s, landed: false, charge: None }
    }

    /// How long it is expected to run: as predicted, or as is usual there.
    pub(crate) fn runs_s(&self, predicted_s: Option<f64>) -> f64 {
        predicted_s.unwrap_or_else(|| self.network.state.lock().ledger.typical_s())
    }

    /// It costs this.
    pub(crate) fn charged(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// So many bytes have crossed for it, both ways together.
    pub(crate) fn carried(&mut self, bytes: u64) {
        if let Some(charge) = &mut self.charge {
            charge.carried(bytes);
        }
    }

    /// Its slot costs so many times what its bill says.
    pub(crate) fn costs_times(&mut self, times: f64) {
        if let Some(charge) = &mut self.charge {
            charge.times(times);
        }
    }

    /// When it was sent.
    pub(crate) fn sent_s(&self) -> f64 {
        self.sent_s
    }

    /// What ends it early, without it.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { network: Arc::clone(&self.network), id: self.id, aside: self.aside }
    }

    /// It ended by itself, well. Says how many seconds it ran, its waiting for a slot left out.
    pub(crate) fn land(mut self) -> f64 {
        self.landed = true;
        let now_s = clock::now_s();
        let mut state = self.network.state.lock();
        let ledger = state.ledger(self.aside);
        let began_s = ledger.leave(self.id, now_s).unwrap_or(self.sent_s);
        let ran_s = (now_s - began_s).max(0.0);
        ledger.ran(ran_s);
        drop(state);
        if let Some(charge) = self.charge.take() {
            charge.over(ran_s);
        }
        ran_s
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            let now_s = clock::now_s();
            let began_s = self.network.state.lock().ledger(self.aside).leave(self.id, now_s).unwrap_or(self.sent_s);
            if let Some(charge) = self.charge.take() {
                charge.over((now_s - began_s).max(0.0));
            }
        }
    }
}

/// A flight's place in the ledger, which may be given up while the flight is still held.
#[derive(Debug)]
pub(crate) struct Ticket {
    network: Arc<Network>,
    id: u64,
    aside: bool,
}

impl Ticket {
    /// Takes the flight off the ledger; landing it, or dropping it, then changes nothing there.
    pub(super) fn give_up(self) {
        self.network.state.lock().ledger(self.aside).leave(self.id, clock::now_s());
    }
}

/// The right to run one shadow on a network; dropping it frees the shadow's place.
#[derive(Debug)]
pub(crate) struct ShadowPermit {
    network: Arc<Network>,
    shed: Arc<Notify>,
}

impl ShadowPermit {
    pub(super) fn new(network: Arc<Network>, shed: Arc<Notify>) -> Self {
        Self { network, shed }
    }

    /// Told once when the shadow must go, for live work needs its room.
    pub(crate) fn shed(&self) -> Arc<Notify> {
        Arc::clone(&self.shed)
    }
}

impl Drop for ShadowPermit {
    fn drop(&mut self) {
        let mut state = self.network.state.lock();
        state.sheddable.retain(|shed| !Arc::ptr_eq(shed, &self.shed));
        state.budget.ended();
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
