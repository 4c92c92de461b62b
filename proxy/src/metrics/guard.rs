//! What is counted of what guards decisions: money, and the comparison with the fixed rule.

use policy::NetworkId;
use policy::watchdog::Verdict;

use super::Metrics;
use super::family::{Axis, Family, Head, Level, Scraped};
use super::words::Word;

#[derive(Debug)]
pub(super) struct GuardCounters {
    unwritten: Family<0>,
    over_cap: Family<1>,
    verdicts: Family<1>,
    fell_back: Level,
}

impl GuardCounters {
    pub(super) fn new(network: &Axis) -> Self {
        Self {
            unwritten: Family::counters(
                Head::new("adumbra_spend_unwritten", "Attempts to write down what was spent that failed"),
                [],
            ),
            over_cap: Family::counters(
                Head::new(
                    "adumbra_spend_over_cap",
                    "Dispatches sent to a network after its cap on spending was reached, for their jobs may go nowhere else",
                ),
                [network],
            ),
            verdicts: Family::counters(
                Head::new("adumbra_guard_verdicts", "What the comparison with the fixed rule has come to"),
                [&Axis::of::<Verdict>("verdict")],
            ),
            fell_back: Level::new(Head::new(
                "adumbra_guard_fell_back",
                "1 while the fixed rule places jobs, for the policy was dearer",
            )),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 4] {
        [&self.unwritten, &self.over_cap, &self.verdicts, &self.fell_back]
    }
}

impl Metrics {
    /// What was spent could not be written down.
    pub(crate) fn spend_unwritten(&self) {
        self.guard.unwritten.add([], 1);
    }

    /// A dispatch goes where no more should be spent.
    pub(crate) fn spent_over_cap(&self, on: NetworkId) {
        self.guard.over_cap.add([on.index()], 1);
    }

    /// The comparison has come to something.
    pub(crate) fn guard_said(&self, verdict: Verdict) {
        self.guard.verdicts.add([verdict.place()], 1);
        self.guard.fell_back.set(u64::from(verdict == Verdict::FellBack));
    }
}
