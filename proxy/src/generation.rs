//! Everything that one configuration makes, and what outlives it.
//!
//! A [`Generation`] is swapped whole; a job reads it once and keeps it to its end, so no job ever sees two configurations.
//! [`Shared`] is what the process has once: the oracle, the counters, the log, the data cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use config::Config;
use parking_lot::RwLock;
use policy::ClassId;
use tokio::sync::Semaphore;

use crate::data::Cache;
use crate::identity::Certificates;
use crate::metrics::Metrics;
use crate::oracle::Oracle;
use crate::peer::Registry;
use crate::record::Recorder;
use crate::upstream::Network;

/// What the process has once.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) generation: ArcSwap<Generation>,
    pub(crate) oracle: Oracle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recorder: Recorder,
    pub(crate) data: Arc<Cache>,
    pub(crate) spool: Arc<crate::spool::Store>,
    pub(crate) classes: Arc<Classes>,
    /// What is shown to others, and whom we believe.
    pub(crate) certificates: Certificates,
    /// What runs here for other sidecars.
    pub(crate) peers: Arc<Registry>,
    /// Tells this process's dispatches from every other's.
    pub(crate) instance: u64,
    /// The next job's number.
    pub(crate) jobs: AtomicU64,
    /// Room for jobs that run on without their client.
    pub(crate) running_on: Arc<Semaphore>,
    /// Whether `/readyz` says yes.
    pub(crate) ready: AtomicBool,
}

/// What one configuration makes.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// In the order of the configuration.
    pub(crate) networks: Vec<Arc<Network>>,
}

/// The register of classes. It is bounded: when it is full, a new name becomes its route's `other`.
///
/// Classes are kept by the route's name, not its place, so that a reload that moves routes about keeps what was learned.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    known: RwLock<Register>,
}

#[derive(Debug, Default)]
struct Register {
    by_route: HashMap<Box<str>, HashMap<Box<str>, ClassId>>,
    names: Vec<(Box<str>, Box<str>)>,
}

/// The most classes one process tells apart.
const MAX_CLASSES: usize = 1024;
/// The most bytes of a class's name that count.
const MAX_NAME: usize = 64;

impl Classes {
    /// The class of the route called `route` that is called `name`.
    pub(crate) fn id(&self, route: &str, name: &str) -> ClassId {
        let name = &name[..name.floor_char_boundary(MAX_NAME)];
        if let Some(id) = self.known.read().find(route, name) {
            return id;
        }
        let mut known = self.known.write();
        let name = if known.names.len() < MAX_CLASSES { name } else { "other" };
        known.find(route, name).unwrap_or_else(|| known.add(route, name))
    }

    /// The names of a class: its route's and its own.
    pub(crate) fn name(&self, class: ClassId) -> Option<(Box<str>, Box<str>)> {
        self.known.read().names.get(usize::from(class.0)).cloned()
    }
}

impl Register {
    fn find(&self, route: &str, name: &str) -> Option<ClassId> {
        self.by_route.get(route)?.get(name).copied()
    }

    fn add(&mut self, route: &str, name: &str) -> ClassId {
        let id = ClassId(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.names.push((route.into(), name.into()));
        self.by_route.entry(route.into()).or_default().insert(name.into(), id);
        id
    }
}
