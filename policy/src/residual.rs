//! What the model is off by just now, class by class and network by network: a correction between two fits.
//!
//! A model is as old as its last fit, and a class of few labels shares its leaves with others. So the error that the newest
//! outcomes show is carried on: in log time, as a mean that forgets. Every label's pull is bounded by a multiple of the
//! spread that was predicted (Huber's, 1964), so that a third of lies moves a class by less than its own spread, and the sum
//! is bounded too.
//!
//! What a class is off by is taken to be the *jobs'* doing first, and moves all networks alike. Only what is left when the
//! class is seen on several networks moves one of them: or a class that has grown heavier would look slow just where it
//! happens to run, and be sent away for it.
//!
//! The interval is kept at its word by the same means: wider by a step after a miss, narrower by a quarter of it after a hit,
//! so that in the long run one in five is missed whatever drifts (Gibbs and Candès, *Adaptive conformal inference under
//! distribution shift*, 2021; in the space of quantiles as Angelopoulos, Candès and Tibshirani, 2023).
//!
//! When a model is put in force the corrections begin anew, from the rows it was grown from.

use std::collections::BTreeMap;

use crate::learn::{Label, Row, Window};
use crate::model::Model;
use crate::prediction::Prediction;
use crate::units::{ClassId, NetworkId, PerNetwork};

/// What a prediction of one class on one network is corrected by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Correction {
    /// Added to the logarithm of every time.
    pub shift: f64,
    /// By how much the 80 % interval is widened at each end, in log time; negative if it is narrowed.
    pub widened: f64,
}

/// The corrections of a model in force.
#[derive(Clone, Debug, Default)]
pub struct Residuals {
    classes: BTreeMap<ClassId, Class>,
    /// By how much the interval of each network is widened.
    widened: PerNetwork<f64>,
}

/// What one class is off by.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    everywhere: Mean,
    on: PerNetwork<Mean>,
}

/// A mean that is drawn towards nothing and forgets.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    log: f64,
    labels: f64,
}

/// Labels after which the older ones fade.
const MEMORY: f64 = 60.0;
/// Labels' worth of belief that a class is as the model says, where the model knows it well, and where it does not know it.
const KNOWN_PRIOR: f64 = 20.0;
const STRANGER_PRIOR: f64 = 0.3;
/// Labels of a class that make the model know it half well.
const KNOWN_FROM: f64 = 20.0;
/// Labels' worth of belief that what moves a class moves it on all networks alike.
const NETWORK_PRIOR: f64 = 15.0;
/// Labels of a class on other networks before it is believed to differ on one.
const ELSEWHERE_LEAST: f64 = 10.0;
/// The pull of one label: so many times the spread predicted, which is taken to be at least this.
const PULL_MOST: f64 = 0.5;
const SPREAD_LEAST: f64 = 0.2;
/// The most that a time is corrected by: a factor of twenty.
const SHIFT_MOST: f64 = 3.0;
/// A miss widens the interval by four fifths of this, in log time, a hit narrows it by the last fifth; the bound is the fit's.
const STEP: f64 = 0.005;
const WIDENED_MOST: f64 = 3.0;
/// The share of outcomes that may lie outside.
const MISSED: f64 = 0.2;
/// Rows of each class that a new model's corrections begin with.
const REPLAYED_MOST: usize = 64;

impl Residuals {
    /// The corrections of a model that was grown from `window`.
    #[must_use]
    pub fn new(model: &Model, window: &Window) -> Self {
        let mut residuals = Self::default();
        for row in window.newest_of_each(REPLAYED_MOST) {
            residuals.shift(model, row);
        }
        residuals
    }

    /// Those of a model that takes over: the interval's widening is kept.
    #[must_use]
    pub fn taken_over(&self, model: &Model, window: &Window) -> Self {
        Self { widened: self.widened, ..Self::new(model, window) }
    }

    /// Takes an outcome in, and what was `foreseen` of it when its job came, if that is known.
    pub fn observe(&mut self, model: &Model, row: &Row, foreseen: Option<&Prediction>) {
        self.shift(model, row);
        let (Label::Took(took_s), Some(foreseen)) = (row.label, foreseen) else { return };
        let [low, .., high] = foreseen.quantiles_s;
        let missed = f64::from(u8::from(!(low..=high).contains(&took_s)));
        let widened = &mut self.widened[row.network];
        *widened = (*widened + STEP * (missed - MISSED)).clamp(-WIDENED_MOST, WIDENED_MOST);
    }

    /// The correction for a class on a network.
    #[must_use]
    pub fn correction(&self, class: ClassId, network: NetworkId) -> Correction {
        let shift = self.classes.get(&class).map_or(0.0, |class| class.shift(network));
        Correction { shift, widened: self.widened[network] }
    }

    fn shift(&mut self, model: &Model, row: &Row) {
        let mut predicted = model.predict(&row.job, row.network);
        // By the model's own spread: what lies widen must not make lies stronger.
        let most = PULL_MOST * predicted.spread().max(SPREAD_LEAST);
        self.correction(row.job.class, row.network).correct(&mut predicted);
        let error = pull(&predicted, row.label, most);
        let known = f64::from(model.labels(row.job.class));
        if error.is_finite() {
            let prior = STRANGER_PRIOR + KNOWN_PRIOR * known / (known + KNOWN_FROM);
            self.classes.entry(row.job.class).or_default().observe(row.network, error, prior);
        }
    }
}

/// How far a label pulls a prediction, in log time. One that was stopped before its median was not short, and most would have
/// been long: it pulls up by as much as those of its kind that ended before pull down, so that all of them together pull
/// nowhere where the prediction is right.
fn pull(predicted: &Prediction, label: Label, most: f64) -> f64 {
    let error = |seconds: f64| (seconds / predicted.median_s()).ln().clamp(-most, most);
    match label {
        Label::Took(took_s) => error(took_s),
        Label::LongerThan(ran_s) if ran_s >= predicted.median_s() => most,
        Label::LongerThan(ran_s) => {
            let ended = predicted.share_within(ran_s);
            most * ended / (1.0 - ended)
        }
    }
}

impl Class {
    fn shift(&self, network: NetworkId) -> f64 {
        (self.everywhere.log + self.on[network].log).clamp(-SHIFT_MOST, SHIFT_MOST)
    }

    fn observe(&mut self, network: NetworkId, error: f64, prior: f64) {
        let elsewhere = self.on.0.iter().map(|mean| mean.labels).sum::<f64>() - self.on[network].labels;
        self.everywhere.observe(error, prior);
        let differs = if elsewhere >= ELSEWHERE_LEAST { error } else { 0.0 };
        self.on[network].observe(differs, NETWORK_PRIOR);
    }
}

impl Mean {
    fn observe(&mut self, error: f64, prior: f64) {
        self.labels = (self.labels + 1.0).min(MEMORY);
        self.log = (self.log + error / (self.labels + prior)).clamp(-SHIFT_MOST, SHIFT_MOST);
    }
}

impl Correction {
    /// Corrects a prediction. What is not a correction that can be changes nothing.
    pub fn correct(&self, predicted: &mut Prediction) {
        let possible = self.shift.abs() <= SHIFT_MOST && self.widened.abs() <= WIDENED_MOST;
        if !possible || *self == Self::default() {
            return;
        }
        let factor = self.shift.exp();
        predicted.mean_s *= factor;
        predicted.quantiles_s.iter_mut().for_each(|quantile_s| *quantile_s *= factor);
        predicted.widen(self.widened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Dice, PRIVATE, PUBLIC, model, took};

    const CLASSES: [(f64, f64); 2] = [(4.0, 8.0), (40.0, 20.0)];

    fn predicted(residuals: &Residuals, model: &Model, class: u16, network: NetworkId) -> Prediction {
        let mut predicted = model.predict(&took(class, network, 1.0).job, network);
        residuals.correction(ClassId(class), network).correct(&mut predicted);
        predicted
    }

    /// Shows `n` outcomes of `class` on `network` that take `seconds`, give or take, or what `label` makes of that.
    fn show(
        to: &mut Residuals,
        model: &Model,
        n: usize,
        of: (u16, NetworkId, f64),
        label: impl Fn(usize, f64) -> Label,
    ) {
        let mut dice = Dice::new(5);
        let (class, network, seconds) = of;
        for i in 0..n {
            let row = took(class, network, seconds * (0.3 * dice.normal()).exp());
            let Label::Took(took_s) = row.label else { continue };
            let foreseen = predicted(to, model, class, network);
            to.observe(model, &Row { label: label(i, took_s), ..row }, Some(&foreseen));
        }
    }

    const AS_IT_TOOK: fn(usize, f64) -> Label = |_, took_s| Label::Took(took_s);

    fn close(got: f64, expected: f64, factor: f64) {
        assert!((got / expected).ln().abs() < factor.ln(), "{got}, not about {expected}");
    }

    #[test]
    fn a_class_that_has_become_slower_is_followed_on_all_networks_and_others_stay() {
        let model = model(&CLASSES, 0.3, 0.1);
        let mut residuals = Residuals::default();
        show(&mut residuals, &model, 300, (0, PRIVATE, 6.0), AS_IT_TOOK);
        close(predicted(&residuals, &model, 0, PRIVATE).median_s(), 6.0, 1.1);
        close(predicted(&residuals, &model, 0, PUBLIC).median_s(), 12.0, 1.1);
        close(predicted(&residuals, &model, 1, PRIVATE).median_s(), 40.0, 1.1);
    }

    #[test]
    fn a_network_that_has_become_slower_is_told_from_its_jobs_when_they_run_on_another_too() {
        let model = model(&CLASSES, 0.3, 0.1);
        let mut residuals = Residuals::default();
        for _ in 0..200 {
            show(&mut residuals, &model, 1, (0, PRIVATE, 4.0), AS_IT_TOOK);
            show(&mut residuals, &model, 1, (0, PUBLIC, 24.0), AS_IT_TOOK);
        }
        let [home, other] = [PRIVATE, PUBLIC].map(|network| predicted(&residuals, &model, 0, network).median_s());
        assert!(other / home > 4.0, "{other} and {home}: the model says twice, the jobs six times");
    }

    #[test]
    fn a_third_of_lies_moves_a_class_by_less_than_its_spread() {
        let model = model(&CLASSES, 0.3, 0.1);
        for lie_s in [1e-9, 1e9] {
            let mut residuals = Residuals::default();
            let lies = |i: usize, took_s| Label::Took(if i.is_multiple_of(3) { lie_s } else { took_s });
            show(&mut residuals, &model, 3000, (0, PRIVATE, 4.0), lies);
            close(predicted(&residuals, &model, 0, PRIVATE).median_s(), 4.0, 0.3_f64.exp());
        }
    }

    #[test]
    fn nothing_but_lies_moves_a_class_up_to_the_bound_and_no_further() {
        let model = model(&CLASSES, 0.3, 0.1);
        let mut residuals = Residuals::default();
        show(&mut residuals, &model, 100_000, (0, PRIVATE, 4.0), |_, _| Label::Took(1e9));
        let seen = predicted(&residuals, &model, 0, PRIVATE);
        assert!(
            seen.median_s() <= 4.5 * SHIFT_MOST.exp() && seen.quantiles_s.iter().all(|q| q.is_finite()),
            "{seen:?}"
        );
    }

    #[test]
    fn stopped_outcomes_do_not_make_a_class_look_short() {
        let model = model(&CLASSES, 0.3, 0.1);
        let mut residuals = Residuals::default();
        let stopped = |_, took_s: f64| if took_s > 3.5 { Label::LongerThan(3.5) } else { Label::Took(took_s) };
        show(&mut residuals, &model, 600, (0, PRIVATE, 4.0), stopped);
        close(predicted(&residuals, &model, 0, PRIVATE).median_s(), 4.0, 1.15);
    }

    #[test]
    fn the_interval_keeps_its_word_when_the_spread_changes() {
        let model = model(&CLASSES, 0.2, 0.1);
        let mut residuals = Residuals::default();
        let mut dice = Dice::new(9);
        let mut within = 0;
        for i in 0..6000 {
            let row = took(0, PRIVATE, 4.0 * (0.9 * dice.normal()).exp());
            let foreseen = predicted(&residuals, &model, 0, PRIVATE);
            let Label::Took(took_s) = row.label else { continue };
            let [low, .., high] = foreseen.quantiles_s;
            within += usize::from(i >= 3000 && (low..=high).contains(&took_s));
            residuals.observe(&model, &row, Some(&foreseen));
        }
        assert!((2340..=2460).contains(&within), "{within} of 3000 within the 80 % interval");
    }

    #[test]
    fn a_stranger_comes_closer_with_each_outcome_and_a_model_that_takes_over_begins_with_them() {
        let model = model(&CLASSES, 0.3, 0.1);
        let mut residuals = Residuals::default();
        let before = predicted(&residuals, &model, 7, PRIVATE).median_s();
        show(&mut residuals, &model, 8, (7, PRIVATE, 0.4), AS_IT_TOOK);
        let after = predicted(&residuals, &model, 7, PRIVATE).median_s();
        assert!((after / 0.4).ln().abs() < 0.6 * (before / 0.4).ln().abs(), "{before}, and then {after}");
        let mut window = Window::new(100);
        for i in 0..20 {
            window.push(took(7, PRIVATE, 0.4 + 0.01 * f64::from(i))).expect("a label that can be");
        }
        let anew = residuals.taken_over(&model, &window);
        assert!(anew.correction(ClassId(7), PRIVATE).shift < -0.5);
        assert_eq!(anew.correction(ClassId(0), PRIVATE).shift, 0.0);
    }

    #[test]
    fn what_is_no_correction_changes_nothing() {
        let prediction = Prediction::exactly(3.0);
        for (shift, widened) in [(f64::NAN, 0.0), (0.0, f64::INFINITY), (1e9, 0.0), (0.0, 0.0)] {
            let mut corrected = prediction;
            Correction { shift, widened }.correct(&mut corrected);
            assert_eq!(corrected, prediction);
        }
    }
}
