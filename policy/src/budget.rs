//! What may be spent on shadows on one network: in flight, per second, bytes per second.

/// Why no permit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoPermit {
    /// As many shadows run there as may.
    InFlight,
    /// As many were started in this second as may.
    Rate,
    /// The byte budget is spent.
    Bytes,
    /// The network's live work needs the room.
    LiveWork,
}

/// A network's shadow budget. Every shadow spends one permit; there is no queue for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowBudget {
    in_flight_most: u32,
    per_second: f64,
    bytes_per_second: f64,
}

impl ShadowBudget {
    /// A full budget.
    #[must_use]
    pub fn new(in_flight: u32, per_second: f64, bytes_per_second: f64) -> Self {
        Self { in_flight_most: in_flight, per_second, bytes_per_second }
    }

    /// Spends a permit for a shadow that will send `bytes`, or says what was lacking. `live_room` says whether the
    /// network has a slot that live work does not need.
    pub fn spend(&mut self, bytes: u64, live_room: bool, now_s: f64) -> Result<(), NoPermit> {
        unimplemented!("{bytes} {live_room} {now_s}")
    }

    /// Whether `spend` would give a permit.
    #[must_use]
    pub fn would_spend(&self, bytes: u64, live_room: bool, now_s: f64) -> bool {
        unimplemented!("{bytes} {live_room} {now_s}")
    }

    /// A shadow has ended; its permit's place in flight is free again.
    pub fn ended(&mut self) {
        unimplemented!()
    }

    /// Bytes that shadows moved beyond what they announced.
    pub fn moved(&mut self, bytes: u64, now_s: f64) {
        unimplemented!("{bytes} {now_s}")
    }

    /// Shadows in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        unimplemented!()
    }
}

impl NoPermit {
    /// The word for it, a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::LiveWork => "live_work",
        }
    }
}
