//! A shadow's answer on its way to a client that may never ask for it: a bounded pipe of body frames.
//!
//! A shadow that may be adopted is read only as far as the pipe has room, and then no further: its network feels the
//! back-pressure, this process holds a bounded number of bytes, and adoption is handing over the [`Source`]. The two ends
//! may live on different threads.
//!
//! What it deliberately does not do: decide anything, or time out. Either end learns that the other is gone, at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::body::BodyError;

/// What a frame costs beyond its bytes; without it a pipe of one-byte frames would hold many times its bound.
const FRAME_BYTES: usize = 64;

/// A pipe that holds at most about `bound` bytes: one frame more than that at the most.
pub(crate) fn pipe(bound: usize) -> (Sink, Source) {
    let pipe = Arc::new(Pipe { bound: bound.max(1), state: Mutex::new(State::default()) });
    (Sink(Arc::clone(&pipe)), Source(pipe))
}

#[derive(Debug)]
struct Pipe {
    bound: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    held_bytes: usize,
    trailers: Option<HeaderMap>,
    sink: SinkState,
    source_gone: bool,
    putting: Option<Waker>,
    reading: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SinkState {
    #[default]
    Open,
    Finished,
    /// Dropped before it was finished.
    Cancelled,
}

impl State {
    fn cost(&self) -> usize {
        self.held_bytes + self.frames.len() * FRAME_BYTES
    }

    fn end(&mut self, how: SinkState) -> Option<Waker> {
        if self.sink == SinkState::Open {
            self.sink = how;
        }
        self.reading.take()
    }
}

/// Where the shadow's task puts frames.
#[derive(Debug)]
pub(crate) struct Sink(Arc<Pipe>);

/// The source is gone: nobody will ever read this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this answer any more")]
pub(crate) struct Unread;

impl Sink {
    /// Puts a frame in, waiting while the pipe is full.
    pub(crate) async fn put(&mut self, frame: Frame<Bytes>) -> Result<(), Unread> {
        let mut frame = Some(frame);
        std::future::poll_fn(|cx| self.poll_put(&mut frame, cx)).await
    }

    /// Waits until nobody will ever read this.
    pub(crate) async fn unread(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if state.source_gone {
                return Poll::Ready(());
            }
            state.putting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The answer is whole. Dropping a sink without it makes the source end in an error.
    pub(crate) fn finish(self) {
        self.end(SinkState::Finished);
    }

    fn poll_put(&self, frame: &mut Option<Frame<Bytes>>, cx: &mut Context<'_>) -> Poll<Result<(), Unread>> {
        let reading = {
            let mut state = self.0.state.lock();
            if state.source_gone {
                return Poll::Ready(Err(Unread));
            }
            if state.cost() >= self.0.bound {
                state.putting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            match frame.take().map(Frame::into_data) {
                Some(Ok(data)) => {
                    state.held_bytes += data.len();
                    state.frames.push_back(data);
                }
                Some(Err(other)) => state.trailers = other.into_trailers().ok(),
                None => {}
            }
            state.reading.take()
        };
        wake(reading);
        Poll::Ready(Ok(()))
    }

    fn end(&self, how: SinkState) {
        let reading = self.0.state.lock().end(how);
        wake(reading);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end(SinkState::Cancelled);
    }
}

/// Where the answer is read from, once it is adopted.
#[derive(Debug)]
pub(crate) struct Source(Arc<Pipe>);

impl Source {
    /// Whether the whole answer is in the pipe or was read from it.
    #[cfg(test)]
    pub(crate) fn is_whole(&self) -> bool {
        self.0.state.lock().sink == SinkState::Finished
    }

    /// Bytes in the pipe now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.state.lock().held_bytes
    }
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.0.state.lock();
        if let Some(data) = state.frames.pop_front() {
            state.held_bytes -= data.len();
            let putting = if state.cost() < self.0.bound { state.putting.take() } else { None };
            drop(state);
            wake(putting);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = state.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match state.sink {
            SinkState::Finished => Poll::Ready(None),
            SinkState::Cancelled => Poll::Ready(Some(Err(BodyError::Cancelled))),
            SinkState::Open => {
                state.reading = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state.lock();
        state.sink == SinkState::Finished && state.frames.is_empty() && state.trailers.is_none()
    }

    /// Exact once the answer is whole; until then the answer's own `Content-Length` has to say it.
    fn size_hint(&self) -> SizeHint {
        let state = self.0.state.lock();
        let held = state.held_bytes as u64;
        if state.sink == SinkState::Finished && state.trailers.is_none() {
            return SizeHint::with_exact(held);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(held);
        hint
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let (putting, frames) = {
            let mut state = self.0.state.lock();
            state.source_gone = true;
            state.held_bytes = 0;
            (state.putting.take(), std::mem::take(&mut state.frames))
        };
        drop(frames);
        wake(putting);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
