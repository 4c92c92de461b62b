//! What is counted of the decision log and the journal.

use super::Metrics;
use super::family::{Family, Head, Level, Scraped};
use prometheus_client::registry::Unit;

#[derive(Debug)]
pub(super) struct LogCounters {
    dropped: Family<0>,
    written: Family<0>,
    unwritten: Family<0>,
    journal_written: Family<0>,
    journal_unwritten: Family<0>,
    journal_failing: Level,
    journal_bytes: Level,
}

impl LogCounters {
    pub(super) fn new() -> Self {
        let counter = |name, help| Family::counters(Head::new(name, help), []);
        Self {
            dropped: counter("adumbra_records_dropped", "Records lost because their queue was full"),
            written: counter("adumbra_records_written", "Lines written to the decision log"),
            unwritten: counter("adumbra_records_unwritten", "Lines that could not be written to the decision log"),
            journal_written: counter("adumbra_journal_written", "Entries written to the journal"),
            journal_unwritten: counter("adumbra_journal_unwritten", "Entries that could not be written to the journal"),
            journal_failing: Level::new(Head::new(
                "adumbra_journal_failing",
                "1 while the journal cannot be written, else 0",
            )),
            journal_bytes: Level::new(Head::in_unit(
                "adumbra_journal_kept",
                Unit::Bytes,
                "Bytes of the journal on disk, as its writer knows them",
            )),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 7] {
        [
            &self.dropped,
            &self.written,
            &self.unwritten,
            &self.journal_written,
            &self.journal_unwritten,
            &self.journal_failing,
            &self.journal_bytes,
        ]
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

    /// Entries were written to the journal.
    pub(crate) fn journal_written(&self, entries: u64) {
        self.log.journal_written.add([], entries);
    }

    /// Entries were not.
    pub(crate) fn journal_unwritten(&self, entries: u64) {
        self.log.journal_unwritten.add([], entries);
    }

    /// Whether it can be written, and how long it is.
    pub(crate) fn journal_is(&self, well: bool, bytes: u64) {
        self.log.journal_failing.set(u64::from(!well));
        self.log.journal_bytes.set(bytes);
    }

    /// Lines written and lines not written so far.
    #[cfg(test)]
    pub(crate) fn records_so_far(&self) -> (u64, u64) {
        (self.log.written.total(), self.log.unwritten.total())
    }
}
