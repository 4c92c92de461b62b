//! How a shadow ended, for whoever started it: said once, counted once.
//!
//! Two hold a shadow: its task, which sees it break or finish, and the contest, which adopts it or lets it go. Either may be
//! done with it first, and what the other does later must not change what was counted.

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
    /// It became the real job.
    Adopted,
}

/// One shadow's fate, and whether it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    fate: Fate,
    counted: bool,
}

impl Tally {
    /// What is known of it.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        self.fate
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
    fn every_word_of_events_is_counted_once() {
        let ends = [Fate::WindowEnded, Fate::Finished, Fate::Failed, Fate::Refused];
        for word in 0..(ends.len() + 1).pow(5) {
            let (mut word, mut tally, mut counted) = (word, Tally::default(), Vec::new());
            for _ in 0..5 {
                let event = word % (ends.len() + 1);
                word /= ends.len() + 1;
                let before = tally.fate();
                counted.extend(match ends.get(event) {
                    Some(end) => tally.end(*end),
                    None => tally.adopt(),
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
