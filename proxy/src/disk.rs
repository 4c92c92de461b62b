//! Objects on disk: a directory of files under a hard bound, that outlives the process and is believed only as far as it
//! was checked.
//!
//! A caller writes an object under a key, with some bytes of its own about it (`meta`), and finds it again by that key. Each
//! object is a file of blocks, with a checksum for each behind them ([`mod@format`]), so that a range is checked by reading its
//! own blocks. It is written under another name and renamed when it is whole, so a name stands for a whole object or, after
//! a power cut, for one that fails its checks; nothing is ever synced. What fails a check is removed and never handed out.
//!
//! The bound is on what the disk holds: an object that is dropped while it is read counts until its last reader is done,
//! and what is being written counts from its first byte. What was used longest ago goes first. A disk that is full, or
//! broken, fails a write or a read, and nothing else.
//!
//! File calls block, so all of them are made on blocking threads, but for [`Disk::open`], which is the caller's to place.
//! One process has a directory at a time: a lock file says which.

mod format;
mod growth;
mod index;
mod reader;
mod recovery;
mod writer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::spool::budget::{Budget, Share};
use index::Index;

pub(crate) use growth::Growth;
pub(crate) use reader::{ReadError, Reader};
pub(crate) use writer::{WriteError, Writer};

/// Bytes of every block but the last: what is checked, and read, at once.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of a key at the most.
pub(crate) const KEY_MOST: usize = 64 << 10;
/// Bytes of what a caller says about an object at the most.
pub(crate) const META_MOST: usize = 1 << 20;

/// What an object is found by.
pub(crate) type Key = Arc<[u8]>;

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Bytes of one object.
    pub(crate) object_bytes: u64,
    /// Objects.
    pub(crate) objects: usize,
}

/// Why an object is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Others needed the room.
    Evicted,
    /// Its owner took it away, or wrote it anew.
    Removed,
    /// It failed a check, or could not be read.
    Damaged,
}

/// Told what happens to objects, so that the owner can count and keep its own books. Called without locks, from any thread.
pub(crate) trait Witness: std::fmt::Debug + Send + Sync {
    /// An object is there now: its bytes.
    fn kept(&self, bytes: u64);
    /// An object that was there is no longer.
    fn dropped(&self, object: &Object, why: Why);
    /// Something that is no sound object, or no whole one, was found in the directory and removed.
    fn discarded(&self);
}

/// A directory of objects.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// Its lock goes with it.
    _lock: File,
    budget: Arc<Budget>,
    limits: Mutex<Limits>,
    index: Mutex<Index>,
    /// The next file's number.
    next: AtomicU64,
    witness: Arc<dyn Witness>,
}

/// One object, whole, under its name.
#[derive(Debug)]
pub(crate) struct Object {
    key: Key,
    path: PathBuf,
    /// Bytes of what the owner wrote.
    len: u64,
    /// What it takes on disk, for as long as anybody has it.
    share: Share,
}

impl Object {
    /// What it is found by.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What it takes on disk.
    pub(crate) fn cost_bytes(&self) -> u64 {
        self.share.bytes()
    }
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be made or entered.
    #[error("cannot use the directory {}; make it writable for this process", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process uses the directory {}; give each sidecar one of its own", directory.display())]
    InUse {
        /// Which.
        directory: PathBuf,
    },
}

impl Disk {
    /// Takes up the objects in `directory`, which is made if it is not there. Blocks: it reads a few bytes of each.
    pub(crate) fn open(directory: &Path, limits: Limits, witness: Arc<dyn Witness>) -> Result<Arc<Self>, OpenError> {
        let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(directory.join("lock"));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { directory: directory.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let disk = Self {
            directory: directory.to_owned(),
            _lock: lock,
            budget: Budget::new(limits.bytes),
            limits: Mutex::new(limits),
            index: Mutex::default(),
            next: AtomicU64::new(0),
            witness,
        };
        recovery::take_up(&disk).map_err(failed)?;
        Ok(Arc::new(disk))
    }

    /// The object called `key`, which counts as used now.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.index.lock().find(key)
    }

    /// All objects, what was used longest ago first.
    pub(crate) fn objects(&self) -> Vec<Arc<Object>> {
        self.index.lock().objects()
    }

    /// Takes this very object away. It can still be read by those who have it open.
    pub(crate) fn remove(&self, object: &Arc<Object>, why: Why) {
        if self.index.lock().remove(object) {
            self.forget(object, why);
        }
    }

    /// Goes by these limits from now on; what is too much goes at once.
    pub(crate) fn hold(&self, limits: Limits) {
        *self.limits.lock() = limits;
        self.budget.hold(limits.bytes);
        while self.used_bytes() > limits.bytes && self.evict_one() {}
        self.evict_to_fit_count();
    }

    /// Bytes that files take.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// How many objects there are.
    pub(crate) fn count(&self) -> usize {
        self.index.lock().len()
    }

    /// Puts a whole object into the books, in the place of what had its key.
    fn enter(&self, object: Object) -> Arc<Object> {
        let object = Arc::new(object);
        let replaced = self.index.lock().insert(Arc::clone(&object));
        self.witness.kept(object.cost_bytes());
        if let Some(replaced) = replaced {
            self.forget(&replaced, Why::Removed);
        }
        self.evict_to_fit_count();
        object
    }

    /// Takes `bytes` more for `share`, at the cost of what was used longest ago.
    fn reserve(&self, share: &Share, bytes: u64) -> bool {
        // What cannot be freed, because it is being read, is not waited for.
        loop {
            if share.grow(bytes) {
                return true;
            }
            if !self.evict_one() {
                return false;
            }
        }
    }

    fn evict_to_fit_count(&self) {
        while self.count() > self.limits.lock().objects && self.evict_one() {}
    }

    fn evict_one(&self) -> bool {
        let oldest = self.index.lock().pop_oldest();
        oldest.is_some_and(|object| {
            self.forget(&object, Why::Evicted);
            true
        })
    }

    /// What is out of the index goes from the disk, too.
    fn forget(&self, object: &Object, why: Why) {
        unlink(object.path.clone());
        self.witness.dropped(object, why);
    }

    fn next_path(&self) -> (PathBuf, PathBuf) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (self.directory.join(format!("{number:016x}.part")), self.directory.join(format!("{number:016x}.obj")))
    }
}

/// Removes a file, on a blocking thread where there is a runtime: freeing the blocks of a long file takes time.
fn unlink(path: PathBuf) {
    let unlink = move || {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "a cached object cannot be removed");
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(unlink)),
        Err(_) => unlink(),
    }
}

#[cfg(test)]
mod tests;
