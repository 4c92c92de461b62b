//! Whatever a shadow does, the lead's client notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::{Exchange, Raw, Reply, eventually};

use super::{GET, asked, assert_ended, assert_idle, assert_sums_match, pair, pair_with};

/// A job is answered by its lead, byte for byte, while its shadow does `what`.
async fn check_harmless<F: Future<Output = ()> + Send + 'static>(what: impl FnOnce(Exchange) -> F) {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    let doing = tokio::spawn(what(shadow));
    let body = vec![b'x'; 300_000];
    lead.release(Reply::ok(body.clone()).field("x-a", "1").trailer("x-sum", "1")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-a")), (200, "1"));
    assert!(answer.body == body);
    assert_eq!(answer.decision().network, "private");
    doing.await.expect("the shadow's part is played to its end");
    sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 0.0).await;
    assert_sums_match(&sidecar).await;
    // The connection is as good as ever.
    client.write(GET).await;
    private.next().await.release(Reply::ok("again")).await;
    assert_eq!(client.answer().await.text(), "again");
}

#[tokio::test]
async fn a_job_is_not_harmed_by_a_hung_shadow() {
    check_harmless(|mut shadow| async move {
        shadow.gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_job_is_not_harmed_by_a_shadow_that_breaks_off() {
    check_harmless(|shadow| async { shadow.break_off() }).await;
}

#[tokio::test]
async fn a_job_is_not_harmed_by_a_shadow_that_answers_garbage() {
    check_harmless(|mut shadow| async move {
        shadow.offer(b"\0\xff\n\n 1 2 3 garbage").await;
        shadow.gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_job_is_not_harmed_by_a_shadow_that_answers_an_error() {
    check_harmless(|shadow| shadow.release(Reply::of(500, "no"))).await;
}

#[tokio::test]
async fn a_job_is_not_harmed_by_a_shadow_whose_head_never_ends() {
    check_harmless(|mut shadow| async move {
        shadow.offer(b"HTTP/1.1 200 OK\r\n").await;
        shadow.write_until_gone(b"x: y\r\n").await;
    })
    .await;
}

#[tokio::test]
async fn progress_that_makes_no_sense_moves_nothing() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    for share in [f64::NAN, -1.0, 2.0, f64::INFINITY] {
        shadow.progress(share).await;
    }
    for share in ["0.5; drop table", "", "1e-400x", "99%"] {
        shadow.write(format!("HTTP/1.1 102 Processing\r\nadumbra-progress: {share}\r\n\r\n").as_bytes()).await;
    }
    assert_eq!(private.running(), 1);
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
}

#[tokio::test]
async fn a_shadow_that_answers_without_end_is_read_only_as_far_as_is_kept() {
    let (private, public, sidecar) = pair_with(|setup| setup.set("shadow.answer_bytes", r#""256KiB""#)).await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    shadow.begin_chunked("").await;
    let so_far = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&so_far);
    let writing = tokio::spawn(async move {
        let piece = tests::reply::chunk_bytes(&[b'x'; 16 * 1024]);
        shadow.write_counted(&piece, &counted).await
    });
    // As much as the system holds for nobody: some of it has been read.
    eventually("the shadow's answer is read", async || so_far.load(Ordering::SeqCst) >= 512 << 10).await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
    let written = writing.await.expect("no panic");
    assert!(written < 64 << 20, "{written} bytes were taken of an answer that nobody reads");
    assert_ended(&sidecar, "public", "cancelled", 1.0).await;
    let received = sidecar.metric(r#"adumbra_shadow_bytes_total{network="public",direction="received"}"#).await;
    assert!(received > 0.0 && received <= 1_000_000.0, "{received} bytes were read, and 256 KiB are kept");
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn many_jobs_with_hung_shadows_are_all_answered() {
    let (private, public, sidecar) = pair().await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(asked(&sidecar, GET).await);
    }
    let (mut leads, mut shadows) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        leads.push(private.next().await);
        shadows.push(public.next().await);
    }
    assert_eq!(public.most_at_once(), 16);
    for lead in leads {
        lead.release(Reply::ok("lead")).await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "lead");
    }
    for shadow in &mut shadows {
        shadow.gone().await;
    }
    assert_ended(&sidecar, "public", "cancelled", 16.0).await;
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_shadow_whose_network_refuses_connections_is_counted_and_forgotten() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("networks.public.upstreams", r#"["http://127.0.0.1:1"]"#)).await;
    let mut client = asked(&sidecar, GET).await;
    let lead = private.next().await;
    assert_idle(&sidecar, "public").await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    assert_eq!(public.connections(), 0);
    assert_ended(&sidecar, "public", "failed", 1.0).await;
    let refused = r#"adumbra_shadows_refused_total{network="public",reason="not_executed"}"#;
    assert_eq!(sidecar.metric(refused).await, 1.0);
}

#[tokio::test]
async fn a_strangers_mark_makes_no_shadow() {
    let (private, public, sidecar) = pair().await;
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: x\r\n\r\n").await;
    // Were it believed, the job would be on its last hop, and not shadowed.
    let (lead, _shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
}
