//! What this sidecar runs for another: transferred jobs, and shadows under the caps that were asked for.
//!
//! A shadow gets a permit of ours or is refused as not executed; it is throttled both ways, and it ends with its lease
//! unless it has been adopted, also if nobody reads its answer: what it holds is where the lease's own task can take it
//! away. What the peer asks is clamped to what our own configuration allows. It is not a job here: the
//! sidecar that asked for it counts, records and learns from the job that it may become, and here only how it ended is
//! counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use policy::lease::Ending;
use tokio::sync::Notify;

use super::contest::answer_of;
use super::course::Course;
use super::settle::Settle;
use super::shadow::AbortOnDrop;
use super::warm::OnItsWay;
use super::{Answered, passed_on, progress};
use crate::body::{Body, BodyError};
use crate::hygiene;
use crate::metrics::{ServedCount, ServedEnd};
use crate::peer::{self, Entered, ShadowAsk};
use crate::problem::Problem;
use crate::record::Outcome;
use crate::throttle::{Throttle, Throttled};
use crate::upstream::{Flight, Lane, Outgoing, Purpose, Ticket};

/// Runs a transferred job here.
pub(super) async fn transfer(course: Arc<Course>, settle: Settle, request: Request<Body>, id: &str) -> Answered {
    let served = peer::Served::job();
    // A name that is taken only costs the job its progress reports.
    let entered = course.shared.peers.enter(id, &served);
    let mut request = request;
    progress::listen(&mut request, move |share| served.progressed(share));
    let target = course.plan.target;
    let flight = course.network(target).depart(course.predicted_s(target));
    let mut settle = settle;
    match answer_of(&course, target, request).await {
        Ok(response) => {
            settle.answered(response.status(), Some(flight));
            let held = response.map(|inner| Served::wrap(inner, entered, None));
            Ok(passed_on(held, settle))
        }
        Err(failure) => {
            settle.end(Outcome::Refused, 0);
            let problem = if failure.not_executed() { Problem::NotExecuted } else { failure.problem() };
            Err((problem, failure.to_string()))
        }
    }
}

/// Runs a shadow here.
pub(super) async fn shadow(course: Arc<Course>, warming: OnItsWay, request: Request<Body>, ask: ShadowAsk) -> Answered {
    let count = course.shared.metrics.shadow_served();
    let home = Arc::clone(course.network(course.plan.target));
    let permit = match home.shadow_permit(course.job.body_bytes.unwrap_or(0)) {
        Ok(permit) => permit,
        Err(why) => {
            course.shared.metrics.shadow_refused(home.id, why);
            count.ended(ServedEnd::Refused);
            return Err((Problem::NotExecuted, format!("no permit for a shadow here: {}", why.as_str())));
        }
    };
    let shadow = &course.generation.config.shadow;
    let throttle = Throttle::new(ask.bytes_per_s.min(shadow.bytes_per_second));
    let window = ask.window.min(std::time::Duration::from_secs_f64(shadow.limits.window_max_s.max(0.0)));
    let shed = permit.shed();
    throttle.hold(permit);
    let served = peer::Served::shadow(Arc::clone(&throttle), window);
    let Some(entered) = course.shared.peers.enter(&ask.id, &served) else {
        count.ended(ServedEnd::Refused);
        return Err((Problem::NotExecuted, "a shadow of that name runs here, or too many run".to_owned()));
    };
    let mut request = request.map(|body| {
        let body = Outgoing::wrap(body, &course.upload);
        if body.is_end_stream() { body } else { Body::Throttled(Box::new(Throttled::new(body, Arc::clone(&throttle)))) }
    });
    let watched = Arc::clone(&served);
    progress::listen(&mut request, move |share| watched.progressed(share));
    let mut running = Running {
        served: Arc::clone(&served),
        count: Some(count),
        throttle: Arc::clone(&throttle),
        flight: home.depart(course.predicted_s(home.id)),
        _warming: warming,
    };
    let sent = home.send(course.worker, Lane::Shadow, Purpose::Job, request, &course.upload);
    let answered = tokio::select! {
        biased;
        answered = sent => answered,
        () = served.lease_ends() => {
            running.ended(ServedEnd::LeaseOver);
            return Err((Problem::NoAnswer, "the shadow's lease is over and nobody has adopted it".to_owned()));
        }
        () = shed.notified() => {
            running.ended(ServedEnd::Shed);
            return Err((Problem::BrokeOff, "live work needs the shadow's room".to_owned()));
        }
    };
    match answered {
        Ok(response) => Ok(to_peer(response.map(|mut answer| {
            answer.frees(running.flight.ticket());
            let body = Body::Throttled(Box::new(Throttled::new(Body::Answer(Box::new(answer)), throttle)));
            Served::wrap(body, Some(entered), Some((running, shed)))
        }))),
        Err(error) => {
            let (end, problem) = if error.not_executed() {
                (ServedEnd::Refused, Problem::NotExecuted)
            } else {
                (ServedEnd::Failed, Problem::BrokeOff)
            };
            running.ended(end);
            Err((problem, error.to_string()))
        }
    }
}

/// A shadow's answer as the other sidecar gets it. What is said of the decision is for that one to say.
fn to_peer(mut response: Response<Body>) -> Response<Body> {
    hygiene::scrub_response(response.headers_mut(), false, false);
    *response.version_mut() = http::Version::HTTP_11;
    response
}

/// A shadow that runs here, and what it holds until it is over.
struct Running {
    served: Arc<peer::Served>,
    count: Option<ServedCount>,
    throttle: Arc<Throttle>,
    flight: Flight,
    _warming: OnItsWay,
}

impl Running {
    fn ended(&mut self, how: ServedEnd) {
        self.served.ended(ending(how));
        if let Some(count) = self.count.take() {
            count.ended(how);
        }
    }
}

/// What a served shadow's end means to its lease.
const fn ending(how: ServedEnd) -> Ending {
    match how {
        ServedEnd::Finished => Ending::Finished,
        ServedEnd::Failed | ServedEnd::Refused => Ending::Failed,
        ServedEnd::LeaseOver => Ending::LeaseOver,
        ServedEnd::Cut | ServedEnd::Shed => Ending::Cut,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If nothing else was said before.
        self.served.ended(Ending::Cut);
        self.throttle.free_permit();
    }
}

/// An answer to a peer, with what must be held while it is read.
pub(crate) struct Served {
    held: Arc<Held>,
    _entered: Option<Entered>,
    /// What ends a shadow with its lease, whoever reads it.
    _watch: AbortOnDrop,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let holding = self.held.0.lock();
        f.debug_struct("Served")
            .field("inner", &holding.inner)
            .field("is_shadow", &holding.shadow.is_some())
            .finish_non_exhaustive()
    }
}

/// What is held for an answer, where the end of its lease can take it away.
struct Held(Mutex<Holding>);

struct Holding {
    /// `None` once it was taken away.
    inner: Option<Body>,
    shadow: Option<Running>,
    reading: Option<Waker>,
}

impl Held {
    /// The answer is over, and with it what it held.
    fn over(&self, how: ServedEnd) {
        let shadow = self.0.lock().shadow.take();
        if let Some(mut shadow) = shadow {
            shadow.ended(how);
        }
    }

    /// Takes all of it away: its connection closes, its slot and its permit are free.
    fn take_away(&self, how: ServedEnd) {
        let (inner, reading) = {
            let mut holding = self.0.lock();
            (holding.inner.take(), holding.reading.take())
        };
        drop(inner);
        self.over(how);
        if let Some(reading) = reading {
            reading.wake();
        }
    }
}

impl Served {
    fn wrap(inner: Body, entered: Option<Entered>, shadow: Option<(Running, Arc<Notify>)>) -> Body {
        let (shadow, shed) = shadow.unzip();
        let served = shadow.as_ref().map(|shadow| Arc::clone(&shadow.served)).zip(shed);
        let is_whole = inner.is_end_stream();
        let held = Arc::new(Held(Mutex::new(Holding { inner: Some(inner), shadow, reading: None })));
        if is_whole {
            // Nobody will ask it for a frame.
            held.over(ServedEnd::Finished);
        }
        let watched = served.filter(|_| !is_whole).map(|(served, shed)| {
            let held = Arc::clone(&held);
            let watch = async move {
                let how = tokio::select! {
                    () = served.lease_ends() => ServedEnd::LeaseOver,
                    () = shed.notified() => ServedEnd::Shed,
                };
                held.take_away(how);
            };
            tokio::spawn(watch).abort_handle()
        });
        Body::Served(Box::new(Self { held, _entered: entered, _watch: AbortOnDrop::new(watched) }))
    }

    /// The place in the ledger of a transferred job, to be given up when its time is up, even if its peer does not read.
    pub(crate) fn frees(&mut self, ticket: Ticket) {
        if let Some(Body::Answer(answer)) = &mut self.held.0.lock().inner {
            answer.frees(ticket);
        }
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let held = &self.get_mut().held;
        let (frame, is_last) = {
            let mut holding = held.0.lock();
            let Some(inner) = &mut holding.inner else { return Poll::Ready(Some(Err(BodyError::Cancelled))) };
            match Pin::new(&mut *inner).poll_frame(cx) {
                Poll::Ready(frame) => (frame, inner.is_end_stream()),
                Poll::Pending => {
                    holding.reading = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        match &frame {
            Some(Ok(frame)) if !frame.is_trailers() && !is_last => {}
            Some(Ok(_)) | None => held.over(ServedEnd::Finished),
            Some(Err(_)) => held.over(ServedEnd::Failed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.0.lock().inner.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.held.0.lock().inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
