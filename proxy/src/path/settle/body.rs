//! The answer on its way to the client: when it ends, however it does, its job is settled.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::Settle;
use crate::body::{Body, BodyError};
use crate::clock;
use crate::grpc::Call;
use crate::record::Outcome;

/// The answer that a client reads, which settles its job when it ends.
#[derive(Debug)]
pub(crate) struct JobBody {
    inner: Body,
    settle: Settle,
    bytes: u64,
    /// When the last frame was handed to the client's side.
    handed_s: Option<f64>,
}

impl JobBody {
    /// Wraps an answer.
    pub(in crate::path) fn wrap(inner: Body, mut settle: Settle) -> Body {
        if inner.is_end_stream() {
            let outcome = outcome(settle.record().status, settle.call);
            settle.end(outcome, 0);
            return Body::Empty;
        }
        let mut inner = inner;
        if let Some(flight) = &settle.flight {
            inner.frees(flight.ticket());
        }
        Body::Job(Box::new(Self { inner, settle, bytes: 0, handed_s: None }))
    }

    fn end(&mut self) {
        let outcome =
            self.settle.record.as_ref().map_or(Outcome::Answered, |record| outcome(record.status, self.settle.call));
        self.settle.end(outcome, self.bytes);
    }
}

const fn outcome(status: u16, call: Option<Call>) -> Outcome {
    let failed = matches!(call, Some(Call::Failed | Call::Unavailable));
    if status >= 500 || failed { Outcome::ServerError } else { Outcome::Answered }
}

impl http_body::Body for JobBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(handed_s) = this.handed_s.take() {
            this.settle.stalled_s += clock::now_s() - handed_s;
        }
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.settle.heard(trailers);
                }
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if frame.is_trailers() || this.inner.is_end_stream() {
                    this.end();
                } else {
                    this.handed_s = Some(clock::now_s());
                }
            }
            Some(Err(_)) => this.settle.end(Outcome::BrokeOff, this.bytes),
            None => this.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for JobBody {
    fn drop(&mut self) {
        self.settle.end(Outcome::ClientGone, self.bytes);
    }
}
