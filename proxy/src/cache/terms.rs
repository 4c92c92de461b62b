//! On what terms an answer is stored, and whether what is stored may be used: RFC 9111 §3 and §4 for a shared cache, and
//! where in doubt, no.
//!
//! More careful than the standard asks for: nothing is stored unless its origin says for how long it is fresh, or that it
//! may be used once it was validated; never with `Set-Cookie`, `private`, `no-store`, a `Vary` on what we add or on
//! credentials, a body whose end cannot be told from a cut, or announced trailers. A request with `Authorization` or a
//! `Cookie` has part in it only where the answer says `public` or `s-maxage`. `max-stale` is not heard.

use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_ENCODING, AGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, COOKIE, DATE, ETAG, EXPIRES,
    FORWARDED, LAST_MODIFIED, SET_COOKIE, TRAILER, VARY, VIA,
};
use http::{HeaderMap, HeaderName, StatusCode};

use super::directives::{Directives, seconds};
use crate::metrics::NotStored;

/// Bytes of a head that is stored, at the most.
pub(super) const HEAD_MOST: usize = 16 << 10;
/// Fields that an answer may vary by.
const VARY_MOST: usize = 16;

/// On what terms an answer is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it is fresh, from when it was made.
    pub(super) lifetime: Duration,
    /// How old it was when it came.
    pub(super) initial_age: Duration,
    /// How long after that it may be used while it is validated.
    pub(super) stale_while_revalidate: Duration,
    /// How long after that it may be used when its origin fails.
    pub(super) stale_if_error: Duration,
    /// Whether it may be given to requests with credentials.
    pub(super) is_public: bool,
    /// The request's values of what it varies by.
    pub(super) varies_by: Vec<(HeaderName, Vec<u8>)>,
}

/// How an answer came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provenance {
    /// Whether the end of its body is told from a cut.
    pub(crate) is_framed: bool,
    /// Whether it is that of a shadow which was adopted.
    pub(crate) is_a_shadows: bool,
}

/// When it was asked for and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// From the request to the head of its answer.
    pub(super) delay: Duration,
    /// When the head came.
    pub(super) now: SystemTime,
}

/// What may be done with what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It answers the request.
    Fresh,
    /// It answers the request, and is validated meanwhile.
    WhileRevalidated,
    /// Only when it was validated.
    Validate,
    /// It is not for this request.
    Never,
}

/// The terms on which this answer to a request with these headers is stored, if it may be.
pub(super) fn terms(
    request: &HeaderMap,
    status: StatusCode,
    headers: &HeaderMap,
    how: Provenance,
    when: Timing,
) -> Result<Terms, NotStored> {
    let said = Directives::of(headers);
    let is_public = said.public || said.s_maxage.is_some();
    let refusals = [
        (how.is_a_shadows, NotStored::Shadow),
        (!is_understood(status) || headers.contains_key(CONTENT_RANGE), NotStored::Status),
        (said.unreadable, NotStored::Unreadable),
        (said.no_store, NotStored::NoStore),
        (said.private, NotStored::Private),
        (headers.contains_key(SET_COOKIE), NotStored::SetCookie),
        (has_credentials(request) && !is_public, NotStored::Credentials),
        (!how.is_framed && !is_bodyless(status), NotStored::Framing),
        (headers.contains_key(TRAILER), NotStored::Trailers),
        (head_bytes(headers) > HEAD_MOST, NotStored::HeadTooLong),
    ];
    if let Some((_, why)) = refusals.into_iter().find(|(holds, _)| *holds) {
        return Err(why);
    }
    let lifetime = lifetime(&said, headers, when.now).ok_or(NotStored::NoLifetime)?;
    let may_be_stale = !said.must_revalidate && !said.no_cache && said.s_maxage.is_none();
    let allowed = |seconds: Option<u64>| Duration::from_secs(seconds.filter(|_| may_be_stale).unwrap_or(0));
    let terms = Terms {
        lifetime,
        initial_age: initial_age(headers, when)?,
        stale_while_revalidate: allowed(said.stale_while_revalidate),
        stale_if_error: allowed(said.stale_if_error),
        is_public,
        varies_by: varies_by(request, headers).ok_or(NotStored::Vary)?,
    };
    // What is stale at once is of use only if it can be validated or used nevertheless.
    let useful =
        terms.initial_age < terms.lifetime || has_validator(headers) || !terms.stale_while_revalidate.is_zero();
    if useful { Ok(terms) } else { Err(NotStored::NoLifetime) }
}

impl Terms {
    /// Whether what is stored on these terms is what a request with these headers would be answered with.
    pub(super) fn fit(&self, request: &HeaderMap) -> bool {
        self.varies_by.iter().all(|(name, value)| is_joined(request, name, value))
    }

    /// What may be done with it at this age, for a request that says this (RFC 9111 §4, §5.2.1).
    pub(super) fn usable(&self, age: Duration, asked: &Directives, has_credentials: bool) -> Use {
        if has_credentials && !self.is_public {
            return Use::Never;
        }
        let within = |seconds: Option<u64>| seconds.is_none_or(|seconds| age <= Duration::from_secs(seconds));
        if asked.no_cache || asked.unreadable || !within(asked.max_age) {
            return Use::Validate;
        }
        let wanted = Duration::from_secs(asked.min_fresh.unwrap_or(0));
        if age + wanted < self.lifetime {
            return Use::Fresh;
        }
        let stale_enough = asked.min_fresh.is_none() && age < self.lifetime + self.stale_while_revalidate;
        if stale_enough { Use::WhileRevalidated } else { Use::Validate }
    }

    /// Whether it may be used at this age because its origin has failed.
    pub(super) fn usable_in_need(&self, age: Duration, asked: &Directives) -> bool {
        !asked.no_cache && age < self.lifetime + self.stale_if_error.max(self.stale_while_revalidate)
    }
}

/// Whether a request says who asks.
pub(super) fn has_credentials(request: &HeaderMap) -> bool {
    request.contains_key(AUTHORIZATION) || request.contains_key(COOKIE)
}

/// Whether an answer can be validated.
pub(super) fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// What a head takes.
pub(super) fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
}

/// Final statuses whose answers mean the same when they are given again.
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410)
}

fn is_bodyless(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT
}

/// How long it is fresh, if it says so (RFC 9111 §4.2.1). Nothing is guessed.
fn lifetime(said: &Directives, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if said.no_cache {
        return Some(Duration::ZERO);
    }
    if let Some(seconds) = said.s_maxage.or(said.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let mut expires = headers.get_all(EXPIRES).iter();
    let first = expires.next()?;
    // More than one, or one that is no date, is as if it had expired (RFC 9111 §5.3).
    let expires = Some(first).filter(|_| expires.next().is_none()).and_then(|value| date(value.to_str().ok()?));
    let made = time(headers, &DATE).unwrap_or(now);
    Some(expires.and_then(|expires| expires.duration_since(made).ok()).unwrap_or_default())
}

/// How old it was when it came (RFC 9111 §4.2.3).
fn initial_age(headers: &HeaderMap, when: Timing) -> Result<Duration, NotStored> {
    let mut said = Duration::ZERO;
    for value in headers.get_all(AGE) {
        // An age that cannot be read may be any.
        let seconds = seconds(Some(value.as_bytes().trim_ascii())).ok_or(NotStored::Unreadable)?;
        said = said.max(Duration::from_secs(seconds));
    }
    let apparent = time(headers, &DATE).and_then(|made| when.now.duration_since(made).ok()).unwrap_or_default();
    Ok(apparent.max(said + when.delay))
}

/// The request's values of what the answer varies by; `None` if nobody can say what that is.
fn varies_by(request: &HeaderMap, answer: &HeaderMap) -> Option<Vec<(HeaderName, Vec<u8>)>> {
    let mut names: Vec<HeaderName> = Vec::new();
    for value in answer.get_all(VARY) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
        {
            names.push(Some(name).filter(|name| *name != b"*").and_then(|name| HeaderName::from_bytes(name).ok())?);
        }
    }
    // Many an origin forgets to say so.
    if answer.contains_key(CONTENT_ENCODING) {
        names.push(ACCEPT_ENCODING);
    }
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    // The service sees more in these than the client has sent; and what tells users apart is not kept.
    let ours = |name: &HeaderName| *name == FORWARDED || *name == VIA || name.as_str().starts_with("x-forwarded-");
    let secret = |name: &HeaderName| *name == AUTHORIZATION || *name == COOKIE;
    let unusable = |name: &HeaderName| ours(name) || secret(name) || name.as_str().starts_with("adumbra-");
    if names.len() > VARY_MOST || names.iter().any(unusable) {
        return None;
    }
    Some(names.into_iter().map(|name| (name.clone(), joined(request, &name))).collect())
}

/// A field's value, of all its lines.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    values.join(&b", "[..])
}

/// Whether that is what [`joined`] would make, without making it where there is one line, as there mostly is.
fn is_joined(headers: &HeaderMap, name: &HeaderName, value: &[u8]) -> bool {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => value.is_empty(),
        (Some(only), None) => only.as_bytes().trim_ascii() == value,
        (Some(_), Some(_)) => joined(headers, name) == value,
    }
}

/// A field's date, if there is exactly one.
pub(super) fn time(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    date(value.to_str().ok()?)
}

/// A date in any of the three forms (RFC 9110 §5.6.7).
pub(super) fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The length that a head announces.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
