//! A shadow is sent the job's own body, byte for byte, and only when it is whole.

use tests::{Origin, Raw, Reply, Setup};

use super::{asked, assert_idle, assert_logged, led, pair, pair_with};

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

async fn check_replayed(bytes: usize, trailers: &[(&str, &str)], change: impl FnOnce(Setup) -> Setup) {
    let (private, public, sidecar) = pair_with(change).await;
    let body = noise(bytes);
    let mut client = Raw::connect(sidecar.jobs()).await;
    let trailers: tests::wire::Fields = trailers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let announced: String = trailers.iter().map(|(name, _)| format!("trailer: {name}\r\n")).collect();
    client
        .write(format!("PUT /x?y=1 HTTP/1.1\r\nhost: a\r\nx-kind: k\r\n{announced}transfer-encoding: chunked\r\n\r\n"))
        .await;
    for chunk in body.chunks(7919) {
        client.write(tests::reply::chunk_bytes(chunk)).await;
    }
    client.write(tests::reply::last_chunk(&trailers)).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    for (name, exchange) in [("lead", &lead), ("shadow", &shadow)] {
        assert!(exchange.request.body == body, "{name}: {} bytes of {bytes}", exchange.request.body.len());
        assert_eq!(exchange.request.trailers, trailers, "{name}");
    }
    let sorted = |exchange: &tests::Exchange| {
        let mut fields = exchange.request.fields.clone();
        fields.retain(|(name, _)| !["content-length", "transfer-encoding"].contains(&name.as_str()));
        fields.sort();
        (exchange.request.method.clone(), exchange.request.target.clone(), fields)
    };
    assert_eq!(sorted(&lead), sorted(&shadow), "head and head are the same");
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
}

#[tokio::test]
async fn a_body_in_memory_is_replayed_whole() {
    check_replayed(1000, &[], |setup| setup).await;
    check_replayed(0, &[], |setup| setup).await;
}

#[tokio::test]
async fn a_body_that_went_to_the_disk_is_replayed_whole() {
    check_replayed(3_000_000, &[], |setup| setup.set("spool.memory", r#""4KiB""#)).await;
}

#[tokio::test]
async fn a_bodys_trailers_are_replayed() {
    check_replayed(1000, &[("x-sum", "9")], |setup| setup).await;
}

#[tokio::test]
async fn no_shadow_starts_before_the_body_is_whole() {
    let (private, public) = (Origin::held_at_head().await, Origin::held().await);
    let sidecar = led(Setup::two(private.url(), public.url())).await;
    let mut client = asked(&sidecar, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut lead = private.next().await;
    assert_eq!(lead.read(5).await, b"hello", "the lead has what there is of the body");
    assert_eq!(public.connections(), 0);
    client.write("world").await;
    assert_eq!(lead.read(5).await, b"world");
    let shadow = public.next().await;
    assert_eq!(shadow.request.body, b"helloworld");
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
}

#[tokio::test]
async fn a_body_that_is_longer_than_the_spool_goes_through_and_is_not_shadowed() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("spool.body", r#""64KiB""#).set("spool.memory", r#""1KiB""#)).await;
    let body = noise(200_000);
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for chunk in body.chunks(10_000) {
        client.write(tests::reply::chunk_bytes(chunk)).await;
    }
    client.write("0\r\n\r\n").await;
    let lead = private.next().await;
    assert!(lead.request.body == body);
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "lead");
    assert_logged(&sidecar, &answer.decision(), "lead", &[]).await;
    assert_eq!(public.connections(), 0);
    assert_eq!(sidecar.metric(r#"adumbra_spool_refused_total{reason="too_long"}"#).await, 1.0);
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_long_is_not_even_planned_to_be_shadowed() {
    let (private, public, sidecar) = pair_with(|setup| setup.set("spool.body", r#""64KiB""#)).await;
    let body = noise(100_000);
    let mut client =
        asked(&sidecar, format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.write(&body).await;
    let lead = private.next().await;
    assert!(lead.request.body == body);
    lead.release(Reply::ok("lead")).await;
    assert_logged(&sidecar, &client.answer().await.decision(), "direct", &[]).await;
    assert_eq!(public.connections(), 0);
}

#[tokio::test]
async fn a_spool_without_room_on_its_disk_costs_the_lead_nothing() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("spool.memory", r#""1KiB""#).set("spool.disk", r#""8KiB""#)).await;
    let body = noise(100_000);
    let mut client =
        asked(&sidecar, format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.write(&body).await;
    let lead = private.next().await;
    assert!(lead.request.body == body);
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    assert_eq!(public.connections(), 0);
    assert_eq!(sidecar.metric(r#"adumbra_spool_refused_total{reason="no_room"}"#).await, 1.0);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_starts_no_shadow() {
    let (private, public) = (Origin::held_at_head().await, Origin::held().await);
    let sidecar = led(Setup::two(private.url(), public.url())).await;
    let client = asked(&sidecar, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut lead = private.next().await;
    assert_eq!(lead.read(5).await, b"hello");
    drop(client);
    lead.gone().await;
    assert_idle(&sidecar, "private").await;
    assert_eq!(public.connections(), 0);
}

#[tokio::test]
async fn a_two_way_stream_is_never_shadowed() {
    let (private, public, sidecar) = pair().await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc+proto\r\ncontent-length: 2\r\n\r\nhi";
    // gRPC goes out by HTTP/2, which this service does not speak; what matters is that nothing goes to the other one.
    let mut client = asked(&sidecar, request).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(public.connections(), 0);
    assert!(!private.take_faults().is_empty() || private.begun() == 0);
}
