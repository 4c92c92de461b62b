//! What is remembered of asynchronous jobs: by location, for a while, and not too many.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use policy::learn::{Label, Row};
use policy::{Job, NetworkId};

use crate::clock;
use crate::generation::{Generation, Shared};
use crate::metrics::Asynchronous;
use crate::path::course::Course;
use crate::upstream::Flight;

/// The most jobs that are remembered.
const REMEMBERED_MOST: usize = 4096;
/// How far above what is asked for a location is looked for.
const LEVELS_MOST: usize = 8;

/// An asynchronous job that was accepted.
#[derive(Debug)]
pub(crate) struct Task {
    /// By name: a place in the configuration may be another's when it is asked for.
    network: Box<str>,
    job: Job,
    pair: u64,
    sent_s: f64,
    forget_s: f64,
    pub(super) generation: Arc<Generation>,
    pub(super) route: Option<usize>,
    /// While it runs, as far as is known.
    flight: Mutex<Option<Flight>>,
}

impl Task {
    pub(super) fn new(course: &Course, on: NetworkId) -> Self {
        let network = course.network(on);
        let keep = course.route.map(|place| course.generation.config.routes[place].asynchronous.keep);
        let now_s = clock::now_s();
        Self {
            network: network.name().into(),
            job: course.job,
            pair: course.id,
            sent_s: now_s,
            forget_s: now_s + keep.unwrap_or(KEEP_UNROUTED).as_secs_f64(),
            generation: Arc::clone(&course.generation),
            route: course.route,
            flight: Mutex::new(Some(network.depart(course.predicted_s(on)))),
        }
    }

    /// Where it runs, in a configuration that still has that network.
    pub(in crate::path) fn on(&self, generation: &Generation) -> Option<NetworkId> {
        generation.networks.iter().find(|network| network.name() == &*self.network).map(|network| network.id)
    }

    /// It is over; only the first word counts.
    pub(super) fn ended(&self, shared: &Shared, how: Asynchronous) {
        let Some(flight) = self.flight.lock().take() else { return };
        shared.metrics.asynchronous(how);
        let on = self.on(&self.generation).filter(|_| how == Asynchronous::Done);
        let Some(network) = on else { return };
        flight.land();
        // From when it was accepted: what came before is its request's time, which says nothing of the work.
        let took_s = (clock::now_s() - self.sent_s).max(f64::MIN_POSITIVE);
        shared.oracle.learn(Row {
            job: self.job,
            pair: self.pair,
            network,
            label: Label::Took(took_s),
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
        });
    }
}

/// How long a location is remembered of a job that no route took.
const KEEP_UNROUTED: std::time::Duration = std::time::Duration::from_secs(3600);

/// The asynchronous jobs of this process, and the routes that were seen to have some.
#[derive(Debug, Default)]
pub(crate) struct Located {
    known: Mutex<Known>,
    /// How many are known, so that most requests need not look.
    open: AtomicUsize,
    marked: Mutex<BTreeSet<Box<str>>>,
    any_marked: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    by_location: HashMap<Box<str>, Arc<Task>>,
    /// Oldest first.
    order: VecDeque<Box<str>>,
}

impl Located {
    /// The asynchronous job that a request to `asked`, a path and perhaps a query, is about.
    pub(in crate::path) fn find(&self, asked: &str) -> Option<Arc<Task>> {
        if self.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let known = self.known.lock();
        let now_s = clock::now_s();
        let get = |at: &str| known.by_location.get(at).filter(|task| now_s < task.forget_s).cloned();
        let path = asked.split('?').next().unwrap_or(asked);
        let above = std::iter::successors(Some(path), |at| at.rsplit_once('/').map(|(above, _)| above));
        get(asked).or_else(|| above.take(LEVELS_MOST).filter(|at| !at.is_empty()).find_map(get))
    }

    /// Remembers a job by its location; `false` if there are too many.
    pub(super) fn keep(&self, at: &str, task: Task) -> bool {
        let mut known = self.known.lock();
        if known.by_location.len() >= REMEMBERED_MOST && !known.by_location.contains_key(at) {
            return false;
        }
        if known.by_location.insert(at.into(), Arc::new(task)).is_none() {
            known.order.push_back(at.into());
        }
        self.open.store(known.by_location.len(), Ordering::Relaxed);
        true
    }

    /// Forgets those whose time is over.
    pub(in crate::path) fn forget(&self, shared: &Shared) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now_s = clock::now_s();
        let mut gone = Vec::new();
        {
            let mut known = self.known.lock();
            // Times differ by route, so what is behind a younger one of a longer time goes a little later.
            while known.order.front().is_some_and(|at| known.by_location[at].forget_s <= now_s) {
                let at = known.order.pop_front().unwrap_or_default();
                gone.extend(known.by_location.remove(&at));
            }
            self.open.store(known.by_location.len(), Ordering::Relaxed);
        }
        for task in gone {
            task.ended(shared, Asynchronous::Forgotten);
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A route without a rule has answered `202`: from now on it is not shadowed.
    pub(super) fn mark(&self, route: &str) {
        if self.is_marked(route) || !self.marked.lock().insert(route.into()) {
            return;
        }
        self.any_marked.store(true, Ordering::Release);
        tracing::warn!(
            route,
            "it answers 202 and has no `asynchronous.delete`: a shadow that lost would run on, so it is not shadowed any more"
        );
    }

    /// Whether a route was seen to answer `202` without a rule.
    pub(in crate::path) fn is_marked(&self, route: &str) -> bool {
        self.any_marked.load(Ordering::Acquire) && self.marked.lock().contains(route)
    }

    /// Those routes.
    pub(crate) fn marked(&self) -> Vec<String> {
        self.marked.lock().iter().map(|route| route.to_string()).collect()
    }
}
