//! Cages where there are no control groups: each process by itself, and no claim of more.

use super::*;

#[test]
fn each_process_is_held_by_itself_and_let_go_again() {
    let means = Means::limits_only(launcher());
    let enforced = means.enforced();
    assert_eq!((enforced.cpu, enforced.memory, enforced.kill), (By::Nothing, By::Rlimit, By::Mark));
    let cage = Cage::new(&means, "limits").expect("a cage");
    let limits = CageLimits { cpu_share: Some(0.2), memory_bytes: Some(256 << 20), weight: Weight::Idle };
    cage.set(&limits).expect("limits");
    let worker = Worker::python(&cage, SPINNER);
    worker.is_up(2);
    let threads = || {
        let of = |pid: i32| numbers(&format!("/proc/{pid}/task")).into_iter().map(move |task| (pid, task));
        worker.processes().into_iter().flat_map(of).collect::<Vec<_>>()
    };
    eventually("it has threads", || threads().len() == 4);
    let (nicest, lifted) = match enforced.weight {
        By::Nice => (vec![19; 4], vec![own_nice(); 4]),
        // What cannot be raised again is not lowered.
        _ => (vec![own_nice(); 4], vec![own_nice(); 4]),
    };
    let priorities = || threads().into_iter().map(|(pid, task)| nice(pid, task)).collect::<Vec<_>>();
    let data = || worker.processes().into_iter().map(data_limit).collect::<Vec<_>>();
    assert_eq!(priorities(), nicest);
    let held = (256 << 20).to_string();
    assert_eq!(data(), [held.clone(), held]);

    cage.set(&CageLimits::default()).expect("limits");
    assert_eq!(priorities(), lifted);
    assert_eq!(data(), [data_limit(std::process::id().cast_signed()), data_limit(std::process::id().cast_signed())]);

    let (then, cpu) = (cage.usage(), worker.cpu());
    eventually("it is seen to run", || cage.usage().cpu_s > then.cpu_s && worker.cpu() > cpu);
    assert_eq!((then.throttled_s, then.memory_peak_bytes, then.oom_kills), (None, None, None));
}

#[test]
fn a_process_that_wants_more_is_refused_it() {
    let cage = Cage::new(&Means::limits_only(launcher()), "grower").expect("a cage");
    cage.set(&CageLimits { memory_bytes: Some(64 << 20), ..CageLimits::default() }).expect("limits");
    let output = cage.command("python3", ["-c", "b'x' * (256 << 20)"]).output().expect("the launcher runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("MemoryError"), "{said}");
}

#[test]
fn what_went_into_the_background_is_found_and_killed() {
    let cage = Cage::new(&Means::limits_only(launcher()), "background").expect("a cage");
    let worker = killing::hydra(&cage);
    cage.kill().expect("it dies");
    assert_eq!(worker.processes(), [0; 0]);
}

#[test]
fn what_is_used_is_counted_without_a_look_at_every_process_of_the_machine() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _inside = runtime.enter();
    let cage = Cage::new(&Means::limits_only(launcher()), "counted").expect("a cage");
    let worker = Worker::python(&cage, SPINNER);
    worker.is_up(2);
    let mark = cage.mark();
    let late = Worker::python(&cage, "import time; time.sleep(600)");
    let pid = late.child.id().cast_signed();
    assert!(!cage.knows(pid), "nobody has looked since the mark");
    eventually("a look elsewhere finds what has come since", || {
        cage.usage();
        cage.knows(pid)
    });
    let used = || cage.since(&mark).cpu_s.unwrap_or_default();
    eventually("it is seen to run", || used() > 0.1);
    let counted = used();
    assert!(counted <= worker.cpu().as_secs_f64() + 0.1, "{counted}");
}

fn nice(pid: i32, task: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{task}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    fields.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
}

fn own_nice() -> i32 {
    nice(std::process::id().cast_signed(), std::process::id().cast_signed())
}

fn data_limit(pid: i32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max data size")?.split_whitespace().next());
    soft.expect("there is one").to_owned()
}
