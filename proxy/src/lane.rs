//! The lane: where this sidecar runs shadows of its own service, and what holds them within their caps.

// Taken off by what uses it: the workers of a process lane.
#[cfg_attr(not(test), expect(dead_code, reason = "the lane's workers come next"))]
pub(crate) mod cage;
