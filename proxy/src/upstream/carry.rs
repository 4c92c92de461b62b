//! Which connection carries a request: one that is kept, else a new one.
//!
//! The one thing tried again here is a request that a kept connection turned out to be too old to take, for that one was
//! never sent. It is tried again exactly as it came, whatever the connection's protocol has made of it meanwhile.

use std::sync::Arc;

use config::value::Protocol;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use super::Network;
use super::absolute::Absolute;
use super::connect::{ConnectError, Stream};
use super::error::SendError;
use super::exchange::{Answer, Busy, over_h1};
use super::pool::{H1, H2, Pings, Pool, StreamPlace, still_open};
use super::send::{Lane, Purpose};
use crate::body::Body;
use crate::identity::{Carries, Wire};
use crate::metrics::UpstreamConnection;
use crate::peer;

/// Bytes of the answer to a question that only asks for one.
const ANSWER_BYTES: usize = 16 * 1024;

/// Where a request's connection is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Via {
    pub(super) worker: usize,
    pub(super) endpoint: usize,
    pub(super) lane: Lane,
}

/// What carries a request.
enum Carrier {
    One(H1),
    Two(H2),
}

/// A request that failed: what is left of it if it was never sent, and why.
type Failed = (Option<Request<Body>>, hyper::Error);

impl Network {
    /// Sends a request over some connection and waits for its final head.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        via: Via,
        purpose: Purpose,
        busy: Busy,
        mut request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        *request.version_mut() = Version::HTTP_11;
        if purpose == Purpose::Upgrade {
            return Box::pin(self.over_upgradeable(via, busy, request)).await;
        }
        loop {
            let (carrier, reused) = self.carrier(via, &mut request).await?;
            let (unsent, source) = match carrier {
                Carrier::One(mut connection) => match over_h1(&mut connection, request).await {
                    Ok(response) => {
                        if !is_framed_once(response.headers()) {
                            return Err(SendError::Ambiguous { network: self.config.name.clone() });
                        }
                        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                            return Err(SendError::Switched { network: self.config.name.clone() });
                        }
                        return Ok(response.map(|incoming| Answer::over_h1(incoming, connection, busy, via)));
                    }
                    Err(mut failed) => (failed.take_message(), failed.into_error()),
                },
                Carrier::Two(connection) => match Box::pin(self.over_h2(via, connection, request)).await {
                    Ok((response, place)) => {
                        return Ok(response.map(|incoming| Answer::over_h2(incoming, Some(place), busy, via)));
                    }
                    Err(failed) => failed,
                },
            };
            match unsent {
                Some(unsent) if reused => request = unsent,
                unsent => return Err(self.failed(unsent, source, reused)),
            }
        }
    }

    /// A connection for `request`, which is taken if there is none. Says whether it was used before.
    async fn carrier(&self, via: Via, request: &mut Request<Body>) -> Result<(Carrier, bool), SendError> {
        if self.wants_h2(via.endpoint, request) {
            return Box::pin(self.h2(via, request)).await;
        }
        loop {
            let kept = self.pool(via).take_h1(via.lane);
            let Some(mut kept) = kept else { return Box::pin(self.h1(via, request)).await };
            if still_open(&mut kept).await {
                self.metrics.upstream_connection(self.id, UpstreamConnection::Reused);
                return Ok((Carrier::One(kept), true));
            }
        }
    }

    /// The idle connections that `via` may use.
    fn pool(&self, via: Via) -> MutexGuard<'_, Pool> {
        self.endpoints[via.endpoint].pool(via.worker)
    }

    fn wants_h2(&self, at: usize, request: &Request<Body>) -> bool {
        let endpoint = &self.endpoints[at];
        match self.config.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => endpoint.may_negotiate_h2() || (endpoint.tls.is_none() && is_grpc(request)),
        }
    }

    /// A new connection, which TLS may have made one of HTTP/2.
    async fn h1(&self, via: Via, request: &mut Request<Body>) -> Result<(Carrier, bool), SendError> {
        let version = self.endpoints[via.endpoint].version();
        let opened = self.open(via.endpoint, Carries::Http).await;
        let stream = opened.map_err(|source| self.no_connection(request, source))?;
        self.new_carrier(via, (stream, version), request).await
    }

    /// A connection of HTTP/2. One is opened at a time: a burst of requests shares it instead of opening one each.
    async fn h2(&self, via: Via, request: &mut Request<Body>) -> Result<(Carrier, bool), SendError> {
        if let Some(kept) = self.kept_h2(via) {
            return Ok(kept);
        }
        let opening = self.pool(via).opening_h2(via.lane);
        // Whoever has waited for so long tries it without being alone.
        let alone = tokio::time::timeout(self.config.timeouts.connect, opening.lock()).await.ok();
        if let Some(kept) = self.kept_h2(via) {
            return Ok(kept);
        }
        if !self.wants_h2(via.endpoint, request) {
            drop(alone);
            return self.h1(via, request).await;
        }
        let version = self.endpoints[via.endpoint].version();
        let opened = self.open(via.endpoint, Carries::Http).await;
        let stream = opened.map_err(|source| self.no_connection(request, source))?;
        self.new_carrier(via, (stream, version), request).await
    }

    fn kept_h2(&self, via: Via) -> Option<(Carrier, bool)> {
        let version = self.endpoints[via.endpoint].version();
        let kept = self.pool(via).h2(via.lane, version)?;
        self.metrics.upstream_connection(self.id, UpstreamConnection::Reused);
        Some((Carrier::Two(kept), true))
    }

    /// Begins HTTP on a new connection: TLS says which version, else the configuration or the request does. With the
    /// connection comes which certificate of ours it showed.
    async fn new_carrier(
        &self,
        via: Via,
        (stream, version): (Stream, u64),
        request: &mut Request<Body>,
    ) -> Result<(Carrier, bool), SendError> {
        let endpoint = &self.endpoints[via.endpoint];
        let negotiated = endpoint.tls.is_some().then(|| stream.negotiated_h2());
        if let Some(h2) = negotiated {
            endpoint.negotiated(h2);
        }
        let h2 = match self.config.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => negotiated.unwrap_or_else(|| is_grpc(request)),
        };
        if h2 {
            return Ok((Carrier::Two(self.handshake_h2(via, (stream, version), request).await?), false));
        }
        match H1::open(stream).await {
            Ok(connection) => Ok((Carrier::One(connection), false)),
            Err(source) => Err(self.failed(Some(std::mem::take(request)), source, false)),
        }
    }

    async fn handshake_h2(
        &self,
        via: Via,
        (stream, version): (Stream, u64),
        request: &mut Request<Body>,
    ) -> Result<H2, SendError> {
        let wire = stream.wire();
        let opened = H2::open(stream, self.pings(), version).await;
        let (connection, ended) = opened.map_err(|source| self.failed(Some(std::mem::take(request)), source, false))?;
        if let Some(wire) = wire {
            self.taken(via.endpoint, &wire, ended).await.map_err(|source| self.no_connection(request, source))?;
        }
        self.pool(via).add_h2(via.lane, connection.clone());
        Ok(connection)
    }

    /// Only a sidecar is pinged: many servers of gRPC close a connection that asks more often than every few minutes.
    fn pings(&self) -> Option<Pings> {
        let health = &self.config.health;
        self.is_sidecar().then_some(Pings { every: health.every, within: health.timeout })
    }

    /// What gave no answer in time may be dead, and a request on a kept connection would learn that no sooner.
    pub(super) fn distrust(&self, via: Via) {
        self.pool(via).forget_all_h2(via.lane);
    }

    /// Waits until a sidecar has taken a new connection, so that nothing is sent to one that turns us away: what was sent
    /// might have been executed, for all we know.
    async fn taken(&self, at: usize, wire: &Wire, ended: oneshot::Receiver<()>) -> Result<(), ConnectError> {
        let within = self.config.timeouts.connect;
        let taken = tokio::select! {
            biased;
            () = wire.heard() => true,
            _ended = ended => false,
            () = tokio::time::sleep(within) => false,
        };
        if taken { Ok(()) } else { Err(self.not_taken(at, wire)) }
    }

    /// The same over HTTP/1.1, where the far side says nothing before it is asked: so it is asked something that is no job.
    async fn taken_by_answer(
        &self,
        at: usize,
        wire: &Wire,
        sender: &mut http1::SendRequest<Body>,
    ) -> Result<(), ConnectError> {
        let asking = async {
            let Ok(answer) = sender.send_request(peer::any_question()).await else { return false };
            // What it says does not matter, but it must be out of the way of the job.
            let read = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.is_ok();
            read && sender.ready().await.is_ok()
        };
        match tokio::time::timeout(self.config.timeouts.connect, asking).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(self.not_taken(at, wire)),
        }
    }

    /// Counts that a sidecar has not taken a new connection.
    fn not_taken(&self, at: usize, wire: &Wire) -> ConnectError {
        let endpoint = &self.endpoints[at];
        let (address, why) = (endpoint.label(), wire.failure().unwrap_or(certs::Reason::Protocol));
        if let Some(dialled) = endpoint.dialled() {
            dialled.not_believed(why, &address);
        }
        self.metrics.upstream_connection(self.id, UpstreamConnection::Failed);
        ConnectError::NotBelieved { address, why: why.as_str() }
    }

    async fn over_h2(
        &self,
        via: Via,
        mut connection: H2,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, StreamPlace), Failed> {
        let place = connection.stream();
        let failed = match connection.sender.ready().await {
            Err(source) => (Some(request), source),
            Ok(()) => {
                let (request, absolute) = Absolute::form(request, self.endpoints[via.endpoint].tls.is_some());
                match connection.sender.try_send_request(request).await {
                    Ok(response) => return Ok((response, place)),
                    Err(mut failed) => {
                        let unsent = failed.take_message().map(|unsent| absolute.undo(unsent));
                        (unsent, failed.into_error())
                    }
                }
            }
        };
        if failed.0.is_some() {
            // It takes no more streams, even where it has not noticed yet.
            self.pool(via).forget_h2(via.lane, &connection);
        }
        Err(failed)
    }

    /// Over a connection of its own, which outlives the exchange if both ends agree.
    async fn over_upgradeable(
        &self,
        via: Via,
        busy: Busy,
        mut request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let opened = self.open(via.endpoint, Carries::Upgrade).await;
        let stream = opened.map_err(|source| self.no_connection(&mut request, source))?;
        let wire = stream.wire();
        let (mut sender, connection) = match http1::handshake(TokioIo::new(stream)).await {
            Ok(open) => open,
            Err(source) => return Err(self.failed(Some(request), source, false)),
        };
        // It ends with its one exchange, or when the upgraded stream does.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an upgradeable connection to a network ended");
            }
        });
        if let Some(wire) = wire {
            let taken = self.taken_by_answer(via.endpoint, &wire, &mut sender).await;
            taken.map_err(|source| self.no_connection(&mut request, source))?;
        }
        match sender.try_send_request(request).await {
            Ok(response) if !is_framed_once(response.headers()) => {
                Err(SendError::Ambiguous { network: self.config.name.clone() })
            }
            Ok(response) => Ok(response.map(|incoming| Answer::over_h2(incoming, None, busy, via))),
            Err(mut failed) => {
                let unsent = failed.take_message();
                Err(self.failed(unsent, failed.into_error(), false))
            }
        }
    }

    async fn open(&self, at: usize, carries: Carries) -> Result<Stream, ConnectError> {
        let endpoint = &self.endpoints[at];
        let failed = |error: &ConnectError| {
            tracing::debug!(network = self.name(), %error, "an address does not take a connection");
            self.metrics.upstream_connection(self.id, UpstreamConnection::Failed);
        };
        let opened = endpoint.connect(carries, self.config.timeouts.connect, failed).await?;
        self.metrics.upstream_connection(self.id, UpstreamConnection::Made);
        if endpoint.tls.is_none() {
            self.saw_round_trip(opened.took.as_secs_f64());
        }
        Ok(opened.stream)
    }

    fn no_connection(&self, request: &mut Request<Body>, source: ConnectError) -> SendError {
        SendError::Connect { network: self.config.name.clone(), unsent: Box::new(std::mem::take(request)), source }
    }

    fn failed(&self, unsent: Option<Request<Body>>, source: hyper::Error, reused: bool) -> SendError {
        let network = self.config.name.clone();
        match unsent {
            Some(unsent) => SendError::Unsent { network, unsent: Box::new(unsent), source },
            None if source.is_parse() => SendError::Garbage { network, source },
            None if source.is_user() => SendError::ClientBroke { network, source },
            None => SendError::BrokeOff { network, reused, source },
        }
    }
}

fn is_grpc(request: &Request<Body>) -> bool {
    request.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// Whether an HTTP/1 answer says in one way only where it ends. hyper would pick one; what is before us might pick another.
fn is_framed_once(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => lengths < 2,
        (Some(only), None) => lengths == 0 && only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
