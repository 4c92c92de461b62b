//! A job whose answer is open: a lead, shadows, what they show, and what is done about it.
//!
//! The loop is always the same. Something is observed, `policy::decide` is asked, and its word is carried out: keep, adopt
//! or send. It ends with one response head, whose execution holds the fence's token; everything else has been cancelled by
//! then, and what cannot be known to be gone is counted.

mod act;
mod end;
mod failure;

use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use policy::fence::{Dispatch, End, Fence, Token};
use policy::{
    Action, Decision, Evidence, NetworkId, NetworkSet, Observation, PerNetwork, Phase, Plan, Progress, Reason, Step,
    observation,
};

use super::course::{Course, Head, Spare};
use super::shadow::{Board, NotAdopted, Shadow};
use super::view;
use crate::body::Body;
use crate::clock;
use crate::journal::Seen;
use crate::peer;
use crate::upstream::{Flight, Upload};

pub(super) use act::{answer_of, peers_own};
pub(super) use end::{Lost, Won};
pub(super) use failure::Failure;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;

/// The dispatch that answers if nothing else happens.
struct Lead {
    dispatch: Dispatch,
    /// `None` once it has come to something.
    answering: Option<Answering>,
    flight: Option<Flight>,
}

impl Lead {
    /// What it comes to. Never ends once it has.
    async fn answered(&mut self) -> Result<Response<Body>, Failure> {
        let Some(answering) = &mut self.answering else { return std::future::pending().await };
        let answered = answering.as_mut().await;
        self.answering = None;
        answered
    }
}

/// A job under contest.
pub(super) struct Contest {
    course: Arc<Course>,
    /// The plan, without the networks that have failed since.
    plan: Plan,
    /// When the shadows started, and with them the window.
    forked_s: f64,
    board: Arc<Board>,
    fence: Fence,
    token: Option<Token>,
    lead: Option<Lead>,
    shadows: Vec<Shadow>,
    started: NetworkSet,
    spare: Spare,
    /// The request, if it came back unsent.
    unsent: Option<Request<Body>>,
    /// Whether a dispatch that broke may have executed the job.
    may_have_run: bool,
    sent_again: u8,
    /// Shadows that may start when the body is whole, and for how long they may run.
    to_shadow: Option<(NetworkSet, f64)>,
    head: Option<Arc<Head>>,
    /// What was believed of each network's dispatch when it was last looked at.
    progress: PerNetwork<Option<Progress>>,
    /// What the window's end has settled, if the lead is watched after it.
    confirmed: Option<Decision>,
    /// It has been won.
    over: bool,
}

impl Contest {
    pub(super) fn new(course: Arc<Course>, spare: Spare) -> Self {
        Self {
            plan: course.plan,
            forked_s: course.planned_s,
            course,
            board: Arc::default(),
            fence: Fence::new(),
            token: None,
            lead: None,
            shadows: Vec::new(),
            started: NetworkSet::EMPTY,
            head: spare.head.clone(),
            spare,
            unsent: None,
            may_have_run: false,
            sent_again: 0,
            to_shadow: None,
            progress: PerNetwork::default(),
            confirmed: None,
            over: false,
        }
    }

    /// Starts the lead.
    pub(super) fn lead(&mut self, to: NetworkId, request: Request<Body>) {
        self.launch(Dispatch::Lead(to), request);
    }

    /// A dispatch before this contest broke off, and may have been executed.
    pub(super) fn may_have_run(&mut self) {
        self.may_have_run = true;
    }

    /// Shadows will start on `on` as soon as the body is whole.
    pub(super) fn shadow(&mut self, on: NetworkSet, window_s: f64) {
        self.to_shadow = Some((on, window_s));
    }

    /// Takes up a job whose only dispatch has failed.
    pub(super) fn rescue(&mut self, from: NetworkId, failure: Failure) -> Failure {
        // It was sent before there was a fence, and takes its place in it now.
        if self.fence.started(Dispatch::Lead(from)).is_ok() {
            self.fence.ended(Dispatch::Lead(from), end_of(&failure));
        }
        self.note_failure(from, &failure);
        self.keep_unsent(failure)
    }

    /// Holds the job until something answers or nothing can.
    pub(super) async fn run(mut self, mut failure: Option<Failure>) -> Result<Won, Box<Lost>> {
        let mut settled: Option<Decision> = None;
        let mut answer: Option<Response<Body>> = None;
        if self.spare.body.as_ref().is_none_or(|spool| spool.settled().is_some_and(|whole| whole.is_ok())) {
            self.fork(true);
        }
        loop {
            self.note_shadows();
            let wait_until = match settled {
                Some(_) => None,
                // Before the body is whole there is no window, and while the lead runs there is nothing to decide.
                None if self.to_shadow.is_some() && self.lead.is_some() && answer.is_none() => None,
                None => match self.decide() {
                    Step::WaitUntil(at_s) => Some(at_s),
                    Step::Settled(decision) => {
                        // What stood against it is in the evidence now, so the next look comes to something else.
                        let shadowed = !self.shadows.is_empty();
                        if let Err(failed) = self.act(&decision, &mut answer).await {
                            failure = failed.or(failure);
                            continue;
                        }
                        if shadowed && decision.action == Action::Keep && answer.is_none() {
                            // The window is over, and the lead alone may still show that it is a straggler.
                            self.confirmed = Some(decision);
                            continue;
                        }
                        settled = Some(self.confirmed.filter(|_| stands(&decision)).unwrap_or(decision));
                        None
                    }
                },
            };
            if let Some(decision) = settled {
                self.choose();
                if let Some(token) = self.token.take_if(|_| answer.is_some())
                    && let Some(response) = answer.take()
                {
                    return Ok(self.won(response, decision, token));
                }
                if self.lead.is_none() {
                    let decision = self.carried_out(decision);
                    let failure = failure.unwrap_or(Failure::NotAdopted(NotAdopted::BrokeOff));
                    return Err(Box::new(self.lost(failure, decision)));
                }
            }
            match self.next(wait_until, answer.is_some()).await {
                Next::Look => {}
                Next::Answered(Ok(response)) => self.note_head(response, &mut answer),
                Next::Answered(Err(failed)) => {
                    settled = None;
                    failure = Some(self.lead_failed(failed));
                }
            }
        }
    }

    /// Asks the policy, with the networks as they are now: much may have happened since the job arrived.
    fn decide(&mut self) -> Step {
        let evidence = self.evidence();
        self.note_progress(&evidence);
        let Course { shared, job, model, generation, .. } = &*self.course;
        let now_s = clock::now_s();
        let mut view = view(shared, generation, job, now_s);
        self.course.needs.look(shared, generation, &self.course.upload, &mut view);
        let step = policy::decide(job, &view, model.as_deref(), &self.plan, &evidence, self.forked_s, now_s);
        if generation.config.journal.is_some() {
            let decision = if let Step::Settled(decision) = &step { Some(*decision) } else { None };
            let seen = Seen { view, evidence, forked_s: self.forked_s, at_s: now_s, decision };
            *self.course.seen.lock() = Some(Box::new(seen));
        }
        step
    }

    /// Keeps what was seen for the record. Of a dispatch that was given up, the last look stays.
    fn note_progress(&mut self, evidence: &Evidence) {
        let shadows = self.started.iter().filter_map(|on| Some((on, evidence.shadows[on]?)));
        for (on, seen) in shadows.chain(evidence.lead) {
            self.progress[on] = seen.believed().or(self.progress[on]);
        }
    }

    /// What the dispatches have shown, without what can no longer be had: a shadow that was cancelled may still look alive
    /// on the board.
    fn evidence(&self) -> Evidence {
        let mut evidence = self.board.read();
        if let Some((_, lead)) = &mut evidence.lead
            && self.lead.as_ref().is_some_and(|lead| !matches!(lead.dispatch, Dispatch::Shadow(_)))
        {
            // Of a lead that has shown something and waits since, this makes too little rather than too much: it is not left for
            // a client that is slow.
            lead.waited(self.course.upload.waited_s());
        }
        for shadow in &self.shadows {
            if let Some(seen) = &mut evidence.shadows[shadow.on()]
                && is_since_whole(seen, shadow.upload())
            {
                seen.waited(shadow.upload().waited_s());
            }
        }
        for network in self.started.iter() {
            let held = self.shadows.iter().any(|shadow| shadow.on() == network);
            let over = |o: &Observation| matches!(o.phase, Phase::Refused | Phase::Failed);
            if !held && !evidence.shadows[network].is_some_and(|o| over(&o)) {
                evidence.shadows[network] = None;
            }
        }
        evidence
    }

    /// Waits for the lead's answer, for something new on the board, or for the time to look again.
    async fn next(&mut self, wait_until: Option<f64>, has_answer: bool) -> Next {
        let spool = self.to_shadow.as_ref().and_then(|_| self.spare.body.clone());
        let waiting_for_body = self.to_shadow.is_some();
        let board = Arc::clone(&self.board);
        let timer = async {
            match wait_until.filter(|_| !waiting_for_body) {
                Some(at_s) => tokio::time::sleep_until(clock::instant(at_s).into()).await,
                None => std::future::pending().await,
            }
        };
        let whole = async {
            match (waiting_for_body, spool) {
                (true, Some(spool)) => spool.complete().await.is_ok(),
                (true, None) => true,
                (false, _) => std::future::pending().await,
            }
        };
        let answering = async {
            match &mut self.lead {
                Some(lead) if !has_answer => lead.answered().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answered = answering => Next::Answered(answered),
            is_whole = whole => {
                self.fork(is_whole);
                Next::Look
            }
            () = board.changed() => Next::Look,
            () = timer => Next::Look,
        }
    }

    /// The body is whole, or never will be: now shadows start, or none ever does.
    fn fork(&mut self, body_is_whole: bool) {
        let Some((on, window_s)) = self.to_shadow.take() else { return };
        let Some(head) = self.head.clone().filter(|_| body_is_whole) else { return };
        self.forked_s = clock::now_s();
        for network in on.iter() {
            if self.fence.started(Dispatch::Shadow(network)).is_err() {
                continue;
            }
            let body = self.spare.body.as_ref();
            match Shadow::start(&self.course, &self.board, network, &head, body, window_s) {
                Ok(shadow) => {
                    self.started = self.started.with(network);
                    self.shadows.push(shadow);
                }
                Err(_no_permit) => {
                    self.fence.ended(Dispatch::Shadow(network), End::Gone);
                    self.board.write(|evidence| {
                        let now_s = clock::now_s();
                        evidence.shadows[network] =
                            Some(Observation { phase: Phase::Refused, ..Observation::started(now_s) });
                    });
                }
            }
        }
    }

    /// Tells the fence which shadows have ended by themselves. What was let go of is not known by what the board says.
    fn note_shadows(&mut self) {
        let held: NetworkSet = self.shadows.iter().map(Shadow::on).collect();
        for on in held.iter() {
            self.note_shadow(on);
        }
    }

    fn note_shadow(&mut self, on: NetworkId) {
        let end = match self.board.read().shadows[on].map(|shadow| shadow.phase) {
            Some(Phase::Finished { good: true, .. }) => End::Answered,
            Some(Phase::Finished { good: false, .. } | Phase::Refused) => End::Gone,
            Some(Phase::Failed) => End::Lost,
            Some(Phase::Running | Phase::Head { .. } | Phase::BlockedOnData) | None => return,
        };
        self.fence.ended(Dispatch::Shadow(on), end);
    }

    fn note_head(&mut self, response: Response<Body>, answer: &mut Option<Response<Body>>) {
        let good = observation::lead_is_good(response.status().as_u16());
        self.fence.begun();
        *answer = Some(response);
        self.board.write(|evidence| {
            if let Some((_, lead)) = &mut evidence.lead {
                lead.phase = Phase::Head { at_s: clock::now_s() - lead.started_s, good };
            }
        });
    }

    fn lead_failed(&mut self, failure: Failure) -> Failure {
        let from = self.lead.as_ref().map(|lead| lead.dispatch.network());
        self.drop_lead(end_of(&failure));
        if let Some(from) = from {
            self.note_failure(from, &failure);
        }
        self.keep_unsent(failure)
    }

    fn note_failure(&mut self, from: NetworkId, failure: &Failure) {
        let phase = if failure.not_executed() { Phase::Refused } else { Phase::Failed };
        self.may_have_run |= !failure.not_executed();
        tracing::info!(network = self.course.network(from).name(), error = %failure, "a dispatch failed");
        self.board.write(|evidence| {
            let observed = evidence.lead.map_or_else(|| Observation::started(clock::now_s()), |(_, lead)| lead);
            evidence.lead = Some((from, Observation { phase, ..observed }));
        });
        self.plan.eligible = self.plan.eligible.without(from);
    }

    /// Takes the request out of a failure, if it was never sent.
    fn keep_unsent(&mut self, failure: Failure) -> Failure {
        match failure {
            Failure::Send(error) if error.not_executed() => {
                let told = Failure::NotSent { why: error.to_string() };
                self.unsent = error.into_unsent().map(|mut request| {
                    // The next network is told for itself what it must know.
                    peer::unmark(request.headers_mut());
                    request
                });
                told
            }
            other => other,
        }
    }
}

/// Whether what a dispatch has shown was shown when its body was whole: then all that it has waited for it was before that.
pub(super) fn is_since_whole(seen: &Observation, upload: &Upload) -> bool {
    upload.ended_s().is_some_and(|ended_s| seen.progressed_s.is_none_or(|shown_s| shown_s >= ended_s))
}

/// Whether a decision leaves what the window's end has settled as it is.
fn stands(decision: &Decision) -> bool {
    decision.action == Action::Keep && decision.reason != Reason::LeadFailed
}

/// What is known of a dispatch that failed.
fn end_of(failure: &Failure) -> End {
    if failure.not_executed() { End::Gone } else { End::Lost }
}

enum Next {
    Look,
    Answered(Result<Response<Body>, Failure>),
}
