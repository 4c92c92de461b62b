//! Keeps the model fresh: takes labels in, refits in the background, swaps the new model in.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use policy::Model;
use policy::NetworkId;
use policy::learn::Row;

/// The model in force and the thread that replaces it.
#[derive(Debug)]
pub(crate) struct Oracle {
    model: Arc<ArcSwapOption<Model>>,
}

impl Oracle {
    /// Starts the thread, with no model in force.
    pub(crate) fn start(
        config: &config::value::Oracle,
        home: NetworkId,
        metrics: Arc<crate::metrics::Metrics>,
    ) -> std::io::Result<Self> {
        unimplemented!("{config:?} {home:?} {metrics:?}")
    }

    /// The model in force: read once a job.
    pub(crate) fn model(&self) -> Option<Arc<Model>> {
        self.model.load_full()
    }

    /// Puts a model in force at once, as the thread does with one it has grown.
    pub(crate) fn swap(&self, model: Model) {
        self.model.store(Some(Arc::new(model)));
    }

    /// Takes a label in; if the queue is full, it is dropped and counted.
    pub(crate) fn learn(&self, row: Row) {
        unimplemented!("{row:?}")
    }
}
