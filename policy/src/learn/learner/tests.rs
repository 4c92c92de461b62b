//! The learner over its life: when it grows models, what it trusts, and what it takes back.

use super::*;
use crate::learn::Label;
use crate::testing::{Dice, PRIVATE, job, took};

const PACE: Pace = Pace { first_after: 40, refit_after: 20, refit_every_s: 5.0 };

/// Takes `n` jobs of a second in.
fn take(learner: &mut Learner, n: usize) {
    for _ in 0..n {
        learner.take(took(0, PRIVATE, 1.0)).expect("a label that can be");
    }
}

#[test]
fn attempts_come_when_there_is_enough_and_then_with_news_and_time() {
    let mut learner = Learner::new(PACE, 1000);
    assert!(!learner.is_due(0.0));
    take(&mut learner, 39);
    assert!(!learner.is_due(0.0));
    take(&mut learner, 1);
    assert!(learner.is_due(0.0));
    learner.attempting(0.0);
    take(&mut learner, 19);
    assert!(!learner.is_due(60.0));
    take(&mut learner, 1);
    assert!(!learner.is_due(4.9) && learner.is_due(5.0));
    // An alarm does not wait for news and time, and is no reason to learn from too little.
    learner.attempting(5.0);
    learner.is_urgent = true;
    assert!(!learner.is_due(5.0), "there is nothing new");
    take(&mut learner, 1);
    assert!(learner.is_due(5.0));
    let mut young = Learner { is_urgent: true, ..Learner::new(PACE, 1000) };
    take(&mut young, 39);
    assert!(!young.is_due(60.0));
}

#[test]
fn another_pace_and_another_window_hold_from_now_on() {
    let mut learner = Learner::new(PACE, 1000);
    take(&mut learner, 100);
    learner.attempting(0.0);
    take(&mut learner, 10);
    assert!(!learner.is_due(60.0));
    learner.turn(Pace { refit_after: 10, refit_every_s: 60.0, ..PACE }, 50);
    assert!(!learner.is_due(59.0) && learner.is_due(60.0), "what came before counts");
    take(&mut learner, 1);
    assert_eq!(learner.window().len(), 50);
    learner.turn(PACE, 1000);
    take(&mut learner, 5);
    assert_eq!(learner.window().len(), 55);
}

/// Runs jobs whose time is drawn around `median_s(i)`, and calls `seen` with what came of each label.
fn run(learner: &mut Learner, jobs: usize, seed: u64, median_s: impl Fn(usize) -> f64) -> Vec<Taken> {
    let mut dice = Dice::new(seed);
    let mut all = Vec::new();
    for i in 0..jobs {
        let row = took(0, PRIVATE, median_s(i) * (0.3 * dice.normal()).exp());
        all.push(learner.take(row).expect("a label that can be"));
        // A job a second.
        if learner.is_due(i as f64) {
            learner.attempting(i as f64);
            if let Ok(model) = learner.grow(PRIVATE) {
                learner.put_in_force(model);
            }
        }
    }
    all
}

/// A model that says of jobs of a second that they take five and more.
fn lying() -> Model {
    let mut lies = Window::new(1000);
    for i in 0..1000 {
        lies.push(took(0, PRIVATE, 5.0 + f64::from(i % 7))).expect("a label that can be");
    }
    refit(&lies, PRIVATE, None).expect("enough labels")
}

fn median(learner: &Learner) -> f64 {
    learner.in_force().expect("a model").predict(&job(), PRIVATE).quantiles_s[2]
}

#[test]
fn in_quiet_times_models_come_and_none_is_taken_back() {
    let (mut taken_back, mut alarms, mut trusted) = (0, 0, 0);
    for seed in 0..3 {
        let mut learner = Learner::new(PACE, 800);
        for taken in run(&mut learner, 2000, seed, |_| 1.0) {
            alarms += usize::from(taken.drift.is_some());
            match taken.trial {
                Some(Judgement::TakenBack { .. }) => taken_back += 1,
                Some(Judgement::Trusted) => trusted += 1,
                None => {}
            }
        }
        assert!((median(&learner) - 1.0).abs() < 0.1);
        let version = learner.in_force().expect("a model").version();
        assert!(version > 10, "version {version}");
    }
    assert!(taken_back <= 1 && alarms <= 1 && trusted > 20, "{taken_back} {alarms} {trusted}");
}

#[test]
fn a_change_by_two_is_followed_within_a_hundred_jobs_whatever_the_window_holds() {
    let mut learner = Learner::new(PACE, 20_000);
    run(&mut learner, 4000, 1, |_| 1.0);
    let taken = run(&mut learner, 100, 2, |_| 2.0);
    assert!(taken.iter().any(|taken| taken.drift.is_some()));
    assert!((median(&learner) - 2.0).abs() < 0.3, "{}", median(&learner));
}

#[test]
fn a_model_of_lies_is_taken_back_when_jobs_are_honest_again() {
    let mut learner = Learner::new(PACE, 3000);
    run(&mut learner, 1000, 3, |_| 1.0);
    let good = Arc::clone(learner.in_force().expect("a model"));
    learner.adopt(Arc::clone(&good));
    let bad = learner.put_in_force(lying());
    // Nobody refits meanwhile, which would mend it too.
    let mut dice = Dice::new(4);
    let mut jobs = std::iter::repeat_with(|| took(0, PRIVATE, (0.3 * dice.normal()).exp())).take(60);
    let taken: Vec<Taken> = jobs.by_ref().filter_map(|row| learner.take(row).ok()).collect();
    let back = taken.iter().find_map(|taken| match &taken.trial {
        Some(Judgement::TakenBack { bad, back_to, errors, .. }) => Some((bad.version(), back_to.version(), *errors)),
        _ => None,
    });
    let (version, back_to, errors) = back.expect("it is far worse");
    assert_eq!((version, back_to), (bad.version(), good.version()));
    assert!(errors[0] > 1.5 * errors[1], "{errors:?}");
    assert!(learner.in_force().is_some_and(|model| model.says_the_same_as(&good)));
    assert_eq!(learner.allow(Model::clone(&bad)).err(), Some(Refused::TakenBack));
    // What comes next has a number of its own.
    let next = learner.put_in_force(lying());
    assert!(next.version() > bad.version());
}

#[test]
fn a_better_model_that_comes_while_a_worse_one_is_on_trial_is_not_blamed_for_it() {
    let mut learner = Learner::new(PACE, 3000);
    run(&mut learner, 1000, 6, |_| 1.0);
    let good = Arc::clone(learner.in_force().expect("a model"));
    learner.adopt(Arc::clone(&good));
    let bad = learner.put_in_force(lying());
    // The alarm comes first, and a refit with it, long before the trial of the bad one would end.
    let taken = run(&mut learner, 300, 7, |_| 1.0);
    assert!(taken.iter().take(30).any(|taken| taken.drift.is_some()));
    assert!(taken.iter().all(|taken| !matches!(taken.trial, Some(Judgement::TakenBack { .. }))));
    assert!(learner.trusted().is_some_and(|model| model.version() > bad.version()));
    assert!((median(&learner) - 1.0).abs() < 0.1);
}

#[test]
fn labels_that_cannot_be_or_say_too_much_are_told_apart() {
    let mut learner = Learner::new(PACE, 1000);
    run(&mut learner, 100, 5, |_| 1.0);
    assert_eq!(learner.take(took(0, PRIVATE, f64::NAN)).err(), Some(BadRow::Label));
    let taken = learner.take(took(0, PRIVATE, 1e8)).expect("it can be");
    assert!(taken.bounded);
    let newest = learner.window().in_order().last().map(|(_, row)| row.label);
    assert!(matches!(newest, Some(Label::Took(seconds)) if seconds < 100.0), "{newest:?}");
}

#[test]
fn a_model_that_was_rolled_back_does_not_come_in_again_by_another_number() {
    let mut learner = Learner::new(PACE, 1000);
    take(&mut learner, 400);
    let first = learner.grow(PRIVATE).map(|model| learner.put_in_force(model)).expect("enough labels");
    take(&mut learner, 400);
    let second = learner.put_in_force(Model::clone(&first).renumbered(9));
    learner.roll_back(Arc::clone(&first));
    assert!(learner.in_force().is_some_and(|model| Arc::ptr_eq(model, &first)));
    assert!(learner.trusted().is_some_and(|model| Arc::ptr_eq(model, &first)), "on somebody's word");
    assert!(matches!(learner.allow(Model::clone(&second)), Err(Refused::TakenBack)));
    assert!(!learner.is_due(f64::MAX), "there is nothing new to grow one from");
    let next = learner.put_in_force(Model::clone(&first));
    assert!(next.version() > second.version(), "no number is given twice");
}
