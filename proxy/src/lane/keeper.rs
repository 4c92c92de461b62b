//! Keeps one worker: a process in a cage of its own, started before it is needed and replaced when it is gone.
//!
//! Workers are started one at a time, inside a cage of low weight, so that starting them takes what the live process leaves.
//! One that fails is tried again ever more rarely; one that was killed because its shadow was stopped, or its job is done, is
//! replaced at once, but no sooner than a moment after its last start.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use super::back_off::BackOff;
use super::cage::{Cage, CageError};
use super::child::{Start, comes_up, empty, free_address, spawn};
use super::crew::Crew;
use super::roster::{Life, State};
use super::seat::limits;
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
    crew.leaves(at);
}

async fn keep_up(keeping: &Keeping, crew: &Crew, at: usize) {
    let mut back_off = BackOff::new(keeping.run.back_off);
    let endpoint = crew.endpoint(at);
    let mut address = None;
    // What the live process needs to start is not taken from it.
    drop(keeping.live.was_up().wait_for(|up| *up).await);
    loop {
        let alone = keeping.starting.lock().await;
        let again_at = Instant::now() + APART;
        let Some(life) = crew.starts(at) else {
            return tracing::error!(worker = at, "a worker has two lives at once; this is a bug, please report it");
        };
        let (served, how) = match start(keeping, at, endpoint, &mut address) {
            Ok((child, cage)) => {
                let ended = live(keeping, crew, (life, endpoint), child, &cage, alone).await;
                cage.let_go();
                ended
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, worker = at, "a worker cannot be started");
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

/// Why a worker cannot be started.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    /// There is no cage for it.
    #[error("there is no cage for it")]
    Cage(#[from] CageError),
    /// The command cannot be executed, or there is no port to listen at.
    #[error("its process cannot be made")]
    Process(#[from] std::io::Error),
}

fn start(
    keeping: &Keeping,
    at: usize,
    endpoint: usize,
    address: &mut Option<SocketAddr>,
) -> Result<(Child, Arc<Cage>), NotStarted> {
    let cage = Cage::new(&keeping.means, &format!("worker-{at}"))?;
    cage.set(&limits(&keeping.resting.lock()))?;
    let free = free_address(*address)?;
    *address = Some(free);
    keeping.network().endpoints[endpoint].awaits(free);
    let command = cage.command(keeping.recipe.program(), keeping.recipe.on(free.port()));
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
    alone: tokio::sync::MutexGuard<'_, ()>,
) -> (Option<Duration>, ProcessEnd) {
    let start = comes_up(&mut child, &keeping.network(), endpoint, keeping.run.start).await;
    drop(alone);
    let mut since = None;
    if let Start::Up = start {
        since = Some(Instant::now());
        keeping.network().endpoints[endpoint].arrived();
        crew.is_ready(life, cage);
        tracing::debug!(worker = life.at, pid = child.id(), "a worker is up");
        drop(child.wait().await);
    }
    keeping.network().endpoints[endpoint].left();
    let oom_kills = cage.usage().oom_kills.unwrap_or(0);
    empty(cage).await;
    drop(child.wait().await);
    if oom_kills > 0 {
        keeping.metrics.oom_killed(oom_kills);
    }
    let was = crew.gone(life);
    let how = match (start, was) {
        (Start::Late, _) => ProcessEnd::NotReady,
        _ if oom_kills > 0 => ProcessEnd::Oom,
        (_, Some(State::Cancelled)) => ProcessEnd::Cancelled,
        (_, Some(State::Recycled)) => ProcessEnd::Recycled,
        _ => ProcessEnd::Exited,
    };
    (since.map(|since| since.elapsed()), how)
}
