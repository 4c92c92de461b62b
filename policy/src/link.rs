//! What the link to a network is measured to give.
//!
//! Two smoothed figures and no history: a decision needs the link of now, and a mean over the last few transfers follows
//! a change within seconds while one odd transfer moves it little. Queueing on the link is the caller's to count.

/// The weight of a new round trip, as TCP smooths its own (RFC 6298).
const RTT_WEIGHT: f64 = 0.125;
/// The weight of a new rate. Transfers are rarer than round trips, so each counts for more.
const RATE_WEIGHT: f64 = 0.25;
/// Smaller transfers end within the sender's buffers and say nothing about the rate.
const TELLING_BYTES: u64 = 64 * 1024;

/// Round trip and rate, smoothed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    rtt_s: f64,
    bytes_per_s: f64,
}

impl Link {
    /// Takes a measured round trip in.
    pub fn saw_round_trip(&mut self, seconds: f64) {
        smooth(&mut self.rtt_s, seconds, RTT_WEIGHT);
    }

    /// Takes a transfer in; small ones say nothing about the rate and are left out.
    pub fn saw_transfer(&mut self, bytes: u64, seconds: f64) {
        if bytes >= TELLING_BYTES {
            smooth(&mut self.bytes_per_s, bytes as f64 / seconds, RATE_WEIGHT);
        }
    }

    /// Smoothed round trip, seconds; 0 before the first.
    #[must_use]
    pub fn rtt_s(&self) -> f64 {
        self.rtt_s
    }

    /// Smoothed rate, bytes per second; 0 before the first.
    #[must_use]
    pub fn bytes_per_s(&self) -> f64 {
        self.bytes_per_s
    }
}

/// Moves `mean` towards `sample`; the first sample is taken whole, one that cannot be is left out.
fn smooth(mean: &mut f64, sample: f64, weight: f64) {
    if !sample.is_finite() || sample <= 0.0 {
        return;
    }
    *mean = if *mean > 0.0 { *mean + weight * (sample - *mean) } else { sample };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_sample_is_taken_whole_and_later_ones_smooth() {
        let mut link = Link::default();
        link.saw_round_trip(0.08);
        assert_eq!(link.rtt_s(), 0.08);
        link.saw_round_trip(0.16);
        assert!((link.rtt_s() - 0.09).abs() < 1e-12);
        for _ in 0..100 {
            link.saw_transfer(1 << 20, 0.5);
        }
        assert!((link.bytes_per_s() - 2_097_152.0).abs() < 1.0);
    }

    #[test]
    fn small_and_impossible_transfers_are_left_out() {
        let mut link = Link::default();
        link.saw_transfer(1024, 1e-6);
        link.saw_transfer(1 << 20, 0.0);
        link.saw_transfer(1 << 20, -1.0);
        link.saw_transfer(1 << 20, f64::NAN);
        link.saw_round_trip(f64::INFINITY);
        assert_eq!(link, Link::default());
    }
}
