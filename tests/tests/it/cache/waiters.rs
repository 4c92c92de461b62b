//! One fetch for all who want the same, and nobody waits for what will not come.

use tests::{Origin, Raw, Reply, eventually};

use super::{CACHED, HIT, asked, cached, fresh, get, result, status, stores};

const LENGTH: usize = 900_000;

fn body() -> Vec<u8> {
    (0..LENGTH as u32).map(|n| (n % 253) as u8).collect()
}

#[tokio::test]
async fn a_hundred_who_want_the_same_are_one_request_to_the_service() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(asked(&sidecar, get("/", "")).await);
    }
    let exchange = origin.next().await;
    exchange.release(fresh(body())).await;
    let reading: Vec<_> =
        clients.into_iter().map(|mut client| tokio::spawn(async move { client.answer().await })).collect();
    for reading in reading {
        let answer = reading.await.expect("no panic");
        assert!(answer.status == 200 && answer.body == body(), "{} bytes", answer.body.len());
    }
    assert_eq!(origin.begun(), 1);
    let (collapsed, hits) = (result(&sidecar, "collapsed").await, result(&sidecar, "hit").await);
    assert_eq!((result(&sidecar, "miss").await, collapsed + hits), (1.0, 99.0));
    stores(&sidecar, 1).await;
}

/// A second client waits for what the first one fetches: nothing more comes to the service for as long as that lasts.
async fn two_wait(origin: &Origin, sidecar: &tests::Sidecar) -> (Raw, Raw, tests::origin::Exchange) {
    let first = asked(sidecar, get("/", "")).await;
    let exchange = origin.next().await;
    let second = asked(sidecar, get("/", "")).await;
    // Its connection is open, and its request was read by the time that a later one is answered on the same worker or not:
    // either way what follows must hold.
    eventually("both are connected", async || sidecar.metric("adumbra_connections_open").await >= 2.0).await;
    (first, second, exchange)
}

#[tokio::test]
async fn when_the_one_who_fetches_leaves_one_who_waits_fetches() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let (first, mut second, mut exchange) = two_wait(&origin, &sidecar).await;
    drop(first);
    exchange.gone().await;
    origin.next().await.release(fresh("for the second")).await;
    assert_eq!(second.answer().await.text(), "for the second");
    assert_eq!(origin.begun(), 2);
}

#[tokio::test]
async fn when_the_one_who_fetches_leaves_amid_the_body_the_others_have_all_of_it() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let (mut first, mut second, mut exchange) = two_wait(&origin, &sidecar).await;
    let body = body();
    let head = format!("HTTP/1.1 200 Said\r\ncontent-length: {LENGTH}\r\ncache-control: max-age=60\r\n\r\n");
    exchange.write(head.as_bytes()).await;
    exchange.write(&body[..LENGTH / 2]).await;
    assert_eq!(first.head().await.status, 200);
    let got = second.head().await;
    assert_eq!(status(&got), "adumbra; fwd=uri-miss; collapsed");
    drop(first);
    exchange.write(&body[LENGTH / 2..]).await;
    assert!(second.read(LENGTH).await == body);
    stores(&sidecar, 1).await;
    assert_eq!((origin.begun(), status(&sidecar.get("/").await).as_str()), (1, HIT));
}

#[tokio::test]
async fn when_all_leave_amid_the_body_the_job_ends_and_nothing_is_stored() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let mut client = asked(&sidecar, get("/", "")).await;
    let mut exchange = origin.next().await;
    exchange.begin_chunked("cache-control: max-age=60\r\n").await;
    exchange.chunk(b"first").await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    exchange.gone().await;
    sidecar.metric_becomes(r#"adumbra_cache_not_stored_total{reason="broke_off"}"#, 1.0).await;
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 0.0);
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_all_and_is_not_stored() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let (mut first, mut second, mut exchange) = two_wait(&origin, &sidecar).await;
    exchange.begin_chunked("cache-control: max-age=60\r\n").await;
    exchange.chunk(b"first").await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.chunk().await.expect("it goes on"), b"first");
    }
    exchange.break_off();
    for client in [&mut first, &mut second] {
        let rest = client.to_end().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it is not whole: {rest:?}");
    }
    sidecar.metric_becomes(r#"adumbra_cache_not_stored_total{reason="broke_off"}"#, 1.0).await;
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 0.0);
}

#[tokio::test]
async fn those_who_wait_for_what_is_not_for_them_are_sent_at_once_and_later_ones_do_not_wait() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let (mut first, mut second, exchange) = two_wait(&origin, &sidecar).await;
    exchange.release(Reply::ok("one").field("cache-control", "no-store")).await;
    assert_eq!(first.answer().await.text(), "one");
    let own = origin.next().await;
    let mut third = asked(&sidecar, get("/", "")).await;
    let at_once = origin.next().await;
    assert_eq!(origin.running(), 2, "they run side by side");
    at_once.release(Reply::ok("three")).await;
    own.release(Reply::ok("two")).await;
    let mut texts = [second.answer().await.text(), third.answer().await.text()];
    texts.sort();
    assert_eq!(texts, ["three", "two"]);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_configuration_says() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).set("cache.wait", "\"50ms\"").start();
    let (mut first, mut second, exchange) = two_wait(&origin, &sidecar).await;
    origin.next().await.release(fresh("second")).await;
    let answer = second.answer().await;
    assert_eq!((answer.text().as_str(), status(&answer).as_str()), ("second", "adumbra; fwd=bypass; detail=waited"));
    exchange.release(fresh("first")).await;
    assert_eq!(first.answer().await.text(), "first");
}

#[tokio::test]
async fn a_job_that_runs_on_without_its_client_is_stored_like_any_other() {
    let origin = Origin::answering(|_| fresh("x")).await;
    let sidecar = tests::Setup::alone(origin.url()).every(&format!("{CACHED}\nfinish = true")).start();
    assert_eq!(sidecar.get("/").await.text(), "x");
    stores(&sidecar, 1).await;
    assert_eq!(status(&sidecar.get("/").await), HIT);
}
