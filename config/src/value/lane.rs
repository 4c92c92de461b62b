//! How shadows run at home, and how `adumbra run` keeps the processes it starts.

use std::time::Duration;

use super::Endpoint;

/// How shadows run at home, and what enforces their caps there.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// What they run on.
    pub kind: LaneKind,
    /// Worker processes, where the kind is [`LaneKind::Process`].
    pub workers: usize,
    /// Replicas, at least one where the kind is [`LaneKind::Address`].
    pub upstreams: Vec<Endpoint>,
}

/// What a shadow runs on at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// On the live service itself: only concurrency, bandwidth and window are capped.
    Shared,
    /// On worker processes of the service's own command, each in a cage.
    Process,
    /// On replicas that somebody else caps.
    Address,
}

/// How the processes that `adumbra run` starts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How long one may take until it accepts connections.
    pub start: Duration,
    /// How long the service may take to end after SIGTERM.
    pub grace: Duration,
    /// The longest wait before one that keeps dying is started again.
    pub back_off: Duration,
}
