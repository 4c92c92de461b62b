//! The networks as this sidecar reaches them: where they are, whether they are well, what is in flight there, and how one
//! request gets there and its answer back.
//!
//! What a network's numbers mean is `policy`'s business; this keeps them, under one short lock for each network.

mod absolute;
mod carry;
pub(crate) mod check;
pub(crate) mod connect;
mod endpoint;
mod error;
mod exchange;
pub(crate) mod flight;
mod flow;
mod pool;
mod send;
mod turn;
mod upload;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use config::value as cfg;
use parking_lot::Mutex;
use policy::budget::{NoPermit, ShadowBudget};
use policy::ledger;
use policy::link::Link;
use policy::{NetworkId, NetworkView};

pub(crate) use endpoint::Endpoint;
pub(crate) use error::SendError;
pub(crate) use exchange::Answer;
pub(crate) use flight::{Flight, ShadowPermit};
pub(crate) use send::{Lane, Purpose};
pub(crate) use upload::{Outgoing, Upload};

use crate::admin::{EndpointStatus, NetworkStatus};
use crate::clock;
use crate::identity::Identity;
use crate::metrics::Metrics;

/// Bytes that one stream of HTTP/2 may bring before they are read.
pub(crate) const H2_STREAM_WINDOW: u32 = 1 << 20;

/// Bytes that all `streams` of a connection may bring before they are read: what each of them may. Less, and a few whose
/// readers are slow would hold up all others.
pub(crate) fn h2_connection_window(streams: u32) -> u32 {
    // The most that HTTP/2 allows (RFC 9113 §6.9.1).
    const MOST: u32 = (1 << 31) - 1;
    H2_STREAM_WINDOW.saturating_mul(streams).min(MOST)
}

/// One network at run time.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) id: NetworkId,
    /// What the configuration says of it.
    pub(crate) config: cfg::Network,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Whether the link to it is a real one: home is not across any.
    home: bool,
    state: Mutex<State>,
    reported: Reported,
    /// Idle connections, by worker: no worker ever touches another's.
    pools: Box<[Mutex<pool::Pool>]>,
    metrics: Arc<Metrics>,
}

/// What changes with every dispatch.
#[derive(Debug)]
struct State {
    ledger: flight::Ledger,
    link: Link,
    budget: ShadowBudget,
}

/// What the network's own sidecar last said of it.
#[derive(Debug, Default)]
struct Reported {
    in_flight: AtomicU32,
    /// How many of those were ours when it said so.
    ours: AtomicU32,
    capacity: AtomicU32,
}

impl Network {
    /// The network `id` of `config`, reached by `workers` workers.
    pub(crate) fn new(
        config: &config::Config,
        id: NetworkId,
        workers: usize,
        identity: Option<&Arc<Identity>>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let network = config.network(id).clone();
        let endpoints = network
            .endpoints
            .iter()
            .map(|endpoint| Endpoint::new(endpoint, &network, identity))
            .collect::<io::Result<Vec<_>>>()?;
        let budget = &network.budget;
        Ok(Self {
            id,
            state: Mutex::new(State {
                ledger: flight::Ledger::new(network.capacity),
                link: Link::default(),
                budget: ShadowBudget::new(budget.in_flight, budget.per_second, budget.bytes_per_second),
            }),
            reported: Reported::default(),
            pools: (0..workers).map(|_| Mutex::new(pool::Pool::new(network.endpoints.len()))).collect(),
            home: id == config.home,
            config: network,
            endpoints,
            metrics,
        })
    }

    /// What the policy may know of it at `now_s`, for a job of `bytes` to send.
    pub(crate) fn view(&self, bytes: u64, now_s: f64) -> NetworkView {
        let capacity = self.capacity();
        let others = self.others_in_flight();
        let healthy = self.endpoints.iter().any(|e| e.would_admit(now_s));
        let state = self.state.lock();
        let own = state.ledger.len();
        let in_flight = own.saturating_add(others);
        let wait_s = if capacity > 0 && in_flight >= capacity {
            ledger::wait_s(state.ledger.entries(), others, capacity, state.ledger.typical_s(), now_s)
        } else {
            0.0
        };
        let link_bytes_per_s = if self.config.link_bytes_per_s > 0.0 {
            self.config.link_bytes_per_s
        } else {
            state.link.bytes_per_s(now_s)
        };
        NetworkView {
            healthy,
            in_flight,
            capacity,
            wait_s,
            rtt_s: if self.home { 0.0 } else { state.link.rtt_s() },
            link_bytes_per_s: if self.home { 0.0 } else { link_bytes_per_s },
            link_queued_bytes: 0.0,
            shadow_room: state.budget.would_spend(bytes, has_room(in_flight, capacity), now_s),
            warm_bytes: 0,
            price: self.config.price,
        }
    }

    /// Spends a shadow permit.
    pub(crate) fn shadow_permit(self: &Arc<Self>, bytes: u64) -> Result<ShadowPermit, NoPermit> {
        let capacity = self.capacity();
        let others = self.others_in_flight();
        let mut state = self.state.lock();
        let room = has_room(state.ledger.len().saturating_add(others), capacity);
        state.budget.spend(bytes, room, clock::now_s())?;
        Ok(ShadowPermit::new(Arc::clone(self)))
    }

    /// Charges bytes that a shadow moved to the budget of all of them.
    pub(crate) fn shadow_moved(&self, bytes: u64) {
        if bytes > 0 {
            self.state.lock().budget.moved(bytes, clock::now_s());
        }
    }

    /// Enters a dispatch in the ledger, until the returned flight is dropped.
    pub(crate) fn depart(self: &Arc<Self>, predicted_s: Option<f64>) -> Flight {
        Flight::depart(Arc::clone(self), predicted_s)
    }

    /// Jobs it can run at once: what its own sidecar says, else what the configuration says; 0 if nobody knows.
    pub(crate) fn capacity(&self) -> u32 {
        match self.reported.capacity.load(Ordering::Relaxed) {
            0 => self.config.capacity,
            reported => reported,
        }
    }

    fn others_in_flight(&self) -> u32 {
        self.reported.in_flight.load(Ordering::Relaxed).saturating_sub(self.reported.ours.load(Ordering::Relaxed))
    }

    /// Jobs of our own in flight there.
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.lock().ledger.len()
    }

    /// Takes a load report in. `ours` is what we had in flight there when it was made.
    pub(crate) fn reported(&self, in_flight: u32, capacity: u32, ours: u32) {
        self.reported.in_flight.store(in_flight, Ordering::Relaxed);
        self.reported.ours.store(ours, Ordering::Relaxed);
        self.reported.capacity.store(capacity, Ordering::Relaxed);
        let (capacity, others) = (self.capacity(), self.others_in_flight());
        self.state.lock().ledger.holds(capacity, others, clock::now_s());
    }

    /// Takes a measured round trip in.
    pub(crate) fn saw_round_trip(&self, seconds: f64) {
        self.state.lock().link.saw_round_trip(seconds);
    }

    /// Takes a measured transfer in.
    pub(crate) fn saw_transfer(&self, bytes: u64, seconds: f64) {
        self.state.lock().link.saw_transfer(bytes, seconds, clock::now_s());
    }

    /// How it is now, for people.
    pub(crate) fn status(&self) -> NetworkStatus {
        let now_s = clock::now_s();
        let view = self.view(0, now_s);
        let link = self.state.lock().link;
        let endpoint = |endpoint: &Endpoint| EndpointStatus {
            address: endpoint.label(),
            healthy: endpoint.would_admit(now_s),
            in_flight: endpoint.in_flight(),
        };
        NetworkStatus {
            name: self.config.name.clone(),
            kind: self.config.kind,
            healthy: view.healthy,
            in_flight: view.in_flight,
            capacity: view.capacity,
            waiting_s: view.wait_s,
            rtt_s: link.rtt_s(),
            link_bytes_per_s: link.bytes_per_s(now_s),
            endpoints: self.endpoints.iter().map(endpoint).collect(),
        }
    }

    /// Whether it stands where this sidecar stands.
    pub(crate) fn is_home(&self) -> bool {
        self.home
    }

    /// Whether a sidecar that has proved to be `id` stands there.
    pub(crate) fn is_reached_as(&self, id: &certs::SpiffeId) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.dialled().is_some_and(|dialled| dialled.expects(id)))
    }

    /// Whether another adumbra stands there.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.config.kind == cfg::Kind::Sidecar
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }
}

/// Whether live work leaves a slot for a shadow: one more than the job itself will take.
fn has_room(in_flight: u32, capacity: u32) -> bool {
    capacity == 0 || in_flight < capacity
}
