//! Sending one request to one network.
//!
//! What comes back is either a final response head or a failure that says whether the network can have executed the
//! request. Nothing here tries another network: that is a decision, and decisions are made elsewhere.

use std::sync::Arc;

use http::{Request, Response, header};
use tokio::time::Instant;

use super::carry::Via;
use super::error::SendError;
use super::exchange::{Answer, Bounds, Busy};
use super::upload::Upload;
use super::{Endpoint, Network};
use crate::body::Body;
use crate::clock;

/// Which connections a request may use: shadows never share one with live jobs, or an unread shadow would hold them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Jobs that are answered.
    Live,
    /// Shadows.
    Shadow,
    /// Questions to other sidecars: an answer that its client is slow to read must not hold an adoption up.
    Control,
}

impl Lane {
    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

/// What a request is for: whether its answer may take over the connection, and what its outcome tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One request, one answer.
    Job,
    /// `Upgrade`: on a 101 the connection belongs to both ends.
    Upgrade,
    /// A question to another sidecar. How the service behind it does is not known by that, so it neither counts as an
    /// outcome nor takes a half-open breaker's try, and it is asked even where jobs are not sent.
    Control,
}

impl Network {
    /// Sends a request and waits for the final response head. `upload` is what the request's body reports to.
    pub(crate) async fn send(
        self: &Arc<Self>,
        worker: usize,
        lane: Lane,
        purpose: Purpose,
        mut request: Request<Body>,
        upload: &Upload,
    ) -> Result<Response<Answer>, SendError> {
        let Some(at) = self.pick(lane, purpose) else {
            return Err(SendError::NoEndpoint { network: self.config.name.clone(), unsent: Box::new(request) });
        };
        let endpoint = &self.endpoints[at];
        let busy = Busy::new(self, at);
        let timeouts = &self.config.timeouts;
        let total = Instant::now() + timeouts.total;
        let nameless = name_host(&mut request, endpoint);
        let over = if purpose == Purpose::Control { Lane::Control } else { lane };
        let exchange = self.exchange(Via { worker, endpoint: at, lane: over }, purpose, busy, request);
        let mut answered = self.before_head_timeout(upload, total, exchange).await;
        if nameless && let Some(unsent) = answered.as_mut().err().and_then(SendError::unsent_mut) {
            // It may go elsewhere, where this name would be wrong.
            unsent.headers_mut().remove(header::HOST);
        }
        if let Some(good) = verdict(lane, purpose, &answered) {
            endpoint.saw(good, clock::now_s());
        }
        let response = answered?;
        let endless = purpose == Purpose::Upgrade || is_endless(&response);
        let bounds = Bounds { idle: timeouts.idle, total: timeouts.total, ends: total };
        Ok(if endless { response } else { response.map(|answer| answer.within(bounds)) })
    }

    /// The least busy endpoint that admits the request. Only a live job takes the one try of a half-open breaker: what
    /// becomes of anything else would not close it again.
    fn pick(&self, lane: Lane, purpose: Purpose) -> Option<usize> {
        let now_s = clock::now_s();
        let admits = |at: usize| match (lane, purpose) {
            (_, Purpose::Control) => true,
            (Lane::Shadow, _) => self.endpoints[at].would_admit(now_s),
            (Lane::Live | Lane::Control, _) => self.endpoints[at].admits(now_s),
        };
        if self.endpoints.len() == 1 {
            return admits(0).then_some(0);
        }
        let mut order: Vec<usize> = (0..self.endpoints.len()).collect();
        order.sort_by_key(|at| (!self.endpoints[*at].would_admit(now_s), self.endpoints[*at].in_flight()));
        order.into_iter().find(|at| admits(*at))
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
                return Err(self.late(upload, total <= now));
            }
        }
    }

    /// Whose fault it is that there is no head.
    fn late(&self, upload: &Upload, all_over: bool) -> SendError {
        let network = self.config.name.clone();
        let timeouts = &self.config.timeouts;
        let (bound, within) = if all_over { ("total", timeouts.total) } else { ("head", timeouts.head) };
        if upload.awaits_client() {
            SendError::ClientSlow { network, within }
        } else {
            SendError::NoAnswer { network, bound, within }
        }
    }
}

/// What an exchange tells about its endpoint's health, if anything. A sidecar that refuses is well.
fn verdict(lane: Lane, purpose: Purpose, answered: &Result<Response<Answer>, SendError>) -> Option<bool> {
    match answered {
        _ if purpose == Purpose::Control => None,
        Err(SendError::Connect { .. }) => Some(false),
        // The rest of a shadow's fate is that of our own caps, too.
        _ if lane == Lane::Shadow => None,
        Ok(response) => {
            let refused = response.headers().contains_key(&crate::problem::NOT_EXECUTED);
            Some(refused || !matches!(response.status().as_u16(), 502..=504))
        }
        // A connection that was kept may have been closed for its age alone.
        Err(
            SendError::NoEndpoint { .. }
            | SendError::ClientBroke { .. }
            | SendError::ClientSlow { .. }
            | SendError::BrokeOff { reused: true, .. },
        ) => None,
        Err(
            SendError::Unsent { .. }
            | SendError::BrokeOff { .. }
            | SendError::Garbage { .. }
            | SendError::Ambiguous { .. }
            | SendError::NoAnswer { .. },
        ) => Some(false),
    }
}

/// Names the endpoint as the host if the client, of HTTP/1.0, named none: from here on the request is one of HTTP/1.1, which
/// must (RFC 9112 §3.2). Says whether it did.
fn name_host(request: &mut Request<Body>, endpoint: &Endpoint) -> bool {
    let nameless = !request.headers().contains_key(header::HOST);
    if nameless {
        request.headers_mut().insert(header::HOST, endpoint.authority().clone());
    }
    nameless
}

/// Whether an answer may be silent for as long as it likes: an event stream, or gRPC, whose streams wait for events and whose
/// calls bring deadlines of their own.
fn is_endless(response: &Response<Answer>) -> bool {
    const ENDLESS: [&[u8]; 2] = [b"text/event-stream", b"application/grpc"];
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| ENDLESS.iter().any(|endless| kind.as_bytes().starts_with(endless)))
}
