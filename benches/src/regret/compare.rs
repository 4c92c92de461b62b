//! Every arm on every trace, load and seed, and what that says.
//!
//! Within a seed all arms have the same jobs and the same draws, so each is set against the clairvoyant of its own seed, and
//! the median of these ratios is its regret. A knob is turned to where its median is best, over all seeds of a trace and load.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::World;
use super::arms::{Arm, Line, lines};
use super::lots;
use super::play::{Came, run};
use crate::statistics::Summary;
use crate::trace::Traced;

/// What is to be run.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The world.
    pub world: &'a World,
    /// Traces and their names.
    pub traces: &'a [(String, Vec<Traced>)],
    /// Loads of home, if all ran there.
    pub loads: &'a [f64],
    /// Runs, each with draws of its own.
    pub seeds: u64,
    /// Jobs of a run.
    pub jobs: usize,
    /// Only lines that this holds for.
    pub only: &'a [String],
    /// Threads.
    pub threads: usize,
}

/// One trace at one load.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it is called in the file.
    pub name: String,
    /// The trace.
    pub trace: String,
    /// The load.
    pub load: f64,
    /// Every arm, in the order of the table.
    pub rows: Vec<Row>,
    /// The share of outcomes in the predicted 80 %, and how many there were.
    pub coverage80: (f64, usize),
    /// Root mean square of the log error of predicted medians.
    pub log_rmse: f64,
    /// Jobs until adumbra's regret is within a tenth of what it comes to.
    pub jobs_to_learn: Option<usize>,
    /// adumbra's regret over stretches of jobs, pooled over seeds: the first job of each, and the ratio.
    pub learning: Vec<(usize, f64)>,
}

/// One arm on one trace at one load.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The setting that was best, where there were several.
    pub setting: Option<String>,
    /// Median cost of a job.
    pub objective: f64,
    /// Cost over the clairvoyant's, by seed.
    pub regrets: Vec<f64>,
    /// Median of these.
    pub regret: f64,
    /// Medians over seeds.
    pub mean_s: f64,
    /// Medians over seeds.
    pub p99_s: f64,
    /// Medians over seeds.
    pub money: f64,
    /// Medians over seeds.
    pub shadow_share: f64,
    /// Medians over seeds.
    pub shadowed: f64,
    /// Medians over seeds.
    pub moved: f64,
}

/// Jobs that the learning curve looks at together, and how far apart its points are.
const STRETCH: usize = 200;
const STEP: usize = 20;
/// Within this of what it comes to is learned.
const LEARNED: f64 = 1.1;

impl Comparison<'_> {
    /// Runs all of it; `done` hears how far it is.
    pub fn run(&self, done: impl Fn(usize, usize) + Sync) -> Vec<Verdict> {
        let mut lines = lines(self.world);
        lines.retain(|line| self.only.is_empty() || line.name == "clairvoyant" || self.only.contains(&line.name));
        let cells: Vec<(usize, usize)> =
            (0..self.traces.len()).flat_map(|trace| (0..self.loads.len()).map(move |load| (trace, load))).collect();
        let tasks = cells.len() * self.seeds as usize;
        let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Mutex<Vec<Option<Vec<Vec<Came>>>>> = Mutex::new(vec![None; tasks]);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            return;
                        }
                        let (trace, load) = cells[task / self.seeds as usize];
                        let came = self.one(&lines, trace, load, 1 + (task % self.seeds as usize) as u64);
                        results.lock().expect("no thread panics with it")[task] = Some(came);
                        done(finished.fetch_add(1, Ordering::Relaxed) + 1, tasks);
                    }
                });
            }
        });
        let results = results.into_inner().expect("no thread panics with it");
        let mut results = results.into_iter().map(|came| came.expect("every task was run"));
        cells
            .iter()
            .map(|(trace, load)| {
                let seeds: Vec<_> = results.by_ref().take(self.seeds as usize).collect();
                self.judge(&lines, *trace, *load, &seeds)
            })
            .collect()
    }

    /// One seed: every setting of every line.
    fn one(&self, lines: &[Line], trace: usize, load: usize, seed: u64) -> Vec<Vec<Came>> {
        let lots = lots::draw(self.world, &self.traces[trace].1, self.jobs, self.loads[load], seed);
        let settings = |line: &Line| {
            let keeps_costs = matches!(line.arms[0], Arm::Adumbra(None) | Arm::Clairvoyant);
            let one = |arm: &Arm| {
                let came = run(self.world, &lots, seed, arm);
                if keeps_costs { came } else { Came { costs: Vec::new(), ..came } }
            };
            line.arms.iter().map(one).collect()
        };
        lines.iter().map(settings).collect()
    }

    fn judge(&self, lines: &[Line], trace: usize, load: usize, seeds: &[Vec<Vec<Came>>]) -> Verdict {
        let name = &self.traces[trace].0;
        let load = self.loads[load];
        let yardsticks: Vec<&Came> =
            seeds.iter().map(|seed| &seed.last().expect("the clairvoyant is the last line")[0]).collect();
        let rows = lines.iter().enumerate().map(|(place, line)| row(place, line, seeds, &yardsticks)).collect();
        let own = lines.iter().position(|line| matches!(line.arms[0], Arm::Adumbra(None)));
        let own: Vec<&Came> = own.map_or_else(Vec::new, |place| seeds.iter().map(|seed| &seed[place][0]).collect());
        let (inside, n) = own.iter().fold((0, 0), |sum, came| (sum.0 + came.covered.0, sum.1 + came.covered.1));
        let squared: f64 = own.iter().map(|came| came.squared).sum();
        let (learning, jobs_to_learn) = learning(&own, &yardsticks, self.world.measured_share);
        Verdict {
            name: if self.loads.len() > 1 { format!("{name}@{load}") } else { name.clone() },
            trace: name.clone(),
            load,
            rows,
            coverage80: (inside as f64 / n as f64, n),
            log_rmse: (squared / n as f64).sqrt(),
            jobs_to_learn,
            learning,
        }
    }
}

fn row(place: usize, line: &Line, seeds: &[Vec<Vec<Came>>], yardsticks: &[&Came]) -> Row {
    let regrets = |setting: usize| -> Vec<f64> {
        seeds.iter().zip(yardsticks).map(|(seed, yard)| seed[place][setting].objective / yard.objective).collect()
    };
    let setting = (0..line.arms.len()).min_by(|a, b| median(regrets(*a)).total_cmp(&median(regrets(*b)))).unwrap_or(0);
    let came: Vec<&Came> = seeds.iter().map(|seed| &seed[place][setting]).collect();
    let regrets: Vec<f64> = came.iter().zip(yardsticks).map(|(came, yard)| came.objective / yard.objective).collect();
    let of = |figure: fn(&Came) -> f64| median(came.iter().map(|came| figure(came)).collect());
    let words = match &line.arms[setting] {
        Arm::Rule(_, setting) => format!("{setting:?}"),
        _ => String::new(),
    };
    Row {
        name: line.name.clone(),
        setting: (line.arms.len() > 1).then_some(words),
        objective: of(|came| came.objective),
        regret: median(regrets.clone()),
        regrets,
        mean_s: of(|came| came.mean_s),
        p99_s: of(|came| came.p99_s),
        money: of(|came| came.money),
        shadow_share: of(|came| came.shadow_share),
        shadowed: of(|came| came.shadowed),
        moved: of(|came| came.moved),
    }
}

/// adumbra's regret over stretches of jobs, pooled over seeds, and the job from which on it is within a tenth of what it comes
/// to over the measured ones.
fn learning(own: &[&Came], yardsticks: &[&Came], measured: f64) -> (Vec<(usize, f64)>, Option<usize>) {
    let Some(jobs) = own.first().map(|came| came.costs.len()) else { return (Vec::new(), None) };
    let ratio = |range: std::ops::Range<usize>| {
        // Each seed counts the same: a long job in one must not drown the others.
        let of = |came: &Came| came.costs[range.clone()].iter().sum::<f64>();
        own.iter().zip(yardsticks).map(|(own, yard)| (of(own) / of(yard)).ln()).sum::<f64>() / own.len() as f64
    };
    let stretch = STRETCH.min(jobs / 2).max(1);
    let points: Vec<(usize, f64)> =
        (0..=jobs - stretch).step_by(STEP).map(|from| (from, ratio(from..from + stretch).exp())).collect();
    let last = ratio(((1.0 - measured) * jobs as f64) as usize..jobs).exp();
    let learned = points.iter().find(|(_, ratio)| *ratio <= LEARNED * last).map(|(from, _)| *from);
    (points, learned)
}

fn median(values: Vec<f64>) -> f64 {
    Summary::of(values).map_or(f64::NAN, |summary| summary.median)
}

impl Verdict {
    /// The arm of this name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Who beat the clairvoyant by more than half a percent, which nobody can.
    #[must_use]
    pub fn impossible(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.regret < 0.995).collect()
    }
}
