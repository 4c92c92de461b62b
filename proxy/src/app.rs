//! The whole sidecar, started from a configuration: what `adumbra serve` runs, and what tests run in process.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use config::Config;
use config::value::{Endpoint, LaneKind};
use rustix::process::Signal;
use tokio::sync::{Semaphore, watch};

use crate::accept::{Port, Tls};
use crate::data::Cache;
use crate::generation::{Classes, Generation, Shared};
use crate::guard::Guard;
use crate::identity::{Certificates, Identity, IdentityError, JobsTls};
use crate::lane::{Recipe, Service};
use crate::metrics::Metrics;
use crate::oracle::Oracle;
use crate::peer::Registry;
use crate::record::Recorder;
use crate::runtime::{self, Listening, Stopping};
use crate::spend::Purses;
use crate::spool::Store;
use crate::upstream::Network;

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

/// A running sidecar. Dropping it cuts what is open; [`App::stop`] lets jobs finish.
#[derive(Debug)]
pub struct App {
    addresses: Vec<(Port, SocketAddr)>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// The service, where we keep it. Its thread ends after all others.
    service: Option<Service>,
}

impl App {
    /// Starts everything that `config` says. It serves when this returns.
    pub fn start(config: Config) -> Result<Self, StartError> {
        if config.is_for_run() {
            return Err(StartError::NoService { home: config.network(config.home).name.clone() });
        }
        if config.lane.kind == LaneKind::Process {
            return Err(StartError::NoWorkers);
        }
        Self::start_with(config, None)
    }

    /// The same, and the service itself, by its command. It serves when this returns; jobs get to the service when it is up.
    pub fn run(mut config: Config, recipe: Recipe) -> Result<Self, StartError> {
        let home = config.home.index();
        if !config.is_for_run() {
            return Err(StartError::TwoServices { home: config.networks[home].name.clone() });
        }
        // It listens where there is room when it is started.
        config.networks[home].endpoints = vec![Endpoint { tls: false, host: "127.0.0.1".to_owned(), port: 0 }];
        Self::start_with(config, Some(recipe))
    }

    fn start_with(config: Config, recipe: Option<Recipe>) -> Result<Self, StartError> {
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let names: Vec<String> = config.networks.iter().map(|network| network.name.clone()).collect();
        let metrics = Arc::new(Metrics::new(&names));
        let certificates = certificates(&config, &metrics)?;
        let listening = listening(&config, &certificates)?;
        let addresses = addresses(&listening);
        let drain = config.drain;
        let shared = shared(config, workers, metrics, certificates)?;
        let service = recipe.map(|recipe| service(&shared, recipe)).transpose()?;
        let (stop, stopping) = Stopping::new();
        let threads = runtime::start(&shared, workers, listening, &stopping, drain)
            .map_err(|source| StartError::Thread { what: "the workers", source })?;
        Ok(Self { addresses, shared, stop, threads, service })
    }

    /// Where jobs come in.
    #[must_use]
    pub fn jobs(&self) -> SocketAddr {
        self.address(Port::Jobs).expect("there is always a listener for jobs")
    }

    /// Where other sidecars come in.
    #[must_use]
    pub fn peers(&self) -> Option<SocketAddr> {
        self.address(Port::Peers)
    }

    /// The service's way out.
    #[must_use]
    pub fn egress(&self) -> Option<SocketAddr> {
        self.address(Port::Egress)
    }

    /// The operator's port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.address(Port::Admin).expect("there is always a listener for the operator")
    }

    /// The model in force is replaced by this one, in one swap between two jobs.
    pub fn swap_model(&self, model: policy::Model) {
        self.shared.oracle.swap(model);
    }

    /// Takes no new connection, lets what is in flight end, at most for the configured drain, and returns when all is done.
    pub fn stop(mut self) {
        self.begin_stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the sidecar panicked");
            }
        }
        if let Some(service) = &mut self.service {
            service.stop();
        }
    }

    /// Passes a signal on to the service, where we keep it.
    pub fn signal_service(&self, signal: Signal) {
        if let Some(service) = &self.service {
            service.signal(signal);
        }
    }

    /// Waits until the service is given up, because it never came up, and says with which exit code. Waits for ever where we
    /// do not keep it.
    pub async fn given_up(&self) -> u8 {
        let Some(mut given_up) = self.service.as_ref().map(Service::given_up) else {
            return std::future::pending().await;
        };
        let code = given_up.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        match code {
            Some(code) => code,
            None => std::future::pending().await,
        }
    }

    fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    fn address(&self, port: Port) -> Option<SocketAddr> {
        self.addresses.iter().find(|(p, _)| *p == port).map(|(_, address)| *address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

fn certificates(config: &Config, metrics: &Arc<Metrics>) -> Result<Certificates, StartError> {
    let jobs = config.listen.tls.as_ref().map(|files| {
        JobsTls::start(files, metrics).map_err(|source| StartError::Tls {
            certificate: files.certificate.display().to_string(),
            key: files.key.display().to_string(),
            source,
        })
    });
    Ok(Certificates { identity: Identity::start(config, metrics)?, jobs: jobs.transpose()? })
}

fn shared(
    config: Config,
    workers: usize,
    metrics: Arc<Metrics>,
    certificates: Certificates,
) -> Result<Arc<Shared>, StartError> {
    let classes = Arc::new(Classes::new(Arc::clone(&metrics)));
    let recorder = Recorder::start(&config.log, Arc::clone(&classes), Arc::clone(&metrics))
        .map_err(|source| StartError::Thread { what: "the decision log", source })?;
    let oracle = Oracle::start(&config, &classes, Arc::clone(&metrics))
        .map_err(|source| StartError::Thread { what: "the trainer", source })?;
    let networks = config
        .network_ids()
        .map(|id| {
            // One pool more than there are workers: the acceptor's thread asks sidecars questions of its own.
            let identity = certificates.identity.as_ref();
            let network = Network::new(&config, id, workers + 1, identity, Arc::clone(&metrics));
            network
                .map(Arc::new)
                .map_err(|source| StartError::Network { network: config.network(id).name.clone(), source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Shared {
        located: crate::path::Located::default(),
        oracle,
        recorder,
        purses: Purses::start(&config, &metrics),
        guard: Guard::new(config.guard.share, &metrics),
        data: Cache::new(&config.data, Arc::clone(&metrics)),
        spool: Store::new(&config.spool),
        metrics,
        classes,
        certificates,
        peers: Arc::new(Registry::default()),
        instance: instance(),
        jobs: AtomicU64::new(1),
        running_on: Arc::new(Semaphore::new(config.limits.connections)),
        keeping: OnceLock::new(),
        ready: AtomicBool::new(false),
        generation: ArcSwap::from_pointee(Generation { config, networks }),
    }))
}

/// A number that no other sidecar is likely to have.
fn instance() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

fn service(shared: &Arc<Shared>, recipe: Recipe) -> Result<Service, StartError> {
    let generation = shared.generation.load();
    let config = &generation.config;
    let home = &generation.networks[config.home.index()];
    let service = Service::start(recipe, config.run, home, &shared.metrics, config.shadow.serve);
    let service = service.map_err(|source| StartError::Thread { what: "the thread that keeps the service", source })?;
    shared.keeping.get_or_init(|| Arc::clone(service.keeping()));
    Ok(service)
}

fn listening(config: &Config, certificates: &Certificates) -> Result<Vec<Listening>, StartError> {
    let wanted = [
        (Port::Jobs, "jobs", Some(config.listen.jobs)),
        (Port::Peers, "peers", config.listen.peers),
        (Port::Egress, "egress", config.listen.egress),
        (Port::Admin, "admin", Some(config.listen.admin)),
    ];
    let mut listening = Vec::with_capacity(wanted.len());
    for (port, what, address) in wanted {
        let Some(address) = address else { continue };
        let socket = runtime::listen(address).map_err(|source| StartError::Listen { what, address, source })?;
        let tls = match port {
            Port::Jobs => certificates.jobs.clone().map(Tls::Jobs),
            Port::Peers => certificates.identity.clone().map(Tls::Peers),
            Port::Egress | Port::Admin => None,
        };
        listening.push(Listening { port, socket, tls });
    }
    Ok(listening)
}

fn addresses(listening: &[Listening]) -> Vec<(Port, SocketAddr)> {
    listening.iter().filter_map(|l| Some((l.port, l.socket.local_addr().ok()?))).collect()
}
