//! What a job would take on one network: a distribution of its time, and its use of resources.
//!
//! Times of jobs are skewed, so a prediction is a mean *and* quantiles. The mean is what costs are made of; the quantiles
//! say what is left of a job that has run for a while, and how much a decision hangs on what nobody knows yet.

/// The levels of the quantiles a prediction keeps.
pub const LEVELS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// The share of jobs that each quantile stands for: to the middle between its level and its neighbours'.
pub(crate) const WEIGHTS: [f64; LEVELS.len()] = [0.175, 0.2, 0.25, 0.2, 0.175];

/// The index of the median in [`LEVELS`].
pub(crate) const MEDIAN: usize = 2;

/// What a job that has outrun every quantile still needs, as a share of how long it has run. Skewed times have a mean
/// excess that grows with the time run; on the traces of the study it is between a quarter and a half of it.
const TAIL_SHARE: f64 = 0.4;

/// A prediction for one job on one network, from its start there, at full speed, without waiting and moving.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The mean of its time, seconds. Not the exponential of the mean logarithm: the distribution is skewed.
    pub mean_s: f64,
    /// Quantiles of its time at [`LEVELS`], seconds, not decreasing.
    pub quantiles_s: [f64; LEVELS.len()],
    /// Standard deviation of what is not known about this network's speed for this job, in log time.
    pub doubt: f64,
    /// CPU seconds it would use, where labels said.
    pub cpu_s: Option<f64>,
    /// Memory it would hold, where labels said.
    pub memory_bytes: Option<f64>,
    /// Bytes of its answer.
    pub response_bytes: Option<f64>,
}

impl Prediction {
    /// A prediction of exactly `seconds`, for where nothing is known and costs must be compared all the same.
    #[must_use]
    pub fn exactly(seconds: f64) -> Self {
        Self { mean_s: seconds, quantiles_s: [seconds; LEVELS.len()], ..Self::default() }
    }

    /// The mean of what is left after `run_s` seconds at full speed: of those that take longer, how much longer.
    #[must_use]
    pub fn remaining_s(&self, run_s: f64) -> f64 {
        let run_s = if run_s > 0.0 { run_s } else { 0.0 };
        // Five points miss the tail's mass; they are scaled so that nothing run yet leaves exactly the mean.
        let points_s: f64 = self.quantiles_s.iter().zip(WEIGHTS).map(|(q, w)| q * w).sum();
        let scale = if points_s > 0.0 { self.mean_s / points_s } else { 1.0 };
        let (mut left_s, mut share) = (0.0, 0.0);
        for (quantile_s, weight) in self.quantiles_s.iter().zip(WEIGHTS) {
            let rest_s = quantile_s * scale - run_s;
            if rest_s > 0.0 {
                left_s += weight * rest_s;
                share += weight;
            }
        }
        if share > 0.0 { left_s / share } else { TAIL_SHARE * run_s }
    }

    /// The median of its time, seconds.
    #[must_use]
    pub fn median_s(&self) -> f64 {
        self.quantiles_s[MEDIAN]
    }

    /// The share of jobs that end within `seconds`: between the quantiles a straight line, beyond the last nothing more.
    #[must_use]
    pub fn share_within(&self, seconds: f64) -> f64 {
        let (mut from_s, mut from) = (0.0, 0.0);
        for (quantile_s, level) in self.quantiles_s.iter().zip(LEVELS) {
            if seconds < *quantile_s {
                return from + (level - from) * ((seconds - from_s) / (quantile_s - from_s)).clamp(0.0, 1.0);
            }
            (from_s, from) = (*quantile_s, level);
        }
        from
    }

    /// Widens the 80 % interval by this much in log time at each end, and the quartiles by half of it. A narrowing stops at
    /// the median.
    pub fn widen(&mut self, by: f64) {
        let [lowest, low, median, high, highest] = self.quantiles_s;
        let (outer, inner) = (by.exp(), (by / 2.0).exp());
        let (low, high) = ((low / inner).min(median), (high * inner).max(median));
        self.quantiles_s = [(lowest / outer).min(low), low, median, high, (highest * outer).max(high)];
    }

    /// Half the distance between the outer quantiles in units of a normal's standard deviation, in log time.
    #[must_use]
    pub fn spread(&self) -> f64 {
        // The 10 % and 90 % points of a normal are 2.563 standard deviations apart.
        let spread = (self.quantiles_s[LEVELS.len() - 1] / self.quantiles_s[0]).ln() / 2.563;
        if spread.is_finite() { spread.max(0.0) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_is_the_mean_of_those_that_take_longer() {
        let prediction = Prediction { mean_s: 4.4, quantiles_s: [1.0, 2.0, 4.0, 6.0, 10.0], ..Prediction::default() };
        let check = |run_s: f64, expected: f64| {
            let left = prediction.remaining_s(run_s);
            assert!((left - expected).abs() < 0.02, "after {run_s}: {left}, not {expected}");
        };
        check(0.0, 4.4);
        check(f64::NAN, 4.4);
        check(6.3, 3.42);
        check(50.0, 20.0);
    }

    proptest! {
        #[test]
        fn what_is_left_is_never_negative_and_starts_at_the_mean(
            steps in prop::array::uniform5(0.01..10.0_f64), mean_s in 0.1..50.0_f64, run_s in 0.0..100.0_f64,
        ) {
            let mut quantiles_s = steps;
            for i in 1..quantiles_s.len() {
                quantiles_s[i] += quantiles_s[i - 1];
            }
            let prediction = Prediction { mean_s, quantiles_s, ..Prediction::default() };
            prop_assert!((prediction.remaining_s(0.0) - mean_s).abs() < 1e-9);
            prop_assert!(prediction.remaining_s(run_s) >= 0.0);
        }
    }
}
