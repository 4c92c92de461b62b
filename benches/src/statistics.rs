//! Medians over interleaved rounds, with an interval that assumes nothing about how the noise is spread.
//!
//! The interval of a median is a pair of order statistics, whose coverage follows from coin tosses alone. With few rounds
//! no pair reaches 95 %; then it is the whole range, and its real coverage is stated beside it.

const WANTED_COVERAGE: f64 = 0.95;

/// A median and how sure of it we may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// The chance that the interval holds the true median, 0 to 1.
    pub coverage: f64,
}

impl Summary {
    /// Summarises values of any order; `None` if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        let narrower = (1..middle).rev().map(|cut| (cut, coverage(sorted.len(), cut)));
        let Some((cut, sure)) = narrower.into_iter().find(|(_, sure)| *sure >= WANTED_COVERAGE) else {
            return Some(Self { median, low: first, high: last, coverage: coverage(sorted.len(), 0) });
        };
        Some(Self { median, low: sorted[cut], high: sorted[sorted.len() - 1 - cut], coverage: sure })
    }

    /// The ratio of two series round by round, so that what a whole round suffered cancels out.
    #[must_use]
    pub fn of_ratios(these: &[f64], to: &[f64]) -> Option<Self> {
        Self::of(these.iter().zip(to).map(|(this, to)| this / to))
    }

    /// Whether the interval holds `value`, so that the data cannot tell the median from it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The chance that the median lies between the order statistics `cut` from either end of `count` values.
fn coverage(count: usize, cut: usize) -> f64 {
    let mut term = 0.5_f64.powf(as_float(count));
    let mut tail = term;
    for taken in 0..cut {
        term *= as_float(count - taken) / as_float(taken + 1);
        tail += term;
    }
    2.0_f64.mul_add(-tail, 1.0).max(0.0)
}

/// Counts of rounds and requests are far below 2^52, where this is exact.
#[must_use]
pub fn as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], median: f64, low: f64, high: f64, coverage: f64) {
        let summary = Summary::of(values.iter().copied()).expect("values");
        assert_eq!((summary.median, summary.low, summary.high), (median, low, high), "{values:?}");
        assert!((summary.coverage - coverage).abs() < 0.0005, "{values:?}: {}", summary.coverage);
    }

    #[test]
    fn interval_is_the_range_until_a_narrower_one_is_sure() {
        check(&[2.0], 2.0, 2.0, 2.0, 0.0);
        check(&[3.0, 1.0, 2.0], 2.0, 1.0, 3.0, 0.75);
        check(&[5.0, 1.0, 2.0, 4.0, 3.0], 3.0, 1.0, 5.0, 0.9375);
        check(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3.5, 1.0, 6.0, 0.9688);
        check(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 5.0, 2.0, 8.0, 0.9609);
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ratio = Summary::of_ratios(&[2.0, 20.0, 4.0], &[1.0, 10.0, 2.0]).expect("three rounds");
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
    }
}
