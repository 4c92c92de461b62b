//! The near side of the simulation: what the proxy's contest does with a fence, with every choice left to the draw.

use super::world::{Frame, Run, Sabotage, World};
use crate::fate::Fate;
use crate::fence::{Dispatch, End, Fence, Reply, Token};
use crate::lease::Adoption;
use crate::units::NetworkId;

/// The near side of one job.
#[derive(Debug, Default)]
pub(super) struct Near {
    pub(super) fence: Fence,
    pub(super) token: Option<Token>,
    asked: Option<NetworkId>,
    sent_again: u8,
    /// What the client has got: of which dispatch.
    client: Vec<(Dispatch, Frame)>,
    left: bool,
    /// The answer has ended, well or not.
    over: bool,
    gone: Vec<Dispatch>,
    /// The lead's head is here, and nobody has looked at it yet.
    begun_not_settled: bool,
}

impl Near {
    /// Whether it takes a dispatch to run no more.
    pub(super) fn is_known_gone(&self, dispatch: Dispatch) -> bool {
        self.gone.contains(&dispatch)
    }

    /// Whether it counts a dispatch as running, or as possibly so.
    pub(super) fn counts(&self, dispatch: Dispatch) -> bool {
        self.fence.running().chain(self.fence.possibly_running()).chain(self.fence.answering()).any(|d| d == dispatch)
    }

    fn ended(&mut self, dispatch: Dispatch, end: End) {
        self.fence.ended(dispatch, end);
        if end == End::Gone {
            self.gone.push(dispatch);
        }
    }
}

fn network(index: usize) -> NetworkId {
    NetworkId::new(index).expect("below the most networks")
}

/// The near side's steps.
impl World {
    /// A lead at home, shadows on two networks.
    pub(super) fn begin(&mut self) {
        for dispatch in [Dispatch::Lead(network(0)), Dispatch::Shadow(network(1)), Dispatch::Shadow(network(2))] {
            self.send(dispatch);
        }
    }

    fn send(&mut self, dispatch: Dispatch) {
        if self.near.fence.started(dispatch).is_ok() {
            self.runs.push(Run::new(dispatch));
        }
    }

    /// The near side does something that it could do.
    pub(super) fn near_acts(&mut self) {
        if self.near.left || self.near.token.is_some() {
            if self.draw(40) == 0 {
                self.leave();
            }
            return;
        }
        if self.near.begun_not_settled && self.draw(2) == 0 {
            return self.settle();
        }
        let broken = self.near.fence.leading().is_none();
        match self.draw(if broken { 8 } else { 60 }) {
            0..=3 => {
                let on = network(1 + self.draw(2));
                self.ask(on);
            }
            4 | 5 if self.near.asked.is_some() => self.hear_silence(),
            6 | 7 => self.send_again(),
            8 => self.cancel_shadows(),
            9 => self.leave(),
            _ => {}
        }
    }

    fn ask(&mut self, on: NetworkId) {
        if self.near.asked.is_some() || self.near.fence.ask(on).is_err() {
            return;
        }
        if self.at(on).is_some_and(|at| self.runs[at].tally.fate() == Fate::Finished) {
            // Nobody has to agree to what is here whole.
            return self.taken(on, Reply::TooLate);
        }
        if let Some(at) = self.at(on) {
            self.runs[at].tally.ask();
        }
        self.near.asked = Some(on);
        self.questions.push(on);
    }

    fn hear_silence(&mut self) {
        let Some(on) = self.near.asked.take() else { return };
        self.seen.unknown += 1;
        let reply = if self.is(Sabotage::SilenceIsYes) { Reply::Granted } else { Reply::Unknown };
        self.taken(on, reply);
    }

    /// A reply has come, perhaps to a question that was given up long ago.
    pub(super) fn hear_reply(&mut self, on: NetworkId, said: Option<Adoption>) {
        if self.near.asked == Some(on) {
            self.near.asked = None;
        }
        let reply = match said {
            Some(Adoption::Granted) => Reply::Granted,
            Some(Adoption::TooLate) => Reply::TooLate,
            None => Reply::Unknown,
        };
        self.taken(on, reply);
    }

    fn taken(&mut self, on: NetworkId, reply: Reply) {
        let Some(at) = self.at(on) else { return };
        if !self.runs[at].held || self.near.fence.leading() == Some(Dispatch::Shadow(on)) {
            // It was let go of, or adopted, before; what is said of it now changes nothing.
            let leads = self.near.fence.leading();
            let taken = self.near.fence.replied(on, reply).is_ok();
            if self.near.fence.leading() != leads || taken && leads != Some(Dispatch::Shadow(on)) {
                self.breach("a late reply changed who leads");
            }
            return;
        }
        match self.near.fence.replied(on, reply) {
            Ok(()) => self.lead_by(at),
            Err(_given_up) => {
                let end = if reply == Reply::TooLate { End::Gone } else { End::Lost };
                if end == End::Gone {
                    self.near.gone.push(Dispatch::Shadow(on));
                }
                self.let_go(at, end);
            }
        }
    }

    /// The shadow there is the real job now.
    fn lead_by(&mut self, at: usize) {
        self.near.asked = None;
        let counted = self.runs[at].tally.adopt();
        self.count(at, counted);
        self.free(at);
        for other in (0..self.runs.len()).filter(|other| *other != at) {
            self.let_go(other, End::Lost);
        }
        if self.runs[at].tally.fate() != Fate::Adopted {
            return self.let_go(at, End::Lost);
        }
        for frame in std::mem::take(&mut self.runs[at].kept) {
            self.of_the_lead(at, frame);
        }
    }

    /// Live work needs its room on this side.
    pub(super) fn shed_near(&mut self, at: usize) {
        let Dispatch::Shadow(on) = self.runs[at].dispatch else { return };
        let wanted = self.near.asked == Some(on) || self.near.fence.leading() == Some(self.runs[at].dispatch);
        let blindly = self.is(Sabotage::AskedIsShed);
        let tally = &mut self.runs[at].tally;
        let counted = if blindly { tally.end(Fate::Shed) } else { tally.shed() };
        if counted.is_none() && !blindly {
            return;
        }
        if wanted {
            self.breach("a shadow was shed that is asked for, or leads");
        }
        self.seen.shed_near += 1;
        self.count(at, counted);
        self.near.ended(Dispatch::Shadow(on), End::Lost);
        self.close(at);
    }

    fn send_again(&mut self) {
        if self.near.fence.answering().is_some() || self.near.sent_again >= 2 {
            return;
        }
        self.near.asked = None;
        for at in 0..self.runs.len() {
            self.let_go(at, End::Lost);
        }
        self.near.sent_again += 1;
        self.seen.failed_over += 1;
        self.send(Dispatch::Again(network(usize::from(self.near.sent_again)), self.near.sent_again));
    }

    fn cancel_shadows(&mut self) {
        if self.near.fence.leading().is_none_or(|lead| matches!(lead, Dispatch::Shadow(_))) {
            return;
        }
        self.near.asked = None;
        for at in 0..self.runs.len() {
            if self.runs[at].is_shadow() {
                let counted = self.runs[at].tally.end(Fate::WindowEnded);
                self.count(at, counted);
                self.let_go(at, End::Lost);
            }
        }
    }

    /// The client goes away, or the job is over.
    pub(super) fn leave(&mut self) {
        if self.near.left {
            return;
        }
        self.seen.client_left += u32::from(!self.near.over);
        self.near.left = true;
        self.near.asked = None;
        let answering = self.near.fence.answering().filter(|_| !self.near.over);
        if self.near.over {
            // The answer is whole; what answered is gone, and what did not was let go of before.
            self.near.token = None;
        } else {
            self.near.fence.abandon();
            self.near.token = None;
        }
        debug_assert!(answering.is_none_or(|dispatch| self.near.counts(dispatch)));
        for at in 0..self.runs.len() {
            self.let_go(at, End::Lost);
        }
    }

    /// A frame of a dispatch has come.
    pub(super) fn hear(&mut self, at: usize, frame: Frame) {
        let dispatch = self.runs[at].dispatch;
        let asked = self.near.asked.map(Dispatch::Shadow);
        if self.near.fence.leading() == Some(dispatch) {
            self.seen.lead_broke_while_asked += u32::from(frame == Frame::Broken && asked.is_some());
            return self.of_the_lead(at, frame);
        }
        if self.is(Sabotage::NoToken) && matches!(frame, Frame::Head | Frame::Data(_)) {
            self.pass_on(at, frame);
        }
        match frame {
            Frame::Head | Frame::Data(_) => self.runs[at].kept.push(frame),
            Frame::End => {
                self.runs[at].kept.push(frame);
                let counted = self.runs[at].tally.end(Fate::Finished);
                self.count(at, counted);
                self.near.ended(dispatch, End::Answered);
            }
            Frame::Broken | Frame::Refused => {
                self.seen.died_while_asked += u32::from(asked == Some(dispatch));
                let (fate, end) =
                    if frame == Frame::Refused { (Fate::Refused, End::Gone) } else { (Fate::Failed, End::Lost) };
                let counted = self.runs[at].tally.end(fate);
                self.count(at, counted);
                self.near.ended(dispatch, end);
                self.close(at);
            }
        }
    }

    fn of_the_lead(&mut self, at: usize, frame: Frame) {
        let dispatch = self.runs[at].dispatch;
        match frame {
            Frame::Head if self.near.token.is_some() || self.is(Sabotage::BegunIsSwitched) => self.pass_on(at, frame),
            Frame::Head => {
                self.near.fence.begun();
                self.seen.overtaken_by_head += u32::from(self.near.asked.is_some());
                self.near.begun_not_settled = true;
                self.runs[at].kept.push(frame);
            }
            Frame::Data(_) | Frame::End if self.near.begun_not_settled => self.runs[at].kept.push(frame),
            Frame::Data(_) => self.pass_on(at, frame),
            Frame::End => {
                self.pass_on(at, frame);
                let adopted = matches!(dispatch, Dispatch::Shadow(_));
                self.seen.answered_by_adopted += u32::from(adopted);
                self.seen.answered_by_lead += u32::from(!adopted);
                self.near.over = true;
                self.near.ended(dispatch, End::Answered);
                self.free(at);
            }
            Frame::Broken | Frame::Refused => {
                let end = if frame == Frame::Refused { End::Gone } else { End::Lost };
                self.near.ended(dispatch, end);
                self.near.begun_not_settled = false;
                if self.near.token.is_some() {
                    // The client has begun to read it: its answer breaks off, and nothing takes its place.
                    self.near.over = true;
                }
                self.close(at);
            }
        }
    }

    /// The lead's head is here, and it is the job's answer.
    fn settle(&mut self) {
        self.near.begun_not_settled = false;
        self.near.asked = None;
        let leading = self.near.fence.leading();
        let Some(at) = self.runs.iter().position(|run| Some(run.dispatch) == leading) else { return };
        for other in (0..self.runs.len()).filter(|other| *other != at) {
            self.let_go(other, End::Lost);
        }
        self.near.token = self.near.fence.choose().ok();
        for frame in std::mem::take(&mut self.runs[at].kept) {
            self.of_the_lead(at, frame);
        }
    }

    /// What the client gets; it must be of one execution, in its order.
    fn pass_on(&mut self, at: usize, frame: Frame) {
        let dispatch = self.runs[at].dispatch;
        if self.near.left {
            return self.breach("something was passed on to a client that left");
        }
        let (first, last) = (self.near.client.first().copied(), self.near.client.last().copied());
        if first.is_some_and(|(first, _)| first != dispatch) {
            return self.breach("bytes of two executions were mixed");
        }
        let fits = match (last.map(|(_, last)| last), frame) {
            (None, Frame::Head) => true,
            (Some(Frame::Head), Frame::Data(piece)) => piece == 2,
            (Some(Frame::Data(last)), Frame::Data(piece)) => piece == last + 1,
            (Some(Frame::Data(_)), Frame::End) => true,
            _ => false,
        };
        if !fits {
            self.breach("an answer's pieces were lost or came out of order");
        }
        self.near.client.push((dispatch, frame));
    }

    /// Gives a dispatch up, if it is still held.
    fn let_go(&mut self, at: usize, end: End) {
        if !self.runs[at].held {
            return;
        }
        let end = if self.is(Sabotage::CancelledIsGone) { End::Gone } else { end };
        if self.near.fence.leading() == Some(self.runs[at].dispatch) {
            self.near.begun_not_settled = false;
        }
        self.near.ended(self.runs[at].dispatch, end);
        self.close(at);
    }

    /// Its connection is closed; whether the far side hears of it is another matter.
    fn close(&mut self, at: usize) {
        let now_s = self.now_s;
        let run = &mut self.runs[at];
        if !std::mem::replace(&mut run.held, false) {
            return;
        }
        run.closed_s = now_s;
        run.cut_under_way = run.running;
        run.wire.clear();
        if run.is_shadow() {
            let counted = run.tally.close();
            self.count(at, counted);
            if self.is(Sabotage::CountedTwice) {
                self.runs[at].counted += 1;
            }
        }
        self.free(at);
    }

    fn count(&mut self, at: usize, counted: Option<Fate>) {
        self.runs[at].counted += u32::from(counted.is_some());
    }

    /// The near side's permit, behind the guard that it has in the proxy: freed with its holder, or before.
    fn free(&mut self, at: usize) {
        self.runs[at].near_freed = 1;
    }

    fn at(&self, on: NetworkId) -> Option<usize> {
        self.runs.iter().position(|run| run.dispatch == Dispatch::Shadow(on))
    }
}
