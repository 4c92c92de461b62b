//! A copy while it grows, as plain state: what is in memory, what is queued for the disk, what is written.
//!
//! Nothing in here waits, locks or touches a file; `copy` does, by what this says.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::budget::Share;
use super::copy::Whole;
use super::disk::Disk;
use super::pieces::Pieces;
use super::{Store, Unspooled};

/// Bytes that are gathered before they are queued for the disk.
const BATCH_BYTES: usize = 128 << 10;

/// What there is of a copy so far.
#[derive(Debug)]
pub(super) struct Growing {
    declared: Option<u64>,
    /// What is in memory of it, on its way to the disk or there to stay.
    held: Option<Share>,
    length: u64,
    memory: Pieces,
    spill: Option<Spill>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Why nothing more is added, nor written.
    stopped: Option<Unspooled>,
}

/// What did not fit into memory, on its way to the disk.
#[derive(Debug)]
struct Spill {
    disk: Arc<Disk>,
    batch: Pieces,
    queue: VecDeque<Vec<Bytes>>,
    /// Bytes in `queue` and with the writer.
    queued_bytes: usize,
    written_bytes: u64,
    writing: bool,
}

/// Whether somebody has to start a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    NotNeeded,
    Needed,
}

impl Growing {
    /// Nothing yet of a body that says it is `declared` bytes long.
    pub(super) fn new(declared: Option<u64>, held: Share) -> Self {
        Self {
            declared,
            held: Some(held),
            length: 0,
            memory: Pieces::default(),
            spill: None,
            trailers: None,
            ended: false,
            stopped: None,
        }
    }

    pub(super) fn keep_trailers(&mut self, trailers: &HeaderMap) {
        self.trailers = Some(trailers.clone());
    }

    /// Appends `data`, to memory while it fits there and nothing has gone to disk. What fails changes nothing.
    pub(super) fn push(&mut self, data: &Bytes, store: &Store) -> Result<Writer, Unspooled> {
        let bytes = data.len() as u64;
        if self.length + bytes > store.bounds.load().body_bytes {
            return Err(Unspooled::TooLong);
        }
        if !self.held.as_ref().is_some_and(|held| held.grow(bytes)) {
            return Err(Unspooled::NoRoom);
        }
        let appended = self.append(data, store);
        match (&appended, &self.held) {
            (Ok(_), _) => self.length += bytes,
            (Err(_), Some(held)) => held.shrink(bytes),
            (Err(_), None) => {}
        }
        appended
    }

    fn append(&mut self, data: &Bytes, store: &Store) -> Result<Writer, Unspooled> {
        if self.spill.is_none() && self.memory.len() + data.len() <= store.bounds.load().memory_bytes {
            self.memory.push(data);
            return Ok(Writer::NotNeeded);
        }
        let spill = self.spill.get_or_insert_with(|| Spill::new(Disk::new(&store.disk, store.open)));
        let bytes = spill.batch.len() + data.len();
        if bytes < BATCH_BYTES {
            spill.batch.push(data);
            return Ok(Writer::NotNeeded);
        }
        spill.make_room(bytes, store)?;
        spill.batch.push(data);
        Ok(spill.enqueue())
    }

    /// It will not be whole: what there is of it is all there will be.
    pub(super) fn stop(&mut self, why: Unspooled) {
        self.stopped.get_or_insert(why);
    }

    /// Takes back a batch that could not be written, and stops.
    pub(super) fn not_written(&mut self, batch: Vec<Bytes>, why: Unspooled) {
        if let Some(spill) = &mut self.spill {
            spill.queue.push_front(batch);
            spill.writing = false;
        }
        self.stop(why);
    }

    /// The body has ended; what is not on disk yet goes there.
    pub(super) fn finish(&mut self, store: &Store) -> Result<Writer, Unspooled> {
        if self.declared.is_some_and(|declared| declared != self.length) {
            return Err(Unspooled::BrokeOff);
        }
        self.ended = true;
        match &mut self.spill {
            Some(spill) if spill.batch.len() > 0 => {
                spill.make_room(spill.batch.len(), store)?;
                Ok(spill.enqueue())
            }
            _ => Ok(Writer::NotNeeded),
        }
    }

    /// The next batch for a writer that has just written `written` bytes.
    pub(super) fn next_batch(&mut self, written: usize) -> Option<(Arc<Disk>, u64, Vec<Bytes>)> {
        let spill = self.spill.as_mut()?;
        spill.queued_bytes -= written;
        if let Some(held) = &self.held {
            held.shrink(written as u64);
        }
        spill.written_bytes += written as u64;
        let batch = if self.stopped.is_none() { spill.queue.pop_front() } else { None };
        spill.writing = batch.is_some();
        Some((Arc::clone(&spill.disk), spill.written_bytes, batch?))
    }

    /// Whether nothing is missing any more.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.spill.as_ref().is_none_or(|spill| !spill.writing && spill.queue.is_empty())
    }

    /// Whether it was stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopped.is_some()
    }

    /// Why it is not going to be whole, once nobody writes to it any more.
    pub(super) fn is_stopped(&self) -> Option<Unspooled> {
        self.stopped.filter(|_| self.spill.as_ref().is_none_or(|spill| !spill.writing))
    }

    /// Turns what there is into what readers read.
    pub(super) fn take_whole(&mut self) -> Whole {
        let mut spill = self.spill.take();
        let unwritten = spill.as_mut().map(Spill::take_unwritten).unwrap_or_default();
        Whole {
            memory: self.memory.take(),
            _held: self.held.take(),
            disk_bytes: spill.as_ref().map_or(0, |spill| spill.written_bytes),
            disk: spill.map(|spill| spill.disk),
            unwritten,
            trailers: self.trailers.take(),
            length: self.length,
        }
    }
}

impl Spill {
    fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            batch: Pieces::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            written_bytes: 0,
            writing: false,
        }
    }

    /// Makes sure that a batch of so many bytes may be queued, and will fit.
    fn make_room(&self, bytes: usize, store: &Store) -> Result<(), Unspooled> {
        if self.queued_bytes + bytes > store.queue_bytes {
            return Err(Unspooled::Slow);
        }
        if self.disk.reserve(bytes as u64) { Ok(()) } else { Err(Unspooled::NoRoom) }
    }

    fn enqueue(&mut self) -> Writer {
        self.queued_bytes += self.batch.len();
        self.queue.push_back(self.batch.take());
        let needed = !std::mem::replace(&mut self.writing, true);
        if needed { Writer::Needed } else { Writer::NotNeeded }
    }

    /// What has not reached the disk, in order.
    fn take_unwritten(&mut self) -> Vec<Bytes> {
        let queued = self.queue.drain(..).flatten();
        queued.chain(self.batch.take()).collect()
    }
}
