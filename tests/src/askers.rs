//! Clients that send one request after another, over new connections and over kept ones, and count what fails.
//!
//! None of them tries again: a connection that is closed under a request is a request that failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::piped::AnyBody;
use crate::wait::eventually;

/// How many requests each client sends over one connection.
const PER_CONNECTION: [usize; 6] = [1, 1, 1_000_000, 1_000_000, 20, 7];

/// The clients.
#[derive(Debug)]
pub struct Askers {
    seen: Arc<Seen>,
    clients: JoinSet<()>,
}

/// What clients have seen.
#[derive(Debug, Default)]
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

impl Askers {
    /// Starts them.
    #[must_use]
    pub fn start(jobs: SocketAddr) -> Self {
        let (seen, mut clients) = (Arc::<Seen>::default(), JoinSet::new());
        for per_connection in PER_CONNECTION {
            clients.spawn(keep_asking(jobs, Arc::clone(&seen), per_connection));
        }
        Self { seen, clients }
    }

    /// Waits until they have so many more good answers.
    pub async fn get_more(&self, count: u64) {
        self.get(self.seen.well.load(Relaxed) + count).await;
    }

    /// Waits until they have so many good answers.
    pub async fn get(&self, count: u64) {
        eventually("requests are answered", async || self.seen.well.load(Relaxed) >= count).await;
    }

    /// Lets them end, and says how many requests went well and how many failed.
    ///
    /// # Panics
    /// If one of them does.
    pub async fn end(mut self) -> (u64, u64) {
        self.seen.last.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no client panics");
        }
        (self.seen.well.load(Relaxed), self.seen.failed.load(Relaxed))
    }
}

/// What they ask: it sends back what came, with its length.
pub async fn echo(request: http::Request<hyper::body::Incoming>) -> http::Response<AnyBody> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    http::Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
