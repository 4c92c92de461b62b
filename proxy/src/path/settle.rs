//! A job's end. Whatever way out a job takes, it leaves one record, one outcome in the metrics and, if it succeeded, one
//! label; that is why this is a guard.

mod body;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use policy::inputs::gain::Read;
use policy::learn::{Label, Row};
use policy::watchdog::Came;
use policy::{Action, Decision, NetworkId, Reason, Shadowing};

use crate::body::Body;
use crate::clock;
use crate::data::{self, Attendance};
use crate::grpc::Call;
use crate::journal::Happened;
use crate::problem::Problem;
use crate::record::{Inputs, Outcome, Record};
use crate::spool::Spool;
use crate::upstream::Flight;

use super::asynchronous;
use super::course::Course;
use super::hindsight;
use super::shadow::Background;
use super::warm::OnItsWay;

pub(crate) use body::JobBody;

/// What is known of a job so far, and must be told when it ends.
#[derive(Debug)]
pub(crate) struct Settle {
    course: Arc<Course>,
    record: Option<Box<Record>>,
    /// The dispatch that answers.
    flight: Option<Flight>,
    /// Seconds the client kept us from reading on.
    stalled_s: f64,
    /// Shadows that run on only to learn.
    background: Option<Background>,
    /// Data on its way to where the plan leans.
    warming: OnItsWay,
    /// What a gRPC call came to, once that is known.
    call: Option<Call>,
    /// The copy of the request's body, if one was begun, until the answer's head: its room is for those that still need it.
    spool: Option<Spool>,
}

impl Settle {
    /// Begins a job's record.
    pub(super) fn new(course: &Arc<Course>, model_version: u64) -> Self {
        let Course { job, plan, .. } = &**course;
        let record = Record {
            generation: Arc::clone(&course.generation),
            id: course.id,
            unix_ms: clock::unix_ms(),
            route: course.route,
            job: *job,
            eligible: plan.eligible,
            plan: plan_word(&plan.shadowing),
            level: plan.level,
            plan_reason: plan.reason,
            worth: plan.worth,
            shadows: policy::NetworkSet::EMPTY,
            progress: policy::PerNetwork::default(),
            target: plan.target,
            action: Action::Send,
            reason: plan.reason,
            predictions: plan.predictions,
            costs: plan.costs,
            model_version,
            status: 0,
            outcome: Outcome::ClientGone,
            took_s: 0.0,
            head_s: 0.0,
            request_bytes: 0,
            response_bytes: 0,
            possibly_running: 0,
            inputs: None,
            planned: plan.target,
            ran_s: None,
            waited_s: 0.0,
            terms: None,
            happened: None,
        };
        Self {
            course: Arc::clone(course),
            record: Some(Box::new(record)),
            flight: None,
            stalled_s: 0.0,
            background: None,
            warming: OnItsWay::default(),
            call: None,
            spool: None,
        }
    }

    /// The answer's head, or its trailers, may say what a call came to.
    pub(super) fn heard(&mut self, headers: &HeaderMap) {
        self.call = Call::read(headers).or(self.call);
    }

    /// The record, to be filled in.
    pub(super) fn record(&mut self) -> &mut Record {
        self.record.as_mut().expect("the record is only taken when the job has ended")
    }

    /// Whether the answer may be stored; if so, whether it is an adopted shadow's.
    pub(super) fn stores(&self) -> Option<bool> {
        let record = self.record.as_ref().filter(|_| self.course.storing)?;
        Some(record.action == Action::Adopt)
    }

    /// Holds data that is on its way until the job is over or goes elsewhere.
    pub(super) fn hold_warm(&mut self, warming: OnItsWay) {
        self.warming = warming;
    }

    /// A copy of the request's body is being made.
    pub(super) fn copying(&mut self, spool: Option<&Spool>) {
        self.spool = spool.cloned();
    }

    /// Where the job is answered from, as decided.
    pub(super) fn decided(&mut self, decision: &Decision) {
        let moved = decision.target != self.course.plan.target;
        if moved {
            self.warming = OnItsWay::default();
        }
        if !moved && decision.reason == Reason::LeadAnswered && self.course.plan.shadowing == Shadowing::Direct {
            // It went as it was planned.
            return;
        }
        let record = self.record();
        record.target = decision.target;
        record.action = decision.action;
        record.reason = decision.reason;
        record.predictions = decision.predictions;
        record.costs = decision.costs;
    }

    /// Shadows run on in the background for as long as the client stays or the job goes on.
    pub(super) fn keep_background(&mut self, background: Background) {
        self.background = Some(background);
    }

    /// The head is about to be passed on.
    pub(super) fn answered(&mut self, status: StatusCode, flight: Option<Flight>) {
        self.flight = flight;
        self.copy_is_done();
        let head_s = clock::now_s() - self.course.planned_s;
        let record = self.record();
        record.status = status.as_u16();
        record.head_s = head_s;
    }

    /// Takes in what the answer says of asynchronous jobs.
    pub(super) fn note(&self, parts: &http::response::Parts, body: Body) -> Body {
        let concerned = parts.status == StatusCode::ACCEPTED || self.course.about.is_some();
        match self.record.as_ref().filter(|_| concerned) {
            Some(record) => asynchronous::note(&self.course, record.target, parts, body),
            None => body,
        }
    }

    /// Whether the answer is of somebody who never knew the asynchronous job that it should be about.
    pub(super) fn is_of_a_stranger(&self, parts: &http::response::Parts, body: &Body) -> bool {
        let on = self.record.as_ref().map(|record| record.target);
        on.is_some_and(|on| asynchronous::is_of_a_stranger(&self.course, on, parts, body.endpoint()))
    }

    /// Passes such an answer on, and tells another sidecar what it is.
    pub(super) fn disregard(&self, parts: &mut http::response::Parts, body: Body) -> Body {
        if self.course.job.last_hop {
            parts.headers.insert(asynchronous::NOT_KNOWN, HeaderValue::from_static("1"));
        }
        body
    }

    /// Nobody needs the copy of the request's body any more; if there never was a whole one, that is counted.
    fn copy_is_done(&mut self) {
        if let Some(Err(why)) = self.spool.take().and_then(|spool| spool.settled()) {
            self.course.shared.metrics.spool_refused(why);
        }
    }

    /// The job comes to an answer of our own before it was sent anywhere.
    pub(super) fn refused(&mut self, problem: Problem) {
        self.record().status = problem.status().as_u16();
        // A body that broke off is the client's doing.
        let outcome = if problem == Problem::BodyBroke { Outcome::ClientGone } else { Outcome::Refused };
        self.end(outcome, 0);
    }

    /// What the client is told: where its answer came from and why.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let record = self.record.as_ref()?;
        let network = record.generation.networks[record.target.index()].name();
        let mut text = Vec::with_capacity(96);
        let pieces = [network, "; reason=", record.reason.as_str(), "; action=", action_word(record.action), "; id="];
        pieces.iter().for_each(|piece| text.extend_from_slice(piece.as_bytes()));
        // By hand: this is on every answer, and formatting it would cost as much as planning the job.
        text.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(record.id >> (4 * digit)) as usize & 15]));
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }

    /// The job has ended.
    pub(super) fn end(&mut self, outcome: Outcome, response_bytes: u64) {
        let Some(mut record) = self.record.take() else { return };
        self.warming = OnItsWay::default();
        self.copy_is_done();
        let now_s = clock::now_s();
        record.outcome = outcome;
        record.took_s = now_s - self.course.planned_s;
        record.response_bytes = response_bytes;
        record.request_bytes = self.course.upload.bytes();
        if let Some(background) = self.background.take() {
            record.shadows = background.started();
            if outcome != Outcome::ClientGone {
                background.run_on();
            }
        }
        if outcome == Outcome::ClientGone {
            let left = &self.course.left;
            record.shadows = left.shadows().iter().fold(record.shadows, policy::NetworkSet::with);
            record.possibly_running = left.possibly_running();
        }
        // A job that was only accepted has not shown how long it takes.
        let told = record.status < 400 && record.status != 202 && matches!(self.call, None | Some(Call::Ok));
        let succeeded = outcome == Outcome::Answered && told;
        if let Some(attendance) = self.course.attendance.as_ref().filter(|_| succeeded) {
            attendance.learn();
            record.inputs = self.read(attendance, record.target, record.took_s);
        }
        if let Some(flight) = &mut self.flight {
            flight.carried(record.request_bytes + response_bytes);
        }
        if let Some(flight) = self.flight.take().filter(|_| succeeded) {
            let ran_s = self.course.ran_s(record.target, &self.course.upload, flight.land());
            let took_s = (ran_s - self.stalled_s).max(f64::MIN_POSITIVE);
            record.ran_s = Some(took_s);
            let predicted = record.predictions[record.target].as_ref();
            self.course.shared.metrics.predicted(record.target, predicted, took_s);
            self.course.hindsight.answered(&self.course, record.target, took_s);
            let row = Row {
                job: self.course.job,
                pair: record.id,
                network: record.target,
                label: Label::Took(took_s),
                cpu_s: None,
                memory_bytes: None,
                response_bytes: Some(response_bytes as f64),
            };
            self.course.shared.oracle.learn_beside(row, record.predictions[record.target]);
        }
        self.compare(&record);
        record.waited_s = self.course.upload.waited_s() + self.stalled_s;
        let Course { job, view, plan, seat, .. } = &*self.course;
        let predicted = plan.predictions[record.target].as_ref();
        record.terms = predicted.map(|predicted| policy::cost::terms(job, view, record.target, predicted));
        if record.generation.config.journal.is_some() {
            let seen = self.course.seen.lock().take();
            record.happened = Some(Box::new(Happened { view: *view, plan: *plan, arm: seat.arm, seen }));
        }
        self.course.shared.metrics.job(&record);
        self.course.shared.recorder.submit(record);
    }
}

impl Settle {
    /// Counts what the job has read, and what it has saved by finding it.
    fn read(&self, attendance: &Attendance, on: NetworkId, took_s: f64) -> Option<Inputs> {
        let Course { shared, job, view, needs, .. } = &*self.course;
        let read = data::read(&attendance.seen());
        if read == Read::default() && needs.is_empty() {
            return None;
        }
        let saved_s = shared.data.gains.job(on, job.class, read, took_s - self.stalled_s);
        shared.metrics.data.read(on, &read, saved_s);
        let (expected_bytes, warm_bytes) = (job.input_bytes.unwrap_or(0), view.state[on].warm_bytes);
        Some(Inputs { expected_bytes, warm_bytes, read, saved_s })
    }

    /// Tells the comparison what became of the job. One that failed must be done once more, so that is added to what it cost.
    fn compare(&self, record: &Record) {
        let Course { shared, job, view, plan, seat, tab, .. } = &*self.course;
        let failed = match record.outcome {
            Outcome::Answered => false,
            Outcome::ServerError | Outcome::Refused | Outcome::BrokeOff => true,
            Outcome::ClientGone => return shared.guard.ended(*seat, None),
        };
        // Of these it is not known how long they take, or that they were any work.
        let unknown = matches!(record.status, 101 | 202 | 400..500);
        let came = policy::plan::size(job, view, plan).filter(|_| failed || !unknown).map(|size| {
            let took_s = (record.took_s - self.stalled_s).max(0.0);
            let cost = view.pricing.time_value_per_s(job.urgency) * took_s + tab.total();
            if !failed {
                hindsight::count(&self.course, record, cost);
            }
            Came { cost: cost + if failed { size } else { 0.0 }, size, took_s }
        });
        shared.guard.ended(*seat, came.as_ref());
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.end(Outcome::ClientGone, 0);
    }
}

const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Adopt => "adopt",
        Action::Send => "send",
    }
}

const fn plan_word(shadowing: &Shadowing) -> &'static str {
    match shadowing {
        Shadowing::Direct => "direct",
        Shadowing::Lead { .. } => "lead",
        Shadowing::Probe { .. } => "probe",
        Shadowing::Sample { .. } => "sample",
    }
}
