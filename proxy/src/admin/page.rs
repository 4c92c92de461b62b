//! The page for people, at `/`: a few files of this program that read what the rest of the admin port shows.
//!
//! It needs no build and fetches nothing from elsewhere, which its content security policy holds it to; that also keeps anything a
//! client has sent from being run, should it ever get into the page as more than text.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::typed;
use crate::body::Body;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What is asked for by whoever shows pages; a program that asks for nothing in particular gets the list of what there is.
pub(super) fn is_wanted(request: &Parts) -> bool {
    let accepts = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

/// A file of the page.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    let (kind, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/page/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page/page.js" => ("text/javascript; charset=utf-8", include_str!("page/page.js")),
        "/page/draw.js" => ("text/javascript; charset=utf-8", include_str!("page/draw.js")),
        "/page/tree.js" => ("text/javascript; charset=utf-8", include_str!("page/tree.js")),
        "/page/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        _ => return None,
    };
    let mut response = typed(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    Some(response)
}
