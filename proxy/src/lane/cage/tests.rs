//! Cages with real processes in them. What those use is read by the tests themselves, from `/proc` and from the kernel's
//! own files, and not through the code under test.
//!
//! Where the machine lets us have no control groups the tests say so on stderr, loudly, and hold the survey to its word:
//! that it claims nothing. What single processes are held by is tested everywhere ([`without_groups`]).

mod caps;
mod killing;
mod launching;
mod places;
mod without_groups;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::*;

/// Far beyond what anything waited for takes.
const BOUND: Duration = Duration::from_secs(60);

/// Forks and threads, all of which want a whole core: two processes of two threads each.
const SPINNER: &str = "
import os, threading
os.fork()
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
spin()
";

/// What the machine offers.
fn means() -> Means {
    Means::survey_with(launcher())
}

/// What the machine offers, if that is control groups.
fn groups(test: &str) -> Option<Means> {
    let means = means();
    let enforced = means.enforced();
    if enforced.cpu != By::Nothing && enforced.memory != By::Rlimit {
        return Some(means);
    }
    eprintln!("\n!!! {test}: NOT TESTED, there are no control groups for it here: {:#?}\n", means.lacks());
    assert!(!means.lacks().is_empty(), "what is not enforced has a reason: {enforced:?}");
    None
}

/// A process in a cage, and everything that came of it. Dropping it kills it.
struct Worker {
    child: Child,
    /// Among its arguments, and so among those of all that it forks.
    token: String,
}

impl Worker {
    /// Runs a Python script in the cage.
    fn python(cage: &Cage, script: &str) -> Self {
        let token = format!("token-{}", cage.id);
        let child = cage.command("python3", ["-c", script, &token]).stdin(Stdio::null()).spawn();
        Self { child: child.expect("the launcher runs"), token }
    }

    /// Its processes, wherever they are.
    fn processes(&self) -> Vec<i32> {
        let bears = |pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|argument| argument == self.token.as_bytes())
        };
        numbers("/proc").into_iter().filter(bears).collect()
    }

    fn is_up(&self, processes: usize) {
        eventually("the worker has forked", || {
            let up = self.processes();
            let is_python = |pid: &i32| comm(*pid).starts_with("python");
            up.len() == processes && up.iter().all(is_python)
        });
    }

    /// The CPU time of every thread of every process of it.
    fn cpu(&self) -> Duration {
        let of_task = |pid: i32, task: i32| {
            let schedstat = std::fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default();
            schedstat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
        };
        let of = |pid: i32| numbers(&format!("/proc/{pid}/task")).into_iter().map(move |task| of_task(pid, task));
        Duration::from_nanos(self.processes().into_iter().flat_map(of).sum())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        owner::kill_each(&self.processes());
        // It was killed, or had ended.
        drop(self.child.wait());
    }
}

fn numbers(directory: &str) -> Vec<i32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn comm(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// A kernel's file for the group of a process, found as a person would: by what `/proc/PID/cgroup` says of the process and
/// where the hierarchies usually are.
fn kernel_file(pid: u32, controller: &str, v1: &str, v2: &str) -> PathBuf {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let line = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            (parts.next()? == wanted).then(|| parts.next()).flatten().map(|group| group[1..].to_owned())
        })
    };
    let mounted = Path::new("/sys/fs/cgroup");
    match line(controller) {
        Some(group) => mounted.join(controller).join(group).join(v1),
        None => mounted.join(line("").expect("it is in a group")).join(v2),
    }
}

fn kernel_number(path: &Path, key: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value = if key.is_empty() {
        text.trim().parse().ok()
    } else {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    };
    value.unwrap_or_else(|| panic!("no `{key}` in {}: {text}", path.display()))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within {BOUND:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The launcher: the `adumbra` beside this test's own executable, built if need be, or the one the environment names.
fn launcher() -> PathBuf {
    static LAUNCHER: OnceLock<PathBuf> = OnceLock::new();
    LAUNCHER.get_or_init(|| std::env::var_os("ADUMBRA_LAUNCHER").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its executable");
    let profile = own.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this test of its own package would make build scripts take themselves to be out of date.
    for (key, _) in std::env::vars_os() {
        let of_ours = ["CARGO_MANIFEST_", "CARGO_PKG_", "LD_LIBRARY_PATH"];
        if key.to_str().is_some_and(|key| of_ours.iter().any(|of_ours| key.starts_with(of_ours))) {
            build.env_remove(key);
        }
    }
    let built = build
        .args(["build", "--quiet", "--package", "proxy", "--bin", "adumbra", "--profile", name, "--target-dir"])
        .arg(profile.parent().expect("a profile is in the target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    let program = profile.join("adumbra");
    assert!(built.is_ok_and(|status| status.success()) && program.exists(), "`adumbra` cannot be built");
    program
}
