//! The response cache, as far as all routes share it.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

/// The response cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Bytes in memory at the most.
    pub memory_bytes: usize,
    /// Bytes of a body that is kept in memory.
    pub small_bytes: usize,
    /// Bytes on disk at the most.
    pub disk_bytes: u64,
    /// Where files are; `None` for the state directory's `cache`, if there is one.
    pub directory: Option<PathBuf>,
    /// Bytes of one body at the most.
    pub object_bytes: u64,
    /// Answers at the most.
    pub entries: usize,
    /// Answers to the same request but for what they vary by.
    pub variants: usize,
    /// How long a request waits for what another one is fetching.
    pub wait: Duration,
    /// The header that says whose request it is.
    pub tenant: Option<HeaderName>,
    /// Headers whose values tell answers apart, whether these say so or not.
    pub key_headers: Vec<HeaderName>,
}
