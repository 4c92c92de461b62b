//! Everything that one configuration makes, and what outlives it.
//!
//! A [`Generation`] is swapped whole; a job reads it once and keeps it to its end, so no job ever sees two configurations.
//! [`Shared`] is what the process has once: the oracle, the counters, the log, the data cache.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use config::Config;
use parking_lot::{Mutex, RwLock};
use policy::ClassId;
use tokio::sync::watch;

use crate::accept::Port;
use crate::data::Cache;
use crate::guard::Guard;
use crate::handover::Offer;
use crate::identity::Certificates;
use crate::lane::Keeping;
use crate::metrics::Metrics;
use crate::oracle::Oracle;
use crate::path::Located;
use crate::peer::Registry;
use crate::record::Recorder;
use crate::reload::Book;
use crate::runtime::{Ending, Room};
use crate::spend::Purses;
use crate::upstream::Network;

/// What the process has once.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) generation: ArcSwap<Generation>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recorder: Recorder,
    /// What was spent.
    pub(crate) purses: Purses,
    /// The policy against the fixed rule.
    pub(crate) guard: Guard,
    pub(crate) data: Arc<Cache>,
    /// The response cache.
    pub(crate) cache: Arc<crate::cache::Cache>,
    pub(crate) spool: Arc<crate::spool::Store>,
    pub(crate) classes: Arc<Classes>,
    /// What is shown to others, and whom we believe.
    pub(crate) certificates: ArcSwap<Certificates>,
    /// What runs here for other sidecars.
    pub(crate) peers: Arc<Registry>,
    /// Asynchronous jobs that were accepted, and where they run.
    pub(crate) located: Located,
    /// Tells this process's dispatches from every other's.
    pub(crate) instance: u64,
    /// The next job's number.
    pub(crate) jobs: AtomicU64,
    /// Room for jobs that run on without their client.
    pub(crate) running_on: Arc<Room>,
    /// What keeps the service, where we do.
    pub(crate) keeping: OnceLock<Arc<Keeping>>,
    /// Where listeners are now.
    pub(crate) listening: ArcSwap<Vec<(Port, SocketAddr)>>,
    /// Which configuration is in force, and which was refused.
    pub(crate) book: Arc<Book>,
    /// The listening sockets, for a process that takes over.
    pub(crate) offers: Mutex<Vec<Offer>>,
    /// Whether `/readyz` says yes.
    pub(crate) ready: AtomicBool,
    /// Tells everything to come to an end.
    pub(crate) stop: watch::Sender<Ending>,
}

/// What one configuration makes.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// By their places. At the place of one that was removed is what it was last.
    pub(crate) networks: Vec<Arc<Network>>,
}

impl Generation {
    /// The networks that jobs can be sent to.
    pub(crate) fn networks_in_force(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.iter().filter(|network| !self.config.retired.contains(network.id))
    }
}

/// The register of classes. It is bounded: when it is full, a new name becomes its route's `other`, and that is counted.
/// A class is never forgotten for another, since its number stands in what was learned.
///
/// Classes are kept by the route's name, not its place, so that a reload that moves routes about keeps what was learned.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    known: RwLock<Register>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Register {
    by_route: HashMap<Box<str>, HashMap<Box<str>, ClassId>>,
    names: Vec<(Box<str>, Box<str>)>,
}

/// The most classes one process tells apart.
pub(crate) const MAX_CLASSES: usize = 1024;
/// The most bytes of a class's name that count.
const MAX_NAME: usize = 64;

/// What a name is called when there is no room for it.
const OTHER: &str = "other";

impl Classes {
    /// An empty register.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { known: RwLock::default(), metrics }
    }

    /// The class of the route called `route` that is called `name`, which is registered if there is room.
    pub(crate) fn id(&self, route: &str, name: &str) -> ClassId {
        let name = clipped(name);
        let (found, is_full) = self.known.read().look_up(route, name);
        if is_full && found.is_none_or(|found| found.is_other) {
            self.metrics.class_crowded();
        }
        if let Some(found) = found {
            return found.id;
        }
        let mut known = self.known.write();
        let (found, is_full) = known.look_up(route, name);
        found.map_or_else(|| known.add(route, if is_full { OTHER } else { name }), |found| found.id)
    }

    /// What [`Classes::id`] would come to, and what that class is called: whoever only asks leaves nothing behind.
    pub(crate) fn would_be(&self, route: &str, name: &str) -> (ClassId, Box<str>) {
        let (known, name) = (self.known.read(), clipped(name));
        let (found, is_full) = known.look_up(route, name);
        let is_other = found.map_or(is_full, |found| found.is_other);
        (found.map_or_else(|| known.next(), |found| found.id), if is_other { OTHER } else { name }.into())
    }

    /// The names of a class: its route's and its own.
    pub(crate) fn name(&self, class: ClassId) -> Option<(Box<str>, Box<str>)> {
        self.known.read().names.get(usize::from(class.0)).cloned()
    }
}

fn clipped(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// A class that was looked up.
#[derive(Clone, Copy, Debug)]
struct Found {
    id: ClassId,
    /// Whether it is not the one of that name, for which there is no room.
    is_other: bool,
}

impl Register {
    /// The class called `name`, or what it is called where there is no room; and whether there is none.
    fn look_up(&self, route: &str, name: &str) -> (Option<Found>, bool) {
        let is_full = self.names.len() >= MAX_CLASSES;
        let own = self.find(route, name).map(|id| Found { id, is_other: false });
        let other = || self.find(route, OTHER).filter(|_| is_full).map(|id| Found { id, is_other: true });
        (own.or_else(other), is_full)
    }

    fn find(&self, route: &str, name: &str) -> Option<ClassId> {
        self.by_route.get(route)?.get(name).copied()
    }

    /// The number of the next class.
    fn next(&self) -> ClassId {
        ClassId(u16::try_from(self.names.len()).unwrap_or(u16::MAX))
    }

    fn add(&mut self, route: &str, name: &str) -> ClassId {
        let id = self.next();
        self.names.push((route.into(), name.into()));
        self.by_route.entry(route.into()).or_default().insert(name.into(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_register_takes_no_more_names_and_says_so() {
        let metrics = Arc::new(Metrics::default());
        let classes = Classes::new(Arc::clone(&metrics));
        for n in 0..MAX_CLASSES {
            classes.id("route", &n.to_string());
        }
        assert_eq!(metrics.classes_crowded(), 0);
        let other = classes.id("route", "one more");
        assert_eq!(classes.id("route", "and another"), other);
        assert_eq!(classes.name(other), Some(("route".into(), OTHER.into())));
        assert_eq!(classes.id("route", "7"), ClassId(7), "what was there is still told apart");
        assert_eq!(metrics.classes_crowded(), 2);
    }

    #[test]
    fn whoever_only_asks_for_a_class_leaves_nothing_behind() {
        let classes = Classes::default();
        for n in 0..2 * MAX_CLASSES {
            assert_eq!(classes.would_be("route", &n.to_string()), (ClassId(0), n.to_string().into()));
        }
        let first = classes.id("route", "first");
        assert_eq!((first, classes.would_be("route", "first").0), (ClassId(0), ClassId(0)));
    }
}
