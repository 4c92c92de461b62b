//! The file that decisions are written to: whole lines, or none.
//!
//! A full disk costs lines, never jobs and never the thread: what could not be written is counted, said once, and the next
//! line that fits starts on a line of its own. The file is opened for appending, so a log rotator may truncate it.

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
}

impl<W: Write> File<W> {
    fn over(inner: W, path: &Path) -> Self {
        Self { path: path.to_owned(), inner, waiting: Vec::new(), failing: false, torn: false }
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
