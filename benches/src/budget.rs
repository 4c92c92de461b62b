//! The numbers adumbra has to reach, beside what it reached.
//!
//! A row passes or misses by its median alone. Where the interval also holds the target, the run could not really tell,
//! and the row says so: such a pass is as weak as such a miss.

use crate::figures::{Figures, Measure};
use crate::statistics::Summary;

/// One target.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is bounded.
    pub what: &'static str,
    /// The most it may be.
    pub target: f64,
    /// The unit of both, empty for ratios.
    pub unit: &'static str,
    /// What it is; `None` if an arm of it is lacking.
    pub got: Option<Summary>,
}

/// What is to be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The median is within the target.
    Pass,
    /// It is not.
    Miss,
    /// It was not measured.
    Unknown,
}

/// Targets of the same table that other benches answer for.
pub const ELSEWHERE: &str = "one decision, shadow tax, refit, regret, reload under load: not measured here";

/// Five rounds, whose whole range holds the median with 94 %, are just enough.
const ENOUGH_COVERAGE: f64 = 0.9;

/// Every row this bench answers for.
#[must_use]
pub fn rows(figures: &Figures<'_>) -> Vec<Row> {
    let ratio = |what, to, measure, target| {
        let got = figures.ratio("adumbra", to, measure);
        Row { what, target, unit: "", got }
    };
    let single = |what, unit, target, value: Option<f64>| {
        let got = value.and_then(|value| Summary::of([value]));
        Row { what, target, unit, got }
    };
    vec![
        ratio("CPU per request against HAProxy", "haproxy", Measure::Cpu, 1.0),
        ratio("CPU per request against nginx", "nginx", Measure::Cpu, 1.0),
        ratio("CPU per request against Envoy", "envoy", Measure::Cpu, 0.3),
        ratio("CPU per request against a raw TCP relay", "tcp_relay", Measure::Cpu, 1.5),
        ratio("p99 at a fixed rate against HAProxy", "haproxy", Measure::P99, 1.0),
        single("resident memory, idle", "MiB", 15.0, figures.resident_mib("adumbra")),
        single("resident memory for each open connection", "KiB", 16.0, figures.connection_kib("adumbra")),
    ]
}

impl Row {
    /// Pass, miss or unknown.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.got {
            Some(got) if got.median <= self.target => Verdict::Pass,
            Some(_) => Verdict::Miss,
            None => Verdict::Unknown,
        }
    }

    /// Why the rounds leave it open on which side of the target the median is; a single reading has no rounds.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        let got = self.got.filter(|_| self.unit.is_empty())?;
        if got.holds(self.target) {
            Some("the interval holds the target")
        } else if got.coverage < ENOUGH_COVERAGE {
            Some("too few rounds to tell")
        } else {
            None
        }
    }
}

impl Verdict {
    /// As the report prints it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Miss => "MISS",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: &[f64], verdict: Verdict, doubt: Option<&str>) {
        let row = Row { what: "", target: 1.0, unit: "", got: Summary::of(got.iter().copied()) };
        assert_eq!((row.verdict(), row.doubt()), (verdict, doubt), "{got:?}");
    }

    #[test]
    fn the_median_judges_and_the_interval_doubts() {
        let holds = Some("the interval holds the target");
        check(&[0.9, 0.9, 0.9, 0.95, 0.99], Verdict::Pass, None);
        check(&[0.9, 0.9, 0.95, 0.95, 1.2], Verdict::Pass, holds);
        check(&[0.9, 1.1, 1.1, 1.1, 1.2], Verdict::Miss, holds);
        check(&[1.1, 1.2], Verdict::Miss, Some("too few rounds to tell"));
        check(&[], Verdict::Unknown, None);
    }
}
