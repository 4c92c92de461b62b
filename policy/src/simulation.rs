//! A small world in virtual time, to see that the parts add up: two networks with slots and queues, classes that run faster
//! or slower on one of them, progress that can be seen, a model that starts cold and is refitted from the outcomes of the
//! run. The policy is called exactly as the proxy calls it.
//!
//! It is a test, not a bench: it says that planning beats the strongest fixed rule here and that shadows pay where the ratio
//! differs from job to job. By how much on real traces is for the regret bench to say. Every run prints its seed.

use std::collections::{BTreeMap, VecDeque};

use crate::cost;
use crate::forecast::Forecast;
use crate::learn::{Label, Row, Window, refit};
use crate::ledger::{self, Entry};
use crate::observation::{Evidence, Observation, Phase};
use crate::testing::{CAPS, Dice, PRIVATE, PUBLIC, job, view};
use crate::{
    Action, ClassId, Job, Model, NetworkId, PerNetwork, Plan, Prediction, Reason, ShadowMode, Shadowing, Step, View,
};
use crate::{decide, plan};

/// A class: median seconds at home, and how many times as long it takes on the public network.
const CLASSES: [(f64, f64); 4] = [(3.0, 0.5), (5.0, 0.9), (8.0, 1.3), (20.0, 0.7)];
const SIZE_SIGMA: f64 = 0.5;
const LOAD: f64 = 0.9;
const JOBS: usize = 2_500;
/// The share of jobs, from the first, that is left out of the figures.
const WARM_UP: f64 = 0.4;

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Arm {
    /// Home first, spill when full.
    Spill,
    /// The policy, without a permit for any shadow.
    Plan,
    /// The policy.
    Shadows,
    /// Knows what every job takes, and prices congestion as the policy does.
    Clairvoyant,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Arrives(usize),
    Ends(usize, NetworkId),
    Look(usize),
}

/// A job and what becomes of it.
struct Live {
    job: Job,
    arrived_s: f64,
    /// What it takes on each network.
    takes_s: [f64; 2],
    plan: Option<Plan>,
    /// Where it runs or waits, since when it was sent there, and since when it runs.
    at: Option<(NetworkId, f64, Option<f64>)>,
    /// Work done there before it got its slot: what an adopted shadow brings.
    head_start: f64,
    shadow: Option<(NetworkId, f64)>,
    money: f64,
}

struct World {
    arm: Arm,
    view: View,
    live: Vec<Live>,
    /// Events by time, in nanoseconds, and number.
    events: BTreeMap<(u64, usize), Event>,
    queues: [VecDeque<usize>; 2],
    running: [Vec<usize>; 2],
    window: Window,
    model: Option<Model>,
    labels: usize,
    next_fit: usize,
    cost: f64,
    counted: usize,
    switched: usize,
    led: usize,
    /// Of each network's load, where the arm looks ahead.
    forecasts: Option<[Forecast; 2]>,
}

/// The mean cost of a job, and how many were led and switched.
struct Outcome {
    mean: f64,
    led: usize,
    switched: usize,
}

fn run(arm: Arm, seed: u64, ratio_sigma: f64) -> Outcome {
    ran(World::new(arm, seed, ratio_sigma, |_| 1.0))
}

fn ran(mut world: World) -> Outcome {
    while let Some(((at_ns, _), event)) = world.events.pop_first() {
        let now_s = at_ns as f64 / 1e9;
        world.step(now_s, event);
        for (n, forecast) in world.forecasts.iter_mut().flatten().enumerate() {
            forecast.observe((world.running[n].len() + world.queues[n].len()) as f64, now_s);
        }
    }
    Outcome { mean: world.cost / world.counted as f64, led: world.led, switched: world.switched }
}

impl World {
    /// `rush` says how many times as often as usual jobs come at a time.
    fn new(arm: Arm, seed: u64, ratio_sigma: f64, rush: fn(f64) -> f64) -> Self {
        let mut dice = Dice::new(seed);
        let mut view = view();
        view.shadowing.explore_share = 0.02;
        view.shadowing.sample_share = 0.0;
        let mean_s = CLASSES.iter().map(|(s, _)| s).sum::<f64>() / 4.0 * (SIZE_SIGMA * SIZE_SIGMA / 2.0).exp();
        let gap_s = mean_s / (LOAD * f64::from(view.state[PRIVATE].capacity));
        let (mut now_s, mut live, mut events) = (0.0, Vec::new(), BTreeMap::new());
        for i in 0..JOBS {
            now_s += dice.exponential(gap_s / rush(now_s));
            let class = dice.below(CLASSES.len());
            // Half of a job's size can be told from what its request says.
            let (told, hidden) = (dice.normal(), dice.normal());
            let private_s = CLASSES[class].0 * (SIZE_SIGMA * (0.7 * told + 0.7 * hidden)).exp();
            let public_s = private_s * CLASSES[class].1 * (ratio_sigma * dice.normal()).exp();
            let mut job = Job { class: ClassId(class as u16), draw: dice.uniform(), ..job() };
            job.extracted[0] = told as f32;
            job.mode = if matches!(arm, Arm::Plan | Arm::Shadows) { ShadowMode::On } else { ShadowMode::Off };
            let takes_s = [private_s, public_s];
            live.push(Live {
                job,
                arrived_s: now_s,
                takes_s,
                plan: None,
                at: None,
                head_start: 0.0,
                shadow: None,
                money: 0.0,
            });
            events.insert(((now_s * 1e9) as u64, i), Event::Arrives(i));
        }
        Self {
            arm,
            view,
            live,
            events,
            queues: [VecDeque::new(), VecDeque::new()],
            running: [Vec::new(), Vec::new()],
            window: Window::new(10_000),
            model: None,
            labels: 0,
            next_fit: 40,
            cost: 0.0,
            counted: 0,
            switched: 0,
            led: 0,
            forecasts: None,
        }
    }

    fn at(&mut self, at_s: f64, event: Event) {
        let number = self.events.len() + JOBS * (1 + self.counted + self.labels);
        let mut key = ((at_s * 1e9).ceil() as u64, number);
        while self.events.contains_key(&key) {
            key.1 += 1;
        }
        self.events.insert(key, event);
    }

    fn step(&mut self, now_s: f64, event: Event) {
        match event {
            Event::Arrives(i) => self.arrives(i, now_s),
            Event::Ends(i, network) => {
                let runs = self.live[i].at.is_some_and(|(at, _, since)| at == network && since.is_some());
                let due = runs && self.ends_s(i).is_some_and(|end_s| end_s <= now_s + 1e-6);
                if due {
                    self.ends(i, network, now_s);
                }
            }
            Event::Look(i) => self.look(i, now_s),
        }
    }

    /// Whether the policy decides.
    fn acts(&self) -> bool {
        matches!(self.arm, Arm::Plan | Arm::Shadows)
    }

    /// The view a sidecar would have: its own dispatches, and the wait a replay of them gives.
    fn look_around(&self, now_s: f64) -> View {
        let mut view = self.view;
        for network in [PRIVATE, PUBLIC] {
            let n = network.index();
            let state = &mut view.state[network];
            let mut entries: Vec<Entry> = self.running[n]
                .iter()
                .chain(&self.queues[n])
                .map(|i| Entry { started_s: self.sent_s(*i), predicted_s: self.predicted_s(*i, network) })
                .collect();
            entries.sort_by(|a, b| a.started_s.total_cmp(&b.started_s));
            state.in_flight = entries.len() as u32;
            state.wait_s = ledger::wait_s(&entries, 0, state.capacity, 8.0, now_s);
            state.shadow_room = self.arm == Arm::Shadows;
            state.outlook = self.forecasts.map_or_else(Default::default, |forecasts| forecasts[n].outlook(now_s));
        }
        view
    }

    fn sent_s(&self, i: usize) -> f64 {
        self.live[i].at.map_or(f64::NAN, |(_, sent_s, _)| sent_s)
    }

    fn predicted_s(&self, i: usize, network: NetworkId) -> f64 {
        self.live[i].plan.and_then(|plan| plan.predictions[network]).map_or(f64::NAN, |prediction| prediction.mean_s)
    }

    fn arrives(&mut self, i: usize, now_s: f64) {
        let view = self.look_around(now_s);
        let mut plan = plan(&self.live[i].job, &view, self.model.as_ref(), now_s);
        if self.arm == Arm::Clairvoyant {
            let [here, there] = [PRIVATE, PUBLIC].map(|network| {
                let truth = Prediction::exactly(self.live[i].takes_s[network.index()]);
                plan.predictions[network] = Some(truth);
                cost::fresh(&self.live[i].job, &view, network, &truth)
            });
            plan.target = if here <= there { PRIVATE } else { PUBLIC };
        }
        self.live[i].plan = Some(plan);
        self.send(i, plan.target, now_s, 0.0);
        if let Shadowing::Lead { on, .. } = plan.shadowing {
            self.led += 1;
            self.live[i].shadow = on.iter().next().map(|network| (network, now_s));
        }
        if self.acts() {
            self.look(i, now_s);
        }
    }

    fn send(&mut self, i: usize, network: NetworkId, now_s: f64, head_start: f64) {
        (self.live[i].at, self.live[i].head_start) = (Some((network, now_s, None)), head_start);
        self.queues[network.index()].push_back(i);
        self.fill(network, now_s);
    }

    /// Gives free slots to those that wait.
    fn fill(&mut self, network: NetworkId, now_s: f64) {
        let n = network.index();
        while self.running[n].len() < self.view.state[network].capacity as usize {
            let Some(i) = self.queues[n].pop_front() else { return };
            let starts_s = now_s + if self.live[i].head_start > 0.0 { 0.0 } else { self.view.state[network].rtt_s };
            let sent_s = self.sent_s(i);
            self.live[i].at = Some((network, sent_s, Some(starts_s)));
            self.running[n].push(i);
            let end_s = self.ends_s(i).expect("it runs");
            self.at(end_s, Event::Ends(i, network));
        }
    }

    fn ends_s(&self, i: usize) -> Option<f64> {
        let live = &self.live[i];
        let (network, _, since_s) = live.at?;
        Some(since_s? + live.takes_s[network.index()] * (1.0 - live.head_start))
    }

    /// Takes a job off its network and pays for the slot it held.
    fn leave(&mut self, i: usize, now_s: f64) {
        let Some((network, _, since_s)) = self.live[i].at.take() else { return };
        let n = network.index();
        self.queues[n].retain(|other| *other != i);
        self.running[n].retain(|other| *other != i);
        let held_s = since_s.map_or(0.0, |since_s| (now_s - since_s).max(0.0));
        self.live[i].money += held_s * self.view.state[network].price.per_slot_s;
        self.fill(network, now_s);
    }

    fn ends(&mut self, i: usize, network: NetworkId, now_s: f64) {
        if self.live[i].head_start == 0.0 {
            self.label(i, network, self.live[i].takes_s[network.index()]);
        }
        self.leave(i, now_s);
        self.end_shadow(i, now_s);
        if i as f64 >= WARM_UP * JOBS as f64 {
            let live = &self.live[i];
            self.cost += 0.8 * (now_s - live.arrived_s) + live.money;
            self.counted += 1;
        }
    }

    /// What the job's dispatches have shown by now.
    fn evidence(&self, i: usize, now_s: f64) -> Evidence {
        let live = &self.live[i];
        let mut evidence = Evidence::default();
        if let Some((network, _, since_s)) = live.at {
            let takes_s = live.takes_s[network.index()];
            let since_s = since_s.unwrap_or(f64::INFINITY);
            let progress = ((now_s - since_s) / takes_s).clamp(0.0, 1.0);
            let seen = Observation { progress: Some(progress), granted: Some(1.0), ..Observation::started(since_s) };
            evidence.lead = Some((network, seen));
        }
        if let Some((network, since_s)) = live.shadow {
            let progress = self.shadow_progress(i, network, since_s, now_s);
            let phase = if progress >= 1.0 { Phase::Finished { at_s: now_s, good: true } } else { Phase::Running };
            evidence.shadows[network] = Some(Observation {
                phase,
                progress: Some(progress),
                granted: Some(CAPS.cpu_share),
                ..Observation::started(since_s)
            });
        }
        evidence
    }

    fn shadow_progress(&self, i: usize, network: NetworkId, since_s: f64, now_s: f64) -> f64 {
        let ran_s = (now_s - since_s - self.view.state[network].rtt_s).max(0.0) * CAPS.cpu_share;
        (ran_s / self.live[i].takes_s[network.index()]).min(1.0)
    }

    fn look(&mut self, i: usize, now_s: f64) {
        let (Some(plan), true) = (self.live[i].plan, self.live[i].at.is_some()) else { return };
        let view = self.look_around(now_s);
        let planned_s = self.live[i].arrived_s;
        let evidence = self.evidence(i, now_s);
        let step = decide(&self.live[i].job, &view, self.model.as_ref(), &plan, &evidence, planned_s, now_s);
        match step {
            Step::WaitUntil(until_s) => {
                // Progress is reported every so often, too.
                let window_s = plan.shadowing.window_s();
                let next_s = if window_s > 0.0 { until_s.min(now_s + window_s / 2.0) } else { until_s };
                self.at(next_s.max(now_s + 0.01), Event::Look(i));
            }
            Step::Settled(decision) if decision.action == Action::Keep => self.end_shadow(i, now_s),
            Step::Settled(decision) => {
                assert_eq!(decision.reason == Reason::Switched, decision.reason != Reason::ShadowFinished);
                self.switched += 1;
                let head_start = match (decision.action, self.live[i].shadow) {
                    (Action::Adopt, Some((network, since_s))) => self.shadow_progress(i, network, since_s, now_s),
                    _ => 0.0,
                };
                self.end_shadow(i, now_s);
                self.leave(i, now_s);
                self.send(i, decision.target, now_s, head_start);
            }
        }
    }

    /// Pays for a shadow and learns from its rate.
    fn end_shadow(&mut self, i: usize, now_s: f64) {
        let Some((network, since_s)) = self.live[i].shadow.take() else { return };
        let ran_s = (now_s - since_s) * CAPS.cpu_share;
        self.live[i].money += ran_s * self.view.state[network].price.per_slot_s;
        if self.shadow_progress(i, network, since_s, now_s) > 0.0 {
            self.label(i, network, self.live[i].takes_s[network.index()]);
        }
    }

    fn label(&mut self, i: usize, network: NetworkId, seconds: f64) {
        let row = Row {
            job: self.live[i].job,
            pair: i as u64,
            network,
            label: Label::Took(seconds),
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
        };
        self.window.push(row).expect("a label that can be");
        self.labels += 1;
        if self.acts() && self.labels >= self.next_fit {
            self.next_fit = self.labels + (self.labels / 2).clamp(40, 500);
            if let Ok(model) = refit(&self.window, PRIVATE, self.model.as_ref()) {
                self.model = Some(model);
            }
        }
    }
}

mod outcomes;
