//! Certificates while the process runs: who this sidecar is, whom it believes, and how both change without a restart.
//!
//! A handshake uses what is in force when it begins. When files change, new handshakes use the new ones; connections that
//! showed the old certificate take no new requests and end when theirs have; connections whose other side is no longer
//! believed are cut (`live`, `wire`). Bad files change nothing and are reported (`files`, `fresh`).
//!
//! Verification is in `certs`; who may be who is the configuration's to say. What a believed sidecar may do is decided on the
//! path, by the listener that it came to.

mod files;
mod fresh;
mod jobs;
mod live;
mod papers;
mod status;
mod wire;

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use certs::{Expected, Pair, Reason, Role, SpiffeId, Trust};
use config::Config;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::accept::Unshaken;
use crate::metrics::{Certificate, Metrics, Side};

use files::Watched;
use live::{Live, Shown};
use papers::{identity_of, pair_of, peers, trust_of};

pub(crate) use files::told;
pub(crate) use fresh::keep_fresh;
pub(crate) use jobs::JobsTls;
pub(crate) use papers::{IdentityError, Papers};
pub(crate) use status::CertificatesPage;
pub(crate) use wire::{Linked, Wire};

/// How long a refusal of one kind is not told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Every certificate that the process shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// To sidecars.
    pub(crate) identity: Option<Arc<Identity>>,
    /// To clients.
    pub(crate) jobs: Option<Arc<JobsTls>>,
}

/// Who this sidecar is to others, and whom it believes.
#[derive(Debug)]
pub(crate) struct Identity {
    own: SpiffeId,
    current: ArcSwap<Current>,
    live: Arc<Live>,
    pair_files: Mutex<Watched>,
    trust_files: Mutex<Watched>,
    /// Counts the pairs that were in force.
    version: watch::Sender<u64>,
    /// When a refusal was last told, so that nobody can fill the log.
    told: Mutex<HashMap<(Side, Reason), Instant>>,
    metrics: Arc<Metrics>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    version: u64,
    pair: Pair,
    trust: Arc<Trust>,
    /// Who may send here.
    peers: Arc<[SpiffeId]>,
    server: Arc<ServerConfig>,
}

/// A sidecar to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Dialled {
    identity: Arc<Identity>,
    expected: Arc<[SpiffeId]>,
}

/// What a connection will carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Requests and answers.
    Http,
    /// One request that turns it into something else, which only HTTP/1.1 can.
    Upgrade,
}

/// A sidecar that has proved who it is.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) id: SpiffeId,
    /// Changes when this connection showed a certificate that has been replaced since.
    pub(crate) renewed: watch::Receiver<u64>,
}

impl Certificates {
    /// Whether these are the same ones: files that have changed since are taken up by each itself.
    pub(crate) fn are(&self, others: &Self) -> bool {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        }
        same(self.identity.as_ref(), others.identity.as_ref()) && same(self.jobs.as_ref(), others.jobs.as_ref())
    }
}

impl Verified {
    /// Who it is, and what changes when it should be shown another certificate.
    pub(crate) fn parts(peer: Option<Self>) -> (Option<Arc<SpiffeId>>, Option<watch::Receiver<u64>>) {
        peer.map(|peer| (Arc::new(peer.id), peer.renewed)).unzip()
    }
}

impl Identity {
    /// The identity that these papers prove.
    pub(crate) fn new(papers: Papers, metrics: &Arc<Metrics>) -> Arc<Self> {
        let Papers { own, pair, trust, peers, pair_files, trust_files } = papers;
        let (version, _nobody_yet) = watch::channel(0);
        fresh::warn_of_authorities(&trust, |validity| fresh::vouches_not(validity, SystemTime::now()));
        Arc::new(Self {
            own,
            current: ArcSwap::from_pointee(Current::new(0, pair, Arc::new(trust), peers)),
            live: Live::new(Arc::clone(metrics)),
            pair_files: Mutex::new(pair_files),
            trust_files: Mutex::new(trust_files),
            version,
            told: Mutex::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Whether these papers are the same sidecar's, and hold now: whoever knows us by one identity does not know us by another.
    ///
    /// # Errors
    /// They are not, or do not.
    pub(crate) fn is_proved_by(&self, papers: &Papers) -> Result<(), IdentityError> {
        let (own, new) = (self.own.to_string(), papers.own.to_string());
        if own != new {
            return Err(IdentityError::Another { new, own });
        }
        let (validity, moment) = (papers.pair.validity(), SystemTime::now());
        if validity.is_over(moment) || validity.is_to_come(moment) {
            return Err(IdentityError::Time);
        }
        Ok(())
    }

    /// The papers are in force from now on. Whoever is not believed by them is cut, which is done beside.
    pub(crate) fn take(self: &Arc<Self>, papers: Papers) {
        let Papers { pair, trust, peers, pair_files, trust_files, own: _ } = papers;
        let now = self.current.load_full();
        let is_new = self.pair_files.lock().contents() != pair_files.contents();
        let expires = |pair: &Pair| Some(pair.validity().not_after);
        self.metrics.certificate_expires(Certificate::Identity, expires(&now.pair), expires(&pair));
        self.metrics.certificate_expires(Certificate::Trust, now.trust.due(), trust.due());
        *self.pair_files.lock() = pair_files;
        *self.trust_files.lock() = trust_files;
        let version = now.version + u64::from(is_new);
        self.current.store(Arc::new(Current::new(version, pair, Arc::new(trust), peers)));
        if is_new {
            self.version.send_replace(version);
        }
        let reviewing = Arc::clone(self);
        tokio::task::spawn_blocking(move || reviewing.review(live::Review::All));
    }

    /// Judges the open connections again.
    fn review(&self, which: live::Review) {
        let current = self.current.load_full();
        self.live.review(&current.trust, &current.peers, which);
    }

    /// It is shown from now on, and so is when it ends.
    pub(crate) fn put_in_force(&self) {
        let now = self.current.load();
        self.metrics.certificate_expires(Certificate::Identity, None, Some(now.pair.validity().not_after));
        self.metrics.certificate_expires(Certificate::Trust, None, now.trust.due());
    }

    /// Whether those may send here who may by `config`.
    ///
    /// # Errors
    /// It names somebody who cannot be.
    pub(crate) fn expects_those_of(&self, config: &Config) -> Result<bool, IdentityError> {
        let Some(files) = &config.identity else { return Ok(false) };
        Ok(peers(config, files, &self.own)? == *self.current.load().peers)
    }

    /// It shows its certificate no more, and what is said of it ends.
    pub(crate) fn retire(&self) {
        let now = self.current.load();
        self.metrics.certificate_expires(Certificate::Identity, Some(now.pair.validity().not_after), None);
        self.metrics.certificate_expires(Certificate::Trust, now.trust.due(), None);
    }

    /// Shakes hands with whoever has connected to the listener for sidecars.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        socket: TcpStream,
    ) -> Result<(Linked<server::TlsStream<TcpStream>>, Verified), Unshaken> {
        let renewed = self.version.subscribe();
        let current = self.current.load_full();
        let shaking = TlsAcceptor::from(Arc::clone(&current.server)).accept(socket).into_fallible();
        let stream = shaking.await.map_err(|(error, socket)| (certs::explained(error), socket))?;
        let expected = Expected::new(Arc::clone(&current.trust), Arc::clone(&current.peers), Role::Client);
        match self.enter(stream.get_ref().1.peer_certificates(), expected, &current) {
            Ok((id, entry)) => Ok((Linked::new(stream, entry), Verified { id, renewed })),
            Err(error) => Err((error, stream.into_inner().0)),
        }
    }

    /// Enters a connection whose handshake is done. What is trusted may have changed since it began.
    fn enter(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        expected: Expected,
        began: &Current,
    ) -> io::Result<(SpiffeId, live::Entry)> {
        let chain: Vec<_> = chain.unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
        let refused = |refusal| io::Error::new(io::ErrorKind::InvalidData, refusal);
        let (id, ends) = expected.verify_until(&chain, rustls::pki_types::UnixTime::now()).map_err(refused)?;
        let role = expected.role();
        let entry = self.live.enter(Shown { chain, expected, ends: Mutex::new(ends), role });
        let now = self.current.load();
        if !Arc::ptr_eq(&now.trust, &began.trust) || !Arc::ptr_eq(&now.peers, &began.peers) {
            self.live.review(&now.trust, &now.peers, live::Review::All);
        }
        Ok((id, entry))
    }

    /// Counts a handshake that failed, and says why, but not again and again: whoever is refused tries again.
    pub(crate) fn refused(&self, side: Side, reason: Reason, at: &dyn Display, why: &str) {
        self.metrics.peer_handshake_refused(side, reason);
        let now = Instant::now();
        let is_news = {
            let mut told = self.told.lock();
            let last = told.insert((side, reason), now);
            let is_news = last.is_none_or(|last| now.duration_since(last) >= TELL_AGAIN);
            if let Some(last) = last.filter(|_| !is_news) {
                told.insert((side, reason), last);
            }
            is_news
        };
        if is_news {
            tracing::warn!(?side, reason = reason.as_str(), %at, why, "a handshake with a sidecar failed");
        } else {
            tracing::debug!(?side, reason = reason.as_str(), %at, why, "a handshake with a sidecar failed");
        }
    }
}

impl Current {
    fn new(version: u64, pair: Pair, trust: Arc<Trust>, peers: Arc<[SpiffeId]>) -> Self {
        let expected = Expected::new(Arc::clone(&trust), Arc::clone(&peers), Role::Client);
        let server = certs::peer_server_config(&pair, &expected);
        Self { version, pair, trust, peers, server }
    }
}

impl Dialled {
    /// The sidecars of a network, as the configuration says who they must be.
    pub(crate) fn new(identity: &Arc<Identity>, network: &config::value::Network) -> Result<Self, IdentityError> {
        let expected = identity_of(network, &identity.own)?;
        Ok(Self { identity: Arc::clone(identity), expected: Arc::new([expected]) })
    }

    /// Shakes hands over a connection to it.
    pub(crate) async fn connect(
        &self,
        socket: TcpStream,
        name: ServerName<'static>,
        carries: Carries,
    ) -> io::Result<Linked<client::TlsStream<TcpStream>>> {
        let at = name.to_str().into_owned();
        let shaken = self.shake_hands(socket, name, carries).await;
        shaken.inspect_err(|error| {
            self.identity.refused(Side::Connect, Reason::of_handshake(error), &at, &told(error));
        })
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        name: ServerName<'static>,
        carries: Carries,
    ) -> io::Result<Linked<client::TlsStream<TcpStream>>> {
        let current = self.identity.current.load_full();
        let expected = Expected::new(Arc::clone(&current.trust), Arc::clone(&self.expected), Role::Server);
        let protocol: &[u8] = match carries {
            Carries::Http => b"h2",
            Carries::Upgrade => b"http/1.1",
        };
        let config = certs::peer_client_config(&current.pair, &expected, &[protocol]);
        let stream = TlsConnector::from(config).connect(name, socket).await.map_err(certs::explained)?;
        let (_id, entry) = self.identity.enter(stream.get_ref().1.peer_certificates(), expected, &current)?;
        Ok(Linked::new(stream, entry))
    }

    /// Whether `id` is who it must be.
    pub(crate) fn expects(&self, id: &SpiffeId) -> bool {
        self.expected.contains(id)
    }

    /// Which certificate a new connection would show; connections that showed another are not to be used again.
    pub(crate) fn version(&self) -> u64 {
        self.identity.current.load().version
    }

    /// Counts that the other side, which is at `at`, did not believe us, or broke off before it said so.
    pub(crate) fn not_believed(&self, reason: Reason, at: &str) {
        self.identity.refused(Side::Connect, reason, &at, "it took the handshake and then not the connection");
    }
}
