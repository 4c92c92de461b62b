//! adumbra itself: `policy::plan`, `decide` and `learn` as they are, carried out in the world as the proxy carries them out.
//!
//! The proxy's `contest` is the model: a lead and perhaps a shadow, looked at until something settles it; the lead goes on,
//! or the shadow becomes the job, or the job is sent afresh.

mod seen;

use policy::budget::Load;
use policy::learn::{Label, Row, stopped};
use policy::plan::{Shadowing, plan_as, size};
use policy::watchdog::{Came, Seat};
use policy::{Action, Decision, Evidence, NetworkSet, Phase, Plan, Prediction, Step, View, decide};

use super::Part;
use super::census::Census;
use super::ground::{Ground, RunId, State};
use super::sidecar::{self, Sidecar, id};
use super::world::{Shown, World};

/// A job on its way.
#[derive(Clone, Debug)]
struct Course {
    plan: Plan,
    lead: RunId,
    /// The lead's number in its network's ledger.
    entry: u64,
    /// Shadows that may become the job.
    shadows: Vec<RunId>,
    /// Shadows that only teach, and when they end.
    samples: Vec<RunId>,
    /// Shadows that got no permit.
    refused: NetworkSet,
    /// Whether there is still something to decide.
    open: bool,
    /// Whether the lead was a shadow once.
    adopted: bool,
    /// Its place in the comparison with the rule, and its size there.
    seat: Seat,
    size: Option<f64>,
}

/// What is to be said of one job in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// What was predicted for the network that ran it, and what was true there.
    pub(super) prediction: Option<(Prediction, f64)>,
    pub(super) shadowed: bool,
    pub(super) moved: bool,
}

/// adumbra in every sidecar.
#[derive(Debug)]
pub(super) struct Adumbra {
    pub(super) sidecars: Vec<Sidecar>,
    census: Census,
    courses: Vec<Option<Course>>,
    pub(super) told: Vec<Told>,
    without: Option<Part>,
}

impl Adumbra {
    pub(super) fn new(world: &World, jobs: usize, without: Option<Part>) -> Self {
        Self {
            sidecars: (0..world.sidecars.count).map(|_| Sidecar::new(world, without)).collect(),
            census: Census::new(world),
            courses: vec![None; jobs],
            told: vec![Told::default(); jobs],
            without,
        }
    }

    /// All that was planned for a job, in words, for whoever compares plans.
    #[cfg(test)]
    pub(super) fn planned(&self, i: usize) -> Option<String> {
        self.courses[i].as_ref().map(|course| format!("{:?}", course.plan))
    }

    pub(super) fn report(&mut self, ground: &Ground<'_>) {
        self.census.report(ground.now_s);
        for (i, sidecar) in self.sidecars.iter_mut().enumerate() {
            if let Some((others, ours)) = self.census.told(i, ground.now_s) {
                sidecar.hear(ground.world, &others, &ours, ground.now_s);
            }
        }
    }

    /// What the job's sidecar knows now.
    fn view(&mut self, ground: &Ground<'_>, i: usize) -> View {
        let lot = &ground.lots[i];
        self.sidecars[lot.sidecar].view(ground, lot)
    }

    pub(super) fn arrives(&mut self, ground: &mut Ground<'_>, i: usize) {
        let lot = &ground.lots[i];
        let view = self.view(ground, i);
        let sidecar = &mut self.sidecars[lot.sidecar];
        let seat = sidecar.watchdog.seat(&lot.job, &view, sidecar.model.is_some(), ground.now_s);
        let planned = plan_as(seat.arm, &lot.job, &view, sidecar.model.as_ref(), ground.now_s);
        let size = size(&lot.job, &view, &planned);
        let (lead, entry) = self.launch(ground, i, planned.target.index(), &planned);
        let open = matches!(planned.shadowing, Shadowing::Lead { .. }) || decide::is_watched(&lot.job, &view, &planned);
        let course = Course {
            plan: planned,
            lead,
            entry,
            shadows: Vec::new(),
            samples: Vec::new(),
            refused: NetworkSet::EMPTY,
            open,
            adopted: false,
            seat,
            size,
        };
        self.courses[i] = Some(course);
        self.fork(ground, i, &planned);
        self.look(ground, i);
    }

    /// Sends the job itself.
    fn launch(&mut self, ground: &mut Ground<'_>, i: usize, network: usize, plan: &Plan) -> (RunId, u64) {
        let sidecar = ground.lots[i].sidecar;
        let predicted_s = plan.predictions[id(network)].map_or(f64::NAN, |prediction| prediction.mean_s);
        let entry = self.sidecars[sidecar].enter(network, predicted_s, ground.now_s);
        self.census.enters(sidecar, network);
        self.shed(ground, i, network);
        (ground.send(i, network, None), entry)
    }

    fn load(&self, ground: &Ground<'_>, sidecar: usize, network: usize) -> Load {
        let others = self.sidecars[sidecar].others_on(network);
        let in_flight = self.sidecars[sidecar].ledgers[network].len().saturating_add(others);
        sidecar::load(ground.world, in_flight, network)
    }

    /// Ends shadows that live work needs the room of.
    fn shed(&mut self, ground: &mut Ground<'_>, i: usize, network: usize) {
        let sidecar = ground.lots[i].sidecar;
        let load = self.load(ground, sidecar, network);
        for _ in 0..self.sidecars[sidecar].to_shed(network, load) {
            let youngest = (0..ground.runs.len()).rev().take(64).find(|run| {
                let run = &ground.runs[*run];
                let lives = matches!(run.state, State::Moving(_) | State::Running);
                run.network == network && run.granted.is_some() && lives && ground.lots[run.lot].sidecar == sidecar
            });
            let Some(run) = youngest else { return };
            self.end_shadow(ground, ground.runs[run].lot, run, false);
        }
    }

    /// Starts the plan's shadows, as far as there are permits.
    fn fork(&mut self, ground: &mut Ground<'_>, i: usize, plan: &Plan) {
        let sidecar = ground.lots[i].sidecar;
        let samples = matches!(plan.shadowing, Shadowing::Sample { .. });
        for network in plan.shadowing.on().iter() {
            let n = network.index();
            let load = self.load(ground, sidecar, n);
            let has_permit = self.sidecars[sidecar].spend(n, load, ground.now_s);
            let Some(course) = &mut self.courses[i] else { return };
            if !has_permit {
                course.refused = course.refused.with(network);
                continue;
            }
            let run = ground.send(i, n, Some(plan.caps.speed(plan.predictions[network].as_ref())));
            if samples {
                course.samples.push(run);
                ground.look_at(i, ground.now_s + plan.shadowing.window_s());
            } else {
                course.shadows.push(run);
            }
            self.told[i].shadowed = true;
        }
    }

    /// Looks at what a job's dispatches have shown, and does what the policy says.
    pub(super) fn look(&mut self, ground: &mut Ground<'_>, i: usize) {
        self.end_samples(ground, i);
        loop {
            let Some(course) = self.courses[i].as_ref().filter(|course| course.open) else { return };
            if matches!(ground.runs[course.lead].state, State::Done | State::Over) {
                return;
            }
            let (plan, view) = (course.plan, self.view(ground, i));
            let evidence = self.evidence(ground, i);
            let lot = &ground.lots[i];
            let model = self.sidecars[lot.sidecar].model.as_ref();
            let (arrived_s, now_s) = (lot.arrived_s, ground.now_s);
            match decide(&lot.job, &view, model, &plan, &evidence, arrived_s, now_s) {
                Step::WaitUntil(until_s) => {
                    self.wait(ground, i, until_s);
                    return;
                }
                Step::Settled(decision) if decision.action == Action::Keep => {
                    let shadowed = self.cancel_shadows(ground, i, now_s >= arrived_s + plan.shadowing.window_s());
                    // After the window the lead alone is watched.
                    if !shadowed {
                        self.close(i);
                    }
                }
                Step::Settled(decision) => self.moves(ground, i, &decision, &evidence),
            }
        }
    }

    /// Asks again by `until_s`, or sooner while a shadow may show something.
    fn wait(&self, ground: &mut Ground<'_>, i: usize, until_s: f64) {
        let Some(course) = &self.courses[i] else { return };
        let now_s = ground.now_s;
        let every_s = ground.world.progress.look_every_s.max(course.plan.shadowing.window_s() / 20.0);
        let sees = ground.world.progress.shown == Shown::Visible && !course.shadows.is_empty();
        let next_s = if sees { until_s.min(now_s + every_s) } else { until_s };
        ground.look_at(i, next_s.max(now_s + 1e-3));
    }

    fn close(&mut self, i: usize) {
        if let Some(course) = &mut self.courses[i] {
            course.open = false;
        }
    }

    /// Samples run out their window, whatever becomes of the job.
    fn end_samples(&mut self, ground: &mut Ground<'_>, i: usize) {
        let Some(course) = &mut self.courses[i] else { return };
        if course.samples.is_empty()
            || ground.now_s + 1e-6 < ground.lots[i].arrived_s + course.plan.shadowing.window_s()
        {
            return;
        }
        for run in std::mem::take(&mut course.samples) {
            self.end_shadow(ground, i, run, true);
        }
    }

    /// The job goes elsewhere.
    fn moves(&mut self, ground: &mut Ground<'_>, i: usize, decision: &Decision, evidence: &Evidence) {
        let Some(course) = self.courses[i].clone() else { return };
        let to = decision.target.index();
        if let Some((network, seen)) = &evidence.lead
            && let Some(label) = stopped(seen, false, ground.world.networks[network.index()].rtt_ms / 1e3, ground.now_s)
        {
            self.learn(ground, i, network.index(), label, None);
        }
        self.leave(ground, i, &course);
        ground.cancel(course.lead);
        self.told[i].moved = true;
        let adopted = course.shadows.iter().copied().find(|run| ground.runs[*run].network == to);
        let adopted = adopted.filter(|_| decision.action == Action::Adopt && self.without != Some(Part::Adoption));
        let (lead, entry) = match adopted {
            Some(run) => {
                let sidecar = ground.lots[i].sidecar;
                self.sidecars[sidecar].shadow_ended(to);
                let left = 1.0 - ground.done(run);
                let predicted_s = course.plan.predictions[decision.target].map_or(f64::NAN, |p| p.mean_s * left);
                let entry = self.sidecars[sidecar].enter(to, predicted_s, ground.now_s);
                self.census.enters(sidecar, to);
                ground.adopt(run);
                (run, entry)
            }
            None => self.launch(ground, i, to, &course.plan),
        };
        if let Some(course) = &mut self.courses[i] {
            (course.lead, course.entry, course.adopted) = (lead, entry, adopted.is_some());
            course.shadows.retain(|run| Some(*run) != adopted);
        }
        self.cancel_shadows(ground, i, false);
        self.close(i);
    }

    /// The lead gives its place up. Says when it began, as far as the ledger can tell.
    fn leave(&mut self, ground: &Ground<'_>, i: usize, course: &Course) -> f64 {
        let sidecar = ground.lots[i].sidecar;
        let network = ground.runs[course.lead].network;
        self.census.leaves(sidecar, network);
        let sent_s = ground.runs[course.lead].sent_s;
        self.sidecars[sidecar].leave(network, course.entry, ground.now_s).unwrap_or(sent_s)
    }

    /// A shadow has all its answer.
    pub(super) fn finished(&mut self, ground: &mut Ground<'_>, run: RunId) {
        let i = ground.runs[run].lot;
        let Some(course) = &mut self.courses[i] else { return };
        if course.samples.contains(&run) {
            course.samples.retain(|other| *other != run);
            self.end_shadow(ground, i, run, false);
        } else {
            self.look(ground, i);
        }
    }

    /// The job is answered.
    pub(super) fn answered(&mut self, ground: &mut Ground<'_>, run: RunId) {
        let i = ground.runs[run].lot;
        let Some(course) = self.courses[i].clone() else { return };
        let (network, now_s) = (ground.runs[run].network, ground.now_s);
        let began_s = self.leave(ground, i, &course);
        self.close(i);
        self.cancel_shadows(ground, i, false);
        let lot = &ground.lots[i];
        let took_s = now_s - lot.arrived_s;
        let cost = lot.value_per_s * took_s + ground.money[i];
        let watchdog = &mut self.sidecars[lot.sidecar].watchdog;
        match course.size {
            Some(size) => watchdog.ended(course.seat, &Came { cost, size, took_s }),
            None => watchdog.left(course.seat),
        };
        let prediction = course.plan.predictions[id(network)];
        self.told[i].prediction = prediction.map(|prediction| (prediction, ground.runs[run].takes_s));
        // As in the proxy: what an adopted shadow took is not told from what it took as a shadow.
        if !course.adopted {
            // As the proxy's upload says when a body has gone, and its data cache when the inputs were there.
            let supplied_s = ground.runs[run].supplied_s;
            let back_s = ground.world.networks[network].rtt_ms / 2e3;
            let took_s = (now_s - began_s.max(supplied_s) - back_s).max(1e-6);
            self.sidecars[ground.lots[i].sidecar].ledgers[network].ran(took_s);
            self.learn(ground, i, network, Label::Took(took_s), prediction);
        }
    }

    fn learn(&mut self, ground: &Ground<'_>, i: usize, network: usize, label: Label, foreseen: Option<Prediction>) {
        let lot = &ground.lots[i];
        let lie = lot.lie.unwrap_or(1.0);
        let label = match label {
            Label::Took(seconds) => Label::Took(seconds * lie),
            Label::LongerThan(seconds) => Label::LongerThan(seconds * lie),
        };
        let (job, pair, response_bytes) = (lot.job, i as u64, Some(lot.response_bytes));
        let row = Row { job, pair, network: id(network), label, cpu_s: None, memory_bytes: None, response_bytes };
        self.sidecars[lot.sidecar].learn(row, foreseen.as_ref(), ground.now_s);
    }

    /// Ends all shadows that could have become the job; says whether there was one.
    fn cancel_shadows(&mut self, ground: &mut Ground<'_>, i: usize, at_window: bool) -> bool {
        let Some(course) = &mut self.courses[i] else { return false };
        let shadows = std::mem::take(&mut course.shadows);
        for run in &shadows {
            self.end_shadow(ground, i, *run, at_window);
        }
        !shadows.is_empty()
    }

    /// Ends a shadow and learns what it taught.
    fn end_shadow(&mut self, ground: &mut Ground<'_>, i: usize, run: RunId, at_window: bool) {
        let network = ground.runs[run].network;
        if let Some(course) = &mut self.courses[i] {
            course.shadows.retain(|other| *other != run);
            course.samples.retain(|other| *other != run);
        }
        let seen = self.seen(ground, run);
        let arriving_s = ground.world.networks[network].rtt_ms / 1e3;
        let label = match seen.phase {
            Phase::Finished { .. } => Some(Label::Took(ground.runs[run].takes_s)),
            _ => stopped(&seen, at_window, arriving_s, ground.now_s),
        };
        self.sidecars[ground.lots[i].sidecar].shadow_ended(network);
        ground.cancel(run);
        if let Some(label) = label {
            self.learn(ground, i, network, label, None);
        }
    }
}
