//! The listener: TLS, HTTP/1.1 and HTTP/2, two pages and one path for reviews.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info, warn};

use super::files::{FilesError, Shown};
use crate::annotation::Settings;
use crate::review::{self, BYTES_MOST, Verdict};

/// The path that the API server is told.
const REVIEWS: &str = "/inject";

/// What bounds a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; the next one waits.
    pub connections: usize,
    /// For a handshake, a request head, and a body.
    pub patience: Duration,
    /// Between two looks at the files.
    pub look: Duration,
    /// For what is in flight when it is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connections: 512, patience: seconds(5), look: seconds(5), drain: seconds(10) }
    }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen at {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate yet.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    directory: PathBuf,
    shown: Shown,
    settings: Arc<Settings>,
    limits: Limits,
}

impl Server {
    /// Reads the certificate in `directory` and listens.
    ///
    /// # Errors
    /// If either cannot be done.
    pub async fn bind(
        address: SocketAddr,
        directory: PathBuf,
        settings: Settings,
        limits: Limits,
    ) -> Result<Self, ServeError> {
        let shown = Shown::read(&directory)?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, directory, shown, settings: Arc::new(settings), limits })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done; then what is in flight may end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (show, shown) = watch::channel(self.shown.clone());
        let (stopping, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let mut look = tokio::time::interval(self.limits.look);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = look.tick() => self.look(&show),
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.accept(&room) => {
                    let Some((stream, permit)) = accepted else { continue };
                    let config = Arc::clone(&shown.borrow().config);
                    let settings = Arc::clone(&self.settings);
                    connections.spawn(connection(stream, config, settings, self.limits.patience, stopped.clone(), permit));
                }
            }
        }
        // Whoever comes now is refused, and goes to another replica.
        drop(self.listener);
        let _everyone_has_gone = stopping.send(true).is_err();
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.drain, ended).await.is_err() {
            warn!("connections are cut that have not ended within {} s", self.limits.drain.as_secs());
        }
    }

    async fn accept(&self, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(room).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                // Out of descriptors, most likely: at once again would be a busy loop.
                warn!("a connection cannot be taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    /// Takes up the files if they have changed.
    fn look(&self, show: &watch::Sender<Shown>) {
        match Shown::read(&self.directory) {
            Ok(read) => {
                let until = read.until;
                let changed = show.send_if_modified(|shown| {
                    let changed = !shown.is_of_the_same(&read);
                    if changed {
                        *shown = read;
                    }
                    changed
                });
                if changed {
                    info!("a new certificate is in force");
                } else if until < SystemTime::now() {
                    error!("the certificate has expired, and the API server does not believe it any more");
                }
            }
            Err(error) => warn!("the certificate in force stays: {error}"),
        }
    }
}

async fn connection(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    settings: Arc<Settings>,
    patience: Duration,
    mut stopped: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let handshake = tokio::time::timeout(patience, TlsAcceptor::from(config).accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!("no handshake: {error}"),
        Err(_) => return debug!("no handshake in time"),
    };
    let service = service_fn(move |request| {
        let settings = Arc::clone(&settings);
        async move { Ok::<_, Infallible>(answer(request, &settings, patience).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(64 << 10);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64).keep_alive_interval(Duration::from_secs(60));
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection ended: {error}");
    }
}

async fn answer(request: Request<Incoming>, settings: &Settings, patience: Duration) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz" | "/readyz") => text(StatusCode::OK, "ok\n"),
        (&Method::POST, REVIEWS) => review(request, settings, patience).await,
        (_, REVIEWS) => text(StatusCode::METHOD_NOT_ALLOWED, "reviews are POSTed\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /inject, /healthz and /readyz\n"),
    }
}

async fn review(request: Request<Incoming>, settings: &Settings, patience: Duration) -> Response<Full<Bytes>> {
    let body = tokio::time::timeout(patience, Limited::new(request.into_body(), BYTES_MOST).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            warn!("a review of more than {BYTES_MOST} bytes was refused");
            let most = format!("a review has at most {BYTES_MOST} bytes\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, &most);
        }
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body broke off\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
    };
    match review::answer(&body, settings) {
        Ok((answer, verdict)) => {
            if verdict == Verdict::Refused {
                info!("a pod was refused: {}", String::from_utf8_lossy(&answer));
            }
            let mut response = Response::new(Full::new(Bytes::from(answer)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            warn!("a review was refused: {error}");
            text(StatusCode::BAD_REQUEST, &format!("{error}\n"))
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
