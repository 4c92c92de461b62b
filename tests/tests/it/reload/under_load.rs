//! Sixteen reloads of everything that can change, under new and kept connections: no request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use http_body_util::{BodyExt, Full};
use rustix::process::Signal;
use tests::{Binary, Service, Setup, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const RELOADS: usize = 16;
const REQUESTS: u64 = 3000;

/// What clients have seen.
#[derive(Default)]
struct Seen {
    well: AtomicU64,
    failed: AtomicU64,
    last: AtomicBool,
}

/// Sends requests over a connection that is kept for as long as the sidecar keeps it.
async fn keep_asking(jobs: std::net::SocketAddr, seen: Arc<Seen>, per_connection: usize) {
    while !seen.last.load(Relaxed) {
        let Ok(mut socket) = TcpStream::connect(jobs).await else {
            seen.failed.fetch_add(1, Relaxed);
            continue;
        };
        for n in 0..per_connection {
            let last = n + 1 == per_connection || seen.last.load(Relaxed);
            match ask(&mut socket, last).await {
                Some(closes) => {
                    seen.well.fetch_add(1, Relaxed);
                    if closes || last {
                        break;
                    }
                }
                None => {
                    seen.failed.fetch_add(1, Relaxed);
                    break;
                }
            }
        }
    }
}

/// Sends one request and reads its answer: whether the connection ends with it. `None` if that fails.
async fn ask(socket: &mut TcpStream, last: bool) -> Option<bool> {
    let connection = if last { "close" } else { "keep-alive" };
    let request =
        format!("POST /work HTTP/1.1\r\nhost: a\r\nconnection: {connection}\r\ncontent-length: 5\r\n\r\nhello");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = socket.read(&mut some).await.ok()?;
        if n == 0 {
            return None;
        }
        read.extend_from_slice(&some[..n]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
        if read.len() >= end + 4 + length {
            let closes = head.contains("\r\nconnection: close");
            return (head.starts_with("http/1.1 200") && &read[end + 4..] == b"hello").then_some(closes);
        }
    }
}

/// Sends back what came, with its length.
async fn answered(request: http::Request<hyper::body::Incoming>) -> http::Response<tests::piped::AnyBody> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    http::Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

/// The `n`th edit.
fn edit(setup: &Setup, service: &Service, free: &[std::net::SocketAddr], n: usize) -> Setup {
    let upstream = format!(r#"["{}"]"#, service.url());
    let edited = setup
        .clone()
        .set("networks.private.price.slot_second", format!("0.{}", 1 + n % 9))
        .set("networks.private.timeouts.total", format!("\"{}m\"", 10 + n))
        .set("pricing.time_value_per_second", 1 + n)
        .set("limits.connections", 1000 + n)
        .set("spool.body", 1_000_000 + n)
        .set("log.keep", 100 + n)
        .set("shadow.levels.low.memory", format!("\"{}MiB\"", 200 + n))
        .set("listen.egress", format!("\"{}\"", free[n % free.len()]))
        .every("shadow = \"off\"");
    match n % 4 {
        0 => edited,
        1 => edited.set("networks.other.upstreams", upstream).set("networks.other.health.path", r#""/health""#),
        2 => edited.set("networks.early.upstreams", upstream),
        // The same service by another name: another endpoint.
        _ => edited.set("networks.private.upstreams", upstream.replace("127.0.0.1", "localhost")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_reloads_fail_no_request() {
    let service = Service::start(answered).await;
    let setup = Setup::alone(service.url());
    let mut free = Vec::new();
    for _ in 0..3 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        free.push(listener.local_addr().expect("a bound socket has an address"));
    }
    let binary = Binary::start(edit(&setup, &service, &free, 0)).await;
    let seen = Arc::new(Seen::default());
    let jobs = binary.jobs();
    let mut clients = tokio::task::JoinSet::new();
    for per_connection in [1, 1, 1_000_000, 1_000_000, 20, 7] {
        clients.spawn(keep_asking(jobs, Arc::clone(&seen), per_connection));
    }
    let applied = r#"adumbra_config_reloads_total{outcome="applied"}"#;
    for n in 1..=RELOADS {
        // Some requests between any two reloads.
        let before = seen.well.load(Relaxed);
        eventually("requests are answered", async || seen.well.load(Relaxed) > before + 20).await;
        std::fs::write(binary.config(), edit(&setup, &service, &free, n).text()).expect("there is room for files");
        binary.signal(Signal::HUP);
        eventually("it is in force", async || binary.metric(applied).await == n as f64).await;
    }
    eventually("there are requests enough", async || seen.well.load(Relaxed) >= REQUESTS).await;
    seen.last.store(true, Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client panics");
    }
    let (well, failed) = (seen.well.load(Relaxed), seen.failed.load(Relaxed));
    assert_eq!(failed, 0, "of {}: {}", well + failed, binary.log());
    assert!(well >= REQUESTS);
    binary.stop().await;
}
