//! The request path, top to bottom: what happens to a request, in the order in which it happens.
//!
//! Each step is one line here and one small file below. Decisions are `policy`'s: what stands here is what they are made
//! from and how they are carried out.

mod asynchronous;
mod cached;
mod classify;
mod contest;
mod course;
mod finish;
mod hindsight;
mod hold;
mod look;
mod needs;
mod preview;
mod progress;
mod serve;
pub(crate) mod settle;
pub(crate) mod shadow;
mod sight;
mod upgrade;
mod warm;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use policy::{NetworkSet, Shadowing};

use crate::body::Body;
use crate::generation::{Generation, Shared};
use crate::hygiene::{self, Caller, Forwarded};
use crate::peer::{self, Mark};
use crate::problem::Problem;
use crate::runtime::Owner;
use crate::upstream::{SendError, Upload};
use crate::{cache, clock};

use asynchronous::About;
use classify::Classified;
use contest::{Contest, Failure};
use course::{Course, Head, Left, Spare};
use hindsight::Hindsight;
use hold::{Held, hold};
use needs::{Looked, Needs, Said};
use settle::{JobBody, Settle};

pub(crate) use asynchronous::{Located, Polled, keep_tidy};
pub(crate) use look::Begun;
pub(crate) use preview::preview;
pub(crate) use serve::Served as ServedBody;
pub(crate) use shadow::Adopted;
pub(crate) use sight::view;

/// Where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) shared: Arc<Shared>,
    /// The worker that has it, and will have everything that comes of it.
    pub(crate) worker: usize,
    pub(crate) from: From,
    /// Who has what outlives it.
    pub(crate) owner: Owner,
    /// Where it was going at home, if it was intercepted.
    pub(crate) bound_for: Option<std::net::SocketAddr>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum From {
    /// Anybody, and what is said of them to the service.
    Stranger(Forwarded),
    /// Another sidecar: who it has proved to be, or `None` in the clear.
    Peer(Option<Arc<certs::SpiffeId>>),
}

/// Answers one request.
pub(crate) async fn answer(arrival: &Arrival, mut request: Request<Incoming>) -> Response<Body> {
    let Arrival { shared, from, .. } = arrival;
    // Nothing looks at a request before it is known to be one: a parser differential is an attack.
    if let Err(problem) = hygiene::check(&mut request) {
        return refuse(shared, problem, "the request is not one canonical HTTP message");
    }
    if hygiene::has_looped(request.headers()) {
        return refuse(shared, Problem::Loop, "its `Via` says that it has come through adumbra again and again");
    }
    // Only the peers listener can tell a sidecar from a stranger, so only there do marks and questions mean anything.
    let mark = match from {
        From::Stranger(_) => Mark::None,
        From::Peer(peer) => match Mark::read(request.headers()) {
            // A request with a mark is somebody's job, whatever its path: strangers may not ask through it.
            Some(mark) => mark.of(peer.as_deref()),
            None if request.uri().path().starts_with(peer::CONTROL) && !Mark::is_on(request.headers()) => {
                return Box::pin(peer::control(shared, peer.as_deref(), request)).await;
            }
            None => return refuse(shared, Problem::NotAPeer, "only shadows and transferred jobs are taken here"),
        },
    };
    let request = request.map(|body| if body.is_end_stream() { Body::Empty } else { Body::Incoming(body) });
    // Before it is a job: what is stored is given again, and nothing is planned for it. Only strangers are answered so.
    if shared.cache.is_on() && matches!((from, &mark), (From::Stranger(_), Mark::None)) {
        return Box::pin(cached::answer(arrival, request)).await;
    }
    onward(arrival, request, mark).await
}

/// Answers a request that is a job, or a shadow of one.
async fn onward(arrival: &Arrival, mut request: Request<Body>, mark: Mark) -> Response<Body> {
    let Arrival { shared, worker, from, owner, bound_for } = arrival;
    // A shadow has one answer: it cannot become another protocol.
    let wanted = upgrade::wanted(&mut request).filter(|_| !matches!(mark, Mark::Shadow(_)));
    let linked = needs::linked(request.headers());
    // Before classifying: a route must not match on a header that is not the client's to send.
    let caller = match from {
        From::Stranger(forwarded) => Caller::Stranger(forwarded),
        From::Peer(_) => Caller::Peer,
    };
    hygiene::scrub_request(request.headers_mut(), caller, wanted.is_some());
    peer::unmark(request.headers_mut());
    let generation = shared.generation.load_full();
    // What a sidecar sends here has been looked into there.
    let (request, looked) = match mark {
        Mark::None if wanted.is_none() => look::into_body(&generation.config, request).await,
        _ => (request, Looked::Not),
    };
    let course = plan(shared, generation, *worker, &request, &mark, wanted.is_some(), &Said { linked, looked });
    course.is_bound_for(*bound_for);
    // Moving data takes longest, so it starts before anything is decided, and stops if the decision goes elsewhere.
    let warming = warm::towards(&course);
    let transferred = match mark {
        // Not a job: it is part of one that the sidecar which sent it records and counts.
        Mark::Shadow(ask) => {
            let answered = Box::pin(serve::shadow(course, warming, request, ask)).await;
            return answered.unwrap_or_else(|(problem, detail)| refuse(shared, problem, &detail));
        }
        Mark::Transfer { id } => Some(id),
        Mark::None => None,
    };
    let mut settle = Settle::new(&course, course.model.as_ref().map_or(0, |model| model.version()));
    settle.hold_warm(warming);
    // What few requests need is boxed: the future of the rest stays small, and every request pays for its size.
    let answered = match (wanted, transferred) {
        (Some(wanted), _) => Box::pin(upgrade::answer(course, settle, request, wanted, owner)).await,
        (None, Some(id)) => Box::pin(serve::transfer(course, settle, request, &id)).await,
        (None, None) if course.runs_on() => finish::answer(course, settle, request, owner).await,
        (None, None) if course.plan.shadowing == Shadowing::Direct => direct(course, settle, request).await,
        (None, None) => Box::pin(carry_out(course, settle, request)).await,
    };
    answered.unwrap_or_else(|(problem, detail)| refuse(shared, problem, &detail))
}

/// What a job comes to: an answer, or a problem to answer with.
type Answered = Result<Response<Body>, (Problem, String)>;

/// Classifies and plans: from here on everything about the job is fixed but what is observed.
fn plan(
    shared: &Arc<Shared>,
    generation: Arc<Generation>,
    worker: usize,
    request: &Request<Body>,
    mark: &Mark,
    upgrading: bool,
    said: &Said,
) -> Arc<Course> {
    let arrived_s = clock::now_s();
    let id = shared.jobs.fetch_add(1, Ordering::Relaxed);
    let class_of = |route: &str, name: &str| shared.classes.id(route, name);
    let Classified { mut job, route } =
        classify::classify(&generation, &shared.located, class_of, request, mark, upgrading, id);
    let about = about(shared, request);
    job.located = about.as_ref().and_then(|about| about.task.on(&generation));
    if let Some(about) = about.as_ref().filter(|_| route.is_none()) {
        // No route says where it may go, but one did of what it is about.
        job.residency = about.task.residency();
    }
    let mut view = view(shared, &generation, &job, arrived_s);
    let routed = route.map(|place| &generation.config.routes[place]);
    let kind = needs::kind(routed.filter(|_| shared.data.learns()), job.class, request, &said.looked);
    let mut needs = Needs::of(&shared.data, routed, &said.linked, kind.as_ref(), request, &said.looked);
    let upload = Arc::new(Upload::default());
    needs.enter(shared, &generation, &upload, &mut job, &mut view);
    let attendance = kind.map(|kind| needs::attend(shared, kind, mark, id, request.headers()));
    let model = shared.oracle.model();
    let seat = shared.guard.seat(&job, &view, model.is_some(), generation.config.guard.share, arrived_s);
    let plan = policy::plan_as(seat.arm, &job, &view, model.as_deref(), arrived_s);
    if let Some((on, endpoint)) = about.as_ref().and_then(|about| about.task.at(&generation)) {
        upload.prefer(on, endpoint);
    }
    let is_cached = |place: usize| generation.config.routes[place].cache;
    let storing = request.extensions().get::<cache::Storing>().is_some() && route.is_some_and(is_cached);
    // Shared, since shadows outlive this request's future; and that future would be large with all of it inside.
    Arc::new(Course {
        shared: Arc::clone(shared),
        generation,
        worker,
        id,
        route,
        job,
        view,
        model,
        plan,
        seat,
        tab: Arc::default(),
        hindsight: Hindsight::default(),
        planned_s: arrived_s,
        upload,
        inputs: needs.declared().iter().map(|need| need.url.clone()).collect(),
        needs,
        attendance,
        left: Left::default(),
        about: about.map(Box::new),
        storing,
        seen: parking_lot::Mutex::default(),
        uri: request.uri().clone(),
        host: request.headers().get(http::header::HOST).cloned(),
    })
}

/// The asynchronous job that a request is about, if it is about one.
fn about(shared: &Shared, request: &Request<Body>) -> Option<About> {
    let task = shared.located.find(request.uri().path_and_query()?.as_str())?;
    task.is_asked_about();
    Some(About { task, method: request.method().clone() })
}

/// Does what the plan says.
async fn carry_out(course: Arc<Course>, mut settle: Settle, request: Request<Body>) -> Answered {
    let target = course.plan.target;
    match course.plan.shadowing {
        Shadowing::Direct => direct(course, settle, request).await,
        Shadowing::Sample { on, window_s } => {
            let (request, spare) = keep_spare(&course, &mut settle, request);
            let settle = sample(&course, settle, &spare, on, window_s);
            first_try(course, settle, request, spare).await
        }
        Shadowing::Lead { on, window_s } => {
            let (request, spare) = keep_spare(&course, &mut settle, request);
            let mut contest = Contest::new(course, spare);
            contest.lead(target, request);
            contest.shadow(on, window_s);
            finish(contest, settle, None).await
        }
        Shadowing::Probe { on, window_s } => {
            let (parts, spare, held) = match hold(&course, &mut settle, request).await {
                Ok(held) => held,
                Err((problem, detail)) => {
                    settle.refused(problem);
                    return Err((problem, detail));
                }
            };
            if let Held::Not(body) = held {
                // Without a copy there is no dry run to wait for: it goes where it is predicted to be best, once.
                let unswitchable = Spare { head: None, body: None };
                return first_try(course, settle, Request::from_parts(parts, body), unswitchable).await;
            }
            let mut contest = Contest::new(course, spare);
            contest.shadow(on, window_s);
            finish(contest, settle, None).await
        }
    }
}

/// Sends the job to its target and nowhere else, unless that fails.
async fn direct(course: Arc<Course>, mut settle: Settle, request: Request<Body>) -> Answered {
    if !course.job.repeatable && !may_be_refused_late(&course) {
        return first_try(course, settle, request, Spare { head: None, body: None }).await;
    }
    let (request, spare) = keep_spare(&course, &mut settle, request);
    if policy::decide::is_watched(&course.job, &course.view, &course.plan) {
        // What its lead shows may move it; of most jobs nobody need look, and they are not slowed by being looked at.
        let mut contest = Contest::new(Arc::clone(&course), spare);
        contest.lead(course.plan.target, request);
        return Box::pin(finish(contest, settle, None)).await;
    }
    first_try(course, settle, request, spare).await
}

/// Whether the job may come back unexecuted after its body has gone: a sidecar can say so, a service that has taken a byte of
/// it may have begun.
fn may_be_refused_late(course: &Course) -> bool {
    course.plan.eligible.len() > 1 && course.plan.eligible.iter().any(|network| course.network(network).is_sidecar())
}

async fn first_try(course: Arc<Course>, mut settle: Settle, request: Request<Body>, spare: Spare) -> Answered {
    let target = course.plan.target;
    let flight = course.depart(target);
    course.left.set(NetworkSet::EMPTY, 1);
    let failure = match contest::answer_of(&course, target, request).await {
        Ok(response) => {
            settle.answered(response.status(), Some(flight));
            return Ok(passed_on(response, settle));
        }
        Err(failure) => failure,
    };
    drop(flight);
    course.left.set(NetworkSet::EMPTY, 0);
    // A kept connection may close just as a request goes out on it. That says nothing about the network, so a job that may
    // be repeated is, once, at the same place.
    if let Failure::Send(SendError::BrokeOff { reused: true, .. }) = &failure
        && course.job.repeatable
        && let Some(again) = spare.request()
    {
        let mut contest = Contest::new(course, spare);
        contest.may_have_run();
        contest.lead(target, again);
        return Box::pin(finish(contest, settle, None)).await;
    }
    let mut contest = Contest::new(course, spare);
    let failure = contest.rescue(target, failure);
    Box::pin(finish(contest, settle, Some(failure))).await
}

/// Runs a contest to its end and settles what it came to.
async fn finish(contest: Contest, mut settle: Settle, failure: Option<Failure>) -> Answered {
    match contest.run(failure).await {
        Ok(won) => {
            settle.decided(&won.decision);
            settle.record().shadows = won.shadows;
            settle.record().possibly_running = won.possibly_running;
            settle.record().progress = won.progress;
            settle.answered(won.response.status(), won.flight);
            Ok(passed_on(won.response, settle))
        }
        Err(lost) => {
            settle.decided(&lost.decision);
            settle.record().shadows = lost.shadows;
            settle.record().possibly_running = lost.possibly_running;
            settle.record().progress = lost.progress;
            settle.record().status = lost.problem.status().as_u16();
            settle.end(lost.failure.outcome(), 0);
            Err((lost.problem, lost.failure.to_string()))
        }
    }
}

/// Keeps what it takes to send the job again, and begins the copy of its body.
fn keep_spare(course: &Course, settle: &mut Settle, request: Request<Body>) -> (Request<Body>, Spare) {
    let head = Some(Arc::new(Head::of(&request)));
    let (parts, body) = request.into_parts();
    let (body, spool) = match body {
        Body::Empty => (Body::Empty, None),
        body if course.job.spoolable => {
            let begun = match Begun::of(body) {
                Ok(begun) => begun,
                Err(body) => return (Request::from_parts(parts, body), Spare { head: None, body: None }),
            };
            let is_held = matches!(course.plan.shadowing, Shadowing::Probe { .. });
            let store = &course.shared.spool;
            let (tee, spool) = if is_held { store.hold(begun) } else { store.tee(begun) };
            (Body::Tee(Box::new(tee)), Some(spool))
        }
        body => return (Request::from_parts(parts, body), Spare { head: None, body: None }),
    };
    settle.copying(spool.as_ref());
    (Request::from_parts(parts, body), Spare { head, body: spool })
}

/// Starts the shadows of a sample, as soon as the body is whole.
fn sample(course: &Arc<Course>, mut settle: Settle, spare: &Spare, on: NetworkSet, window_s: f64) -> Settle {
    let Some(head) = &spare.head else { return settle };
    settle.keep_background(shadow::later(course, on, head, spare.body.as_ref(), window_s));
    settle
}

/// The answer as the client gets it: scrubbed, with the decision on it, and settled when it ends.
fn passed_on(response: Response<Body>, mut settle: Settle) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    settle.heard(&parts.headers);
    let of_a_stranger = settle.is_of_a_stranger(&parts, &body);
    if let Some(is_a_shadows) = settle.stores().filter(|_| !of_a_stranger) {
        parts.extensions.insert(cache::Provenance { is_framed: is_framed(&parts), is_a_shadows });
    }
    hygiene::scrub_response(&mut parts.headers, parts.status == http::StatusCode::SWITCHING_PROTOCOLS);
    parts.version = http::Version::HTTP_11;
    let body = if of_a_stranger { settle.disregard(&mut parts, body) } else { settle.note(&parts, body) };
    if let Some(decision) = settle.header() {
        parts.headers.insert(DECISION, decision);
    }
    Response::from_parts(parts, JobBody::wrap(body, settle))
}

/// Whether the end of an answer's body is told from a cut.
fn is_framed(parts: &http::response::Parts) -> bool {
    let said = |name| parts.headers.contains_key(name);
    parts.version == http::Version::HTTP_2
        || said(http::header::CONTENT_LENGTH)
        || said(http::header::TRANSFER_ENCODING)
}

/// On an answer: where it came from and why.
const DECISION: &str = "adumbra-decision";

/// An answer of our own.
fn refuse(shared: &Shared, problem: Problem, detail: &str) -> Response<Body> {
    shared.metrics.problem(problem);
    problem.response(detail)
}
