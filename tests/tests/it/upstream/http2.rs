//! What streams that share a connection to a network, or from a client, may do to each other: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tests::piped::{self, full};
use tests::service::Service;
use tests::tls::Identity;
use tests::{Client, Origin, Raw, Reply, Setup, client, eventually};

use super::frozen::Wire;

const HEALTHY: &str = r#"adumbra_network_healthy{network="private"}"#;

/// What is sent or taken no more has come to a stand when it has been the same for so many looks.
const STANDS_AFTER: u32 = 40;

/// Waits until a count stands still: whoever counts is held back.
async fn stands(what: &str, count: &AtomicU64) {
    let (mut last, mut same) = (0, 0);
    eventually(what, async || {
        let now = count.load(Ordering::SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same >= STANDS_AFTER
    })
    .await;
}

/// A service of HTTP/2 that answers `/endless` without end, and says how much of that was taken.
async fn endless() -> (Service, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let service = Service::start(move |request: Request<Incoming>| {
        let taken = Arc::clone(&counted);
        async move {
            if request.uri().path() != "/endless" {
                return Response::new(full("here"));
            }
            let (feed, body) = piped::piped();
            // Ends when nobody reads it any more.
            tokio::spawn(async move {
                let piece = Bytes::from(vec![b'x'; 1 << 14]);
                while feed.data(piece.clone()).await {
                    taken.fetch_add(1 << 14, Ordering::SeqCst);
                }
            });
            Response::new(body)
        }
    })
    .await;
    (service, taken)
}

fn over_two(service: &Service) -> Setup {
    Setup::alone(service.url()).set("workers", 1).set("networks.private.protocol", r#""http2""#)
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody_else_on_their_connection() {
    let (service, taken) = endless().await;
    let sidecar = over_two(&service).start();
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
        unread.push(client);
    }
    stands("the answers are held back", &taken).await;
    assert_eq!(sidecar.get("/").await.text(), "here");
    let made = r#"adumbra_upstream_connections_total{network="private",result="made"}"#;
    assert_eq!(sidecar.metric(made).await, 1.0, "all of them share one connection");
}

#[tokio::test]
async fn uploads_that_a_service_does_not_read_hold_up_nobody_else_on_their_connection() {
    let service = Origin::held_at_head().await;
    let sidecar = Setup::alone(service.url()).start();
    let Client::Two(sender) = Client::two(sidecar.jobs()).await else { unreachable!("it was made so") };
    let taken = Arc::new(AtomicU64::new(0));
    let mut held = Vec::new();
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (feed, body) = piped::piped();
        // For as long as the test takes: whoever gave up before would let the others go on.
        let upload = sender.clone().send_request(Request::post("http://a/").body(body).expect("a request"));
        uploads.spawn(async move { drop(upload.await) });
        let taken = Arc::clone(&taken);
        uploads.spawn(async move {
            let piece = Bytes::from(vec![b'x'; 1 << 14]);
            while feed.data(piece.clone()).await {
                taken.fetch_add(1 << 14, Ordering::SeqCst);
            }
        });
        held.push(service.next().await);
    }
    stands("the uploads are held back", &taken).await;
    let mut client = Client::Two(sender.clone());
    let request = Request::post("http://a/").body(full("twelve bytes")).expect("a request");
    let asked = tokio::spawn(async move { client.send(request).await });
    let mut next = service.next().await;
    assert_eq!(next.read(12).await, b"twelve bytes");
    next.release(Reply::ok("here")).await;
    let answer = asked.await.expect("no panic");
    assert_eq!(client::whole(answer.into_body()).await.0, "here");
}

#[tokio::test]
async fn health_is_asked_for_over_http_2_too() {
    let well = Arc::new(AtomicBool::new(false));
    let identity = Identity::new();
    let asked = |well: &Arc<AtomicBool>| {
        let well = Arc::clone(well);
        move |request: Request<Incoming>| {
            let is_well = request.uri().path() != "/health" || well.load(Ordering::SeqCst);
            async move {
                let mut response = Response::new(full("here"));
                *response.status_mut() = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                response
            }
        }
    };
    let in_the_clear = Service::start(asked(&well)).await;
    let over_tls = Service::encrypted(&identity, asked(&well)).await;
    let https = format!("https://localhost:{}", over_tls.address().port());
    for (url, protocol) in [(in_the_clear.url(), "http2"), (https, "auto")] {
        well.store(false, Ordering::SeqCst);
        let sidecar = Setup::alone(&url)
            .set("networks.private.ca", format!("{:?}", identity.certificate()))
            .set("networks.private.protocol", format!("{protocol:?}"))
            .set("networks.private.health", r#"{ path = "/health", every = "10ms", failures = 2 }"#)
            .start();
        sidecar.metric_becomes(HEALTHY, 0.0).await;
        well.store(true, Ordering::SeqCst);
        sidecar.metric_becomes(HEALTHY, 1.0).await;
    }
    for seen in in_the_clear.seen().iter().chain(&over_tls.seen()) {
        assert_eq!((seen.version, seen.uri.path()), (Version::HTTP_2, "/health"));
    }
}

#[tokio::test]
async fn a_connection_that_gave_no_answer_is_given_no_more_requests() {
    let service = Service::start(|_| async { Response::new(full("here")) }).await;
    let wire = Wire::to(service.address()).await;
    let sidecar = Setup::alone(wire.url())
        .set("workers", 1)
        .set("networks.private.protocol", r#""http2""#)
        .set("networks.private.timeouts", r#"{ head = "100ms" }"#)
        .set("networks.private.health", "{ failures = 1000 }")
        .start();
    assert_eq!(sidecar.get("/").await.status, 200);
    wire.freeze();
    assert_eq!(sidecar.get("/").await.status, 504);
    assert_eq!(sidecar.get("/").await.status, 200, "what is new is not frozen");
}

#[tokio::test]
async fn a_sidecar_that_has_fallen_silent_is_noticed_by_pings() {
    let service = Origin::held().await;
    let far = Setup::alone(service.url()).start();
    let wire = Wire::to(far.peers()).await;
    let near = Setup::two("http://127.0.0.1:1", "")
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!("[{:?}]", wire.url()))
        .set("networks.public.protocol", r#""http2""#)
        .set("networks.public.health", r#"{ every = "50ms", timeout = "200ms", failures = 1000 }"#)
        .every(r#"shadow = "on""#)
        .start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = Raw::connect(near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let _held = service.next().await;
    wire.freeze();
    // The time-out for heads is far beyond what a test may take.
    assert_eq!(client.answer().await.status, 502);
}

/// A service of gRPC that answers with this status: in trailers after a message, or in the head alone.
async fn calls(status: &'static str, in_head: bool) -> Service {
    Service::start(move |_| async move {
        let call = Response::builder().header("content-type", "application/grpc");
        if in_head {
            return call.header("grpc-status", status).body(piped::empty()).expect("an answer");
        }
        let (feed, body) = piped::piped();
        // Ends when it has been read.
        tokio::spawn(async move {
            feed.data("message").await;
            feed.trailers("grpc-status", status).await;
        });
        call.body(body).expect("an answer")
    })
    .await
}

#[tokio::test]
async fn a_call_that_failed_is_no_success_whatever_its_http_status() {
    for in_head in [false, true] {
        for (status, outcome, healthy, labels) in
            [("0", "answered", 1.0, 1.0), ("5", "answered", 1.0, 0.0), ("14", "server_error", 0.0, 0.0)]
        {
            let service = calls(status, in_head).await;
            let sidecar = Setup::alone(service.url())
                .set("networks.private.health", r#"{ failures = 2, open_for = "60s" }"#)
                .every(r#"shadow = "on""#)
                .start();
            for _ in 0..2 {
                let request =
                    Request::post("http://a/").header("content-type", "application/grpc").body(full("message"));
                let answer = Client::two(sidecar.jobs()).await.send(request.expect("a request")).await;
                assert_eq!(answer.status(), 200);
                let said = answer.headers().get("grpc-status").cloned();
                let (_, trailers) = client::whole(answer.into_body()).await;
                let said = said.or_else(|| trailers.and_then(|trailers| trailers.get("grpc-status").cloned()));
                assert_eq!(said.expect("it has a status"), status);
            }
            sidecar.decisions(2).await;
            let jobs = format!(r#"adumbra_jobs_total{{network="private",outcome="{outcome}"}}"#);
            assert_eq!(sidecar.metric(&jobs).await, 2.0, "{status}, {in_head}");
            assert_eq!(sidecar.metric(HEALTHY).await, healthy, "{status}, {in_head}");
            sidecar.metric_becomes("adumbra_labels_total", 2.0 * labels).await;
        }
    }
}
