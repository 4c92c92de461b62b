//! Why a network was chosen or ruled out. One word for each, the same in the log, the metric and the response header.

/// The reason of a plan or a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The route or the kill switch keeps adumbra out of it.
    RouteOff,
    /// It arrived as a transfer or a shadow: it runs here.
    LastHop,
    /// No model yet: home first.
    NoModelHome,
    /// No model yet, or not allowed to act, and home is full: spilled.
    Spill,
    /// Only one network passed the gates because of residency.
    Residency,
    /// The others are not healthy.
    Health,
    /// The others have no room.
    Capacity,
    /// The others cannot be reached in time over the link.
    Bandwidth,
    /// What may be spent on the others is spent.
    Spend,
    /// Every gate was shut; home gets it all the same.
    NothingEligible,
    /// Lowest predicted cost before any evidence.
    Cheaper,
    /// The evidence confirmed the lead.
    LeadConfirmed,
    /// The evidence made another network cheaper.
    Switched,
    /// The lead broke before it answered.
    LeadFailed,
    /// The lead's response head came: what the client reads is never switched.
    LeadAnswered,
    /// A shadow had the whole answer first.
    ShadowFinished,
    /// The window ended and nothing spoke against the leaning.
    WindowEnded,
    /// A bounded, declared exploration.
    Explore,
    /// The first target did not execute the job or may be repeated: the next network gets it.
    Failover,
    /// It is about an asynchronous job, which runs there.
    Located,
    /// Placed by the fixed rule, spill when full, so that the policy can be compared with it.
    Guard,
    /// Placed by the fixed rule, for the policy has turned out dearer than it.
    Fallback,
}

impl Reason {
    /// Every reason, in the order of the metric's documentation.
    pub const ALL: [Self; 22] = [
        Self::RouteOff,
        Self::LastHop,
        Self::NoModelHome,
        Self::Spill,
        Self::Residency,
        Self::Health,
        Self::Capacity,
        Self::Bandwidth,
        Self::Spend,
        Self::NothingEligible,
        Self::Cheaper,
        Self::LeadConfirmed,
        Self::Switched,
        Self::LeadFailed,
        Self::LeadAnswered,
        Self::ShadowFinished,
        Self::WindowEnded,
        Self::Explore,
        Self::Failover,
        Self::Located,
        Self::Guard,
        Self::Fallback,
    ];

    /// The word for it: a metric label, a log field, a header parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RouteOff => "route_off",
            Self::LastHop => "last_hop",
            Self::NoModelHome => "no_model_home",
            Self::Spill => "spill",
            Self::Residency => "residency",
            Self::Health => "health",
            Self::Capacity => "capacity",
            Self::Bandwidth => "bandwidth",
            Self::Spend => "spend",
            Self::NothingEligible => "nothing_eligible",
            Self::Cheaper => "cheaper",
            Self::LeadConfirmed => "lead_confirmed",
            Self::Switched => "switched",
            Self::LeadFailed => "lead_failed",
            Self::LeadAnswered => "lead_answered",
            Self::ShadowFinished => "shadow_finished",
            Self::WindowEnded => "window_ended",
            Self::Explore => "explore",
            Self::Failover => "failover",
            Self::Located => "located",
            Self::Guard => "guard",
            Self::Fallback => "fallback",
        }
    }

    /// Its place in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
