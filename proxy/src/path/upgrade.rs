//! Requests that turn their connection into something else, WebSocket above all.
//!
//! An upgrade is never shadowed and never executed twice: it goes to its target, and on to the next network only from one
//! that is known not to have executed it. Only after a real 101 from the service is the client told that it has what it
//! asked for; from then on bytes are copied both ways until both ends are done.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use policy::{Action, Evidence, NetworkId, Observation, Phase, Plan, Step};

use super::contest::{Failure, peers_own};
use super::course::{Course, Head};
use super::settle::Settle;
use super::{Answered, passed_on};
use crate::body::Body;
use crate::clock;
use crate::record::Outcome;
use crate::runtime::Owner;
use crate::upstream::{Answer, Flight, Purpose};

/// A client's wish to speak something else.
pub(super) struct Wanted {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// Takes the wish out of an HTTP/1.1 request, if it has one. `h2c` is not one: what cannot be shadowed or gated is not let
/// through, and a client that offers it must be content without (RFC 9110 §7.8).
pub(super) fn wanted<B>(request: &mut Request<B>) -> Option<Wanted> {
    if request.version() != http::Version::HTTP_11 {
        return None;
    }
    let named = request.headers().get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|v| v.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    });
    if !named {
        return None;
    }
    let offered = request.headers().get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let kept: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).filter(|p| is_kept(p)).collect();
    let protocol = HeaderValue::try_from(kept.join(", ")).ok().filter(|protocol| !protocol.is_empty())?;
    Some(Wanted { protocol, client: hyper::upgrade::on(request) })
}

fn is_kept(protocol: &str) -> bool {
    !protocol.is_empty() && !protocol.eq_ignore_ascii_case("h2c")
}

/// Sends the request on and, if the service agrees, joins both ends.
pub(super) async fn answer(
    course: Arc<Course>,
    mut settle: Settle,
    mut request: Request<Body>,
    wanted: Wanted,
    owner: &Owner,
) -> Answered {
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(header::UPGRADE, wanted.protocol);
    let (flight, mut response) = match reach(&course, &mut settle, request).await {
        Ok(reached) => reached,
        Err(failure) => {
            settle.end(failure.outcome(), 0);
            return Err((failure.problem(), failure.to_string()));
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        settle.answered(response.status(), None);
        return Ok(passed_on(response.map(|answer| Body::Answer(Box::new(answer))), settle));
    }
    let service = hyper::upgrade::on(&mut response);
    let (parts, answer) = response.into_parts();
    settle.answered(parts.status, None);
    let header = settle.header();
    // Ends when both ends are done, or either breaks.
    owner.keep_open(async move {
        let _held = (flight, answer);
        let joined = join(wanted.client, service).await;
        let (outcome, bytes) = match joined {
            Ok(bytes) => (Outcome::Answered, bytes),
            Err(error) => {
                tracing::debug!(%error, "an upgraded connection broke off");
                (Outcome::BrokeOff, 0)
            }
        };
        settle.end(outcome, bytes);
    });
    let mut response = Response::from_parts(parts, Body::Empty);
    crate::hygiene::scrub_response(response.headers_mut(), true);
    if let Some(header) = header {
        response.headers_mut().insert(super::DECISION, header);
    }
    Ok(response)
}

/// Sends the request to the target, and on from each network that is known not to have executed it.
async fn reach(
    course: &Course,
    settle: &mut Settle,
    mut request: Request<Body>,
) -> Result<(Flight, Response<Answer>), Failure> {
    let (mut plan, mut to) = (course.plan, course.plan.target);
    // Each turn takes a network out of those that are eligible.
    loop {
        let flight = course.depart(to);
        // With a body, which nobody sends with an upgrade, there would be nothing left to send again.
        let again = request.body().is_end_stream().then(|| Head::of(&request));
        let failure = match course.send(to, Purpose::Upgrade, request).await {
            Ok(response) => match peers_own(course, to, &response) {
                Some(failure) => failure,
                None => return Ok((flight, response)),
            },
            Err(error) => Failure::Send(error),
        };
        let Some(head) = again.filter(|_| failure.not_executed()) else { return Err(failure) };
        let Some(next) = next(course, settle, &mut plan, to) else { return Err(failure) };
        request = head.request(Body::Empty);
        course.shared.metrics.failed_over(to);
        to = next;
    }
}

/// Where the policy sends the job on to from a network that has refused it.
fn next(course: &Course, settle: &mut Settle, plan: &mut Plan, from: NetworkId) -> Option<NetworkId> {
    plan.eligible = plan.eligible.without(from);
    let now_s = clock::now_s();
    let refused = Observation { phase: Phase::Refused, ..Observation::started(now_s) };
    let evidence = Evidence { lead: Some((from, refused)), ..Evidence::default() };
    let model = course.model.as_deref();
    let step = policy::decide(&course.job, &course.view, model, plan, &evidence, course.planned_s, now_s);
    let Step::Settled(decision) = step else { return None };
    settle.decided(&decision);
    (decision.action == Action::Send).then_some(decision.target)
}

async fn join(client: OnUpgrade, service: OnUpgrade) -> std::io::Result<u64> {
    let (client, service) = tokio::try_join!(client, service).map_err(std::io::Error::other)?;
    let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
    let (_up, down) = tokio::io::copy_bidirectional(&mut client, &mut service).await?;
    Ok(down)
}
