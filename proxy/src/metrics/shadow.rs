//! What is counted about shadows.
//!
//! A shadow's count is a guard: started is counted when it is made and exactly one end when it goes, whatever ends it, so
//! that on every network started = adopted + cancelled + finished + failed + in flight. What runs here for other sidecars is
//! counted apart: they count it as theirs.

use std::sync::Arc;

use policy::NetworkId;
use policy::budget::NoPermit;
use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::words::{Direction, ServedEnd, ShadowEnd, Word};

/// The word for a shadow that the far side did not execute, beside the reasons of [`NoPermit`].
const NOT_EXECUTED: &str = "not_executed";

#[derive(Debug)]
pub(super) struct ShadowCounters {
    started: Family<1>,
    ended: Family<2>,
    in_flight: Family<1>,
    refused: Family<2>,
    bytes: Family<2>,
    served: Family<1>,
    clamped: Family<0>,
    shed: Family<1>,
}

impl ShadowCounters {
    pub(super) fn new(network: &Axis) -> Self {
        let end = Axis::of::<ShadowEnd>("end");
        let mut reason = Axis::of::<NoPermit>("reason");
        reason.values.push(NOT_EXECUTED.to_owned());
        Self {
            started: Family::counters(
                Head::new("adumbra_shadows_started", "Shadows started, by the network they ran on"),
                [network],
            ),
            ended: Family::counters(
                Head::new("adumbra_shadows_ended", "Shadows that are over, by network and by how they ended"),
                [network, &end],
            ),
            in_flight: Family::gauges(Head::new("adumbra_shadows_in_flight", "Shadows running now"), [network]),
            refused: Family::counters(
                Head::new(
                    "adumbra_shadows_refused",
                    "Shadows that were planned but not run, by what stood against them",
                ),
                [network, &reason],
            ),
            bytes: Family::counters(
                Head::in_unit("adumbra_shadow", Unit::Bytes, "Body bytes that shadows moved, by network and direction"),
                [network, &Axis::of::<Direction>("direction")],
            ),
            served: Family::counters(
                Head::new("adumbra_shadows_served", "Shadows run here for other sidecars, by how they ended"),
                [&Axis::of::<ServedEnd>("end")],
            ),
            clamped: Family::counters(
                Head::new(
                    "adumbra_shadows_clamped",
                    "Shadows of other sidecars that asked for more than they are given here",
                ),
                [],
            ),
            shed: Family::counters(
                Head::new("adumbra_shadows_shed", "Shadows stopped since live work needed their room, by network"),
                [network],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 8] {
        [
            &self.started,
            &self.ended,
            &self.in_flight,
            &self.refused,
            &self.bytes,
            &self.served,
            &self.shed,
            &self.clamped,
        ]
    }

    fn ended_so_far(&self, end: ShadowEnd) -> u64 {
        (0..policy::MAX_NETWORKS).map(|network| self.ended.value([network, end.place()])).sum()
    }
}

/// One shadow in flight, as it is counted. Dropped without a word, it was cancelled.
#[derive(Debug)]
#[must_use = "dropping it counts the shadow as cancelled"]
pub(crate) struct ShadowCount {
    metrics: Arc<Metrics>,
    network: NetworkId,
    end: ShadowEnd,
}

impl ShadowCount {
    /// Counts how it ended.
    pub(crate) fn ended(mut self, end: ShadowEnd) {
        self.end = end;
    }

    /// The far side did not execute it: counted as failed, and as refused.
    pub(crate) fn not_executed(self) {
        self.metrics.shadows.refused.add([self.network.index(), <NoPermit as Word>::ALL.len()], 1);
        self.ended(ShadowEnd::Failed);
    }
}

impl Drop for ShadowCount {
    fn drop(&mut self) {
        let shadows = &self.metrics.shadows;
        shadows.ended.add([self.network.index(), self.end.place()], 1);
        shadows.in_flight.subtract([self.network.index()], 1);
    }
}

/// One shadow that runs here for another sidecar, as it is counted. Dropped without a word, it was cut.
#[derive(Debug)]
#[must_use = "dropping it counts the shadow as cut"]
pub(crate) struct ServedCount {
    metrics: Arc<Metrics>,
    end: ServedEnd,
}

impl ServedCount {
    /// Counts how it ended, which was here, on `home`.
    pub(crate) fn ended(mut self, end: ServedEnd, home: NetworkId) {
        self.end = end;
        if end == ServedEnd::Shed {
            self.metrics.shadow_shed(home);
        }
    }
}

impl Drop for ServedCount {
    fn drop(&mut self) {
        self.metrics.shadows.served.add([self.end.place()], 1);
    }
}

/// What the shadows' counters have come to, over all networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShadowsSoFar {
    pub(crate) started: u64,
    pub(crate) adopted: u64,
    pub(crate) cancelled: u64,
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    pub(crate) in_flight: u64,
}

/// Shadows on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShadowsOn {
    pub(crate) started: u64,
    pub(crate) adopted: u64,
    pub(crate) in_flight: u64,
    /// Only reasons that were given.
    pub(crate) refused: std::collections::BTreeMap<&'static str, u64>,
}

impl Metrics {
    /// A shadow is started: it is in flight until what is returned is gone.
    pub(crate) fn shadow_started(self: &Arc<Self>, network: NetworkId) -> ShadowCount {
        self.shadows.started.add([network.index()], 1);
        self.shadows.in_flight.add([network.index()], 1);
        ShadowCount { metrics: Arc::clone(self), network, end: ShadowEnd::Cancelled }
    }

    /// Another sidecar asks for a shadow here: it is counted when what is returned is gone.
    pub(crate) fn shadow_served(self: &Arc<Self>) -> ServedCount {
        ServedCount { metrics: Arc::clone(self), end: ServedEnd::Cut }
    }

    /// Another sidecar's shadow is given less than was asked for it.
    pub(crate) fn shadow_clamped(&self) {
        self.shadows.clamped.add([], 1);
    }

    /// A planned shadow got no permit.
    pub(crate) fn shadow_refused(&self, network: NetworkId, why: NoPermit) {
        self.shadows.refused.add([network.index(), why.place()], 1);
    }

    /// A shadow is stopped, for live work needs its room.
    pub(crate) fn shadow_shed(&self, network: NetworkId) {
        self.shadows.shed.add([network.index()], 1);
    }

    /// Bytes of a shadow's bodies passed.
    pub(crate) fn shadow_moved(&self, network: NetworkId, direction: Direction, bytes: u64) {
        self.shadows.bytes.add([network.index(), direction.place()], bytes);
    }

    /// The same, of one network.
    pub(crate) fn shadows_on(&self, network: NetworkId) -> ShadowsOn {
        let (shadows, place) = (&self.shadows, network.index());
        let reasons = <NoPermit as Word>::ALL.iter().map(|reason| reason.word()).chain([NOT_EXECUTED]);
        let refused = reasons.enumerate().map(|(at, reason)| (reason, shadows.refused.value([place, at])));
        ShadowsOn {
            started: shadows.started.value([place]),
            adopted: shadows.ended.value([place, ShadowEnd::Adopted.place()]),
            in_flight: shadows.in_flight.value([place]),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// What the shadows' counters have come to.
    pub(crate) fn shadows_so_far(&self) -> ShadowsSoFar {
        let shadows = &self.shadows;
        ShadowsSoFar {
            started: shadows.started.total(),
            adopted: shadows.ended_so_far(ShadowEnd::Adopted),
            cancelled: shadows.ended_so_far(ShadowEnd::Cancelled),
            finished: shadows.ended_so_far(ShadowEnd::Finished),
            failed: shadows.ended_so_far(ShadowEnd::Failed),
            refused: shadows.refused.total(),
            in_flight: shadows.in_flight.total(),
        }
    }
}
