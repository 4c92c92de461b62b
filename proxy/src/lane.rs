//! The lane: where this sidecar runs shadows of its own service, and what holds them within their caps. And, since both are
//! processes of one command, the service itself, where `adumbra run` starts it.
//!
//! All processes are started by one thread, which lives as long as the sidecar: they die with it, and it does not share its
//! time with jobs. Reading order: `roster` is who does what, `crew` and `seat` are how shadows get a worker, `keeper` and
//! `live` keep processes behind them, `cage` holds them.

mod back_off;
pub(crate) mod cage;
mod child;
mod crew;
mod keeper;
mod live;
pub(crate) mod orca;
mod output;
mod roster;
mod seat;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use config::value::Run;
use parking_lot::Mutex;
use policy::Caps;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use child::{NoPort, Recipe};
pub(crate) use crew::{Crew, Workers};
pub(crate) use seat::{MEMORY_LEAST, Seat, Used};

use crate::metrics::Metrics;
use crate::runtime::{Ending, Stopping};
use crate::upstream::Network;
use cage::reaper::Reaper;
use cage::{Enforced, Means};
use live::Live;

/// What the processes are kept by.
#[derive(Debug)]
pub(crate) struct Keeping {
    recipe: Recipe,
    run: Run,
    /// The home network, whose endpoints the processes are.
    network: ArcSwap<Network>,
    metrics: Arc<Metrics>,
    means: Means,
    /// What holds a worker that nobody has claimed.
    resting: Mutex<Caps>,
    live: Live,
    /// Held by the one worker that is being started.
    starting: tokio::sync::Mutex<()>,
}

/// How the processes are, for people.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The live process, while there is one.
    pub(crate) pid: Option<i32>,
    /// Whether it takes jobs.
    pub(crate) up: bool,
    /// What really holds the workers.
    pub(crate) enforced: Enforced,
    /// What does not, and why.
    pub(crate) lacks: Vec<String>,
    /// Cages that could not be taken away.
    pub(crate) left_behind: u64,
}

impl Keeping {
    /// How the processes are.
    pub(crate) fn status(&self) -> Kept {
        Kept {
            pid: self.live.pid(),
            up: self.network().endpoints[0].is_present(),
            enforced: self.means.enforced(),
            lacks: self.means.lacks().to_vec(),
            left_behind: self.means.left_behind(),
        }
    }

    /// The home network as the configuration in force has it. Its endpoints are always the same.
    fn network(&self) -> Arc<Network> {
        self.network.load_full()
    }

    /// Goes by this from now on; processes that run stay as they are.
    pub(crate) fn turn(&self, network: &Arc<Network>, resting: Caps) {
        self.network.store(Arc::clone(network));
        *self.resting.lock() = resting;
    }

    /// Whether the live process has been up.
    pub(crate) fn was_up(&self) -> bool {
        *self.live.was_up().borrow()
    }
}

/// The service and its workers, kept by a thread of their own. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Service {
    keeping: Arc<Keeping>,
    stop: watch::Sender<Ending>,
    thread: Option<JoinHandle<()>>,
    /// Sees to what the processes have forked if this one is killed.
    _reaper: Reaper,
}

impl Service {
    /// Starts the service, and the workers of its lane if it has any. `resting` holds a worker that nobody has claimed.
    pub(crate) fn start(
        recipe: Recipe,
        run: Run,
        network: &Arc<Network>,
        metrics: &Arc<Metrics>,
        resting: Caps,
    ) -> io::Result<Self> {
        let keeping = Arc::new(Keeping {
            means: recipe.means(),
            recipe,
            run,
            network: ArcSwap::new(Arc::clone(network)),
            metrics: Arc::clone(metrics),
            resting: Mutex::new(resting),
            live: Live::new(),
            starting: tokio::sync::Mutex::default(),
        });
        let reaper = Reaper::start(&keeping.means)?;
        let (stop, stopping) = Stopping::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
        let kept = Arc::clone(&keeping);
        let thread = std::thread::Builder::new().name("adumbra-lane".to_owned()).spawn(move || {
            runtime.block_on(keep(kept, stopping));
        })?;
        Ok(Self { keeping, stop, thread: Some(thread), _reaper: reaper })
    }

    /// Passes a signal on to the live process.
    pub(crate) fn signal(&self, signal: Signal) {
        self.keeping.live.signal(signal);
    }

    /// What shows how the processes are.
    pub(crate) fn keeping(&self) -> &Arc<Keeping> {
        &self.keeping
    }

    /// The exit code that the live process was given up with, if it was.
    pub(crate) fn given_up(&self) -> watch::Receiver<Option<u8>> {
        self.keeping.live.given_up()
    }

    /// Ends the workers at once and the live process in order, and returns when all are gone.
    pub(crate) fn stop(&mut self) {
        self.stop.send_replace(Ending::Now);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps the service panicked");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.send_replace(Ending::Now);
    }
}

async fn keep(keeping: Arc<Keeping>, stopping: Stopping) {
    let mut tasks = JoinSet::new();
    tasks.spawn(live::keep(Arc::clone(&keeping), stopping.clone()));
    if let Some(crew) = &keeping.network().crew {
        for at in 0..crew.len() {
            tasks.spawn(keeper::keep(Arc::clone(&keeping), Arc::clone(crew), at, stopping.clone()));
        }
    }
    while tasks.join_next().await.is_some() {}
}
