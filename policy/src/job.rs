//! A job as the policy sees it: what could be known on arrival, and what its route allows.
//!
//! It holds no request. Everything that decides is a number or a set, so that a trace can be replayed as jobs.

use crate::units::{ClassId, NetworkId, NetworkSet, Urgency};

/// How many numbers a route may extract from a request (`x_*` in the configuration).
pub const EXTRACTED: usize = 4;

/// How far adumbra may go with a job, after the route's mode, its rollout and the kill switch have spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowMode {
    /// Never shadowed, never placed by prediction: home first, spill when home is full.
    Off,
    /// Placed as with `Off`, but shadowed and predicted, to learn what acting would have done.
    Observe,
    /// Shadowed and acted on.
    On,
}

/// One request for work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// What kind of job it is.
    pub class: ClassId,
    /// How soon the answer is wanted, already clamped to what the route allows.
    pub urgency: Urgency,
    /// How far adumbra may go with it.
    pub mode: ShadowMode,
    /// Networks that the job's residency allows it to leave a byte on.
    pub residency: NetworkSet,
    /// Whether running it twice is harmless: a safe method, or the route says so.
    pub repeatable: bool,
    /// Whether its body may be teed: complete, or sure to fit the spool, and neither an upgrade nor a two-way stream.
    pub spoolable: bool,
    /// Whether the lead may not start before the decision (the route offers a dry run without side effects).
    pub hold: bool,
    /// Whether this sidecar must run it where it stands: a transfer that has arrived, or somebody's shadow.
    pub last_hop: bool,
    /// Where the asynchronous job runs that this request is about, if it is about one: nothing is known of it elsewhere.
    pub located: Option<NetworkId>,
    /// Whether an execution that loses would run on for good: the first answer comes long before the end, and nobody may
    /// delete what it left.
    pub leaves_twin: bool,
    /// Bytes of the request's body, where the request says.
    pub body_bytes: Option<u64>,
    /// Bytes of the inputs it declares, where they are known.
    pub input_bytes: Option<u64>,
    /// Hour of the day, 0..24, in UTC.
    pub hour: f32,
    /// What the route extracts; NaN where it is missing.
    pub extracted: [f32; EXTRACTED],
    /// A uniform draw from 0..1, for exploration; the same draw gives the same plan.
    pub draw: f64,
}

/// How far adumbra goes with one job of a route that says `route`, whose rollout lets a `rollout` share of its jobs in.
/// `enabled` is the kill switch; the jobs that the rollout leaves out are off. `draw` is uniform in 0..1 and must not be
/// one that decides anything else about the job, or the two decisions are no longer independent.
#[must_use]
pub fn mode(route: ShadowMode, rollout: f64, enabled: bool, draw: f64) -> ShadowMode {
    if enabled && draw < rollout { route } else { ShadowMode::Off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollout_and_kill_switch_have_the_last_word() {
        let check = |rollout, enabled, draw, expected| {
            assert_eq!(mode(ShadowMode::On, rollout, enabled, draw), expected, "{rollout} {enabled} {draw}");
        };
        check(1.0, true, 0.999, ShadowMode::On);
        check(0.1, true, 0.05, ShadowMode::On);
        check(0.1, true, 0.1, ShadowMode::Off);
        check(0.0, true, 0.0, ShadowMode::Off);
        check(1.0, false, 0.0, ShadowMode::Off);
        check(f64::NAN, true, 0.0, ShadowMode::Off);
        check(1.0, true, f64::NAN, ShadowMode::Off);
        assert_eq!(mode(ShadowMode::Observe, 0.5, true, 0.2), ShadowMode::Observe);
    }
}
