//! What is counted of the processes that `adumbra run` keeps: how they ended, what the kernel killed, how soon caps are
//! lifted.

use std::time::Duration;

use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::histogram::Histogram;
use super::words::{Kept, ProcessEnd, Word};

/// Bounds for lifting caps: a few writes to files that are no files.
const LIFT_SECONDS: &[f64] = &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

#[derive(Debug)]
pub(super) struct LaneCounters {
    ended: Family<2>,
    oom_kills: Family<0>,
    uncapped: Family<0>,
    unlifted: Family<0>,
    lift: Histogram,
}

impl LaneCounters {
    pub(super) fn new() -> Self {
        Self {
            ended: Family::counters(
                Head::new("adumbra_processes_ended", "Processes of `adumbra run` that ended, by how"),
                [&Axis::of::<Kept>("process"), &Axis::of::<ProcessEnd>("end")],
            ),
            oom_kills: Family::counters(
                Head::new("adumbra_lane_oom_kills", "Processes in workers' cages that the kernel killed for memory"),
                [],
            ),
            uncapped: Family::counters(
                Head::new("adumbra_lane_uncapped", "Workers not used because their caps could not be set"),
                [],
            ),
            unlifted: Family::counters(
                Head::new("adumbra_lane_unlifted", "Adopted workers whose caps could not be lifted at once"),
                [],
            ),
            lift: Histogram::new(
                Head::in_unit("adumbra_lane_lift", Unit::Seconds, "From adoption to a worker's caps being lifted"),
                LIFT_SECONDS,
                &[],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 5] {
        [&self.ended, &self.oom_kills, &self.uncapped, &self.unlifted, &self.lift]
    }
}

impl Metrics {
    /// A process that we keep has ended.
    pub(crate) fn process_ended(&self, which: Kept, how: ProcessEnd) {
        self.lane.ended.add([which.place(), how.place()], 1);
    }

    /// The kernel killed so many processes in a worker's cage for memory.
    pub(crate) fn oom_killed(&self, count: u64) {
        self.lane.oom_kills.add([], count);
    }

    /// A worker's caps could not be set, so it was not used.
    pub(crate) fn worker_not_capped(&self) {
        self.lane.uncapped.add([], 1);
    }

    /// A worker's caps were lifted.
    pub(crate) fn caps_lifted(&self, took: Duration) {
        self.lane.lift.observe(0, took.as_secs_f64());
    }

    /// A worker's caps could not be lifted at once: its job goes on under them, for now.
    pub(crate) fn caps_not_lifted(&self) {
        self.lane.unlifted.add([], 1);
    }

    /// How many adopted workers' caps could not be lifted at once, and how many were lifted.
    #[cfg(test)]
    pub(crate) fn caps_so_far(&self) -> (u64, u64) {
        (self.lane.unlifted.total(), self.lane.lift.count(0))
    }

    /// How often a process of this kind had to be started again, and how often the kernel killed one for memory.
    pub(crate) fn processes_so_far(&self, which: Kept) -> ProcessesSoFar {
        let ended = |end: &ProcessEnd| self.lane.ended.value([which.place(), end.place()]);
        ProcessesSoFar {
            ended: ProcessEnd::ALL.iter().map(ended).sum(),
            oom_kills: if which == Kept::Worker { self.lane.oom_kills.total() } else { 0 },
        }
    }
}

/// What the counters of one kind of process have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessesSoFar {
    pub(crate) ended: u64,
    pub(crate) oom_kills: u64,
}
