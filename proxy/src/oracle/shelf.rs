//! Versions of the model on disk, so that a restart does not begin with nothing.
//!
//! A version is written beside its place and renamed into it, so that there is never half of one; `kill -9` leaves the one
//! before. At the start the newest that can be read and fits is taken; each that cannot is said and counted, and stays for
//! whoever wants to know why. One that was taken back is renamed, so that no start brings it back.
//!
//! A directory is one sidecar's own: whoever holds the lock in it writes. Another that is given the same directory reads,
//! and says that it does not write.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy::Model;
use policy::model::file::{self, FILE_BYTES_MOST};

use super::names::Names;
use crate::metrics::{Metrics, ModelFile};

/// Not more often than this is a version written, the first apart: refits may come every few seconds.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// What the directory is called, in `state.directory`.
const DIRECTORY: &str = "models";
/// What a version is called: this, its number, and the next.
const BEGINS: &str = "model-";
const ENDS: &str = ".json";
/// What one that was taken back ends in instead.
const TAKEN_BACK: &str = ".taken-back";
/// A number beyond this was not counted up to.
const VERSION_MOST: u64 = 1 << 53;
/// What is being written.
const UNFINISHED: &str = "unfinished";

/// The directory, and what is known of it.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    keep: usize,
    lock: Option<File>,
    saved: Option<(u64, Instant)>,
    /// Said once, until it works again.
    has_failed: bool,
}

impl Shelf {
    /// Opens the directory in that of all state; makes it if it is not there. Nothing that goes wrong with it keeps the
    /// sidecar from running: it is said, counted when a model is to be written, and tried again then.
    pub(super) fn open(state: &Path, keep: usize) -> Self {
        let directory = state.join(DIRECTORY);
        let mut shelf = Self { directory, keep, lock: None, saved: None, has_failed: false };
        if let Err(error) = shelf.lock()
            && !crate::handover::predecessor_is_there()
        {
            tracing::error!(directory = %shelf.directory.display(), %error, "models are not kept here for now");
        }
        shelf
    }

    /// The newest version that can be read and fits; and the number that the next is to have.
    pub(super) fn newest(&self, names: &Names, metrics: &Metrics) -> (Option<Model>, u64) {
        let versions = self.versions().unwrap_or_default();
        let next = versions.first().map_or(1, |(newest, _)| newest.saturating_add(1));
        for (version, path) in versions {
            let (result, why) = match text(&path).map(|text| file::read(&text)) {
                Err(error) => (ModelFile::Foreign, error.to_string()),
                Ok(Err(bad)) => (ModelFile::refused(&bad), chain(&bad)),
                Ok(Ok(named)) => match names.bind(&named) {
                    Err(misfit) => (ModelFile::Misfit, misfit.to_string()),
                    Ok(model) => {
                        metrics.model_file(ModelFile::Loaded);
                        tracing::info!(file = %path.display(), rows = model.rows(), "a model that was kept is in force");
                        return (Some(model.renumbered(version)), next);
                    }
                },
            };
            metrics.model_file(result);
            tracing::error!(file = %path.display(), why, "this version of the model is passed over; the one before is tried");
        }
        (None, next)
    }

    /// The version of this number, if it is kept, can be read and fits.
    pub(super) fn version(&self, version: u64, names: &Names) -> Option<Model> {
        let (_, path) = self.versions().ok()?.into_iter().find(|(kept, _)| *kept == version)?;
        let named = file::read(&text(&path).ok()?).ok()?;
        Some(names.bind(&named).ok()?.renumbered(version))
    }

    /// The numbers of those that are kept, newest first.
    pub(super) fn kept(&self) -> Vec<u64> {
        self.versions().unwrap_or_default().into_iter().map(|(version, _)| version).collect()
    }

    /// What was written last.
    pub(super) fn saved(&self) -> Option<u64> {
        self.saved.map(|(version, _)| version)
    }

    /// Writes the model in force, if it is time.
    pub(super) fn save_if_due(&mut self, model: &Model, names: &Names, metrics: &Metrics, now: Instant) {
        let due =
            self.saved.is_none_or(|(version, at)| version != model.version() && now.duration_since(at) >= SAVE_EVERY);
        // The process before this one still has the directory.
        let must_wait = self.lock.is_none() && crate::handover::predecessor_is_there();
        if due && !must_wait {
            self.save(model, names, metrics, now);
        }
    }

    /// Writes a model, unless it is there.
    pub(super) fn save(&mut self, model: &Model, names: &Names, metrics: &Metrics, now: Instant) {
        if self.saved.is_some_and(|(version, _)| version == model.version()) {
            return;
        }
        self.saved = Some((model.version(), now));
        match self.write(model, names) {
            Ok(()) => {
                self.has_failed = false;
                metrics.model_file(ModelFile::Saved);
            }
            Err(error) => {
                metrics.model_file(ModelFile::Unsaved);
                if !std::mem::replace(&mut self.has_failed, true) {
                    let directory = self.directory.display();
                    tracing::error!(%directory, %error, "a model cannot be kept; is there room, and is the directory this sidecar's own?");
                }
            }
        }
    }

    /// The model was read from here: it need not be written.
    pub(super) fn has(&mut self, version: u64, now: Instant) {
        self.saved = Some((version, now));
    }

    /// Every version after `trusted` was taken back.
    pub(super) fn take_back_after(&mut self, trusted: u64) {
        let later = self.versions().unwrap_or_default();
        for (version, path) in later.into_iter().filter(|(version, _)| *version > trusted && self.lock.is_some()) {
            let aside = path.with_extension(TAKEN_BACK.trim_start_matches('.'));
            if let Err(error) = fs::rename(&path, &aside) {
                tracing::error!(version, %error, "a model that was taken back stays on disk; a restart may begin with it");
            }
        }
        self.saved = None;
    }

    fn write(&mut self, model: &Model, names: &Names) -> io::Result<()> {
        self.lock()?;
        let unfinished = self.directory.join(UNFINISHED);
        let mut to = File::create(&unfinished)?;
        to.write_all(names.text(model).as_bytes())?;
        to.sync_all()?;
        fs::rename(&unfinished, self.directory.join(format!("{BEGINS}{:08}{ENDS}", model.version())))?;
        // The name is in the directory, which is a file of its own.
        File::open(&self.directory)?.sync_all()?;
        self.prune(ENDS)?;
        self.prune(TAKEN_BACK)
    }

    /// Removes all but the newest versions that end so.
    fn prune(&self, ends: &str) -> io::Result<()> {
        for (_, path) in numbered(&self.directory, ends)?.into_iter().skip(self.keep) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn lock(&mut self) -> io::Result<()> {
        if self.lock.is_none() {
            fs::create_dir_all(&self.directory)?;
            let file = File::options().write(true).create(true).truncate(false).open(self.directory.join("lock"))?;
            match file.try_lock() {
                Ok(()) => self.lock = Some(file),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::WouldBlock,
                        "another sidecar holds this directory's lock",
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn versions(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        numbered(&self.directory, ENDS)
    }
}

/// The versions in a directory that end so, newest first.
fn numbered(directory: &Path, ends: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(BEGINS)?.strip_suffix(ends)?.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| *number < VERSION_MOST) {
            versions.push((number, entry.path()));
        }
    }
    versions.sort_unstable_by(|a, b| b.cmp(a));
    Ok(versions)
}

/// A file's text, if it is a file and no larger than one of its kind can be.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    // Looked at first: to open a pipe waits for whoever writes into it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MOST as u64 + 1).read_to_end(&mut bytes)?;
    // What is not text is no model either, and is said to be damaged, not unreadable.
    Ok(String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// An error and what is behind it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        said += &format!(": {cause}");
        behind = cause.source();
    }
    said
}
