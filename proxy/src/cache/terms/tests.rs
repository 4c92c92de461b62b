//! What may be stored and given again, by the sections of RFC 9111.

use http::{HeaderName, HeaderValue};

use super::*;

const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const HOUR_AGO: &str = "Sun, 06 Nov 1994 07:49:37 GMT";
const IN_AN_HOUR: &str = "Sun, 06 Nov 1994 09:49:37 GMT";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

const FRAMED: Provenance = Provenance { is_framed: true, is_a_shadows: false };

fn at_once() -> Timing {
    Timing { delay: Duration::ZERO, now: date(NOW).expect("a date") }
}

fn terms_of(
    request: &[(&'static str, &str)],
    status: u16,
    answer: &[(&'static str, &str)],
) -> Result<Terms, NotStored> {
    let status = StatusCode::from_u16(status).expect("a status");
    terms(&headers(request), status, &headers(answer), FRAMED, at_once())
}

fn refused(request: &[(&'static str, &str)], status: u16, answer: &[(&'static str, &str)], why: NotStored) {
    assert_eq!(terms_of(request, status, answer), Err(why), "{request:?} {status} {answer:?}");
}

fn stored(request: &[(&'static str, &str)], status: u16, answer: &[(&'static str, &str)]) -> Terms {
    terms_of(request, status, answer).unwrap_or_else(|why| panic!("{request:?} {status} {answer:?}: {why:?}"))
}

/// RFC 9111 §3.
#[test]
fn an_answer_is_stored_only_if_nothing_speaks_against_it() {
    let fresh = ("cache-control", "max-age=60");
    stored(&[], 200, &[fresh]);
    for status in [203, 204, 300, 301, 308, 404, 405, 410] {
        stored(&[], status, &[fresh]);
    }
    for status in [206, 302, 307, 401, 403, 429, 500, 502, 503, 504] {
        refused(&[], status, &[fresh], NotStored::Status);
    }
    refused(&[], 200, &[fresh, ("content-range", "bytes 0-1/5")], NotStored::Status);
    refused(&[], 200, &[("cache-control", "max-age=60, No-Store")], NotStored::NoStore);
    refused(&[], 200, &[fresh, ("cache-control", "PRIVATE")], NotStored::Private);
    refused(&[], 200, &[("cache-control", "private=\"x-user\", max-age=60")], NotStored::Private);
    refused(&[], 200, &[("cache-control", "public, max-age=60"), ("set-cookie", "a=b")], NotStored::SetCookie);
    refused(&[], 200, &[("cache-control", "max-age=60, =")], NotStored::Unreadable);
    refused(&[], 200, &[fresh, ("trailer", "x-sum")], NotStored::Trailers);
    refused(&[], 200, &[fresh, ("x-long", &"x".repeat(HEAD_MOST))], NotStored::HeadTooLong);
    // Nothing is guessed (§4.2.2 lets a cache, and does not make it).
    refused(&[], 200, &[], NotStored::NoLifetime);
    refused(&[], 200, &[("last-modified", HOUR_AGO)], NotStored::NoLifetime);
    refused(&[], 200, &[("cache-control", "public")], NotStored::NoLifetime);
    refused(&[], 200, &[("cache-control", "max-age=0")], NotStored::NoLifetime);
    refused(&[], 200, &[("cache-control", "no-cache")], NotStored::NoLifetime);
    stored(&[], 200, &[("cache-control", "no-cache"), ("etag", "\"a\"")]);
}

/// RFC 9111 §3.5, and the same for cookies.
#[test]
fn credentials_need_an_answer_that_is_said_to_be_for_everybody() {
    for who in [("authorization", "Bearer x"), ("cookie", "s=1")] {
        refused(&[who], 200, &[("cache-control", "max-age=60")], NotStored::Credentials);
        refused(&[who], 200, &[("cache-control", "max-age=60, must-revalidate")], NotStored::Credentials);
        stored(&[who], 200, &[("cache-control", "max-age=60, public")]);
        stored(&[who], 200, &[("cache-control", "s-maxage=60")]);
    }
    let own = stored(&[], 200, &[("cache-control", "max-age=60")]);
    assert_eq!(own.usable(Duration::ZERO, &Directives::default(), true), Use::Never);
    let shared = stored(&[], 200, &[("cache-control", "public, max-age=60")]);
    assert_eq!(shared.usable(Duration::ZERO, &Directives::default(), true), Use::Fresh);
}

#[test]
fn a_body_that_may_be_cut_and_a_shadows_answer_are_not_stored() {
    let answer = headers(&[("cache-control", "max-age=60")]);
    let with = |is_framed, is_a_shadows| {
        let how = Provenance { is_framed, is_a_shadows };
        terms(&HeaderMap::new(), StatusCode::OK, &answer, how, at_once()).map(|_| ())
    };
    assert_eq!(with(false, false), Err(NotStored::Framing));
    assert_eq!(with(true, true), Err(NotStored::Shadow));
    assert_eq!(with(true, false), Ok(()));
}

/// RFC 9111 §4.2.1.
#[test]
fn freshness_is_what_the_origin_says_for_shared_caches() {
    let check = |answer: &[(&'static str, &str)], seconds: u64| {
        assert_eq!(stored(&[], 200, answer).lifetime, Duration::from_secs(seconds), "{answer:?}");
    };
    check(&[("cache-control", "max-age=60")], 60);
    check(&[("cache-control", "max-age=60, s-maxage=5")], 5);
    check(&[("cache-control", "s-maxage=600, max-age=5")], 600);
    check(&[("cache-control", "max-age=60"), ("cache-control", "max-age=7")], 7);
    check(&[("cache-control", "max-age=60"), ("date", NOW), ("expires", IN_AN_HOUR)], 60);
    check(&[("date", NOW), ("expires", IN_AN_HOUR)], 3600);
    check(&[("expires", IN_AN_HOUR)], 3600);
    check(&[("date", NOW), ("expires", "Sunday, 06-Nov-94 09:49:37 GMT")], 3600);
    // §5.3: nonsense, above all `0`, has expired.
    refused(&[], 200, &[("date", NOW), ("expires", "0")], NotStored::NoLifetime);
    refused(&[], 200, &[("date", NOW), ("expires", HOUR_AGO)], NotStored::NoLifetime);
    refused(&[], 200, &[("date", NOW), ("expires", IN_AN_HOUR), ("expires", "0")], NotStored::NoLifetime);
    refused(&[], 200, &[("cache-control", "max-age=x")], NotStored::NoLifetime);
}

/// RFC 9111 §4.2.3.
#[test]
fn age_counts_from_when_the_answer_was_made() {
    let age = |answer: &[(&'static str, &str)], delay_s: u64| {
        let mut answer = answer.to_vec();
        answer.push(("cache-control", "max-age=10000"));
        let when = Timing { delay: Duration::from_secs(delay_s), ..at_once() };
        terms(&HeaderMap::new(), StatusCode::OK, &headers(&answer), FRAMED, when)
            .map(|terms| terms.initial_age.as_secs())
    };
    assert_eq!(age(&[], 0), Ok(0));
    assert_eq!(age(&[("age", "7")], 0), Ok(7));
    assert_eq!(age(&[("age", "7")], 3), Ok(10), "what it took to come counts, too");
    assert_eq!(age(&[("date", HOUR_AGO)], 0), Ok(3600));
    assert_eq!(age(&[("date", HOUR_AGO), ("age", "7")], 0), Ok(3600));
    assert_eq!(age(&[("date", IN_AN_HOUR)], 0), Ok(0), "another's clock may be ahead");
    assert_eq!(age(&[("age", "7"), ("age", "9")], 0), Ok(9));
    assert_eq!(age(&[("age", "-7")], 0), Err(NotStored::Unreadable));
    assert_eq!(age(&[("age", "18446744073709551615")], 0), Err(NotStored::NoLifetime), "and nothing overflows");
}

/// RFC 9111 §4.1.
#[test]
fn an_answer_fits_the_requests_it_would_be_given_to() {
    let fresh = ("cache-control", "max-age=60");
    let both = [("accept", "text/html"), ("accept-language", "de")];
    let terms = stored(&both, 200, &[fresh, ("vary", "Accept-Language, ,accept"), ("vary", "accept")]);
    assert!(terms.fit(&headers(&[("accept-language", " de "), ("accept", "text/html"), ("user-agent", "x")])));
    assert!(!terms.fit(&headers(&[("accept", "text/html")])));
    assert!(!terms.fit(&headers(&[("accept", "text/html"), ("accept-language", "de, en")])));
    let without = stored(&[], 200, &[fresh, ("vary", "accept")]);
    assert!(without.fit(&HeaderMap::new()) && !without.fit(&headers(&[("accept", "*/*")])));
    let lines = stored(&[("x-a", "1"), ("x-a", "2")], 200, &[fresh, ("vary", "x-a")]);
    assert!(lines.fit(&headers(&[("x-a", "1"), ("x-a", "2")])) && lines.fit(&headers(&[("x-a", "1, 2")])));
    let coded = stored(&[("accept-encoding", "gzip")], 200, &[fresh, ("content-encoding", "gzip")]);
    assert!(!coded.fit(&HeaderMap::new()), "an origin that forgets `Vary` must not have gzip given to everybody");
    for vary in ["*", "accept, *", "x-forwarded-for", "Forwarded", "via", "Cookie", "authorization", "a b", "adumbra-x"]
    {
        refused(&[], 200, &[fresh, ("vary", vary)], NotStored::Vary);
    }
    let many: Vec<String> = (0..=VARY_MOST).map(|n| format!("x-{n}")).collect();
    refused(&[], 200, &[fresh, ("vary", &many.join(","))], NotStored::Vary);
}

/// RFC 9111 §4.2.4, §5.2.1; RFC 5861.
#[test]
fn what_is_stale_is_used_only_where_the_origin_lets_it_be() {
    let check = |said: &str, age_s: u64, asked: Directives, expected: Use, in_need: bool| {
        let terms = stored(&[], 200, &[("cache-control", said), ("etag", "\"a\"")]);
        let age = Duration::from_secs(age_s);
        assert_eq!(terms.usable(age, &asked, false), expected, "{said} {age_s} {asked:?}");
        assert_eq!(terms.usable_in_need(age, &asked), in_need, "{said} {age_s} {asked:?}");
    };
    let plain = Directives::default();
    check("max-age=10", 9, plain, Use::Fresh, true);
    check("max-age=10", 10, plain, Use::Validate, false);
    check("no-cache", 0, plain, Use::Validate, false);
    check("max-age=10, no-cache, stale-if-error=9, stale-while-revalidate=9", 1, plain, Use::Validate, false);
    check("max-age=10, stale-while-revalidate=5", 14, plain, Use::WhileRevalidated, true);
    check("max-age=10, stale-while-revalidate=5", 15, plain, Use::Validate, false);
    check("max-age=10, stale-if-error=5", 14, plain, Use::Validate, true);
    check("max-age=10, stale-if-error=5", 15, plain, Use::Validate, false);
    for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=10"] {
        let said = format!("max-age=10, stale-while-revalidate=5, stale-if-error=5, {forbidding}");
        check(&said, 12, plain, Use::Validate, false);
    }
    let no_cache = Directives { no_cache: true, ..plain };
    check("max-age=10, stale-if-error=9", 1, no_cache, Use::Validate, false);
    check("max-age=10", 5, Directives { max_age: Some(5), ..plain }, Use::Fresh, true);
    check("max-age=10", 6, Directives { max_age: Some(5), ..plain }, Use::Validate, true);
    check("max-age=10", 5, Directives { min_fresh: Some(4), ..plain }, Use::Fresh, true);
    check("max-age=10", 5, Directives { min_fresh: Some(5), ..plain }, Use::Validate, true);
    check("max-age=10, stale-while-revalidate=9", 5, Directives { min_fresh: Some(9), ..plain }, Use::Validate, true);
}
