//! What one label may say at the most.
//!
//! A label far from anything the model expects is a lie, a fault or the first of a change. It is not thrown away, for it
//! may be true; it is taken to say no more than a bound. Medians and quantiles do not care, but means of leaves and of
//! classes do, and with the bound no single label is worth more than a few. If it was a change, the model follows it in two
//! or three steps instead of one, and the drift alarm makes them quick.

use super::{Label, Row};
use crate::model::Model;
use crate::prediction::MEDIAN;

/// A time is believed to differ from the predicted median by this factor, whatever the spread…
const FACTOR_LEAST: f64 = 50.0;
/// …and by this many times the spread of the prediction, where that is more.
const SPREADS: f64 = 6.0;

/// `row` with its time bounded to what can be believed; `None` if it can be as it is.
#[must_use]
pub fn bounded(model: &Model, row: &Row) -> Option<Row> {
    let Label::Took(seconds) = row.label else { return None };
    let predicted = model.predict(&row.job, row.network);
    let expected_s = predicted.quantiles_s[MEDIAN];
    let most = FACTOR_LEAST.ln().max(SPREADS * predicted.spread().hypot(predicted.doubt));
    let off = (seconds / expected_s).ln();
    if !off.is_finite() || off.abs() <= most {
        return None;
    }
    let seconds = expected_s * off.clamp(-most, most).exp();
    (seconds.is_finite() && seconds > 0.0).then_some(Row { label: Label::Took(seconds), ..*row })
}
