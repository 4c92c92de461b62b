//! The four ways of placing jobs that the demo compares.
//!
//! Each is a route of the same private sidecar, chosen by a header, so all four pay the same proxy and the same link.

use super::world::{PRIVATE, PUBLIC};

/// The header that chooses the route.
pub(crate) const HEADER: &str = "x-demo-arm";

/// One way of placing jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arm {
    /// Everything runs at home.
    PrivateOnly,
    /// Everything runs on the public network.
    PublicOnly,
    /// Home first, public while home is full.
    Spill,
    /// adumbra predicts, shadows and decides.
    Adumbra,
}

impl Arm {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::PrivateOnly, Self::PublicOnly, Self::Spill, Self::Adumbra];

    /// Its name in routes and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PrivateOnly => "private_only",
            Self::PublicOnly => "public_only",
            Self::Spill => "spill",
            Self::Adumbra => "adumbra",
        }
    }

    /// Its name in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PrivateOnly => "private only",
            Self::PublicOnly => "public only",
            Self::Spill => "spill when full",
            Self::Adumbra => "adumbra",
        }
    }

    /// The route's `shadow`.
    pub(crate) fn shadow(self) -> &'static str {
        if self == Self::Adumbra { "on" } else { "off" }
    }

    /// The route's `residency`.
    pub(crate) fn residency(self) -> &'static [&'static str] {
        match self {
            Self::PrivateOnly => &[PRIVATE],
            Self::PublicOnly => &[PUBLIC],
            Self::Spill | Self::Adumbra => &[PRIVATE, PUBLIC],
        }
    }

    /// The order of the arms in a round: each round begins with another, so that none is always first.
    pub(crate) fn order(round: usize) -> [Self; 4] {
        std::array::from_fn(|at| Self::ALL[(at + round) % Self::ALL.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::Arm;

    #[test]
    fn every_arm_is_first_once_in_four_rounds() {
        let mut first: Vec<Arm> = (0..4).map(|round| Arm::order(round)[0]).collect();
        first.sort_unstable();
        assert_eq!(first, Arm::ALL);
        assert!((0..4).all(|round| {
            let mut order = Arm::order(round);
            order.sort_unstable();
            order == Arm::ALL
        }));
    }
}
