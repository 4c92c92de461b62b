//! From a network's answer to what its client gets: stored on the way, if that may be.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;

use super::conditional::{Form, form};
use super::fill::{self, Filling, Into};
use super::flights::{Arriving, Lead};
use super::meta;
use super::respond::{self, Said};
use super::stored::{Headed, kept};
use super::terms::{self, Provenance, Terms, Timing, has_validator, head_bytes};
use super::{Asked, BOOKKEEPING_BYTES, Cache, Found, Outlet};
use crate::body::Body;
use crate::disk::{Growth, Reader};
use crate::metrics::{CacheResult, NotStored};

/// On a request whose answer may be stored: whoever passes the answer on says how it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storing;

/// A fetch that the cache waits for.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(super) lead: Lead,
    pub(super) asked: Asked,
    /// The request's, as they came.
    pub(super) headers: HeaderMap,
    /// What is to be validated.
    pub(super) found: Option<Found>,
    asked_at: Instant,
    is_in_background: bool,
}

impl Fetch {
    pub(super) fn new(lead: Lead, asked: &Asked, headers: &HeaderMap, found: Option<Found>) -> Self {
        let (asked, headers, asked_at) = (asked.clone(), headers.clone(), Instant::now());
        Self { lead, asked, headers, found, asked_at, is_in_background: false }
    }

    /// Nobody reads what is fetched.
    pub(super) fn in_background(self) -> Self {
        Self { is_in_background: true, ..self }
    }

    /// Makes the request ask for what can be stored: the whole, or that the whole is what is stored already. What its client
    /// has is for us to compare.
    pub(crate) fn prepare<B>(&mut self, request: &mut Request<B>) {
        self.asked_at = Instant::now();
        request.extensions_mut().insert(Storing);
        let headers = request.headers_mut();
        headers.remove(IF_NONE_MATCH);
        headers.remove(IF_MODIFIED_SINCE);
        let stored = self.found.as_ref().map(|found| &found.0.head.headers);
        let Some(stored) = stored.filter(|stored| has_validator(stored)) else {
            self.found = self.found.take().filter(|found| !found.0.head.terms.stale_if_error.is_zero());
            return;
        };
        for (of, name) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(value) = stored.get(of) {
                headers.insert(name, value.clone());
            }
        }
    }

    pub(super) fn timing(&self) -> Timing {
        Timing { delay: self.asked_at.elapsed(), now: SystemTime::now() }
    }
}

/// What became of a fetch.
pub(crate) enum Received {
    /// This is the client's.
    Answer(Response<Body>),
    /// What was validated is not what the service speaks of: it has to be fetched whole.
    Again(Fetch),
}

/// Whether a service has failed, so that something stale may be better.
pub(super) fn has_failed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

impl Cache {
    /// Takes in the answer to a fetch.
    pub(crate) async fn receive(self: &Arc<Self>, fetch: Fetch, mut response: Response<Body>) -> Received {
        let how = response.extensions_mut().remove::<Provenance>();
        let how = how.unwrap_or(Provenance { is_framed: false, is_a_shadows: false });
        if response.status() == StatusCode::NOT_MODIFIED && fetch.found.is_some() {
            return self.renew(fetch, &response, how).await;
        }
        if has_failed(response.status())
            && let Some(answer) = self.in_need(&fetch).await
        {
            return Received::Answer(answer);
        }
        self.metrics.cache.answered(CacheResult::Miss);
        let said = match &fetch.found {
            Some(_) => Said::Stale { status: response.status() },
            None => Said::Miss,
        };
        let headers = response.headers();
        let terms = terms::terms(&fetch.headers, response.status(), headers, how, fetch.timing());
        match terms.and_then(|terms| self.begin(&fetch, &response, terms)) {
            Ok(beginning) => Received::Answer(self.store(fetch, response, beginning, said)),
            Err(why) => {
                self.declines(fetch, why, response.status());
                Received::Answer(respond::said(response, said))
            }
        }
    }

    /// The answer is not stored.
    fn declines(&self, fetch: Fetch, why: NotStored, status: StatusCode) {
        self.metrics.cache.not_stored(why);
        // What was stored is no longer what the service says.
        if let Some(found) = fetch.found.as_ref().filter(|_| !has_failed(status)) {
            self.drop_one(&fetch.asked.key, &found.0, crate::metrics::Dropped::Replaced);
        }
        let passing = !matches!(why, NotStored::NoRoom | NotStored::Shadow | NotStored::Disk) && !has_failed(status);
        if passing {
            self.shelf.passes(&fetch.asked.passing_key());
        }
        fetch.lead.declines();
    }

    fn begin(&self, fetch: &Fetch, response: &Response<Body>, terms: Terms) -> Result<Beginning, NotStored> {
        if !self.is_on() {
            return Err(NotStored::Invalidated);
        }
        let len = terms::length(response.headers()).or_else(|| response.body().size_hint().exact());
        let settings = self.settings.load();
        let disk = self.disk.get().filter(|_| settings.disk_bytes > 0);
        let small = self.small_bytes();
        let most = match disk {
            Some(_) => self.disk_limits().object_bytes.max(small as u64).min(settings.object_bytes),
            None => settings.object_bytes.min(small as u64),
        };
        if len.is_some_and(|len| len > most) {
            return Err(NotStored::TooLarge);
        }
        let headers = kept(response.headers());
        let head_cost = head_bytes(&headers) + fetch.asked.key.len() + BOOKKEEPING_BYTES;
        let hold = self.reserve(head_cost as u64).ok_or(NotStored::NoRoom)?;
        let body_hold = self.reserve(len.unwrap_or(u64::MAX).min(small as u64)).ok_or(NotStored::NoRoom)?;
        let disk_key = meta::disk_key(&fetch.asked.key, &terms);
        let status = response.status();
        let head = Arc::new(Headed { status, headers, terms, came: Instant::now(), _hold: hold });
        let into = match disk {
            Some(disk) => Into::Disk(Box::new(disk.write(&disk_key, small).map_err(|_| NotStored::HeadTooLong)?)),
            None => Into::Memory(Growth::new()),
        };
        Ok(Beginning { head, into, len, most, small, body_hold })
    }

    fn store(
        self: &Arc<Self>,
        fetch: Fetch,
        response: Response<Body>,
        beginning: Beginning,
        said: Said,
    ) -> Response<Body> {
        let Beginning { head, into, len, most, small, body_hold } = beginning;
        self.shelf.no_longer_passes(&fetch.asked.passing_key());
        let growth = Arc::clone(into.growth());
        fetch.lead.arrives(Arriving { head: Arc::clone(&head), body: Arc::clone(&growth), len });
        let form = form(&fetch.headers, head.status, &head.headers, None);
        let reads = form == Form::Whole && !fetch.is_in_background;
        // Entered before anything is filled in, or the filling would stop at once, for want of readers.
        let reader = Reader::growing(growth).filter(|_| reads);
        let (parts, body) = response.into_parts();
        let filling = Filling {
            cache: Arc::clone(self),
            key: fetch.asked.key,
            lead: Some(fetch.lead),
            head: Arc::clone(&head),
            into,
            len,
            most,
            small,
            body_hold,
            ends_unread: reads,
        };
        tokio::spawn(fill::fill(filling, body));
        let said = said.stored();
        match reader {
            Some(reader) => {
                let body = Body::Cached(Box::new(Outlet::new(reader, len)));
                respond::said(Response::from_parts(parts, body), said)
            }
            None => respond::bodyless(&head, &form, None, said),
        }
    }
}

/// What is needed to store an answer.
struct Beginning {
    head: Arc<Headed>,
    into: Into,
    len: Option<u64>,
    most: u64,
    small: usize,
    body_hold: super::Hold,
}
