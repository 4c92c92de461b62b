//! A cap on the bytes a second of a body, which can be lifted while it flows.
//!
//! The bodies of one dispatch, its request and its answer, share one cap. It is kept as the moment at which everything
//! that was granted so far will be paid for (GCRA): a body takes its turn when it has a piece to send, and sleeps until
//! that piece's moment. Turns are in the order they were taken, so neither body can starve the other, and a timer runs
//! only while a body must wait.
//!
//! It also holds what a shadow is allowed to run by, its permit and its budget's ear, and what it runs on, if that is a
//! worker of ours: lifting the cap lets go of the first two and lifts the worker's caps with its own, for what has been
//! adopted is a job like any other.
//!
//! Pieces are at most a tenth of a second's worth, so that a large frame does not pass in one go.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use crate::lane::Seat;
use crate::upstream::ShadowPermit;

/// How much may pass at once, as a time: this long's worth.
const BURST: Duration = Duration::from_millis(50);

/// Told of bytes as they pass.
type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;

/// The cap, shared between the bodies it holds and whoever may lift it.
pub(crate) struct Throttle {
    bytes_per_s: f64,
    lifted: AtomicBool,
    passed: AtomicU64,
    on_bytes: Option<OnBytes>,
    /// Whether `on_bytes` is told: until the cap is lifted. That there never was one does not count.
    observing: AtomicBool,
    permit: Mutex<Option<ShadowPermit>>,
    seat: OnceLock<Arc<Seat>>,
    turns: Mutex<Turns>,
}

/// Who waits, and until when all that was granted is paid for.
#[derive(Debug)]
struct Turns {
    paid_at: Instant,
    waiting: Vec<(u64, Waker)>,
    next_body: u64,
}

impl Throttle {
    /// At most `bytes_per_s`, with a burst of a tenth of a second.
    #[cfg(test)]
    pub(crate) fn new(bytes_per_s: f64) -> Arc<Self> {
        Self::with(bytes_per_s, None)
    }

    /// The same, and tells `on_bytes` how many bytes pass each time some do: for a budget over many dispatches.
    pub(crate) fn observed(bytes_per_s: f64, on_bytes: OnBytes) -> Arc<Self> {
        Self::with(bytes_per_s, Some(on_bytes))
    }

    fn with(bytes_per_s: f64, on_bytes: Option<OnBytes>) -> Arc<Self> {
        let turns = Turns { paid_at: Instant::now(), waiting: Vec::new(), next_body: 0 };
        Arc::new(Self {
            // Below a byte a second nothing would ever pass, and NaN is no rate.
            bytes_per_s: bytes_per_s.max(1.0),
            lifted: AtomicBool::new(bytes_per_s == f64::INFINITY),
            passed: AtomicU64::new(0),
            observing: AtomicBool::new(on_bytes.is_some()),
            on_bytes,
            permit: Mutex::new(None),
            seat: OnceLock::new(),
            turns: Mutex::new(turns),
        })
    }

    /// Holds the permit of the shadow whose bodies these are, until it is over or adopted.
    pub(crate) fn hold(&self, permit: ShadowPermit) {
        *self.permit.lock() = Some(permit);
    }

    /// Holds the worker that the shadow runs on.
    pub(crate) fn hold_seat(&self, seat: Arc<Seat>) {
        // A shadow has one worker, and this is told of it once.
        self.seat.get_or_init(|| seat);
    }

    /// The worker that the shadow runs on, if it has one.
    pub(crate) fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.get()
    }

    /// The shadow is over: its permit is free, whoever still has this throttle.
    pub(crate) fn free_permit(&self) {
        let freed = self.permit.lock().take();
        drop(freed);
    }

    /// No cap from now on, and no budget to answer to; whoever waits is woken.
    pub(crate) fn lift(&self) {
        if let Some(seat) = self.seat.get() {
            seat.lift();
        }
        self.observing.store(false, Ordering::Release);
        self.free_permit();
        let waiting = {
            let mut turns = self.turns.lock();
            self.lifted.store(true, Ordering::Release);
            std::mem::take(&mut turns.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Bytes that have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    fn is_lifted(&self) -> bool {
        self.lifted.load(Ordering::Acquire)
    }

    /// The most bytes that pass at once.
    fn piece_bytes(&self) -> usize {
        ((self.bytes_per_s * BURST.as_secs_f64()) as usize).max(1)
    }

    /// Grants `bytes` and says when they may pass.
    fn turn(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let mut turns = self.turns.lock();
        turns.paid_at = turns.paid_at.max(now) + self.price(bytes);
        turns.paid_at.checked_sub(BURST).unwrap_or(now).max(now)
    }

    /// Takes back a grant that was not used.
    fn give_back(&self, bytes: usize) {
        let mut turns = self.turns.lock();
        if let Some(paid_at) = turns.paid_at.checked_sub(self.price(bytes)) {
            turns.paid_at = paid_at;
        }
    }

    fn price(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_s)
    }

    /// Has `body` woken when the cap is lifted; `false` if it is.
    fn wait(&self, body: u64, cx: &Context<'_>) -> bool {
        let mut turns = self.turns.lock();
        if self.is_lifted() {
            return false;
        }
        match turns.waiting.iter_mut().find(|(id, _)| *id == body) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => turns.waiting.push((body, cx.waker().clone())),
        }
        true
    }

    fn pass(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.passed.fetch_add(bytes, Ordering::Relaxed);
        if let Some(on_bytes) = &self.on_bytes
            && self.observing.load(Ordering::Acquire)
        {
            on_bytes(bytes);
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("bytes_per_s", &self.bytes_per_s)
            .field("lifted", &self.is_lifted())
            .field("passed", &self.passed())
            .finish_non_exhaustive()
    }
}

/// A body under a throttle.
#[derive(Debug)]
pub(crate) struct Throttled<B> {
    inner: B,
    turn: Turn,
}

/// What a body has in hand, and its turn to send it.
#[derive(Debug)]
struct Turn {
    throttle: Arc<Throttle>,
    body: u64,
    held: Bytes,
    /// Bytes of `held` that were granted.
    granted: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Throttled<B> {
    /// Puts `body` under `throttle`.
    pub(crate) fn new(body: B, throttle: Arc<Throttle>) -> Self {
        let id = {
            let mut turns = throttle.turns.lock();
            turns.next_body += 1;
            turns.next_body
        };
        Self { inner: body, turn: Turn { throttle, body: id, held: Bytes::new(), granted: 0, timer: None } }
    }

    /// What is under it.
    pub(crate) fn inner(&self) -> &B {
        &self.inner
    }
}

impl Turn {
    /// Waits for the next piece of what is held.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.granted == 0 && !self.throttle.is_lifted() {
            let bytes = self.held.len().min(self.throttle.piece_bytes());
            let at = self.throttle.turn(bytes);
            self.granted = bytes;
            if at > Instant::now() {
                self.sleep_until(at);
            } else {
                return Poll::Ready(self.take_piece());
            }
        }
        if self.throttle.wait(self.body, cx)
            && let Some(timer) = &mut self.timer
        {
            ready!(timer.as_mut().poll(cx));
        }
        Poll::Ready(self.take_piece())
    }

    fn take_piece(&mut self) -> Bytes {
        let granted = std::mem::take(&mut self.granted);
        let bytes = if self.throttle.is_lifted() { self.held.len() } else { granted };
        self.throttle.pass(bytes);
        self.held.split_to(bytes)
    }

    fn sleep_until(&mut self, at: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.throttle.turns.lock().waiting.retain(|(id, _)| *id != self.body);
        if self.granted > 0 {
            self.throttle.give_back(self.granted);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Throttled<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        while this.turn.held.is_empty() {
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => this.turn.held = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        this.turn.poll_piece(cx).map(|piece| Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.turn.held.is_empty() && self.inner.is_end_stream()
    }

    /// The body's own, with what is held here.
    fn size_hint(&self) -> SizeHint {
        let held = self.turn.held.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
