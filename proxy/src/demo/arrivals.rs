//! When jobs come, and how urgent they are: an open-loop stream, drawn before the arms begin and the same for each.
//!
//! A Poisson stream whose rate has a calm stretch, a burst and a middling end, so that home alone is overloaded for a
//! while in each round and recovers. Jobs do not wait for earlier ones to end.

use super::random::Random;

/// Parts of a round, and the rate in each over the mean rate.
const RHYTHM: [(f64, f64); 3] = [(0.35, 0.7), (0.30, 1.5), (0.35, 0.87)];

/// Urgencies (RFC 9218, 0 is the most urgent) and how often each is drawn.
const URGENCIES: [(u8, f64); 3] = [(1, 0.2), (3, 0.5), (6, 0.3)];

/// One job's coming.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Seconds after the round's start.
    pub(crate) at_s: f64,
    /// Which job of the catalogue.
    pub(crate) job: usize,
    /// RFC 9218 urgency.
    pub(crate) urgency: u8,
}

/// The arrivals of one round: `rate` a second on average for `seconds`, over a catalogue of `jobs`.
pub(crate) fn draw(seed: u64, round: u64, seconds: f64, rate: f64, jobs: usize) -> Vec<Arrival> {
    let mut random = Random::new(seed, 0xa117 + round);
    let mut arrivals = Vec::new();
    let mut start = 0.0;
    for (share, factor) in RHYTHM {
        let end = start + share * seconds;
        let mut at_s = start + random.gap(rate * factor);
        while at_s < end {
            arrivals.push(Arrival { at_s, job: random.below(jobs), urgency: urgency(random.unit()) });
            at_s += random.gap(rate * factor);
        }
        start = end;
    }
    arrivals
}

fn urgency(mut draw: f64) -> u8 {
    for (urgency, share) in URGENCIES {
        if draw < share {
            return urgency;
        }
        draw -= share;
    }
    URGENCIES[URGENCIES.len() - 1].0
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn a_round_is_the_same_every_time_and_another_is_not() {
        assert_eq!(draw(1, 2, 20.0, 5.0, 30), draw(1, 2, 20.0, 5.0, 30));
        assert_ne!(draw(1, 2, 20.0, 5.0, 30), draw(1, 3, 20.0, 5.0, 30));
        assert_ne!(draw(1, 2, 20.0, 5.0, 30), draw(2, 2, 20.0, 5.0, 30));
    }

    #[test]
    fn arrivals_come_in_order_at_the_mean_rate_with_a_burst() {
        let arrivals = draw(1, 1, 2_000.0, 5.0, 30);
        assert!(arrivals.is_sorted_by(|a, b| a.at_s <= b.at_s));
        let within = |from: f64, to: f64| arrivals.iter().filter(|a| (from..to).contains(&a.at_s)).count() as f64;
        assert!((within(0.0, 2_000.0) / 10_000.0 - 1.0).abs() < 0.05);
        assert!(within(700.0, 1_300.0) / 600.0 > 1.5 * within(0.0, 700.0) / 700.0);
        assert!(arrivals.iter().all(|a| a.job < 30 && [1, 3, 6].contains(&a.urgency)));
    }
}
