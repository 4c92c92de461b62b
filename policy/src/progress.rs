//! How far a dispatch is, by what can be seen of it, and which of that is believed.
//!
//! A service that is willing says so itself: by an interim answer, or by a counter that its route names. One that knows
//! nothing of adumbra still shows how much of its input it has read: of the request's body, or of the inputs that it
//! fetches through the egress. The service's own word is believed over that, always: reading is not working. What is
//! *inferred* from reading counts only while the service reads at a pace of its own. One that reads everything and then
//! begins says nothing by it, and must not look fast.

/// Where a share of the work was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressSource {
    /// An interim answer of the service's.
    Interim,
    /// A counter of the service's that the route names.
    Polled,
    /// The inputs it has fetched, over those it declares.
    Fetched,
    /// The bytes of its request's body that it has taken.
    Taken,
}

impl ProgressSource {
    /// Every source, the most believed first.
    pub const ALL: [Self; 4] = [Self::Interim, Self::Polled, Self::Fetched, Self::Taken];

    /// The word for it: a metric label, a log field, between sidecars.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interim => "interim",
            Self::Polled => "polled",
            Self::Fetched => "fetched",
            Self::Taken => "taken",
        }
    }

    /// The source that this is the word for.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }

    /// Whether it is the service's own word.
    #[must_use]
    pub const fn is_explicit(self) -> bool {
        matches!(self, Self::Interim | Self::Polled)
    }

    /// Its place in [`ProgressSource::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A share of the work that was seen done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The share, 0..=1.
    pub share: f64,
    /// When it was reached, in the caller's seconds.
    pub at_s: f64,
    /// Where it was seen.
    pub source: ProgressSource,
}

/// Everything one dispatch has shown of its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shown([Option<(f64, f64)>; ProgressSource::ALL.len()]);

impl Shown {
    /// Takes in what `source` says at `now_s`; `None` is that it no longer says anything. Says whether that is news: a share
    /// that has stood still must not look like one that has just been reached. What is no share is not heard.
    pub fn says(&mut self, source: ProgressSource, share: Option<f64>, now_s: f64) -> bool {
        let latest = &mut self.0[source.index()];
        match share {
            Some(share) if !(0.0..=1.0).contains(&share) => false,
            Some(share) if latest.is_some_and(|(last, _)| last == share) => false,
            Some(share) => {
                *latest = Some((share, now_s));
                true
            }
            None => latest.take().is_some(),
        }
    }

    /// The share that is believed: of those that say anything, the first by [`ProgressSource::ALL`].
    #[must_use]
    pub fn believed(&self) -> Option<Progress> {
        ProgressSource::ALL.into_iter().find_map(|source| {
            let (share, at_s) = self.0[source.index()]?;
            Some(Progress { share, at_s, source })
        })
    }
}

/// Bytes that may lie in buffers between us and a reader that has not read them: a socket's on this side and on that.
const BUFFERED_BYTES: u64 = 4 << 20;
/// An input that goes through one connection must be this many times that for its bytes to say anything.
const TIMES_BUFFERED: u64 = 3;
/// Bytes of the shortest body whose being read can say anything.
pub const PACED_BYTES: u64 = TIMES_BUFFERED * BUFFERED_BYTES;
/// The share of the time that it must have been the reader we waited for.
const HELD_SHARE: f64 = 0.5;
/// A reader that takes more than this a second takes all there is and keeps it for later.
const TAKEN_MOST_BYTES_PER_S: f64 = 64.0 * (1 << 20) as f64;
/// A link that is used by more than this share is what sets the pace.
const LINK_SHARE: f64 = 0.5;

/// How an input is being read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Bytes that were taken from us so far.
    pub taken_bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Seconds since the first could be taken.
    pub elapsed_s: f64,
    /// Seconds of that in which there was something to take and it was not taken.
    pub held_s: f64,
    /// What the link to the reader carries, bytes a second; 0 where there is none between us, `None` where nobody knows.
    pub link_bytes_per_s: Option<f64>,
    /// Whether it comes in one piece: then some of what was taken may lie unread in buffers. Small inputs that the reader
    /// asks for one by one do not.
    pub in_one: bool,
}

impl Reading {
    /// The share that has been read, if it says anything of the work: there is more to read, and it is the reader who takes
    /// its time, not the sender and not the link.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let Self { taken_bytes, total_bytes, elapsed_s, held_s, link_bytes_per_s, in_one } = *self;
        let buffered = if in_one { BUFFERED_BYTES } else { 0 };
        if taken_bytes >= total_bytes || total_bytes < TIMES_BUFFERED * buffered {
            return None;
        }
        let link = link_bytes_per_s?;
        let hoards = taken_bytes as f64 >= TAKEN_MOST_BYTES_PER_S * elapsed_s;
        let by_link = link > 0.0 && taken_bytes as f64 >= LINK_SHARE * link * elapsed_s;
        let by_reader = elapsed_s > 0.0 && held_s >= HELD_SHARE * elapsed_s;
        let read_bytes = taken_bytes.saturating_sub(buffered);
        (by_reader && !hoards && !by_link && read_bytes > 0).then(|| read_bytes as f64 / total_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ProgressSource::{Fetched, Interim, Polled, Taken};
    use super::*;

    #[test]
    fn every_source_has_a_word_that_reads_back() {
        for (place, source) in ProgressSource::ALL.into_iter().enumerate() {
            assert_eq!(source.index(), place);
            assert_eq!(ProgressSource::named(source.as_str()), Some(source));
        }
    }

    #[test]
    fn what_the_service_says_is_believed_over_what_it_reads() {
        let check = |said: &[(ProgressSource, Option<f64>)], expected: Option<(ProgressSource, f64)>| {
            let mut shown = Shown::default();
            for (at, (source, share)) in said.iter().enumerate() {
                shown.says(*source, *share, at as f64);
            }
            assert_eq!(shown.believed().map(|p| (p.source, p.share)), expected, "{said:?}");
        };
        check(&[], None);
        check(&[(Taken, Some(0.9))], Some((Taken, 0.9)));
        check(&[(Taken, Some(0.9)), (Fetched, Some(0.4))], Some((Fetched, 0.4)));
        check(&[(Polled, Some(0.1)), (Taken, Some(0.9)), (Fetched, Some(0.4))], Some((Polled, 0.1)));
        check(&[(Interim, Some(0.2)), (Polled, Some(0.3)), (Taken, Some(0.9))], Some((Interim, 0.2)));
        // A reader that has read everything says nothing any more.
        check(&[(Taken, Some(0.9)), (Taken, None)], None);
        check(&[(Polled, Some(0.1)), (Taken, Some(0.9)), (Taken, None)], Some((Polled, 0.1)));
        check(&[(Polled, Some(1.1)), (Interim, Some(f64::NAN)), (Polled, Some(-0.1))], None);
    }

    #[test]
    fn a_share_that_stands_still_keeps_its_time() {
        let mut shown = Shown::default();
        assert!(shown.says(Polled, Some(0.5), 1.0));
        assert!(!shown.says(Polled, Some(0.5), 2.0));
        assert_eq!(shown.believed().map(|p| p.at_s), Some(1.0));
        assert!(shown.says(Polled, Some(0.6), 3.0));
        assert!(!shown.says(Taken, None, 4.0));
        assert_eq!(shown.believed().map(|p| p.at_s), Some(3.0));
    }

    #[test]
    fn reading_counts_while_the_reader_sets_the_pace() {
        const MIB: u64 = 1 << 20;
        let slow = Reading {
            taken_bytes: 20 * MIB,
            total_bytes: 64 * MIB,
            elapsed_s: 10.0,
            held_s: 9.0,
            link_bytes_per_s: Some(0.0),
            in_one: true,
        };
        let check = |reading: Reading, expected: Option<f64>| assert_eq!(reading.share(), expected, "{reading:?}");
        check(slow, Some(0.25));
        check(Reading { taken_bytes: 64 * MIB, ..slow }, None);
        check(Reading { taken_bytes: 65 * MIB, ..slow }, None);
        // All of it may lie in buffers.
        check(Reading { taken_bytes: 4 * MIB, ..slow }, None);
        check(Reading { taken_bytes: 4 * MIB, total_bytes: 11 * MIB, ..slow }, None);
        // In a fifth of a second nobody has worked through that.
        check(Reading { elapsed_s: 0.2, held_s: 0.2, ..slow }, None);
        // It is we, or the client, or the throttle that is slow.
        check(Reading { held_s: 4.0, ..slow }, None);
        // Over a link that carries 2 MiB a second, 2 MiB a second say nothing; over one that carries ten times that, they do.
        check(Reading { link_bytes_per_s: Some(2.0 * MIB as f64), ..slow }, None);
        check(Reading { link_bytes_per_s: Some(20.0 * MIB as f64), ..slow }, Some(0.25));
        check(Reading { link_bytes_per_s: None, ..slow }, None);
        // Three of ten tiles that it asks for one by one.
        check(Reading { taken_bytes: 3000, total_bytes: 10_000, in_one: false, ..slow }, Some(0.3));
    }

    proptest! {
        #[test]
        fn a_share_is_one_whatever_is_read(
            taken_bytes: u64, total_bytes: u64, elapsed_s: f64, held_s: f64, link in any::<Option<f64>>(), in_one: bool,
        ) {
            let reading = Reading { taken_bytes, total_bytes, elapsed_s, held_s, link_bytes_per_s: link, in_one };
            prop_assert!(reading.share().is_none_or(|share| share > 0.0 && share < 1.0));
        }
    }
}
