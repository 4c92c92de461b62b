//! One fetch for everybody who needs the same thing at the same time.
//!
//! A flight runs in a task of its own and belongs to those who hold a [`Ticket`]: when the last one goes, it is cancelled.
//! So neither a client that leaves nor a warming that is given up takes the fetch from anybody else, and nobody's fetch
//! runs on. What begins as one request ends in one of three ways: the object is kept, for everybody; the answer may not be
//! kept, and goes to the one who asked first, while the others ask for themselves; or it fails, for all of them.
//!
//! An object of known length is read by everybody as it comes. One of unknown length may turn out not to fit, and then
//! what is still to come can only go to one reader: the first to ask. The others wait for its end.

mod pilot;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use http::{HeaderMap, response};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Cache;
use super::fetch::FetchError;
use super::object::{Object, Purpose};
use super::origin::Key;
use super::outlet::Stream;
use super::pace::Allowance;
use pilot::Pilot;

/// The flights under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

/// One fetch.
#[derive(Debug)]
pub(super) struct Flight {
    key: Key,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    tickets: usize,
    task: Option<AbortHandle>,
}

#[derive(Debug)]
enum Phase {
    /// There is no head yet.
    Asking,
    Filling(Arc<Object>),
    Whole(Arc<Object>),
    /// It does not fit.
    Overflowed(Arc<Object>),
    /// It may not be kept.
    Passed(Option<Answer>),
    Failed(FetchError),
}

/// An answer that is not kept.
pub(super) type Answer = Box<(response::Parts, Stream)>;

/// What is asked of an origin, and why.
pub(super) struct Errand {
    pub(super) headers: HeaderMap,
    pub(super) purpose: Purpose,
    /// What may still be fetched ahead for the job that it is for.
    pub(super) allowance: Option<Arc<Allowance>>,
    /// Held while the fetch runs.
    pub(super) _permit: Option<crate::runtime::Taken>,
}

/// How somebody who needs something gets it.
#[derive(Debug)]
pub(super) enum Boarding {
    /// It is there.
    Found(Arc<Object>),
    /// It is on its way.
    Joined(Ticket),
    /// It was asked for just now.
    Started(Ticket),
}

/// What came of a flight, for one ticket.
#[derive(Debug)]
pub(super) enum Landing {
    /// The object; it may still grow.
    Object(Arc<Object>),
    /// This ticket's to pass on.
    Answer(Answer),
    /// Nothing for this ticket: it has to ask for itself.
    Nothing,
    Failed(FetchError),
}

/// Gets `key` from the cache, from a flight under way, or by a new one; `errand` can refuse that.
pub(super) fn board<E>(
    cache: &Arc<Cache>,
    key: &Key,
    errand: impl FnOnce() -> Result<Errand, E>,
) -> Result<Boarding, E> {
    let mut flights = cache.flights.0.lock();
    // Looked at with the flights held: one that has just landed is either here or there.
    if let Some(object) = cache.store.fresh(key, std::time::Instant::now()) {
        return Ok(Boarding::Found(object));
    }
    let (errand, flight) = match flights.entry(key.clone()) {
        Entry::Occupied(flight) => return Ok(Boarding::Joined(Ticket::new(cache, flight.get(), Role::Follows))),
        Entry::Vacant(place) => {
            let errand = errand()?;
            let state = State { phase: Phase::Asking, tickets: 0, task: None };
            let flight = Flight { key: key.clone(), state: Mutex::new(state), changed: Notify::new() };
            (errand, Arc::clone(place.insert(Arc::new(flight))))
        }
    };
    let ticket = Ticket::new(cache, &flight, Role::Leads);
    // Without the lock: a runtime that shuts down drops the pilot here and now, and that takes it.
    drop(flights);
    let pilot = Pilot::new(cache, &flight);
    let task = tokio::spawn(async move { pilot.fly(errand).await });
    flight.state.lock().task = Some(task.abort_handle());
    Ok(Boarding::Started(ticket))
}

impl Flights {
    /// Those who have a part in the flight for `key`.
    #[cfg(test)]
    pub(super) fn tickets(&self, key: &Key) -> usize {
        self.0.lock().get(key).map_or(0, |flight| flight.state.lock().tickets)
    }

    fn remove(&self, flight: &Arc<Flight>) {
        let mut flights = self.0.lock();
        if flights.get(&flight.key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
            flights.remove(&flight.key);
        }
    }
}

/// A part in a flight, which runs on as long as anybody has one.
#[derive(Debug)]
pub(super) struct Ticket {
    cache: Arc<Cache>,
    flight: Arc<Flight>,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leads,
    Follows,
}

impl Ticket {
    fn new(cache: &Arc<Cache>, flight: &Arc<Flight>, role: Role) -> Self {
        flight.state.lock().tickets += 1;
        Self { cache: Arc::clone(cache), flight: Arc::clone(flight), role }
    }

    /// Waits for something to read, or for the end.
    pub(super) async fn landing(&self) -> Landing {
        self.until(|phase| match phase {
            Phase::Asking => None,
            Phase::Filling(object) => {
                let readable = object.length().is_some() || self.role == Role::Leads;
                readable.then(|| Landing::Object(Arc::clone(object)))
            }
            Phase::Whole(object) => Some(Landing::Object(Arc::clone(object))),
            Phase::Overflowed(object) if self.role == Role::Leads => Some(Landing::Object(Arc::clone(object))),
            Phase::Overflowed(_) => Some(Landing::Nothing),
            Phase::Passed(answer) if self.role == Role::Leads => {
                Some(answer.take().map_or(Landing::Nothing, Landing::Answer))
            }
            Phase::Passed(_) => Some(Landing::Nothing),
            Phase::Failed(why) => Some(Landing::Failed(*why)),
        })
        .await
    }

    /// Waits for the end; whether there is a whole object.
    pub(super) async fn landed_whole(&self) -> bool {
        self.until(|phase| match phase {
            Phase::Asking | Phase::Filling(_) => None,
            Phase::Whole(_) => Some(true),
            Phase::Overflowed(_) | Phase::Passed(_) | Phase::Failed(_) => Some(false),
        })
        .await
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut Phase) -> Option<T>) -> T {
        loop {
            let mut changing = std::pin::pin!(self.flight.changed.notified());
            // Registered before the look, or a change between the two would be lost.
            changing.as_mut().enable();
            if let Some(seen) = look(&mut self.flight.state.lock().phase) {
                return seen;
            }
            changing.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.0.lock();
        let mut state = self.flight.state.lock();
        state.tickets -= 1;
        if state.tickets > 0 {
            return;
        }
        let task = state.task.take();
        drop(state);
        // Nobody may join what is about to be cancelled.
        if flights.get(&self.flight.key).is_some_and(|other| Arc::ptr_eq(other, &self.flight)) {
            flights.remove(&self.flight.key);
        }
        drop(flights);
        if let Some(task) = task {
            task.abort();
        }
    }
}
