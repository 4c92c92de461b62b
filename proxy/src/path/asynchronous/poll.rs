//! What an answer at a job's location says of the job.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use config::value::Sign;
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use policy::NetworkId;

use super::{About, NOT_KNOWN, Task};
use crate::body::{Body, BodyError};
use crate::generation::Shared;
use crate::metrics::{Asynchronous, Unread};
use crate::path::course::Course;
use crate::upstream::Ticket;

/// Bytes of an answer that are kept to look for a sign in; in a longer one none is found.
const LOOKED_AT_MOST: usize = 64 * 1024;

/// Takes in what an answer says of the job that its request was about; its body may have to pass first.
pub(super) fn note(course: &Course, about: &About, parts: &Parts, body: Body) -> Body {
    let (shared, task) = (&course.shared, &about.task);
    if about.method == Method::DELETE && parts.status.is_success() {
        task.ended(shared, Asynchronous::Deleted);
        return body;
    }
    if about.method != Method::GET {
        return body;
    }
    match seen(task, parts.status, &parts.headers, None) {
        Seen::Is(how) => task.ended(shared, how),
        Seen::Open => {}
        // A coded body says nothing here: nobody decodes it.
        Seen::InTheBody if parts.headers.contains_key(header::CONTENT_ENCODING) => {
            shared.metrics.asynchronous_unread(Unread::Coded);
        }
        Seen::InTheBody => {
            let polled = Polled {
                inner: body,
                kept: Some(Vec::new()),
                task: Arc::clone(task),
                shared: Arc::clone(shared),
                status: parts.status,
            };
            return Body::Polled(Box::new(polled));
        }
    }
    body
}

/// Whether an answer only says that whoever gave it does not know the job, and never did: it is another endpoint's, of this
/// network or of a far sidecar, who says so.
pub(super) fn is_of_a_stranger(
    course: &Course,
    about: &About,
    on: NetworkId,
    parts: &Parts,
    from: Option<usize>,
) -> bool {
    let known = about.task.at(&course.generation).map(|(_, endpoint)| endpoint);
    let is_another = from.zip(known).is_some_and(|(from, known)| from != known);
    is_unknown(parts.status) && (is_another || said_so(course, on, &parts.headers))
}

/// Whether a far sidecar says that it could not ask whoever has the job.
pub(super) fn said_so(course: &Course, on: NetworkId, headers: &HeaderMap) -> bool {
    course.network(on).is_sidecar() && headers.contains_key(&NOT_KNOWN)
}

fn is_unknown(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// What was seen of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Is(Asynchronous),
    Open,
    /// Only the body could say.
    InTheBody,
}

fn seen(task: &Task, status: StatusCode, headers: &HeaderMap, body: Option<&serde_json::Value>) -> Seen {
    let rule = task.route.map(|place| &task.generation.config.routes[place].asynchronous);
    let gone = is_unknown(status);
    let over = status != StatusCode::ACCEPTED && status.as_u16() < 400;
    let says = |sign: Option<&Sign>, otherwise: bool| match sign {
        None => Some(otherwise),
        Some(Sign::Status(wanted)) => Some(status == *wanted),
        Some(Sign::Header(name, wanted)) => {
            Some(headers.get_all(name).iter().any(|value| value.as_bytes() == wanted.as_bytes()))
        }
        Some(Sign::Json(pointer, wanted)) => body.map(|body| body.pointer(pointer).is_some_and(|v| is(v, wanted))),
    };
    let failed = says(rule.and_then(|rule| rule.failed.as_ref()), gone);
    let done = says(rule.and_then(|rule| rule.done.as_ref()), over);
    match (failed, done) {
        (Some(true), _) => Seen::Is(Asynchronous::Failed),
        (Some(false), Some(true)) => Seen::Is(Asynchronous::Done),
        (Some(false), Some(false)) => Seen::Open,
        _ => Seen::InTheBody,
    }
}

fn is(value: &serde_json::Value, wanted: &str) -> bool {
    match value.as_str() {
        Some(text) => text == wanted,
        None => format!("{value}").as_str() == wanted,
    }
}

/// An answer whose body is looked at as it passes.
#[derive(Debug)]
pub(crate) struct Polled {
    inner: Body,
    /// `None` once it was looked at, or is too long.
    kept: Option<Vec<u8>>,
    task: Arc<Task>,
    shared: Arc<Shared>,
    status: StatusCode,
}

impl Polled {
    pub(crate) fn frees(&mut self, ticket: Ticket) {
        self.inner.frees(ticket);
    }

    fn look(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        let Ok(value) = serde_json::from_slice(&kept) else {
            return self.shared.metrics.asynchronous_unread(Unread::NotJson);
        };
        // What the head could say was looked at when it came.
        if let Seen::Is(how) = seen(&self.task, self.status, &HeaderMap::new(), Some(&value)) {
            self.task.ended(&self.shared, how);
        }
    }
}

impl http_body::Body for Polled {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            match &mut this.kept {
                Some(kept) if kept.len() + data.len() <= LOOKED_AT_MOST => kept.extend_from_slice(data),
                Some(_) => {
                    this.kept = None;
                    this.shared.metrics.asynchronous_unread(Unread::TooLong);
                }
                None => {}
            }
        }
        if frame.is_none() || this.inner.is_end_stream() {
            this.look();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
