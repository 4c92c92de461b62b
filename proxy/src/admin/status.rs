//! `/status`: the whole sidecar on one page of JSON.

use std::collections::BTreeMap;

use config::value::{Kind, Mode};
use serde::Serialize;

use super::account::{ComparedPage, RegretPage, ShadowBudgetPage};
use super::cache::CachePage;
use super::guard::{GuardPage, SpendKeptPage, SpendPage};
use super::lane::{self, LanePage, ServicePage};
use super::{NetworkStatus, Seen};
use crate::clock;
use crate::identity::CertificatesPage;
use crate::metrics::{DataSoFar, ShadowsSoFar};
use crate::record::rounded;

#[derive(Debug, Serialize)]
struct StatusPage<'a> {
    version: &'static str,
    /// Another one after each start.
    instance: String,
    uptime_s: f64,
    ready: bool,
    home: &'a str,
    /// Whether it is thrown: no route shadows or acts.
    kill_switch: bool,
    model: Option<ModelPage>,
    learning: LearningPage,
    guard: GuardPage,
    spend: SpendKeptPage<'a>,
    networks: Vec<NetworkPage>,
    lane: LanePage<'a>,
    /// Where `adumbra run` keeps it.
    service: Option<ServicePage>,
    routes: Vec<RoutePage<'a>>,
    shadows: ShadowsPage,
    regret: RegretPage,
    asynchronous: AsynchronousPage,
    decisions: BTreeMap<&'static str, u64>,
    data: DataPage,
    /// What jobs have found of their inputs, by network and class; those with most bytes found first.
    inputs: Vec<InputsPage>,
    cache: CachePage,
    certificates: CertificatesPage,
}

#[derive(Debug, Serialize)]
struct ModelPage {
    version: u64,
    rows: usize,
    age_s: f64,
    /// The last one that was found to be no worse than the one before it: what is gone back to.
    trusted: u64,
}

#[derive(Debug, Serialize)]
struct LearningPage {
    drift_alarms: u64,
    rollbacks: u64,
}

#[derive(Debug, Serialize)]
struct NetworkPage {
    name: String,
    kind: &'static str,
    healthy: bool,
    in_flight: u32,
    /// 0 if that is not known.
    capacity: u32,
    waiting_s: f64,
    rtt_s: f64,
    link_bytes_per_s: f64,
    spend: SpendPage,
    compared: Option<ComparedPage>,
    shadows: Option<ShadowBudgetPage>,
    shadow_caps_enforced_by: String,
    endpoints: Vec<EndpointPage>,
}

#[derive(Debug, Serialize)]
struct EndpointPage {
    address: String,
    healthy: bool,
    in_flight: u32,
}

#[derive(Debug, Serialize)]
struct RoutePage<'a> {
    name: &'a str,
    mode: &'static str,
    rollout: f64,
}

#[derive(Debug, Serialize)]
struct ShadowsPage {
    started: u64,
    adopted: u64,
    cancelled: u64,
    finished: u64,
    failed: u64,
    refused: u64,
    in_flight: u64,
}

#[derive(Debug, Serialize)]
struct AsynchronousPage {
    /// Jobs whose location is remembered.
    located: usize,
    /// Routes that answer `202` and do not say how a loser is deleted.
    routes_not_shadowed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DataPage {
    hits: u64,
    joined: u64,
    misses: u64,
    bypassed: u64,
    warmed: u64,
    warmed_bytes: u64,
    useful_bytes: u64,
    wasted_bytes: u64,
    held: u64,
    held_bytes: u64,
    refused: u64,
}

#[derive(Debug, Serialize)]
struct InputsPage {
    network: String,
    route: String,
    class: String,
    hits: u32,
    misses: u32,
    hit_bytes: u64,
    missed_bytes: u64,
    warm_jobs: u32,
    cold_jobs: u32,
    saved_s: f64,
}

/// The most classes that are shown.
const INPUTS_SHOWN: usize = 32;

fn inputs(seen: &Seen<'_>) -> Vec<InputsPage> {
    let page = |((on, class), gain): ((policy::NetworkId, policy::ClassId), policy::inputs::gain::Gain)| {
        let (route, class) = seen.classes.name(class).unwrap_or_default();
        InputsPage {
            network: seen.generation.networks[on.index()].name().to_owned(),
            route: route.into(),
            class: class.into(),
            hits: gain.read.hits,
            misses: gain.read.misses,
            hit_bytes: gain.read.hit_bytes,
            missed_bytes: gain.read.missed_bytes,
            warm_jobs: gain.warm,
            cold_jobs: gain.cold,
            saved_s: rounded(gain.saved_s),
        }
    };
    seen.gains.all().into_iter().take(INPUTS_SHOWN).map(page).collect()
}

/// The page, as JSON text.
pub(super) fn page(seen: &Seen<'_>) -> String {
    let config = &seen.generation.config;
    let networks = (seen.networks)();
    let lane = LanePage::of(seen, &networks);
    let page = StatusPage {
        version: env!("CARGO_PKG_VERSION"),
        instance: format!("{:016x}", seen.instance),
        uptime_s: rounded(clock::now_s()),
        ready: seen.ready,
        home: &config.network(config.home).name,
        kill_switch: !config.shadow.enabled,
        model: seen.oracle.model().map(|model| ModelPage {
            version: model.version(),
            rows: model.rows(),
            age_s: rounded(seen.oracle.age_s()),
            trusted: seen.oracle.trusted(),
        }),
        learning: {
            let (drift_alarms, rollbacks) = seen.metrics.learning_so_far();
            LearningPage { drift_alarms, rollbacks }
        },
        guard: GuardPage::of(seen),
        spend: SpendKeptPage::of(seen.spend_kept),
        networks: networks.into_iter().map(|network| NetworkPage::of(network, seen)).collect(),
        lane,
        service: ServicePage::of(seen),
        routes: config.routes.iter().map(RoutePage::from).collect(),
        shadows: seen.metrics.shadows_so_far().into(),
        regret: RegretPage::of(seen),
        asynchronous: AsynchronousPage { located: seen.located.len(), routes_not_shadowed: seen.located.marked() },
        decisions: seen.metrics.decisions_so_far().map(|(reason, count)| (reason.as_str(), count)).collect(),
        data: seen.metrics.data.so_far().into(),
        inputs: inputs(seen),
        cache: seen.metrics.cache.so_far().into(),
        certificates: CertificatesPage::of(seen.certificates),
    };
    // Every field is a number, a word or a list of such: nothing that could not be written.
    serde_json::to_string_pretty(&page).unwrap_or_default() + "\n"
}

impl NetworkPage {
    fn of(status: NetworkStatus, seen: &Seen<'_>) -> Self {
        let shadow_caps_enforced_by = lane::caps(&status, seen);
        let spend = SpendPage::of(&status);
        let config = &seen.generation.config;
        let id = config.network_ids().find(|id| config.network(*id).name == status.name);
        let endpoints = status.endpoints.into_iter().map(|endpoint| EndpointPage {
            address: endpoint.address,
            healthy: endpoint.healthy,
            in_flight: endpoint.in_flight,
        });
        Self {
            name: status.name,
            kind: match status.kind {
                Kind::Upstream => "upstream",
                Kind::Sidecar => "sidecar",
            },
            healthy: status.healthy,
            in_flight: status.in_flight,
            capacity: status.capacity,
            waiting_s: rounded(status.waiting_s),
            rtt_s: rounded(status.rtt_s),
            link_bytes_per_s: status.link_bytes_per_s.round(),
            spend,
            compared: id.map(|id| ComparedPage::of(id, seen)),
            shadows: id.map(|id| ShadowBudgetPage::of(id, seen)),
            shadow_caps_enforced_by,
            endpoints: endpoints.collect(),
        }
    }
}

impl<'a> From<&'a config::value::Route> for RoutePage<'a> {
    fn from(route: &'a config::value::Route) -> Self {
        let mode = match route.shadow {
            Mode::Off => "off",
            Mode::Observe => "observe",
            Mode::On => "on",
        };
        Self { name: &route.name, mode, rollout: route.rollout }
    }
}

impl From<ShadowsSoFar> for ShadowsPage {
    fn from(so_far: ShadowsSoFar) -> Self {
        let ShadowsSoFar { started, adopted, cancelled, finished, failed, refused, in_flight } = so_far;
        Self { started, adopted, cancelled, finished, failed, refused, in_flight }
    }
}

impl From<DataSoFar> for DataPage {
    fn from(so_far: DataSoFar) -> Self {
        Self {
            hits: so_far.hits,
            joined: so_far.joined,
            misses: so_far.misses,
            bypassed: so_far.bypassed,
            warmed: so_far.warmed,
            warmed_bytes: so_far.warmed_bytes,
            useful_bytes: so_far.useful_bytes,
            wasted_bytes: so_far.wasted_bytes,
            held: so_far.held,
            held_bytes: so_far.held_bytes,
            refused: so_far.refused,
        }
    }
}
