//! A service that speaks HTTP/1.1 in the clear, and does what the test says.
//!
//! It is an origin of its own making, on bare sockets: it reads each request strictly, keeps it byte for byte, and fails
//! the test if what came was not one canonical request. A request is answered at once, or held until the test lets it go:
//! then it can also show progress, hang, break off, answer garbage or without end, and notice that its client has gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::recorded::{Framing, Recorded};
use crate::reply::{self, Reply};
use crate::wait::{BOUND, within};
use crate::wire::{Fault, Fields, Wire};

type Answering = Box<dyn Fn(&Recorded) -> Reply + Send + Sync>;

enum Manner {
    /// Answers every request when it is whole.
    Answering(Answering),
    /// Hands every request to the test when it is whole.
    Held(mpsc::UnboundedSender<Exchange>),
    /// The same, in a sidecar's place: requests may bear the marks of a peer.
    HeldAsSidecar(mpsc::UnboundedSender<Exchange>),
    /// Hands every request to the test when its head is there.
    HeldAtHead(mpsc::UnboundedSender<Exchange>),
}

/// Counts of what runs.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    begun: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Shared {
    manner: Manner,
    counts: Arc<Counts>,
    recorded: std::sync::Mutex<Vec<Recorded>>,
    faults: std::sync::Mutex<Vec<String>>,
}

/// A scripted service.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    held: Mutex<mpsc::UnboundedReceiver<Exchange>>,
    accepting: JoinHandle<()>,
}

impl Origin {
    /// One that answers each request at once.
    pub async fn answering(answer: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(|_| Manner::Answering(Box::new(answer))).await
    }

    /// One that answers each request with its own name.
    pub async fn named(name: &'static str) -> Self {
        Self::answering(move |_| Reply::ok(name)).await
    }

    /// One that holds each request until the test takes it by [`Origin::next`] and lets it go.
    pub async fn held() -> Self {
        Self::start(Manner::Held).await
    }

    /// The same, in the place of a far sidecar.
    pub async fn held_as_sidecar() -> Self {
        Self::start(Manner::HeldAsSidecar).await
    }

    /// One that holds each request, and hands it over before its body is read.
    pub async fn held_at_head() -> Self {
        Self::start(Manner::HeldAtHead).await
    }

    async fn start(manner: impl FnOnce(mpsc::UnboundedSender<Exchange>) -> Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (sender, held) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            manner: manner(sender),
            counts: Arc::default(),
            recorded: std::sync::Mutex::default(),
            faults: std::sync::Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, held: Mutex::new(held), accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as an endpoint of a configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next held request.
    ///
    /// # Panics
    /// If none comes, or the origin holds none.
    pub async fn next(&self) -> Exchange {
        let next = async { self.held.lock().await.recv().await };
        match tokio::time::timeout(BOUND, next).await {
            Ok(next) => next.expect("the origin holds requests"),
            Err(_) => panic!("no request reaches the service; not canonical were: {:?}", self.take_faults()),
        }
    }

    /// The next held request, however long it takes.
    ///
    /// # Panics
    /// If the origin holds none.
    pub async fn next_ever(&self) -> Exchange {
        self.held.lock().await.recv().await.expect("the origin holds requests")
    }

    /// Whether a held request waits to be taken.
    pub async fn has_next(&self) -> bool {
        !self.held.lock().await.is_empty()
    }

    /// Every request so far, oldest first.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.recorded.lock().expect("no test panics while it holds this").clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub fn only(&self) -> Recorded {
        let mut recorded = self.recorded();
        assert_eq!(recorded.len(), 1, "the service was sent one request");
        recorded.remove(0)
    }

    /// Requests whose execution began.
    pub fn begun(&self) -> usize {
        self.shared.counts.begun.load(Ordering::SeqCst)
    }

    /// Requests that execute now.
    pub fn running(&self) -> usize {
        self.shared.counts.running.load(Ordering::SeqCst)
    }

    /// The most requests that ever executed at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.counts.most.load(Ordering::SeqCst)
    }

    /// Connections that were ever made to it.
    pub fn connections(&self) -> usize {
        self.shared.counts.connections.load(Ordering::SeqCst)
    }

    /// What of it was not one canonical request; taken, so that it does not fail the test.
    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.faults.lock().expect("no test panics while it holds this"))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
        let faults = self.take_faults();
        assert!(faults.is_empty() || std::thread::panicking(), "an origin was sent what is not canonical: {faults:?}");
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let number = shared.counts.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        // Ends with its connection, or with the test's runtime.
        tokio::spawn(async move {
            if let Err(Fault::NotCanonical(fault)) = serve(&shared, number, Wire::new(socket)).await {
                shared.faults.lock().expect("no test panics while it holds this").push(fault);
            }
        });
    }
}

async fn serve(shared: &Shared, connection: usize, mut wire: Wire<TcpStream>) -> Result<(), Fault> {
    wire.io.set_nodelay(true)?;
    while let Some(head) = wire.head().await? {
        let marked = matches!(shared.manner, Manner::HeldAsSidecar(_));
        let read = if marked { Recorded::read_marked } else { Recorded::read };
        let (mut request, framing) = read(connection, head)?;
        if !matches!(shared.manner, Manner::HeldAtHead(_)) {
            (request.body, request.trailers) = match framing {
                Framing::Length(length) => (wire.exactly(length).await?, Fields::new()),
                Framing::Chunked => wire.chunked().await?,
            };
        }
        shared.recorded.lock().expect("no test panics while it holds this").push(request.clone());
        let running = Running::begin(&shared.counts);
        match &shared.manner {
            Manner::Answering(answer) => {
                let reply = answer(&request);
                wire.io.write_all(&reply.bytes(request.method == "HEAD")).await?;
                drop(running);
                if reply.closes() {
                    return Ok(());
                }
            }
            Manner::Held(to) | Manner::HeldAsSidecar(to) | Manner::HeldAtHead(to) => {
                let (give_back, back) = oneshot::channel();
                let exchange = Exchange { request, framing, wire, _running: running, give_back };
                if to.send(exchange).is_err() {
                    return Ok(());
                }
                // A test that drops the exchange has closed the connection.
                let Ok(kept) = back.await else { return Ok(()) };
                wire = kept;
            }
        }
    }
    Ok(())
}

/// Counts an execution until it is dropped.
#[derive(Debug)]
struct Running(Arc<Counts>);

impl Running {
    fn begin(counts: &Arc<Counts>) -> Self {
        counts.begun.fetch_add(1, Ordering::SeqCst);
        let running = counts.running.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most.fetch_max(running, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A held request: the test decides what becomes of it. Dropping it breaks the connection off.
#[derive(Debug)]
pub struct Exchange {
    /// What was asked; its body is empty if only its head was awaited.
    pub request: Recorded,
    framing: Framing,
    wire: Wire<TcpStream>,
    _running: Running,
    give_back: oneshot::Sender<Wire<TcpStream>>,
}

impl Exchange {
    /// Answers, and takes the connection's next request unless the answer closes it.
    pub async fn release(mut self, reply: Reply) {
        let sent = self.wire.io.write_all(&reply.bytes(self.request.method == "HEAD")).await;
        if sent.is_ok() && !reply.closes() {
            // Nobody waits for it if the origin is gone.
            drop(self.give_back.send(self.wire));
        }
    }

    /// Breaks off without an answer.
    pub fn break_off(self) {
        drop(self);
    }

    /// Shows how far the work is, by an interim answer.
    pub async fn progress(&mut self, share: f64) {
        self.write(format!("HTTP/1.1 102 Processing\r\nadumbra-progress: {share}\r\n\r\n").as_bytes()).await;
    }

    /// Writes bytes of the test's own.
    ///
    /// # Panics
    /// If the client is gone.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.wire.io.write_all(bytes).await.expect("the client reads");
    }

    /// Writes what the client takes, if it is still there.
    pub async fn offer(&mut self, bytes: &[u8]) {
        drop(self.wire.io.write_all(bytes).await);
    }

    /// Writes as much as the client takes, again and again, until it has gone; bytes that were taken.
    pub async fn write_until_gone(&mut self, bytes: &[u8]) -> u64 {
        self.write_counted(bytes, &AtomicU64::new(0)).await
    }

    /// The same, and `written` says meanwhile how many bytes it are.
    pub async fn write_counted(&mut self, bytes: &[u8], written: &AtomicU64) -> u64 {
        while self.wire.io.write_all(bytes).await.is_ok() {
            written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        written.load(Ordering::SeqCst)
    }

    /// Begins a chunked answer.
    pub async fn begin_chunked(&mut self, fields: &str) {
        self.write(format!("HTTP/1.1 200 Said\r\ntransfer-encoding: chunked\r\n{fields}\r\n").as_bytes()).await;
    }

    /// Sends one chunk of it.
    pub async fn chunk(&mut self, data: &[u8]) {
        self.write(&reply::chunk_bytes(data)).await;
    }

    /// Ends it, and takes the connection's next request.
    pub async fn end_chunked(mut self) {
        self.write(&reply::last_chunk(&Fields::new())).await;
        drop(self.give_back.send(self.wire));
    }

    /// Reads the next chunk of the request's body; `None` at its end.
    ///
    /// # Panics
    /// If the body is not chunked, or breaks off.
    pub async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        assert_eq!(self.framing, Framing::Chunked, "the body is chunked");
        within("a chunk arrives", self.wire.chunk()).await.expect("the body is canonical")
    }

    /// Reads so many bytes, whatever they are.
    ///
    /// # Panics
    /// If fewer come.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        within("bytes arrive", self.wire.exactly(length)).await.expect("the client writes")
    }

    /// The trailers after the last chunk.
    ///
    /// # Panics
    /// If they are not canonical.
    pub async fn read_trailers(&mut self) -> Fields {
        within("the trailers arrive", self.wire.trailers()).await.expect("the trailers are canonical")
    }

    /// Reads whatever of the body has not been read, and throws it away.
    ///
    /// # Panics
    /// If it breaks off.
    pub async fn read_rest(&mut self) -> Vec<u8> {
        let rest = async {
            match self.framing {
                Framing::Length(length) => self.wire.exactly(length).await,
                Framing::Chunked => self.wire.chunked().await.map(|(body, _)| body),
            }
        };
        within("the rest of the body arrives", rest).await.expect("the body is canonical")
    }

    /// Reads and throws away whatever comes until the client has closed the connection.
    ///
    /// # Panics
    /// If it does not.
    pub async fn drained_until_gone(&mut self) {
        let draining = async { while self.wire.some().await.is_ok_and(|bytes| !bytes.is_empty()) {} };
        within("the client goes away", draining).await;
    }

    /// Waits until the client has closed the connection, and says when it was noticed.
    ///
    /// # Panics
    /// If it does not, or sends more instead.
    pub async fn gone(&mut self) -> Instant {
        match within("the client goes away", self.wire.some()).await {
            Ok(bytes) => assert!(bytes.is_empty(), "the client sent more: {:?}", String::from_utf8_lossy(&bytes)),
            Err(_reset) => {}
        }
        Instant::now()
    }
}
