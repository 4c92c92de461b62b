//! What one job's life looked like: the line in the decision log, the entry under `/decisions`, and what `explain` shows.
//!
//! The path only fills a [`Record`] and hands it over; a thread of its own formats, writes and keeps. The queue between
//! is bounded, and what does not fit is counted, never waited for.

use std::sync::Arc;

use policy::{Action, ClassId, NetworkId, NetworkSet, PerNetwork, Prediction, Reason, ShadowMode};

use crate::generation::Generation;

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
    pub(crate) class: ClassId,
    pub(crate) urgency: u8,
    pub(crate) mode: ShadowMode,
    /// `direct`, `lead`, `probe` or `sample`.
    pub(crate) plan: &'static str,
    /// Why the plan leaned where it did.
    pub(crate) plan_reason: Reason,
    /// Expected gain from shadowing, money.
    pub(crate) worth: f64,
    /// Shadows that were started.
    pub(crate) shadows: NetworkSet,
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
pub(crate) struct Recorder {}

impl Recorder {
    /// Starts the thread. It ends, having written everything, when the recorder is dropped.
    pub(crate) fn start(log: &config::value::Log, metrics: Arc<crate::metrics::Metrics>) -> std::io::Result<Self> {
        unimplemented!("{log:?} {metrics:?}")
    }

    /// Hands a record over; if the queue is full, it is dropped and counted.
    pub(crate) fn submit(&self, record: Box<Record>) {
        unimplemented!("{record:?}")
    }
}
