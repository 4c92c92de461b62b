//! What is stored is used again: because the service says that it still holds (RFC 9111 §4.3.4), or because it says nothing.

use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, Response};

use super::receive::{Fetch, Received};
use super::respond::{self, Said};
use super::stored::{Headed, Stored, kept};
use super::terms::{self, Provenance, head_bytes};
use super::{BOOKKEEPING_BYTES, Cache, Found};
use crate::body::Body;
use crate::metrics::{CacheResult, Dropped};

impl Cache {
    /// A 304 came: what was validated holds, with newer headers.
    pub(super) async fn renew(
        self: &Arc<Self>,
        mut fetch: Fetch,
        response: &Response<Body>,
        how: Provenance,
    ) -> Received {
        let newer = response.headers();
        let found = fetch.found.take();
        let Some(Found(stored)) = found.filter(|found| speaks_of(newer, &found.0.head.headers)) else {
            // It was fetched for nothing, and the next time nothing is to be validated.
            return Received::Again(fetch);
        };
        let key = fetch.asked.key.clone();
        let headers = merged(&stored.head.headers, newer);
        // Framing is of no concern: there is no body.
        let how = Provenance { is_framed: true, ..how };
        let terms = terms::terms(&fetch.headers, stored.head.status, &headers, how, fetch.timing());
        let hold = self.reserve((head_bytes(&headers) + key.len() + BOOKKEEPING_BYTES) as u64);
        let (Ok(terms), Some(hold)) = (terms, hold) else {
            // It holds for this client, and is not to be kept any longer.
            self.drop_one(&key, &stored, Dropped::Replaced);
            return self.hand_out(fetch, &stored, Said::Revalidated).await;
        };
        let head = Headed { status: stored.head.status, headers, terms, came: Instant::now(), _hold: hold };
        let new = Stored { head: Arc::new(head), body: Arc::clone(&stored.body) };
        if !fetch.lead.is_outdated() && !self.shelf.renew(&key, &stored, new.clone()) {
            tracing::debug!("what was validated was dropped meanwhile");
        }
        self.hand_out(fetch, &new, Said::Revalidated).await
    }

    async fn hand_out(self: &Arc<Self>, fetch: Fetch, stored: &Stored, said: Said) -> Received {
        let answer = self.respond(&fetch.asked, &fetch.headers, stored, said).await;
        match answer {
            Ok(answer) => {
                self.metrics.cache.answered(CacheResult::Revalidated);
                Received::Answer(answer)
            }
            Err(_) => Received::Again(fetch),
        }
    }

    /// The service has failed: what is stale, if it may be given in that case.
    pub(super) async fn in_need(self: &Arc<Self>, fetch: &Fetch) -> Option<Response<Body>> {
        let Found(stored) = fetch.found.as_ref()?;
        if !stored.head.terms.usable_in_need(stored.head.age(), &fetch.asked.directives) {
            return None;
        }
        let answer = self.respond(&fetch.asked, &fetch.headers, stored, Said::InNeed).await.ok()?;
        self.metrics.cache.answered(CacheResult::Stale);
        Some(answer)
    }

    /// Answers with what is stored; `None` if it cannot be read, and then it is no longer stored.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        asked: &super::Asked,
        headers: &HeaderMap,
        found: &Found,
        is_stale: Staleness,
    ) -> Option<Response<Body>> {
        let (said, result) = match is_stale {
            Staleness::Fresh => (Said::Hit, CacheResult::Hit),
            Staleness::Stale => (Said::WhileRevalidated, CacheResult::Stale),
        };
        let answer = self.respond(asked, headers, &found.0, said).await.ok()?;
        self.metrics.cache.answered(result);
        Some(answer)
    }

    /// Answers with what another request fetches.
    pub(crate) fn answer_shared(
        &self,
        asked: &super::Asked,
        headers: &HeaderMap,
        shared: super::Shared,
    ) -> Response<Body> {
        self.metrics.cache.answered(CacheResult::Collapsed);
        respond::shared(asked, headers, shared)
    }
}

/// Whether what is stored is past its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staleness {
    Fresh,
    Stale,
}

/// Whether a 304 with these headers is about what has those (RFC 9111 §4.3.4): it may only name the same tag.
fn speaks_of(newer: &HeaderMap, stored: &HeaderMap) -> bool {
    let opaque = |etag: &http::HeaderValue| {
        let etag = etag.as_bytes().trim_ascii();
        etag.strip_prefix(b"W/").unwrap_or(etag).to_vec()
    };
    if !terms::has_validator(stored) {
        return false;
    }
    match (newer.get(ETAG), stored.get(ETAG)) {
        (Some(newer), Some(stored)) => opaque(newer) == opaque(stored),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// The stored headers with the newer ones in their places (RFC 9111 §3.2). What describes the body stays: there was none.
fn merged(stored: &HeaderMap, newer: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    let newer = kept(newer);
    for name in newer.keys() {
        if [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG].contains(name) {
            continue;
        }
        merged.remove(name);
        for value in newer.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    merged
}
