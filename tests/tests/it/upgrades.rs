//! A request that wants another protocol is executed once, wherever it can be, and joined to its client.

use tests::{Origin, Raw, Setup};

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c, websocket\r\n\r\n";

#[tokio::test]
async fn an_upgrade_that_was_not_sent_goes_to_the_next_network() {
    let public = Origin::held().await;
    let sidecar = Setup::two("http://127.0.0.1:1", public.url()).every(r#"shadow = "on""#).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(UPGRADE).await;
    let mut service = public.next().await;
    assert_eq!(service.request.field("upgrade"), "websocket", "h2c is not passed on, in a list either");
    service.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.decision().said()), (101, ("public", "failover", "send")));
    assert_eq!(sidecar.metric(r#"adumbra_failovers_total{network="private"}"#).await, 1.0);
    client.write("ping").await;
    assert_eq!(service.read(4).await, b"ping");
}

#[tokio::test]
async fn an_upgrade_that_a_far_sidecar_did_not_execute_goes_to_the_next_network() {
    let private = Origin::held().await;
    let far = Setup::alone("http://127.0.0.1:1").start();
    let near = Setup::with_peer(private.url(), &far).every(r#"shadow = "on""#).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = Raw::connect(near.jobs()).await;
    client.write(UPGRADE).await;
    let mut service = private.next().await;
    assert!(!service.request.has("adumbra-transfer"), "the mark was for the far sidecar");
    service.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(client.head().await.decision().said(), ("private", "failover", "send"));
}

#[tokio::test]
async fn an_upgrade_that_may_have_been_executed_goes_nowhere_else() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every("repeatable = true").start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(UPGRADE).await;
    private.next().await.break_off();
    assert_eq!(client.answer().await.status, 502);
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn an_answer_to_an_upgrade_has_one_framing_too() {
    let service = Origin::held().await;
    let sidecar = Setup::alone(service.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(UPGRADE).await;
    let mut answering = service.next().await;
    let twice = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    answering.write(twice.as_bytes()).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn a_protocol_that_nobody_asked_for_is_no_answer() {
    let service = Origin::held().await;
    let sidecar = Setup::alone(service.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answering = service.next().await;
    answering.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    answering.gone().await;
}
