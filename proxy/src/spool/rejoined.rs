//! A body whose beginning was read to be held, and could not be: what there is of it, and behind that the rest as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Reader;
use crate::body::{Body, BodyError};

/// Its beginning, and the rest.
#[derive(Debug)]
pub(crate) struct Rejoined {
    /// `None` once it was read.
    beginning: Option<Reader>,
    /// The piece between the two.
    next: Option<Bytes>,
    rest: Body,
}

impl Rejoined {
    pub(crate) fn new(beginning: Reader, next: Option<Bytes>, rest: Body) -> Self {
        Self { beginning: Some(beginning), next, rest }
    }
}

impl http_body::Body for Rejoined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(beginning) = &mut this.beginning {
            if let Some(frame) = std::task::ready!(Pin::new(beginning).poll_frame(cx)) {
                return Poll::Ready(Some(frame));
            }
            // Its room is for others from here on.
            this.beginning = None;
        }
        match this.next.take() {
            Some(next) => Poll::Ready(Some(Ok(Frame::data(next)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.beginning.as_ref().is_none_or(Reader::is_end_stream) && self.next.is_none() && self.rest.is_end_stream()
    }

    /// Exact where the client has said how long it is.
    fn size_hint(&self) -> SizeHint {
        let here = self.beginning.as_ref().map_or(0, |beginning| beginning.size_hint().lower())
            + self.next.as_ref().map_or(0, |next| next.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(here + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(here + upper);
        }
        hint
    }
}
