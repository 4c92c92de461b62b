//! A model in force is on trial: on each fresh outcome it is compared with the one before it.
//!
//! A challenger is judged on outcomes that were there when it was grown. If those were unlike what came after (somebody lied
//! for a while, or one odd hour filled the window), it passes and is worse all the same. Here both models predict each
//! outcome before either has learned from it. If the newer one is significantly worse, it has to go.
//!
//! Refits may come faster than a trial ends. The model to go back to is then the last one that was trusted, and the trial is
//! of whatever was in force at each outcome; a trial that began again with each model would never end. Only where the one in
//! force is behind does the next have a trial of its own, and must not have lost to the trusted one before.
//!
//! The differences are paired, so what makes a job hard to predict cancels out, and each error is bounded, so one lie does
//! not decide. The test is looked at a few times only, at a level that makes a false alarm rare over all of them.

use super::{Label, Row};
use crate::model::Model;
use crate::prediction::MEDIAN;

/// After how many outcomes the trial is looked at. It ends with the last.
const LOOKS: [u32; 5] = [50, 75, 100, 150, 200];
/// Outcomes that it takes for a verdict.
pub const OUTCOMES_LEAST: u32 = LOOKS[0];
/// How many standard errors worse is worse: one in two hundred by chance at each look.
const SIGNIFICANT: f64 = 2.6;
/// A mean absolute log error that is greater by less than this is no reason to go back.
const TOLERANCE: f64 = 0.02;
/// No error counts for more: a factor of 20.
const ERROR_MOST: f64 = 3.0;

/// The comparison so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trial {
    outcomes: u32,
    newer: f64,
    older: f64,
    /// Sum of squares of the differences.
    squares: f64,
}

/// What the comparison says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    /// The newer is not worse: it can be trusted, and be gone back to.
    Trusted,
    /// The newer is worse.
    Worse {
        /// Its mean absolute log error.
        newer: f64,
        /// That of the older.
        older: f64,
        /// On how many outcomes.
        outcomes: u32,
    },
}

impl Trial {
    /// Takes in an outcome that neither of the two has learned from.
    pub fn observe(&mut self, newer: &Model, older: &Model, row: &Row) -> Verdict {
        let (Some(new), Some(old)) = (error(newer, row), error(older, row)) else { return Verdict::Open };
        self.outcomes += 1;
        self.newer += new;
        self.older += old;
        self.squares += (new - old).powi(2);
        if LOOKS.contains(&self.outcomes) { self.look() } else { Verdict::Open }
    }

    /// Whether the newer is behind so far, by chance or not.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.newer - self.older > TOLERANCE * f64::from(self.outcomes)
    }

    fn look(&self) -> Verdict {
        let n = f64::from(self.outcomes);
        let (newer, older) = (self.newer / n, self.older / n);
        let worse = newer - older;
        let variance = (self.squares / n - worse * worse).max(0.0) * n / (n - 1.0);
        if worse > TOLERANCE && worse > SIGNIFICANT * (variance / n).sqrt() {
            return Verdict::Worse { newer, older, outcomes: self.outcomes };
        }
        let over = LOOKS.last().is_some_and(|last| self.outcomes >= *last);
        if worse <= 0.0 || over { Verdict::Trusted } else { Verdict::Open }
    }
}

/// The absolute error of the log time that was predicted, bounded; `None` for what did not run to its end.
fn error(model: &Model, row: &Row) -> Option<f64> {
    let Label::Took(seconds) = row.label else { return None };
    let error = (seconds / model.predict(&row.job, row.network).quantiles_s[MEDIAN]).ln().abs();
    error.is_finite().then(|| error.min(ERROR_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Window, refit};
    use crate::testing::{Dice, PRIVATE, took};

    /// A model of jobs that take `median_s` with a spread of `sigma`.
    fn model(median_s: f64, sigma: f64, seed: u64) -> Model {
        let mut dice = Dice::new(seed);
        let mut window = Window::new(10_000);
        for _ in 0..400 {
            window.push(took(0, PRIVATE, median_s * (sigma * dice.normal()).exp())).expect("a label that can be");
        }
        refit(&window, PRIVATE, None).expect("enough labels")
    }

    /// Runs trials of `newer` against `older` on jobs around one second until each ends, and counts those found worse.
    fn found_worse(newer: &Model, older: &Model, sigma: f64, trials: u64) -> u64 {
        let of = |seed| {
            let mut dice = Dice::new(seed);
            let mut trial = Trial::default();
            loop {
                let row = took(0, PRIVATE, (sigma * dice.normal()).exp());
                match trial.observe(newer, older, &row) {
                    Verdict::Open => assert!(trial.outcomes < 200, "it ends"),
                    Verdict::Trusted => return 0,
                    Verdict::Worse { newer, older, outcomes } => {
                        assert!(newer > older && outcomes >= OUTCOMES_LEAST);
                        return 1;
                    }
                }
            }
        };
        (1000..1000 + trials).map(of).sum()
    }

    #[test]
    fn a_worse_model_is_found_and_an_equal_or_better_one_is_left() {
        for sigma in [0.3, 1.0] {
            let (honest, same, off) = (model(1.0, sigma, 1), model(1.0, sigma, 2), model(3.0, sigma, 3));
            assert_eq!(found_worse(&off, &honest, sigma, 100), 100, "three times too long, sigma {sigma}");
            assert_eq!(found_worse(&honest, &off, sigma, 100), 0, "better, sigma {sigma}");
            let by_chance = found_worse(&same, &honest, sigma, 400);
            assert!(by_chance <= 8, "{by_chance} of 400 by chance, sigma {sigma}");
        }
    }

    #[test]
    fn what_was_stopped_or_is_no_number_is_not_counted() {
        let (a, b) = (model(1.0, 0.3, 1), model(1.0, 0.3, 2));
        let mut trial = Trial::default();
        for label in [Label::LongerThan(9.0), Label::Took(f64::NAN), Label::Took(0.0), Label::Took(f64::INFINITY)] {
            assert_eq!(trial.observe(&a, &b, &Row { label, ..took(0, PRIVATE, 1.0) }), Verdict::Open);
        }
        assert_eq!(trial, Trial::default());
    }
}
