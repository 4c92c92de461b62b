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
mod status;
mod wire;

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use certs::{CertError, Expected, NamelessError, Pair, Reason, Role, SpiffeId, Trust};
use config::Config;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::metrics::{Certificate, Metrics, Side};

use files::Watched;
use live::{Live, Shown};

pub(crate) use files::told;
pub(crate) use fresh::keep_fresh;
pub(crate) use jobs::JobsTls;
pub(crate) use status::CertificatesPage;
pub(crate) use wire::{Linked, Wire};

/// How long a refusal of one kind is not told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Why an identity cannot be had from what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of it cannot be used.
    #[error("`{key}` of `[identity]` cannot be used, {}", path.display())]
    File {
        /// Its key in the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CertError,
    },
    /// The certificate is no sidecar's.
    #[error("{} is not a sidecar's certificate; `adumbra certs issue` makes one", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: NamelessError,
    },
    /// A name in the configuration cannot be part of an identity.
    #[error("network `{network}` cannot be part of an identity; give it one by `networks.{network}.identity`")]
    Network {
        /// Which.
        network: String,
        /// Why.
        #[source]
        source: certs::IdError,
    },
    /// An identity in the configuration that is none.
    #[error("`{uri}` is not an identity")]
    Uri {
        /// What is written.
        uri: String,
        /// Why.
        #[source]
        source: certs::IdError,
    },
}

/// Every certificate that the process shows.
#[derive(Debug, Default)]
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
    /// Who may send here.
    peers: Arc<[SpiffeId]>,
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

impl Verified {
    /// Who it is, and what changes when it should be shown another certificate.
    pub(crate) fn parts(peer: Option<Self>) -> (Option<Arc<SpiffeId>>, Option<watch::Receiver<u64>>) {
        peer.map(|peer| (Arc::new(peer.id), peer.renewed)).unzip()
    }
}

impl Identity {
    /// Reads everything that `config` names; `None` if it names no identity.
    pub(crate) fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Self>>, IdentityError> {
        let Some(files) = &config.identity else { return Ok(None) };
        let file = |key, path: &PathBuf| {
            let path = path.clone();
            move |source| IdentityError::File { key, path, source }
        };
        let pair_paths = vec![files.certificate.clone(), files.key.clone()];
        let trust_paths = std::iter::once(&files.trust).chain(&files.crl).cloned().collect();
        let pair_files = Watched::read(pair_paths).map_err(file("certificate", &files.certificate))?;
        let trust_files = Watched::read(trust_paths).map_err(file("trust", &files.trust))?;
        let pair = pair_of(pair_files.contents()).map_err(file("certificate", &files.certificate))?;
        let trust = trust_of(trust_files.contents()).map_err(file("trust", &files.trust))?;
        let own =
            pair.identity().map_err(|source| IdentityError::Nameless { path: files.certificate.clone(), source })?;
        pair.vouched_for_by(&trust).map_err(file("certificate", &files.certificate))?;
        let home = &config.network(config.home).name;
        if own.network() != home {
            tracing::warn!(%own, %home, "the certificate names another network than `home`; others know us by the certificate");
        }
        let peers: Arc<[SpiffeId]> = peers(config, files, &own)?.into();
        let (version, _nobody_yet) = watch::channel(0);
        metrics.certificate_expires(Certificate::Identity, None, Some(pair.validity().not_after));
        metrics.certificate_expires(Certificate::Trust, None, trust.due());
        fresh::warn_of_authorities(&trust, |validity| fresh::vouches_not(validity, SystemTime::now()));
        let current = Current::new(0, pair, Arc::new(trust), &peers);
        Ok(Some(Arc::new(Self {
            own,
            peers,
            current: ArcSwap::from_pointee(current),
            live: Live::new(Arc::clone(metrics)),
            pair_files: Mutex::new(pair_files),
            trust_files: Mutex::new(trust_files),
            version,
            told: Mutex::default(),
            metrics: Arc::clone(metrics),
        })))
    }

    /// Shakes hands with whoever has connected to the listener for sidecars.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        socket: TcpStream,
    ) -> io::Result<(Linked<server::TlsStream<TcpStream>>, Verified)> {
        let renewed = self.version.subscribe();
        let current = self.current.load_full();
        let stream = TlsAcceptor::from(Arc::clone(&current.server)).accept(socket).await.map_err(certs::explained)?;
        let expected = Expected::new(Arc::clone(&current.trust), Arc::clone(&self.peers), Role::Client);
        let (id, entry) = self.enter(stream.get_ref().1.peer_certificates(), expected, &current)?;
        Ok((Linked::new(stream, entry), Verified { id, renewed }))
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
        if !Arc::ptr_eq(&now.trust, &began.trust) {
            self.live.review(&now.trust, live::Review::All);
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
    fn new(version: u64, pair: Pair, trust: Arc<Trust>, peers: &Arc<[SpiffeId]>) -> Self {
        let expected = Expected::new(Arc::clone(&trust), Arc::clone(peers), Role::Client);
        let server = certs::peer_server_config(&pair, &expected);
        Self { version, pair, trust, server }
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

fn pair_of(contents: &[Vec<u8>]) -> Result<Pair, CertError> {
    match contents {
        [certificate, key, ..] => Pair::new(certificate, key),
        _ => Err(CertError::NoCertificate),
    }
}

fn trust_of(contents: &[Vec<u8>]) -> Result<Trust, CertError> {
    let (bundle, lists) = contents.split_first().ok_or(CertError::NoCertificate)?;
    Trust::new(bundle, lists)
}

/// Who may send here: whom the file names, else our own service on each other network.
fn peers(config: &Config, files: &config::value::Identity, own: &SpiffeId) -> Result<Vec<SpiffeId>, IdentityError> {
    if let Some(named) = &files.peers {
        return named.iter().map(|uri| parse(uri.as_str())).collect();
    }
    let others = config.network_ids().filter(|id| *id != config.home).map(|id| config.network(id));
    others.map(|network| identity_of(network, own)).collect()
}

fn identity_of(network: &config::value::Network, own: &SpiffeId) -> Result<SpiffeId, IdentityError> {
    match &network.identity {
        Some(uri) => parse(uri.as_str()),
        None => {
            own.on(&network.name).map_err(|source| IdentityError::Network { network: network.name.clone(), source })
        }
    }
}

fn parse(uri: &str) -> Result<SpiffeId, IdentityError> {
    SpiffeId::parse(uri).map_err(|source| IdentityError::Uri { uri: uri.to_owned(), source })
}
