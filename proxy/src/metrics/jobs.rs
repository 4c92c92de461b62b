//! What is counted of a job: its plan, its decision, its end.

use policy::{NetworkId, ProgressSource, Reason};
use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Scraped};
use super::histogram::Histogram;
use super::words::{SHADOWINGS, Word, words};
use crate::record::{Outcome, Record};

/// Bounds for jobs, which take from milliseconds to an hour.
const JOB_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0];

/// What became of jobs that were answered `202`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asynchronous {
    /// Answered with a location that is remembered.
    Accepted,
    /// Answered without one that could be.
    Unlocated,
    /// An answer there said that it is done.
    Done,
    /// An answer there said that it has failed.
    Failed,
    /// Its client has deleted it.
    Deleted,
    /// It was forgotten, and nobody had said that it is over.
    Forgotten,
    /// An execution that lost was deleted by its route's rule.
    TwinDeleted,
    /// An execution that lost could not be deleted.
    TwinKept,
}

/// Why an answer's body did not say how an asynchronous job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is longer than what is looked at.
    TooLong,
    /// It has a content coding, which nobody here takes off.
    Coded,
    /// It is no JSON.
    NotJson,
}

words!(Asynchronous:
    Asynchronous::Accepted => "accepted",
    Asynchronous::Unlocated => "unlocated",
    Asynchronous::Done => "done",
    Asynchronous::Failed => "failed",
    Asynchronous::Deleted => "deleted",
    Asynchronous::Forgotten => "forgotten",
    Asynchronous::TwinDeleted => "twin_deleted",
    Asynchronous::TwinKept => "twin_kept",
);
words!(Unread:
    Unread::TooLong => "too_long",
    Unread::Coded => "coded",
    Unread::NotJson => "not_json",
);

#[derive(Debug)]
pub(super) struct JobCounters {
    jobs: Family<2>,
    seconds: Histogram,
    plans: Family<1>,
    decisions: Family<1>,
    failovers: Family<1>,
    progress: Family<1>,
    possibly_running: Family<0>,
    finish_refused: Family<0>,
    asynchronous: Family<1>,
    unread: Family<1>,
    unnamed: Family<0>,
}

impl JobCounters {
    pub(super) fn new(network: &Axis) -> Self {
        Self {
            jobs: Family::counters(
                Head::new("adumbra_jobs", "Jobs that are over, by the network that answered and by how they ended"),
                [network, &Axis::of::<Outcome>("outcome")],
            ),
            seconds: Histogram::new(
                Head::in_unit("adumbra_job", Unit::Seconds, "From a job's arrival to the end of its answer"),
                JOB_SECONDS,
                &[network],
            ),
            plans: Family::counters(
                Head::new("adumbra_plans", "Jobs by what was planned on arrival"),
                [&Axis::new("plan", SHADOWINGS)],
            ),
            decisions: Family::counters(
                Head::new("adumbra_decisions", "Jobs by why they were answered from where they were"),
                [&Axis::of::<Reason>("reason")],
            ),
            failovers: Family::counters(
                Head::new("adumbra_failovers", "Jobs that went on to another network because this one failed"),
                [network],
            ),
            progress: Family::counters(
                Head::new(
                    "adumbra_progress_source",
                    "Leads and shadows of jobs whose answer was open, by where their progress was seen",
                ),
                [&progress_source()],
            ),
            possibly_running: Family::counters(
                Head::new(
                    "adumbra_dispatches_possibly_running",
                    "Dispatches that were given up and may still run, for they could not be made sure to be gone",
                ),
                [],
            ),
            finish_refused: Family::counters(
                Head::new(
                    "adumbra_finish_refused",
                    "Jobs that end with their client although their route has `finish`, for too many run on",
                ),
                [],
            ),
            asynchronous: Family::counters(
                Head::new("adumbra_asynchronous_jobs", "Jobs that were answered `202`, by what became of them"),
                [&Axis::of::<Asynchronous>("event")],
            ),
            unread: Family::counters(
                Head::new(
                    "adumbra_asynchronous_unread",
                    "Answers about asynchronous jobs whose body should have said how the job is and could not be read",
                ),
                [&Axis::of::<Unread>("reason")],
            ),
            unnamed: Family::counters(
                Head::new(
                    "adumbra_transfers_unnamed",
                    "Jobs run for another sidecar that cannot be asked about, for their name was taken or too many run",
                ),
                [],
            ),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 11] {
        [
            &self.jobs,
            &self.seconds,
            &self.plans,
            &self.decisions,
            &self.failovers,
            &self.progress,
            &self.possibly_running,
            &self.finish_refused,
            &self.asynchronous,
            &self.unread,
            &self.unnamed,
        ]
    }
}

/// The word for a dispatch that showed no progress at all.
const NONE_SHOWN: &str = "none";

fn progress_source() -> Axis {
    let mut axis = Axis::of::<ProgressSource>("source");
    axis.values.push(NONE_SHOWN.to_owned());
    axis
}

impl Metrics {
    /// A job is over.
    pub(crate) fn job(&self, record: &Record) {
        let network = record.target.index();
        self.jobs.jobs.add([network, record.outcome.place()], 1);
        self.jobs.seconds.observe(network, record.took_s);
        self.jobs.decisions.add([record.reason.place()], 1);
        if let Some(plan) = SHADOWINGS.iter().position(|word| *word == record.plan) {
            self.jobs.plans.add([plan], 1);
        }
        // Where nobody looks, nothing is shown.
        if matches!(record.plan, "lead" | "probe") {
            for network in record.shadows.with(record.target).iter() {
                let place = record.progress[network].map_or(ProgressSource::ALL.len(), |seen| seen.source.index());
                self.jobs.progress.add([place], 1);
            }
        }
        if record.possibly_running > 0 {
            self.jobs.possibly_running.add([], u64::from(record.possibly_running));
        }
    }

    /// A job goes on to another network, because `from` failed.
    pub(crate) fn failed_over(&self, from: NetworkId) {
        self.jobs.failovers.add([from.index()], 1);
    }

    /// A job that should run on without its client will not.
    pub(crate) fn finish_refused(&self) {
        self.jobs.finish_refused.add([], 1);
    }

    /// Something became of a job that was answered `202`.
    pub(crate) fn asynchronous(&self, event: Asynchronous) {
        self.jobs.asynchronous.add([event.place()], 1);
    }

    /// What an answer's body says of such a job could not be read.
    pub(crate) fn asynchronous_unread(&self, why: Unread) {
        self.jobs.unread.add([why.place()], 1);
    }

    /// A job that runs here for another sidecar cannot be asked about.
    pub(crate) fn transfer_unnamed(&self) {
        self.jobs.unnamed.add([], 1);
    }

    /// The decisions so far, by reason; only reasons that were given.
    pub(crate) fn decisions_so_far(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.jobs.decisions.value([reason.place()])))
            .filter(|(_, count)| *count > 0)
    }
}
