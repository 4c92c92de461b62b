//! Why a dispatch of a job gave no answer, and what that means for the job.

use crate::path::shadow::NotAdopted;
use crate::problem::Problem;
use crate::record::Outcome;
use crate::upstream::SendError;

/// Why a dispatch gave no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::path) enum Failure {
    /// It could not be sent, or broke.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The far sidecar did not execute it.
    #[error("the sidecar of network `{network}` did not execute the job: {status}")]
    Refused {
        /// Where.
        network: String,
        /// What it said.
        status: http::StatusCode,
    },
    /// It was a shadow, and could not be adopted.
    #[error(transparent)]
    NotAdopted(#[from] NotAdopted),
}

impl Failure {
    /// Whether the job is known not to have been executed.
    pub(in crate::path) fn not_executed(&self) -> bool {
        match self {
            Self::Send(error) => error.not_executed(),
            Self::Refused { .. } => true,
            Self::NotAdopted(_) => false,
        }
    }

    /// How the job ended, for its record.
    pub(in crate::path) fn outcome(&self) -> Outcome {
        match self {
            Self::Send(SendError::ClientBroke { .. }) => Outcome::ClientGone,
            _ => Outcome::Refused,
        }
    }

    /// What the client is told.
    pub(in crate::path) fn problem(&self) -> Problem {
        match self {
            Self::Send(SendError::NoEndpoint { .. } | SendError::Connect { .. } | SendError::Unsent { .. })
            | Self::Refused { .. } => Problem::NoNetwork,
            Self::Send(SendError::BrokeOff { .. }) | Self::NotAdopted(_) => Problem::BrokeOff,
            // It is for the log only: there is nobody left to tell.
            Self::Send(SendError::ClientBroke { .. }) => Problem::Malformed,
            Self::Send(SendError::ClientSlow { .. }) => Problem::BodyTimeout,
            Self::Send(SendError::Garbage { .. }) => Problem::Garbage,
            Self::Send(SendError::NoAnswer { .. }) => Problem::NoAnswer,
        }
    }
}
