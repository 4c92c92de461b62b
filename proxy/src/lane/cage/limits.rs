//! What holds processes where no control group does: limits of each single process, and a mark in its environment by which
//! all of them are found again.
//!
//! Weaker, and said to be: memory is counted per process, not for all together; a share of a core is not enforced at all,
//! for `RLIMIT_CPU` bounds a life and not a rate; and a process that clears its environment is lost sight of.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, getpriority_process, getrlimit, prlimit, setpriority_process};
use tokio::runtime::Handle;

use super::owner::Owner;
use super::usage::Usage;
use super::{By, CageError, CageLimits, Enforced, Weight, owner};

/// In the environment of every process of a cage without a group.
pub(super) const MARK: &str = "ADUMBRA_CAGE";
/// The nicest there is.
const NICEST: i32 = 19;

/// What of a cage is left to single processes.
#[derive(Debug)]
pub(super) struct Rest {
    nice: bool,
    data: bool,
    /// By what the processes are known, if there is no group that lists them.
    mark: Option<String>,
    /// Those that were there at the last look at all of the machine's.
    seen: Arc<Mutex<Seen>>,
}

/// How old a look at all processes of the machine may be for counting what some of them use: it opens a file of each, and
/// shadows are looked at often, on threads that run jobs.
const SEEN_FOR: Duration = Duration::from_secs(1);

/// Processes as they were found, each with when it started: a number alone comes back.
#[derive(Debug, Default)]
struct Seen {
    processes: Vec<(i32, String)>,
    at: Option<Instant>,
    /// Somebody looks.
    looking: bool,
}

impl Rest {
    pub(super) fn new(enforced: Enforced, mark: Option<String>) -> Self {
        Self { nice: enforced.weight == By::Nice, data: enforced.memory == By::Rlimit, mark, seen: Arc::default() }
    }

    /// No limits.
    pub(super) fn mark_only(mark: String) -> Self {
        Self { nice: false, data: false, mark: Some(mark), seen: Arc::default() }
    }

    /// What one process begins with: its priority and its most private writable memory.
    pub(super) fn of_one(&self, limits: &CageLimits) -> (Option<i32>, Option<u64>) {
        let nice = (self.nice && limits.weight == Weight::Idle).then_some(NICEST);
        (nice, limits.memory_bytes.filter(|_| self.data))
    }

    /// Changes the limits of every process there is.
    pub(super) fn set(&self, limits: &CageLimits, processes: impl FnOnce() -> Vec<i32>) -> Result<(), CageError> {
        if !(self.nice || self.data) {
            return Ok(());
        }
        let (nice, data_bytes) = self.of_one(limits);
        let usual = getpriority_process(None).unwrap_or(0);
        for pid in processes().into_iter().filter_map(Pid::from_raw) {
            let changed = |what, result: rustix::io::Result<()>| match result {
                // It has just ended.
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(CageError::Process { what, pid: pid.as_raw_nonzero().get(), source: error.into() }),
            };
            if self.nice {
                for task in tasks(pid) {
                    changed("priority", setpriority_process(Some(task), nice.unwrap_or(usual)))?;
                }
            }
            if self.data {
                changed("data limit", prlimit(Some(pid), Resource::Data, data_limit(data_bytes)).map(drop))?;
            }
        }
        Ok(())
    }

    pub(super) fn mark(&self, command: &mut Command) {
        if let Some(mark) = &self.mark {
            command.env(MARK, mark);
        }
    }

    pub(super) fn processes(&self) -> Vec<i32> {
        self.mark.as_deref().map(bearing).unwrap_or_default()
    }

    /// Looks for the processes here and now.
    pub(super) fn look(&self) {
        if let Some(mark) = &self.mark {
            look(mark, &self.seen);
        }
    }

    #[cfg(test)]
    pub(super) fn knows(&self, pid: i32) -> bool {
        self.seen.lock().processes.iter().any(|(seen, _)| *seen == pid)
    }

    /// Has somebody look where that may take its time, if the last look is old.
    fn look_soon(&self) {
        let Some(mark) = &self.mark else { return };
        {
            let mut seen = self.seen.lock();
            if seen.looking || seen.at.is_some_and(|at| at.elapsed() < SEEN_FOR) {
                return;
            }
            seen.looking = true;
        }
        match Handle::try_current() {
            Ok(runtime) => {
                let (mark, seen) = (mark.clone(), Arc::clone(&self.seen));
                drop(runtime.spawn_blocking(move || look(&mark, &seen)));
            }
            Err(_nothing_runs_here) => look(mark, &self.seen),
        }
    }

    /// Of the processes that were seen last and are there now, with the children that they have waited for.
    pub(super) fn usage(&self) -> Usage {
        self.look_soon();
        let per_s = rustix::param::clock_ticks_per_second().max(1) as f64;
        let page = rustix::param::page_size() as u64;
        let processes = self.seen.lock().processes.clone();
        let is_it = |(pid, started): &(i32, String)| owner::stat(*pid).filter(|stat| owner::started(stat) == started);
        let stats: Vec<_> = processes.iter().filter_map(is_it).collect();
        let field =
            |stat: &Vec<String>, at: usize| stat.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // User, system, and both of children.
        let ticks: u64 = stats.iter().map(|stat| (11..=14).map(|at| field(stat, at)).sum::<u64>()).sum();
        let pages: u64 = stats.iter().map(|stat| field(stat, 21)).sum();
        Usage {
            cpu_s: Some(ticks as f64 / per_s),
            throttled_s: None,
            stalled_s: None,
            memory_bytes: Some(pages * page),
            memory_peak_bytes: None,
            oom_kills: None,
        }
    }
}

/// The processes that bear a mark, found among all of the machine's.
fn bearing(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}");
    let bears = |pid: &i32| {
        let environment = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ"));
        environment.is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    numbers("/proc").filter(bears).collect()
}

fn look(mark: &str, seen: &Mutex<Seen>) {
    let known = |pid: i32| owner::stat(pid).map(|stat| (pid, owner::started(&stat).to_owned()));
    let processes = bearing(mark).into_iter().filter_map(known).collect();
    *seen.lock() = Seen { processes, at: Some(Instant::now()), looking: false };
}

/// The processes of cages of sidecars that are gone.
pub(super) fn orphans() -> Vec<i32> {
    let is_orphan = |pid: &i32| {
        let environment = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
        let mark = environment.split(|byte| *byte == 0).find_map(|one| {
            let one = std::str::from_utf8(one).ok()?;
            one.strip_prefix(MARK)?.strip_prefix('=')
        });
        mark.and_then(Owner::of).is_some_and(|owner| owner.is_gone())
    };
    numbers("/proc").filter(is_orphan).collect()
}

/// The soft limit only: what is raised again for an adopted job must not take a privilege.
pub(super) fn data_limit(bytes: Option<u64>) -> Rlimit {
    let maximum = getrlimit(Resource::Data).maximum;
    let current = match (bytes, maximum) {
        (Some(bytes), Some(maximum)) => Some(bytes.min(maximum)),
        (bytes, maximum) => bytes.or(maximum),
    };
    Rlimit { current, maximum }
}

/// Whether a priority that was lowered could be raised again.
pub(super) fn may_raise_priority() -> bool {
    const CAP_SYS_NICE: u64 = 1 << 23;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capable =
        effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|caps| caps & CAP_SYS_NICE != 0);
    // It is 20 - priority, so 20 allows the usual one.
    capable || getrlimit(Resource::Nice).current.is_none_or(|most| most >= 20)
}

/// A process's threads, each of which has a priority of its own.
fn tasks(pid: Pid) -> impl Iterator<Item = Pid> {
    numbers(&format!("/proc/{}/task", pid.as_raw_nonzero())).filter_map(Pid::from_raw)
}

/// The entries of a directory that are numbers.
fn numbers(directory: &str) -> impl Iterator<Item = i32> + use<> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
