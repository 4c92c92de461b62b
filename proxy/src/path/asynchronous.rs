//! Jobs that are answered `202` with a `Location`, and done later.
//!
//! Such an answer is not the job's end. Where it came from is remembered by its location, so that later requests to it, and
//! to what lies below it, go to the network that runs the job; when an answer there says that it is done, it teaches how long
//! it took. That is known only as often as the client asks: a job counts as done by when an answer says so, and teaches
//! nothing if that comes long after the one before. Where its route says how to tell, the job keeps its place in the ledger
//! until then, but only while somebody asks.
//!
//! An execution that lost does not end when its connection is closed. Where the route says how, it is deleted at its own
//! location on its own network. Where it does not, the route is not shadowed any more once it has answered `202`: before
//! the first, nobody can know.
//!
//! A network may be several endpoints that know nothing of each other's jobs. So a job is asked for, and deleted, at the very
//! one that accepted it; that another does not know it says nothing.
//!
//! All of it is in memory, bounded, and gone with the process: later requests then go where requests like them go. Locations
//! are passed on as they are; one that names another origin than the client's or the network's own is not ours to remember.

mod memory;
mod poll;
mod polls;
mod roll;
mod twin;

use std::sync::Arc;

use http::response::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use policy::NetworkId;

use super::course::Course;
use crate::body::Body;
use crate::metrics::Asynchronous;

pub(crate) use memory::{Located, Task, keep_tidy};
pub(crate) use poll::Polled;
pub(super) use twin::{Sent, Twin, outlive, reap};

/// On a sidecar's answer to another: it could not ask the endpoint that has the job, and the one that it asked does not know it.
pub(super) const NOT_KNOWN: HeaderName = HeaderName::from_static("adumbra-job-not-known");

/// The asynchronous job that a request is about, and what it does there.
#[derive(Debug)]
pub(super) struct About {
    pub(super) task: Arc<Task>,
    pub(super) method: Method,
}

/// Takes in what a job's answer says of asynchronous jobs: that it is one, or how the one is that it is about.
pub(super) fn note(course: &Arc<Course>, target: NetworkId, parts: &Parts, body: Body) -> Body {
    if let Some(about) = &course.about {
        return poll::note(course, about, parts, body);
    }
    if course.job.last_hop {
        note_of_peer(course, body.endpoint(), parts.status, &parts.headers);
    } else if parts.status == StatusCode::ACCEPTED {
        accepted(course, target, body.endpoint(), &parts.headers);
    }
    body
}

/// Whether an answer from `on` says nothing of the job that it should be about, for it is of somebody who never knew it.
pub(super) fn is_of_a_stranger(course: &Course, on: NetworkId, parts: &Parts, from: Option<usize>) -> bool {
    course.about.as_ref().is_some_and(|about| poll::is_of_a_stranger(course, about, on, parts, from))
}

/// Takes in what the answer says of a job that is another sidecar's, who counts it and learns from it: here only the endpoint
/// that has it is remembered.
pub(super) fn note_of_peer(course: &Course, endpoint: Option<usize>, status: StatusCode, headers: &HeaderMap) {
    let home = course.generation.config.home;
    if status == StatusCode::ACCEPTED
        && course.about.is_none()
        && let Some(at) = location(course, home, headers)
    {
        course.shared.located.keep(&course.shared, &at, Task::of_peer(course, home, endpoint));
    }
}

fn accepted(course: &Arc<Course>, target: NetworkId, endpoint: Option<usize>, headers: &HeaderMap) {
    let located = &course.shared.located;
    if let Some(route) = course.route.filter(|_| course.delete_by().is_none()) {
        located.mark(&course.generation.config.routes[route].name);
    }
    let Some(at) = location(course, target, headers) else {
        return course.shared.metrics.asynchronous(Asynchronous::Unlocated);
    };
    course.shared.metrics.asynchronous(Asynchronous::Accepted);
    located.keep(&course.shared, &at, Task::new(course, target, endpoint));
}

/// The path and query that a `Location` names, if it is one of ours: not the whole site, nor what the job was sent to or
/// what lies above it, for then every request like it would be taken to be about this one.
fn location(course: &Course, on: NetworkId, headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::LOCATION)?.to_str().ok()?;
    let own = course.uri.path();
    let at = resolved(text, own, |authority| {
        let named = |host: &http::HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
        let of_network = |e: &config::value::Endpoint| {
            e.to_string().split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(authority))
        };
        course.host.as_ref().is_some_and(named) || course.network(on).config.endpoints.iter().any(of_network)
    })?;
    let path = at.split('?').next().unwrap_or_default();
    let above = |below: &str| below == path || below.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let too_wide = path.len() < 2 || (above(own) && !at.contains('?'));
    (!too_wide).then_some(at)
}

/// A `Location` as a path and query, resolved against the path that was asked for (RFC 3986 §5.2, without dot segments).
fn resolved(text: &str, own: &str, is_ours: impl Fn(&str) -> bool) -> Option<String> {
    let uri: Uri = match text.as_bytes().first()? {
        b'/' if text.starts_with("//") => format!("http:{text}").parse().ok()?,
        b'/' => text.parse().ok()?,
        b'?' => format!("{own}{text}").parse().ok()?,
        _ if text.contains("://") => text.parse().ok()?,
        _ => format!("{}/{text}", own.rsplit_once('/').map_or("", |(above, _)| above)).parse().ok()?,
    };
    if uri.authority().is_some_and(|authority| !is_ours(authority.as_str())) {
        return None;
    }
    let at = uri.path_and_query()?.as_str();
    let dots = uri.path().split('/').any(|segment| segment == "." || segment == "..");
    (!dots && at.starts_with('/')).then(|| at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_against_what_was_asked_for() {
        let check = |text: &str, expected: Option<&str>| {
            let at = resolved(text, "/jobs/render", |authority| authority == "site:8080");
            assert_eq!(at.as_deref(), expected, "{text}");
        };
        check("/jobs/7?full", Some("/jobs/7?full"));
        check("7", Some("/jobs/7"));
        check("?id=7", Some("/jobs/render?id=7"));
        check("http://site:8080/jobs/7", Some("/jobs/7"));
        check("//site:8080/jobs/7", Some("/jobs/7"));
        check("http://elsewhere/jobs/7", None);
        check("//elsewhere/jobs/7", None);
        check("../7", None);
        check("", None);
        check("http://site:8080", Some("/"));
    }
}
