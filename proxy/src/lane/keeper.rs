//! Keeps one worker: a process in a cage of its own, started before it is needed and replaced when it is gone.
//!
//! Workers are started one at a time, inside a cage of low weight, so that starting them takes what the live process leaves.
//! One that fails is tried again ever more rarely; one that was killed because its shadow was stopped, or its job is done, is
//! replaced at once, but no sooner than a moment after its last start.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::Instant;

use super::back_off::BackOff;
use super::cage::{Cage, CageLimits};
use super::child::{Start, comes_up, free_address, group, signal, spawn};
use super::crew::Crew;
use super::roster::{Life, State};
use super::{Keeping, output};
use crate::metrics::{Kept, ProcessEnd};
use crate::runtime::Stopping;

/// The shortest time between two starts of one worker.
const APART: Duration = Duration::from_millis(100);

/// Keeps one worker until told to stop. Its process is killed then: nobody waits for it.
pub(super) async fn keep(keeping: Arc<Keeping>, crew: Arc<Crew>, at: usize, mut stopping: Stopping) {
    tokio::select! {
        () = stopping.begun() => {}
        () = keep_up(&keeping, &crew, at) => {}
    }
}

async fn keep_up(keeping: &Keeping, crew: &Crew, at: usize) {
    let mut back_off = BackOff::new(keeping.run.back_off);
    let endpoint = crew.endpoint(at);
    let mut address = None;
    loop {
        let again_at = Instant::now() + APART;
        let Some(life) = crew.starts(at) else {
            return tracing::error!(worker = at, "a worker has two lives at once; this is a bug, please report it");
        };
        let (served, how) = match start(keeping, at, endpoint, &mut address) {
            Ok((child, cage)) => live(keeping, crew, (life, endpoint), child, &cage).await,
            Err(error) => {
                tracing::warn!(%error, worker = at, "a worker cannot be started");
                crew.gone(life);
                (None, ProcessEnd::NotStarted)
            }
        };
        keeping.metrics.process_ended(Kept::Worker, how);
        let wait = match how {
            ProcessEnd::Cancelled | ProcessEnd::Recycled => {
                back_off.was_ended();
                again_at.saturating_duration_since(Instant::now())
            }
            ProcessEnd::Exited | ProcessEnd::Oom | ProcessEnd::NotReady | ProcessEnd::NotStarted => {
                let wait = back_off.died(served);
                tracing::warn!(worker = at, ?how, ?served, again_in = ?wait, "a worker has ended");
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn start(
    keeping: &Keeping,
    at: usize,
    endpoint: usize,
    address: &mut Option<SocketAddr>,
) -> Result<(Child, Arc<Cage>), Box<dyn std::error::Error>> {
    let cage = Cage::new(&keeping.means, &format!("worker-{at}"))?;
    cage.set(&CageLimits::of(&keeping.resting))?;
    let free = free_address(*address)?;
    *address = Some(free);
    keeping.network.endpoints[endpoint].awaits(free);
    let command = cage.command(keeping.recipe.program(), &keeping.recipe.on(free.port()));
    let mut child = spawn(command, Stdio::piped)?;
    let name = format!("worker {at}");
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(output::pass_on(name.clone(), stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(output::pass_on(name, stderr));
    }
    Ok((child, Arc::new(cage)))
}

/// One life of a worker. Says how long it was up, and how it ended.
async fn live(
    keeping: &Keeping,
    crew: &Crew,
    (life, endpoint): (Life, usize),
    mut child: Child,
    cage: &Arc<Cage>,
) -> (Option<Duration>, ProcessEnd) {
    let start = {
        let _alone = keeping.starting.lock().await;
        comes_up(&mut child, &keeping.network, endpoint, keeping.run.start).await
    };
    let mut since = None;
    if let Start::Up = start {
        since = Some(Instant::now());
        keeping.network.endpoints[endpoint].arrived();
        crew.is_ready(life, cage);
        tracing::debug!(worker = life.at, pid = child.id(), "a worker is up");
        drop(child.wait().await);
    }
    keeping.network.endpoints[endpoint].left();
    let oom_kills = cage.usage().oom_kills;
    cage.kill();
    signal(group(&child), Signal::KILL);
    if let Start::Late = start {
        drop(child.wait().await);
    }
    if oom_kills > 0 {
        keeping.metrics.oom_killed(oom_kills);
    }
    let was = crew.gone(life);
    let how = match (start, was) {
        (Start::Late, _) => ProcessEnd::NotReady,
        _ if oom_kills > 0 => ProcessEnd::Oom,
        (_, Some(State::Ending)) => ProcessEnd::Cancelled,
        _ => ProcessEnd::Exited,
    };
    (since.map(|since| since.elapsed()), how)
}
