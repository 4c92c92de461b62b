//! An execution that was accepted and lost: it is deleted where it runs, or counted as left behind.
//!
//! One that is given up before it has answered may have been accepted all the same. Where it could be deleted it is not cut,
//! but waited for a little, so that it can say where it is.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use policy::NetworkId;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{location, poll};
use crate::body::Body;
use crate::metrics::Asynchronous;
use crate::path::contest::Failure;
use crate::path::course::{Course, Head};
use crate::peer;
use crate::upstream::Lane;

/// How long one that lost may take to say where it is, and its deletion to be answered.
const WITHIN: Duration = Duration::from_secs(10);
/// What a request with a body says of it, and one without must not.
const OF_THE_BODY: [HeaderName; 5] =
    [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING, header::EXPECT, header::TRANSFER_ENCODING];

/// An execution of a job that was accepted on a network, beside another.
#[derive(Debug)]
pub(in crate::path) struct Twin {
    course: Arc<Course>,
    head: Arc<Head>,
    sent: Sent,
    /// `None` if it did not say, or not in a way we know.
    at: Option<String>,
}

/// Where an execution was sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::path) struct Sent {
    pub(in crate::path) on: NetworkId,
    /// The endpoint that has it, and perhaps alone knows it. Another may even have another's job at that location.
    pub(in crate::path) endpoint: Option<usize>,
    /// A shadow is deleted with no more than it was sent with.
    pub(in crate::path) lane: Lane,
}

impl Twin {
    /// The twin that an answer tells of, if it does.
    pub(in crate::path) fn of(
        course: &Arc<Course>,
        head: &Arc<Head>,
        sent: Sent,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        (status == StatusCode::ACCEPTED).then(|| Self {
            course: Arc::clone(course),
            head: Arc::clone(head),
            sent,
            at: location(course, sent.on, headers),
        })
    }

    /// It has lost.
    pub(in crate::path) fn lost(self) {
        if let Some(route) = self.course.route.filter(|_| self.course.delete_by().is_none()) {
            self.course.shared.located.mark(&self.course.generation.config.routes[route].name);
        }
        match Handle::try_current() {
            Ok(runtime) if self.at.is_some() && self.course.delete_by().is_some() => {
                // Ends by itself: it is bounded.
                runtime.spawn(self.delete());
            }
            _ => self.kept("it has no location that could be deleted, or its route no `asynchronous.delete`"),
        }
    }

    fn kept(&self, why: &str) {
        self.course.shared.metrics.asynchronous(Asynchronous::TwinKept);
        let network = self.course.network(self.sent.on).name();
        tracing::warn!(network, at = self.at, why, "an execution that lost may run on");
    }

    async fn delete(self) {
        match tokio::time::timeout(WITHIN, self.ask()).await {
            Ok(Some((_, true))) => self.kept("the endpoint that has it could not be asked"),
            Ok(Some((status, false))) if status.is_success() || matches!(status.as_u16(), 404 | 410) => {
                self.course.shared.metrics.asynchronous(Asynchronous::TwinDeleted);
            }
            Ok(Some((status, false))) => self.kept(status.as_str()),
            Ok(None) | Err(_) => self.kept("its network did not answer"),
        }
    }

    /// What deleting it was answered, and whether that is of somebody who never knew it.
    async fn ask(&self) -> Option<(StatusCode, bool)> {
        let mut request = self.head.request(Body::Empty);
        *request.method_mut() = self.course.delete_by()?.clone();
        *request.uri_mut() = self.at.as_deref()?.parse().ok()?;
        for name in OF_THE_BODY {
            request.headers_mut().remove(name);
        }
        let Sent { on, endpoint, lane } = self.sent;
        let network = self.course.network(on);
        if network.is_sidecar() {
            let id = self.course.dispatch_id(&format!("d{}", on.index()));
            request.headers_mut().insert(peer::TRANSFER, id.parse().ok()?);
        }
        let response = network.send_to(self.course.worker, endpoint?, lane, request).await.ok()?;
        Some((response.status(), poll::said_so(&self.course, on, response.headers())))
    }
}

/// A lead that is given up before it has answered: waited for, so that what it leaves can be deleted.
pub(in crate::path) fn reap(
    course: &Arc<Course>,
    head: Option<&Arc<Head>>,
    on: NetworkId,
    answering: impl Future<Output = Result<Response<Body>, Failure>> + Send + 'static,
) {
    let (Some(head), Ok(runtime)) = (head, Handle::try_current()) else { return };
    if course.delete_by().is_none() {
        return;
    }
    let (course, head) = (Arc::clone(course), Arc::clone(head));
    runtime.spawn(async move {
        if let Ok(Ok(response)) = tokio::time::timeout(WITHIN, answering).await {
            let sent = Sent { on, endpoint: response.body().endpoint(), lane: Lane::Live };
            if let Some(twin) = Twin::of(&course, &head, sent, response.status(), response.headers()) {
                twin.lost();
            }
        }
    });
}

/// Lets a task that is given up go on for a little, if what it leaves can be deleted; else it is ended.
pub(in crate::path) fn outlive(task: AbortHandle, may: bool) {
    match Handle::try_current() {
        Ok(runtime) if may && !task.is_finished() => {
            runtime.spawn(async move {
                tokio::time::sleep(WITHIN).await;
                task.abort();
            });
        }
        _ => task.abort(),
    }
}
