//! A body that a test feeds frame by frame.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Any body of the harness.
pub type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// No body.
#[must_use]
pub fn empty() -> AnyBody {
    http_body_util::Empty::new().boxed_unsync()
}

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> AnyBody {
    http_body_util::Full::new(bytes.into()).boxed_unsync()
}

/// A body and the end that feeds it. The body ends when the feed is dropped.
#[must_use]
pub fn piped() -> (Feed, AnyBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Feed(sender), Piped(receiver).boxed_unsync())
}

/// The end that feeds a body.
#[derive(Debug)]
pub struct Feed(mpsc::Sender<Frame<Bytes>>);

impl Feed {
    /// Sends data when there is room for it; `false` if nobody reads it any more.
    pub async fn data(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Frame::data(bytes.into())).await.is_ok()
    }

    /// Sends trailers, and ends the body.
    ///
    /// # Panics
    /// If a name or a value is none.
    pub async fn trailers(self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, http::HeaderValue::from_static(value));
        drop(self.0.send(Frame::trailers(trailers)).await);
    }

    /// Waits until nobody reads it any more.
    pub async fn unread(&self) {
        self.0.closed().await;
    }
}

struct Piped(mpsc::Receiver<Frame<Bytes>>);

impl Body for Piped {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}
