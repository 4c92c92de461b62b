//! What the response cache counts, as a set of its own that the cache holds on to.

use prometheus_client::registry::Unit;

use super::family::{Axis, Family, Head, Scraped};
use super::words::{Word, words};

/// How a request that the cache is concerned with was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheResult {
    /// From what is stored, and fresh.
    Hit,
    /// From what is stored and stale: it is validated meanwhile, or its origin has failed.
    Stale,
    /// From what is stored, after it was validated.
    Revalidated,
    /// From what another request was fetching.
    Collapsed,
    /// By its network.
    Miss,
    /// By its network, and the cache had no part in it.
    Bypass,
}

/// Why the cache had no part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// Its method is not one that is cached.
    Method,
    /// It has a body.
    Body,
    /// It wants another protocol.
    Upgrade,
    /// It has no `Host`.
    NoHost,
    /// Its name is longer than one may be.
    TooLong,
    /// It says `no-store`.
    NoStore,
    /// A field that cannot be part of a key may change what it means.
    Unkeyed,
    /// `If-Match` or `If-Unmodified-Since`: for the service to judge.
    Condition,
    /// It asks for a range of what is not stored whole and fresh.
    Range,
    /// HEAD for what is not stored and fresh.
    Head,
    /// It asks about an asynchronous job.
    Asynchronous,
    /// Answers to it were not stored a moment ago.
    Passing,
    /// It has waited for another's fetch for as long as it may.
    Waited,
    /// What another fetched is not for it.
    NotShared,
}

/// Why an answer was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// Its status is not one that is stored.
    Status,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `Set-Cookie`.
    SetCookie,
    /// The request has credentials, and the answer does not say that it is for everybody.
    Credentials,
    /// It does not say how long it is fresh, or is of no use by then.
    NoLifetime,
    /// It varies by what cannot be part of a key.
    Vary,
    /// Its end cannot be told from a cut.
    Framing,
    /// It announces trailers.
    Trailers,
    /// What it says about storing cannot be read.
    Unreadable,
    /// It is an adopted shadow's.
    Shadow,
    /// Its head is longer than one may be.
    HeadTooLong,
    /// It is longer than an object may be.
    TooLarge,
    /// There was no room.
    NoRoom,
    /// It broke off, or nobody wanted it any more.
    BrokeOff,
    /// What it answers was changed meanwhile.
    Invalidated,
    /// The disk did not take it.
    Disk,
}

/// Why something that was stored no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Others needed the room.
    Evicted,
    /// A newer answer took its place.
    Replaced,
    /// A request has changed what it is of.
    Invalidated,
    /// An operator said so.
    Purged,
    /// It could not be read back.
    Damaged,
}

words!(CacheResult:
    CacheResult::Hit => "hit", CacheResult::Stale => "stale", CacheResult::Revalidated => "revalidated",
    CacheResult::Collapsed => "collapsed", CacheResult::Miss => "miss", CacheResult::Bypass => "bypass");
words!(Bypass:
    Bypass::Method => "method", Bypass::Body => "body", Bypass::Upgrade => "upgrade", Bypass::NoHost => "no_host",
    Bypass::TooLong => "too_long", Bypass::NoStore => "no_store", Bypass::Unkeyed => "unkeyed",
    Bypass::Condition => "condition", Bypass::Range => "range", Bypass::Head => "head",
    Bypass::Asynchronous => "asynchronous", Bypass::Passing => "passing", Bypass::Waited => "waited",
    Bypass::NotShared => "not_shared");
words!(NotStored:
    NotStored::Status => "status", NotStored::NoStore => "no_store", NotStored::Private => "private",
    NotStored::SetCookie => "set_cookie", NotStored::Credentials => "credentials",
    NotStored::NoLifetime => "no_lifetime", NotStored::Vary => "vary", NotStored::Framing => "framing",
    NotStored::Trailers => "trailers", NotStored::Unreadable => "unreadable", NotStored::Shadow => "shadow",
    NotStored::HeadTooLong => "head_too_long", NotStored::TooLarge => "too_large", NotStored::NoRoom => "no_room",
    NotStored::BrokeOff => "broke_off", NotStored::Invalidated => "invalidated", NotStored::Disk => "disk");
words!(Dropped:
    Dropped::Evicted => "evicted", Dropped::Replaced => "replaced", Dropped::Invalidated => "invalidated",
    Dropped::Purged => "purged", Dropped::Damaged => "damaged");

impl Bypass {
    /// What stands in `Cache-Status`.
    pub(crate) fn as_str(self) -> &'static str {
        self.word()
    }
}

/// The response cache's counters.
#[derive(Debug)]
pub(crate) struct CacheCounters {
    requests: Family<1>,
    bypassed: Family<1>,
    not_stored: Family<1>,
    stored: Family<0>,
    stored_bytes: Family<0>,
    dropped: Family<1>,
    dropped_bytes: Family<1>,
    entries: Family<0>,
    memory_bytes: Family<0>,
    disk_bytes: Family<0>,
    discarded: Family<0>,
}

impl CacheCounters {
    pub(super) fn new() -> Self {
        let bytes = |name, help| Head::in_unit(name, Unit::Bytes, help);
        let why = Axis::of::<Dropped>("reason");
        Self {
            requests: Family::counters(
                Head::new("adumbra_cache_requests", "Requests of cached routes, by how they were answered"),
                [&Axis::of::<CacheResult>("result")],
            ),
            bypassed: Family::counters(
                Head::new("adumbra_cache_bypassed", "Requests of cached routes that the cache had no part in, by why"),
                [&Axis::of::<Bypass>("reason")],
            ),
            not_stored: Family::counters(
                Head::new("adumbra_cache_not_stored", "Answers that might have been stored and were not, by why"),
                [&Axis::of::<NotStored>("reason")],
            ),
            stored: Family::counters(Head::new("adumbra_cache_stored_answers", "Answers that were stored"), []),
            stored_bytes: Family::counters(bytes("adumbra_cache_stored", "Bytes of bodies that were stored"), []),
            dropped: Family::counters(
                Head::new("adumbra_cache_dropped_answers", "Stored answers that were dropped, by why"),
                [&why],
            ),
            dropped_bytes: Family::counters(
                bytes("adumbra_cache_dropped", "Bytes of bodies of stored answers that were dropped, by why"),
                [&why],
            ),
            entries: Family::gauges(Head::new("adumbra_cache_entries", "Stored answers"), []),
            memory_bytes: Family::gauges(bytes("adumbra_cache_memory", "Bytes of stored answers in memory"), []),
            disk_bytes: Family::gauges(bytes("adumbra_cache_disk", "Bytes of stored answers on disk"), []),
            discarded: Family::counters(
                Head::new(
                    "adumbra_cache_discarded_files",
                    "Files that were no sound answers when the cache was opened",
                ),
                [],
            ),
        }
    }

    /// A request was answered in this way.
    pub(crate) fn answered(&self, result: CacheResult) {
        self.requests.add([result.place()], 1);
    }

    /// The cache had no part in a request.
    pub(crate) fn bypassed(&self, why: Bypass) {
        self.answered(CacheResult::Bypass);
        self.bypassed.add([why.place()], 1);
    }

    /// An answer was not stored.
    pub(crate) fn not_stored(&self, why: NotStored) {
        self.not_stored.add([why.place()], 1);
    }

    /// An answer is stored now.
    pub(crate) fn stored(&self, bytes: u64) {
        self.stored.add([], 1);
        self.stored_bytes.add([], bytes);
        self.entries.add([], 1);
    }

    /// One that an earlier process stored was found again.
    pub(crate) fn found_again(&self) {
        self.entries.add([], 1);
    }

    /// One is no longer stored.
    pub(crate) fn dropped(&self, bytes: u64, why: Dropped) {
        self.dropped.add([why.place()], 1);
        self.dropped_bytes.add([why.place()], bytes);
        self.entries.subtract([], 1);
    }

    /// More is held in memory.
    pub(crate) fn holds(&self, bytes: u64) {
        self.memory_bytes.add([], bytes);
    }

    /// Less is held in memory.
    pub(crate) fn lets_go(&self, bytes: u64) {
        self.memory_bytes.subtract([], bytes);
    }

    /// More is on disk.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.disk_bytes.add([], bytes);
    }

    /// Less is on disk.
    pub(crate) fn unlinked(&self, bytes: u64) {
        self.disk_bytes.subtract([], bytes);
    }

    /// A file was not a sound answer.
    pub(crate) fn discarded(&self) {
        self.discarded.add([], 1);
    }

    /// What the counters have come to, for people.
    pub(crate) fn so_far(&self) -> CacheSoFar {
        let answered = |result: CacheResult| self.requests.value([result.place()]);
        CacheSoFar {
            hits: answered(CacheResult::Hit),
            stale: answered(CacheResult::Stale),
            revalidated: answered(CacheResult::Revalidated),
            collapsed: answered(CacheResult::Collapsed),
            misses: answered(CacheResult::Miss),
            bypassed: answered(CacheResult::Bypass),
            not_stored: self.not_stored.total(),
            stored: self.stored.value([]),
            stored_bytes: self.stored_bytes.value([]),
            evicted_bytes: self.dropped_bytes.value([Dropped::Evicted.place()]),
            damaged: self.dropped.value([Dropped::Damaged.place()]) + self.discarded.value([]),
            entries: self.entries.value([]),
            memory_bytes: self.memory_bytes.value([]),
            disk_bytes: self.disk_bytes.value([]),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 11] {
        [
            &self.requests,
            &self.bypassed,
            &self.not_stored,
            &self.stored,
            &self.stored_bytes,
            &self.dropped,
            &self.dropped_bytes,
            &self.entries,
            &self.memory_bytes,
            &self.disk_bytes,
            &self.discarded,
        ]
    }
}

/// What the response cache's counters have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheSoFar {
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) revalidated: u64,
    pub(crate) collapsed: u64,
    pub(crate) misses: u64,
    pub(crate) bypassed: u64,
    pub(crate) not_stored: u64,
    pub(crate) stored: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) evicted_bytes: u64,
    pub(crate) damaged: u64,
    pub(crate) entries: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
}
