//! The few statistics of the table.

use super::random::Random;

/// Consecutive arrivals that are resampled as one.
const BLOCK: usize = 10;

/// Resamples an interval is made from.
const RESAMPLES: usize = 2_000;

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The smallest value that at least the `share` of all values does not exceed; 0 of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// A 95 % interval for the mean of `values`, which are in order of arrival.
///
/// A block bootstrap: jobs that come close together share a queue, so their costs are not independent and resampling
/// single jobs would promise too much. Blocks of ten arrivals last a few job times, after which little is left of a
/// queue. A t interval over the rounds would need no such choice, but four rounds leave it three degrees of freedom. To
/// compare two arms, give the differences job by job: the arrivals are the same, so what they share cancels.
pub(crate) fn interval(values: &[f64]) -> (f64, f64) {
    let blocks: Vec<&[f64]> = values.chunks(BLOCK).collect();
    if blocks.is_empty() {
        return (0.0, 0.0);
    }
    let mut random = Random::new(1, 0xb007);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..blocks.len()).map(|_| blocks[random.below(blocks.len())]);
            let (sum, count) =
                drawn.fold((0.0, 0), |(sum, count), block| (sum + block.iter().sum::<f64>(), count + block.len()));
            sum / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    (quantile(&means, 0.025), quantile(&means, 0.975))
}

#[cfg(test)]
mod tests {
    use super::{interval, mean, quantile};
    use crate::demo::random::Random;

    #[test]
    fn quantiles_are_values() {
        let values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.5, 0.51, 0.99].map(|share| quantile(&values, share)), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!((quantile(&[], 0.5), mean(&[])), (0.0, 0.0));
    }

    #[test]
    fn the_interval_holds_the_mean_about_as_often_as_it_says() {
        let mut random = Random::new(5, 5);
        let held = (0..100)
            .filter(|_| {
                // A queue-like series: each value keeps half of the one before.
                let mut last = 2.0;
                let values: Vec<f64> = (0..200)
                    .map(|_| {
                        last = 0.5 * last + random.gap(1.0);
                        last
                    })
                    .collect();
                let (low, high) = interval(&values);
                (low..high).contains(&2.0)
            })
            .count();
        assert!((85..=100).contains(&held), "{held} of 100");
    }

    #[test]
    fn a_constant_has_no_width() {
        assert_eq!(interval(&[0.5; 40]), (0.5, 0.5));
        assert_eq!(interval(&[]), (0.0, 0.0));
    }
}
