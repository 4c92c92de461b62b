//! Five questions to an API server, with the rights of a service account: enough to renew a certificate, and no client library.
//!
//! Each is one request on a connection of its own, over TLS that is verified by the cluster's CA. The account needs `get` and
//! `patch` on one Secret and on one registration, both by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::CertError;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For one question, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, bytes.
const ANSWER_MOST: usize = 4 << 20;

/// Why an API server did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// This does not run in a cluster, or without an account.
    #[error("there is no service account at {place}; this runs in a pod that has one")]
    NoAccount {
        /// Where it should be.
        place: String,
        /// Why it is not.
        #[source]
        source: std::io::Error,
    },
    /// Its CA cannot be used.
    #[error("the cluster's CA cannot be used")]
    Ca(#[from] CertError),
    /// No connection, or it broke off.
    #[error("the API server at {server} does not answer {question}: {reason}")]
    Unanswered {
        /// Where it is.
        server: String,
        /// What was asked.
        question: String,
        /// What went wrong.
        reason: String,
    },
    /// It said no.
    #[error(
        "the API server answers {status} to {question}: {message}; does the account have the rights of deploy/kubernetes?"
    )]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What was asked.
        question: String,
        /// What it said.
        message: String,
    },
}

/// What is renewed.
#[derive(Clone, Debug)]
pub struct Names {
    /// The namespace of the Secret.
    pub namespace: crate::values::Name,
    /// The Secret.
    pub secret: crate::values::Name,
    /// The MutatingWebhookConfiguration.
    pub registration: crate::values::Name,
}

/// An API server, and who asks.
pub struct Cluster {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    token: String,
    tls: Arc<ClientConfig>,
    names: Names,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: Option<BTreeMap<String, ByteString>>,
}

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    client_config: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    ca_bundle: Option<ByteString>,
}

impl Cluster {
    /// The cluster whose account is in `account`, reached as `host` at `port`; at `address`, if that is not what the name
    /// resolves to.
    ///
    /// # Errors
    /// If there is no account.
    pub fn open(
        account: &Path,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
        names: Names,
    ) -> Result<Self, ClusterError> {
        let read = |name: &str| {
            let path = account.join(name);
            std::fs::read_to_string(&path)
                .map_err(|source| ClusterError::NoAccount { place: path.display().to_string(), source })
        };
        let token = read("token")?.trim().to_owned();
        let tls = certs::client_config(Some(read("ca.crt")?.as_bytes()), &[b"http/1.1"])?;
        Ok(Self { host: host.to_owned(), port, address, token, tls, names })
    }

    /// What the Secret holds.
    pub(super) async fn secret(&self) -> Result<BTreeMap<String, Vec<u8>>, ClusterError> {
        let secret: Secret = self.ask(Method::GET, &self.secret_path(), None).await?;
        Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    /// Whom each webhook of the registration believes.
    pub(super) async fn bundles(&self) -> Result<Vec<Vec<u8>>, ClusterError> {
        let registration: Registration = self.ask(Method::GET, &self.registration_path(), None).await?;
        let bundle = |webhook: Webhook| webhook.client_config.ca_bundle.map(|bundle| bundle.0).unwrap_or_default();
        Ok(registration.webhooks.into_iter().map(bundle).collect())
    }

    /// Has each webhook of the registration believe `bundle`.
    pub(super) async fn believe(&self, bundle: &str) -> Result<(), ClusterError> {
        let count = self.bundles().await?.len();
        let add = |place| {
            let path = format!("/webhooks/{place}/clientConfig/caBundle");
            json!({"op": "add", "path": path, "value": ByteString(bundle.as_bytes().to_vec())})
        };
        let patch: Value = (0..count).map(add).collect();
        let body = Some(("application/json-patch+json", patch));
        self.ask::<Value>(Method::PATCH, &self.registration_path(), body).await.map(drop)
    }

    /// Puts texts into the Secret.
    pub(super) async fn keep(&self, texts: &[(&str, &str)]) -> Result<(), ClusterError> {
        let data: BTreeMap<_, _> =
            texts.iter().map(|(key, text)| (*key, ByteString(text.as_bytes().to_vec()))).collect();
        let body = Some(("application/merge-patch+json", json!({ "data": data })));
        self.ask::<Value>(Method::PATCH, &self.secret_path(), body).await.map(drop)
    }

    fn secret_path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets/{}", self.names.namespace, self.names.secret)
    }

    fn registration_path(&self) -> String {
        format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{}", self.names.registration)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Value)>,
    ) -> Result<T, ClusterError> {
        let question = format!("{method} {path}");
        let unanswered = |reason: String| ClusterError::Unanswered {
            server: format!("{}:{}", self.host, self.port),
            question: question.clone(),
            reason,
        };
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(method, path, body));
        let answer = exchange.await.map_err(|_| unanswered(format!("not within {} s", PATIENCE.as_secs())))?;
        let (status, bytes) = answer.map_err(|error| unanswered(error.to_string()))?;
        if !status.is_success() {
            let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let message = said["message"].as_str().unwrap_or("no reason").chars().take(300).collect();
            return Err(ClusterError::Refused { status, question, message });
        }
        serde_json::from_slice(&bytes).map_err(|error| unanswered(format!("not with such an object: {error}")))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Value)>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((self.host.as_str(), self.port)).await?,
        };
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer, or with `sender`.
        let driving = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some((kind, _)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let body = body.map(|(_, value)| value.to_string()).unwrap_or_default();
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MOST).collect().await?.to_bytes();
        driving.abort();
        Ok((status, bytes))
    }
}
