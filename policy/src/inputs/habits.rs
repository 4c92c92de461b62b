//! What the jobs of one class, or one key, have fetched, and how many of them did.

use super::faded;
use super::pattern::Pattern;

/// Habits of one class or key.
const HABITS_MOST: usize = 32;
/// What is left of the jobs before at each further one: the last few dozen count.
const KEPT_BY_A_JOB: f64 = 0.97;

/// How often what was fetched.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    /// Jobs, the older the less.
    jobs: f64,
    used_s: f64,
    all: Vec<Habit>,
}

#[derive(Clone, Debug)]
struct Habit {
    pattern: Pattern,
    bytes: Option<u64>,
    /// Of the jobs, those that fetched it.
    weight: f64,
}

impl Habits {
    pub(super) fn new(now_s: f64) -> Self {
        Self { jobs: 0.0, used_s: now_s, all: Vec::new() }
    }

    /// When the last job was.
    pub(super) fn used_s(&self) -> f64 {
        self.used_s
    }

    /// One more job, which fetched these, as surely as is said.
    pub(super) fn job(&mut self, fetched: &[(Pattern, Option<u64>, f64)], now_s: f64) {
        let kept = faded(KEPT_BY_A_JOB, now_s - self.used_s);
        self.used_s = self.used_s.max(now_s);
        self.jobs = self.jobs * kept + 1.0;
        self.all.iter_mut().for_each(|habit| habit.weight *= kept);
        for (place, (pattern, bytes, share)) in fetched.iter().enumerate() {
            // A job that fetches a thing twice does not need it twice.
            if *share > 0.0 && !fetched[..place].iter().any(|(before, ..)| before == pattern) {
                self.fetched(pattern, *bytes, *share);
            }
        }
    }

    fn fetched(&mut self, pattern: &Pattern, bytes: Option<u64>, share: f64) {
        if let Some(habit) = self.all.iter_mut().find(|habit| habit.pattern == *pattern) {
            habit.weight += share;
            habit.bytes = bytes.or(habit.bytes);
            return;
        }
        let habit = Habit { pattern: pattern.clone(), bytes, weight: share };
        if self.all.len() < HABITS_MOST {
            self.all.push(habit);
            return;
        }
        let weakest = self.all.iter_mut().min_by(|one, other| one.weight.total_cmp(&other.weight));
        // A new one is let in for one that has been done without, not for one that is as new.
        if let Some(weakest) = weakest.filter(|weakest| weakest.weight < share) {
            *weakest = habit;
        }
    }

    /// All of them, with their lengths and the confidence in each. `doubt` is how many jobs are taken to have fetched nothing.
    pub(super) fn all(&self, doubt: f64, now_s: f64) -> impl Iterator<Item = (&Pattern, Option<u64>, f64)> {
        let left = faded(1.0, now_s - self.used_s);
        let jobs = self.jobs * left + doubt;
        self.all.iter().map(move |habit| (&habit.pattern, habit.bytes, habit.weight * left / jobs))
    }
}
