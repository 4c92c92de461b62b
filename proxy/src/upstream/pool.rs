//! Connections to one endpoint that are open and idle, by lane. One pool for each worker, so nothing is contended.
//!
//! An HTTP/1 connection is not given a task of its own: whoever waits for its answer also drives it. That saves two
//! wake-ups for each request, and dropping the answer is all it takes to close the connection behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::connect::Stream;
use super::send::Lane;
use super::turn::Turns;
use crate::body::Body;
use crate::clock;

/// Idle connections kept to one endpoint, for each worker and lane.
const IDLE_MOST: usize = 256;
/// An idle connection older than this is not used again: most servers close theirs after a minute or more.
const IDLE_FOR_S: f64 = 50.0;
/// Streams put on one HTTP/2 connection before another is opened.
pub(super) const STREAMS_MOST: u32 = 100;
/// HTTP/2 connections to one endpoint, for each worker and lane. When all are full, the far side's own bound on streams
/// decides who waits.
const H2_MOST: usize = 16;
/// Bytes of one answer over HTTP/2 that may be unread, and so what a job whose client does not read holds here at the most.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of all answers on one connection that may be unread. It must never be what bites, or a few clients that do not read
/// would hold up everybody else on the connection: so it is that of far more streams than one ever has. What is held is
/// bounded all the same, by the streams there are and the window of each.
const CONNECTION_WINDOW: u32 = 4096 * STREAM_WINDOW;

/// An HTTP/1 connection and the half that takes requests.
#[derive(Debug)]
pub(super) struct H1 {
    pub(super) sender: http1::SendRequest<Body>,
    connection: Box<http1::Connection<TokioIo<Stream>, Body>>,
    turns: Turns,
    closed: bool,
    idle_since_s: f64,
}

impl H1 {
    pub(super) async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        let turns = Turns::new();
        Ok(Self { sender, connection: Box::new(connection), turns, closed: false, idle_since_s: 0.0 })
    }

    /// Lets the connection read and write what it can, and polls what comes over it. After the connection has closed, only
    /// that.
    pub(super) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut what: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { connection, turns, closed, .. } = self;
        turns.poll(cx, |cx| {
            if !*closed && Pin::new(&mut **connection).poll(cx).is_ready() {
                *closed = true;
            }
            what(cx)
        })
    }

    /// Lets the connection read and write what it can, and no more.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        // Whoever calls this does not wait for anything.
        let _nothing: Poll<()> = self.poll_with(cx, |_| Poll::Pending);
    }

    /// Whether another request may be sent over it now.
    pub(super) fn is_idle(&self) -> bool {
        !self.closed && self.sender.is_ready()
    }
}

/// An HTTP/2 connection, driven by a task of its own since many share it.
#[derive(Clone, Debug)]
pub(super) struct H2 {
    pub(super) sender: http2::SendRequest<Body>,
    use_of_it: Arc<Use>,
    /// Which certificate of ours it showed.
    version: u64,
}

/// How a connection is asked whether its far side is still there while streams wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    pub(super) every: Duration,
    pub(super) within: Duration,
}

/// How much a connection is used.
#[derive(Debug, Default)]
struct Use {
    streams: AtomicU32,
    /// When its last stream ended, in microseconds since the origin; means nothing while there are any.
    idle_since_us: AtomicU64,
}

impl Use {
    fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        self.idle_since_us.store((clock::now_s() * 1e6) as u64, Ordering::Relaxed);
    }

    fn is_stale(&self, now_s: f64) -> bool {
        let idle_since_s = self.idle_since_us.load(Ordering::Relaxed) as f64 / 1e6;
        self.streams() == 0 && idle_since_s < now_s - IDLE_FOR_S
    }
}

impl H2 {
    /// Begins HTTP/2. The connection ends when its last sender and stream are gone, and with it what is returned.
    pub(super) async fn open(
        stream: Stream,
        pings: Option<Pings>,
        version: u64,
    ) -> hyper::Result<(Self, oneshot::Receiver<()>)> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        if let Some(Pings { every, within }) = pings {
            builder.timer(TokioTimer::new()).keep_alive_interval(every).keep_alive_timeout(within);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let (runs, ended) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let _runs = runs;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to a network ended");
            }
        });
        Ok((Self::new(sender, version), ended))
    }

    fn new(sender: http2::SendRequest<Body>, version: u64) -> Self {
        let use_of_it = Arc::new(Use::default());
        use_of_it.rest();
        Self { sender, use_of_it, version }
    }

    pub(super) fn stream(&self) -> StreamPlace {
        self.use_of_it.streams.fetch_add(1, Ordering::Relaxed);
        StreamPlace(Arc::clone(&self.use_of_it))
    }
}

/// One stream's place on its connection; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct StreamPlace(Arc<Use>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.rest();
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one worker has open to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Pool {
    places: [Place; Lane::COUNT],
}

#[derive(Debug, Default)]
struct Place {
    h1: Vec<H1>,
    h2: Vec<H2>,
    /// Held while one is opened: who comes meanwhile waits and shares it.
    opening_h2: Arc<tokio::sync::Mutex<()>>,
}

impl Pool {
    /// The connection that was used last: the others may then grow old and be closed.
    pub(super) fn take_h1(&mut self, lane: Lane) -> Option<H1> {
        let idle = &mut self.places[lane as usize].h1;
        let oldest_s = clock::now_s() - IDLE_FOR_S;
        if idle.last().is_some_and(|newest| newest.idle_since_s < oldest_s) {
            idle.clear();
        }
        idle.pop()
    }

    pub(super) fn put_h1(&mut self, lane: Lane, mut connection: H1) {
        let idle = &mut self.places[lane as usize].h1;
        if idle.len() < IDLE_MOST {
            connection.idle_since_s = clock::now_s();
            connection.turns.rest();
            idle.push(connection);
        }
    }

    /// A connection with room for one more stream; the oldest one, so that the others may grow stale. Those that showed
    /// another certificate of ours than `version` end with their streams: it may expire before they would.
    pub(super) fn h2(&mut self, lane: Lane, version: u64) -> Option<H2> {
        let open = &mut self.places[lane as usize].h2;
        let now_s = clock::now_s();
        open.retain(|c| c.version == version && !c.sender.is_closed() && !c.use_of_it.is_stale(now_s));
        let room = open.iter().find(|c| c.use_of_it.streams() < STREAMS_MOST);
        let full = || open.iter().min_by_key(|c| c.use_of_it.streams()).filter(|_| open.len() >= H2_MOST);
        room.or_else(full).cloned()
    }

    /// Held while a connection is opened.
    pub(super) fn opening_h2(&self, lane: Lane) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.places[lane as usize].opening_h2)
    }

    pub(super) fn add_h2(&mut self, lane: Lane, connection: H2) {
        let open = &mut self.places[lane as usize].h2;
        if open.len() < H2_MOST {
            open.push(connection);
        }
    }

    pub(super) fn forget_h2(&mut self, lane: Lane, connection: &H2) {
        self.places[lane as usize].h2.retain(|kept| !Arc::ptr_eq(&kept.use_of_it, &connection.use_of_it));
    }

    /// Gives no more streams to any connection there is; those on them stay.
    pub(super) fn forget_all_h2(&mut self, lane: Lane) {
        self.places[lane as usize].h2.clear();
    }
}

/// Polls an idle connection once, to learn whether its far side has closed it.
pub(super) async fn still_open(connection: &mut H1) -> bool {
    std::future::poll_fn(|cx| {
        connection.drive(cx);
        Poll::Ready(connection.is_idle())
    })
    .await
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioExecutor;

    use super::*;

    async fn connection(version: u64) -> (H2, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await;
        let (sender, connection) = handshake.expect("nothing is waited for");
        tokio::spawn(connection);
        (H2::new(sender, version), far)
    }

    #[tokio::test]
    async fn lanes_share_no_connection_and_an_old_certificate_takes_no_new_request() {
        let mut pool = Pool::default();
        let lanes = [Lane::Live, Lane::Shadow, Lane::Control];
        let mut open = Vec::new();
        for (place, lane) in lanes.into_iter().enumerate() {
            assert!(pool.h2(lane, 1).is_none(), "{lane:?} was given another lane's");
            let (connection, far) = connection(1).await;
            pool.add_h2(lane, connection.clone());
            open.push((connection, far));
            let given = pool.h2(lane, 1).expect("there is one now");
            assert!(Arc::ptr_eq(&given.use_of_it, &open[place].0.use_of_it));
        }
        for lane in lanes {
            assert!(pool.h2(lane, 2).is_none(), "{lane:?} was given one that showed an old certificate");
            assert!(pool.h2(lane, 1).is_none(), "it is let go, to end with its streams");
        }
    }
}
