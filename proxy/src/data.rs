//! The data cache: inputs that jobs need, fetched through the sidecar so that what was warmed is found.

mod headers;
mod link;
mod origin;
mod storable;

use std::sync::Arc;

pub(crate) use link::declared;

/// Objects by URL, in memory, with one fetch for many waiters.
#[derive(Debug)]
pub(crate) struct Cache {}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(config: &config::value::Data, metrics: Arc<crate::metrics::Metrics>) -> Arc<Self> {
        unimplemented!("{config:?} {metrics:?}")
    }
}
