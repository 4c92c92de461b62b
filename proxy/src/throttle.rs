//! A cap on the bytes a second of a body, which can be lifted while it flows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

/// The cap, shared between the bodies it holds and whoever may lift it.
#[derive(Debug)]
pub(crate) struct Throttle {}

impl Throttle {
    /// At most `bytes_per_s`, with a burst of a tenth of a second.
    pub(crate) fn new(bytes_per_s: f64) -> Arc<Self> {
        unimplemented!("{bytes_per_s}")
    }

    /// No cap from now on; whoever waits is woken.
    pub(crate) fn lift(&self) {
        unimplemented!()
    }

    /// Bytes that have passed.
    pub(crate) fn passed(&self) -> u64 {
        unimplemented!()
    }
}

/// A body under a throttle.
#[derive(Debug)]
pub(crate) struct Throttled<B> {
    _inner: B,
}

impl<B> Throttled<B> {
    /// Puts `body` under `throttle`.
    pub(crate) fn new(body: B, throttle: Arc<Throttle>) -> Self {
        let _ = throttle;
        Self { _inner: body }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Throttled<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        unimplemented!()
    }
}
