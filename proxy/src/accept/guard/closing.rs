//! How a connection ends: the last answer, then the half-close, then a while of reading what still comes.
//!
//! Closing a socket with unread bytes makes the kernel send a reset, and a reset may overtake the answer and destroy it. So
//! we half-close, and read on until the client closes, too much has come, or the time is up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The longest a client may take to read the last answer and close.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A connection's end.
#[derive(Debug)]
pub(super) struct Closing {
    answer: Bytes,
    /// Bytes that may still be read; none if no bytes are expected.
    drain_bytes: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Answer,
    HalfClose,
    Drain,
    Over,
}

impl Closing {
    /// Ends with `answer`, if it is not empty, and reads up to `drain_bytes` after it.
    pub(super) fn new(answer: Bytes, drain_bytes: usize) -> Self {
        Self { answer, drain_bytes, stage: Stage::Answer }
    }

    /// Goes on with it; `alarm` is set to [`LINGER`] from its beginning.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        alarm: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let ended = match self.poll_stages(io, cx) {
            Poll::Pending if self.stage != Stage::Over => {
                ready!(alarm.poll(cx));
                Ok(())
            }
            Poll::Pending => Ok(()),
            Poll::Ready(ended) => ended,
        };
        self.stage = Stage::Over;
        Poll::Ready(ended)
    }

    fn poll_stages<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.stage {
                Stage::Answer if self.answer.is_empty() => {
                    ready!(Pin::new(&mut *io).poll_flush(cx))?;
                    self.stage = Stage::HalfClose;
                }
                Stage::Answer => match ready!(Pin::new(&mut *io).poll_write(cx, &self.answer))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.answer.advance(written),
                },
                Stage::HalfClose => {
                    ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
                    self.stage = Stage::Drain;
                }
                Stage::Drain if self.drain_bytes == 0 => self.stage = Stage::Over,
                Stage::Drain => {
                    let mut space = [0; 4096];
                    let mut buf = ReadBuf::new(&mut space);
                    ready!(Pin::new(&mut *io).poll_read(cx, &mut buf))?;
                    let read = buf.filled().len();
                    self.drain_bytes = if read == 0 { 0 } else { self.drain_bytes.saturating_sub(read) };
                }
                Stage::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Sets `alarm` for the closing that begins now.
pub(super) fn set_alarm(alarm: Pin<&mut Sleep>) {
    alarm.reset(Instant::now() + LINGER);
}
