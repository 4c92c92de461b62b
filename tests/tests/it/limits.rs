//! Nothing is unbounded: connections wait or are refused, and a body of any length goes through in little memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tests::piped::{self, AnyBody};
use tests::{Binary, Client, Origin, Raw, Service, Setup, Sidecar, eventually, within};
use tokio::net::TcpSocket;

const ON: &str = "shadow = \"on\"\nrepeatable = true";
/// A body that is far larger than what may be used for it.
const BODY_BYTES: u64 = 1 << 30;
/// What the process may use at the most, whatever goes through it.
const RESIDENT_BYTES: u64 = 96 << 20;
const PIECE_BYTES: usize = 256 << 10;
/// A bound for a machine that is busy with other tests.
const UPLOADED_WITHIN: Duration = Duration::from_secs(120);

/// A connection from an address of loopback that is not the usual one.
async fn connect_from(address: [u8; 4], to: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind(SocketAddr::from((address, 0))).expect("all of 127/8 is loopback");
    Raw::over(within("the system connects", socket.connect(to)).await.expect("there is room in the backlog"))
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Connections that are open and have been answered once, as many as are taken.
async fn filled(sidecar: &Sidecar, most: usize) -> Vec<Raw> {
    let mut open = Vec::new();
    while open.len() < most {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write(GET).await;
        let answered = tokio::time::timeout(Duration::from_secs(1), client.answer()).await;
        open.push(client);
        if answered.is_err() {
            return open;
        }
    }
    panic!("{most} connections were taken, which is more than may be");
}

#[tokio::test]
async fn a_connection_beyond_the_cap_waits_until_another_ends() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).set("limits.connections", 12).start();
    let mut open = filled(&sidecar, 13).await;
    let mut waiting = open.pop().expect("the last one waits");
    assert!(!open.is_empty());
    let begun = origin.begun();
    drop(open.pop());
    assert_eq!(waiting.answer().await.text(), "here", "it was not refused: it waited");
    assert_eq!(origin.begun(), begun + 1);
    for client in &mut open {
        client.write(GET).await;
        assert_eq!(client.answer().await.text(), "here", "those that are open go on");
    }
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_its_share_and_others_have_theirs() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).set("limits.connections_per_address", 2).start();
    let (greedy, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = connect_from(greedy, sidecar.jobs()).await;
        client.write(GET).await;
        assert_eq!(client.answer().await.text(), "here");
        open.push(client);
    }
    for refused in 1..=3 {
        let mut client = connect_from(greedy, sidecar.jobs()).await;
        client.write(GET).await;
        assert_eq!(client.to_end().await, b"", "it is closed without a word");
        sidecar.metric_becomes(r#"adumbra_connections_refused_total{reason="address"}"#, f64::from(refused)).await;
    }
    let mut client = connect_from(other, sidecar.jobs()).await;
    client.write(GET).await;
    assert_eq!(client.answer().await.text(), "here");
    drop(open.pop());
    eventually("its place is free again", async || {
        let mut client = connect_from(greedy, sidecar.jobs()).await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        !client.to_end().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_is_open_is_counted_and_what_is_closed_is_not() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).start();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(connect_from([127, 0, 0, 2], sidecar.jobs()).await);
    }
    // And the one that asks.
    sidecar.metric_becomes("adumbra_connections_open", 9.0).await;
    drop(open);
    sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
}

/// A service that counts what is sent to `/up` and sends [`BODY_BYTES`] for `/down`.
async fn bulk(request: Request<Incoming>) -> Response<AnyBody> {
    if request.uri().path() == "/down" {
        return Response::new(pieces(BODY_BYTES));
    }
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    Response::new(piped::full(bytes.to_string()))
}

/// A body of so many bytes and unknown length.
fn pieces(bytes: u64) -> AnyBody {
    let (feed, body) = piped::piped();
    let piece = Bytes::from(vec![b'x'; PIECE_BYTES]);
    // Ends when all is fed, or nobody reads.
    tokio::spawn(async move {
        for _ in 0..bytes / PIECE_BYTES as u64 {
            if !feed.data(piece.clone()).await {
                return;
            }
        }
    });
    body
}

async fn upload(binary: &Binary) {
    let Client::One(mut sender) = Client::one(binary.jobs()).await else { unreachable!("it speaks HTTP/1.1") };
    let request = Request::post("/up").header("host", "a").body(pieces(BODY_BYTES)).expect("a request");
    let sending = tokio::time::timeout(UPLOADED_WITHIN, sender.send_request(request));
    let answer = sending.await.expect("the body goes up in time").expect("there is an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(tests::client::whole(answer.into_body()).await.0, BODY_BYTES.to_string());
}

async fn download(binary: &Binary) {
    let mut client = Client::one(binary.jobs()).await;
    let answer = client.send(Request::get("http://a/down").body(piped::empty()).expect("a request")).await;
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = within("more arrives", body.frame()).await {
        bytes += frame.expect("it does not break off").data_ref().map_or(0, Bytes::len) as u64;
    }
    assert_eq!(bytes, BODY_BYTES);
}

fn assert_flat(binary: &Binary, what: &str, began: Instant) {
    let (peak, took) = (binary.peak_bytes(), began.elapsed());
    println!("{what}: {} MiB in {took:?}, {} KiB resident at the most", BODY_BYTES >> 20, peak >> 10);
    assert!(peak < RESIDENT_BYTES, "{what}: {} MiB were resident", peak >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gibibyte_goes_up_and_down_in_little_memory() {
    let service = Service::start(bulk).await;
    let binary = Binary::start(Setup::alone(service.url())).await;
    let began = Instant::now();
    upload(&binary).await;
    assert_flat(&binary, "up", began);
    let began = Instant::now();
    download(&binary).await;
    assert_flat(&binary, "down", began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_long_to_be_shadowed_goes_through_in_little_memory_too() {
    let (private, public) = (Service::start(bulk).await, Service::start(bulk).await);
    let setup = Setup::two(private.url(), public.url())
        .set("shadow.sample_share", "1.0")
        .set("spool.body", r#""16MiB""#)
        .every(ON);
    let binary = Binary::start(setup).await;
    let began = Instant::now();
    upload(&binary).await;
    assert_flat(&binary, "up, spooled as far as it fits", began);
    assert_eq!(binary.metric(r#"adumbra_plans_total{plan="sample"}"#).await, 1.0, "a shadow was planned");
    assert_eq!(public.seen().len(), 0);
    let began = Instant::now();
    download(&binary).await;
    assert_flat(&binary, "down, shadowed", began);
    assert_eq!(public.seen().len(), 1, "the shadow ran");
    binary.stop().await;
}

#[tokio::test]
async fn a_copy_of_a_body_that_is_given_up_is_counted_whatever_was_planned() {
    for (sampled, plan) in [("0.0", "direct"), ("1.0", "sample")] {
        let (private, public) = (Origin::named("private").await, Origin::named("public").await);
        let sidecar = Setup::two(private.url(), public.url())
            .set("shadow.sample_share", sampled)
            .set("spool.body", r#""64KiB""#)
            .every(ON)
            .start();
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for _ in 0..20 {
            client.write(tests::reply::chunk_bytes(&[b'x'; 10_000])).await;
        }
        client.write("0\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "private");
        assert_eq!(sidecar.logged(&answer.decision()).await["plan"], plan);
        assert_eq!(sidecar.metric(r#"adumbra_spool_refused_total{reason="too_long"}"#).await, 1.0, "{plan}");
    }
}

#[tokio::test]
async fn a_listener_that_is_full_leaves_the_others_their_room() {
    let origin = Origin::named("here").await;
    let sidecar =
        Setup::alone(origin.url()).set("limits.connections", 12).set("limits.connections_per_address", 12).start();
    let open = filled(&sidecar, 13).await;
    assert_eq!(open.len(), 13, "twelve are taken, and one waits");
    for _ in 0..3 {
        assert_eq!(sidecar.ask("/healthz").await.status, 200);
        assert_eq!(Raw::ask(sidecar.egress(), GET).await.status, 404, "it names no origin");
        assert_eq!(Raw::ask(sidecar.peers(), GET).await.status, 403, "it is no sidecar's");
    }
}

#[tokio::test]
async fn a_body_is_copied_only_where_the_copy_could_be_sent() {
    let check = async |setup: Setup, lines: &str, copied: f64| {
        let sidecar = setup.set("spool.body", r#""4KiB""#).every(lines).start();
        let body = "x".repeat(10_000);
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = Raw::ask(sidecar.jobs(), format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await;
        assert_eq!(answer.status, 200, "{lines}");
        sidecar.decisions(1).await;
        assert_eq!(sidecar.metric(r#"adumbra_spool_refused_total{reason="too_long"}"#).await, copied, "{lines}");
    };
    let (one, two) = (Origin::named("one").await, Origin::named("two").await);
    let far = Setup::alone(two.url()).start();
    check(Setup::two(one.url(), two.url()), "repeatable = false", 0.0).await;
    check(Setup::two(one.url(), two.url()), "repeatable = true", 1.0).await;
    check(Setup::with_peer(one.url(), &far), "repeatable = false", 1.0).await;
}
