//! What stands on the two sides: the origin of inputs at home, and the service on the far side that reads them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// So many bytes, of no meaning.
#[derive(Debug)]
pub struct Input {
    left: u64,
}

const PIECE: &[u8; 64 << 10] = &[b'a'; 64 << 10];

impl Body for Input {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let now = self.left.min(PIECE.len() as u64);
        self.left -= now;
        let piece = Bytes::from_static(PIECE).slice(..now as usize);
        Poll::Ready((now > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Starts the origin: `/inputs/KEY-BYTES` is that many bytes.
///
/// # Errors
/// When there is no port.
pub async fn origin() -> io::Result<SocketAddr> {
    serve(|request: Request<Incoming>| async move {
        let bytes = request.uri().path().rsplit_once('-').and_then(|(_, bytes)| bytes.parse().ok());
        let mut response = Response::new(Input { left: bytes.unwrap_or(0) });
        let headers = response.headers_mut();
        headers.insert("cache-control", hyper::header::HeaderValue::from_static("max-age=86400"));
        response
    })
    .await
}

/// The service: how many slots, and where it finds what it reads.
#[derive(Clone, Debug)]
pub struct Service {
    slots: Arc<Semaphore>,
    /// The far sidecar's egress, once it is there.
    pub egress: Arc<OnceLock<SocketAddr>>,
    origin: SocketAddr,
}

impl Service {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(slots: usize, origin: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let service = Self { slots: Arc::new(Semaphore::new(slots)), egress: Arc::default(), origin };
        let serving = service.clone();
        let at = serve(move |request| {
            let service = serving.clone();
            async move {
                let answered = service.job(&request).await;
                let mut response = Response::new(Full::new(Bytes::from_static(b"done\n")));
                if answered.is_none() {
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                }
                response
            }
        })
        .await?;
        Ok((service, at))
    }

    /// `/run?input=KEY-BYTES&class=N&ms=N`: reads, and then runs. `None` if it could not read all of it.
    async fn job(&self, request: &Request<Incoming>) -> Option<()> {
        let _slot = self.slots.acquire().await.ok()?;
        let input = query(request, "input")?;
        let runs = Duration::from_millis(query(request, "ms")?.parse().ok()?);
        let wanted: u64 = input.rsplit_once('-')?.1.parse().ok()?;
        if self.read(request, input).await? != wanted {
            return None;
        }
        tokio::time::sleep(runs).await;
        Some(())
    }

    /// Reads an input as services do that are told a proxy; it passes `baggage` on, as instrumented ones do.
    async fn read(&self, job: &Request<Incoming>, input: &str) -> Option<u64> {
        let stream = TcpStream::connect(self.egress.get()?).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let driver = tokio::spawn(connection);
        let mut fetch =
            Request::get(format!("http://{}/inputs/{input}", self.origin)).header("host", self.origin.to_string());
        for baggage in job.headers().get_all("baggage") {
            fetch = fetch.header("baggage", baggage);
        }
        let response = sender.send_request(fetch.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
        let mut body = response.into_body();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            read += frame.ok()?.data_ref().map_or(0, |data| data.len() as u64);
        }
        driver.abort();
        Some(read)
    }
}

fn query<'r>(request: &'r Request<Incoming>, name: &str) -> Option<&'r str> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
}

async fn serve<F, R, B>(answer: F) -> io::Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                // A client that goes away ends its connection, and nothing else.
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .unwrap_or_default();
            });
        }
    });
    Ok(at)
}
