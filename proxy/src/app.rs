//! The whole sidecar, started from a configuration: what `adumbra serve` runs, and what tests run in process.

mod error;
mod intercepting;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use config::Config;
use config::value::{Endpoint, LaneKind, TlsFiles};
use parking_lot::Mutex;
use policy::NetworkId;
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

pub use error::StartError;

pub use crate::intercept::outgoing::OwnTraffic;

use crate::accept::Port;
use crate::admin::{TokenError, Tokens};
use crate::data::Cache;
use crate::generation::{Classes, Generation, Shared};
use crate::guard::Guard;
use crate::handover::{Inherited, Offer};
use crate::identity::{Certificates, Identity, JobsTls, Papers};
use crate::intercept;
use crate::journal::Around;
use crate::lane::{Recipe, Service};
use crate::metrics::Metrics;
use crate::oracle::Oracle;
use crate::peer::Registry;
use crate::record::Recorder;
use crate::reload::{Book, ConfigFile, InForce, Reloader};
use crate::runtime::{self, Ending, Room, Stopping};
use crate::spend::Purses;
use crate::spool::Store;
use crate::upstream::{Making, Network};

/// What a sidecar is started from: a configuration, or the file it stands in, which is then read again when it changes.
#[derive(Debug)]
pub struct Configured {
    config: Config,
    file: Option<ConfigFile>,
    inherited: Arc<Inherited>,
}

impl Configured {
    /// Listens on these sockets, where the configuration wants them, and opens the others.
    #[must_use]
    pub fn inheriting(self, inherited: Inherited) -> Self {
        Self { inherited: Arc::new(inherited), ..self }
    }
}

impl From<Config> for Configured {
    fn from(config: Config) -> Self {
        Self { config, file: None, inherited: Arc::default() }
    }
}

impl From<ConfigFile> for Configured {
    fn from(file: ConfigFile) -> Self {
        Self { config: file.config.clone(), file: Some(file), inherited: Arc::default() }
    }
}

/// A running sidecar. Dropping it cuts what is open; [`App::stop`] lets jobs finish.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    /// Has the configuration read again.
    reload: mpsc::Sender<()>,
    threads: Vec<JoinHandle<()>>,
    /// The service, where we keep it. Its thread ends after all others.
    service: Option<Service>,
}

impl App {
    /// Starts everything that the configuration says. It serves when this returns. If a file's cannot be started and a last
    /// good one is kept, that one is.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(configured: impl Into<Configured>) -> Result<Self, StartError> {
        Self::start_or_instead(configured.into(), None, |config| match config {
            config if config.is_for_run() => {
                Err(StartError::NoService { home: config.network(config.home).name.clone() })
            }
            config if config.lane.kind == LaneKind::Process => Err(StartError::NoWorkers),
            _ => Ok(()),
        })
    }

    /// The same, and the service itself, by its command. It serves when this returns; jobs get to the service when it is up.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(configured: impl Into<Configured>, recipe: Recipe) -> Result<Self, StartError> {
        Self::start_or_instead(configured.into(), Some(recipe), |config| match config {
            config if config.is_for_run() => Ok(()),
            config => Err(StartError::TwoServices { home: config.network(config.home).name.clone() }),
        })
    }

    fn start_or_instead(
        configured: Configured,
        recipe: Option<Recipe>,
        check: impl Fn(&Config) -> Result<(), StartError>,
    ) -> Result<Self, StartError> {
        let started = |configured: &Configured, recipe: Option<Recipe>| {
            check(&configured.config)?;
            Self::start_with(configured, recipe)
        };
        let error = match started(&configured, recipe.clone()) {
            Ok(app) => return Ok(app),
            Err(error) => error,
        };
        match configured.file.as_ref().and_then(|file| file.instead(&error)) {
            Some(instead) => {
                let inherited = Arc::clone(&configured.inherited);
                started(&Configured { inherited, ..instead.into() }, recipe)
            }
            None => Err(error),
        }
    }

    fn start_with(configured: &Configured, recipe: Option<Recipe>) -> Result<Self, StartError> {
        let Configured { config: parsed, file, inherited } = configured;
        let mut config = parsed.clone();
        if recipe.is_some() {
            leave_to_run(&mut config);
        }
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        config.listen.intercept.as_ref().map(intercept::outgoing::begin).transpose()?;
        let names: Vec<String> = config.networks.iter().map(|network| network.name.clone()).collect();
        let metrics = Arc::new(Metrics::new(&names));
        let certificates = certificates(&config, &metrics)?;
        tokens(&config)?;
        let opening = runtime::wanted(&config)
            .map(|(port, what, address)| runtime::inherit_or_open(inherited, port, what, address));
        let opened = opening.collect::<Result<Vec<_>, _>>()?;
        inherited.tell_unwanted(|address| runtime::wanted(&config).any(|(_, _, wanted)| wanted == address));
        let shared = shared(config, workers, metrics, certificates, file.as_ref())?;
        shared
            .listening
            .store(Arc::new(opened.iter().filter_map(|l| Some((l.port, l.socket.local_addr().ok()?))).collect()));
        let for_run = recipe.is_some();
        let service = recipe.map(|recipe| service(&shared, recipe)).transpose()?;
        let stopping = Stopping::told_by(&shared.stop);
        let (reload, asked) = mpsc::channel(1);
        let reloader = Reloader {
            path: file.as_ref().map(|file| file.path.clone()),
            parsed: Arc::new(parsed.clone()),
            for_run,
            refused: file.as_ref().and_then(|file| file.refused_reading(&shared.generation.load())),
            asked,
            shared: Arc::clone(&shared),
        };
        let threads = runtime::start(&shared, workers, opened, reloader, &stopping)
            .map_err(|source| StartError::Thread { what: "the workers", source })?;
        if let Some(file) = file {
            file.is_in_force();
        }
        Ok(Self { shared, reload, threads, service })
    }

    /// Has the configuration read again now, if it is a file's. What comes of it is in the log, on `/config` and in the
    /// metrics.
    pub fn reload(&self) {
        if self.shared.book.read().0.is_none() {
            tracing::warn!("there is no configuration file to read again");
        }
        // One that is waited for already will see what there is to see.
        let _asked_already = self.reload.try_send(());
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

    /// What a process that takes over gets from this one.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        self.shared.offers.lock().clone()
    }

    /// Another process serves from now on: takes no new connection, and lets each that is open end with its next answer. What
    /// is returned tells it to wait for no more requests.
    pub(crate) fn let_go(&self) -> impl Fn() + Send + use<> {
        self.shared.stop.send_replace(Ending::NextAnswer);
        let stop = self.shared.stop.clone();
        move || {
            stop.send_replace(Ending::Now);
        }
    }

    /// Returns when all is done, after [`App::let_go`].
    pub(crate) fn ended(mut self) {
        self.join();
    }

    /// Takes no new connection, lets what is in flight end, at most for the configured drain, and returns when all is done.
    pub fn stop(mut self) {
        self.begin_stop();
        self.join();
    }

    fn join(&mut self) {
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
        self.shared.stop.send_replace(Ending::Now);
    }

    fn address(&self, port: Port) -> Option<SocketAddr> {
        self.shared.listening.load().iter().find(|(p, _)| *p == port).map(|(_, address)| *address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

/// Home's endpoint is where `adumbra run` will have the service listen: where there is room when it is started.
pub(crate) fn leave_to_run(config: &mut Config) {
    let home = config.home.index();
    config.networks[home].endpoints = vec![Endpoint { tls: false, host: "127.0.0.1".to_owned(), port: 0 }];
}

/// Whether the tokens that may change things can be read, if there are to be any. They are read anew when one is shown.
pub(crate) fn tokens(config: &Config) -> Result<(), StartError> {
    let Some(file) = &config.listen.admin_token else { return Ok(()) };
    let wrong = |source: TokenError| StartError::Token { file: file.display().to_string(), source: source.into() };
    Tokens::read(file).map(drop).map_err(wrong)
}

fn certificates(config: &Config, metrics: &Arc<Metrics>) -> Result<Certificates, StartError> {
    let jobs = jobs_tls(config.listen.tls.as_ref(), metrics)?;
    let identity = Papers::read(config)?.map(|papers| Identity::new(papers, metrics));
    jobs.iter().for_each(|jobs| jobs.put_in_force(None));
    identity.iter().for_each(|identity| identity.put_in_force());
    Ok(Certificates { identity, jobs })
}

/// What clients are shown, if jobs come encrypted.
pub(crate) fn jobs_tls(files: Option<&TlsFiles>, metrics: &Arc<Metrics>) -> Result<Option<Arc<JobsTls>>, StartError> {
    let jobs = files.map(|files| {
        JobsTls::start(files, metrics).map_err(|source| StartError::Tls {
            certificate: files.certificate.display().to_string(),
            key: files.key.display().to_string(),
            source,
        })
    });
    jobs.transpose()
}

/// The network `id`, to follow the one `before` it.
pub(crate) fn network(
    making: Making<'_>,
    id: NetworkId,
    before: Option<&Arc<Network>>,
) -> Result<Arc<Network>, StartError> {
    let network = Network::new(making, id, before);
    network.map_err(|source| StartError::Network { network: making.config.network(id).name.clone(), source })
}

fn shared(
    config: Config,
    workers: usize,
    metrics: Arc<Metrics>,
    certificates: Certificates,
    file: Option<&ConfigFile>,
) -> Result<Arc<Shared>, StartError> {
    let classes = Arc::new(Classes::new(Arc::clone(&metrics)));
    let recorder = Recorder::start(&config.log, config.journal.as_ref(), Arc::clone(&classes), Arc::clone(&metrics))
        .map_err(|source| StartError::Thread { what: "the decision log", source })?;
    let oracle = Oracle::start(&config, &classes, Arc::clone(&metrics))
        .map_err(|source| StartError::Thread { what: "the trainer", source })?;
    // One pool more than there are workers: the acceptor's thread asks sidecars questions of its own.
    let identity = certificates.identity.as_ref();
    let making = Making { config: &config, identity, workers: workers + 1, metrics: &metrics };
    let networks = config.network_ids().map(|id| network(making, id, None)).collect::<Result<Vec<_>, _>>()?;
    let book = Book::new(file.map(ConfigFile::in_force), file.and_then(ConfigFile::refused));
    metrics.config_is(file.is_none_or(|file| file.errors().is_none()));
    metrics.config_in_force(InForce::seconds_now());
    oracle.is_heard_by(recorder.labels());
    let (oracle, book, instance) = (Arc::new(oracle), Arc::new(book), instance());
    recorder.sees(Around { instance, book: Arc::clone(&book), oracle: Arc::clone(&oracle) });
    Ok(Arc::new(Shared {
        located: crate::path::Located::default(),
        oracle,
        recorder,
        purses: Purses::start(&config, &metrics),
        guard: Guard::new(config.guard.share, &metrics),
        data: Cache::new(&config.data, Arc::clone(&metrics)),
        cache: crate::cache::Cache::new(&config, &metrics),
        spool: Store::new(&config.spool),
        metrics,
        classes,
        certificates: ArcSwap::from_pointee(certificates),
        peers: Arc::new(Registry::default()),
        instance,
        jobs: AtomicU64::new(1),
        running_on: Room::new(config.limits.connections),
        keeping: OnceLock::new(),
        listening: ArcSwap::default(),
        book,
        offers: Mutex::default(),
        ready: AtomicBool::new(false),
        stop: watch::Sender::new(Ending::Open),
        generation: ArcSwap::from_pointee(Generation { config, networks }),
    }))
}

/// What a process has once, without the threads that use it.
#[cfg(test)]
pub(crate) fn shared_alone(config: Config) -> Arc<Shared> {
    let names: Vec<String> = config.networks.iter().map(|network| network.name.clone()).collect();
    let metrics = Arc::new(Metrics::new(&names));
    shared(config, 1, metrics, Certificates::default(), None).expect("a test's configuration can be started")
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
