//! One fetched object, from its head to its last reader. It can be read while it still grows.
//!
//! Its bytes are copied out of the connection's buffers into pieces of one size: a frame of a few bytes would otherwise
//! keep a whole read buffer alive, and the memory bound would be a wish. The object holds its share of that bound as long
//! as anybody holds the object.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;

use super::outlet::Stream;
use super::storable::Terms;
use crate::metrics::Metrics;
use crate::spool::budget::Share;

/// Bytes of every piece but the last.
const PIECE_BYTES: usize = 64 << 10;
/// What an object costs beside its bytes, its headers and its name: pieces' handles, maps, allocators.
const BOOKKEEPING_BYTES: usize = 1 << 10;

/// Why an object was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The service asked for it.
    Serve,
    /// A job may need it.
    Warm,
}

/// One object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) headers: HeaderMap,
    pub(super) terms: Terms,
    asked_at: Instant,
    purpose: Purpose,
    most_bytes: u64,
    overhead_bytes: usize,
    share: Share,
    metrics: Arc<Metrics>,
    growth: Mutex<Growth>,
}

#[derive(Debug)]
struct Growth {
    pieces: Vec<Bytes>,
    tail: Vec<u8>,
    len: usize,
    progress: Progress,
    read: bool,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
enum Progress {
    Growing,
    Whole,
    Broken,
    /// It does not fit. What is yet to come is for the one reader there may be.
    Overflowed(Option<Box<Stream>>),
}

/// There is no room for more of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What comes next for a reader.
#[derive(Debug)]
pub(super) enum Next {
    Data(Bytes),
    End,
    /// The fetch failed.
    Broken,
    /// The object stops here, and its answer goes on.
    Rest(Box<Stream>),
}

/// What an object is made of.
pub(super) struct Beginning {
    pub(super) headers: HeaderMap,
    pub(super) terms: Terms,
    pub(super) purpose: Purpose,
    /// When it was asked for: its age counts from then.
    pub(super) asked_at: Instant,
    /// Bytes of an object at the most.
    pub(super) most_bytes: u64,
    /// Bytes of its name.
    pub(super) name_bytes: usize,
}

impl Object {
    /// An object without its bytes, but, if its length is known, with room for them.
    pub(super) fn begin(begin: Beginning, share: Share, metrics: &Arc<Metrics>) -> Result<Self, NoRoom> {
        let Beginning { headers, terms, purpose, asked_at, most_bytes, name_bytes } = begin;
        let header_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        let overhead_bytes = BOOKKEEPING_BYTES + header_bytes + name_bytes;
        let known_bytes = terms.length.unwrap_or(0);
        if known_bytes > most_bytes || !share.grow(overhead_bytes as u64 + known_bytes) {
            return Err(NoRoom);
        }
        let growth = Growth {
            pieces: Vec::new(),
            tail: Vec::new(),
            len: 0,
            progress: Progress::Growing,
            read: false,
            waiting: Vec::new(),
        };
        let metrics = Arc::clone(metrics);
        let growth = Mutex::new(growth);
        Ok(Self { headers, terms, asked_at, purpose, most_bytes, overhead_bytes, share, metrics, growth })
    }

    /// Appends `data`, all of it or, if there is no room, nothing.
    pub(super) fn append(&self, data: &Bytes) -> Result<(), NoRoom> {
        let len_after = self.len() + data.len() as u64;
        let most = self.terms.length.unwrap_or(self.most_bytes);
        let granted = self.terms.length.is_some() || self.share.grow(data.len() as u64);
        if len_after > most || !granted {
            return Err(NoRoom);
        }
        if self.purpose == Purpose::Warm {
            self.metrics.data.warmed_bytes(data.len() as u64);
        }
        self.progress(|growth| growth.append(data, self.terms.length));
        Ok(())
    }

    /// The object is whole.
    pub(super) fn finish(&self) {
        let read = self.progress(|growth| {
            growth.close_piece();
            growth.progress = Progress::Whole;
            growth.read
        });
        if self.purpose == Purpose::Warm {
            self.metrics.data.warmed();
            if read {
                self.metrics.data.useful(self.len());
            }
        }
    }

    /// There will not be more of it; whoever reads it learns that it is cut.
    pub(super) fn break_off(&self) {
        self.progress(|growth| {
            if matches!(growth.progress, Progress::Growing) {
                growth.progress = Progress::Broken;
            }
        });
    }

    /// It does not fit; the reader goes on with `rest`.
    pub(super) fn overflow(&self, rest: Box<Stream>) {
        self.progress(|growth| growth.progress = Progress::Overflowed(Some(rest)));
    }

    /// Whether anybody has asked for it.
    pub(super) fn was_read(&self) -> bool {
        self.growth.lock().read
    }

    /// Notes that somebody asked for it.
    pub(super) fn mark_read(&self) {
        let mut growth = self.growth.lock();
        let first = !std::mem::replace(&mut growth.read, true);
        let whole = matches!(growth.progress, Progress::Whole);
        drop(growth);
        if first && whole && self.purpose == Purpose::Warm {
            self.metrics.data.useful(self.len());
        }
    }

    /// What comes after the first `position` bytes.
    pub(super) fn poll_next(&self, position: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut growth = self.growth.lock();
        if let Some(data) = growth.data_at(position) {
            return Poll::Ready(Next::Data(data));
        }
        match &mut growth.progress {
            Progress::Whole => Poll::Ready(Next::End),
            Progress::Broken => Poll::Ready(Next::Broken),
            Progress::Overflowed(rest) => Poll::Ready(rest.take().map_or(Next::Broken, Next::Rest)),
            Progress::Growing => {
                if !growth.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    growth.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.growth.lock().progress, Progress::Whole)
    }

    /// Bytes that are here.
    pub(super) fn len(&self) -> u64 {
        self.growth.lock().len as u64
    }

    /// Its whole length, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.terms.length.or_else(|| self.is_whole().then(|| self.len()))
    }

    /// Bytes of memory it takes.
    pub(super) fn cost_bytes(&self) -> usize {
        self.growth.lock().len + self.overhead_bytes
    }

    /// How old it is.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.terms.age + now.saturating_duration_since(self.asked_at)
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.terms.lifetime
    }

    fn progress<T>(&self, step: impl FnOnce(&mut Growth) -> T) -> T {
        let mut growth = self.growth.lock();
        let done = step(&mut growth);
        let waiting = std::mem::take(&mut growth.waiting);
        drop(growth);
        waiting.into_iter().for_each(Waker::wake);
        done
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let growth = self.growth.get_mut();
        if self.purpose == Purpose::Warm && !growth.read {
            self.metrics.data.wasted(growth.len as u64);
        }
    }
}

impl Growth {
    fn append(&mut self, mut data: &[u8], length: Option<u64>) {
        while !data.is_empty() {
            if self.tail.is_empty() {
                // Only as large as what is to come, so that the memory taken is the object's length.
                let left = length.map_or(data.len(), |length| (length as usize).saturating_sub(self.len));
                self.tail.reserve_exact(left.min(PIECE_BYTES));
            }
            let (now, later) = data.split_at(data.len().min(PIECE_BYTES - self.tail.len()));
            self.tail.extend_from_slice(now);
            self.len += now.len();
            data = later;
            if self.tail.len() == PIECE_BYTES {
                self.close_piece();
            }
        }
    }

    fn close_piece(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).into_boxed_slice().into());
        }
    }

    /// What is there from `position` on, up to the end of its piece.
    fn data_at(&self, position: u64) -> Option<Bytes> {
        let (piece, offset) = (position as usize / PIECE_BYTES, position as usize % PIECE_BYTES);
        let rest = match self.pieces.get(piece) {
            Some(piece) => piece.slice(offset.min(piece.len())..),
            None => Bytes::copy_from_slice(self.tail.get(offset..)?),
        };
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
pub(super) mod tests;
