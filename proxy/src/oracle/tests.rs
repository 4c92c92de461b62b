//! The trainer's thread: labels in, models in force, on trial, taken back and kept, and what goes wrong.

use std::time::Instant;

use policy::learn::{Label, Refused, Window};
use policy::{ClassId, NetworkId};

use super::trainer::Grow;
use super::*;
use crate::record::tests::{generation, job, network};

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

fn config() -> Config {
    let mut config = generation().config.clone();
    config.oracle =
        config::value::Oracle { refit_every: Duration::ZERO, refit_after: 1, first_after: 40, window: 1000, keep: 3 };
    config
}

fn classes() -> Arc<Classes> {
    let classes = Classes::default();
    classes.id("render", "scene");
    Arc::new(classes)
}

fn trainer(config: &Config, grow: Grow) -> Trainer {
    Trainer::new(&config.oracle, config.home, Arc::new(Names::new(config, classes())), grow)
}

/// A trainer that keeps versions in `directory`, begun with what is there.
fn kept(school: &School, directory: &std::path::Path, grow: Grow) -> Trainer {
    let config = config();
    let mut trainer = trainer(&config, grow);
    let shelf = Shelf::open(directory, config.oracle.keep);
    trainer.begin_with(shelf, school, Instant::now());
    trainer
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
    let mut trainer = trainer(&config(), policy::learn::refit);
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
    let oracle = Oracle::start(&config(), &classes(), Arc::clone(&metrics)).expect("a thread");
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
    let mut trainer = trainer(&config(), PANICS);
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
    let mut trainer = trainer(&config(), REFUSES);
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
    trainer(&config(), policy::learn::refit).step(&school, Instant::now());
    let text = school.metrics.text(Vec::new());
    assert!(text.contains("adumbra_labels_dropped_total 3\n"));
    assert!(text.contains("adumbra_labels_rejected_total{reason=\"time\"} 2\n"));
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

/// Takes in `n` labels of jobs around `took_s` at home, and steps once.
fn tell(school: &School, trainer: &mut Trainer, n: u32, took_s: f64) {
    for i in 0..n {
        school.take_in(row(u64::MAX, 0, 0, took_s * (1.0 + 0.1 * f64::from(i % 7))), None);
    }
    trainer.step(school, Instant::now());
}

fn text(school: &School) -> String {
    school.metrics.text(Vec::new())
}

#[test]
fn a_model_that_predicts_worse_than_the_one_before_is_taken_back_and_stays_out() {
    // A challenger gets in that no outcome speaks for: it was grown from a window of jobs that take ten times as long.
    const MISLED: Grow = |window: &Window, home: NetworkId, champion: Option<&Model>| {
        if champion.is_none() {
            return policy::learn::refit(window, home, None);
        }
        if (71..150).contains(&window.taken()) {
            return Err(Refused::Worse { challenger: 2.0, champion: 1.0 });
        }
        let mut lies = Window::new(100);
        for n in 0..100 {
            lies.push(row(n, 0, 0, 10.0 + (n % 7) as f64)).expect("a label that can be");
        }
        policy::learn::refit(&lies, home, None)
    };
    let directory = tempfile::tempdir().expect("there is room for files");
    let school = school(1024);
    let mut trainer = kept(&school, directory.path(), MISLED);
    tell(&school, &mut trainer, 60, 1.0);
    let good = school.model.load_full().expect("a first model");
    tell(&school, &mut trainer, 10, 1.0);
    assert_eq!(school.model.load_full().expect("a second").version(), 2);
    assert_eq!(school.trusted.load(Ordering::Relaxed), 1);
    trainer.end(&school, Instant::now());
    assert!(directory.path().join("models/model-00000002.json").exists());
    // 49 outcomes later nothing is said yet; with the 50th it is.
    tell(&school, &mut trainer, 49, 1.0);
    assert_eq!(school.model.load_full().expect("a model").version(), 2);
    tell(&school, &mut trainer, 1, 1.0);
    let back = school.model.load_full().expect("a model");
    assert!(back.version() == 1 && back.says_the_same_as(&good), "version {}", back.version());
    assert!(text(&school).contains("adumbra_model_rollbacks_total 1\n"));
    assert!(!directory.path().join("models/model-00000002.json").exists(), "a restart would begin with it");
    assert!(directory.path().join("models/model-00000002.taken-back").exists());
    // The same again is refused.
    tell(&school, &mut trainer, 60, 1.0);
    assert_eq!(school.model.load_full().expect("a model").version(), 1);
    assert!(text(&school).contains("adumbra_refits_total{result=\"taken_back\"} 1\n"));
    // And a restart begins with the good one.
    drop(trainer);
    let again = super::tests::school(16);
    kept(&again, directory.path(), policy::learn::refit);
    let read = again.model.load_full().expect("it was kept");
    assert_eq!((read.version(), again.trusted.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(read.predict(&job(ClassId(0)), network(0)), good.predict(&job(ClassId(0)), network(0)));
}

#[test]
fn a_network_that_becomes_twice_as_slow_is_noticed_and_refitted_for_at_once() {
    let school = school(4096);
    let mut config = config();
    // No refit comes by itself but the first.
    config.oracle.refit_after = 100_000;
    let mut trainer = trainer(&config, policy::learn::refit);
    tell(&school, &mut trainer, 800, 1.0);
    let before = school.model.load_full().expect("a first model").predict(&job(ClassId(0)), network(0)).mean_s;
    for n in 0..100 {
        tell(&school, &mut trainer, 1, 2.0 + 0.2 * f64::from(n % 7));
    }
    let text = text(&school);
    assert!(text.contains("adumbra_drift_alarms_total{network=\"private\"} 1\n"), "{text}");
    let now = school.model.load_full().expect("a model");
    assert!(now.version() > 1);
    let after = now.predict(&job(ClassId(0)), network(0)).mean_s;
    assert!((after / before - 2.0).abs() < 0.4, "{before} s before, {after} s now");
}

#[test]
fn a_label_that_says_too_much_is_bounded_and_counted() {
    let school = school(1024);
    let mut trainer = trainer(&config(), policy::learn::refit);
    tell(&school, &mut trainer, 60, 1.0);
    tell(&school, &mut trainer, 1, 1e8);
    assert!(text(&school).contains("adumbra_labels_bounded_total 1\n"));
}

#[test]
fn versions_are_kept_to_their_number_and_the_newest_that_is_whole_comes_back() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let school = school(1024);
    let mut trainer = kept(&school, directory.path(), policy::learn::refit);
    for _ in 0..6 {
        tell(&school, &mut trainer, 60, 1.0);
        trainer.end(&school, Instant::now());
    }
    drop(trainer);
    let files = || {
        let mut names: Vec<String> = std::fs::read_dir(directory.path().join("models"))
            .expect("it is there")
            .map(|entry| entry.expect("it is there").file_name().into_string().expect("text"))
            .filter(|name| name.starts_with("model-"))
            .collect();
        names.sort();
        names
    };
    let kept_files = files();
    assert_eq!(kept_files.len(), 3, "{kept_files:?}");
    // The newest is cut off, the one before has a number changed; what is neither is no version.
    let damage = |name: &str, how: fn(String) -> String| {
        let path = directory.path().join("models").join(name);
        let text = std::fs::read_to_string(&path).expect("it can be read");
        std::fs::write(&path, how(text)).expect("it can be written");
    };
    damage(&kept_files[2], |text| text[..text.len() / 2].to_owned());
    damage(&kept_files[1], |text| text.replace("\"labels\":", "\"labels\":1"));
    std::fs::write(directory.path().join("models/model-99999999999999999999.json"), "").expect("it can be written");
    std::fs::create_dir(directory.path().join("models/model-00000099.json")).expect("it can be made");
    let again = super::tests::school(16);
    let trainer = kept(&again, directory.path(), policy::learn::refit);
    let model = again.model.load_full().expect("one is whole");
    assert_eq!(format!("model-{:08}.json", model.version()), kept_files[0]);
    let text = text(&again);
    for (result, count) in [("loaded", 1), ("truncated", 1), ("checksum", 1), ("foreign", 1)] {
        assert!(
            text.contains(&format!("adumbra_model_files_total{{result=\"{result}\"}} {count}\n")),
            "{result}: {text}"
        );
    }
    drop(trainer);
}

#[test]
fn a_model_for_another_home_is_passed_over() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let school = school(1024);
    let mut trainer = kept(&school, directory.path(), policy::learn::refit);
    tell(&school, &mut trainer, 60, 1.0);
    drop(trainer);
    let mut config = config();
    config.home = network(1);
    config.state.directory = Some(directory.path().to_owned());
    let metrics = Arc::new(Metrics::new(&[]));
    let oracle = Oracle::start(&config, &classes(), Arc::clone(&metrics)).expect("it starts all the same");
    assert!(oracle.model().is_none() && oracle.document().is_none());
    assert!(metrics.text(Vec::new()).contains("adumbra_model_files_total{result=\"misfit\"} 1\n"));
}

#[test]
fn a_directory_that_cannot_be_is_said_and_does_no_other_harm() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let in_the_way = directory.path().join("file");
    std::fs::write(&in_the_way, "").expect("it can be written");
    let school = school(1024);
    let mut trainer = kept(&school, &in_the_way, policy::learn::refit);
    tell(&school, &mut trainer, 60, 1.0);
    assert!(school.model.load().is_some());
    assert!(text(&school).contains("adumbra_model_files_total{result=\"unsaved\"} 1\n"));
}

#[test]
fn a_directory_that_another_has_is_read_and_not_written() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let (first, second) = (school(1024), school(1024));
    let mut owner = kept(&first, directory.path(), policy::learn::refit);
    let mut guest = kept(&second, directory.path(), policy::learn::refit);
    tell(&second, &mut guest, 60, 1.0);
    assert!(text(&second).contains("adumbra_model_files_total{result=\"unsaved\"} 1\n"));
    assert!(second.model.load().is_some(), "it has a model all the same");
    tell(&first, &mut owner, 60, 1.0);
    assert!(text(&first).contains("adumbra_model_files_total{result=\"saved\"} 1\n"));
}

#[test]
fn what_the_model_is_off_by_is_read_beside_it_and_begins_anew_with_the_next_model() {
    let school = school(4096);
    let mut config = config();
    // No refit comes by itself but the first.
    config.oracle.refit_after = 100_000;
    let mut trainer = trainer(&config, policy::learn::refit);
    tell(&school, &mut trainer, 400, 1.0);
    let shift = |on: usize| school.corrections.read(ClassId(0), network(on)).shift;
    let before = shift(0);
    assert!(before.abs() < 0.1, "{before} just after the fit");
    // Slower, but not by so much that anybody takes alarm.
    tell(&school, &mut trainer, 100, 1.15);
    let version = school.model.load_full().expect("a model").version();
    assert!(shift(0) > before + 0.03, "{} after all jobs have become slower, {before} before", shift(0));
    assert!(shift(1) > before + 0.03, "what makes jobs slower makes them so everywhere");
    assert_eq!(school.corrections.read(ClassId(9), network(0)).shift, 0.0, "of other classes nothing is known");
    // Ten times as slow: that is an alarm, and another model.
    tell(&school, &mut trainer, 400, 10.0);
    assert!(school.model.load_full().expect("a model").version() > version);
    assert!(shift(0).abs() < 0.3, "{} after the next fit", shift(0));
}
