//! Medians and ratios of a finished run, by name: what the table, the budget and the JSON file all speak of.

use crate::rounds::Series;
use crate::statistics::Summary;

/// The arm that ratios are taken to.
pub const REFERENCE: &str = "haproxy";
/// Arms that are the same thing twice.
pub const TWINS: [(&str, &str); 2] = [("haproxy", "haproxy2"), ("adumbra", "adumbra2")];

/// The measures that are compared between arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPU time for each request in the closed loop, µs.
    Cpu,
    /// CPU time for each request at the common rate, µs.
    CpuAtRate,
    /// Requests per second in the closed loop.
    Rate,
    /// Median latency at the common rate, µs.
    P50,
    /// 99th percentile at the common rate, µs.
    P99,
}

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    series: &'a [Series],
}

impl<'a> Figures<'a> {
    /// Over all that was measured.
    #[must_use]
    pub fn new(series: &'a [Series]) -> Self {
        Self { series }
    }

    /// The arms, in the order of the table.
    pub fn arms(&self) -> impl Iterator<Item = &'a Series> {
        self.series.iter()
    }

    /// An arm's median over the rounds; `None` if it was not measured.
    #[must_use]
    pub fn of(&self, name: &str, measure: Measure) -> Option<Summary> {
        Summary::of(rounds(self.find(name)?, measure))
    }

    /// One arm against another, round by round.
    #[must_use]
    pub fn ratio(&self, name: &str, to: &str, measure: Measure) -> Option<Summary> {
        let (name, to) = (self.find(name)?, self.find(to)?);
        Summary::of_ratios(&rounds(name, measure), &rounds(to, measure))
    }

    /// Resident memory before load, MiB.
    #[must_use]
    pub fn resident_mib(&self, name: &str) -> Option<f64> {
        Some(self.find(name)?.memory?.idle_bytes / 1_048_576.0)
    }

    /// What an idle connection adds, KiB.
    #[must_use]
    pub fn connection_kib(&self, name: &str) -> Option<f64> {
        Some(self.find(name)?.memory?.per_connection_bytes / 1024.0)
    }

    /// The median share of the proxy's core that others took while it was measured.
    #[must_use]
    pub fn foreign_share(&self) -> Option<Summary> {
        Summary::of(self.series.iter().flat_map(|one| one.closed(|visit| Some(visit.foreign_share))))
    }

    /// The worst 99th percentile of the generator's own lateness, µs.
    #[must_use]
    pub fn worst_lag_us(&self) -> Option<f64> {
        self.series.iter().flat_map(|one| one.open(|visit| Some(visit.lag_p99_us))).max_by(f64::total_cmp)
    }

    fn find(&self, name: &str) -> Option<&'a Series> {
        self.series.iter().find(|one| one.arm.name == name)
    }
}

fn rounds(series: &Series, measure: Measure) -> Vec<f64> {
    match measure {
        Measure::Cpu => series.closed(|visit| visit.cpu_us_per_request),
        Measure::CpuAtRate => series.open(|visit| visit.cpu_us_per_request),
        Measure::Rate => series.closed(|visit| Some(visit.requests_per_second)),
        Measure::P50 => series.open(|visit| Some(visit.p50_us)),
        Measure::P99 => series.open(|visit| Some(visit.p99_us)),
    }
}
