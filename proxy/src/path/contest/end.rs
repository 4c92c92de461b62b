//! What a contest comes to, whatever way it ends: an answer, a failure, or a client that has gone.

use http::Response;
use policy::fence::Token;
use policy::{Action, Decision, NetworkSet, PerNetwork, Progress, Reason};

use super::{Contest, Failure};
use crate::body::Body;
use crate::problem::Problem;
use crate::upstream::Flight;

/// What a contest came to.
pub(in crate::path) struct Won {
    pub(in crate::path) response: Response<Body>,
    pub(in crate::path) decision: Decision,
    /// The winner's place in the ledger, if its own task does not keep it.
    pub(in crate::path) flight: Option<Flight>,
    pub(in crate::path) shadows: NetworkSet,
    pub(in crate::path) possibly_running: u8,
    pub(in crate::path) progress: PerNetwork<Option<Progress>>,
    /// Proof that it is the one execution that answers.
    pub(in crate::path) _token: Token,
}

/// What a contest came to if nobody answered.
pub(in crate::path) struct Lost {
    pub(in crate::path) failure: Failure,
    /// What the client is told: that nothing was executed only if no dispatch can have been.
    pub(in crate::path) problem: Problem,
    pub(in crate::path) decision: Decision,
    pub(in crate::path) shadows: NetworkSet,
    pub(in crate::path) possibly_running: u8,
    pub(in crate::path) progress: PerNetwork<Option<Progress>>,
}

impl Contest {
    pub(super) fn won(mut self, response: Response<Body>, decision: Decision, token: Token) -> Won {
        self.note_progress(&self.board.read());
        let flight = self.lead.take().and_then(|lead| lead.flight);
        let possibly_running = self.possibly_running();
        self.over = true;
        let (shadows, progress) = (self.started, self.progress);
        Won { response, decision, flight, shadows, possibly_running, progress, _token: token }
    }

    pub(super) fn lost(self, failure: Failure, decision: Decision) -> Lost {
        let may_have_run = self.may_have_run || !self.started.is_empty();
        let problem = match failure.problem() {
            Problem::NoNetwork if may_have_run => Problem::BrokeOff,
            problem => problem,
        };
        let possibly_running = self.possibly_running();
        Lost { failure, problem, decision, shadows: self.started, possibly_running, progress: self.progress }
    }

    /// What a decision came to when nothing runs: a job that could not be sent stays that of the network that failed it.
    pub(super) fn carried_out(&self, decision: Decision) -> Decision {
        match self.board.read().lead {
            Some((failed, _)) if decision.action == Action::Send && self.unsent.is_none() => {
                Decision { target: failed, action: Action::Keep, reason: Reason::LeadFailed, ..decision }
            }
            _ => decision,
        }
    }

    fn possibly_running(&self) -> u8 {
        u8::try_from(self.fence.possibly_running().count()).unwrap_or(u8::MAX)
    }
}

impl Drop for Contest {
    /// Whatever way it ends: what still runs is given up, but for what answers.
    fn drop(&mut self) {
        let answers = std::mem::take(&mut self.over);
        if !answers {
            // Of a worker of ours it is known that it is gone; of what runs elsewhere it is not.
            self.stop_shadows();
            self.fence.abandon();
            if let Some(lead) = self.lead.take() {
                self.let_go(lead);
            }
        }
        self.course.left.set(self.started, self.possibly_running().saturating_add(u8::from(answers)));
    }
}
