//! A whole fit: grow on the older outcomes, judge and calibrate on the newest, answer from all.
//!
//! The newest outcomes are held back while the tree is grown. On them the new model must not lose to the one in force, and
//! on them its 80 % interval is widened or narrowed until it holds 80 % (split-conformal). Then the questions stay, and the
//! leaves and ratios are filled again from every row: a forecast must not be a fifth of the window old.

use super::bins::Bins;
use super::leaves::{self, Figures};
use super::ratios::{self, Ratios};
use super::samples::Samples;
use super::{Label, Refused, Row, Window};
use crate::model::tree::{BadTree, Shape, Tree};
use crate::model::{Calibration, ClassFacts, Model, Parts};
use crate::prediction::MEDIAN;
use crate::units::{NetworkId, PerNetwork};

/// Labels of jobs that ran to their end that a first model needs: from there on it beats "spill when full" in the study.
pub const LABELS_LEAST: usize = 40;
/// The share of the window that is held back, and the most rows that are.
const HELD_BACK: f64 = 0.2;
const HELD_BACK_MOST: usize = 5_000;
/// Rounds in which the tree and the ratios are fitted to each other's result. A third changes nothing worth its time.
const ROUNDS: usize = 2;
/// Outcomes newer than the model in force that it takes to judge by those alone.
const NEWER_LEAST: usize = 10;
/// A new model may be this much worse in mean absolute log error, if not significantly so: fresh leaves are worth it.
const TOLERANCE: f64 = 0.01;
/// A new model that has seen less than this share of what the one in force has must be better, not just no worse: after a
/// restart a few labels must not push out what was learned from many, of classes that have not come again yet too.
const AS_MUCH: f64 = 0.5;
/// The correction of the interval is bounded: more than a factor of 20 is not a matter of calibration.
const WIDENED_MOST: f64 = 3.0;

/// Grows a new model from the window and lets it challenge the one in force on the newest outcomes.
pub fn refit(window: &Window, home: NetworkId, champion: Option<&Model>) -> Result<Model, Refused> {
    let rows = window.in_order();
    let ended = |row: &&(u64, &Row)| matches!(row.1.label, Label::Took(_));
    let have = rows.iter().filter(ended).count();
    if have < LABELS_LEAST {
        return Err(Refused::TooFew { have, need: LABELS_LEAST });
    }
    let held_back = ((rows.len() as f64 * HELD_BACK) as usize).min(HELD_BACK_MOST);
    let learned = rows.len() - held_back;
    let mut samples = Samples::new(rows.iter().map(|(_, row)| *row));
    let mut fit = Fit::grow(&mut samples, learned, home).map_err(Refused::NotATree)?;
    let judged = fit.model(&samples, window, home, 0, Calibration::default()).map_err(Refused::NotATree)?;
    let newest = &rows[learned..];
    let calibration = calibrate(&judged, newest);
    if let Some(champion) = champion {
        // It has seen some of the newest outcomes, and answers from them: so may the challenger.
        let known = champion.learned_until();
        // One from before a restart counts by another window.
        let known = if known > window.taken() { 0 } else { known };
        let seen = rows.partition_point(|(number, _)| *number <= known).max(learned);
        fit.refresh(&mut samples, seen, home);
        let challenger = fit.model(&samples, window, home, 0, Calibration::default()).map_err(Refused::NotATree)?;
        let newer = rows[seen..].iter().filter(ended).count();
        challenge(&challenger, champion, if newer >= NEWER_LEAST { &rows[seen..] } else { newest })?;
    }
    let all = samples.all.len();
    fit.refresh(&mut samples, all, home);
    let version = champion.map_or(1, |champion| champion.version() + 1);
    fit.model(&samples, window, home, version, calibration).map_err(Refused::NotATree)
}

/// A tree's questions, and everything that answers them.
struct Fit {
    shape: Shape,
    ratios: Ratios,
    codes: Vec<Option<f32>>,
    figures: Vec<Figures>,
}

impl Fit {
    /// Grows from the first `learned` samples.
    fn grow(samples: &mut Samples, learned: usize, home: NetworkId) -> Result<Self, BadTree> {
        let nothing = Ratios::none(samples.classes.len());
        let codes = samples.code_classes(0..learned, |sample| nothing.shift(sample));
        let by_class: Vec<f64> =
            samples.all[..learned].iter().map(|s| f64::from(codes[s.class].unwrap_or_default())).collect();
        let mut ratios = ratios::estimate(samples, learned, &by_class, home);
        let mut last = None;
        for _ in 0..ROUNDS {
            let codes = samples.code_classes(0..learned, |sample| ratios.shift(sample));
            let rows = samples.with_strangers(learned);
            let times = times(&rows, &ratios);
            let shape = super::grow::grow(&Bins::new(&rows), &times, learned)?;
            let leaf_of = leaves::assign(&shape, &rows);
            let figures = leaves::look(&shape, &rows, &times, &leaf_of);
            let expected: Vec<f64> =
                leaf_of[..learned].iter().map(|leaf| figures[*leaf as usize].median_log()).collect();
            ratios = ratios::estimate(samples, learned, &expected, home);
            last = Some((shape, codes, figures));
        }
        let (shape, codes, figures) = last.expect("there is at least one round");
        Ok(Self { shape, ratios, codes, figures })
    }

    /// Fills leaves, ratios and codes again, from the first `seen` samples.
    fn refresh(&mut self, samples: &mut Samples, seen: usize, home: NetworkId) {
        let newer = samples.code_classes(0..seen, |sample| self.ratios.shift(sample));
        for (code, newer) in self.codes.iter_mut().zip(newer) {
            *code = code.or(newer);
        }
        samples.write_codes(&self.codes);
        let rows = samples.with_strangers(seen);
        let leaf_of = leaves::assign(&self.shape, &rows);
        let expected: Vec<f64> = leaf_of[..seen].iter().map(|leaf| self.figures[*leaf as usize].median_log()).collect();
        self.ratios = ratios::estimate(samples, seen, &expected, home);
        self.figures = leaves::look(&self.shape, &rows, &times(&rows, &self.ratios), &leaf_of);
    }

    /// The model of it.
    fn model(
        &self,
        samples: &Samples,
        window: &Window,
        home: NetworkId,
        version: u64,
        calibration: Calibration,
    ) -> Result<Model, BadTree> {
        let leaves = self.figures.iter().map(|figures| figures.leaf(calibration.widened)).collect();
        let tree = Tree::new(self.shape.clone(), leaves)?;
        let classes = samples
            .classes
            .iter()
            .zip(&self.codes)
            .zip(&self.ratios.classes)
            .map(|((class, code), ratios)| ClassFacts {
                class: *class,
                code: code.unwrap_or(f32::NAN),
                ratios: *ratios,
            })
            .collect();
        let stranger: PerNetwork<_> = self.ratios.stranger;
        let (rows, learned_until) = (samples.all.len(), window.taken());
        Ok(Model::new(Parts { version, rows, learned_until, home, tree, classes, stranger, calibration }))
    }
}

/// Home-equivalent log times.
fn times(samples: &[super::samples::Sample], ratios: &Ratios) -> Vec<(f64, bool)> {
    samples.iter().map(|sample| (sample.log_s - ratios.shift(sample), sample.bound)).collect()
}

/// Absolute errors of log time of `model` on those of `rows` that ran to their end.
fn errors(model: &Model, rows: &[(u64, &Row)]) -> Vec<f64> {
    rows.iter()
        .filter_map(|(_, row)| match row.label {
            Label::Took(seconds) => {
                Some((seconds / model.predict(&row.job, row.network).quantiles_s[MEDIAN]).ln().abs())
            }
            Label::LongerThan(_) => None,
        })
        .collect()
}

/// Refuses the challenger if the champion is better on what both are `judged` by, by more than chance and the tolerance, or no
/// worse and much better founded.
fn challenge(challenger: &Model, champion: &Model, judged: &[(u64, &Row)]) -> Result<(), Refused> {
    let (new, old) = (errors(challenger, judged), errors(champion, judged));
    let n = new.len() as f64;
    if new.len() < 2 {
        return Ok(());
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (new_mean, old_mean) = (mean(&new), mean(&old));
    let worse = new_mean - old_mean;
    let variance = new.iter().zip(&old).map(|(a, b)| (a - b - worse).powi(2)).sum::<f64>() / (n - 1.0);
    let chance = TOLERANCE.max((variance / n).sqrt());
    if worse > chance {
        return Err(Refused::Worse { challenger: new_mean, champion: old_mean });
    }
    if (challenger.rows() as f64) < AS_MUCH * champion.rows() as f64 && worse > -chance {
        return Err(Refused::Thin { challenger: challenger.rows(), champion: champion.rows() });
    }
    Ok(())
}

/// By how much the 80 % interval has to be widened to hold 80 % of the newest outcomes.
fn calibrate(model: &Model, newest: &[(u64, &Row)]) -> Calibration {
    let mut beyond: Vec<f64> = newest
        .iter()
        .filter_map(|(_, row)| match row.label {
            Label::Took(seconds) => {
                let [low, .., high] = model.predict(&row.job, row.network).quantiles_s;
                Some((low / seconds).ln().max((seconds / high).ln()))
            }
            Label::LongerThan(_) => None,
        })
        .collect();
    if beyond.is_empty() {
        return Calibration::default();
    }
    beyond.sort_unstable_by(f64::total_cmp);
    let n = beyond.len();
    let rank = (((n + 1) as f64 * 0.8).ceil() as usize).clamp(1, n);
    let errors = errors(model, newest);
    Calibration {
        outcomes: n,
        log_error: errors.iter().sum::<f64>() / n as f64,
        covered_before: beyond.partition_point(|b| *b <= 0.0) as f64 / n as f64,
        widened: beyond[rank - 1].clamp(-WIDENED_MOST, WIDENED_MOST),
    }
}
