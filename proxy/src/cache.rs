//! The response cache: answers of routes with `cache = true`, given again as RFC 9111 lets a shared cache.
//!
//! A request is looked for by [`Cache::ask`] before it becomes a job: what the cache can answer is not planned, shadowed,
//! counted as a job or learned from. What it cannot is a job as any other, and its answer may be stored on its way to the
//! client ([`receive`]): bodies are taken in by a task of their own, which the client and everybody who waited for
//! the same read from at their own pace.
//!
//! `terms` says what may be stored and used, `conditional` what a client gets of it, `asked` how it is called. Heads are in
//! memory (`shelf`), small bodies, too, and all of them on disk if there is one, in files that outlive the process.
//!
//! Everything a client controls is bounded: bytes in memory and on disk, answers, answers by what they vary by, bytes of
//! names and heads, names that are let pass, fetches that revalidate in the background.
//!
//! Not here, on purpose: answers to anything but GET, parts of answers as they came, guesses at how long an answer is fresh,
//! `max-stale`. A shadow's answer is never stored, also if it was adopted.

mod asked;
mod conditional;
mod directives;
mod disk;
mod fill;
mod flights;
mod meta;
mod outlet;
mod purge;
mod receive;
mod renew;
mod respond;
mod shelf;
mod stored;
mod terms;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use config::Config;
use config::value::Cache as Settings;
use http::{HeaderMap, Request};
use parking_lot::Mutex;

use crate::body::Body;
use crate::disk::Disk;
use crate::metrics::{Bypass, Dropped, Metrics};
use crate::runtime::{Room, Taken};
use crate::spool::budget::Budget;

use flights::{Flights, Joined};
use shelf::{Gone, Most, Shelf};
use stored::{Hold, Stored};
use terms::Use;

pub(crate) use asked::{Asked, Scheme};
pub(crate) use outlet::Outlet;
pub(crate) use purge::{Changing, Purge};
pub(crate) use receive::{Fetch, Received, Storing};
pub(crate) use renew::Staleness;
pub(crate) use respond::{Said, said};
pub(crate) use terms::Provenance;

/// What a stored answer costs beside its head, name and body: handles, maps, allocators.
const BOOKKEEPING_BYTES: usize = 1 << 10;
/// Fetches that revalidate in the background, at once.
const REVALIDATING: usize = 64;

/// The response cache.
#[derive(Debug)]
pub(crate) struct Cache {
    settings: ArcSwap<Settings>,
    /// Whether any route is cached.
    is_on: AtomicBool,
    /// Whether there was a time without one: what requests changed then nobody has seen.
    was_off: AtomicBool,
    shelf: Arc<Shelf>,
    memory: Arc<Budget>,
    flights: Arc<Flights>,
    directory: Option<PathBuf>,
    disk: OnceLock<Arc<Disk>>,
    /// What was changed while the files were not taken up yet; `None` if they are, or will not be.
    changed_early: Mutex<Option<disk::Early>>,
    revalidating: Arc<Room>,
    metrics: Arc<Metrics>,
}

/// What the cache has for a request.
pub(crate) enum Looked {
    /// This, which answers it.
    Fresh(Found),
    /// This, which answers it and is to be revalidated meanwhile.
    Stale(Found),
    /// This, which answers it once it was validated.
    Outdated(Found),
    /// Nothing.
    Nothing,
}

/// Something that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Found(Stored);

/// How a request that the cache cannot answer goes on.
pub(crate) enum Turn {
    /// It fetches, for itself and for whoever else wants the same.
    Fetches(Fetch),
    /// It reads what another one fetches.
    Shares(Shared),
    /// By itself, for this reason.
    Alone(Bypass),
    /// It is to look again: things have changed.
    Again,
}

/// What another request fetches.
pub(crate) struct Shared(flights::Arriving, crate::disk::Reader);

impl Cache {
    /// An empty cache; what is on disk is taken up in the background.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> Arc<Self> {
        let settings = config.cache.clone();
        let directory = settings.directory.clone();
        let directory = directory.or_else(|| Some(config.state.directory.as_ref()?.join("cache")));
        let cache = Arc::new(Self {
            memory: Budget::new(settings.memory_bytes as u64),
            settings: ArcSwap::from_pointee(settings),
            is_on: AtomicBool::new(false),
            was_off: AtomicBool::new(false),
            shelf: Arc::default(),
            flights: Arc::default(),
            directory,
            disk: OnceLock::new(),
            changed_early: Mutex::default(),
            revalidating: Room::new(REVALIDATING),
            metrics: Arc::clone(metrics),
        });
        cache.turn(config);
        cache
    }

    /// Goes by this configuration from now on. What is too much goes at once; if no route is cached, all does, for nobody
    /// would notice any more what requests change.
    pub(crate) fn turn(self: &Arc<Self>, config: &Config) {
        let settings = &config.cache;
        self.settings.store(Arc::new(settings.clone()));
        self.memory.hold(settings.memory_bytes as u64);
        let gone = self.shelf.hold(Most { entries: settings.entries, variants: settings.variants });
        self.settle(gone);
        if let Some(disk) = self.disk.get() {
            disk.hold(self.disk_limits());
        }
        while self.memory.used_bytes() > settings.memory_bytes as u64 && self.relieve() {}
        let is_on = config.routes.iter().any(|route| route.cache);
        let was_on = self.is_on.swap(is_on, Ordering::AcqRel);
        if was_on && !is_on {
            self.drop_all(b"", Dropped::Purged);
        }
        if is_on {
            self.open_disk();
        } else {
            self.was_off.store(true, Ordering::Release);
        }
    }

    /// Whether any route is cached.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// What a request for a cached route asks.
    pub(crate) fn ask(&self, scheme: Scheme, route: &str, request: &Request<Body>) -> Result<Asked, Bypass> {
        Asked::read(&self.settings.load(), scheme, route, request)
    }

    /// What there is for a request that asks this and has these headers.
    pub(crate) fn look(&self, asked: &Asked, headers: &HeaderMap) -> Looked {
        let Some(stored) = self.shelf.find(&asked.key, headers) else { return Looked::Nothing };
        let usable = stored.head.terms.usable(stored.head.age(), &asked.directives, asked.has_credentials);
        let found = Found(stored);
        match usable {
            Use::Fresh => Looked::Fresh(found),
            Use::WhileRevalidated => Looked::Stale(found),
            Use::Validate => Looked::Outdated(found),
            Use::Never => Looked::Nothing,
        }
    }

    /// How a request goes on that is not answered by `found`. It may wait for what another one is fetching.
    pub(crate) async fn turn_of(self: &Arc<Self>, asked: &Asked, headers: &HeaderMap, found: Option<Found>) -> Turn {
        if self.shelf.is_passing(&asked.passing_key()) {
            return Turn::Alone(Bypass::Passing);
        }
        let name = self.flight_name(asked, headers);
        let flight = match self.flights.join(name) {
            Joined::Leads(lead) => return Turn::Fetches(Fetch::new(lead, asked, headers, found)),
            Joined::Follows(_) if !asked.shares() => return Turn::Alone(Bypass::NotShared),
            Joined::Follows(flight) => flight,
        };
        let wait = self.settings.load().wait;
        match tokio::time::timeout(wait, flight.head()).await {
            Err(_) => Turn::Alone(Bypass::Waited),
            Ok(flights::Outcome::Declined) => Turn::Alone(Bypass::NotShared),
            // Its client left, or it failed: one of those who waited is next.
            Ok(flights::Outcome::Over) => Turn::Again,
            Ok(flights::Outcome::Arriving(arriving)) => self.share(asked, headers, arriving),
        }
    }

    fn share(&self, asked: &Asked, headers: &HeaderMap, arriving: flights::Arriving) -> Turn {
        let terms = &arriving.head.terms;
        if !terms.fit(headers) {
            // Now it is known what it varies by, so the next turn is by another name.
            return Turn::Again;
        }
        let is_for_it = !asked.has_credentials || terms.is_public;
        match crate::disk::Reader::growing(Arc::clone(&arriving.body)).filter(|_| is_for_it) {
            Some(reader) => Turn::Shares(Shared(arriving, reader)),
            None => Turn::Alone(Bypass::NotShared),
        }
    }

    /// The right to revalidate `found` in the background, if nobody is about to.
    pub(crate) fn revalidation(&self, asked: &Asked, headers: &HeaderMap, found: &Found) -> Option<(Fetch, Taken)> {
        let room = self.revalidating.try_take()?;
        match self.flights.join(self.flight_name(asked, headers)) {
            Joined::Leads(lead) => Some((Fetch::new(lead, asked, headers, Some(found.clone())).in_background(), room)),
            Joined::Follows(_) => None,
        }
    }

    /// Requests of one name that are answered differently are fetched side by side.
    fn flight_name(&self, asked: &Asked, headers: &HeaderMap) -> Vec<u8> {
        let mut name = asked.key.clone();
        for field in self.shelf.vary(&asked.key) {
            name.extend_from_slice(&terms::joined(headers, &field));
            name.push(0);
        }
        name
    }

    /// Memory for `bytes` more, at the cost of what was used longest ago.
    fn reserve(&self, bytes: u64) -> Option<Hold> {
        let share = self.memory.share();
        while !share.grow(bytes) {
            if bytes > self.settings.load().memory_bytes as u64 || !self.relieve() {
                return None;
            }
        }
        Some(Hold::new(share, &self.metrics))
    }

    fn relieve(&self) -> bool {
        let gone = self.shelf.relieve();
        let some = gone.is_some();
        self.settle(gone.unwrap_or_default());
        some
    }

    /// Bytes of a body that is kept in memory.
    fn small_bytes(&self) -> usize {
        let settings = self.settings.load();
        settings.small_bytes.min(settings.memory_bytes / 8)
    }

    /// Takes all away whose names begin so, and what is being fetched by such names.
    fn drop_all(&self, beginning: &[u8], why: Dropped) -> usize {
        self.flights.outdate(beginning);
        if let Some(early) = &mut *self.changed_early.lock() {
            early.changed(beginning);
        }
        let gone = self.shelf.remove_all(beginning, why);
        let count = gone.len();
        self.settle(gone);
        count
    }

    /// This very answer cannot be read, or is not true any more.
    fn drop_one(&self, key: &[u8], stored: &Stored, why: Dropped) {
        let gone = self.shelf.remove(key, stored, why);
        self.settle(gone);
    }

    /// Counts what is gone, and takes it from the disk.
    fn settle(&self, gone: Gone) {
        for (stored, why) in gone {
            self.metrics.cache.dropped(stored.body.len, why);
            if let (Some(disk), Some(object)) = (self.disk.get(), stored.body.on_disk()) {
                disk.remove(&object, crate::disk::Why::Removed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
