//! What may be kept and whom it may be given to, case by case.

use http::{HeaderValue, Request, Response};

use super::*;

/// 2026-11-01 12:00:00 UTC.
const NOW_S: u64 = 1_793_534_400;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"));
    }
    headers
}

fn answer(lines: &[(&'static str, &str)]) -> response::Parts {
    let mut parts = Response::new(()).into_parts().0;
    parts.headers = headers(lines);
    parts
}

/// The lifetime of an answer of known length with these lines too.
#[track_caller]
fn check(lines: &[(&'static str, &str)], lifetime_s: Option<u64>) {
    let lines = [lines, &[("content-length", "5")]].concat();
    let terms = terms(&HeaderMap::new(), &answer(&lines), now());
    assert_eq!(terms.map(|terms| terms.lifetime.as_secs()), lifetime_s, "{lines:?}");
}

#[test]
fn what_the_origin_says_about_freshness_counts() {
    check(&[("cache-control", "max-age=100")], Some(100));
    check(&[("cache-control", "public, MAX-AGE = \"100\"")], Some(100));
    check(&[("cache-control", "max-age=100, s-maxage=7")], Some(7));
    check(&[("cache-control", "max-age=100"), ("cache-control", "max-age=50")], Some(50));
    check(&[("cache-control", "max-age=100"), ("expires", "0")], Some(100));
    check(&[("date", "Sun, 01 Nov 2026 12:00:00 GMT"), ("expires", "Sun, 01 Nov 2026 12:01:40 GMT")], Some(100));
    check(&[("expires", "Sun, 01 Nov 2026 12:00:30 GMT")], Some(30));
    check(&[("cache-control", "max-age=100"), ("age", "99")], Some(100));
}

#[test]
fn what_it_does_not_say_is_guessed_low() {
    check(&[], Some(30));
    check(&[("last-modified", "Sun, 01 Nov 2026 11:56:40 GMT")], Some(20));
    check(&[("last-modified", "Sun, 01 Nov 2026 12:00:00 GMT")], Some(10));
    check(&[("last-modified", "Sun, 01 Nov 2026 12:30:00 GMT")], Some(10));
    check(&[("last-modified", "Sat, 01 Nov 2025 12:00:00 GMT")], Some(60));
}

#[test]
fn what_may_not_be_kept_is_not() {
    for value in
        ["no-store", "private", "no-cache", "Private=\"x\"", "max-age=60, NO-STORE", "max-age=60, no-cache=\"x, y\""]
    {
        check(&[("cache-control", value)], None);
    }
    check(&[("cache-control", "max-age=0")], None);
    check(&[("cache-control", "max-age=soon")], None);
    check(&[("cache-control", "max-age=60"), ("cache-control", "max-age=soon")], None);
    check(&[("cache-control", "max-age=60"), ("age", "60")], None);
    check(&[("cache-control", "max-age=60"), ("age", "old")], None);
    check(&[("expires", "0")], None);
    check(&[("expires", "Sun, 01 Nov 2026 11:59:59 GMT")], None);
    check(&[("vary", "*")], None);
    check(&[("vary", "accept, *")], None);
    check(&[("set-cookie", "a=b")], None);
    check(&[("transfer-encoding", "gzip, chunked")], None);
    for status in [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_FOUND, StatusCode::FOUND, StatusCode::NO_CONTENT] {
        let mut answer = answer(&[("cache-control", "max-age=60"), ("content-length", "5")]);
        answer.status = status;
        assert_eq!(terms(&HeaderMap::new(), &answer, now()), None);
    }
}

#[test]
fn an_end_that_looks_like_a_cut_is_not_kept() {
    let keep =
        |lines: &[(&'static str, &str)]| terms(&HeaderMap::new(), &answer(lines), now()).map(|terms| terms.length);
    assert_eq!(keep(&[]), None);
    assert_eq!(keep(&[("content-length", "12")]), Some(Some(12)));
    assert_eq!(keep(&[("content-length", "twelve")]), None);
    assert_eq!(keep(&[("transfer-encoding", "Chunked")]), Some(None));
    assert_eq!(keep(&[("transfer-encoding", "chunked"), ("content-length", "12")]), Some(None));
}

#[test]
fn what_varies_is_given_to_who_asks_alike() {
    let fits = |asked: &[(&'static str, &str)], said: &[(&'static str, &str)], asks: &[(&'static str, &str)]| {
        let said = [said, &[("content-length", "5")]].concat();
        terms(&headers(asked), &answer(&said), now()).expect("it may be kept").fit(&headers(asks))
    };
    let vary = [("vary", "Accept, X-Kind")];
    assert!(fits(&[], &[], &[("accept", "image/png")]));
    assert!(fits(&[], &vary, &[]));
    assert!(fits(&[("accept", "*/*")], &vary, &[("accept", " */*")]));
    assert!(!fits(&[("accept", "*/*")], &vary, &[]));
    assert!(!fits(&[("accept", "*/*")], &vary, &[("accept", "*/*"), ("x-kind", "a")]));
    assert!(!fits(&[], &vary, &[("x-kind", "")]) || fits(&[("x-kind", "")], &vary, &[]), "empty is like none");

    let plain = [("vary", "accept-encoding")];
    assert!(fits(&[("accept-encoding", "identity")], &plain, &[("accept-encoding", "gzip, deflate")]));
    assert!(fits(&[("accept-encoding", "identity")], &plain, &[("accept-encoding", "gzip;q=0, br, *;q=0.5")]));
    assert!(!fits(&[("accept-encoding", "identity")], &plain, &[("accept-encoding", "gzip, identity;q=0")]));
    assert!(!fits(&[("accept-encoding", "identity")], &plain, &[("accept-encoding", "gzip, *; q=0.0")]));
    for said in [&[("content-encoding", "gzip")][..], &[("content-encoding", "gzip"), ("vary", "accept-encoding")]] {
        assert!(fits(&[("accept-encoding", "gzip")], said, &[("accept-encoding", "gzip")]));
        assert!(!fits(&[("accept-encoding", "gzip")], said, &[]));
    }
}

#[test]
fn only_a_plain_get_is_answered_from_what_is_kept() {
    let may = |method: Method, lines: &[(&'static str, &str)]| {
        let mut parts = Request::new(()).into_parts().0;
        (parts.method, parts.headers) = (method, headers(lines));
        may_use_kept(&parts)
    };
    assert!(may(Method::GET, &[]));
    assert!(may(Method::GET, &[("user-agent", "x"), ("accept", "*/*"), ("content-length", "0")]));
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert!(!may(method, &[]));
    }
    for line in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Sun, 01 Nov 2026 12:00:00 GMT"),
        ("cache-control", "no-cache"),
        ("cache-control", "max-stale, no-store"),
        ("cache-control", "max-age=0"),
        ("cache-control", "only-if-cached"),
        ("pragma", "no-cache"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
    ] {
        assert!(!may(Method::GET, &[line]), "{line:?}");
    }
}

#[test]
fn what_nobody_calls_fresh_is_not_shared_by_requests_that_may_have_credentials() {
    let keep = |asked: &[(&'static str, &str)], said: &[(&'static str, &str)]| {
        let said = [said, &[("content-length", "5")]].concat();
        terms(&headers(asked), &answer(&said), now())
    };
    let key = [("x-api-key", "a")];
    let said = [("cache-control", "max-age=9")];
    assert!(keep(&key, &[]).is_none());
    assert!(keep(&key, &said).is_some(), "an origin that says so must also say what it varies by");
    let plain = [("host", "a"), ("accept", "*/*"), ("user-agent", "b"), ("via", "1.1 c")];
    let guessed = keep(&plain, &[]).expect("nothing tells who asks");
    assert!(guessed.fit(&headers(&plain)) && !guessed.fit(&headers(&key)));
    assert!(keep(&plain, &said).expect("it may be kept").fit(&headers(&key)));
}
