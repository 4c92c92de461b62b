//! How good the predictions are: jobs of a trace are predicted when they arrive, and learned from when they end.
//!
//! The order is that of the proxy (*prequential*, Dawid 1984): no label is seen before its job has ended, models are grown by
//! the trainer's own calendar, and what a job is judged by is what was predicted when it came. There are no queues here:
//! waiting is not predicted but replayed, and the `regret` bench has it.
//!
//! The trace says what a job takes at home. In the world of two networks each job runs on one of them by a draw, and a few on
//! both, as a sample does; how much longer a class takes on the other, and a job beside its class, is drawn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use policy::job::EXTRACTED;
use policy::learn::{Label, Row, Window, refit};
use policy::residual::Residuals;
use policy::{ClassId, Job, Model, NetworkId, NetworkSet, Prediction, ShadowMode};

use crate::trace::Traced;

pub use score::{Score, Scores};

mod draws;
mod score;

/// Where jobs run and how models are grown.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Seeds all draws.
    pub seed: u64,
    /// Whether there is a second network.
    pub two: bool,
    /// How much jobs of one class differ in how they take to the other network: a standard deviation in log time.
    pub ratio_sigma: f64,
    /// Whether predictions are corrected between fits.
    pub corrected: bool,
    /// How often a model is grown, seconds of the trace.
    pub refit_every_s: f64,
    /// New labels that it takes.
    pub refit_after: usize,
    /// Labels of the first.
    pub first_after: usize,
    /// Labels held.
    pub window: usize,
}

/// One dispatch that will end.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Of its job.
    pair: u64,
    job: Job,
    network: NetworkId,
    takes_s: f64,
    predicted: Option<Prediction>,
}

/// A bench's oracle: the window, the model in force and the calendar.
struct Oracle {
    setting: Setting,
    window: Window,
    model: Option<Model>,
    residuals: Residuals,
    fresh: usize,
    attempted_s: Option<f64>,
    refits: usize,
    swaps: usize,
    refit_s: f64,
}

/// Predicts and learns the jobs of a trace.
#[must_use]
pub fn run(jobs: &[Traced], setting: Setting) -> Scores {
    let draws = draws::draw(setting.seed, jobs.iter().map(|job| job.class), setting.two, setting.ratio_sigma);
    let mut oracle = Oracle::new(setting);
    let mut scores = Scores::default();
    let mut runs: Vec<Run> = Vec::with_capacity(jobs.len());
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for (pair, (traced, draw)) in jobs.iter().zip(&draws).enumerate() {
        while let Some(Reverse((at_ns, run))) = ends.peek().copied() {
            if at_ns > nanoseconds(traced.arrival_s) {
                break;
            }
            ends.pop();
            oracle.ended(&runs[run], at_ns as f64 / 1e9, &mut scores);
        }
        let job = job(traced);
        for network in (0..2).filter(|place| draw.runs[*place]).filter_map(NetworkId::new) {
            let takes_s = traced.service_s * draw.slower[network.index()];
            ends.push(Reverse((nanoseconds(traced.arrival_s + takes_s), runs.len())));
            runs.push(Run { pair: pair as u64, job, network, takes_s, predicted: oracle.predict(&job, network) });
        }
    }
    while let Some(Reverse((at_ns, run))) = ends.pop() {
        oracle.ended(&runs[run], at_ns as f64 / 1e9, &mut scores);
    }
    (scores.refits, scores.swaps, scores.refit_s) = (oracle.refits, oracle.swaps, oracle.refit_s);
    scores
}

impl Setting {
    /// Home alone, and what the default configuration says of the oracle.
    pub const DEFAULT: Self = Self {
        seed: 1,
        two: false,
        ratio_sigma: 0.0,
        corrected: true,
        refit_every_s: 5.0,
        refit_after: 20,
        first_after: 40,
        window: 20_000,
    };
}

impl Oracle {
    fn new(setting: Setting) -> Self {
        let window = Window::new(setting.window);
        Self {
            setting,
            window,
            model: None,
            residuals: Residuals::default(),
            fresh: 0,
            attempted_s: None,
            refits: 0,
            swaps: 0,
            refit_s: 0.0,
        }
    }

    fn predict(&self, job: &Job, network: NetworkId) -> Option<Prediction> {
        let mut predicted = self.model.as_ref()?.predict(job, network);
        if self.setting.corrected {
            self.residuals.correction(job.class, network).correct(&mut predicted);
        }
        Some(predicted)
    }

    /// Judges what was predicted, learns from it, and grows a model if it is time.
    fn ended(&mut self, run: &Run, now_s: f64, scores: &mut Scores) {
        if let Some(predicted) = &run.predicted {
            scores.judge(run.network, predicted, run.takes_s);
        }
        let row = Row {
            job: run.job,
            pair: run.pair,
            network: run.network,
            label: Label::Took(run.takes_s),
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
        };
        if self.window.push(row).is_ok() {
            self.fresh += 1;
            self.model.iter().for_each(|model| self.residuals.observe(model, &row, run.predicted.as_ref()));
        }
        if self.is_due(now_s) {
            self.grow(now_s);
        }
    }

    fn is_due(&self, now_s: f64) -> bool {
        match self.attempted_s {
            None => self.window.len() >= self.setting.first_after,
            Some(at_s) => self.fresh >= self.setting.refit_after && now_s - at_s >= self.setting.refit_every_s,
        }
    }

    fn grow(&mut self, now_s: f64) {
        (self.fresh, self.attempted_s) = (0, Some(now_s));
        let begun = Instant::now();
        let home = NetworkId::new(0).expect("below the most networks");
        let grown = refit(&self.window, home, self.model.as_ref());
        self.refit_s += begun.elapsed().as_secs_f64();
        self.refits += 1;
        if let Ok(model) = grown {
            self.swaps += 1;
            self.residuals = self.residuals.taken_over(&model, &self.window);
            self.model = Some(model);
        }
    }
}

/// What the proxy would see of a job.
fn job(traced: &Traced) -> Job {
    const { assert!(EXTRACTED == 4, "a trace gives as many") };
    Job {
        class: ClassId(traced.class),
        urgency: policy::Urgency::new(traced.urgency).unwrap_or_default(),
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: traced.body_bytes,
        input_bytes: None,
        hour: (traced.arrival_s / 3600.0).rem_euclid(24.0) as f32,
        extracted: traced.extracted,
        draw: 0.5,
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).ceil() as u64
}
