//! A request as HTTP/2 wants it: scheme and authority in the target, and no `Host`.
//!
//! What that changes is kept, since a request that could not be sent goes on over another connection, which may well be one
//! of HTTP/1.1: there it would be one in absolute form and without `Host`, which no server takes.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version, header};

use crate::body::Body;

/// What a request was before it took its absolute form.
#[derive(Debug)]
pub(super) struct Absolute {
    version: Version,
    uri: Uri,
    host: Option<HeaderValue>,
}

impl Absolute {
    /// Gives `request` its absolute form.
    pub(super) fn form(mut request: Request<Body>, tls: bool) -> (Request<Body>, Self) {
        let version = std::mem::replace(request.version_mut(), Version::HTTP_2);
        let host = request.headers_mut().remove(header::HOST);
        let uri = std::mem::take(request.uri_mut());
        let authority = host.as_ref().and_then(authority).unwrap_or_else(|| Authority::from_static("localhost"));
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        (request, Self { version, uri, host })
    }

    /// The request as it was.
    pub(super) fn undo(self, mut request: Request<Body>) -> Request<Body> {
        *request.version_mut() = self.version;
        *request.uri_mut() = self.uri;
        if let Some(host) = self.host {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }
}

fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, host: Option<&str>) -> Request<Body> {
        let mut request = Request::get(target);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        request.body(Body::Empty).expect("a request")
    }

    #[test]
    fn scheme_and_authority_move_into_the_target_and_back() {
        let check = |target: &str, host: Option<&str>, tls, absolute: &str| {
            let (formed, kept) = Absolute::form(request(target, host), tls);
            assert_eq!(formed.uri(), absolute);
            assert_eq!((formed.version(), formed.headers().len()), (Version::HTTP_2, 0));
            let back = kept.undo(formed);
            let before = request(target, host);
            assert_eq!((back.uri(), back.version()), (before.uri(), before.version()));
            assert_eq!(back.headers(), before.headers());
        };
        check("/a?b=c", Some("service:81"), false, "http://service:81/a?b=c");
        check("/a", Some("service"), true, "https://service/a");
        check("/a", None, false, "http://localhost/a");
    }
}
