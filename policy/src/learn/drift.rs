//! A drift alarm: says that a network, or a class on it, has become slower or faster than the model knows.
//!
//! Refits follow a change only as fast as new labels outweigh the window's old ones, which may take thousands of jobs. Two
//! one-sided cumulative sums (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954; the test named after Page
//! and Hinkley is their two-sided form) of how far each outcome lies from what was predicted say within about a hundred
//! outcomes that a network takes twice or half as long. Each sum grows by what exceeds an allowance, and starts again at 0.
//!
//! Job times have heavy tails, and some labels lie, so an outcome counts by its normal score: where it fell among the
//! quantiles that were predicted for it, which for a model that is right is 0 in the middle and spreads by about 1,
//! whatever the job; and no outcome counts for more than a few of those. The allowance covers what a model is off by anyway.
//!
//! What an alarm is good for is [`follow`]: rows from before the change are moved by as much as the network was, so that all
//! that they say of sizes and classes stays, and the next refit starts from what is true now.
//!
//! Jobs that have grown heavier look like a network that has grown slower. If a network's rows were moved for that, it would
//! look slow, get no more jobs, and so nobody would ever learn better. So a network is said to have changed only as far as the same
//! classes have *not* changed on the others meanwhile, and only if that is more than chance; where that is not
//! known, nothing is moved, and the next refit and the corrections between fits say what they can.

use std::collections::BTreeMap;

use super::{Label, Row, Window};
use crate::model::Model;
use crate::prediction::{LEVELS, MEDIAN, Prediction};
use crate::units::{ClassId, NetworkId, PerNetwork};

/// The normal scores of the predicted quantiles.
const SCORES: [f64; LEVELS.len()] = [-1.2816, -0.6745, 0.0, 0.6745, 1.2816];
/// What is allowed for in each outcome, in scores…
const ALLOWED_SCORE: f64 = 0.3;
/// …and in log time: a quarter more or less is for the ordinary refit to find.
const ALLOWED_LOG: f64 = 0.25;
/// No outcome counts for more than this many scores, or than three times what is allowed for.
const SCORE_MOST: f64 = 3.0;
/// The sum that is an alarm. With a standard normal score that is a false one in more than a million outcomes (Siegmund's
/// approximation), with a model that is a little off one in tens of thousands (see the tests); a shift by the whole spread
/// of a prediction is found in some 30 outcomes.
const ALARM: f64 = 20.0;
/// A spread less than this is not believed.
const SPREAD_LEAST: f64 = 0.05;
/// The most classes, each on one network, that are watched by themselves.
const CELLS_MOST: usize = 2048;
/// Labels that a model must have of a class for what it is off by to be a change.
const KNOWN_LABELS: u32 = 20;
/// Classes that have to agree before a whole network is said to have changed, or all of them where there are fewer: jobs of one
/// class come in bursts and are off together, and a network's other rows must not be moved for that. On the workflow trace of
/// the regret bench one class moved them by up to 50 times, which cost a tenth.
const CLASSES_LEAST: usize = 3;
/// Rows on each side of the change, and on other networks, that it takes to say how large it was.
const ROWS_LEAST: usize = 5;
/// So many times as many rows are needed from before the change: in stretches as long as what came since, they show by how much
/// outcomes in a row differ by chance. Jobs come in bursts of one kind, and of a burst the short ones end first and the long
/// ones last: a hundred outcomes in a row say far less than a hundred of different hours.
const STRETCHES_LEAST: usize = 5;
/// Standard deviations of that below which a change is chance.
const SIGNIFICANT: f64 = 3.0;
/// The largest change that rows are moved by: a factor of 50.
const SHIFT_MOST: f64 = 3.9;

/// Watches outcomes for changes.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    networks: PerNetwork<Sums>,
    classes: BTreeMap<(ClassId, NetworkId), Sums>,
}

/// What was found to have changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Where.
    pub network: NetworkId,
    /// The class that has changed there; `None` if it is all of them together.
    pub class: Option<ClassId>,
    /// The number, counted by the window, of the first outcome of the change.
    pub since: u64,
    /// Whether jobs take longer there than they did.
    pub slower: bool,
}

/// What was done about a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Followed {
    /// The logarithm of how many times as long jobs take as before.
    pub log_shift: f64,
    /// Rows that were moved by it.
    pub rows: usize,
}

/// The two sums of one network, or of one class on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    slower: Sum,
    faster: Sum,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    value: f64,
    /// The outcome from which on it has not been 0.
    since: u64,
}

impl Watch {
    /// Takes in an outcome, the window's number for it, and the model in force; says if it is the one too many.
    pub fn observe(&mut self, model: &Model, row: &Row, number: u64) -> Option<Drift> {
        let Label::Took(seconds) = row.label else { return None };
        // What the model hardly knows it is off by, and that is no change: a burst of jobs of a new class is all off alike.
        if model.labels(row.job.class) < KNOWN_LABELS {
            return None;
        }
        let (score, allowed) = score(&model.predict(&row.job, row.network), seconds)?;
        let (class, network) = (row.job.class, row.network);
        let of_network = self.networks[network].add(score, allowed, number);
        let room = self.classes.len() < CELLS_MOST;
        let of_class = match self.classes.get_mut(&(class, network)) {
            Some(sums) => sums.add(score, allowed, number),
            None if room => self.classes.entry((class, network)).or_default().add(score, allowed, number),
            None => None,
        };
        // The narrower finding first: if one class has changed, the others must not be moved with it.
        let found = of_class.map(|found| (Some(class), found)).or(of_network.map(|found| (None, found)));
        let (class, (since, slower)) = found?;
        self.forget(network);
        Some(Drift { network, class, since, slower })
    }

    /// What was summed up of a network is over: the rows that it came from are about to be moved.
    fn forget(&mut self, network: NetworkId) {
        self.networks[network] = Sums::default();
        self.classes.retain(|(_, on), _| *on != network);
    }
}

impl Sums {
    /// Adds an outcome; if that is an alarm, since when, and whether it is for slowness.
    fn add(&mut self, score: f64, allowed: f64, number: u64) -> Option<(u64, bool)> {
        let slower = self.slower.add(score - allowed, number).map(|since| (since, true));
        let faster = self.faster.add(-score - allowed, number).map(|since| (since, false));
        slower.or(faster)
    }
}

impl Sum {
    fn add(&mut self, excess: f64, number: u64) -> Option<u64> {
        if self.value == 0.0 {
            self.since = number;
        }
        self.value = (self.value + excess).max(0.0);
        (self.value > ALARM).then_some(self.since)
    }
}

/// Where an outcome fell among the predicted quantiles, as a standard normal's value, bounded; and what is allowed for.
/// What is not known of the network's speed makes every outcome less of a surprise.
fn score(predicted: &Prediction, seconds: f64) -> Option<(f64, f64)> {
    let logs = predicted.quantiles_s.map(f64::ln);
    let off = seconds.ln() - logs[MEDIAN];
    let end = if off < 0.0 { 0 } else { LEVELS.len() - 1 };
    let inner = if off < 0.0 { 1 } else { LEVELS.len() - 2 };
    let spread = ((logs[end] - logs[MEDIAN]) / SCORES[end]).max(SPREAD_LEAST);
    let near = ((logs[inner] - logs[MEDIAN]) / SCORES[inner]).max(SPREAD_LEAST);
    // Between the median and the quartile the quartile's scale holds, beyond it the outer quantile's.
    let plain = if (off / near).abs() <= SCORES[inner].abs() { off / near } else { off / spread };
    let doubted = (1.0 + (predicted.doubt / spread).powi(2)).sqrt();
    let allowed = ALLOWED_SCORE.max(ALLOWED_LOG / (spread * doubted));
    let most = SCORE_MOST.max(3.0 * allowed);
    let score = (plain / doubted).clamp(-most, most);
    (score.is_finite() && allowed.is_finite()).then_some((score, allowed))
}

/// Moves the rows from before the change by as much as those since then differ from them more than the same classes' rows on
/// other networks do, by `model`; `None` if that is not known or may be chance. All are compared by their medians, so that
/// lying labels move little.
pub fn follow(window: &mut Window, model: &Model, drift: &Drift) -> Option<Followed> {
    let (mut here, mut elsewhere) = (Sides::default(), Sides::default());
    let mut of_class: BTreeMap<ClassId, Sides> = BTreeMap::new();
    for (number, row) in window.in_order() {
        let Label::Took(seconds) = row.label else { continue };
        if drift.class.is_some_and(|class| class != row.job.class) {
            continue;
        }
        let off = (seconds / model.predict(&row.job, row.network).quantiles_s[MEDIAN]).ln();
        let is_since = number >= drift.since;
        if row.network == drift.network {
            here.put(is_since, off);
            of_class.entry(row.job.class).or_default().put(is_since, off);
        } else {
            elsewhere.put(is_since, off);
        }
    }
    if drift.class.is_none() && !agree(&mut of_class, drift.slower) {
        return None;
    }
    // Where the jobs have only ever run on one network there is no choice that moving its rows could spoil.
    let elsewhere = if elsewhere.is_empty() { (0.0, 0.0) } else { elsewhere.moved()? };
    let here = here.moved()?;
    let (by, variance) = (here.0 - elsewhere.0, here.1 + elsewhere.1);
    let log_shift = by.clamp(-SHIFT_MOST, SHIFT_MOST);
    // Moved the other way than the alarm said, or by next to nothing: the sums were chance, or the jobs' doing.
    if log_shift.is_finite() && (log_shift > 0.0) == drift.slower && by.abs() > SIGNIFICANT * variance.sqrt() {
        let rows = window.scale(drift.network, drift.class, drift.since, log_shift.exp());
        return Some(Followed { log_shift, rows });
    }
    None
}

/// What outcomes were off by before a change, and since.
#[derive(Clone, Debug, Default)]
struct Sides {
    before: Vec<f64>,
    since: Vec<f64>,
}

impl Sides {
    fn put(&mut self, is_since: bool, off: f64) {
        if is_since { self.since.push(off) } else { self.before.push(off) }
    }

    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.since.is_empty()
    }

    /// By how much the median has moved, and the variance that this has by chance: what the medians of as many outcomes in a
    /// row differed by before. `None` with too few on either side to say.
    fn moved(&mut self) -> Option<(f64, f64)> {
        let n = self.since.len();
        if n < ROWS_LEAST || self.before.len() / n < STRETCHES_LEAST {
            return None;
        }
        let mut before = self.before.clone();
        let usual = median(&mut before);
        let stretches = self.before.chunks_exact_mut(n).map(|stretch| (median(stretch) - usual).powi(2));
        let many = stretches.len() as f64;
        let variance = stretches.sum::<f64>() / many + SPREAD_LEAST * SPREAD_LEAST / n as f64;
        Some((median(&mut self.since) - usual, variance))
    }
}

/// Whether enough classes have moved that way since, and most of those that have been seen since.
fn agree(of_class: &mut BTreeMap<ClassId, Sides>, slower: bool) -> bool {
    let known = of_class.values().filter(|sides| !sides.before.is_empty()).count();
    let both = of_class.values_mut().filter(|sides| !sides.before.is_empty() && !sides.since.is_empty());
    let (mut seen, mut moved) = (0, 0);
    for sides in both {
        seen += 1;
        moved += usize::from((median(&mut sides.since) > median(&mut sides.before)) == slower);
    }
    moved >= CLASSES_LEAST.min(known) && 2 * moved > seen
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests;
