//! One fenced execution answers: the state of a job's dispatches, and who may answer.
//!
//! A job may run on several networks at once, and each of those runs may come to an answer. What keeps two of them from
//! reaching the client is not care taken in many places but this: one dispatch leads, only the lead can be given the
//! [`Token`], there is one token, and it cannot be copied. It comes back only when its dispatch broke before a byte of it
//! was passed on, and then that dispatch is dead for good. A loser that was told to stop may not have heard: it is counted
//! as possibly still running until its end is known.
//!
//! A shadow becomes the lead by adoption, and where it runs under another sidecar's lease, only when that side has agreed
//! ([`Fence::ask`], [`Fence::replied`]). What happens meanwhile counts: a lead whose head is here first answers, a shadow that
//! broke is not taken whatever was agreed, and one of which nobody knows whether it was agreed is never used. Then it is
//! dropped, for it may run or not, and either is only a loser.
//!
//! It holds no clock and sends nothing. Who drives it drops what it says is lost.

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
    /// Something else leads, and has not ended.
    #[error("another dispatch leads; it must end, or a shadow be adopted in its place")]
    Led,
    /// The lead's head is here, and what a client may have begun to read is never switched.
    #[error("the lead's answer has begun; it is never switched")]
    Begun,
    /// One adoption is asked for at a time.
    #[error("another shadow is being adopted; its reply must come first, or its time be over")]
    Asking,
    /// The job has as many dispatches as it can have.
    #[error("the job has had its {DISPATCHES_MOST} dispatches; it must fail")]
    Full,
}

/// What the side that runs a shadow says to its adoption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is ours: its lease is gone, its answer is to come or on its way.
    Granted,
    /// It ended without an answer, or its lease did.
    TooLate,
    /// It said nothing in time, or nothing that makes sense. It may have agreed.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It runs, as far as is known.
    Running,
    /// A shadow that runs, and whose adoption was asked for.
    Asked,
    /// Its answer is here, whole.
    Answered,
    /// Given up, and whether it runs is not known.
    Lost,
    /// Known to run no more, without an answer that could be used.
    Dead,
}

/// Who runs and who may answer.
#[derive(Debug, Default)]
pub struct Fence {
    dispatches: [Option<(Dispatch, State)>; DISPATCHES_MOST],
    /// What answers if nothing else happens.
    lead: Option<Dispatch>,
    /// Whether the lead's head is here.
    begun: bool,
    chosen: Option<Dispatch>,
    /// Whether the client has gone: nothing answers any more.
    abandoned: bool,
}

impl Fence {
    /// A fence around a job that has not been sent anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A dispatch is about to be sent; only if this says so may it be. All but shadows lead.
    pub fn started(&mut self, dispatch: Dispatch) -> Result<(), Fenced> {
        if self.chosen.is_some() || self.abandoned {
            return Err(Fenced::Taken);
        }
        if self.state(dispatch).is_some() {
            return Err(Fenced::Started);
        }
        let leads = !matches!(dispatch, Dispatch::Shadow(_));
        if leads && self.lead.is_some() {
            return Err(Fenced::Led);
        }
        let free = self.dispatches.iter_mut().find(|slot| slot.is_none()).ok_or(Fenced::Full)?;
        *free = Some((dispatch, State::Running));
        if leads {
            self.lead = Some(dispatch);
        }
        Ok(())
    }

    /// A dispatch has ended, or is given up. What is dead stays dead; one that was lost may still turn out to be gone. A lead
    /// without an answer leads no more.
    pub fn ended(&mut self, dispatch: Dispatch, end: End) {
        let Some(state) = self.state_mut(dispatch) else { return };
        *state = match (*state, end) {
            (State::Running | State::Asked, End::Answered) => State::Answered,
            (State::Running | State::Asked, End::Lost) => State::Lost,
            (State::Running | State::Asked | State::Lost, End::Gone) => State::Dead,
            (State::Lost, End::Answered) => State::Dead,
            // Its answer is whole, so nothing of it runs; given up, it is not used either.
            (State::Answered, End::Lost | End::Gone) => State::Dead,
            (unchanged, _) => unchanged,
        };
        if matches!(*state, State::Lost | State::Dead) && self.lead == Some(dispatch) {
            self.lead = None;
            self.begun = false;
        }
    }

    /// The lead's head is here. From now on it answers, or breaks; an adoption that was asked for is given up.
    pub fn begun(&mut self) {
        let Some(lead) = self.lead else { return };
        self.begun = true;
        let asked = self.in_state(State::Asked).find(|asked| *asked != lead);
        if let Some(asked) = asked {
            self.ended(asked, End::Lost);
        }
    }

    /// The side that runs a shadow is about to be asked to let it become the real job. Until it replies what led goes on.
    pub fn ask(&mut self, on: NetworkId) -> Result<(), Fenced> {
        self.may_take(on)?;
        if self.in_state(State::Asked).next().is_some() {
            return Err(Fenced::Asking);
        }
        if let Some(state) = self.state_mut(Dispatch::Shadow(on)).filter(|state| **state == State::Running) {
            *state = State::Asked;
        }
        Ok(())
    }

    /// What that side said. `Ok` if the shadow leads now; if not, it is given up, and what led goes on.
    pub fn replied(&mut self, on: NetworkId, reply: Reply) -> Result<(), Fenced> {
        let shadow = Dispatch::Shadow(on);
        if self.lead == Some(shadow) {
            // It was said before.
            return Ok(());
        }
        // What is here whole needs nobody's leave.
        if reply == Reply::Granted || self.state(shadow) == Some(State::Answered) {
            let taken = self.take(on);
            if taken.is_err() {
                self.ended(shadow, End::Lost);
            }
            return taken;
        }
        self.ended(shadow, if reply == Reply::TooLate { End::Gone } else { End::Lost });
        Err(Fenced::NotLive)
    }

    /// The shadow there leads from now on; everything else that ran is lost. This alone is for shadows that run under nobody
    /// else's lease.
    pub fn take(&mut self, on: NetworkId) -> Result<(), Fenced> {
        self.may_take(on)?;
        let shadow = Dispatch::Shadow(on);
        self.lead = Some(shadow);
        for (dispatch, state) in self.dispatches.iter_mut().flatten().filter(|(dispatch, _)| *dispatch != shadow) {
            *state = match (*state, *dispatch) {
                (State::Running | State::Asked, _) => State::Lost,
                (State::Answered, _) => State::Dead,
                (unchanged, _) => unchanged,
            };
        }
        if let Some(state) = self.state_mut(shadow).filter(|state| **state == State::Asked) {
            *state = State::Running;
        }
        Ok(())
    }

    /// Whether the shadow there could become the lead.
    fn may_take(&self, on: NetworkId) -> Result<(), Fenced> {
        if self.chosen.is_some() || self.abandoned {
            return Err(Fenced::Taken);
        }
        if self.begun {
            return Err(Fenced::Begun);
        }
        match self.state(Dispatch::Shadow(on)) {
            Some(State::Running | State::Asked | State::Answered) => Ok(()),
            Some(State::Lost | State::Dead) | None => Err(Fenced::NotLive),
        }
    }

    /// Chooses the dispatch that answers: the lead.
    pub fn choose(&mut self) -> Result<Token, Fenced> {
        if self.chosen.is_some() || self.abandoned {
            return Err(Fenced::Taken);
        }
        let dispatch = self.lead.ok_or(Fenced::NotLive)?;
        self.chosen = Some(dispatch);
        Ok(Token { dispatch })
    }

    /// The token comes back: its dispatch broke before any byte of it went to the client. That dispatch never answers;
    /// another may be started and chosen. Only a dispatch known to be gone is not counted as possibly still running.
    pub fn give_back(&mut self, token: Token) {
        let Token { dispatch } = token;
        if self.chosen == Some(dispatch) {
            self.chosen = None;
            self.ended(dispatch, End::Lost);
        }
    }

    /// The client has gone: nothing answers any more, and what ran is given up.
    pub fn abandon(&mut self) {
        self.abandoned = true;
        self.chosen = None;
        for (_, state) in self.dispatches.iter_mut().flatten() {
            if matches!(state, State::Running | State::Asked) {
                *state = State::Lost;
            }
        }
    }

    /// Who answers, once somebody does.
    #[must_use]
    pub fn answering(&self) -> Option<Dispatch> {
        self.chosen
    }

    /// Who answers if nothing else happens.
    #[must_use]
    pub fn leading(&self) -> Option<Dispatch> {
        self.lead
    }

    /// Those that must be cancelled now: they run, and another answers. Empty until one is chosen.
    pub fn losers(&self) -> impl Iterator<Item = Dispatch> {
        let chosen = self.chosen;
        self.running().filter(move |dispatch| chosen.is_some_and(|c| c != *dispatch))
    }

    /// Those that run, whoever answers: what must be cancelled when the client goes away.
    pub fn running(&self) -> impl Iterator<Item = Dispatch> {
        self.in_state(State::Running).chain(self.in_state(State::Asked))
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
mod tests;
