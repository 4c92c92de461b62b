//! Keeps the one process that takes live jobs: started, watched, started again when it dies, told to end at the end.
//!
//! Its output is its own: it writes where the sidecar would. Jobs go to it only while it is known to take them. One that was
//! never up and keeps dying is given up, and its exit code is the sidecar's: then it is the command that is wrong, and whoever
//! started it must hear of it. One that has been up once is started again for ever.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::sync::watch;

use super::Keeping;
use super::back_off::BackOff;
use super::cage::Cage;
use super::child::{Start, comes_up, empty, end, exit_code, free_address, group, signal, spawn};
use crate::metrics::{Kept, ProcessEnd};
use crate::runtime::Stopping;

/// A process that was never up may die this often.
const TRIES: u32 = 5;
/// What a shell says of a command that is not there, and of one that cannot be run: no second try will help.
const HOPELESS: [u8; 2] = [127, 126];
/// The live process's place among its network's endpoints.
const AT: usize = 0;

/// The live process, as others see it.
#[derive(Debug)]
pub(super) struct Live {
    group: Mutex<Option<Pid>>,
    /// Whether it has ever been up.
    was_up: watch::Sender<bool>,
    /// The exit code it was given up with.
    given_up: watch::Sender<Option<u8>>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { group: Mutex::new(None), was_up: watch::Sender::new(false), given_up: watch::Sender::new(None) }
    }

    /// Its process, while there is one.
    pub(super) fn pid(&self) -> Option<i32> {
        self.group.lock().map(|pid| pid.as_raw_nonzero().get())
    }

    /// Passes a signal on to it.
    pub(super) fn signal(&self, which: Signal) {
        signal(*self.group.lock(), which);
    }

    /// Whether it has been up, and will be.
    pub(super) fn was_up(&self) -> watch::Receiver<bool> {
        self.was_up.subscribe()
    }

    /// What it was given up with.
    pub(super) fn given_up(&self) -> watch::Receiver<Option<u8>> {
        self.given_up.subscribe()
    }
}

/// Keeps the live process until told to stop, and then until it has ended.
pub(super) async fn keep(keeping: Arc<Keeping>, mut stopping: Stopping) {
    let mut back_off = BackOff::new(keeping.run.back_off);
    // It holds nothing back, and finds all that the service forks.
    let cage = Arc::new(Cage::open(&keeping.means, "live"));
    let mut address = None;
    loop {
        let life = match start(&keeping, &cage, &mut address) {
            Ok(mut child) => {
                let life = tokio::select! {
                    life = watch(&keeping, &mut child) => life,
                    () = stopping.begun() => {
                        end(&mut child, &cage, keeping.run.grace).await;
                        empty(&cage).await;
                        *keeping.live.group.lock() = None;
                        return;
                    }
                };
                // What it has left behind has nobody to serve.
                empty(&cage).await;
                life
            }
            Err(error) => {
                tracing::error!(%error, program = ?keeping.recipe.program(), "the service cannot be started");
                Life { served: None, ended: None, how: ProcessEnd::NotStarted }
            }
        };
        *keeping.live.group.lock() = None;
        keeping.network().endpoints[AT].left();
        keeping.metrics.process_ended(Kept::Live, life.how);
        let served = life.served.map(|since| since.elapsed());
        let wait = back_off.died(served);
        let code = life.ended.map_or(1, exit_code);
        tracing::error!(how = ?life.how, code, ?served, again_in = ?wait, "the service has ended by itself, and is started again");
        let hopeless = HOPELESS.contains(&code) || back_off.deaths() >= TRIES;
        if hopeless && !*keeping.live.was_up.borrow() {
            tracing::error!(code, "the service never took a connection, and is given up; see what it wrote");
            keeping.live.given_up.send_replace(Some(code.max(1)));
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopping.begun() => return,
        }
    }
}

/// One life of the process.
struct Life {
    /// Since when it took connections.
    served: Option<Instant>,
    ended: Option<ExitStatus>,
    how: ProcessEnd,
}

fn start(keeping: &Keeping, cage: &Cage, address: &mut Option<SocketAddr>) -> std::io::Result<Child> {
    let free = free_address(*address)?;
    *address = Some(free);
    keeping.network().endpoints[AT].awaits(free);
    let command = cage.command(keeping.recipe.program(), keeping.recipe.on(free.port()));
    let child = spawn(command, Stdio::inherit)?;
    *keeping.live.group.lock() = group(&child);
    Ok(child)
}

async fn watch(keeping: &Keeping, child: &mut Child) -> Life {
    match comes_up(child, &keeping.network(), AT, keeping.run.start).await {
        Start::Up => {
            let since = Instant::now();
            keeping.network().endpoints[AT].arrived();
            keeping.live.was_up.send_replace(true);
            tracing::info!(pid = child.id(), "the service is up");
            let ended = child.wait().await.ok();
            Life { served: Some(since), ended, how: ProcessEnd::Exited }
        }
        Start::Ended(status) => Life { served: None, ended: Some(status), how: ProcessEnd::Exited },
        Start::Late => {
            tracing::error!(within = ?keeping.run.start, "the service takes no connection on its port, and is killed");
            signal(group(child), Signal::KILL);
            Life { served: None, ended: child.wait().await.ok(), how: ProcessEnd::NotReady }
        }
    }
}
