//! What the data cache counts: in the process's metrics, and beside them what only `/status` tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::{self, DataRefusal, Metrics};

/// What a request for an input found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It was there.
    Hit,
    /// It was on its way: waited for together.
    Joined,
    /// It had to be fetched.
    Miss,
    /// It was not one for the cache, or its answer was not.
    Bypass,
}

/// What stood against a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its origin is not one that the configuration allows.
    Origin,
    /// Its answer is not one that may be kept.
    NotStorable,
    /// It is larger than an object may be, or there is no room for it now.
    NoRoom,
    /// As many fetches for warming run as may.
    Busy,
    /// Its origin could not be reached, or broke off, or took too long.
    Failed,
}

/// What the data cache has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Objects kept now.
    pub(crate) objects: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Bytes of memory taken by all objects: kept, on their way, or kept alive by a slow reader.
    pub(crate) memory_bytes: u64,
    /// Inputs that were there.
    pub(crate) hits: u64,
    /// Inputs that were on their way.
    pub(crate) joined: u64,
    /// Inputs that had to be fetched.
    pub(crate) misses: u64,
    /// Requests that the cache was not asked for, or whose answers it may not keep.
    pub(crate) bypassed: u64,
    /// Objects that were warmed.
    pub(crate) warmed: u64,
    /// Bytes that were fetched for warming, parts included.
    pub(crate) warmed_bytes: u64,
    /// Warmed bytes that were then asked for.
    pub(crate) useful_bytes: u64,
    /// Warmed bytes that were dropped without having been asked for.
    pub(crate) wasted_bytes: u64,
    /// Requests for origins that are not allowed.
    pub(crate) forbidden: u64,
    /// Answers that may not be kept.
    pub(crate) not_storable: u64,
    /// Objects too large to keep, or for which there was no room.
    pub(crate) no_room: u64,
    /// Warmings that were not begun because as many ran as may.
    pub(crate) refused: u64,
    /// Fetches that failed.
    pub(crate) failed: u64,
}

/// The cache's counters.
#[derive(Debug)]
pub(super) struct Counts {
    metrics: Arc<Metrics>,
    objects: AtomicU64,
    bypassed: AtomicU64,
    warmed: AtomicU64,
    forbidden: AtomicU64,
    not_storable: AtomicU64,
    no_room: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Counters that also count in `metrics`.
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            objects: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
            warmed: AtomicU64::new(0),
            forbidden: AtomicU64::new(0),
            not_storable: AtomicU64::new(0),
            no_room: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// All of them but the memory's, which its budget knows.
    pub(super) fn stats(&self) -> Stats {
        let counted = self.metrics.data.so_far();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            objects: of(&self.objects),
            bytes: counted.held_bytes,
            memory_bytes: 0,
            hits: counted.hits,
            joined: counted.joined,
            misses: counted.misses,
            bypassed: of(&self.bypassed),
            warmed: of(&self.warmed),
            warmed_bytes: counted.warmed_bytes,
            useful_bytes: counted.useful_bytes,
            wasted_bytes: counted.wasted_bytes,
            forbidden: of(&self.forbidden),
            not_storable: of(&self.not_storable),
            no_room: of(&self.no_room),
            refused: of(&self.busy),
            failed: of(&self.failed),
        }
    }

    pub(super) fn looked_up(&self, lookup: Lookup) {
        let lookup = match lookup {
            Lookup::Hit => metrics::Lookup::Hit,
            Lookup::Joined => metrics::Lookup::Joined,
            Lookup::Miss => metrics::Lookup::Miss,
            Lookup::Bypass => {
                self.bypassed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        self.metrics.data.looked_up(lookup);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        let (counter, reason) = match refusal {
            Refusal::Origin => (&self.forbidden, Some(DataRefusal::Origin)),
            Refusal::NotStorable => (&self.not_storable, None),
            Refusal::NoRoom => (&self.no_room, Some(DataRefusal::TooLarge)),
            Refusal::Busy => (&self.busy, Some(DataRefusal::Busy)),
            Refusal::Failed => (&self.failed, Some(DataRefusal::Failed)),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = reason {
            self.metrics.data.refused(reason);
        }
    }

    /// An object was put into the cache.
    pub(super) fn kept(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.metrics.data.held(bytes);
    }

    /// An object was dropped from the cache.
    pub(super) fn dropped(&self, bytes: u64) {
        self.objects.fetch_sub(1, Ordering::Relaxed);
        self.metrics.data.dropped(bytes);
    }

    /// A whole object was fetched before anybody asked.
    pub(super) fn warmed(&self) {
        self.warmed.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes came that nobody had asked for yet.
    pub(super) fn warmed_bytes(&self, bytes: u64) {
        self.metrics.data.warmed(bytes);
    }

    /// Warmed bytes were asked for, for the first time.
    pub(super) fn useful(&self, bytes: u64) {
        self.metrics.data.useful(bytes);
    }

    /// Warmed bytes were dropped without being asked for.
    pub(super) fn wasted(&self, bytes: u64) {
        self.metrics.data.wasted(bytes);
    }
}
