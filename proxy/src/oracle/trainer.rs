//! When a model is grown, and what becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use policy::learn::{Refused, Window};
use policy::{Model, NetworkId};

use super::School;
use crate::metrics::Refit;

/// Grows a model from the window and lets it challenge the one in force.
pub(super) type Grow = fn(&Window, NetworkId, Option<&Model>) -> Result<Model, Refused>;

/// The window of labels and the calendar of refits.
#[derive(Debug)]
pub(super) struct Trainer {
    config: config::value::Oracle,
    home: NetworkId,
    grow: Grow,
    window: Window,
    /// Labels taken in since the last attempt.
    fresh: usize,
    attempted: Option<Instant>,
}

impl Trainer {
    pub(super) fn new(config: config::value::Oracle, home: NetworkId, grow: Grow) -> Self {
        let window = Window::new(config.window);
        Self { config, home, grow, window, fresh: 0, attempted: None }
    }

    /// Takes in what waits, and grows a model if it is time.
    pub(super) fn step(&mut self, school: &School, now: Instant) {
        if let Some(config) = school.turn.swap(None) {
            self.window.hold(config.window);
            self.config = (*config).clone();
        }
        self.take_in(school);
        if is_due(&self.config, self.window.len(), self.fresh, self.attempted, now) {
            self.fresh = 0;
            self.attempted = Some(now);
            self.attempt(school);
        }
    }

    fn take_in(&mut self, school: &School) {
        // No more than the queue can hold, so that a flood of labels cannot keep a refit away.
        for _ in 0..school.labels.capacity() {
            let Some(row) = school.labels.pop() else { break };
            match self.window.push(*row) {
                Ok(()) => {
                    self.fresh += 1;
                    school.metrics.labels_taken(1);
                }
                Err(error) => {
                    school.metrics.label_rejected();
                    tracing::debug!(%error, "a label was not learned from");
                }
            }
        }
    }

    fn attempt(&self, school: &School) {
        let champion = school.model.load_full();
        let begun = Instant::now();
        // Growing borrows the window and gives back a value: a panic in it leaves nothing half done.
        let grown = catch_unwind(AssertUnwindSafe(|| (self.grow)(&self.window, self.home, champion.as_deref())));
        let took_s = begun.elapsed().as_secs_f64();
        match grown {
            Ok(Ok(model)) => {
                tracing::info!(version = model.version(), rows = model.rows(), took_s, "a new model is in force");
                // Counted first: whoever sees the model in force sees the refit that put it there.
                school.metrics.refitted(Refit::Swapped, took_s);
                school.put_in_force(model);
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
fn is_due(config: &config::value::Oracle, held: usize, fresh: usize, attempted: Option<Instant>, now: Instant) -> bool {
    match attempted {
        None => held > 0 && held >= config.first_after,
        Some(at) => fresh > 0 && fresh >= config.refit_after && now.duration_since(at) >= config.refit_every,
    }
}

fn refusal(refused: &Refused) -> Refit {
    if matches!(refused, Refused::TooFew { .. }) {
        Refit::TooFew
    } else if matches!(refused, Refused::Worse { .. }) {
        Refit::Worse
    } else {
        Refit::Invalid
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
        };
        let begun = Instant::now();
        let check = |held, fresh, after_s: Option<u64>, expected| {
            let attempted = after_s.map(|_| begun);
            let now = begun + Duration::from_secs(after_s.unwrap_or(0));
            assert_eq!(is_due(&config, held, fresh, attempted, now), expected, "{held} {fresh} {after_s:?}");
        };
        check(39, 39, None, false);
        check(40, 40, None, true);
        check(100, 19, Some(60), false);
        check(100, 20, Some(4), false);
        check(100, 20, Some(5), true);
    }
}
