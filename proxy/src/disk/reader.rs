//! Reads an object, or a range of it, block by block; no byte is handed out of a block that has not been checked.
//!
//! Up to [`AHEAD`] blocks are read at a time, and as many ahead of the reader: enough to hide the disk, and all that a
//! reader which hangs can hold.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::growth::{Growth, Next};
use super::{BLOCK_BYTES, Disk, Object, Why, format};

/// Blocks that are read at a time.
pub(super) const AHEAD: usize = 4;

/// Why an object cannot be read. It is no longer kept then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is not what was written.
    #[error("the object on disk is not what was written")]
    Damaged,
    /// The disk says no.
    #[error("the object cannot be read from disk")]
    Io(#[from] io::Error),
    /// It never became whole, or the process ends.
    #[error("the object broke off")]
    BrokeOff,
}

impl ReadError {
    /// Whether it would be the same next time: too many open files, say, is no fault of the object's.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Damaged => true,
            Self::BrokeOff => false,
            Self::Io(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
                    || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
            }
        }
    }
}

/// A kept object, opened: its first bytes are read and sound.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What its owner has said of it.
    pub(crate) meta: Box<[u8]>,
    /// The range that was asked for.
    pub(crate) reader: Reader,
}

/// Reads an object.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Source,
    position: u64,
    /// What was read before it was asked for.
    first: Bytes,
    ahead: Option<JoinHandle<Result<Bytes, ReadError>>>,
}

#[derive(Debug)]
enum Source {
    Kept { disk: Arc<Disk>, object: Arc<Object>, file: Arc<File>, sums: Arc<[u32]>, end: u64 },
    Growing { growth: Arc<Growth>, reader: u64 },
}

impl Disk {
    /// Opens `object` for `range` of its bytes, or all. What is damaged is removed.
    pub(crate) async fn read(
        self: &Arc<Self>,
        object: &Arc<Object>,
        range: Option<Range<u64>>,
    ) -> Result<Opened, ReadError> {
        let range = range.unwrap_or(0..object.len);
        let (position, end) = (range.start.min(object.len), range.end.min(object.len));
        // It is used now, which is all that is wanted of this.
        drop(self.find(&object.key));
        let wanted = Arc::clone(object);
        let opening = tokio::task::spawn_blocking(move || open(&wanted, position, end)).await;
        let opened = opening.unwrap_or(Err(ReadError::BrokeOff));
        let (tail, file, first) = opened.inspect_err(|error| self.is_unreadable(object, error))?;
        let (disk, object, file) = (Arc::clone(self), Arc::clone(object), Arc::new(file));
        let source = Source::Kept { disk, object, file, sums: tail.sums, end };
        Ok(Opened { meta: tail.meta, reader: Reader { source, position, first, ahead: None } })
    }

    /// What the owner has said of `object`. Blocks.
    pub(crate) fn meta(&self, object: &Arc<Object>) -> Result<Box<[u8]>, ReadError> {
        let read = tail_of(object);
        Ok(read.inspect_err(|error| self.is_unreadable(object, error))?.0.meta)
    }

    fn is_unreadable(&self, object: &Arc<Object>, error: &ReadError) {
        if !error.is_lasting() {
            return;
        }
        tracing::warn!(%error, path = %object.path.display(), "a cached object is dropped");
        self.remove(object, Why::Damaged);
    }
}

impl Reader {
    /// Reads what grows, from its first byte on; `None` if it is too late for that.
    pub(crate) fn growing(growth: Arc<Growth>) -> Option<Self> {
        let reader = growth.enter()?;
        Some(Self { source: Source::Growing { growth, reader }, position: 0, first: Bytes::new(), ahead: None })
    }

    /// Bytes that are still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.source {
            Source::Growing { growth, .. } => growth.is_whole().then(|| growth.len() - self.position),
            Source::Kept { end, .. } => Some(end - self.position),
        }
    }

    /// The next bytes; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(self.took(Ok(first))));
        }
        loop {
            if let Some(ahead) = &mut self.ahead {
                let read = ready!(Pin::new(ahead).poll(cx));
                self.ahead = None;
                // A thread that was not started, because the runtime ends, says nothing of the object.
                return Poll::Ready(Some(self.took(read.unwrap_or(Err(ReadError::BrokeOff)))));
            }
            match &self.source {
                Source::Kept { end, .. } if *end == self.position => return Poll::Ready(None),
                Source::Kept { .. } => self.read_ahead(),
                Source::Growing { growth, reader } => match ready!(growth.poll_next(*reader, self.position, cx)) {
                    Next::Data(data) => return Poll::Ready(Some(self.took(Ok(data)))),
                    Next::OnDisk(file, sums) => self.ahead = Some(ahead(file, sums, self.position..u64::MAX, u64::MAX)),
                    Next::End => return Poll::Ready(None),
                    Next::Broken => return Poll::Ready(Some(Err(ReadError::BrokeOff))),
                },
            }
        }
    }

    fn took(&mut self, read: Result<Bytes, ReadError>) -> Result<Bytes, ReadError> {
        let data = read.inspect_err(|error| {
            if let Source::Kept { disk, object, .. } = &self.source {
                disk.is_unreadable(object, error);
            }
        })?;
        self.position += data.len() as u64;
        self.read_ahead();
        Ok(data)
    }

    /// Asks for the next blocks of a kept object.
    fn read_ahead(&mut self) {
        let Source::Kept { file, sums, object, end, .. } = &self.source else { return };
        if self.position < *end {
            self.ahead = Some(ahead(Arc::clone(file), from(sums, self.position), self.position..*end, object.len));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Source::Growing { growth, reader } = &self.source {
            growth.leave(*reader);
        }
    }
}

fn ahead(file: Arc<File>, sums: Vec<u32>, range: Range<u64>, len: u64) -> JoinHandle<Result<Bytes, ReadError>> {
    tokio::task::spawn_blocking(move || checked(&file, &sums, range, len))
}

/// The checksums of the blocks from the one on in which `position` is, as many as are read at a time.
fn from(sums: &[u32], position: u64) -> Vec<u32> {
    sums.get(block_of(position)..).unwrap_or(&[]).iter().take(AHEAD).copied().collect()
}

fn block_of(position: u64) -> usize {
    (position / BLOCK_BYTES as u64) as usize
}

/// All that stands behind the blocks of `object`, and its file. Blocks.
fn tail_of(object: &Object) -> Result<(format::Tail, File), ReadError> {
    let file = File::open(&object.path)?;
    let tail = format::read(&file)?.filter(|tail| tail.key == object.key && tail.len == object.len);
    Ok((tail.ok_or(ReadError::Damaged)?, file))
}

fn open(object: &Object, position: u64, end: u64) -> Result<(format::Tail, File, Bytes), ReadError> {
    let (tail, file) = tail_of(object)?;
    let is_empty = position >= end;
    let first = if is_empty {
        Ok(Bytes::new())
    } else {
        checked(&file, &from(&tail.sums, position), position..end, object.len)
    };
    Ok((tail, file, first?))
}

/// Bytes of `range`, from its start on and as far as these checksums go, of which the first is that of the block that the
/// range starts in; `len` is all there are.
fn checked(file: &File, sums: &[u32], range: Range<u64>, len: u64) -> Result<Bytes, ReadError> {
    let start = (block_of(range.start) * BLOCK_BYTES) as u64;
    let bytes = (len - start).min((sums.len() * BLOCK_BYTES) as u64);
    let mut blocks = vec![0; bytes as usize];
    file.read_exact_at(&mut blocks, start)?;
    let sound = blocks.chunks(BLOCK_BYTES).zip(sums).all(|(block, sum)| crc32fast::hash(block) == *sum);
    if !sound || blocks.is_empty() {
        return Err(ReadError::Damaged);
    }
    let end = (range.end - start).min(bytes);
    Ok(Bytes::from(blocks).slice((range.start - start) as usize..end as usize))
}
