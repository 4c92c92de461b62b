//! What keeps decisions from doing harm, and what outlives the process.

use std::path::PathBuf;

/// The comparison with the fixed rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// The share of blocks of jobs that the rule places; 0 if nothing is compared.
    pub share: f64,
}

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where it is kept; `None` for nowhere.
    pub directory: Option<PathBuf>,
}
