//! A valid configuration, as the proxy uses it: every reference resolved, every bound checked, nothing left to fail.
//!
//! These types are never deserialised. The readers in `text` make them, or a list of errors.

mod cache;
mod guard;
mod identity;
mod intercept;
mod lane;
mod route;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use policy::units::{NetworkId, NetworkSet};
use policy::view::{Price, Pricing, ShadowLimits};
use policy::{Caps, SpendCaps};

pub use cache::Cache;
pub use guard::{Guard, State};
pub use identity::{Identity, SpiffeUri};
pub use intercept::{Fail, Intercept, Ports, Prefix};
pub use lane::{Lane, LaneKind, Run};
pub use route::{Asynchronous, ClassBy, Extract, Input, InputAt, Match, Mode, Poll, Route, Sign};

/// Everything that one configuration file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where jobs, peers, the service's own fetches and the operator come in.
    pub listen: Listen,
    /// Who this sidecar is to others; without it, sidecars speak in the clear.
    pub identity: Option<Identity>,
    /// The network this sidecar stands on.
    pub home: NetworkId,
    /// The networks; a `NetworkId` is a place in here. A network keeps its place for as long as the process runs: see
    /// [`parse_after`](crate::parse_after).
    pub networks: Vec<Network>,
    /// Those that earlier configurations had and this one has not: nothing is sent there, and nobody else has their places.
    pub retired: NetworkSet,
    /// The routes, first match wins; a request that no route matches is passed on to home, untouched by the policy.
    pub routes: Vec<Route>,
    /// What time is worth.
    pub pricing: Pricing,
    /// How shadows are bounded.
    pub shadow: Shadow,
    /// How the policy is compared with the fixed rule.
    pub guard: Guard,
    /// What outlives the process.
    pub state: State,
    /// How shadows run at home.
    pub lane: Lane,
    /// How `adumbra run` keeps the service.
    pub run: Run,
    /// Bounds on what clients and peers may send.
    pub limits: Limits,
    /// Where request bodies are kept while they may still be needed again.
    pub spool: Spool,
    /// The data cache and what may be fetched into it.
    pub data: Data,
    /// The response cache.
    pub cache: Cache,
    /// How the model is kept fresh.
    pub oracle: Oracle,
    /// The decision log.
    pub log: Log,
    /// What decisions can be made again from; `None` for nothing.
    pub journal: Option<Journal>,
    /// Worker threads; each runs its share of the connections on its own. 0 is for as many as there are cores.
    pub workers: usize,
    /// How long a shutdown waits for jobs in flight.
    pub drain: Duration,
}

/// The sockets.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Jobs.
    pub jobs: SocketAddr,
    /// TLS for jobs, if they come encrypted.
    pub tls: Option<TlsFiles>,
    /// Other sidecars: by mutual TLS if there is an identity, else only ever a loopback address.
    pub peers: Option<SocketAddr>,
    /// The service's way out to its inputs.
    pub egress: Option<SocketAddr>,
    /// Health, metrics, status, decisions.
    pub admin: SocketAddr,
    /// Whoever can say what stands in this file may change things through the admin port; without it, nobody may.
    pub admin_token: Option<PathBuf>,
    /// What is brought here without the service's or its clients' knowing.
    pub intercept: Option<Intercept>,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// How often the two are looked at.
    pub reload_every: Duration,
}

/// One network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name, as in `[networks.NAME]`.
    pub name: String,
    /// What stands there.
    pub kind: Kind,
    /// Its endpoints: at least one, unless it is home and `adumbra run` is to start what stands there.
    pub endpoints: Vec<Endpoint>,
    /// How often names are resolved again.
    pub resolve_every: Duration,
    /// Which HTTP version is spoken to it.
    pub protocol: Protocol,
    /// Jobs it can run at once; 0 where that is not known.
    pub capacity: u32,
    /// What it charges.
    pub price: Price,
    /// Bytes per second of the link to it, where the operator knows better than a measurement; 0 to measure.
    pub link_bytes_per_s: f64,
    /// Bounds on waiting for it.
    pub timeouts: Timeouts,
    /// How its health is watched.
    pub health: Health,
    /// Budgets of shadow work on it.
    pub budget: Budget,
    /// What may be spent there.
    pub spend: SpendCaps,
    /// Verify its certificate against these roots instead of the public ones, where endpoints are `https`.
    pub ca: Option<PathBuf>,
    /// Headers that everything is sent there without, such as credentials that are not for it.
    pub strip_headers: Vec<http::HeaderName>,
    /// Who its sidecars must be, where that is not the same service on a network of its name.
    pub identity: Option<SpiffeUri>,
}

/// What stands at a network's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The service itself, or any HTTP upstream: caps are what this side can enforce.
    Upstream,
    /// Another adumbra, reached at its peer listener.
    Sidecar,
}

/// Where a network is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A name or an address literal.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The HTTP version towards a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 for gRPC, and where TLS negotiates it; else HTTP/1.1.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, by prior knowledge in the clear.
    Http2,
}

/// Bounds on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To a connection that may be used.
    pub connect: Duration,
    /// From the request's last byte to the final response head.
    pub head: Duration,
    /// Between two bytes of an answer.
    pub idle: Duration,
    /// The whole dispatch, upgrades and event streams excepted.
    pub total: Duration,
}

/// How health is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// A path to ask, if there are active checks.
    pub path: Option<String>,
    /// How often.
    pub every: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Failures in a row that open the breaker, active or real.
    pub failures: u32,
    /// How long the breaker stays open before one job may try.
    pub open_for: Duration,
}

/// Budgets of shadow work on one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Shadows at once.
    pub in_flight: u32,
    /// Shadows a second.
    pub per_second: f64,
    /// Bytes a second, both ways together, over all shadows.
    pub bytes_per_second: f64,
    /// Shadows at once, as a share of the network's capacity where that is known.
    pub share: f64,
    /// Headers that shadows are sent without, beside those that every request there is.
    pub strip_headers: Vec<http::HeaderName>,
}

/// How shadows are bounded, over all networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shadow {
    /// The kill switch: `false` makes every route `off`.
    pub enabled: bool,
    /// What the policy is told.
    pub limits: ShadowLimits,
    /// What a shadow that runs here for another sidecar is given at the most, whatever that one asks.
    pub serve: Caps,
    /// Bytes of an adoptable answer that are kept before it stops being read.
    pub answer_bytes: usize,
}

/// Bounds on what clients and peers may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to each listener at once; the next one waits in the backlog.
    pub connections: usize,
    /// Connections to one listener at once from one address.
    pub connections_per_address: usize,
    /// From a request head's first byte to its last.
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keep_alive: Duration,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Fields in a request head.
    pub head_fields: usize,
    /// HTTP/2 streams at once on one connection.
    pub h2_streams: u32,
    /// Streams a client may reset before they are answered, before its connection is closed.
    pub h2_resets: usize,
    /// Bytes of an unread request body that are drained before a connection is closed instead.
    pub drain_bytes: usize,
}

/// Where request bodies are kept while they may be needed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes of one body kept in memory.
    pub memory_bytes: usize,
    /// Bytes of one body at the most; a longer one makes the job unswitchable.
    pub body_bytes: u64,
    /// Bytes of all bodies on disk at the most.
    pub disk_bytes: u64,
    /// Where the files are made.
    pub directory: PathBuf,
}

/// The data cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Origins that may be fetched from, as `scheme://host:port`; none by default.
    pub origins: Vec<Origin>,
    /// Bytes kept in memory.
    pub memory_bytes: usize,
    /// Bytes of one object at the most.
    pub object_bytes: usize,
    /// How long one fetch may take.
    pub timeout: Duration,
    /// Fetches for warming at once.
    pub warming: usize,
    /// Bytes a second that all fetches for warming may move together; infinite for no bound.
    pub warming_bytes_per_s: f64,
    /// Bytes that may be fetched ahead for one job.
    pub job_bytes: u64,
    /// Whether what jobs fetch is learned, and fetched ahead for the next.
    pub learn: bool,
}

/// An origin data may come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: http::uri::Scheme,
    /// The host, lower case.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How the model is kept fresh.
#[derive(Clone, Debug, PartialEq)]
pub struct Oracle {
    /// How often a refit is tried.
    pub refit_every: Duration,
    /// New labels a refit needs.
    pub refit_after: usize,
    /// Labels before the first model.
    pub first_after: usize,
    /// Labels kept.
    pub window: usize,
    /// How many versions of the model are kept over a restart, where anything is.
    pub keep: usize,
}

/// The decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where each decision is written, one JSON object a line; `None` for nowhere.
    pub decisions: Option<PathBuf>,
    /// How many of the latest are kept for `/decisions`.
    pub keep: usize,
    /// How long the file may become before the next one is begun.
    pub decisions_bytes: u64,
    /// How many files there are at the most, the one that is written among them.
    pub decisions_files: u64,
}

/// What `adumbra replay` reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// Where its segments are.
    pub directory: PathBuf,
    /// The most bytes of all of them.
    pub bytes: u64,
}

impl Config {
    /// The network with this id.
    ///
    /// # Panics
    /// If `network` is not of this configuration.
    #[must_use]
    pub fn network(&self, network: NetworkId) -> &Network {
        &self.networks[network.index()]
    }

    /// The ids of the networks there are.
    pub fn network_ids(&self) -> impl Iterator<Item = NetworkId> + use<> {
        let retired = self.retired;
        (0..self.networks.len()).filter_map(NetworkId::new).filter(move |id| !retired.contains(*id))
    }

    /// Whether nothing stands at home until `adumbra run` has started it.
    #[must_use]
    pub fn is_for_run(&self) -> bool {
        self.network(self.home).endpoints.is_empty()
    }

    /// The first route that takes this request, and its place.
    #[must_use]
    pub fn route(&self, method: &http::Method, path: &str, headers: &http::HeaderMap) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().find(|(_, route)| route.matches.takes(method, path, headers))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}
