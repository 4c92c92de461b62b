//! One bounded copy of a request body, for whoever may need it again.
//!
//! The lead must not notice that it is being copied. So a frame passes straight through and only a clone of it goes to
//! the copy: to memory up to a bound, and from there to an anonymous file, written by a blocking thread behind a bounded
//! queue. Whatever goes wrong with the copy (too long, no room, a disk that does not keep up) ends the copy and nothing
//! else: the job can then no longer be switched.
//!
//! A copy can only be read once it is whole. That keeps readers simple, and no shadow may start before the body is
//! complete and valid anyway. What it deliberately does not do: keep a copy of a part, or read it back while it grows.

pub(crate) mod budget;
mod copy;
mod disk;
mod growing;
mod pieces;
mod reader;
mod rejoined;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::BodyError;

use budget::Budget;
use copy::{Copy, Part};
pub(crate) use reader::Reader;
pub(crate) use rejoined::Rejoined;

/// Bytes of one body that may wait for the disk. A writer that lags this far behind is given up, so it must outlast the
/// ordinary delays of a busy machine: at 100 MB/s it lasts 40 ms.
const QUEUE_BYTES: usize = 4 << 20;
/// Bytes in memory over all bodies: those kept there, at `spool.memory` each, and those that wait for the disk. Without
/// this bound a thousand uploads at once would take 4 GiB of queues. A `spool.memory` beyond it is the bound.
const MEMORY_BYTES: u64 = 256 << 20;

/// Where bodies are kept: bounds over all of them.
#[derive(Debug)]
pub(crate) struct Store {
    bounds: ArcSwap<config::value::Spool>,
    disk: Arc<Budget>,
    memory: Arc<Budget>,
    queue_bytes: usize,
    open: disk::Open,
}

impl Store {
    /// An empty store with these bounds.
    pub(crate) fn new(bounds: &config::value::Spool) -> Arc<Self> {
        Arc::new(Self {
            bounds: ArcSwap::from_pointee(bounds.clone()),
            disk: Budget::new(bounds.disk_bytes),
            memory: Budget::new(MEMORY_BYTES.max(bounds.memory_bytes as u64)),
            queue_bytes: QUEUE_BYTES,
            open: disk::anonymous,
        })
    }

    /// Goes by these bounds from now on. Copies that there are stay as they are.
    pub(crate) fn turn(&self, bounds: &config::value::Spool) {
        self.disk.hold(bounds.disk_bytes);
        self.memory.hold(MEMORY_BYTES.max(bounds.memory_bytes as u64));
        self.bounds.store(Arc::new(bounds.clone()));
    }

    /// Begins a copy of `body`: what is sent on, and the copy to come.
    pub(crate) fn tee<B: http_body::Body>(self: &Arc<Self>, body: B) -> (Tee<B>, Spool) {
        self.copying(body, Part::Dropped)
    }

    /// The same for a body that is read for the sake of the copy only: should that fail, the part of it that there is is all
    /// there is of the body's beginning, and is kept.
    pub(crate) fn hold<B: http_body::Body>(self: &Arc<Self>, body: B) -> (Tee<B>, Spool) {
        self.copying(body, Part::Kept)
    }

    fn copying<B: http_body::Body>(self: &Arc<Self>, body: B, part: Part) -> (Tee<B>, Spool) {
        if body.is_end_stream() {
            return (Tee { inner: body, copying: Copying(None), uncopied: None }, Spool::empty());
        }
        let copy = Copy::new(Arc::clone(self), body.size_hint().exact(), part);
        let copying = if body.size_hint().lower() > self.bounds.load().body_bytes {
            copy.fail(Unspooled::TooLong);
            None
        } else {
            Some(Arc::clone(&copy))
        };
        (Tee { inner: body, copying: Copying(copying), uncopied: None }, Spool(Some(Arc::new(Wanted(copy)))))
    }

    /// Bytes of all bodies on disk now.
    #[cfg(test)]
    pub(crate) fn disk_used_bytes(&self) -> u64 {
        self.disk.used_bytes()
    }
}

/// A body that leaves a copy as it passes. It never waits for the copy.
#[derive(Debug)]
pub(crate) struct Tee<B> {
    inner: B,
    copying: Copying,
    /// The first piece that the copy does not have.
    uncopied: Option<Bytes>,
}

/// The copy while its end is open. Dropped then, the body broke off.
#[derive(Debug)]
struct Copying(Option<Arc<Copy>>);

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(copy) = self.0.take() {
            copy.fail(Unspooled::BrokeOff);
        }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = hyper::Error> + Unpin> Tee<B> {
    fn copy(&mut self, frame: &Frame<Bytes>) {
        let Some(copy) = &self.copying.0 else { return };
        if let Some(trailers) = frame.trailers_ref() {
            copy.keep_trailers(trailers);
        } else if let Some(data) = frame.data_ref()
            && !copy.push(data)
        {
            self.uncopied = Some(data.clone());
            self.copying.0 = None;
        }
    }

    /// The first piece that the copy does not have, once there is one.
    pub(crate) fn uncopied(&mut self) -> Option<Bytes> {
        self.uncopied.take()
    }

    fn finish(&mut self) {
        if let Some(copy) = self.copying.0.take() {
            copy.finish();
        }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = hyper::Error> + Unpin> http_body::Body for Tee<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.copy(frame);
                // A reader that knows the length stops here and never sees the `None` behind it.
                if frame.is_trailers() || this.inner.is_end_stream() {
                    this.finish();
                }
            }
            Some(Err(_)) => this.copying = Copying(None),
            None => this.finish(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)))
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.is_end_stream();
        // h2 learns of the end between two polls, and whoever sees it here does not poll again.
        if ended && let Some(copy) = &self.copying.0 {
            copy.finish();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The copy.
#[derive(Clone, Debug)]
pub(crate) struct Spool(Option<Arc<Wanted>>);

/// Somebody may still want the copy. Dropped, nobody does, and it is not made any further.
#[derive(Debug)]
struct Wanted(Arc<Copy>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Why there is no whole copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unspooled {
    /// Longer than a body may be.
    #[error("the body is longer than `spool.body`")]
    TooLong,
    /// The budget of the disk or of memory is spent, or the disk is full or broken.
    #[error("the spool has no room")]
    NoRoom,
    /// The disk could not keep up with the body.
    #[error("the disk did not keep up with the body")]
    Slow,
    /// The body itself broke off.
    #[error("the body broke off")]
    BrokeOff,
}

impl Spool {
    /// The copy of a request without a body.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// Waits until the copy is whole, or is sure never to be. Says its length.
    pub(crate) async fn complete(&self) -> Result<u64, Unspooled> {
        match &self.0 {
            None => Ok(0),
            Some(wanted) => wanted.0.complete().await,
        }
    }

    /// `Some` if that is settled already.
    pub(crate) fn settled(&self) -> Option<Result<u64, Unspooled>> {
        match &self.0 {
            None => Some(Ok(0)),
            Some(wanted) => wanted.0.settled(),
        }
    }

    /// Reads what there is of a copy that was to be held and failed. Waits until no more of it is written.
    pub(crate) async fn part(&self) -> Option<Reader> {
        let copy = &self.0.as_ref()?.0;
        copy.complete().await.err()?;
        copy.part().map(Reader::new)
    }

    /// Reads a whole copy from its start. As many readers as wanted, each at its own pace.
    ///
    /// Of a copy that is not whole, the reader gives an error and no byte.
    pub(crate) fn reader(&self) -> Reader {
        match &self.0 {
            None => Reader::empty(),
            Some(wanted) => wanted.0.whole().map_or_else(Reader::not_whole, Reader::new),
        }
    }
}

#[cfg(test)]
mod tests;
