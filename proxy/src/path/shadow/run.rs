//! The task of one shadow: send it, say what it shows, keep or throw away its answer, and tell what it taught.

mod using;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use policy::budget::NoPermit;
use policy::fate::Fate;
use policy::learn::{self, Label, Row};
use policy::{Caps, NetworkId, Observation, Phase, observation};
use tokio::sync::{Notify, oneshot};

use self::whole::Whole;
use super::{Board, Tally};
use crate::answer::{self, Sink, Source};
use crate::body::Body;
use crate::clock;
use crate::grpc::Call;
use crate::hygiene;
use crate::lane::Used;
use crate::metrics::Direction;
use crate::path::asynchronous::{Sent, Twin};
use crate::path::contest::is_since_whole;
use crate::path::course::{Course, Head};
use crate::path::progress::{self, Dispatched};
use crate::peer::{self, ShadowAsk};
use crate::spool::Spool;
use crate::throttle::{Throttle, Throttled};
use crate::upstream::{Answer, Flight, Lane, Network, Outgoing, Upload};

/// Everything a shadow's task needs.
pub(super) struct Run {
    lesson: Lesson,
    board: Arc<Board>,
    network: Arc<Network>,
    worker: usize,
    id: String,
    throttle: Arc<Throttle>,
    upload: Arc<Upload>,
    /// What it may use at the most; its window is the plan's.
    caps: Caps,
    window: Duration,
    answer_bytes: usize,
    /// Told when live work needs its room.
    shed: Arc<Notify>,
}

/// What is owed at the end, whatever way it comes.
struct Lesson {
    tally: Arc<Tally>,
    course: Arc<Course>,
    board: Arc<Board>,
    flight: Option<Flight>,
    throttle: Arc<Throttle>,
    upload: Arc<Upload>,
    /// What it has used, as far as anybody has said.
    used: Mutex<Used>,
    announced_bytes: u64,
}

impl Run {
    /// Spends a permit and enters the shadow in the ledger; it is sent when it is run.
    pub(super) fn prepare(
        course: &Arc<Course>,
        board: &Arc<Board>,
        on: NetworkId,
        body: Option<&Spool>,
        window_s: f64,
    ) -> Result<Self, NoPermit> {
        let network = Arc::clone(course.network(on));
        let announced_bytes = body.and_then(Spool::settled).and_then(Result::ok).unwrap_or(0);
        let refused = |why: &NoPermit| course.shared.metrics.shadow_refused(on, *why);
        let seat = network.claim().inspect_err(refused)?;
        let permit = network.shadow_permit(announced_bytes).inspect_err(refused)?;
        board.write(|evidence| evidence.shadows[on] = Some(Observation::started(clock::now_s())));
        let caps = Caps { window_s, ..course.plan.caps };
        let throttle = Throttle::observed(caps.bytes_per_s, network.charge(announced_bytes));
        let shed = permit.shed();
        throttle.hold(permit);
        let flight = course.depart_shadow(on, window_s);
        if let Some(seat) = seat {
            throttle.hold_seat(seat);
        }
        let upload = Arc::new(Upload::default());
        // Data may be on its way there.
        if let Some(endpoint) = course.upload.take_preferred(on) {
            upload.prefer(on, endpoint);
        }
        Ok(Self {
            lesson: Lesson {
                tally: Tally::start(&course.shared, on, course.plan.predictions[on]),
                course: Arc::clone(course),
                board: Arc::clone(board),
                flight: Some(flight),
                throttle: Arc::clone(&throttle),
                upload: Arc::clone(&upload),
                used: Mutex::default(),
                announced_bytes,
            },
            board: Arc::clone(board),
            network,
            worker: course.worker,
            id: course.dispatch_id(&format!("s{}", on.index())),
            throttle,
            caps,
            upload,
            window: Duration::try_from_secs_f64(window_s).unwrap_or(Duration::ZERO),
            answer_bytes: course.generation.config.shadow.answer_bytes,
            shed,
        })
    }

    /// What its holder needs to steer it.
    pub(super) fn parts(&self) -> (Arc<Network>, Arc<Throttle>, Arc<Upload>, Arc<Tally>, String) {
        let (throttle, upload) = (Arc::clone(&self.throttle), Arc::clone(&self.upload));
        (Arc::clone(&self.network), throttle, upload, Arc::clone(&self.lesson.tally), self.id.clone())
    }

    /// Runs the shadow and keeps its answer. Whoever holds its abort handle may end it at any point.
    pub(super) async fn until_adopted(
        mut self,
        head: Arc<Head>,
        body: Option<Spool>,
        answered: oneshot::Sender<Response<Source>>,
    ) {
        self.until_shed(&head, body, Some(answered)).await;
    }

    /// Ends early if live work needs its room: it is the first to go, unless it is wanted as the real job.
    async fn until_shed(
        &mut self,
        head: &Arc<Head>,
        body: Option<Spool>,
        answered: Option<oneshot::Sender<Response<Source>>>,
    ) {
        let (told, tally) = (Arc::clone(&self.shed), Arc::clone(&self.lesson.tally));
        let shed = async {
            told.notified().await;
            if !tally.shed() {
                std::future::pending().await
            }
        };
        tokio::select! {
            biased;
            () = self.exchange(head, body, answered) => {}
            () = shed => self.show(Phase::Failed),
        }
    }

    /// Runs the shadow for its window at the most and throws its answer away as it comes.
    pub(super) async fn until_learned(mut self, head: Arc<Head>, body: Option<Spool>) {
        let window = self.window;
        if tokio::time::timeout(window, self.until_shed(&head, body, None)).await.is_err() {
            self.lesson.tally.end(Fate::WindowEnded);
        }
    }

    async fn exchange(
        &mut self,
        head: &Arc<Head>,
        body: Option<Spool>,
        answered: Option<oneshot::Sender<Response<Source>>>,
    ) {
        let request = self.request(head, body);
        let on = self.network.id;
        let board = Arc::clone(&self.board);
        let tell = move |progress| board.shadow(on, |shadow| shadow.shows(progress));
        let seat = self.throttle.seat().cloned();
        if let Some(seat) = &seat
            && seat.cap(self.caps).await.is_err()
        {
            return self.end(Fate::Refused, Phase::Refused);
        }
        let upload = Arc::clone(&self.upload);
        let course = Arc::clone(&self.lesson.course);
        let of = Dispatched { course: &course, network: &self.network, id: &self.id, upload: &upload, pace: &upload };
        let used = |used| self.take_in(used);
        let sending = progress::while_watching(of, request, std::future::ready(()), tell, used, |request| {
            self.network.send_shadow(self.worker, seat.as_deref(), request, &upload)
        });
        match Box::pin(self.while_looking(sending)).await {
            Ok(response) if self.is_refused(&response) => self.end(Fate::Refused, Phase::Refused),
            Ok(response) if self.network.runs_shadows_apart() && response.status() == StatusCode::ACCEPTED => {
                self.is_out_of_reach(head, response.status(), response.headers());
            }
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers());
                let twin = Twin::of(&self.lesson.course, head, self.sent(), status, headers);
                self.lesson.tally.accepted(twin);
                self.keep(response, answered).await;
            }
            Err(error) => {
                tracing::debug!(network = self.network.name(), %error, "a shadow failed");
                if let Some(seat) = seat {
                    seat.broke();
                }
                let (fate, phase) =
                    if error.not_executed() { (Fate::Refused, Phase::Refused) } else { (Fate::Failed, Phase::Failed) };
                self.end(fate, phase);
            }
        }
    }

    fn sent(&self) -> Sent {
        let on = self.network.id;
        Sent { on, endpoint: self.upload.went(on), lane: Lane::Shadow }
    }

    /// Whether the far sidecar says that it did not run it. Of a service that is none it is not believed.
    fn is_refused<B>(&self, response: &Response<B>) -> bool {
        self.network.is_sidecar() && response.headers().contains_key(&crate::problem::NOT_EXECUTED)
    }

    fn request(&self, head: &Head, body: Option<Spool>) -> Request<Body> {
        let body = match body {
            Some(spool) => {
                let spooled = Body::Spooled(Box::new(spool.reader()));
                Body::Throttled(Box::new(Throttled::new(spooled, Arc::clone(&self.throttle))))
            }
            None => Body::Empty,
        };
        // As for a lead: while its body moves, and for the time of a head after it, it is not late.
        let mut request = head.request(Outgoing::wrap(body, &self.upload));
        if self.network.is_sidecar() {
            let ask = ShadowAsk { id: self.id.as_str().into(), level: self.lesson.course.plan.level, caps: self.caps };
            request.headers_mut().insert(peer::SHADOW, ask.header().unwrap_or(HeaderValue::from_static("")));
        }
        request
    }

    /// Keeps the answer for whoever adopts it, as far as its bound allows.
    async fn keep(&mut self, response: Response<Answer>, answered: Option<oneshot::Sender<Response<Source>>>) {
        let said = Call::read(response.headers());
        let good = observation::shadow_is_good(response.status().as_u16()) && is_well(said);
        let at_s = self.since_sent_s();
        let (mut parts, answer) = response.into_parts();
        self.hear(&parts.headers);
        hygiene::scrub_response(&mut parts.headers, false);
        let mut answer = Throttled::new(answer, Arc::clone(&self.throttle));
        let (sink, source) = answer::pipe(self.answer_bytes);
        let handed = answered.map(|answered| answered.send(Response::from_parts(parts, source)));
        let mut sink = handed.filter(Result::is_ok).map(|_| sink);
        self.show(Phase::Head { at_s, good });
        match self.pump(&mut answer, &mut sink).await {
            Ok(said) if good && is_well(said) => {
                if let Some(sink) = sink {
                    sink.finish();
                }
                let at_s = self.since_sent_s();
                if let Some(seat) = self.throttle.seat() {
                    seat.is_whole();
                }
                self.look();
                self.end(Fate::Finished, Phase::Finished { at_s, good });
                if !self.lesson.tally.is_accepted() {
                    self.learn_it_took();
                }
            }
            Ok(_) => {
                if let Some(sink) = sink {
                    sink.finish();
                }
                let at_s = self.since_sent_s();
                self.end(Fate::Failed, Phase::Finished { at_s, good: false });
            }
            Err(()) => self.end(Fate::Failed, Phase::Failed),
        }
    }

    /// Reads the answer to its end. Says what its trailers say of a call.
    async fn pump(&self, answer: &mut Throttled<Answer>, sink: &mut Option<Sink>) -> Result<Option<Call>, ()> {
        let mut said = None;
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| {
                tracing::debug!(%error, "a shadow's answer broke off");
                if let Some(seat) = self.throttle.seat() {
                    seat.broke();
                }
            })?;
            said = frame.trailers_ref().and_then(Call::read).or(said);
            if let Some(sink) = sink {
                sink.put(frame).await.map_err(|unread| tracing::trace!(%unread, "a shadow's answer"))?;
            }
        }
        Ok(said)
    }

    fn since_sent_s(&self) -> f64 {
        clock::now_s() - self.lesson.flight.as_ref().map_or_else(clock::now_s, Flight::sent_s)
    }

    fn show(&self, phase: Phase) {
        self.board.shadow(self.network.id, |shadow| shadow.phase = phase);
    }

    fn end(&self, fate: Fate, phase: Phase) {
        self.lesson.tally.end(fate);
        self.show(phase);
    }
}

/// Whether a call, if it is one, has not failed.
fn is_well(said: Option<Call>) -> bool {
    said.is_none_or(|call| call == Call::Ok)
}

impl Lesson {
    fn on(&self) -> NetworkId {
        self.tally.on
    }

    /// What it teaches, now that all of it has run; once.
    fn whole(&mut self) -> Option<Whole> {
        self.note_bytes();
        let flight = self.flight.take()?;
        Some(Whole {
            tally: Arc::clone(&self.tally),
            course: Arc::clone(&self.course),
            ran_s: self.course.ran_s(self.on(), &self.upload, flight.land()),
            used: *self.used.lock(),
            response_bytes: self.received() as f64,
        })
    }

    /// What it moved is on the bill, and if it is the real job, its slot at full price.
    fn note_bytes(&mut self) {
        let (bytes, adopted) = (self.throttle.passed(), self.tally.fate() == Fate::Adopted);
        let speed = self.course.plan.caps.speed(self.course.plan.predictions[self.on()].as_ref());
        if let Some(flight) = &mut self.flight {
            flight.carried(bytes);
            if adopted && speed > 0.0 {
                flight.costs_times(1.0 / speed);
            }
        }
    }

    /// What a part of it teaches. What that has used says nothing of the whole.
    fn learn(&self, label: Label) {
        let response_bytes = match label {
            Label::Took(_) => Some(self.received() as f64),
            Label::LongerThan(_) => None,
        };
        self.tally.shared.oracle.learn(Row {
            job: self.course.job,
            pair: self.course.id,
            network: self.on(),
            label,
            cpu_s: None,
            memory_bytes: None,
            response_bytes,
        });
    }

    fn received(&self) -> u64 {
        self.throttle.passed().saturating_sub(self.announced_bytes)
    }
}

impl Drop for Lesson {
    fn drop(&mut self) {
        self.note_bytes();
        self.throttle.free_permit();
        if let Some(seat) = self.throttle.seat() {
            seat.end();
        }
        let received = self.received();
        let metrics = &self.tally.shared.metrics;
        metrics.shadow_moved(self.on(), Direction::Sent, self.throttle.passed() - received);
        metrics.shadow_moved(self.on(), Direction::Received, received);
        let stopped = matches!(self.tally.fate(), Fate::Open | Fate::WindowEnded | Fate::Shed) && self.flight.is_some();
        if let Some(mut observed) = self.board.read().shadows[self.on()].filter(|_| stopped) {
            let waited_s = self.upload.waited_s();
            if waited_s > 0.0 && observed.progress.is_some() && !is_since_whole(&observed, &self.upload) {
                return;
            }
            observed.waited(waited_s);
            let at_window = self.tally.fate() == Fate::WindowEnded;
            let label = learn::stopped(&observed, at_window, self.course.arriving_s(self.on()), clock::now_s());
            if let Some(label) = label {
                self.learn(label);
            }
        }
    }
}
