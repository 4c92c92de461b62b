//! Answers to what other sidecars ask.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certs::SpiffeId;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use policy::Caps;
use policy::lease::Adoption;
use serde::Serialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::{CONTROL, owned};
use crate::body::Body;
use crate::data::{DECLARED_MOST, Held};
use crate::generation::Shared;
use crate::lane::Used;
use crate::problem::Problem;

/// Bytes of a question's body at the most.
const QUESTION_BYTES: usize = 64 * 1024;

/// How long a peer's connection may be silent before it is probed, how often it is then, and how many probes may go without
/// an answer: one that was lost without a word is noticed after 25 seconds.
const PROBED_AFTER: Duration = Duration::from_secs(10);
const PROBED_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Sees to it that a peer which is lost without a word is noticed: what runs for it, adopted or not, is wanted by nobody.
/// Not by a bound on unacknowledged bytes, for that would cut an answer whose client pauses.
pub(crate) fn notice_loss(socket: &TcpStream) -> io::Result<()> {
    let probing = TcpKeepalive::new().with_time(PROBED_AFTER).with_interval(PROBED_EVERY).with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&probing)
}

/// How loaded this network is.
#[derive(Serialize)]
struct Load {
    in_flight: u32,
    capacity: u32,
    /// What is here of inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Held>,
}

/// How far a dispatch is.
#[derive(Serialize)]
struct Progress {
    progress: Option<f64>,
    /// Where that was seen.
    source: Option<&'static str>,
    adopted: bool,
    bytes: u64,
    /// What it has used, measured or by the service's word; missing where there is neither.
    cpu_s: Option<f64>,
    memory_bytes: Option<f64>,
    /// The share of full speed it was granted.
    granted: Option<f64>,
    /// What a shadow is given at the most.
    caps: Option<Granted>,
}

/// Caps, as another sidecar is told of them.
#[derive(Serialize)]
struct Granted {
    cpu: f64,
    memory: u64,
    bytes_per_s: f64,
    window_ms: u64,
}

impl From<Caps> for Granted {
    fn from(caps: Caps) -> Self {
        let Caps { cpu_share, memory_bytes, bytes_per_s, window_s } = caps;
        Self { cpu: cpu_share, memory: memory_bytes, bytes_per_s, window_ms: (window_s * 1e3).round() as u64 }
    }
}

/// Answers a question. Only for requests that came over the peers listener.
pub(crate) async fn control(
    shared: &Arc<Shared>,
    peer: Option<&SpiffeId>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().strip_prefix(CONTROL).unwrap_or_default().to_owned();
    match (request.method(), path.split_once('/').unwrap_or((&path, ""))) {
        (&Method::GET, ("load", "")) => load(shared, request.uri().query()),
        (&Method::GET, ("health", "")) => health(shared),
        (&Method::GET, ("dispatch", id)) => progress(shared, &owned(id, peer)),
        (&Method::POST, ("adopt", id)) => adopt(shared, &owned(id, peer)),
        (&Method::POST, ("warm", "")) => warm(shared, request).await,
        _ => Problem::NotFound.response("no such question; the sidecar that asks may be of another version"),
    }
}

fn load(shared: &Shared, query: Option<&str>) -> Response<Body> {
    let generation = shared.generation.load();
    let home = &generation.networks[generation.config.home.index()];
    // Only who asks for the list of what is here reads it.
    let has = query.and_then(|query| query.strip_prefix("held=")?.parse().ok());
    let data = has.map(|has| shared.data.held(has));
    json(&Load { in_flight: home.in_flight(), capacity: home.capacity(), data })
}

/// Whether jobs that are sent here can run: the service's health, not only ours.
fn health(shared: &Shared) -> Response<Body> {
    let generation = shared.generation.load();
    let home = &generation.networks[generation.config.home.index()];
    let well = home.view(0, None, crate::clock::now_s()).healthy;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = if well { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE };
    response
}

fn progress(shared: &Shared, id: &str) -> Response<Body> {
    let Some(served) = shared.peers.find(id) else {
        return Problem::NotFound.response("no dispatch of that name runs here");
    };
    let progress = served.progress();
    let Used { cpu_s, memory_bytes, granted } = served.used();
    json(&Progress {
        progress: progress.map(|progress| progress.share),
        source: progress.map(|progress| progress.source.as_str()),
        adopted: served.is_adopted(),
        bytes: served.throttle.as_ref().map_or(0, |t| t.passed()),
        cpu_s,
        memory_bytes,
        granted,
        caps: served.caps.map(Granted::from),
    })
}

fn adopt(shared: &Shared, id: &str) -> Response<Body> {
    let status = match shared.peers.find(id).and_then(|served| served.adopt()) {
        None => return Problem::NotFound.response("no shadow of that name runs here; it cannot be adopted"),
        Some(Adoption::Granted) => StatusCode::NO_CONTENT,
        Some(Adoption::TooLate) => StatusCode::GONE,
    };
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// Fetches each URL of the body, one a line and no more than a job may declare, and holds them warm for as long as the question is open.
async fn warm(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), QUESTION_BYTES).collect().await else {
        return Problem::Malformed.response("the list of what to warm broke off or is too long");
    };
    let body = body.to_bytes();
    let list = String::from_utf8_lossy(&body);
    let urls = list.lines().filter_map(|line| line.parse::<http::Uri>().ok()).take(DECLARED_MOST);
    let (mut warmed, mut fetched_bytes) = (0, 0);
    let allowance = shared.data.allowance();
    // All of them are on their way before the first is waited for.
    let begin = |url: http::Uri| {
        let was_here = shared.data.contains(&url).is_some();
        Some((shared.data.warm(&url, &allowance).ok()?, url, was_here))
    };
    let on_their_way: Vec<_> = urls.filter_map(begin).collect();
    for (warming, url, was_here) in &on_their_way {
        let is_here = warming.done().await;
        warmed += u64::from(is_here);
        if is_here && !was_here {
            fetched_bytes += shared.data.contains(url).unwrap_or(0);
        }
    }
    json(&serde_json::json!({ "warmed": warmed, "fetched_bytes": fetched_bytes }))
}

fn json(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::full(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
