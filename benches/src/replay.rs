//! Real jobs in virtual time through the policy that the proxy runs: two networks with slots and queues, a model that starts
//! cold, and shadows that show what the arm says their service shows.
//!
//! The home times are the trace's. What the trace cannot say is drawn, the same for every arm: how much longer or shorter
//! each class takes on the other network, and each job beside its class; how unevenly each run shows its progress.

mod world;

use policy::learn::{Label, Row, Window, refit, stopped};
use policy::units::Urgency;
use policy::{
    Action, ClassId, Evidence, Job, Model, NetworkId, Observation, Phase, Plan, ProgressSource, ShadowMode, Shadowing,
    Step, View, cost, decide, plan,
};

pub use world::{Odds, PRIVATE_SLOTS};

use world::{Slots, world};

use crate::trace::Traced;

/// What decides, and what services show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// Home first, spill when home is full: the strongest of the fixed rules.
    Spill,
    /// The policy, without a permit for any shadow; services show nothing.
    Unshadowed,
    /// The same, but services say how far they are: what comes of that without any shadow.
    Watched,
    /// The policy with shadows; services show nothing.
    Opaque,
    /// Services are seen reading: what they have read goes with their work.
    Reading,
    /// Services say how far they are.
    Showing,
    /// Knows what every job takes on both sides.
    Clairvoyant,
}

impl Arm {
    /// Every arm, in the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Spill, Self::Unshadowed, Self::Watched, Self::Opaque, Self::Reading, Self::Showing, Self::Clairvoyant];

    /// Whether the policy decides.
    const fn acts(self) -> bool {
        !matches!(self, Self::Spill | Self::Clairvoyant)
    }

    const fn shadows(self) -> bool {
        matches!(self, Self::Opaque | Self::Reading | Self::Showing)
    }

    /// Where progress is seen, if it is.
    const fn source(self) -> Option<ProgressSource> {
        match self {
            Self::Showing | Self::Watched => Some(ProgressSource::Polled),
            Self::Reading => Some(ProgressSource::Fetched),
            _ => None,
        }
    }
}

/// What a run came to, over the jobs after the warm-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Mean cost of a job, time and money.
    pub cost: f64,
    /// Shadows that were started, as a share of the jobs.
    pub shadowed: f64,
    /// Jobs that were moved, as a share of the jobs.
    pub moved: f64,
    /// Jobs that were sent afresh, with all that was done thrown away, as a share of the jobs.
    pub restarted: f64,
    /// Slot seconds of shadows as a share of all slot seconds.
    pub shadow_share: f64,
}

/// A job and what becomes of it.
struct Live {
    job: Job,
    arrived_s: f64,
    takes_s: [f64; 2],
    /// How unevenly each run shows its work: how many times too fast or slow it looks in its first half.
    bend: [f64; 2],
    plan: Option<Plan>,
    /// Where it runs or waits, since when it was sent there, and since when it runs.
    at: Option<(NetworkId, f64, Option<f64>)>,
    head_start: f64,
    shadow: Option<(NetworkId, f64)>,
    money: f64,
}

/// Jobs on their way through two networks.
struct Replay {
    arm: Arm,
    view: View,
    live: Vec<Live>,
    slots: Slots,
    window: Window,
    model: Option<Model>,
    labels: usize,
    next_fit: usize,
    came: Came,
    counted: usize,
    used_s: f64,
}

/// The share of jobs, from the first, that is left out of the figures.
const WARM_UP: f64 = 0.4;
/// How often a service is looked at.
const LOOK_S: f64 = 0.05;

/// Runs `jobs`, which come when they say, through `arm`.
#[must_use]
pub fn run(arm: Arm, jobs: &[Traced], odds: &Odds) -> Came {
    let mut replay = Replay {
        arm,
        view: world(),
        live: jobs.iter().zip(&odds.0).map(|(job, odds)| Live::new(arm, job, odds)).collect(),
        slots: Slots::new(jobs.iter().map(|job| job.arrival_s)),
        window: Window::new(10_000),
        model: None,
        labels: 0,
        next_fit: 40,
        came: Came::default(),
        counted: 0,
        used_s: 0.0,
    };
    while let Some((now_s, event)) = replay.slots.next() {
        replay.step(now_s, event);
    }
    let n = replay.counted.max(1) as f64;
    let Came { cost, shadowed, moved, restarted, shadow_share } = replay.came;
    let shadow_share = shadow_share / replay.used_s;
    Came { cost: cost / n, shadowed: shadowed / n, moved: moved / n, restarted: restarted / n, shadow_share }
}

/// What is shown of the share `done` by a run that looks `bend` times as fast as it is until half of it is done, and makes
/// up for it then.
fn shown(done: f64, bend: f64) -> f64 {
    let half = 0.5 * bend.clamp(0.2, 1.8);
    if done < 0.5 { done / 0.5 * half } else { half + (done - 0.5) / 0.5 * (1.0 - half) }
}

impl Live {
    fn new(arm: Arm, traced: &Traced, odds: &world::Odd) -> Self {
        let job = Job {
            class: ClassId(traced.class),
            urgency: Urgency::new(traced.urgency).unwrap_or_default(),
            mode: if arm.acts() { ShadowMode::On } else { ShadowMode::Off },
            body_bytes: traced.body_bytes,
            extracted: traced.extracted,
            draw: odds.draw,
            ..world::job()
        };
        Self {
            job,
            arrived_s: traced.arrival_s,
            takes_s: [traced.service_s * odds.slower[0], traced.service_s * odds.slower[1]],
            bend: odds.bend,
            plan: None,
            at: None,
            head_start: 0.0,
            shadow: None,
            money: 0.0,
        }
    }

    fn takes_s(&self, network: NetworkId) -> f64 {
        self.takes_s[network.index()]
    }
}

impl Replay {
    fn step(&mut self, now_s: f64, event: world::Event) {
        match event {
            world::Event::Arrives(i) => self.arrives(i, now_s),
            world::Event::Ends(i, network) => {
                let due = self.ends_s(i, network).is_some_and(|end_s| end_s <= now_s + 1e-6);
                if due {
                    self.ends(i, network, now_s);
                }
            }
            world::Event::Look(i) => self.look(i, now_s),
        }
    }

    fn look_around(&self, now_s: f64) -> View {
        let predicted = |i: usize, network| {
            self.live[i].plan.and_then(|plan| plan.predictions[network]).map_or(f64::NAN, |p| p.mean_s)
        };
        let sent_s = |i: usize| self.live[i].at.map_or(f64::NAN, |(_, sent_s, _)| sent_s);
        self.slots.seen_in(self.view, self.arm.shadows(), sent_s, predicted, now_s)
    }

    fn counts(&self, i: usize) -> bool {
        i as f64 >= WARM_UP * self.live.len() as f64
    }

    fn arrives(&mut self, i: usize, now_s: f64) {
        let view = self.look_around(now_s);
        let job = self.live[i].job;
        let mut plan = plan(&job, &view, self.model.as_ref(), now_s);
        if self.arm == Arm::Clairvoyant {
            let cost = |network| {
                cost::fresh(&job, &view, network, &policy::Prediction::exactly(self.live[i].takes_s(network)))
            };
            plan.target = if cost(world::PRIVATE) <= cost(world::PUBLIC) { world::PRIVATE } else { world::PUBLIC };
        }
        self.live[i].plan = Some(plan);
        self.send(i, plan.target, now_s, 0.0);
        if let Shadowing::Lead { on, .. } = plan.shadowing {
            self.came.shadowed += f64::from(u8::from(self.counts(i)));
            self.live[i].shadow = on.iter().next().map(|network| (network, now_s));
        }
        if self.arm.acts() {
            self.look(i, now_s);
        }
    }

    fn send(&mut self, i: usize, network: NetworkId, now_s: f64, head_start: f64) {
        (self.live[i].at, self.live[i].head_start) = (Some((network, now_s, None)), head_start);
        self.slots.queue(i, network);
        self.fill(network, now_s);
    }

    fn fill(&mut self, network: NetworkId, now_s: f64) {
        while let Some(i) = self.slots.take_next(network, self.view.state[network].capacity as usize) {
            let live = &mut self.live[i];
            let way_s = if live.head_start > 0.0 { 0.0 } else { self.view.state[network].rtt_s };
            let sent_s = live.at.map_or(now_s, |(_, sent_s, _)| sent_s);
            live.at = Some((network, sent_s, Some(now_s + way_s)));
            let end_s = self.ends_s(i, network).expect("it runs there now");
            self.slots.at(end_s, world::Event::Ends(i, network));
        }
    }

    fn ends_s(&self, i: usize, network: NetworkId) -> Option<f64> {
        let live = &self.live[i];
        let (_, _, since_s) = live.at.filter(|(at, ..)| *at == network)?;
        Some(since_s? + live.takes_s(network) * (1.0 - live.head_start))
    }

    /// Takes a job off its network and pays for the slot it held.
    fn leave(&mut self, i: usize, now_s: f64) {
        let Some((network, _, since_s)) = self.live[i].at.take() else { return };
        self.slots.leave(i, network);
        let held_s = since_s.map_or(0.0, |since_s| (now_s - since_s).max(0.0));
        self.used_s += held_s;
        self.live[i].money += held_s * self.view.state[network].price.per_slot_s;
        self.fill(network, now_s);
    }

    fn ends(&mut self, i: usize, network: NetworkId, now_s: f64) {
        if self.live[i].head_start == 0.0 {
            self.learn(i, network, Label::Took(self.live[i].takes_s(network)));
        }
        self.leave(i, now_s);
        self.end_shadow(i, now_s, false);
        if self.counts(i) {
            let live = &self.live[i];
            let worth = self.view.pricing.time_value_per_s(live.job.urgency);
            self.came.cost += worth * (now_s - live.arrived_s) + live.money;
            self.counted += 1;
        }
    }

    /// The share of its work that a run has done.
    fn done(&self, i: usize, network: NetworkId, since_s: f64, speed: f64, now_s: f64) -> f64 {
        ((now_s - since_s).max(0.0) * speed / self.live[i].takes_s(network)).clamp(0.0, 1.0)
    }

    /// What a run shows of that.
    fn seen(&self, i: usize, network: NetworkId, done: f64, granted: f64, started_s: f64, now_s: f64) -> Observation {
        let mut seen = Observation { granted: Some(granted), ..Observation::started(started_s) };
        if let Some(source) = self.arm.source().filter(|_| done > 0.0) {
            let share = shown(done, self.live[i].bend[network.index()]);
            seen.shows(Some(policy::Progress { share, at_s: now_s, source }));
        }
        seen
    }

    fn speed(&self, i: usize) -> f64 {
        self.live[i].plan.map_or(0.0, |plan| plan.caps.speed(None))
    }

    fn shadow_done(&self, i: usize, network: NetworkId, since_s: f64, now_s: f64) -> f64 {
        self.done(i, network, since_s + self.view.state[network].rtt_s, self.speed(i), now_s)
    }

    fn evidence(&self, i: usize, now_s: f64) -> Evidence {
        let mut evidence = Evidence::default();
        if let Some((network, sent_s, since_s)) = self.live[i].at {
            let done = since_s.map_or(0.0, |since_s| self.done(i, network, since_s, 1.0, now_s));
            let started_s = since_s.map_or(sent_s, |since_s| since_s - self.view.state[network].rtt_s);
            evidence.lead = Some((network, self.seen(i, network, done, 1.0, started_s, now_s)));
        }
        if let Some((network, since_s)) = self.live[i].shadow {
            let done = self.shadow_done(i, network, since_s, now_s);
            let seen = self.seen(i, network, done, self.speed(i), since_s, now_s);
            let phase =
                if done >= 1.0 { Phase::Finished { at_s: now_s - since_s, good: true } } else { Phase::Running };
            evidence.shadows[network] = Some(Observation { phase, ..seen });
        }
        evidence
    }

    fn look(&mut self, i: usize, now_s: f64) {
        let (Some(plan), true) = (self.live[i].plan, self.live[i].at.is_some()) else { return };
        let view = self.look_around(now_s);
        let (planned_s, evidence) = (self.live[i].arrived_s, self.evidence(i, now_s));
        match decide(&self.live[i].job, &view, self.model.as_ref(), &plan, &evidence, planned_s, now_s) {
            Step::WaitUntil(until_s) => {
                let watched = self.live[i].shadow.is_some();
                let next_s = if watched { until_s.min(now_s + LOOK_S) } else { until_s };
                self.slots.at(next_s.max(now_s + 0.01), world::Event::Look(i));
            }
            Step::Settled(decision) if decision.action == Action::Keep => {
                let at_window = now_s >= planned_s + plan.shadowing.window_s();
                self.end_shadow(i, now_s, at_window);
            }
            Step::Settled(decision) => {
                let counted = f64::from(u8::from(self.counts(i)));
                self.came.moved += counted;
                self.came.restarted += if decision.action == Action::Send { counted } else { 0.0 };
                let head_start = match (decision.action, self.live[i].shadow) {
                    (Action::Adopt, Some((network, since_s))) => self.shadow_done(i, network, since_s, now_s),
                    _ => 0.0,
                };
                if let Some((network, lead)) = evidence.lead {
                    let arriving_s = self.view.state[network].rtt_s;
                    stopped(&lead, false, arriving_s, now_s)
                        .into_iter()
                        .for_each(|label| self.learn(i, network, label));
                }
                self.end_shadow(i, now_s, false);
                self.leave(i, now_s);
                self.send(i, decision.target, now_s, head_start);
            }
        }
    }

    /// Pays for a shadow, and learns what it taught.
    fn end_shadow(&mut self, i: usize, now_s: f64, at_window: bool) {
        let Some((network, since_s)) = self.live[i].shadow else { return };
        let evidence = self.evidence(i, now_s);
        self.live[i].shadow = None;
        let ran_s = (now_s - since_s) * self.speed(i);
        (self.used_s, self.came.shadow_share) = (self.used_s + ran_s, self.came.shadow_share + ran_s);
        self.live[i].money += ran_s * self.view.state[network].price.per_slot_s;
        let Some(seen) = evidence.shadows[network] else { return };
        let label = match seen.phase {
            Phase::Finished { .. } => Some(Label::Took(self.live[i].takes_s(network))),
            _ => stopped(&seen, at_window, self.view.state[network].rtt_s, now_s),
        };
        label.into_iter().for_each(|label| self.learn(i, network, label));
    }

    fn learn(&mut self, i: usize, network: NetworkId, label: Label) {
        let (job, pair) = (self.live[i].job, i as u64);
        let row = Row { job, pair, network, label, cpu_s: None, memory_bytes: None, response_bytes: None };
        if self.window.push(row).is_err() {
            return;
        }
        self.labels += 1;
        if self.arm.acts() && self.labels >= self.next_fit {
            self.next_fit = self.labels + (self.labels / 2).clamp(40, 500);
            if let Ok(model) = refit(&self.window, world::PRIVATE, self.model.as_ref()) {
                self.model = Some(model);
            }
        }
    }
}
