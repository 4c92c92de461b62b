//! What a request must be before anything looks at it, and what is taken from it and from its answer before it goes on.
//!
//! A proxy is attacked where two parsers read one message differently, so nothing ambiguous is repaired: [`check`] refuses
//! it. It judges HTTP/1 and HTTP/2 alike and relies on nobody: the guard has seen the bytes of HTTP/1, but this also holds
//! where there was no guard.
//!
//! What is about one connection only must not reach the next. `Connection` may name fields away, but not those that we, or
//! the service, decide by ([`is_reserved`]): else a stranger could have `Authorization` or `X-Forwarded-For` removed behind
//! the back of whoever checked it. CGI and its heirs read `_` and `-` in names as the same, so a name with `_` that could
//! be read as another one is dropped.
//!
//! This runs for every request: one pass over the names, and nothing is allocated unless something odd is found.

pub(crate) mod authority;

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::problem::Problem;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const OUR_VIA: HeaderValue = HeaderValue::from_static("1.1 adumbra");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const UPGRADING: HeaderValue = HeaderValue::from_static("upgrade");

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// Anybody: what it says about itself is added to, and it cannot speak for us.
    Stranger(&'a Forwarded),
    /// Another sidecar, over the peers listener: it has added what there was to add.
    Peer,
}

/// What is said of a stranger to the service. Made once a connection.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    client: HeaderValue,
    proto: HeaderValue,
    element: HeaderValue,
}

/// Whether a client's connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// It is not.
    None,
    /// It is.
    Tls,
}

impl Forwarded {
    /// What is said of the client at `client`.
    pub(crate) fn new(client: IpAddr, encryption: Encryption) -> Self {
        let client = client.to_canonical();
        let proto = match encryption {
            Encryption::None => "http",
            Encryption::Tls => "https",
        };
        let element = match client {
            IpAddr::V4(client) => format!("for={client};proto={proto}"),
            IpAddr::V6(client) => format!("for=\"[{client}]\";proto={proto}"),
        };
        let value = |text: String| HeaderValue::try_from(text).expect("an address and a word are visible ASCII");
        Self { client: value(client.to_string()), proto: HeaderValue::from_static(proto), element: value(element) }
    }
}

/// Refuses what is not one canonical request; leaves the target in origin form and one `Host`.
///
/// Only an HTTP/1.0 request may leave without `Host`: there is no name that it was sent to.
pub(crate) fn check<B>(request: &mut Request<B>) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::ConnectRefused);
    }
    check_framing(request.version(), request.headers())?;
    let host = single(request.headers(), &HOST)?;
    if host.is_some_and(|host| !authority::is_valid(host.as_bytes())) {
        return Err(Problem::Malformed);
    }
    if request.uri().authority().is_some() {
        check_absolute(request.uri(), host)?;
        make_origin_form(request)?;
    } else if host.is_none() && request.version() > Version::HTTP_10 {
        return Err(Problem::Malformed);
    }
    match request.uri().path_and_query().map(PathAndQuery::as_str) {
        Some("*") if request.method() == Method::OPTIONS => Ok(()),
        Some(path) if path.starts_with('/') && path.is_ascii() => Ok(()),
        _ => Err(Problem::Malformed),
    }
}

/// At most one framing, said once and in digits; HTTP/2 frames for itself.
fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let length = single(headers, &CONTENT_LENGTH)?;
    if length.is_some_and(|length| length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(Problem::Malformed);
    }
    let Some(coding) = single(headers, &TRANSFER_ENCODING)? else { return Ok(()) };
    let chunked = version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if chunked && length.is_none() { Ok(()) } else { Err(Problem::Malformed) }
}

/// The field's value, if there is one; more than one is malformed.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Problem::Malformed),
    }
}

/// An absolute form (or HTTP/2's pseudo-fields) names a web origin, and the one that `Host` names.
fn check_absolute(uri: &Uri, host: Option<&HeaderValue>) -> Result<(), Problem> {
    let named = uri.authority().map_or("", |authority| authority.as_str());
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(Problem::Malformed),
    };
    let agree = host.is_none_or(|host| authority::same(host.as_bytes(), named.as_bytes(), https));
    if agree && authority::is_valid(named.as_bytes()) { Ok(()) } else { Err(Problem::Malformed) }
}

/// Moves the authority to `Host`, if there is none, and leaves path and query.
fn make_origin_form<B>(request: &mut Request<B>) -> Result<(), Problem> {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = parts.authority
        && !request.headers().contains_key(HOST)
    {
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Problem::Malformed)?;
        request.headers_mut().insert(HOST, host);
    }
    let mut target = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
    if target.as_str().starts_with('?') {
        target = PathAndQuery::try_from(format!("/{}", target.as_str())).map_err(|_| Problem::Malformed)?;
    }
    *request.uri_mut() = Uri::from(target);
    Ok(())
}

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
    if found.hop_by_hop {
        remove_hop_by_hop(headers, upgrading);
    }
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

/// Takes hop-by-hop fields from an answer, and `adumbra-*` unless a sidecar sent it.
/// `upgrading` keeps `Connection: upgrade` and `Upgrade` of a 101.
pub(crate) fn scrub_response(headers: &mut HeaderMap, from_sidecar: bool, upgrading: bool) {
    let found = Found::in_names(headers);
    if found.ours && !from_sidecar {
        remove_ours(headers);
    }
    if found.hop_by_hop {
        remove_hop_by_hop(headers, upgrading);
    }
}

/// What one pass over the names has found. Most requests have nothing of it.
#[derive(Default)]
struct Found {
    hop_by_hop: bool,
    ours: bool,
    forwarded: bool,
    names_with_underscore: bool,
}

impl Found {
    fn in_names(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match *name {
                CONNECTION | TE | TRANSFER_ENCODING | UPGRADE | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => {
                    found.hop_by_hop = true;
                }
                FORWARDED => found.forwarded = true,
                _ => {
                    let name = name.as_str();
                    found.hop_by_hop |= matches!(name, "keep-alive" | "proxy-connection" | "http2-settings");
                    found.ours |= name.starts_with("adumbra-");
                    found.names_with_underscore |= memchr::memchr(b'_', name.as_bytes()).is_some();
                }
            }
        }
        found
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap, upgrading: bool) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove("http2-settings");
    if tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers")) {
        headers.insert(TE, TRAILERS);
    } else {
        headers.remove(TE);
    }
    if upgrading && headers.contains_key(UPGRADE) {
        headers.insert(CONNECTION, UPGRADING);
    } else {
        headers.remove(UPGRADE);
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

#[cfg(test)]
mod tests;
