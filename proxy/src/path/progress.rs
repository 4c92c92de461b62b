//! How far a dispatch is, before its answer begins.
//!
//! Near, everything is looked at that a service shows: interim answers, the counter that its route names, how it takes its
//! body, what it fetches of the inputs the job declares. Far, its sidecar is asked. Which of it is believed is the policy's.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::value::Poll;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use policy::progress::{PACED_BYTES, Shown};
use policy::{Progress, ProgressSource};

use super::course::Course;
use crate::body::Body;
use crate::clock;
use crate::data;
use crate::lane::Used;
use crate::peer;
use crate::upstream::{Network, Upload};

/// The time between two looks at how a service reads.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a counter may take to answer.
const POLLED_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of its answer at the most.
const POLLED_BYTES: usize = 4096;

/// The dispatch that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispatched<'a> {
    pub(super) course: &'a Course,
    pub(super) network: &'a Arc<Network>,
    /// What whoever runs it calls it.
    pub(super) id: &'a str,
    /// Where it was sent.
    pub(super) upload: &'a Arc<Upload>,
    /// Who sets the pace of its body.
    pub(super) pace: &'a Upload,
}

/// Collects what one dispatch shows, and tells what is believed of it whenever that is news.
struct Teller {
    shown: Mutex<Shown>,
    tell: Box<dyn Fn(Option<Progress>) + Send + Sync>,
}

impl Teller {
    fn says(&self, source: ProgressSource, share: Option<f64>) {
        let mut shown = self.shown.lock();
        let before = shown.believed();
        let news = shown.says(source, share, clock::now_s()) && shown.believed() != before;
        let believed = shown.believed();
        drop(shown);
        if news {
            (self.tell)(believed);
        }
    }
}

/// Sends a request by `send`, and hands what is believed of its progress to `tell`, and what its sidecar says it has used to
/// `used`, until there is an answer. A service is asked once `wanted` is there: whoever only passes a job on may never want to
/// know.
pub(super) async fn while_watching<F: Future>(
    of: Dispatched<'_>,
    mut request: Request<Body>,
    wanted: impl Future<Output = ()> + Send,
    tell: impl Fn(Option<Progress>) + Send + Sync + 'static,
    used: impl Fn(Used) + Send,
    send: impl FnOnce(Request<Body>) -> F,
) -> F::Output {
    let Dispatched { course, network, id, upload, pace } = of;
    let teller = Arc::new(Teller { shown: Mutex::default(), tell: Box::new(tell) });
    if network.is_sidecar() {
        // Boxed, as all that only watches: the future of the dispatch itself stays as small as it was.
        let watching = Box::pin(peer::watch_progress(
            Arc::clone(network),
            course.worker,
            id.to_owned(),
            Arc::clone(upload),
            |(source, share), figures| {
                used(figures);
                // It says what is believed there: what was believed before, by another source, no longer is.
                source.into_iter().for_each(|source| teller.says(source, share));
                ProgressSource::ALL.iter().filter(|other| Some(**other) != source).for_each(|s| teller.says(*s, None));
            },
        ));
        return until_answered(send(request), watching).await;
    }
    listen(&mut request, Arc::clone(&teller));
    let poll = course.poll().filter(|_| course.is_worth_asking_about(network.id));
    // What the service fetches comes through this sidecar only where it stands.
    let inputs = if network.is_home() { course.inputs.as_slice() } else { &[] };
    let size = |url: &http::Uri| course.shared.data.contains(url);
    let reads = course.shared.data.readers.watch(id, inputs);
    let attends = network.is_home() && course.attendance.is_some();
    if poll.is_some() || reads.is_some() || attends {
        request.headers_mut().insert(peer::DISPATCH, HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("")));
    }
    if reads.is_some() || attends {
        data::tell(request.headers_mut(), id);
    }
    let body_bytes = course.job.body_bytes.filter(|bytes| *bytes >= PACED_BYTES);
    let looking = async {
        if reads.is_none() && body_bytes.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(bytes) = body_bytes {
                let reading = pace.reading(bytes, course.link_bytes_per_s(network.id));
                teller.says(ProgressSource::Taken, reading.and_then(|reading| reading.share()));
            }
            if let Some(reads) = &reads {
                teller.says(ProgressSource::Fetched, reads.reading(size).and_then(|reading| reading.share()));
            }
        }
    };
    let polling = async {
        let Some(poll) = poll else { return };
        wanted.await;
        ask_again_and_again(of, poll, |share| teller.says(ProgressSource::Polled, Some(share))).await;
    };
    let watching = Box::pin(async {
        tokio::join!(looking, polling);
        std::future::pending::<()>().await;
    });
    until_answered(send(request), watching).await
}

/// For whoever does not care what a dispatch has used.
pub(super) const fn unheard(_: Used) {}

/// What `watching` does ends with the answer; it does not end by itself.
async fn until_answered<F: Future>(sent: F, mut watching: Pin<Box<impl Future<Output = ()>>>) -> F::Output {
    tokio::pin!(sent);
    tokio::select! {
        biased;
        answered = &mut sent => answered,
        () = &mut watching => sent.await,
    }
}

/// Hands the progress that interim answers to `request` carry to `teller`.
fn listen(request: &mut Request<Body>, teller: Arc<Teller>) {
    hyper::ext::on_informational(request, move |interim| {
        let said = interim.headers().get(peer::PROGRESS).and_then(|v| v.to_str().ok()?.trim().parse::<f64>().ok());
        if said.is_some() {
            teller.says(ProgressSource::Interim, said);
        }
    });
}

/// Asks the service's counter, one question at a time, where the dispatch runs. Never ends by itself.
async fn ask_again_and_again(of: Dispatched<'_>, poll: &Poll, says: impl Fn(f64)) {
    let path = poll.path(of.id);
    loop {
        tokio::time::sleep(poll.every).await;
        let Some(endpoint) = of.upload.went(of.network.id) else { continue };
        let answered = tokio::time::timeout(POLLED_WITHIN, ask(of, endpoint, &path)).await;
        if let Some(share) = answered.ok().flatten() {
            says(share);
        }
    }
}

/// One question. What is not an answer says nothing: it is never a reason to fail a job.
async fn ask(of: Dispatched<'_>, endpoint: usize, path: &str) -> Option<f64> {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = path.parse().ok()?;
    let host = of.network.endpoints[endpoint].authority().clone();
    request.headers_mut().insert(header::HOST, host);
    let response = of.network.ask_endpoint(of.course.worker, endpoint, request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = Limited::new(response.into_body(), POLLED_BYTES).collect().await.ok()?;
    share_in(&body.to_bytes())
}

/// A share in a counter's answer: a number, or JSON with one in `progress`.
fn share_in(answer: &Bytes) -> Option<f64> {
    let said: serde_json::Value = serde_json::from_slice(answer).ok()?;
    said.as_f64().or_else(|| said.get("progress")?.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_answers_with_a_number_or_with_json() {
        let check = |answer: &'static str, expected| assert_eq!(share_in(&answer.into()), expected, "{answer}");
        check("0.37", Some(0.37));
        check("0.37\n", Some(0.37));
        check("1", Some(1.0));
        check(r#"{"progress": 0.5, "frame": 12}"#, Some(0.5));
        check(r#"{"progress": null}"#, None);
        check(r#"{"share": 0.5}"#, None);
        check("half", None);
        check("", None);
    }
}
