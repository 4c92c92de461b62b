//! The serving side of a shadow: how long it may run, who may still adopt it, and how it ended.
//!
//! A shadow runs under a lease. Adoption ends the lease and nothing else does; when the lease ends first, the shadow does,
//! too. Questions from the other side come late, twice or never, so what an adoption comes to must not depend on which of
//! two timers fires first: it is the time at which it is asked that counts, and what was said once is said again. What has
//! ended stays ended.
//!
//! Whatever a shadow holds (its permit, its place in the ledger, its count) is let go of when this says that something has
//! [`Change`]d, and it says each change once. It holds no clock: who drives it looks at it when its lease ends.

/// How a served shadow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its whole answer has been passed on.
    Finished,
    /// It broke, or its worker died.
    Failed,
    /// Nobody adopted it in time.
    LeaseOver,
    /// Whoever asked for it went away, or said that it is not wanted any more.
    Cut,
    /// Live work needed its room.
    Shed,
}

/// What there is to do now, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a change is told once"]
pub enum Change {
    /// Nothing.
    None,
    /// It has become the real job: its caps are lifted, its permit is freed.
    Adopted,
    /// It is over: it is stopped if it runs, and what it holds is let go of.
    Over(Ending),
}

/// What the other side is told that wants to adopt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is the real job, from now on or since it was asked before. Its answer is still to come, or is on its way.
    Granted,
    /// It ended without an answer, or its lease did.
    TooLate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Leased { ends_s: f64 },
    Adopted,
    Over(Ending),
}

/// One shadow, as the side that runs it sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    state: State,
}

impl Lease {
    /// A shadow that begins, under a lease until `ends_s`. An end that is not a number is now.
    #[must_use]
    pub const fn until(ends_s: f64) -> Self {
        Self { state: State::Leased { ends_s } }
    }

    /// The other side wants it to become the real job.
    pub fn adopt(&mut self, now_s: f64) -> (Adoption, Change) {
        match self.state {
            State::Leased { ends_s } if now_s < ends_s => {
                self.state = State::Adopted;
                (Adoption::Granted, Change::Adopted)
            }
            State::Leased { .. } => (Adoption::TooLate, self.end(Ending::LeaseOver)),
            State::Adopted | State::Over(Ending::Finished) => (Adoption::Granted, Change::None),
            State::Over(_) => (Adoption::TooLate, Change::None),
        }
    }

    /// Time has passed.
    pub fn look(&mut self, now_s: f64) -> Change {
        match self.state {
            State::Leased { ends_s } if now_s < ends_s => Change::None,
            State::Leased { .. } => self.end(Ending::LeaseOver),
            State::Adopted | State::Over(_) => Change::None,
        }
    }

    /// Live work needs its room. Being told so takes a while, and what was adopted meanwhile is live work itself.
    pub fn shed(&mut self, now_s: f64) -> Change {
        match self.look(now_s) {
            Change::None if matches!(self.state, State::Leased { .. }) => self.end(Ending::Shed),
            change => change,
        }
    }

    /// It has ended by itself, or was cut.
    pub fn end(&mut self, how: Ending) -> Change {
        if matches!(self.state, State::Over(_)) {
            return Change::None;
        }
        self.state = State::Over(how);
        Change::Over(how)
    }

    /// When it must be looked at, while it has a lease.
    #[must_use]
    pub const fn ends_s(&self) -> Option<f64> {
        match self.state {
            State::Leased { ends_s } => Some(ends_s),
            State::Adopted | State::Over(_) => None,
        }
    }

    /// Whether it runs as the real job.
    #[must_use]
    pub const fn is_adopted(&self) -> bool {
        matches!(self.state, State::Adopted)
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ending> {
        match self.state {
            State::Over(how) => Some(how),
            State::Leased { .. } | State::Adopted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can happen to a shadow; the numbers are times.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Adopt,
        Look,
        Shed,
        End(Ending),
    }

    const ENDS_S: f64 = 10.0;

    fn happens(lease: &mut Lease, event: Event, now_s: f64) -> (Option<Adoption>, Change) {
        match event {
            Event::Adopt => {
                let (adoption, change) = lease.adopt(now_s);
                (Some(adoption), change)
            }
            Event::Look => (None, lease.look(now_s)),
            Event::Shed => (None, lease.shed(now_s)),
            Event::End(how) => (None, lease.end(how)),
        }
    }

    #[test]
    fn each_event_means_one_thing_in_each_state() {
        let check = |before: &[(Event, f64)], event, now_s, adoption, change| {
            let mut lease = Lease::until(ENDS_S);
            for (event, at_s) in before {
                let _told: (Option<Adoption>, Change) = happens(&mut lease, *event, *at_s);
            }
            assert_eq!(happens(&mut lease, event, now_s), (adoption, change), "{before:?} then {event:?} at {now_s}");
        };
        use Event::{Adopt, End, Look, Shed};
        let (granted, late) = (Some(Adoption::Granted), Some(Adoption::TooLate));
        check(&[], Look, 9.9, None, Change::None);
        check(&[], Look, 10.0, None, Change::Over(Ending::LeaseOver));
        check(&[], Adopt, 9.9, granted, Change::Adopted);
        // It is the time it is asked at that counts, not which timer fires first.
        check(&[], Adopt, 10.0, late, Change::Over(Ending::LeaseOver));
        check(&[(Look, 10.0)], Adopt, 10.0, late, Change::None);
        check(&[(Adopt, 10.0)], Look, 10.0, None, Change::None);
        check(&[(Adopt, 9.0)], Look, 99.0, None, Change::None);
        check(&[(Adopt, 9.0)], Adopt, 99.0, granted, Change::None);
        check(&[], Shed, 9.9, None, Change::Over(Ending::Shed));
        check(&[], Shed, 10.0, None, Change::Over(Ending::LeaseOver));
        check(&[(Shed, 9.0)], Adopt, 9.1, late, Change::None);
        check(&[(Shed, 9.0)], Shed, 9.1, None, Change::None);
        check(&[(End(Ending::Finished), 1.0)], Shed, 9.1, None, Change::None);
        // Whoever was told before it was adopted comes too late.
        check(&[(Adopt, 9.0)], Shed, 9.1, None, Change::None);
        check(&[(Adopt, 9.0)], End(Ending::Finished), 99.0, None, Change::Over(Ending::Finished));
        check(&[(Adopt, 9.0), (End(Ending::Failed), 9.5)], Adopt, 9.6, late, Change::None);
        check(&[(End(Ending::Finished), 1.0)], Adopt, 99.0, granted, Change::None);
        check(&[(End(Ending::Finished), 1.0)], Look, 99.0, None, Change::None);
        for how in [Ending::Failed, Ending::Cut, Ending::LeaseOver, Ending::Shed] {
            check(&[(End(how), 1.0)], Adopt, 2.0, late, Change::None);
            check(&[(End(how), 1.0)], End(Ending::Finished), 2.0, None, Change::None);
        }
    }

    #[test]
    fn a_lease_whose_end_is_no_time_is_over() {
        let mut lease = Lease::until(f64::NAN);
        assert_eq!(lease.look(0.0), Change::Over(Ending::LeaseOver));
    }

    /// Every word of seven events, each at the next of seven moments of which half are past the lease's end.
    #[test]
    fn every_word_of_events_ends_once_and_is_never_killed_after_adoption() {
        let events = [
            Event::Adopt,
            Event::Look,
            Event::Shed,
            Event::End(Ending::Finished),
            Event::End(Ending::Failed),
            Event::End(Ending::Cut),
        ];
        for word in 0..events.len().pow(7) {
            let mut lease = Lease::until(ENDS_S);
            let (mut word, mut adopted, mut over) = (word, false, None);
            for step in 0..7 {
                let (event, now_s) = (events[word % events.len()], 2.5 * f64::from(step));
                word /= events.len();
                let (adoption, change) = happens(&mut lease, event, now_s);
                match change {
                    Change::None => {}
                    Change::Adopted => {
                        assert!(!adopted && over.is_none() && now_s < ENDS_S);
                        adopted = true;
                    }
                    Change::Over(how) => {
                        assert!(over.is_none(), "it ends once");
                        let taken = matches!(how, Ending::LeaseOver | Ending::Shed);
                        assert!(!(adopted && taken), "what was adopted is nobody's to take away");
                        over = Some(how);
                    }
                }
                let runs = over.is_none();
                match adoption {
                    Some(Adoption::Granted) => assert!(adopted && runs || over == Some(Ending::Finished)),
                    Some(Adoption::TooLate) => assert!(!runs && over != Some(Ending::Finished)),
                    None => {}
                }
                assert!(
                    adopted || !runs || now_s < ENDS_S || !matches!(event, Event::Adopt | Event::Look | Event::Shed)
                );
            }
        }
    }
}
