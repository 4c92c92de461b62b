//! The service's way out, against origins that do as they are told.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use http::StatusCode;

use super::*;
use crate::data::tests::stage::{Egress, Origin, Step, cache_of, get, kept, settled, to};

fn send(text: impl Into<Bytes>) -> Step {
    Step::Send(text.into())
}

async fn one(text: impl Into<Bytes>) -> (Origin, Egress, Uri) {
    let origin = Origin::start([("/x", vec![send(text)])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let url = origin.url("/x");
    (origin, egress, url)
}

#[tokio::test]
async fn a_miss_is_a_hit_the_second_time() {
    let (origin, egress, url) = one(kept("hello")).await;
    for cache in ["miss", "hit", "hit"] {
        let answer = egress.fetch(&url).await;
        assert_eq!((answer.status, answer.cache(), answer.text()), (StatusCode::OK, cache, "hello"));
        assert!(answer.headers.contains_key("age"));
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn the_path_form_names_the_same() {
    let (origin, egress, url) = one(kept("hello")).await;
    egress.fetch(&url).await;
    let path = format!("/fetch/http/{}/x", origin.address()).parse().expect("a path");
    let answer = egress.fetch(&path).await;
    assert_eq!((answer.cache(), answer.text()), ("hit", "hello"));
}

#[test]
fn what_is_wanted_is_read_from_both_forms() {
    let check = |target: &str, expected: Option<&str>| {
        let wanted = wanted(&target.parse().expect("a target")).map(|uri| uri.to_string());
        assert_eq!(wanted.as_deref(), expected, "{target}");
    };
    check("http://a:1/x?y=z", Some("http://a:1/x?y=z"));
    check("/fetch/https/a:1/x/y?z=/w", Some("https://a:1/x/y?z=/w"));
    check("/fetch/http/a", Some("http://a/"));
    check("/fetch/http/a?x", Some("http://a/?x"));
    check("/fetch/http/a//b", Some("http://a//b"));
    check("/fetch/http/[::1]:80/b", Some("http://[::1]:80/b"));
    check("/fetch/http//b", None);
    check("/fetch/http", None);
    check("/fetch//a/b", None);
    check("/fetch/ftp/a/b", None);
    check("/fetch", None);
    check("/x", None);
    check("*", None);
}

#[tokio::test]
async fn only_allowed_origins_are_reached() {
    let (origin, egress, _) = one(kept("hello")).await;
    for target in ["http://127.0.0.1:1/", "/fetch/http/example.com/x", "/fetch/https/127.0.0.1/x"] {
        let answer = egress.fetch(&Uri::from_static(target)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
        assert!(answer.text().contains("data.origins"));
    }
    let tricky = format!(
        "GET http://user:secret@{}/x HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        origin.address(),
        origin.address()
    );
    let answer = egress.raw(&tricky).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("secret"), "{answer}");
    assert_eq!(egress.fetch(&Uri::from_static("/else")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(egress.fetch(&Uri::from_static("ftp://127.0.0.1/x")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!((origin.requests(), egress.cache.stats().forbidden), (0, 3));
}

#[tokio::test]
async fn tunnels_are_refused() {
    let (origin, egress, _) = one(kept("hello")).await;
    let connect = format!("CONNECT {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", origin.address());
    assert!(egress.raw(&connect).await.starts_with("HTTP/1.1 405 "));
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn the_host_is_the_origins_and_hops_are_left_behind() {
    let (origin, egress, url) = one(kept("hello")).await;
    let mut request = get(&url);
    for (name, value) in [
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("adumbra-shadow", "1"),
        ("proxy-authorization", "Basic x"),
        ("user-agent", "test"),
    ] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    egress.ask(request).await;
    let seen = origin.request(0);
    assert!(seen.starts_with("GET /x HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", origin.address())), "{seen}");
    assert!(seen.contains("user-agent: test") && seen.contains("via: 1.1 adumbra"), "{seen}");
    for gone in ["x-secret", "adumbra-", "proxy-authorization", "connection"] {
        assert!(!seen.contains(gone), "{seen}");
    }
}

#[tokio::test]
async fn special_requests_go_straight_through() {
    let (origin, egress, url) = one(kept("hello")).await;
    egress.fetch(&url).await;
    for (name, value) in
        [("authorization", "Bearer x"), ("cookie", "a=b"), ("range", "bytes=0-1"), ("cache-control", "no-cache")]
    {
        let mut request = get(&url);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let answer = egress.ask(request).await;
        assert_eq!((answer.cache(), answer.text()), ("bypass", "hello"));
        assert!(origin.request(origin.requests() - 1).contains(&format!("{name}: {value}")));
    }
    assert_eq!((origin.requests(), egress.cache.stats().bypassed), (5, 4));
}

#[tokio::test]
async fn other_methods_go_straight_through_with_their_bodies() {
    let answer = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nAdumbra-Cache: hit\r\n\r\nok";
    let steps = vec![Step::Wait, send(answer)];
    let origin = Origin::start([("/x", steps)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let body = Full::new(Bytes::from(vec![b'p'; 100_000]));
    let request = to(Request::post(origin.url("/x")), body);
    let seen = async {
        let read = || (0..origin.requests()).map(|at| origin.request(at).matches('p').count()).sum::<usize>();
        settled(|| read() >= 100_000).await;
        origin.release();
    };
    let (answer, ()) = tokio::join!(egress.ask(request), seen);
    assert_eq!((answer.status, answer.text(), answer.cache()), (StatusCode::CREATED, "ok", "bypass"));
    assert!(
        origin.request(0).starts_with("POST /x HTTP/1.1\r\n") && origin.request(0).contains("content-length: 100000")
    );
}

#[tokio::test]
async fn a_head_request_keeps_the_length() {
    let (_origin, egress, url) = one("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let request = to(Request::head(url), Full::default());
    let answer = egress.ask(request).await;
    assert_eq!((answer.status, answer.headers["content-length"].as_bytes()), (StatusCode::OK, &b"1234"[..]));
    assert!(answer.body.is_empty() && !answer.broken);
}

#[tokio::test]
async fn redirects_are_passed_on_and_not_followed() {
    let (origin, egress, url) = one(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    for _ in 0..2 {
        let answer = egress.fetch(&url).await;
        assert_eq!((answer.status, answer.cache()), (StatusCode::FOUND, "bypass"));
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn what_may_not_be_kept_costs_one_request_each() {
    let (origin, egress, url) =
        one("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\nhello").await;
    for requests in 1..=3 {
        let answer = egress.fetch(&url).await;
        assert_eq!((answer.cache(), answer.text(), origin.requests()), ("bypass", "hello", requests));
    }
    assert_eq!(egress.cache.stats().held, 0);
}

#[tokio::test]
async fn what_varies_is_fetched_for_who_asks_otherwise() {
    let (origin, egress, url) =
        one("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVary: X-Kind\r\nCache-Control: max-age=60\r\n\r\nhello").await;
    assert_eq!(egress.fetch(&url).await.cache(), "miss");
    assert_eq!(egress.fetch(&url).await.cache(), "hit");
    let mut request = get(&url);
    request.headers_mut().insert("x-kind", HeaderValue::from_static("other"));
    assert_eq!(egress.ask(request).await.cache(), "bypass");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_chunked_answer_is_kept_once_whole() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nCache-Control: max-age=60\r\n\r\n";
    let steps = vec![send(head), send("5\r\nhello\r\n"), Step::Wait, send("0\r\nx-sum: 1\r\n\r\n")];
    let origin = Origin::start([("/x", steps)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let (mut leader, _connection) = egress.open(&origin.url("/x")).await;
    let first = leader.frame().await.expect("more").expect("whole").into_data().expect("data");
    assert_eq!(first, "hello", "the first to ask reads along");
    let follower = egress.fetching(&origin.url("/x"));
    settled(|| egress.tickets(&origin.url("/x")) == 2).await;
    origin.release();
    assert!(leader.frame().await.is_none());
    let answer = follower.await.expect("no panic");
    assert_eq!((answer.cache(), answer.text()), ("hit", "hello"));
    let answer = egress.fetch(&origin.url("/x")).await;
    assert_eq!((answer.cache(), answer.text()), ("hit", "hello"));
    assert_eq!(answer.headers["content-length"], "5", "it is known by now");
    assert!(!answer.headers.contains_key("trailer") && !answer.headers.contains_key("transfer-encoding"));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_cut_answer_breaks_off_and_is_never_kept() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nCache-Control: max-age=60\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n5\r\nhello\r\n",
    ] {
        let (origin, egress, url) = one(text).await;
        for requests in 1..=2 {
            let answer = egress.fetch(&url).await;
            assert!(answer.broken && "hello".starts_with(answer.text()), "{answer:?}");
            assert_eq!(origin.requests(), requests);
        }
        assert_eq!(egress.cache.stats().held, 0);
        settled(|| egress.cache.stats().memory_bytes == 0).await;
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_passed_on_and_not_kept() {
    let (origin, egress, url) = one("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhello").await;
    for requests in 1..=2 {
        let answer = egress.fetch(&url).await;
        assert_eq!((answer.text(), answer.cache(), origin.requests()), ("hello", "bypass", requests));
    }
}

#[tokio::test]
async fn what_is_too_large_is_passed_on_whole() {
    let large = || vec![b'l'; 3_000_000];
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{rest}\r\n\r\n");
    let known = vec![send(head("Content-Length: 3000000")), send(large())];
    let chunked =
        vec![send(head("Transfer-Encoding: chunked")), send("2DC6C0\r\n"), send(large()), send("\r\n0\r\n\r\n")];
    let origin = Origin::start([("/known", known), ("/chunked", chunked)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    for (path, cache) in [("/known", "bypass"), ("/chunked", "miss")] {
        let answer = egress.fetch(&origin.url(path)).await;
        assert_eq!((answer.cache(), answer.body.len(), answer.broken), (cache, 3_000_000, false));
        assert!(answer.body.iter().all(|byte| *byte == b'l'));
    }
    settled(|| egress.cache.stats().memory_bytes == 0).await;
    assert_eq!((egress.cache.stats().no_room, egress.cache.stats().held, origin.requests()), (2, 0, 2));
}

#[tokio::test]
async fn who_waits_for_what_turns_out_too_large_asks_for_itself() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n2DC6C0\r\n";
    let steps = vec![send(head), Step::Wait, send(vec![b'l'; 3_000_000]), send("\r\n0\r\n\r\n")];
    let origin = Origin::start([("/x", steps)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let leader = egress.fetching(&origin.url("/x"));
    settled(|| origin.requests() == 1).await;
    let follower = egress.fetching(&origin.url("/x"));
    settled(|| egress.tickets(&origin.url("/x")) == 2).await;
    origin.release();
    origin.release();
    for (waiter, cache) in [(leader, "miss"), (follower, "bypass")] {
        let answer = waiter.await.expect("no panic");
        assert_eq!((answer.cache(), answer.body.len(), answer.broken), (cache, 3_000_000, false));
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn memory_is_bounded_and_what_does_not_fit_still_flows() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nCache-Control: max-age=60\r\n\r\n";
    const PATHS: [&str; 8] = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"];
    let script = |path| (path, vec![send(head), Step::Wait, send(vec![b'm'; 300_000])]);
    let origin = Origin::start(PATHS.map(script)).await;
    let egress = Egress::start(&origin, |data| data.memory_bytes = 1 << 20).await;
    let waiters: Vec<_> = PATHS.iter().map(|path| egress.fetching(&origin.url(path))).collect();
    settled(|| egress.cache.stats().no_room == 5).await;
    assert!(egress.cache.stats().memory_bytes <= 1 << 20);
    PATHS.iter().for_each(|_| origin.release());
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic").body.len(), 300_000);
    }
    assert_eq!((egress.cache.stats().held, origin.requests()), (2, 8), "three quarters are for what is kept");
}

#[tokio::test]
async fn an_origin_that_fails_is_told_apart() {
    let garbage = vec![send("SSH-2.0-OpenSSH_9.6\r\n")];
    let hangs = vec![Step::Wait];
    let slow = vec![send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nCache-Control: max-age=9\r\n\r\nhel"), Step::Wait];
    let origin = Origin::start([("/garbage", garbage), ("/silent", vec![]), ("/hangs", hangs), ("/slow", slow)]).await;
    let egress = Egress::start(&origin, |data| data.timeout = Duration::from_millis(300)).await;
    for (path, status) in [
        ("/garbage", StatusCode::BAD_GATEWAY),
        ("/silent", StatusCode::BAD_GATEWAY),
        ("/hangs", StatusCode::GATEWAY_TIMEOUT),
    ] {
        assert_eq!(egress.fetch(&origin.url(path)).await.status, status, "{path}");
        let post = to(Request::post(origin.url(path)), Full::default());
        assert_eq!(egress.ask(post).await.status, status, "{path}");
    }
    let answer = egress.fetch(&origin.url("/slow")).await;
    assert!(answer.broken && answer.text() == "hel");
    assert_eq!(egress.cache.stats().failed, 7);
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_a_bad_gateway() {
    let origin = Origin::start([]).await;
    let egress = Egress::start(&origin, |data| {
        let closed = config::value::Origin { scheme: Scheme::HTTP, host: "127.0.0.1".into(), port: 1 };
        let unknown = config::value::Origin { scheme: Scheme::HTTP, host: "nowhere.invalid".into(), port: 80 };
        data.origins = vec![closed, unknown];
    })
    .await;
    for (url, why) in
        [("http://127.0.0.1:1/x", "does not accept connections"), ("http://nowhere.invalid/x", "does not resolve")]
    {
        let answer = egress.fetch(&Uri::from_static(url)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert!(answer.text().contains(why), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_that_pauses_too_long_breaks_off_and_a_slow_reader_does_not() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\ndata: 1\n\n";
    let origin = Origin::start([("/x", vec![send(head), Step::Wait, send("data: 2\n\n")])]).await;
    let cache = cache_of(&origin, |data| data.timeout = Duration::from_millis(500));
    let key = cache.rules.load().allowed.key(&origin.url("/x")).expect("allowed");
    let ask = || async {
        let (_, stream) =
            fetch::send(&cache.rules.load().way, &key, Request::new(Upload::new(None))).await.expect("an answer");
        stream
    };
    let mut pauses = ask().await;
    assert!(pauses.frame().await.expect("more").is_ok());
    assert!(matches!(pauses.frame().await, Some(Err(crate::body::BodyError::Idle { .. }))));
    drop(pauses);
    settled(|| origin.hung_up() == 1).await;

    let mut read_slowly = ask().await;
    assert!(read_slowly.frame().await.expect("more").is_ok());
    tokio::time::sleep(Duration::from_millis(700)).await;
    origin.release();
    assert!(read_slowly.frame().await.expect("more").is_ok(), "the reader took its time, not the origin");
}
