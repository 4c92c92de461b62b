//! A hyper server behind a guard, and clients that misbehave.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::*;

const LIMITS: Limits = Limits {
    connections: 1,
    connections_per_address: 1,
    head_timeout: Duration::from_secs(10),
    keep_alive: Duration::from_secs(75),
    head_bytes: 4096,
    head_fields: 16,
    h2_streams: 1,
    h2_resets: 1,
    drain_bytes: 4 << 20,
};

const GET: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

/// A service that notes what it was asked, and what became of it.
#[derive(Debug)]
struct Service {
    watch: Arc<Watch>,
    metrics: Arc<Metrics>,
    asked: Mutex<Vec<String>>,
    dropped: Notify,
    release: Notify,
}

/// A body that tells the watch when it is over, as the path's does.
struct Told {
    inner: Full<Bytes>,
    watch: Arc<Watch>,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.watch.answered();
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

struct OnDrop<'a>(&'a Notify);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Service {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            watch: Arc::default(),
            metrics: Arc::new(Metrics::new(&[])),
            asked: Mutex::default(),
            dropped: Notify::new(),
            release: Notify::new(),
        })
    }

    /// How often this problem was counted.
    fn counted(&self, problem: Problem) -> String {
        let series = format!("adumbra_problems_total{{problem=\"{}\"}} ", problem.slug().replace('-', "_"));
        let text = self.metrics.text(Vec::new());
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("0").to_owned()
    }

    async fn serve(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<Told>, hyper::Error> {
        let _dropped = OnDrop(&self.dropped);
        let path = request.uri().path().to_owned();
        self.asked.lock().expect("no test panics inside").push(path.clone());
        let mut response = Response::new(Bytes::from_static(b"hello"));
        match path.as_str() {
            "/echo" => *response.body_mut() = request.into_body().collect().await?.to_bytes(),
            "/count" => {
                self.release.notified().await;
                let (mut body, mut count) = (request.into_body(), 0);
                while let Some(frame) = body.frame().await {
                    count += frame?.into_data().map_or(0, |data| data.len());
                }
                *response.body_mut() = count.to_string().into();
            }
            "/hold" => self.release.notified().await,
            "/slow" => sleep(10 * LIMITS.keep_alive).await,
            "/too-large" => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
            "/upgrade" => {
                self.watch.upgraded();
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut io = TokioIo::new(upgrade.await.expect("the 101 is given"));
                    let (mut read, mut write) = tokio::io::split(&mut io);
                    tokio::io::copy(&mut read, &mut write).await.expect("an echo");
                    io.shutdown().await.expect("an end");
                });
                *response.body_mut() = Bytes::new();
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().insert("connection", http::HeaderValue::from_static("upgrade"));
                response.headers_mut().insert("upgrade", http::HeaderValue::from_static("echo"));
            }
            _ => {}
        }
        Ok(response.map(|body| Told { inner: Full::new(body), watch: Arc::clone(&self.watch) }))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics inside").clone()
    }

    /// Serves one connection with `limits`.
    fn start<S: Wire + Send + 'static>(self: &Arc<Self>, io: S, limits: &Limits) {
        let guard = Guard::new(io, limits, Arc::clone(&self.watch), Arc::clone(&self.metrics));
        let service = Arc::clone(self);
        let serve = service_fn(move |request| Arc::clone(&service).serve(request));
        tokio::spawn(async move { http1::Builder::new().serve_connection(guard, serve).with_upgrades().await });
    }
}

/// A client, and the service it talks to.
fn connect() -> (DuplexStream, Arc<Service>) {
    let (client, server) = duplex(64 * 1024);
    let service = Service::new();
    service.start(server, &LIMITS);
    (client, service)
}

async fn connect_tcp() -> (TcpStream, Arc<Service>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
    let service = Service::new();
    service.start(listener.accept().await.expect("a connection").0, &LIMITS);
    (client, service)
}

/// Reads one response: its status, its head and its body.
async fn response<S: AsyncRead + Unpin>(client: &mut S) -> (u16, String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a whole head"));
    }
    let head = String::from_utf8(head).expect("ASCII");
    let status = head["HTTP/1.1 ".len()..][..3].parse().expect("a status");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    client.read_exact(&mut body).await.expect("a whole body");
    (status, head, body)
}

async fn hello<S: AsyncRead + Unpin>(client: &mut S) {
    let (status, _, body) = response(client).await;
    assert_eq!((status, body.as_slice()), (200, &b"hello"[..]));
}

/// Exactly one problem comes, and then the end.
async fn problem<S: AsyncRead + Unpin>(client: &mut S, expected: Problem) {
    let (status, head, body) = response(client).await;
    assert_eq!(status, expected.status().as_u16(), "{head}");
    assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(document["type"], format!("/problems/{}", expected.slug()));
    end(client).await;
}

async fn end<S: AsyncRead + Unpin>(client: &mut S) {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("no reset");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[tokio::test]
async fn each_violation_is_answered_once_and_never_reaches_the_service() {
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(16));
    for (head, expected) in [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", Problem::Malformed),
        ("GET / HTTP/1.1\r\n\r\n", Problem::Malformed),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", Problem::Malformed),
        ("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", Problem::Malformed),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Problem::Malformed),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", Problem::Malformed),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", Problem::Malformed),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n", Problem::Malformed),
        ("\u{16}\u{3}\u{1}", Problem::Malformed),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Problem::Malformed),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", Problem::ConnectRefused),
        (&long, Problem::HeadTooLarge),
        (&many, Problem::HeadTooLarge),
    ] {
        let (mut client, service) = connect();
        client.write_all(head.as_bytes()).await.expect("sent");
        problem(&mut client, expected).await;
        assert!(service.asked().is_empty(), "{head:?}");
        assert_eq!(service.counted(expected), "1", "{head:?}");
    }
}

#[tokio::test]
async fn good_requests_are_answered_before_a_bad_one_behind_them() {
    let (mut client, service) = connect();
    client.write_all(format!("{GET}{GET}GET / HTTP/1.1\r\n\r\n{GET}").as_bytes()).await.expect("sent");
    hello(&mut client).await;
    hello(&mut client).await;
    problem(&mut client, Problem::Malformed).await;
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn a_bad_request_waits_for_the_answer_that_is_under_way() {
    let (mut client, service) = connect();
    client.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    tokio::task::yield_now().await;
    client.write_all(b"bad\r\n").await.expect("sent");
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    service.release.notify_one();
    hello(&mut client).await;
    problem(&mut client, Problem::Malformed).await;
}

#[tokio::test]
async fn a_connection_lives_through_many_requests() {
    let (mut client, service) = connect();
    for round in 0..200 {
        let data = "x".repeat(round);
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {round}\r\n\r\n{data}");
        client.write_all(request.as_bytes()).await.expect("sent");
        assert_eq!(response(&mut client).await.2, data.as_bytes());
    }
    assert_eq!(service.asked().len(), 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (mut client, _service) = connect();
    let mut stream = String::new();
    for n in 0..100 {
        let data = n.to_string();
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{data}\r\n0\r\n\r\n", data.len());
        let length = format!("content-length: {}\r\n\r\n{data}", data.len());
        stream += &format!("POST /echo HTTP/1.1\r\nhost: a\r\n{}", if n % 2 == 0 { chunked } else { length });
    }
    client.write_all(stream.as_bytes()).await.expect("sent");
    for n in 0..100 {
        assert_eq!(response(&mut client).await.2, n.to_string().as_bytes());
    }
}

/// Writes a stream in pieces and reads as many answers as there are requests.
async fn echoes(pieces: &[&[u8]], bodies: &[Vec<u8>]) {
    let (client, _service) = connect();
    let (mut read, mut write) = tokio::io::split(client);
    let sending = async {
        for piece in pieces {
            write.write_all(piece).await.expect("sent");
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        for body in bodies {
            let (status, _, echoed) = response(&mut read).await;
            assert_eq!((status, &echoed), (200, body));
        }
    };
    tokio::join!(sending, reading);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_requests_reach_hyper_as_they_were_sent(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        chunk in 1usize..50,
        piece in 1usize..400,
    ) {
        let mut stream = b"\r\n".to_vec();
        for (n, body) in bodies.iter().enumerate() {
            stream.extend_from_slice(b"POST http://a/echo HTTP/1.1\r\nHost: A:80\r\nx:\t\xff, y \r\n");
            if n % 2 == 0 {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                stream.extend_from_slice(body);
                continue;
            }
            stream.extend_from_slice(b"Transfer-Encoding: Chunked\r\n\r\n");
            for chunk in body.chunks(chunk) {
                stream.extend_from_slice(format!("{:x};q=\"1\"\r\n", chunk.len()).as_bytes());
                stream.extend_from_slice(chunk);
                stream.extend_from_slice(b"\r\n");
            }
            stream.extend_from_slice(b"0\r\nsum: 1\r\n\r\n");
        }
        let pieces: Vec<_> = stream.chunks(piece).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(echoes(&pieces, &bodies));
    }
}

#[tokio::test]
async fn a_client_may_send_byte_by_byte() {
    let (mut client, service) = connect();
    let stream =
        format!("\r\n{GET}POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx");
    for byte in stream.bytes() {
        client.write_u8(byte).await.expect("sent");
        tokio::task::yield_now().await;
    }
    hello(&mut client).await;
    assert_eq!(response(&mut client).await.2, b"ok");
    client.write_all(b"\n").await.expect("sent");
    problem(&mut client, Problem::Malformed).await;
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_streams_with_back_pressure() {
    let (mut client, service) = connect();
    let size = 8 << 20;
    let head = format!("POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("sent");
    let (mut read, mut write) = tokio::io::split(client);
    let data = vec![b'x'; size];
    let mut sending = std::pin::pin!(write.write_all(&data));
    timeout(Duration::from_secs(5), &mut sending).await.expect_err("nobody reads, so not all can be sent");
    service.release.notify_one();
    sending.await.expect("sent");
    assert_eq!(response(&mut read).await.2, size.to_string().as_bytes());
}

#[tokio::test]
async fn bad_framing_inside_a_body_breaks_it_off() {
    let (mut client, service) = connect();
    client
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n2\nxx")
        .await
        .expect("sent");
    service.dropped.notified().await;
    end(&mut client).await;
    assert_eq!(service.asked(), ["/echo"]);
}

#[tokio::test]
async fn a_body_that_waits_is_continued() {
    let (mut client, _service) = connect();
    client
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        .await
        .expect("sent");
    assert_eq!(response(&mut client).await.0, 100);
    client.write_all(b"ok").await.expect("sent");
    assert_eq!(response(&mut client).await.2, b"ok");
    client.write_all(GET.as_bytes()).await.expect("sent");
    hello(&mut client).await;
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_and_not_reset() {
    let (mut client, service) = connect_tcp().await;
    client.write_all(b"POST /too-large HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n").await.expect("sent");
    client.write_all(&vec![b'x'; 1_999_999]).await.expect("drained");
    assert_eq!(response(&mut client).await.0, 413);
    end(&mut client).await;
    assert_eq!(service.asked(), ["/too-large"]);
}

#[tokio::test]
async fn a_problem_is_read_and_not_reset() {
    let (mut client, _service) = connect_tcp().await;
    let mut stream = b"POST / HTTP/1.1\r\ncontent-length: 2000000\r\n\r\n".to_vec();
    stream.resize(2_000_000, b'x');
    client.write_all(&stream).await.expect("drained");
    problem(&mut client, Problem::Malformed).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_left() {
    let (mut client, _service) = connect();
    client.write_all(b"bad\r\n").await.expect("sent");
    problem(&mut client, Problem::Malformed).await;
    sleep(2 * closing::LINGER).await;
    client.write_all(b"x").await.expect_err("the other end is gone");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    for ahead in ["", "GET", GET, "bad\r\n"] {
        let (mut client, service) = connect();
        client.write_all(format!("GET /hold HTTP/1.1\r\nhost: a\r\n\r\n{ahead}").as_bytes()).await.expect("sent");
        while service.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(client);
        service.dropped.notified().await;
        assert_eq!(service.asked(), ["/hold"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_ahead_of_its_time_is_bounded() {
    let (mut client, service) = connect();
    client.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let ahead = GET.repeat(20_000);
    timeout(Duration::from_secs(1), client.write_all(ahead.as_bytes())).await.expect_err("not all is taken");
    service.release.notify_one();
    for _ in 0..50 {
        hello(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_takes_too_long_is_answered() {
    for pieces in [&["GET / HT"][..], &["G", "E", "T", " ", "/", " ", "H", "T", "T", "P", "/", "1", ".", "1"], &["\r"]]
    {
        let (mut client, service) = connect();
        sleep(LIMITS.head_timeout * 2).await;
        let started = Instant::now();
        for piece in pieces {
            client.write_all(piece.as_bytes()).await.expect("sent");
            sleep(Duration::from_millis(700)).await;
        }
        let left = problem(&mut client, Problem::HeadTimeout);
        timeout(LIMITS.head_timeout + Duration::from_millis(10), left).await.expect("in time");
        assert!(started.elapsed() >= LIMITS.head_timeout);
        assert_eq!(service.counted(Problem::HeadTimeout), "1");
        assert!(service.asked().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_own_time() {
    let (mut client, service) = connect();
    client.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\nGET /he").await.expect("sent");
    sleep(LIMITS.head_timeout * 3).await;
    service.release.notify_one();
    hello(&mut client).await;
    sleep(LIMITS.head_timeout - Duration::from_secs(1)).await;
    client.write_all(b"llo HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    hello(&mut client).await;
    client.write_all(b"G").await.expect("sent");
    problem(&mut client, Problem::HeadTimeout).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_silence_and_not_before_its_time() {
    let (mut client, _service) = connect();
    timeout(LIMITS.keep_alive - Duration::from_secs(1), client.read_u8()).await.expect_err("still open");
    for _ in 0..5 {
        client.write_all(GET.as_bytes()).await.expect("sent");
        hello(&mut client).await;
        sleep(LIMITS.keep_alive - Duration::from_secs(1)).await;
    }
    let started = Instant::now();
    end(&mut client).await;
    assert!(started.elapsed() <= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_speaks_is_closed() {
    let (mut client, _service) = connect();
    let started = Instant::now();
    end(&mut client).await;
    assert_eq!(started.elapsed().as_secs(), LIMITS.keep_alive.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_not_idleness() {
    let (mut client, _service) = connect();
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    hello(&mut client).await;
    let started = Instant::now();
    end(&mut client).await;
    assert_eq!(started.elapsed().as_secs(), LIMITS.keep_alive.as_secs());
}

const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

#[tokio::test]
async fn an_upgraded_connection_is_opaque() {
    for ahead in ["", "bad\r\n\0"] {
        let (mut client, _service) = connect();
        client.write_all(format!("{UPGRADE}{ahead}").as_bytes()).await.expect("sent");
        assert_eq!(response(&mut client).await.0, 101);
        client.write_all(b"\x81\x00\n").await.expect("sent");
        client.shutdown().await.expect("half-closed");
        let mut echoed = Vec::new();
        client.read_to_end(&mut echoed).await.expect("an echo");
        assert_eq!(echoed, [ahead.as_bytes(), b"\x81\x00\n"].concat());
    }
}

#[tokio::test]
async fn after_a_declined_upgrade_the_next_head_is_judged() {
    let (mut client, service) = connect();
    let declined = UPGRADE.replace("/upgrade", "/hello");
    client.write_all(format!("{declined}{GET}bad\r\n").as_bytes()).await.expect("sent");
    hello(&mut client).await;
    hello(&mut client).await;
    problem(&mut client, Problem::Malformed).await;
    assert_eq!(service.asked().len(), 2);
}

fn guarded() -> (DuplexStream, Guard<DuplexStream>) {
    let (client, server) = duplex(1024);
    (client, Guard::new(server, &LIMITS, Arc::default(), Arc::new(Metrics::new(&[]))))
}

#[tokio::test(start_paused = true)]
async fn sniffing_tells_the_protocols_apart_and_loses_nothing() {
    for (sent, expected) in [
        ("GET / HTTP/1.0\r\n\r\n", Spoken::Http1),
        ("PUT / HTTP/1.0\r\n\r\n", Spoken::Http1),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}", Spoken::Http2),
    ] {
        for size in [1, 7, 100] {
            let (mut client, mut guard) = guarded();
            let sending = tokio::spawn(async move {
                for piece in sent.as_bytes().chunks(size) {
                    client.write_all(piece).await.expect("sent");
                    sleep(Duration::from_millis(1)).await;
                }
                client
            });
            assert_eq!(guard.sniff().await.expect("a protocol"), expected);
            let _client = sending.await.expect("sent");
            let mut read = vec![0; sent.len()];
            guard.read_exact(&mut read).await.expect("nothing lost");
            assert_eq!(read, sent.as_bytes());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_takes_too_long_is_answered() {
    let (mut client, mut guard) = guarded();
    client.write_all(b"PRI * HT").await.expect("sent");
    let sniffed = tokio::spawn(async move { guard.sniff().await });
    problem(&mut client, Problem::HeadTimeout).await;
    sniffed.await.expect("no panic").expect_err("refused");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_not_waited_for_longer_than_an_idle_one() {
    let (mut client, mut guard) = guarded();
    let sniffed = tokio::spawn(async move { guard.sniff().await });
    end(&mut client).await;
    sniffed.await.expect("no panic").expect_err("idle");
}

#[tokio::test]
async fn an_end_tells_that_a_client_has_left_only_if_its_request_is_not_whole() {
    let check = async |sent: &str, passed: usize, expected: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut client = TcpStream::connect(address).await.expect("it accepts");
        let (server, _) = listener.accept().await.expect("a client comes");
        assert_eq!(server.look(), Look::There);
        client.write_all(sent.as_bytes()).await.expect("it is there");
        client.shutdown().await.expect("it is there");
        let mut guard = Guard::new(server, &LIMITS, Arc::default(), Arc::default());
        // The reader takes so much, and then stays away.
        let mut taken = vec![0; passed];
        guard.read_exact(&mut taken).await.expect("it was sent");
        let look = async {
            loop {
                match guard.io.look() {
                    Look::Ended(Some(unread)) => break !guard.gate.ends_with(&unread),
                    Look::There => tokio::task::yield_now().await,
                    other => panic!("it is {other:?}"),
                }
            }
        };
        let left = timeout(Duration::from_secs(30), look).await.expect("the end is seen");
        assert_eq!(left, expected, "{sent:?} of which {passed} bytes were read");
    };
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
    check(&format!("{head}0123456789"), head.len() + 4, false).await;
    check(&format!("{head}0123456789"), head.len() + 10, false).await;
    check(&format!("{head}0123456789GET / HTTP/1.1\r\n"), head.len() + 4, false).await;
    check(&format!("{head}012345678"), head.len() + 4, true).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    check(&format!("{head}4\r\nabcd\r\n0\r\n\r\n"), head.len() + 4, false).await;
    check(&format!("{head}4\r\nabcd\r\n"), head.len() + 4, true).await;
}
