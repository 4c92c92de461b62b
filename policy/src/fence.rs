//! One fenced execution answers: the state of a job's dispatches, and who may answer.

use crate::units::NetworkId;

/// A dispatch of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dispatch {
    /// The unthrottled one.
    Lead(NetworkId),
    /// The throttled one there.
    Shadow(NetworkId),
    /// One sent after another failed, or after the decision; counted from 1.
    Again(NetworkId, u8),
}

/// Proof that its holder is the one execution that answers. It can be had once a job, and is not `Clone`.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    dispatch: Dispatch,
}

impl Token {
    /// Which dispatch answers.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch
    }
}

/// Who runs and who may answer.
#[derive(Debug, Default)]
pub struct Fence {}
