//! From outcomes to a model.
//!
//! A [`Window`] keeps the newest labels of every class; [`refit`] grows a model from it and lets it challenge the one in
//! force. The same window gives the same model: nothing is drawn. What each part is for:
//!
//! - `window` bounds what is remembered, and refuses what cannot be;
//! - `samples` turns rows into numbers, once;
//! - `survival` makes curves of which some times are only known to be longer than something;
//! - `ratios` tells the networks apart, class by class;
//! - `bins` and `grow` ask the questions of the tree, by linfa-trees, a node at a time;
//! - `leaves` answers them;
//! - `fit` puts these together, holds the newest outcomes back, compares and calibrates;
//! - `bounds` says what one label may say at the most;
//! - `trial` goes on comparing when a model is in force, and `drift` says when what it learned is no longer so;
//! - `learner` keeps all of it between two labels.

mod bins;
pub mod bounds;
pub mod drift;
mod fit;
mod grow;
mod learner;
mod leaves;
mod ratios;
mod samples;
mod survival;
pub mod trial;
mod window;

use crate::job::Job;
use crate::model::tree::BadTree;
use crate::observation::{Observation, Phase};
use crate::units::NetworkId;

pub use fit::{LABELS_LEAST, refit};
pub use learner::{Judgement, Learner, Pace, Taken};
pub(crate) use ratios::doubt_before_labels;
pub use window::Window;

/// What became of one dispatch of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// It ran to its end, successfully, in this many seconds from its start (waiting and moving taken off).
    Took(f64),
    /// It was stopped at its planned window, so it takes longer than this.
    LongerThan(f64),
}

/// One labelled dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The job it was a dispatch of.
    pub job: Job,
    /// Which dispatches were of one and the same job: pairs teach ratios.
    pub pair: u64,
    /// Where it ran.
    pub network: NetworkId,
    /// How long it took.
    pub label: Label,
    /// CPU seconds, where known.
    pub cpu_s: Option<f64>,
    /// Memory, where known.
    pub memory_bytes: Option<f64>,
    /// Bytes of the answer.
    pub response_bytes: Option<f64>,
}

/// Why a row was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// A time that cannot be.
    #[error("the label is not a finite, positive number of seconds")]
    Label,
    /// A resource that cannot be.
    #[error("a resource of the label is not a finite number, or is negative or beyond every bound")]
    Resource,
}

impl BadRow {
    /// One word for it, as a metric label has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Label => "time",
            Self::Resource => "resource",
        }
    }
}

/// Why there is no new model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Too little to learn from.
    #[error("{have} labelled jobs are too few to grow a tree; {need} are needed")]
    TooFew {
        /// Labels there are.
        have: usize,
        /// Labels needed.
        need: usize,
    },
    /// The one in force predicts the newest outcomes better.
    #[error("the new model's error on the newest outcomes is {challenger:.3}, the one in force has {champion:.3}")]
    Worse {
        /// Mean absolute log error of the new one.
        challenger: f64,
        /// The same of the one in force.
        champion: f64,
    },
    /// It is no better than the one in force, and has seen much less.
    #[error(
        "the new model has seen {challenger} labels and is no better than the one in force, which has seen {champion}: it \
         comes in when it is better, or has seen half as many"
    )]
    Thin {
        /// Labels of the new one.
        challenger: usize,
        /// Labels of the one in force.
        champion: usize,
    },
    /// It says the same as one that was taken back.
    #[error("what was grown is what had been taken back, for it predicted worse than the model before it")]
    TakenBack,
    /// What was grown did not pass the tree's own check.
    #[error("what was grown is not a tree; this is a fault of adumbra, the model in force stays: please report it")]
    NotATree(#[source] BadTree),
}

#[cfg(test)]
mod tests;

/// The least share of its work that a stopped dispatch must have shown for its rate to be a label: before that, one step
/// more or less would change what it says by half.
const RATED_FROM: f64 = 0.1;

/// What a dispatch that was stopped at `now_s` teaches. One that showed its rate says how long it would have taken; one that
/// showed none says only that it takes longer, and only if it was stopped when it was planned to be: what was cancelled
/// because something looked slow or fast is not censored at random.
#[must_use]
pub fn stopped(observed: &Observation, at_planned_window: bool, arriving_s: f64, now_s: f64) -> Option<Label> {
    // What was read is not what was done: it may tell two runs of one job apart, but not how long one takes.
    if observed.progress.is_some_and(|progress| progress >= RATED_FROM) && !observed.is_inferred() {
        return observed.whole_s(arriving_s, 1.0, now_s).map(Label::Took);
    }
    let ran_s = observed.run_s(arriving_s, 1.0, now_s);
    (at_planned_window && observed.phase == Phase::Running && ran_s > 0.0).then_some(Label::LongerThan(ran_s))
}

#[cfg(test)]
mod stopped_tests {
    use super::*;
    use crate::progress::ProgressSource;

    fn check(progress: Option<f64>, at_planned_window: bool, expected: Option<Label>) {
        let observed = Observation { progress, ..Observation::started(10.0) };
        assert_eq!(stopped(&observed, at_planned_window, 1.0, 13.0), expected, "{progress:?} {at_planned_window}");
    }

    #[test]
    fn what_was_stopped_teaches_by_its_rate_or_only_at_its_planned_window() {
        check(Some(0.5), false, Some(Label::Took(4.0)));
        check(Some(0.5), true, Some(Label::Took(4.0)));
        check(Some(0.01), true, Some(Label::LongerThan(2.0)));
        check(None, true, Some(Label::LongerThan(2.0)));
        check(None, false, None);
        check(Some(0.01), false, None);
        let read = Observation { progress_source: Some(ProgressSource::Taken), ..Observation::started(10.0) };
        let read = Observation { progress: Some(0.5), ..read };
        assert_eq!(stopped(&read, false, 1.0, 13.0), None, "what it has read is no label");
        assert_eq!(stopped(&read, true, 1.0, 13.0), Some(Label::LongerThan(2.0)));
    }
}
