//! From a socket to requests, and from requests to whoever answers them.
//!
//! HTTP/1 goes through the guard, which lets only whole, strict heads reach hyper. HTTP/2 is framed, so there is nothing to
//! smuggle in it; its limits are hyper's to keep, with our numbers.

pub(crate) mod guard;
mod handshake;
pub(crate) mod scan;
mod streams;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::SpiffeId;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::body::{Body, Watched};
use crate::generation::Shared;
use crate::hygiene::{Encryption, Forwarded};
use crate::identity::{Identity, JobsTls, Verified};
use crate::path::{self, Arrival, From};
use crate::peer;
use crate::runtime::{Owner, Stopping};
use crate::{admin, data, intercept, problem::Problem};

use guard::{Guard, Spoken, Watch, Wire};
use handshake::shake_hands;

pub(crate) use handshake::Unshaken;
use streams::Streams;

/// As many fields hyper reads without an allocation for each request; the guard has counted them before.
const HEAD_FIELDS_FREE: usize = 100;

/// Bytes of one HTTP/2 request's body that may be unread: less than a system keeps of an HTTP/1 one in its socket. There are
/// as many for each connection as it may have streams, so that an upload nobody reads holds up no other.
const STREAM_WINDOW: u32 = 256 << 10;

/// How long a connection that is silent when stopping begins may stay so.
const LAST_WORD: Duration = Duration::from_millis(50);

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Port {
    /// Jobs.
    Jobs,
    /// Other sidecars.
    Peers,
    /// The service's way out.
    Egress,
    /// What was going to the service.
    Inbound,
    /// What the service has sent out.
    Outbound,
    /// The operator.
    Admin,
}

impl Port {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Jobs, Self::Peers, Self::Egress, Self::Inbound, Self::Outbound, Self::Admin];

    /// What it is called under `listen`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Peers => "peers",
            Self::Egress => "egress",
            Self::Inbound => "intercept.inbound",
            Self::Outbound => "intercept.outbound",
            Self::Admin => "admin",
        }
    }
}

/// Who must prove what before a connection is served.
#[derive(Clone, Debug)]
pub(crate) enum Tls {
    /// We, to whoever comes.
    Jobs(Arc<JobsTls>),
    /// Both ends, to each other.
    Peers(Arc<Identity>),
}

/// A connection to be served, and by whom.
pub(crate) struct Accepted {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    pub(crate) port: Port,
    pub(crate) from: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) stopping: Stopping,
    pub(crate) owner: Owner,
    /// Where it was going at home before it was brought here.
    pub(crate) bound_for: Option<SocketAddr>,
}

impl Accepted {
    /// Waits until connections that wait for a request are to be closed: their listener's, or all of the process's.
    fn hurried(&self) -> impl Future<Output = ()> + use<> {
        let (mut ours, mut all) = (self.stopping.clone(), Stopping::told_by(&self.shared.stop));
        async move {
            tokio::select! {
                () = ours.hurried() => {}
                () = all.hurried() => {}
            }
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(mut accepted: Accepted, mut socket: TcpStream) {
    if matches!(accepted.port, Port::Inbound | Port::Outbound) {
        let Some(ours) = Box::pin(intercept::receive(accepted, socket)).await else { return };
        (accepted, socket) = ours;
    }
    let lossless = if accepted.port == Port::Peers { peer::notice_loss(&socket) } else { Ok(()) };
    if let Err(error) = lossless.and_then(|()| socket.set_nodelay(true)) {
        tracing::debug!(%error, from = %accepted.from, "a connection was gone before it was served");
        return;
    }
    match accepted.tls.clone() {
        None => Box::pin(speak(accepted, None, socket)).await,
        Some(Tls::Jobs(jobs)) => {
            let shaken = shake_hands(&accepted, TlsAcceptor::from(jobs.server()).accept(socket).into_fallible()).await;
            if let Some(stream) = shaken {
                Box::pin(speak(accepted, None, stream)).await;
            }
        }
        Some(Tls::Peers(identity)) => {
            // Proving it takes more room than serving it.
            let Some((stream, peer)) = Box::pin(shake_hands(&accepted, identity.accept(socket))).await else { return };
            peer_came(&accepted, &peer);
            Box::pin(speak(accepted, Some(peer), stream)).await;
        }
    }
}

/// A sidecar has proved who it is.
fn peer_came(accepted: &Accepted, peer: &Verified) {
    let generation = accepted.shared.generation.load();
    let network = generation.networks_in_force().find(|network| network.is_reached_as(&peer.id));
    accepted.shared.metrics.peer_accepted(network.map(|network| network.id));
    tracing::debug!(id = %peer.id, from = %accepted.from, "a sidecar has connected");
}

/// Finds out which HTTP a client speaks, and speaks it.
async fn speak<S: Wire + Send + 'static>(accepted: Accepted, peer: Option<Verified>, stream: S) {
    let limits = accepted.shared.generation.load().config.limits;
    let watch = Arc::new(Watch::default());
    let mut guard = Guard::new(stream, &limits, Arc::clone(&watch), Arc::clone(&accepted.shared.metrics));
    // A connection is mostly idle, so it holds what its own protocol needs and not room for the other's, too.
    let hurried = accepted.hurried();
    let spoken = tokio::select! {
        spoken = guard.sniff() => spoken,
        // What was sent before we began to stop may still have to be read; who is silent has nothing to lose.
        () = hurried => match tokio::time::timeout(LAST_WORD, guard.sniff()).await {
            Ok(spoken) => spoken,
            Err(_silent) => return,
        },
    };
    let ended = match spoken {
        Ok(Spoken::Http1) => Box::pin(http1(accepted, peer, guard, watch, &limits)).await,
        Ok(Spoken::Http2) => Box::pin(http2(accepted, peer, guard, &limits)).await,
        Err(error) => {
            tracing::debug!(%error, "a connection ended before its first request");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection broke off");
    }
}

async fn http1<S: Wire + Send + 'static>(
    accepted: Accepted,
    peer: Option<Verified>,
    guard: Guard<S>,
    watch: Arc<Watch>,
    limits: &config::value::Limits,
) -> hyper::Result<()> {
    let (stopping, hurried) = (accepted.stopping.clone(), accepted.hurried());
    let (peer, _renewed) = Verified::parts(peer);
    let answering = Arc::new(Answering::new(accepted, peer));
    let service = service_fn(move |request| {
        let (answering, watch, stopping) = (Arc::clone(&answering), Arc::clone(&watch), stopping.clone());
        // On the heap, or every idle connection would hold the room that its requests need.
        Box::pin(async move {
            let mut response = answering.answer(request).await;
            if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                watch.upgraded();
            } else if stopping.has_begun() {
                // hyper closes the connection after it.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Watched::wrap(body, watch)))
        })
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits.head_bytes.max(8192) * 2).header_read_timeout(None);
    if limits.head_fields > HEAD_FIELDS_FREE {
        builder.max_headers(limits.head_fields);
    }
    let connection = builder.serve_connection(guard, service).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // First, so that a request that is here already is seen: without one, the connection would be closed at once.
        biased;
        ended = connection.as_mut() => return ended,
        () = hurried => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn http2<S: Wire + Send + 'static>(
    accepted: Accepted,
    peer: Option<Verified>,
    guard: Guard<S>,
    limits: &config::value::Limits,
) -> hyper::Result<()> {
    let mut stopping = accepted.stopping.clone();
    let (peer, renewed) = Verified::parts(peer);
    let answering = Arc::new(Answering::new(accepted, peer));
    let streams = Streams::new();
    let idle = Arc::clone(&streams);
    let service = service_fn(move |request| {
        let (answering, stream) = (Arc::clone(&answering), streams.begin());
        Box::pin(async move {
            let response = answering.answer(request).await;
            Ok::<_, Infallible>(response.map(|body| stream.until_end(body)))
        })
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits.h2_streams))
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_resets)
        .max_local_error_reset_streams(limits.h2_resets)
        .keep_alive_interval(limits.keep_alive)
        .serve_connection(guard, service);
    tokio::pin!(connection);
    tokio::select! {
        // First, so that a request that is here already is seen: without one, the connection would be closed at once.
        biased;
        ended = connection.as_mut() => return ended,
        () = stopping.begun() => {}
        () = idle.idle_for(limits.keep_alive) => {}
        // What we have shown is replaced: whoever comes next is to see the new one, before the old one expires.
        () = replaced(renewed) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// The window of a connection that may have so many streams: theirs together, as far as HTTP/2 can say it.
fn connection_window(streams: u32) -> u32 {
    const MOST: u32 = (1 << 31) - 1;
    STREAM_WINDOW.saturating_mul(streams.max(1)).min(MOST)
}

/// Ends when the certificate that a connection showed has been replaced; for others, never.
async fn replaced(renewed: Option<watch::Receiver<u64>>) {
    if let Some(mut renewed) = renewed
        && renewed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Who answers the requests of one connection.
struct Answering {
    port: Port,
    shared: Arc<Shared>,
    arrival: Arrival,
    head_fields: usize,
}

impl Answering {
    fn new(accepted: Accepted, peer: Option<Arc<SpiffeId>>) -> Self {
        let encryption = if accepted.tls.is_some() { Encryption::Tls } else { Encryption::None };
        let head_fields = accepted.shared.generation.load().config.limits.head_fields;
        let from = match accepted.port {
            Port::Peers => From::Peer(peer),
            Port::Jobs | Port::Egress | Port::Inbound | Port::Outbound | Port::Admin => {
                From::Stranger(Forwarded::new(accepted.from.ip(), encryption))
            }
        };
        Self {
            port: accepted.port,
            arrival: Arrival {
                shared: Arc::clone(&accepted.shared),
                worker: accepted.worker,
                from,
                owner: accepted.owner,
                bound_for: accepted.bound_for,
            },
            shared: accepted.shared,
            head_fields,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.headers().len() > self.head_fields {
            self.shared.metrics.problem(Problem::HeadTooLarge);
            return Problem::HeadTooLarge.response("the request has more header fields than `limits.head_fields`");
        }
        match self.port {
            Port::Jobs | Port::Peers | Port::Inbound => path::answer(&self.arrival, request).await,
            Port::Egress => Box::pin(data::egress(&self.shared.data, request)).await,
            Port::Outbound => Box::pin(data::egress(&self.shared.data, intercept::as_asked(request))).await,
            Port::Admin => Box::pin(admin::answer(&self.shared, request)).await,
        }
    }
}
