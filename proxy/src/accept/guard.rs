//! Stands between a client socket and hyper, and lets only whole, strict request heads through.
//!
//! hyper hides some of what a stranger sends (bare line feeds, doubled framing fields, what it repairs), answers malformed
//! heads without a word, and gives a slow head no answer at all. So the guard reads first:
//!
//! - hyper sees a head only when it is whole and sound, and one request at a time: what comes after a request is held back
//!   (bounded) until its answer is flushed. So whatever is wrong with a head is found while hyper is idle, and the guard
//!   answers it alone: one problem document, a half-close, a bounded drain.
//! - While an answer is under way hyper polls for the end of the stream, to notice a client that went away. The guard reads
//!   on to pass that on at once, whatever else the client has sent.
//! - While hyper does not read, since the service takes no more of the body, the guard looks at the socket.
//! - A 101 makes it transparent; until then what the client sends in advance is held back like any other next request.
//! - One timer a connection, moved only when it fires or when a head comes in pieces: a request that comes whole costs one
//!   look at the clock.
//!
//! A whole head in one read is judged in place, in hyper's own buffer; nothing is copied. It does not count connections,
//! does not parse for anyone, and leaves a body's pace to hyper.

mod closing;
mod frames;
mod gate;
mod hyper_io;
mod leaving;
mod watch;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use config::value::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::scan::{Bounds, Fault};
use crate::metrics::Metrics;
use crate::problem::Problem;

use closing::Closing;
use frames::Frames;
use gate::Gate;
pub(crate) use leaving::Wire;
use leaving::{LOOK_EVERY, Look};
pub(crate) use watch::Watch;

/// What an HTTP/2 client that knows sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1, or nothing yet.
    Http1,
    /// HTTP/2: the guard lets everything pass from here on.
    Http2,
}

/// A client's connection, guarded.
#[derive(Debug)]
pub(crate) struct Guard<S> {
    io: S,
    mode: Mode,
    gate: Gate,
    /// Since when the connection is idle, or since the first byte of the head that is held.
    since: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Whether the alarm knows whom to wake.
    is_armed: bool,
    saw_eof: bool,
    /// Whether the reader waits for bytes, and so is woken when the client leaves.
    is_read: bool,
    /// When the socket is looked at next because it is not.
    look: Option<Pin<Box<Sleep>>>,
    bounds: OwnBounds,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Mode {
    Guarding,
    /// HTTP/2: bytes pass as they are, and only the time that heads take is watched.
    Framed(Frames),
    /// Upgraded: bytes pass unread.
    Transparent,
    Closing(Closing),
}

/// The configured bounds that are the guard's own.
#[derive(Clone, Copy, Debug)]
struct OwnBounds {
    head_timeout: Duration,
    keep_alive: Duration,
    drain_bytes: usize,
}

impl<S: Wire> Guard<S> {
    /// Guards `io`, which was just accepted. Must be called on a runtime with a timer.
    pub(crate) fn new(io: S, limits: &Limits, watch: Arc<Watch>, metrics: Arc<Metrics>) -> Self {
        let now = Instant::now();
        Self {
            io,
            mode: Mode::Guarding,
            gate: Gate::new(Bounds { head_bytes: limits.head_bytes, head_fields: limits.head_fields }, watch),
            since: now,
            alarm: Box::pin(tokio::time::sleep_until(now + limits.keep_alive)),
            is_armed: false,
            saw_eof: false,
            is_read: false,
            look: None,
            bounds: OwnBounds {
                head_timeout: limits.head_timeout,
                keep_alive: limits.keep_alive,
                drain_bytes: limits.drain_bytes,
            },
            metrics,
        }
    }

    /// Finds out what the client speaks, by as many of its first bytes as that takes; none are lost.
    ///
    /// # Errors
    /// If the connection failed or was idle too long; or a preface came too slowly, and that was answered.
    pub(crate) async fn sniff(&mut self) -> io::Result<Spoken> {
        poll_fn(|cx| self.poll_sniff(cx)).await
    }

    fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Spoken>> {
        loop {
            if let Mode::Closing(closing) = &mut self.mode {
                ready!(closing.poll(&mut self.io, self.alarm.as_mut(), cx))?;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let held = self.gate.held();
            let compared = held.len().min(PREFACE.len());
            if held[..compared] != PREFACE[..compared] {
                return Poll::Ready(Ok(Spoken::Http1));
            }
            if compared == PREFACE.len() {
                self.gate.open();
                self.mode = Mode::Framed(Frames::new());
                return Poll::Ready(Ok(Spoken::Http2));
            }
            let mut space = [0; 2048];
            let mut buf = ReadBuf::new(&mut space);
            if Pin::new(&mut self.io).poll_read(cx, &mut buf)?.is_pending() {
                ready!(self.poll_deadline(cx));
                continue;
            }
            if buf.filled().is_empty() {
                self.saw_eof = true;
                return Poll::Ready(Ok(Spoken::Http1));
            }
            if held.is_empty() {
                self.since = Instant::now();
            }
            self.gate.hold(buf.filled());
        }
    }

    fn poll_read_guarding(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        self.is_read = false;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Err(fault) = self.gate.judge_held() {
            self.refuse(fault)?;
        }
        loop {
            if let Mode::Closing(closing) = &mut self.mode {
                return closing.poll(&mut self.io, self.alarm.as_mut(), cx);
            }
            if self.gate.pass_held(buf) {
                return Poll::Ready(Ok(()));
            }
            if self.gate.is_full() {
                // `poll_flush` wakes us when the answer is out.
                return Poll::Pending;
            }
            if Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
                if !self.gate.is_idle() {
                    self.is_read = true;
                    return Poll::Pending;
                }
                ready!(self.poll_deadline(cx));
                continue;
            }
            let fresh = &buf.filled()[start..];
            if fresh.is_empty() {
                self.saw_eof = true;
                return Poll::Ready(Ok(()));
            }
            let passed = self.judge(fresh)?;
            buf.set_filled(start + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Passes all that comes. A head that does not end in time ends the connection: nothing else can come on it meanwhile.
    fn poll_read_framed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Mode::Framed(frames) = &mut self.mode else { return Poll::Pending };
        let start = buf.filled().len();
        if !self.gate.pass_held(buf) && Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
            if !frames.is_in_head() {
                return Poll::Pending;
            }
            let deadline = self.since + self.bounds.head_timeout;
            if self.alarm.deadline() != deadline {
                self.alarm.as_mut().reset(deadline);
            }
            ready!(self.alarm.as_mut().poll(cx));
            self.metrics.problem(Problem::HeadTimeout);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let heads = frames.heads();
        frames.feed(&buf.filled()[start..]);
        if frames.heads() > heads {
            self.since = Instant::now();
        }
        Poll::Ready(Ok(()))
    }

    /// Judges bytes that were read into the reader's buffer; what may not stay there is held. Says how many may.
    fn judge(&mut self, fresh: &[u8]) -> io::Result<usize> {
        let held_nothing = self.gate.held().is_empty();
        let passed = match self.gate.judge(fresh) {
            Ok(passed) => passed,
            Err(fault) => return self.refuse(fault).map(|()| 0),
        };
        if self.gate.is_idle() && (held_nothing || passed > 0) {
            // A head began, or a body ended whose answer was over before it: neither is what happens to most requests.
            self.since = Instant::now();
        }
        Ok(passed)
    }

    /// Answers a head that is refused; breaks a body off.
    fn refuse(&mut self, fault: Fault) -> io::Result<()> {
        if self.gate.is_in_body() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault.detail));
        }
        self.metrics.problem(fault.problem);
        self.close_with(fault.problem.raw(fault.detail), self.bounds.drain_bytes);
        Ok(())
    }

    fn close_with(&mut self, answer: Bytes, drain_bytes: usize) {
        closing::set_alarm(self.alarm.as_mut());
        self.mode = Mode::Closing(Closing::new(answer, if self.saw_eof { 0 } else { drain_bytes }));
    }

    fn notice_upgrade(&mut self) {
        if matches!(self.mode, Mode::Guarding) && self.gate.is_upgraded() {
            self.gate.open();
            self.mode = Mode::Transparent;
        }
    }

    /// Waits for the end of an idle connection's, or a head's, time; then the connection is closing.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.gate.held().is_empty();
        let deadline = self.since + if is_idle { self.bounds.keep_alive } else { self.bounds.head_timeout };
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
        self.is_armed = true;
        ready!(self.alarm.as_mut().poll(cx));
        while Instant::now() < deadline {
            self.alarm.as_mut().reset(deadline);
            ready!(self.alarm.as_mut().poll(cx));
        }
        if is_idle {
            self.close_with(Bytes::new(), 0);
        } else {
            let problem = Problem::HeadTimeout;
            self.metrics.problem(problem);
            let answer = problem.raw("the head did not come whole within `limits.head_timeout`");
            self.close_with(answer, self.bounds.drain_bytes);
        }
        Poll::Ready(())
    }

    /// Looks, while nobody reads, whether the client has left.
    fn notice_leaving(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let held_back = self.gate.is_in_body() || self.gate.is_full() || self.look.is_some();
        if self.is_read || self.gate.is_idle() || !held_back {
            return Ok(());
        }
        let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK_EVERY)));
        while look.as_mut().poll(cx).is_ready() {
            let left = match self.io.look() {
                Look::There | Look::Ended(None) => false,
                Look::Ended(Some(unread)) => !self.gate.ends_with(&unread),
                Look::Gone => true,
            };
            if left {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            look.as_mut().reset(Instant::now() + LOOK_EVERY);
        }
        Ok(())
    }

    /// The answer is over and flushed: the next head is due.
    fn rest(&mut self, cx: &mut Context<'_>) {
        self.gate.rest();
        self.look = None;
        self.since = Instant::now();
        if !self.gate.held().is_empty() {
            cx.waker().wake_by_ref();
        } else if !self.is_armed || self.alarm.is_elapsed() {
            // hyper does not read again until something comes, so the alarm must know whom to wake.
            if self.poll_deadline(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl<S: Wire> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.notice_upgrade();
        match &mut me.mode {
            Mode::Guarding => me.poll_read_guarding(cx, buf),
            Mode::Closing(closing) => closing.poll(&mut me.io, me.alarm.as_mut(), cx),
            Mode::Framed(_) => me.poll_read_framed(cx, buf),
            Mode::Transparent if me.gate.pass_held(buf) => Poll::Ready(Ok(())),
            Mode::Transparent => Pin::new(&mut me.io).poll_read(cx, buf),
        }
    }
}

impl<S: Wire> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if matches!(me.mode, Mode::Guarding) {
            me.notice_leaving(cx)?;
        }
        ready!(Pin::new(&mut me.io).poll_flush(cx))?;
        if me.gate.is_answered() {
            me.rest(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.notice_upgrade();
        if matches!(me.mode, Mode::Guarding) {
            let is_more_to_come = me.gate.is_in_body() || !me.gate.held().is_empty();
            me.close_with(Bytes::new(), if is_more_to_come { me.bounds.drain_bytes } else { 0 });
        }
        match &mut me.mode {
            Mode::Closing(closing) => closing.poll(&mut me.io, me.alarm.as_mut(), cx),
            _ => Pin::new(&mut me.io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
