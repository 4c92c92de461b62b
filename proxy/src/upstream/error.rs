//! Why a network gave no answer, and whether it can have executed the request.

use std::time::Duration;

use http::Request;

use super::connect::ConnectError;
use crate::body::Body;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No endpoint may be used: each is failing its checks or has failed too often.
    #[error("no endpoint of network `{network}` is well")]
    NoEndpoint {
        /// Where.
        network: String,
        /// The request, which was not sent.
        unsent: Box<Request<Body>>,
    },
    /// There is no connection.
    #[error("network `{network}` cannot be reached")]
    Connect {
        /// Where.
        network: String,
        /// The request, which was not sent.
        unsent: Box<Request<Body>>,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The connection failed before the request was on it.
    #[error("the connection to network `{network}` failed before the request was sent")]
    Unsent {
        /// Where.
        network: String,
        /// The request.
        unsent: Box<Request<Body>>,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The connection failed after the request was on it: it may have been executed.
    #[error("network `{network}` broke off before its response head")]
    BrokeOff {
        /// Where.
        network: String,
        /// Whether the connection had been used before: then the failure may be its age alone.
        reused: bool,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The client broke off its own request. That says nothing about the network, but it has seen part of the job.
    #[error("the client broke off its request on the way to network `{network}`")]
    ClientBroke {
        /// Where it was on its way to.
        network: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// The client stopped sending. That says nothing about the network, but it has seen part of the job.
    #[error("the client sent no more of its request's body for {within:?}, so network `{network}` could not answer")]
    ClientSlow {
        /// Where it was on its way to.
        network: String,
        /// The bound that bit.
        within: Duration,
    },
    /// What came back is not HTTP.
    #[error("network `{network}` answered what is not HTTP")]
    Garbage {
        /// Where.
        network: String,
        /// What is wrong with it.
        #[source]
        source: hyper::Error,
    },
    /// Where its answer ends can be read in two ways.
    #[error("network `{network}` answered with a framing that can be read in two ways")]
    Ambiguous {
        /// Where.
        network: String,
    },
    /// It switched to another protocol, and nobody had asked it to.
    #[error("network `{network}` switched protocols without being asked; its answer belongs to no request")]
    Switched {
        /// Where.
        network: String,
    },
    /// No response head in time.
    #[error(
        "network `{network}` gave no response head within {within:?}; raise its `timeouts.{bound}` if jobs take longer"
    )]
    NoAnswer {
        /// Where.
        network: String,
        /// The bound's name.
        bound: &'static str,
        /// The bound that bit.
        within: Duration,
    },
}

impl SendError {
    /// The request, if it is known not to have been executed.
    pub(crate) fn into_unsent(self) -> Option<Request<Body>> {
        match self {
            Self::NoEndpoint { unsent, .. } | Self::Connect { unsent, .. } | Self::Unsent { unsent, .. } => {
                Some(*unsent)
            }
            Self::BrokeOff { .. }
            | Self::ClientBroke { .. }
            | Self::ClientSlow { .. }
            | Self::Garbage { .. }
            | Self::Ambiguous { .. }
            | Self::Switched { .. }
            | Self::NoAnswer { .. } => None,
        }
    }

    /// The same, where it stands.
    pub(super) fn unsent_mut(&mut self) -> Option<&mut Request<Body>> {
        match self {
            Self::NoEndpoint { unsent, .. } | Self::Connect { unsent, .. } | Self::Unsent { unsent, .. } => {
                Some(unsent)
            }
            Self::BrokeOff { .. }
            | Self::ClientBroke { .. }
            | Self::ClientSlow { .. }
            | Self::Garbage { .. }
            | Self::Ambiguous { .. }
            | Self::Switched { .. }
            | Self::NoAnswer { .. } => None,
        }
    }

    /// Whether the job is known not to have been executed.
    pub(crate) fn not_executed(&self) -> bool {
        matches!(self, Self::NoEndpoint { .. } | Self::Connect { .. } | Self::Unsent { .. })
    }
}
