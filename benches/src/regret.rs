//! The regret bench: real jobs in virtual time through every rule that people use, through adumbra, and through one who knows
//! what nobody can, to see how far from it each is.
//!
//! In reading order: [`world`] is what is assumed, [`lots`] what is drawn for a run, `ground` what happens whoever decides,
//! `rules`, `adumbra` and `clairvoyant` who decides, [`play`] one run, [`compare`] all of them, [`report`] and [`picture`]
//! what is made of it.

mod adumbra;
pub mod arms;
pub mod bench;
#[cfg(test)]
mod blind;
mod census;
pub mod clairvoyant;
pub mod compare;
pub mod dice;
mod ground;
pub mod lots;
pub mod picture;
pub mod play;
pub mod report;
mod rules;
mod sidecar;
pub mod synthetic;
mod wan;
pub mod world;

pub use world::World;

/// A part of adumbra that an arm goes without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// No shadow ever gets a permit.
    Shadow,
    /// A shadow may show that the job should move, but the job then starts afresh.
    Adoption,
    /// Scarce slots cost no more than others.
    Congestion,
    /// The two sides of one job are not known to be of one job.
    Pairing,
    /// Intervals as the leaves say.
    Calibration,
    /// Nothing compares it with *spill when full*.
    Watchdog,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] =
        [Self::Shadow, Self::Adoption, Self::Congestion, Self::Pairing, Self::Calibration, Self::Watchdog];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Adoption => "adoption",
            Self::Congestion => "congestion",
            Self::Pairing => "pairing",
            Self::Calibration => "calibration",
            Self::Watchdog => "watchdog",
        }
    }
}
