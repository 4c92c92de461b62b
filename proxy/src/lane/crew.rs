//! The workers of the process lane, as the rest of the sidecar sees them: who is free, and what holds them.
//!
//! Shadows take workers from here, on whichever thread they run; `keeper` puts processes behind them, on a thread of its own.
//! Between the two stand the roster, under one short lock, and the cage of each worker's present process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cage::Cage;
use super::roster::{Life, Over, Roster, State, Then, Turn};
use super::seat::{NotCapped, Seat};
use crate::metrics::Metrics;

/// The workers of a lane.
#[derive(Debug)]
pub(crate) struct Crew {
    roster: Mutex<Roster>,
    /// What holds each worker's process.
    cages: Box<[Mutex<Option<Arc<Cage>>>]>,
    /// Where the first of them is among its network's endpoints.
    first: usize,
    pub(super) metrics: Arc<Metrics>,
    /// When it was last said that a worker's caps cannot be set: shadows come often.
    warned: Mutex<Option<Instant>>,
}

/// The shortest time between two warnings of the same.
const WARN_APART: Duration = Duration::from_secs(10);

/// How many workers there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workers([usize; State::ALL.len()]);

impl Crew {
    /// So many workers, none of which is up. The first is the endpoint `first` of its network.
    pub(crate) fn new(workers: usize, first: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let cages = (0..workers).map(|_| Mutex::default()).collect();
        Arc::new(Self { roster: Mutex::new(Roster::new(workers)), cages, first, metrics, warned: Mutex::default() })
    }

    /// Whether a worker is free.
    pub(crate) fn has_idle(&self) -> bool {
        self.roster.lock().has_idle()
    }

    /// How many run what has become a real job.
    pub(crate) fn adopted(&self) -> u32 {
        u32::try_from(self.roster.lock().count(State::Adopted)).unwrap_or(u32::MAX)
    }

    /// How many there are in each state.
    pub(crate) fn workers(&self) -> Workers {
        let roster = self.roster.lock();
        Workers(State::ALL.map(|state| roster.count(state)))
    }

    /// Takes a free worker, if there is one.
    pub(crate) fn claim(self: &Arc<Self>) -> Option<Arc<Seat>> {
        let turn = self.roster.lock().claim()?;
        let cage = self.cages[turn.life.at].lock().clone();
        Some(Seat::new(Arc::clone(self), turn, cage))
    }

    /// A worker's caps could not be set, and it is not used.
    pub(super) fn not_capped(&self, at: usize, error: &NotCapped) {
        self.metrics.worker_not_capped();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| last.elapsed() >= WARN_APART) {
            *warned = Some(Instant::now());
            tracing::warn!(error = error as &dyn std::error::Error, worker = at, "a worker is not used");
        }
    }

    /// Where a worker is among its network's endpoints.
    pub(super) fn endpoint(&self, at: usize) -> usize {
        self.first + at
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.cages.len()
    }

    pub(super) fn adopt(&self, turn: Turn) -> bool {
        self.roster.lock().adopt(turn)
    }

    pub(super) fn release(&self, turn: Turn, over: Over) -> Then {
        self.roster.lock().release(turn, over)
    }

    /// A process is about to be started for a worker.
    pub(super) fn starts(&self, at: usize) -> Option<Life> {
        self.roster.lock().starts(at)
    }

    /// It takes connections, in this cage.
    pub(super) fn is_ready(&self, life: Life, cage: &Arc<Cage>) {
        *self.cages[life.at].lock() = Some(Arc::clone(cage));
        self.roster.lock().is_ready(life);
    }

    /// Nobody keeps a worker any more: what holds its process is let go.
    pub(super) fn leaves(&self, at: usize) {
        let cage = self.cages[at].lock().take();
        cage.into_iter().for_each(Cage::let_go);
    }

    /// It is gone. Says what it did until then.
    pub(super) fn gone(&self, life: Life) -> Option<State> {
        self.leaves(life.at);
        self.roster.lock().gone(life)
    }
}

impl Workers {
    /// All states and how many are in each.
    pub(crate) fn by_state(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        State::ALL.into_iter().map(State::as_str).zip(self.0)
    }
}
