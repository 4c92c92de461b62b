//! When a model is grown, and what becomes of it: in force, on trial, trusted, or taken back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use policy::learn::drift::{Watch, follow};
use policy::learn::trial::{OUTCOMES_LEAST, Trial, Verdict};
use policy::learn::{Refused, Row, Window, bounds};
use policy::{Model, NetworkId};

use super::School;
use super::names::Names;
use super::shelf::Shelf;
use crate::metrics::Refit;

/// Grows a model from the window and lets it challenge the one in force.
pub(super) type Grow = fn(&Window, NetworkId, Option<&Model>) -> Result<Model, Refused>;

/// How many models that were taken back are remembered, so that none of them comes in again.
const TAKEN_BACK: usize = 8;

/// The window of labels, the calendar of refits, and the models there were.
#[derive(Debug)]
pub(super) struct Trainer {
    config: config::value::Oracle,
    names: Names,
    home: NetworkId,
    grow: Grow,
    window: Window,
    /// Labels taken in since the last attempt.
    fresh: usize,
    attempted: Option<Instant>,
    /// Labels that the next attempt needs: more after a model was taken back.
    needed: usize,
    /// A network has changed: the next attempt does not wait.
    is_urgent: bool,
    watch: Watch,
    /// The model in force, as it was put there last.
    in_force: Option<Arc<Model>>,
    /// The last one that was found to be no worse than the one before.
    trusted: Option<Arc<Model>>,
    /// What is in force against the trusted one, if that is another, and the label it began after.
    trial: Option<(Trial, u64)>,
    taken_back: Vec<Arc<Model>>,
    /// The number of the next model.
    next: u64,
    shelf: Option<Shelf>,
}

impl Trainer {
    pub(super) fn new(config: config::value::Oracle, home: NetworkId, names: Names, grow: Grow) -> Self {
        let window = Window::new(config.window);
        Self {
            needed: config.refit_after,
            config,
            names,
            home,
            grow,
            window,
            fresh: 0,
            attempted: None,
            is_urgent: false,
            watch: Watch::default(),
            in_force: None,
            trusted: None,
            trial: None,
            taken_back: Vec::new(),
            next: 1,
            shelf: None,
        }
    }

    /// Keeps versions on `shelf`, and puts the newest that can be used in force.
    pub(super) fn begin_with(&mut self, mut shelf: Shelf, school: &School, now: Instant) {
        let (newest, next) = shelf.newest(&self.names, &school.metrics);
        self.next = next;
        if let Some(model) = newest {
            shelf.has(model.version(), now);
            let model = Arc::new(model);
            school.put_in_force(Arc::clone(&model));
            self.trust(model, school);
        }
        self.shelf = Some(shelf);
    }

    /// Takes in what waits, and grows a model if it is time.
    pub(super) fn step(&mut self, school: &School, now: Instant) {
        self.take_in(school);
        let calm = is_due(&self.config, self.needed, self.window.len(), self.fresh, self.attempted, now);
        if calm || (self.is_urgent && self.fresh > 0) {
            self.fresh = 0;
            self.attempted = Some(now);
            self.needed = self.config.refit_after;
            self.is_urgent = false;
            self.attempt(school);
        }
        if let (Some(shelf), Some(model)) = (&mut self.shelf, &self.in_force) {
            shelf.save_if_due(model, &self.names, &school.metrics, now);
        }
    }

    /// Keeps the model in force for the next start.
    pub(super) fn end(&mut self, school: &School, now: Instant) {
        if let (Some(shelf), Some(model)) = (&mut self.shelf, &self.in_force) {
            shelf.save(model, &self.names, &school.metrics, now);
        }
    }

    fn take_in(&mut self, school: &School) {
        self.look_at_force(school);
        // No more than the queue can hold, so that a flood of labels cannot keep a refit away.
        for _ in 0..school.labels.capacity() {
            let Some(row) = school.labels.pop() else { break };
            self.take(*row, school);
        }
    }

    fn take(&mut self, row: Row, school: &School) {
        let model = self.in_force.clone();
        let bounded = model.as_ref().and_then(|model| bounds::bounded(model, &row));
        let row = bounded.unwrap_or(row);
        if let Err(why) = self.window.push(row) {
            school.metrics.label_rejected(why);
            tracing::debug!(error = %why, "a label was not learned from");
            return;
        }
        self.fresh += 1;
        school.metrics.labels_taken(1);
        if bounded.is_some() {
            school.metrics.label_bounded();
        }
        let Some(model) = model else { return };
        self.look_for_drift(&model, &row, school);
        self.try_it(&model, &row, school);
    }

    /// Somebody else may have put a model in force, who knows why: it is trusted.
    fn look_at_force(&mut self, school: &School) {
        let found = school.model.load_full();
        let is_known = match (&found, &self.in_force) {
            (Some(found), Some(known)) => Arc::ptr_eq(found, known),
            (found, _) => found.is_none(),
        };
        if let Some(found) = found.filter(|_| !is_known) {
            self.next = self.next.max(found.version() + 1);
            self.trust(found, school);
        }
    }

    fn trust(&mut self, model: Arc<Model>, school: &School) {
        school.trust(model.version());
        self.in_force = Some(Arc::clone(&model));
        self.trusted = Some(model);
        self.trial = None;
    }

    fn look_for_drift(&mut self, model: &Model, row: &Row, school: &School) {
        let Some(drift) = self.watch.observe(model, row, self.window.taken()) else { return };
        school.metrics.drifted(drift.network);
        self.is_urgent = true;
        let network = self.names.network(drift.network);
        let class = drift.class.map_or_else(|| "all".to_owned(), |class| self.names.class(class));
        let followed = follow(&mut self.window, model, &drift);
        let factor = followed.map(|followed| (followed.log_shift.exp() * 100.0).round() / 100.0);
        let rows = followed.map(|followed| followed.rows);
        tracing::warn!(network, class, slower = drift.slower, factor, rows, "a network has changed; refitting at once");
    }

    /// Compares the model in force with the trusted one on an outcome that neither has learned from.
    fn try_it(&mut self, model: &Arc<Model>, row: &Row, school: &School) {
        let (Some((trial, began)), Some(trusted)) = (&mut self.trial, &self.trusted) else { return };
        let began = *began;
        match trial.observe(model, trusted, row) {
            Verdict::Open => {}
            Verdict::Trusted => self.trust(Arc::clone(model), school),
            Verdict::Worse { newer, older, outcomes } => {
                tracing::warn!(
                    version = model.version(),
                    back_to = trusted.version(),
                    error = newer,
                    error_before = older,
                    outcomes,
                    "the model in force predicts worse than the one before it and is taken back"
                );
                self.take_back(model, began, school);
            }
        }
    }

    fn take_back(&mut self, bad: &Arc<Model>, began: u64, school: &School) {
        let Some(trusted) = self.trusted.clone() else { return };
        school.metrics.rolled_back();
        if self.taken_back.len() >= TAKEN_BACK {
            self.taken_back.remove(0);
        }
        self.taken_back.push(Arc::clone(bad));
        // Its next challenger is judged on what the bad one failed on, and what comes after.
        let trusted = Arc::new(Model::clone(&trusted).seen_until(began));
        school.put_in_force(Arc::clone(&trusted));
        if let Some(shelf) = &mut self.shelf {
            shelf.take_back_after(trusted.version());
        }
        self.trust(trusted, school);
        self.fresh = 0;
        self.needed = self.config.refit_after.max(OUTCOMES_LEAST as usize);
    }

    fn attempt(&mut self, school: &School) {
        let begun = Instant::now();
        let champion = self.in_force.clone();
        // Growing borrows the window and gives back a value: a panic in it leaves nothing half done.
        let grown = catch_unwind(AssertUnwindSafe(|| (self.grow)(&self.window, self.home, champion.as_deref())));
        let took_s = begun.elapsed().as_secs_f64();
        match grown {
            Ok(Ok(model)) if self.taken_back.iter().any(|bad| bad.says_the_same_as(&model)) => {
                tracing::info!(took_s, "no new model: what was grown is what was taken back");
                school.metrics.refitted(Refit::SentBack, took_s);
            }
            Ok(Ok(model)) => {
                let model = Arc::new(model.renumbered(self.next));
                self.next += 1;
                tracing::info!(version = model.version(), rows = model.rows(), took_s, "a new model is in force");
                // Counted first: whoever sees the model in force sees the refit that put it there.
                school.metrics.refitted(Refit::Swapped, took_s);
                school.put_in_force(Arc::clone(&model));
                if self.trusted.is_none() {
                    self.trust(Arc::clone(&model), school);
                } else if self.trial.is_none() {
                    self.trial = Some((Trial::default(), self.window.taken()));
                }
                self.in_force = Some(model);
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

/// Whether it is time for an attempt. The first comes as soon as there is enough; each later one needs both something new
/// and some time.
fn is_due(
    config: &config::value::Oracle,
    needed: usize,
    held: usize,
    fresh: usize,
    attempted: Option<Instant>,
    now: Instant,
) -> bool {
    match attempted {
        None => held > 0 && held >= config.first_after,
        Some(at) => fresh > 0 && fresh >= needed && now.duration_since(at) >= config.refit_every,
    }
}

fn refusal(refused: &Refused) -> Refit {
    match refused {
        Refused::TooFew { .. } => Refit::TooFew,
        Refused::Worse { .. } => Refit::Worse,
        Refused::Thin { .. } => Refit::Thin,
        Refused::NotATree(_) => Refit::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_come_when_there_is_enough_and_then_with_news_and_time() {
        let config = config::value::Oracle {
            refit_every: Duration::from_secs(5),
            refit_after: 20,
            first_after: 40,
            window: 1000,
            directory: None,
            keep: 8,
        };
        let begun = Instant::now();
        let check = |needed, held, fresh, after_s: Option<u64>, expected| {
            let attempted = after_s.map(|_| begun);
            let now = begun + Duration::from_secs(after_s.unwrap_or(0));
            assert_eq!(is_due(&config, needed, held, fresh, attempted, now), expected, "{held} {fresh} {after_s:?}");
        };
        check(20, 39, 39, None, false);
        check(20, 40, 40, None, true);
        check(20, 100, 19, Some(60), false);
        check(20, 100, 20, Some(4), false);
        check(20, 100, 20, Some(5), true);
        check(50, 100, 49, Some(60), false);
        check(50, 100, 50, Some(60), true);
    }
}
