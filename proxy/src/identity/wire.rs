//! A connection between sidecars that can be cut from outside.
//!
//! Who is believed may change while a connection is open, and then it must end, whatever runs over it: streams of HTTP/2,
//! an upgraded connection, or nothing. So the cut is made below all of them, where the bytes pass: from then on every read
//! and write fails, and whoever waits for one is woken. Everything above ends as it does when a connection breaks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use certs::Reason;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::live::Entry;

/// What a connection and whoever may cut it both hold.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    cut: AtomicBool,
    heard: AtomicBool,
    hearing: Notify,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Why reading failed.
    failed: Option<Reason>,
}

impl Wire {
    /// Ends the connection, now.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        let (reader, writer) = {
            let mut waiting = self.waiting.lock();
            (waiting.reader.take(), waiting.writer.take())
        };
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    /// Waits until the other side has sent something.
    ///
    /// With TLS 1.3 a client is done before the server has looked at its certificate: only what the server sends then says
    /// that it was believed.
    pub(crate) async fn heard(&self) {
        let hearing = self.hearing.notified();
        if !self.heard.load(Ordering::Acquire) {
            hearing.await;
        }
    }

    /// Why the other side broke off, if it did.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.waiting.lock().failed
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the other sidecar is no longer believed"));
        }
        Ok(())
    }

    fn saw_read(&self, read: &io::Result<()>, bytes: usize) {
        match read {
            Ok(()) if bytes > 0 && !self.heard.swap(true, Ordering::AcqRel) => self.hearing.notify_waiters(),
            Ok(()) => {}
            Err(error) => self.waiting.lock().failed = Some(Reason::of_handshake(error)),
        }
    }

    /// Has `cx` woken by a cut, or says that it has come meanwhile.
    fn wait<T>(&self, cx: &Context<'_>, whose: fn(&mut Waiting) -> &mut Option<Waker>) -> Poll<io::Result<T>> {
        {
            let mut waiting = self.waiting.lock();
            let waker = whose(&mut waiting);
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        match self.check() {
            Ok(()) => Poll::Pending,
            Err(cut) => Poll::Ready(Err(cut)),
        }
    }
}

/// A connection's bytes, for as long as the other side is believed.
#[derive(Debug)]
pub(crate) struct Linked<S> {
    io: S,
    entry: Entry,
}

impl<S> Linked<S> {
    pub(super) fn new(io: S, entry: Entry) -> Self {
        Self { io, entry }
    }

    /// What is under it.
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    /// What it is cut by, and what knows whether anything came over it.
    pub(crate) fn wire(&self) -> &Arc<Wire> {
        self.entry.wire()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, entry } = self.get_mut();
        let wire = entry.wire();
        wire.check()?;
        let before = buf.filled().len();
        match Pin::new(io).poll_read(cx, buf) {
            Poll::Ready(read) => {
                wire.saw_read(&read, buf.filled().len() - before);
                Poll::Ready(read)
            }
            Poll::Pending => wire.wait(cx, |waiting| &mut waiting.reader),
        }
    }
}

impl<S: AsyncWrite + Unpin> Linked<S> {
    fn poll_out<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Self { io, entry } = self.get_mut();
        let wire = entry.wire();
        wire.check()?;
        match act(Pin::new(io), cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => wire.wait(cx, |waiting| &mut waiting.writer),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Linked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx, |io, cx| io.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn linked() -> (Linked<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(8);
        (Linked::new(near, Entry::alone()), far)
    }

    #[tokio::test]
    async fn a_cut_wakes_who_reads_and_who_writes_and_nothing_passes_after_it() {
        for writes in [false, true] {
            let (mut near, _far) = linked();
            let wire = Arc::clone(near.wire());
            let waiting = tokio::spawn(async move {
                if writes { near.write_all(&[0; 64]).await.map(|()| near) } else { near.read_u8().await.map(|_| near) }
            });
            // It has begun to wait once its waker is there.
            while wire.waiting.lock().reader.is_none() && wire.waiting.lock().writer.is_none() {
                tokio::task::yield_now().await;
            }
            wire.cut();
            let ended = waiting.await.expect("no panic").expect_err("it was cut");
            assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
        }
        let (mut near, mut far) = linked();
        far.write_all(b"late").await.expect("there is room");
        near.wire().cut();
        assert!(near.read_u8().await.is_err(), "not even what has come already");
        assert!(near.write_all(b"x").await.is_err());
    }

    #[tokio::test]
    async fn the_first_byte_is_heard_before_and_after_it_is_waited_for() {
        let (mut near, mut far) = linked();
        let wire = Arc::clone(near.wire());
        let hears = tokio::spawn(async move { wire.heard().await });
        far.write_all(b"a").await.expect("there is room");
        assert_eq!(near.read_u8().await.expect("a byte"), b'a');
        hears.await.expect("it was heard");
        near.wire().heard().await;
    }
}
