//! The journal: everything it takes to plan and decide again what was planned and decided, bounded on disk.
//!
//! The decision log is for people and says what happened. The journal is for `adumbra replay` and `adumbra explain`, and says
//! also what it happened from: each job's features, the networks as they were seen, draws, plan, evidence, decision and labels,
//! and the configuration and the models that were in force. `docs/journal.md` describes the format.
//!
//! It is written by the recorder's thread, from records that carry a [`Happened`]. A disk that is full, or gone, costs
//! entries, which are counted; it is tried again every few seconds, in a new segment. A process that is killed leaves at most a
//! torn last entry, which whoever reads it drops and says so.

pub(crate) mod entry;
pub(crate) mod reader;
pub(crate) mod seen;
pub(crate) mod segment;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;
use policy::learn::Row;
use policy::{Arm, Decision, Evidence, Plan, View};

use crate::generation::Classes;
use crate::metrics::Metrics;
use crate::oracle::Oracle;
use crate::record::Record;
use crate::reload::Book;
use entry::Entry;
use segment::Segments;

/// Entries are written when there are this many bytes of them, or when there is nothing else to do.
const WRITE_AT: usize = 256 << 10;

/// The most labels that wait to be written.
const LABELS: usize = 8192;

/// What a job's plan was made from, beside the job.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) view: View,
    pub(crate) plan: Plan,
    pub(crate) arm: Arm,
    pub(crate) seen: Option<Box<Seen>>,
}

/// What a decision was made from, when it was made last.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) view: View,
    pub(crate) evidence: Evidence,
    /// When the window began, on the proxy's clock.
    pub(crate) forked_s: f64,
    /// When it was decided.
    pub(crate) at_s: f64,
    /// What was decided then, if anything.
    pub(crate) decision: Option<Decision>,
}

/// Writes entries.
#[derive(Debug)]
pub(crate) struct Journal {
    segments: Segments,
    /// What stands in this segment already: the hash of a configuration, and the number of a model.
    said: (String, u64),
    /// Whether the last write failed.
    failing: bool,
    text: Vec<u8>,
}

/// Labels on their way to the journal.
#[derive(Debug)]
pub(crate) struct Labels {
    queue: ArrayQueue<Row>,
    /// Whether there is a journal.
    wanted: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Labels {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { queue: ArrayQueue::new(LABELS), wanted: AtomicBool::new(false), metrics }
    }

    /// Takes one in, if there is a journal; one for which there is no room is counted.
    pub(crate) fn push(&self, row: &Row) {
        if self.wanted.load(Ordering::Relaxed) && self.queue.push(*row).is_err() {
            self.metrics.journal_unwritten(1);
        }
    }

    pub(crate) fn pop(&self) -> Option<Row> {
        self.queue.pop()
    }

    pub(crate) fn are_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }
}

/// Where the journal finds what is in force.
///
/// Not all that is shared: whoever held that could be the last, and would have to wait for itself.
pub(crate) type InForce = OnceLock<Around>;

/// See [`InForce`].
#[derive(Debug)]
pub(crate) struct Around {
    /// Tells one process from another.
    pub(crate) instance: u64,
    pub(crate) book: Arc<Book>,
    pub(crate) oracle: Arc<Oracle>,
}

impl Journal {
    /// Opens what the configuration names. Segments of an earlier process stay as they are, and a new one is begun.
    ///
    /// # Errors
    /// There is no such directory, and none can be made.
    pub(crate) fn open(config: &config::value::Journal) -> io::Result<Self> {
        let segments = Segments::open(&config.directory, config.bytes).map_err(|error| {
            let directory = config.directory.display();
            let message = format!("cannot keep a journal in {directory}: {error}; see `journal.directory`");
            io::Error::new(error.kind(), message)
        })?;
        Ok(Self { segments, said: Default::default(), failing: false, text: Vec::new() })
    }

    /// Takes in a job that is over.
    pub(crate) fn job(
        &mut self,
        record: &Record,
        happened: &Happened,
        line: &[u8],
        classes: &Classes,
        in_force: &InForce,
    ) {
        self.begin(in_force, record.model_version);
        let entry = entry::JobEntry::of(record, happened, classes);
        self.add(&Entry::Job(Box::new(entry)));
        segment::frame(segment::LINE, line, &mut self.text);
    }

    /// Takes in what a dispatch has taught.
    pub(crate) fn label(&mut self, row: &Row, in_force: &InForce) {
        let Some(around) = in_force.get() else { return };
        self.begin(in_force, 0);
        let network = around.oracle.network_name(row.network);
        self.add(&Entry::Label(entry::LabelEntry::of(row, network)));
    }

    /// What a new segment, or one that is about another configuration or model, says first.
    fn begin(&mut self, in_force: &InForce, model: u64) {
        let Some(shared) = in_force.get() else { return };
        if self.said.0.is_empty() {
            self.add(&Entry::Begins(entry::Begins::now(shared.instance)));
        }
        if let (Some(config), _) = shared.book.read()
            && config.hash != self.said.0
        {
            self.add(&Entry::Configuration { sha256: config.hash.clone(), text: config.text.to_string() });
            self.said.0 = config.hash;
        } else if self.said.0.is_empty() {
            // It was started without a file, as tests are.
            self.said.0 = "-".to_owned();
        }
        if model != 0 && model != self.said.1 {
            let document = shared.oracle.model().filter(|now| now.version() == model);
            if let Some(document) = document.and_then(|_| shared.oracle.document()) {
                segment::frame(segment::MODEL, document.as_bytes(), &mut self.text);
                self.said.1 = model;
            }
        }
    }

    fn add(&mut self, entry: &Entry) {
        let json = serde_json::to_vec(entry).expect("an entry is made of words, numbers and lists of such");
        segment::frame(segment::ENTRY, &json, &mut self.text);
    }

    /// Whether so much was taken in that it should be written.
    pub(crate) fn is_long(&self) -> bool {
        self.text.len() >= WRITE_AT
    }

    /// Writes what was taken in.
    pub(crate) fn flush(&mut self, metrics: &Metrics) {
        if self.text.is_empty() {
            return;
        }
        let entries = segment::count(&self.text);
        match self.segments.write(&self.text) {
            Ok(segment::Wrote::Here) => metrics.journal_written(entries),
            Ok(segment::Wrote::AndClosed) => {
                metrics.journal_written(entries);
                self.said = Default::default();
            }
            Ok(segment::Wrote::NotYet) => {
                metrics.journal_unwritten(entries);
                self.said = Default::default();
            }
            Err(error) => {
                metrics.journal_unwritten(entries);
                self.said = Default::default();
                if !self.failing {
                    tracing::error!(directory = %self.segments.directory().display(), %error, "the journal cannot be written; entries are counted as unwritten until it works again");
                }
                self.failing = true;
            }
        }
        if self.failing && !self.segments.is_waiting() {
            self.failing = false;
            tracing::info!(directory = %self.segments.directory().display(), "the journal is written again");
        }
        metrics.journal_is(!self.failing, self.segments.bytes());
        self.text.clear();
        self.text.shrink_to(WRITE_AT);
    }
}

#[cfg(test)]
mod tests;
