//! What is counted of the oracle: labels, attempts at a model, how well the one in force predicts.

use policy::learn::BadRow;
use policy::{Model, NetworkId, Prediction};
use prometheus_client::registry::Unit;

use super::Metrics;
use super::family::{Axis, Family, Head, Level, Scraped};
use super::histogram::Histogram;
use super::words::{Fell, Word, words};

/// Bounds for |ln(actual / predicted)|; 0.693 is wrong by a factor of two.
const LOG_ERROR: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.5, 0.693, 1.0, 1.5, 2.0, 3.0];
/// Bounds for refits.
const REFIT_SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0];

/// What became of an attempt at a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refit {
    /// It is in force.
    Swapped,
    /// Too little to learn from.
    TooFew,
    /// The one in force predicts the newest outcomes better.
    Worse,
    /// It is no better than the one in force, and has seen much less.
    Thin,
    /// It says the same as one that was taken back.
    TakenBack,
    /// What was grown did not pass its check; the model in force stays.
    Invalid,
    /// Growing it panicked; the model in force stays.
    Panicked,
}

/// What became of a version of the model on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelFile {
    /// It was written.
    Saved,
    /// It could not be written.
    Unsaved,
    /// It was read at the start, and is in force.
    Loaded,
    /// It was passed over at the start: it cannot be read, or is no model file.
    Foreign,
    /// It is of another version of the format.
    Format,
    /// Its end is missing.
    Truncated,
    /// Its content is not what was written.
    Checksum,
    /// It is about other features.
    Schema,
    /// It says what no model can.
    Invalid,
    /// It is a model, but not for this configuration.
    Misfit,
}

impl ModelFile {
    /// Why a text was no model.
    pub(crate) fn refused(bad: &policy::model::file::BadFile) -> Self {
        let of_word = |file: &&Self| file.word() == bad.as_str();
        Self::ALL.iter().find(of_word).copied().unwrap_or(Self::Invalid)
    }
}

words!(Refit:
    Refit::Swapped => "swapped",
    Refit::TooFew => "too_few",
    Refit::Worse => "worse",
    Refit::Thin => "thin",
    Refit::TakenBack => "taken_back",
    Refit::Invalid => "invalid",
    Refit::Panicked => "panicked",
);
words!(ModelFile:
    ModelFile::Saved => "saved",
    ModelFile::Unsaved => "unsaved",
    ModelFile::Loaded => "loaded",
    ModelFile::Foreign => "foreign",
    ModelFile::Format => "format",
    ModelFile::Truncated => "truncated",
    ModelFile::Checksum => "checksum",
    ModelFile::Schema => "schema",
    ModelFile::Invalid => "invalid",
    ModelFile::Misfit => "misfit",
);
words!(BadRow: BadRow::Label => "time", BadRow::Resource => "resource");
#[derive(Debug)]
pub(super) struct LearningCounters {
    log_error: Histogram,
    scored: Family<2>,
    labels: Family<0>,
    labels_dropped: Family<0>,
    labels_rejected: Family<1>,
    labels_bounded: Family<0>,
    drifts: Family<1>,
    rollbacks: Family<0>,
    files: Family<1>,
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
            labels_rejected: Family::counters(
                Head::new("adumbra_labels_rejected", "Labels that cannot be true and were not learned from"),
                [&Axis::of::<BadRow>("reason")],
            ),
            labels_bounded: counter(
                "adumbra_labels_bounded",
                "Labels so far from what was expected that they were taken to say less",
            ),
            drifts: Family::counters(
                Head::new("adumbra_drift_alarms", "Times a network was found to be slower or faster than was learned"),
                [network],
            ),
            rollbacks: counter("adumbra_model_rollbacks", "Models taken back, for the one before predicts better"),
            files: Family::counters(
                Head::new("adumbra_model_files", "Versions of the model on disk, by what became of them"),
                [&Axis::of::<ModelFile>("result")],
            ),
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

    pub(super) fn families(&self) -> [&dyn Scraped; 13] {
        [
            &self.log_error,
            &self.scored,
            &self.labels,
            &self.labels_dropped,
            &self.labels_rejected,
            &self.labels_bounded,
            &self.drifts,
            &self.rollbacks,
            &self.files,
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

    /// A label cannot be true.
    pub(crate) fn label_rejected(&self, why: BadRow) {
        self.learning.labels_rejected.add([why.place()], 1);
    }

    /// A label was taken to say less than it did.
    pub(crate) fn label_bounded(&self) {
        self.learning.labels_bounded.add([], 1);
    }

    /// A network was found to have changed.
    pub(crate) fn drifted(&self, network: NetworkId) {
        self.learning.drifts.add([network.index()], 1);
    }

    /// A model was taken back.
    pub(crate) fn rolled_back(&self) {
        self.learning.rollbacks.add([], 1);
    }

    /// Something became of a version of the model on disk.
    pub(crate) fn model_file(&self, result: ModelFile) {
        self.learning.files.add([result.place()], 1);
    }

    /// Alarms and rollbacks so far.
    pub(crate) fn learning_so_far(&self) -> (u64, u64) {
        (self.learning.drifts.total(), self.learning.rollbacks.value([]))
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
