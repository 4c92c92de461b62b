//! A difference between two arms that take turns by draws, and a margin that holds at every moment at once.
//!
//! Each block adds its figure over the probability with which its arm was drawn, taken off for the rule: the mean of these is
//! the difference, whatever the figures, for only the draws are random. Its margin is that of a confidence sequence, so the
//! caller may look after every block and stop when it likes (Ham et al., arXiv 2210.08639, with the normal mixture of
//! Waudby-Smith et al., arXiv 2103.06476).

/// The summed variance at which the margin is the tightest: some eighty blocks of a twentieth share that differ by a quarter.
const TIGHTEST: f64 = 100.0;
/// Blocks of each arm without which nothing is said: the margin holds for sums of many.
const BLOCKS_LEAST: u64 = 4;

/// What the evidence says of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Open,
    Dearer,
    Cheaper,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sequence {
    /// The chance that the margin ever fails; on a given side it is half of this.
    alpha: f64,
    policy: u64,
    rule: u64,
    sum: f64,
    /// Of what was seen, and of what the draws make of it: an arm that has hardly been drawn has shown little of its own.
    seen: f64,
    drawn: f64,
}

impl Sequence {
    pub(super) const fn new(alpha: f64) -> Self {
        Self { alpha, policy: 0, rule: 0, sum: 0.0, seen: 0.0, drawn: 0.0 }
    }

    /// A block was `off` from the usual, a share of it, and was the rule's, who had it with a probability of `rule_share`.
    pub(super) fn add(&mut self, off: f64, by_rule: bool, rule_share: f64) {
        let weighted = if by_rule { -off / rule_share } else { off / (1.0 - rule_share) };
        self.sum += weighted;
        self.seen += weighted * weighted;
        self.drawn += off * off / (rule_share * (1.0 - rule_share));
        self.rule += u64::from(by_rule);
        self.policy += u64::from(!by_rule);
    }

    /// The same, and nothing known yet.
    pub(super) const fn anew(&self) -> Self {
        Self::new(self.alpha)
    }

    pub(super) fn blocks(&self) -> u64 {
        self.policy + self.rule
    }

    /// What the policy costs more than the rule, as a share.
    pub(super) fn mean(&self) -> f64 {
        if self.blocks() > 0 { self.sum / self.blocks() as f64 } else { 0.0 }
    }

    /// How far the mean may be off; infinite until both arms have been seen.
    pub(super) fn margin(&self) -> f64 {
        if self.policy.min(self.rule) < BLOCKS_LEAST {
            return f64::INFINITY;
        }
        // The mixture's own parameter, for which the margin at `TIGHTEST` is the least, near enough.
        let ln_alpha = -2.0 * self.alpha.ln();
        let rho = (ln_alpha + ln_alpha.ln() + 1.0) / TIGHTEST;
        let scaled = self.variance() * rho + 1.0;
        (2.0 * scaled / rho * (scaled.sqrt() / self.alpha).ln()).sqrt() / self.blocks() as f64
    }

    /// The difference in standard deviations of its own; 0 until both arms have been seen. It is no proof of anything, and only
    /// says where to look.
    pub(super) fn deviations(&self) -> f64 {
        let sd = self.variance().sqrt();
        if self.policy.min(self.rule) > 0 && sd > 0.0 { self.sum / sd } else { 0.0 }
    }

    pub(super) fn word(&self) -> Word {
        let (mean, margin) = (self.mean(), self.margin());
        if mean > margin {
            Word::Dearer
        } else if mean < -margin {
            Word::Cheaper
        } else {
            Word::Open
        }
    }

    fn variance(&self) -> f64 {
        self.seen.max(self.drawn)
    }
}
