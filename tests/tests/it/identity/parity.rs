//! What sidecars do for each other, done over HTTP/2 with mutual TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::{Raw, Reply};

use super::{Two, led, transferring};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_transferred_job_runs_where_it_lands() {
    let two = transferring().await;
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut running = two.public.next().await;
    assert_eq!(running.request.body, b"hello");
    assert_eq!(running.request.values("via").len(), 2, "it came through both");
    assert_eq!(running.request.field("x-forwarded-for"), "127.0.0.1");
    running.begin_chunked("").await;
    assert_eq!(client.head().await.status, 200);
    running.chunk(b"piece").await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"piece"[..]));
    running.end_chunked().await;
    assert_eq!(client.chunk().await, None);
    assert_eq!(two.private.begun(), 0);
}

#[tokio::test]
async fn jobs_share_a_connection() {
    let two = transferring().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Raw::connect(two.near.jobs()).await;
        client.write(GET).await;
        clients.push((client, two.public.next().await));
    }
    // One for each of two workers, one for the questions that each may have asked meanwhile, and one for those that the third
    // thread asks.
    let made = r#"adumbra_upstream_connections_total{network="public",result="made"}"#;
    let made = two.near.metric(made).await;
    assert!((1.0..=5.0).contains(&made), "{made} for 8 jobs at once");
    for (mut client, running) in clients {
        running.release(Reply::ok("done")).await;
        assert_eq!(client.answer().await.text(), "done");
    }
}

#[tokio::test]
async fn a_shadow_overlaps_and_is_cancelled() {
    let two = led().await;
    let Two { private, public, near, far, .. } = &two;
    let mut client = Raw::connect(near.jobs()).await;
    client.write(GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.decision().network, "private");
    shadow.gone().await;
    near.metric_becomes(r#"adumbra_shadows_ended_total{network="public",end="cancelled"}"#, 1.0).await;
    far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
}

#[tokio::test]
async fn a_shadow_is_adopted_by_what_it_shows_and_outlives_its_lease() {
    let two = led().await;
    let Two { private, public, near, far, .. } = &two;
    let mut client = Raw::connect(near.jobs()).await;
    client.write(GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    shadow.progress(0.9).await;
    lead.gone().await;
    let body = vec![b'x'; 3 << 20];
    let releasing = tokio::spawn(shadow.release(Reply::ok(body.clone()).trailer("x-sum", "1")));
    let answer = client.answer().await;
    releasing.await.expect("no panic");
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    assert_eq!(answer.body.len(), body.len());
    far.metric_becomes(r#"adumbra_shadows_served_total{end="finished"}"#, 1.0).await;
}

#[tokio::test]
async fn load_reports_come_over_it() {
    let two = super::two_with(|near| near.every(super::ON), |far| far.set("networks.private.capacity", "7")).await;
    tests::eventually("the far side's own capacity is known", async || {
        let status = two.near.status().await;
        let networks = status["networks"].as_array().expect("a list").clone();
        networks.iter().any(|network| network["name"] == "public" && network["capacity"] == 7)
    })
    .await;
    assert_eq!(two.near.metric(r#"adumbra_load_reports_failed_total{network="public"}"#).await, 0.0);
}

#[tokio::test]
async fn a_far_service_that_is_ill_is_known_to_be() {
    let quick = r#"{ every = "20ms", failures = 1 }"#;
    let ill = r#"{ path = "/healthz", every = "20ms", timeout = "100ms", failures = 1 }"#;
    // It holds the checks back as it holds everything; the sidecar before it is well, and says how the service does.
    let near = |near: tests::Setup| near.set("networks.public.health", quick);
    let two = super::two_with(near, |far| far.set("networks.private.health", ill)).await;
    two.near.metric_becomes(super::HEALTHY, 0.0).await;
    assert_eq!(two.near.metric(&super::refused("connect", "by_peer")).await, 0.0);
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_up_no_other_job_and_no_question() {
    // On one worker, so that all of them share a connection.
    let two = super::two_with(|near| near.every(super::ON).set("workers", "1"), |far| far.set("workers", "1")).await;
    two.near.swap_model(tests::model::settled(1000.0, 1.0));
    let (mut unread, written) = (Vec::new(), Arc::new(AtomicU64::new(0)));
    for _ in 0..12 {
        let mut client = Raw::connect(two.near.jobs()).await;
        client.write(GET).await;
        let mut running = two.public.next().await;
        running.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200);
        let written = Arc::clone(&written);
        let full = tokio::spawn(async move { running.write_counted(&[b'x'; 65536], &written).await });
        unread.push((client, full));
    }
    // Everything between the services and the clients is full when nothing more is taken for a while.
    let mut before = 0;
    tests::eventually("nothing more is taken", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::mem::replace(&mut before, written.load(Ordering::Acquire)) == written.load(Ordering::Acquire)
    })
    .await;
    super::answered(&two, "through").await;
    let failed = r#"adumbra_load_reports_failed_total{network="public"}"#;
    assert_eq!(two.near.metric(failed).await, 0.0);
    for (client, full) in unread {
        drop(client);
        full.await.expect("the service is told");
    }
}

#[tokio::test]
async fn an_upgrade_goes_to_a_sidecar_and_back() {
    let two = transferring().await;
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    let mut running = two.public.next().await;
    running.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 101);
    client.write("ping").await;
    assert_eq!(running.read(4).await, b"ping");
    running.write(b"pong").await;
    assert_eq!(client.read(4).await, b"pong");
}
