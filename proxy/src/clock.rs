//! The proxy's clock: seconds since the process began, which is what `policy` counts in.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

fn origin() -> Instant {
    *ORIGIN.get_or_init(Instant::now)
}

/// Seconds since the process began to count.
pub(crate) fn now_s() -> f64 {
    origin().elapsed().as_secs_f64()
}

/// The moment that is `at_s` seconds after the origin.
pub(crate) fn instant(at_s: f64) -> Instant {
    let offset = Duration::try_from_secs_f64(at_s.max(0.0)).unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
    origin() + offset
}

/// Milliseconds since 1970, for people and logs.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Seconds since 1970, for what must mean the same after a restart.
pub(crate) fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Hour of the day in UTC, 0..24.
pub(crate) fn hour_utc() -> f32 {
    let seconds = (unix_ms() / 1000) % 86_400;
    seconds as f32 / 3600.0
}
