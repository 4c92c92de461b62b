//! One bounded copy of a request body, for whoever may need it again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::body::BodyError;

/// Where bodies are kept: bounds over all of them.
#[derive(Debug)]
pub(crate) struct Store {}

impl Store {
    /// An empty store with these bounds.
    pub(crate) fn new(bounds: &config::value::Spool) -> Arc<Self> {
        unimplemented!("{bounds:?}")
    }

    /// Begins a copy of `body`: what is sent on, and the copy to come.
    pub(crate) fn tee<B>(self: &Arc<Self>, body: B) -> (Tee<B>, Spool) {
        let _ = body;
        unimplemented!()
    }
}

/// A body that leaves a copy as it passes. It never waits for the copy.
#[derive(Debug)]
pub(crate) struct Tee<B> {
    _inner: B,
}

impl<B: http_body::Body<Data = Bytes, Error = hyper::Error> + Unpin> http_body::Body for Tee<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        unimplemented!()
    }
}

/// The copy.
#[derive(Clone, Debug)]
pub(crate) struct Spool {}

/// Why there is no whole copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unspooled {
    /// Longer than a body may be.
    #[error("the body is longer than `spool.body`")]
    TooLong,
    /// The disk budget is spent, or the disk is full or broken.
    #[error("the spool has no room on disk")]
    NoRoom,
    /// The disk could not keep up with the body.
    #[error("the disk did not keep up with the body")]
    Slow,
    /// The body itself broke off.
    #[error("the body broke off")]
    BrokeOff,
}

impl Spool {
    /// The copy of a request without a body.
    pub(crate) fn empty() -> Self {
        unimplemented!()
    }

    /// Waits until the copy is whole, or is sure never to be. Says its length.
    pub(crate) async fn complete(&self) -> Result<u64, Unspooled> {
        unimplemented!()
    }

    /// `Some` if that is settled already.
    pub(crate) fn settled(&self) -> Option<Result<u64, Unspooled>> {
        unimplemented!()
    }

    /// Reads a whole copy from its start. As many readers as wanted, each at its own pace.
    pub(crate) fn reader(&self) -> Reader {
        unimplemented!()
    }
}

/// A whole copy, read from its start.
#[derive(Debug)]
pub(crate) struct Reader {}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        unimplemented!()
    }
}
