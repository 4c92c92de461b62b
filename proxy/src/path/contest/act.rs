//! What is done about a decision: dispatches are launched, adopted and cancelled here, each under the fence.

use std::sync::Arc;

use http::{Request, Response};
use policy::fence::{Dispatch, End};
use policy::learn::{self, Row};
use policy::{Action, Decision, NetworkId, Observation, Phase, Reason};

use super::{Contest, Failure, Lead};
use crate::body::Body;
use crate::clock;
use crate::path::course::Course;
use crate::path::progress;
use crate::peer;
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
                }
            }
        }
        self.choose();
        Ok(())
    }

    /// Gives the token to the lead, if it is not given yet.
    pub(super) fn choose(&mut self) {
        if let Some(lead) = &self.lead
            && self.token.is_none()
        {
            self.token = self.fence.choose(lead.dispatch).ok();
        }
    }

    /// Makes the shadow there the lead. What led before goes on until the far side has agreed, and if its head comes first,
    /// it answers: nobody is kept waiting by a sidecar that does not.
    async fn adopt(&mut self, on: NetworkId, answer: &mut Option<Response<Body>>) -> Result<(), Option<Failure>> {
        let Some(place) = self.shadows.iter().position(|shadow| shadow.on() == on) else {
            self.refused(on);
            return Err(None);
        };
        let shadow = self.shadows.swap_remove(place);
        let adopted = {
            let asked = shadow.adopt();
            tokio::pin!(asked);
            match &mut self.lead {
                Some(lead) if answer.is_none() => tokio::select! {
                    biased;
                    answered = lead.answering.as_mut() => Err(answered),
                    adopted = &mut asked => Ok(adopted),
                },
                _ => Ok(asked.await),
            }
        };
        match adopted {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => {
                self.fence.ended(Dispatch::Shadow(on), End::Lost);
                self.refused(on);
                return Err(Some(refused.into()));
            }
            Err(answered) => {
                self.fence.ended(Dispatch::Shadow(on), End::Lost);
                self.refused(on);
                match answered {
                    Ok(response) => self.note_head(response, answer),
                    Err(failed) => return Err(Some(self.lead_failed(failed))),
                }
                return Err(None);
            }
        }
        self.learn_from_lead();
        self.drop_lead(End::Lost);
        self.cancel_shadows(Reason::Switched);
        let observed = self.board.read().shadows[on].unwrap_or_else(|| Observation::started(clock::now_s()));
        self.board.write(|evidence| {
            evidence.shadows[on] = None;
            evidence.lead = Some((on, observed));
        });
        let answering = Box::pin(async move { shadow.answer().await.map_err(Failure::from) });
        self.lead = Some(Lead { dispatch: Dispatch::Shadow(on), answering, flight: None });
        Ok(())
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
        let Some((on, observed)) = self.board.read().lead.filter(|_| self.lead.is_some()) else { return };
        let now_s = clock::now_s();
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

    /// Sends the job afresh, if there is anything left to send. If not, what leads now goes on: better late than never.
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

    pub(super) fn launch(&mut self, dispatch: Dispatch, mut request: Request<Body>) {
        if self.fence.started(dispatch).is_err() {
            return;
        }
        let to = dispatch.network();
        let course = Arc::clone(&self.course);
        let flight = course.network(to).depart(course.predicted_s(to));
        self.board.write(|evidence| {
            let observed = Observation { granted: Some(1.0), ..Observation::started(flight.sent_s()) };
            evidence.lead = Some((to, observed));
        });
        let board = Arc::clone(&self.board);
        let seen = move |share| board.lead_progressed(to, share);
        let answering = Box::pin(async move {
            let network = Arc::clone(course.network(to));
            if !network.is_sidecar() {
                progress::listen(&mut request, seen);
                return answer_of(&course, to, request).await;
            }
            let id = course.dispatch_id("t");
            let watching = peer::watch_progress(network, course.worker, id, Arc::clone(&course.upload), seen);
            let sent = answer_of(&course, to, request);
            tokio::pin!(sent, watching);
            tokio::select! {
                biased;
                answered = &mut sent => answered,
                () = &mut watching => sent.await,
            }
        });
        self.lead = Some(Lead { dispatch, answering, flight: Some(flight) });
    }

    pub(super) fn drop_lead(&mut self, end: End) {
        if let Some(token) = self.token.take() {
            self.fence.give_back(token);
        }
        if let Some(lead) = self.lead.take() {
            self.fence.ended(lead.dispatch, end);
        }
    }

    fn cancel_shadows(&mut self, why: Reason) {
        for shadow in self.shadows.drain(..) {
            if matches!(why, Reason::WindowEnded | Reason::LeadConfirmed) {
                shadow.window_ended();
            }
            self.fence.ended(Dispatch::Shadow(shadow.on()), End::Lost);
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
