//! What is taken from a message before it goes on, and what is added.
//!
//! What is about one connection only must not reach the next. `Connection` may name fields away, but not those that we, or
//! the service, decide by ([`is_reserved`]): else a stranger could have `Authorization` or `X-Forwarded-For` removed behind
//! the back of whoever checked it. CGI and its heirs read `_` and `-` in names as the same, so a name with `_` that could
//! be read as another one is dropped.
//!
//! This runs for every message: one pass over the names, and nothing is looked up or allocated unless that found it.

use http::header::{
    CONNECTION, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Caller;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const OUR_VIA: HeaderValue = HeaderValue::from_static("1.1 adumbra");
/// Sidecars that a request may have come through: two are usual, one here and one there.
const OURS_MOST: usize = 8;
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const UPGRADING: HeaderValue = HeaderValue::from_static("upgrade");

/// Takes hop-by-hop and foreign `adumbra-*` fields from a request and adds where it came through.
/// `upgrading` keeps `Connection: upgrade` and `Upgrade`.
pub(crate) fn scrub_request(headers: &mut HeaderMap, caller: Caller<'_>, upgrading: bool) {
    let found = Found::in_names(headers);
    if found.names_with_underscore {
        remove_ambiguous(headers);
    }
    if found.ours && matches!(caller, Caller::Stranger(_)) {
        remove_ours(headers);
    }
    if found.cookie {
        join_cookies(headers);
    }
    remove_hop_by_hop(headers, &found, upgrading);
    if let Caller::Stranger(forwarded) = caller {
        append_to_list(headers, X_FORWARDED_FOR, &forwarded.client);
        append_to_list(headers, X_FORWARDED_PROTO, &forwarded.proto);
        if let Some(host) = headers.get(HOST).cloned() {
            append_to_list(headers, X_FORWARDED_HOST, &host);
        }
        if found.forwarded {
            headers.append(FORWARDED, forwarded.element.clone());
        }
    }
    headers.append(VIA, OUR_VIA);
}

/// Whether a request has been through more sidecars than any sensible chain has: then it goes round in a circle.
pub(crate) fn has_looped(headers: &HeaderMap) -> bool {
    let ours = |hop: &&[u8]| hop.eq_ignore_ascii_case(OUR_VIA.as_bytes());
    tokens(headers, &VIA).filter(ours).nth(OURS_MOST).is_some()
}

/// Takes hop-by-hop fields and `adumbra-*` from an answer.
/// `upgrading` keeps `Connection: upgrade` and `Upgrade` of a 101.
pub(crate) fn scrub_response(headers: &mut HeaderMap, upgrading: bool) {
    let found = Found::in_names(headers);
    if found.ours {
        remove_ours(headers);
    }
    remove_hop_by_hop(headers, &found, upgrading);
}

/// What one pass over the names has found. Most requests have little of it.
#[derive(Default)]
struct Found {
    connection: bool,
    te: bool,
    upgrade: bool,
    /// Another hop-by-hop field.
    rare: bool,
    ours: bool,
    cookie: bool,
    forwarded: bool,
    names_with_underscore: bool,
}

impl Found {
    fn in_names(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match *name {
                CONNECTION => found.connection = true,
                TE => found.te = true,
                UPGRADE => found.upgrade = true,
                TRANSFER_ENCODING | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => found.rare = true,
                COOKIE => found.cookie = true,
                FORWARDED => found.forwarded = true,
                _ => {
                    let name = name.as_str();
                    found.rare |= matches!(name, "keep-alive" | "proxy-connection" | "http2-settings");
                    found.ours |= name.starts_with("adumbra-");
                    found.names_with_underscore |= name.as_bytes().contains(&b'_');
                }
            }
        }
        found
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap, found: &Found, upgrading: bool) {
    if found.connection {
        for name in nominated(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if found.te {
        let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
        if trailers {
            headers.insert(TE, TRAILERS)
        } else {
            headers.remove(TE)
        };
    }
    if found.upgrade {
        if upgrading {
            headers.insert(CONNECTION, UPGRADING)
        } else {
            headers.remove(UPGRADE)
        };
    }
    if found.rare {
        for name in [TRANSFER_ENCODING, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
        for name in ["keep-alive", "proxy-connection", "http2-settings"] {
            headers.remove(name);
        }
    }
}

/// The fields that `Connection` names, but for those that nobody may name away.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &CONNECTION)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_reserved(name.as_str()))
        .collect()
}

/// The elements of a comma list, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn remove_ours(headers: &mut HeaderMap) {
    remove_all(headers, |name| name.starts_with("adumbra-"));
}

/// Takes away names with `_` that read as a reserved name, as another one that is there, or as each other.
fn remove_ambiguous(headers: &mut HeaderMap) {
    let dashed: Vec<String> =
        headers.keys().filter(|name| name.as_str().contains('_')).map(|name| name.as_str().replace('_', "-")).collect();
    let ambiguous = |name: &str| {
        let read_as = name.replace('_', "-");
        is_reserved(&read_as)
            || headers.contains_key(&read_as)
            || dashed.iter().filter(|other| **other == read_as).count() > 1
    };
    let away: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().contains('_') && ambiguous(name.as_str())).cloned().collect();
    for name in away {
        headers.remove(name);
    }
}

fn remove_all(headers: &mut HeaderMap, which: impl Fn(&str) -> bool) {
    let away: Vec<HeaderName> = headers.keys().filter(|name| which(name.as_str())).cloned().collect();
    for name in away {
        headers.remove(name);
    }
}

/// Whether we or the service decide by this field: how the message is framed, where it goes, who sent it, what it is.
fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 6] = ["adumbra-", "content-", "if-", "proxy-", "sec-", "x-forwarded-"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "accept-encoding"
                | "authorization"
                | "cache-control"
                | "connection"
                | "cookie"
                | "date"
                | "expect"
                | "forwarded"
                | "host"
                | "http2-settings"
                | "idempotency-key"
                | "keep-alive"
                | "link"
                | "location"
                | "origin"
                | "priority"
                | "range"
                | "referer"
                | "set-cookie"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "vary"
                | "via"
                | "www-authenticate"
                | "x-real-ip"
        )
}

/// HTTP/2 lets a client cut its cookies into lines; everybody else knows one line only (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        let joined = HeaderValue::try_from(lines.join(&b"; "[..])).expect("values joined by a semicolon are a value");
        headers.insert(COOKIE, joined);
    }
}

/// Adds to a comma list, whose lines become one: many services read the first line only.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    let mut lines = headers.get_all(&name).iter().map(HeaderValue::as_bytes).filter(|line| !line.is_empty());
    let Some(first) = lines.next() else {
        headers.insert(name, value.clone());
        return;
    };
    let mut joined = first.to_vec();
    for line in lines.chain([value.as_bytes()]) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    let joined = HeaderValue::try_from(joined).expect("values joined by a comma are a value");
    headers.insert(name, joined);
}
