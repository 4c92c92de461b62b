//! The trainer's thread: labels in, models in force, and what goes wrong.

use std::time::Instant;

use policy::learn::{Label, Refused, Window};
use policy::{ClassId, NetworkId};

use super::trainer::Grow;
use super::*;
use crate::record::tests::{job, network};

/// A job of class `class` that took `took_s` on a network.
fn row(pair: u64, class: u16, on: usize, took_s: f64) -> Row {
    Row {
        job: job(ClassId(class)),
        pair,
        network: network(on),
        label: Label::Took(took_s),
        cpu_s: None,
        memory_bytes: None,
        response_bytes: None,
    }
}

fn config() -> config::value::Oracle {
    config::value::Oracle { refit_every: Duration::ZERO, refit_after: 1, first_after: 40, window: 1000 }
}

fn school(queue: usize) -> School {
    School::new(queue, Arc::new(Metrics::new(&["private".to_owned(), "public".to_owned()])))
}

/// Takes in labels of jobs that take `took_s` at home and half of it on the other network, and steps once.
fn teach(school: &School, trainer: &mut Trainer, took_s: f64) {
    for n in 0_u32..200 {
        let wobble = 1.0 + 0.1 * f64::from(n % 7);
        school.take_in(row(u64::from(n), 0, 0, took_s * wobble), None);
        school.take_in(row(u64::from(n), 0, 1, took_s * wobble / 2.0), None);
    }
    trainer.step(school, Instant::now());
}

#[test]
fn labels_in_a_model_out_and_the_next_swap_changes_what_is_predicted() {
    let school = school(1024);
    let mut trainer = Trainer::new(config(), network(0), policy::learn::refit);
    teach(&school, &mut trainer, 1.0);
    let first = school.model.load_full().expect("400 labels are enough");
    let job = job(ClassId(0));
    let before = first.predict(&job, network(0)).mean_s;
    assert!((0.7..2.0).contains(&before), "predicted {before} s for jobs of 1 to 1.6 s");
    assert!(first.predict(&job, network(1)).mean_s < before);

    // The service has become ten times as slow; the window forgets the rest.
    for _ in 0..3 {
        teach(&school, &mut trainer, 10.0);
    }
    let second = school.model.load_full().expect("a model stays in force");
    assert!(second.version() > first.version());
    let after = second.predict(&job, network(0)).mean_s;
    assert!(after > 3.0 * before, "predicted {after} s after the change, {before} s before");
}

#[test]
fn the_thread_grows_a_model_by_itself_and_ends_with_the_oracle() {
    let metrics = Arc::new(Metrics::new(&["private".to_owned(), "public".to_owned()]));
    let oracle = Oracle::start(&config(), network(0), Arc::clone(&metrics)).expect("a thread");
    for n in 0..400 {
        oracle.learn(row(n / 2, 0, (n % 2) as usize, 1.0 + (n % 7) as f64 / 10.0));
    }
    while oracle.model().is_none() {
        std::thread::yield_now();
    }
    assert!(oracle.age_s() >= 0.0);
    drop(oracle);
    assert_eq!(Arc::strong_count(&metrics), 1, "the thread is gone and has let go of everything");
}

#[test]
fn a_refit_that_panics_is_counted_and_the_next_one_is_tried() {
    const PANICS: Grow = |_: &Window, _: NetworkId, _: Option<&Model>| panic!("a refit that fails on purpose");
    let school = school(1024);
    let mut trainer = Trainer::new(config(), network(0), PANICS);
    teach(&school, &mut trainer, 1.0);
    teach(&school, &mut trainer, 1.0);
    let text = school.metrics.text(Vec::new());
    assert!(text.contains("adumbra_refits_total{result=\"panicked\"} 2\n"), "{text}");
    assert!(school.model.load_full().is_none());
}

#[test]
fn a_refused_refit_is_counted_by_its_reason_and_changes_nothing() {
    const REFUSES: Grow =
        |_: &Window, _: NetworkId, _: Option<&Model>| Err(Refused::Worse { challenger: 2.0, champion: 1.0 });
    let school = school(1024);
    let mut trainer = Trainer::new(config(), network(0), REFUSES);
    teach(&school, &mut trainer, 1.0);
    assert!(school.metrics.text(Vec::new()).contains("adumbra_refits_total{result=\"worse\"} 1\n"));
    assert!(school.model.load_full().is_none());
}

#[test]
fn labels_that_do_not_fit_or_make_no_sense_are_counted() {
    let school = school(2);
    for n in 0..5 {
        school.take_in(row(n, 0, 0, f64::NAN), None);
    }
    Trainer::new(config(), network(0), policy::learn::refit).step(&school, Instant::now());
    let text = school.metrics.text(Vec::new());
    assert!(text.contains("adumbra_labels_dropped_total 3\n"));
    assert!(text.contains("adumbra_labels_rejected_total 2\n"));
    assert!(text.contains("adumbra_labels_total 0\n"));
}

#[test]
fn only_the_thread_that_learns_yields_to_the_others() {
    let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).expect("a niceness");
    let before = niceness();
    let there = std::thread::spawn(move || {
        yield_to_all_others();
        niceness()
    });
    assert_eq!(there.join().expect("it only asks"), NICE);
    assert_eq!(niceness(), before);
}

#[test]
fn what_the_model_is_off_by_is_read_beside_it_and_begins_anew_with_the_next_model() {
    const KEEPS: Grow = |window: &Window, home: NetworkId, champion: Option<&Model>| match champion {
        None => policy::learn::refit(window, home, None),
        Some(_) => Err(Refused::Worse { challenger: 2.0, champion: 1.0 }),
    };
    let school = school(1024);
    let mut trainer = Trainer::new(config(), network(0), KEEPS);
    teach(&school, &mut trainer, 1.0);
    let shift = |on: usize| school.corrections.read(ClassId(0), network(on)).shift;
    assert!(shift(0).abs() < 0.1, "{} just after the fit", shift(0));
    for _ in 0..3 {
        teach(&school, &mut trainer, 1.3);
    }
    assert!(shift(0) > 0.15 && shift(1) > 0.15, "{} and {} after everything has become slower", shift(0), shift(1));
    assert_eq!(school.corrections.read(ClassId(9), network(0)).shift, 0.0, "of other classes nothing is known");

    let mut next = Trainer::new(config(), network(0), policy::learn::refit);
    for _ in 0..3 {
        teach(&school, &mut next, 1.3);
    }
    assert!(shift(0).abs() < 0.1, "{} after the next fit", shift(0));
}
