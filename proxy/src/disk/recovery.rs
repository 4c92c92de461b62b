//! What an earlier process left: whole objects are taken up, the rest is removed.
//!
//! Files are numbered in the order in which they were begun, which is taken for the order in which they were used.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Disk, Object, Why, format};

/// Takes up what is in `disk`'s directory, newest first, as far as the limits go. Files that are not ours are left alone.
pub(super) fn take_up(disk: &Disk) -> io::Result<()> {
    let mut numbered: Vec<u64> = Vec::new();
    for entry in fs::read_dir(&disk.directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
        match (number, path.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some("obj")) => numbered.push(number),
            // Nobody else writes here, so nobody is writing it now.
            (Some(_), Some("part")) => discard(disk, &path),
            _ => {}
        }
    }
    numbered.sort_unstable();
    disk.next.store(numbered.last().map_or(0, |last| last + 1), Ordering::Relaxed);
    for number in numbered {
        let path = disk.directory.join(format!("{number:016x}.obj"));
        if !take_up_one(disk, &path) {
            discard(disk, &path);
        }
    }
    Ok(())
}

fn take_up_one(disk: &Disk, path: &Path) -> bool {
    let read = File::open(path).and_then(|file| format::read(&file));
    let Ok(Some(tail)) = read.inspect_err(|error| {
        tracing::warn!(%error, path = %path.display(), "a cached object cannot be read, and is removed");
    }) else {
        return false;
    };
    let limits = *disk.limits.lock();
    let file_bytes = tail.len + format::tail_bytes(tail.len, tail.key.len(), tail.meta.len());
    let share = disk.budget.share();
    if tail.len > limits.object_bytes || !disk.reserve(&share, super::writer::on_disk(file_bytes)) {
        return false;
    }
    disk.enter(Object { key: tail.key, path: path.to_owned(), len: tail.len, share });
    true
}

fn discard(disk: &Disk, path: &Path) {
    tracing::debug!(path = %path.display(), why = ?Why::Damaged, "what is no whole object is removed");
    disk.witness.discarded();
    super::unlink(path.to_owned());
}
