//! One request and its answer over one connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, Sleep};

use super::Network;
use super::carry::Via;
use super::flight::Ticket;
use super::flow::{Deadline, Flow, Held};
use super::pool::{H1, StreamPlace};
use super::send::{Lane, Purpose};
use crate::body::{Body, BodyError};
use crate::clock;
use crate::grpc::Call;

/// Sends a request over an HTTP/1 connection and waits for its final head, driving the connection meanwhile.
pub(super) async fn over_h1(
    connection: &mut H1,
    request: Request<Body>,
) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
    let response = connection.sender.try_send_request(request);
    let mut response = std::pin::pin!(response);
    std::future::poll_fn(|cx| connection.poll_with(cx, |cx| response.as_mut().poll(cx))).await
}

/// Counts a request against its endpoint while it runs. Questions to a sidecar are no work there.
#[derive(Debug)]
pub(super) struct Busy {
    network: Arc<Network>,
    endpoint: usize,
    counts: u32,
}

impl Busy {
    pub(super) fn new(network: &Arc<Network>, endpoint: usize, purpose: Purpose) -> Self {
        let counts = u32::from(purpose != Purpose::Control);
        network.endpoints[endpoint].in_flight.fetch_add(counts, Ordering::Relaxed);
        Self { network: Arc::clone(network), endpoint, counts }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.network.endpoints[self.endpoint].in_flight.fetch_sub(self.counts, Ordering::Relaxed);
    }
}

/// The body of a network's answer. Reading it drives the connection it comes over; when it ends, the connection goes back
/// to its pool; when it is dropped before that, the connection is closed and the far side learns that nobody listens.
#[derive(Debug)]
pub(crate) struct Answer {
    held: Held,
    busy: Busy,
    via: Via,
    /// `None` for answers that may be silent for as long as they like.
    bounds: Option<Bounds>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What closes the flow when the time is up and nobody reads.
    deadline: Option<Deadline>,
    /// What is given up with it.
    ticket: Option<Ticket>,
    /// Whether its trailers are yet to tell how its endpoint is.
    tells_by_trailers: bool,
    received: u64,
    /// When the first bytes came, to measure the link by.
    began_s: f64,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Between two frames.
    pub(super) idle: Duration,
    /// From when the request was sent.
    pub(super) total: Duration,
    /// When that is over.
    pub(super) ends: Instant,
}

impl Answer {
    pub(super) fn over_h1(incoming: Incoming, connection: H1, busy: Busy, via: Via) -> Self {
        let mut answer = Self::over(Flow::new(incoming, Some(connection), None), busy, via);
        if answer.is_end_stream() {
            answer.give_back(&mut Context::from_waker(std::task::Waker::noop()));
        }
        answer
    }

    pub(super) fn over_h2(incoming: Incoming, stream: Option<StreamPlace>, busy: Busy, via: Via) -> Self {
        Self::over(Flow::new(incoming, None, stream), busy, via)
    }

    fn over(flow: Flow, busy: Busy, via: Via) -> Self {
        Self {
            held: Held::Own(flow),
            busy,
            via,
            bounds: None,
            timer: None,
            deadline: None,
            ticket: None,
            tells_by_trailers: false,
            received: 0,
            began_s: clock::now_s(),
        }
    }

    /// Which of its network's endpoints it comes from.
    pub(crate) fn endpoint(&self) -> usize {
        self.via.endpoint
    }

    /// Bounds how long the answer may be silent, and take.
    pub(super) fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = Some(bounds);
        self
    }

    /// It is a gRPC call's, of which only the trailers say what it came to.
    pub(super) fn tells_by_trailers(mut self) -> Self {
        self.tells_by_trailers = true;
        self
    }

    /// Tells how its endpoint is, if that is still owed. A call that ends without a status has broken off.
    fn tell(&mut self, trailers: Option<&HeaderMap>) {
        if std::mem::take(&mut self.tells_by_trailers) {
            let well = trailers.and_then(Call::read).is_some_and(|call| call != Call::Unavailable);
            self.busy.network.endpoints[self.busy.endpoint].saw(well, clock::now_s());
        }
    }

    /// The job's place in the ledger, to be given up when the time is up, even if the client keeps the answer.
    pub(crate) fn frees(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// The answer has come to its end: what it says of the link is taken in, and its connection may be used again.
    fn end(&mut self, cx: &mut Context<'_>) {
        self.deadline = None;
        if self.tells_of_the_link() {
            self.busy.network.saw_transfer(self.received, clock::now_s() - self.began_s);
        }
        self.give_back(cx);
    }

    /// An answer without bounds comes as the service likes, and a shadow's as our own throttle lets it.
    fn tells_of_the_link(&self) -> bool {
        !self.busy.network.is_home() && self.via.lane == Lane::Live && self.bounds.is_some()
    }

    /// Gives the connection back to its pool, if it is fit to be used again.
    fn give_back(&mut self, cx: &mut Context<'_>) {
        let Some(mut connection) = self.held.with(Flow::take_connection).flatten() else { return };
        connection.drive(cx);
        if connection.is_idle() {
            let endpoint = &self.busy.network.endpoints[self.via.endpoint];
            endpoint.pool(self.via.worker).put_h1(self.via.lane, connection);
        }
    }

    /// Sees to it that the answer ends in time even if its reader does not come back for the next frame: then nothing polls
    /// the timer of this body. A task costs more than most answers take to pass, so those of one frame have none.
    fn bound_unread(&mut self) {
        if let Some(bounds) = self.bounds.filter(|_| self.deadline.is_none())
            && let Some(flow) = self.held.share()
        {
            self.deadline = Some(Deadline::close(flow, bounds.ends, self.ticket.take()));
        }
    }

    fn poll_bounds(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(bounds) = self.bounds else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| {
            let idle_ends = Instant::now() + bounds.idle;
            Box::pin(tokio::time::sleep_until(idle_ends.min(bounds.ends)))
        });
        timer.as_mut().poll(cx).map(|()| {
            let over = Instant::now() >= bounds.ends;
            if over { bounds.over() } else { BodyError::Idle { after_s: bounds.idle.as_secs_f64() } }
        })
    }
}

impl Bounds {
    fn over(&self) -> BodyError {
        BodyError::Total { after_s: self.total.as_secs_f64() }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(polled) = this.held.with(|flow| flow.poll_frame(cx)) else {
            // The deadline has closed it. That is told once, and then there is nothing more.
            this.held = Held::Gone;
            return Poll::Ready(this.bounds.take().map(|bounds| Err(bounds.over())));
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer = None;
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if frame.is_trailers() || this.is_end_stream() {
                    this.tell(frame.trailers_ref());
                    this.end(cx);
                } else {
                    this.bound_unread();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.tell(None);
                drop(this.held.with(Flow::take_connection));
                Poll::Ready(Some(Err(BodyError::Connection(error))))
            }
            Poll::Ready(None) => {
                this.tell(None);
                this.end(cx);
                Poll::Ready(None)
            }
            Poll::Pending => this.poll_bounds(cx).map(|error| {
                drop(this.held.with(Flow::take_connection));
                Some(Err(error))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.look(Flow::is_end_stream).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        self.held.look(Flow::size_hint).unwrap_or_default()
    }
}
