//! Answers that come from the cache, and what is said on them: `Age`, and `Cache-Status` (RFC 9211).

use std::fmt::Write;
use std::sync::Arc;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::conditional::{Form, form};
use super::stored::{Headed, Source, Stored};
use super::{Asked, Cache, Outlet, Shared};
use crate::body::Body;
use crate::disk::ReadError;
use crate::metrics::{Bypass, Dropped};

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What `Cache-Status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Stored, and fresh.
    Hit,
    /// Stored and stale, and being validated.
    WhileRevalidated,
    /// Stored and stale, and the service has failed.
    InNeed,
    /// Stored, and validated just now.
    Revalidated,
    /// What another request fetched.
    Collapsed,
    /// Nothing was stored.
    Miss,
    /// The same, and now something is.
    Stored,
    /// What was stored was stale; the service has answered with this.
    Stale { status: StatusCode },
    /// The same, and that is stored now.
    StaleStored { status: StatusCode },
    /// The cache had no part in it.
    Bypassed(Bypass),
    /// Only what is stored was wanted, and nothing is.
    NotCached,
}

impl Said {
    /// The same, and the answer will be stored.
    pub(super) fn stored(self) -> Self {
        match self {
            Self::Miss => Self::Stored,
            Self::Stale { status } => Self::StaleStored { status },
            other => other,
        }
    }

    fn value(self, headed: Option<&Headed>) -> HeaderValue {
        let mut text = String::with_capacity(48);
        let word = match self {
            Self::Hit => "adumbra; hit",
            Self::WhileRevalidated => "adumbra; hit; detail=stale-while-revalidate",
            Self::InNeed => "adumbra; hit; fwd=stale; detail=stale-if-error",
            Self::Revalidated => "adumbra; hit; fwd=stale; fwd-status=304",
            Self::Collapsed => "adumbra; fwd=uri-miss; collapsed",
            Self::Miss => "adumbra; fwd=uri-miss",
            Self::Stored => "adumbra; fwd=uri-miss; stored",
            Self::Stale { .. } => "adumbra; fwd=stale; fwd-status=",
            Self::StaleStored { .. } => "adumbra; fwd=stale; stored; fwd-status=",
            Self::Bypassed(_) => "adumbra; fwd=bypass; detail=",
            Self::NotCached => "adumbra; fwd=miss; detail=only-if-cached",
        };
        text.push_str(word);
        let written = match self {
            Self::Stale { status } | Self::StaleStored { status } => write!(text, "{}", status.as_u16()),
            Self::Bypassed(why) => write!(text, "{}", why.as_str()),
            _ => Ok(()),
        };
        let ttl = headed.map_or(Ok(()), |headed| {
            let left = headed.terms.lifetime.as_secs_f64() - headed.age().as_secs_f64();
            write!(text, "; ttl={}", left.floor())
        });
        debug_assert!(written.and(ttl).is_ok(), "a string takes what is written to it");
        HeaderValue::try_from(text).expect("words and numbers are visible ASCII")
    }
}

/// The answer with what the cache has to say of it. Caches on the way have said theirs before.
pub(crate) fn said(mut response: Response<Body>, said: Said) -> Response<Body> {
    response.headers_mut().append(CACHE_STATUS, said.value(None));
    response
}

impl Cache {
    /// Answers with what is stored. What cannot be read is no longer stored.
    pub(super) async fn respond(
        self: &Arc<Self>,
        asked: &Asked,
        headers: &HeaderMap,
        stored: &Stored,
        said: Said,
    ) -> Result<Response<Body>, ReadError> {
        let len = stored.body.len;
        let form = form(headers, stored.head.status, &stored.head.headers, Some(len));
        let range = match &form {
            Form::NotModified | Form::Unsatisfiable => return Ok(bodyless(&stored.head, &form, Some(len), said)),
            _ if asked.is_head => return Ok(bodyless(&stored.head, &form, Some(len), said)),
            Form::Whole => 0..len,
            Form::Part(range) => range.clone(),
        };
        let bytes = range.end - range.start;
        let source = match self.source(&asked.key, stored, range).await {
            Ok(source) => source,
            Err(error) => {
                self.drop_one(&asked.key, stored, Dropped::Damaged);
                return Err(error);
            }
        };
        let body = match source {
            Source::Memory(bytes) => Body::full(bytes),
            Source::Disk(reader) => Body::Cached(Box::new(Outlet::new(reader, Some(bytes)))),
        };
        Ok(head(&stored.head, &form, Some(len), said).map(|()| body))
    }

    /// A body ready to be sent. A small one that was only on disk is in memory from now on.
    async fn source(&self, key: &[u8], stored: &Stored, range: std::ops::Range<u64>) -> Result<Source, ReadError> {
        let body = &stored.body;
        let is_small = body.len <= self.small_bytes() as u64;
        if is_small && body.in_memory().is_none() {
            let opened = body.open(self.disk.get(), None).await?;
            if let Source::Disk(mut reader) = opened {
                let mut all = Vec::with_capacity(body.len as usize);
                while let Some(data) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
                    all.extend_from_slice(&data?);
                }
                if let Some(hold) = self.reserve(body.len) {
                    body.promote(all.into(), hold);
                    self.shelf.promoted(key);
                }
            }
        }
        body.open(self.disk.get(), Some(range)).await
    }
}

/// An answer without a body.
pub(super) fn bodyless(headed: &Headed, form: &Form, len: Option<u64>, said: Said) -> Response<Body> {
    head(headed, form, len, said).map(|()| Body::Empty)
}

/// What another request fetches, for one more client.
pub(super) fn shared(asked: &Asked, headers: &HeaderMap, shared: Shared) -> Response<Body> {
    let Shared(arriving, reader) = shared;
    let form = form(headers, arriving.head.status, &arriving.head.headers, None);
    let response = head(&arriving.head, &form, arriving.len, Said::Collapsed);
    if form == Form::NotModified || asked.is_head {
        return response.map(|()| Body::Empty);
    }
    response.map(|()| Body::Cached(Box::new(Outlet::new(reader, arriving.len))))
}

fn head(headed: &Headed, form: &Form, len: Option<u64>, said: Said) -> Response<()> {
    let mut response = Response::new(());
    let mut headers = headed.headers.clone();
    headers.insert(AGE, headed.age().as_secs().into());
    headers.append(CACHE_STATUS, said.value(Some(headed)));
    let content_range = |text: String| HeaderValue::try_from(text).expect("numbers are visible ASCII");
    match (form, len) {
        (Form::Whole, len) => {
            *response.status_mut() = headed.status;
            let has_body = headed.status != StatusCode::NO_CONTENT;
            len.filter(|_| has_body).into_iter().for_each(|len| drop(headers.insert(CONTENT_LENGTH, len.into())));
        }
        (Form::Part(range), Some(len)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
            let text = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
            headers.insert(CONTENT_RANGE, content_range(text));
        }
        (Form::Unsatisfiable, Some(len)) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            without_content(&mut headers);
            headers.insert(CONTENT_LENGTH, 0.into());
            headers.insert(CONTENT_RANGE, content_range(format!("bytes */{len}")));
        }
        (Form::NotModified | Form::Part(_) | Form::Unsatisfiable, _) => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            without_content(&mut headers);
            if headers.contains_key(ETAG) {
                headers.remove(LAST_MODIFIED);
            }
        }
    }
    *response.headers_mut() = headers;
    response
}

/// Takes away what describes a body that is not there.
fn without_content(headers: &mut HeaderMap) {
    let describes = |name: &HeaderName| name.as_str().starts_with("content-") && *name != CONTENT_LOCATION;
    let names: Vec<HeaderName> = headers.keys().filter(|name| describes(name)).cloned().collect();
    names.iter().for_each(|name| drop(headers.remove(name)));
    headers.remove(TRANSFER_ENCODING);
}
