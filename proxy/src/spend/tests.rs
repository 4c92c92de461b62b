//! What is kept of what was spent, through kills, torn lines, full disks and second processes.

use std::path::Path;

use super::*;

const CAPS: SpendCaps = SpendCaps { per_hour: 5.0, per_day: 50.0 };

fn config(directory: Option<&Path>) -> config::Config {
    let state = directory.map_or(String::new(), |at| format!("[state]\ndirectory = {at:?}\n"));
    let text = format!(
        "home = \"private\"\n[listen]\njobs = \"127.0.0.1:0\"\n[networks.private]\nupstreams = [\"http://127.0.0.1:3000\"]\n\
         [networks.public]\nupstreams = [\"http://127.0.0.1:3001\"]\n{state}"
    );
    config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn public() -> NetworkId {
    NetworkId::new(1).expect("there may be two")
}

fn bill(expected: f64) -> Bill {
    Bill { per_s: 1.0, per_byte: 0.0, expected }
}

/// A process that has spent `money` and is then killed, with something of `open` in flight.
fn killed(directory: &Path, money: f64, open: f64) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    let purses = Purses::start(&config(Some(directory)), &metrics);
    purses.charge(public(), bill(money), &Arc::default()).over(money);
    let flying = purses.charge(public(), Bill { per_s: 0.0, ..bill(open) }, &Arc::default());
    purses.desk.write();
    // Neither is told that it is over: a killed process tells nobody anything.
    release(&purses);
    std::mem::forget(flying);
    std::mem::forget(purses);
    metrics
}

/// What the system does for a process that is gone.
fn release(purses: &Purses) {
    purses.desk.stop.store(true, Ordering::Release);
    *purses.desk.journal.lock() = None;
}

fn start(directory: &Path) -> (Purses, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Purses::start(&config(Some(directory)), &metrics), metrics)
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
}

#[test]
fn what_was_spent_and_what_was_in_flight_outlive_a_kill() {
    let directory = tempfile::tempdir().expect("there is room");
    let at = directory.path().join("not/there/yet");
    killed(&at, 3.0, 1.5);
    let (purses, _) = start(&at);
    close(purses.spent(public()).hour, 4.5);
    close(purses.left(public(), CAPS).expect("there is a cap"), 0.5);
    close(purses.spent(NetworkId::new(0).expect("home")).day, 0.0);
    drop(purses);
    // It ended well, and so does the next one.
    for _ in 0..3 {
        let (purses, _) = start(&at);
        close(purses.spent(public()).hour, 4.5);
        assert_eq!(purses.kept().unreadable_lines, 0);
    }
}

#[test]
fn a_torn_tail_and_lines_that_make_no_sense_are_passed_over_counted_and_kept_aside() {
    let directory = tempfile::tempdir().expect("there is room");
    killed(directory.path(), 2.0, 0.0);
    let path = directory.path().join("spend.log");
    let whole = std::fs::read(&path).expect("it was written");
    let mut bad = whole.clone();
    bad.extend(b"spent 1 public nan #00000000\n\xff\xfe\x00\nspent 28333334 public 1000 #");
    std::fs::write(&path, &bad).expect("there is room");
    let (purses, _) = start(directory.path());
    close(purses.spent(public()).hour, 2.0);
    assert_eq!(purses.kept().unreadable_lines, 3);
    drop(purses);
    assert_eq!(std::fs::read(directory.path().join("spend.log.bad")).expect("it was kept"), bad);
    // Every cut of the file is as good as what is whole of it.
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("there is room");
        let (purses, _) = start(directory.path());
        let spent = purses.spent(public()).hour;
        assert!((spent - 2.0).abs() < 1e-6 || spent == 0.0, "cut at {cut}: {spent}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_said_and_counted_and_caps_hold_all_the_same() {
    let directory = tempfile::tempdir().expect("there is room");
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").expect("there is room");
    let (purses, metrics) = start(&file);
    purses.charge(public(), bill(6.0), &Arc::default()).over(6.0);
    purses.desk.write();
    assert!(purses.kept().failing.is_some(), "{:?}", purses.kept());
    close(purses.left(public(), CAPS).expect("there is a cap"), -1.0);
    assert!(metrics.text(Vec::new()).contains("adumbra_spend_unwritten_total "));
    assert!(!metrics.text(Vec::new()).contains("adumbra_spend_unwritten_total 0\n"));
    // The way is free: all of it is written.
    std::fs::remove_file(&file).expect("it is there");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while purses.kept().failing.is_some() {
        assert!(std::time::Instant::now() < deadline, "it is tried again");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(purses);
    close(start(&file).0.spent(public()).hour, 6.0);
}

#[test]
fn two_processes_do_not_spoil_each_others_file() {
    let directory = tempfile::tempdir().expect("there is room");
    let (first, _) = start(directory.path());
    first.charge(public(), bill(1.0), &Arc::default()).over(1.0);
    first.desk.write();
    let (second, _) = start(directory.path());
    second.charge(public(), bill(0.5), &Arc::default()).over(0.5);
    second.desk.write();
    assert_eq!(second.kept().failing.as_deref(), Some("another process writes it"));
    close(second.spent(public()).hour, 1.5);
    first.charge(public(), bill(0.25), &Arc::default()).over(0.25);
    drop(first);
    // It takes over, with what the first has spent meanwhile.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while second.kept().failing.is_some() {
        assert!(std::time::Instant::now() < deadline, "it is tried again");
        std::thread::sleep(Duration::from_millis(20));
    }
    close(second.spent(public()).hour, 1.75);
    drop(second);
    close(start(directory.path()).0.spent(public()).hour, 1.75);
}

#[test]
fn a_long_file_is_written_anew_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("there is room");
    let (purses, metrics) = start(directory.path());
    purses.desk.write();
    // What the thread does, without its pauses.
    for n in 0..30_000 {
        let charge = purses.charge(public(), bill(f64::from(n % 7)), &Arc::default());
        charge.over(0.001);
        if n % 3 == 0 {
            purses.desk.write();
        }
    }
    purses.desk.write();
    let bytes = std::fs::metadata(directory.path().join("spend.log")).expect("it is there").len();
    assert!(bytes < (1 << 20) + 4096, "{bytes}");
    drop(purses);
    close(start(directory.path()).0.spent(public()).day, 30.0);
    assert!(metrics.text(Vec::new()).contains("adumbra_spend_unwritten_total 0\n"));
}

#[test]
fn without_a_directory_it_is_kept_in_memory_and_says_so() {
    let metrics = Arc::new(Metrics::default());
    let purses = Purses::start(&config(None), &metrics);
    purses.charge(public(), bill(1.0), &Arc::default()).over(2.0);
    close(purses.spent(public()).hour, 2.0);
    assert!(purses.kept().file.is_none() && purses.thread.is_none());
}

#[test]
fn a_job_pays_for_all_of_its_dispatches_and_one_that_held_no_slot_is_free() {
    let metrics = Arc::new(Metrics::default());
    let purses = Purses::start(&config(None), &metrics);
    let tab = Arc::default();
    let mut lead = purses.charge(public(), Bill { per_s: 0.5, per_byte: 0.01, expected: 4.0 }, &tab);
    let shadow = purses.charge(public(), bill(1.0), &tab);
    close(tab.total(), 5.0);
    drop(shadow);
    close(tab.total(), 4.0);
    close(purses.left(public(), CAPS).expect("there is a cap"), 1.0);
    lead.carried(100);
    lead.over(3.0);
    purses.pay(public(), 0.25, &tab);
    close(tab.total(), 2.75);
    close(purses.spent(public()).hour, 2.75);
    close(purses.spent(public()).committed, 0.0);
}

#[test]
fn what_was_spent_on_a_network_counts_when_a_reload_brings_it() {
    let directory = tempfile::tempdir().expect("there is room");
    killed(directory.path(), 3.0, 0.0);
    let alone = config(Some(directory.path()));
    let alone = config::Config { networks: alone.networks[..1].to_vec(), ..alone };
    let purses = Purses::start(&alone, &Arc::new(Metrics::default()));
    close(purses.spent(public()).hour, 0.0);
    let names = ["private".to_owned(), "public".to_owned()];
    for _ in 0..2 {
        purses.name_networks(&names);
        close(purses.spent(public()).hour, 3.0);
    }
    purses.name_networks(&["private".to_owned(), "public".to_owned(), "new".to_owned()]);
    close(purses.spent(public()).hour, 3.0);
}
