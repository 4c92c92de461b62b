//! What stands beside the workers and follows the configuration: listeners, the watch over each network, and what keeps
//! certificates fresh. All of it is the acceptor's thread's.

use std::sync::Arc;

use config::Config;
use policy::PerNetwork;
use tokio::task::JoinSet;

use super::listeners::Listeners;
use super::{Listening, Worker};
use crate::app::StartError;
use crate::generation::{Generation, Shared};
use crate::identity::{Certificates, keep_fresh};
use crate::upstream::Network;
use crate::upstream::check::keep_watch;

/// All that stands beside the workers.
pub(crate) struct Standing {
    pub(super) shared: Arc<Shared>,
    pub(super) listeners: Listeners,
    watching: Watching,
    /// What keeps certificates fresh, and what it was started for.
    fresh: (JoinSet<()>, Certificates, Option<std::time::Duration>),
}

impl Standing {
    pub(super) fn new(shared: &Arc<Shared>, workers: Vec<Worker>, opened: Vec<Listening>) -> Self {
        let watching = Watching { worker: workers.len(), by_place: PerNetwork::default() };
        let listeners = Listeners::new(shared, workers);
        let fresh = (JoinSet::new(), Certificates::default(), None);
        let mut standing = Self { shared: Arc::clone(shared), listeners, watching, fresh };
        standing.follow(opened);
        standing
    }

    /// Without workers or listeners.
    #[cfg(test)]
    pub(crate) fn alone(shared: &Arc<Shared>) -> Self {
        Self::new(shared, Vec::new(), Vec::new())
    }

    /// Opens the sockets that `config` wants and that are not open yet.
    ///
    /// # Errors
    /// One cannot be opened; then none is.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Vec<Listening>, StartError> {
        self.listeners.prepare(config)
    }

    /// Goes by the generation in force from now on.
    pub(crate) fn follow(&mut self, opened: Vec<Listening>) {
        let generation = self.shared.generation.load_full();
        self.watching.follow(&self.shared, &generation);
        let certificates = self.shared.certificates.load_full();
        let every = generation.config.identity.as_ref().map(|identity| identity.reload_every);
        if !(self.fresh.1.are(&certificates) && self.fresh.2 == every) {
            let mut tasks = JoinSet::new();
            keep_fresh(&mut tasks, &certificates, every);
            self.fresh = (tasks, (*certificates).clone(), every);
        }
        self.listeners.follow(opened);
    }
}

/// What keeps watch over each network.
#[derive(Default)]
struct Watching {
    /// Asks sidecars questions as this worker.
    worker: usize,
    by_place: PerNetwork<Option<Watch>>,
}

/// The watch over one network, which ends when this is dropped.
struct Watch {
    network: Arc<Network>,
    tasks: JoinSet<()>,
}

impl Watching {
    /// Watches the networks of `generation`, and no others. Over one that is the same value nothing begins again.
    fn follow(&mut self, shared: &Arc<Shared>, generation: &Generation) {
        let mut before = std::mem::take(&mut self.by_place);
        for network in generation.networks_in_force() {
            let same = before[network.id].take().filter(|watch| Arc::ptr_eq(&watch.network, network));
            self.by_place[network.id] = Some(same.unwrap_or_else(|| {
                let mut tasks = JoinSet::new();
                keep_watch(&mut tasks, shared, network, self.worker);
                Watch { network: Arc::clone(network), tasks }
            }));
        }
        tracing::debug!(tasks = self.tasks(), "the networks are watched");
    }

    /// How many tasks keep watch.
    fn tasks(&self) -> usize {
        let watches =
            (0..policy::MAX_NETWORKS).filter_map(policy::NetworkId::new).filter_map(|id| self.by_place[id].as_ref());
        watches.map(|watch| watch.tasks.len()).sum()
    }
}

#[cfg(test)]
mod tests;
