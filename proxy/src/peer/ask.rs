//! Questions to other sidecars.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use policy::ProgressSource;
use serde::Deserialize;

use super::CONTROL;
use crate::body::Body;
use crate::clock;
use crate::lane::Used;
use crate::upstream::{Lane, Network, Purpose, Upload};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How often load is asked for.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// The shortest time between two looks at a dispatch.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Bytes of an answer at the most.
const ANSWER_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
struct Load {
    in_flight: u32,
    capacity: u32,
}

#[derive(Deserialize)]
struct Progress {
    progress: Option<f64>,
    source: Option<String>,
    #[serde(default)]
    cpu_s: Option<f64>,
    #[serde(default)]
    memory_bytes: Option<f64>,
    #[serde(default)]
    granted: Option<f64>,
}

impl Progress {
    /// What it says of its use that could be true. A sidecar of another version may say less.
    fn used(&self) -> Used {
        let figure = |said: Option<f64>| said.filter(|figure| figure.is_finite() && *figure >= 0.0);
        let granted = figure(self.granted).filter(|share| *share <= 1.0);
        Used { cpu_s: figure(self.cpu_s), memory_bytes: figure(self.memory_bytes), granted }
    }
}

/// Why a question has no answer. The cause is logged where it happened; who asked only needs to know that it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It could not be asked, or not in time.
    #[error("the sidecar did not answer")]
    Silent,
    /// It said no.
    #[error("the sidecar said {0}")]
    No(StatusCode),
}

/// Has a shadow adopted: its caps are lifted when this returns `Ok`.
pub(crate) async fn adopt(network: &Arc<Network>, worker: usize, id: &str) -> Result<(), Unanswered> {
    ask(network, worker, Method::POST, &format!("{CONTROL}adopt/{id}"), Body::Empty, WITHIN).await.map(|_| ())
}

/// Asks for data to be fetched, and keeps asking until it is or the caller loses interest.
pub(crate) async fn ask_for_warmth(network: &Arc<Network>, worker: usize, urls: &[http::Uri], within: Duration) {
    let list = urls.iter().map(|url| format!("{url}\n")).collect::<String>();
    let path = format!("{CONTROL}warm");
    if let Err(error) = ask(network, worker, Method::POST, &path, Body::full(Bytes::from(list)), within).await {
        tracing::debug!(network = network.name(), %error, "data was not warmed");
    }
}

/// Looks at a dispatch again and again, and hands on what is believed of it there, and what it has used. Never ends by itself.
pub(crate) async fn watch_progress(
    network: Arc<Network>,
    worker: usize,
    id: String,
    seen: impl Fn((Option<ProgressSource>, Option<f64>), Used),
) {
    let path = format!("{CONTROL}dispatch/{id}");
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(answer) = ask(&network, worker, Method::GET, &path, Body::Empty, WITHIN).await else { continue };
        let Ok(said) = serde_json::from_slice::<Progress>(&answer) else { continue };
        let source = said.source.as_deref().and_then(ProgressSource::named);
        seen((source, said.progress), said.used());
    }
}

/// Asks for load reports for as long as the process runs. What a report says is what other sidecars have there, too.
pub(crate) async fn keep_reports_fresh(network: Arc<Network>, worker: usize, failed: impl Fn()) {
    let path = format!("{CONTROL}load");
    loop {
        let began_s = clock::now_s();
        let ours = network.in_flight();
        match ask(&network, worker, Method::GET, &path, Body::Empty, WITHIN).await {
            Ok(answer) => {
                network.saw_round_trip(clock::now_s() - began_s);
                match serde_json::from_slice::<Load>(&answer) {
                    Ok(load) => network.reported(load.in_flight, load.capacity, ours),
                    Err(_) => failed(),
                }
            }
            Err(_) => failed(),
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

async fn ask(
    network: &Arc<Network>,
    worker: usize,
    method: Method,
    path: &str,
    body: Body,
    within: Duration,
) -> Result<Bytes, Unanswered> {
    let question = async {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Unanswered::Silent)?;
        request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("adumbra"));
        let sent = network.send(worker, Lane::Live, Purpose::Control, request, &Upload::default()).await;
        let response = sent.map_err(|_| Unanswered::Silent)?;
        let status = response.status();
        let answer =
            Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|_| Unanswered::Silent)?;
        if status.is_success() { Ok(answer.to_bytes()) } else { Err(Unanswered::No(status)) }
    };
    tokio::time::timeout(within, question).await.unwrap_or(Err(Unanswered::Silent))
}
