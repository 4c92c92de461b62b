//! A network is made of what its configuration says and of what is known of it already.
//!
//! After a reload it is another value, with another configuration on top; an endpoint that is reached as it was stays the same
//! one underneath, with its breaker, its addresses, its load report and its idle connections, and so do the ledger, the link
//! and the budget of a network of which any endpoint stays. So a change of a price forgets nothing. A network of which nothing
//! has changed is the same value. What jobs in flight hold is never changed by this; only [`Network::put_in_force`] tells what
//! they share about the new numbers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use config::value as cfg;
use parking_lot::Mutex;
use policy::NetworkId;
use policy::budget::ShadowBudget;
use policy::forecast::Forecast;
use policy::herd::Others;
use policy::link::Link;

use super::endpoint::Way;
use super::{Endpoint, Network, State, ledger};
use crate::clock;
use crate::identity::Identity;
use crate::lane::Crew;
use crate::metrics::Metrics;

/// What networks are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making<'a> {
    pub(crate) config: &'a config::Config,
    /// What sidecars are shown, where they are reached by TLS.
    pub(crate) identity: Option<&'a Arc<Identity>>,
    /// How many threads send requests: each has idle connections of its own.
    pub(crate) workers: usize,
    pub(crate) metrics: &'a Arc<Metrics>,
}

impl Network {
    /// The network `id`, to follow the one `before` it.
    ///
    /// # Errors
    /// It has roots that cannot be read or used.
    pub(crate) fn new(making: Making<'_>, id: NetworkId, before: Option<&Arc<Self>>) -> io::Result<Arc<Self>> {
        let Making { config, identity, workers, metrics } = making;
        let network = config.network(id).clone();
        let known = before.map_or(&[][..], |before| &before.endpoints[..]);
        let live = network.endpoints.len();
        let (for_shadows, crew) = shadow_endpoints(config, id, metrics, before);
        let roots: Option<Arc<[u8]>> = network.ca.as_ref().map(std::fs::read).transpose()?.map(Arc::from);
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(live + for_shadows.len());
        for at in network.endpoints.iter().chain(&for_shadows) {
            let way = Way::new(at, &network, roots.clone(), identity);
            let fits = |known: &&Arc<Endpoint>| {
                known.is_reached(&way) && endpoints.iter().all(|taken| !Arc::ptr_eq(taken, known))
            };
            // Workers are alike but for their places.
            let stays = known.get(endpoints.len()).filter(fits).or_else(|| known.iter().find(fits)).cloned();
            endpoints.push(match stays {
                Some(endpoint) => endpoint,
                None => Arc::new(Endpoint::new(way, &network, workers)?),
            });
        }
        if let Some(before) = before
            && before.config == network
            && before.live == live
            && before.roots == roots
            && same(&before.endpoints, &endpoints)
        {
            return Ok(Arc::clone(before));
        }
        // Of a network none of whose endpoints is left, only the name is.
        let stays = before.filter(|before| endpoints.iter().any(|endpoint| is_among(endpoint, &before.endpoints)));
        Ok(Arc::new(Self {
            id,
            state: stays.map_or_else(|| Arc::new(Mutex::new(State::new(&network))), |before| Arc::clone(&before.state)),
            watched: stays.map_or_else(|| Arc::new(AtomicU32::new(0)), |before| Arc::clone(&before.watched)),
            live,
            roots,
            workers,
            crew,
            home: id == config.home,
            warmth: super::Warmth::of(endpoints.len()),
            // Only a sidecar holds inputs, and one alone has them all.
            ring: (live > 1 && network.kind == config::value::Kind::Sidecar)
                .then(|| super::Ring::of(endpoints[..live].iter().map(|endpoint| endpoint.label()))),
            config: network,
            endpoints,
            metrics: Arc::clone(metrics),
        }))
    }

    /// What it shares with the network before it goes by its numbers from now on.
    pub(crate) fn put_in_force(&self) {
        for endpoint in &self.endpoints {
            endpoint.retune(&self.config.health);
        }
        let (capacity, others) = (self.capacity(), self.others_in_flight());
        let mut state = self.state.lock();
        state.budget = budget(&self.config).following(&state.budget);
        state.ledger.holds(capacity, others, clock::now_s());
    }
}

impl State {
    fn new(network: &cfg::Network) -> Self {
        Self {
            ledger: ledger::Ledger::new(network.capacity),
            aside: ledger::Ledger::new(0),
            link: Link::default(),
            forecast: Forecast::default(),
            others: Others::default(),
            budget: budget(network),
            sheddable: Vec::new(),
        }
    }
}

fn budget(network: &cfg::Network) -> ShadowBudget {
    let budget = &network.budget;
    ShadowBudget::new(budget.in_flight, budget.per_second, budget.bytes_per_second).within(budget.share)
}

fn same(one: &[Arc<Endpoint>], other: &[Arc<Endpoint>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

fn is_among(endpoint: &Arc<Endpoint>, known: &[Arc<Endpoint>]) -> bool {
    known.iter().any(|known| Arc::ptr_eq(known, endpoint))
}

/// Where shadows run at home, if not on what runs live jobs, and the workers if we are to start them.
fn shadow_endpoints(
    config: &config::Config,
    id: NetworkId,
    metrics: &Arc<Metrics>,
    before: Option<&Arc<Network>>,
) -> (Vec<cfg::Endpoint>, Option<Arc<Crew>>) {
    let lane = &config.lane;
    match lane.kind {
        _ if id != config.home => (Vec::new(), None),
        cfg::LaneKind::Shared => (Vec::new(), None),
        cfg::LaneKind::Address => (lane.upstreams.clone(), None),
        cfg::LaneKind::Process => {
            // Each process listens where there is room when it starts.
            let nowhere = cfg::Endpoint { tls: false, host: "127.0.0.1".to_owned(), port: 0 };
            let first = config.network(id).endpoints.len();
            let known = before.and_then(|before| before.crew.clone());
            let crew = known.unwrap_or_else(|| Crew::new(lane.workers, first, Arc::clone(metrics)));
            (vec![nowhere; lane.workers], Some(crew))
        }
    }
}
