//! The body of a job that is held until it is decided: read for the sake of its copy, of which shadows are made.
//!
//! A body that does not fit into the spool, or that the disk does not take, cannot be held. Nothing of it was sent by then,
//! and all of it is still there: what was copied, and the rest as the client sends it. So the job is sent all the same, only
//! without a dry run, and it cannot be switched.

use std::time::Duration;

use http::{Request, request};
use http_body_util::BodyExt;

use super::course::{Course, Spare};
use super::keep_spare;
use super::settle::Settle;
use crate::body::Body;
use crate::problem::Problem;
use crate::spool::{Rejoined, Spool, Unspooled};

/// Whether a body is held.
pub(super) enum Held {
    /// There is a whole copy of it.
    Whole,
    /// There is none, and this is the body.
    Not(Body),
}

/// Why there is nothing to send.
type Broke = (Problem, String);

/// Reads the body of a job, and has a whole copy of it, or gives it back.
pub(super) async fn hold(
    course: &Course,
    settle: &mut Settle,
    request: Request<Body>,
) -> Result<(request::Parts, Spare, Held), Broke> {
    let (request, spare) = keep_spare(course, settle, request);
    let (parts, body) = request.into_parts();
    let idle = course.network(course.plan.target).config.timeouts.idle;
    let held = match &spare.body {
        Some(copy) => read(body, copy, idle).await?,
        None => Held::Whole,
    };
    Ok((parts, spare, held))
}

async fn read(mut body: Body, copy: &Spool, idle: Duration) -> Result<Held, Broke> {
    if copy.settled().is_some_and(|copied| copied.is_err()) {
        // It says itself that it is too long.
        return Ok(Held::Not(body));
    }
    loop {
        match tokio::time::timeout(idle, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(_copied))) => {}
            Ok(Some(Err(error))) => return Err((Problem::BodyBroke, error.to_string())),
            Err(_late) => return Err((Problem::BodyBroke, format!("no byte of the body came within {idle:?}"))),
        }
        if let Body::Tee(tee) = &mut body
            && let Some(next) = tee.uncopied()
        {
            let beginning = copy.part().await.ok_or_else(|| broke(Unspooled::BrokeOff))?;
            return Ok(Held::Not(Body::Rejoined(Box::new(Rejoined::new(beginning, Some(next), body)))));
        }
    }
    match copy.complete().await {
        Ok(_bytes) => Ok(Held::Whole),
        Err(why) => {
            let all = copy.part().await.ok_or_else(|| broke(why))?;
            Ok(Held::Not(Body::Spooled(Box::new(all))))
        }
    }
}

/// Nothing of it was sent anywhere, and there is nothing left to send.
fn broke(why: Unspooled) -> Broke {
    (Problem::NotExecuted, format!("the job must be held until it is decided, but {why}"))
}
