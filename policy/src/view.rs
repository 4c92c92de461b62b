//! What the sidecar knows of the networks at one moment, and what things are worth.
//!
//! The caller fills a [`View`] for each job from its ledger, the latest load reports and its measured links. Everything in
//! it is a plain number, taken once, so a plan and the decisions that follow it can be told apart by time alone.

use crate::forecast::Outlook;
use crate::level::{LevelCaps, Levels};
use crate::prediction::Prediction;
use crate::residual::Correction;
use crate::units::{NetworkId, NetworkSet, PerNetwork, Urgency};

/// All networks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Where this sidecar stands.
    pub home: NetworkId,
    /// The networks that exist.
    pub networks: NetworkSet,
    /// What is known of each; only those in `networks` mean anything.
    pub state: PerNetwork<NetworkView>,
    /// What time and resources are worth.
    pub pricing: Pricing,
    /// How much may be shadowed, and for how long.
    pub shadowing: ShadowLimits,
}

impl View {
    /// `predictions`, corrected by what the model is off by just now.
    pub(crate) fn corrected(&self, mut predictions: PerNetwork<Option<Prediction>>) -> PerNetwork<Option<Prediction>> {
        for (prediction, state) in predictions.0.iter_mut().zip(&self.state.0) {
            if let Some(prediction) = prediction {
                state.correction.correct(prediction);
            }
        }
        predictions
    }
}

/// One network at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkView {
    /// Whether its breaker is closed and its active checks pass.
    pub healthy: bool,
    /// Jobs in flight there: our own dispatches, plus what reports say of others.
    pub in_flight: u32,
    /// Where the jobs in flight there are going.
    pub outlook: Outlook,
    /// Jobs it can run at once; 0 means not known, and then never full.
    pub capacity: u32,
    /// Seconds a job sent now would wait before it starts, from the ledger.
    pub wait_s: f64,
    /// Round trip to it, seconds.
    pub rtt_s: f64,
    /// Measured bytes per second of the link to it; 0 means not known, and then never the limit.
    pub link_bytes_per_s: f64,
    /// Bytes already on their way over that link.
    pub link_queued_bytes: f64,
    /// Whether a shadow permit for it could be had now.
    pub shadow_room: bool,
    /// Bytes of this job's inputs that are already there.
    pub warm_bytes: u64,
    /// Measured bytes per second at which inputs are fetched there: 0 is not known, and then they take no time. `None` where
    /// they come over the link, as the body does, and are at hand at home.
    pub fetch_bytes_per_s: Option<f64>,
    /// What the model is off by just now for this job's class.
    pub correction: Correction,
    /// Price of its resources.
    pub price: Price,
    /// Money that may still be spent there, with what is in flight taken off; `None` if nothing caps it.
    pub spend_left: Option<f64>,
}

/// What one network charges. One currency everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// For each second that a job holds a slot.
    pub per_slot_s: f64,
    /// For each CPU second.
    pub per_cpu_s: f64,
    /// For each GiB of memory held for a second.
    pub per_gib_s: f64,
    /// For each GiB that crosses to or from it.
    pub per_gib_moved: f64,
    /// What a full slot costs the next job, per second, at the most (the λ of the congestion price is this times the value of time).
    pub congestion: f64,
    /// The share of capacity in flight above which congestion begins to cost.
    pub congestion_from: f64,
}

/// What time is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pricing {
    /// Value of one second of a client's waiting, by urgency level.
    pub time_value_per_s: [f64; Urgency::LEVELS],
}

impl Pricing {
    /// What a second is worth at this urgency.
    #[must_use]
    pub fn time_value_per_s(&self, urgency: Urgency) -> f64 {
        self.time_value_per_s[urgency.level() as usize]
    }
}

/// Bounds on shadowing that hold for every job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowLimits {
    /// The window as a share of the predicted time.
    pub window_share: f64,
    /// The shortest window, seconds.
    pub window_min_s: f64,
    /// Jobs predicted to be shorter than this are never shadowed, seconds.
    pub worthwhile_s: f64,
    /// The share of jobs that are shadowed only to learn.
    pub sample_share: f64,
    /// The longest that such a shadow may run, seconds; the shortest window, where that is longer.
    pub sample_window_s: f64,
    /// The share of jobs sent where the policy would not have, to learn; 0 to forbid.
    pub explore_share: f64,
    /// How much shadow each urgency buys.
    pub levels: Levels,
    /// What that is; the longest window of a job is its level's.
    pub caps: LevelCaps,
}
