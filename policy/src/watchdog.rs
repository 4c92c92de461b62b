//! The guard arm: is what the policy does really cheaper than *spill when full*, the strongest of the fixed rules?
//!
//! The road not taken costs nothing that anybody sees, so it is taken now and then: time is cut into blocks, each is given to
//! one arm by a draw, and what jobs really cost in the blocks of the one is compared with those of the other. If the policy is
//! dearer, the rule takes over until the same comparison, the other way round, says that it may come back.
//!
//! - **Blocks of time, not single jobs.** The arms share queues. A rule that takes the slot which the policy left free looks
//!   cheaper than it is, for the next job pays; single jobs, mixed, would show just that. So an arm has all jobs for several
//!   mean job times, and the first of them, which meet the other arm's queue, do not count (a switchback experiment: Bojinov,
//!   Simchi-Levi and Zhao, *Design and analysis of switchback experiments*, 2023). What is left of the other arm's queue after
//!   that makes a difference look smaller, not of the other sign.
//! - **Cost over size.** A block's figure is the sum of its jobs' costs over the sum of what the model says such jobs cost at
//!   home with no wait. That takes out which jobs happened to come, it is the same whichever arm a job is in, and a model that
//!   is wrong makes it noisy, not slanted. A block further than twice from the usual counts as twice: no tail decides.
//! - **A test that may be looked at after every block**: the weighted difference and its confidence sequence of Ham, Bojinov,
//!   Lindon and Tingley (*Design-based confidence sequences*, arXiv 2210.08639), whose margin is that of a normal mixture
//!   (Waudby-Smith et al., arXiv 2103.06476). It needs no model of costs, load may drift, and shares may change on the way.
//!
//! The smaller arm's share is the configured one. It grows, up to a bound, only with evidence that the arm in force is the
//! worse one. The evidence is begun anew when the question is answered, and after [`EPOCH_BLOCKS`] blocks: what was true then
//! need not be true now. Beside it stands that of the last few hundred blocks, for a policy that was good for long and spoils.

mod sequence;

use crate::job::Job;
use crate::plan::draws::{Draw, draw};
use crate::plan::is_compared;
use crate::view::View;

use sequence::{Sequence, Word};

/// Who places a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The policy.
    Policy,
    /// *Spill when full*, to compare.
    Rule,
    /// *Spill when full*, for it is the cheaper one.
    Fallback,
}

/// A job's place in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who places it.
    pub arm: Arm,
    /// Whether it is compared at all.
    compared: bool,
    /// The block it counts in; `None` if it does not count.
    block: Option<u64>,
}

impl Seat {
    /// The policy places it, and nothing is compared.
    pub const POLICY: Self = Self { arm: Arm::Policy, compared: false, block: None };

    /// Whether what becomes of the job is of any interest.
    #[must_use]
    pub const fn is_compared(&self) -> bool {
        self.compared
    }
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Came {
    /// What it cost: the value of the time it took, and money.
    pub cost: f64,
    /// What it was predicted to cost at home, had it not waited: its size, whoever places it.
    pub size: f64,
    /// How long it took.
    pub took_s: f64,
}

/// What the comparison has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The policy is now known to be dearer: the rule takes over.
    FellBack,
    /// The policy is now known to be cheaper again: it is back.
    CameBack,
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether the rule has taken over.
    pub fell_back: bool,
    /// The share of blocks that the arm which is not in force gets now.
    pub share: f64,
    /// Blocks of each arm that were compared, since the start.
    pub policy_blocks: u64,
    /// The rule's.
    pub rule_blocks: u64,
    /// What the policy costs more than the rule, as a share, by the evidence since it was begun anew; negative if less.
    pub dearer: f64,
    /// How far that may be off; infinite as long as next to nothing is known.
    pub margin: f64,
    /// How often the rule took over, and the policy came back.
    pub fallbacks: u64,
    /// The latter.
    pub returns: u64,
}

/// A block lasts so many mean job times, of which the first do not count,
const BLOCK_TIMES: f64 = 6.0;
const SETTLING_TIMES: f64 = 2.0;
/// and so many jobs that do at the least, or until it has this many at the most.
const BLOCK_JOBS_LEAST: u32 = 16;
const BLOCK_JOBS_MOST: u32 = 4096;
/// Blocks that wait for their last jobs; with one more, the oldest is taken as it stands.
const OPEN: usize = 32;
/// How much one job moves the mean time, and one block the usual figure.
const TIME_WEIGHT: f64 = 0.02;
const USUAL_WEIGHT: f64 = 0.05;
/// No block costs more than this many times its size, or less than that part of it, whatever is said.
const FIGURE_MOST: f64 = 1e3;
/// The most a block may be off the usual figure, as a share of it.
const OFF_MOST: f64 = 1.0;
/// Nothing is known of a policy that is new: until the rule has had so many blocks, its share is so many times what it is else,
/// but no more than this.
const FIRST_BLOCKS: u64 = 4;
const FIRST_TIMES: f64 = 4.0;
const FIRST_MOST: f64 = 0.2;
/// The most that the share of the smaller arm grows to, by how much, and from which evidence to which: in standard deviations.
const SHARE_MOST: f64 = 0.5;
const SHARE_GROWS: f64 = 10.0;
const SUSPICION: (f64, f64) = (0.5, 1.5);
/// The most blocks that evidence is kept for: long enough to see a difference of a few per cent, and short enough to see one that
/// is large and new. What each may be wrong by: together one wrong word in some twenty times the longer one.
pub const EPOCH_BLOCKS: u64 = 4000;
const RECENT_BLOCKS: u64 = 400;
const ALPHA: f64 = 0.05;
const RECENT_ALPHA: f64 = 0.005;

/// The comparison. The caller keeps it, one for each sidecar.
#[derive(Clone, Debug)]
pub struct Watchdog {
    share: f64,
    fell_back: bool,
    current: Option<Current>,
    next: u64,
    open: [Block; OPEN],
    mean_s: f64,
    usual: f64,
    /// Of long, and of late.
    evidence: [Sequence; 2],
    standing: Standing,
    /// A verdict that nobody has been told yet.
    said: Option<Verdict>,
}

/// The block that jobs come into now.
#[derive(Clone, Copy, Debug)]
struct Current {
    number: u64,
    arm: Arm,
    began_s: f64,
    jobs: u32,
}

/// A block and what is known of it.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    number: u64,
    /// Whether the rule had it, and with which probability it was given what it was given.
    by_rule: bool,
    rule_share: f64,
    assigned: u32,
    ended: u32,
    cost: f64,
    size: f64,
    /// Whether no more jobs come into it.
    over: bool,
    /// Whether it is still to be taken in.
    open: bool,
}

impl Watchdog {
    /// A comparison in which the rule has `share` of the blocks, bounded to a half; 0 forbids it, and then nothing is compared.
    #[must_use]
    pub fn new(share: f64) -> Self {
        let share = if share > 0.0 { share.min(SHARE_MOST) } else { 0.0 };
        Self {
            share,
            fell_back: false,
            current: None,
            next: 0,
            open: [Block::default(); OPEN],
            mean_s: 0.0,
            usual: f64::NAN,
            evidence: [Sequence::new(ALPHA), Sequence::new(RECENT_ALPHA)],
            standing: Standing {
                fell_back: false,
                share,
                policy_blocks: 0,
                rule_blocks: 0,
                dearer: 0.0,
                margin: f64::INFINITY,
                fallbacks: 0,
                returns: 0,
            },
            said: None,
        }
    }

    /// The place of a job that comes now. The policy's, outside of any block, if both arms would do the same with it.
    pub fn seat(&mut self, job: &Job, view: &View, modelled: bool, now_s: f64) -> Seat {
        if is_compared(job, view, modelled) { self.assign(draw(job, Draw::Guard), now_s) } else { Seat::POLICY }
    }

    /// The place of a job that comes now. `draw` is of 0..1 and decides nothing else about any job. To be asked only for jobs
    /// that the policy would place by a model: for all others both arms do the same.
    pub fn assign(&mut self, draw: f64, now_s: f64) -> Seat {
        if self.share == 0.0 {
            return Seat::POLICY;
        }
        let lasts_s = BLOCK_TIMES * self.mean_s;
        let is_over = |block: &Current| {
            let long = now_s - block.began_s >= lasts_s && block.jobs >= BLOCK_JOBS_LEAST;
            long || block.jobs >= BLOCK_JOBS_MOST || now_s < block.began_s
        };
        let mut current = match self.current.filter(|block| !is_over(block)) {
            Some(current) => current,
            None => self.begin(draw, now_s),
        };
        let counts = now_s - current.began_s >= SETTLING_TIMES * self.mean_s;
        current.jobs += u32::from(counts);
        self.current = Some(current);
        if counts {
            self.open[place(current.number)].assigned += 1;
        }
        Seat { arm: current.arm, compared: true, block: counts.then_some(current.number) }
    }

    /// A job has ended, and may have settled the question.
    pub fn ended(&mut self, seat: Seat, came: &Came) -> Option<Verdict> {
        if came.took_s.is_finite() && came.took_s > 0.0 && seat.compared {
            let weight = if self.mean_s > 0.0 { TIME_WEIGHT } else { 1.0 };
            self.mean_s += weight * (came.took_s - self.mean_s);
        }
        let number = seat.block?;
        let is_figure = |figure: f64| figure.is_finite() && figure > 0.0;
        let block = self.open.get_mut(place(number)).filter(|block| block.number == number && block.open)?;
        block.ended += 1;
        if is_figure(came.cost) && is_figure(came.size) {
            block.cost += came.cost;
            block.size += came.size;
        }
        if block.over && block.ended >= block.assigned {
            self.take_in(number);
        }
        self.said.take()
    }

    /// A job has come to nothing that its placing could be judged by: its client went away.
    pub fn left(&mut self, seat: Seat) -> Option<Verdict> {
        self.ended(seat, &Came { cost: f64::NAN, size: f64::NAN, took_s: f64::NAN })
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let known = self.evidence.iter().min_by(|a, b| a.margin().total_cmp(&b.margin()));
        let (dearer, margin) = known.map_or((0.0, f64::INFINITY), |known| (known.mean(), known.margin()));
        Standing { fell_back: self.fell_back, share: self.smaller_share(), dearer, margin, ..self.standing }
    }

    /// Another share from now on; 0 ends a fallback, too.
    pub fn share(&mut self, share: f64) {
        if share != self.share {
            *self = Self { standing: self.standing, ..Self::new(share) };
        }
    }

    fn begin(&mut self, draw: f64, now_s: f64) -> Current {
        if let Some(last) = self.current {
            let block = &mut self.open[place(last.number)];
            block.over = true;
            if block.open && block.ended >= block.assigned {
                // All who came have ended already.
                self.take_in(last.number);
            }
        }
        let number = self.next;
        self.next += 1;
        let before = self.open[place(number)];
        if before.open && before.number != number {
            self.take_in(before.number);
        }
        let smaller = self.smaller_share();
        let rule_share = if self.fell_back { 1.0 - smaller } else { smaller };
        let by_rule = draw < rule_share;
        let arm = match (by_rule, self.fell_back) {
            (false, _) => Arm::Policy,
            (true, false) => Arm::Rule,
            (true, true) => Arm::Fallback,
        };
        self.open[place(number)] = Block { number, by_rule, rule_share, open: true, ..Block::default() };
        Current { number, arm, began_s: now_s, jobs: 0 }
    }

    /// The share of the arm that is not in force. It grows with the evidence that it should be.
    fn smaller_share(&self) -> f64 {
        let least = if self.standing.rule_blocks < FIRST_BLOCKS {
            (FIRST_TIMES * self.share).min(FIRST_MOST).max(self.share)
        } else {
            self.share
        };
        let most = (SHARE_GROWS * least).min(SHARE_MOST);
        let sign = if self.fell_back { -1.0 } else { 1.0 };
        let against = self.evidence.iter().map(|evidence| sign * evidence.deviations()).fold(0.0, f64::max);
        let suspected = ((against - SUSPICION.0) / (SUSPICION.1 - SUSPICION.0)).clamp(0.0, 1.0);
        least + (most - least).max(0.0) * suspected
    }

    /// Takes in a block, whose jobs have all ended or are not waited for any longer.
    fn take_in(&mut self, number: u64) {
        let block = self.open[place(number)];
        self.open[place(number)].open = false;
        let figure = (block.cost / block.size).clamp(1.0 / FIGURE_MOST, FIGURE_MOST);
        if figure.is_nan() {
            return;
        }
        if self.usual.is_nan() {
            // Against what it is to be measured, nobody knows yet.
            self.usual = figure;
            return;
        }
        let off = (figure / self.usual - 1.0).clamp(-OFF_MOST, OFF_MOST);
        self.usual += USUAL_WEIGHT * (off * self.usual);
        self.evidence.iter_mut().for_each(|evidence| evidence.add(off, block.by_rule, block.rule_share));
        self.standing.rule_blocks += u64::from(block.by_rule);
        self.standing.policy_blocks += u64::from(!block.by_rule);
        self.judge();
    }

    fn judge(&mut self) {
        let says = |wanted| self.evidence.iter().any(|evidence| evidence.word() == wanted);
        let (dearer, cheaper) = (says(Word::Dearer), says(Word::Cheaper));
        if dearer && !self.fell_back {
            (self.fell_back, self.said) = (true, Some(Verdict::FellBack));
            self.standing.fallbacks += 1;
        } else if cheaper && self.fell_back {
            (self.fell_back, self.said) = (false, Some(Verdict::CameBack));
            self.standing.returns += 1;
        }
        for (evidence, most) in self.evidence.iter_mut().zip([EPOCH_BLOCKS, RECENT_BLOCKS]) {
            if dearer || cheaper || evidence.blocks() >= most {
                *evidence = evidence.anew();
            }
        }
    }
}

fn place(number: u64) -> usize {
    (number % OPEN as u64) as usize
}

#[cfg(test)]
mod tests;
