//! The data cache: inputs that jobs need, fetched through the sidecar so that what was warmed is found.

use std::sync::Arc;

/// Objects by URL, in memory, with one fetch for many waiters.
#[derive(Debug)]
pub(crate) struct Cache {}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(config: &config::value::Data, metrics: Arc<crate::metrics::Metrics>) -> Arc<Self> {
        unimplemented!("{config:?} {metrics:?}")
    }
}
