//! Bytes go through as they come, both ways, over either version of HTTP, and no faster than they are read.

use http::{Method, Request, Version};
use http_body_util::BodyExt;
use tests::client::{next_data, whole};
use tests::piped::{empty, full, piped};
use tests::service::echo;
use tests::tls::Identity;
use tests::{Client, Origin, Raw, Reply, Service, Setup, Sidecar, eventually, within};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_service_from_being_read() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut exchange = origin.next().await;
    exchange.begin_chunked("").await;
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    // It is read from until every buffer between is full, and then no more: a write that does not end in a while is one
    // that waits.
    while tokio::time::timeout(std::time::Duration::from_secs(1), exchange.chunk(&piece)).await.is_ok() {
        written += piece.len() as u64;
        assert!(written < 64 * MIB, "{written} bytes went into buffers");
    }
    // Now it is read, and the rest gets through.
    let reading = tokio::spawn(async move {
        assert_eq!(client.head().await.status, 200);
        let mut read = 0;
        while read < written {
            read += client.chunk().await.expect("there is more").len() as u64;
        }
        client
    });
    within("what was held back arrives", reading).await.expect("no panic");
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_client_from_being_read() {
    let origin = Origin::held_at_head().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    let length = 64 * MIB;
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")).await;
    let mut exchange = origin.next().await;
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    while let Ok(sent) = tokio::time::timeout(std::time::Duration::from_secs(1), client.offer(&piece)).await {
        sent.expect("the sidecar holds the connection");
        written += piece.len() as u64;
        assert!(written < length, "the whole body went into buffers");
    }
    assert_eq!(exchange.read(usize::try_from(written / 2).expect("it fits")).await.len() as u64, written / 2);
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let origin = Origin::answering(|_| Reply::ok("answer").trailer("x-sum", "6")).await;
    let sidecar = Setup::alone(origin.url()).start();
    let answer = Raw::ask(
        sidecar.jobs(),
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: x-check\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nx-check: ok\r\n\r\n",
    )
    .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "answer"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
    let seen = origin.only();
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.trailers, [("x-check".to_owned(), "ok".to_owned())]);
}

#[tokio::test]
async fn an_answer_that_ends_in_trailers_is_counted_as_answered_and_its_connection_is_kept() {
    let origin = Origin::answering(|_| Reply::ok("answer").trailer("x-sum", "6")).await;
    let sidecar = Setup::alone(origin.url()).set("workers", 1).start();
    for _ in 0..3 {
        let answer = Raw::ask(sidecar.jobs(), "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
        assert_eq!(answer.trailers.len(), 1);
    }
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="answered"}"#, 3.0).await;
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_client_that_expects_a_hundred_gets_it_before_it_sends_its_body() {
    let origin = Origin::answering(|request| Reply::ok(request.body.clone())).await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.write("hello").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn a_refusal_to_a_client_that_expects_a_hundred_comes_without_one() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.status, 400);
}

#[tokio::test]
async fn an_event_is_there_before_the_next_is_made() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET /events HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n").await;
    let mut exchange = origin.next().await;
    exchange.begin_chunked("content-type: text/event-stream\r\n").await;
    assert_eq!(client.head().await.status, 200);
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        exchange.chunk(event.as_bytes()).await;
        assert_eq!(client.chunk().await.as_deref(), Some(event.as_bytes()));
    }
    exchange.end_chunked().await;
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn grpc_streams_both_ways_at_once_over_http_2() {
    let service = Service::start(|request| async {
        let (parts, body) = echo(request).await.into_parts();
        let trailers = async {
            Some(Ok(http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )])))
        };
        http::Response::from_parts(parts, body.with_trailers(trailers).boxed_unsync())
    })
    .await;
    let sidecar = Setup::alone(service.url()).every("shadow = \"on\"\nrepeatable = true").start();
    let mut client = Client::two(sidecar.jobs()).await;
    let (feed, body) = piped();
    let request = Request::post("http://a/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    let response = client.send(request).await;
    assert_eq!(response.status(), 200);
    let mut answer = response.into_body();
    for message in ["one", "two", "three"] {
        assert!(feed.data(message).await);
        assert_eq!(next_data(&mut answer).await, message);
    }
    drop(feed);
    let (rest, trailers) = whole(answer).await;
    assert_eq!(rest.len(), 0);
    assert_eq!(trailers.expect("there are trailers")["grpc-status"], "0");
    assert_eq!(service.versions(), [Version::HTTP_2]);
    assert_eq!(service.seen()[0].headers["te"], "trailers");
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="answered"}"#, 1.0).await;
}

async fn check_versions(to_us: Version, onwards: &str, expected: Version) {
    let service = Service::start(echo).await;
    let sidecar = Setup::alone(service.url()).set("networks.private.protocol", format!("{onwards:?}")).start();
    let mut client = match to_us {
        Version::HTTP_2 => Client::two(sidecar.jobs()).await,
        _ => Client::one(sidecar.jobs()).await,
    };
    for body in [full("hello"), empty(), full(vec![b'x'; 300_000])] {
        let request = Request::post("http://service.example/a?b=c").body(body).expect("a request");
        let response = client.send(request).await;
        assert_eq!((response.status().as_u16(), response.version()), (200, to_us));
        assert!(response.headers().contains_key("adumbra-decision"));
        whole(response.into_body()).await;
    }
    let seen = service.seen();
    assert_eq!(service.versions(), [expected; 3]);
    assert_eq!(seen[0].uri.path_and_query().map(|path| path.as_str()), Some("/a?b=c"));
    let host = match expected {
        Version::HTTP_2 => seen[0].uri.authority().map(ToString::to_string),
        _ => seen[0].headers.get("host").map(|host| host.to_str().expect("ASCII").to_owned()),
    };
    assert_eq!(host.as_deref(), Some("service.example"));
    assert_eq!(sidecar.metric(r#"adumbra_jobs_total{network="private",outcome="answered"}"#).await, 3.0);
}

#[tokio::test]
async fn each_version_of_http_goes_out_by_each() {
    check_versions(Version::HTTP_11, "http1", Version::HTTP_11).await;
    check_versions(Version::HTTP_11, "http2", Version::HTTP_2).await;
    check_versions(Version::HTTP_2, "http1", Version::HTTP_11).await;
    check_versions(Version::HTTP_2, "http2", Version::HTTP_2).await;
}

#[tokio::test]
async fn a_client_chooses_its_version_in_the_tls_handshake() {
    let (origin, identity) = (Origin::named("here").await, Identity::new());
    let sidecar = Setup::alone(origin.url()).set("listen.tls", identity.toml()).start();
    let mut one = Client::one_over(identity.connect(sidecar.jobs(), &[b"http/1.1"]).await).await;
    let mut two = Client::two_over(identity.connect(sidecar.jobs(), &[b"h2", b"http/1.1"]).await).await;
    for (client, version) in [(&mut one, Version::HTTP_11), (&mut two, Version::HTTP_2)] {
        let response = client.send(Request::get("https://localhost/").body(empty()).expect("a request")).await;
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        assert_eq!(whole(response.into_body()).await.0, "here");
    }
    let seen = origin.recorded();
    assert_eq!(seen.iter().map(|r| r.field("x-forwarded-proto")).collect::<Vec<_>>(), ["https", "https"]);
}

#[tokio::test]
async fn a_client_without_tls_is_not_served_where_tls_is_spoken() {
    let (origin, identity) = (Origin::named("here").await, Identity::new());
    let sidecar = Setup::alone(origin.url()).set("listen.tls", identity.toml()).start();
    let said = Raw::send(sidecar.jobs(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_encrypted_service_is_reached_by_its_name_and_its_root() {
    let identity = Identity::new();
    let service = Service::encrypted(&identity, echo).await;
    let url = format!("https://localhost:{}", service.address().port());
    for (protocol, version) in [("auto", Version::HTTP_2), ("http1", Version::HTTP_11)] {
        let sidecar = Setup::alone(&url)
            .set("networks.private.ca", format!("{:?}", identity.certificate()))
            .set("networks.private.protocol", format!("{protocol:?}"))
            .start();
        eventually("the name is resolved", async || sidecar.get("/").await.status == 200).await;
        assert_eq!(service.versions().last(), Some(&version));
    }
}

#[tokio::test]
async fn an_encrypted_service_that_we_do_not_trust_gets_nothing() {
    let (identity, other) = (Identity::new(), Identity::new());
    let service = Service::encrypted(&identity, echo).await;
    let sidecar = Setup::alone(format!("https://127.0.0.1:{}", service.address().port()))
        .set("networks.private.ca", format!("{:?}", other.certificate()))
        .start();
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(service.seen().len(), 0);
}

#[tokio::test]
async fn a_service_is_found_by_its_dns_name() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(format!("http://localhost:{}", origin.address().port())).start();
    eventually("the name is resolved", async || sidecar.get("/").await.status == 200).await;
}

async fn check_bodiless(method: Method, reply: Reply, status: u16, length: Option<&str>) {
    let origin = Origin::answering(move |_| reply.clone()).await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    for _ in 0..2 {
        client.write(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let answer = client.answer_to(method.as_str()).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{method} {status}");
        assert_eq!(answer.values("content-length").first().copied(), length, "{method} {status}");
        assert_eq!(answer.values("transfer-encoding"), Vec::<&str>::new(), "{method} {status}");
    }
    // The second answer is read where the first ended: nothing stood between them.
    assert_eq!((origin.recorded().len(), origin.connections()), (2, 1), "{method} {status}");
}

#[tokio::test]
async fn answers_without_a_body_are_passed_on_as_they_are() {
    check_bodiless(Method::HEAD, Reply::ok("hello"), 200, Some("5")).await;
    check_bodiless(Method::HEAD, Reply::of(404, ""), 404, Some("0")).await;
    check_bodiless(Method::GET, Reply::bare(204), 204, None).await;
    check_bodiless(Method::GET, Reply::bare(304).field("etag", "\"a\""), 304, None).await;
    check_bodiless(Method::GET, Reply::ok(""), 200, Some("0")).await;
    check_bodiless(Method::POST, Reply::of(500, ""), 500, Some("0")).await;
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let origin = Origin::answering(|_| Reply::ok(vec![b'x'; 100_000]).until_close()).await;
    let sidecar = Setup::alone(origin.url()).start();
    let answer = sidecar.get("/").await;
    assert_eq!((answer.status, answer.body.len()), (200, 100_000));
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut exchange = origin.next().await;
    exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    assert_eq!(client.head().await.field("content-length"), "10");
    assert_eq!(client.read(5).await, b"hello");
    exchange.break_off();
    assert_eq!(client.to_end().await, b"");
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="broke_off"}"#, 1.0).await;
}

async fn upgrading() -> (Origin, Sidecar, Raw) {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client
        .write(
            "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        )
        .await;
    (origin, sidecar, client)
}

#[tokio::test]
async fn a_websocket_is_joined_after_a_real_101_and_closed_from_either_end() {
    let (origin, sidecar, mut client) = upgrading().await;
    let mut exchange = origin.next().await;
    assert_eq!(exchange.request.field("upgrade"), "websocket");
    assert_eq!(exchange.request.field("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    exchange
        .write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("upgrade")), (101, "websocket"));
    assert_eq!(answer.field("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(client.read(5).await, b"first");
    client.write(b"GET / HTTP/1.1\n\n\0\xff").await;
    assert_eq!(exchange.read(18).await, b"GET / HTTP/1.1\n\n\0\xff");
    exchange.write(b"pong").await;
    assert_eq!(client.read(4).await, b"pong");
    drop(client);
    exchange.gone().await;
    drop(exchange);
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="answered"}"#, 1.0).await;
    assert_eq!(sidecar.metric(r#"adumbra_network_in_flight{network="private"}"#).await, 0.0);
}

#[tokio::test]
async fn a_websocket_that_the_service_refuses_stays_http() {
    let (origin, _sidecar, mut client) = upgrading().await;
    origin.next().await.release(Reply::of(403, "no")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    client.write("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let next = origin.next().await;
    assert_eq!((next.request.target.as_str(), next.request.has("upgrade")), ("/next", false));
    next.release(Reply::ok("here")).await;
    assert_eq!(client.answer().await.text(), "here");
}

#[tokio::test]
async fn what_a_client_sends_before_the_101_waits_for_it() {
    let (origin, _sidecar, mut client) = upgrading().await;
    client.write(b"early").await;
    let mut exchange = origin.next().await;
    exchange.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 101);
    assert_eq!(exchange.read(5).await, b"early");
}

#[tokio::test]
async fn an_h2c_upgrade_is_not_passed_on() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).start();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(Raw::ask(sidecar.jobs(), request).await.status, 200);
    let seen = origin.only();
    assert!(!seen.has("upgrade") && !seen.has("http2-settings"));
}
