//! Threads: one acceptor, and workers that each run a single-threaded runtime.
//!
//! The acceptor hands each connection to the worker with the fewest. From then on everything about it, its networks'
//! connections included, happens on that worker: nothing on the path is shared between cores but counters and ledgers. Each
//! listening socket is one socket: several with `SO_REUSEPORT` would lose the backlog of whichever is closed first.

mod owner;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use config::value::Limits;
use pingora_limits::inflight::{Guard as AddressGuard, Inflight};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::accept::{self, Accepted, Port, Tls};
use crate::generation::Shared;
use crate::metrics::ConnectionRefusal;

pub(crate) use owner::Owner;
use owner::{Place, Tasks};

/// Connections that may wait in a listening socket for the acceptor.
const BACKLOG: i32 = 4096;
/// Connections that may wait for a worker.
const HANDED_MOST: usize = 1024;
/// Connections of the operator's at once: probes, scrapes and people, of which there are few.
const ADMIN_CONNECTIONS: usize = 64;

/// Tells everybody to come to an end.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// What sends it, and what it is received by.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until stopping has begun.
    pub(crate) async fn begun(&mut self) {
        // A sender that is gone means the same.
        let _gone = self.0.wait_for(|begun| *begun).await.is_err();
    }
}

/// A listening socket and what comes in by it.
pub(crate) struct Listening {
    pub(crate) port: Port,
    pub(crate) socket: StdListener,
    pub(crate) tls: Option<Tls>,
}

/// Opens a listening socket.
pub(crate) fn listen(address: SocketAddr) -> io::Result<StdListener> {
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
    stopping: &Stopping,
    drain: Duration,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(workers + 1);
    // Gone when the last worker is: then the operator's port has nothing left to show.
    let (working, mut all_done) = mpsc::channel::<()>(1);
    let mut hands = Vec::with_capacity(workers);
    for index in 0..workers {
        let (hand, handed) = mpsc::channel(HANDED_MOST);
        hands.push(Worker { hand, open: Arc::default() });
        let runtime = runtime()?;
        let (shared, stopping, working) = (Arc::clone(shared), stopping.clone(), working.clone());
        threads.push(named(&format!("worker-{index}"), move || {
            let _working = working;
            runtime.block_on(work(shared, index, handed, stopping, drain));
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?);
    }
    let runtime = runtime()?;
    let (shared, stopping) = (Arc::clone(shared), stopping.clone());
    threads.push(named("acceptor", move || {
        drop(working);
        runtime.block_on(async {
            let (operator_stops, operator) = Stopping::new();
            let watching = accept_all(shared, listening, hands, stopping, operator).await;
            while all_done.recv().await.is_some() {}
            operator_stops.send_replace(true);
            drop(watching);
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

/// One worker: serves what it is handed until it is told to stop, and what came of that has ended or been cut.
async fn work(
    shared: Arc<Shared>,
    worker: usize,
    mut handed: mpsc::Receiver<Handed>,
    stopping: Stopping,
    drain: Duration,
) {
    let (mut connections, tasks) = (JoinSet::new(), Tasks::default());
    let accepted = |Handed { socket, from, port, tls, place }| {
        let owner = Owner::new(&tasks, place);
        (socket, Accepted { shared: Arc::clone(&shared), worker, port, from, tls, stopping: stopping.clone(), owner })
    };
    let mut told = stopping.clone();
    loop {
        tokio::select! {
            biased;
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            next = handed.recv() => {
                let Some(next) = next else { break };
                connections.spawn(serve(accepted(next)));
            }
            () = told.begun() => break,
        }
    }
    handed.close();
    // Those that were on their way here have been accepted: they are served like those that were here before.
    while let Some(next) = handed.recv().await {
        connections.spawn(serve(accepted(next)));
    }
    let ended = async {
        while connections.join_next().await.is_some() {}
        // Only connections start these, so there will be no more of them.
        tasks.ended().await;
    };
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

/// Accepts until told to stop. The operator's port stays open for as long as what is returned is held.
async fn accept_all(
    shared: Arc<Shared>,
    listening: Vec<Listening>,
    workers: Vec<Worker>,
    mut stopping: Stopping,
    operator: Stopping,
) -> JoinSet<()> {
    let limits = shared.generation.load().config.limits;
    let (mut tasks, mut for_operator) = (JoinSet::new(), JoinSet::new());
    for network in &shared.generation.load().networks {
        crate::upstream::check::keep_watch(&mut tasks, &shared, network, workers.len());
    }
    tasks.spawn(crate::path::keep_tidy(Arc::clone(&shared)));
    let every = shared.generation.load().config.identity.as_ref().map(|identity| identity.reload_every);
    // For as long as jobs may run: a revocation does not wait for a drain.
    crate::identity::keep_fresh(&mut for_operator, &shared.certificates, every);
    for listening in listening {
        let acceptor = Acceptor {
            shared: Arc::clone(&shared),
            workers: workers.clone(),
            stopping: if listening.port == Port::Admin { operator.clone() } else { stopping.clone() },
            room: Arc::new(Semaphore::new(connections_most(listening.port, &limits))),
            addresses: Inflight::new(),
            per_address: isize::try_from(limits.connections_per_address).unwrap_or(isize::MAX),
        };
        let tasks = if listening.port == Port::Admin { &mut for_operator } else { &mut tasks };
        tasks.spawn(acceptor.run(listening));
    }
    shared.ready.store(true, Ordering::Release);
    stopping.begun().await;
    shared.ready.store(false, Ordering::Release);
    for_operator
}

/// How many connections a listener has room for. Each has its own: jobs that fill theirs may be waiting for a service that
/// waits for data by the egress listener, and the operator must be heard above all when everything else is full.
fn connections_most(port: Port, limits: &Limits) -> usize {
    match port {
        Port::Jobs | Port::Peers | Port::Egress => limits.connections,
        Port::Admin => ADMIN_CONNECTIONS,
    }
}

/// One listener, and the connections that came in by it.
struct Acceptor {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    stopping: Stopping,
    room: Arc<Semaphore>,
    addresses: Inflight,
    per_address: isize,
}

impl Acceptor {
    async fn run(self, Listening { port, socket, tls }: Listening) {
        let listener = match TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, ?port, "a listening socket cannot be used"),
        };
        loop {
            let Some(permit) = self.room().await else { return };
            let (socket, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: the next connection waits in the backlog meanwhile.
                    tracing::warn!(%error, ?port, "a connection cannot be accepted");
                    self.shared.metrics.connection_refused(ConnectionRefusal::Accept);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            self.hand_over(socket, from, port, tls.clone(), permit).await;
        }
    }

    /// Room for one more connection. While there is none, the next one waits in the backlog, and that is counted once.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(permit);
        }
        self.shared.metrics.connection_refused(ConnectionRefusal::Full);
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    async fn hand_over(
        &self,
        socket: tokio::net::TcpStream,
        from: SocketAddr,
        port: Port,
        tls: Option<Tls>,
        permit: OwnedSemaphorePermit,
    ) {
        let (address, open_there) = self.addresses.incr(from.ip(), 1);
        if open_there > self.per_address {
            self.shared.metrics.connection_refused(ConnectionRefusal::Address);
            return;
        }
        self.shared.metrics.connection_opened();
        if port == Port::Admin {
            let place = self.place(permit, address, Arc::new(AtomicUsize::new(1)));
            let accepted = Accepted {
                shared: Arc::clone(&self.shared),
                worker: self.workers.len(),
                port,
                from,
                tls,
                stopping: self.stopping.clone(),
                owner: Owner::new(&Tasks::default(), place),
            };
            // Ends with its connection, or with this runtime.
            tokio::spawn(accept::serve(accepted, socket));
            return;
        }
        let Some(worker) = self.workers.iter().min_by_key(|w| w.open.load(Ordering::Relaxed)) else { return };
        worker.open.fetch_add(1, Ordering::Relaxed);
        let place = self.place(permit, address, Arc::clone(&worker.open));
        match socket.into_std() {
            Ok(socket) => {
                let handed = Handed { socket, from, port, tls, place };
                if worker.hand.send(handed).await.is_err() {
                    tracing::debug!("a connection came while the sidecar was stopping");
                }
            }
            Err(error) => tracing::debug!(%error, "a connection was gone before it was handed over"),
        }
    }
    fn place(&self, permit: OwnedSemaphorePermit, address: AddressGuard, open: Arc<AtomicUsize>) -> Place {
        Place { _permit: permit, _address: address, open, shared: Arc::clone(&self.shared) }
    }
}
