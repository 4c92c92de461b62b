//! An answer to another sidecar, held where the end of its lease can take it away, whether anybody reads it or not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Running;
use crate::body::{Body, BodyError};
use crate::metrics::ServedEnd;
use crate::path::shadow::AbortOnDrop;
use crate::peer::Entered;
use crate::upstream::Ticket;

/// An answer to a peer, with what must be held while it is read.
pub(crate) struct Served {
    held: Arc<Held>,
    _entered: Option<Entered>,
    /// What ends a shadow with its lease, whoever reads it.
    _watch: AbortOnDrop,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let holding = self.held.0.lock();
        f.debug_struct("Served")
            .field("inner", &holding.inner)
            .field("is_shadow", &holding.shadow.is_some())
            .finish_non_exhaustive()
    }
}

/// What is held for an answer, where the end of its lease can take it away.
struct Held(Mutex<Holding>);

struct Holding {
    /// `None` once it was taken away.
    inner: Option<Body>,
    shadow: Option<Running>,
    reading: Option<Waker>,
}

impl Held {
    /// The answer is over, and with it what it held.
    fn over(&self, how: ServedEnd) {
        let shadow = self.0.lock().shadow.take();
        if let Some(mut shadow) = shadow {
            shadow.ended(how);
        }
    }

    /// Takes all of it away: its connection closes, its slot and its permit are free.
    fn take_away(&self, how: ServedEnd) {
        let (inner, reading) = {
            let mut holding = self.0.lock();
            (holding.inner.take(), holding.reading.take())
        };
        drop(inner);
        self.over(how);
        if let Some(reading) = reading {
            reading.wake();
        }
    }
}

impl Served {
    pub(super) fn wrap(inner: Body, entered: Option<Entered>, shadow: Option<(Running, Arc<Notify>)>) -> Body {
        let (shadow, shed) = shadow.unzip();
        let served = shadow.as_ref().map(|shadow| Arc::clone(&shadow.served)).zip(shed);
        let is_whole = inner.is_end_stream();
        let held = Arc::new(Held(Mutex::new(Holding { inner: Some(inner), shadow, reading: None })));
        if is_whole {
            // Nobody will ask it for a frame.
            held.over(ServedEnd::Finished);
        }
        let watched = served.filter(|_| !is_whole).map(|(served, shed)| {
            let held = Arc::clone(&held);
            let watch = async move {
                let how = tokio::select! {
                    () = served.lease_ends() => ServedEnd::LeaseOver,
                    () = served.is_shed(&shed) => ServedEnd::Shed,
                };
                held.take_away(how);
            };
            tokio::spawn(watch).abort_handle()
        });
        Body::Served(Box::new(Self { held, _entered: entered, _watch: AbortOnDrop::new(watched) }))
    }

    /// Which of home's endpoints it comes from.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        self.held.0.lock().inner.as_ref().and_then(Body::endpoint)
    }

    /// The place in the ledger of a transferred job, to be given up when its time is up, even if its peer does not read.
    pub(crate) fn frees(&mut self, ticket: Ticket) {
        if let Some(Body::Answer(answer)) = &mut self.held.0.lock().inner {
            answer.frees(ticket);
        }
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let held = &self.get_mut().held;
        let (frame, is_last) = {
            let mut holding = held.0.lock();
            let Some(inner) = &mut holding.inner else { return Poll::Ready(Some(Err(BodyError::Cancelled))) };
            match Pin::new(&mut *inner).poll_frame(cx) {
                Poll::Ready(frame) => (frame, inner.is_end_stream()),
                Poll::Pending => {
                    holding.reading = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        match &frame {
            Some(Ok(frame)) if !frame.is_trailers() && !is_last => {}
            Some(Ok(_)) | None => held.over(ServedEnd::Finished),
            Some(Err(_)) => held.over(ServedEnd::Failed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.0.lock().inner.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.held.0.lock().inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
