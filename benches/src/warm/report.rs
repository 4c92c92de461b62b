//! What a run comes to, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::arm::Moved;
use super::jobs::Job;
use super::{Arguments, Kind, LINK_BYTES_PER_S, ROUND_TRIP_MS, Visit};
use crate::machine::Machine;

/// The most that a job with its data warm may take, of what it takes cold.
const OVER_COLD_MOST: f64 = 0.6;
/// The most that may be fetched for nothing.
const WASTED_MOST: f64 = 0.1;
/// The least that learning has to bring, of what declaring brings.
const LEARNED_LEAST: f64 = 0.9;
/// What is learned is judged after so many jobs.
const LEARNED_AFTER: usize = 50;

/// A finished run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Where.
    pub machine: &'a Machine,
    /// How.
    pub arguments: &'a Arguments,
    /// Of what.
    pub jobs: &'a [Job],
    /// What each arm showed.
    pub outcomes: &'a [Outcome],
}

/// What one arm showed.
#[derive(Debug)]
pub struct Outcome {
    /// Which arm.
    pub kind: Kind,
    /// Job by job.
    pub visit: Visit,
    /// What it moved.
    pub moved: Moved,
}

impl Outcome {
    fn took_s(&self) -> &[Option<f64>] {
        &self.visit.took_s
    }

    fn failed(&self) -> usize {
        self.took_s().iter().filter(|took| took.is_none()).count()
    }
}

impl Run<'_> {
    fn of(&self, kind: Kind) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.kind == kind)
    }

    /// The mean of the jobs from the `from`th on that succeeded in all arms: a job that failed somewhere is compared nowhere.
    fn mean_s(&self, kind: Kind, from: usize) -> Option<f64> {
        let all: Vec<&[Option<f64>]> = self.outcomes.iter().map(Outcome::took_s).collect();
        let everywhere = |at: &usize| all.iter().all(|took| took.get(*at).copied().flatten().is_some());
        let took = self.of(kind)?.took_s();
        let took: Vec<f64> = (from..self.jobs.len()).filter(everywhere).filter_map(|at| took[at]).collect();
        (!took.is_empty()).then(|| took.iter().sum::<f64>() / took.len() as f64)
    }

    fn over_cold(&self, kind: Kind, from: usize) -> Option<f64> {
        Some(self.mean_s(kind, from)? / self.mean_s(Kind::Cold, from)?)
    }

    fn wasted(&self, kind: Kind) -> Option<f64> {
        let Moved { warmed_bytes, useful_bytes, .. } = self.of(kind)?.moved;
        (warmed_bytes > 0.0).then(|| 1.0 - useful_bytes / warmed_bytes)
    }

    /// The gain of what was learned over that of what was declared, once there was something to learn from.
    fn learned(&self) -> Option<f64> {
        let from = LEARNED_AFTER.min(self.jobs.len() / 2);
        let gain = |kind| Some(1.0 - self.over_cold(kind, from)?);
        Some(gain(Kind::Learned)? / gain(Kind::Declared)?)
    }
}

/// The report.
#[must_use]
pub fn text(run: &Run<'_>) -> String {
    let Run { machine, arguments, jobs, .. } = run;
    let keys: BTreeSet<u32> = jobs.iter().map(|job| job.key).collect();
    let classes: BTreeSet<u16> = jobs.iter().map(|job| job.class).collect();
    let mib = |bytes: u64| bytes as f64 / arguments.scale / f64::from(1 << 20);
    let mean_mib = jobs.iter().map(|job| mib(job.bytes)).sum::<f64>() / jobs.len().max(1) as f64;
    let mut text = format!(
        "machine  {}, {} cores, {}\ncommit   {} · {}\ncommand  {}\n\n{} jobs of {} classes that read {} inputs, {:.0} MiB in the mean; \
         {} slots at a load of {}; a link of {} MB/s and {} ms, both scaled by {}\n\n\
         arm        mean s   of cold   wasted   found or on its way   failed\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.commit,
        machine.date,
        machine.command,
        jobs.len(),
        classes.len(),
        keys.len(),
        mean_mib,
        arguments.slots,
        arguments.load,
        LINK_BYTES_PER_S / 1e6,
        ROUND_TRIP_MS,
        arguments.scale,
    );
    let show = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
    for outcome in run.outcomes {
        let kind = outcome.kind;
        let found = (outcome.moved.reads > 0.0).then(|| outcome.moved.hits / outcome.moved.reads);
        let figures = [run.mean_s(kind, 0), run.over_cold(kind, 0), run.wasted(kind), found].map(show);
        let [mean, ratio, wasted, found] = figures;
        // Writing into a string cannot fail.
        let _infallible =
            writeln!(text, "{:<9} {mean:>7} {ratio:>9} {wasted:>8} {found:>21} {:>8}", kind.name(), outcome.failed());
    }
    for (what, figure, met) in [
        (
            "warm over cold ≤ 0.6",
            run.over_cold(Kind::Declared, 0),
            run.over_cold(Kind::Declared, 0) <= Some(OVER_COLD_MOST),
        ),
        (
            "wasted ≤ 10 %",
            run.wasted(Kind::Declared),
            run.wasted(Kind::Declared).is_some_and(|share| share <= WASTED_MOST),
        ),
        ("learned over declared ≥ 90 %", run.learned(), run.learned() >= Some(LEARNED_LEAST)),
    ] {
        let _infallible =
            write!(text, "\n{what}: {} {}", show(figure), if met && figure.is_some() { "met" } else { "missed" });
    }
    text.push('\n');
    text
}

/// The figures. One that was not measured is null.
#[must_use]
pub fn json(run: &Run<'_>) -> Value {
    let wasted = [Kind::Declared, Kind::Learned].into_iter().filter_map(|kind| run.wasted(kind)).reduce(f64::max);
    let arm = |outcome: &Outcome| {
        let kind = outcome.kind;
        (
            kind.name().to_owned(),
            json!({ "mean_s": run.mean_s(kind, 0), "over_cold": run.over_cold(kind, 0), "wasted_share": run.wasted(kind),
                    "failed": outcome.failed() }),
        )
    };
    json!({
        "warm_over_cold": run.over_cold(Kind::Declared, 0),
        "wasted_share": wasted,
        "learned_over_declared_gain": run.learned(),
        "jobs": run.jobs.len(),
        "arms": run.outcomes.iter().map(arm).collect::<serde_json::Map<_, _>>(),
        "machine": { "processor": run.machine.processor, "cores": run.machine.cores, "commit": run.machine.commit },
    })
}
