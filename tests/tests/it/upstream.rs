//! How one request gets to a network: over which connection, in which form, and what a network's failures are taken for.

mod frozen;
mod http2;

use tests::service::{Service, echo};
use tests::tls::Identity;
use tests::{Client, Origin, Raw, Reply, Setup, client, piped};
use tokio::net::TcpListener;

const SENT_ON: &str = "shadow = \"on\"\nrepeatable = true";

/// Accepts connections and resets each at once.
async fn resetting() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    // Ends with the test's runtime.
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(socket.set_zero_linger());
        }
    });
    address
}

#[tokio::test]
async fn a_request_that_http_2_could_not_take_goes_on_over_http_1_as_it_came() {
    let public = Origin::named("public").await;
    let sidecar = Setup::two(format!("http://{}", resetting().await), public.url())
        .set("networks.private.protocol", r#""http2""#)
        .set("networks.private.health", "{ failures = 1000 }")
        .every(SENT_ON)
        .start();
    for _ in 0..20 {
        assert_eq!(sidecar.get("/a?b=c").await.status, 200);
    }
    // The service has checked that each was one canonical request.
    for request in public.recorded() {
        assert_eq!(request.field("host"), "service");
    }
}

#[tokio::test]
async fn a_request_of_http_1_0_without_host_is_given_the_services_own() {
    let service = Origin::named("here").await;
    let sidecar = Setup::alone(service.url()).start();
    let answer = Raw::send(sidecar.jobs(), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.") && answer.ends_with(b"here"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(service.only().field("host"), service.address().to_string());
}

#[tokio::test]
async fn a_request_without_host_is_given_that_of_the_network_that_takes_it() {
    let public = Origin::named("public").await;
    let sidecar = Setup::two("http://127.0.0.1:1", public.url()).every(SENT_ON).start();
    Raw::send(sidecar.jobs(), "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(public.only().field("host"), public.address().to_string());
}

#[tokio::test]
async fn load_reports_do_not_close_a_sidecars_breaker() {
    let (private, public) = (Origin::named("private").await, Origin::held().await);
    let far = Setup::alone(public.url()).set("networks.private.health", "{ failures = 100 }").start();
    let near = Setup::with_peer(private.url(), &far)
        .set("networks.public.health", r#"{ failures = 2, open_for = "60s" }"#)
        .every(r#"shadow = "on""#)
        .start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    for _ in 0..2 {
        let mut client = Raw::connect(near.jobs()).await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        public.next().await.break_off();
        assert_eq!(client.answer().await.text(), "private", "it may be repeated");
        // A report comes in between the two.
        let reports = r#"adumbra_upstream_connections_total{network="public",result="reused"}"#;
        let before = near.metric(reports).await;
        tests::eventually("another report", async || near.metric(reports).await > before + 1.0).await;
    }
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 0.0).await;
    assert_eq!(near.get("/").await.text(), "private");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so_and_no_network_is_blamed() {
    let service = Origin::held_at_head().await;
    let sidecar = Setup::alone(service.url())
        .set("networks.private.timeouts", r#"{ head = "100ms" }"#)
        .set("networks.private.health", r#"{ failures = 1, open_for = "60s" }"#)
        .start();
    for _ in 0..2 {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
        let _held = service.next().await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.values("adumbra-not-executed").len()), (408, 0), "{}", answer.text());
        assert!(answer.text().contains("/problems/body-timeout"), "{}", answer.text());
    }
    assert_eq!(sidecar.metric(r#"adumbra_network_healthy{network="private"}"#).await, 1.0);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="body_timeout"}"#).await, 2.0);
}

#[tokio::test]
async fn a_service_that_does_not_read_is_blamed_for_it() {
    let service = Origin::held_at_head().await;
    let sidecar = Setup::alone(service.url())
        .set("networks.private.timeouts", r#"{ head = "100ms" }"#)
        .set("networks.private.health", r#"{ failures = 1, open_for = "60s" }"#)
        .start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").await;
    let _held = service.next().await;
    let piece = vec![b'x'; 1 << 16];
    let writing = async { while client.offer(&piece).await.is_ok() {} };
    tokio::select! {
        () = writing => {}
        () = sidecar.metric_becomes(r#"adumbra_problems_total{problem="no_answer"}"#, 1.0) => {}
    }
    assert_eq!(sidecar.metric(r#"adumbra_network_healthy{network="private"}"#).await, 0.0);
}

#[tokio::test]
async fn a_stream_of_grpc_may_be_silent_and_another_answer_may_not() {
    let service = Origin::held().await;
    let bounds = r#"{ idle = "50ms", total = "100ms" }"#;
    let sidecar = Setup::alone(service.url()).set("networks.private.timeouts", bounds).start();
    let (mut stream, mut other) = (Raw::connect(sidecar.jobs()).await, Raw::connect(sidecar.jobs()).await);
    stream.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut streaming = service.next().await;
    streaming.begin_chunked("content-type: application/grpc+proto\r\n").await;
    assert_eq!(stream.head().await.status, 200);
    other.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut plain = service.next().await;
    plain.begin_chunked("").await;
    assert_eq!(other.head().await.status, 200);
    // The one that began later has been cut by both bounds when the earlier one goes on.
    plain.gone().await;
    streaming.chunk(b"late").await;
    assert_eq!(stream.chunk().await.as_deref(), Some(&b"late"[..]));
}

#[tokio::test]
async fn cookies_that_http_2_has_cut_up_are_one_line_again() {
    let service = Origin::named("here").await;
    let sidecar = Setup::alone(service.url()).start();
    let request = http::Request::get("http://a/").header("cookie", "a=1").header("cookie", "b=2; c=3");
    let answer = Client::two(sidecar.jobs()).await.send(request.body(piped::empty()).expect("a request")).await;
    assert_eq!(client::whole(answer.into_body()).await.0, "here");
    assert_eq!(service.only().field("cookie"), "a=1; b=2; c=3");
}

#[tokio::test]
async fn a_name_is_reached_at_whichever_address_accepts() {
    let service = Origin::answering(|_| Reply::ok("here").closing()).await;
    let sidecar = Setup::alone(format!("http://localhost:{}", service.address().port())).start();
    tests::eventually("the name resolves", async || sidecar.get("/").await.status == 200).await;
    // Where the name has an address of IPv6, too, nobody listens there, and every second connection begins with it.
    for _ in 0..6 {
        assert_eq!(sidecar.get("/").await.text(), "here");
    }
}

#[tokio::test]
async fn a_burst_of_requests_shares_one_connection_of_http_2() {
    let identity = Identity::new();
    let (clear, encrypted) = (Service::start(echo).await, Service::encrypted(&identity, echo).await);
    let https = format!("https://localhost:{}", encrypted.address().port());
    for (url, protocol) in [(clear.url(), "http2"), (https, "auto")] {
        let sidecar = Setup::alone(&url)
            .set("workers", "1")
            .set("networks.private.ca", format!("{:?}", identity.certificate()))
            .set("networks.private.protocol", format!("{protocol:?}"))
            .set("networks.private.health", r#"{ failures = 1000 }"#)
            .start();
        let mut burst = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let jobs = sidecar.jobs();
            let ask = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            burst.spawn(async move {
                // The name may not be resolved yet.
                tests::within("an answer", async { while Raw::ask(jobs, ask).await.status != 200 {} }).await;
            });
        }
        burst.join_all().await;
        let made = r#"adumbra_upstream_connections_total{network="private",result="made"}"#;
        assert_eq!(sidecar.metric(made).await, 1.0, "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_for_longer_than_an_answer_may_take() {
    let service = Origin::held().await;
    let sidecar = Setup::alone(service.url()).set("networks.private.timeouts", r#"{ total = "300ms" }"#).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answering = service.next().await;
    answering.begin_chunked("").await;
    let piece = tests::reply::chunk_bytes(&[b'x'; 1 << 16]);
    tests::within("the service's connection is closed", answering.write_until_gone(&piece)).await;
    sidecar.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    drop(client);
}
