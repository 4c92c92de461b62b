//! Runs the learner on a thread: labels in, models in force; and says, counts and keeps what comes of it.
//!
//! When to grow a model, and whether one may come in or has to go, is `policy::learn::Learner`'s word.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use policy::learn::drift::{Drift, Followed};
use policy::learn::{Judgement, Learner, Pace, Refused, Window};
use policy::{Model, NetworkId};

use super::names::Names;
use super::shelf::Shelf;
use super::{Labelled, School, Turn};
use crate::clock;
use crate::metrics::Refit;

/// Grows a model from the window and lets it challenge the one in force.
pub(super) type Grow = fn(&Window, NetworkId, Option<&Model>) -> Result<Model, Refused>;

/// The learner and what it takes to tell of it.
#[derive(Debug)]
pub(super) struct Trainer {
    learner: Learner,
    names: Arc<Names>,
    home: NetworkId,
    grow: Grow,
    shelf: Option<Shelf>,
    /// The version that was written when it was last told which are kept.
    told: Option<u64>,
}

fn pace(config: &config::value::Oracle) -> Pace {
    Pace {
        first_after: config.first_after,
        refit_after: config.refit_after,
        refit_every_s: config.refit_every.as_secs_f64(),
    }
}

impl Trainer {
    pub(super) fn new(config: &config::value::Oracle, home: NetworkId, names: Arc<Names>, grow: Grow) -> Self {
        Self { learner: Learner::new(pace(config), config.window), names, home, grow, shelf: None, told: None }
    }

    /// Keeps versions on `shelf`, and puts the newest that can be used in force.
    pub(super) fn begin_with(&mut self, mut shelf: Shelf, school: &School, now: Instant) {
        let (newest, next) = shelf.newest(&self.names, &school.metrics);
        self.learner.count_from(next);
        if let Some(model) = newest {
            shelf.has(model.version(), now);
            let model = Arc::new(model);
            school.put_in_force(Arc::clone(&model));
            school.trust(model.version());
            self.learner.adopt(model);
        }
        self.shelf = Some(shelf);
        self.tell_kept(school);
    }

    pub(super) fn learner(&self) -> &Learner {
        &self.learner
    }

    /// An earlier version, if it is kept.
    pub(super) fn kept(&self, version: u64) -> Option<Model> {
        self.shelf.as_ref()?.version(version, &self.names)
    }

    /// An earlier version is in force again; later ones do not come back with a restart.
    pub(super) fn put_back(&mut self, model: Arc<Model>, school: &School) {
        self.learner.roll_back(Arc::clone(&model));
        school.trust(model.version());
        if let Some(shelf) = &mut self.shelf {
            shelf.take_back_after(model.version());
            shelf.has(model.version(), Instant::now());
        }
        school.put_in_force(model);
        school.corrections.write(self.learner.residuals());
        self.tell_kept(school);
    }

    /// Says which versions can be gone back to.
    fn tell_kept(&mut self, school: &School) {
        if let Some(shelf) = &self.shelf {
            self.told = shelf.saved();
            school.kept.store(Arc::new(shelf.kept()));
        }
    }

    /// Goes by another configuration.
    fn turn(&mut self, turn: &Turn) {
        self.learner.turn(pace(&turn.config), turn.config.window);
        self.names = Arc::clone(&turn.names);
    }

    /// Takes in what waits, and grows a model if it is time.
    pub(super) fn step(&mut self, school: &School, now: Instant) {
        if let Some(turn) = school.turn.swap(None) {
            self.turn(&turn);
        }
        self.look_at_force(school);
        self.go_back(school);
        // No more than the queue can hold, so that a flood of labels cannot keep a refit away.
        for _ in 0..school.labels.capacity() {
            let Some(labelled) = school.labels.pop() else { break };
            self.take(*labelled, school);
        }
        let now_s = clock::now_s();
        if self.learner.is_due(now_s) {
            self.learner.attempting(now_s);
            self.attempt(school);
        }
        if let (Some(shelf), Some(model)) = (&mut self.shelf, self.learner.in_force()) {
            shelf.save_if_due(model, &self.names, &school.metrics, now);
            if shelf.saved() != self.told {
                self.tell_kept(school);
            }
        }
    }

    /// Keeps the model in force for the next start.
    pub(super) fn end(&mut self, school: &School, now: Instant) {
        if let (Some(shelf), Some(model)) = (&mut self.shelf, self.learner.in_force()) {
            shelf.save(model, &self.names, &school.metrics, now);
        }
    }

    /// Somebody else may have put a model in force.
    fn look_at_force(&mut self, school: &School) {
        let Some(found) = school.model.load_full() else { return };
        if self.learner.in_force().is_none_or(|known| !Arc::ptr_eq(&found, known)) {
            school.trust(found.version());
            self.learner.adopt(found);
            school.corrections.write(self.learner.residuals());
        }
    }

    fn take(&mut self, Labelled { row, foreseen }: Labelled, school: &School) {
        let taken = match self.learner.take_beside(row, foreseen.as_ref()) {
            Ok(taken) => taken,
            Err(why) => {
                school.metrics.label_rejected(why);
                tracing::debug!(error = %why, "a label was not learned from");
                return;
            }
        };
        school.metrics.labels_taken(1);
        school.corrections.write_class(self.learner.residuals(), row.job.class);
        if taken.bounded {
            school.metrics.label_bounded();
        }
        if let Some((drift, followed)) = taken.drift {
            self.tell_drift(&drift, followed, school);
        }
        match taken.trial {
            None => {}
            Some(Judgement::Trusted) => school.trust(self.learner.trusted().map_or(0, |model| model.version())),
            Some(Judgement::TakenBack { bad, back_to, errors: [error, error_before], outcomes }) => {
                let (version, trusted) = (bad.version(), back_to.version());
                tracing::warn!(
                    version,
                    back_to = trusted,
                    error,
                    error_before,
                    outcomes,
                    "the model in force predicts worse than the one before it and is taken back"
                );
                school.metrics.rolled_back();
                school.put_in_force(back_to);
                school.corrections.write(self.learner.residuals());
                school.trust(trusted);
                if let Some(shelf) = &mut self.shelf {
                    shelf.take_back_after(trusted);
                }
            }
        }
    }

    fn tell_drift(&self, drift: &Drift, followed: Option<Followed>, school: &School) {
        school.metrics.drifted(drift.network);
        let network = self.names.network(drift.network);
        let class = drift.class.map_or_else(|| "all".to_owned(), |class| self.names.class(class));
        let factor = followed.map(|followed| (followed.log_shift.exp() * 100.0).round() / 100.0);
        let rows = followed.map(|followed| followed.rows);
        tracing::warn!(network, class, slower = drift.slower, factor, rows, "a network has changed; refitting at once");
    }

    fn attempt(&mut self, school: &School) {
        let begun = Instant::now();
        let learner = &self.learner;
        // Growing borrows the learner and gives back a value: a panic in it leaves nothing half done.
        let grown = catch_unwind(AssertUnwindSafe(|| {
            learner.allow((self.grow)(learner.window(), self.home, learner.champion())?)
        }));
        let took_s = begun.elapsed().as_secs_f64();
        match grown {
            Ok(Ok(model)) => {
                let model = self.learner.put_in_force(model);
                tracing::info!(version = model.version(), rows = model.rows(), took_s, "a new model is in force");
                // Counted first: whoever sees the model in force sees the refit that put it there.
                school.metrics.refitted(Refit::Swapped, took_s);
                school.put_in_force(model);
                school.corrections.write(self.learner.residuals());
                school.trust(self.learner.trusted().map_or(0, |model| model.version()));
            }
            Ok(Err(refused)) => {
                tracing::info!(reason = %refused, took_s, "no new model");
                school.metrics.refitted(refusal(&refused), took_s);
            }
            Err(_) => {
                tracing::error!("growing a model panicked; the one in force stays; this is a bug, please report it");
                school.metrics.refitted(Refit::Panicked, took_s);
            }
        }
    }
}

fn refusal(refused: &Refused) -> Refit {
    match refused {
        Refused::TooFew { .. } => Refit::TooFew,
        Refused::Worse { .. } => Refit::Worse,
        Refused::Thin { .. } => Refit::Thin,
        Refused::TakenBack => Refit::TakenBack,
        Refused::NotATree(_) => Refit::Invalid,
    }
}
