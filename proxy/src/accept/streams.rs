//! How long an HTTP/2 connection has had no stream.
//!
//! hyper closes a connection whose client does not answer pings. One that does, and asks for nothing, would stay for ever;
//! so would one that has only shaken hands. Nobody is woken when a stream begins or ends: the watch looks when the connection
//! may have been idle for long enough, and if it has not been, when it may be next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::{Body, BodyError};
use crate::clock;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    open: AtomicUsize,
    /// Bits of when the last one ended, or the connection began.
    rested_s: AtomicU64,
}

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), rested_s: AtomicU64::new(clock::now_s().to_bits()) })
    }

    /// A stream has begun; it is open until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Stream {
        self.open.fetch_add(1, Ordering::AcqRel);
        Stream(Arc::clone(self))
    }

    /// Waits until there has been none for this long.
    pub(super) async fn idle_for(&self, long: Duration) {
        let long_s = long.as_secs_f64();
        loop {
            let now_s = clock::now_s();
            let idle_s = match self.open.load(Ordering::Acquire) {
                0 => now_s - f64::from_bits(self.rested_s.load(Ordering::Acquire)),
                _ => 0.0,
            };
            if idle_s >= long_s {
                return;
            }
            tokio::time::sleep(Duration::from_secs_f64(long_s - idle_s.max(0.0))).await;
        }
    }
}

/// A stream, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Stream(Arc<Streams>);

impl Stream {
    /// Keeps the stream open until its answer is over.
    pub(super) fn until_end(self, body: Body) -> Streamed {
        Streamed { inner: body, _stream: self }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.rested_s.store(clock::now_s().to_bits(), Ordering::Release);
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream's answer.
#[derive(Debug)]
pub(super) struct Streamed {
    inner: Body,
    _stream: Stream,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
