//! What of a head goes on to an origin, what comes back from one, and what is kept.

use http::header::{ACCEPT, ACCEPT_ENCODING, AGE, CONTENT_LENGTH, DATE, EXPECT, TE, TRAILER, TRANSFER_ENCODING, VIA};
use http::{HeaderMap, HeaderValue};

use super::reader;
use crate::hygiene;

/// What warming asks with: anything, and not coded, since that may be given to everybody.
pub(super) fn warming() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("*/*")),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// Takes from a head what is about one connection only, and what is ours. An origin learns nothing of who asks, unlike a
/// service, so requests are not told to be forwarded.
pub(super) fn scrub(headers: &mut HeaderMap) {
    hygiene::scrub_response(headers, false);
    headers.remove(TE);
}

/// What a request for data takes along. The service's `Expect` is answered here.
pub(super) fn onward(headers: &HeaderMap) -> HeaderMap {
    let mut onward = headers.clone();
    scrub(&mut onward);
    reader::forget(&mut onward);
    onward.remove(EXPECT);
    onward.append(VIA, HeaderValue::from_static("1.1 adumbra"));
    onward
}

/// What is kept of an answer's head.
pub(super) fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    scrub(&mut kept);
    kept.remove(AGE);
    kept.remove(TRAILER);
    // Chunks have no length to keep, and a second one beside them would be an attack.
    if headers.contains_key(TRANSFER_ENCODING) {
        kept.remove(CONTENT_LENGTH);
    }
    if !kept.contains_key(DATE)
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(std::time::SystemTime::now()))
    {
        kept.insert(DATE, now);
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn what_is_about_one_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Secret"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "etag"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("adumbra-cache", "hit"),
            ("content-length", "3"),
            ("user-agent", "test"),
            ("age", "7"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let names = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&kept(&headers)), ["date", "user-agent"]);
        assert_eq!(names(&onward(&headers)), ["age", "content-length", "trailer", "user-agent", "via"]);
    }
}
