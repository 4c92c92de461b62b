//! What the data cache counts, as a set of its own that the cache holds on to.

use prometheus_client::registry::Unit;

use super::family::{Axis, Family, Head, Scraped};
use super::words::{DataRefusal, Lookup, Word};

/// The data cache's counters.
#[derive(Debug)]
pub(crate) struct DataCounters {
    lookups: Family<1>,
    warmed: Family<0>,
    useful: Family<0>,
    wasted: Family<0>,
    held: Family<0>,
    refused: Family<1>,
}

impl DataCounters {
    pub(super) fn new() -> Self {
        let bytes = |name, help| Head::in_unit(name, Unit::Bytes, help);
        Self {
            lookups: Family::counters(
                Head::new("adumbra_data_lookups", "Inputs the service asked for, by what the data cache had"),
                [&Axis::of::<Lookup>("result")],
            ),
            warmed: Family::counters(bytes("adumbra_data_warmed", "Bytes fetched before the service asked"), []),
            useful: Family::counters(bytes("adumbra_data_useful", "Warmed bytes that the service then asked for"), []),
            wasted: Family::counters(bytes("adumbra_data_wasted", "Warmed bytes dropped without being asked for"), []),
            held: Family::gauges(bytes("adumbra_data_held", "Bytes in the data cache"), []),
            refused: Family::counters(
                Head::new("adumbra_data_refused", "Fetches not made or not kept, by what stood against them"),
                [&Axis::of::<DataRefusal>("reason")],
            ),
        }
    }

    pub(crate) fn looked_up(&self, lookup: Lookup) {
        self.lookups.add([lookup.place()], 1);
    }

    /// Bytes were fetched before anybody asked.
    pub(crate) fn warmed(&self, bytes: u64) {
        self.warmed.add([], bytes);
    }

    /// Warmed bytes were asked for, for the first time.
    pub(crate) fn useful(&self, bytes: u64) {
        self.useful.add([], bytes);
    }

    /// Warmed bytes were dropped, or came to nothing, without being asked for.
    pub(crate) fn wasted(&self, bytes: u64) {
        self.wasted.add([], bytes);
    }

    /// Bytes were put into the cache.
    pub(crate) fn held(&self, bytes: u64) {
        self.held.add([], bytes);
    }

    /// Bytes were dropped from the cache.
    pub(crate) fn dropped(&self, bytes: u64) {
        self.held.add([], bytes.wrapping_neg());
    }

    pub(crate) fn refused(&self, refusal: DataRefusal) {
        self.refused.add([refusal.place()], 1);
    }

    /// What the counters have come to, for people.
    pub(crate) fn so_far(&self) -> DataSoFar {
        DataSoFar {
            hits: self.lookups.value([Lookup::Hit.place()]),
            joined: self.lookups.value([Lookup::Joined.place()]),
            misses: self.lookups.value([Lookup::Miss.place()]),
            warmed_bytes: self.warmed.value([]),
            useful_bytes: self.useful.value([]),
            wasted_bytes: self.wasted.value([]),
            held_bytes: self.held.value([]),
            refused: self.refused.total(),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 6] {
        [&self.lookups, &self.warmed, &self.useful, &self.wasted, &self.held, &self.refused]
    }
}

/// What the data cache's counters have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DataSoFar {
    pub(crate) hits: u64,
    pub(crate) joined: u64,
    pub(crate) misses: u64,
    pub(crate) warmed_bytes: u64,
    pub(crate) useful_bytes: u64,
    pub(crate) wasted_bytes: u64,
    pub(crate) held_bytes: u64,
    pub(crate) refused: u64,
}
