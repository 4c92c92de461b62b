//! A job as a row of numbers.
//!
//! What is missing is NaN, not zero: a job whose size is not stated is not a small job. Sizes go in as logarithms, which a
//! tree does not need but a person reading thresholds does not miss either; they are turned back when a path is printed.

use crate::job::{EXTRACTED, Job};

/// How many features a row has.
pub const FEATURES: usize = 5 + EXTRACTED;

/// One row; NaN where a feature is missing.
pub type Features = [f32; FEATURES];

/// Their names, as a path prints them.
pub const NAMES: [&str; FEATURES] =
    ["class", "body_bytes", "input_bytes", "urgency", "hour", "x_0", "x_1", "x_2", "x_3"];

const _: () = assert!(EXTRACTED == 4, "name the extracted features");

/// The place of the class's code.
pub(crate) const CLASS: usize = 0;
/// The places of the features that are logarithms of bytes.
const LOGARITHMS: std::ops::RangeInclusive<usize> = 1..=2;

/// The row of `job`, whose class has this code.
#[must_use]
pub fn features(job: &Job, code: f32) -> Features {
    let log = |bytes: Option<u64>| bytes.map_or(f32::NAN, |bytes| (bytes as f64).ln_1p() as f32);
    let mut row = [f32::NAN; FEATURES];
    row[CLASS] = code;
    row[1] = log(job.body_bytes);
    row[2] = log(job.input_bytes);
    row[3] = f32::from(job.urgency.level());
    row[4] = job.hour;
    row[FEATURES - EXTRACTED..].copy_from_slice(&job.extracted);
    row.map(|value| if value.is_finite() { value } else { f32::NAN })
}

/// A feature's value in its own unit, for people.
#[must_use]
pub fn in_words(feature: usize, value: f32) -> String {
    if value.is_nan() {
        "missing".to_owned()
    } else if LOGARITHMS.contains(&feature) {
        format!("{:.0}", f64::from(value).exp_m1())
    } else if feature == CLASS {
        // The code is a mean log time; its exponential is the class's typical seconds.
        format!("{:.3} s", f64::from(value).exp())
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;

    #[test]
    fn what_is_missing_is_missing_and_not_zero() {
        let mut job = job();
        (job.body_bytes, job.extracted) = (Some(0), [1.0, f32::INFINITY, f32::NAN, -2.0]);
        let row = features(&job, f32::NAN);
        assert!(row[CLASS].is_nan() && row[2].is_nan() && row[6].is_nan() && row[7].is_nan());
        assert_eq!((row[1], row[3], row[4], row[5], row[8]), (0.0, 3.0, 12.0, 1.0, -2.0));
    }

    #[test]
    fn words_are_in_the_features_own_unit() {
        let check = |feature, value, expected: &str| assert_eq!(in_words(feature, value), expected);
        check(1, 1000_f32.ln_1p(), "1000");
        check(3, 4.0, "4");
        check(0, 2_f32.ln(), "2.000 s");
        check(6, f32::NAN, "missing");
    }
}
