//! What is counted. Handles are made once, so that counting on the path is one atomic addition.

use crate::problem::Problem;

/// Every metric.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// One answer of our own was given.
    pub(crate) fn problem(&self, problem: Problem) {
        let _ = problem;
    }
}
