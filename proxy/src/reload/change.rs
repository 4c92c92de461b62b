//! One change of the configuration: everything that can fail first, then everything else in one step.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, Errors};
use tokio::task::JoinSet;

use crate::app::{self, StartError};
use crate::generation::{Generation, Shared};
use crate::identity::{Certificates, Identity, Papers, told};
use crate::record::Pages;
use crate::upstream::{Making, Network};

/// How long new names may take to be resolved before what they name is in force. Then they go on in the background.
const RESOLVE: Duration = Duration::from_secs(2);

/// A change that has been prepared.
pub(crate) struct Change {
    /// What the text says.
    parsed: Config,
    pub(crate) generation: Generation,
    certificates: Certificates,
    /// What the identity in force is to be proved by from now on.
    papers: Option<Papers>,
    /// Where decisions are written from now on.
    pages: Option<Pages>,
}

/// That what `text` says cannot be put in force because of `error`.
pub(super) fn unfit(text: &str, name: &str, error: &StartError) -> Errors {
    Errors::unfit(text, name, vec![(error.key(), told(error))])
}

impl Change {
    /// Reads and makes all that `text` names. Nothing in force is touched.
    ///
    /// # Errors
    /// What keeps it from being put in force.
    pub(crate) fn prepare(
        shared: &Arc<Shared>,
        before: &Config,
        for_run: bool,
        name: &str,
        text: &str,
    ) -> Result<Self, Errors> {
        let parsed = config::parse_after(text, name, before)?;
        Self::of(shared, parsed, for_run).map_err(|error| unfit(text, name, &error))
    }

    fn of(shared: &Arc<Shared>, parsed: Config, for_run: bool) -> Result<Self, StartError> {
        let mut config = parsed.clone();
        if for_run {
            app::leave_to_run(&mut config);
        }
        let before = shared.generation.load_full();
        let (certificates, papers) = certificates(shared, &before.config, &config)?;
        app::tokens(&config)?;
        let pages_of = |config: &Config| {
            let log = &config.log;
            (log.decisions.clone(), log.decisions_bytes, log.decisions_files, config.journal.clone())
        };
        let same = pages_of(&before.config) == pages_of(&config);
        let pages = if same { None } else { Some(open(&config)?) };
        let making = Making {
            config: &config,
            identity: certificates.identity.as_ref(),
            workers: before.networks.first().map_or(1, |network| network.workers()),
            metrics: &shared.metrics,
        };
        let networks = networks(making, &before.networks)?;
        Ok(Self { parsed, generation: Generation { config, networks }, certificates, papers, pages })
    }

    /// Resolves the names that are new, so that no job has to wait for it.
    pub(crate) async fn resolve(&self) {
        let mut resolving = JoinSet::new();
        for network in self.generation.networks_in_force() {
            for endpoint in network.endpoints.iter().filter(|endpoint| endpoint.is_unresolved()) {
                let endpoint = Arc::clone(endpoint);
                resolving.spawn(async move {
                    if let Err(error) = endpoint.resolve().await {
                        tracing::warn!(host = endpoint.host(), %error, "a name that is new does not resolve");
                    }
                });
            }
        }
        let all = async { while resolving.join_next().await.is_some() {} };
        if tokio::time::timeout(RESOLVE, all).await.is_err() {
            tracing::warn!("names that are new take long to resolve; what they name is in force without addresses");
        }
    }

    /// Puts it in force, and gives back what its text says.
    pub(crate) fn put_in_force(self, shared: &Shared) -> Config {
        let Self { parsed, generation, certificates, papers, pages } = self;
        let before = shared.generation.load_full();
        let names: Vec<_> = generation.networks.iter().map(|network| network.name().to_owned()).collect();
        shared.metrics.name_networks(&names);
        shared.purses.name_networks(&names);
        show(shared, certificates, papers);
        for network in &generation.networks {
            if !before.networks.iter().any(|known| Arc::ptr_eq(known, network)) {
                network.put_in_force();
            }
        }
        follow(shared, &generation, pages);
        shared.generation.store(Arc::new(generation));
        parsed
    }
}

/// Has everybody go by the new configuration who does not read it for each job or connection.
///
/// Every part is named here, so that a new one cannot be forgotten.
fn follow(shared: &Shared, generation: &Generation, pages: Option<Pages>) {
    let Config {
        // Read for each job or connection, or when it is needed.
        routes: _,
        pricing: _,
        drain: _,
        guard: _,
        // Made into the generation's networks.
        networks: _,
        retired: _,
        // `Standing` follows these, and `show`.
        listen: _,
        identity: _,
        // Cannot change, or only in what the networks are made of: the configuration refuses it.
        home,
        workers: _,
        state: _,
        run: _,
        lane: _,
        shadow,
        limits,
        spool,
        data,
        // With the routes.
        cache: _,
        // With the names of networks and routes.
        oracle: _,
        log,
        // With the pages.
        journal: _,
    } = &generation.config;
    shared.running_on.hold(limits.connections);
    shared.spool.turn(spool);
    shared.data.turn(data);
    shared.cache.turn(&generation.config);
    shared.oracle.turn(&generation.config);
    shared.recorder.turn(pages, log.keep);
    if let Some(keeping) = shared.keeping.get() {
        keeping.turn(&generation.networks[home.index()], shadow.serve);
    }
}

fn networks(making: Making<'_>, before: &[Arc<Network>]) -> Result<Vec<Arc<Network>>, StartError> {
    let retired = making.config.retired;
    let places = (0..making.config.networks.len()).filter_map(policy::NetworkId::new);
    let network = |id: policy::NetworkId| match before.get(id.index()) {
        Some(last) if retired.contains(id) => Ok(Arc::clone(last)),
        before => app::network(making, id, before),
    };
    places.map(network).collect()
}

/// What is shown to others, and what proves it where that is other than before.
fn certificates(
    shared: &Shared,
    before: &Config,
    config: &Config,
) -> Result<(Certificates, Option<Papers>), StartError> {
    let shown = shared.certificates.load();
    let jobs = match &config.listen.tls {
        tls if *tls == before.listen.tls => shown.jobs.clone(),
        tls => app::jobs_tls(tls.as_ref(), &shared.metrics)?,
    };
    let (identity, papers) = match &shown.identity {
        Some(identity) if before.identity == config.identity && identity.expects_those_of(config)? => {
            (Some(Arc::clone(identity)), None)
        }
        Some(identity) => match Papers::read(config)? {
            Some(papers) => {
                identity.is_proved_by(&papers)?;
                (Some(Arc::clone(identity)), Some(papers))
            }
            None => (None, None),
        },
        None => (Papers::read(config)?.map(|papers| Identity::new(papers, &shared.metrics)), None),
    };
    Ok((Certificates { identity, jobs }, papers))
}

fn open(config: &Config) -> Result<Pages, StartError> {
    Pages::open(&config.log, config.journal.as_ref())
        .map_err(|source| StartError::Thread { what: "the decision log", source })
}

/// Shows these certificates from now on.
fn show(shared: &Shared, certificates: Certificates, papers: Option<Papers>) {
    let before = shared.certificates.load_full();
    if before.jobs.as_ref().map(Arc::as_ptr) != certificates.jobs.as_ref().map(Arc::as_ptr) {
        match &certificates.jobs {
            Some(jobs) => jobs.put_in_force(before.jobs.as_deref()),
            None => before.jobs.iter().for_each(|jobs| jobs.retire()),
        }
    }
    match (&before.identity, &certificates.identity, papers) {
        (Some(_), Some(identity), Some(papers)) => identity.take(papers),
        (None, Some(identity), _) => identity.put_in_force(),
        (Some(identity), None, _) => identity.retire(),
        (Some(_), Some(_), None) | (None, None, _) => {}
    }
    shared.certificates.store(Arc::new(certificates));
}
