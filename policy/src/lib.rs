//! What adumbra does with a job, as values: which network should run it, whether a shadow is worth its bill, when the
//! evidence is enough, and what an outcome teaches.
//!
//! Nothing here reads a clock, draws a random number, opens anything or waits. Time comes in as seconds since an origin
//! of the caller's choice, random draws come in as arguments, and plans and decisions go out as values, so the proxy on
//! live traffic and a bench in virtual time run the very same code.
//!
//! Reading order: the words first, then the two decisions, then learning.

pub mod units;

pub mod job;
pub mod level;
pub mod observation;
pub mod progress;
pub mod reason;
pub mod view;

pub mod prediction;

pub mod cost;
pub mod gate;

pub mod decide;
pub mod plan;
pub mod replay;

pub mod budget;
pub mod fate;
pub mod fence;
pub mod forecast;
pub mod health;
pub mod herd;
pub mod inputs;
pub mod lease;
pub mod ledger;
pub mod link;
pub mod spend;
pub mod watchdog;

pub mod learn;
pub mod model;
pub mod residual;

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;

pub use decide::{Action, Decision, Step, decide};
pub use job::{Job, ShadowMode};
pub use level::{Caps, Level, LevelCaps, Levels};
pub use model::Model;
pub use observation::{Evidence, Observation, Phase};
pub use plan::{Plan, Shadowing, plan, plan_as};
pub use prediction::Prediction;
pub use progress::{Progress, ProgressSource};
pub use reason::Reason;
pub use spend::{Bill, SpendCaps};
pub use units::{ClassId, MAX_NETWORKS, NetworkId, NetworkSet, PerNetwork, Urgency};
pub use view::{NetworkView, Pricing, View};
pub use watchdog::{Arm, Watchdog};
