//! What can be wrong, one variant for each thing that asks for a different fix.
//!
//! A message says what is wrong; the fix is in [`Fault::help`], so that a screen or a page can set it apart.

use std::net::SocketAddr;

use policy::units::MAX_NETWORKS;

use crate::MAX_TEXT;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The text is longer than any configuration can sensibly be.
    #[error("the file has more than {MAX_TEXT} bytes")]
    TooLong,
    /// The text is not TOML here.
    #[error("this is not TOML: {told}")]
    Syntax {
        /// What the TOML parser says.
        told: String,
        /// How to write it.
        write: String,
    },
    /// A key that nothing reads.
    #[error("there is no key `{key}` here")]
    UnknownKey {
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
        /// Where a key of this name does belong.
        belongs: Option<String>,
        /// All keys that there are here.
        known: Vec<&'static str>,
    },
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
        /// A line that would do.
        example: String,
    },
    /// A value of another TOML type than the key takes.
    #[error("this should be {expected}, not {found}")]
    WrongType {
        /// What the key takes.
        expected: &'static str,
        /// What is there.
        found: String,
        /// How to write one.
        write: String,
    },
    /// A value of the right type that does not say what it should.
    #[error("{given} is not {expected}: {why}")]
    Malformed {
        /// The value.
        given: String,
        /// What the key takes.
        expected: &'static str,
        /// What keeps it from being that.
        why: &'static str,
        /// How to write one.
        write: String,
    },
    /// A network is named that the file does not have.
    #[error("there is no network `{name}`")]
    UnknownNetwork {
        /// The name.
        name: String,
        /// The network that was probably meant.
        nearest: Option<String>,
        /// All networks that there are.
        known: Vec<String>,
    },
    /// The same thing twice where it may be there once.
    #[error("`{given}` is here twice")]
    Repeated {
        /// What is there twice.
        given: String,
    },
    /// More of something than there may be.
    #[error("{found} {what} are too many: {most} is the most")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A network without an address.
    #[error("this network has no endpoint")]
    NoEndpoint,
    /// A lane of replicas without one.
    #[error("this lane has no replica")]
    NoReplica,
    /// A network that would be both a service and a sidecar.
    #[error("this network has both `upstreams` and `sidecars`")]
    BothKinds,
    /// A list that would leave nothing.
    #[error("this leaves no network for the job to run on")]
    NoNetwork,
    /// A lower bound above the upper one.
    #[error("`{low}` is more than `{high}`, by what is written or by default")]
    OutOfOrder {
        /// The key of the lower bound.
        low: &'static str,
        /// The key of the upper bound.
        high: &'static str,
    },
    /// A route's clamp that is empty.
    #[error("`most` names a less urgent level than `least`: 0 is the most urgent, 7 the least")]
    UrgencyReversed,
    /// Two listeners on one address.
    #[error("`{other}` listens on {address} too")]
    ListenersClash {
        /// The other listener's key.
        other: &'static str,
        /// The address of that one.
        address: SocketAddr,
    },
    /// Sidecars would be trusted in the clear from anywhere.
    #[error("{address} can be reached from other machines, and peers come in the clear")]
    PeersExposed {
        /// The address.
        address: SocketAddr,
    },
    /// Sidecars behind TLS, and nothing to show them.
    #[error("these sidecars are reached by TLS, and would be shown no certificate")]
    NoIdentity,
    /// A version of HTTP that sidecars behind TLS do not speak.
    #[error("sidecars speak HTTP/2 with each other by TLS")]
    SidecarProtocol,
    /// Roots for what is verified in another way.
    #[error("sidecars are believed by `identity.trust`, so this says nothing")]
    SidecarRoots,
    /// An identity that nobody is asked for.
    #[error("nobody proves to be this: only sidecars that are reached by `https` do")]
    IdentityUnseen,
    /// Inputs that nothing fetches.
    #[error("nothing is fetched ahead on this route, so its inputs are never looked for")]
    InputsUnused,
    /// A listener for sidecars that may not send.
    #[error("no sidecar may send here: none is named, and there is no other network in this file")]
    NobodyMaySend,
    /// A network that is this sidecar itself.
    #[error("this endpoint is this sidecar's own `{listener}`: jobs would go round in a circle")]
    OwnListener {
        /// The listener's key.
        listener: &'static str,
    },
    /// The sidecar's own connections would be brought back to it.
    #[error("what the sidecar sends out itself would come back here: nothing tells it from what the service sends")]
    OwnTraffic,
    /// A route that no request can get to.
    #[error("no request gets to this route: `{earlier}`, above it, takes them all")]
    Unreachable {
        /// The earlier route.
        earlier: String,
    },
    /// A change that cannot be made while the process runs.
    #[error("`{key}` cannot change while adumbra runs")]
    NeedsRestart {
        /// The key.
        key: &'static str,
    },
    /// A new network, and others have had all places since the process was started.
    #[error("there is no place for a new network: {MAX_NETWORKS} have been here since the start, {} of them removed", retired.len())]
    NoPlace {
        /// The names of those that were removed: their places are kept for them.
        retired: Vec<String>,
    },
    /// It can be read, and something it needs is not as it must be.
    #[error("this cannot be put in force: {why}")]
    Unfit {
        /// What is in the way.
        why: String,
    },
}

impl Fault {
    /// A short name of the kind of fault, for machines: it does not change when messages do.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Syntax { .. } => "syntax",
            Self::UnknownKey { .. } => "unknown-key",
            Self::Missing { .. } => "missing",
            Self::WrongType { .. } => "wrong-type",
            Self::Malformed { .. } => "malformed",
            Self::UnknownNetwork { .. } => "unknown-network",
            Self::Repeated { .. } => "repeated",
            Self::TooMany { .. } => "too-many",
            Self::NoEndpoint => "no-endpoint",
            Self::NoReplica => "no-replica",
            Self::BothKinds => "both-kinds",
            Self::NoNetwork => "no-network",
            Self::OutOfOrder { .. } => "out-of-order",
            Self::UrgencyReversed => "urgency-reversed",
            Self::ListenersClash { .. } => "listeners-clash",
            Self::PeersExposed { .. } => "peers-exposed",
            Self::NoIdentity => "no-identity",
            Self::SidecarProtocol => "sidecar-protocol",
            Self::SidecarRoots => "sidecar-roots",
            Self::IdentityUnseen => "identity-unseen",
            Self::InputsUnused => "inputs-unused",
            Self::NobodyMaySend => "nobody-may-send",
            Self::OwnListener { .. } => "own-listener",
            Self::OwnTraffic => "own-traffic",
            Self::Unreachable { .. } => "unreachable",
            Self::NeedsRestart { .. } => "needs-restart",
            Self::NoPlace { .. } => "no-place",
            Self::Unfit { .. } => "unfit",
        }
    }

    /// The likely fix.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::TooLong => "give adumbra a configuration, not another file".to_owned(),
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::UnknownKey { belongs: Some(place), .. } => format!("move it: it belongs to {place}"),
            Self::UnknownKey { known, .. } => format!("remove it; the keys here are {}", listed(known)),
            Self::Missing { example, .. } => format!("add {example}"),
            Self::Syntax { write, .. } | Self::WrongType { write, .. } | Self::Malformed { write, .. } => write.clone(),
            Self::UnknownNetwork { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::UnknownNetwork { name, known, .. } if known.is_empty() => format!("add a table [networks.{name}]"),
            Self::UnknownNetwork { known, .. } => format!("the networks of this file are {}", listed(known)),
            Self::Repeated { .. } => "remove one of them, or give it a name of its own".to_owned(),
            Self::TooMany { what, most, .. } => format!("keep the {most} {what} that matter most"),
            Self::NoEndpoint => "add `upstreams = [\"http://127.0.0.1:3000\"]`, or `sidecars` if another adumbra \
                                 stands there"
                .to_owned(),
            Self::NoReplica => "add `upstreams = [\"http://127.0.0.1:3001\"]` to `[lane]`".to_owned(),
            Self::BothKinds => "keep `sidecars` if another adumbra stands there, else `upstreams`".to_owned(),
            Self::NoNetwork => "name at least one network, or remove the key to allow all of them".to_owned(),
            Self::OutOfOrder { low, high } => format!("lower `{low}` or raise `{high}`"),
            Self::UrgencyReversed => "exchange the two, or remove one".to_owned(),
            Self::ListenersClash { .. } => "give each listener a port of its own".to_owned(),
            Self::PeersExposed { address } => format!(
                "write `\"127.0.0.1:{}\"`, or add an `[identity]`, with which they come by mutual TLS",
                address.port()
            ),
            Self::NoIdentity => {
                "add an `[identity]` with `certificate`, `key` and `trust`; `adumbra certs` makes them".to_owned()
            }
            Self::SidecarProtocol => "remove it, or write `\"auto\"`".to_owned(),
            Self::SidecarRoots => "remove it, or put these CAs into the file of `identity.trust`".to_owned(),
            Self::IdentityUnseen => "remove it, or write `https://` before the endpoints of `sidecars`".to_owned(),
            Self::InputsUnused => "write `warm = true` on the route, or remove it".to_owned(),
            Self::NobodyMaySend => {
                "write `peers = [\"spiffe://…\"]` with who may send here, or remove `listen.peers`".to_owned()
            }
            Self::OwnListener { .. } => {
                "write the address of the service, or of the other network's sidecar".to_owned()
            }
            Self::OwnTraffic => {
                "add `user = 1337`, the number of the user that the sidecar alone runs as, or a `mark`".to_owned()
            }
            Self::Unreachable { earlier } => format!("move it above `{earlier}`, or remove it"),
            Self::NeedsRestart { .. } => "restart to change it, or put back what was there".to_owned(),
            Self::NoPlace { retired } => {
                format!("restart to add it; until then, only what was removed can come back: {}", listed(retired))
            }
            Self::Unfit { .. } => {
                "see to that, or put back what was there; then save the file or send SIGHUP".to_owned()
            }
        }
    }
}

fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}
