//! What this sidecar has in flight on one network, and how long a job sent now would wait there.

/// One dispatch in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// When it was sent.
    pub started_s: f64,
    /// What it was predicted to take from its start, if anything was; NaN if not.
    pub predicted_s: f64,
}

/// Seconds a job sent at `now_s` would wait for one of `capacity` slots, by replaying `in_flight` first come, first
/// served. `others` counts jobs of other sidecars. A capacity of 0 means not known: no wait.
#[must_use]
pub fn wait_s(in_flight: &[Entry], others: u32, capacity: u32, typical_s: f64, now_s: f64) -> f64 {
    unimplemented!("{in_flight:?} {others} {capacity} {typical_s} {now_s}")
}
