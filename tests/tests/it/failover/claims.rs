//! Who may say that a job was not executed, and when it may be said.

use tests::{Origin, Reply, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_sidecars_refusal_is_not_the_services() {
    // The far sidecar is there, and has no service that it could reach.
    let far = Setup::alone(nobody().await).start();
    let near = Origin::named("public").await;
    let sidecar = Setup::with_peer(near.url(), &far)
        .set("networks.public.price", "{ slot_second = 0.0 }")
        .set("networks.private.price", "{ slot_second = 9.0 }")
        .every(ONCE)
        .start();
    sidecar.swap_model(tests::model::settled(10.0, 1.0));
    let answer = post(&sidecar, "hello").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "public"), "the near origin answers under that name");
    assert_eq!(answer.decision().said(), ("private", "failover", "send"));
    assert_eq!(near.only().body, b"hello");
    assert_eq!(sidecar.metric(r#"adumbra_failovers_total{network="public"}"#).await, 1.0);
}

#[tokio::test]
async fn a_services_own_503_is_passed_on() {
    for body in ["busy", ""] {
        let (private, public) = (
            Origin::answering(move |_| Reply::of(503, body).field("retry-after", "7")).await,
            Origin::named("x").await,
        );
        let sidecar = Setup::two(private.url(), public.url()).every(ONCE).start();
        let answer = post(&sidecar, "hello").await;
        assert_eq!((answer.status, answer.text().as_str(), answer.field("retry-after")), (503, body, "7"));
        assert_eq!((private.begun(), public.begun()), (1, 0));
        assert_eq!(sidecar.sum("adumbra_jobs_total", &["server_error"]).await, 1.0);
    }
}

#[tokio::test]
async fn a_service_cannot_claim_that_it_did_not_execute() {
    let (private, public) = (
        Origin::answering(|_| Reply::of(503, "busy").field("adumbra-not-executed", "1")).await,
        Origin::named("x").await,
    );
    let sidecar = Setup::two(private.url(), public.url()).every(ONCE).start();
    let answer = post(&sidecar, "hello").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(answer.values("adumbra-not-executed"), Vec::<&str>::new());
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn a_service_is_not_taken_to_be_well_for_claiming_that_it_did_not_execute() {
    let private = Origin::answering(|_| Reply::of(503, "busy").field("adumbra-not-executed", "1")).await;
    let public = Origin::named("public").await;
    let health = r#"{ failures = 2, open_for = "600s", every = "600s" }"#;
    let sidecar = Setup::two(private.url(), public.url()).set("networks.private.health", health).every(ONCE).start();
    for _ in 0..2 {
        assert_eq!(post(&sidecar, "hello").await.status, 503);
    }
    sidecar.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 0.0).await;
    assert_eq!(post(&sidecar, "hello").await.text(), "public");
}

#[tokio::test]
async fn a_job_whose_kept_connection_broke_and_that_could_not_be_sent_again_is_not_said_to_be_unexecuted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    // With one worker, both jobs come over the same kept connection.
    let sidecar = Setup::alone(format!("http://{address}")).set("workers", 1).every(REPEATABLE).start();
    let service = async {
        let (mut stream, _) = listener.accept().await.expect("the sidecar connects");
        let mut request = vec![0; 64 * 1024];
        let read = stream.read(&mut request).await.expect("a request comes");
        assert!(request[..read].ends_with(b"hello"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("it is answered");
        // The next job has come when the service goes, and has perhaps been begun.
        assert!(stream.read(&mut request).await.expect("another comes") > 0);
        drop(listener);
        drop(stream);
    };
    let jobs = async {
        assert_eq!(post(&sidecar, "hello").await.status, 200);
        post(&sidecar, "hello").await
    };
    let (answer, ()) = tokio::join!(jobs, service);
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.values("adumbra-not-executed"), Vec::<&str>::new());
    assert!(answer.text().contains("/problems/broke-off"), "{}", answer.text());
}
