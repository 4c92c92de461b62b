//! Every body that passes through, as one type: hyper is generic over it, and a box for each frame's owner would cost the
//! path an allocation that most requests do not need.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use std::sync::Arc;

use crate::accept::guard::Watch;
use crate::answer;
use crate::cache;
use crate::data;
use crate::path::settle::JobBody;
use crate::path::{Adopted, Begun, Polled, ServedBody};
use crate::spool;
use crate::throttle::Throttled;
use crate::upstream::{Answer, Outgoing, Ticket};

/// Why a body broke off. What is behind it is for logs; the reader of the body only learns that it is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection it came over failed.
    #[error("the connection broke off in the middle of a body")]
    Connection(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("no byte of the body came within {after_s} s; raise the network's `timeouts.idle` if that is normal")]
    Idle {
        /// The bound that bit.
        after_s: f64,
    },
    /// All of it took too long.
    #[error(
        "the body was not whole {after_s} s after the request was sent; raise the network's `timeouts.total` if jobs take longer"
    )]
    Total {
        /// The bound that bit.
        after_s: f64,
    },
    /// The spooled copy could not be read back.
    #[error("the spooled copy of the body cannot be read back")]
    Spool(#[source] std::io::Error),
    /// What the response cache has of it cannot be read, or broke off.
    #[error("the stored answer, or the one that was to be stored, broke off")]
    Stored(#[source] crate::disk::ReadError),
    /// The dispatch behind it was cancelled.
    #[error("the dispatch behind this body was cancelled")]
    Cancelled,
}

/// A request's or a response's body.
#[derive(Debug, Default)]
pub(crate) enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// One piece that is already here.
    Full(Option<Bytes>),
    /// Straight from a client or an h2 network.
    Incoming(Incoming),
    /// The same, of which the beginning was looked at.
    Begun(Box<Begun>),
    /// A network's answer.
    Answer(Box<Answer>),
    /// A client's body, copied into the spool as it passes.
    Tee(Box<spool::Tee<Begun>>),
    /// The spooled copy.
    Spooled(Box<spool::Reader>),
    /// What could not be held until its job is decided.
    Rejoined(Box<spool::Rejoined>),
    /// A shadow's answer, adopted.
    Adopted(Box<Adopted>),
    /// The answer of a job that runs on without its client.
    Piped(Box<answer::Source>),
    /// Data for the service, from the cache or an origin.
    Data(Box<data::Outlet>),
    /// A stored answer, or one on its way to be stored.
    Cached(Box<cache::Outlet>),
    /// An answer that may say how an asynchronous job is.
    Polled(Box<Polled>),
    /// An answer to another sidecar, with what is held for it.
    Served(Box<ServedBody>),
    /// What a client reads; its job is settled when it ends.
    Job(Box<JobBody>),
    /// Any of these, on an HTTP/1 connection whose guard wants to know when it ends.
    Watched(Box<Watched>),
    /// A request body whose progress is watched.
    Outgoing(Box<Outgoing>),
    /// Any of these with a cap on its bytes a second.
    Throttled(Box<Throttled<Body>>),
}

impl Body {
    /// One piece.
    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(Some(bytes)) }
    }

    /// Which of its network's endpoints an answer comes from.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        match self {
            Self::Answer(answer) => Some(answer.endpoint()),
            Self::Adopted(answer) => answer.endpoint(),
            Self::Served(answer) => answer.endpoint(),
            Self::Throttled(answer) => answer.inner().endpoint(),
            _ => None,
        }
    }

    /// The job's place in the ledger, to be given up when its time is up, even if nobody reads the answer.
    pub(crate) fn frees(&mut self, ticket: Ticket) {
        match self {
            Self::Answer(answer) => answer.frees(ticket),
            Self::Served(answer) => answer.frees(ticket),
            Self::Polled(answer) => answer.frees(ticket),
            // It is a shadow's, whose task has its place, or here whole.
            _ => {}
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Connection),
            Self::Begun(body) => Pin::new(&mut **body).poll_frame(cx).map_err(BodyError::Connection),
            Self::Answer(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Tee(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Spooled(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Rejoined(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Adopted(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Piped(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Data(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Cached(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Served(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Polled(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Job(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Watched(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Outgoing(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Throttled(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Incoming(body) => body.is_end_stream(),
            Self::Begun(body) => body.is_end_stream(),
            Self::Answer(body) => body.is_end_stream(),
            Self::Tee(body) => body.is_end_stream(),
            Self::Spooled(body) => body.is_end_stream(),
            Self::Rejoined(body) => body.is_end_stream(),
            Self::Adopted(body) => body.is_end_stream(),
            Self::Piped(body) => body.is_end_stream(),
            Self::Data(body) => body.is_end_stream(),
            Self::Cached(body) => body.is_end_stream(),
            Self::Served(body) => body.is_end_stream(),
            Self::Polled(body) => body.is_end_stream(),
            Self::Job(body) => body.is_end_stream(),
            Self::Watched(body) => body.is_end_stream(),
            Self::Outgoing(body) => body.is_end_stream(),
            Self::Throttled(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Incoming(body) => body.size_hint(),
            Self::Begun(body) => body.size_hint(),
            Self::Answer(body) => body.size_hint(),
            Self::Tee(body) => body.size_hint(),
            Self::Spooled(body) => body.size_hint(),
            Self::Rejoined(body) => body.size_hint(),
            Self::Adopted(body) => body.size_hint(),
            Self::Piped(body) => body.size_hint(),
            Self::Data(body) => body.size_hint(),
            Self::Cached(body) => body.size_hint(),
            Self::Served(body) => body.size_hint(),
            Self::Polled(body) => body.size_hint(),
            Self::Job(body) => body.size_hint(),
            Self::Watched(body) => body.size_hint(),
            Self::Outgoing(body) => body.size_hint(),
            Self::Throttled(body) => body.size_hint(),
        }
    }
}

/// A body that tells its connection's guard when it has ended, whichever way.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Body,
    watch: Arc<Watch>,
}

impl Watched {
    /// Wraps a body.
    pub(crate) fn wrap(inner: Body, watch: Arc<Watch>) -> Body {
        Body::Watched(Box::new(Self { inner, watch }))
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.answered();
    }
}
