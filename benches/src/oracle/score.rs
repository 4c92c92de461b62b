//! What predictions are judged by.

use policy::prediction::LEVELS;
use policy::units::PerNetwork;
use policy::{NetworkId, Prediction};

/// The place of the median among the levels.
const MEDIAN: usize = LEVELS.len() / 2;

/// Sums over outcomes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// Outcomes.
    pub n: usize,
    covered80: usize,
    covered50: usize,
    below: usize,
    squared: f64,
    absolute: f64,
    pinball: f64,
    predicted_s: f64,
    took_s: f64,
}

/// The scores of a run.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// By network.
    pub of: PerNetwork<Score>,
    /// All of them together.
    pub all: Score,
    /// Models that were grown.
    pub refits: usize,
    /// Those of them that were put in force.
    pub swaps: usize,
    /// Seconds that took.
    pub refit_s: f64,
}

impl Scores {
    /// Takes in what came of a prediction.
    pub fn judge(&mut self, network: NetworkId, predicted: &Prediction, took_s: f64) {
        self.of[network].judge(predicted, took_s);
        self.all.judge(predicted, took_s);
    }
}

impl Score {
    fn judge(&mut self, predicted: &Prediction, took_s: f64) {
        let [p10, p25, p50, p75, p90] = predicted.quantiles_s;
        let error = (took_s / p50).ln();
        self.n += 1;
        self.covered80 += usize::from((p10..=p90).contains(&took_s));
        self.covered50 += usize::from((p25..=p75).contains(&took_s));
        self.below += usize::from(took_s <= predicted.quantiles_s[MEDIAN]);
        self.squared += error * error;
        self.absolute += error.abs();
        let losses = predicted.quantiles_s.iter().zip(LEVELS).map(|(quantile_s, level)| {
            let over = (took_s / quantile_s).ln();
            if over > 0.0 { level * over } else { (level - 1.0) * over }
        });
        self.pinball += losses.sum::<f64>() / LEVELS.len() as f64;
        self.predicted_s += predicted.mean_s;
        self.took_s += took_s;
    }

    /// The share of outcomes within the 80 % interval.
    #[must_use]
    pub fn coverage80(&self) -> f64 {
        self.covered80 as f64 / self.n as f64
    }

    /// The share of outcomes between the quartiles.
    #[must_use]
    pub fn coverage50(&self) -> f64 {
        self.covered50 as f64 / self.n as f64
    }

    /// The share of outcomes up to the median.
    #[must_use]
    pub fn below_median(&self) -> f64 {
        self.below as f64 / self.n as f64
    }

    /// Root mean square of the error of the median, in log time.
    #[must_use]
    pub fn log_rmse(&self) -> f64 {
        (self.squared / self.n as f64).sqrt()
    }

    /// Mean absolute error of the median, in log time.
    #[must_use]
    pub fn log_mae(&self) -> f64 {
        self.absolute / self.n as f64
    }

    /// Mean pinball loss over all levels, in log time.
    #[must_use]
    pub fn pinball(&self) -> f64 {
        self.pinball / self.n as f64
    }

    /// The sum of the predicted means over the sum of the times: 1 is unbiased.
    #[must_use]
    pub fn mean_ratio(&self) -> f64 {
        self.predicted_s / self.took_s
    }
}
