//! A stored body, or one that is on its way to be stored, as a client reads it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::BodyError;
use crate::disk::Reader;

/// A body from the cache's side.
#[derive(Debug)]
pub(crate) struct Outlet {
    reader: Reader,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
}

impl Outlet {
    pub(super) fn new(reader: Reader, len: Option<u64>) -> Self {
        Self { reader, left: len }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = ready!(this.reader.poll_next(cx));
        Poll::Ready(next.map(|read| match read {
            Ok(data) => {
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                Ok(Frame::data(data))
            }
            Err(error) => Err(BodyError::Stored(error)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.or_else(|| self.reader.left()) == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
