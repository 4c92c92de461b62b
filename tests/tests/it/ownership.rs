//! What outlives a request has an owner: it counts against the limits, and stopping waits for it, but not for ever.

use http::Request;
use tests::piped::empty;
use tests::{Client, Exchange, Origin, Raw, Reply, Setup, Sidecar, eventually, within};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

async fn asked(sidecar: &Sidecar, request: &str) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

/// A connection that both ends have turned into something else.
async fn upgraded(sidecar: &Sidecar, origin: &Origin) -> (Raw, Exchange) {
    let mut client = asked(sidecar, UPGRADE).await;
    let mut service = origin.next().await;
    service.write(AGREED).await;
    assert_eq!(client.head().await.status, 101);
    (client, service)
}

#[tokio::test]
async fn upgraded_connections_count_against_the_limit_until_they_are_closed() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("limits.connections", 3).start();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(upgraded(&sidecar, &origin).await);
    }
    // And the one that asks.
    sidecar.metric_becomes("adumbra_connections_open", 4.0).await;
    let mut waiting = asked(&sidecar, GET).await;
    sidecar.metric_becomes(r#"adumbra_connections_refused_total{reason="full"}"#, 1.0).await;
    assert!(!origin.has_next().await, "there is no room for another one");
    drop(open.pop());
    origin.next().await.release(Reply::ok("room")).await;
    assert_eq!(waiting.answer().await.text(), "room");
    let (mut client, mut service) = open.pop().expect("two are open");
    client.write("ping").await;
    assert_eq!(service.read(4).await, b"ping");
    drop((waiting, open, client, service));
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
}

#[tokio::test]
async fn upgraded_connections_count_against_the_share_of_their_address() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("limits.connections_per_address", 1).start();
    let open = upgraded(&sidecar, &origin).await;
    let mut refused = asked(&sidecar, GET).await;
    assert_eq!(refused.to_end().await, b"", "it is closed without a word");
    drop(open);
    eventually("its place is free again", async || {
        let mut client = asked(&sidecar, GET).await;
        tokio::select! {
            _taken = origin.next() => true,
            refused = client.to_end() => !refused.is_empty(),
        }
    })
    .await;
}

#[tokio::test]
async fn stopping_waits_for_an_upgraded_connection() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("drain", r#""25s""#).start();
    let jobs = sidecar.jobs();
    let (mut client, mut service) = upgraded(&sidecar, &origin).await;
    let stopping = tokio::spawn(sidecar.stop());
    eventually("it takes no new connection", async || tokio::net::TcpStream::connect(jobs).await.is_err()).await;
    client.write("ping").await;
    assert_eq!(service.read(4).await, b"ping");
    service.write(b"pong").await;
    assert_eq!(client.read(4).await, b"pong");
    drop(service);
    assert_eq!(client.to_end().await, b"");
    drop(client);
    within("it has stopped", stopping).await.expect("no panic");
}

#[tokio::test]
async fn stopping_cuts_an_upgraded_connection_that_outlasts_the_drain() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("drain", r#""200ms""#).start();
    let (mut client, mut service) = upgraded(&sidecar, &origin).await;
    within("it stops", sidecar.stop()).await;
    assert_eq!(client.to_end().await, b"");
    service.gone().await;
}

#[tokio::test]
async fn a_request_that_was_sent_before_stopping_began_is_answered() {
    let origin = Origin::named("here").await;
    for _ in 0..8 {
        let sidecar = Setup::alone(origin.url()).start();
        let mut client = Raw::connect(sidecar.jobs()).await;
        // It has been accepted, and nothing was heard of it yet.
        sidecar.metric_becomes("adumbra_connections_open", 2.0).await;
        client.write(GET).await;
        let stopping = tokio::spawn(sidecar.stop());
        assert_eq!(client.answer().await.text(), "here");
        within("it has stopped", stopping).await.expect("no panic");
    }
}

const FINISH: &str = "finish = true";

/// A job of a route with `finish`, under way at its service.
async fn under_way(sidecar: &Sidecar, origin: &Origin) -> (Raw, Exchange) {
    let client = asked(sidecar, GET).await;
    (client, origin.next().await)
}

#[tokio::test]
async fn stopping_waits_for_a_job_that_runs_on_without_its_client() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("drain", r#""25s""#).every(FINISH).start();
    let jobs = sidecar.jobs();
    let (client, mut service) = under_way(&sidecar, &origin).await;
    drop(client);
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
    let stopping = tokio::spawn(sidecar.stop());
    eventually("it takes no new connection", async || tokio::net::TcpStream::connect(jobs).await.is_err()).await;
    service.progress(0.5).await;
    assert!(!stopping.is_finished());
    service.release(Reply::ok("finished").closing()).await;
    within("it has stopped", stopping).await.expect("no panic");
}

#[tokio::test]
async fn stopping_cuts_a_job_that_runs_on_past_the_drain() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("drain", r#""200ms""#).every(FINISH).start();
    let (client, mut service) = under_way(&sidecar, &origin).await;
    drop(client);
    within("it stops", sidecar.stop()).await;
    service.gone().await;
}

#[tokio::test]
async fn only_so_many_jobs_run_on_without_their_client() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("limits.connections", 1).every(FINISH).start();
    let (first, service) = under_way(&sidecar, &origin).await;
    drop(first);
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
    let (second, mut beyond) = under_way(&sidecar, &origin).await;
    assert_eq!(sidecar.metric("adumbra_finish_refused_total").await, 1.0);
    drop(second);
    beyond.gone().await;
    assert_eq!(origin.running(), 2, "the first one runs, and this test holds the other");
    service.release(Reply::ok("finished")).await;
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="answered"}"#, 1.0).await;
    let (third, mut service) = under_way(&sidecar, &origin).await;
    drop(third);
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
    service.progress(0.5).await;
    service.release(Reply::ok("there is room again")).await;
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="answered"}"#, 2.0).await;
}

#[tokio::test]
async fn a_silent_stream_is_not_read_for_ever_without_its_client() {
    let origin = Origin::held().await;
    let setup = Setup::alone(origin.url()).set("networks.private.timeouts", r#"{ total = "300ms" }"#);
    let sidecar = setup.every(FINISH).start();
    let (mut client, mut service) = under_way(&sidecar, &origin).await;
    service.begin_chunked("content-type: text/event-stream\r\n").await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    service.gone().await;
    sidecar.metric_becomes(r#"adumbra_jobs_total{network="private",outcome="client_gone"}"#, 1.0).await;
}

#[tokio::test]
async fn an_http_2_connection_without_a_stream_is_closed_and_one_with_a_stream_is_not() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("limits.keep_alive", r#""300ms""#).start();
    let mut busy = Client::two(sidecar.jobs()).await;
    let (answer, ()) = tokio::join!(busy.send(Request::get("http://a/").body(empty()).expect("a request")), async {
        let mut service = origin.next().await;
        // It has only shaken hands, and answers every ping.
        let idle = Client::two(sidecar.jobs()).await;
        sidecar.metric_becomes("adumbra_connections_open", 3.0).await;
        sidecar.metric_becomes("adumbra_connections_open", 2.0).await;
        drop(idle);
        // The idle one came later, so a stream without a head keeps the busy one; so does one without an end.
        service.begin_chunked("").await;
        let idle = Client::two(sidecar.jobs()).await;
        sidecar.metric_becomes("adumbra_connections_open", 3.0).await;
        sidecar.metric_becomes("adumbra_connections_open", 2.0).await;
        drop(idle);
        service.end_chunked().await;
    });
    assert_eq!(answer.status(), 200);
    assert_eq!(tests::client::whole(answer.into_body()).await.0, "");
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
}
