//! Keeps the model fresh: takes labels in, refits in the background, swaps the new model in.
//!
//! Learning may be slow, may be refused and may even panic; answering may not wait for any of that. So the path only puts
//! a label into a bounded queue and reads one pointer, and everything else happens on a thread that yields to all others.
//! While that thread grows a model the labels wait in the queue, which is long enough for a refit at full rate.
//!
//! What a good model is, and whether a new one may replace the one in force, is `policy`'s business.

mod back;
mod corrections;
pub(crate) mod names;
pub(crate) mod shelf;
mod trainer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use config::Config;
use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use policy::learn::Row;
use policy::residual::Correction;
use policy::{ClassId, Model, NetworkId, Prediction};

use crate::clock;
use crate::generation::Classes;
use crate::journal::Labels;
use crate::metrics::Metrics;
pub(crate) use back::NoRollBack;
use back::Wanted;
use corrections::Corrections;
use names::Names;
use shelf::Shelf;
use trainer::Trainer;

/// The most labels that wait: two seconds of 16,000 jobs a second.
const QUEUE: usize = 32 << 10;
/// How often labels are taken in, while no model is being grown.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// The thread's niceness: the least it can have.
const NICE: i32 = 19;

/// The model in force and the thread that replaces it.
#[derive(Debug)]
pub(crate) struct Oracle {
    school: Arc<School>,
    names: ArcSwap<Names>,
    /// The journal hears every label.
    heard: OnceLock<Arc<Labels>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is to go by.
#[derive(Debug)]
struct Turn {
    config: config::value::Oracle,
    names: Arc<Names>,
}

/// What the oracle and its thread share.
#[derive(Debug)]
struct School {
    model: ArcSwapOption<Model>,
    /// When the model in force was put there, on the proxy's clock.
    since_ms: AtomicU64,
    /// The number of the last model that is trusted; 0 for none.
    trusted: AtomicU64,
    /// Boxed, so that a long queue is cheap while it is empty.
    labels: ArrayQueue<Box<Labelled>>,
    /// What the model in force is off by just now.
    corrections: Corrections,
    /// What the thread is to go by from now on, until it has seen it.
    turn: ArcSwapOption<Turn>,
    /// Which versions can be gone back to.
    kept: ArcSwap<Vec<u64>>,
    /// Which is to be, until the thread has seen it.
    wanted: Mutex<Option<Wanted>>,
    metrics: Arc<Metrics>,
    stop: AtomicBool,
}

/// A label, and what was foreseen of it when its job came, where that is known.
#[derive(Debug)]
struct Labelled {
    row: Row,
    foreseen: Option<Prediction>,
}

impl Oracle {
    /// Starts the thread, with the model in force that was kept last, if versions are kept and one can be used. It ends when
    /// the oracle is dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(config: &Config, classes: &Arc<Classes>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let school = Arc::new(School::new(QUEUE, metrics));
        let names = Arc::new(Names::new(config, Arc::clone(classes)));
        let mut trainer = Trainer::new(&config.oracle, config.home, Arc::clone(&names), policy::learn::refit);
        if let Some(state) = &config.state.directory {
            let shelf = Shelf::open(state, config.oracle.keep);
            trainer.begin_with(shelf, &school, std::time::Instant::now());
        }
        let thread = std::thread::Builder::new().name("oracle".to_owned()).spawn({
            let school = Arc::clone(&school);
            move || {
                yield_to_all_others();
                while !school.stop.load(Ordering::Acquire) {
                    trainer.step(&school, std::time::Instant::now());
                    std::thread::park_timeout(DRAIN_EVERY);
                }
                trainer.end(&school, std::time::Instant::now());
            }
        })?;
        Ok(Self { school, names: ArcSwap::new(names), heard: OnceLock::new(), thread: Some(thread) })
    }

    /// The model in force: read once a job.
    pub(crate) fn model(&self) -> Option<Arc<Model>> {
        self.school.model.load_full()
    }

    /// Puts a model in force at once, as the thread does with one it has grown.
    pub(crate) fn swap(&self, model: Model) {
        self.school.put_in_force(Arc::new(model));
    }

    /// The number of the last model that was found to be no worse than the one before it; 0 for none.
    pub(crate) fn trusted(&self) -> u64 {
        self.school.trusted.load(Ordering::Relaxed)
    }

    /// The model in force as a file, if there is one.
    pub(crate) fn document(&self) -> Option<String> {
        self.model().map(|model| self.names.load().text(&model))
    }

    /// How long the model in force has been there; 0 if there is none.
    pub(crate) fn age_s(&self) -> f64 {
        let since_s = Duration::from_millis(self.school.since_ms.load(Ordering::Relaxed)).as_secs_f64();
        if self.school.model.load().is_some() { (clock::now_s() - since_s).max(0.0) } else { 0.0 }
    }

    /// Goes by this configuration from now on. What was learned stays, as far as there is room for it.
    pub(crate) fn turn(&self, config: &Config) {
        let before = self.names.load();
        let names = Arc::new(before.following(config));
        self.names.store(Arc::clone(&names));
        self.school.turn.store(Some(Arc::new(Turn { config: config.oracle.clone(), names })));
    }

    /// Takes a label in; if the queue is full, it is dropped and counted. Wakes nobody: the thread comes by itself.
    pub(crate) fn learn(&self, row: Row) {
        self.tell(&row);
        self.school.take_in(row, None);
    }

    /// As [`Oracle::learn`], with what was foreseen of it: the next intervals are as wide as it takes.
    pub(crate) fn learn_beside(&self, row: Row, foreseen: Option<Prediction>) {
        self.tell(&row);
        self.school.take_in(row, foreseen);
    }

    fn tell(&self, row: &Row) {
        if let Some(labels) = self.heard.get() {
            labels.push(row);
        }
    }

    /// What a network is called.
    pub(crate) fn network_name(&self, network: NetworkId) -> String {
        self.names.load().network(network).to_owned()
    }

    /// The journal hears every label from now on.
    pub(crate) fn is_heard_by(&self, labels: &Arc<Labels>) {
        let _only_once = self.heard.set(Arc::clone(labels));
    }

    /// What the model is off by just now, for a job of this class on a network.
    pub(crate) fn correction(&self, class: ClassId, network: NetworkId) -> Correction {
        self.school.corrections.read(class, network)
    }
}

impl Drop for Oracle {
    /// Stops the thread and waits for it: as long as a refit that is under way.
    fn drop(&mut self) {
        self.school.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that learns ended in a panic; the model in force was the last one");
        }
    }
}

impl School {
    fn new(queue: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            model: ArcSwapOption::empty(),
            since_ms: AtomicU64::new(0),
            trusted: AtomicU64::new(0),
            labels: ArrayQueue::new(queue),
            corrections: Corrections::default(),
            turn: ArcSwapOption::empty(),
            kept: ArcSwap::default(),
            wanted: Mutex::default(),
            metrics,
            stop: AtomicBool::new(false),
        }
    }

    fn take_in(&self, row: Row, foreseen: Option<Prediction>) {
        if self.labels.push(Box::new(Labelled { row, foreseen })).is_err() {
            self.metrics.label_dropped();
        }
    }

    fn trust(&self, version: u64) {
        self.trusted.store(version, Ordering::Relaxed);
    }

    fn put_in_force(&self, model: Arc<Model>) {
        let now = Duration::try_from_secs_f64(clock::now_s()).unwrap_or_default();
        self.since_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.metrics.model_in_force(&model);
        self.model.store(Some(model));
    }
}

/// Makes this thread the nicest. On Linux a niceness is a thread's own, whatever POSIX says of processes.
fn yield_to_all_others() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::warn!(%error, "the thread that learns keeps the priority of those that answer; refits may be felt");
    }
}

#[cfg(test)]
mod tests;
