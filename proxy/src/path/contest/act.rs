//! What is done about a decision: dispatches are launched, adopted and cancelled here, each under the fence.

use std::sync::Arc;

use http::{Request, Response};
use policy::fence::{Dispatch, End, Reply};
use policy::learn::{self, Row};
use policy::{Action, Decision, NetworkId, Observation, Phase, Reason};

use super::{Contest, Failure, Lead, NotAdopted, is_since_whole};
use crate::body::Body;
use crate::clock;
use crate::path::asynchronous;
use crate::path::course::Course;
use crate::path::progress::{self, Dispatched};
use crate::path::shadow::Shadow;
use crate::problem;
use crate::upstream::Purpose;

impl Contest {
    /// Carries a decision out.
    pub(super) async fn act(
        &mut self,
        decision: &Decision,
        answer: &mut Option<Response<Body>>,
    ) -> Result<(), Option<Failure>> {
        self.to_shadow = None;
        match decision.action {
            Action::Keep => self.cancel_shadows(decision.reason),
            Action::Adopt => {
                self.adopt(decision.target, answer).await?;
                *answer = None;
            }
            Action::Send => {
                if self.send_again(decision.target) {
                    *answer = None;
                } else if self.lead.is_some() {
                    // Nothing is left to send it with. What leads goes on, and is not said to be what was never sent.
                    self.plan.eligible = self.plan.eligible.without(decision.target);
                    return Err(None);
                }
            }
        }
        self.choose();
        Ok(())
    }

    /// Gives the token to the lead, if it is not given yet.
    pub(super) fn choose(&mut self) {
        if self.lead.is_some() && self.token.is_none() {
            self.token = self.fence.choose().ok();
        }
    }

    /// Makes the shadow there the lead. What led before goes on until the far side has agreed, and if its head comes first,
    /// it answers: nobody is kept waiting by a sidecar that does not.
    async fn adopt(&mut self, on: NetworkId, answer: &mut Option<Response<Body>>) -> Result<(), Option<Failure>> {
        let place = self.shadows.iter().position(|shadow| shadow.on() == on);
        let Some(place) = place.filter(|_| self.fence.ask(on).is_ok()) else {
            self.refused(on);
            return Err(None);
        };
        let shadow = self.shadows.swap_remove(place);
        let mut lead_failed = None;
        let agreed = self.ask(&shadow, answer, &mut lead_failed).await;
        self.note_shadow(on);
        let reply = agreed.as_ref().map_or_else(NotAdopted::reply, |()| Reply::Granted);
        if !shadow.lives() || self.fence.replied(on, reply).is_err() {
            // A worker of ours is killed here, and known to be gone.
            self.fence.ended(Dispatch::Shadow(on), shadow.stop());
            self.refused(on);
            return Err(lead_failed.or_else(|| agreed.err().map(Failure::from)));
        }
        shadow.adopt();
        self.learn_from_lead();
        self.drop_lead(End::Lost);
        self.cancel_shadows(Reason::Switched);
        let observed = self.board.read().shadows[on].unwrap_or_else(|| Observation::started(clock::now_s()));
        self.board.write(|evidence| {
            evidence.shadows[on] = None;
            evidence.lead = Some((on, observed));
        });
        let answering = Box::pin(async move { shadow.answer().await.map_err(Failure::from) });
        self.lead = Some(Lead { dispatch: Dispatch::Shadow(on), answering: Some(answering), flight: None });
        Ok(())
    }

    /// Asks for a shadow while the lead goes on. A lead whose head comes first ends the asking; one that breaks does not, for
    /// then the shadow is wanted all the more.
    async fn ask(
        &mut self,
        shadow: &Shadow,
        answer: &mut Option<Response<Body>>,
        lead_failed: &mut Option<Failure>,
    ) -> Result<(), NotAdopted> {
        let asked = shadow.ask();
        tokio::pin!(asked);
        loop {
            let Some(lead) = self.lead.as_mut().filter(|_| answer.is_none()) else { return asked.await };
            tokio::select! {
                biased;
                answered = lead.answered() => match answered {
                    Ok(response) => {
                        self.note_head(response, answer);
                        return Err(NotAdopted::Overtaken);
                    }
                    Err(failed) => *lead_failed = Some(self.lead_failed(failed)),
                },
                adopted = &mut asked => return adopted,
            }
        }
    }

    /// The shadow there cannot be had; the network itself may still run the job afresh.
    fn refused(&self, on: NetworkId) {
        self.board.write(|evidence| {
            let observed = evidence.shadows[on].unwrap_or_else(|| Observation::started(clock::now_s()));
            evidence.shadows[on] = Some(Observation { phase: Phase::Refused, ..observed });
        });
    }

    /// What leads now is given up for something better; its rate so far is half of a pair.
    fn learn_from_lead(&self) {
        let Some((on, observed)) = self.evidence().lead.filter(|_| self.lead.is_some()) else { return };
        let now_s = clock::now_s();
        if self.course.upload.waited_s() > 0.0 && !is_since_whole(&observed, &self.course.upload) {
            // How much of the time until it showed that was spent waiting for the client, nobody knows.
            return;
        }
        if let Some(label) = learn::stopped(&observed, false, self.course.arriving_s(on), now_s) {
            self.course.shared.oracle.learn(Row {
                job: self.course.job,
                pair: self.course.id,
                network: on,
                label,
                cpu_s: None,
                memory_bytes: None,
                response_bytes: None,
            });
        }
    }

    /// Sends the job afresh, if there is anything left to send.
    fn send_again(&mut self, to: NetworkId) -> bool {
        let Some(request) = self.unsent.take().or_else(|| self.spare.request()) else { return false };
        self.learn_from_lead();
        self.drop_lead(End::Lost);
        self.cancel_shadows(Reason::Failover);
        self.sent_again += 1;
        if let Some((from, _)) = self.board.read().lead {
            self.course.shared.metrics.failed_over(from);
        }
        self.launch(Dispatch::Again(to, self.sent_again), request);
        true
    }

    pub(super) fn launch(&mut self, dispatch: Dispatch, request: Request<Body>) {
        if self.fence.started(dispatch).is_err() {
            return;
        }
        let to = dispatch.network();
        let course = Arc::clone(&self.course);
        let flight = course.depart(to);
        self.board.write(|evidence| {
            let observed = Observation { granted: Some(1.0), ..Observation::started(flight.sent_s()) };
            evidence.lead = Some((to, observed));
        });
        let board = Arc::clone(&self.board);
        let tell = move |progress| board.lead_progressed(to, progress);
        let answering = Box::pin(async move {
            let (network, id) = (course.network(to), course.dispatch_id("t"));
            let of = Dispatched { course: &course, network, id: &id, upload: &course.upload, pace: &course.upload };
            let sent = |request| answer_of(&course, to, request);
            progress::while_watching(of, request, std::future::ready(()), tell, progress::unheard, sent).await
        });
        self.lead = Some(Lead { dispatch, answering: Some(answering), flight: Some(flight) });
    }

    pub(super) fn drop_lead(&mut self, end: End) {
        if let Some(token) = self.token.take() {
            self.fence.give_back(token);
        }
        if let Some(lead) = self.lead.take() {
            self.fence.ended(lead.dispatch, end);
            self.let_go(lead);
        }
    }

    /// A lead that is given up before it has answered may leave something behind.
    pub(super) fn let_go(&self, lead: Lead) {
        let Lead { dispatch, answering, mut flight } = lead;
        if let Some(flight) = &mut flight {
            flight.carried(self.course.upload.bytes());
        }
        drop(flight);
        if let Some(answering) = answering {
            asynchronous::reap(&self.course, self.head.as_ref(), dispatch.network(), answering);
        }
    }

    fn cancel_shadows(&mut self, why: Reason) {
        let is_over = clock::now_s() >= self.forked_s + self.plan.shadowing.window_s();
        for shadow in self.shadows.drain(..) {
            // Stopped before that it was for what was seen, and a time that it outlived then would be biased by it.
            if is_over && matches!(why, Reason::WindowEnded | Reason::LeadConfirmed) {
                shadow.window_ended();
            }
            self.fence.ended(Dispatch::Shadow(shadow.on()), shadow.stop());
        }
    }

    /// Stops all shadows: nobody will ask what they have come to.
    pub(super) fn stop_shadows(&mut self) {
        for shadow in self.shadows.drain(..) {
            self.fence.ended(Dispatch::Shadow(shadow.on()), shadow.stop());
        }
    }
}

/// The real job's answer from one network; a sidecar's refusal is not an answer.
pub(in crate::path) async fn answer_of(
    course: &Course,
    to: NetworkId,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let response = course.send(to, Purpose::Job, request).await?;
    course.hears(to, response.headers());
    match peers_own(course, to, &response) {
        Some(failure) => Err(failure),
        None => Ok(response.map(|answer| Body::Answer(Box::new(answer)))),
    }
}

/// What a sidecar answered in its own name, if that is what it did.
pub(in crate::path) fn peers_own<B>(course: &Course, to: NetworkId, response: &Response<B>) -> Option<Failure> {
    let network = course.network(to);
    let slug = response.headers().get(&problem::PROBLEM).filter(|_| network.is_sidecar())?;
    Some(Failure::Peer {
        network: network.name().to_owned(),
        status: response.status(),
        slug: slug.to_str().unwrap_or_default().to_owned(),
        not_executed: response.headers().contains_key(&problem::NOT_EXECUTED),
    })
}
