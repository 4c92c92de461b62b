//! The file that decisions are written to: whole lines, or none.
//!
//! A full disk costs lines, never jobs and never the thread: what could not be written is counted, said once, and the next
//! line that fits starts on a line of its own. The file is opened for appending, so a log rotator may truncate it;
//! without one, it is renamed and begun anew when it is long.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Record;
use super::writer::Writer;
use crate::metrics::Metrics;

/// Lines are written when there are this many bytes of them, or when the queue is empty.
const WRITE_AT: usize = 256 << 10;
/// What is kept of the memory for lines: enough for the one that makes them too many.
const KEPT: usize = WRITE_AT + (16 << 10);

/// Where lines go. Generic only so that a test can let it fail.
#[derive(Debug)]
pub(super) struct File<W = std::fs::File> {
    path: PathBuf,
    inner: W,
    waiting: Vec<u8>,
    /// Whether the last write failed.
    failing: bool,
    /// Whether what is in the file ends in the middle of a line.
    torn: bool,
    /// How long it may become, and how many there may be.
    bounds: Option<(u64, u64)>,
    /// Whether the last try to rename it failed.
    unrotated: bool,
}

impl File {
    /// Opens `path` for appending and makes it if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let inner = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            let message = format!("cannot open the decision log {}: {error}; see `log.decisions`", path.display());
            io::Error::new(error.kind(), message)
        })?;
        Ok(Self::over(inner, path))
    }

    /// To be begun anew when it is longer than `bytes`, with `files` of them at the most.
    pub(super) fn rotated(mut self, bytes: u64, files: u64) -> Self {
        self.bounds = Some((bytes, files));
        self
    }

    /// Begins a new file if this one is long. Its length is asked for, since others may truncate it.
    pub(super) fn rotate_if_long(&mut self) {
        let Some((most, files)) = self.bounds else { return };
        if self.inner.metadata().is_ok_and(|of| of.len() < most) {
            return;
        }
        match self.rotate(files) {
            Ok(next) => (self.inner, self.torn, self.unrotated) = (next, false, false),
            Err(error) if !self.unrotated => {
                self.unrotated = true;
                tracing::error!(path = %self.path.display(), %error, "the decision log cannot be renamed, so it grows on");
            }
            Err(_) => {}
        }
    }

    /// Renames the file, and those before it, one number further. The last number is replaced.
    fn rotate(&self, files: u64) -> io::Result<std::fs::File> {
        let numbered = |number: u64| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if files <= 1 {
            self.inner.set_len(0)?;
            return self.inner.try_clone();
        }
        for number in (1..files - 1).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))?;
        std::fs::OpenOptions::new().create(true).append(true).open(&self.path)
    }
}

impl<W: Write> File<W> {
    fn over(inner: W, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            inner,
            waiting: Vec::new(),
            failing: false,
            torn: false,
            bounds: None,
            unrotated: false,
        }
    }

    /// Takes a record in, as a line.
    pub(super) fn push(&mut self, record: &Record, writer: &mut Writer<'_>, metrics: &Metrics) {
        writer.write(record, &[], &mut self.waiting);
        self.waiting.push(b'\n');
        if self.waiting.len() >= WRITE_AT {
            self.flush(metrics);
        }
    }

    /// Writes what was taken in.
    pub(super) fn flush(&mut self, metrics: &Metrics) {
        if self.waiting.is_empty() {
            return;
        }
        let taken_in = lines(&self.waiting);
        if self.torn {
            self.waiting.insert(0, b'\n');
        }
        let (written, result) = write_all(&mut self.inner, &self.waiting);
        let done = &self.waiting[..written];
        let whole = if result.is_ok() { taken_in } else { lines(done).saturating_sub(u64::from(self.torn)) };
        metrics.records_written(whole);
        metrics.records_unwritten(taken_in - whole);
        if let Some(last) = done.last() {
            self.torn = *last != b'\n';
        }
        self.waiting.clear();
        self.waiting.shrink_to(KEPT);
        self.say(result);
    }

    /// Says that writing fails, or that it works again, but each only once.
    fn say(&mut self, result: io::Result<()>) {
        let path = self.path.display();
        match result {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%path, %error, "decisions cannot be written; they are counted as unwritten until it works again");
            }
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!(%path, "decisions are written again");
            }
            _ => {}
        }
    }
}

/// Writes as much as can be, and says how much that was.
fn write_all(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests;
