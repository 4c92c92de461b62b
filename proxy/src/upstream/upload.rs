//! How far a request's body has come, for the time-out that starts with its last byte and for the record; who it waits for,
//! since a network is not to be blamed for what a client does not send; and to which of a network's endpoints it went, since
//! nobody but the sidecar there can say anything of the dispatch.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use policy::NetworkId;
use policy::progress::{PACED_BYTES, Reading};

use crate::body::{Body, BodyError};
use crate::clock;

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    /// When its last byte was taken, in microseconds since the origin; 0 before that.
    ended_us: AtomicU64,
    /// The network would take more, but the client has not sent it.
    client_awaited: AtomicBool,
    waiting: Waiting,
    pace: Pace,
    went: Place,
    preferred: Place,
}

/// How long the network has waited for the body, for a client that is slow to send it or a throttle: microseconds.
#[derive(Debug, Default)]
struct Waiting {
    so_far_us: AtomicU64,
    /// Since when it waits now; 0 if it does not.
    since_us: AtomicU64,
}

impl Waiting {
    fn begins(&self) {
        let _waits_already = self.since_us.compare_exchange(0, now_us(), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn ends(&self) {
        // Nearly always it does not wait, and then this is all there is to do.
        if self.since_us.load(Ordering::Relaxed) != 0 {
            let waited_us = now_us().saturating_sub(self.since_us.swap(0, Ordering::Relaxed));
            self.so_far_us.fetch_add(waited_us, Ordering::Relaxed);
        }
    }

    fn us(&self) -> u64 {
        let now_us = match self.since_us.load(Ordering::Relaxed) {
            0 => 0,
            since_us => now_us().saturating_sub(since_us),
        };
        self.so_far_us.load(Ordering::Relaxed) + now_us
    }

    fn restart(&self) {
        self.so_far_us.store(0, Ordering::Relaxed);
        self.since_us.store(0, Ordering::Relaxed);
    }
}

/// Who sets the pace of a body that is long enough for it to say something: times in microseconds since the origin.
#[derive(Debug, Default)]
struct Pace {
    began_us: AtomicU64,
    /// All the time in which there was a frame to take and it was not asked for.
    held_us: AtomicU64,
    /// When the frame before was given; 0 while it is for us to give the next.
    given_us: AtomicU64,
}

impl Pace {
    /// The next frame is asked for.
    fn asked(&self) {
        let now_us = now_us();
        let _began = self.began_us.compare_exchange(0, now_us, Ordering::Relaxed, Ordering::Relaxed);
        match self.given_us.swap(0, Ordering::Relaxed) {
            0 => {}
            given_us => {
                self.held_us.fetch_add(now_us.saturating_sub(given_us), Ordering::Relaxed);
            }
        }
    }

    fn given(&self) {
        self.given_us.store(now_us(), Ordering::Relaxed);
    }

    /// Seconds since it began, and seconds of those that we were kept waiting.
    fn seconds(&self) -> Option<(f64, f64)> {
        let (began_us, now_us) = (self.began_us.load(Ordering::Relaxed), now_us());
        let waiting_us = match self.given_us.load(Ordering::Relaxed) {
            0 => 0,
            given_us => now_us.saturating_sub(given_us),
        };
        let held_us = self.held_us.load(Ordering::Relaxed) + waiting_us;
        (began_us > 0).then(|| (now_us.saturating_sub(began_us) as f64 / 1e6, held_us as f64 / 1e6))
    }

    fn restart(&self) {
        self.began_us.store(0, Ordering::Relaxed);
        self.held_us.store(0, Ordering::Relaxed);
        self.given_us.store(0, Ordering::Relaxed);
    }
}

/// Never 0.
fn now_us() -> u64 {
    (clock::now_s() * 1e6) as u64 + 1
}

/// An endpoint of a network, or none yet.
#[derive(Debug, Default)]
struct Place(AtomicU64);

impl Place {
    fn set(&self, network: NetworkId, endpoint: usize) {
        self.0.store(((network.index() as u64 + 1) << 32) | endpoint as u64, Ordering::Relaxed);
    }

    fn on(&self, network: NetworkId) -> Option<usize> {
        let place = self.0.load(Ordering::Relaxed);
        (place >> 32 == network.index() as u64 + 1).then_some((place & u64::from(u32::MAX)) as usize)
    }
}

impl Upload {
    /// The endpoint of `network` that its request went to, if it went there.
    pub(crate) fn went(&self, network: NetworkId) -> Option<usize> {
        self.went.on(network)
    }

    pub(super) fn goes(&self, network: NetworkId, endpoint: usize) {
        self.went.set(network, endpoint);
    }

    /// The first request to `network` shall go to this endpoint, if it is well then: something waits for it there, or
    /// nobody else knows what it is about.
    pub(crate) fn prefer(&self, network: NetworkId, endpoint: usize) {
        self.preferred.set(network, endpoint);
    }

    /// What is preferred there, for whoever does something else there first.
    pub(crate) fn preferred(&self, network: NetworkId) -> Option<usize> {
        self.preferred.on(network)
    }

    /// What is preferred there. Only the first request is asked to: if it fails, the next had better go elsewhere.
    pub(crate) fn take_preferred(&self, network: NetworkId) -> Option<usize> {
        let preferred = self.preferred.on(network)?;
        self.preferred.0.store(0, Ordering::Relaxed);
        Some(preferred)
    }

    /// Bytes taken by the network so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When its last byte was taken, if it was.
    pub(crate) fn ended_s(&self) -> Option<f64> {
        match self.ended_us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(us as f64 / 1e6),
        }
    }

    /// Seconds for which the network has waited for it: a dispatch does not run meanwhile.
    pub(crate) fn waited_s(&self) -> f64 {
        self.waiting.us() as f64 / 1e6
    }

    /// Whether the network would take more than the client has sent.
    pub(super) fn awaits_client(&self) -> bool {
        self.client_awaited.load(Ordering::Relaxed)
    }

    /// How the body is being read, of `total_bytes`, over a link of this rate; `None` before it is, and for short bodies.
    pub(crate) fn reading(&self, total_bytes: u64, link_bytes_per_s: Option<f64>) -> Option<Reading> {
        let (elapsed_s, held_s) = self.pace.seconds()?;
        let taken_bytes = self.bytes();
        Some(Reading { taken_bytes, total_bytes, elapsed_s, held_s, link_bytes_per_s, in_one: true })
    }

    /// Begins anew: a job that is sent again is timed, and counted, by the body that goes out now.
    fn restart(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.ended_us.store(0, Ordering::Relaxed);
        self.client_awaited.store(false, Ordering::Relaxed);
        self.waiting.restart();
        self.pace.restart();
    }

    fn end(&self) {
        self.ended_us.store(now_us(), Ordering::Relaxed);
    }
}

/// A request's body that keeps its [`Upload`] up to date.
#[derive(Debug)]
pub(crate) struct Outgoing {
    inner: Body,
    /// Whether it comes as the client sends it, and not from a copy.
    from_client: bool,
    /// Whether it is so long that the pace at which it is taken says something.
    paced: bool,
    upload: Arc<Upload>,
}

impl Outgoing {
    /// Wraps the body of a new dispatch, unless there is nothing of it.
    pub(crate) fn wrap(inner: Body, upload: &Arc<Upload>) -> Body {
        upload.restart();
        if inner.is_end_stream() {
            upload.end();
            return inner;
        }
        let from_client = matches!(inner, Body::Incoming(_) | Body::Begun(_) | Body::Tee(_) | Body::Rejoined(_));
        let paced = inner.size_hint().lower() >= PACED_BYTES;
        Body::Outgoing(Box::new(Self { inner, from_client, paced, upload: Arc::clone(upload) }))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.paced {
            this.upload.pace.asked();
        }
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if this.paced && frame.is_ready() {
            this.upload.pace.given();
        }
        if frame.is_pending() {
            this.upload.waiting.begins()
        } else {
            this.upload.waiting.ends()
        }
        this.upload.client_awaited.store(frame.is_pending() && this.from_client, Ordering::Relaxed);
        let frame = std::task::ready!(frame);
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.upload.bytes.fetch_add(bytes, Ordering::Relaxed);
                if frame.is_trailers() || this.inner.is_end_stream() {
                    this.upload.end();
                }
            }
            None => this.upload.end(),
            Some(Err(_)) => {}
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_second_dispatch_begins_anew() {
        let upload = Arc::new(Upload::default());
        for _ in 0..2 {
            let body = Outgoing::wrap(Body::full(Bytes::from_static(b"twelve bytes")), &upload);
            assert_eq!((upload.bytes(), upload.ended_s()), (0, None));
            body.collect().await.expect("the body is whole");
            assert_eq!(upload.bytes(), 12);
            assert!(upload.ended_s().is_some());
        }
        assert!(Outgoing::wrap(Body::Empty, &upload).is_end_stream());
        assert_eq!(upload.bytes(), 0);
        assert!(upload.ended_s().is_some(), "nothing of it is left to send");
    }
}
