//! What is counted. Every family and every series is made at the start, so that counting on the path is an addition to a
//! cell whose place is known: no lookup, no lock, nothing shared between workers.
//!
//! Label values are a network's name or a word of a closed set, never a path, a header or an address: what a client sends
//! cannot make a series. `docs/metrics.md` lists all of them and what to do when each moves; a test keeps it true.
//!
//! Each file below holds the families of one part and the methods that count them.

mod cache;
mod cells;
mod configuration;
mod data;
mod edge;
mod family;
mod guard;
mod histogram;
mod intercept;
mod jobs;
mod lane;
mod learning;
mod log;
mod money;
mod peers;
mod scrape;
mod shadow;
mod words;

use std::sync::Arc;

use policy::MAX_NETWORKS;

use crate::admin::NetworkStatus;

pub(crate) use cache::{Bypass, CacheCounters, CacheResult, CacheSoFar, Dropped, NotStored};
pub(crate) use data::{DataCounters, DataSoFar};
pub(crate) use intercept::{Became, Way};
pub(crate) use jobs::{Asynchronous, Unread};
pub(crate) use lane::ProcessesSoFar;
pub(crate) use learning::{ModelFile, Refit};
pub(crate) use scrape::{CONTENT_TYPE, PLAIN_TYPE, plain};
pub(crate) use shadow::{ServedCount, ShadowCount, ShadowsSoFar};
pub(crate) use words::{
    Certificate, ConfigReload, ConnectionRefusal, DataRefusal, Direction, Kept, Lookup, ProcessEnd, Reload, ServedEnd,
    ShadowEnd, Side, UpstreamConnection,
};

use configuration::ConfigCounters;
use edge::EdgeCounters;
use family::{Axis, Names, Scraped};
use guard::GuardCounters;
use intercept::InterceptCounters;
use jobs::JobCounters;
use lane::LaneCounters;
use learning::LearningCounters;
use log::LogCounters;
use money::MoneyCounters;
use peers::PeerCounters;
use shadow::ShadowCounters;

/// Every metric.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// What the data cache counts.
    pub(crate) data: DataCounters,
    /// What the response cache counts.
    pub(crate) cache: CacheCounters,
    jobs: JobCounters,
    guard: GuardCounters,
    money: MoneyCounters,
    shadows: ShadowCounters,
    lane: LaneCounters,
    edge: EdgeCounters,
    intercept: InterceptCounters,
    peers: PeerCounters,
    learning: LearningCounters,
    log: LogCounters,
    config: ConfigCounters,
    names: Names,
}

impl Metrics {
    /// Every metric at 0, for networks of these names by their places.
    ///
    /// There is room for as many networks as a configuration may have: one that has no name yet is counted as `#` and its
    /// place, and shown once there is something to show.
    pub(crate) fn new(networks: &[String]) -> Self {
        let names = Names::default();
        let network = Axis::with_reserve("network", &names, MAX_NETWORKS);
        let metrics = Self {
            data: DataCounters::new(&network),
            cache: CacheCounters::new(),
            jobs: JobCounters::new(&network),
            guard: GuardCounters::new(&network),
            money: MoneyCounters::new(&network),
            shadows: ShadowCounters::new(&network),
            lane: LaneCounters::new(),
            edge: EdgeCounters::new(&network),
            intercept: InterceptCounters::new(),
            peers: PeerCounters::new(&network),
            learning: LearningCounters::new(&network),
            log: LogCounters::new(),
            config: ConfigCounters::new(),
            names,
        };
        metrics.name_networks(networks);
        metrics
    }

    /// The networks at these places have these names, for good: a place is never another's.
    pub(crate) fn name_networks(&self, networks: &[String]) {
        for (name, network) in self.names.iter().zip(networks) {
            name.get_or_init(|| network.clone());
        }
    }

    /// What a scrape is answered with: OpenMetrics text, of the type [`CONTENT_TYPE`].
    pub(crate) fn text(self: &Arc<Self>, networks: Vec<NetworkStatus>) -> String {
        scrape::text(self, networks)
    }

    fn families(&self) -> impl Iterator<Item = &dyn Scraped> {
        let edge = self.edge.families().into_iter().chain(self.intercept.families()).chain(self.peers.families());
        let jobs = self.jobs.families().into_iter();
        let rest = self.learning.families().into_iter().chain(self.log.families()).chain(self.config.families());
        jobs.chain(self.guard.families())
            .chain(self.money.families())
            .chain(self.shadows.families())
            .chain(self.lane.families())
            .chain(edge)
            .chain(self.data.families())
            .chain(self.cache.families())
            .chain(rest)
    }
}

impl Default for Metrics {
    /// For networks that have no names yet.
    fn default() -> Self {
        Self::new(&[])
    }
}

#[cfg(test)]
mod tests;
