//! The demo's client: one connection a request, so that one job's fate never shows in another's.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long a job may take before the client gives it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("could not connect")]
    Connect(#[from] std::io::Error),
    #[error("the exchange broke off")]
    Exchange(#[from] hyper::Error),
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

/// Sends `request` to `address` and reads the whole answer.
pub(crate) async fn fetch(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
    tokio::time::timeout(PATIENCE, exchange(address, request)).await.unwrap_or(Err(FetchError::Late))
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok::<_, FetchError>(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    // The connection is driven here and not in a task of its own: it ends with the exchange, whichever way that goes.
    tokio::pin!(asking, connection);
    tokio::select! {
        answer = &mut asking => answer,
        ended = &mut connection => {
            ended?;
            asking.await
        }
    }
}

/// The JSON at `path`; `Null` when there is none.
pub(crate) async fn fetch_json(address: SocketAddr, path: &str) -> Value {
    let request = Request::get(path).header(http::header::HOST, address.to_string()).body(Full::default());
    let Ok(request) = request else { return Value::Null };
    match fetch(address, request).await {
        Ok(answer) => serde_json::from_slice(answer.body()).unwrap_or_default(),
        Err(_) => Value::Null,
    }
}
