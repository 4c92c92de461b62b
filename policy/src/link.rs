//! What the link to a network is measured to give.
//!
//! The round trip is smoothed: each is a measurement of the link alone, and a mean over the last few follows a change within
//! seconds while an odd one moves it little.
//!
//! The rate is not, for no transfer measures it. A transfer also takes as long as the service thinks, as the client reads
//! and as shares of the link go to others: what it came to is a lower bound and nothing more. The estimate is therefore the
//! greatest of the last `WINDOW` telling transfers, the windowed maximum filter by which BBR estimates the bandwidth of a
//! bottleneck (Cardwell et al., ACM Queue 14(5), 2016). Fewer than that say nothing: one slow answer must not shut the way
//! to a network. And if all of them were slow, and so no job goes there any more that could tell better, they are forgotten
//! after `FORGOTTEN_AFTER_S`, and the link is tried again.
//!
//! Queueing on the link is the caller's to count.

/// The weight of a new round trip, as TCP smooths its own (RFC 6298).
const RTT_WEIGHT: f64 = 0.125;
/// Transfers that the rate is the greatest of.
const WINDOW: usize = 8;
/// How old the newest transfer may be before the rate is not known any more.
const FORGOTTEN_AFTER_S: f64 = 600.0;
/// Smaller transfers end within the sender's buffers and say nothing about the rate.
const TELLING_BYTES: u64 = 64 * 1024;

/// Round trip and rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    rtt_s: f64,
    rates: [f64; WINDOW],
    next: usize,
    newest_s: f64,
}

impl Link {
    /// Takes a measured round trip in.
    pub fn saw_round_trip(&mut self, seconds: f64) {
        if possible(seconds) {
            let mean_s = self.rtt_s;
            self.rtt_s = if mean_s > 0.0 { mean_s + RTT_WEIGHT * (seconds - mean_s) } else { seconds };
        }
    }

    /// Takes a transfer in that took so many seconds and ended at `now_s`; small ones are left out.
    pub fn saw_transfer(&mut self, bytes: u64, seconds: f64, now_s: f64) {
        if bytes >= TELLING_BYTES && possible(seconds) {
            if self.is_forgotten(now_s) {
                self.rates = [0.0; WINDOW];
            }
            self.rates[self.next] = bytes as f64 / seconds;
            self.next = (self.next + 1) % WINDOW;
            self.newest_s = now_s;
        }
    }

    /// Smoothed round trip, seconds; 0 before the first.
    #[must_use]
    pub fn rtt_s(&self) -> f64 {
        self.rtt_s
    }

    /// The rate, bytes per second; 0 while it is not known.
    #[must_use]
    pub fn bytes_per_s(&self, now_s: f64) -> f64 {
        let known = !self.is_forgotten(now_s) && self.rates.iter().all(|rate| *rate > 0.0);
        if known { self.rates.into_iter().fold(0.0, f64::max) } else { 0.0 }
    }

    fn is_forgotten(&self, now_s: f64) -> bool {
        now_s - self.newest_s > FORGOTTEN_AFTER_S
    }
}

/// Whether that can be how long something took.
fn possible(seconds: f64) -> bool {
    seconds.is_finite() && seconds > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn after(transfers: &[f64]) -> Link {
        let mut link = Link::default();
        transfers.iter().for_each(|seconds| link.saw_transfer(MB, *seconds, 0.0));
        link
    }

    #[test]
    fn the_first_round_trip_is_taken_whole_and_later_ones_smooth() {
        let mut link = Link::default();
        link.saw_round_trip(0.08);
        assert_eq!(link.rtt_s(), 0.08);
        link.saw_round_trip(0.16);
        assert!((link.rtt_s() - 0.09).abs() < 1e-12);
    }

    #[test]
    fn the_rate_is_the_greatest_of_a_whole_window() {
        let check = |transfers: &[f64], seconds_for_a_mb: Option<f64>| {
            let expected = seconds_for_a_mb.map_or(0.0, |seconds| MB as f64 / seconds);
            assert_eq!(after(transfers).bytes_per_s(0.0), expected, "{transfers:?}");
        };
        check(&[], None);
        check(&[100.0; 7], None);
        check(&[0.5; 8], Some(0.5));
        // A service that thinks for a minute slows nothing down.
        check(&[0.5, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0], Some(0.5));
        // A link that has become slow is believed after a window.
        check(&[0.5, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0], Some(60.0));
        // One that has become fast, at once.
        check(&[60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 0.5], Some(0.5));
    }

    #[test]
    fn what_nobody_has_confirmed_for_long_is_forgotten() {
        let mut link = after(&[60.0; 8]);
        assert!(link.bytes_per_s(600.0) > 0.0);
        assert_eq!(link.bytes_per_s(601.0), 0.0);
        link.saw_transfer(MB, 0.5, 700.0);
        assert_eq!(link.bytes_per_s(700.0), 0.0, "one says nothing, as at the start");
    }

    #[test]
    fn small_and_impossible_transfers_are_left_out() {
        let mut link = Link::default();
        link.saw_transfer(1024, 1e-6, 0.0);
        link.saw_transfer(MB, 0.0, 0.0);
        link.saw_transfer(MB, -1.0, 0.0);
        link.saw_transfer(MB, f64::NAN, 0.0);
        link.saw_round_trip(f64::INFINITY);
        assert_eq!(link, Link::default());
    }
}
