//! Sending one request to one network.
//!
//! What comes back is either a final response head or a failure that says whether the network can have executed the
//! request. Nothing here tries another network: that is a decision, and decisions are made elsewhere.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use tokio::time::Instant;

use super::carry::Via;
use super::error::SendError;
use super::exchange::{Answer, Bounds, Busy};
use super::upload::Upload;
use super::{Endpoint, Network};
use crate::body::Body;
use crate::clock;
use crate::data::InputHash;
use crate::grpc::{self, Call};
use crate::lane::Seat;

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
    /// Sends a request and waits for the final response head. `upload` is what the request's body reports to; it also says
    /// which endpoint is preferred, and is told which one it is.
    pub(crate) async fn send(
        self: &Arc<Self>,
        worker: usize,
        lane: Lane,
        purpose: Purpose,
        request: Request<Body>,
        upload: &Upload,
    ) -> Result<Response<Answer>, SendError> {
        let Some(at) = self.pick(lane, purpose, upload.take_preferred(self.id)) else {
            return Err(SendError::NoEndpoint { network: self.config.name.clone(), unsent: Box::new(request) });
        };
        self.send_at(Via { worker, endpoint: at, lane }, purpose, request, upload).await
    }

    /// Sends a shadow: to the worker it was given, if it was given one.
    pub(crate) async fn send_shadow(
        self: &Arc<Self>,
        worker: usize,
        seat: Option<&Seat>,
        request: Request<Body>,
        upload: &Upload,
    ) -> Result<Response<Answer>, SendError> {
        let Some(seat) = seat else { return self.send(worker, Lane::Shadow, Purpose::Job, request, upload).await };
        let via = Via { worker, endpoint: seat.endpoint(), lane: Lane::Shadow };
        self.send_at(via, Purpose::Job, request, upload).await
    }

    /// Sends a request to one endpoint and no other, however that one is.
    pub(crate) async fn send_to(
        self: &Arc<Self>,
        worker: usize,
        endpoint: usize,
        lane: Lane,
        request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        self.send_at(Via { worker, endpoint, lane }, Purpose::Job, request, &Upload::default()).await
    }

    /// Asks the very endpoint that a job was sent to about it.
    pub(crate) async fn ask_endpoint(
        self: &Arc<Self>,
        worker: usize,
        endpoint: usize,
        request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let via = Via { worker, endpoint, lane: Lane::Live };
        self.send_at(via, Purpose::Control, request, &Upload::default()).await
    }

    async fn send_at(
        self: &Arc<Self>,
        via: Via,
        purpose: Purpose,
        mut request: Request<Body>,
        upload: &Upload,
    ) -> Result<Response<Answer>, SendError> {
        let Via { endpoint: at, lane, .. } = via;
        upload.goes(self.id, at);
        let endpoint = &self.endpoints[at];
        let busy = Busy::new(self, at, purpose);
        let timeouts = &self.config.timeouts;
        let total = Instant::now() + timeouts.total;
        let nameless = name_host(&mut request, endpoint);
        let stripped = self.strip(lane, purpose, request.headers_mut());
        let over = if purpose == Purpose::Control { Lane::Control } else { lane };
        let via = Via { lane: over, ..via };
        let exchange = self.exchange(via, purpose, busy, request);
        let mut answered = self.before_head_timeout(upload, total, exchange).await;
        if matches!(answered, Err(SendError::NoAnswer { .. })) {
            self.distrust(via);
        }
        if let Some(unsent) = answered.as_mut().err().and_then(SendError::unsent_mut) {
            // It may go elsewhere, where this name would be wrong, and what was taken off may be due.
            if nameless {
                unsent.headers_mut().remove(header::HOST);
            }
            for (name, value) in stripped {
                unsent.headers_mut().append(name, value);
            }
        }
        if let Some(good) = self.verdict(lane, purpose, &answered) {
            endpoint.saw(good, clock::now_s());
        }
        let response = answered?;
        let owed = lane == Lane::Live && purpose != Purpose::Control && is_call_under_way(response.headers());
        let response = response.map(|answer| if owed { answer.tells_by_trailers() } else { answer });
        let endless = purpose == Purpose::Upgrade || is_endless(&response);
        let bounds = Bounds { idle: timeouts.idle, total: timeouts.total, ends: total };
        Ok(if endless { response } else { response.map(|answer| answer.within(bounds)) })
    }

    /// Takes off what is not for this network.
    fn strip(&self, lane: Lane, purpose: Purpose, headers: &mut HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let mut stripped = Vec::new();
        let of_shadows: &[HeaderName] = if lane == Lane::Shadow { &self.config.budget.strip_headers } else { &[] };
        let ours = purpose == Purpose::Control;
        for name in self.config.strip_headers.iter().chain(of_shadows).filter(|_| !ours) {
            if let header::Entry::Occupied(found) = headers.entry(name) {
                stripped.extend(found.remove_entry_mult().1.map(|value| (name.clone(), value)));
            }
        }
        stripped
    }

    /// The preferred endpoint, else the least busy one, that admits the request. Only a live job takes the one try of a
    /// half-open breaker: what
    /// becomes of anything else would not close it again.
    fn pick(&self, lane: Lane, purpose: Purpose, preferred: Option<usize>) -> Option<usize> {
        let now_s = clock::now_s();
        let admits = |at: usize| match (lane, purpose) {
            (_, Purpose::Control) => true,
            (Lane::Shadow, _) => self.endpoints[at].would_admit(now_s),
            (Lane::Live | Lane::Control, _) => self.endpoints[at].admits(now_s),
        };
        // Workers are given out one by one, and not picked.
        let replicas = if self.crew.is_none() { self.live..self.endpoints.len() } else { 0..0 };
        let places = if lane == Lane::Shadow && !replicas.is_empty() { replicas } else { 0..self.live };
        if places.len() == 1 {
            return admits(places.start).then_some(places.start);
        }
        let preferred = preferred.filter(|at| places.contains(at));
        preferred.into_iter().chain(self.least_busy_first(places, now_s)).find(|at| admits(*at))
    }

    fn least_busy_first(&self, places: std::ops::Range<usize>, now_s: f64) -> Vec<usize> {
        let mut order: Vec<usize> = places.collect();
        order.sort_by_key(|at| (!self.endpoints[*at].would_admit(now_s), self.endpoints[*at].in_flight()));
        order
    }

    /// The endpoint that a job would go to now.
    pub(crate) fn leaning(&self) -> Option<usize> {
        let now_s = clock::now_s();
        self.least_busy_first(0..self.live, now_s).into_iter().find(|at| self.endpoints[*at].would_admit(now_s))
    }

    /// The replica that jobs which read this go to, if the network has several sidecars: it has it, or will.
    pub(crate) fn holder_of(&self, input: InputHash) -> Option<usize> {
        let now_s = clock::now_s();
        let takes = |endpoint: &Arc<Endpoint>| endpoint.would_admit(now_s).then(|| endpoint.in_flight());
        let in_flight: Vec<Option<u32>> = self.endpoints[..self.live].iter().map(takes).collect();
        self.ring.as_ref()?.holder(&input.bytes(), &in_flight)
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

    /// What an exchange tells about its endpoint's health, if anything. A sidecar that refuses is well; a service can not.
    fn verdict(&self, lane: Lane, purpose: Purpose, answered: &Result<Response<Answer>, SendError>) -> Option<bool> {
        match answered {
            _ if purpose == Purpose::Control => None,
            Err(SendError::Connect { .. }) => Some(false),
            // The rest of a shadow's fate is that of our own caps, too.
            _ if lane == Lane::Shadow => None,
            Ok(response) if is_call_under_way(response.headers()) => None,
            Ok(response) => {
                let down = Call::read(response.headers()) == Some(Call::Unavailable);
                let refused = self.is_sidecar() && response.headers().contains_key(&crate::problem::NOT_EXECUTED);
                Some(refused || !(down || matches!(response.status().as_u16(), 502..=504)))
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
                | SendError::Switched { .. }
                | SendError::NoAnswer { .. },
            ) => Some(false),
        }
    }
}

/// Whether only trailers will say what a call came to.
fn is_call_under_way(headers: &HeaderMap) -> bool {
    grpc::is_answer(headers) && Call::read(headers).is_none()
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
