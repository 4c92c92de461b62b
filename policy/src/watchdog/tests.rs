//! Policies that are worse, as good, better, and that change, in a world with shared queues.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::learn::{Row, Window, refit};
use crate::plan_as;
use crate::testing::{Dice, PRIVATE, PUBLIC, job, took, view};
use crate::{ClassId, Job, NetworkId};

/// How the policy of a run does, beside the rule.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// As the rule does, and each job costs so many times as much.
    Times(f64),
    /// Keeps so many jobs waiting at home before it spills: it pays for that in queues that the rule meets, too.
    Queues(usize),
    /// Knows which jobs the far side is good at, and leaves the home slots to the others.
    Knows,
}

/// What came of a run: the mean cost of a job, when it first fell back, and how things stood at its end.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: f64,
    fell_back_at: Option<usize>,
    by_rule: f64,
    standing: Standing,
}

const MEAN_S: f64 = 5.0;
const HOME_SLOTS: usize = 8;
const LOAD: f64 = 0.95;

struct World {
    dice: Dice,
    now_s: f64,
    /// When each home slot is free.
    home: VecDeque<f64>,
    /// Jobs that end: when, where they sat, and what became of them.
    ends: Vec<(f64, Seat, Came)>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), now_s: 0.0, home: VecDeque::new(), ends: Vec::new() }
    }

    /// What a job at home would wait, and how many wait.
    fn wait(&self) -> (f64, usize) {
        let busy: Vec<f64> = self.home.iter().copied().filter(|free_s| *free_s > self.now_s).collect();
        let waiting = busy.len().saturating_sub(HOME_SLOTS);
        let mut sorted = busy;
        sorted.sort_by(f64::total_cmp);
        if sorted.len() < HOME_SLOTS { (0.0, 0) } else { (sorted[sorted.len() - HOME_SLOTS] - self.now_s, waiting) }
    }
}

/// `jobs` jobs; `does` says what the policy is like from each job on.
fn run(share: f64, seed: u64, jobs: usize, does: impl Fn(usize) -> Does) -> Run {
    let mut world = World::new(seed);
    let mut dog = Watchdog::new(share);
    let (mut cost, mut fell_back_at, mut by_rule) = (0.0, None, 0);
    for i in 0..jobs {
        world.now_s += world.dice.exponential(MEAN_S / (LOAD * HOME_SLOTS as f64));
        let now_s = world.now_s;
        let due: Vec<(f64, Seat, Came)> = world.ends.extract_if(.., |end| end.0 <= now_s).collect();
        for (_, seat, came) in due {
            if dog.ended(seat, &came) == Some(Verdict::FellBack) && fell_back_at.is_none() {
                fell_back_at = Some(i);
            }
        }
        let seat = dog.assign(world.dice.uniform(), now_s);
        // A job's size is known in part, and there is a tail; the far side is faster for some and slower for others.
        let size_s = MEAN_S * (0.8 * world.dice.normal() - 0.32).exp();
        let takes_s = size_s * (0.5 * world.dice.normal() - 0.125).exp();
        let ratio = (0.4 * world.dice.normal()).exp();
        let (wait_s, waiting) = world.wait();
        let rule = wait_s == 0.0;
        let by_policy = seat.arm == Arm::Policy;
        by_rule += usize::from(!by_policy);
        let at_home = match does(i) {
            Does::Queues(most) if by_policy => waiting < most,
            Does::Knows if by_policy => wait_s * 0.8 + size_s * 1.1 < size_s * ratio * 1.8,
            _ => rule,
        };
        let (run_s, price) = if at_home { (takes_s, 0.3) } else { (takes_s * ratio, 1.0) };
        let took_s = run_s + if at_home { wait_s } else { 0.0 };
        if at_home {
            world.home.retain(|free_s| *free_s > now_s);
            world.home.push_back(now_s + took_s);
        }
        let times = match does(i) {
            Does::Times(times) if by_policy => times,
            _ => 1.0,
        };
        let came = Came { cost: times * (0.8 * took_s + price * run_s), size: 1.1 * size_s, took_s };
        cost += came.cost / jobs as f64;
        world.ends.push((now_s + took_s, seat, came));
    }
    Run { cost, fell_back_at, by_rule: by_rule as f64 / jobs as f64, standing: dog.standing() }
}

/// Runs of the same policy with different seeds.
fn runs(share: f64, seeds: u64, jobs: usize, does: impl Fn(usize) -> Does + Copy) -> Vec<Run> {
    (1..=seeds).map(|seed| run(share, seed, jobs, does)).collect()
}

fn mean(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(of).sum::<f64>() / runs.len() as f64
}

fn caught(runs: &[Run]) -> Vec<usize> {
    runs.iter().filter_map(|run| run.fell_back_at).collect()
}

const SHARE: f64 = 0.04;

#[test]
fn a_policy_that_is_worse_is_caught_the_sooner_the_worse_it_is() {
    for (times, jobs, seeds) in [(1.05, 120_000, 6), (1.2, 25_000, 10), (2.0, 4_000, 20)] {
        let all = runs(SHARE, seeds, jobs, |_| Does::Times(times));
        let mut at = caught(&all);
        at.sort_unstable();
        println!(
            "{times} times as dear: of {seeds} runs caught at {at:?}, {:.3} placed by the rule",
            mean(&all, |run| run.by_rule)
        );
        assert_eq!(at.len(), seeds as usize, "{times} times as dear: all within {jobs} jobs");
    }
}

#[test]
fn a_policy_that_is_as_good_or_better_is_left_alone() {
    let equal = runs(SHARE, 60, 15_000, |_| Does::Times(1.0));
    assert!(caught(&equal).len() < 3, "less than 5 % of 60 runs: {:?}", caught(&equal));
    for does in [Does::Times(0.98), Does::Knows] {
        let better = runs(SHARE, 20, 15_000, |_| does);
        let share = mean(&better, |run| run.by_rule);
        println!("{does:?}: stopped {:?}, {share:.3} placed by the rule", caught(&better));
        assert!(caught(&better).is_empty(), "{does:?}");
        assert!(share < 0.12, "{does:?}: {share}");
    }
}

#[test]
fn what_a_bad_policy_may_cost_is_bounded() {
    let rule = mean(&runs(0.0, 6, 20_000, |_| Does::Times(1.0)), |run| run.cost);
    let watched = mean(&runs(SHARE, 6, 20_000, |_| Does::Times(2.0)), |run| run.cost);
    println!("twice as dear: {:.3} of the rule", watched / rule);
    assert!(watched < 1.15 * rule, "{watched} against {rule}");
    // It harms both arms by its queues, so the rule looks worse than it is; it is caught all the same.
    let (alone, watched) = (runs(0.0, 6, 20_000, |_| Does::Queues(24)), runs(SHARE, 6, 20_000, |_| Does::Queues(24)));
    let (alone, watched) = (mean(&alone, |run| run.cost), mean(&watched, |run| run.cost));
    println!("long queues: {:.3} of the rule, {:.3} unwatched", watched / rule, alone / rule);
    assert!(watched < rule + 0.6 * (alone - rule), "{watched} against {alone} and {rule}");
}

#[test]
fn a_policy_that_has_become_better_comes_back() {
    let changes = |i| if i < 20_000 { Does::Times(1.5) } else { Does::Times(0.8) };
    for run in runs(SHARE, 5, 80_000, changes) {
        let Standing { fell_back, fallbacks, returns, .. } = run.standing;
        assert!(run.fell_back_at.is_some_and(|at| at < 20_000), "{run:?}");
        assert_eq!((fell_back, fallbacks, returns), (false, 1, 1), "{run:?}");
    }
    // And one that was good and is not any more is stopped, however long it was good.
    let spoils = |i| if i < 40_000 { Does::Times(0.9) } else { Does::Times(1.5) };
    for run in runs(SHARE, 5, 60_000, spoils) {
        assert!(run.fell_back_at.is_some_and(|at| at > 40_000), "{run:?}");
    }
}

#[test]
fn without_a_share_nothing_is_compared() {
    for share in [0.0, -1.0, f64::NAN] {
        let run = run(share, 1, 2_000, |_| Does::Times(3.0));
        assert_eq!((run.by_rule, run.standing.policy_blocks, run.standing.fell_back), (0.0, 0, false));
    }
    let mut dog = Watchdog::new(0.9);
    assert_eq!(dog.standing().share, 0.5, "it is bounded");
    dog.share(0.0);
    assert_eq!(dog.assign(0.0, 0.0), Seat::POLICY);
}

#[test]
fn an_arm_keeps_all_jobs_of_a_block_and_the_first_do_not_count() {
    let mut dog = Watchdog::new(0.5);
    let mut arms = Vec::new();
    for i in 0..400 {
        let now_s = f64::from(i);
        // Drawn anew for each job; the block was drawn for by its first.
        let seat = dog.assign(f64::from(i % 7) / 7.0, now_s);
        arms.push((seat.arm, seat.block));
        dog.ended(seat, &Came { cost: 1.0, size: 1.0, took_s: 10.0 });
    }
    let changes = arms.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert!(changes > 0 && changes <= 400 / 60, "{changes}");
    let counted = arms.iter().filter(|(_, block)| block.is_some()).count();
    assert!((200..330).contains(&counted), "a third of each block settles: {counted}");
}

/// A run of the policy itself, by models grown from labels of which a `lying` share is told by `lie`; the share of blocks that
/// the rule has is `share`, or all of them. Says what a job cost in the mean.
fn deceived(share: Option<f64>, seed: u64, lying: f64, lie: fn(NetworkId, f64) -> f64) -> f64 {
    let jobs = 8_000;
    const RATIOS: [f64; 4] = [0.5, 0.9, 1.3, 2.0];
    let mut world = World::new(seed);
    let mut dog = Watchdog::new(share.unwrap_or(0.0));
    let (mut window, mut model, mut labels) = (Window::new(1_500), None, 0);
    let (mut view, mut cost) = (view(), 0.0);
    view.state[PUBLIC].capacity = 0;
    let mut plans: Vec<(f64, Job, NetworkId, f64)> = Vec::new();
    for _ in 0..jobs {
        world.now_s += world.dice.exponential(MEAN_S / (LOAD * HOME_SLOTS as f64));
        let now_s = world.now_s;
        for (_, seat, came) in world.ends.extract_if(.., |end| end.0 <= now_s).collect::<Vec<_>>() {
            dog.ended(seat, &came);
        }
        for (_, job, network, run_s) in plans.extract_if(.., |plan| plan.0 <= now_s).collect::<Vec<_>>() {
            let lies = world.dice.uniform() < lying;
            let row = took(job.class.0, network, if lies { lie(network, run_s) } else { run_s });
            window.push(Row { job, ..row }).expect("a label that can be");
            labels += 1;
            if share.is_some() && labels % 400 == 40 {
                model = refit(&window, PRIVATE, model.as_ref()).ok().or(model);
            }
        }
        let class = world.dice.below(RATIOS.len());
        let private_s = MEAN_S * (0.6 * world.dice.normal() - 0.18).exp();
        let job = Job { class: ClassId(class as u16), draw: world.dice.uniform(), ..job() };
        let (wait_s, _) = world.wait();
        let busy = world.home.iter().filter(|free_s| **free_s > now_s).count();
        view.state[PRIVATE].in_flight = busy as u32;
        view.state[PRIVATE].wait_s = wait_s;
        let seat = dog.seat(&job, &view, model.is_some(), now_s);
        let arm = if share.is_some() { seat.arm } else { Arm::Rule };
        view.shadowing.explore_share = if share.is_some() { 0.05 } else { 0.0 };
        let plan = plan_as(arm, &job, &view, model.as_ref(), now_s);
        let at_home = plan.target == PRIVATE;
        let (run_s, price) = if at_home { (private_s, 0.3) } else { (private_s * RATIOS[class], 1.0) };
        let took_s = run_s + if at_home { wait_s } else { 0.0 };
        if at_home {
            world.home.retain(|free_s| *free_s > now_s);
            world.home.push_back(now_s + took_s);
        }
        let size = crate::plan::size(&job, &view, &plan).unwrap_or(1.0);
        let came = Came { cost: 0.8 * took_s + price * run_s, size, took_s };
        cost += came.cost / jobs as f64;
        world.ends.push((now_s + took_s, seat, came));
        plans.push((now_s + took_s, job, plan.target, run_s));
    }
    cost
}

#[test]
fn liars_are_bounded() {
    let truth: fn(NetworkId, f64) -> f64 = |_, run_s| run_s;
    let noise: fn(NetworkId, f64) -> f64 = |_, run_s| if run_s.fract() < 0.5 { 20.0 * run_s } else { run_s / 20.0 };
    // Whoever wants the jobs elsewhere says that they take a tenth of their time there, and ten times as long at home.
    let lure: fn(NetworkId, f64) -> f64 = |network, run_s| if network == PRIVATE { 10.0 * run_s } else { run_s / 10.0 };
    let mean = |share, lying, lie| (1..=2).map(|seed| deceived(share, seed, lying, lie)).sum::<f64>() / 2.0;
    let rule = mean(None, 0.0, truth);
    // Labels that are wrong at random do next to no harm: medians do not hear them. A lure is another matter: that of a third of
    // the labels costs a few per cent, and takes longer than this to be caught.
    for (name, lying, lie, most) in
        [("nobody", 0.0, truth, 0.92), ("noise", 0.3, noise, 0.92), ("lure", 0.3, lure, 1.1), ("lure", 1.0, lure, 1.2)]
    {
        let watched = mean(Some(SHARE), lying, lie) / rule;
        println!("{name} {lying}: of the rule's cost {watched:.3}");
        assert!(watched < most, "{name} {lying}: {watched}");
    }
    let alone = mean(Some(0.0), 1.0, lure) / rule;
    println!("lure 1.0: {alone:.3} unwatched");
    assert!(alone > 1.3, "it would have done harm: {alone}");
}

proptest! {
    #[test]
    fn no_figure_breaks_it(
        jobs in prop::collection::vec((0.0..1.0_f64, any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>()), 1..400),
    ) {
        let mut dog = Watchdog::new(0.3);
        for (draw, now_s, cost, size, took_s) in jobs {
            let seat = dog.assign(draw, now_s);
            dog.ended(seat, &Came { cost, size, took_s });
            let standing = dog.standing();
            prop_assert!(standing.dearer.is_finite() && !standing.margin.is_nan(), "{standing:?}");
            prop_assert!((0.0..=0.5).contains(&standing.share), "{standing:?}");
        }
    }
}
