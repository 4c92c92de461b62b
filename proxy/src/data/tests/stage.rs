//! A scripted origin, and an egress listener in front of a cache that may fetch from it. Both on real sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use config::value::Data;
use http::uri::Scheme;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::super::{Cache, egress};
use crate::metrics::{DataRefusal, DataSoFar, Metrics};

/// What an origin does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Bytes),
    /// Until it is released.
    Wait,
}

/// An answer that may be kept for a minute.
pub(crate) fn kept(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nCache-Control: max-age=60\r\nX-Kept: yes\r\n\r\n{body}",
        body.len()
    )
}

/// Waits until `done`, which must come to pass.
pub(crate) async fn settled(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Answers each connection's first request by its path, and closes.
pub(crate) struct Origin {
    address: SocketAddr,
    stage: Arc<Stage>,
    task: JoinHandle<()>,
}

struct Stage {
    scripts: HashMap<&'static str, Vec<Step>>,
    requests: Mutex<Vec<String>>,
    hung_up: AtomicUsize,
    releases: Semaphore,
}

impl Origin {
    pub(crate) async fn start(scripts: impl IntoIterator<Item = (&'static str, Vec<Step>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stage = Arc::new(Stage {
            scripts: scripts.into_iter().collect(),
            requests: Mutex::default(),
            hung_up: AtomicUsize::new(0),
            releases: Semaphore::new(0),
        });
        let playing = Arc::clone(&stage);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a listening socket");
                let stage = Arc::clone(&playing);
                connections.spawn(async move { stage.play(stream).await });
            }
        });
        Self { address, stage, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().expect("a URL")
    }

    /// Lets one `Wait` end.
    pub(crate) fn release(&self) {
        self.stage.releases.add_permits(1);
    }

    /// Requests whose heads have come.
    pub(crate) fn requests(&self) -> usize {
        self.stage.requests.lock().len()
    }

    pub(crate) fn request(&self, at: usize) -> String {
        self.stage.requests.lock()[at].clone()
    }

    /// Requests whose askers hung up before the script had ended.
    pub(crate) fn hung_up(&self) -> usize {
        self.stage.hung_up.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    async fn play(&self, mut stream: TcpStream) {
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).expect("ASCII");
        let path = request.split(' ').nth(1).expect("a target").to_owned();
        self.requests.lock().push(request);
        let missing = vec![Step::Send(Bytes::from_static(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"))];
        for step in self.scripts.get(path.as_str()).cloned().unwrap_or(missing) {
            let played = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
                Step::Wait => self.released(&mut stream, &mut buffer).await,
            };
            if !played {
                self.hung_up.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Waits to be released; `false` if the asker hangs up first. What it sends meanwhile is noted.
    async fn released(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
        loop {
            tokio::select! {
                release = self.releases.acquire() => {
                    release.expect("never closed").forget();
                    return true;
                }
                read = stream.read(buffer) => match read {
                    Ok(read) if read > 0 => {
                        let more = String::from_utf8_lossy(&buffer[..read]).into_owned();
                        self.requests.lock().push(more);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// A cache that may fetch from `origin`.
pub(crate) fn cache_of(origin: &Origin, change: impl FnOnce(&mut Data)) -> Arc<Cache> {
    let allowed = config::value::Origin {
        scheme: Scheme::HTTP,
        host: origin.address().ip().to_string(),
        port: origin.address().port(),
    };
    let mut data = data_of(allowed);
    change(&mut data);
    Cache::new(&data, Arc::new(Metrics::new(&[])))
}

/// Bounds that most tests do not reach.
pub(crate) fn data_of(allowed: config::value::Origin) -> Data {
    Data {
        origins: vec![allowed],
        memory_bytes: 16 << 20,
        object_bytes: 1 << 20,
        timeout: Duration::from_secs(60),
        warming: 8,
        warming_bytes_per_s: f64::INFINITY,
        job_bytes: 1 << 30,
        learn: true,
    }
}

/// The service's way to the cache.
pub(crate) struct Egress {
    pub(crate) cache: Arc<Cache>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What the service was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body broke off.
    pub(crate) broken: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// What `adumbra-cache` says.
    pub(crate) fn cache(&self) -> &str {
        self.headers.get("adumbra-cache").map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Egress {
    pub(crate) async fn start(origin: &Origin, change: impl FnOnce(&mut Data)) -> Self {
        let cache = cache_of(origin, change);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let serving = Arc::clone(&cache);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a listening socket");
                let cache = Arc::clone(&serving);
                let service = service_fn(move |request: Request<Incoming>| {
                    let cache = Arc::clone(&cache);
                    async move { Ok::<_, std::convert::Infallible>(egress(&cache, request).await) }
                });
                // An error here is a client that went away, which the tests do on purpose.
                connections.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    connection.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { cache, address, task }
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("aborted").is_cancelled());
    }

    /// Those who wait for `url`'s flight.
    pub(crate) fn tickets(&self, url: &Uri) -> usize {
        let key = self.cache.rules.load().allowed.key(url).expect("allowed");
        self.cache.flights.tickets(&key)
    }

    /// A plain GET, as to an HTTP proxy.
    pub(crate) async fn fetch(&self, url: &Uri) -> Answer {
        self.ask(get(url)).await
    }

    /// The same, in the background; aborted, its connection goes.
    pub(crate) fn fetching(&self, url: &Uri) -> JoinHandle<Answer> {
        tokio::spawn(ask(self.address, get(url)))
    }

    /// A plain GET, up to the head.
    pub(crate) async fn open(&self, url: &Uri) -> (Incoming, JoinSet<()>) {
        let (response, connection) = send(self.address, get(url)).await;
        (response.into_body(), connection)
    }

    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        ask(self.address, request).await
    }

    /// Sends `text` as it is; says what comes back, up to the end of the connection.
    pub(crate) async fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        answer
    }
}

pub(crate) fn get(url: &Uri) -> Request<Full<Bytes>> {
    to(Request::get(url.clone()), Full::default())
}

/// A request with the `Host` that belongs to it.
pub(crate) fn to(request: http::request::Builder, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let host = request.uri_ref().and_then(Uri::authority).map_or("egress", |authority| authority.as_str()).to_owned();
    request.header("host", host).body(body).expect("a request")
}

async fn ask(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let (response, _connection) = send(address, request).await;
    let (head, mut body) = response.into_parts();
    let (mut bytes, mut broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => broken = true,
        }
    }
    Answer { status: head.status, headers: head.headers, body: bytes.into(), broken }
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> (http::Response<Incoming>, JoinSet<()>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("nothing is sent yet");
    // Dropped with the answer, so that a request which is given up is really gone.
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        connection.await.ok();
    });
    (sender.send_request(request).await.expect("an answer"), driving)
}

/// What the cache has come to, by what stood against fetches too.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) so_far: DataSoFar,
    pub(crate) memory_bytes: u64,
    pub(crate) forbidden: u64,
    pub(crate) not_storable: u64,
    pub(crate) no_room: u64,
    pub(crate) busy: u64,
    pub(crate) failed: u64,
}

impl std::ops::Deref for Stats {
    type Target = DataSoFar;

    fn deref(&self) -> &DataSoFar {
        &self.so_far
    }
}

impl Cache {
    pub(crate) fn stats(&self) -> Stats {
        let data = &self.metrics.data;
        Stats {
            so_far: data.so_far(),
            memory_bytes: self.memory.used_bytes(),
            forbidden: data.refused_for(DataRefusal::Origin),
            not_storable: data.refused_for(DataRefusal::NotStorable),
            no_room: data.refused_for(DataRefusal::NoRoom),
            busy: data.refused_for(DataRefusal::Busy),
            failed: data.refused_for(DataRefusal::Failed),
        }
    }
}
