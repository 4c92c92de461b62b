//! What an answer comes over, and what closes it behind the back of a reader that does not read.
//!
//! A body is polled by whoever reads it. When that is a client that has stopped reading, nothing polls the body and no timer
//! in it can bite: the service's connection, and the job's place in the ledger, would be held for as long as the client
//! likes. So a task of its own may close the flow; until there is one, the flow is held without a lock.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::flight::Ticket;
use super::pool::{H1, StreamPlace};

/// An answer's bytes and the connection they come over.
#[derive(Debug)]
pub(super) struct Flow {
    incoming: Incoming,
    connection: Option<H1>,
    _stream: Option<StreamPlace>,
}

impl Flow {
    pub(super) fn new(incoming: Incoming, connection: Option<H1>, stream: Option<StreamPlace>) -> Self {
        Self { incoming, connection, _stream: stream }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { incoming, connection, .. } = self;
        let mut frame = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
        match connection {
            Some(connection) => connection.poll_with(cx, frame),
            None => frame(cx),
        }
    }

    pub(super) fn take_connection(&mut self) -> Option<H1> {
        self.connection.take()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A flow that others may take away.
pub(super) type Shared = Arc<Mutex<Option<Flow>>>;

/// Who has the flow.
#[derive(Debug)]
pub(super) enum Held {
    /// The answer alone.
    Own(Flow),
    /// The answer, until its deadline.
    Shared(Shared),
    /// Nobody.
    Gone,
}

impl Held {
    /// Works on the flow, if it is still there.
    pub(super) fn with<T>(&mut self, work: impl FnOnce(&mut Flow) -> T) -> Option<T> {
        match self {
            Self::Own(flow) => Some(work(flow)),
            Self::Shared(flow) => flow.lock().as_mut().map(work),
            Self::Gone => None,
        }
    }

    /// Looks at the flow, if it is still there.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Flow) -> T) -> Option<T> {
        match self {
            Self::Own(flow) => Some(at(flow)),
            Self::Shared(flow) => flow.lock().as_ref().map(at),
            Self::Gone => None,
        }
    }

    /// Makes the flow one that others may take away.
    pub(super) fn share(&mut self) -> Option<Shared> {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Own(flow) => Self::Shared(Arc::new(Mutex::new(Some(flow)))),
            other => other,
        };
        match self {
            Self::Shared(flow) => Some(Arc::clone(flow)),
            Self::Own(_) | Self::Gone => None,
        }
    }
}

/// Closes a flow when its time is up; dropped before, it does not.
#[derive(Debug)]
pub(super) struct Deadline(AbortHandle);

impl Deadline {
    /// Closes `flow` at `ends`, and gives up the job's place in the ledger.
    pub(super) fn close(flow: Shared, ends: Instant, ticket: Option<Ticket>) -> Self {
        let closing = tokio::spawn(async move {
            tokio::time::sleep_until(ends).await;
            let closed = flow.lock().take();
            drop(closed);
            ticket.into_iter().for_each(Ticket::give_up);
        });
        Self(closing.abort_handle())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}
