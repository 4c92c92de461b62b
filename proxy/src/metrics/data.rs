//! What the data cache counts, as a set of its own that the cache holds on to.

use policy::NetworkId;
use policy::inputs::gain::Read;
use prometheus_client::registry::Unit;

use super::family::{Axis, Family, Head, Scraped, millionths};
use super::words::{DataRefusal, Found, Lookup, Word};

/// The data cache's counters.
#[derive(Debug)]
pub(crate) struct DataCounters {
    lookups: Family<1>,
    warmed: Family<0>,
    warmed_bytes: Family<0>,
    useful: Family<0>,
    wasted: Family<0>,
    held: Family<0>,
    held_bytes: Family<0>,
    refused: Family<1>,
    inputs: Family<2>,
    input_bytes: Family<2>,
    saved: Family<1>,
}

impl DataCounters {
    pub(super) fn new(network: &Axis) -> Self {
        let found = Axis::of::<Found>("found");
        let bytes = |name, help| Head::in_unit(name, Unit::Bytes, help);
        Self {
            lookups: Family::counters(
                Head::new("adumbra_data_lookups", "Inputs the service asked for, by what the data cache had"),
                [&Axis::of::<Lookup>("result")],
            ),
            warmed: Family::counters(
                Head::new("adumbra_data_warmed_objects", "Objects fetched whole before the service asked"),
                [],
            ),
            warmed_bytes: Family::counters(bytes("adumbra_data_warmed", "Bytes fetched before the service asked"), []),
            useful: Family::counters(bytes("adumbra_data_useful", "Warmed bytes that the service then asked for"), []),
            wasted: Family::counters(bytes("adumbra_data_wasted", "Warmed bytes dropped without being asked for"), []),
            held: Family::gauges(Head::new("adumbra_data_held_objects", "Objects in the data cache"), []),
            held_bytes: Family::gauges(bytes("adumbra_data_held", "Bytes in the data cache"), []),
            refused: Family::counters(
                Head::new("adumbra_data_refused", "Fetches not made or not kept, by what stood against them"),
                [&Axis::of::<DataRefusal>("reason")],
            ),
            inputs: Family::counters(
                Head::new(
                    "adumbra_job_inputs",
                    "Inputs that jobs have read, by network and by whether they were there",
                ),
                [network, &found],
            ),
            input_bytes: Family::counters(
                bytes(
                    "adumbra_job_inputs",
                    "Bytes of inputs that jobs have read, by network and by whether they were there",
                ),
                [network, &found],
            ),
            saved: Family::levels(
                Head::in_unit(
                    "adumbra_job_inputs_saved",
                    Unit::Seconds,
                    "What jobs that found their inputs took less than those of their class that did not",
                ),
                [network],
            ),
        }
    }

    /// The service asked for an input.
    pub(crate) fn looked_up(&self, lookup: Lookup) {
        self.lookups.add([lookup.place()], 1);
    }

    /// A whole object was fetched before anybody asked.
    pub(crate) fn warmed(&self) {
        self.warmed.add([], 1);
    }

    /// Bytes came that nobody had asked for yet.
    pub(crate) fn warmed_bytes(&self, bytes: u64) {
        self.warmed_bytes.add([], bytes);
    }

    /// Warmed bytes were asked for, for the first time.
    pub(crate) fn useful(&self, bytes: u64) {
        self.useful.add([], bytes);
    }

    /// Warmed bytes were dropped, or came to nothing, without being asked for.
    pub(crate) fn wasted(&self, bytes: u64) {
        self.wasted.add([], bytes);
    }

    /// An object was put into the cache.
    pub(crate) fn kept(&self, bytes: u64) {
        self.held.add([], 1);
        self.held_bytes.add([], bytes);
    }

    /// An object was dropped from the cache.
    pub(crate) fn dropped(&self, bytes: u64) {
        self.held.subtract([], 1);
        self.held_bytes.subtract([], bytes);
    }

    /// A job has read this on a network, and so saved some time, if that can be said.
    pub(crate) fn read(&self, on: NetworkId, read: &Read, saved_s: Option<f64>) {
        let Read { hits, misses, hit_bytes, missed_bytes } = *read;
        for (found, count, bytes) in [(Found::Warm, hits, hit_bytes), (Found::Cold, misses, missed_bytes)] {
            self.inputs.add([on.index(), found.place()], count.into());
            self.input_bytes.add([on.index(), found.place()], bytes);
        }
        let saved_s = saved_s.unwrap_or(0.0);
        // Of what is negative, and of what is no number, there are no millionths.
        self.saved.add([on.index()], millionths(saved_s));
        self.saved.subtract([on.index()], millionths(-saved_s));
    }

    /// A fetch was not made, or what it brought was not kept.
    pub(crate) fn refused(&self, refusal: DataRefusal) {
        self.refused.add([refusal.place()], 1);
    }

    /// Fetches that this stood against.
    #[cfg(test)]
    pub(crate) fn refused_for(&self, refusal: DataRefusal) -> u64 {
        self.refused.value([refusal.place()])
    }

    /// What the counters have come to, for people.
    pub(crate) fn so_far(&self) -> DataSoFar {
        let looked_up = |lookup: Lookup| self.lookups.value([lookup.place()]);
        DataSoFar {
            hits: looked_up(Lookup::Hit),
            joined: looked_up(Lookup::Joined),
            misses: looked_up(Lookup::Miss),
            bypassed: looked_up(Lookup::Bypass),
            warmed: self.warmed.value([]),
            warmed_bytes: self.warmed_bytes.value([]),
            useful_bytes: self.useful.value([]),
            wasted_bytes: self.wasted.value([]),
            held: self.held.value([]),
            held_bytes: self.held_bytes.value([]),
            refused: self.refused.total(),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 11] {
        [
            &self.lookups,
            &self.warmed,
            &self.warmed_bytes,
            &self.useful,
            &self.wasted,
            &self.held,
            &self.held_bytes,
            &self.refused,
            &self.inputs,
            &self.input_bytes,
            &self.saved,
        ]
    }
}

/// What the data cache's counters have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DataSoFar {
    pub(crate) hits: u64,
    pub(crate) joined: u64,
    pub(crate) misses: u64,
    pub(crate) bypassed: u64,
    pub(crate) warmed: u64,
    pub(crate) warmed_bytes: u64,
    pub(crate) useful_bytes: u64,
    pub(crate) wasted_bytes: u64,
    pub(crate) held: u64,
    pub(crate) held_bytes: u64,
    pub(crate) refused: u64,
}
