//! Everything that learning keeps between two labels, in one value: the window, the models there are, and what is watched.
//!
//! Whoever runs it (the proxy's thread, a bench in virtual time) takes labels in, asks whether it is time to grow a model,
//! grows one, and puts what comes of it in force. Growing borrows the learner and gives a value back, so that it may take
//! long or even panic and nothing is half done.
//!
//! The models are three at the most: the one *in force*; the one last *trusted*, which is the same unless the one in force
//! is on trial; and those that were taken back, which are kept to know them again.

use std::sync::Arc;

use super::drift::{Drift, Followed, Watch, follow};
use super::trial::{OUTCOMES_LEAST, Trial, Verdict};
use super::{BadRow, Refused, Row, Window, bounds, refit};
use crate::model::Model;
use crate::prediction::Prediction;
use crate::residual::Residuals;
use crate::units::NetworkId;

/// How many models that were taken back are remembered, so that none of them comes in again.
const TAKEN_BACK: usize = 8;

/// When a model is grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Labels before the first.
    pub first_after: usize,
    /// New labels that each later one needs…
    pub refit_after: usize,
    /// …and seconds since the last attempt.
    pub refit_every_s: f64,
}

/// What learning keeps.
#[derive(Clone, Debug)]
pub struct Learner {
    pace: Pace,
    window: Window,
    /// Labels since the last attempt.
    fresh: usize,
    attempted_s: Option<f64>,
    /// Labels that the next attempt needs: more after a model was taken back.
    needed: usize,
    /// Something has changed: the next attempt does not wait.
    is_urgent: bool,
    watch: Watch,
    /// What the model in force is off by since it came there.
    residuals: Residuals,
    in_force: Option<Arc<Model>>,
    trusted: Option<Arc<Model>>,
    /// What is in force against the trusted one, if that is another, and the label it began after.
    trial: Option<(Trial, u64)>,
    taken_back: Vec<Arc<Model>>,
    next: u64,
}

/// What came of a label.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// It said too much, and was taken to say less.
    pub bounded: bool,
    /// Something was found to have changed, and what was done about it, if anything.
    pub drift: Option<(Drift, Option<Followed>)>,
    /// What the trial came to, if it is over.
    pub trial: Option<Judgement>,
}

/// What a trial came to.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// The model in force is trusted from now on.
    Trusted,
    /// It was worse and is no longer in force; what is now must be put there.
    TakenBack {
        /// The one that is worse.
        bad: Arc<Model>,
        /// The one that is in force again.
        back_to: Arc<Model>,
        /// Mean absolute log errors of the two.
        errors: [f64; 2],
        /// On how many outcomes.
        outcomes: u32,
    },
}

impl Learner {
    /// Nothing learned yet; a window of at most `capacity` rows.
    #[must_use]
    pub fn new(pace: Pace, capacity: usize) -> Self {
        Self {
            pace,
            window: Window::new(capacity),
            fresh: 0,
            attempted_s: None,
            needed: pace.refit_after,
            is_urgent: false,
            watch: Watch::default(),
            residuals: Residuals::default(),
            in_force: None,
            trusted: None,
            trial: None,
            taken_back: Vec::new(),
            next: 1,
        }
    }

    /// Goes at this pace from now on, with room for `capacity` rows. What was learned stays, as far as there is room for it.
    pub fn turn(&mut self, pace: Pace, capacity: usize) {
        // More was asked for after a model was taken back, and still is.
        self.needed = pace.refit_after + self.needed.saturating_sub(self.pace.refit_after);
        self.pace = pace;
        self.window.hold(capacity);
    }

    /// The next model gets this number, if it is not beyond it already.
    pub fn count_from(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Puts a model in force that was not grown here: it is trusted, for whoever put it there knows why.
    pub fn adopt(&mut self, model: Arc<Model>) {
        self.count_from(model.version() + 1);
        self.residuals = self.residuals.taken_over(&model, &self.window);
        self.in_force = Some(Arc::clone(&model));
        self.trusted = Some(model);
        self.trial = None;
    }

    /// Puts an earlier model in force again because somebody says so: what is in force now, and what says the same, does not
    /// come in again, and the next one is not grown before there is something new to grow it from.
    pub fn roll_back(&mut self, to: Arc<Model>) {
        if let Some(bad) = self.in_force.take() {
            self.remember(bad);
        }
        self.adopt(to);
        self.fresh = 0;
        self.needed = self.pace.refit_after.max(OUTCOMES_LEAST as usize);
    }

    /// The model in force.
    #[must_use]
    pub fn in_force(&self) -> Option<&Arc<Model>> {
        self.in_force.as_ref()
    }

    /// The last model that was found to be no worse than the one before it.
    #[must_use]
    pub fn trusted(&self) -> Option<&Arc<Model>> {
        self.trusted.as_ref()
    }

    /// The labels that are held.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// What the model in force is off by since it came there.
    #[must_use]
    pub fn residuals(&self) -> &Residuals {
        &self.residuals
    }

    /// Takes a label in, or says why not.
    pub fn take(&mut self, row: Row) -> Result<Taken, BadRow> {
        self.take_beside(row, None)
    }

    /// As [`Learner::take`], with what was foreseen of it when its job came: intervals are kept at their word by that.
    pub fn take_beside(&mut self, row: Row, foreseen: Option<&Prediction>) -> Result<Taken, BadRow> {
        let model = self.in_force.clone();
        let bounded = model.as_ref().and_then(|model| bounds::bounded(model, &row));
        let row = bounded.unwrap_or(row);
        self.window.push(row)?;
        self.fresh += 1;
        let mut taken = Taken { bounded: bounded.is_some(), ..Taken::default() };
        if let Some(model) = model {
            self.residuals.observe(&model, &row, foreseen);
            if let Some(drift) = self.watch.observe(&model, &row, self.window.taken()) {
                self.is_urgent = true;
                taken.drift = Some((drift, follow(&mut self.window, &model, &drift)));
            }
            taken.trial = self.compare(&model, &row);
        }
        Ok(taken)
    }

    /// Compares the model in force with the trusted one on an outcome that neither has learned from.
    fn compare(&mut self, model: &Arc<Model>, row: &Row) -> Option<Judgement> {
        let (trial, began) = self.trial.as_mut()?;
        let began = *began;
        match trial.observe(model, self.trusted.as_ref()?, row) {
            Verdict::Open => None,
            Verdict::Trusted => {
                self.trusted = Some(Arc::clone(model));
                self.trial = None;
                Some(Judgement::Trusted)
            }
            Verdict::Worse { newer, older, outcomes } => {
                let back_to = self.take_back(model, began)?;
                Some(Judgement::TakenBack { bad: Arc::clone(model), back_to, errors: [newer, older], outcomes })
            }
        }
    }

    fn remember(&mut self, bad: Arc<Model>) {
        if self.taken_back.len() >= TAKEN_BACK {
            self.taken_back.remove(0);
        }
        self.taken_back.push(bad);
    }

    fn take_back(&mut self, bad: &Arc<Model>, began: u64) -> Option<Arc<Model>> {
        self.remember(Arc::clone(bad));
        // Its next challenger is judged on what the bad one failed on, and what comes after.
        let back_to = Arc::new(Model::clone(self.trusted.as_ref()?).seen_until(began));
        self.residuals = self.residuals.taken_over(&back_to, &self.window);
        self.in_force = Some(Arc::clone(&back_to));
        self.trusted = Some(Arc::clone(&back_to));
        self.trial = None;
        self.fresh = 0;
        self.needed = self.pace.refit_after.max(OUTCOMES_LEAST as usize);
        Some(back_to)
    }

    /// Whether it is time to grow a model. The first comes as soon as there is enough; each later one needs something new
    /// and some time, unless something has changed.
    #[must_use]
    pub fn is_due(&self, now_s: f64) -> bool {
        let calm = match self.attempted_s {
            None => true,
            Some(at_s) => self.fresh >= self.needed && now_s - at_s >= self.pace.refit_every_s,
        };
        self.fresh > 0 && self.window.len() >= self.pace.first_after && (calm || self.is_urgent)
    }

    /// An attempt begins: what is new from now on counts for the next.
    pub fn attempting(&mut self, now_s: f64) {
        self.fresh = 0;
        self.attempted_s = Some(now_s);
        self.needed = self.pace.refit_after;
        self.is_urgent = false;
    }

    /// The model that the next one must not lose to: the one in force, or, where that is behind, the trusted one.
    #[must_use]
    pub fn champion(&self) -> Option<&Model> {
        if self.is_behind() { self.trusted.as_deref() } else { self.in_force.as_deref() }
    }

    fn is_behind(&self) -> bool {
        self.trial.as_ref().is_some_and(|(trial, _)| trial.is_behind())
    }

    /// Grows a model and lets it challenge the champion.
    pub fn grow(&self, home: NetworkId) -> Result<Model, Refused> {
        self.allow(refit(&self.window, home, self.champion())?)
    }

    /// A model that was grown, unless it is one that was taken back.
    pub fn allow(&self, model: Model) -> Result<Model, Refused> {
        let is_bad = self.taken_back.iter().any(|bad| bad.says_the_same_as(&model));
        if is_bad { Err(Refused::TakenBack) } else { Ok(model) }
    }

    /// Puts a model in force that was grown: on trial, unless there is none to compare it with.
    pub fn put_in_force(&mut self, model: Model) -> Arc<Model> {
        let model = Arc::new(model.renumbered(self.next));
        self.next += 1;
        self.residuals = self.residuals.taken_over(&model, &self.window);
        self.in_force = Some(Arc::clone(&model));
        if self.trusted.is_none() {
            self.trusted = Some(Arc::clone(&model));
        } else if self.trial.is_none() || self.is_behind() {
            self.trial = Some((Trial::default(), self.window.taken()));
        }
        model
    }
}

#[cfg(test)]
mod tests;
