//! Listeners move, come and go, and whoever has connected is served.

use std::net::SocketAddr;

use tests::{Client, Edited, Origin, Raw, Reply, Setup, eventually, tls};
use tokio::net::TcpStream;

/// An address that was free a moment ago.
async fn free() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

async fn is_closed(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_listener_that_moves_serves_the_connections_it_has_and_lets_them_go() {
    let origin = Origin::named("private").await;
    let setup = Setup::alone(origin.url());
    let edited = Edited::start(&setup);
    let (old, new) = (edited.sidecar.jobs(), free().await);
    let mut kept = Raw::connect(old).await;
    kept.write(GET).await;
    assert_eq!(kept.answer().await.values("connection"), [""; 0]);
    let mut in_flight = Raw::connect(old).await;
    in_flight.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab").await;
    let in_flight_now = async || edited.sidecar.status().await["networks"][0]["in_flight"] == 1;
    eventually("it is in flight", in_flight_now).await;
    edited.edit(&setup.clone().set("listen.jobs", format!(r#""{new}""#))).await;
    assert_eq!(edited.sidecar.jobs(), new);
    assert_eq!(Raw::ask(new, GET).await.text(), "private");
    eventually("the old one is closed", async || is_closed(old).await).await;
    in_flight.write("cd").await;
    let answer = in_flight.answer().await;
    assert_eq!((answer.status, answer.values("connection")), (200, vec!["close"]), "it is the last on this connection");
    assert_eq!(edited.config().await["listening"]["jobs"], new.to_string());
    // And back again, to a place that was its own before.
    edited.edit(&setup.clone().set("listen.jobs", format!(r#""{old}""#))).await;
    assert_eq!(Raw::ask(old, GET).await.text(), "private");
    drop(kept);
}

#[tokio::test]
async fn a_connection_of_http2_is_told_to_go_and_its_streams_end() {
    let origin = Origin::held().await;
    let setup = Setup::alone(origin.url());
    let edited = Edited::start(&setup);
    let mut client = Client::two(edited.sidecar.jobs()).await;
    let request = || {
        let body = http_body_util::BodyExt::boxed_unsync(http_body_util::Empty::new());
        http::Request::get("http://service/").body(body).expect("a request")
    };
    let asking = client.try_send(request());
    let moving = async {
        let in_flight = origin.next().await;
        edited.edit(&setup.clone().set("listen.jobs", format!(r#""{}""#, free().await))).await;
        in_flight.release(Reply::ok("whole")).await;
    };
    let (answer, ()) = tokio::join!(asking, moving);
    let (body, _) = tests::client::whole(answer.expect("its stream was open before").into_body()).await;
    assert_eq!(body, "whole");
    eventually("the connection takes no more", async || client.try_send(request()).await.is_err()).await;
}

#[tokio::test]
async fn a_listener_that_stays_keeps_its_connections_and_others_come_and_go() {
    let origin = Origin::named("private").await;
    let setup = Setup::alone(origin.url());
    let edited = Edited::start(&setup);
    let (jobs, egress) = (edited.sidecar.jobs(), edited.sidecar.egress());
    let mut kept = Raw::connect(jobs).await;
    kept.write(GET).await;
    kept.answer().await;
    edited.edit(&setup.clone().unset("listen.egress")).await;
    eventually("it is closed", async || is_closed(egress).await).await;
    let moved = free().await;
    edited
        .edit(&setup.clone().set("listen.admin", format!(r#""{moved}""#)).set("limits.head_bytes", r#""16KiB""#))
        .await;
    assert!(!is_closed(edited.sidecar.egress()).await);
    assert_eq!((edited.sidecar.jobs(), edited.sidecar.admin()), (jobs, moved));
    kept.write(GET).await;
    assert_eq!(kept.answer().await.values("connection"), [""; 0], "nothing has happened to it");
}

#[tokio::test]
async fn jobs_come_encrypted_from_now_on_and_no_longer() {
    let origin = Origin::named("private").await;
    let setup = Setup::alone(origin.url());
    let edited = Edited::start(&setup);
    let jobs = edited.sidecar.jobs();
    let mut plain = Raw::connect(jobs).await;
    plain.write(GET).await;
    plain.answer().await;
    let (one, another) = (tls::Identity::new(), tls::Identity::new());
    for identity in [&one, &another] {
        edited.edit(&setup.clone().set("listen.tls", identity.toml())).await;
        let mut client = Raw::over(identity.connect(jobs, &[]).await);
        client.write(GET).await;
        assert_eq!(client.answer().await.text(), "private");
    }
    assert_eq!(edited.sidecar.jobs(), jobs, "on the same socket");
    assert_eq!(plain.to_end().await, b"", "what came in the clear was let go");
    assert!(edited.sidecar.metric(r#"adumbra_certificate_expiry_timestamp_seconds{certificate="jobs"}"#).await > 0.0);
    edited.edit(&setup).await;
    assert_eq!(Raw::ask(jobs, GET).await.text(), "private");
    assert_eq!(edited.sidecar.metric(r#"adumbra_certificate_expiry_timestamp_seconds{certificate="jobs"}"#).await, 0.0);
}

#[tokio::test]
async fn a_lower_bound_on_connections_lets_those_there_are_be() {
    let origin = Origin::named("private").await;
    let setup = Setup::alone(origin.url());
    let edited = Edited::start(&setup);
    let jobs = edited.sidecar.jobs();
    let mut two = [Raw::connect(jobs).await, Raw::connect(jobs).await];
    for client in &mut two {
        client.write(GET).await;
        client.answer().await;
    }
    edited.edit(&setup.clone().set("limits.connections", 1)).await;
    // There was room for the next one when the listener began to wait for it.
    assert_eq!(Raw::ask(jobs, GET).await.status, 200);
    let mut fourth = Raw::connect(jobs).await;
    fourth.write(GET).await;
    for client in &mut two {
        client.write(GET).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(origin.begun(), 5, "it waits in the backlog");
    drop(two);
    assert_eq!(fourth.answer().await.status, 200);
}
