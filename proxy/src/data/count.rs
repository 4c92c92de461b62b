//! What the data cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// What the data cache has come to, for people and for the metrics.
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

macro_rules! counts {
    ($($name:ident),*) => {
        /// The cache's counters.
        #[derive(Debug, Default)]
        pub(super) struct Counts { $($name: AtomicU64),* }

        impl Counts {
            /// All of them but the memory's, which its budget knows.
            pub(super) fn stats(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counts!(
    objects,
    bytes,
    hits,
    joined,
    misses,
    bypassed,
    warmed,
    warmed_bytes,
    useful_bytes,
    wasted_bytes,
    forbidden,
    not_storable,
    no_room,
    refused,
    failed
);

impl Counts {
    pub(super) fn looked_up(&self, lookup: Lookup) {
        let counter = match lookup {
            Lookup::Hit => &self.hits,
            Lookup::Joined => &self.joined,
            Lookup::Miss => &self.misses,
            Lookup::Bypass => &self.bypassed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Origin => &self.forbidden,
            Refusal::NotStorable => &self.not_storable,
            Refusal::NoRoom => &self.no_room,
            Refusal::Busy => &self.refused,
            Refusal::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// An object was put into the cache.
    pub(super) fn kept(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An object was dropped from the cache.
    pub(super) fn dropped(&self, bytes: u64) {
        self.objects.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A whole object was fetched before anybody asked.
    pub(super) fn warmed(&self) {
        self.warmed.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes came that nobody had asked for yet.
    pub(super) fn warmed_bytes(&self, bytes: u64) {
        self.warmed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Warmed bytes were asked for, for the first time.
    pub(super) fn useful(&self, bytes: u64) {
        self.useful_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Warmed bytes were dropped without being asked for.
    pub(super) fn wasted(&self, bytes: u64) {
        self.wasted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
