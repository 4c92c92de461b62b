//! Why a dispatch of a job gave no answer, and what that means for the job.

use http::StatusCode;

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
    /// It could not be sent, and its request has been taken back to be sent elsewhere.
    #[error("{why}")]
    NotSent {
        /// What stood against it.
        why: String,
    },
    /// The far sidecar answered in its own name: it is not the service that says so.
    #[error("the sidecar of network `{network}` has no answer of its service: {status} {slug}")]
    Peer {
        /// Where.
        network: String,
        /// What it said.
        status: StatusCode,
        /// Its problem.
        slug: String,
        /// Whether it says that the job was not executed.
        not_executed: bool,
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
            Self::NotSent { .. } => true,
            Self::Peer { not_executed, .. } => *not_executed,
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

    /// What the client is told, if nothing else of the job can have been executed either.
    pub(in crate::path) fn problem(&self) -> Problem {
        match self {
            Self::Send(SendError::NoEndpoint { .. } | SendError::Connect { .. } | SendError::Unsent { .. })
            | Self::NotSent { .. }
            | Self::Peer { not_executed: true, .. } => Problem::NoNetwork,
            Self::Peer { status: StatusCode::GATEWAY_TIMEOUT, .. } | Self::Send(SendError::NoAnswer { .. }) => {
                Problem::NoAnswer
            }
            Self::Peer { .. } | Self::Send(SendError::BrokeOff { .. }) | Self::NotAdopted(_) => Problem::BrokeOff,
            // It is for the log only: there is nobody left to tell.
            Self::Send(SendError::ClientBroke { .. }) => Problem::BodyBroke,
            Self::Send(SendError::ClientSlow { .. }) => Problem::BodyTimeout,
            Self::Send(SendError::Garbage { .. } | SendError::Ambiguous { .. } | SendError::Switched { .. }) => {
                Problem::Garbage
            }
        }
    }
}
