//! The data cache: inputs that jobs need, fetched through the sidecar so that what was warmed is found.
//!
//! A service fetches its inputs through [`egress()`]; what a job on its way here will need is fetched ahead by
//! [`Cache::warm`]. Both meet in one store and in one flight per object, so that warming never fetches twice what the
//! service asks for meanwhile, and never keeps it waiting for longer than its own fetch would.
//!
//! Everything is bounded: the memory of all objects together, also those that still grow and those that were dropped but
//! are still being read; the bytes of one; the fetches for warming; the time a fetch takes. Origins are those that the
//! configuration names, and none by default.
//!
//! What it deliberately does not do, yet: keep anything on disk, revalidate, keep several variants of one URL, or keep
//! connections to origins.

mod attendance;
mod egress;
mod fetch;
mod flight;
mod gains;
mod headers;
mod held;
mod link;
mod object;
mod origin;
mod outlet;
mod pace;
mod reader;
mod storable;
mod store;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;

use crate::clock;
use crate::metrics::{DataRefusal, Metrics};
use crate::runtime::Room;
use crate::spool::budget::Budget;

use fetch::Way;
use flight::{Boarding, Errand, Flights, Ticket};
use object::Purpose;
use origin::Allowed;
use store::Store;

pub(crate) use attendance::{Attendance, INPUTS, Roll, job_of};
pub(crate) use egress::egress;
pub(crate) use gains::{Gains, read};
pub(crate) use held::{Held, InputHash};
pub(crate) use link::{MOST as DECLARED_MOST, declared};
pub(crate) use outlet::Outlet;
pub(crate) use pace::Allowance;
pub(crate) use reader::tell;

/// Objects by URL, in memory, with one fetch for many waiters.
#[derive(Debug)]
pub(crate) struct Cache {
    rules: ArcSwap<Rules>,
    /// What all objects take, wherever they are.
    memory: Arc<Budget>,
    store: Store,
    flights: Flights,
    warming: Arc<Room>,
    /// How fast warming may be, all of it together.
    pace: pace::Pace,
    /// How fast origins are found to be.
    link: parking_lot::Mutex<policy::link::Link>,
    /// The jobs whose fetches these are, and what was learned of that.
    pub(crate) roll: Arc<Roll>,
    /// What it has been worth to find inputs here, or wherever a job ran.
    pub(crate) gains: Gains,
    /// The dispatches whose reading is watched.
    pub(crate) readers: reader::Readers,
    metrics: Arc<Metrics>,
}

/// What may be fetched, and how.
#[derive(Debug)]
struct Rules {
    allowed: Allowed,
    way: Way,
    /// Bytes of one object at the most.
    object_bytes: u64,
    /// Bytes fetched ahead for one job at the most.
    job_bytes: u64,
    /// Whether what jobs fetch is learned.
    learn: bool,
}

impl Rules {
    fn new(config: &config::value::Data, roots: Option<Arc<ClientConfig>>) -> Self {
        Self {
            allowed: Allowed::new(&config.origins),
            way: Way { timeout: config.timeout, roots },
            object_bytes: config.object_bytes.min(kept_bytes(config) / 2) as u64,
            job_bytes: config.job_bytes,
            learn: config.learn && !config.origins.is_empty(),
        }
    }
}

/// Bytes of what is kept: the rest is for objects that still grow, and for dropped ones that are still being read.
fn kept_bytes(config: &config::value::Data) -> usize {
    config.memory_bytes / 4 * 3
}

/// The public roots, if any origin needs them: they take memory, which most need not spend.
fn public_roots(config: &config::value::Data) -> Option<Arc<ClientConfig>> {
    let wanted = config.origins.iter().any(|origin| origin.scheme == Scheme::HTTPS);
    let public = || certs::client_config(None, &[b"http/1.1"]);
    if wanted { public().inspect_err(|error| tracing::error!(%error, "no public roots")).ok() } else { None }
}

impl Cache {
    /// An empty cache. `https` origins are verified by the public roots.
    pub(crate) fn new(config: &config::value::Data, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::with_roots(config, metrics, public_roots(config))
    }

    /// Goes by this from now on, but for the bytes that it keeps in memory; what it has, it keeps.
    pub(crate) fn turn(&self, config: &config::value::Data) {
        let known = self.rules.load().way.roots.clone();
        self.rules.store(Arc::new(Rules::new(config, known.or_else(|| public_roots(config)))));
        self.warming.hold(config.warming);
        self.pace.hold(config.warming_bytes_per_s);
    }

    /// An empty cache that verifies `https` origins by `roots`, which must not offer HTTP/2. Without roots, they cannot be
    /// fetched from.
    pub(crate) fn with_roots(
        config: &config::value::Data,
        metrics: Arc<Metrics>,
        roots: Option<Arc<ClientConfig>>,
    ) -> Arc<Self> {
        let kept_bytes = kept_bytes(config);
        Arc::new(Self {
            rules: ArcSwap::from_pointee(Rules::new(config, roots)),
            memory: Budget::new(config.memory_bytes as u64),
            store: Store::new(kept_bytes, kept_bytes, Arc::clone(&metrics)),
            flights: Flights::default(),
            warming: Room::new(config.warming),
            pace: pace::Pace::new(config.warming_bytes_per_s),
            link: parking_lot::Mutex::default(),
            roll: Arc::default(),
            gains: Gains::default(),
            readers: reader::Readers::default(),
            metrics,
        })
    }

    /// What may be fetched ahead for one job.
    pub(crate) fn allowance(&self) -> Arc<Allowance> {
        Allowance::of(self.rules.load().job_bytes)
    }

    /// Whether what jobs fetch is learned.
    pub(crate) fn learns(&self) -> bool {
        self.rules.load().learn
    }

    /// What a job of this kind is expected to fetch, by what was learned.
    pub(crate) fn expected(&self, kind: &policy::inputs::Kind) -> Vec<policy::inputs::Expected> {
        self.roll.expected(kind)
    }

    /// How fast origins are found to be; 0 while nobody knows.
    pub(crate) fn fetch_bytes_per_s(&self) -> f64 {
        self.link.lock().bytes_per_s(clock::now_s())
    }

    /// The length of an input that was here lately.
    pub(crate) fn length_of(&self, input: InputHash) -> Option<u64> {
        self.store.holdings.length_of(input)
    }

    /// What is here, for another sidecar, which has the list of version `has`.
    pub(crate) fn held(&self, has: u64) -> Held {
        self.store.holdings.told(has, self.fetch_bytes_per_s())
    }

    /// Begins to fetch `url`, unless it is here or on its way already; not beyond what is left of `allowance`.
    ///
    /// Must be called in a runtime, which then does the fetch.
    pub(crate) fn warm(self: &Arc<Self>, url: &Uri, allowance: &Arc<Allowance>) -> Result<Warming, NotWarmed> {
        let Some(key) = self.rules.load().allowed.key(url) else {
            self.metrics.data.refused(DataRefusal::Origin);
            return Err(NotWarmed::Forbidden);
        };
        let errand = || match self.warming.try_take() {
            Some(permit) => Ok(Errand {
                headers: headers::warming(),
                purpose: Purpose::Warm,
                allowance: Some(Arc::clone(allowance)),
                _permit: Some(permit),
            }),
            None => {
                self.metrics.data.refused(DataRefusal::Busy);
                Err(NotWarmed::Busy)
            }
        };
        match flight::board(self, &key, errand)? {
            Boarding::Found(_) => Ok(Warming(None)),
            Boarding::Joined(ticket) | Boarding::Started(ticket) => Ok(Warming(Some(ticket))),
        }
    }

    /// Whether `url` may be fetched.
    pub(crate) fn allows(&self, url: &Uri) -> bool {
        self.rules.load().allowed.key(url).is_some()
    }

    /// The bytes of `url` that are here, if all of them are, and fresh.
    pub(crate) fn contains(&self, url: &Uri) -> Option<u64> {
        let key = self.rules.load().allowed.key(url)?;
        self.store.fresh(&key, Instant::now()).map(|object| object.len())
    }
}

/// Data on its way. Dropped, the fetch is cancelled, unless somebody else waits for it.
#[derive(Debug)]
#[must_use = "dropping it cancels the fetch"]
pub(crate) struct Warming(Option<Ticket>);

impl Warming {
    /// Waits for the end of the fetch. Whether the data is here now.
    pub(crate) async fn done(&self) -> bool {
        match &self.0 {
            Some(ticket) => ticket.landed_whole().await,
            None => true,
        }
    }
}

/// Why data is not being warmed. Never a reason to fail a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotWarmed {
    /// Its origin is not one that the configuration allows.
    #[error("the origin is not in `data.origins`")]
    Forbidden,
    /// As many fetches for warming run as may.
    #[error("as many fetches for warming run as `data.warming` allows")]
    Busy,
}

#[cfg(test)]
mod tests;
