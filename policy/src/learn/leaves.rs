//! What is known of the jobs in each leaf.
//!
//! Quantiles and mean come from one Kaplan–Meier curve of home-equivalent log time. The mean is *smeared* (Duan): the mean
//! of the exponentials, not the exponential of the mean. One absurd label in a leaf of ten would be the mean, so a time
//! counts in it only up to a fence that a tail of honest times hardly reaches.

use super::samples::Sample;
use super::survival::{self, Curve};
use crate::model::tree::{Leaf, Shape};
use crate::prediction::LEVELS;

/// The fence lies this many interquartile ranges above the median, which is about 4 standard deviations of a normal…
const FENCE_RANGES: f64 = 3.0;
/// …but never lower than this above the 90 % point: a leaf whose middle is narrow may still have a tail.
const FENCE_LEAST: f64 = 0.7;
/// Fewer labels with a resource figure than this say nothing about it.
const RESOURCE_LABELS_LEAST: usize = 3;

/// A leaf's figures before calibration, and what a log time in it should be.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) quantiles_log: [f64; LEVELS.len()],
    mean_s: f64,
    cpu_s: Option<f64>,
    memory_bytes: Option<f64>,
    response_bytes: Option<f64>,
    labels: u32,
    censored: u32,
}

/// Looks at `samples`, whose home-equivalent log times are `times`, leaf by leaf. `leaf_of[i]` is the leaf of sample i.
pub(super) fn look(shape: &Shape, samples: &[Sample], times: &[(f64, bool)], leaf_of: &[u32]) -> Vec<Figures> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); shape.leaves()];
    for (i, leaf) in leaf_of.iter().enumerate() {
        members[*leaf as usize].push(i as u32);
    }
    let mut all: Vec<u32> = (0..samples.len() as u32).collect();
    let everything = figures(samples, times, &mut all);
    members
        .iter_mut()
        .map(|members| figures(samples, times, members).or_else(|| everything.clone()).unwrap_or_else(Figures::none))
        .collect()
}

/// The leaf of each sample.
pub(super) fn assign(shape: &Shape, samples: &[Sample]) -> Vec<u32> {
    samples.iter().map(|sample| shape.leaf_of(&sample.features) as u32).collect()
}

/// The figures of some of the samples; `None` if none of them ran to its end.
fn figures(samples: &[Sample], times: &[(f64, bool)], members: &mut [u32]) -> Option<Figures> {
    let mut values: Vec<(f64, bool)> = members.iter().map(|i| times[*i as usize]).collect();
    survival::sort(&mut values);
    let curve = Curve::new(values.iter().copied())?;
    let quantiles_log = LEVELS.map(|level| curve.quantile(level));
    let [_, low, median, high, highest] = quantiles_log;
    let fence = (median + FENCE_RANGES * (high - low)).max(highest + FENCE_LEAST);
    let mean_of = |figure: &dyn Fn(usize) -> Option<f64>| {
        let mut known: Vec<f64> = members.iter().filter_map(|i| figure(*i as usize)).collect();
        (known.len() >= RESOURCE_LABELS_LEAST).then(|| fenced_mean(&mut known))
    };
    let ended = |i: usize| !samples[i].bound;
    Some(Figures {
        quantiles_log,
        mean_s: curve.mean(|log| log.min(fence).exp()),
        cpu_s: mean_of(&|i| {
            samples[i].cpu_s.filter(|_| ended(i)).map(|cpu_s| cpu_s * (times[i].0 - samples[i].log_s).exp())
        }),
        memory_bytes: mean_of(&|i| samples[i].memory_bytes),
        response_bytes: mean_of(&|i| samples[i].response_bytes.filter(|_| ended(i))),
        labels: values.iter().filter(|(_, bound)| !bound).count() as u32,
        censored: values.iter().filter(|(_, bound)| *bound).count() as u32,
    })
}

/// The mean of figures of which one may be absurd: each counts up to a fence only, as times do.
fn fenced_mean(known: &mut [f64]) -> f64 {
    known.sort_unstable_by(f64::total_cmp);
    let log_at = |share: f64| known[((known.len() - 1) as f64 * share) as usize].ln_1p();
    let (median, high) = (log_at(0.5), log_at(0.75));
    let fence = (median + FENCE_RANGES * (high - log_at(0.25))).max(high + FENCE_LEAST).exp_m1();
    known.iter().map(|figure| figure.min(fence)).sum::<f64>() / known.len() as f64
}

impl Figures {
    /// A second, for want of any label: unreachable behind the least number of labels of a fit.
    fn none() -> Self {
        Self {
            quantiles_log: [0.0; LEVELS.len()],
            mean_s: 1.0,
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
            labels: 0,
            censored: 0,
        }
    }

    /// The median log time.
    pub(super) fn median_log(&self) -> f64 {
        self.quantiles_log[crate::prediction::MEDIAN]
    }

    /// The leaf, its interval widened by `widened` in log time at each end, the inner quantiles by half of it. A narrowing
    /// stops at the median.
    pub(super) fn leaf(&self, widened: f64) -> Leaf {
        let median = self.median_log();
        let [lowest, low, _, high, highest] = self.quantiles_log;
        let low = (low - widened / 2.0).min(median);
        let high = (high + widened / 2.0).max(median);
        let logs = [(lowest - widened).min(low), low, median, high, (highest + widened).max(high)];
        Leaf {
            mean_s: self.mean_s,
            quantiles_s: logs.map(f64::exp),
            cpu_s: self.cpu_s,
            memory_bytes: self.memory_bytes,
            response_bytes: self.response_bytes,
            labels: self.labels,
            censored: self.censored,
        }
    }
}
