//! One shadow: a bounded, low-priority dispatch that may become the real job.
//!
//! It runs as a task of its own, on connections of its own, and everything about it that can go wrong stays in it: it has
//! no way to make an answer late, let alone wrong. What it shows goes on the job's [`Board`]; its answer waits in a bounded
//! pipe. Whatever way it ends, its permit is freed, its end is counted once, and what it taught is learned.

mod run;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use policy::budget::NoPermit;
use policy::{Evidence, NetworkId, NetworkSet, Observation, Prediction, observation};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::answer::Source;
use crate::body::{Body, BodyError};
use crate::clock;
use crate::generation::Shared;
use crate::metrics::{ShadowCount, ShadowEnd};
use crate::peer::{self, Asked, Unanswered};
use crate::spool::Spool;
use crate::throttle::Throttle;
use crate::upstream::{Network, Upload};

use super::course::{Course, Head};
use run::Run;

/// What a job's dispatches have shown, for whoever decides.
#[derive(Debug, Default)]
pub(super) struct Board {
    evidence: Mutex<Evidence>,
    changed: Notify,
}

impl Board {
    pub(super) fn read(&self) -> Evidence {
        *self.evidence.lock()
    }

    /// Waits for something that was not there at the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Evidence)) {
        change(&mut self.evidence.lock());
        self.changed.notify_one();
    }

    /// The lead's service showed how far it is.
    pub(super) fn lead_progressed(&self, on: NetworkId, share: f64) {
        self.write(|evidence| {
            if let Some((network, lead)) = &mut evidence.lead
                && *network == on
            {
                lead.progress = Some(share);
                lead.progressed_s = Some(clock::now_s());
            }
        });
    }

    fn shadow(&self, on: NetworkId, change: impl FnOnce(&mut Observation)) {
        self.write(|evidence| {
            if let Some(shadow) = &mut evidence.shadows[on] {
                change(shadow);
            }
        });
    }
}

/// How a shadow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It runs, or was stopped before it had shown an end.
    Open,
    /// It was stopped at its planned window.
    WindowEnded,
    /// Its answer was whole, and not used.
    Finished,
    /// It broke off or answered what cannot be used.
    Failed,
    /// The far side did not take it.
    Refused,
    /// It became the real job.
    Adopted,
}

/// A shadow's fate, counted once when its task and its holder are both done with it.
#[derive(Debug)]
struct Tally {
    shared: Arc<Shared>,
    on: NetworkId,
    predicted: Option<Prediction>,
    /// How long the job took, if it ran to its end.
    took_s: Mutex<Option<f64>>,
    fate: Mutex<Fate>,
    count: Mutex<Option<ShadowCount>>,
}

impl Tally {
    fn start(shared: &Arc<Shared>, on: NetworkId, predicted: Option<Prediction>) -> Arc<Self> {
        let count = Mutex::new(Some(shared.metrics.shadow_started(on)));
        let (fate, took_s) = (Mutex::new(Fate::Open), Mutex::new(None));
        Arc::new(Self { shared: Arc::clone(shared), on, predicted, took_s, fate, count })
    }

    fn took(&self, seconds: f64) {
        *self.took_s.lock() = Some(seconds);
    }

    fn fate(&self) -> Fate {
        *self.fate.lock()
    }

    /// From now on it is a job, and no shadow in flight.
    fn adopted(&self) {
        *self.fate.lock() = Fate::Adopted;
        self.count(Fate::Adopted);
    }

    /// Sets it if nothing has been said yet: what was adopted or has ended stays so. What can never be adopted any more is
    /// counted at once, not only when the job is over.
    fn set_if_open(&self, ended: Fate) {
        let mut fate = self.fate.lock();
        if *fate != Fate::Open {
            return;
        }
        *fate = ended;
        if matches!(ended, Fate::Failed | Fate::Refused) {
            self.count(ended);
        }
    }

    /// Counts it, unless it has been counted.
    fn count(&self, fate: Fate) {
        let Some(count) = self.count.lock().take() else { return };
        match fate {
            Fate::Open | Fate::WindowEnded => drop(count),
            Fate::Finished => count.ended(ShadowEnd::Finished),
            Fate::Failed => count.ended(ShadowEnd::Failed),
            Fate::Refused => count.not_executed(),
            Fate::Adopted => count.ended(ShadowEnd::Adopted),
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let fate = self.fate();
        self.count(fate);
        // Only now is it known to have been the real job, and how long that took: either may come first.
        if let Some(took_s) = self.took_s.lock().filter(|_| fate == Fate::Adopted) {
            self.shared.metrics.predicted(self.on, self.predicted.as_ref(), took_s);
        }
    }
}

/// Ends a task when it is dropped.
#[derive(Debug)]
struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A shadow under way. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Shadow {
    network: Arc<Network>,
    id: String,
    worker: usize,
    throttle: Arc<Throttle>,
    upload: Arc<Upload>,
    tally: Arc<Tally>,
    head: Option<oneshot::Receiver<Response<Source>>>,
    task: AbortOnDrop,
}

/// Shadows that run only to learn. Dropping it cancels them.
#[derive(Debug)]
pub(super) struct Background {
    tasks: Vec<AbortOnDrop>,
    started: Arc<Mutex<NetworkSet>>,
}

/// Why there is no answer from an adopted shadow.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdopted {
    /// The far side did not lift its caps.
    #[error("the sidecar that runs the shadow did not adopt it")]
    Peer(#[source] peer::Unanswered),
    /// It came to an answer that a client is not given in the lead's place.
    #[error("the adopted shadow came to {0}")]
    Status(http::StatusCode),
    /// It broke off before its head.
    #[error("the adopted shadow broke off before its response head")]
    BrokeOff,
}

impl Shadow {
    /// Starts a shadow of `head` and `body` on a network, if there is a permit for it.
    pub(super) fn start(
        course: &Arc<Course>,
        board: &Arc<Board>,
        on: NetworkId,
        head: &Arc<Head>,
        body: Option<&Spool>,
        window_s: f64,
    ) -> Result<Self, NoPermit> {
        let run = Run::prepare(course, board, on, body, window_s)?;
        let (network, throttle, upload, tally, id) = run.parts();
        let (head_sender, head_receiver) = oneshot::channel();
        let task = tokio::spawn(run.until_adopted(Arc::clone(head), body.cloned(), head_sender)).abort_handle();
        Ok(Self {
            network,
            id,
            worker: course.worker,
            throttle,
            upload,
            tally,
            head: Some(head_receiver),
            task: AbortOnDrop(Some(task)),
        })
    }

    /// Where it runs.
    pub(super) fn on(&self) -> NetworkId {
        self.network.id
    }

    /// Makes it the real job: caps are lifted on both sides before this says so.
    pub(super) async fn adopt(&self) -> Result<(), NotAdopted> {
        let is_whole = self.tally.fate() == Fate::Finished;
        if self.network.is_sidecar() && !is_whole {
            let asked = match self.upload.went(self.network.id) {
                Some(endpoint) => {
                    let of = Asked { network: Arc::clone(&self.network), endpoint, worker: self.worker };
                    peer::adopt(&of, &self.id).await
                }
                None => Err(Unanswered::Silent),
            };
            let asked = asked.map_err(NotAdopted::Peer);
            // One that has finished meanwhile is not known there any more, and needs nobody's leave.
            asked.or_else(|refused| if self.tally.fate() == Fate::Finished { Ok(()) } else { Err(refused) })?;
        }
        self.tally.adopted();
        self.throttle.lift();
        Ok(())
    }

    /// The answer of an adopted shadow.
    pub(super) async fn answer(mut self) -> Result<Response<Body>, NotAdopted> {
        let head = self.head.take().ok_or(NotAdopted::BrokeOff)?;
        let response = head.await.map_err(|_| NotAdopted::BrokeOff)?;
        if !observation::shadow_is_good(response.status().as_u16()) {
            return Err(NotAdopted::Status(response.status()));
        }
        let Self { task, tally, .. } = self;
        Ok(response.map(|source| Body::Adopted(Box::new(Adopted { source, _task: task, _tally: tally }))))
    }

    /// Says, before it is dropped, that it was its planned window that ended it.
    pub(super) fn window_ended(&self) {
        self.tally.set_if_open(Fate::WindowEnded);
    }
}

/// Starts shadows that only teach, as soon as the body is whole, where there are permits for them then.
pub(super) fn later(
    course: &Arc<Course>,
    on: NetworkSet,
    head: &Arc<Head>,
    body: Option<&Spool>,
    window_s: f64,
) -> Background {
    let started = Arc::new(Mutex::new(NetworkSet::EMPTY));
    let start = |network| {
        let (course, head, body, started) = (Arc::clone(course), Arc::clone(head), body.cloned(), Arc::clone(&started));
        let task = tokio::spawn(async move {
            let whole = match &body {
                Some(spool) => spool.complete().await.is_ok(),
                None => true,
            };
            if whole && let Ok(run) = Run::prepare(&course, &Arc::default(), network, body.as_ref(), window_s) {
                {
                    let mut started = started.lock();
                    *started = started.with(network);
                }
                run.until_learned(head, body).await;
            }
        });
        AbortOnDrop(Some(task.abort_handle()))
    };
    Background { tasks: on.iter().map(start).collect(), started }
}

impl Background {
    /// The networks on which one has started.
    pub(super) fn started(&self) -> NetworkSet {
        *self.started.lock()
    }

    /// Nobody holds them any more: they run on until their window ends.
    pub(super) fn run_on(mut self) {
        for task in &mut self.tasks {
            task.0 = None;
        }
    }
}

/// The answer of an adopted shadow, with the task that fetches it: when the client goes away, so does the task.
#[derive(Debug)]
pub(crate) struct Adopted {
    source: Source,
    _task: AbortOnDrop,
    _tally: Arc<Tally>,
}

impl http_body::Body for Adopted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().source).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
