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
mod making;
mod pool;
mod ring;
mod send;
mod turn;
mod upload;
mod warmth;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use config::value as cfg;
use parking_lot::Mutex;
use policy::budget::{Load, NoPermit, ShadowBudget};
use policy::forecast::Forecast;
use policy::herd::Others;
use policy::ledger;
use policy::link::Link;
use policy::spend::Spent;
use policy::{NetworkId, NetworkView};
use tokio::sync::Notify;

pub(crate) use endpoint::{Endpoint, Report};
pub(crate) use error::SendError;
pub(crate) use exchange::Answer;
pub(crate) use flight::{Flight, ShadowPermit, Ticket};
pub(crate) use making::Making;
use ring::Ring;
pub(crate) use send::{Lane, Purpose};
pub(crate) use upload::{Outgoing, Upload};
use warmth::Warmth;

use crate::admin::{EndpointStatus, NetworkStatus};
use crate::clock;
use crate::lane::{Crew, Seat};
use crate::metrics::Metrics;

/// One network at run time.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) id: NetworkId,
    /// What the configuration says of it.
    pub(crate) config: cfg::Network,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// The roots that they are verified by, as they were read.
    pub(crate) roots: Option<Arc<[u8]>>,
    /// How many of them, from the first, take live jobs. Those behind them are for shadows only.
    live: usize,
    /// The workers behind those endpoints, where we start them.
    pub(crate) crew: Option<Arc<Crew>>,
    /// Whether the link to it is a real one: home is not across any.
    home: bool,
    state: Arc<Mutex<State>>,
    workers: usize,
    /// Dispatches whose progress is asked for.
    watched: Arc<AtomicU32>,
    /// What its sidecars hold of inputs, and which of them gets what.
    pub(crate) warmth: Warmth,
    ring: Option<Ring>,
    metrics: Arc<Metrics>,
}

/// What changes with every dispatch.
#[derive(Debug)]
struct State {
    ledger: ledger::Ledger,
    /// Shadows on workers and replicas, which take no slot of the live service's.
    aside: ledger::Ledger,
    link: Link,
    /// Of what is in flight.
    forecast: Forecast,
    /// What other sidecars have there, as far as reports tell.
    others: Others,
    budget: ShadowBudget,
    /// Whom to tell that its shadow must go, youngest last. Who was told is not here any more.
    sheddable: Vec<Arc<Notify>>,
}

impl State {
    fn ledger(&mut self, aside: bool) -> &mut ledger::Ledger {
        if aside { &mut self.aside } else { &mut self.ledger }
    }

    /// Takes a dispatch off its ledger, if it is still there, and says when it began.
    fn leave(&mut self, aside: bool, id: u64, now_s: f64) -> Option<f64> {
        let began_s = self.ledger(aside).leave(id, now_s)?;
        if !aside {
            self.forecast.ended(now_s);
        }
        Some(began_s)
    }
}

impl Network {
    /// What the policy may know of it at `now_s`, for a job of `bytes` to send and of this draw, if it is for a job. What may be
    /// spent on it is for others to say.
    pub(crate) fn view(&self, bytes: u64, draw: Option<f64>, now_s: f64) -> NetworkView {
        let capacity = self.capacity();
        let ours = self.ours_in_reports();
        let healthy = self.endpoints[..self.live].iter().any(|e| e.would_admit(now_s));
        let has_worker = self.crew.as_ref().is_none_or(|crew| crew.has_idle());
        let adopted = self.adopted();
        let mut state = self.state.lock();
        let others = match draw {
            Some(draw) => state.others.now(ours, self.id, draw, now_s),
            None => state.others.now_expected(ours),
        };
        let own = state.ledger.len().saturating_add(adopted);
        let in_flight = own.saturating_add(others);
        state.forecast.observe(f64::from(in_flight), now_s);
        let wait_s = if capacity > 0 && in_flight >= capacity {
            let typical_s = state.ledger.typical_s();
            ledger::wait_s(state.ledger.entries(), others, capacity, typical_s, now_s)
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
            shadow_room: has_worker && state.budget.would_spend(bytes, self.load(in_flight, capacity), now_s),
            warm_bytes: 0,
            fetch_bytes_per_s: Some(0.0),
            outlook: state.forecast.outlook(now_s),
            correction: policy::residual::Correction::default(),
            price: self.config.price,
            spend_left: None,
        }
    }

    /// Takes a worker for a shadow, where shadows have workers; `None` where they run on what runs live jobs, or on what
    /// somebody else starts.
    pub(crate) fn claim(&self) -> Result<Option<Arc<Seat>>, NoPermit> {
        self.crew.as_ref().map(|crew| crew.claim().ok_or(NoPermit::Worker)).transpose()
    }

    /// Spends a shadow permit.
    pub(crate) fn shadow_permit(self: &Arc<Self>, bytes: u64) -> Result<ShadowPermit, NoPermit> {
        let capacity = self.capacity();
        let others = self.others_in_flight();
        let mut state = self.state.lock();
        let in_flight = state.ledger.len().saturating_add(others);
        state.budget.spend(bytes, self.load(in_flight, capacity), clock::now_s())?;
        let shed = Arc::new(Notify::new());
        state.sheddable.push(Arc::clone(&shed));
        Ok(ShadowPermit::new(Arc::clone(self), shed))
    }

    /// What charges the bytes that a shadow moves, beyond those that its permit has paid for, to the budget of all of them.
    pub(crate) fn charge(self: &Arc<Self>, paid_bytes: u64) -> Arc<dyn Fn(u64) + Send + Sync> {
        let (network, paid) = (Arc::clone(self), AtomicU64::new(paid_bytes));
        Arc::new(move |bytes| {
            let free = paid.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(bytes))).unwrap_or(0);
            let owed = bytes.saturating_sub(free);
            if owed > 0 {
                network.state.lock().budget.moved(owed, clock::now_s());
            }
        })
    }

    /// Enters a dispatch in the ledger, until the returned flight is dropped.
    pub(crate) fn depart(self: &Arc<Self>, predicted_s: Option<f64>) -> Flight {
        let flight = Flight::depart(Arc::clone(self), predicted_s);
        self.shed();
        flight
    }

    /// Tells shadows that live work needs the room of, the youngest first. One that is adopted before it hears of it stays.
    fn shed(&self) {
        let (capacity, others) = (self.capacity(), self.others_in_flight());
        if capacity == 0 {
            return;
        }
        let mut state = self.state.lock();
        let in_flight = state.ledger.len().saturating_add(others);
        let told = state.budget.in_flight().saturating_sub(u32::try_from(state.sheddable.len()).unwrap_or(u32::MAX));
        for _ in told..state.budget.to_shed(self.load(in_flight, capacity)) {
            let Some(shadow) = state.sheddable.pop() else { return };
            shadow.notify_one();
        }
    }

    /// The same for a shadow. One that runs on a worker or a replica takes no slot, and nobody waits for it.
    pub(crate) fn depart_shadow(self: &Arc<Self>, predicted_s: Option<f64>) -> Flight {
        if self.runs_shadows_apart() { Flight::depart_aside(Arc::clone(self)) } else { self.depart(predicted_s) }
    }

    /// Jobs it can run at once: what its own sidecars say, else what the configuration says; 0 if nobody knows.
    pub(crate) fn capacity(&self) -> u32 {
        match self.reported(|report| report.capacity) {
            0 => self.config.capacity,
            reported => reported,
        }
    }

    /// Requests of ours there now, as its reports count them.
    fn ours_in_reports(&self) -> u32 {
        self.endpoints[..self.live].iter().map(|endpoint| endpoint.in_flight()).fold(0, u32::saturating_add)
    }

    fn others_in_flight(&self) -> u32 {
        self.reported(|report| report.in_flight.saturating_sub(report.ours))
    }

    /// Something that its sidecars have reported, over all of them.
    fn reported(&self, what: impl Fn(endpoint::Report) -> u32) -> u32 {
        self.endpoints.iter().filter_map(|endpoint| endpoint.reported()).map(what).fold(0, u32::saturating_add)
    }

    /// Jobs of our own in flight there.
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.lock().ledger.len().saturating_add(self.adopted())
    }

    /// Jobs that run on workers, with all of the machine they can get: they began as shadows and have been adopted.
    fn adopted(&self) -> u32 {
        self.crew.as_ref().map_or(0, |crew| crew.adopted())
    }

    /// How full it is for shadows. One on a worker needs no slot and has no share; its cage keeps it from live work's way.
    fn load(&self, in_flight: u32, capacity: u32) -> Load {
        Load { in_flight, capacity: if self.crew.is_some() { 0 } else { capacity } }
    }

    /// Which of its endpoints stands where `other` does, if any that takes live jobs.
    pub(crate) fn live_endpoint_at(&self, other: &Endpoint) -> Option<usize> {
        self.endpoints[..self.live].iter().position(|endpoint| endpoint.is_where(other))
    }

    /// Takes the load report of one endpoint's sidecar in; `None` if it gives none any more.
    pub(crate) fn reports(&self, endpoint: usize, report: Option<Report>) {
        self.endpoints[endpoint].reports(report);
        let (capacity, others, ours) = (self.capacity(), self.others_in_flight(), self.reported(|report| report.ours));
        let (any, now_s) = (self.endpoints.iter().any(|e| e.reported().is_some()), clock::now_s());
        let mut state = self.state.lock();
        state.ledger.holds(capacity, others, now_s);
        if any {
            state.others.report(others, ours, now_s);
        } else {
            state.others.silent();
        }
    }

    /// Counts a dispatch as watched, until what is returned is dropped.
    pub(crate) fn watch(self: &Arc<Self>) -> Watched {
        self.watched.fetch_add(1, Relaxed);
        Watched(Arc::clone(self))
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
        let view = self.view(0, None, now_s);
        let link = self.state.lock().link;
        let endpoint = |endpoint: &Arc<Endpoint>| EndpointStatus {
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
            workers: self.crew.as_ref().map(|crew| crew.workers()),
            spent: Spent::default(),
            caps: self.config.spend,
            endpoints: self.endpoints[..self.live].iter().map(endpoint).collect(),
        }
    }

    /// How many threads send requests.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Whether it stands where this sidecar stands.
    pub(crate) fn is_home(&self) -> bool {
        self.home
    }

    /// Whether a sidecar that has proved to be `id` stands there.
    pub(crate) fn is_reached_as(&self, id: &certs::SpiffeId) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.dialled().is_some_and(|dialled| dialled.expects(id)))
    }

    /// Whether its shadows run where live requests never go: on workers, or on replicas of the lane.
    pub(crate) fn runs_shadows_apart(&self) -> bool {
        self.live < self.endpoints.len()
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

/// A dispatch whose progress is asked for.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Network>);

impl Watched {
    /// How many there are on its network.
    pub(crate) fn count(&self) -> u32 {
        self.0.watched.load(Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.watched.fetch_sub(1, Relaxed);
    }
}
