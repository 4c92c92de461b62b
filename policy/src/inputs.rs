//! What jobs need, learned from what earlier jobs have fetched.
//!
//! Three habits are kept, for a job may show any of them. Jobs of a *class* fetch the same thing (an index, a model); jobs
//! of one *key*, the same request made again, fetch the same things; and jobs of a class fetch things *named after* what
//! their request says, `…/scenes/7.bin` for `?scene=7`, which needs no second job of that key: see `pattern`.
//!
//! Of each the confidence is the share of the jobs that fetched it, with some jobs that did not added at the start, so that
//! one job alone proves nothing. It decays twice: each job that does without takes its part, and old jobs count half after
//! `HALF_LIFE_S`. Whose a fetch was is not always known. Then each job that ran is believed to have made it as far as
//! its habits say so ([`Inputs::shares`]), and what is learned counts by that share: doubt about one job makes the next one
//! less doubtful, as in expectation maximisation (Dempster, Laird and Rubin, 1977).
//!
//! Bounded: so many habits for each class and key, so many classes and keys. What was used longest ago goes.

pub mod gain;
mod habits;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::units::ClassId;
use habits::Habits;
use pattern::Pattern;

/// Inputs of one job that are learned from, and expected, at the most.
pub const INPUTS_MOST: usize = 16;
/// The longest name of an input that is learned, bytes.
pub const NAME_MOST: usize = 2048;
/// Classes and keys that are told apart.
const SCOPES_MOST: usize = 2048;
/// How many go at once when there is no more room: looking for what is oldest takes a while.
const MAKE_ROOM: usize = SCOPES_MOST / 16;
/// The age at which a job counts half.
const HALF_LIFE_S: f64 = 24.0 * 3600.0;
/// Jobs that fetched nothing, which every class is taken to have had at first…
const CLASS_DOUBT: f64 = 1.5;
/// …and every key: the same request seldom means something else.
const KEY_DOUBT: f64 = 0.5;
/// From this confidence on an input is worth fetching ahead: what is fetched for nothing costs the link as much as what is
/// not there costs the job, so somewhat more than half.
const WORTH_FETCHING: f64 = 0.6;
/// A job is never quite out of the question when nobody knows whose a fetch was.
const SHARE_LEAST: f64 = 0.02;

/// Something of a request that the names of its inputs may be made from: where it stands, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Where: `query:scene`, `segment:2`. No two of one request stand in the same place.
    pub place: Box<str>,
    /// What.
    pub value: Box<str>,
}

/// What tells jobs apart when their inputs are learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The job's class.
    pub class: ClassId,
    /// A digest of all that may say which inputs it reads: the same request has the same one. `None` if not all of that was
    /// looked at.
    pub key: Option<u64>,
    /// What its inputs may be named after.
    pub features: Vec<Feature>,
}

/// An input that a job has fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Its name.
    pub name: Box<str>,
    /// Its length, where it is known.
    pub bytes: Option<u64>,
    /// How sure it is that it was this job that fetched it, 0..=1.
    pub share: f64,
}

/// An input that a job is expected to fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its name.
    pub name: Box<str>,
    /// Its length, where it was seen.
    pub bytes: Option<u64>,
    /// How sure that is, 0..=1.
    pub confidence: f64,
}

/// What a habit belongs to: a class, or within it one key.
type Scope = (ClassId, Option<u64>);

/// What was learned of all classes.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    scopes: BTreeMap<Scope, Habits>,
}

impl Inputs {
    /// A job of this kind has ended, having fetched these, at `now_s`. Names beyond the bounds are left out.
    pub fn learn(&mut self, kind: &Kind, fetched: &[Fetched], now_s: f64) {
        let mut of_class: Vec<(Pattern, Option<u64>, f64)> = Vec::new();
        let mut of_key = Vec::new();
        for Fetched { name, bytes, share } in fetched.iter().filter(|one| one.name.len() <= NAME_MOST).take(INPUTS_MOST)
        {
            let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
            let literal = Pattern::literal(name);
            // A pattern stands for many things of many lengths.
            of_class.extend(Pattern::after(name, &kind.features).map(|pattern| (pattern, None, share)));
            of_class.push((literal.clone(), *bytes, share));
            of_key.push((literal, *bytes, share));
        }
        self.scope((kind.class, None), now_s).job(&of_class, now_s);
        if kind.key.is_some() {
            self.scope((kind.class, kind.key), now_s).job(&of_key, now_s);
        }
    }

    /// What a job of this kind is expected to fetch and what is worth fetching ahead, the surest first.
    #[must_use]
    pub fn expected(&self, kind: &Kind, now_s: f64) -> Vec<Expected> {
        let mut expected: Vec<Expected> = Vec::new();
        for (pattern, bytes, confidence) in self.habits_of(kind, now_s).filter(|one| one.2 >= WORTH_FETCHING) {
            let Some(name) = pattern.name(&kind.features) else { continue };
            match expected.iter_mut().find(|one| one.name == name) {
                Some(known) => {
                    known.confidence = known.confidence.max(confidence);
                    known.bytes = known.bytes.or(bytes);
                }
                None => expected.push(Expected { name, bytes, confidence }),
            }
        }
        expected.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
        expected.truncate(INPUTS_MOST);
        expected
    }

    /// Whose a fetch of `name` was, when only these jobs can have made it: a share for each, together 1.
    #[must_use]
    pub fn shares(&self, name: &str, candidates: &[&Kind], now_s: f64) -> Vec<f64> {
        let weights: Vec<f64> =
            candidates.iter().map(|kind| self.confidence(name, kind, now_s) + SHARE_LEAST).collect();
        let all: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / all).collect()
    }

    /// How sure it is that a job of this kind fetches `name`.
    fn confidence(&self, name: &str, kind: &Kind, now_s: f64) -> f64 {
        let makes = |pattern: &Pattern| pattern.name(&kind.features).is_some_and(|made| &*made == name);
        let fits = self.habits_of(kind, now_s).filter(|(pattern, ..)| makes(pattern));
        fits.map(|(_, _, confidence)| confidence).fold(0.0, f64::max)
    }

    /// The habits of the job's key and class, with lengths and confidences.
    fn habits_of(&self, kind: &Kind, now_s: f64) -> impl Iterator<Item = (&Pattern, Option<u64>, f64)> {
        let of_key = kind.key.map(|key| ((kind.class, Some(key)), KEY_DOUBT));
        let scopes = of_key.into_iter().chain([((kind.class, None), CLASS_DOUBT)]);
        let known = scopes.filter_map(|(scope, doubt)| Some((self.scopes.get(&scope)?, doubt)));
        known.flat_map(move |(habits, doubt)| habits.all(doubt, now_s))
    }

    fn scope(&mut self, scope: Scope, now_s: f64) -> &mut Habits {
        if self.scopes.len() >= SCOPES_MOST && !self.scopes.contains_key(&scope) {
            self.make_room();
        }
        self.scopes.entry(scope).or_insert_with(|| Habits::new(now_s))
    }

    fn make_room(&mut self) {
        let mut by_age: Vec<(f64, Scope)> =
            self.scopes.iter().map(|(scope, habits)| (habits.used_s(), *scope)).collect();
        by_age.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        for (_, scope) in by_age.into_iter().take(MAKE_ROOM) {
            self.scopes.remove(&scope);
        }
    }
}

/// What is left of a weight after `age_s` seconds.
fn faded(weight: f64, age_s: f64) -> f64 {
    // A clock that stands still or goes back takes nothing away.
    if age_s > 0.0 { weight * (-age_s / HALF_LIFE_S).exp2() } else { weight }
}
