//! The webhook's certificate as files: `tls.crt`, `tls.key` and `ca.crt`, as a Secret of type `kubernetes.io/tls` is mounted.
//!
//! They are read again every few seconds and put in force when they have changed and fit; a mounted Secret changes by the
//! swap of a link, which reading does not mind. What does not fit changes nothing.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{CertError, Pair};
use rustls::ServerConfig;

use super::pair::{Made, PairError, Terms, make};
use super::rotate::{bundle, is_due};

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// They cannot be read, or do not fit.
    #[error("the certificate in {} cannot be used", directory.display())]
    Unusable {
        /// Where they are.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: CertError,
    },
    /// They cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// None can be made.
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// What is shown in handshakes, and the files that it is of.
#[derive(Clone)]
pub struct Shown {
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// Until when it is good.
    pub until: SystemTime,
    texts: (Vec<u8>, Vec<u8>),
}

impl Shown {
    /// What the files in `directory` say.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn read(directory: &Path) -> Result<Self, FilesError> {
        let unusable = |source| FilesError::Unusable { directory: directory.to_owned(), source };
        let text = |name| certs::read(&directory.join(name)).map_err(unusable);
        let (certificate, key) = (text("tls.crt")?, text("tls.key")?);
        let pair = Pair::new(&certificate, &key).map_err(unusable)?;
        let until = pair.validity().not_after;
        Ok(Self { config: certs::server_config_of(&pair), until, texts: (certificate, key) })
    }

    /// Whether `other` is of the same files.
    #[must_use]
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

/// What was done about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether there is a new certificate.
    pub is_new: bool,
    /// The CAs that the API server is to believe, PEM.
    pub bundle: String,
}

/// Makes the certificate in `directory` anew if there is none, or if what is there ends within `before`.
///
/// # Errors
/// If it cannot be made or written.
pub fn renew(directory: &Path, terms: &Terms, before: Duration) -> Result<Renewed, FilesError> {
    let text = |name: &str| std::fs::read(directory.join(name)).unwrap_or_default();
    let old = String::from_utf8_lossy(&text("ca.crt")).into_owned();
    if !is_due(&text("tls.crt"), &text("tls.key"), &terms.names, terms.from + before) && !old.is_empty() {
        return Ok(Renewed { is_new: false, bundle: old });
    }
    let Made { ca, certificate, key } = make(terms)?;
    let bundle = bundle(&ca, &old, terms.from);
    // The CA first: who reads it meanwhile believes the new one before it is shown.
    for (name, text, mode) in [("ca.crt", &bundle, 0o644), ("tls.key", &key, 0o600), ("tls.crt", &certificate, 0o644)] {
        let path = directory.join(name);
        write(&path, text.as_bytes(), mode).map_err(|source| FilesError::Write { path, source })?;
    }
    Ok(Renewed { is_new: true, bundle })
}

/// Whole or not at all.
fn write(path: &Path, text: &[u8], mode: u32) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
