//! One shadow: a bounded, low-priority dispatch that may become the real job.
//!
//! It runs as a task of its own, on connections of its own, and everything about it that can go wrong stays in it: it has
//! no way to make an answer late, let alone wrong. What it shows goes on the job's [`Board`]; its answer waits in a bounded
//! pipe. Whatever way it ends, its permit is freed, its end is counted once, and what it taught is learned.

mod adopted;
mod run;

use std::sync::Arc;

use http::Response;
use parking_lot::Mutex;
use policy::budget::NoPermit;
use policy::fate::{self, Fate};
use policy::fence::{End, Reply};
use policy::{Evidence, NetworkId, NetworkSet, Observation, Prediction, Progress, observation};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::answer::Source;
use crate::body::Body;
use crate::generation::Shared;
use crate::metrics::{ShadowCount, ShadowEnd};
use crate::peer::{self, Asked, Unanswered};
use crate::spool::Spool;
use crate::throttle::Throttle;
use crate::upstream::{Network, Upload};

use super::asynchronous::{Twin, outlive};
use super::course::{Course, Head};
use run::Run;

pub(crate) use adopted::Adopted;

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

    /// What is believed of how far the lead is has changed.
    pub(super) fn lead_progressed(&self, on: NetworkId, progress: Option<Progress>) {
        self.write(|evidence| {
            if let Some((network, lead)) = &mut evidence.lead
                && *network == on
            {
                lead.shows(progress);
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

/// A shadow's fate, counted once when its task and its holder are both done with it.
#[derive(Debug)]
struct Tally {
    shared: Arc<Shared>,
    on: NetworkId,
    predicted: Option<Prediction>,
    /// How long the job took, if it ran to its end.
    took_s: Mutex<Option<f64>>,
    fate: Mutex<fate::Tally>,
    count: Mutex<Option<ShadowCount>>,
    /// What it leaves running if it loses.
    twin: Mutex<Option<Twin>>,
}

impl Tally {
    fn start(shared: &Arc<Shared>, on: NetworkId, predicted: Option<Prediction>) -> Arc<Self> {
        let count = Mutex::new(Some(shared.metrics.shadow_started(on)));
        let (fate, took_s) = (Mutex::default(), Mutex::new(None));
        Arc::new(Self { shared: Arc::clone(shared), on, predicted, took_s, fate, count, twin: Mutex::default() })
    }

    /// It was accepted there, to be done later.
    fn accepted(&self, twin: Option<Twin>) {
        *self.twin.lock() = twin;
    }

    fn took(&self, seconds: f64) {
        *self.took_s.lock() = Some(seconds);
    }

    fn fate(&self) -> Fate {
        self.fate.lock().fate()
    }

    /// Whether it was: then it has not shown how long it takes.
    fn is_accepted(&self) -> bool {
        self.twin.lock().is_some()
    }

    /// It is asked to become the real job: nothing sheds it any more.
    fn ask(&self) {
        self.fate.lock().ask();
    }

    /// Live work needs its room. Says whether it goes: what is wanted as the real job stays.
    fn shed(&self) -> bool {
        let counted = self.fate.lock().shed();
        self.count(counted);
        if counted.is_some() {
            self.shared.metrics.shadow_shed(self.on);
        }
        counted.is_some()
    }

    /// From now on it is a job, and no shadow in flight, unless it broke before.
    fn adopt(&self) {
        let counted = self.fate.lock().adopt();
        self.count(counted);
    }

    /// It ended so, if nothing else has been said before.
    fn end(&self, fate: Fate) {
        let counted = self.fate.lock().end(fate);
        self.count(counted);
    }

    fn count(&self, fate: Option<Fate>) {
        let Some(fate) = fate else { return };
        let Some(count) = self.count.lock().take() else { return };
        match fate {
            Fate::Open | Fate::WindowEnded | Fate::Shed => drop(count),
            Fate::Finished => count.ended(ShadowEnd::Finished),
            Fate::Failed => count.ended(ShadowEnd::Failed),
            Fate::Refused => count.not_executed(),
            Fate::Adopted => count.ended(ShadowEnd::Adopted),
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let counted = self.fate.lock().close();
        self.count(counted);
        if let Some(twin) = self.twin.lock().take().filter(|_| self.fate() != Fate::Adopted) {
            twin.lost();
        }
        // Only now is it known to have been the real job, and how long that took: either may come first.
        if let Some(took_s) = self.took_s.lock().filter(|_| self.fate() == Fate::Adopted) {
            self.shared.metrics.predicted(self.on, self.predicted.as_ref(), took_s);
        }
    }
}

/// Ends a task when it is dropped.
#[derive(Debug)]
pub(super) struct AbortOnDrop {
    task: Option<AbortHandle>,
    /// Whether it may go on for a little, for what it leaves can be deleted.
    outlives: bool,
}

impl AbortOnDrop {
    pub(super) fn new(task: Option<AbortHandle>) -> Self {
        Self { task, outlives: false }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            outlive(task, self.outlives);
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
    /// What it was to replace has answered first.
    #[error("the lead answered before the shadow was adopted")]
    Overtaken,
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
            task: AbortOnDrop { task: Some(task), outlives: course.delete_by().is_some() },
        })
    }

    /// How far its body is.
    pub(super) fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Where it runs.
    pub(super) fn on(&self) -> NetworkId {
        self.network.id
    }

    /// Asks the side that runs it to let it become the real job: its caps are lifted there before this says so. Where nobody
    /// else holds its lease, or its answer is here whole, nobody has to agree.
    pub(super) async fn ask(&self) -> Result<(), NotAdopted> {
        self.tally.ask();
        if !self.network.is_sidecar() || self.tally.fate() == Fate::Finished {
            return Ok(());
        }
        let Some(endpoint) = self.upload.went(self.network.id) else {
            return Err(NotAdopted::Peer(Unanswered::Silent));
        };
        let of = Asked { network: Arc::clone(&self.network), endpoint, worker: self.worker };
        peer::adopt(&of, &self.id).await.map_err(NotAdopted::Peer)
    }

    /// Whether it could become the real job: it has not broken.
    pub(super) fn lives(&self) -> bool {
        matches!(self.tally.fate(), Fate::Open | Fate::Finished)
    }

    /// It is the real job from now on: its caps are lifted on this side, too.
    pub(super) fn adopt(&self) {
        self.tally.adopt();
        self.throttle.lift();
    }

    /// The answer of an adopted shadow.
    pub(super) async fn answer(mut self) -> Result<Response<Body>, NotAdopted> {
        let head = self.head.take().ok_or(NotAdopted::BrokeOff)?;
        let response = head.await.map_err(|_| NotAdopted::BrokeOff)?;
        if !observation::shadow_is_good(response.status().as_u16()) {
            return Err(NotAdopted::Status(response.status()));
        }
        let Self { task, tally, upload, network, .. } = self;
        let endpoint = upload.went(network.id);
        Ok(response.map(|source| Body::Adopted(Box::new(Adopted { source, endpoint, _task: task, _tally: tally }))))
    }

    /// Stops it, before it is dropped, as far as that is ours to do: a worker of ours is killed here and now.
    pub(super) fn stop(&self) -> End {
        let Some(seat) = self.throttle.seat() else { return End::Lost };
        seat.end();
        End::Gone
    }

    /// Says, before it is dropped, that it was its planned window that ended it.
    pub(super) fn window_ended(&self) {
        self.tally.end(Fate::WindowEnded);
    }
}

impl NotAdopted {
    /// What the side that runs the shadow said, as far as that is known.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Peer(peer::Unanswered::No(http::StatusCode::GONE)) => Reply::TooLate,
            Self::Peer(_) | Self::Overtaken | Self::Status(_) | Self::BrokeOff => Reply::Unknown,
        }
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
    let outlives = course.delete_by().is_some();
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
        AbortOnDrop { task: Some(task.abort_handle()), outlives }
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
            task.task = None;
        }
    }
}
