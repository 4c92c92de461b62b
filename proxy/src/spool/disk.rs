//! The part of a copy that is on disk: an unlinked file, and its share of the budget over all such files.
//!
//! The share lives exactly as long as the file, so that the budget is what the disk really holds. Everything in here
//! that touches the file blocks and is only called from blocking threads; closing is too, as it frees the file's blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::budget::{Budget, Share};

/// Makes a file in a directory.
pub(super) type Open = fn(&Path) -> io::Result<File>;

/// A file without a name: it is gone when it is closed, and when the process dies.
pub(super) fn anonymous(directory: &Path) -> io::Result<File> {
    tempfile::tempfile_in(directory)
}

/// One copy's file, made when the first byte is written to it.
#[derive(Debug)]
pub(super) struct Disk {
    open: Open,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    /// Closed before the share behind it is given back.
    file: OnceLock<File>,
    share: Share,
}

impl Disk {
    pub(super) fn new(budget: &Arc<Budget>, open: Open) -> Arc<Self> {
        Arc::new(Self { open, held: Some(Held { file: OnceLock::new(), share: budget.share() }) })
    }

    /// Takes `bytes` more of the budget, if it has them.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        self.held.as_ref().is_some_and(|held| held.share.grow(bytes))
    }

    /// Writes `pieces` at `offset`. Blocks.
    pub(super) fn write(&self, directory: &Path, mut offset: u64, pieces: &[Bytes]) -> io::Result<()> {
        let file = self.file_in(directory)?;
        for piece in pieces {
            file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads `len` bytes at `offset`. Blocks.
    pub(super) fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = self.held.as_ref().and_then(|held| held.file.get()).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    /// Only one thread writes to one file, so it is made once.
    fn file_in(&self, directory: &Path) -> io::Result<&File> {
        let held = self.held.as_ref().ok_or(io::ErrorKind::NotFound)?;
        match held.file.get() {
            Some(file) => Ok(file),
            None => {
                let file = (self.open)(directory)?;
                Ok(held.file.get_or_init(|| file))
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if held.file.get().is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(held)));
        }
    }
}
