//! One fetch for all who want the same at the same time.
//!
//! Whoever comes first leads: its request is a job as any other. The others follow: they wait for the head of its answer, and
//! then read the body as it comes. Whatever way the leader ends, by its client's going, by an answer that cannot be stored,
//! by an error, those who wait are told by [`Lead`]'s `Drop`, and see to themselves.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::stored::Headed;
use crate::disk::Growth;

/// The fetches under way, by name.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<BTreeMap<Vec<u8>, Arc<Flight>>>);

/// One fetch.
#[derive(Debug)]
pub(super) struct Flight {
    name: Vec<u8>,
    phase: Mutex<Phase>,
    changed: Notify,
    /// What it fetches was changed meanwhile.
    is_outdated: AtomicBool,
}

#[derive(Debug)]
enum Phase {
    Asking,
    Over(Outcome),
}

/// What came of a flight, for those who follow.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// This, which they can read.
    Arriving(Arriving),
    /// Its answer is not stored: it is for nobody else, and the next one's will not be, either.
    Declined,
    /// Nothing: the leader has gone, or failed.
    Over,
}

/// An answer that is on its way, and will be stored.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    pub(super) head: Arc<Headed>,
    pub(super) body: Arc<Growth>,
    pub(super) len: Option<u64>,
}

/// Who leads a flight.
#[derive(Debug)]
pub(super) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

pub(super) enum Joined {
    Leads(Lead),
    Follows(Arc<Flight>),
}

impl Flights {
    /// Takes part in the fetch of this name, which is begun if there is none.
    pub(super) fn join(self: &Arc<Self>, name: Vec<u8>) -> Joined {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&name) {
            return Joined::Follows(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            name: name.clone(),
            phase: Mutex::new(Phase::Asking),
            changed: Notify::new(),
            is_outdated: AtomicBool::new(false),
        });
        flights.insert(name, Arc::clone(&flight));
        Joined::Leads(Lead { flights: Arc::clone(self), flight })
    }

    /// What is fetched by names that begin so is not what it will be asked for from now on.
    pub(super) fn outdate(&self, beginning: &[u8]) {
        let mut flights = self.0.lock();
        let from = (Bound::Included(beginning.to_vec()), Bound::Unbounded);
        let range = flights.range::<Vec<u8>, _>(from);
        let names: Vec<Vec<u8>> =
            range.take_while(|(name, _)| name.starts_with(beginning)).map(|(name, _)| name.clone()).collect();
        for flight in names.iter().filter_map(|name| flights.remove(name)) {
            flight.is_outdated.store(true, Ordering::Release);
        }
    }
}

impl Flight {
    /// Waits for the head.
    pub(super) async fn head(&self) -> Outcome {
        loop {
            let mut changing = std::pin::pin!(self.changed.notified());
            // Registered before the look, or a change between the two would be lost.
            changing.as_mut().enable();
            if let Phase::Over(outcome) = &*self.phase.lock() {
                return outcome.clone();
            }
            changing.await;
        }
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.changed.notify_waiters();
    }
}

impl Lead {
    /// The head is here, and the answer will be stored.
    pub(super) fn arrives(&self, arriving: Arriving) {
        self.flight.enter(Phase::Over(Outcome::Arriving(arriving)));
    }

    /// The answer is not stored.
    pub(super) fn declines(self) {
        self.flight.enter(Phase::Over(Outcome::Declined));
        self.leave();
    }

    /// Whether what it fetched was changed since.
    pub(super) fn is_outdated(&self) -> bool {
        self.flight.is_outdated.load(Ordering::Acquire)
    }
}

impl Lead {
    /// Whoever comes now begins anew.
    fn leave(&self) {
        let mut flights = self.flights.0.lock();
        if flights.get(&self.flight.name).is_some_and(|known| Arc::ptr_eq(known, &self.flight)) {
            flights.remove(&self.flight.name);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave();
        // What was said before holds: those who follow may not have heard it yet.
        let mut phase = self.flight.phase.lock();
        if matches!(*phase, Phase::Asking) {
            *phase = Phase::Over(Outcome::Over);
        }
        drop(phase);
        self.flight.changed.notify_waiters();
    }
}
