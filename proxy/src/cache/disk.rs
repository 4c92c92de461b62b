//! The response cache's side of its files: taking up what an earlier process has stored, and keeping its own books right
//! when the disk drops something.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::meta::{self, Meta};
use super::shelf::Shelf;
use super::stored::{Headed, Held, Hold, Stored};
use super::terms::head_bytes;
use super::{BOOKKEEPING_BYTES, Cache};
use crate::clock;
use crate::disk::{Disk, Limits, Object, OpenError, Why, Witness};
use crate::metrics::{Dropped, Metrics};

/// How long until a directory that cannot be had is tried again: the process before this one may still be using it.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes that are remembered until files are taken up.
const EARLY_MOST: usize = 4096;

/// What was changed before the files were taken up: what they have of it is not true any more.
#[derive(Debug, Default)]
pub(super) struct Early {
    beginnings: Vec<Vec<u8>>,
}

impl Early {
    /// All names begin so.
    fn all() -> Self {
        Self { beginnings: vec![Vec::new()] }
    }

    pub(super) fn changed(&mut self, beginning: &[u8]) {
        if self.beginnings.len() >= EARLY_MOST {
            *self = Self::all();
        }
        self.beginnings.push(beginning.to_vec());
    }
}

/// Told by the disk what becomes of files.
#[derive(Debug)]
struct Books {
    shelf: Arc<Shelf>,
    metrics: Arc<Metrics>,
}

impl Witness for Books {
    fn kept(&self, bytes: u64) {
        self.metrics.cache.wrote(bytes);
    }

    fn dropped(&self, object: &Object, why: Why) {
        self.metrics.cache.unlinked(object.cost_bytes());
        let why = match why {
            // It was taken off the shelf first, or is off it already.
            Why::Removed => return,
            Why::Evicted => Dropped::Evicted,
            Why::Damaged => Dropped::Damaged,
        };
        let gone = meta::key_of(object.key()).map(|key| self.shelf.lost(key, object, why));
        for (stored, why) in gone.unwrap_or_default() {
            self.metrics.cache.dropped(stored.body.len, why);
        }
    }

    fn discarded(&self) {
        self.metrics.cache.discarded();
    }
}

impl Cache {
    pub(super) fn disk_limits(&self) -> Limits {
        let settings = self.settings.load();
        let object_bytes = settings.object_bytes.min(settings.disk_bytes / 2);
        Limits { bytes: settings.disk_bytes, object_bytes, objects: settings.entries }
    }

    /// Opens the directory, if there is one and it is not open, on a thread that does just that.
    pub(super) fn open_disk(self: &Arc<Self>) {
        let Some(directory) = self.directory.clone().filter(|_| self.settings.load().disk_bytes > 0) else { return };
        let mut early = self.changed_early.lock();
        if early.is_some() || self.disk.get().is_some() {
            return;
        }
        let cache = Arc::downgrade(self);
        let opening = move || open(&cache, &directory);
        match std::thread::Builder::new().name("cache-disk".to_owned()).spawn(opening) {
            // What an earlier process stored is not believed if something may have changed since this one began.
            Ok(_detached) if self.was_off.load(Ordering::Acquire) => *early = Some(Early::all()),
            Ok(_detached) => *early = Some(Early::default()),
            Err(error) => tracing::error!(%error, "the response cache stays in memory: no thread for its files"),
        }
    }

    /// Puts what is on disk on the shelf.
    fn take_up(&self, disk: Arc<Disk>) {
        for object in disk.objects() {
            let taken = self.take_up_one(&disk, &object);
            if !taken {
                disk.remove(&object, Why::Removed);
            }
        }
        let count = disk.count();
        let _is_the_first = self.disk.set(disk);
        // From here on a change finds what is on disk, too.
        let early = self.changed_early.lock().take().unwrap_or_default();
        for beginning in &early.beginnings {
            self.drop_all(beginning, Dropped::Invalidated);
        }
        tracing::info!(count, "the response cache has taken up what is on disk");
    }

    fn take_up_one(&self, disk: &Arc<Disk>, object: &Arc<Object>) -> bool {
        let Some(meta) = disk.meta(object).ok().and_then(|meta| Meta::decode(&meta)) else { return false };
        let Some(key) = meta::key_of(object.key()) else { return false };
        let Some(since_ms) = clock::unix_ms().checked_sub(meta.unix_ms) else { return false };
        let mut terms = meta.terms;
        terms.initial_age += Duration::from_millis(since_ms);
        let share = self.memory.share();
        let cost = (head_bytes(&meta.headers) + key.len() + BOOKKEEPING_BYTES) as u64;
        if self.shelf.has(key, &terms) || !share.grow(cost) {
            return false;
        }
        let head = Headed {
            status: meta.status,
            headers: meta.headers,
            terms,
            came: Instant::now(),
            _hold: Hold::new(share, &self.metrics),
        };
        let body = Held::new(object.len(), None, Some(Arc::clone(object)));
        self.metrics.cache.found_again();
        let gone = self.shelf.put(key, Stored { head: Arc::new(head), body });
        self.settle(gone);
        true
    }
}

fn open(cache: &Weak<Cache>, directory: &Path) {
    let mut told = false;
    while let Some(cache) = cache.upgrade() {
        let books = Books { shelf: Arc::clone(&cache.shelf), metrics: Arc::clone(&cache.metrics) };
        let error = match Disk::open(directory, cache.disk_limits(), Arc::new(books)) {
            Ok(disk) => return cache.take_up(disk),
            Err(error) => error,
        };
        if !std::mem::replace(&mut told, true) {
            match &error {
                OpenError::InUse { .. } => tracing::info!(%error, "the response cache waits for its directory"),
                OpenError::Directory { source, .. } => {
                    tracing::warn!(%error, %source, "the response cache stays in memory until its directory can be used");
                }
            }
        }
        drop(cache);
        std::thread::sleep(AGAIN);
    }
}
