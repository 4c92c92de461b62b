//! What may be kept, for how long, and whom it may be given to: RFC 9111, and where in doubt, no.
//!
//! Kept is a 200 to a plain GET that says nothing against it. Not kept: `no-store`, `no-cache`, `private`, `Vary: *`,
//! `Set-Cookie`, a body whose end cannot be told from a cut (neither a length nor chunks), anything that would be stale at
//! once. There is no revalidation: what is stale is fetched anew.
//!
//! Freshness is what the origin says (`s-maxage`, `max-age`, `Expires`). If it says nothing: a tenth of the time since
//! `Last-Modified`, at least [`HEURISTIC_LEAST`] and at most [`HEURISTIC_MOST`]; and without that, [`HEURISTIC_BARE`].
//! All are short because nobody has promised anything. The least is there because an input has often been put where it is
//! just before its job was sent, and a job must find what was warmed for it. What is guessed about is kept for and given to
//! only requests without a field that might be a credential.

use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_ENCODING, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, DATE, EXPIRES,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, PRAGMA, RANGE,
    SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, request, response};

/// The shortest that is guessed from `Last-Modified`.
const HEURISTIC_LEAST: Duration = Duration::from_secs(10);
/// The longest that is guessed from `Last-Modified`.
const HEURISTIC_MOST: Duration = Duration::from_secs(60);
/// What is guessed from nothing.
const HEURISTIC_BARE: Duration = Duration::from_secs(30);

/// On what terms an answer is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it is fresh, from when it was made.
    pub(super) lifetime: Duration,
    /// How old it was when it came.
    pub(super) age: Duration,
    /// Whether nobody has said how long that is. Then nobody has said either that it is the same for all: it is only for
    /// requests that say nothing of who asks.
    pub(super) guessed: bool,
    /// The request's values of what the answer varies by.
    pub(super) varies_by: Vec<(HeaderName, Vec<u8>)>,
    /// Whether its content is coded, gzip say.
    pub(super) coded: bool,
    /// Its length, if it says so.
    pub(super) length: Option<u64>,
}

/// Whether a request may be answered with what is kept, and its answer kept.
pub(super) fn may_use_kept(request: &request::Parts) -> bool {
    const SPECIAL: [HeaderName; 9] = [
        AUTHORIZATION,
        COOKIE,
        RANGE,
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_RANGE,
        IF_UNMODIFIED_SINCE,
        TRANSFER_ENCODING,
    ];
    let headers = &request.headers;
    let body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    // What it says about the age of what it would take is honoured by not giving it anything kept.
    const CHOOSY: [&str; 5] = ["no-cache", "no-store", "max-age", "min-fresh", "only-if-cached"];
    let choosy = directives(headers).any(|(name, _)| CHOOSY.contains(&name.as_str()))
        || headers.get(PRAGMA).is_some_and(|pragma| pragma == "no-cache");
    request.method == Method::GET && !body && !choosy && !SPECIAL.iter().any(|name| headers.contains_key(name))
}

/// The terms on which the answer to `request` may be kept, if it may.
pub(super) fn terms(request: &HeaderMap, answer: &response::Parts, now: SystemTime) -> Option<Terms> {
    let headers = &answer.headers;
    let forbidden = directives(headers).any(|(name, _)| matches!(name.as_str(), "no-store" | "no-cache" | "private"));
    if answer.status != StatusCode::OK || forbidden || headers.contains_key(SET_COOKIE) {
        return None;
    }
    let chunked = headers.get(TRANSFER_ENCODING);
    let length = match (headers.get(CONTENT_LENGTH), chunked) {
        (Some(length), None) => Some(length.to_str().ok()?.parse().ok()?),
        (_, Some(coding)) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => None,
        _ => return None,
    };
    let age = if headers.contains_key(AGE) { seconds(text(headers, &AGE))? } else { Duration::ZERO };
    let said = lifetime(headers, now)?;
    if said.is_none() && !is_anybodys(request) {
        return None;
    }
    let (lifetime, guessed) = (said.unwrap_or_else(|| guess(headers, now)), said.is_none());
    let coded = headers.contains_key(CONTENT_ENCODING);
    let varies_by = varies_by(request, headers, coded)?;
    (age < lifetime).then_some(Terms { lifetime, age, guessed, varies_by, coded, length })
}

impl Terms {
    /// Whether what is kept on these terms is what `request` would be answered with.
    pub(super) fn fit(&self, request: &HeaderMap) -> bool {
        (!self.guessed || is_anybodys(request))
            && self.varies_by.iter().all(|(name, value)| {
                let asked = joined(request, name);
                // What is not coded at all may be given to anybody who does not rule that out.
                asked == *value || (*name == ACCEPT_ENCODING && !self.coded && !rules_out_identity(&asked))
            })
    }
}

/// Whether a request has only fields that say nothing of who asks. Keys and tokens go by many names, so all that is not known
/// to be harmless might be one.
fn is_anybodys(request: &HeaderMap) -> bool {
    const HARMLESS: [&str; 17] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "date",
        "host",
        "keep-alive",
        "pragma",
        "priority",
        "proxy-connection",
        "te",
        "traceparent",
        "tracestate",
        "user-agent",
        "via",
    ];
    request.keys().all(|name| HARMLESS.contains(&name.as_str()))
}

/// How long the answer is fresh, if it says so. `None` around that if it does in a way that cannot be read.
#[expect(clippy::option_option, reason = "saying nothing and saying nonsense are two things")]
fn lifetime(headers: &HeaderMap, now: SystemTime) -> Option<Option<Duration>> {
    for wanted in ["s-maxage", "max-age"] {
        let said = directives(headers).filter(|(name, _)| name == wanted).map(|(_, value)| seconds(value.as_deref()));
        if let Some(shortest) = said.reduce(Option::min) {
            return shortest.map(Some);
        }
    }
    if headers.contains_key(EXPIRES) {
        let made = time(headers, &DATE).unwrap_or(now);
        return time(headers, &EXPIRES)?.duration_since(made).ok().map(Some);
    }
    Some(None)
}

/// How long it may be taken to be fresh when nobody says so.
fn guess(headers: &HeaderMap, now: SystemTime) -> Duration {
    let made = time(headers, &DATE).unwrap_or(now);
    match time(headers, &LAST_MODIFIED) {
        Some(modified) => {
            let unchanged = made.duration_since(modified).unwrap_or_default();
            (unchanged / 10).clamp(HEURISTIC_LEAST, HEURISTIC_MOST)
        }
        None => HEURISTIC_BARE,
    }
}

/// The request's values of what the answer varies by; `None` if that is everything.
fn varies_by(request: &HeaderMap, answer: &HeaderMap, coded: bool) -> Option<Vec<(HeaderName, Vec<u8>)>> {
    let mut names = Vec::new();
    for value in answer.get_all(VARY) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
        {
            if name == b"*" {
                return None;
            }
            names.push(HeaderName::from_bytes(name).ok()?);
        }
    }
    // Many an origin forgets to say so.
    if coded {
        names.push(ACCEPT_ENCODING);
    }
    Some(names.into_iter().map(|name| (name.clone(), joined(request, &name))).collect())
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    values.join(&b", "[..])
}

/// Whether an `Accept-Encoding` has no place for content that is not coded.
fn rules_out_identity(accept_encoding: &[u8]) -> bool {
    accept_encoding.split(|byte| *byte == b',').any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts.next().is_some_and(|name| name == b"*" || name.eq_ignore_ascii_case(b"identity"));
        named && parts.any(|weight| weight.starts_with(b"q=0") && !weight.iter().any(|b| (b'1'..=b'9').contains(b)))
    })
}

/// The directives of `Cache-Control`: names in lower case, and what follows the `=`.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (String, Option<String>)> {
    headers.get_all(CACHE_CONTROL).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(
        |directive| {
            let directive = String::from_utf8_lossy(directive);
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name, Some(value.trim().trim_matches('"').to_owned())),
                None => (&*directive, None),
            };
            (name.trim().to_ascii_lowercase(), value)
        },
    )
}

fn seconds(value: Option<&str>) -> Option<Duration> {
    value?.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn time(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

#[cfg(test)]
mod tests;
