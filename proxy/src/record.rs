//! What one job's life looked like: the line in the decision log, the entry under `/decisions`, and what `explain` shows.
//!
//! The path only fills a [`Record`] and hands it over; a thread of its own formats, writes and keeps. The queue between
//! is bounded, and what does not fit is counted, never waited for. Nothing is formatted that nobody asked for: without a
//! file, a record is only kept, and turned into text when it is looked at.
//!
//! A record holds no path, header or address of a request: the log may be kept longer, and by other people, than what
//! clients send.

mod digits;
mod file;
mod json;
mod line;
mod names;
mod recent;
mod time;
mod tree;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use policy::cost::Terms;
use policy::{Action, Job, Level, Model, NetworkId, NetworkSet, PerNetwork, Prediction, Progress, Reason};

use crate::generation::{Classes, Generation};
use crate::journal::{Around, Happened, InForce, Journal, Labels};
use crate::metrics::Metrics;

pub(crate) use line::{InputsLine, Line, PredictionLine, action_word, mode_word, network_name, rounded};
pub(crate) use time::rfc3339;
pub(crate) use tree::tree_path;

use file::File;
use recent::Recent;
use writer::Writer;

/// The most records that wait to be written.
const QUEUE: usize = 8192;
/// How long a record waits at the most, when the disk keeps up.
const DRAIN_EVERY: Duration = Duration::from_millis(50);

/// One job, from arrival to its end.
#[derive(Debug)]
pub(crate) struct Record {
    /// Names of networks, routes and classes stand in here.
    pub(crate) generation: Arc<Generation>,
    /// The job's id, also in the response header.
    pub(crate) id: u64,
    /// Arrival.
    pub(crate) unix_ms: u64,
    /// The route's place, if one matched.
    pub(crate) route: Option<usize>,
    /// The job as the policy saw it: with it and the model, its path through the tree can be told later.
    pub(crate) job: Job,
    /// `direct`, `lead`, `probe` or `sample`.
    pub(crate) plan: &'static str,
    /// How much shadow its urgency bought, whether there was one or not.
    pub(crate) level: Level,
    /// Why the plan leaned where it did.
    pub(crate) plan_reason: Reason,
    /// The networks that passed every gate.
    pub(crate) eligible: NetworkSet,
    /// Expected gain from shadowing, money.
    pub(crate) worth: f64,
    /// Shadows that were started.
    pub(crate) shadows: NetworkSet,
    /// How far each network's dispatch was when it was last looked at, while the answer was open.
    pub(crate) progress: PerNetwork<Option<Progress>>,
    /// Who answered.
    pub(crate) target: NetworkId,
    pub(crate) action: Action,
    pub(crate) reason: Reason,
    /// What the decision was made from.
    pub(crate) predictions: PerNetwork<Option<Prediction>>,
    pub(crate) costs: PerNetwork<f64>,
    /// The model in force; 0 for none.
    pub(crate) model_version: u64,
    /// The status the client was sent; 0 if none was.
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// From arrival to the end of the answer, seconds.
    pub(crate) took_s: f64,
    /// From arrival to the answer's head, seconds.
    pub(crate) head_s: f64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Dispatches of losers that could not be made sure to be gone.
    pub(crate) possibly_running: u8,
    /// What it has read of inputs, where that is known.
    pub(crate) inputs: Option<Inputs>,
    /// Where the plan leaned before anything was seen.
    pub(crate) planned: NetworkId,
    /// What the answering dispatch ran, seconds, waiting and moving taken off; if it came to a good end.
    pub(crate) ran_s: Option<f64>,
    /// Seconds that the client let everybody wait: for its body, and until it read on.
    pub(crate) waited_s: f64,
    /// What the predicted cost of where it was answered is made of, as it was known when the job came.
    pub(crate) terms: Option<Terms>,
    /// What it was decided from, if there is a journal.
    pub(crate) happened: Option<Box<Happened>>,
}

/// What a job has read of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    /// Bytes it was expected to read.
    pub(crate) expected_bytes: u64,
    /// Of those, what was thought to be there when it was planned, where it then ran.
    pub(crate) warm_bytes: u64,
    /// What it read.
    pub(crate) read: policy::inputs::gain::Read,
    /// Seconds less than cold jobs of its class take there; missing where there is nothing to compare it with.
    pub(crate) saved_s: Option<f64>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client has the whole answer, and it was below 500.
    Answered,
    /// The service answered 5xx.
    ServerError,
    /// adumbra had to answer itself.
    Refused,
    /// The answer broke off.
    BrokeOff,
    /// The client went away.
    ClientGone,
}

impl Outcome {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::BrokeOff => "broke_off",
            Self::ClientGone => "client_gone",
        }
    }
}

/// Takes records in and gives them to the thread that writes them.
#[derive(Debug)]
pub(crate) struct Recorder {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the recorder and its thread share.
#[derive(Debug)]
struct Desk {
    queue: ArrayQueue<Box<Record>>,
    recent: Mutex<Recent>,
    classes: Arc<Classes>,
    metrics: Arc<Metrics>,
    /// Where the thread is to write from now on, until it has seen it.
    turn: Mutex<Option<Pages>>,
    stop: AtomicBool,
    labels: Arc<Labels>,
    in_force: InForce,
}

/// Where decisions are written, if anywhere: open already.
#[derive(Debug)]
pub(crate) struct Pages {
    log: Option<File>,
    journal: Option<Journal>,
}

impl Pages {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(log: &config::value::Log, journal: Option<&config::value::Journal>) -> std::io::Result<Self> {
        let open = |path: &std::path::PathBuf| {
            Ok::<_, std::io::Error>(File::open(path)?.rotated(log.decisions_bytes, log.decisions_files))
        };
        Ok(Self {
            log: log.decisions.as_ref().map(open).transpose()?,
            journal: journal.map(Journal::open).transpose()?,
        })
    }
}

impl Recorder {
    /// Starts the thread. It ends, having written everything, when the recorder is dropped.
    ///
    /// # Errors
    /// The file for the log cannot be opened, or the thread cannot be started.
    pub(crate) fn start(
        log: &config::value::Log,
        journal: Option<&config::value::Journal>,
        classes: Arc<Classes>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let pages = Pages::open(log, journal)?;
        let labels = Arc::new(Labels::new(Arc::clone(&metrics)));
        labels.are_wanted(pages.journal.is_some());
        let desk = Arc::new(Desk {
            queue: ArrayQueue::new(QUEUE),
            recent: Mutex::new(Recent::new(log.keep)),
            classes,
            metrics,
            turn: Mutex::default(),
            stop: AtomicBool::new(false),
            labels,
            in_force: InForce::new(),
        });
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || desk.work(pages)
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Goes on with these pages, if there are other ones, and keeps as many decisions.
    pub(crate) fn turn(&self, pages: Option<Pages>, keep: usize) {
        if let Some(pages) = pages {
            self.desk.labels.are_wanted(pages.journal.is_some());
            *self.desk.turn.lock() = Some(pages);
        }
        self.desk.recent.lock().hold(keep);
    }

    /// Labels for the journal.
    pub(crate) fn labels(&self) -> &Arc<Labels> {
        &self.desk.labels
    }

    /// The journal names what is in force here.
    pub(crate) fn sees(&self, around: Around) {
        let _only_once = self.desk.in_force.set(around);
    }

    /// Hands a record over; if the queue is full, it is dropped and counted. Wakes nobody: the thread comes by itself.
    pub(crate) fn submit(&self, record: Box<Record>) {
        if self.desk.queue.push(record).is_err() {
            self.desk.metrics.record_dropped();
        }
    }

    /// The latest `n` decisions that are kept, newest first, each a JSON object.
    pub(crate) fn latest(&self, n: usize) -> Vec<String> {
        let latest = self.desk.recent.lock().latest(n);
        let mut writer = Writer::new(&self.desk.classes);
        latest.iter().map(|kept| kept.text(&mut writer, None)).collect()
    }

    /// Those that came after job `id`, if that is kept; else the latest `n`.
    pub(crate) fn since(&self, id: u64, n: usize) -> Vec<String> {
        let since = self.desk.recent.lock().since(id, n);
        let mut writer = Writer::new(&self.desk.classes);
        since.iter().map(|kept| kept.text(&mut writer, None)).collect()
    }

    /// The decision on job `id` as a JSON object, if it is kept; with its path through the tree if `model` made it.
    pub(crate) fn find(&self, id: u64, model: Option<&Model>) -> Option<String> {
        let found = self.desk.recent.lock().find(id)?;
        Some(found.text(&mut Writer::new(&self.desk.classes), model))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.desk.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that writes decisions ended in a panic; the last of them may be missing");
        }
    }
}

impl Desk {
    /// What the thread does until it is told to stop, and once more after that.
    fn work(&self, mut pages: Pages) {
        let mut writer = Writer::new(&self.classes);
        loop {
            let stop = self.stop.load(Ordering::Acquire);
            if let Some(next) = self.turn.lock().take() {
                pages = next;
            }
            while let Some(mut record) = self.queue.pop() {
                if let Some(file) = &mut pages.log {
                    file.push(&record, &mut writer, &self.metrics);
                }
                if let (Some(journal), Some(happened)) = (&mut pages.journal, record.happened.take()) {
                    let line = writer.text(&record, &[]);
                    journal.job(&record, &happened, line.as_bytes(), &self.classes, &self.in_force);
                    if journal.is_long() {
                        journal.flush(&self.metrics);
                    }
                }
                self.recent.lock().push(record, &self.classes);
            }
            if let Some(file) = &mut pages.log {
                file.flush(&self.metrics);
                file.rotate_if_long();
            }
            if let Some(journal) = &mut pages.journal {
                while let Some(row) = self.labels.pop() {
                    journal.label(&row, &self.in_force);
                }
                journal.flush(&self.metrics);
            }
            if stop {
                return;
            }
            std::thread::park_timeout(DRAIN_EVERY);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
