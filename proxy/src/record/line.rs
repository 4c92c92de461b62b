//! A line of JSON: what the log, `/decisions` and `explain` show of a record. It is written by `writer.rs`, in this shape,
//! and read back only by this program's own `explain`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy::cost::Terms;
use policy::prediction::LEVELS;
use policy::{Action, NetworkId, Prediction, ShadowMode};
use serde::{Deserialize, Serialize};

use crate::generation::Generation;

/// One decision. Only tests write one.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(crate) struct Line<'a> {
    /// 16 hex digits.
    pub(crate) id: String,
    /// When the job arrived, RFC 3339.
    pub(crate) time: String,
    pub(crate) route: Option<Cow<'a, str>>,
    pub(crate) class: Cow<'a, str>,
    pub(crate) urgency: u8,
    pub(crate) mode: Cow<'a, str>,
    pub(crate) plan: Cow<'a, str>,
    pub(crate) level: Cow<'a, str>,
    pub(crate) plan_reason: Cow<'a, str>,
    pub(crate) eligible: Vec<Cow<'a, str>>,
    pub(crate) worth: f64,
    pub(crate) shadows: Vec<Cow<'a, str>>,
    /// By network; only those that showed any.
    pub(crate) progress: BTreeMap<Cow<'a, str>, ProgressLine<'a>>,
    pub(crate) target: Cow<'a, str>,
    pub(crate) action: Cow<'a, str>,
    pub(crate) reason: Cow<'a, str>,
    /// By network; only those that were predicted.
    pub(crate) predictions: BTreeMap<Cow<'a, str>, PredictionLine>,
    /// By network; only those that were computed.
    pub(crate) costs: BTreeMap<Cow<'a, str>, f64>,
    /// 0 for none.
    pub(crate) model: u64,
    pub(crate) status: u16,
    pub(crate) outcome: Cow<'a, str>,
    pub(crate) took_s: f64,
    pub(crate) head_s: f64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) possibly_running: u8,
    /// What it has read of inputs, where that is known.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) inputs: Option<InputsLine>,
    /// Where the plan leaned.
    #[serde(default)]
    pub(crate) planned: Cow<'a, str>,
    /// Nothing if it came to no good end.
    #[serde(default)]
    pub(crate) ran_s: Option<f64>,
    #[serde(default)]
    pub(crate) waited_s: f64,
    /// Nothing if nothing was predicted where it was answered.
    #[serde(default)]
    pub(crate) terms: Option<TermsLine>,
    /// The job's path through the tree, only where one job is asked for and the model that decided is still in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tree_path: Vec<String>,
}

/// How far a dispatch was when it was last looked at, and where that was seen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ProgressLine<'a> {
    pub(crate) share: f64,
    pub(crate) source: Cow<'a, str>,
}

/// A prediction.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct PredictionLine {
    pub(crate) mean_s: f64,
    pub(crate) p10_s: f64,
    pub(crate) p25_s: f64,
    pub(crate) p50_s: f64,
    pub(crate) p75_s: f64,
    pub(crate) p90_s: f64,
    pub(crate) doubt: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response_bytes: Option<f64>,
}

impl From<&Prediction> for PredictionLine {
    fn from(prediction: &Prediction) -> Self {
        const { assert!(LEVELS.len() == 5, "the quantiles' names are written down here") };
        let [p10, p25, p50, p75, p90] = prediction.quantiles_s.map(rounded);
        Self {
            mean_s: rounded(prediction.mean_s),
            p10_s: p10,
            p25_s: p25,
            p50_s: p50,
            p75_s: p75,
            p90_s: p90,
            doubt: rounded(prediction.doubt),
            cpu_s: prediction.cpu_s.map(rounded),
            memory_bytes: prediction.memory_bytes.map(f64::round),
            response_bytes: prediction.response_bytes.map(f64::round),
        }
    }
}

/// What a cost is made of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct TermsLine {
    pub(crate) waiting: f64,
    pub(crate) moving: f64,
    pub(crate) running: f64,
    pub(crate) resources: f64,
    pub(crate) congestion: f64,
    pub(crate) crossing: f64,
}

impl From<&Terms> for TermsLine {
    fn from(terms: &Terms) -> Self {
        Self {
            waiting: rounded(terms.waiting),
            moving: rounded(terms.moving),
            running: rounded(terms.running),
            resources: rounded(terms.resources),
            congestion: rounded(terms.congestion),
            crossing: rounded(terms.crossing),
        }
    }
}

/// The name of a network, or its place if the configuration does not have it.
pub(crate) fn network_name(generation: &Generation, network: NetworkId) -> Cow<'_, str> {
    match generation.config.networks.get(network.index()) {
        Some(found) => found.name.as_str().into(),
        None => format!("#{}", network.index()).into(),
    }
}

pub(crate) const fn mode_word(mode: ShadowMode) -> &'static str {
    match mode {
        ShadowMode::Off => "off",
        ShadowMode::Observe => "observe",
        ShadowMode::On => "on",
    }
}

pub(crate) const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Adopt => "adopt",
        Action::Send => "send",
    }
}

/// To the millionth: more digits would only be noise that is stored. What is not a number becomes 0.
pub(crate) fn rounded(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.is_finite() {
        rounded
    } else if value.is_finite() {
        // So large that it has no millionths.
        value
    } else {
        0.0
    }
}

/// What a job has read of inputs.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(crate) struct InputsLine {
    pub(crate) expected_bytes: u64,
    pub(crate) warm_bytes: u64,
    pub(crate) hits: u32,
    pub(crate) misses: u32,
    pub(crate) hit_bytes: u64,
    pub(crate) missed_bytes: u64,
    /// Missing where there is nothing to compare it with.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) saved_s: Option<f64>,
}
