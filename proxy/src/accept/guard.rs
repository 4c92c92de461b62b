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
//! - A 101 makes it transparent; until then what the client sends in advance is held back like any other next request.
//! - One timer a connection, moved only when it fires or when a head comes in pieces: a request that comes whole costs one
//!   look at the clock.
//!
//! A whole head in one read is judged in place, in hyper's own buffer; nothing is copied. It does not count connections,
//! does not parse for anyone, and leaves a body's pace to hyper.

mod closing;
mod hyper_io;
mod watch;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use config::value::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::scan::{Bounds, Fault, Scanner, Step};
use crate::metrics::Metrics;
use crate::problem::Problem;

use closing::Closing;
pub(crate) use watch::Watch;

/// What an HTTP/2 client that knows sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1, or nothing yet.
    Http1,
    /// HTTP/2: the guard is transparent from here on.
    Http2,
}

/// A client's connection, guarded.
#[derive(Debug)]
pub(crate) struct Guard<S> {
    io: S,
    mode: Mode,
    scanner: Scanner,
    /// What was read and not passed: a head in pieces, or what came before its time.
    held: BytesMut,
    /// Bytes at the front of `held` that are sound and may be passed.
    cleared: usize,
    /// Whether a request was passed whose answer is not flushed.
    is_busy: bool,
    /// Since when the connection is idle, or since the first byte of the head that is held.
    since: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Whether the alarm knows whom to wake.
    is_armed: bool,
    saw_eof: bool,
    bounds: OwnBounds,
    watch: Arc<Watch>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Mode {
    Guarding,
    /// HTTP/2 or upgraded: bytes pass unread.
    Transparent,
    Closing(Closing),
}

/// The configured bounds that are the guard's own.
#[derive(Clone, Copy, Debug)]
struct OwnBounds {
    head_timeout: Duration,
    keep_alive: Duration,
    held_bytes: usize,
    drain_bytes: usize,
}

/// What became of bytes at the front.
enum Admitted {
    Passed(usize),
    Skipped(usize),
    Waiting,
    Refused(Fault),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// Guards `io`, which was just accepted. Must be called on a runtime with a timer.
    pub(crate) fn new(io: S, limits: &Limits, watch: Arc<Watch>, metrics: Arc<Metrics>) -> Self {
        let now = Instant::now();
        Self {
            io,
            mode: Mode::Guarding,
            scanner: Scanner::new(Bounds { head_bytes: limits.head_bytes, head_fields: limits.head_fields }),
            held: BytesMut::new(),
            cleared: 0,
            is_busy: false,
            since: now,
            alarm: Box::pin(tokio::time::sleep_until(now + limits.keep_alive)),
            is_armed: false,
            saw_eof: false,
            bounds: OwnBounds {
                head_timeout: limits.head_timeout,
                keep_alive: limits.keep_alive,
                held_bytes: limits.head_bytes,
                drain_bytes: limits.drain_bytes,
            },
            watch,
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
            let compared = self.held.len().min(PREFACE.len());
            if self.held[..compared] != PREFACE[..compared] {
                return Poll::Ready(Ok(Spoken::Http1));
            }
            if compared == PREFACE.len() {
                self.mode = Mode::Transparent;
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
            self.hold(buf.filled());
        }
    }

    fn poll_read_guarding(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        if self.cleared == 0 && !self.held.is_empty() {
            self.judge_held()?;
        }
        loop {
            if let Mode::Closing(closing) = &mut self.mode {
                return closing.poll(&mut self.io, self.alarm.as_mut(), cx);
            }
            if self.cleared > 0 {
                self.pass_held(buf);
                return Poll::Ready(Ok(()));
            }
            if self.is_full() {
                // `poll_flush` wakes us when the answer is out.
                return Poll::Pending;
            }
            if Pin::new(&mut self.io).poll_read(cx, buf)?.is_pending() {
                if self.is_busy || self.scanner.is_in_body() {
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
            let passed = self.judge_fresh(fresh)?;
            buf.set_filled(start + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Judges bytes that were read into the reader's buffer and holds those that may not stay there. Says how many may.
    fn judge_fresh(&mut self, fresh: &[u8]) -> io::Result<usize> {
        if !self.held.is_empty() {
            self.hold(fresh);
            return self.judge_held().map(|()| 0);
        }
        match self.admit(fresh) {
            Admitted::Passed(passed) => {
                self.hold(&fresh[passed..]);
                Ok(passed)
            }
            Admitted::Skipped(skipped) => {
                self.hold(&fresh[skipped..]);
                self.judge_held().map(|()| 0)
            }
            Admitted::Waiting => {
                self.hold(fresh);
                Ok(0)
            }
            Admitted::Refused(fault) => self.refuse(fault).map(|()| 0),
        }
    }

    /// Judges what is held, as far as it goes now.
    fn judge_held(&mut self) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        let judged = loop {
            match self.admit(&held) {
                Admitted::Skipped(skipped) => held.advance(skipped),
                Admitted::Passed(passed) => {
                    self.cleared = passed;
                    break Ok(());
                }
                Admitted::Waiting => break Ok(()),
                Admitted::Refused(fault) => break self.refuse(fault),
            }
        };
        self.held = held;
        judged
    }

    /// Lets through what is sound and due: one head, or the rest of one body, or both; never two messages.
    fn admit(&mut self, bytes: &[u8]) -> Admitted {
        if self.is_busy && !self.scanner.is_in_body() {
            return Admitted::Waiting;
        }
        let mut passed = 0;
        loop {
            let is_head = !self.scanner.is_in_body();
            match self.scanner.feed(&bytes[passed..]) {
                Step::Pass(bytes) => passed += bytes,
                Step::Skip(skipped) => return Admitted::Skipped(skipped),
                Step::Bad(fault) if passed == 0 => return Admitted::Refused(fault),
                Step::NeedMore if passed == 0 => return Admitted::Waiting,
                Step::Bad(_) | Step::NeedMore => return Admitted::Passed(passed),
            }
            if is_head {
                self.is_busy = true;
                self.watch.began();
            }
            if self.scanner.is_between_messages() {
                if !self.is_busy {
                    // The answer was over before the body: the connection is idle from now.
                    self.since = Instant::now();
                }
                return Admitted::Passed(passed);
            }
        }
    }

    /// Keeps bytes for later.
    fn hold(&mut self, bytes: &[u8]) {
        if self.held.is_empty() && !bytes.is_empty() && !self.is_busy {
            self.since = Instant::now();
        }
        self.held.extend_from_slice(bytes);
    }

    /// Passes cleared bytes, as many as there is room for.
    fn pass_held(&mut self, buf: &mut ReadBuf<'_>) {
        let passed = self.cleared.min(buf.remaining());
        buf.put_slice(&self.held[..passed]);
        self.held.advance(passed);
        self.cleared -= passed;
        if self.held.is_empty() {
            // Few connections ever hold anything: give the memory back.
            self.held = BytesMut::new();
        }
    }

    /// Whether as much is held as may be before its time.
    fn is_full(&self) -> bool {
        self.is_busy && !self.scanner.is_in_body() && self.held.len() >= self.bounds.held_bytes
    }

    /// Answers a head that is refused; breaks a body off.
    fn refuse(&mut self, fault: Fault) -> io::Result<()> {
        if self.scanner.is_in_body() {
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
        if self.is_busy && matches!(self.mode, Mode::Guarding) && self.watch.is_upgraded() {
            self.mode = Mode::Transparent;
        }
    }

    /// Waits for the end of an idle connection's, or a head's, time; then the connection is closing.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.held.is_empty();
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

    /// The answer is over and flushed: the next head is due.
    fn rest(&mut self, cx: &mut Context<'_>) {
        self.is_busy = false;
        self.watch.rested();
        self.since = Instant::now();
        if !self.held.is_empty() {
            cx.waker().wake_by_ref();
        } else if !self.is_armed || self.alarm.is_elapsed() {
            // hyper does not read again until something comes, so the alarm must know whom to wake.
            if self.poll_deadline(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.notice_upgrade();
        match &mut me.mode {
            Mode::Guarding => me.poll_read_guarding(cx, buf),
            Mode::Closing(closing) => closing.poll(&mut me.io, me.alarm.as_mut(), cx),
            Mode::Transparent if me.held.is_empty() => Pin::new(&mut me.io).poll_read(cx, buf),
            Mode::Transparent => {
                me.cleared = me.held.len();
                me.pass_held(buf);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
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
        ready!(Pin::new(&mut me.io).poll_flush(cx))?;
        if me.is_busy && me.watch.is_answered() {
            me.rest(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.notice_upgrade();
        if matches!(me.mode, Mode::Guarding) {
            let is_more_to_come = me.scanner.is_in_body() || !me.held.is_empty();
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
