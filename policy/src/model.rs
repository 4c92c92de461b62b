//! The model: one pooled tree over log time, and per class and network a shrunk log ratio.

use crate::job::Job;
use crate::prediction::Prediction;
use crate::units::NetworkId;

/// A checked model. Scoring it cannot fail, allocate or lock.
#[derive(Clone, Debug)]
pub struct Model {
    version: u64,
    rows: usize,
}

impl Model {
    /// Counts up with each model put in force.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many labels it was grown from.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What `job` would take on `network`, from its start there.
    #[must_use]
    pub fn predict(&self, job: &Job, network: NetworkId) -> Prediction {
        unimplemented!("{job:?} {network:?}")
    }

    /// The path that a job takes through the tree, for people.
    #[must_use]
    pub fn path(&self, job: &Job) -> Vec<String> {
        unimplemented!("{job:?}")
    }
}
