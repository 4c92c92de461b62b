//! Requests that turn their connection into something else, WebSocket above all.
//!
//! The job goes to its target and nowhere else: an upgrade is never shadowed and never tried twice. Only after a real 101
//! from the service is the client told that it has what it asked for; from then on bytes are copied both ways until both
//! ends are done.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::contest::Failure;
use super::course::Course;
use super::settle::Settle;
use super::{Answered, passed_on};
use crate::body::Body;
use crate::record::Outcome;
use crate::runtime::Owner;
use crate::upstream::Purpose;

/// A client's wish to speak something else.
pub(super) struct Wanted {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// Takes the wish out of an HTTP/1.1 request, if it has one. `h2c` is not one: what cannot be shadowed or gated is not let
/// through, and a client that offers it must be content without (RFC 9110 §7.8).
pub(super) fn wanted(request: &mut Request<Incoming>) -> Option<Wanted> {
    if request.version() != http::Version::HTTP_11 {
        return None;
    }
    let named = request.headers().get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|v| v.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    });
    let protocol = request.headers().get(header::UPGRADE).filter(|_| named)?.clone();
    if protocol.as_bytes().eq_ignore_ascii_case(b"h2c") {
        return None;
    }
    Some(Wanted { protocol, client: hyper::upgrade::on(request) })
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
    let target = course.plan.target;
    let flight = course.network(target).depart(None);
    let mut response = match course.send(target, Purpose::Upgrade, request).await {
        Ok(response) => response,
        Err(error) => {
            settle.end(Outcome::Refused, 0);
            let failure = Failure::Send(error);
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
    crate::hygiene::scrub_response(response.headers_mut(), false, true);
    if let Some(header) = header {
        response.headers_mut().insert(super::DECISION, header);
    }
    Ok(response)
}

async fn join(client: OnUpgrade, service: OnUpgrade) -> std::io::Result<u64> {
    let (client, service) = tokio::try_join!(client, service).map_err(std::io::Error::other)?;
    let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
    let (_up, down) = tokio::io::copy_bidirectional(&mut client, &mut service).await?;
    Ok(down)
}
