//! Which worker does what: the pool's state, apart from any process.
//!
//! A worker runs one shadow at a time, and is only given out while it is known to run nothing. Whoever is given one holds a
//! [`Turn`], and whoever keeps its process a [`Life`]; both are numbered, so that what comes late from a turn or a life that
//! is over changes nothing about the next. A life ends with its process; only one that ran its job to the end, and was not
//! adopted, is given out again.
//!
//! It starts and kills nothing: it says what must be done, and `crew` and `keeper` do it.

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no process.
    Down,
    /// Its process takes no connections yet.
    Starting,
    /// It waits for a shadow.
    Idle,
    /// It runs a shadow.
    Shadowing,
    /// It runs what has become the real job.
    Adopted,
    /// It is being killed with its shadow; its process may still be there.
    Cancelled,
    /// It is being killed after a job that was adopted; its process may still be there.
    Recycled,
    /// It broke off, and is being killed if it is still there.
    Broken,
}

impl State {
    /// All of them, in the order of their places.
    pub(crate) const ALL: [Self; 8] = [
        Self::Down,
        Self::Starting,
        Self::Idle,
        Self::Shadowing,
        Self::Adopted,
        Self::Cancelled,
        Self::Recycled,
        Self::Broken,
    ];

    /// The word for it, a metric label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Shadowing => "shadowing",
            Self::Adopted => "adopted",
            Self::Cancelled => "cancelled",
            Self::Recycled => "recycled",
            Self::Broken => "broken",
        }
    }
}

/// One life of one worker: one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    /// Which worker.
    pub(crate) at: usize,
    number: u64,
}

/// One shadow's time with a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    /// Whose.
    pub(crate) life: Life,
    number: u64,
}

/// How a worker's shadow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Its whole answer is here: the worker runs nothing any more.
    Whole,
    /// It was stopped: the worker may still run it.
    Stopped,
    /// The worker broke it off, or went.
    Broke,
    /// It was never sent.
    Unsent,
}

/// What must be done with a worker whose shadow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: it waits for the next.
    Rest,
    /// Its process must be killed; a new one takes its place.
    Kill,
    /// Nothing: that life is over already.
    Nothing,
}

/// All workers of a lane.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    workers: Vec<Worker>,
    /// Where to look first for one to give out.
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    state: State,
    lives: u64,
    turns: u64,
}

impl Roster {
    /// So many workers, none of which has a process.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers: vec![Worker { state: State::Down, lives: 0, turns: 0 }; workers], next: 0 }
    }

    /// A process is about to be started for the worker: a new life, if the last one is over.
    pub(crate) fn starts(&mut self, at: usize) -> Option<Life> {
        let worker = self.workers.get_mut(at).filter(|worker| worker.state == State::Down)?;
        worker.state = State::Starting;
        worker.lives += 1;
        Some(Life { at, number: worker.lives })
    }

    /// Its process takes connections.
    pub(crate) fn is_ready(&mut self, life: Life) {
        if let Some(worker) = self.of(life).filter(|worker| worker.state == State::Starting) {
            worker.state = State::Idle;
        }
    }

    /// Whether there is one to give out.
    pub(crate) fn has_idle(&self) -> bool {
        self.workers.iter().any(|worker| worker.state == State::Idle)
    }

    /// Gives out a worker that waits: each in its turn, so that one which is no good is not the first to be asked for ever.
    pub(crate) fn claim(&mut self) -> Option<Turn> {
        let count = self.workers.len();
        let mut in_turn = (self.next..count).chain(0..self.next);
        let at = in_turn.find(|at| self.workers[*at].state == State::Idle)?;
        self.next = (at + 1) % count;
        let worker = &mut self.workers[at];
        worker.state = State::Shadowing;
        worker.turns += 1;
        Some(Turn { life: Life { at, number: worker.lives }, number: worker.turns })
    }

    /// What it runs has become the real job. Says whether it still ran it as a shadow.
    pub(crate) fn adopt(&mut self, turn: Turn) -> bool {
        let Some(worker) = self.in_turn(turn).filter(|worker| worker.state == State::Shadowing) else { return false };
        worker.state = State::Adopted;
        true
    }

    /// What it was given out for is over.
    pub(crate) fn release(&mut self, turn: Turn, over: Over) -> Then {
        let Some(worker) = self.in_turn(turn) else { return Then::Nothing };
        match (worker.state, over) {
            (State::Shadowing, Over::Whole | Over::Unsent) => {
                worker.state = State::Idle;
                Then::Rest
            }
            (State::Shadowing, Over::Stopped) => {
                worker.state = State::Cancelled;
                Then::Kill
            }
            (State::Shadowing | State::Adopted, Over::Broke) => {
                worker.state = State::Broken;
                Then::Kill
            }
            // Adopted means lifted caps and a job that was allowed anything: it starts afresh.
            (State::Adopted, _) => {
                worker.state = State::Recycled;
                Then::Kill
            }
            (State::Down | State::Starting | State::Idle | State::Cancelled | State::Recycled | State::Broken, _) => {
                Then::Nothing
            }
        }
    }

    /// Its process is gone; says what it did until then.
    pub(crate) fn gone(&mut self, life: Life) -> Option<State> {
        let worker = self.of(life)?;
        Some(std::mem::replace(&mut worker.state, State::Down))
    }

    /// How many there are in a state.
    pub(crate) fn count(&self, state: State) -> usize {
        self.workers.iter().filter(|worker| worker.state == state).count()
    }

    /// The worker, if that life of it is the present one.
    fn of(&mut self, life: Life) -> Option<&mut Worker> {
        self.workers.get_mut(life.at).filter(|worker| worker.lives == life.number && worker.state != State::Down)
    }

    /// The worker, if this is its present turn.
    fn in_turn(&mut self, turn: Turn) -> Option<&mut Worker> {
        self.of(turn.life).filter(|worker| worker.turns == turn.number && worker.state != State::Idle)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn idle(workers: usize) -> (Roster, Vec<Life>) {
        let mut roster = Roster::new(workers);
        let lives: Vec<_> = (0..workers).filter_map(|at| roster.starts(at)).collect();
        lives.iter().for_each(|life| roster.is_ready(*life));
        (roster, lives)
    }

    #[test]
    fn what_becomes_of_a_worker_depends_on_how_its_shadow_ended() {
        let check = |adopted: bool, over, then, state| {
            let (mut roster, _) = idle(1);
            let turn = roster.claim().expect("one waits");
            assert!(!adopted || roster.adopt(turn));
            assert_eq!(roster.release(turn, over), then, "{adopted} {over:?}");
            assert_eq!(roster.count(state), 1, "{adopted} {over:?}: {roster:?}");
            assert_eq!(roster.release(turn, over), Then::Nothing, "it is over once");
        };
        check(false, Over::Whole, Then::Rest, State::Idle);
        check(false, Over::Unsent, Then::Rest, State::Idle);
        check(false, Over::Broke, Then::Kill, State::Broken);
        check(true, Over::Broke, Then::Kill, State::Broken);
        check(false, Over::Stopped, Then::Kill, State::Cancelled);
        check(true, Over::Whole, Then::Kill, State::Recycled);
        check(true, Over::Stopped, Then::Kill, State::Recycled);
    }

    #[test]
    fn each_worker_is_given_out_in_its_turn() {
        let (mut roster, _) = idle(3);
        let mut given = || {
            let turn = roster.claim().expect("they wait");
            roster.release(turn, Over::Unsent);
            turn.life.at
        };
        assert_eq!([given(), given(), given(), given()], [0, 1, 2, 0]);
        let held = roster.claim().expect("they wait");
        assert_eq!(held.life.at, 1);
        let mut others: Vec<_> = std::iter::from_fn(|| roster.claim()).map(|turn| turn.life.at).collect();
        others.sort_unstable();
        assert_eq!(others, [0, 2], "the one that is out is passed over");
    }

    #[test]
    fn a_turn_that_is_over_changes_nothing_about_the_next_one() {
        let (mut roster, _) = idle(1);
        let old = roster.claim().expect("one waits");
        assert_eq!(roster.release(old, Over::Whole), Then::Rest);
        let new = roster.claim().expect("it waits again");
        assert!(!roster.adopt(old));
        assert_eq!(roster.release(old, Over::Stopped), Then::Nothing);
        assert!(roster.adopt(new));
    }

    #[test]
    fn a_life_that_is_over_changes_nothing_about_the_next_one() {
        let (mut roster, lives) = idle(1);
        let old = roster.claim().expect("one waits");
        assert_eq!(roster.gone(lives[0]), Some(State::Shadowing));
        assert_eq!(roster.release(old, Over::Stopped), Then::Nothing, "its process is gone already");
        let life = roster.starts(0).expect("the last life is over");
        assert!(roster.starts(0).is_none(), "one process at a time");
        assert_eq!(roster.claim(), None, "it is not up yet");
        roster.is_ready(lives[0]);
        assert_eq!(roster.claim(), None, "the other one was");
        roster.is_ready(life);
        let new = roster.claim().expect("it is up");
        assert!(!roster.adopt(old));
        assert_eq!(roster.gone(lives[0]), None);
        assert!(roster.adopt(new));
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Start(usize),
        Ready(usize),
        Claim,
        Adopt(usize),
        Release(usize, Over),
        Gone(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        let over = prop_oneof![Just(Over::Whole), Just(Over::Stopped), Just(Over::Broke), Just(Over::Unsent)];
        prop_oneof![
            (0..3_usize).prop_map(Act::Start),
            any::<usize>().prop_map(Act::Ready),
            Just(Act::Claim),
            any::<usize>().prop_map(Act::Adopt),
            (any::<usize>(), over).prop_map(|(turn, over)| Act::Release(turn, over)),
            any::<usize>().prop_map(Act::Gone),
        ]
    }

    proptest! {
        /// Whatever happens, and with turns and lives of any age: nobody is given a worker that may still run somebody's
        /// job, and only who has the turn changes what becomes of it.
        #[test]
        fn a_worker_is_never_given_out_while_it_may_run_something(acts in prop::collection::vec(act(), 0..200)) {
            let mut roster = Roster::new(3);
            let (mut lives, mut turns) = (Vec::<Life>::new(), Vec::<Turn>::new());
            // Whose job each process may be running, as it would know it itself.
            let mut runs: HashMap<Life, Option<Turn>> = HashMap::new();
            for act in acts {
                let life = |any: usize| lives.get(any % lives.len().max(1)).copied();
                let turn = |any: usize| turns.get(any % turns.len().max(1)).copied();
                match act {
                    Act::Start(at) => if let Some(life) = roster.starts(at) {
                        prop_assert!(runs.keys().all(|other| other.at != at), "one process at a time");
                        runs.insert(life, None);
                        lives.push(life);
                    },
                    Act::Ready(any) => if let Some(life) = life(any) { roster.is_ready(life) },
                    Act::Claim => if let Some(turn) = roster.claim() {
                        prop_assert_eq!(runs.insert(turn.life, Some(turn)), Some(None), "{:?} is given out", turn);
                        turns.push(turn);
                    },
                    Act::Adopt(any) => if let Some(turn) = turn(any) && roster.adopt(turn) {
                        prop_assert_eq!(runs.get(&turn.life), Some(&Some(turn)));
                    },
                    Act::Release(any, over) => if let Some(turn) = turn(any) {
                        match roster.release(turn, over) {
                            Then::Rest => {
                                prop_assert!(matches!(over, Over::Whole | Over::Unsent));
                                prop_assert_eq!(runs.insert(turn.life, None), Some(Some(turn)));
                            }
                            Then::Kill => prop_assert_eq!(runs.get(&turn.life), Some(&Some(turn))),
                            Then::Nothing => {}
                        }
                    },
                    Act::Gone(any) => if let Some(life) = life(any) {
                        prop_assert_eq!(roster.gone(life).is_some(), runs.remove(&life).is_some());
                    },
                }
                prop_assert_eq!(State::ALL.iter().map(|state| roster.count(*state)).sum::<usize>(), 3);
            }
        }
    }
}
