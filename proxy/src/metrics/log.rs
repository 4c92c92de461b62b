//! What is counted of the decision log.

use super::Metrics;
use super::family::{Family, Head, Scraped};

#[derive(Debug)]
pub(super) struct LogCounters {
    dropped: Family<0>,
    written: Family<0>,
    unwritten: Family<0>,
}

impl LogCounters {
    pub(super) fn new() -> Self {
        let counter = |name, help| Family::counters(Head::new(name, help), []);
        Self {
            dropped: counter("adumbra_records_dropped", "Records lost because their queue was full"),
            written: counter("adumbra_records_written", "Lines written to the decision log"),
            unwritten: counter("adumbra_records_unwritten", "Lines that could not be written to the decision log"),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 3] {
        [&self.dropped, &self.written, &self.unwritten]
    }
}

impl Metrics {
    /// A record was lost because the queue was full.
    pub(crate) fn record_dropped(&self) {
        self.log.dropped.add([], 1);
    }

    /// Lines were written to the decision log.
    pub(crate) fn records_written(&self, lines: u64) {
        self.log.written.add([], lines);
    }

    /// Lines could not be written to the decision log.
    pub(crate) fn records_unwritten(&self, lines: u64) {
        self.log.unwritten.add([], lines);
    }

    /// Lines written and lines not written so far.
    #[cfg(test)]
    pub(crate) fn records_so_far(&self) -> (u64, u64) {
        (self.log.written.total(), self.log.unwritten.total())
    }
}
