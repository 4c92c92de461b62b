//! What entries look like in the file: mirrors of the policy's types, in which networks, routes and classes have names.
//!
//! Names and not numbers, since whoever reads it may have another configuration. A number that is not one is left out; what
//! is left out of a wait is a wait without end. Fields may be added; a reader takes what it knows.

use policy::forecast::Outlook;
use policy::learn::{Label, Row};
use policy::residual::Correction;
use policy::view::Price;
use policy::{Arm, Job, NetworkId, NetworkSet, NetworkView, PerNetwork, ShadowMode, Shadowing, Urgency, View};
use serde::{Deserialize, Serialize};

use super::Happened;
use super::seen::SeenThen;
use crate::clock;
use crate::generation::{Classes, Generation};
use crate::record::{Record, mode_word, network_name};

/// An entry.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A segment begins.
    Begins(Begins),
    /// This configuration is in force from here on.
    Configuration { sha256: String, text: String },
    /// A job is over.
    Job(Box<JobEntry>),
    /// A dispatch has taught something.
    Label(LabelEntry),
}

/// Who writes.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Begins {
    pub(crate) version: String,
    /// Tells one process from another: ids of jobs count within it.
    pub(crate) instance: u64,
    pub(crate) unix_ms: u64,
}

/// A job that is over.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct JobEntry {
    pub(crate) id: u64,
    pub(crate) unix_ms: u64,
    pub(crate) route: Option<String>,
    /// Of the class: its route's name, and its own.
    pub(crate) class: (String, String),
    pub(crate) job: JobSeen,
    pub(crate) arm: String,
    pub(crate) view: ViewSeen,
    pub(crate) plan: PlanMade,
    pub(crate) seen: Option<SeenThen>,
    pub(crate) target: String,
    pub(crate) action: String,
    pub(crate) reason: String,
    pub(crate) model: u64,
    pub(crate) outcome: String,
    pub(crate) status: u16,
    pub(crate) took_s: f64,
    /// What the answering dispatch ran, if it ran to a good end.
    pub(crate) ran_s: Option<f64>,
}

/// A job's features and leave.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct JobSeen {
    urgency: u8,
    mode: String,
    /// `None` for anywhere.
    residency: Option<Vec<String>>,
    repeatable: bool,
    spoolable: bool,
    hold: bool,
    last_hop: bool,
    located: Option<String>,
    leaves_twin: bool,
    body_bytes: Option<u64>,
    input_bytes: Option<u64>,
    hour: f32,
    extracted: Vec<Option<f32>>,
    draw: f64,
}

/// The networks at one moment.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ViewSeen {
    pub(crate) home: String,
    pub(crate) networks: Vec<NetworkSeen>,
}

/// One network at one moment.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NetworkSeen {
    pub(crate) name: String,
    healthy: bool,
    in_flight: u32,
    level: Option<f64>,
    per_s: f64,
    capacity: u32,
    wait_s: Option<f64>,
    rtt_s: f64,
    link_bytes_per_s: f64,
    fetch_bytes_per_s: Option<f64>,
    link_queued_bytes: f64,
    shadow_room: bool,
    warm_bytes: u64,
    shift: f64,
    widened: f64,
    /// As prices were then: slot, CPU, memory, bytes that cross, congestion, and from where it counts.
    price: [f64; 6],
    spend_left: Option<f64>,
}

/// A plan, as far as it is not made again from the rest.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PlanMade {
    pub(crate) target: String,
    pub(crate) reason: String,
    pub(crate) shadowing: String,
    pub(crate) on: Vec<String>,
    pub(crate) window_s: f64,
}

/// What a dispatch has taught.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct LabelEntry {
    pub(crate) id: u64,
    pub(crate) network: String,
    pub(crate) took_s: Option<f64>,
    pub(crate) longer_than_s: Option<f64>,
    pub(crate) cpu_s: Option<f64>,
}

impl Begins {
    pub(super) fn now(instance: u64) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), instance, unix_ms: clock::unix_ms() }
    }
}

impl LabelEntry {
    pub(super) fn of(row: &Row, network: String) -> Self {
        let (took_s, longer_than_s) = match row.label {
            Label::Took(seconds) => (Some(seconds), None),
            Label::LongerThan(seconds) => (None, Some(seconds)),
        };
        Self { id: row.pair, network, took_s, longer_than_s, cpu_s: row.cpu_s }
    }
}

impl JobEntry {
    pub(super) fn of(record: &Record, happened: &Happened, classes: &Classes) -> Self {
        let generation = &*record.generation;
        let name = |network| network_name(generation, network).into_owned();
        let (route, class) = classes.name(record.job.class).unwrap_or_default();
        let plan = &happened.plan;
        Self {
            id: record.id,
            unix_ms: record.unix_ms,
            route: record.route.and_then(|place| Some(generation.config.routes.get(place)?.name.clone())),
            class: (route.into(), class.into()),
            job: JobSeen::of(&record.job, generation),
            arm: arm_word(happened.arm).to_owned(),
            view: ViewSeen::of(&happened.view, generation),
            plan: PlanMade {
                target: name(plan.target),
                reason: plan.reason.as_str().to_owned(),
                shadowing: plan.shadowing.as_str().to_owned(),
                on: plan.shadowing.on().iter().map(name).collect(),
                window_s: plan.shadowing.window_s(),
            },
            seen: happened.seen.as_deref().map(|seen| SeenThen::of(seen, generation)),
            target: name(record.target),
            action: crate::record::action_word(record.action).to_owned(),
            reason: record.reason.as_str().to_owned(),
            model: record.model_version,
            outcome: record.outcome.as_str().to_owned(),
            status: record.status,
            took_s: record.took_s,
            ran_s: record.ran_s,
        }
    }

    /// Who placed it.
    pub(crate) fn arm(&self) -> Arm {
        [Arm::Rule, Arm::Fallback].into_iter().find(|arm| arm_word(*arm) == self.arm).unwrap_or(Arm::Policy)
    }
}

impl JobSeen {
    fn of(job: &Job, generation: &Generation) -> Self {
        let name = |network| network_name(generation, network).into_owned();
        Self {
            urgency: job.urgency.level(),
            mode: mode_word(job.mode).to_owned(),
            residency: (job.residency != NetworkSet::ALL).then(|| job.residency.iter().map(name).collect()),
            repeatable: job.repeatable,
            spoolable: job.spoolable,
            hold: job.hold,
            last_hop: job.last_hop,
            located: job.located.map(name),
            leaves_twin: job.leaves_twin,
            body_bytes: job.body_bytes,
            input_bytes: job.input_bytes,
            hour: job.hour,
            extracted: job.extracted.iter().map(|number| number.is_finite().then_some(*number)).collect(),
            draw: job.draw,
        }
    }

    /// The job, where networks have these places.
    pub(crate) fn read(&self, class: policy::ClassId, place: &impl Fn(&str) -> Option<NetworkId>) -> Job {
        let mut extracted = [f32::NAN; policy::job::EXTRACTED];
        for (to, from) in extracted.iter_mut().zip(&self.extracted) {
            *to = from.unwrap_or(f32::NAN);
        }
        let modes = [ShadowMode::Off, ShadowMode::Observe, ShadowMode::On];
        let residency = self.residency.as_ref();
        Job {
            class,
            urgency: Urgency::new(self.urgency).unwrap_or_default(),
            mode: modes.into_iter().find(|mode| mode_word(*mode) == self.mode).unwrap_or(ShadowMode::Off),
            residency: residency.map_or(NetworkSet::ALL, |names| names.iter().filter_map(|name| place(name)).collect()),
            repeatable: self.repeatable,
            spoolable: self.spoolable,
            hold: self.hold,
            last_hop: self.last_hop,
            located: self.located.as_deref().and_then(place),
            leaves_twin: self.leaves_twin,
            body_bytes: self.body_bytes,
            input_bytes: self.input_bytes,
            hour: self.hour,
            extracted,
            draw: self.draw,
        }
    }
}

impl ViewSeen {
    pub(super) fn of(view: &View, generation: &Generation) -> Self {
        let networks = view.networks.iter();
        Self {
            home: network_name(generation, view.home).into_owned(),
            networks: networks
                .map(|network| NetworkSeen::of(&view.state[network], network_name(generation, network).into_owned()))
                .collect(),
        }
    }

    /// What was seen of networks, where they have these places. Prices are as they were.
    pub(crate) fn read(&self, place: &impl Fn(&str) -> Option<NetworkId>) -> PerNetwork<NetworkView> {
        let mut state = PerNetwork::default();
        for network in &self.networks {
            if let Some(to) = place(&network.name) {
                state[to] = network.read();
            }
        }
        state
    }
}

impl NetworkSeen {
    fn of(state: &NetworkView, name: String) -> Self {
        let Price { per_slot_s, per_cpu_s, per_gib_s, per_gib_moved, congestion, congestion_from } = state.price;
        Self {
            name,
            healthy: state.healthy,
            in_flight: state.in_flight,
            level: state.outlook.level,
            per_s: state.outlook.per_s,
            capacity: state.capacity,
            wait_s: state.wait_s.is_finite().then_some(state.wait_s),
            rtt_s: state.rtt_s,
            link_bytes_per_s: state.link_bytes_per_s,
            fetch_bytes_per_s: state.fetch_bytes_per_s,
            link_queued_bytes: state.link_queued_bytes,
            shadow_room: state.shadow_room,
            warm_bytes: state.warm_bytes,
            shift: state.correction.shift,
            widened: state.correction.widened,
            price: [per_slot_s, per_cpu_s, per_gib_s, per_gib_moved, congestion, congestion_from],
            spend_left: state.spend_left,
        }
    }

    fn read(&self) -> NetworkView {
        let [per_slot_s, per_cpu_s, per_gib_s, per_gib_moved, congestion, congestion_from] = self.price;
        NetworkView {
            healthy: self.healthy,
            in_flight: self.in_flight,
            outlook: Outlook { level: self.level, per_s: self.per_s },
            capacity: self.capacity,
            wait_s: self.wait_s.unwrap_or(f64::INFINITY),
            rtt_s: self.rtt_s,
            link_bytes_per_s: self.link_bytes_per_s,
            fetch_bytes_per_s: self.fetch_bytes_per_s,
            link_queued_bytes: self.link_queued_bytes,
            shadow_room: self.shadow_room,
            warm_bytes: self.warm_bytes,
            correction: Correction { shift: self.shift, widened: self.widened },
            price: Price { per_slot_s, per_cpu_s, per_gib_s, per_gib_moved, congestion, congestion_from },
            spend_left: self.spend_left,
        }
    }
}

impl PlanMade {
    /// Where shadows were to run that could have become the answer.
    pub(crate) fn contested(&self, place: &impl Fn(&str) -> Option<NetworkId>) -> NetworkSet {
        let word = self.shadowing.as_str();
        let could = |how: Shadowing| how.as_str() == word;
        let (on, window_s) = (NetworkSet::EMPTY, 0.0);
        if could(Shadowing::Lead { on, window_s }) || could(Shadowing::Probe { on, window_s }) {
            return self.on.iter().filter_map(|name| place(name)).collect();
        }
        NetworkSet::EMPTY
    }
}

const fn arm_word(arm: Arm) -> &'static str {
    match arm {
        Arm::Policy => "policy",
        Arm::Rule => "rule",
        Arm::Fallback => "fallback",
    }
}
