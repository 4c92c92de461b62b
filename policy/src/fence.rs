//! One fenced execution answers: the state of a job's dispatches, and who may answer.
//!
//! A job may run on several networks at once, and each of those runs may come to an answer. What keeps two of them from
//! reaching the client is not care taken in many places but this: only the holder of the [`Token`] may answer, there is
//! one token, and it cannot be copied. It comes back only when its dispatch broke before a byte of it was passed on, and
//! then that dispatch is dead for good. A loser that was told to stop may not have heard: it is counted as possibly still
//! running until its end is known.
//!
//! It holds no clock and sends nothing; it says what must be cancelled, and the caller does it.

use crate::units::{MAX_NETWORKS, NetworkId};

/// The most dispatches one job can have: a lead, and on every network a shadow and a second sending.
pub const DISPATCHES_MOST: usize = 2 * MAX_NETWORKS + 1;

/// A dispatch of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dispatch {
    /// The unthrottled one.
    Lead(NetworkId),
    /// The throttled one there.
    Shadow(NetworkId),
    /// One sent after another failed, or after the decision; counted from 1.
    Again(NetworkId, u8),
}

impl Dispatch {
    /// Where it was sent.
    #[must_use]
    pub const fn network(self) -> NetworkId {
        match self {
            Self::Lead(network) | Self::Shadow(network) | Self::Again(network, _) => network,
        }
    }
}

/// Proof that its holder is the one execution that answers. It can be had once a job, and is not `Clone`.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    dispatch: Dispatch,
}

impl Token {
    /// Which dispatch answers.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch
    }
}

/// How a dispatch ended, as far as this sidecar can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its answer is here, whole.
    Answered,
    /// It broke, or was refused, and runs no more.
    Gone,
    /// It was told to stop or its connection broke, and whether it stopped is not known.
    Lost,
}

/// Why the fence said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Another execution answers.
    #[error("another execution of the job already answers; this one must be cancelled")]
    Taken,
    /// It was started before.
    #[error("this dispatch was started before; a second sending needs a number of its own")]
    Started,
    /// It has ended without an answer, or never started.
    #[error("this dispatch does not run and has no answer; choose one that does")]
    NotLive,
    /// The job has as many dispatches as it can have.
    #[error("the job has had its {DISPATCHES_MOST} dispatches; it must fail")]
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Answered,
    Lost,
    Dead,
}

/// Who runs and who may answer.
#[derive(Debug, Default)]
pub struct Fence {
    dispatches: [Option<(Dispatch, State)>; DISPATCHES_MOST],
    chosen: Option<Dispatch>,
}

impl Fence {
    /// A fence around a job that has not been sent anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A dispatch is about to be sent; only if this says so may it be.
    pub fn started(&mut self, dispatch: Dispatch) -> Result<(), Fenced> {
        if self.chosen.is_some() {
            return Err(Fenced::Taken);
        }
        if self.state(dispatch).is_some() {
            return Err(Fenced::Started);
        }
        let free = self.dispatches.iter_mut().find(|slot| slot.is_none()).ok_or(Fenced::Full)?;
        *free = Some((dispatch, State::Running));
        Ok(())
    }

    /// A dispatch has ended. What is dead stays dead; one that was lost may still turn out to be gone.
    pub fn ended(&mut self, dispatch: Dispatch, end: End) {
        let Some(state) = self.state_mut(dispatch) else { return };
        *state = match (*state, end) {
            (State::Running, End::Answered) => State::Answered,
            (State::Running, End::Lost) => State::Lost,
            (State::Running | State::Lost, End::Gone) => State::Dead,
            (State::Lost, End::Answered) => State::Dead,
            (unchanged, _) => unchanged,
        };
    }

    /// Chooses the dispatch that answers: one that runs, or whose answer is here.
    pub fn choose(&mut self, dispatch: Dispatch) -> Result<Token, Fenced> {
        if self.chosen.is_some() {
            return Err(Fenced::Taken);
        }
        match self.state(dispatch) {
            Some(State::Running | State::Answered) => {
                self.chosen = Some(dispatch);
                Ok(Token { dispatch })
            }
            _ => Err(Fenced::NotLive),
        }
    }

    /// The token comes back: its dispatch broke before any byte of it went to the client. That dispatch never answers;
    /// another may be started and chosen. Only a dispatch known to be gone is not counted as possibly still running.
    pub fn give_back(&mut self, token: Token) {
        let Token { dispatch } = token;
        if self.chosen != Some(dispatch) {
            return;
        }
        self.chosen = None;
        if let Some(state) = self.state_mut(dispatch) {
            *state = match *state {
                State::Running | State::Lost => State::Lost,
                State::Answered | State::Dead => State::Dead,
            };
        }
    }

    /// Who answers, once somebody does.
    #[must_use]
    pub fn answering(&self) -> Option<Dispatch> {
        self.chosen
    }

    /// Those that must be cancelled now: they run, and another answers. Empty until one is chosen.
    pub fn losers(&self) -> impl Iterator<Item = Dispatch> {
        let chosen = self.chosen;
        self.in_state(State::Running).filter(move |dispatch| chosen.is_some_and(|c| c != *dispatch))
    }

    /// Those that run, whoever answers: what must be cancelled when the client goes away.
    pub fn running(&self) -> impl Iterator<Item = Dispatch> {
        self.in_state(State::Running)
    }

    /// Those that were told to stop, or lost sight of, and may be running still.
    pub fn possibly_running(&self) -> impl Iterator<Item = Dispatch> {
        self.in_state(State::Lost)
    }

    fn in_state(&self, wanted: State) -> impl Iterator<Item = Dispatch> {
        self.dispatches.iter().flatten().filter(move |(_, state)| *state == wanted).map(|(dispatch, _)| *dispatch)
    }

    fn state(&self, dispatch: Dispatch) -> Option<State> {
        self.dispatches.iter().flatten().find(|(d, _)| *d == dispatch).map(|(_, state)| *state)
    }

    fn state_mut(&mut self, dispatch: Dispatch) -> Option<&mut State> {
        self.dispatches.iter_mut().flatten().find(|(d, _)| *d == dispatch).map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn network(index: usize) -> NetworkId {
        NetworkId::new(index).expect("below the most networks")
    }

    fn lead() -> Dispatch {
        Dispatch::Lead(network(0))
    }

    fn shadow() -> Dispatch {
        Dispatch::Shadow(network(1))
    }

    #[test]
    fn one_is_chosen_and_the_rest_are_losers() {
        let mut fence = Fence::new();
        assert_eq!(fence.started(lead()), Ok(()));
        assert_eq!(fence.started(lead()), Err(Fenced::Started));
        assert_eq!(fence.started(shadow()), Ok(()));
        assert_eq!(fence.losers().count(), 0);
        let token = fence.choose(shadow()).expect("nobody was chosen before");
        assert_eq!(token.dispatch(), shadow());
        assert_eq!(fence.choose(lead()), Err(Fenced::Taken));
        assert_eq!(fence.choose(shadow()), Err(Fenced::Taken));
        assert_eq!(fence.started(Dispatch::Again(network(2), 1)), Err(Fenced::Taken));
        assert_eq!(fence.losers().collect::<Vec<_>>(), [lead()]);
        fence.ended(lead(), End::Lost);
        assert_eq!(fence.losers().count(), 0);
        assert_eq!(fence.possibly_running().collect::<Vec<_>>(), [lead()]);
        fence.ended(lead(), End::Gone);
        assert_eq!(fence.possibly_running().count(), 0);
    }

    #[test]
    fn a_broken_winner_gives_way_and_never_answers_again() {
        let mut fence = Fence::new();
        assert_eq!(fence.started(lead()), Ok(()));
        let token = fence.choose(lead()).expect("nobody was chosen before");
        fence.ended(lead(), End::Gone);
        fence.give_back(token);
        assert_eq!(fence.choose(lead()), Err(Fenced::NotLive));
        let again = Dispatch::Again(network(1), 1);
        assert_eq!(fence.started(again), Ok(()));
        assert!(fence.choose(again).is_ok());
    }

    #[test]
    fn a_finished_shadow_may_answer_and_a_lost_or_unknown_one_may_not() {
        let mut fence = Fence::new();
        assert_eq!(fence.choose(shadow()), Err(Fenced::NotLive));
        assert_eq!(fence.started(shadow()), Ok(()));
        assert_eq!(fence.started(lead()), Ok(()));
        fence.ended(lead(), End::Lost);
        assert_eq!(fence.choose(lead()), Err(Fenced::NotLive));
        fence.ended(lead(), End::Answered);
        assert_eq!(fence.choose(lead()), Err(Fenced::NotLive), "a late answer of a lost dispatch is not used");
        fence.ended(shadow(), End::Answered);
        assert!(fence.choose(shadow()).is_ok());
    }

    /// What a caller may do, on one of six dispatches.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Start(usize),
        End(usize, End),
        Choose(usize),
        GiveBack,
    }

    fn dispatch(index: usize) -> Dispatch {
        match index {
            0..2 => Dispatch::Lead(network(index)),
            2..4 => Dispatch::Shadow(network(index - 2)),
            _ => Dispatch::Again(network(index - 4), 1),
        }
    }

    fn act() -> impl Strategy<Value = Act> {
        let end = prop_oneof![Just(End::Answered), Just(End::Gone), Just(End::Lost)];
        prop_oneof![
            (0_usize..6).prop_map(Act::Start),
            (0_usize..6, end).prop_map(|(d, e)| Act::End(d, e)),
            (0_usize..6).prop_map(Act::Choose),
            Just(Act::GiveBack),
        ]
    }

    /// Carries `acts` out and checks after each that there is at most one token and that the dead do not answer.
    fn holds(acts: &[Act]) {
        let mut fence = Fence::new();
        let mut token: Option<Token> = None;
        let mut dead = BTreeSet::new();
        for act in acts {
            match *act {
                Act::Start(d) => assert!(fence.started(dispatch(d)).is_err() || token.is_none(), "{acts:?}"),
                Act::End(d, end) => {
                    let runs = fence.running().any(|running| running == dispatch(d));
                    if runs && end != End::Answered {
                        dead.insert(d);
                    }
                    fence.ended(dispatch(d), end);
                }
                Act::Choose(d) => {
                    if let Ok(new) = fence.choose(dispatch(d)) {
                        assert!(token.is_none(), "two tokens: {acts:?}");
                        assert!(!dead.contains(&d), "the dead answers: {acts:?}");
                        token = Some(new);
                    }
                }
                Act::GiveBack => {
                    if let Some(old) = token.take() {
                        dead.extend((0..6).filter(|d| dispatch(*d) == old.dispatch()));
                        fence.give_back(old);
                    }
                }
            }
            assert_eq!(fence.answering(), token.as_ref().map(Token::dispatch), "{acts:?}");
            assert!(fence.losers().all(|loser| Some(loser) != fence.answering()), "{acts:?}");
        }
    }

    #[test]
    fn every_interleaving_of_two_dispatches_keeps_one_token() {
        let acts: Vec<Act> = [0, 2]
            .into_iter()
            .flat_map(|d| [Act::Start(d), Act::End(d, End::Answered), Act::End(d, End::Gone), Act::Choose(d)])
            .chain([Act::End(0, End::Lost), Act::GiveBack])
            .collect();
        // Every word of length 5 over the acts: 100,000 of them.
        for word in 0..acts.len().pow(5) {
            let (mut word, mut run) = (word, [acts[0]; 5]);
            for act in &mut run {
                *act = acts[word % acts.len()];
                word /= acts.len();
            }
            holds(&run);
        }
    }

    proptest! {
        #[test]
        fn long_interleavings_of_six_dispatches_keep_one_token(acts in prop::collection::vec(act(), 0..60)) {
            holds(&acts);
        }
    }
}
