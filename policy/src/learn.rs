//! From outcomes to a model.

use crate::job::Job;
use crate::model::Model;
use crate::units::NetworkId;

/// What became of one dispatch of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// It ran to its end, successfully, in this many seconds from its start (waiting and moving taken off).
    Took(f64),
    /// It was stopped at its planned window, so it takes longer than this.
    LongerThan(f64),
}

/// One labelled dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The job it was a dispatch of.
    pub job: Job,
    /// Which dispatches were of one and the same job: pairs teach ratios.
    pub pair: u64,
    /// Where it ran.
    pub network: NetworkId,
    /// How long it took.
    pub label: Label,
    /// CPU seconds, where known.
    pub cpu_s: Option<f64>,
    /// Memory, where known.
    pub memory_bytes: Option<f64>,
    /// Bytes of the answer.
    pub response_bytes: Option<f64>,
}

/// A bounded window of rows that keeps rare classes.
#[derive(Clone, Debug)]
pub struct Window {
    _capacity: usize,
}

impl Window {
    /// A window of at most `capacity` rows.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { _capacity: capacity }
    }

    /// Takes a row in, or says why not (not finite, negative, beyond every bound).
    pub fn push(&mut self, row: Row) -> Result<(), BadRow> {
        unimplemented!("{row:?}")
    }

    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a row was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// A time or a resource that cannot be.
    #[error("the label is not a finite, positive number of seconds")]
    Label,
}

/// Why there is no new model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Too little to learn from.
    #[error("{have} labelled jobs are too few to grow a tree; {need} are needed")]
    TooFew {
        /// Labels there are.
        have: usize,
        /// Labels needed.
        need: usize,
    },
    /// The one in force predicts the newest outcomes better.
    #[error("the new model's error on the newest outcomes is {challenger:.3}, the one in force has {champion:.3}")]
    Worse {
        /// Mean absolute log error of the new one.
        challenger: f64,
        /// The same of the one in force.
        champion: f64,
    },
}

/// Grows a new model from the window and lets it challenge the one in force on the newest outcomes.
pub fn refit(window: &Window, home: NetworkId, champion: Option<&Model>) -> Result<Model, Refused> {
    unimplemented!("{window:?} {home:?} {}", champion.is_some())
}
