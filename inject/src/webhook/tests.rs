//! The server over real TLS, its certificate's renewal, and an API server's part in it, played by a small one of ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use rustls::pki_types::ServerName;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::annotation::Settings;
use crate::values::{Image, Name};

const NAME: &str = "adumbra-webhook.adumbra.svc";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// For what ought to take a moment, on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);

fn terms(from: SystemTime) -> Terms {
    Terms { names: vec![NAME.to_owned()], from, days: 90 }
}

fn settings() -> Settings {
    Settings { image: Image::parse("adumbra:0.1.0").expect("an image"), annotations: Map::new() }
}

/// A server in this process, until it is dropped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(directory: &Path, limits: Limits) -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(any, directory.to_owned(), settings(), limits).await.expect("it listens");
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move {
            let _stopped = stopped.await.is_ok();
        }));
        Self { address, stop: Some(stop), task }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(BOUND, self.task).await.expect("it ends").expect("no panic");
    }
}

async fn exchange(
    address: SocketAddr,
    ca: &str,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), String> {
    let config = certs::client_config(Some(ca.as_bytes()), &[b"http/1.1"]).expect("a CA");
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    driving.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(path).header("host", NAME);
    request.header("content-type", "application/json").body(Full::new(body.into())).expect("a request")
}

fn review() -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"labels": {"adumbra.dev/inject": "true"}, "annotations": {"adumbra.dev/config": "c"}},
                "spec": {"containers": [{"name": "a"}]},
            },
        },
    })
    .to_string()
}

#[tokio::test]
async fn reviews_are_answered_over_tls_and_what_is_none_is_refused() {
    let directory = tempfile::tempdir().expect("room");
    let ca = renew(directory.path(), &terms(SystemTime::now()), DAY).expect("files").bundle;
    let server = Running::start(directory.path(), Limits::default()).await;
    let ask = |request| exchange(server.address, &ca, request);
    let (status, body) = ask(post("/inject", review())).await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&answer["response"]["uid"], &answer["response"]["patchType"]), (&json!("u-1"), &json!("JSONPatch")));
    let old = review().replace("k8s.io/v1", "k8s.io/v1beta1");
    let (status, body) = ask(post("/inject", old)).await.expect("an answer");
    assert!(status == StatusCode::BAD_REQUEST && body.contains("v1beta1"), "{status} {body}");
    let (status, body) = ask(post("/inject", "[".repeat(10_000))).await.expect("an answer");
    assert!(status == StatusCode::BAD_REQUEST && body.contains("at most 128 deep"), "{status} {body}");
    assert_eq!(ask(post("/other", "")).await.expect("an answer").0, StatusCode::NOT_FOUND);
    let get = |path: &str| Request::builder().uri(path).header("host", NAME).body(Full::default()).expect("a request");
    assert_eq!(ask(get("/inject")).await.expect("an answer").0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(get("/healthz")).await.expect("an answer").0, StatusCode::OK);
    // The answer may come before all of the body was taken, and the connection end with it.
    match ask(post("/inject", vec![b' '; 10 << 20])).await {
        Ok((status, _)) => assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE),
        Err(_cut) => {}
    }
    assert_eq!(ask(post("/inject", review())).await.expect("it goes on").0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn silence_is_ended_and_does_not_keep_others_out() {
    let directory = tempfile::tempdir().expect("room");
    let ca = renew(directory.path(), &terms(SystemTime::now()), DAY).expect("files").bundle;
    let limits = Limits { connections: 1, patience: Duration::from_millis(200), ..Limits::default() };
    let server = Running::start(directory.path(), limits).await;
    let _silent = TcpStream::connect(server.address).await.expect("a connection");
    let answered = tokio::time::timeout(BOUND, exchange(server.address, &ca, post("/inject", review()))).await;
    // The one place was taken by a client that says nothing, until its time was over.
    assert!(answered.expect("in time").is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_never() {
    let directory = tempfile::tempdir().expect("room");
    let now = SystemTime::now();
    let first = renew(directory.path(), &terms(now - DAY * 70), DAY * 30).expect("files");
    let limits = Limits { look: Duration::from_millis(20), ..Limits::default() };
    let server = Running::start(directory.path(), limits).await;
    exchange(server.address, &first.bundle, post("/inject", review())).await.expect("the first is shown");
    std::fs::write(directory.path().join("tls.key"), "no key").expect("room");
    exchange(server.address, &first.bundle, post("/inject", review())).await.expect("the first is still shown");
    let second = renew(directory.path(), &terms(now), DAY * 30).expect("files");
    assert!(second.is_new);
    let only_new = second.bundle.replace(first.bundle.trim_end(), "");
    let shown = async {
        while exchange(server.address, &only_new, post("/inject", review())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, shown).await.expect("the second is shown");
    server.stop().await;
}

#[test]
fn a_certificate_is_renewed_when_it_is_due_and_the_ca_before_stays_believed() {
    let directory = tempfile::tempdir().expect("room");
    let begun = SystemTime::now();
    let at = |days: u32| renew(directory.path(), &terms(begun + DAY * days), DAY * 30).expect("files");
    let first = at(0);
    assert!(first.is_new);
    assert_eq!(at(59), Renewed { is_new: false, bundle: first.bundle.clone() });
    let second = at(61);
    assert!(second.is_new && second.bundle.contains(first.bundle.trim_end()));
    // The first CA is over by then.
    let third = at(122);
    assert_eq!(third.bundle.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!third.bundle.contains(first.bundle.trim_end()));
    let other = Terms { names: vec!["other.svc".to_owned()], ..terms(begun + DAY * 122) };
    assert!(renew(directory.path(), &other, DAY * 30).expect("files").is_new, "it is for another name");
    assert!(matches!(make(&Terms { days: 0, ..terms(begun) }), Err(PairError::Days(0))));
}

/// An API server with one Secret and one registration.
#[derive(Default)]
struct Objects {
    secret: BTreeMap<String, String>,
    bundles: [Option<String>; 2],
    changes: Vec<&'static str>,
    refuse: bool,
}

impl Objects {
    fn answer(&mut self, method: &Method, path: &str, authorization: &str, body: &[u8]) -> (StatusCode, Value) {
        if self.refuse || authorization != "Bearer token" {
            return (StatusCode::FORBIDDEN, json!({"kind": "Status", "message": "secrets is forbidden"}));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, path) {
            (&Method::GET, "/api/v1/namespaces/adumbra/secrets/tls") => (StatusCode::OK, json!({"data": self.secret})),
            (&Method::PATCH, "/api/v1/namespaces/adumbra/secrets/tls") => {
                let data: BTreeMap<String, String> = serde_json::from_value(body["data"].clone()).expect("data");
                self.secret.extend(data);
                self.changes.push("secret");
                (StatusCode::OK, json!({}))
            }
            (&Method::GET, REGISTRATION) => {
                let webhooks: Value = self.bundles.iter().map(|ca| json!({"clientConfig": {"caBundle": ca}})).collect();
                (StatusCode::OK, json!({"webhooks": webhooks}))
            }
            (&Method::PATCH, REGISTRATION) => {
                for (place, operation) in body.as_array().expect("a patch").iter().enumerate() {
                    assert_eq!(operation["path"], format!("/webhooks/{place}/clientConfig/caBundle"));
                    self.bundles[place] = operation["value"].as_str().map(ToOwned::to_owned);
                }
                self.changes.push("registration");
                (StatusCode::OK, json!({}))
            }
            _ => (StatusCode::NOT_FOUND, json!({"message": "no such object"})),
        }
    }
}

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/adumbra";

/// An API server of `objects`, and the account for it.
async fn api_server(objects: Arc<Mutex<Objects>>, account: &Path) -> Cluster {
    let made = make(&terms(SystemTime::now())).expect("a certificate");
    std::fs::write(account.join("ca.crt"), &made.ca).expect("room");
    std::fs::write(account.join("token"), "token\n").expect("room");
    let config = certs::server_config(made.certificate.as_bytes(), made.key.as_bytes()).expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let stream = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await.expect("a handshake");
            let objects = Arc::clone(&objects);
            let service = service_fn(move |request: Request<Incoming>| {
                let objects = Arc::clone(&objects);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    let authorization = parts.headers["authorization"].to_str().expect("text");
                    let mut objects = objects.lock().expect("no panic");
                    let (status, value) = objects.answer(&parts.method, parts.uri.path(), authorization, &body);
                    let response = Response::builder().status(status).body(Full::new(Bytes::from(value.to_string())));
                    Ok::<_, Infallible>(response.expect("a response"))
                }
            });
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ended = served.await.is_ok();
            });
        }
    });
    let name = |text| Name::parse(text).expect("a name");
    let names = Names { namespace: name("adumbra"), secret: name("tls"), registration: name("adumbra") };
    Cluster::open(account, NAME, 443, Some(address), names).expect("an account")
}

#[tokio::test]
async fn in_a_cluster_the_registration_believes_a_certificate_before_it_is_there() {
    let account = tempfile::tempdir().expect("room");
    let objects = Arc::new(Mutex::new(Objects::default()));
    let cluster = api_server(Arc::clone(&objects), account.path()).await;
    let seen = || {
        let mut objects = objects.lock().expect("no panic");
        (std::mem::take(&mut objects.changes), objects.bundles.clone(), objects.secret.clone())
    };
    let begun = SystemTime::now();
    let run = async |days: u32| rotate(&cluster, &terms(begun + DAY * days), DAY * 30).await;
    assert_eq!(run(0).await.expect("rights"), Rotated::Certificate);
    let (changes, bundles, secret) = seen();
    assert_eq!(changes, ["registration", "secret"]);
    assert!(bundles.iter().all(|bundle| bundle.as_deref() == Some(&secret["ca.crt"])), "each webhook believes it");
    assert_eq!(run(1).await.expect("rights"), Rotated::Nothing);
    assert!(seen().0.is_empty());
    // Somebody has applied the registration again, without its CA.
    objects.lock().expect("no panic").bundles[1] = None;
    assert_eq!(run(1).await.expect("rights"), Rotated::Bundle);
    assert_eq!(seen().0, ["registration"]);
    assert_eq!(run(61).await.expect("rights"), Rotated::Certificate);
    let (_, bundles, after) = seen();
    let text = |base64: &str| {
        let bytes: ByteString = serde_json::from_value(json!(base64)).expect("base64");
        String::from_utf8(bytes.0).expect("PEM")
    };
    let believed = text(bundles[0].as_ref().expect("a bundle"));
    assert!(believed.contains(text(&secret["ca.crt"]).trim_end()), "the one before is still believed");
    assert_ne!(after["tls.crt"], secret["tls.crt"]);
    objects.lock().expect("no panic").refuse = true;
    let error = run(200).await.expect_err("no rights").to_string();
    assert!(
        error.contains("403") && error.contains("secrets is forbidden") && error.contains("deploy/kubernetes"),
        "{error}"
    );
}
