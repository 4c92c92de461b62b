//! Writes one object, block by block, under a name that nobody looks for, and gives it its own when it is whole.
//!
//! Dropped before that, it leaves nothing. Nothing touches the disk before [`Writer::keep_bytes`] are there, so that small
//! objects cost one visit to a blocking thread.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{BLOCK_BYTES, Disk, Growth, KEY_MOST, Key, META_MOST, Object, format};
use crate::spool::budget::Share;

/// Bytes that are written at a time: enough to make the visit to another thread cheap.
const FLUSH_BYTES: usize = 8 * BLOCK_BYTES;
/// What a file system gives out at the least.
const CLUSTER_BYTES: u64 = 4 << 10;

/// Why an object cannot be kept on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// It is longer than one may be.
    #[error("the object, its key or what is said of it is longer than the limits allow")]
    TooLong,
    /// Nothing more can be evicted.
    #[error("there is no room left, and nothing that could go")]
    NoRoom,
    /// The disk says no: it is full, say.
    #[error("the object cannot be written")]
    Io(#[from] io::Error),
}

/// Writes one object.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Arc<Disk>,
    key: Key,
    growth: Arc<Growth>,
    keep_bytes: usize,
    pending_bytes: usize,
    share: Option<Share>,
    file: Option<Part>,
}

/// A file that is not whole. Dropped, it is removed.
#[derive(Debug)]
struct Part {
    file: Arc<File>,
    at: PathBuf,
    name: PathBuf,
    is_whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            super::unlink(self.at.clone());
        }
    }
}

/// What `bytes` take on disk.
pub(super) fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(CLUSTER_BYTES) * CLUSTER_BYTES
}

impl Disk {
    /// Begins an object that will be called `key`. Up to `keep_bytes` of it are kept in memory, and if that is all, stay
    /// there even if the disk takes it.
    pub(crate) fn write(self: &Arc<Self>, key: &[u8], keep_bytes: usize) -> Result<Writer, WriteError> {
        if key.len() > KEY_MOST {
            return Err(WriteError::TooLong);
        }
        Ok(Writer {
            disk: Arc::clone(self),
            key: key.into(),
            growth: Growth::new(),
            keep_bytes,
            pending_bytes: 0,
            share: Some(self.budget.share()),
            file: None,
        })
    }
}

impl Writer {
    /// What it writes, to be read while it grows.
    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    /// Adds `data`. Readers have it before the disk has, and whatever comes of this. After an error the object cannot be kept:
    /// what comes then is for [`Growth::push`].
    pub(crate) async fn append(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.growth.push(data);
        if self.growth.len() > self.disk.limits.lock().object_bytes {
            return Err(WriteError::TooLong);
        }
        self.reserve(data.len() as u64)?;
        self.pending_bytes += data.len();
        let most = if self.file.is_some() { FLUSH_BYTES } else { FLUSH_BYTES.max(self.keep_bytes) };
        if self.pending_bytes > most {
            self.flush().await?;
        }
        Ok(())
    }

    /// Gives the whole object its name, with what its owner has to say of it. Readers of the growing one learn that it has
    /// ended whatever comes of this.
    pub(crate) async fn commit(mut self, meta: &[u8]) -> Result<Arc<Object>, WriteError> {
        self.growth.finish();
        if meta.len() > META_MOST {
            return Err(WriteError::TooLong);
        }
        let len = self.growth.len();
        self.reserve(on_disk(format::tail_bytes(len, self.key.len(), meta.len()) + CLUSTER_BYTES))?;
        let (growth, key, meta) = (Arc::clone(&self.growth), Arc::clone(&self.key), meta.to_owned());
        let (disk, part) = (Arc::clone(&self.disk), self.file.take());
        let part = blocking(move || {
            let mut part = part.map_or_else(|| begin(&disk), Ok)?;
            let mut sums = growth.sums();
            let (pieces, rest) = (growth.unwritten(), growth.rest());
            sums.extend(write_at(&part.file, sums.len(), &pieces)?);
            if !rest.is_empty() {
                sums.extend(write_at(&part.file, sums.len(), &[Bytes::from(rest)])?);
            }
            part.file.write_all_at(&format::encode(len, &sums, &key, &meta), len)?;
            fs::rename(&part.at, &part.name)?;
            part.is_whole = true;
            Ok(part)
        })
        .await?;
        let share = self.share.take().unwrap_or_else(|| self.disk.budget.share());
        Ok(self.disk.enter(Object { key: Arc::clone(&self.key), path: part.name.clone(), len, share }))
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        let (growth, disk, part) = (Arc::clone(&self.growth), Arc::clone(&self.disk), self.file.take());
        let part = blocking(move || {
            let part = part.map_or_else(|| begin(&disk), Ok)?;
            growth.is_in(&part.file);
            let sums = write_at(&part.file, growth.sums().len(), &growth.unwritten())?;
            growth.wrote(&sums);
            Ok(part)
        })
        .await?;
        self.file = Some(part);
        self.pending_bytes %= BLOCK_BYTES;
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> Result<(), WriteError> {
        let has_room = self.share.as_ref().is_some_and(|share| self.disk.reserve(share, bytes));
        if has_room { Ok(()) } else { Err(WriteError::NoRoom) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Of no effect on one that has ended.
        self.growth.break_off();
    }
}

fn begin(disk: &Disk) -> io::Result<Part> {
    let (at, name) = disk.next_path();
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&at)?;
    Ok(Part { file: Arc::new(file), at, name, is_whole: false })
}

/// Writes `pieces` as the blocks from `block` on; their checksums.
fn write_at(file: &File, block: usize, pieces: &[Bytes]) -> io::Result<Vec<u32>> {
    let mut offset = (block * BLOCK_BYTES) as u64;
    let mut sums = Vec::with_capacity(pieces.len());
    for piece in pieces {
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        sums.push(crc32fast::hash(piece));
    }
    Ok(sums)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
