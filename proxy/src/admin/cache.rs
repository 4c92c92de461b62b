//! The response cache on the admin port: what it has come to, on `/status`, and `POST /cache/purge`.

use http::header::{ALLOW, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use serde::Serialize;

use super::{Seen, host, json, problem, query};
use crate::body::Body;
use crate::cache::Purge;
use crate::metrics::CacheSoFar;
use crate::problem::Problem;

/// Where purging is asked for.
pub(super) const PURGE: &str = "/cache/purge";

#[derive(Debug, Serialize)]
pub(super) struct CachePage {
    hits: u64,
    stale: u64,
    revalidated: u64,
    collapsed: u64,
    misses: u64,
    bypassed: u64,
    not_stored: u64,
    stored: u64,
    stored_bytes: u64,
    evicted_bytes: u64,
    damaged: u64,
    entries: u64,
    memory_bytes: u64,
    disk_bytes: u64,
}

impl From<CacheSoFar> for CachePage {
    fn from(so_far: CacheSoFar) -> Self {
        Self {
            hits: so_far.hits,
            stale: so_far.stale,
            revalidated: so_far.revalidated,
            collapsed: so_far.collapsed,
            misses: so_far.misses,
            bypassed: so_far.bypassed,
            not_stored: so_far.not_stored,
            stored: so_far.stored,
            stored_bytes: so_far.stored_bytes,
            evicted_bytes: so_far.evicted_bytes,
            damaged: so_far.damaged,
            entries: so_far.entries,
            memory_bytes: so_far.memory_bytes,
            disk_bytes: so_far.disk_bytes,
        }
    }
}

/// Takes out of the cache what an operator wants gone, and says how many answers that were.
pub(super) fn purge(seen: &Seen<'_>, request: &Parts) -> Response<Body> {
    if request.method != Method::POST {
        let mut response = problem(seen, Problem::MethodNotAllowed, "what is purged is gone: ask with POST");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if !may_write(request) {
        seen.metrics.admin_refused();
        return host::refusal();
    }
    let parameters = request.uri.query().unwrap_or("");
    match Purge::read(|name| query::first(parameters, name)) {
        Ok(purge) => json(format!("{{\"purged\":{}}}\n", (seen.purge)(&purge))),
        Err(error) => problem(seen, Problem::Malformed, &error.to_string()),
    }
}

/// Whether whoever asks may change something. A page in a browser may not: its browser says where it is from. This is the one
/// place where an operator's token is asked for, where there is one.
fn may_write(request: &Parts) -> bool {
    let site = request.headers.get("sec-fetch-site");
    !request.headers.contains_key(ORIGIN) && site.is_none_or(|site| site == "none" || site == "same-origin")
}
