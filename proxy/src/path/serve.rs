//! What this sidecar runs for another: transferred jobs, and shadows under the caps that were asked for.
//!
//! A shadow gets a permit of ours or is refused as not executed; it is throttled both ways, and it ends with its lease
//! unless it has been adopted. What the peer asks is clamped to what our own configuration allows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};

use super::contest::answer_of;
use super::course::Course;
use super::settle::Settle;
use super::{Answered, passed_on, progress};
use crate::body::{Body, BodyError};
use crate::peer::{self, Entered, ShadowAsk};
use crate::problem::Problem;
use crate::record::Outcome;
use crate::throttle::{Throttle, Throttled};
use crate::upstream::{Lane, Outgoing, Purpose, ShadowPermit};

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
            let held = response.map(|inner| Served::hold(inner, entered, None, None));
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
pub(super) async fn shadow(
    course: Arc<Course>,
    mut settle: Settle,
    request: Request<Body>,
    ask: ShadowAsk,
) -> Answered {
    let home = Arc::clone(course.network(course.plan.target));
    let permit = match home.shadow_permit(course.job.body_bytes.unwrap_or(0)) {
        Ok(permit) => permit,
        Err(why) => {
            course.shared.metrics.shadow_refused(home.id, why);
            settle.end(Outcome::Refused, 0);
            return Err((Problem::NotExecuted, format!("no permit for a shadow here: {}", why.as_str())));
        }
    };
    let shadow = &course.generation.config.shadow;
    let throttle = Throttle::new(ask.bytes_per_s.min(shadow.bytes_per_second));
    let window = ask.window.min(std::time::Duration::from_secs_f64(shadow.limits.window_max_s.max(0.0)));
    let served = peer::Served::new(Some(Arc::clone(&throttle)));
    let Some(entered) = course.shared.peers.enter(&ask.id, &served) else {
        settle.end(Outcome::Refused, 0);
        return Err((Problem::NotExecuted, "a shadow of that name runs here, or too many run".to_owned()));
    };
    let mut request = request.map(|body| {
        let body = Outgoing::wrap(body, &course.upload);
        if body.is_end_stream() { body } else { Body::Throttled(Box::new(Throttled::new(body, Arc::clone(&throttle)))) }
    });
    let watched = Arc::clone(&served);
    progress::listen(&mut request, move |share| watched.progressed(share));
    let _flight = home.depart(course.predicted_s(home.id));
    let mut lease = Box::pin(async move { served.lease_ends(window).await }) as Lease;
    let sent = home.send(course.worker, Lane::Shadow, Purpose::Job, request, &course.upload);
    let answered = tokio::select! {
        biased;
        answered = sent => answered,
        () = &mut lease => {
            settle.end(Outcome::BrokeOff, 0);
            return Err((Problem::NoAnswer, "the shadow's lease is over and nobody has adopted it".to_owned()));
        }
    };
    match answered {
        Ok(response) => {
            settle.answered(response.status(), None);
            let held = response.map(|answer| {
                let body = Body::Throttled(Box::new(Throttled::new(Body::Answer(Box::new(answer)), throttle)));
                Served::hold(body, Some(entered), Some(permit), Some(lease))
            });
            Ok(passed_on(held, settle))
        }
        Err(error) => {
            settle.end(Outcome::Refused, 0);
            let problem = if error.not_executed() { Problem::NotExecuted } else { Problem::BrokeOff };
            Err((problem, error.to_string()))
        }
    }
}

type Lease = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An answer to a peer, with what must be held while it is read.
pub(crate) struct Served {
    inner: Body,
    lease: Option<Lease>,
    _entered: Option<Entered>,
    _permit: Option<ShadowPermit>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("inner", &self.inner).field("leased", &self.lease.is_some()).finish()
    }
}

impl Served {
    fn hold(inner: Body, entered: Option<Entered>, permit: Option<ShadowPermit>, lease: Option<Lease>) -> Body {
        Body::Served(Box::new(Self { inner, lease, _entered: entered, _permit: permit }))
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(lease) = &mut this.lease
            && lease.as_mut().poll(cx).is_ready()
        {
            this.lease = None;
            this.inner = Body::Empty;
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
