//! How much longer each class takes on each network than at home.
//!
//! Two kinds of evidence, added up by how much each is worth. *Pairs*: both sides of one job, whose difference in log time
//! is the ratio itself, the job's size gone. *Unpaired* labels: what is left of a log time when the tree has said what the
//! job should take; the median of that on the network less the median of it at home. Medians, by Kaplan–Meier: a stopped
//! shadow counts as longer than it ran, and a lying label moves a median little. A class with little evidence is drawn
//! towards what the network is like for all classes.
//!
//! The doubt is what stays unknown for one job: the error of the ratio, and the spread of it from job to job, which only
//! pairs can show.

use super::samples::{Sample, Samples};
use super::survival::{self, Curve};
use crate::model::Ratio;
use crate::units::{MAX_NETWORKS, NetworkId, PerNetwork};

/// Variance of a network's log ratio before anything is seen: a factor of two either way is one standard deviation.
const NETWORK_PRIOR: f64 = 0.48;
/// Variance of a class's log ratio about its network's: the lognormal 0.4 of the study.
const CLASS_PRIOR: f64 = 0.16;
/// Spread of the ratio from job to job that is assumed until pairs show it, and how many pairs that assumption is worth.
const JOB_SPREAD: f64 = 0.15;
const JOB_SPREAD_PAIRS: f64 = 6.0;
/// The variance of a median is about this times that of a mean.
const MEDIAN_COST: f64 = 1.57;
/// The least variance of one label: a clock, a scheduler and a cache differ from run to run by as much.
const LABEL_VARIANCE_LEAST: f64 = 1e-3;

/// What is not known of how long one job takes on a network that no label was seen of, in log time.
pub(crate) fn doubt_before_labels() -> f64 {
    (NETWORK_PRIOR + CLASS_PRIOR + JOB_SPREAD * JOB_SPREAD).sqrt()
}

/// The ratios of every class, and those of a class that was never seen.
#[derive(Clone, Debug)]
pub(super) struct Ratios {
    pub(super) classes: Vec<PerNetwork<Ratio>>,
    pub(super) stranger: PerNetwork<Ratio>,
}

impl Ratios {
    /// Every network like home.
    pub(super) fn none(classes: usize) -> Self {
        Self { classes: vec![PerNetwork::default(); classes], stranger: PerNetwork::default() }
    }

    /// What a sample's log time has to lose to be home-equivalent.
    pub(super) fn shift(&self, sample: &Sample) -> f64 {
        self.classes[sample.class][sample.network].log
    }
}

/// Evidence for one class on one network: an estimate and its variance, infinite if there is none.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    log: f64,
    variance: f64,
    labels: u32,
    pairs: u32,
    job_variance: f64,
}

/// Estimates the ratios from the first `learned` samples. `expected[i]` is what sample i's log time would be at home, by the
/// present tree.
pub(super) fn estimate(samples: &Samples, learned: usize, expected: &[f64], home: NetworkId) -> Ratios {
    let rows = &samples.all[..learned];
    let classes = samples.classes.len();
    let mut residuals: Vec<Vec<(f64, bool)>> = vec![Vec::new(); classes * MAX_NETWORKS];
    for (row, expected) in rows.iter().zip(expected) {
        residuals[row.class * MAX_NETWORKS + row.network.index()].push((row.log_s - expected, row.bound));
    }
    let pairs = paired(rows, classes, home);
    let medians: Vec<Median> = residuals.iter_mut().map(|values| Median::of(values)).collect();
    let mut ratios = Ratios::none(classes);
    for network in (0..MAX_NETWORKS).filter_map(NetworkId::new) {
        let cell = |class: usize, network: NetworkId| class * MAX_NETWORKS + network.index();
        if network == home {
            for class in 0..classes {
                ratios.classes[class][home].labels = medians[cell(class, home)].ends;
            }
            continue;
        }
        let evidence: Vec<Evidence> = (0..classes)
            .map(|class| {
                weigh(&medians[cell(class, network)], &medians[cell(class, home)], &pairs[cell(class, network)])
            })
            .collect();
        fill(&mut ratios, network, &evidence);
    }
    ratios
}

/// Draws each class's evidence towards the network's own mean and writes the ratios of `network`.
fn fill(ratios: &mut Ratios, network: NetworkId, evidence: &[Evidence]) {
    let (mut precision, mut sum) = (1.0 / NETWORK_PRIOR, 0.0);
    let (mut spread, mut spread_weight) = (JOB_SPREAD * JOB_SPREAD * JOB_SPREAD_PAIRS, JOB_SPREAD_PAIRS);
    for class in evidence {
        let weight = 1.0 / (class.variance + CLASS_PRIOR);
        precision += weight;
        sum += weight * class.log;
        spread += class.job_variance * f64::from(class.pairs);
        spread_weight += f64::from(class.pairs);
    }
    let mean = sum / precision;
    let network_spread = spread / spread_weight;
    for (class, evidence) in evidence.iter().enumerate() {
        let weight = 1.0 / evidence.variance;
        let error = 1.0 / (weight + 1.0 / CLASS_PRIOR);
        let pairs = f64::from(evidence.pairs);
        let job_variance =
            (network_spread * JOB_SPREAD_PAIRS + evidence.job_variance * pairs) / (JOB_SPREAD_PAIRS + pairs);
        ratios.classes[class][network] = Ratio {
            log: error * (weight * evidence.log + mean / CLASS_PRIOR),
            doubt: (error + job_variance).sqrt(),
            labels: evidence.labels,
            pairs: evidence.pairs,
        };
    }
    let doubt = (1.0 / precision + CLASS_PRIOR + network_spread).sqrt();
    ratios.stranger[network] = Ratio { log: mean, doubt, labels: 0, pairs: 0 };
}

/// Adds up what the unpaired and the paired labels of one class say about one network.
fn weigh(there: &Median, home: &Median, pairs: &[(f64, bool)]) -> Evidence {
    let direct = Median::of(&mut pairs.to_vec());
    let (mut precision, mut sum) = (0.0, 0.0);
    if let (Some(there_log), Some(home_log)) = (there.log, home.log) {
        let weight = 1.0 / (there.variance() + home.variance());
        (precision, sum) = (precision + weight, sum + weight * (there_log - home_log));
    }
    if let Some(log) = direct.log {
        let weight = 1.0 / direct.variance();
        (precision, sum) = (precision + weight, sum + weight * log);
    }
    Evidence {
        log: if precision > 0.0 { sum / precision } else { 0.0 },
        variance: 1.0 / precision,
        labels: there.ends,
        pairs: if direct.log.is_some() { direct.ends } else { 0 },
        job_variance: direct.label_variance,
    }
}

/// For each class and network, the log ratio of every pair whose home side ran to its end. A home side that was stopped
/// would be bounded from the other side, which Kaplan–Meier does not take; such pairs are few and left out. Rows that share
/// a number with more rows than there are networks are not of one job, whatever they say.
fn paired(rows: &[Sample], classes: usize, home: NetworkId) -> Vec<Vec<(f64, bool)>> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|i| (rows[*i as usize].pair, *i));
    let mut pairs = vec![Vec::new(); classes * MAX_NETWORKS];
    for group in order.chunk_by(|a, b| rows[*a as usize].pair == rows[*b as usize].pair) {
        if group.len() > MAX_NETWORKS {
            continue;
        }
        let rows = || group.iter().map(|i| &rows[*i as usize]);
        let Some(at_home) = rows().find(|row| row.network == home && !row.bound) else { continue };
        for row in rows().filter(|row| row.network != home && row.class == at_home.class) {
            pairs[row.class * MAX_NETWORKS + row.network.index()].push((row.log_s - at_home.log_s, row.bound));
        }
    }
    pairs
}

/// A median by Kaplan–Meier, and how well it is known.
#[derive(Clone, Copy, Debug)]
struct Median {
    log: Option<f64>,
    /// Labels that ran to their end.
    ends: u32,
    label_variance: f64,
}

impl Median {
    fn of(values: &mut [(f64, bool)]) -> Self {
        survival::sort(values);
        let ends = values.iter().filter(|(_, bound)| !bound).count() as u32;
        let curve = Curve::new(values.iter().copied());
        let log = curve.as_ref().and_then(Curve::median);
        let label_variance = curve.map_or(0.0, |curve| {
            // The middle half of a normal is 1.349 standard deviations wide; tails and liars do not count.
            let sigma = (curve.quantile(0.75) - curve.quantile(0.25)) / 1.349;
            if ends > 2 { sigma * sigma } else { 0.0 }
        });
        Self { log, ends, label_variance }
    }

    /// The variance of the median. One or two labels cannot show their spread; they are taken to differ by a factor of 1.6.
    fn variance(&self) -> f64 {
        let label_variance = if self.ends > 2 { self.label_variance.max(LABEL_VARIANCE_LEAST) } else { 0.22 };
        MEDIAN_COST * label_variance / f64::from(self.ends.max(1))
    }
}
