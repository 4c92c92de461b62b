//! A shadow's answer on its way to a client that may never ask for it: a bounded pipe of body frames.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::body::BodyError;

/// A pipe that holds at most about `bound` bytes: one frame more than that at the most.
pub(crate) fn pipe(bound: usize) -> (Sink, Source) {
    unimplemented!("{bound}")
}

/// Where the shadow's task puts frames.
#[derive(Debug)]
pub(crate) struct Sink {}

/// The source is gone: nobody will ever read this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this answer any more")]
pub(crate) struct Unread;

impl Sink {
    /// Puts a frame in, waiting while the pipe is full.
    pub(crate) async fn put(&mut self, frame: Frame<Bytes>) -> Result<(), Unread> {
        unimplemented!("{frame:?}")
    }

    /// The answer is whole. Dropping a sink without it makes the source end in an error.
    pub(crate) fn finish(self) {
        unimplemented!()
    }
}

/// Where the answer is read from, once it is adopted.
#[derive(Debug)]
pub(crate) struct Source {}

impl Source {
    /// Whether the whole answer is in the pipe or was read from it.
    pub(crate) fn is_whole(&self) -> bool {
        unimplemented!()
    }
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        unimplemented!()
    }
}
