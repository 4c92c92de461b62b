//! One place where a network is reached: its addresses, whether it is well, and how busy it is with us.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use config::value as cfg;
use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use policy::health::Breaker;
use tokio::time::Instant;

use super::connect::{ConnectError, Stream, Tls};
use super::pool::Pool;
use crate::identity::{Carries, Dialled, Identity};

/// Addresses that one connection tries.
const TRIED_MOST: usize = 4;

/// A new connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: Stream,
    /// How long its address took to accept it.
    pub(super) took: Duration,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    /// What `Host` says to it where the client named none.
    authority: HeaderValue,
    /// What TLS needs, if it is spoken.
    pub(super) tls: Option<Tls>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    next: AtomicUsize,
    /// Whether TLS last negotiated HTTP/2; `true` before the first, so that not everybody who comes first opens one.
    speaks_h2: AtomicBool,
    breaker: Mutex<Breaker>,
    /// Whether its process is there, where we start it; `true` where somebody else does.
    present: AtomicBool,
    /// What the last active check said; `true` before the first.
    checked_well: AtomicBool,
    pub(super) in_flight: AtomicU32,
    reported: Mutex<Option<Report>>,
    /// Idle connections, by worker: no worker ever touches another's.
    pools: Box<[Mutex<Pool>]>,
    /// How it is reached: with another answer, it is another endpoint.
    way: Way,
}

/// All that says how an endpoint is reached.
#[derive(Clone, Debug)]
pub(super) struct Way {
    at: cfg::Endpoint,
    kind: cfg::Kind,
    protocol: cfg::Protocol,
    /// The network's roots, as they were read.
    roots: Option<Arc<[u8]>>,
    /// What is shown to a sidecar by TLS, and who it must be.
    identity: Option<(Arc<Identity>, Option<cfg::SpiffeUri>)>,
}

impl Way {
    /// `identity` is what sidecars are shown, where they are reached by TLS.
    pub(super) fn new(
        at: &cfg::Endpoint,
        network: &cfg::Network,
        roots: Option<Arc<[u8]>>,
        identity: Option<&Arc<Identity>>,
    ) -> Self {
        let shown = identity.filter(|_| at.tls && network.kind == cfg::Kind::Sidecar);
        Self {
            at: at.clone(),
            kind: network.kind,
            protocol: network.protocol,
            roots: roots.filter(|_| at.tls),
            identity: shown.map(|identity| (Arc::clone(identity), network.identity.clone())),
        }
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        let shown = match (&self.identity, &other.identity) {
            (Some((one, expects)), Some((another, expected))) => Arc::ptr_eq(one, another) && expects == expected,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        shown
            && (&self.at, self.kind, self.protocol, &self.roots)
                == (&other.at, other.kind, other.protocol, &other.roots)
    }
}

/// What a sidecar says of its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) in_flight: u32,
    /// How many of those were ours when it said so.
    pub(crate) ours: u32,
    pub(crate) capacity: u32,
}

impl Endpoint {
    /// For as many `workers` as send requests.
    pub(super) fn new(way: Way, network: &cfg::Network, workers: usize) -> io::Result<Self> {
        let at = &way.at;
        let literal = at.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, at.port));
        Ok(Self {
            authority: authority(at).map_err(io::Error::other)?,
            tls: if at.tls { Some(tls(&way, network)?) } else { None },
            host: at.host.clone(),
            port: at.port,
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            next: AtomicUsize::new(0),
            speaks_h2: AtomicBool::new(true),
            breaker: Mutex::new(Breaker::new(network.health.failures, network.health.open_for.as_secs_f64())),
            present: AtomicBool::new(true),
            checked_well: AtomicBool::new(true),
            in_flight: AtomicU32::new(0),
            reported: Mutex::new(None),
            pools: (0..workers).map(|_| Mutex::default()).collect(),
            way,
        })
    }

    /// Whether it is reached in this way.
    pub(super) fn is_reached(&self, way: &Way) -> bool {
        self.way == *way
    }

    /// The idle connections of a worker's.
    pub(super) fn pool(&self, worker: usize) -> MutexGuard<'_, Pool> {
        self.pools[worker].lock()
    }

    /// Its breaker goes by these numbers from now on. Where nobody asks for its health any more, only jobs tell.
    pub(super) fn retune(&self, health: &cfg::Health) {
        self.breaker.lock().retune(health.failures, health.open_for.as_secs_f64());
        if health.path.is_none() && self.way.kind == cfg::Kind::Upstream {
            self.checked_well.store(true, Ordering::Relaxed);
        }
    }

    /// The name or literal it was given as.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it was given as the same place as `other`.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    /// What `Host` says to it where the client named none.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Which certificate of ours a connection to it would show now; connections that showed another are not used again.
    pub(super) fn version(&self) -> u64 {
        self.dialled().map_or(0, Dialled::version)
    }

    /// The sidecar that stands there, if it must prove who it is.
    pub(super) fn dialled(&self) -> Option<&Dialled> {
        match &self.tls {
            Some(Tls::Peer { dialled, .. }) => Some(dialled),
            Some(Tls::Named { .. }) | None => None,
        }
    }

    /// Whether it is worth looking for a connection of HTTP/2 first.
    pub(super) fn may_negotiate_h2(&self) -> bool {
        self.tls.is_some() && self.speaks_h2.load(Ordering::Relaxed)
    }

    /// Takes in what TLS has negotiated.
    pub(super) fn negotiated(&self, h2: bool) {
        self.speaks_h2.store(h2, Ordering::Relaxed);
    }

    /// Connects to the first of its addresses that accepts, within `within` over all of them. Consecutive connections go
    /// round; `failed` is told of each address that does not accept.
    pub(super) async fn connect(
        &self,
        carries: Carries,
        within: Duration,
        mut failed: impl FnMut(&ConnectError),
    ) -> Result<Connected, ConnectError> {
        let addresses = self.addresses_in_turn();
        let ends = Instant::now() + within;
        let mut last = ConnectError::Unresolved { host: self.host.clone() };
        for (place, address) in addresses.iter().enumerate() {
            let began = Instant::now();
            // One that keeps silent must leave the others their share of the time.
            let share = ends.saturating_duration_since(began) / (addresses.len() - place) as u32;
            match Stream::connect(*address, self.tls.as_ref(), carries, share).await {
                Ok(stream) => return Ok(Connected { stream, took: began.elapsed() }),
                Err(error) => {
                    failed(&error);
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// The addresses that one connection tries.
    fn addresses_in_turn(&self) -> Vec<SocketAddr> {
        let addresses = self.addresses.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        let (before, from) = addresses.split_at(turn);
        from.iter().chain(before).take(TRIED_MOST).copied().collect()
    }

    /// Whether it was given as a name, and so must be resolved.
    pub(crate) fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    /// Whether it is a name that nobody has resolved yet.
    pub(crate) fn is_unresolved(&self) -> bool {
        self.is_name() && self.addresses.load().is_empty()
    }

    /// Resolves the name again. What was known stays if nothing comes of it: a dead name server takes nothing down.
    pub(crate) async fn resolve(&self) -> io::Result<()> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        if !found.is_empty() && **self.addresses.load() != found {
            self.addresses.store(Arc::new(found));
        }
        Ok(())
    }

    /// A process of ours is about to listen at this address. Until it has arrived, nothing is sent here.
    pub(crate) fn awaits(&self, address: SocketAddr) {
        self.present.store(false, Ordering::Release);
        self.addresses.store(Arc::new(vec![address]));
    }

    /// The process takes requests, and what was held against the one before it is forgotten.
    pub(crate) fn arrived(&self) {
        self.breaker.lock().forget();
        self.checked_well.store(true, Ordering::Relaxed);
        self.present.store(true, Ordering::Release);
    }

    /// The process is gone.
    pub(crate) fn left(&self) {
        self.present.store(false, Ordering::Release);
    }

    /// Whether its process is there, as far as we start it.
    pub(crate) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }

    /// Whether a job would be let through.
    pub(crate) fn would_admit(&self, now_s: f64) -> bool {
        self.is_present() && self.checked_well.load(Ordering::Relaxed) && self.breaker.lock().would_admit(now_s)
    }

    /// Whether this job is let through; takes the one try of a half-open breaker.
    pub(super) fn admits(&self, now_s: f64) -> bool {
        self.is_present() && self.checked_well.load(Ordering::Relaxed) && self.breaker.lock().admits(now_s)
    }

    /// Takes a real outcome in.
    pub(crate) fn saw(&self, good: bool, now_s: f64) {
        self.breaker.lock().saw(good, now_s);
    }

    /// Takes what an active check said in.
    pub(crate) fn checked(&self, well: bool) {
        self.checked_well.store(well, Ordering::Relaxed);
    }

    /// Requests of ours it has now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What its sidecar last said, if it has said anything and still does.
    pub(super) fn reported(&self) -> Option<Report> {
        *self.reported.lock()
    }

    /// Takes a load report in, or that there is none any more.
    pub(super) fn reports(&self, report: Option<Report>) {
        *self.reported.lock() = report;
    }

    /// Where it is, for people.
    pub(crate) fn label(&self) -> String {
        match self.addresses.load().first() {
            // What we start listens where there was room.
            Some(address) if !self.is_name() => address.to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The authority of an endpoint (RFC 3986 §3.2): the scheme's own port is left out, an IPv6 literal stands in brackets.
fn authority(endpoint: &cfg::Endpoint) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let literal = endpoint.host.parse::<Ipv6Addr>().is_ok();
    let host = if literal { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    let usual = if endpoint.tls { 443 } else { 80 };
    HeaderValue::try_from(if endpoint.port == usual { host } else { format!("{host}:{}", endpoint.port) })
}

fn tls(way: &Way, network: &cfg::Network) -> io::Result<Tls> {
    let host = way.at.host.clone();
    if way.kind == cfg::Kind::Sidecar {
        // The configuration has been checked for it.
        let shown = way.identity.as_ref();
        let (identity, _) = shown.ok_or_else(|| io::Error::other("there is no `[identity]` to show to sidecars"))?;
        return Ok(Tls::Peer { dialled: Dialled::new(identity, network).map_err(io::Error::other)?, host });
    }
    let alpn: &[&[u8]] = match way.protocol {
        cfg::Protocol::Auto => &[b"h2", b"http/1.1"],
        cfg::Protocol::Http1 => &[b"http/1.1"],
        cfg::Protocol::Http2 => &[b"h2"],
    };
    let config = |alpn: &[&[u8]]| certs::client_config(way.roots.as_deref(), alpn).map_err(io::Error::other);
    Ok(Tls::Named { config: config(alpn)?, upgrade: config(&[b"http/1.1"])?, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_what_a_client_would_say() {
        let check = |host: &str, port, tls, expected: &str| {
            let endpoint = cfg::Endpoint { tls, host: host.to_owned(), port };
            assert_eq!(authority(&endpoint).expect("a value"), expected);
        };
        check("service.example", 80, false, "service.example");
        check("service.example", 443, true, "service.example");
        check("service.example", 443, false, "service.example:443");
        check("127.0.0.1", 8080, false, "127.0.0.1:8080");
        check("::1", 8080, false, "[::1]:8080");
    }

    fn named(addresses: &[SocketAddr]) -> Endpoint {
        let addresses = ArcSwap::from_pointee(addresses.to_vec());
        let at = cfg::Endpoint { tls: false, host: "service.example".to_owned(), port: 80 };
        let (kind, protocol) = (cfg::Kind::Upstream, cfg::Protocol::Auto);
        Endpoint {
            pools: Box::default(),
            way: Way { at, kind, protocol, roots: None, identity: None },
            host: "service.example".to_owned(),
            port: 80,
            authority: HeaderValue::from_static("service.example"),
            tls: None,
            addresses,
            next: AtomicUsize::new(0),
            speaks_h2: AtomicBool::new(true),
            breaker: Mutex::new(Breaker::new(3, 10.0)),
            present: AtomicBool::new(true),
            checked_well: AtomicBool::new(true),
            in_flight: AtomicU32::new(0),
            reported: Mutex::new(None),
        }
    }

    #[tokio::test]
    async fn the_addresses_that_refuse_are_passed_over() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let open = listener.local_addr().expect("a bound socket has an address");
        let refusing = SocketAddr::from(([127, 0, 0, 1], 1));
        let check = async |addresses: &[SocketAddr], expected: Option<usize>| {
            let mut failed = 0;
            let connected = named(addresses).connect(Carries::Http, Duration::from_secs(5), |_| failed += 1).await;
            assert_eq!(connected.is_ok().then_some(failed), expected, "{addresses:?}");
        };
        check(&[], None).await;
        check(&[open], Some(0)).await;
        check(&[refusing, open], Some(1)).await;
        check(&[refusing, refusing, refusing, open], Some(3)).await;
        check(&[refusing, refusing, refusing, refusing, open], None).await;
    }

    #[test]
    fn consecutive_connections_go_round() {
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let endpoint = named(&[a, b, c]);
        for expected in [[a, b, c], [b, c, a], [c, a, b], [a, b, c]] {
            assert_eq!(endpoint.addresses_in_turn(), expected);
        }
    }
}
