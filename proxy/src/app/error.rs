//! Why the sidecar does not start, or a configuration cannot be put in force: what was attempted, and what to do.

use std::io;
use std::net::SocketAddr;

use crate::identity::IdentityError;
use crate::intercept::outgoing::OwnTraffic;

/// Why the sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be listened on.
    #[error("cannot listen on {address} for {what}; is another process there? `listen.{what}` says where")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("cannot serve TLS with {certificate} and {key}")]
    Tls {
        /// `listen.tls.certificate`.
        certificate: String,
        /// `listen.tls.key`.
        key: String,
        /// Why.
        #[source]
        source: certs::CertError,
    },
    /// Nobody could change anything, though somebody should.
    #[error("cannot let anybody change things by the tokens in {file}")]
    Token {
        /// `listen.admin_token`.
        file: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no identity to show, or nobody to believe.
    #[error("cannot be known to other sidecars")]
    Identity(#[from] IdentityError),
    /// A network cannot be set up.
    #[error("cannot set up network `{network}`")]
    Network {
        /// Which.
        network: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing stands at home, and nobody is there to start it.
    #[error(
        "network `{home}`, which is home, has no endpoint: give it `upstreams`, or start the service with its sidecar by \
         `adumbra run --config FILE -- COMMAND … {{port}}`"
    )]
    NoService {
        /// What home is called.
        home: String,
    },
    /// The lane wants workers, and nobody is there to start them.
    #[error(
        "`lane.kind = \"process\"` needs workers that only `adumbra run` can start: start the service by `adumbra run \
         --config FILE -- COMMAND … {{port}}`, or say another kind"
    )]
    NoWorkers,
    /// The service is to be started, and stands somewhere already.
    #[error(
        "network `{home}`, which is home, has endpoints of its own, so `adumbra run` would start a service that nothing is \
         sent to: remove them, or use `adumbra serve`"
    )]
    TwoServices {
        /// What home is called.
        home: String,
    },
    /// What is intercepted could not be told from what the sidecar sends itself.
    #[error("the sidecar's own connections would be intercepted")]
    OwnTraffic(#[from] OwnTraffic),
    /// The decision log, the trainer or a worker cannot be started.
    #[error("cannot start {what}")]
    Thread {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// The key of the configuration that says it, step by step, as far as there is one.
    pub(crate) fn key(&self) -> Vec<&str> {
        match self {
            Self::Listen { what, .. } => vec!["listen", what],
            Self::Tls { .. } => vec!["listen", "tls", "certificate"],
            Self::Token { .. } => vec!["listen", "admin_token"],
            Self::Identity(_) => vec!["identity", "certificate"],
            Self::Network { network, .. } => vec!["networks", network, "ca"],
            Self::NoService { home } | Self::TwoServices { home } => vec!["networks", home, "upstreams"],
            Self::OwnTraffic(_) => vec!["listen", "intercept"],
            Self::NoWorkers => vec!["lane", "kind"],
            Self::Thread { .. } => vec!["log", "decisions"],
        }
    }
}
