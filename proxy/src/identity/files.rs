//! Files that are replaced while we run: read again and again, and taken up when they have become something else that is
//! whole.
//!
//! Contents are compared, not times: an editor renames, a mounted secret swaps a link, `touch` means nothing, and the files
//! are small. What has just changed is read twice, a moment apart, so that a file which is being written is left for the
//! next time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::CertError;

/// Between two reads of what has just changed.
const SETTLE: Duration = Duration::from_millis(100);

/// Files that only mean something together.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    in_force: Vec<Vec<u8>>,
    failure: Option<String>,
}

/// What looking at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// They are what is in force.
    Same,
    /// They are something else now.
    New(Vec<Vec<u8>>),
    /// They were something else a moment ago and are again.
    Moving,
}

/// Whether a failure is another one than the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    News,
    Known,
}

impl Watched {
    /// Reads the files for the first time.
    pub(super) fn read(paths: Vec<PathBuf>) -> Result<Self, CertError> {
        let in_force = read_all(&paths)?;
        Ok(Self { paths, in_force, failure: None })
    }

    /// What is in force, in the order of the paths.
    pub(super) fn contents(&self) -> &[Vec<u8>] {
        &self.in_force
    }

    /// The same files, to be looked at without holding anybody up.
    pub(super) fn snapshot(&self) -> Self {
        Self { paths: self.paths.clone(), in_force: self.in_force.clone(), failure: None }
    }

    /// The first of the files, which stands for all of them in messages.
    pub(super) fn path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// What the files are now.
    pub(super) async fn look(&self) -> Result<Look, CertError> {
        let now = self.read_now().await?;
        if now == self.in_force {
            return Ok(Look::Same);
        }
        tokio::time::sleep(SETTLE).await;
        Ok(if self.read_now().await? == now { Look::New(now) } else { Look::Moving })
    }

    async fn read_now(&self) -> Result<Vec<Vec<u8>>, CertError> {
        let paths = self.paths.clone();
        let read = tokio::task::spawn_blocking(move || read_all(&paths)).await;
        read.unwrap_or_else(|stopped| {
            Err(CertError::Read { path: self.path().to_owned(), source: std::io::Error::other(stopped) })
        })
    }

    /// These contents are in force from now on.
    pub(super) fn took(&mut self, contents: Vec<Vec<u8>>) {
        self.in_force = contents;
        self.failure = None;
    }

    /// The files are what is in force again.
    pub(super) fn settled(&mut self) {
        self.failure = None;
    }

    /// What the files are now is not taken.
    pub(super) fn failed(&mut self, why: String) -> Failure {
        let known = self.failure.as_ref() == Some(&why);
        self.failure = Some(why);
        if known { Failure::Known } else { Failure::News }
    }

    /// Why what the files are now is not in force.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, CertError> {
    paths.iter().map(|path| certs::read(path)).collect()
}

/// An error and what is behind it, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        line += &format!(": {cause}");
        behind = cause.source();
    }
    line
}
