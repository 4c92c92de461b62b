//! What is counted of the oracle: labels, attempts at a model, how well the one in force predicts.

use policy::{Model, NetworkId, Prediction};
use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Level, Scraped};
use super::histogram::Histogram;
use super::words::{Fell, Refit, Word};

/// Bounds for |ln(actual / predicted)|; 0.693 is wrong by a factor of two.
const LOG_ERROR: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.5, 0.693, 1.0, 1.5, 2.0, 3.0];
/// Bounds for refits.
const REFIT_SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0];

#[derive(Debug)]
pub(super) struct LearningCounters {
    log_error: Histogram,
    scored: Family<2>,
    labels: Family<0>,
    labels_dropped: Family<0>,
    labels_rejected: Family<0>,
    refits: Family<1>,
    refit_seconds: Histogram,
    version: Level,
    rows: Level,
}

impl LearningCounters {
    pub(super) fn new(network: &Axis) -> Self {
        let counter = |name, help| Family::counters(Head::new(name, help), []);
        Self {
            log_error: Histogram::new(
                Head::new("adumbra_prediction_log_error", "Absolute logarithm of actual over predicted mean time"),
                LOG_ERROR,
                &[network],
            ),
            scored: Family::counters(
                Head::new(
                    "adumbra_predictions_scored",
                    "Predictions by where the actual time fell against their interval of 80 %",
                ),
                [network, &Axis::of::<Fell>("fell")],
            ),
            labels: counter("adumbra_labels", "Labels taken into the window that models are grown from"),
            labels_dropped: counter("adumbra_labels_dropped", "Labels lost because their queue was full"),
            labels_rejected: counter("adumbra_labels_rejected", "Labels that made no sense and were not learned from"),
            refits: Family::counters(
                Head::new("adumbra_refits", "Attempts at a new model, by what became of them"),
                [&Axis::of::<Refit>("result")],
            ),
            refit_seconds: Histogram::new(
                Head::in_unit("adumbra_refit", Unit::Seconds, "How long an attempt at a new model took"),
                REFIT_SECONDS,
                &[],
            ),
            version: Level::new(Head::new("adumbra_model_version", "The model in force; 0 for none")),
            rows: Level::new(Head::new("adumbra_model_rows", "Labels that the model in force was grown from")),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 9] {
        [
            &self.log_error,
            &self.scored,
            &self.labels,
            &self.labels_dropped,
            &self.labels_rejected,
            &self.refits,
            &self.refit_seconds,
            &self.version,
            &self.rows,
        ]
    }
}

impl Metrics {
    /// A job that was predicted to take `prediction` on `network`, if anything was predicted, took `actual_s`.
    pub(crate) fn predicted(&self, network: NetworkId, prediction: Option<&Prediction>, actual_s: f64) {
        let Some(prediction) = prediction else { return };
        let learning = &self.learning;
        learning.log_error.observe(network.index(), (actual_s / prediction.mean_s).ln().abs());
        let [low, .., high] = prediction.quantiles_s;
        let fell = if actual_s < low {
            Fell::Below
        } else if actual_s > high {
            Fell::Above
        } else {
            Fell::Inside
        };
        learning.scored.add([network.index(), fell.place()], 1);
    }

    /// Labels were taken into the window.
    pub(crate) fn labels_taken(&self, count: u64) {
        self.learning.labels.add([], count);
    }

    /// A label was lost because the queue was full.
    pub(crate) fn label_dropped(&self) {
        self.learning.labels_dropped.add([], 1);
    }

    /// A label made no sense.
    pub(crate) fn label_rejected(&self) {
        self.learning.labels_rejected.add([], 1);
    }

    /// An attempt at a new model ended.
    pub(crate) fn refitted(&self, result: Refit, took_s: f64) {
        self.learning.refits.add([result.place()], 1);
        self.learning.refit_seconds.observe(0, took_s);
    }

    /// A model is in force.
    pub(crate) fn model_in_force(&self, model: &Model) {
        self.learning.version.set(model.version());
        self.learning.rows.set(model.rows() as u64);
    }
}
