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
use crate::data::Held;
use crate::lane::Used;
use crate::upstream::{Lane, Network, Purpose, Report, Upload};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How often load is asked for.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// The shortest time between two looks at a dispatch.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The shortest time between two looks at a network, whatever it is that is looked at.
const LOOK_APART: Duration = Duration::from_millis(5);
/// Bytes of an answer at the most.
const ANSWER_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
struct Load {
    in_flight: u32,
    capacity: u32,
    /// A sidecar of another version may not say.
    data: Option<Held>,
}

#[derive(Deserialize)]
struct Warmed {
    /// A sidecar of another version may not say.
    #[serde(default)]
    fetched_bytes: u64,
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

/// The sidecar that is asked: one endpoint of a network. No other knows what runs there.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) network: Arc<Network>,
    pub(crate) endpoint: usize,
    pub(crate) worker: usize,
}

/// A question that any sidecar answers at once, if it lets us ask.
pub(crate) fn any_question() -> Request<Body> {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = http::Uri::from_static("/.well-known/adumbra/load");
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("adumbra"));
    request
}

/// Has a shadow adopted: its caps are lifted when this returns `Ok`.
pub(crate) async fn adopt(of: &Asked, id: &str) -> Result<(), Unanswered> {
    of.ask(Method::POST, &format!("{CONTROL}adopt/{id}"), Body::Empty, WITHIN).await.map(|_| ())
}

/// Asks for data to be fetched, and keeps asking until it is or the caller loses interest. Says how many bytes were, as far as
/// the sidecar does.
pub(crate) async fn ask_for_warmth(of: &Asked, urls: &[http::Uri], within: Duration) -> u64 {
    let list = urls.iter().map(|url| format!("{url}\n")).collect::<String>();
    let path = format!("{CONTROL}warm");
    let answer = match of.ask(Method::POST, &path, Body::full(Bytes::from(list)), within).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(network = of.network.name(), %error, "data was not warmed");
            return 0;
        }
    };
    serde_json::from_slice::<Warmed>(&answer).map_or(0, |warmed| warmed.fetched_bytes)
}

/// Looks at a dispatch again and again, and hands on what is believed of it there, and what it has used. `upload` says where the
/// dispatch went. Never ends by itself.
pub(crate) async fn watch_progress(
    network: Arc<Network>,
    worker: usize,
    id: String,
    upload: Arc<Upload>,
    seen: impl Fn((Option<ProgressSource>, Option<f64>), Used),
) {
    let watched = network.watch();
    loop {
        // The more dispatches are watched there, the less often each.
        tokio::time::sleep(look_every(watched.count())).await;
        let Some(endpoint) = upload.went(network.id) else { continue };
        let of = Asked { network: Arc::clone(&network), endpoint, worker };
        let Some(said) = of.progress(&id).await else { continue };
        let source = said.source.as_deref().and_then(ProgressSource::named);
        seen((source, said.progress), said.used());
    }
}

/// What a dispatch has used in all, asked once, when it is over; `None` if that is not known there any more.
pub(crate) async fn used(of: &Asked, id: &str) -> Option<Used> {
    of.progress(id).await.map(|said| said.used())
}

/// Asks one endpoint for load reports for as long as the process runs. What a report says is what other sidecars have there,
/// too. One that does not answer has no load that could be counted on.
pub(crate) async fn keep_reports_fresh(network: Arc<Network>, endpoint: usize, worker: usize, failed: impl Fn()) {
    let of = Asked { network: Arc::clone(&network), endpoint, worker };
    loop {
        let began_s = clock::now_s();
        let ours = network.endpoints[endpoint].in_flight();
        let path = format!("{CONTROL}load?held={}", network.warmth.version(endpoint));
        let answer = of.ask(Method::GET, &path, Body::Empty, WITHIN).await;
        if answer.is_ok() {
            network.saw_round_trip(clock::now_s() - began_s);
        }
        let load = answer.ok().and_then(|answer| serde_json::from_slice::<Load>(&answer).ok());
        if load.is_none() {
            failed();
        }
        network.warmth.hears(endpoint, load.as_ref().and_then(|load| load.data.clone()));
        network.reports(endpoint, load.map(|Load { in_flight, capacity, .. }| Report { in_flight, ours, capacity }));
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

fn look_every(watched: u32) -> Duration {
    LOOK_EVERY.max(LOOK_APART * watched)
}

impl Asked {
    async fn progress(&self, id: &str) -> Option<Progress> {
        let answer = self.ask(Method::GET, &format!("{CONTROL}dispatch/{id}"), Body::Empty, WITHIN).await.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    async fn ask(&self, method: Method, path: &str, body: Body, within: Duration) -> Result<Bytes, Unanswered> {
        let upload = Upload::default();
        upload.prefer(self.network.id, self.endpoint);
        let question = async {
            let mut request = Request::new(body);
            *request.method_mut() = method;
            *request.uri_mut() = path.parse().map_err(|_| Unanswered::Silent)?;
            request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("adumbra"));
            let sent = self.network.send(self.worker, Lane::Live, Purpose::Control, request, &upload).await;
            let response = sent.map_err(|_| Unanswered::Silent)?;
            let status = response.status();
            let answer =
                Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|_| Unanswered::Silent)?;
            if status.is_success() { Ok(answer.to_bytes()) } else { Err(Unanswered::No(status)) }
        };
        tokio::time::timeout(within, question).await.unwrap_or(Err(Unanswered::Silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_a_network_are_bounded_however_many_dispatches_are_watched() {
        for watched in [1, 5, 10, 100, 10_000] {
            let looks_per_s = f64::from(watched) / look_every(watched).as_secs_f64();
            assert!(looks_per_s <= 200.0, "{watched}: {looks_per_s}");
        }
        assert_eq!(look_every(4), LOOK_EVERY);
    }
}
