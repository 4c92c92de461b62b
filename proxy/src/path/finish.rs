//! Jobs that run on when their client goes away, because their route says so.
//!
//! Such a job is a task of its own. Its answer comes to the client through a bounded pipe; when nobody reads that any more,
//! what is left of the answer is read and thrown away, so that the service can finish and the outcome is known.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::course::Course;
use super::settle::Settle;
use super::{Answered, carry_out};
use crate::answer::{self, Sink};
use crate::body::Body;
use crate::problem::Problem;

/// Bytes of an answer that may wait for the client.
const WAITING_BYTES: usize = 256 * 1024;

/// Answers a job, and sees it through whether or not anybody waits.
pub(super) async fn answer(course: Arc<Course>, settle: Settle, request: Request<Body>) -> Answered {
    let (answered, waiting) = oneshot::channel();
    // It ends with the job, which its network's time-outs bound.
    tokio::spawn(async move {
        let response = match Box::pin(carry_out(course, settle, request)).await {
            Ok(response) => response,
            Err(problem) => {
                if answered.send(Err(problem)).is_err() {
                    tracing::debug!("a job whose client had gone could not be finished");
                }
                return;
            }
        };
        let (parts, body) = response.into_parts();
        let (sink, source) = answer::pipe(WAITING_BYTES);
        let handed = answered.send(Ok(Response::from_parts(parts, Body::Piped(Box::new(source)))));
        see_through(body, handed.is_ok().then_some(sink)).await;
    });
    waiting.await.unwrap_or_else(|_| Err((Problem::BrokeOff, "the job was cut by a shutdown".to_owned())))
}

async fn see_through(mut body: Body, mut sink: Option<Sink>) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        if let Some(open) = &mut sink
            && open.put(frame).await.is_err()
        {
            sink = None;
        }
    }
    if let Some(sink) = sink {
        sink.finish();
    }
}
