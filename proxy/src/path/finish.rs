//! Jobs that run on when their client goes away, because their route says so.
//!
//! Such a job is a task of its own. Its answer comes to the client through a bounded pipe; when nobody reads that any more,
//! what is left of the answer is read and thrown away, so that the service can finish and the outcome is known.
//!
//! A client that goes away frees its connection, so the limits on connections do not bound these jobs. They have a bound of
//! their own: a job that finds it reached ends with its client, like the job of any other route.

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
use crate::runtime::Owner;

/// Bytes of an answer that may wait for the client.
const WAITING_BYTES: usize = 256 * 1024;

/// Answers a job, and sees it through whether or not anybody waits.
pub(super) async fn answer(course: Arc<Course>, settle: Settle, request: Request<Body>, owner: &Owner) -> Answered {
    let Some(room) = course.shared.running_on.try_take() else {
        course.shared.metrics.finish_refused();
        return Box::pin(carry_out(course, settle, request)).await;
    };
    let (answered, waiting) = oneshot::channel();
    let within = course.network(course.plan.target).config.timeouts.total;
    // Its network's time-outs bound it, but for an answer that may be silent for ever: that is bounded below.
    owner.run_on(async move {
        let _room = room;
        let response = match Box::pin(carry_out(course, settle, request)).await {
            Ok(response) => response,
            Err(problem) => {
                if answered.send(Err(problem)).is_err() {
                    tracing::debug!("a job whose client had gone could not be finished");
                }
                return;
            }
        };
        let (parts, mut body) = response.into_parts();
        let (sink, source) = answer::pipe(WAITING_BYTES);
        let handed = answered.send(Ok(Response::from_parts(parts, Body::Piped(Box::new(source)))));
        if handed.is_ok() && pass_on(&mut body, sink).await == Reader::Stayed {
            return;
        }
        if tokio::time::timeout(within, see_through(body)).await.is_err() {
            tracing::debug!(?within, "a job whose client had gone was cut: its answer did not end");
        }
    });
    waiting.await.unwrap_or_else(|_| Err((Problem::BrokeOff, "the job was cut by a shutdown".to_owned())))
}

/// Whether the client read for as long as there was something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Stayed,
    Left,
}

async fn pass_on(body: &mut Body, mut sink: Sink) -> Reader {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // Noticed even while there is nothing to pass on.
            () = sink.unread() => return Reader::Left,
        };
        match frame {
            Some(Ok(frame)) => {
                if sink.put(frame).await.is_err() {
                    return Reader::Left;
                }
            }
            Some(Err(_broke_off)) => return Reader::Stayed,
            None => {
                sink.finish();
                return Reader::Stayed;
            }
        }
    }
}

async fn see_through(mut body: Body) {
    while let Some(Ok(_unread)) = body.frame().await {}
}
