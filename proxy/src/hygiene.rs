//! What a request must be before anything looks at it, and what is taken from it and from its answer before it goes on.
//!
//! A proxy is attacked where two parsers read one message differently, so nothing ambiguous is repaired: [`check`] refuses
//! it. It judges HTTP/1 and HTTP/2 alike and relies on nobody: the guard has seen the bytes of HTTP/1, but this also holds
//! where there was no guard. What is then taken and added is in [`scrub`].

pub(crate) mod authority;
mod scrub;

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::problem::Problem;

pub(crate) use scrub::{has_looped, scrub_request, scrub_response};

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
    /// Whether its connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.proto == "https"
    }

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

#[cfg(test)]
mod tests;
