//! What bounds warming in bytes: a rate for all of it, and an allowance for each job.
//!
//! The rate is kept as the moment at which all that came so far is paid for (GCRA). Whoever fetches what the service waits
//! for does not ask here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How much may come at once, as a time: this long's worth.
const BURST: Duration = Duration::from_millis(100);

/// The rate of all fetches for warming together.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Paid>);

#[derive(Debug)]
struct Paid {
    bytes_per_s: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_s: f64) -> Self {
        Self(Mutex::new(Paid { bytes_per_s, at: Instant::now() }))
    }

    /// Goes by this rate from now on.
    pub(super) fn hold(&self, bytes_per_s: f64) {
        self.0.lock().bytes_per_s = bytes_per_s;
    }

    /// Takes `bytes` that have come, and says until when the next should be left where they are.
    pub(super) fn took(&self, bytes: usize) -> Option<Instant> {
        let mut paid = self.0.lock();
        let price = Duration::try_from_secs_f64(bytes as f64 / paid.bytes_per_s).unwrap_or(Duration::ZERO);
        let now = Instant::now();
        paid.at = paid.at.max(now) + price;
        paid.at.checked_sub(BURST).filter(|until| *until > now)
    }
}

/// What may still be fetched ahead for one job, bytes.
#[derive(Debug)]
pub(crate) struct Allowance(AtomicU64);

impl Allowance {
    pub(super) fn of(bytes: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(bytes)))
    }

    /// Takes `bytes` of it, all or nothing.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_comes_than_the_rate_allows() {
        let pace = Pace::new(1000.0);
        let began = Instant::now();
        for _ in 0..20 {
            if let Some(until) = pace.took(100) {
                tokio::time::sleep_until(until).await;
            }
        }
        let took_s = began.elapsed().as_secs_f64();
        assert!((1.8..=2.0).contains(&took_s), "{took_s}");
        pace.hold(f64::INFINITY);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pace.took(usize::MAX), None);
    }

    #[test]
    fn an_allowance_is_spent_once() {
        let allowance = Allowance::of(10);
        assert!(allowance.spend(6) && !allowance.spend(5) && allowance.spend(4) && !allowance.spend(1));
    }
}
