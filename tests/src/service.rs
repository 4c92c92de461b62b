//! A service that speaks through hyper: HTTP/1.1 and HTTP/2, in the clear or encrypted. It answers what its handler says;
//! for what is on the wire, and for what is held, there is [`crate::Origin`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::piped::AnyBody;
use crate::tls::Identity;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

type Answering = Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// A service.
pub struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Parts>>>,
    accepting: JoinHandle<()>,
}

impl Service {
    /// In the clear; a client speaks either version.
    pub async fn start<F>(handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::listen(None, handler).await
    }

    /// Encrypted; a client is offered either version.
    pub async fn encrypted<F>(
        identity: &Identity,
        handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::listen(Some(TlsAcceptor::from(identity.server())), handler).await
    }

    async fn listen<F>(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&seen), handler));
        Self { address, seen, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as an endpoint in the clear.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests so far, oldest first.
    pub fn seen(&self) -> Vec<Parts> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// The versions of the requests so far.
    pub fn versions(&self) -> Vec<Version> {
        self.seen().iter().map(|parts| parts.version).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Vec<Parts>>>, handler: Handler) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, seen, handler) = (tls.clone(), Arc::clone(&seen), Arc::clone(&handler));
        // Ends with its connection, or with the test's runtime.
        tokio::spawn(async move {
            drop(socket.set_nodelay(true));
            let Some(tls) = tls else {
                let two = speaks_two(&socket).await;
                return serve(socket, two, seen, handler).await;
            };
            let Ok(stream) = tls.accept(socket).await else { return };
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(stream, two, seen, handler).await;
        });
    }
}

async fn speaks_two(socket: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    while let Ok(read) = socket.peek(&mut first).await {
        if read == 0 || first[..read] != PREFACE[..read] {
            return false;
        }
        if read == PREFACE.len() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

async fn serve<S>(io: S, two: bool, seen: Arc<Mutex<Vec<Parts>>>, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        seen.lock().expect("no test panics while it holds this").push(parts.clone());
        let answering = handler(Request::from_parts(parts, body));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let io = TokioIo::new(io);
    // What a client does to a connection is asserted where it is done.
    if two {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(io, service).await);
    }
}

/// Sends back what comes, frame by frame, trailers and all.
pub async fn echo(request: Request<Incoming>) -> Response<AnyBody> {
    let mut response = Response::new(());
    for name in [http::header::CONTENT_TYPE, http::header::TRAILER] {
        if let Some(value) = request.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response.map(|()| Echo(request.into_body()).boxed_unsync())
}

/// A request's body as an answer's: it ends where the other breaks off.
struct Echo(Incoming);

impl hyper::body::Body for Echo {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Infallible>>> {
        let frame = std::task::ready!(Pin::new(&mut self.get_mut().0).poll_frame(cx));
        std::task::Poll::Ready(frame.and_then(Result::ok).map(Ok))
    }
}
