//! What this sidecar runs for another: transferred jobs, and shadows under the caps that were asked for.
//!
//! A shadow gets a permit of ours or is refused as not executed; it is throttled both ways, and it ends with its lease
//! unless it has been adopted. What the peer asks is clamped to what our own configuration allows. It is not a job here: the
//! sidecar that asked for it counts, records and learns from the job that it may become, and here only how it ended is
//! counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};

use super::contest::answer_of;
use super::course::Course;
use super::settle::Settle;
use super::warm::OnItsWay;
use super::{Answered, passed_on, progress};
use crate::body::{Body, BodyError};
use crate::hygiene;
use crate::metrics::{ServedCount, ServedEnd};
use crate::peer::{self, Entered, ShadowAsk};
use crate::problem::Problem;
use crate::record::Outcome;
use crate::throttle::{Throttle, Throttled};
use crate::upstream::{Flight, Lane, Outgoing, Purpose};

/// Runs a transferred job here.
pub(super) async fn transfer(course: Arc<Course>, settle: Settle, request: Request<Body>, id: &str) -> Answered {
    let served = peer::Served::new(None);
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
    let announced_bytes = course.job.body_bytes.unwrap_or(0);
    let permit = match home.shadow_permit(announced_bytes) {
        Ok(permit) => permit,
        Err(why) => {
            course.shared.metrics.shadow_refused(home.id, why);
            count.ended(ServedEnd::Refused);
            return Err((Problem::NotExecuted, format!("no permit for a shadow here: {}", why.as_str())));
        }
    };
    let shadow = &course.generation.config.shadow;
    let rate = ask.bytes_per_s.min(shadow.bytes_per_second);
    let throttle = Throttle::observed(rate, home.charge(announced_bytes));
    let window = ask.window.min(std::time::Duration::from_secs_f64(shadow.limits.window_max_s.max(0.0)));
    throttle.hold(permit);
    let served = peer::Served::new(Some(Arc::clone(&throttle)));
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
        lease: Box::pin(async move { served.lease_ends(window).await }),
        count: Some(count),
        throttle: Arc::clone(&throttle),
        _flight: home.depart(course.predicted_s(home.id)),
        _warming: warming,
    };
    let sent = home.send(course.worker, Lane::Shadow, Purpose::Job, request, &course.upload);
    let answered = tokio::select! {
        biased;
        answered = sent => answered,
        () = &mut running.lease => {
            running.ended(ServedEnd::LeaseOver);
            return Err((Problem::NoAnswer, "the shadow's lease is over and nobody has adopted it".to_owned()));
        }
    };
    match answered {
        Ok(response) => Ok(to_peer(response.map(|answer| {
            let body = Body::Throttled(Box::new(Throttled::new(Body::Answer(Box::new(answer)), throttle)));
            Served::wrap(body, Some(entered), Some(running))
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
    hygiene::scrub_response(response.headers_mut(), false);
    *response.version_mut() = http::Version::HTTP_11;
    response
}

/// A shadow that runs here, and what it holds until it is over.
struct Running {
    lease: Pin<Box<dyn Future<Output = ()> + Send>>,
    count: Option<ServedCount>,
    throttle: Arc<Throttle>,
    _flight: Flight,
    _warming: OnItsWay,
}

impl Running {
    fn ended(&mut self, how: ServedEnd) {
        if let Some(count) = self.count.take() {
            count.ended(how);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.throttle.free_permit();
    }
}

/// An answer to a peer, with what must be held while it is read.
pub(crate) struct Served {
    inner: Body,
    shadow: Option<Running>,
    _entered: Option<Entered>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("inner", &self.inner).field("is_shadow", &self.shadow.is_some()).finish()
    }
}

impl Served {
    fn wrap(inner: Body, entered: Option<Entered>, shadow: Option<Running>) -> Body {
        let mut served = Self { inner, shadow, _entered: entered };
        if served.inner.is_end_stream() {
            // Nobody will ask it for a frame.
            served.over(ServedEnd::Finished);
        }
        Body::Served(Box::new(served))
    }

    /// The answer is over, and with it what it held.
    fn over(&mut self, how: ServedEnd) {
        if let Some(mut shadow) = self.shadow.take() {
            shadow.ended(how);
        }
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(shadow) = &mut this.shadow
            && shadow.lease.as_mut().poll(cx).is_ready()
        {
            this.over(ServedEnd::LeaseOver);
            this.inner = Body::Empty;
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if !frame.is_trailers() && !this.inner.is_end_stream() => {}
            Some(Ok(_)) | None => this.over(ServedEnd::Finished),
            Some(Err(_)) => this.over(ServedEnd::Failed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
