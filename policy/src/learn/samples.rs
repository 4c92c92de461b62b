//! Rows turned into numbers, once for a whole fit.

use super::{Label, Row};
use crate::model::features::{CLASS, Features, features};
use crate::units::{ClassId, NetworkId};

/// Labels' worth of belief that a class is like all the others, before its own labels speak. It also keeps a class of one
/// label from being told apart by that very label.
const CLASS_PRIOR_LABELS: f64 = 10.0;

/// Copies of samples, without their class, that stand for classes nobody has seen yet: as a share of all, and of each class.
const STRANGERS: f64 = 0.1;
const STRANGERS_LEAST: usize = 4;
/// Hours of the day that must have been seen before any of them says anything.
const HOURS_LEAST: u32 = 18;
/// Classes it takes to say what classes are like.
const STRANGE_FROM: usize = 2;

/// A row as the fit sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) features: Features,
    /// The place of its class in [`Samples::classes`].
    pub(super) class: usize,
    pub(super) network: NetworkId,
    pub(super) pair: u64,
    /// Log seconds on its own network.
    pub(super) log_s: f64,
    /// Whether that is only a lower bound.
    pub(super) bound: bool,
    pub(super) cpu_s: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    pub(super) response_bytes: Option<f64>,
}

/// All rows, oldest first, and their classes.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) all: Vec<Sample>,
    /// The classes, in order.
    pub(super) classes: Vec<ClassId>,
}

impl Samples {
    /// Takes rows in, oldest first. The class is not coded yet.
    pub(super) fn new<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Self {
        let mut classes: Vec<ClassId> = rows.clone().map(|row| row.job.class).collect();
        classes.sort_unstable();
        classes.dedup();
        let hours = hours_tell(rows.clone().map(|row| row.job.hour));
        let all = rows.map(|row| sample(row, &classes, hours)).collect();
        Self { all, classes }
    }

    /// Codes each class by its mean home-equivalent log time among the rows in `learned`, drawn towards the mean of all,
    /// and writes the codes into the features. `shift` is what a row's log time loses to be home-equivalent. A class
    /// without a label there is not coded.
    pub(super) fn code_classes(
        &mut self,
        learned: std::ops::Range<usize>,
        shift: impl Fn(&Sample) -> f64,
    ) -> Vec<Option<f32>> {
        let mut sums = vec![(0.0, 0.0); self.classes.len()];
        for sample in self.all[learned].iter().filter(|sample| !sample.bound) {
            let sum = &mut sums[sample.class];
            *sum = (sum.0 + sample.log_s - shift(sample), sum.1 + 1.0);
        }
        let (total, labels) = sums.iter().fold((0.0, 0.0), |all, sum| (all.0 + sum.0, all.1 + sum.1));
        let mean = if labels > 0.0 { total / labels } else { 0.0 };
        let codes: Vec<Option<f32>> = sums
            .iter()
            .map(|(sum, n)| (*n > 0.0).then(|| ((sum + CLASS_PRIOR_LABELS * mean) / (n + CLASS_PRIOR_LABELS)) as f32))
            .collect();
        self.write_codes(&codes);
        codes
    }

    /// The first `seen` samples, and behind them some of each class, as many of one as of another, as they would look if their
    /// class were not known: a class that was never seen is more like *some class* than like the jobs of the most common one.
    pub(super) fn with_strangers(&self, seen: usize) -> Vec<Sample> {
        let each = ((seen as f64 * STRANGERS) as usize / self.classes.len().max(1)).max(STRANGERS_LEAST);
        let mut of = vec![0; self.classes.len()];
        let mut samples = self.all[..seen].to_vec();
        if self.classes.len() < STRANGE_FROM {
            return samples;
        }
        for sample in &self.all[..seen] {
            of[sample.class] += 1;
            if of[sample.class] <= each {
                let mut stranger = *sample;
                stranger.features[CLASS] = f32::NAN;
                samples.push(stranger);
            }
        }
        samples
    }

    pub(super) fn write_codes(&mut self, codes: &[Option<f32>]) {
        for sample in &mut self.all {
            sample.features[CLASS] = codes[sample.class].unwrap_or(f32::NAN);
        }
    }
}

/// Whether hours tell anything: they have come round. Until then an hour only numbers the rows, and a tree that asks for it
/// answers every new job from the last few.
fn hours_tell(hours: impl Iterator<Item = f32>) -> bool {
    let (mut seen, mut rounds, mut last) = (0_u32, 0, f32::NAN);
    for hour in hours.filter(|hour| (0.0..24.0).contains(hour)) {
        seen |= 1 << (hour as u32);
        rounds += u32::from(last - hour > 12.0);
        last = hour;
    }
    rounds > 0 && seen.count_ones() >= HOURS_LEAST
}

fn sample(row: &Row, classes: &[ClassId], hours: bool) -> Sample {
    let hour = if hours { row.job.hour } else { f32::NAN };
    let job = crate::Job { hour, ..row.job };
    let (seconds, bound) = match row.label {
        Label::Took(seconds) => (seconds, false),
        Label::LongerThan(seconds) => (seconds, true),
    };
    Sample {
        features: features(&job, f32::NAN),
        class: classes.binary_search(&row.job.class).expect("every row's class is in the list made from the rows"),
        network: row.network,
        pair: row.pair,
        log_s: seconds.ln(),
        bound,
        cpu_s: row.cpu_s,
        memory_bytes: row.memory_bytes,
        response_bytes: row.response_bytes,
    }
}
