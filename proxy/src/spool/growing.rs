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
        }
    }

    pub(super) fn keep_trailers(&mut self, trailers: &HeaderMap) {
        self.trailers = Some(trailers.clone());
    }

    /// Appends `data`, to memory while it fits there and nothing has gone to disk.
    pub(super) fn push(&mut self, data: &Bytes, store: &Store) -> Result<Writer, Unspooled> {
        self.length += data.len() as u64;
        if self.length > store.bounds.load().body_bytes {
            return Err(Unspooled::TooLong);
        }
        if !self.held.as_ref().is_some_and(|held| held.grow(data.len() as u64)) {
            return Err(Unspooled::NoRoom);
        }
        if self.spill.is_none() && self.memory.len() + data.len() <= store.bounds.load().memory_bytes {
            self.memory.push(data);
            return Ok(Writer::NotNeeded);
        }
        let spill = self.spill.get_or_insert_with(|| Spill::new(Disk::new(&store.disk, store.open)));
        spill.batch.push(data);
        if spill.batch.len() < BATCH_BYTES { Ok(Writer::NotNeeded) } else { spill.enqueue(store) }
    }

    /// The body has ended; what is not on disk yet goes there.
    pub(super) fn finish(&mut self, store: &Store) -> Result<Writer, Unspooled> {
        if self.declared.is_some_and(|declared| declared != self.length) {
            return Err(Unspooled::BrokeOff);
        }
        self.ended = true;
        match &mut self.spill {
            Some(spill) if spill.batch.len() > 0 => spill.enqueue(store),
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
        let batch = spill.queue.pop_front();
        spill.writing = batch.is_some();
        Some((Arc::clone(&spill.disk), spill.written_bytes, batch?))
    }

    /// Whether nothing is missing any more.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.spill.as_ref().is_none_or(|spill| !spill.writing && spill.queue.is_empty())
    }

    /// Turns what there is into what readers read.
    pub(super) fn take_whole(&mut self) -> Whole {
        let spill = self.spill.take();
        Whole {
            memory: self.memory.take(),
            _held: self.held.take(),
            disk_bytes: spill.as_ref().map_or(0, |spill| spill.written_bytes),
            disk: spill.map(|spill| spill.disk),
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

    fn enqueue(&mut self, store: &Store) -> Result<Writer, Unspooled> {
        let bytes = self.batch.len();
        if self.queued_bytes + bytes > store.queue_bytes {
            return Err(Unspooled::Slow);
        }
        if !self.disk.reserve(bytes as u64) {
            return Err(Unspooled::NoRoom);
        }
        self.queue.push_back(self.batch.take());
        self.queued_bytes += bytes;
        let needed = !std::mem::replace(&mut self.writing, true);
        Ok(if needed { Writer::Needed } else { Writer::NotNeeded })
    }
}
