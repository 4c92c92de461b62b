//! What is remembered of asynchronous jobs: by location, for a while, and not too many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use policy::learn::{Label, Row};
use policy::{Job, NetworkId, NetworkSet};

use super::polls::Polls;
use super::roll::Roll;
use crate::clock;
use crate::generation::{Generation, Shared};
use crate::metrics::Asynchronous;
use crate::path::course::Course;
use crate::upstream::Flight;

/// How far above what is asked for a location is looked for.
const LEVELS_MOST: usize = 8;
/// How long a location is remembered of a job that no route took.
const KEEP_UNROUTED: Duration = Duration::from_secs(3600);
/// How often jobs are looked at that nobody may ask about any more.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An asynchronous job that was accepted.
#[derive(Debug)]
pub(crate) struct Task {
    /// By name: a place in the configuration may be another's when it is asked for.
    network: Box<str>,
    /// Which of the network's endpoints has accepted it, in its own generation.
    endpoint: Option<usize>,
    /// Whether it is ours to count and to learn from, and not another sidecar's.
    is_ours: bool,
    job: Job,
    pair: u64,
    sent_s: f64,
    forget_s: f64,
    pub(super) generation: Arc<Generation>,
    pub(super) route: Option<usize>,
    is_over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    polls: Polls,
    /// While it is taken to run. Only where its route says how to tell that it does not any more.
    flight: Option<Flight>,
}

impl Task {
    pub(super) fn new(course: &Course, on: NetworkId, endpoint: Option<usize>) -> Self {
        let mut task = Self { is_ours: true, ..Self::of_peer(course, on, endpoint) };
        let rule = course.route.map(|place| &course.generation.config.routes[place].asynchronous);
        let is_known = rule.is_some_and(|rule| rule.is_known());
        task.state.get_mut().flight = is_known.then(|| course.depart(on));
        task
    }

    /// One that another sidecar sent here.
    pub(super) fn of_peer(course: &Course, on: NetworkId, endpoint: Option<usize>) -> Self {
        let network = course.network(on);
        let rule = course.route.map(|place| &course.generation.config.routes[place].asynchronous);
        let keep = rule.map_or(KEEP_UNROUTED, |rule| rule.keep);
        let now_s = clock::now_s();
        let predicted_s = course.predicted_s(on);
        Self {
            network: network.name().into(),
            endpoint,
            is_ours: false,
            job: course.job,
            pair: course.id,
            sent_s: now_s,
            forget_s: now_s + keep.as_secs_f64(),
            generation: Arc::clone(&course.generation),
            route: course.route,
            is_over: AtomicBool::new(false),
            state: Mutex::new(State { polls: Polls::since(now_s, predicted_s), flight: None }),
        }
    }

    /// Where it runs, in a configuration that still has that network.
    pub(in crate::path) fn on(&self, generation: &Generation) -> Option<NetworkId> {
        generation.networks_in_force().find(|network| network.name() == &*self.network).map(|network| network.id)
    }

    /// Where it might run.
    pub(in crate::path) fn residency(&self) -> NetworkSet {
        self.job.residency
    }

    /// The very endpoint that runs it, in a configuration that still has it.
    pub(in crate::path) fn at(&self, generation: &Generation) -> Option<(NetworkId, usize)> {
        let on = self.on(generation)?;
        let before = &self.generation.networks[self.on(&self.generation)?.index()];
        let endpoint = before.endpoints.get(self.endpoint?)?;
        Some((on, generation.networks[on.index()].live_endpoint_at(endpoint)?))
    }

    /// It is asked about.
    pub(in crate::path) fn is_asked_about(&self) {
        self.state.lock().polls.came(clock::now_s());
    }

    /// Gives its place in the ledger up if nobody asks about it any more.
    fn look(&self, now_s: f64) {
        let mut state = self.state.lock();
        let given_up = if state.polls.have_ceased(now_s) { state.flight.take() } else { None };
        drop(state);
        drop(given_up);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether it goes first if there are too many: only a place is forgotten with it.
    fn is_spare(&self) -> bool {
        self.is_over() || !self.is_ours
    }

    /// It is over; only the first word counts.
    pub(super) fn ended(&self, shared: &Shared, how: Asynchronous) {
        if self.is_over.swap(true, Ordering::Relaxed) || !self.is_ours {
            return;
        }
        shared.metrics.asynchronous(how);
        let (flight, polls) = {
            let mut state = self.state.lock();
            (state.flight.take(), state.polls)
        };
        let on = self.on(&self.generation).filter(|_| how == Asynchronous::Done);
        // From when it was accepted: what came before is its request's time, which says nothing of the work.
        let took_s = (clock::now_s() - self.sent_s).max(f64::MIN_POSITIVE);
        let Some(network) = on.filter(|_| polls.tell_the_end(took_s)) else { return };
        if let Some(flight) = flight {
            flight.land();
        }
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

/// The asynchronous jobs of this process, and the routes that were seen to have some.
#[derive(Debug, Default)]
pub(crate) struct Located {
    known: Mutex<Roll<Task>>,
    /// How many are known, so that most requests need not look.
    open: AtomicUsize,
    marked: Mutex<BTreeSet<Box<str>>>,
    any_marked: AtomicBool,
}

/// Looks after the jobs that nobody asks about, for as long as the process runs.
pub(crate) async fn keep_tidy(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        shared.located.forget(&shared);
        shared.located.look(clock::now_s());
    }
}

impl Located {
    /// The asynchronous job that a request to `asked`, a path and perhaps a query, is about.
    pub(in crate::path) fn find(&self, asked: &str) -> Option<Arc<Task>> {
        if self.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let known = self.known.lock();
        let now_s = clock::now_s();
        let get = |at: &str| known.find(at).filter(|task| now_s < task.forget_s).cloned();
        let path = asked.split('?').next().unwrap_or(asked);
        let above = std::iter::successors(Some(path), |at| at.rsplit_once('/').map(|(above, _)| above));
        get(asked).or_else(|| above.take(LEVELS_MOST).filter(|at| !at.is_empty()).find_map(get))
    }

    /// Remembers a job by its location, and forgets another if there are too many.
    pub(super) fn keep(&self, shared: &Shared, at: &str, task: Task) {
        let gone = {
            let mut known = self.known.lock();
            let gone = known.enter(at, Arc::new(task), Task::is_spare);
            self.open.store(known.len(), Ordering::Relaxed);
            gone
        };
        for task in gone {
            task.ended(shared, Asynchronous::Forgotten);
        }
    }

    /// Forgets those whose time is over.
    fn forget(&self, shared: &Shared) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now_s = clock::now_s();
        let gone = {
            let mut known = self.known.lock();
            let gone = known.forget(|task| task.forget_s <= now_s);
            self.open.store(known.len(), Ordering::Relaxed);
            gone
        };
        for task in gone {
            task.ended(shared, Asynchronous::Forgotten);
        }
    }

    /// Lets go of what those hold that nobody asks about any more.
    fn look(&self, now_s: f64) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let running: Vec<Arc<Task>> = self.known.lock().all().filter(|task| !task.is_over()).cloned().collect();
        for task in running {
            task.look(now_s);
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
