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
use policy::{Action, Job, Level, Model, NetworkId, NetworkSet, PerNetwork, Prediction, Progress, Reason};

use crate::generation::{Classes, Generation};
use crate::metrics::Metrics;

pub(crate) use line::{InputsLine, Line, PredictionLine, mode_word, network_name, rounded};
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
    /// How long it ran where it was answered, seconds: what the prediction is of. Only of jobs that teach.
    pub(crate) ran_s: Option<f64>,
    /// From arrival to the answer's head, seconds.
    pub(crate) head_s: f64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Dispatches of losers that could not be made sure to be gone.
    pub(crate) possibly_running: u8,
    /// What it has read of inputs, where that is known.
    pub(crate) inputs: Option<Inputs>,
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
}

/// Where decisions are written, if anywhere: open already.
#[derive(Debug)]
pub(crate) struct Pages(Option<File>);

impl Pages {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(log: &config::value::Log) -> std::io::Result<Self> {
        log.decisions.as_deref().map(File::open).transpose().map(Self)
    }
}

impl Recorder {
    /// Starts the thread. It ends, having written everything, when the recorder is dropped.
    ///
    /// # Errors
    /// The file for the log cannot be opened, or the thread cannot be started.
    pub(crate) fn start(
        log: &config::value::Log,
        classes: Arc<Classes>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let Pages(file) = Pages::open(log)?;
        let desk = Arc::new(Desk {
            queue: ArrayQueue::new(QUEUE),
            recent: Mutex::new(Recent::new(log.keep)),
            classes,
            metrics,
            turn: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || desk.work(file)
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Goes on with these pages, if there are other ones, and keeps as many decisions.
    pub(crate) fn turn(&self, pages: Option<Pages>, keep: usize) {
        if pages.is_some() {
            *self.desk.turn.lock() = pages;
        }
        self.desk.recent.lock().hold(keep);
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
    fn work(&self, mut file: Option<File>) {
        let mut writer = Writer::new(&self.classes);
        loop {
            let stop = self.stop.load(Ordering::Acquire);
            if let Some(Pages(next)) = self.turn.lock().take() {
                file = next;
            }
            while let Some(record) = self.queue.pop() {
                if let Some(file) = &mut file {
                    file.push(&record, &mut writer, &self.metrics);
                }
                self.recent.lock().push(record, &self.classes);
            }
            if let Some(file) = &mut file {
                file.flush(&self.metrics);
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
