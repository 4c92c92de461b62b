//! The listening sockets, and how they follow the configuration.
//!
//! A listener that stays keeps its socket, and with it whoever waits in its backlog. One that moves gets a new socket first;
//! then the old one takes in who has connected to it already and is closed, and its connections end with their next answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use config::Config;
use config::value::Limits;
use pingora_limits::inflight::{Guard as AddressGuard, Inflight};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::owner::{Place, Tasks};
use super::room::{Room, Taken};
use super::{Ending, Handed, Listening, Owner, Stopping, Worker, listen};
use crate::accept::{self, Accepted, Port, Tls};
use crate::app::StartError;
use crate::generation::Shared;
use crate::handover::{Inherited, Offer};
use crate::identity::Certificates;
use crate::metrics::ConnectionRefusal;

/// Connections of the operator's at once: probes, scrapes and people, of which there are few.
const ADMIN_CONNECTIONS: usize = 64;

/// All listeners that are open.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    /// None once nothing more is to be handed over.
    workers: Vec<Worker>,
    /// What the acceptor's thread is called among them.
    own: usize,
    open: Vec<Open>,
    tasks: JoinSet<()>,
}

/// One that is open.
struct Open {
    port: Port,
    /// Where the configuration wants it; with port 0 it is elsewhere.
    wanted: SocketAddr,
    address: SocketAddr,
    door: Arc<Door>,
    room: Arc<Room>,
    /// Until its acceptor has closed it.
    listener: Weak<TcpListener>,
}

/// What an acceptor goes by, and may change under it.
struct Door {
    behind: ArcSwap<Behind>,
    /// Told when no more are to come in.
    closing: watch::Sender<Ending>,
}

/// What a connection goes by that comes in now.
#[derive(Clone)]
struct Behind {
    tls: Option<Tls>,
    /// Told when it is to end with its next answer.
    ending: Arc<watch::Sender<Ending>>,
}

/// Where the configuration wants listeners.
pub(crate) fn wanted(config: &Config) -> impl Iterator<Item = (Port, &'static str, SocketAddr)> {
    let listen = &config.listen;
    let intercept = listen.intercept.as_ref();
    let all = [
        (Port::Jobs, Some(listen.jobs)),
        (Port::Peers, listen.peers),
        (Port::Egress, listen.egress),
        (Port::Inbound, intercept.map(|intercept| intercept.inbound)),
        (Port::Outbound, intercept.and_then(|intercept| intercept.outbound)),
        (Port::Admin, Some(listen.admin)),
    ];
    all.into_iter().filter_map(|(port, address)| Some((port, port.word(), address?)))
}

/// Opens a socket for a listener.
pub(crate) fn open(port: Port, what: &'static str, address: SocketAddr) -> Result<Listening, StartError> {
    let socket = listen(address).map_err(|source| StartError::Listen { what, address, source })?;
    Ok(Listening { port, wanted: address, socket })
}

/// The socket that was inherited for a listener, or a new one.
pub(crate) fn inherit_or_open(
    inherited: &Inherited,
    port: Port,
    what: &'static str,
    address: SocketAddr,
) -> Result<Listening, StartError> {
    let found = inherited.find(port, address).map_err(|source| StartError::Listen { what, address, source })?;
    found.map_or_else(|| open(port, what, address), |socket| Ok(Listening { port, wanted: address, socket }))
}

impl Listeners {
    pub(super) fn new(shared: &Arc<Shared>, workers: Vec<Worker>) -> Self {
        let own = workers.len();
        Self { shared: Arc::clone(shared), workers, own, open: Vec::new(), tasks: JoinSet::new() }
    }

    /// Opens the sockets that `config` wants and that are not open yet.
    ///
    /// # Errors
    /// One cannot be opened; then none is.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Vec<Listening>, StartError> {
        let is_new = |&(port, _, address): &(Port, &str, SocketAddr)| {
            !self.open.iter().any(|open| open.port == port && open.wanted == address)
        };
        wanted(config).filter(is_new).map(|(port, what, address)| open(port, what, address)).collect()
    }

    /// Goes by the configuration and the certificates in force from now on. `opened` are the sockets that were prepared.
    pub(crate) fn follow(&mut self, opened: Vec<Listening>) {
        let generation = self.shared.generation.load_full();
        let (config, certificates) = (&generation.config, self.shared.certificates.load_full());
        let stays = |open: &Open| wanted(config).any(|(port, _, address)| (port, address) == (open.port, open.wanted));
        let (stay, leave): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open).into_iter().partition(stays);
        self.open = stay;
        for open in &self.open {
            open.room.hold(connections_most(open.port, &config.limits));
            open.door.turn(tls_of(open.port, &certificates));
        }
        for listening in opened {
            self.add(listening, &certificates, &config.limits);
        }
        for open in leave {
            tracing::info!(port = ?open.port, address = %open.address, "no longer listening here");
            open.door.close();
        }
        self.tell();
        while self.tasks.try_join_next().is_some() {}
    }

    /// Takes no more connections but the operator's, and lets those there are end.
    pub(super) fn stop(&mut self) {
        // When the acceptors have handed over the last of theirs, each worker knows that it was the last.
        self.workers.clear();
        self.open.iter().filter(|open| open.port != Port::Admin).for_each(|open| open.door.close());
    }

    /// The operator's, too.
    pub(super) fn stop_all(&mut self) {
        self.workers.clear();
        self.open.iter().for_each(|open| open.door.close());
    }

    fn add(&mut self, listening: Listening, certificates: &Certificates, limits: &Limits) {
        let Listening { port, wanted, socket } = listening;
        let (listener, address) = match socket.local_addr().and_then(|at| Ok((TcpListener::from_std(socket)?, at))) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, ?port, "a listening socket cannot be used"),
        };
        let behind = Behind { tls: tls_of(port, certificates), ending: Arc::new(watch::Sender::new(Ending::Open)) };
        let door = Arc::new(Door { behind: ArcSwap::from_pointee(behind), closing: watch::Sender::new(Ending::Open) });
        let room = Room::new(connections_most(port, limits));
        let listener = Arc::new(listener);
        let acceptor = Acceptor {
            shared: Arc::clone(&self.shared),
            workers: if port == Port::Admin { Vec::new() } else { self.workers.clone() },
            own: self.own,
            port,
            door: Arc::clone(&door),
            room: Arc::clone(&room),
            addresses: Inflight::new(),
        };
        self.open.push(Open { port, wanted, address, door, room, listener: Arc::downgrade(&listener) });
        self.tasks.spawn(acceptor.run(listener));
    }

    /// Says where they are.
    fn tell(&self) {
        let listening: Vec<_> = self.open.iter().map(|open| (open.port, open.address)).collect();
        if **self.shared.listening.load() != listening {
            self.shared.listening.store(Arc::new(listening));
        }
        let offer = |open: &Open| Offer { port: open.port, wanted: open.wanted, listener: Weak::clone(&open.listener) };
        *self.shared.offers.lock() = self.open.iter().map(offer).collect();
    }
}

impl Door {
    /// Who comes in from now on proves this. Those who are here stay, unless they came encrypted and others no longer do, or
    /// the other way round.
    fn turn(&self, tls: Option<Tls>) {
        let behind = self.behind.load_full();
        let same_kind = behind.tls.is_some() == tls.is_some();
        let ending = if same_kind { Arc::clone(&behind.ending) } else { Arc::new(watch::Sender::new(Ending::Open)) };
        self.behind.store(Arc::new(Behind { tls, ending }));
        if !same_kind {
            behind.ending.send_replace(Ending::Now);
        }
    }

    fn close(&self) {
        self.closing.send_replace(Ending::NextAnswer);
        self.behind.load().ending.send_replace(Ending::NextAnswer);
    }
}

/// What whoever comes in there must prove.
fn tls_of(port: Port, certificates: &Certificates) -> Option<Tls> {
    match port {
        Port::Jobs => certificates.jobs.clone().map(Tls::Jobs),
        Port::Peers => certificates.identity.clone().map(Tls::Peers),
        Port::Egress | Port::Inbound | Port::Outbound | Port::Admin => None,
    }
}

/// How many connections a listener has room for. Each has its own: jobs that fill theirs may be waiting for a service that
/// waits for data by the egress listener, and the operator must be heard above all when everything else is full.
fn connections_most(port: Port, limits: &Limits) -> usize {
    match port {
        Port::Jobs | Port::Peers | Port::Egress | Port::Inbound | Port::Outbound => limits.connections,
        Port::Admin => ADMIN_CONNECTIONS,
    }
}

/// One listener, and the connections that came in by it.
struct Acceptor {
    shared: Arc<Shared>,
    /// None for the operator's, who is served here.
    workers: Vec<Worker>,
    own: usize,
    port: Port,
    door: Arc<Door>,
    room: Arc<Room>,
    addresses: Inflight,
}

impl Acceptor {
    async fn run(self, listener: Arc<TcpListener>) {
        let mut closing = Stopping::told_by(&self.door.closing);
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.begun() => break,
                accepted = self.accept(&listener) => accepted,
            };
            if let Some((socket, from, taken)) = accepted {
                self.hand_over(socket, from, taken).await;
            }
        }
        // Who has connected already has done nothing wrong.
        while let Some(taken) = self.room.try_take() {
            let waiting = std::future::poll_fn(|cx| match listener.poll_accept(cx) {
                std::task::Poll::Ready(Ok(accepted)) => std::task::Poll::Ready(Some(accepted)),
                std::task::Poll::Ready(Err(_)) | std::task::Poll::Pending => std::task::Poll::Ready(None),
            });
            let Some((socket, from)) = waiting.await else { break };
            self.hand_over(socket, from, taken).await;
        }
    }

    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, Taken)> {
        let taken = self.room().await;
        match listener.accept().await {
            Ok((socket, from)) => Some((socket, from, taken)),
            Err(error) => {
                // Out of file descriptors, most likely: the next connection waits in the backlog meanwhile.
                tracing::warn!(%error, port = ?self.port, "a connection cannot be accepted");
                self.shared.metrics.connection_refused(ConnectionRefusal::Accept);
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    /// Room for one more connection. While there is none, the next one waits in the backlog, and that is counted once.
    async fn room(&self) -> Taken {
        if let Some(taken) = self.room.try_take() {
            return taken;
        }
        self.shared.metrics.connection_refused(ConnectionRefusal::Full);
        self.room.take().await
    }

    async fn hand_over(&self, socket: TcpStream, from: SocketAddr, taken: Taken) {
        let (address, open_there) = self.addresses.incr(from.ip(), 1);
        let per_address = self.shared.generation.load().config.limits.connections_per_address;
        if open_there > isize::try_from(per_address).unwrap_or(isize::MAX) {
            self.shared.metrics.connection_refused(ConnectionRefusal::Address);
            return;
        }
        self.shared.metrics.connection_opened();
        let behind = self.door.behind.load();
        let (port, tls, stopping) = (self.port, behind.tls.clone(), Stopping::told_by(&behind.ending));
        drop(behind);
        if port == Port::Admin {
            let place = self.place(taken, address, Arc::new(AtomicUsize::new(1)));
            let owner = Owner::new(&Tasks::default(), place);
            let (shared, worker) = (Arc::clone(&self.shared), self.own);
            // Ends with its connection, or with this runtime.
            let accepted = Accepted { shared, worker, port, from, tls, stopping, owner, bound_for: None };
            tokio::spawn(accept::serve(accepted, socket));
            return;
        }
        let Some(worker) = self.workers.iter().min_by_key(|w| w.open.load(Ordering::Relaxed)) else { return };
        worker.open.fetch_add(1, Ordering::Relaxed);
        let place = self.place(taken, address, Arc::clone(&worker.open));
        match socket.into_std() {
            Ok(socket) => {
                let handed = Handed { socket, from, port, tls, stopping, place };
                if worker.hand.send(handed).await.is_err() {
                    tracing::debug!("a connection came while the sidecar was stopping");
                }
            }
            Err(error) => tracing::debug!(%error, "a connection was gone before it was handed over"),
        }
    }

    fn place(&self, taken: Taken, address: AddressGuard, open: Arc<AtomicUsize>) -> Place {
        Place { _taken: taken, _address: address, open, shared: Arc::clone(&self.shared) }
    }
}
