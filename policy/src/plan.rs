//! The first decision: what to do with a job on arrival.

use crate::job::Job;
use crate::model::Model;
use crate::prediction::Prediction;
use crate::reason::Reason;
use crate::units::{NetworkId, NetworkSet, PerNetwork};
use crate::view::View;

/// What happens to the real job at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shadowing {
    /// Send now; nothing is shadowed.
    Direct,
    /// The target starts at once; shadows run on `on`, and the question is whether to switch.
    Lead {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long they may, seconds.
        window_s: f64,
    },
    /// Shadows run on `on` and the real job is held until the answer is settled or the window ends.
    Probe {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long the job may be held, seconds.
        window_s: f64,
    },
    /// The target starts at once; shadows on `on` run in the background, only to learn.
    Sample {
        /// Where shadows run.
        on: NetworkSet,
        /// For how long they may, seconds.
        window_s: f64,
    },
}

/// What to do with a job, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Where it goes, or where it leans while it is held.
    pub target: NetworkId,
    /// Why there.
    pub reason: Reason,
    /// What is shadowed meanwhile.
    pub shadowing: Shadowing,
    /// The networks that passed every gate.
    pub eligible: NetworkSet,
    /// What was predicted for each network, where a model could.
    pub predictions: PerNetwork<Option<Prediction>>,
    /// What each eligible network would cost, all terms; NaN where it was not computed.
    pub costs: PerNetwork<f64>,
    /// The expected gain from shadowing, in money, that the plan was chosen by.
    pub worth: f64,
}

/// Plans a job.
#[must_use]
pub fn plan(job: &Job, view: &View, model: Option<&Model>, now_s: f64) -> Plan {
    unimplemented!("{job:?} {view:?} {} {now_s}", model.is_some())
}
