//! Sending one request to one network.
//!
//! What comes back is either a final response head or a failure that says whether the network can have executed the
//! request. Nothing here tries another network: that is a decision, and decisions are made elsewhere. The one thing tried
//! again is a request that a kept connection turned out to be too old to take, for that one was never sent.

use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::connect::{ConnectError, Stream};
use super::error::SendError;
use super::exchange::{Answer, Bounds, Busy, over_h1};
use super::pool::{H1, H2, still_open};
use super::upload::Upload;
use super::{Endpoint, Network};
use crate::body::Body;
use crate::clock;
use crate::metrics::UpstreamConnection;

/// Which connections a request may use: shadows never share one with live jobs, or an unread shadow would hold them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Jobs that are answered.
    Live,
    /// Shadows.
    Shadow,
}

/// Whether the answer may take over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One request, one answer.
    Job,
    /// `Upgrade`: on a 101 the connection belongs to both ends.
    Upgrade,
}

impl Network {
    /// Sends a request and waits for the final response head. `upload` is what the request's body reports to.
    pub(crate) async fn send(
        self: &Arc<Self>,
        worker: usize,
        lane: Lane,
        purpose: Purpose,
        request: Request<Body>,
        upload: &Upload,
    ) -> Result<Response<Answer>, SendError> {
        let Some(at) = self.pick() else {
            return Err(SendError::NoEndpoint { network: self.config.name.clone(), unsent: Box::new(request) });
        };
        let endpoint = &self.endpoints[at];
        let busy = Busy::new(self, at);
        let total = Instant::now() + self.config.timeouts.total;
        let exchange = self.exchange(worker, at, lane, purpose, busy, request);
        let answered = self.before_head_timeout(upload, total, exchange).await;
        self.judge(endpoint, &answered);
        let response = answered?;
        let endless = purpose == Purpose::Upgrade || is_event_stream(&response);
        let bounds = Bounds { idle: self.config.timeouts.idle, total };
        Ok(if endless { response } else { response.map(|answer| answer.within(bounds)) })
    }

    /// The least busy endpoint that admits a job.
    fn pick(&self) -> Option<usize> {
        let now_s = clock::now_s();
        if let [only] = &self.endpoints[..] {
            return only.admits(now_s).then_some(0);
        }
        let mut well: Vec<usize> =
            (0..self.endpoints.len()).filter(|at| self.endpoints[*at].would_admit(now_s)).collect();
        well.sort_by_key(|at| self.endpoints[*at].in_flight());
        well.into_iter().find(|at| self.endpoints[*at].admits(now_s))
    }

    /// What an exchange tells about the endpoint's health. A sidecar that refuses is well.
    fn judge(&self, endpoint: &Endpoint, answered: &Result<Response<Answer>, SendError>) {
        let good = match answered {
            Ok(response) => {
                !matches!(response.status().as_u16(), 502..=504)
                    || response.headers().contains_key(&crate::problem::NOT_EXECUTED)
            }
            Err(SendError::NoEndpoint { .. } | SendError::ClientBroke { .. }) => return,
            Err(_) => false,
        };
        endpoint.saw(good, clock::now_s());
    }

    /// Bounds the time from the request's last byte to the response's head. While the body still moves, nothing is late.
    async fn before_head_timeout(
        &self,
        upload: &Upload,
        total: Instant,
        exchange: impl Future<Output = Result<Response<Answer>, SendError>>,
    ) -> Result<Response<Answer>, SendError> {
        let within = self.config.timeouts.head;
        let mut exchange = std::pin::pin!(exchange);
        let mut ends = (Instant::now() + within).min(total);
        let mut seen = upload.bytes();
        loop {
            if let Ok(answered) = tokio::time::timeout_at(ends, exchange.as_mut()).await {
                return answered;
            }
            let now = Instant::now();
            let late_at = match upload.ended_s() {
                Some(ended_s) => Instant::from_std(clock::instant(ended_s)) + within,
                None if upload.bytes() > seen => now + within,
                None => now,
            };
            seen = upload.bytes();
            ends = late_at.min(total);
            if ends <= now {
                return Err(SendError::NoAnswer { network: self.config.name.clone(), within });
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        worker: usize,
        at: usize,
        lane: Lane,
        purpose: Purpose,
        busy: Busy,
        mut request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        *request.version_mut() = Version::HTTP_11;
        if purpose == Purpose::Upgrade {
            return Box::pin(self.over_upgradeable(at, busy, worker, request)).await;
        }
        if self.wants_h2(at, &request) {
            return Box::pin(self.over_h2(worker, at, lane, busy, request)).await;
        }
        loop {
            let kept = self.pools[worker].lock().take_h1(at, lane);
            let (mut connection, reused) = match kept {
                Some(mut kept) => {
                    if !still_open(&mut kept).await {
                        continue;
                    }
                    self.metrics.upstream_connection(self.id, UpstreamConnection::Reused);
                    (kept, true)
                }
                None => match Box::pin(self.open(at)).await {
                    Ok(stream) if stream.negotiated_h2() => {
                        return Box::pin(self.over_new_h2(worker, at, lane, stream, busy, request)).await;
                    }
                    Ok(stream) => (self.h1(stream, &mut request).await?, false),
                    Err(source) => return Err(self.no_connection(request, source)),
                },
            };
            match over_h1(&mut connection, request).await {
                Ok(response) => {
                    return Ok(response.map(|incoming| Answer::over_h1(incoming, connection, busy, worker, lane)));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if reused => request = unsent,
                    unsent => return Err(self.failed(unsent, failed.into_error(), reused)),
                },
            }
        }
    }

    async fn open(&self, at: usize) -> Result<Stream, ConnectError> {
        let endpoint = &self.endpoints[at];
        let address =
            endpoint.address().ok_or_else(|| ConnectError::Unresolved { host: endpoint.host().to_owned() })?;
        let began_s = clock::now_s();
        let opened = Stream::connect(address, endpoint.tls.as_ref(), self.config.timeouts.connect).await;
        let how = if opened.is_ok() { UpstreamConnection::Made } else { UpstreamConnection::Failed };
        self.metrics.upstream_connection(self.id, how);
        if endpoint.tls.is_none() && opened.is_ok() {
            self.saw_round_trip(clock::now_s() - began_s);
        }
        opened
    }

    async fn h1(&self, stream: Stream, request: &mut Request<Body>) -> Result<H1, SendError> {
        H1::open(stream).await.map_err(|source| SendError::Unsent {
            network: self.config.name.clone(),
            unsent: Box::new(std::mem::take(request)),
            source,
        })
    }

    fn wants_h2(&self, at: usize, request: &Request<Body>) -> bool {
        match self.config.protocol {
            config::value::Protocol::Http1 => false,
            config::value::Protocol::Http2 => true,
            config::value::Protocol::Auto => self.endpoints[at].tls.is_none() && is_grpc(request),
        }
    }

    async fn over_h2(
        self: &Arc<Self>,
        worker: usize,
        at: usize,
        lane: Lane,
        busy: Busy,
        request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let open = self.pools[worker].lock().h2(at, lane);
        match open {
            Some(connection) => {
                self.metrics.upstream_connection(self.id, UpstreamConnection::Reused);
                self.over_this_h2(connection, at, busy, worker, request, true).await
            }
            None => match self.open(at).await {
                Ok(stream) => self.over_new_h2(worker, at, lane, stream, busy, request).await,
                Err(source) => Err(self.no_connection(request, source)),
            },
        }
    }

    async fn over_new_h2(
        self: &Arc<Self>,
        worker: usize,
        at: usize,
        lane: Lane,
        stream: Stream,
        busy: Busy,
        request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 22)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = match handshake {
            Ok(open) => open,
            Err(source) => return Err(self.failed(Some(request), source, false)),
        };
        // It ends when its last sender and stream are gone, which the pool sees to.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to a network ended");
            }
        });
        let connection = H2::new(sender);
        self.pools[worker].lock().add_h2(at, lane, connection.clone());
        self.over_this_h2(connection, at, busy, worker, request, false).await
    }

    async fn over_this_h2(
        &self,
        mut connection: H2,
        at: usize,
        busy: Busy,
        worker: usize,
        request: Request<Body>,
        reused: bool,
    ) -> Result<Response<Answer>, SendError> {
        let stream = connection.stream();
        let tls = self.endpoints[at].tls.is_some();
        let request = in_absolute_form(request, tls);
        if let Err(source) = connection.sender.ready().await {
            return Err(self.failed(Some(request), source, reused));
        }
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|incoming| Answer::over_h2(incoming, Some(stream), busy, worker))),
            Err(mut failed) => {
                let unsent = failed.take_message();
                Err(self.failed(unsent, failed.into_error(), reused))
            }
        }
    }

    /// Over a connection of its own, which outlives the exchange if both ends agree.
    async fn over_upgradeable(
        &self,
        at: usize,
        busy: Busy,
        worker: usize,
        request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let stream = match self.open(at).await {
            Ok(stream) => stream,
            Err(source) => return Err(self.no_connection(request, source)),
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = match handshake {
            Ok(open) => open,
            Err(source) => return Err(self.failed(Some(request), source, false)),
        };
        // It ends with its one exchange, or when the upgraded stream does.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an upgradeable connection to a network ended");
            }
        });
        match sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|incoming| Answer::over_h2(incoming, None, busy, worker))),
            Err(mut failed) => {
                let unsent = failed.take_message();
                Err(self.failed(unsent, failed.into_error(), false))
            }
        }
    }

    fn no_connection(&self, request: Request<Body>, source: ConnectError) -> SendError {
        SendError::Connect { network: self.config.name.clone(), unsent: Box::new(request), source }
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

fn is_event_stream(response: &Response<Answer>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"))
}

/// HTTP/2 wants the scheme and the authority in the target, and no `Host`.
fn in_absolute_form(mut request: Request<Body>, tls: bool) -> Request<Body> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.as_ref().and_then(authority).unwrap_or_else(|| Authority::from_static("localhost"));
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok()
}
