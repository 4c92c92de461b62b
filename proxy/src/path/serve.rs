//! What this sidecar runs for another: transferred jobs, and shadows under the caps that were asked for.
//!
//! A shadow gets a permit of ours or is refused as not executed; it is throttled both ways, and it ends with its lease
//! unless it has been adopted, also if nobody reads its answer: what it holds is where the lease's own task can take it
//! away. What the peer asks is clamped to what our own configuration allows. It is not a job here: the
//! sidecar that asked for it counts, records and learns from the job that it may become, and here only how it ended is
//! counted.

mod held;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use policy::budget::NoPermit;
use policy::lease::Ending;
use policy::{Caps, NetworkId};
use tokio::sync::Notify;

use super::asynchronous;
use super::contest::answer_of;
use super::course::Course;
use super::progress::{self, Dispatched};
use super::settle::Settle;
use super::warm::OnItsWay;
use super::{Answered, passed_on};
use crate::body::Body;
use crate::hygiene;
use crate::lane::MEMORY_LEAST;
use crate::metrics::{ServedCount, ServedEnd};
use crate::peer::{self, ShadowAsk};
use crate::problem::Problem;
use crate::record::Outcome;
use crate::throttle::{Throttle, Throttled};
use crate::upstream::{Answer, Flight, Network, Outgoing, SendError, Upload};

pub(crate) use held::Served;

/// Runs a transferred job here.
pub(super) async fn transfer(course: Arc<Course>, settle: Settle, request: Request<Body>, id: &str) -> Answered {
    let served = peer::Served::job();
    // A name that is taken only costs the job its progress reports.
    let entered = course.shared.peers.enter(id, &served);
    if entered.is_none() {
        course.shared.metrics.transfer_unnamed();
    }
    let target = course.plan.target;
    let flight = course.depart(target);
    let mut settle = settle;
    let (wanted, watched) = (Arc::clone(&served), served);
    let tell = move |progress| watched.progressed(progress);
    let of = Dispatched {
        course: &course,
        network: course.network(target),
        id,
        upload: &course.upload,
        pace: &course.upload,
    };
    let sent = |request| answer_of(&course, target, request);
    let wanted = async move { wanted.is_asked_about().await };
    match progress::while_watching(of, request, wanted, tell, progress::unheard, sent).await {
        Ok(response) => {
            settle.answered(response.status(), Some(flight));
            let held = response.map(|inner| Served::wrap(inner, entered, None));
            let mut response = passed_on(held, settle);
            course.says(response.headers_mut());
            Ok(response)
        }
        Err(failure) => {
            settle.end(Outcome::Refused, 0);
            let problem = if failure.not_executed() { Problem::NotExecuted } else { failure.problem() };
            Err((problem, failure.to_string()))
        }
    }
}

/// Runs a shadow here.
pub(super) async fn shadow(course: Arc<Course>, warming: OnItsWay, request: Request<Body>, ask: ShadowAsk) -> Answered {
    let count = course.shared.metrics.shadow_served();
    let home = Arc::clone(course.network(course.plan.target));
    let caps = given(&course, &ask);
    let Admitted { throttle, flight, shed } = match admitted(&course, &home, caps) {
        Ok(admitted) => admitted,
        Err(why) => {
            course.shared.metrics.shadow_refused(home.id, why);
            count.ended(ServedEnd::Refused, home.id);
            return Err((Problem::NotExecuted, format!("no permit for a shadow here: {}", why.as_str())));
        }
    };
    let window = Duration::try_from_secs_f64(caps.window_s).unwrap_or(Duration::ZERO);
    let served = peer::Served::shadow(Arc::clone(&throttle), caps, window);
    let Some(entered) = course.shared.peers.enter(&ask.id, &served) else {
        count.ended(ServedEnd::Refused, home.id);
        return Err((Problem::NotExecuted, "a shadow of that name runs here, or too many run".to_owned()));
    };
    let (request, pace) = paced(&course, request, &throttle);
    let (wanted, watched) = (Arc::clone(&served), Arc::clone(&served));
    let tell = move |progress| watched.progressed(progress);
    let mut running = Running {
        served: Arc::clone(&served),
        home: home.id,
        count: Some(count),
        throttle: Arc::clone(&throttle),
        flight,
        _warming: warming,
    };
    let seat = throttle.seat().cloned();
    if let Some(seat) = &seat
        && let Err(error) = seat.cap(caps).await
    {
        running.ended(ServedEnd::Refused);
        return Err((Problem::NotExecuted, error.to_string()));
    }
    let of = Dispatched { course: &course, network: &home, id: &ask.id, upload: &course.upload, pace: &pace };
    let wanted = async move { wanted.is_asked_about().await };
    let sent = progress::while_watching(of, request, wanted, tell, progress::unheard, |request| {
        home.send_shadow(course.worker, seat.as_deref(), request, &course.upload)
    });
    let answered = tokio::select! {
        biased;
        answered = sent => answered,
        () = served.lease_ends() => {
            running.ended(ServedEnd::LeaseOver);
            return Err((Problem::NoAnswer, "the shadow's lease is over and nobody has adopted it".to_owned()));
        }
        () = served.is_shed(&shed) => {
            running.ended(ServedEnd::Shed);
            return Err((Problem::BrokeOff, "live work needs the shadow's room".to_owned()));
        }
    };
    match answered.inspect(|response| hear(&course, &served, &home, response)) {
        Ok(response) if home.runs_shadows_apart() && response.status() == StatusCode::ACCEPTED => {
            Err(running.is_out_of_reach())
        }
        Ok(response) => {
            let answer = response.map(|mut answer| {
                answer.frees(running.flight.ticket());
                let body = Body::Throttled(Box::new(Throttled::new(Body::Answer(Box::new(answer)), throttle)));
                Served::wrap(body, Some(entered), Some((running, shed)))
            });
            let mut answer = to_peer(caps, answer);
            course.says(answer.headers_mut());
            Ok(answer)
        }
        Err(error) => Err(running.failed(&error)),
    }
}

/// Takes in what the head of a shadow's answer says.
fn hear(course: &Course, served: &peer::Served, home: &Network, response: &Response<Answer>) {
    served.hears(response.headers());
    if !home.runs_shadows_apart() {
        let endpoint = Some(response.body().endpoint());
        asynchronous::note_of_peer(course, endpoint, response.status(), response.headers());
    }
}

/// The request with its body throttled. Its own throttle may set the pace of its body, so how that is taken is looked at from
/// outside of it.
fn paced(course: &Course, request: Request<Body>, throttle: &Arc<Throttle>) -> (Request<Body>, Arc<Upload>) {
    let pace = Arc::new(Upload::default());
    let request = request.map(|body| {
        let body = Outgoing::wrap(body, &course.upload);
        if body.is_end_stream() {
            return body;
        }
        Outgoing::wrap(Body::Throttled(Box::new(Throttled::new(body, Arc::clone(throttle)))), &pace)
    });
    (request, pace)
}

/// A shadow that is let in.
struct Admitted {
    throttle: Arc<Throttle>,
    flight: Flight,
    /// Told when live work needs its room.
    shed: Arc<Notify>,
}

/// Lets a shadow in, if there is a permit for it, and a worker where shadows have workers.
fn admitted(course: &Course, home: &Arc<Network>, caps: Caps) -> Result<Admitted, NoPermit> {
    // Before a worker is taken, for taking it back would cost it its life.
    if home.crew.is_some() && caps.memory_bytes < MEMORY_LEAST {
        return Err(NoPermit::Memory);
    }
    let seat = home.claim()?;
    let announced_bytes = course.job.body_bytes.unwrap_or(0);
    let permit = home.shadow_permit(announced_bytes)?;
    let shed = permit.shed();
    let throttle = Throttle::observed(caps.bytes_per_s, home.charge(announced_bytes));
    throttle.hold(permit);
    let flight = home.depart_shadow(course.predicted_s(home.id));
    if let Some(seat) = seat {
        throttle.hold_seat(seat);
    }
    Ok(Admitted { throttle, flight, shed })
}

/// Whoever asks, what a shadow is given here is for us to say.
fn given(course: &Course, ask: &ShadowAsk) -> Caps {
    let caps = ask.caps.clamped(&course.generation.config.shadow.serve);
    if caps != ask.caps {
        tracing::debug!(id = %ask.id, level = ask.level.as_str(), asked = ?ask.caps, given = ?caps, "a shadow's caps were cut");
        course.shared.metrics.shadow_clamped();
    }
    caps
}

/// A shadow's answer as the other sidecar gets it. What is said of the decision is for that one to say.
fn to_peer(caps: Caps, mut response: Response<Body>) -> Response<Body> {
    hygiene::scrub_response(response.headers_mut(), false);
    if let Some(granted) = peer::granted(&caps) {
        response.headers_mut().insert(peer::GRANTED, granted);
    }
    *response.version_mut() = http::Version::HTTP_11;
    response
}

/// A shadow that runs here, and what it holds until it is over.
struct Running {
    served: Arc<peer::Served>,
    home: NetworkId,
    count: Option<ServedCount>,
    throttle: Arc<Throttle>,
    flight: Flight,
    _warming: OnItsWay,
}

impl Running {
    fn ended(&mut self, how: ServedEnd) {
        self.served.ended(ending(how));
        if let Some(count) = self.count.take() {
            count.ended(how, self.home);
        }
        match (how, self.throttle.seat()) {
            (ServedEnd::Finished, Some(seat)) => seat.is_whole(),
            (ServedEnd::Failed, Some(seat)) => seat.broke(),
            _ => {}
        }
    }

    /// It was accepted to be done later, where requests that ask for it later never go: it cannot be the real job. Says what
    /// the other sidecar is told.
    fn is_out_of_reach(&mut self) -> (Problem, String) {
        let Some(seat) = self.throttle.seat().cloned() else {
            self.ended(ServedEnd::Failed);
            return (Problem::BrokeOff, "a replica of the lane has accepted it, and is never asked for it".to_owned());
        };
        // It dies with its worker, before anybody is told so.
        seat.broke();
        seat.end();
        self.ended(ServedEnd::Refused);
        (Problem::NotExecuted, "a worker has accepted it, and was killed: it is never asked for it".to_owned())
    }

    /// The service gave no answer. Says what the other sidecar is told.
    fn failed(&mut self, error: &SendError) -> (Problem, String) {
        let (end, problem) = if error.not_executed() {
            (ServedEnd::Refused, Problem::NotExecuted)
        } else {
            (ServedEnd::Failed, Problem::BrokeOff)
        };
        self.ended(end);
        if let Some(seat) = self.throttle.seat() {
            seat.broke();
        }
        (problem, error.to_string())
    }
}

/// What a served shadow's end means to its lease.
const fn ending(how: ServedEnd) -> Ending {
    match how {
        ServedEnd::Finished => Ending::Finished,
        ServedEnd::Failed | ServedEnd::Refused => Ending::Failed,
        ServedEnd::LeaseOver => Ending::LeaseOver,
        ServedEnd::Cut => Ending::Cut,
        ServedEnd::Shed => Ending::Shed,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If nothing else was said before.
        self.served.ended(Ending::Cut);
        self.throttle.free_permit();
        if let Some(seat) = self.throttle.seat() {
            seat.end();
        }
    }
}
