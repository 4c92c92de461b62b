//! The world of one simulated job: its dispatches, both sides of them, and what is under way between.

use std::collections::VecDeque;

use super::near::Near;
use crate::fate::Tally;
use crate::fence::Dispatch;
use crate::lease::{Adoption, Change, Ending, Lease};
use crate::units::NetworkId;

/// A fault built in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Near: whatever comes of any dispatch is passed on, token or not.
    NoToken,
    /// Near: no reply is taken for a yes.
    SilenceIsYes,
    /// Near: what is cancelled is taken to be gone.
    CancelledIsGone,
    /// Near: an answer that has begun is switched.
    BegunIsSwitched,
    /// Near: a shadow is counted when it ends and when it is let go of.
    CountedTwice,
    /// Far: the lease's timer does not look whether it was adopted.
    AdoptedIsKilled,
    /// Far: adopting one that is over says yes.
    OverIsGranted,
    /// Far: nothing looks at the lease when it ends.
    NoTimer,
    /// Far: the permit is freed on adoption and at the end.
    FreedTwice,
    /// Far: a near side that is lost is never noticed.
    NoKeepAlive,
    /// Far: whoever is told that live work needs its room does not look whether it was adopted.
    AdoptedIsShed,
    /// Near: the same of one that is asked for or leads.
    AskedIsShed,
}

impl Sabotage {
    pub(super) const ALL: [Self; 12] = [
        Self::NoToken,
        Self::SilenceIsYes,
        Self::CancelledIsGone,
        Self::BegunIsSwitched,
        Self::CountedTwice,
        Self::AdoptedIsKilled,
        Self::OverIsGranted,
        Self::NoTimer,
        Self::FreedTwice,
        Self::NoKeepAlive,
        Self::AdoptedIsShed,
        Self::AskedIsShed,
    ];
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) adopted: u32,
    pub(super) answered_by_adopted: u32,
    pub(super) answered_by_lead: u32,
    pub(super) too_late: u32,
    pub(super) unknown: u32,
    pub(super) overtaken_by_head: u32,
    pub(super) died_while_asked: u32,
    pub(super) lead_broke_while_asked: u32,
    pub(super) lease_over: u32,
    pub(super) client_left: u32,
    pub(super) peer_lost_when_adopted: u32,
    pub(super) failed_over: u32,
    pub(super) repeated: u32,
    pub(super) shed: u32,
    pub(super) shed_near: u32,
    pub(super) not_shed: u32,
}

impl Seen {
    pub(super) fn counts(&self) -> [(&'static str, u32); 16] {
        [
            ("an adoption", self.adopted),
            ("an answer of an adopted shadow", self.answered_by_adopted),
            ("an answer of the lead", self.answered_by_lead),
            ("an adoption that was too late", self.too_late),
            ("an adoption without a reply", self.unknown),
            ("a head that came before the reply", self.overtaken_by_head),
            ("a shadow that died while it was asked for", self.died_while_asked),
            ("a lead that broke while a shadow was asked for", self.lead_broke_while_asked),
            ("a lease that ended", self.lease_over),
            ("a client that left", self.client_left),
            ("an adopted shadow whose peer was lost", self.peer_lost_when_adopted),
            ("a failover", self.failed_over),
            ("a message that came twice", self.repeated),
            ("a shadow that was shed where it ran", self.shed),
            ("a shadow that was shed by whoever started it", self.shed_near),
            ("an adopted shadow that was to be shed", self.not_shed),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let fields = [
            (&mut self.adopted, other.adopted),
            (&mut self.answered_by_adopted, other.answered_by_adopted),
            (&mut self.answered_by_lead, other.answered_by_lead),
            (&mut self.too_late, other.too_late),
            (&mut self.unknown, other.unknown),
            (&mut self.overtaken_by_head, other.overtaken_by_head),
            (&mut self.died_while_asked, other.died_while_asked),
            (&mut self.lead_broke_while_asked, other.lead_broke_while_asked),
            (&mut self.lease_over, other.lease_over),
            (&mut self.client_left, other.client_left),
            (&mut self.peer_lost_when_adopted, other.peer_lost_when_adopted),
            (&mut self.failed_over, other.failed_over),
            (&mut self.repeated, other.repeated),
            (&mut self.shed, other.shed),
            (&mut self.shed_near, other.shed_near),
            (&mut self.not_shed, other.not_shed),
        ];
        for (sum, more) in fields {
            *sum += more;
        }
    }
}

/// A piece of an answer on its way. Within one connection nothing is lost or overtaken; it breaks, or it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Head,
    Data(u8),
    End,
    Broken,
    Refused,
}

/// Frames of a whole answer: a head, pieces, the end.
const WHOLE: u8 = 5;
/// Seconds after which a far side notices that its peer is lost without a word.
const KEEP_ALIVE_S: f64 = 30.0;
const LEASE_S: f64 = 3.0;

/// One dispatch, on both sides.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) dispatch: Dispatch,
    /// Far: whether the request is still on its way.
    pub(super) on_its_way: bool,
    /// Far: whether a worker is at it.
    pub(super) running: bool,
    /// Far: how long it may, if it is a shadow.
    pub(super) lease: Option<Lease>,
    pub(super) lease_ends_s: f64,
    pub(super) was_adopted: bool,
    pub(super) far_freed: u32,
    done: u8,
    pub(super) wire: VecDeque<Frame>,
    /// Near: whether its connection is held, else since when it is closed.
    pub(super) held: bool,
    pub(super) closed_s: f64,
    /// Whether the far side still has to notice that.
    pub(super) cut_under_way: bool,
    pub(super) tally: Tally,
    pub(super) counted: u32,
    pub(super) near_freed: u32,
    /// Near: frames that came before anybody wanted them.
    pub(super) kept: Vec<Frame>,
}

impl Run {
    pub(super) fn new(dispatch: Dispatch) -> Self {
        Self {
            dispatch,
            on_its_way: true,
            running: false,
            lease: None,
            lease_ends_s: f64::INFINITY,
            was_adopted: false,
            far_freed: 0,
            done: 0,
            wire: VecDeque::new(),
            held: true,
            closed_s: f64::INFINITY,
            cut_under_way: false,
            tally: Tally::default(),
            counted: 0,
            near_freed: 0,
            kept: Vec::new(),
        }
    }

    pub(super) fn is_shadow(&self) -> bool {
        matches!(self.dispatch, Dispatch::Shadow(_))
    }
}

/// What a far side says to an adoption; `None` if it knows no shadow of that name.
type Said = Option<Adoption>;

/// Things that can happen next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Arrive(usize),
    LoseRequest(usize),
    Refuse(usize),
    Work(usize),
    Die(usize),
    Deliver(usize),
    Sever(usize),
    NoticeCut(usize),
    LoseCut(usize),
    Look(usize),
    Shed(usize),
    ShedNear(usize),
    Question(usize),
    Reply(usize),
    Pass,
    Near,
}

/// One job.
#[derive(Debug)]
pub(super) struct World {
    draws: u64,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) now_s: f64,
    pub(super) runs: Vec<Run>,
    pub(super) questions: Vec<NetworkId>,
    replies: Vec<(NetworkId, Said)>,
    pub(super) near: Near,
    pub(super) seen: Seen,
    pub(super) broken: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut world = Self {
            draws: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            sabotage,
            now_s: 0.0,
            runs: Vec::new(),
            questions: Vec::new(),
            replies: Vec::new(),
            near: Near::default(),
            seen: Seen::default(),
            broken: None,
        };
        world.begin();
        world
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// A number below `most` (SplitMix64).
    pub(super) fn draw(&mut self, most: usize) -> usize {
        self.draws = self.draws.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.draws;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        usize::try_from(z % most.max(1) as u64).expect("it is below a usize")
    }

    pub(super) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    pub(super) fn breach(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.broken.get_or_insert(format!("{what} at {} s: {:?}", self.now_s, self.runs));
    }

    /// One thing happens.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let acts = self.possible();
        let at = self.draw(acts.len());
        self.happen(acts[at]);
        self.check();
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// What can happen next, what is usual more than once. `rare` things are so for there are many steps in a job.
    fn possible(&mut self) -> Vec<Act> {
        let rare = self.draw(4) == 0;
        let mut acts = vec![Act::Pass, Act::Pass, Act::Near, Act::Near, Act::Near, Act::Near];
        for (at, run) in self.runs.iter().enumerate() {
            if run.on_its_way {
                acts.extend([Act::Arrive(at); 16]);
                acts.extend([Act::LoseRequest(at), Act::Refuse(at)]);
            }
            if run.running {
                acts.extend([Act::Work(at); 4]);
            }
            if run.running && rare {
                acts.push(Act::Die(at));
            }
            if run.held && !run.wire.is_empty() {
                acts.extend([Act::Deliver(at); 8]);
            }
            if run.held && !run.on_its_way && rare {
                acts.push(Act::Sever(at));
            }
            if run.cut_under_way {
                acts.extend([Act::NoticeCut(at), Act::NoticeCut(at), Act::LoseCut(at)]);
            }
            if run.running && run.lease.is_some() && rare {
                acts.push(Act::Shed(at));
            }
            if run.held && run.is_shadow() && rare {
                acts.push(Act::ShedNear(at));
            }
            if self.is_due(run) {
                acts.extend([Act::Look(at), Act::Look(at)]);
            } else if run.lease.is_some() && rare {
                // A timer that fires for nothing, or that nobody stopped.
                acts.push(Act::Look(at));
            }
        }
        let (questions, replies) = (self.questions.len(), self.replies.len());
        acts.extend((0..questions).flat_map(|at| [Act::Question(at); 4]));
        acts.extend((0..replies).flat_map(|at| [Act::Reply(at); 4]));
        acts
    }

    /// Whether a timer of the far side has to fire now.
    fn is_due(&self, run: &Run) -> bool {
        let lease = run.lease.as_ref().and_then(Lease::ends_s).is_some_and(|ends_s| self.now_s >= ends_s);
        let kills = self.is(Sabotage::AdoptedIsKilled) && run.running && self.now_s >= run.lease_ends_s;
        lease && !self.is(Sabotage::NoTimer) || kills || self.is_lost(run)
    }

    fn is_lost(&self, run: &Run) -> bool {
        run.running && self.now_s >= run.closed_s + KEEP_ALIVE_S && !self.is(Sabotage::NoKeepAlive)
    }

    fn happen(&mut self, act: Act) {
        match act {
            Act::Pass => self.pass(),
            Act::Near => self.near_acts(),
            Act::Arrive(at) => self.arrive(at),
            Act::LoseRequest(at) => {
                self.runs[at].on_its_way = false;
                self.runs[at].wire.push_back(Frame::Broken);
            }
            Act::Refuse(at) => {
                self.runs[at].on_its_way = false;
                self.runs[at].wire.push_back(Frame::Refused);
            }
            Act::Work(at) => self.work(at),
            Act::Die(at) => {
                self.end(at, Ending::Failed);
                self.runs[at].wire.push_back(Frame::Broken);
            }
            Act::Deliver(at) => {
                if let Some(frame) = self.runs[at].wire.pop_front() {
                    self.hear(at, frame);
                }
            }
            Act::Sever(at) => {
                self.runs[at].wire.clear();
                self.hear(at, Frame::Broken);
            }
            Act::NoticeCut(at) => {
                self.runs[at].cut_under_way = false;
                self.end(at, Ending::Cut);
            }
            Act::LoseCut(at) => self.runs[at].cut_under_way = false,
            Act::Look(at) => self.look(at),
            Act::Shed(at) => self.shed(at),
            Act::ShedNear(at) => self.shed_near(at),
            Act::Question(at) => self.question(at),
            Act::Reply(at) => {
                let (on, said) = self.replies[at];
                match self.draw(8) {
                    0 => {
                        self.replies.swap_remove(at);
                    }
                    // It comes, and comes again.
                    1 => self.replied(on, said),
                    _ => {
                        self.replies.swap_remove(at);
                        self.replied(on, said);
                    }
                }
            }
        }
    }

    /// Time passes, but no timer is missed: what is due now fires first.
    fn pass(&mut self) {
        for at in 0..self.runs.len() {
            if self.is_due(&self.runs[at]) {
                self.look(at);
            }
        }
        self.now_s += [0.1, 0.5, 1.0, 3.0, KEEP_ALIVE_S][self.draw(5)];
    }

    fn arrive(&mut self, at: usize) {
        let now_s = self.now_s;
        let run = &mut self.runs[at];
        run.on_its_way = false;
        run.running = true;
        if run.is_shadow() {
            run.lease_ends_s = now_s + LEASE_S;
            run.lease = Some(Lease::until(run.lease_ends_s));
        }
        if !run.held {
            run.cut_under_way = true;
        }
    }

    fn work(&mut self, at: usize) {
        let run = &mut self.runs[at];
        run.done += 1;
        let frame = match run.done {
            1 => Frame::Head,
            WHOLE.. => Frame::End,
            piece => Frame::Data(piece),
        };
        run.wire.push_back(frame);
        if frame == Frame::End {
            self.end(at, Ending::Finished);
        }
    }

    /// What ends a dispatch where it runs.
    fn end(&mut self, at: usize, how: Ending) {
        let Some(lease) = &mut self.runs[at].lease else {
            self.runs[at].running = false;
            return;
        };
        let change = lease.end(how);
        self.changed(at, change);
    }

    fn look(&mut self, at: usize) {
        if self.is_lost(&self.runs[at]) {
            let adopted = self.runs[at].lease.as_ref().is_some_and(Lease::is_adopted);
            self.seen.peer_lost_when_adopted += u32::from(adopted);
            self.end(at, Ending::Cut);
        }
        let kills = self.is(Sabotage::AdoptedIsKilled) && self.now_s >= self.runs[at].lease_ends_s;
        let now_s = self.now_s;
        let Some(lease) = &mut self.runs[at].lease else { return };
        let change = if kills { lease.end(Ending::LeaseOver) } else { lease.look(now_s) };
        self.changed(at, change);
    }

    /// Live work needs its room there.
    fn shed(&mut self, at: usize) {
        let (now_s, blindly) = (self.now_s, self.is(Sabotage::AdoptedIsShed));
        let Some(lease) = &mut self.runs[at].lease else { return };
        self.seen.not_shed += u32::from(lease.is_adopted());
        let change = if blindly { lease.end(Ending::Shed) } else { lease.shed(now_s) };
        self.changed(at, change);
    }

    fn question(&mut self, at: usize) {
        let on = self.questions[at];
        match self.draw(8) {
            0 => {
                self.questions.swap_remove(at);
                return;
            }
            1 => self.seen.repeated += 1,
            _ => {
                self.questions.swap_remove(at);
            }
        }
        let now_s = self.now_s;
        let lies = self.is(Sabotage::OverIsGranted);
        let Some(run) = self.runs.iter().position(|run| run.dispatch == Dispatch::Shadow(on)) else { return };
        let said = self.runs[run].lease.as_mut().map(|lease| lease.adopt(now_s));
        if let Some((_, change)) = said {
            self.changed(run, change);
        }
        let said = said.map(|(adoption, _)| if lies { Adoption::Granted } else { adoption });
        self.replies.push((on, said));
    }

    /// Carries out what a lease says has changed.
    fn changed(&mut self, at: usize, change: Change) {
        let twice = self.is(Sabotage::FreedTwice);
        let run = &mut self.runs[at];
        match change {
            Change::None => {}
            Change::Adopted => {
                run.was_adopted = true;
                run.far_freed += 1;
                self.seen.adopted += 1;
                if self.now_s >= self.runs[at].lease_ends_s {
                    self.breach("a shadow was adopted after its lease");
                }
            }
            Change::Over(how) => {
                run.running = false;
                run.far_freed += u32::from(twice || !run.was_adopted);
                let killed = run.was_adopted && matches!(how, Ending::LeaseOver | Ending::Shed);
                if matches!(how, Ending::LeaseOver | Ending::Shed) {
                    run.wire.push_back(Frame::Broken);
                    self.seen.lease_over += u32::from(how == Ending::LeaseOver);
                    self.seen.shed += u32::from(how == Ending::Shed);
                }
                if killed {
                    self.breach("an adopted shadow was taken away");
                }
            }
        }
    }

    fn replied(&mut self, on: NetworkId, said: Said) {
        let run = self.runs.iter().find(|run| run.dispatch == Dispatch::Shadow(on));
        let far = run.and_then(|run| run.lease).and_then(|lease| lease.ended());
        if said == Some(Adoption::Granted) && matches!(far, Some(Ending::LeaseOver | Ending::Shed)) {
            self.breach("a shadow that was taken away was granted");
        }
        self.seen.too_late += u32::from(said == Some(Adoption::TooLate));
        self.hear_reply(on, said);
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for at in 0..self.runs.len() {
            let run = &self.runs[at];
            let beyond = run.running && !run.was_adopted && self.now_s > run.lease_ends_s + KEEP_ALIVE_S;
            let known_gone = self.near.is_known_gone(run.dispatch) && (run.running || run.on_its_way);
            let uncounted = !run.held && run.running && !self.near.counts(run.dispatch);
            if beyond {
                self.breach("a shadow that nobody adopted outlives its lease");
            }
            if known_gone {
                self.breach("a dispatch runs that is known to be gone");
            }
            if uncounted {
                self.breach("a dispatch that was let go of runs, and is not counted");
            }
        }
        let (leading, answering) = (self.near.fence.leading(), self.near.fence.answering());
        let agreed = |run: &Run| run.was_adopted || run.lease.and_then(|lease| lease.ended()) == Some(Ending::Finished);
        let led = self.runs.iter().find(|run| Some(run.dispatch) == leading);
        if led.is_some_and(|run| run.is_shadow() && !agreed(run)) {
            self.breach("a shadow leads that its far side does not know to be adopted");
        }
        if answering.is_some() && answering != leading && self.near.token.is_some() && leading.is_some() {
            self.breach("one leads and another answers");
        }
    }

    /// Lets everything come to its end, and checks that it did.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.leave();
        for _ in 0..4 {
            for at in 0..self.runs.len() {
                if self.runs[at].on_its_way {
                    self.arrive(at);
                }
            }
            self.now_s += KEEP_ALIVE_S + 1.0;
            for at in 0..self.runs.len() {
                self.look(at);
            }
            while !self.questions.is_empty() {
                self.question(0);
            }
            for (on, said) in std::mem::take(&mut self.replies) {
                self.replied(on, said);
            }
            self.check();
        }
        for at in 0..self.runs.len() {
            let run = &self.runs[at];
            let (far_once, near_once) = (run.lease.is_none_or(|_| run.far_freed == 1), run.near_freed == 1);
            let counted_once = !run.is_shadow() || run.counted == 1;
            if run.running {
                self.breach("something runs after everything is over");
            } else if !far_once || !near_once {
                self.breach("a permit was not freed exactly once");
            } else if !counted_once {
                self.breach("a shadow's end was not counted exactly once");
            }
        }
        self.broken.clone().map_or(Ok(()), Err)
    }
}
