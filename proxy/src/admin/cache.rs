//! The response cache on the admin port: what it has come to, on `/status`, and `POST /cache/purge`.

use http::Response;
use serde::Serialize;

use super::write::Refusal;
use super::{json, query};
use crate::body::Body;
use crate::cache::{Cache, Purge};
use crate::metrics::CacheSoFar;
use crate::problem::Problem;

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
pub(super) fn purge(cache: &Cache, query: &str) -> Result<Response<Body>, Refusal> {
    match Purge::read(|name| query::first(query, name)) {
        Ok(purge) => Ok(json(format!("{{\"purged\":{}}}\n", cache.purge(&purge)))),
        Err(error) => Err(Refusal(Problem::Malformed, error.to_string())),
    }
}
