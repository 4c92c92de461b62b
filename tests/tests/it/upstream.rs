//! How one request gets to a network: over which connection, in which form, and what a network's failures are taken for.

use tests::{Origin, Raw, Setup};
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
