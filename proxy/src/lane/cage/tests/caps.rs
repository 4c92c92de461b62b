//! That caps hold, and are lifted at once.

use super::*;

const MIB: u64 = 1 << 20;

/// Lets the cage have what it may before anyone else does, so that its cap is what holds it, and not how busy we are.
fn strengthen(worker: &Worker) {
    let path = kernel_file(worker.child.id(), "cpu", "cpu.shares", "cpu.weight");
    let most = if path.ends_with("cpu.shares") { "262144" } else { "10000" };
    std::fs::write(&path, most).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn a_fifth_of_a_core_is_a_fifth_of_a_core() {
    let Some(means) = groups("a fifth of a core") else { return };
    let cage = Cage::new(&means, "fifth").expect("a cage");
    cage.set(&CageLimits { cpu_share: Some(0.2), ..CageLimits::default() }).expect("limits");
    let worker = Worker::python(&cage, SPINNER);
    worker.is_up(2);
    strengthen(&worker);
    let stat = kernel_file(worker.child.id(), "cpu", "cpu.stat", "cpu.stat");
    let periods = || (kernel_number(&stat, "nr_periods"), kernel_number(&stat, "nr_throttled"));

    // It is a cap: on a machine that has no time to give it may be less. Then it was not held back in every period, and
    // the next ten seconds may show more.
    let mut shares = Vec::new();
    for _ in 0..3 {
        let ((periods_then, throttled_then), cpu, usage, begun) =
            (periods(), worker.cpu(), cage.usage(), Instant::now());
        std::thread::sleep(Duration::from_secs(10));
        let used = (worker.cpu() - cpu).as_secs_f64();
        let share = used / begun.elapsed().as_secs_f64();
        let ((periods_now, throttled_now), usage_now) = (periods(), cage.usage());
        let held = (throttled_now - throttled_then) as f64 / (periods_now - periods_then) as f64;
        println!("{share:.4} of a core, held back in {held:.3} of the periods");
        shares.push((share, held));
        assert!(share <= 0.22, "more than its cap: {shares:?}");

        // What adumbra says is what the test has seen.
        let said = usage_now.cpu_s.expect("counted") - usage.cpu_s.expect("counted");
        assert!((said - used).abs() < 0.05 * used, "{said} s said, {used} s seen");
        assert!(usage_now.throttled_s > usage.throttled_s, "{usage:?}, then {usage_now:?}");
        if share >= 0.18 {
            return;
        }
        assert!(held < 0.95, "less than its share though it asked for more: {shares:?}");
    }
    panic!("this machine has no time to give: {shares:?}");
}

#[test]
fn a_small_share_is_one_too() {
    let Some(means) = groups("a twentieth and a hundredth of a core") else { return };
    for share in [0.05, 0.01] {
        let cage = Cage::new(&means, "small").expect("a cage");
        let worker = Worker::python(&cage, SPINNER);
        worker.is_up(2);
        cage.set(&CageLimits { cpu_share: Some(share), ..CageLimits::default() }).expect("limits");
        let (cpu, begun) = (worker.cpu(), Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let (used_s, took_s) = ((worker.cpu() - cpu).as_secs_f64(), begun.elapsed().as_secs_f64());
        println!("{:.4} of a core, for {share}", used_s / took_s);
        // As near as the fifth of a core has to be.
        assert!(used_s <= (share + 0.02) * took_s, "{used_s} s of {took_s} s, for {share}");
    }
}

#[test]
fn a_cage_of_64_mib_never_holds_more_and_who_grows_is_killed() {
    /// A child grows, and the parent waits for it: the kernel kills whom it wants.
    const GROWER: &str = "
import os, time, threading
def grow():
    held = []
    while True:
        held.append(b'x' * (1 << 20))
        time.sleep(0.005)
if os.fork() == 0:
    grow()
threading.Thread(target=grow, daemon=True).start()
time.sleep(1000)
";
    let Some(means) = groups("64 MiB") else { return };
    let cage = Cage::new(&means, "memory").expect("a cage");
    let limits = CageLimits { memory_bytes: Some(64 * MIB), ..CageLimits::default() };
    cage.set(&limits).expect("limits");
    let worker = Worker::python(&cage, GROWER);
    worker.is_up(2);
    let file = |v1, v2| kernel_file(worker.child.id(), "memory", v1, v2);
    let held = file("memory.usage_in_bytes", "memory.current");
    let kills = file("memory.oom_control", "memory.events");
    let mut most = 0;
    eventually("the kernel kills", || {
        most = most.max(kernel_number(&held, ""));
        assert!(most <= 64 * MIB, "{most} bytes held");
        kernel_number(&kills, "oom_kill ") > 0
    });
    println!("at most {:.1} MiB seen", most as f64 / MIB as f64);
    assert!(most > 32 * MIB, "only {most} bytes were ever seen");
    let usage = cage.usage();
    assert!(usage.oom_kills >= Some(1), "{usage:?}");
    assert!(usage.memory_peak_bytes.is_some_and(|peak| peak >= most && peak <= 64 * MIB), "{usage:?}, {most} seen");

    // The next to come begins to count anew.
    cage.kill().expect("it dies");
    let mark = cage.mark();
    assert_eq!(cage.since(&mark).oom_kills, Some(0));
    let mut idle = cage.command("sleep", ["1000"]).spawn().expect("the launcher runs");
    eventually("it sleeps", || comm(idle.id().cast_signed()).starts_with("sleep"));
    let since = cage.since(&mark);
    // Where the kernel cannot begin anew, the peak is missing.
    assert!(since.memory_peak_bytes.is_none_or(|peak| peak < most), "{since:?}");
    assert!(since.memory_bytes.is_some_and(|bytes| bytes > 0), "{since:?}");
    cage.kill().expect("it dies");
    idle.wait().expect("it is our child");
}

#[test]
fn caps_are_lifted_at_once() {
    let Some(means) = groups("lifting") else { return };
    let cage = Cage::new(&means, "lifted").expect("a cage");
    let worker = Worker::python(&cage, SPINNER);
    worker.is_up(2);
    let tight = CageLimits { cpu_share: Some(0.05), memory_bytes: Some(64 * MIB), weight: Weight::Idle };
    let mut lifts = Vec::new();
    for _ in 0..20 {
        cage.set(&tight).expect("limits");
        // Longer than it takes to use up what one period gives.
        std::thread::sleep(Duration::from_millis(120));
        let (cpu, begun) = (worker.cpu(), Instant::now());
        cage.set(&CageLimits::default()).expect("limits");
        let set = begun.elapsed();
        // No period of the old cap gives as much.
        eventually("it runs", || worker.cpu() - cpu > Duration::from_millis(6));
        lifts.push((set, begun.elapsed()));
    }
    lifts.sort();
    println!(
        "lifted, and 6 ms of CPU time used, after: fastest {:?}, median {:?}, slowest {:?}",
        lifts[0], lifts[10], lifts[19]
    );
    assert!(lifts[0].0 <= Duration::from_millis(10), "{lifts:?}");

    let (cpu, begun) = (worker.cpu(), Instant::now());
    eventually("far more than its cap", || {
        (worker.cpu() - cpu).as_secs_f64() > 0.1 + 0.1 * begun.elapsed().as_secs_f64()
    });
}

#[test]
fn what_is_no_limit_is_refused() {
    let cage = Cage::new(&means(), "nonsense").expect("a cage");
    for share in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let limits = CageLimits { cpu_share: Some(share), ..CageLimits::default() };
        assert!(matches!(cage.set(&limits), Err(CageError::Limit { .. })), "{share}");
    }
    let limits = CageLimits { memory_bytes: Some(0), ..CageLimits::default() };
    assert!(matches!(cage.set(&limits), Err(CageError::Limit { .. })));
    assert!(matches!(Cage::new(&means(), "../up"), Err(CageError::Name(_))));
}
