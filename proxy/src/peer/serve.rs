//! Answers to what other sidecars ask.

use std::sync::Arc;

use bytes::Bytes;
use certs::SpiffeId;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::{CONTROL, owned};
use crate::body::Body;
use crate::generation::Shared;
use crate::problem::Problem;

/// Bytes of a question's body at the most.
const QUESTION_BYTES: usize = 64 * 1024;

/// How loaded this network is.
#[derive(Serialize)]
struct Load {
    in_flight: u32,
    capacity: u32,
}

/// How far a dispatch is.
#[derive(Serialize)]
struct Progress {
    progress: Option<f64>,
    adopted: bool,
    bytes: u64,
}

/// Answers a question. Only for requests that came over the peers listener.
pub(crate) async fn control(
    shared: &Arc<Shared>,
    peer: Option<&SpiffeId>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().strip_prefix(CONTROL).unwrap_or_default().to_owned();
    match (request.method(), path.split_once('/').unwrap_or((&path, ""))) {
        (&Method::GET, ("load", "")) => load(shared),
        (&Method::GET, ("health", "")) => health(shared),
        (&Method::GET, ("dispatch", id)) => progress(shared, &owned(id, peer)),
        (&Method::POST, ("adopt", id)) => adopt(shared, &owned(id, peer)),
        (&Method::POST, ("warm", "")) => warm(shared, request).await,
        _ => Problem::NotFound.response("no such question; the sidecar that asks may be of another version"),
    }
}

fn load(shared: &Shared) -> Response<Body> {
    let generation = shared.generation.load();
    let home = &generation.networks[generation.config.home.index()];
    json(&Load { in_flight: home.in_flight(), capacity: home.capacity() })
}

/// Whether jobs that are sent here can run: the service's health, not only ours.
fn health(shared: &Shared) -> Response<Body> {
    let generation = shared.generation.load();
    let home = &generation.networks[generation.config.home.index()];
    let well = home.view(0, crate::clock::now_s()).healthy;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = if well { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE };
    response
}

fn progress(shared: &Shared, id: &str) -> Response<Body> {
    let Some(served) = shared.peers.find(id) else {
        return Problem::NotFound.response("no dispatch of that name runs here");
    };
    json(&Progress {
        progress: served.progress(),
        adopted: served.adopted.load(std::sync::atomic::Ordering::Acquire),
        bytes: served.throttle.as_ref().map_or(0, |t| t.passed()),
    })
}

fn adopt(shared: &Shared, id: &str) -> Response<Body> {
    let Some(served) = shared.peers.find(id) else {
        return Problem::NotFound.response("no dispatch of that name runs here; it cannot be adopted");
    };
    served.adopt();
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Fetches each URL of the body, one a line, and holds them warm for as long as the question is open.
async fn warm(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), QUESTION_BYTES).collect().await else {
        return Problem::Malformed.response("the list of what to warm broke off or is too long");
    };
    let body = body.to_bytes();
    let list = String::from_utf8_lossy(&body);
    let urls: Vec<http::Uri> = list.lines().filter_map(|line| line.parse().ok()).collect();
    let mut warmed = 0;
    // All of them are on their way before the first is waited for.
    let on_their_way: Vec<_> = urls.iter().filter_map(|url| shared.data.warm(url).ok()).collect();
    for warming in &on_their_way {
        warmed += u64::from(warming.done().await);
    }
    json(&serde_json::json!({ "warmed": warmed }))
}

fn json(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::full(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
