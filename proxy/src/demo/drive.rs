//! Sends the jobs of one round through one arm, and writes down what came back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arm::{self, Arm};
use super::arrivals::Arrival;
use super::catalogue::{Catalogue, Known};
use super::client::{fetch, fetch_json};
use super::job::Kind;
use super::service::{JOB_HEADER, NETWORK_HEADER};
use super::status::Counts;
use super::world::Places;

/// How long a round may take to drain before the demo goes on regardless.
const DRAIN: Duration = Duration::from_secs(30);

/// What became of one job.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The name its runs were booked under.
    pub(crate) booked_as: String,
    pub(crate) kind: Kind,
    pub(crate) urgency: u8,
    /// From the moment it was due to the last byte of its answer.
    pub(crate) latency_s: f64,
    /// The network whose service answered.
    pub(crate) network: String,
    pub(crate) decision: Decision,
    /// Why it counts as failed.
    pub(crate) failure: Option<String>,
}

/// What the sidecar said about it: `adumbra-decision: <network>; reason=<reason>; action=<action>; id=<hex>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    pub(crate) reason: String,
    pub(crate) action: String,
}

/// One round of one arm.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) arm: Arm,
    pub(crate) round: usize,
    /// In order of arrival.
    pub(crate) records: Vec<Record>,
    /// What the sidecar counted meanwhile.
    pub(crate) counts: Counts,
    /// Bytes that crossed the link meanwhile, both ways.
    pub(crate) moved: u64,
    /// From the first arrival until nothing was in flight.
    pub(crate) wall_s: f64,
}

/// How far a segment is.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicUsize,
    pub(crate) done: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

/// Runs `arrivals` through `arm` and waits until nothing is in flight any more. `label` names the round in the book.
pub(crate) async fn segment(
    places: Places,
    catalogue: &Catalogue,
    arm: Arm,
    (round, label): (usize, &str),
    arrivals: &[Arrival],
    tally: &Arc<Tally>,
) -> Segment {
    let before = Counts::read(&fetch_json(places.admin, "/status").await);
    let moved_before = moved(places).await;
    let start = Instant::now();
    let mut sending = JoinSet::new();
    for (index, arrival) in arrivals.iter().enumerate() {
        let due = start + Duration::from_secs_f64(arrival.at_s);
        tokio::time::sleep_until(due).await;
        let (known, arrival, tally) = (catalogue.job(arrival.job).clone(), *arrival, tally.clone());
        let booked_as = format!("{}/{label}/{index}", arm.name());
        sending.spawn(async move { (index, send(places, arm, known, arrival, booked_as, due, &tally).await) });
    }
    let mut records: Vec<(usize, Record)> = sending.join_all().await;
    records.sort_unstable_by_key(|(index, _)| *index);
    drain(places).await;
    Segment {
        arm,
        round,
        records: records.into_iter().map(|(_, record)| record).collect(),
        counts: Counts::read(&fetch_json(places.admin, "/status").await).since(&before),
        moved: moved(places).await.saturating_sub(moved_before),
        wall_s: start.elapsed().as_secs_f64(),
    }
}

async fn send(
    places: Places,
    arm: Arm,
    known: Known,
    arrival: Arrival,
    booked_as: String,
    due: Instant,
    tally: &Tally,
) -> Record {
    tally.sent.fetch_add(1, Ordering::Relaxed);
    let request = request(places, arm, &known, arrival, &booked_as);
    let answer = fetch(places.jobs, request).await;
    let latency_s = due.elapsed().as_secs_f64();
    let (network, decision, failure) = match answer {
        Ok(answer) => {
            let network = text(answer.headers(), NETWORK_HEADER).to_owned();
            (network, Decision::read(text(answer.headers(), "adumbra-decision")), verdict(&answer, &known))
        }
        Err(error) => (String::new(), Decision::default(), Some(error.to_string())),
    };
    tally.failed.fetch_add(usize::from(failure.is_some()), Ordering::Relaxed);
    tally.done.fetch_add(1, Ordering::Relaxed);
    Record { booked_as, kind: known.job.kind, urgency: arrival.urgency, latency_s, network, decision, failure }
}

fn request(places: Places, arm: Arm, known: &Known, arrival: Arrival, booked_as: &str) -> Request<Full<Bytes>> {
    let method = if known.body.is_empty() { Method::GET } else { Method::POST };
    Request::builder()
        .method(method)
        .uri(known.job.target())
        .header(http::header::HOST, places.jobs.to_string())
        .header("priority", format!("u={}", arrival.urgency))
        .header("x-kind", known.job.kind.name())
        .header(arm::HEADER, arm.name())
        .header(JOB_HEADER, booked_as)
        .body(Full::new(known.body.clone()))
        .expect("names, numbers and addresses are valid in a request")
}

/// What is wrong with an answer, if anything is.
fn verdict(answer: &Response<Bytes>, known: &Known) -> Option<String> {
    if answer.status() != StatusCode::OK {
        let said: String = String::from_utf8_lossy(answer.body()).chars().take(120).collect();
        return Some(format!("{}: {said}", answer.status()));
    }
    (answer.body() != &known.answer).then(|| "the answer's bytes are wrong".to_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Decision {
    fn read(header: &str) -> Self {
        let mut decision = Self::default();
        for (name, value) in header.split(';').filter_map(|part| part.trim().split_once('=')) {
            match name {
                "reason" => decision.reason = value.to_owned(),
                "action" => decision.action = value.to_owned(),
                _ => {}
            }
        }
        decision
    }
}

/// Waits until neither network runs anything: shadows may outlive the jobs they were for.
async fn drain(places: Places) {
    let start = Instant::now();
    while start.elapsed() < DRAIN {
        let mut busy = 0;
        for service in places.services {
            let load = fetch_json(service, "/load").await;
            busy += load["running"].as_u64().unwrap_or_default() + load["waiting"].as_u64().unwrap_or_default();
        }
        if busy == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes the link has carried so far.
async fn moved(places: Places) -> u64 {
    let Ok(mut stream) = tokio::net::TcpStream::connect(places.moved).await else { return 0 };
    let mut count = String::new();
    match tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut count).await {
        Ok(_) => count.trim().parse().unwrap_or_default(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Decision;

    #[test]
    fn a_decision_is_read_from_its_header() {
        let read = Decision::read("public; reason=cheaper; action=adopt; id=1f");
        assert_eq!(read, Decision { reason: "cheaper".to_owned(), action: "adopt".to_owned() });
        assert_eq!(Decision::read(""), Decision::default());
    }
}
