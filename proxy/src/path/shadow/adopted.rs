//! The answer of a shadow that has become the real job.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{AbortOnDrop, Tally};
use crate::answer::Source;
use crate::body::BodyError;

/// The answer of an adopted shadow, with the task that fetches it: when the client goes away, so does the task.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(super) source: Source,
    pub(super) endpoint: Option<usize>,
    pub(super) _task: AbortOnDrop,
    pub(super) _tally: Arc<Tally>,
}

impl Adopted {
    /// Which of its network's endpoints it comes from.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        self.endpoint
    }
}

impl http_body::Body for Adopted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().source).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
