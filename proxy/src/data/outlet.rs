//! What the service reads: an object of the cache, or an origin's answer straight through, or one and then the other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::fetch::Driver;
use super::flight::Ticket;
use super::object::{Next, Object};
use super::reader::Portion;
use crate::body::BodyError;

/// A body from the data cache's side.
#[derive(Debug)]
pub(crate) struct Outlet {
    from: From,
    /// Whose reading is watched, if anybody's is.
    portion: Option<Portion>,
}

#[derive(Debug)]
enum From {
    Object { object: Arc<Object>, position: u64, _ticket: Option<Ticket> },
    Stream(Box<Stream>),
    Ended,
}

impl Outlet {
    /// Reads `object`. If it still grows, `ticket` keeps its fetch going.
    pub(super) fn object(object: Arc<Object>, ticket: Option<Ticket>) -> Self {
        Self { from: From::Object { object, position: 0, _ticket: ticket }, portion: None }
    }

    pub(super) fn stream(stream: Box<Stream>) -> Self {
        Self { from: From::Stream(stream), portion: None }
    }

    /// Counts what is read for whoever reads it.
    pub(super) fn counted(self, portion: Portion) -> Self {
        Self { portion: Some(portion), ..self }
    }

    fn poll_from(from: &mut From, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let From::Object { object, position, .. } = from {
            match ready!(object.poll_next(*position, cx)) {
                Next::Data(data) => {
                    *position += data.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Next::End => *from = From::Ended,
                Next::Broken => {
                    *from = From::Ended;
                    return Poll::Ready(Some(Err(BodyError::Cancelled)));
                }
                Next::Rest(stream) => *from = From::Stream(stream),
            }
        }
        match from {
            From::Stream(stream) => Pin::new(&mut **stream).poll_frame(cx),
            From::Ended | From::Object { .. } => Poll::Ready(None),
        }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { from, portion } = self.get_mut();
        let frame = Self::poll_from(from, cx);
        if let Some(portion) = portion {
            match &frame {
                Poll::Ready(Some(Ok(frame))) => portion.took(frame.data_ref().map_or(0, |data| data.len() as u64)),
                Poll::Ready(_) => {}
                Poll::Pending => portion.waits(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Object { object, position, .. } => object.is_whole() && *position == object.len(),
            From::Stream(stream) => stream.is_end_stream(),
            From::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Object { object, position, .. } => {
                object.length().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length - position))
            }
            From::Stream(stream) => stream.size_hint(),
            From::Ended => SizeHint::with_exact(0),
        }
    }
}

/// An origin's answer straight through. It breaks off when nothing comes for too long.
#[derive(Debug)]
pub(super) struct Stream {
    /// What was read of it already.
    first: Option<Bytes>,
    body: Incoming,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs. It does not while it is the reader who takes time.
    waiting: bool,
    _driver: Driver,
}

impl Stream {
    pub(super) fn new(body: Incoming, driver: Driver, idle: Duration) -> Self {
        Self { first: None, body, idle, timer: None, waiting: false, _driver: driver }
    }

    /// Puts back what was read last.
    pub(super) fn unread(&mut self, data: Bytes) {
        self.first = Some(data);
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.idle)));
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(Instant::now() + self.idle);
        }
        timer.as_mut().poll(cx).map(|()| BodyError::Idle { after_s: self.idle.as_secs_f64() })
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.poll_idle(cx).map(|error| Some(Err(error)));
        };
        this.waiting = false;
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + first);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + first);
        }
        hint
    }
}
