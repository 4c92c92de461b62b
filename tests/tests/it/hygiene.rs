//! What is not one canonical request never reaches a service, and what reaches it is one canonical request.

mod http2;

use std::time::Duration;

use tests::{Origin, Raw, Reply, Setup, Sidecar};

async fn plain() -> (Origin, Sidecar) {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).start();
    (origin, sidecar)
}

/// Sends `bytes`; they are answered with `status` and a problem document, the connection is closed, and nothing of them
/// reaches the service.
async fn check_refused(bytes: &str, status: u16, problem: &str) {
    let (origin, sidecar) = plain().await;
    let answer = Raw::send(sidecar.jobs(), bytes).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {text}");
    assert!(text.contains("connection: close\r\n"), "{bytes:?}: {text}");
    assert!(text.contains("application/problem+json"), "{bytes:?}: {text}");
    assert!(text.contains(&format!("/problems/{problem}\"")), "{bytes:?}: {text}");
    assert!(!text.contains("}HTTP/1.1 "), "{bytes:?} is answered once: {text}");
    assert_eq!(origin.recorded().len(), 0, "{bytes:?}");
    assert!(sidecar.sum("adumbra_problems_total", &[&format!("\"{}\"", problem.replace('-', "_"))]).await >= 1.0);
}

async fn check_malformed(bytes: &str) {
    check_refused(bytes, 400, "malformed").await;
}

#[tokio::test]
async fn a_request_with_two_framings_is_refused() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nhost: a\r\n";
    check_malformed(&format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunked}")).await;
    check_malformed(&format!("{head}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n{chunked}")).await;
    check_malformed(&format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello")).await;
    check_malformed(&format!("{head}content-length: 5\r\ncontent-length: 5\r\n\r\nhello")).await;
    check_malformed(&format!("{head}content-length: 5, 5\r\n\r\nhello")).await;
    check_malformed(&format!("{head}content-length: +5\r\n\r\nhello")).await;
    check_malformed(&format!("{head}content-length: 0x5\r\n\r\nhello")).await;
    check_malformed(&format!("{head}content-length: \r\n\r\nhello")).await;
}

#[tokio::test]
async fn a_transfer_encoding_other_than_one_chunked_is_refused() {
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", "\"chunked\"", "xchunked"] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        check_malformed(&request).await;
    }
    check_malformed(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn http_1_0_with_chunks_is_refused() {
    check_malformed("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_request_with_no_host_or_more_than_one_is_refused() {
    check_malformed("GET / HTTP/1.1\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n").await;
}

#[tokio::test]
async fn an_absolute_target_that_disagrees_with_host_is_refused() {
    check_malformed("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("GET http://a:8080/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn an_absolute_target_that_agrees_is_passed_on_in_origin_form() {
    let (origin, sidecar) = plain().await;
    let answer = Raw::ask(sidecar.jobs(), "GET http://a/x?y=1 HTTP/1.1\r\nhost: A\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(origin.only().target, "/x?y=1");
}

#[tokio::test]
async fn connect_is_refused() {
    check_refused("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 405, "connect-refused").await;
}

#[tokio::test]
async fn bytes_that_a_lenient_parser_would_repair_are_refused() {
    check_malformed("GET / HTTP/1.1\nhost: a\n\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\nx: y\rz\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost : a\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n").await;
    check_malformed("GET  / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("GET / HTTP/1.1 \r\nhost: a\r\n\r\n").await;
    check_malformed("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("GET a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("G@T / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    check_malformed("GET / HTTP/2.0\r\nhost: a\r\n\r\n").await;
    check_malformed("\x16\x03\x01\x02\0\x01\0\x01\n").await;
}

#[tokio::test]
async fn a_smuggled_second_request_is_never_answered() {
    let (origin, sidecar) = plain().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let body = format!("0\r\n\r\n{smuggled}");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{body}",
        body.len()
    );
    let answer = Raw::send(sidecar.jobs(), request).await;
    assert_eq!(String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count(), 1);
    assert_eq!(origin.recorded().len(), 0);
}

#[tokio::test]
async fn a_body_that_is_not_well_chunked_is_never_whole_at_the_service() {
    let (origin, sidecar) = plain().await;
    for body in ["5\r\nhello\r\nzz\r\n", "5\nhello\r\n0\r\n\r\n", "-1\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "g\r\n"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = Raw::send(sidecar.jobs(), format!("{head}{body}")).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400") || text.starts_with("HTTP/1.1 502"),
            "{body:?}: {text}"
        );
    }
    assert_eq!(origin.begun(), 0, "a request whose body is not whole is not executed");
}

#[tokio::test]
async fn fields_of_the_hop_are_not_passed_on() {
    let origin = Origin::answering(|_| {
        Reply::ok("here")
            .field("keep-alive", "timeout=5")
            .field("proxy-authenticate", "Basic")
            .field("x-private", "1")
            .field("connection", "x-private")
            .field("x-end", "1")
    })
    .await;
    let sidecar = Setup::alone(origin.url()).start();
    let answer = Raw::ask(
        sidecar.jobs(),
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, x-nominated\r\nkeep-alive: timeout=5\r\nx-nominated: 1\r\n\
         proxy-connection: keep-alive\r\nproxy-authorization: Basic eA==\r\nte: gzip, trailers\r\nx-end: 1\r\n\r\n",
    )
    .await;
    assert_eq!(answer.status, 200);
    let seen = origin.only();
    assert_eq!(seen.field("x-end"), "1");
    assert_eq!(seen.field("te"), "trailers");
    for name in ["connection", "keep-alive", "x-nominated", "proxy-connection", "proxy-authorization"] {
        assert!(!seen.has(name), "{name} was passed on: {:?}", seen.fields);
    }
    assert_eq!(answer.field("x-end"), "1");
    for name in ["keep-alive", "proxy-authenticate", "x-private"] {
        assert_eq!(answer.values(name), Vec::<&str>::new(), "{name} came back");
    }
}

#[tokio::test]
async fn connection_cannot_name_away_what_others_decide_by() {
    let (origin, sidecar) = plain().await;
    let names = ["authorization", "x-forwarded-for", "cookie", "host", "content-length", "content-type", "priority"];
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: {}\r\nauthorization: Bearer x\r\nx-forwarded-for: 1.2.3.4\r\n\
         cookie: a=b\r\ncontent-type: text/plain\r\npriority: u=5\r\ncontent-length: 5\r\n\r\nhello",
        names.join(", ")
    );
    assert_eq!(Raw::ask(sidecar.jobs(), request).await.status, 200);
    let seen = origin.only();
    for name in names {
        assert!(seen.has(name), "{name} was named away");
    }
    assert_eq!(seen.body, b"hello");
}

#[tokio::test]
async fn our_own_names_from_strangers_are_dropped_both_ways() {
    let origin =
        Origin::answering(|_| Reply::ok("here").field("adumbra-decision", "forged").field("adumbra-x", "1")).await;
    let sidecar = Setup::alone(origin.url()).start();
    let answer = Raw::ask(
        sidecar.jobs(),
        "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id=a; window_ms=1; bytes_per_s=1\r\nAdumbra-Transfer: x\r\n\
         adumbra-anything: 1\r\n\r\n",
    )
    .await;
    // The origin itself fails the test for any `adumbra-*` that reaches it.
    assert_eq!(origin.only().values("adumbra-anything"), Vec::<&str>::new());
    assert_eq!(answer.decision().network, "private");
    assert_eq!(answer.values("adumbra-x"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_name_with_an_underscore_that_reads_as_another_is_dropped() {
    let (origin, sidecar) = plain().await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nx_forwarded_for: 6.6.6.6\r\nx-user: me\r\nx_user: root\r\n\
                   content_length: 7\r\nx_alone: 1\r\nb_c-d: 1\r\nb-c_d: 2\r\n\r\n";
    assert_eq!(Raw::ask(sidecar.jobs(), request).await.status, 200);
    let seen = origin.only();
    assert_eq!(seen.field("x-user"), "me");
    assert_eq!(seen.field("x_alone"), "1");
    assert_eq!(seen.field("x-forwarded-for"), "127.0.0.1");
    for name in ["x_forwarded_for", "x_user", "content_length", "b_c-d", "b-c_d"] {
        assert!(!seen.has(name), "{name} was passed on");
    }
}

#[tokio::test]
async fn where_a_request_came_through_is_appended() {
    let (origin, sidecar) = plain().await;
    let request = "GET / HTTP/1.1\r\nhost: service.example\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\n\
                   x-forwarded-proto: https\r\nforwarded: for=10.0.0.1\r\nvia: 1.0 other\r\n\r\n";
    assert_eq!(Raw::ask(sidecar.jobs(), request).await.status, 200);
    let seen = origin.only();
    assert_eq!(seen.field("x-forwarded-for"), "10.0.0.1, 10.0.0.2, 127.0.0.1");
    assert_eq!(seen.field("x-forwarded-proto"), "https, http");
    assert_eq!(seen.field("x-forwarded-host"), "service.example");
    assert_eq!(seen.values("forwarded"), ["for=10.0.0.1", "for=127.0.0.1;proto=http"]);
    assert_eq!(seen.values("via"), ["1.0 other", "1.1 adumbra"]);
    assert_eq!(seen.field("host"), "service.example");
}

#[tokio::test]
async fn a_slow_head_is_answered_408_and_closed() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).set("limits.head_timeout", r#""200ms""#).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost:").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("connection")), (408, "close"));
    assert_eq!(client.to_end().await, b"");
    assert_eq!(origin.connections(), 0);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="head_timeout"}"#).await, 1.0);
}

#[tokio::test]
async fn a_head_that_comes_in_drops_has_one_deadline_for_all_of_them() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).set("limits.head_timeout", r#""300ms""#).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
    // Until the sidecar has had enough of it.
    while client.offer(b"y").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="head_timeout"}"#).await, 1.0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let (origin, sidecar) = (Origin::named("here").await, "200ms");
    let sidecar = Setup::alone(origin.url()).set("limits.keep_alive", format!("{sidecar:?}")).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.to_end().await, b"");
    assert_eq!(Raw::connect(sidecar.jobs()).await.to_end().await, b"");
}

#[tokio::test]
async fn a_head_of_too_many_bytes_or_fields_is_answered_431() {
    let origin = Origin::named("here").await;
    let limits = |setup: Setup| setup.set("limits.head_bytes", r#""1KiB""#).set("limits.head_fields", 10);
    let sidecar = limits(Setup::alone(origin.url())).start();
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1024));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10));
    for request in [&long, &many] {
        let answer = Raw::send(sidecar.jobs(), request).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
    let fits = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(9));
    assert_eq!(Raw::ask(sidecar.jobs(), fits).await.status, 200);
    assert_eq!(origin.recorded().len(), 1);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="head_too_large"}"#).await, 2.0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let origin = Origin::answering(|request| Reply::ok(request.target.clone())).await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let post = "POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    client.write(format!("{}{post}{}{}", get("/a"), get("/c"), get("/d"))).await;
    for path in ["/a", "/b", "/c", "/d"] {
        assert_eq!(client.answer().await.text(), path);
    }
    assert_eq!(origin.most_at_once(), 1);
}

#[tokio::test]
async fn a_bad_request_behind_good_ones_is_refused_after_their_answers() {
    let (origin, sidecar) = plain().await;
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let refused = client.answer().await;
    assert_eq!((refused.status, refused.field("connection")), (400, "close"));
    assert_eq!(client.to_end().await, b"");
    assert_eq!(origin.recorded().len(), 1);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending_its_body() {
    let (origin, sidecar) = plain().await;
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n").await;
    client.write(vec![b'x'; 100_000]).await;
    assert_eq!(client.answer().await.status, 400);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_and_closed() {
    let (origin, sidecar) = plain().await;
    let answer = Raw::send(sidecar.jobs(), "GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains(" 200 ") && text.ends_with("here"), "{text}");
    assert_eq!(origin.only().target, "/");
}

#[tokio::test]
async fn a_request_that_goes_round_in_a_circle_is_stopped() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).start();
    let through =
        |times: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nvia: {}\r\n\r\n", ["1.1 adumbra"; 9][..times].join(", "));
    assert_eq!(Raw::ask(sidecar.jobs(), through(8)).await.text(), "here");
    let stopped = Raw::ask(sidecar.jobs(), through(9)).await;
    assert_eq!(stopped.status, 508);
    assert!(stopped.values("adumbra-not-executed").is_empty(), "or it would be sent on elsewhere");
    assert_eq!(origin.begun(), 1);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="loop"}"#).await, 1.0);
}
