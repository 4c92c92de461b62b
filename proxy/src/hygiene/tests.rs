//! Tables: what goes in, what comes out.

use http::header::{FORWARDED, VIA};

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn request(version: Version, method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().version(version).method(method).uri(uri).body(()).expect("a request");
    *request.headers_mut() = map(fields);
    request
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"))
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn fields(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut fields: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII"))).collect();
    fields.sort_unstable();
    fields
}

fn passes(version: Version, method: &str, uri: &str, sent: &[(&str, &str)], target: &str, host: Option<&str>) {
    let mut request = request(version, method, uri, sent);
    assert_eq!(check(&mut request), Ok(()), "{method} {uri} {sent:?}");
    assert_eq!(request.uri().to_string(), target);
    assert_eq!(request.uri().authority(), None);
    let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
    assert_eq!(hosts, host.into_iter().collect::<Vec<_>>());
}

fn refused(version: Version, method: &str, uri: &str, sent: &[(&str, &str)], problem: Problem) {
    assert_eq!(check(&mut request(version, method, uri, sent)), Err(problem), "{version:?} {method} {uri} {sent:?}");
}

fn malformed(version: Version, method: &str, uri: &str, sent: &[(&str, &str)]) {
    refused(version, method, uri, sent, Problem::Malformed);
}

#[test]
fn canonical_requests_pass_and_end_in_origin_form_with_one_host() {
    let h = ("host", "a.example");
    passes(Version::HTTP_11, "GET", "/p?q=1", &[h], "/p?q=1", Some("a.example"));
    passes(Version::HTTP_11, "GET", "http://a.example/p", &[h], "/p", Some("a.example"));
    passes(Version::HTTP_11, "GET", "http://A.example:80/p", &[h], "/p", Some("a.example"));
    passes(Version::HTTP_11, "GET", "http://a.example?q", &[h], "/?q", Some("a.example"));
    passes(Version::HTTP_11, "OPTIONS", "*", &[h], "*", Some("a.example"));
    passes(Version::HTTP_10, "GET", "/", &[], "/", None);
    passes(Version::HTTP_10, "GET", "http://b/x", &[], "/x", Some("b"));
    passes(Version::HTTP_2, "GET", "https://b:8443/x", &[], "/x", Some("b:8443"));
    passes(Version::HTTP_2, "GET", "http://b/x", &[("host", "b")], "/x", Some("b"));
    passes(Version::HTTP_2, "GET", "/x", &[("host", "b")], "/x", Some("b"));
    passes(Version::HTTP_11, "POST", "/", &[h, ("content-length", "5")], "/", Some("a.example"));
    passes(Version::HTTP_11, "POST", "/", &[h, ("transfer-encoding", "Chunked")], "/", Some("a.example"));
}

#[test]
fn connect_is_refused_extended_or_not() {
    refused(Version::HTTP_11, "CONNECT", "a.example:443", &[("host", "a.example:443")], Problem::ConnectRefused);
    refused(Version::HTTP_2, "CONNECT", "https://a.example/chat", &[], Problem::ConnectRefused);
}

#[test]
fn a_doubtful_authority_is_malformed() {
    malformed(Version::HTTP_11, "GET", "/", &[]);
    malformed(Version::HTTP_2, "GET", "/", &[]);
    malformed(Version::HTTP_11, "GET", "/", &[("host", "a"), ("host", "a")]);
    malformed(Version::HTTP_10, "GET", "/", &[("host", "a"), ("host", "b")]);
    malformed(Version::HTTP_11, "GET", "/", &[("host", "")]);
    malformed(Version::HTTP_11, "GET", "/", &[("host", "u@a")]);
    malformed(Version::HTTP_11, "GET", "/", &[("host", "a, b")]);
    malformed(Version::HTTP_11, "GET", "http://a/", &[("host", "b")]);
    malformed(Version::HTTP_11, "GET", "http://u:p@a/", &[("host", "a")]);
    malformed(Version::HTTP_2, "GET", "https://a/", &[("host", "b")]);
    malformed(Version::HTTP_2, "GET", "https://u@a/", &[]);
    malformed(Version::HTTP_11, "GET", "ftp://a/", &[("host", "a")]);
    malformed(Version::HTTP_11, "GET", "a.example:80", &[("host", "a.example:80")]);
    malformed(Version::HTTP_11, "GET", "*", &[("host", "a")]);
}

#[test]
fn doubtful_framing_is_malformed() {
    let h = ("host", "a");
    malformed(Version::HTTP_11, "POST", "/", &[h, ("content-length", "5"), ("content-length", "5")]);
    malformed(Version::HTTP_11, "POST", "/", &[h, ("content-length", "+5")]);
    malformed(Version::HTTP_11, "POST", "/", &[h, ("content-length", "")]);
    malformed(Version::HTTP_11, "POST", "/", &[h, ("content-length", "5"), ("transfer-encoding", "chunked")]);
    malformed(Version::HTTP_11, "POST", "/", &[h, ("transfer-encoding", "gzip, chunked")]);
    malformed(Version::HTTP_11, "POST", "/", &[h, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]);
    malformed(Version::HTTP_10, "POST", "/", &[h, ("transfer-encoding", "chunked")]);
    malformed(Version::HTTP_2, "POST", "/", &[h, ("transfer-encoding", "chunked")]);
}

/// What is left of `sent` by a stranger, without what is added to every request.
fn scrubbed(sent: &[(&str, &str)], upgrading: bool) -> Vec<(String, String)> {
    let mut headers = map(sent);
    scrub_request(&mut headers, Caller::Stranger(&Forwarded::new(CLIENT, Encryption::None)), upgrading);
    for added in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via"] {
        headers.remove(added);
    }
    fields(&headers).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn leaves(sent: &[(&str, &str)], left: &[(&str, &str)]) {
    let left: Vec<_> = left.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(scrubbed(sent, false), left, "{sent:?}");
}

#[test]
fn what_is_about_one_connection_stays_on_it() {
    leaves(&[("accept", "*/*")], &[("accept", "*/*")]);
    leaves(&[("connection", "keep-alive"), ("keep-alive", "timeout=5")], &[]);
    leaves(&[("proxy-connection", "close"), ("proxy-authorization", "x"), ("proxy-authenticate", "x")], &[]);
    leaves(&[("transfer-encoding", "chunked")], &[]);
    leaves(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMA")], &[]);
    leaves(&[("connection", "close, x-mine"), ("x-mine", "1"), ("x-other", "2")], &[("x-other", "2")]);
    leaves(&[("connection", "close"), ("connection", "X-Mine"), ("x-mine", "1"), ("x-mine", "2")], &[]);
}

#[test]
fn te_says_trailers_or_nothing() {
    leaves(&[("te", "trailers")], &[("te", "trailers")]);
    leaves(&[("te", "gzip, Trailers")], &[("te", "trailers")]);
    leaves(&[("te", "gzip"), ("te", "trailers")], &[("te", "trailers")]);
    leaves(&[("te", "gzip;q=1")], &[]);
    leaves(&[("connection", "te"), ("te", "trailers")], &[("te", "trailers")]);
}

#[test]
fn connection_cannot_name_away_what_is_decided_by() {
    for name in [
        "host",
        "content-length",
        "content-type",
        "authorization",
        "cookie",
        "expect",
        "priority",
        "idempotency-key",
        "link",
        "x-real-ip",
    ] {
        leaves(&[("connection", name), (name, "kept")], &[(name, "kept")]);
    }
    let mut headers =
        map(&[("connection", "x-forwarded-for, via"), ("x-forwarded-for", "10.0.0.1"), ("via", "1.1 cdn")]);
    scrub_request(&mut headers, Caller::Stranger(&Forwarded::new(CLIENT, Encryption::None)), false);
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
    assert_eq!(headers.get_all(VIA).iter().collect::<Vec<_>>(), ["1.1 cdn", "1.1 adumbra"]);
}

#[test]
fn an_upgrade_goes_through_when_it_is_meant_to() {
    let sent = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let left = scrubbed(&sent, true);
    let left: Vec<_> = left.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(left, [("connection", "upgrade"), ("sec-websocket-version", "13"), ("upgrade", "websocket")]);
    assert!(scrubbed(&[("connection", "upgrade")], true).is_empty(), "nothing to upgrade to");
}

#[test]
fn strangers_cannot_speak_for_us() {
    leaves(&[("adumbra-shadow", "1"), ("Adumbra-Final", "1"), ("adumbra_final", "1"), ("a", "b")], &[("a", "b")]);
    leaves(&[("connection", "adumbra-final"), ("adumbra-final", "1")], &[]);
    let mut headers = map(&[("adumbra-shadow", "1"), ("connection", "adumbra-shadow")]);
    scrub_request(&mut headers, Caller::Peer, false);
    assert_eq!(fields(&headers), [("adumbra-shadow", "1"), ("via", "1.1 adumbra")]);
}

#[test]
fn names_with_underscores_that_read_as_others_are_dropped() {
    leaves(&[("my_name", "1")], &[("my_name", "1")]);
    leaves(&[("user_agent", "x")], &[("user_agent", "x")]);
    leaves(&[("user-agent", "a"), ("user_agent", "x")], &[("user-agent", "a")]);
    for name in ["content_length", "transfer_encoding", "x_forwarded_for", "x_forwarded-for", "content_type"] {
        leaves(&[(name, "x")], &[]);
    }
    leaves(&[("x_a-b", "1"), ("x-a_b", "2"), ("x_c", "3")], &[("x_c", "3")]);
}

fn forwarded(sent: &[(&str, &str)], by: &Forwarded, added: &[(&str, &str)]) {
    let mut headers = map(sent);
    scrub_request(&mut headers, Caller::Stranger(by), false);
    assert_eq!(fields(&headers), added);
}

#[test]
fn the_service_learns_who_asked() {
    let v4 = Forwarded::new(CLIENT, Encryption::None);
    let v6 = Forwarded::new("2001:db8::7".parse().expect("an address"), Encryption::Tls);
    forwarded(
        &[("host", "a.example")],
        &v4,
        &[
            ("host", "a.example"),
            ("via", "1.1 adumbra"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "http"),
        ],
    );
    forwarded(
        &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3"), ("x-forwarded-proto", "http")],
        &v6,
        &[
            ("via", "1.1 adumbra"),
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::7"),
            ("x-forwarded-proto", "http, https"),
        ],
    );
    let mut headers = map(&[("forwarded", "for=1.1.1.1")]);
    scrub_request(&mut headers, Caller::Stranger(&v6), false);
    let elements: Vec<_> = headers.get_all(FORWARDED).iter().collect();
    assert_eq!(elements, ["for=1.1.1.1", "for=\"[2001:db8::7]\";proto=https"]);
}

#[test]
fn an_address_is_said_in_its_own_family() {
    let mapped = Forwarded::new("::ffff:192.0.2.7".parse().expect("an address"), Encryption::None);
    assert_eq!(mapped.client, "192.0.2.7");
}

#[test]
fn a_peer_has_said_it_already() {
    let mut headers = map(&[("host", "a"), ("x-forwarded-for", "1.1.1.1"), ("via", "1.1 adumbra")]);
    scrub_request(&mut headers, Caller::Peer, false);
    let left = [("host", "a"), ("via", "1.1 adumbra"), ("via", "1.1 adumbra"), ("x-forwarded-for", "1.1.1.1")];
    assert_eq!(fields(&headers), left);
}

#[test]
fn answers_lose_what_is_about_one_connection_and_what_is_ours() {
    let sent = [
        ("connection", "close, x-mine, content-type, set-cookie"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("content-type", "text/plain"),
        ("set-cookie", "a=b"),
        ("trailer", "grpc-status"),
        ("adumbra-not-executed", "1"),
    ];
    let mut headers = map(&sent);
    scrub_response(&mut headers, false);
    assert_eq!(fields(&headers), [("content-type", "text/plain"), ("set-cookie", "a=b"), ("trailer", "grpc-status")]);
}

#[test]
fn a_101_keeps_its_upgrade() {
    let mut headers = map(&[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")]);
    scrub_response(&mut headers, true);
    assert_eq!(fields(&headers), [("connection", "upgrade"), ("sec-websocket-accept", "x"), ("upgrade", "websocket")]);
}
