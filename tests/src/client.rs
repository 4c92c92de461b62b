//! A client that speaks HTTP as a library does: HTTP/1.1 or HTTP/2, in the clear or encrypted.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::piped::AnyBody;
use crate::wait::within;

/// A connection.
#[derive(Debug)]
pub enum Client {
    /// HTTP/1.1.
    One(http1::SendRequest<AnyBody>),
    /// HTTP/2.
    Two(http2::SendRequest<AnyBody>),
}

impl Client {
    /// HTTP/1.1 in the clear.
    pub async fn one(to: SocketAddr) -> Self {
        Self::one_over(connect(to).await).await
    }

    /// HTTP/2 by prior knowledge.
    pub async fn two(to: SocketAddr) -> Self {
        Self::two_over(connect(to).await).await
    }

    /// HTTP/1.1 over a stream.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn one_over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.expect("the handshake succeeds");
        // Ends with the client.
        tokio::spawn(connection);
        Self::One(sender)
    }

    /// HTTP/2 over a stream.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn two_over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(io));
        let (sender, connection) = handshake.await.expect("the handshake succeeds");
        // Ends with the client.
        tokio::spawn(connection);
        Self::Two(sender)
    }

    /// Sends a request and waits for the head of its answer. Targets are in absolute form; HTTP/1.1 sends the path alone.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send(&mut self, request: Request<AnyBody>) -> Response<Incoming> {
        self.try_send(request).await.expect("there is an answer")
    }

    /// The same, but a failure is handed back.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_send(&mut self, mut request: Request<AnyBody>) -> hyper::Result<Response<Incoming>> {
        let sending = async {
            match self {
                Self::One(sender) => {
                    if let Some(authority) = request.uri().authority().map(ToString::to_string) {
                        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
                        *request.uri_mut() = path.parse().expect("a path is a target");
                        let host = authority.parse().expect("an authority is a value");
                        request.headers_mut().entry(http::header::HOST).or_insert(host);
                    }
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        within("an answer's head arrives", sending).await
    }
}

async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).await.expect("the sidecar accepts");
    socket.set_nodelay(true).expect("a connected socket takes options");
    socket
}

/// The next frame of a body that is data.
///
/// # Panics
/// If there is none, or it breaks off.
pub async fn next_data(body: &mut Incoming) -> Bytes {
    let frame = within("data arrives", body.frame()).await.expect("the body goes on").expect("it does not break off");
    frame.into_data().expect("the frame is data")
}

/// The whole of a body, and its trailers.
///
/// # Panics
/// If it breaks off.
pub async fn whole(body: Incoming) -> (Bytes, Option<http::HeaderMap>) {
    let collected = within("the body ends", body.collect()).await.expect("the body does not break off");
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}
