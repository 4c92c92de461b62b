//! How a shadow ended, for whoever started it: said once, counted once.
//!
//! Two hold a shadow: its task, which sees it break or finish, and the contest, which adopts it or lets it go. Either may be
//! done with it first, and what the other does later must not change what was counted.
//!
//! A third may want it gone: live work that needs its room. Who tells it so and who asks for it do not wait for each other,
//! so it is decided here: once it is asked to become the real job it stays, for it becomes that or is let go of.

/// How a shadow ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It runs, or was stopped before it had shown an end.
    #[default]
    Open,
    /// It was stopped at its planned window.
    WindowEnded,
    /// Its answer was whole, and not used.
    Finished,
    /// It broke off or answered what cannot be used.
    Failed,
    /// The far side did not take it.
    Refused,
    /// Live work needed its room.
    Shed,
    /// It became the real job.
    Adopted,
}

/// One shadow's fate, and whether it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    fate: Fate,
    counted: bool,
    asked: bool,
}

impl Tally {
    /// What is known of it.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        self.fate
    }

    /// It is asked to become the real job: from now on nothing sheds it.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Live work needs its room. `None` if it stays, for it is asked for, or is over as it is.
    #[must_use = "what is returned must be counted, and must go"]
    pub fn shed(&mut self) -> Option<Fate> {
        if self.asked || self.fate != Fate::Open {
            return None;
        }
        self.fate = Fate::Shed;
        self.count()
    }

    /// It becomes the real job, and is no shadow in flight from now on: it is counted now. `None` if it can not, for it broke.
    #[must_use = "what is returned must be counted"]
    pub fn adopt(&mut self) -> Option<Fate> {
        if !matches!(self.fate, Fate::Open | Fate::Finished) {
            return None;
        }
        self.fate = Fate::Adopted;
        self.count()
    }

    /// It ended so, if nothing has been said yet. What can never be adopted any more is to be counted at once, not only when
    /// the job is over.
    #[must_use = "what is returned must be counted"]
    pub fn end(&mut self, fate: Fate) -> Option<Fate> {
        if self.fate != Fate::Open {
            return None;
        }
        self.fate = fate;
        if matches!(fate, Fate::Failed | Fate::Refused) { self.count() } else { None }
    }

    /// Nobody holds it any more: it is counted now, unless it has been.
    #[must_use = "what is returned must be counted"]
    pub fn close(&mut self) -> Option<Fate> {
        self.count()
    }

    fn count(&mut self) -> Option<Fate> {
        (!std::mem::replace(&mut self.counted, true)).then_some(self.fate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_not_shed_and_what_was_shed_is_not_adopted() {
        let mut asked = Tally::default();
        asked.ask();
        assert_eq!((asked.shed(), asked.adopt(), asked.shed()), (None, Some(Fate::Adopted), None));
        let mut shed = Tally::default();
        assert_eq!(
            (shed.shed(), shed.adopt(), shed.end(Fate::Finished), shed.close()),
            (Some(Fate::Shed), None, None, None)
        );
        assert_eq!(shed.fate(), Fate::Shed);
    }

    #[test]
    fn every_word_of_events_is_counted_once() {
        let ends = [Fate::WindowEnded, Fate::Finished, Fate::Failed, Fate::Refused];
        let events = ends.len() + 3;
        for word in 0..events.pow(5) {
            let (mut word, mut tally, mut counted) = (word, Tally::default(), Vec::new());
            for _ in 0..5 {
                let event = word % events;
                word /= events;
                let before = tally.fate();
                counted.extend(match event.checked_sub(ends.len()) {
                    None => tally.end(ends[event]),
                    Some(0) => tally.adopt(),
                    Some(1) => tally.shed(),
                    Some(_) => {
                        tally.ask();
                        None
                    }
                });
                let stands = before == Fate::Open || tally.fate() == before;
                assert!(stands || (before, tally.fate()) == (Fate::Finished, Fate::Adopted));
            }
            counted.extend(tally.close());
            counted.extend(tally.close());
            assert_eq!(counted, [tally.fate()]);
        }
    }
}
