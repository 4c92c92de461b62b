//! Threads: one acceptor, and workers that each run a single-threaded runtime.
//!
//! The acceptor hands each connection to the worker with the fewest. From then on everything about it, its networks'
//! connections included, happens on that worker: nothing on the path is shared between cores but counters and ledgers. Each
//! listening socket is one socket: several with `SO_REUSEPORT` would lose the backlog of whichever is closed first.

mod listeners;
mod owner;
mod room;
mod standing;
mod stopping;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::accept::{self, Accepted, Port, Tls};
use crate::generation::Shared;
use crate::reload::Reloader;

pub(crate) use listeners::{inherit_or_open, wanted};
pub(crate) use owner::Owner;
pub(crate) use room::{Room, Taken};
pub(crate) use standing::Standing;
pub(crate) use stopping::{Ending, Stopping};

use owner::{Place, Tasks};

/// Connections that may wait in a listening socket for the acceptor.
const BACKLOG: i32 = 4096;
/// Connections that may wait for a worker.
const HANDED_MOST: usize = 1024;

/// A listening socket and what comes in by it.
pub(crate) struct Listening {
    pub(crate) port: Port,
    /// Where the configuration wants it.
    pub(crate) wanted: SocketAddr,
    pub(crate) socket: StdListener,
}

/// Opens a listening socket.
fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A connection on its way to a worker.
struct Handed {
    socket: StdStream,
    from: SocketAddr,
    port: Port,
    tls: Option<Tls>,
    stopping: Stopping,
    place: Place,
}

/// A worker as the acceptor sees it.
#[derive(Clone)]
struct Worker {
    hand: mpsc::Sender<Handed>,
    open: Arc<AtomicUsize>,
}

/// Starts `workers` workers and the thread that accepts for them. The last worker index, `workers`, is the acceptor's own:
/// it serves the operator and keeps watch over the networks.
pub(crate) fn start(
    shared: &Arc<Shared>,
    workers: usize,
    listening: Vec<Listening>,
    reloader: Reloader,
    stopping: &Stopping,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(workers + 1);
    // Gone when the last worker is: then the operator's port has nothing left to show.
    let (working, mut all_done) = mpsc::channel::<()>(1);
    let mut hands = Vec::with_capacity(workers);
    for index in 0..workers {
        let (hand, handed) = mpsc::channel(HANDED_MOST);
        hands.push(Worker { hand, open: Arc::default() });
        let runtime = runtime()?;
        let (shared, working) = (Arc::clone(shared), working.clone());
        threads.push(named(&format!("worker-{index}"), move || {
            let _working = working;
            runtime.block_on(work(shared, index, handed));
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?);
    }
    let runtime = runtime()?;
    let (shared, stopping) = (Arc::clone(shared), stopping.clone());
    threads.push(named("acceptor", move || {
        drop(working);
        runtime.block_on(async {
            let mut standing = accept_all(shared, listening, hands, reloader, stopping).await;
            while all_done.recv().await.is_some() {}
            standing.listeners.stop_all();
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
    })?);
    Ok(threads)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(8).build()
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("adumbra-{name}")).spawn(run)
}

/// One worker: serves what it is handed until nobody is left to hand it anything, and what came of that has ended or been cut.
async fn work(shared: Arc<Shared>, worker: usize, mut handed: mpsc::Receiver<Handed>) {
    let (mut connections, tasks) = (JoinSet::new(), Tasks::default());
    let accepted = |Handed { socket, from, port, tls, stopping, place }| {
        let owner = Owner::new(&tasks, place);
        (socket, Accepted { shared: Arc::clone(&shared), worker, port, from, tls, stopping, owner, bound_for: None })
    };
    loop {
        tokio::select! {
            biased;
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            next = handed.recv() => {
                let Some(next) = next else { break };
                connections.spawn(serve(accepted(next)));
            }
        }
    }
    let ended = async {
        while connections.join_next().await.is_some() {}
        // Only connections start these, so there will be no more of them.
        tasks.ended().await;
    };
    let drain = shared.generation.load().config.drain;
    if tokio::time::timeout(drain, ended).await.is_err() {
        let (open, running) = (connections.len(), tasks.running());
        tracing::warn!(open, running, "connections and what runs on without them were cut: `drain` was over");
    }
}

async fn serve((socket, accepted): (StdStream, Accepted)) {
    match tokio::net::TcpStream::from_std(socket) {
        Ok(socket) => accept::serve(accepted, socket).await,
        Err(error) => tracing::warn!(%error, "a connection could not be taken over by its worker"),
    }
}

/// Accepts until told to stop, and follows the configuration meanwhile. The operator's port stays open for as long as what
/// is returned is held.
async fn accept_all(
    shared: Arc<Shared>,
    listening: Vec<Listening>,
    workers: Vec<Worker>,
    reloader: Reloader,
    mut stopping: Stopping,
) -> Standing {
    let mut standing = Standing::new(&shared, workers, listening);
    let mut tasks = JoinSet::new();
    tasks.spawn(crate::path::keep_tidy(Arc::clone(&shared)));
    shared.ready.store(true, Ordering::Release);
    tokio::select! {
        () = stopping.begun() => {}
        () = reloader.keep(&mut standing) => {}
    }
    shared.ready.store(false, Ordering::Release);
    if stopping.has_time() {
        // The one that has taken over answers the operator, too.
        standing.listeners.stop_all();
    } else {
        standing.listeners.stop();
    }
    standing
}
