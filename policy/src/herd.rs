//! What the other sidecars have on a network that they share, between two reports of it.
//!
//! A report is old when it is read, and everybody reads the same one: a network that looks free gets a job from each sidecar,
//! looks full in the next report and is left by all (Mitzenmacher, *How useful is old information?*, 2000; Dahlin,
//! *Interpreting stale load information*, 1999). Three things keep a herd apart, and none of them needs a message more:
//!
//! - *Count on the others doing as we do, as far as they do.* What we have sent there since the report is known. From report to
//!   report it shows how the others' number moves with ours: not at all where each has its own mind, and by as much as there are
//!   of them where all run after the same free slot.
//! - *Know how wrong that was.* Each report shows by how much the last estimate was off. Where that is little, nothing below
//!   has any effect; where everybody chases the same free slots it is a lot.
//! - *Draw, within what is not known.* Each job takes one of the numbers that the others may have there, by its own draw. Two
//!   networks whose waits differ by less than that are as good as tossed for, each sidecar with a coin of its own; one that is
//!   clearly better gets the job all the same. Nobody is sent to a worse place than some state that fits all reports warrants.
//!
//! With one sidecar the others have nothing, no estimate is ever off, and everything is as if this were not here.

use crate::plan::draws::mixed;
use crate::units::NetworkId;

/// How much one report moves what is usual: some ten reports count.
const WEIGHT: f64 = 0.1;
/// The draws for what others have begin here, clear of those of the plan.
const FIRST_DRAW: u64 = 64;
/// Others are taken to send at the most so many times what we do; more is a ratio of small numbers.
const RATIO_MOST: f64 = 64.0;
/// The doubt about a report grows with its age, up to so many times the usual time between two.
const OLD_MOST: f64 = 4.0;
/// No draw is further out than this many standard deviations.
const FAR_MOST: f64 = 2.5;

/// What is known of the other sidecars' jobs on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Others {
    /// What the latest report says that they had there, what we had in it, and when it came.
    theirs: f64,
    ours: f64,
    at_s: f64,
    /// The usual time between two reports; 0 before the second.
    every_s: f64,
    /// From report to report, in the mean: how their number moved with ours, and how ours moved.
    together: f64,
    alone: f64,
    /// The mean square of what an estimate was off by when the next report came.
    off: f64,
    /// Whether there has been a report.
    any: bool,
}

impl Others {
    /// A report has come: of the jobs there, `theirs` were others' and `ours` our own when it was made.
    pub fn report(&mut self, theirs: u32, ours: u32, now_s: f64) {
        let (theirs, ours) = (f64::from(theirs), f64::from(ours));
        if self.any {
            let (moved, we_moved) = (theirs - self.theirs, ours - self.ours);
            let off = theirs - self.expected(ours);
            self.off += WEIGHT * (off * off - self.off);
            self.together += WEIGHT * (moved * we_moved - self.together);
            self.alone += WEIGHT * (we_moved * we_moved - self.alone);
            let passed_s = (now_s - self.at_s).clamp(0.0, 3600.0);
            self.every_s =
                if self.every_s > 0.0 { self.every_s + WEIGHT * (passed_s - self.every_s) } else { passed_s };
        }
        (self.theirs, self.ours, self.at_s, self.any) = (theirs, ours, now_s, true);
    }

    /// There are no reports any more.
    pub fn silent(&mut self) {
        *self = Self::default();
    }

    /// What they may have there now, when we have `ours`: by the draw of the job that asks, which is of 0..1.
    #[must_use]
    pub fn now(&self, ours: u32, network: NetworkId, draw: f64, now_s: f64) -> u32 {
        let expected = self.expected(f64::from(ours));
        if self.off == 0.0 {
            return expected.round() as u32;
        }
        let far = deviate(mixed(draw, FIRST_DRAW + network.index() as u64));
        (expected + far * self.doubt(now_s)).max(0.0).round() as u32
    }

    /// What they are expected to have there now, when we have `ours`.
    #[must_use]
    pub fn now_expected(&self, ours: u32) -> u32 {
        self.expected(f64::from(ours)).round() as u32
    }

    /// The standard deviation of that: what estimates are off by at the end of a report's time, and less before.
    #[must_use]
    pub fn doubt(&self, now_s: f64) -> f64 {
        let age = if self.every_s > 0.0 { (now_s - self.at_s) / self.every_s } else { 1.0 };
        (self.off * if age.is_nan() { 1.0 } else { age.clamp(0.0, OLD_MOST) }).sqrt()
    }

    fn expected(&self, ours: f64) -> f64 {
        let with_us = if self.alone > 0.0 { (self.together / self.alone).clamp(0.0, RATIO_MOST) } else { 0.0 };
        (self.theirs + with_us * (ours - self.ours)).max(0.0)
    }
}

/// A standard deviate of this rank, near enough to a normal one: the logistic, cut off far out.
fn deviate(rank: f64) -> f64 {
    // The standard deviation of the logistic is π/√3.
    let unit = 3.0_f64.sqrt() / std::f64::consts::PI;
    let deviate = unit * (rank / (1.0 - rank)).ln();
    if deviate.is_nan() { 0.0 } else { deviate.clamp(-FAR_MOST, FAR_MOST) }
}

#[cfg(test)]
mod tests;
