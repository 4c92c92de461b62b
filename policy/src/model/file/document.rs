//! The forms that are written and read, and nothing else: every field of the file stands here, in its order.
//!
//! Numbers are taken in as `f64`, so that what does not fit its type is refused by a check that says so, and not turned
//! into infinity on the way.

use serde::{Deserialize, Serialize};

use crate::model::features::NAMES;
use crate::prediction::LEVELS;

/// The whole document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// The format's version; checked before the rest is read.
    #[serde(rename = "adumbra_model")]
    _format: u64,
    /// Checked before the rest is read.
    #[serde(rename = "checksum")]
    _checksum: String,
    pub(super) schema: String,
    pub(super) made_unix_s: u64,
    pub(super) version: u64,
    pub(super) rows: u64,
    pub(super) home: String,
    pub(super) networks: Vec<String>,
    pub(super) calibration: CalibrationForm,
    pub(super) extracts: Vec<ExtractsForm>,
    pub(super) classes: Vec<ClassForm>,
    pub(super) stranger: Vec<RatioForm>,
    pub(super) nodes: Vec<NodeForm>,
    pub(super) leaves: Vec<LeafForm>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalibrationForm {
    pub(super) outcomes: u64,
    pub(super) log_error: f64,
    pub(super) covered_before: f64,
    pub(super) widened: f64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtractsForm {
    pub(super) route: String,
    pub(super) names: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassForm {
    pub(super) route: String,
    pub(super) class: String,
    /// The class as a feature; none if no label of it was among those that the questions were grown from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log_s: Option<f64>,
    pub(super) ratios: Vec<RatioForm>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RatioForm {
    pub(super) network: String,
    pub(super) log: f64,
    pub(super) doubt: f64,
    pub(super) labels: u32,
    pub(super) pairs: u32,
}

/// Either a question or a leaf's number; which of the two is checked when it is turned into a node.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) feature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) up_to: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<Side>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leaf: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Left,
    Right,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeafForm {
    pub(super) mean_s: f64,
    pub(super) quantiles_s: [f64; LEVELS.len()],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cpu_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) response_bytes: Option<f64>,
    pub(super) labels: u32,
    pub(super) censored: u32,
}

/// What the features of this version are and mean: whoever changes the meaning of one changes this text, so that no file
/// is read with the wrong one.
const MEANING: &str = "class: mean log home-equivalent seconds; body_bytes, input_bytes: ln(1 + bytes); urgency: 0..7; \
                       hour: 0..24 UTC; x_*: as extracted; times: home-equivalent seconds";

/// The features and quantiles of this version, as 16 hex digits.
pub(super) fn schema() -> String {
    let levels = LEVELS.map(|level| level.to_string()).join(",");
    digest(format!("{MEANING}\n{}\n{levels}", NAMES.join(",")).as_bytes(), 8)
}

/// The first `bytes` bytes of the SHA-256 of `text`, in hex.
pub(super) fn digest(text: &[u8], bytes: usize) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;
    let mut hex = String::with_capacity(2 * bytes);
    for byte in sha2::Sha256::digest(text).iter().take(bytes) {
        write!(hex, "{byte:02x}").expect("a string takes all that is written to it");
    }
    hex
}

/// The bytes of a whole checksum.
pub(super) const CHECKSUM_BYTES: usize = 32;
