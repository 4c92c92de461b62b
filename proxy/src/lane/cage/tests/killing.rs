//! That nothing outlives its cage, nor a sidecar that was killed.

use super::super::means::Way;
use super::super::owner::Owner;
use super::*;

/// Forks children that go into the background, and one that forks without end.
const HYDRA: &str = "
import os, signal, time
for which in range(3):
    if os.fork() == 0:
        os.setsid()
        for ignored in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(ignored, signal.SIG_IGN)
        if os.fork() == 0:
            while which == 0:
                if os.fork() == 0:
                    time.sleep(0.2)
                    os._exit(0)
                time.sleep(0.001)
                try:
                    while os.waitpid(-1, os.WNOHANG)[0]: pass
                except ChildProcessError: pass
            time.sleep(1000)
        os._exit(0)
time.sleep(1000)
";

pub(super) fn hydra(cage: &Cage) -> Worker {
    let worker = Worker::python(cage, HYDRA);
    eventually("it forks", || worker.processes().len() > 10);
    worker
}

#[test]
fn a_kill_leaves_nothing() {
    let means = means();
    let cage = Cage::new(&means, "killed").expect("a cage");
    for _ in 0..3 {
        cage.set(&CageLimits::default()).expect("limits");
        let mut worker = hydra(&cage);
        // A throttled process dies slowly, if it is not let off its share.
        cage.set(&CageLimits { cpu_share: Some(0.05), ..CageLimits::default() }).expect("limits");
        let begun = Instant::now();
        cage.kill().expect("it dies");
        println!("dead after {:?}", begun.elapsed());
        assert_eq!(worker.processes(), [0; 0]);
        worker.child.wait().expect("it is our child");
    }
    // The cage holds what comes next.
    if let Way::V1(_) | Way::V2(_) = means.way() {
        let again = Worker::python(&cage, SPINNER);
        again.is_up(2);
        let stat = kernel_file(again.child.id(), "cpu", "cpu.stat", "cpu.stat");
        let throttled = kernel_number(&stat, "nr_throttled");
        eventually("it is held back", || kernel_number(&stat, "nr_throttled") > throttled);
    }
}

#[test]
fn version_1_kills_all_with_less_as_well() {
    let Some(mut means) = groups("killing by the freezer, and one by one") else { return };
    // Without the hierarchy of version 2 beside it, and then without the freezer.
    for without in [|place: &mut v1::Place| place.unified = None, |place: &mut v1::Place| place.freezer = None] {
        let Way::V1(place) = &mut means.way else { return };
        without(place);
        let cage = Cage::new(&means, "less").expect("a cage");
        let worker = hydra(&cage);
        cage.kill().expect("it dies");
        assert_eq!(worker.processes(), [0; 0]);
    }
}

#[test]
fn a_dropped_cage_is_gone_with_what_was_in_it() {
    let means = means();
    let cage = Cage::new(&means, "dropped").expect("a cage");
    let worker = hydra(&cage);
    let directories = match &cage.group {
        Some(Group::V1(group)) => group.directories(),
        Some(Group::V2(group)) => group.directories(),
        None => Vec::new(),
    };
    assert!(directories.iter().all(|directory| directory.exists()));
    drop(cage);
    assert_eq!(worker.processes(), [0; 0]);
    let still: Vec<_> = directories.iter().filter(|directory| directory.exists()).collect();
    assert!(still.is_empty(), "{still:?}");
    assert_eq!(means.left_behind(), 0);
}

#[test]
fn a_command_dies_with_the_process_that_started_it() {
    let script = r#""$0" lane-exec --parent $$ -- sleep 1000 & echo $!; wait"#;
    let mut shell = Command::new("sh");
    let mut shell = shell.arg("-c").arg(script).arg(launcher()).stdout(Stdio::piped()).spawn().expect("a shell");
    let mut said = String::new();
    let output = shell.stdout.take().expect("it is piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said).expect("it says a number");
    let pid: i32 = said.trim().parse().expect("a number");
    eventually("the command runs", || comm(pid).starts_with("sleep"));
    // SIGKILL: it cannot clean up.
    shell.kill().expect("it is our child");
    shell.wait().expect("it is our child");
    eventually("it is gone", || !comm(pid).starts_with("sleep"));
}

#[test]
fn what_a_killed_sidecar_left_is_taken_away_and_what_a_live_one_uses_is_not() {
    let Some(means) = groups("sweeping") else { return };
    // A sidecar that will end: any process. Before it has, no other test's survey may take away what is its.
    let mut ending = Command::new("sleep").arg("1000").spawn().expect("a process");
    let pid = ending.id().cast_signed();
    let dead = Owner { pid, started: started(pid), ..Owner::us() };
    assert!(!dead.is_gone());
    // One that has our number, but started at another time.
    let reused = Owner { started: 1, ..Owner::us() };
    // One that has ended, but nobody has asked how.
    let mut zombie = Command::new("true").spawn().expect("a process");
    let unasked = Owner { pid: zombie.id().cast_signed(), ..Owner::us() };
    eventually("it is gone", || unasked.is_gone());
    zombie.wait().expect("it is our child");
    // One in another namespace, of which nothing is known.
    let unseen = Owner { namespace: "1".to_owned(), ..reused.clone() };
    assert_eq!([&reused, &unseen, &Owner::us()].map(Owner::is_gone), [true, false, false]);

    let make = |owner: &Owner, name| match means.way() {
        Way::V1(place) => Group::V1(v1::Group::new(place, &owner.named(name)).expect("a group")),
        Way::V2(place) => Group::V2(v2::Group::new(place, &owner.named(name)).expect("a group")),
        Way::Limits => unreachable!("there are groups"),
    };
    let parts = |group: &Group| match group {
        Group::V1(group) => (group.entrances(), group.directories()),
        Group::V2(group) => (group.entrances(), group.directories()),
    };
    let [left, reused, unseen, used] =
        [&dead, &reused, &unseen, &Owner::us()].map(|owner| parts(&make(owner, "swept")));
    // Where a sidecar had moved itself, whoever took over from it may be.
    let (own, empty) = (parts(&make(&dead, v2::SELF)), parts(&make(&dead, v2::SELF)));
    let mut sleepers: Vec<Child> = [&left.0, &own.0]
        .map(|entrances| {
            let sleeper = Command::new("sleep").arg("1000").spawn().expect("a process");
            let enter = |procs: &PathBuf| std::fs::write(procs, sleeper.id().to_string()).expect("it can be moved");
            entrances.iter().for_each(enter);
            sleeper
        })
        .into();

    ending.kill().expect("it is our child");
    ending.wait().expect("it is our child");
    drop(Means::survey_with(launcher()));
    let gone = [&left, &reused, &empty].map(|(_, directories)| directories.iter().all(|one| !one.exists()));
    let there = [&unseen, &used, &own].map(|(_, directories)| directories.iter().all(|one| one.exists()));
    assert_eq!((gone, there), ([true; 3], [true; 3]));
    let status = sleepers[0].wait().expect("it is our child");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert!(sleepers[1].try_wait().expect("it is our child").is_none(), "it was killed");

    sleepers[1].kill().expect("it is our child");
    sleepers[1].wait().expect("it is our child");
    for directory in [unseen, used, own].iter().flat_map(|(_, directories)| directories) {
        file::remove(directory, BOUND).expect("it is empty");
    }
}

fn started(pid: i32) -> u64 {
    owner::stat(pid).and_then(|stat| stat[19].parse().ok()).expect("it runs")
}

/// Kills a sidecar hard, with a hydra in its cage, which a reaper watches.
fn reaped(cage: &Cage, mark: bool) {
    // The sidecar is the process that holds the other end of the reaper's pipe.
    let mut sidecar = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
    let pid = sidecar.id().cast_signed();
    let name = Owner { pid, started: started(pid), ..Owner::us() }.named("reaped");
    let pipe = sidecar.stdout.take().expect("it is piped");
    let mut reaper = Command::new(launcher());
    let mut reaper = reaper.arg(reaper::COMMAND).arg(&name).stdin(pipe).spawn().expect("the launcher runs");

    let token = format!("token-{name}");
    let (mut command, directories) = if mark {
        let mut command = cage.command("python3", ["-c", HYDRA, &token]);
        command.env(limits::MARK, &name);
        (command, Vec::new())
    } else {
        let mut command = Command::new(launcher());
        let (enter, directories) = match &cage.group {
            Some(Group::V1(group)) => (group.entrances(), group.directories()),
            Some(Group::V2(group)) => (group.entrances(), group.directories()),
            None => unreachable!("there are groups"),
        };
        let renamed = |path: &PathBuf| PathBuf::from(path.to_string_lossy().replace(&cage.id, &name));
        let directories: Vec<_> = directories.iter().map(renamed).collect();
        directories.iter().for_each(|directory| file::make(directory).expect("a group"));
        let enter = enter.iter().map(renamed).collect();
        launch::Args { enter, parent: std::process::id(), ..launch::Args::default() }.put(&mut command);
        command.args(["--", "python3", "-c", HYDRA, &token]);
        (command, directories)
    };
    let worker = Worker { child: command.spawn().expect("the launcher runs"), token };
    eventually("it forks", || worker.processes().len() > 10);
    assert!(reaper.try_wait().expect("it is our child").is_none(), "it waits");

    // SIGKILL. That nobody has asked for its status yet makes no difference.
    sidecar.kill().expect("it is our child");
    assert!(reaper.wait().expect("it is our child").success());
    assert_eq!(worker.processes(), [0; 0]);
    assert!(directories.iter().all(|directory| !directory.exists()), "{directories:?}");
    sidecar.wait().expect("it is our child");
}

#[test]
fn a_sidecar_that_is_killed_leaves_nothing_with_a_reaper() {
    reaped(&Cage::new(&Means::limits_only(launcher()), "marked").expect("a cage"), true);
    if let Some(means) = groups("reaping groups") {
        reaped(&Cage::new(&means, "grouped").expect("a cage"), false);
    }
}

#[test]
fn a_reaper_lives_as_long_as_it_is_wanted() {
    let reaper = reaper::Reaper::start(&means()).expect("the launcher runs");
    let pid = reaper.child.id();
    let runs = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty());
    eventually("it runs", runs);
    drop(reaper);
    assert!(!runs());
}
