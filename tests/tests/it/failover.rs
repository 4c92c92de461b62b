//! What a network does wrong costs a job nothing if another can still run it, and never makes it run twice unasked.

mod claims;

use tests::{Answer, Origin, Raw, Reply, Service, Setup, Sidecar, eventually, within};
use tokio::net::TcpListener;

const REPEATABLE: &str = "shadow = \"on\"\nrepeatable = true";
const ONCE: &str = "shadow = \"on\"";

/// An address at which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    format!("http://{}", listener.local_addr().expect("a bound socket has an address"))
}

async fn post(sidecar: &Sidecar, body: &str) -> Answer {
    let length = body.len();
    Raw::ask(sidecar.jobs(), format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")).await
}

async fn assert_failed_over(sidecar: &Sidecar, answer: &Answer) {
    assert_eq!((answer.status, answer.text().as_str()), (200, "public"), "{:?}", answer.fields);
    assert_eq!(answer.decision().said(), ("public", "failover", "send"));
    assert_eq!(sidecar.metric(r#"adumbra_failovers_total{network="private"}"#).await, 1.0);
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!((line["target"].as_str(), line["outcome"].as_str()), (Some("public"), Some("answered")));
}

#[tokio::test]
async fn a_job_whose_network_refuses_the_connection_goes_to_the_next_whatever_its_method() {
    for route in [REPEATABLE, ONCE] {
        let public = Origin::named("public").await;
        let sidecar = Setup::two(nobody().await, public.url()).every(route).start();
        let answer = post(&sidecar, "hello").await;
        assert_failed_over(&sidecar, &answer).await;
        assert_eq!(public.only().body, b"hello");
    }
}

#[tokio::test]
async fn a_job_that_no_network_takes_is_answered_503() {
    let sidecar = Setup::two(nobody().await, nobody().await).every(REPEATABLE).start();
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!((answer.field("content-type"), answer.field("retry-after")), ("application/problem+json", "1"));
    assert!(answer.text().contains("/problems/no-network"), "{}", answer.text());
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="no_network"}"#).await, 1.0);
    assert_eq!(sidecar.sum("adumbra_jobs_total", &["refused"]).await, 1.0);
}

#[tokio::test]
async fn a_repeatable_job_that_breaks_off_before_its_head_goes_to_the_next() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(REPEATABLE).start();
    let (answer, ()) = tokio::join!(post(&sidecar, "hello"), async { private.next().await.break_off() });
    assert_failed_over(&sidecar, &answer).await;
    assert_eq!((private.only().body, public.only().body), (b"hello".to_vec(), b"hello".to_vec()));
}

#[tokio::test]
async fn a_get_that_breaks_off_needs_no_leave_to_be_repeated() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(ONCE).start();
    let (answer, ()) = tokio::join!(sidecar.get("/"), async { private.next().await.break_off() });
    assert_failed_over(&sidecar, &answer).await;
}

#[tokio::test]
async fn a_job_that_may_not_be_repeated_is_executed_once_and_its_client_is_told() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(ONCE).start();
    let (answer, ()) = tokio::join!(post(&sidecar, "hello"), async { private.next().await.break_off() });
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("/problems/broke-off"), "{}", answer.text());
    assert_eq!(answer.values("adumbra-not-executed"), Vec::<&str>::new(), "nobody knows that");
    assert_eq!((private.begun(), public.begun()), (1, 0));
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="broke_off"}"#).await, 1.0);
    assert_eq!(sidecar.metric(r#"adumbra_failovers_total{network="private"}"#).await, 0.0);
}

#[tokio::test]
async fn an_idempotency_key_allows_a_repeat_only_where_the_store_is_shared() {
    let keyed = "POST / HTTP/1.1\r\nhost: a\r\nidempotency-key: \"k\"\r\ncontent-length: 2\r\n\r\nhi";
    for (route, status) in [(ONCE, 502), ("shadow = \"on\"\nshared_idempotency = true", 200)] {
        let (private, public) = (Origin::held().await, Origin::named("public").await);
        let sidecar = Setup::two(private.url(), public.url()).every(route).start();
        let (answer, ()) = tokio::join!(Raw::ask(sidecar.jobs(), keyed), async { private.next().await.break_off() });
        assert_eq!(answer.status, status, "{route}");
        assert_eq!(public.begun(), usize::from(status == 200), "{route}");
    }
}

#[tokio::test]
async fn a_job_that_breaks_off_everywhere_is_tried_once_on_each() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(REPEATABLE).start();
    let (answer, ()) = tokio::join!(post(&sidecar, "hello"), async {
        private.next().await.break_off();
        public.next().await.break_off();
    });
    assert_eq!(answer.status, 502);
    assert_eq!((private.begun(), public.begun()), (1, 1));
}

#[tokio::test]
async fn a_hung_service_is_answered_504_or_left_for_the_next() {
    for (route, status) in [(ONCE, 504), (REPEATABLE, 200)] {
        let (private, public) = (Origin::held().await, Origin::named("public").await);
        let sidecar = Setup::two(private.url(), public.url())
            .set("networks.private.timeouts", r#"{ head = "200ms" }"#)
            .every(route)
            .start();
        let (answer, mut hung) = tokio::join!(post(&sidecar, "hello"), private.next());
        assert_eq!(answer.status, status, "{route}");
        assert_eq!(public.begun(), usize::from(status == 200), "{route}");
        hung.gone().await;
    }
}

#[tokio::test]
async fn a_job_with_one_network_alone_that_hangs_is_answered_504() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).set("networks.private.timeouts", r#"{ head = "200ms" }"#).start();
    let (answer, mut hung) = tokio::join!(sidecar.get("/"), private.next());
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("/problems/no-answer"), "{}", answer.text());
    hung.gone().await;
}

#[tokio::test]
async fn garbage_is_answered_502_or_left_for_the_next() {
    for (route, status) in [(ONCE, 502), (REPEATABLE, 200)] {
        let (private, public) = (Origin::held().await, Origin::named("public").await);
        let sidecar = Setup::two(private.url(), public.url()).every(route).start();
        let (answer, ()) = tokio::join!(post(&sidecar, "hello"), async {
            let mut exchange = private.next().await;
            exchange.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await;
            exchange.gone().await;
        });
        assert_eq!(answer.status, status, "{route}: {}", answer.text());
        if status == 502 {
            assert!(answer.text().contains("/problems/garbage"), "{}", answer.text());
        }
        assert_eq!((private.begun(), public.begun()), (1, usize::from(status == 200)), "{route}");
    }
}

#[tokio::test]
async fn a_service_that_breaks_off_in_its_head_has_not_answered() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(REPEATABLE).start();
    let (answer, ()) = tokio::join!(post(&sidecar, "hello"), async {
        let mut exchange = private.next().await;
        exchange.write(b"HTTP/1.1 200 OK\r\ncontent-le").await;
        exchange.break_off();
    });
    assert_failed_over(&sidecar, &answer).await;
}

#[tokio::test]
async fn an_answer_that_goes_silent_is_broken_off() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).set("networks.private.timeouts", r#"{ idle = "200ms" }"#).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut exchange = private.next().await;
    exchange.begin_chunked("").await;
    exchange.chunk(b"some").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await.as_deref(), Some(&b"some"[..]));
    exchange.gone().await;
    assert_eq!(client.to_end().await, b"");
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="broke_off"}"#, 1.0).await;
}

#[tokio::test]
async fn a_network_that_fails_too_often_is_left_alone_and_one_job_tries_it_again() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.private.health", r#"{ failures = 2, open_for = "300ms" }"#)
        .every(REPEATABLE)
        .start();
    for _ in 0..2 {
        let (answer, ()) = tokio::join!(sidecar.get("/"), async { private.next().await.break_off() });
        assert_eq!(answer.text(), "public");
    }
    assert_eq!(sidecar.metric(r#"adumbra_network_healthy{network="private"}"#).await, 0.0);
    let answer = sidecar.get("/").await;
    assert_eq!(answer.decision().said(), ("public", "health", "send"));
    assert_eq!(private.begun(), 2, "it was left alone");
    sidecar.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 1.0).await;
    let (answer, ()) = tokio::join!(sidecar.get("/"), async { private.next().await.release(Reply::ok("back")).await });
    assert_eq!(answer.text(), "back");
}

#[tokio::test]
async fn active_checks_shut_a_network_out_and_take_it_in_again() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    let private = Origin::answering(move |request| match request.target.as_str() {
        "/healthz" if !is_well.load(Ordering::SeqCst) => Reply::of(500, "ill"),
        _ => Reply::ok("private"),
    })
    .await;
    let public = Origin::named("public").await;
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.private.health", r#"{ path = "/healthz", every = "20ms", failures = 2 }"#)
        .every(REPEATABLE)
        .start();
    assert_eq!(sidecar.get("/").await.text(), "private");
    well.store(false, Ordering::SeqCst);
    sidecar.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 0.0).await;
    assert_eq!(sidecar.get("/").await.text(), "public");
    well.store(true, Ordering::SeqCst);
    sidecar.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 1.0).await;
    assert_eq!(sidecar.get("/").await.text(), "private");
}

#[tokio::test]
async fn a_kept_connection_that_has_closed_meanwhile_costs_no_job_anything() {
    let private = Origin::answering(|request| match request.target.as_str() {
        "/last" => Reply::ok("last").closing(),
        _ => Reply::ok("here"),
    })
    .await;
    let sidecar = Setup::alone(private.url()).set("workers", 1).every(ONCE).start();
    for _ in 0..20 {
        assert_eq!(post(&sidecar, "x").await.status, 200);
    }
    assert_eq!(private.connections(), 1, "connections are kept");
    assert_eq!(private.begun(), 20);
}

#[tokio::test]
async fn a_connection_that_the_service_closes_while_it_is_kept_is_not_used_again() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).set("workers", 1).every(ONCE).start();
    for n in 0..10 {
        let (answer, ()) = tokio::join!(post(&sidecar, "x"), async {
            let mut exchange = private.next().await;
            // It says nothing of closing, and closes.
            exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere").await;
            exchange.break_off();
        });
        assert_eq!(answer.text(), "here");
        assert_eq!(private.begun(), n + 1, "each job runs once");
        // The close has arrived when a question asked after it has its answer.
        eventually("the connection's end is seen", async || sidecar.ask("/healthz").await.status == 200).await;
    }
}

#[tokio::test]
async fn a_body_under_way_is_not_sent_twice() {
    // It breaks off while the client still sends: the copy is not whole, so the job cannot move.
    let (private, public) = (Origin::held_at_head().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(REPEATABLE).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    private.next().await.break_off();
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn one_of_two_endpoints_that_is_down_is_passed_over() {
    let up = Origin::named("up").await;
    let sidecar = Setup::alone(up.url())
        .set("networks.private.upstreams", format!("[{:?}, {:?}]", nobody().await, up.url()))
        .set("networks.private.health", r#"{ failures = 1, open_for = "1h" }"#)
        .every(REPEATABLE)
        .start();
    eventually("the one that is down is known", async || sidecar.get("/").await.status == 200).await;
    for _ in 0..10 {
        assert_eq!(sidecar.get("/").await.text(), "up");
    }
}

#[tokio::test]
async fn an_http_2_service_that_goes_away_is_not_mistaken_for_one_that_answered() {
    let service = Service::start(|_| std::future::pending()).await;
    let public = Origin::named("public").await;
    let sidecar = Setup::two(service.url(), public.url())
        .set("networks.private.protocol", r#""http2""#)
        .set("networks.private.timeouts", r#"{ head = "200ms" }"#)
        .every(REPEATABLE)
        .start();
    let answer = within("the next network answers", sidecar.get("/")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "public"));
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_not_held_against_the_network() {
    let private = Origin::held_at_head().await;
    let sidecar = Setup::alone(private.url())
        .set("networks.private.health", r#"{ failures = 1, open_for = "1h" }"#)
        .every(REPEATABLE)
        .start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut exchange = private.next().await;
    assert_eq!(exchange.read(5).await, b"hello");
    drop(client);
    exchange.gone().await;
    sidecar.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    assert_eq!(sidecar.metric(r#"adumbra_network_healthy{network="private"}"#).await, 1.0);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_counted_as_gone() {
    let private = Origin::held_at_head().await;
    let sidecar = Setup::alone(private.url()).every(REPEATABLE).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut exchange = private.next().await;
    assert_eq!(exchange.read(5).await, b"hello");
    drop(client);
    exchange.gone().await;
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="client_gone"}"#, 1.0).await;
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_not_passed_on() {
    for answer in [
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        "transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ] {
        let private = Origin::held().await;
        let sidecar = Setup::alone(private.url()).every(ONCE).start();
        let (client, ()) = tokio::join!(
            async {
                let mut client = Raw::connect(sidecar.jobs()).await;
                client.write("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi").await;
                client.to_end().await
            },
            async {
                let mut exchange = private.next().await;
                exchange.write(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes()).await;
                exchange.break_off();
            }
        );
        let got = String::from_utf8_lossy(&client);
        assert!(got.starts_with("HTTP/1.1 502 ") && got.contains("/problems/garbage"), "{answer:?}: {got:?}");
    }
}
