//! Kaplan–Meier: a distribution from times of which some are only known to be longer than something.
//!
//! Taking the moment a job was stopped for the time it takes is wrong by up to six times; leaving stopped jobs out is wrong
//! too, for the long ones are the ones that get stopped (POLICY-STUDY, finding 8). The product-limit estimate passes the
//! weight of each stopped job on to those that were seen to take longer. It holds where stopping does not depend on how slow
//! the job looked; the caller keeps other rows out.

/// A distribution: values in order, each with its share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    /// The share that lies beyond the last value seen to end, and is put there for want of anything better.
    beyond: f64,
}

impl Curve {
    /// The curve of `sorted` values, in order; `true` where the value is only a lower bound. At a tie, ends come before
    /// bounds. `None` if nothing was seen to end.
    pub(super) fn new(sorted: impl ExactSizeIterator<Item = (f64, bool)>) -> Option<Self> {
        let mut at_risk = sorted.len() as f64;
        let mut points = Vec::with_capacity(sorted.len());
        let (mut alive, mut last) = (1.0, f64::NEG_INFINITY);
        for (value, bound) in sorted {
            last = value;
            if !bound {
                let share = alive / at_risk;
                points.push((value, share));
                alive -= share;
            }
            at_risk -= 1.0;
        }
        if points.is_empty() {
            return None;
        }
        let beyond = alive.max(0.0);
        if beyond > 1e-12 {
            points.push((last, beyond));
        }
        Some(Self { points, beyond })
    }

    /// The smallest value that at least this share lies at or below.
    pub(super) fn quantile(&self, level: f64) -> f64 {
        let mut below = 0.0;
        for (value, share) in &self.points {
            below += share;
            if below >= level - 1e-9 {
                return *value;
            }
        }
        self.points.last().map_or(f64::NAN, |(value, _)| *value)
    }

    /// The median, if half were seen to end.
    pub(super) fn median(&self) -> Option<f64> {
        (self.beyond <= 0.5).then(|| self.quantile(0.5))
    }

    /// The mean of `f` over the curve.
    pub(super) fn mean(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.points.iter().map(|(value, share)| share * f(*value)).sum()
    }
}

/// Sorts values for [`Curve::new`]: in order, ends before bounds at a tie.
pub(super) fn sort(values: &mut [(f64, bool)]) {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[(f64, bool)]) -> Option<Curve> {
        let mut values = values.to_vec();
        sort(&mut values);
        Curve::new(values.into_iter())
    }

    #[test]
    fn without_bounds_it_is_the_plain_distribution() {
        let curve = curve(&[(3.0, false), (1.0, false), (2.0, false), (4.0, false)]).expect("four ends");
        assert_eq!((curve.quantile(0.25), curve.quantile(0.5), curve.quantile(0.51)), (1.0, 2.0, 3.0));
        assert_eq!(curve.median(), Some(2.0));
        assert!((curve.mean(|v| v) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn a_bound_passes_its_share_to_those_beyond_it() {
        // The textbook: the one stopped at 2 leaves its quarter to 3 and 4.
        let curve = curve(&[(1.0, false), (2.0, true), (3.0, false), (4.0, false)]).expect("three ends");
        assert!((curve.mean(|v| v) - (0.25 + 0.375 * 3.0 + 0.375 * 4.0)).abs() < 1e-12);
    }

    #[test]
    fn what_was_never_seen_to_end_has_no_median() {
        assert_eq!(curve(&[(1.0, true), (2.0, true)]), None);
        assert_eq!(curve(&[]), None);
        let mostly = curve(&[(1.0, false), (2.0, true), (2.0, true), (2.0, true)]).expect("one end");
        assert_eq!(mostly.median(), None);
        assert_eq!(mostly.quantile(0.9), 2.0);
    }

    #[test]
    fn stopped_jobs_bias_the_naive_ways_and_not_this_one() {
        // Times 0.5..=100 in steps of a half; two in three are stopped at 30 if they are longer.
        let truth: Vec<f64> = (1..=200).map(|i| f64::from(i) / 2.0).collect();
        let stopped = |i: usize, t: f64| !i.is_multiple_of(3) && t > 30.0;
        let seen: Vec<_> =
            truth.iter().enumerate().map(|(i, t)| if stopped(i, *t) { (30.0, true) } else { (*t, false) }).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let true_mean = mean(&truth);
        let taken_as_ends = mean(&seen.iter().map(|(t, _)| *t).collect::<Vec<_>>());
        let left_out = mean(&seen.iter().filter(|(_, bound)| !bound).map(|(t, _)| *t).collect::<Vec<_>>());
        let here = curve(&seen).expect("many ends").mean(|v| v);
        assert!((here / true_mean - 1.0).abs() < 0.02, "{here} for {true_mean}");
        assert!(taken_as_ends / true_mean < 0.75 && left_out / true_mean < 0.85, "{taken_as_ends} {left_out}");
    }
}
