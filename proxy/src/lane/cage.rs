//! A cage: what holds a group of processes within limits, counts what they use and kills them to the last one.
//!
//! A worker of a process lane runs in one, with everything it forks. It is a control group where the machine lets us have
//! one, version 2 or version 1; what those cannot do here falls back to limits of single processes, and what those cannot
//! do is not claimed: [`Means::enforced`] says what really holds, and by what.
//!
//! A command enters its cage before its first instruction: it is started through the launcher ([`launch`]), which is this
//! same program and becomes the command when it is inside. Nothing is moved after the fact, so nothing escapes by being
//! quick.
//!
//! Calls block, for far less than 10 ms, but for [`Cage::kill`] and the drop, which wait until the processes are gone.

mod file;
pub(crate) mod launch;
mod limits;
mod means;
mod mounts;
mod owner;
pub(crate) mod reaper;
mod sweep;
mod usage;
mod v1;
mod v2;

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(crate) use means::{By, Enforced, Means};
pub(crate) use usage::{Mark, Usage};

/// How long processes may take to die, and their group to be removed.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a cage may hold its processes to. The default is no limit at all.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct CageLimits {
    /// CPU time per time, of one core: 0.2 is a fifth of a core, 2.0 is two cores.
    pub(crate) cpu_share: Option<f64>,
    /// Memory of all its processes together.
    pub(crate) memory_bytes: Option<u64>,
    /// Who waits when the cores are all wanted.
    pub(crate) weight: Weight,
}

/// How much of a core a cage gets when others want it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Weight {
    /// As much as anyone.
    #[default]
    Live,
    /// What the others leave.
    Idle,
}

/// Why a cage does not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CageError {
    /// The name cannot be a directory's.
    #[error("`{0}` cannot name a cage; use letters, digits, `-` and `_`")]
    Name(String),
    /// A limit that is none.
    #[error("a cage cannot be held to {what} of {value}; it must be above zero")]
    Limit { what: &'static str, value: f64 },
    /// No group can be made.
    #[error("cannot make the control group {}; may this process write there?", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A group cannot be removed.
    #[error("cannot remove the control group {}; it holds no memory or CPU, and the next start tries again", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The kernel does not take a limit.
    #[error(
        "cannot write `{value}` to {}; does a group above it allow less, or is more in use already?",
        path.display()
    )]
    Write {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    /// A process does not take a limit.
    #[error("cannot change the {what} of process {pid}; it takes CAP_SYS_NICE or CAP_SYS_RESOURCE, or the same user")]
    Process {
        what: &'static str,
        pid: i32,
        #[source]
        source: io::Error,
    },
    /// Some processes are still there.
    #[error("{processes} processes of cage `{name}` do not die; are they in uninterruptible sleep?")]
    Undying { name: String, processes: usize },
}

/// The control group of a cage, where there is one.
#[derive(Debug)]
enum Group {
    V2(v2::Group),
    V1(v1::Group),
}

/// A cage. Dropping it kills what is in it and takes it away.
#[derive(Debug)]
pub(crate) struct Cage {
    /// Unlike any other's on this machine.
    id: String,
    launcher: PathBuf,
    group: Option<Group>,
    rest: limits::Rest,
    now: Mutex<CageLimits>,
    left_behind: Arc<AtomicU64>,
}

impl Cage {
    /// An empty cage without limits. `name` is for people: two cages may have the same.
    pub(crate) fn new(means: &Means, name: &str) -> Result<Self, CageError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(CageError::Name(name.to_owned()));
        }
        let id = means.owner().named(name);
        let group = match means.way() {
            means::Way::V2(place) => Some(Group::V2(v2::Group::new(place, &id)?)),
            means::Way::V1(place) => Some(Group::V1(v1::Group::new(place, &id)?)),
            means::Way::Limits => None,
        };
        Ok(Self {
            rest: limits::Rest::new(means.enforced(), group.is_none().then(|| id.clone())),
            id,
            launcher: means.launcher().to_owned(),
            group,
            now: Mutex::default(),
            left_behind: means.left_behind_counter(),
        })
    }

    /// A cage that holds nothing back, and only finds and kills what is in it: for what is live.
    pub(crate) fn open(means: &Means, name: &str) -> Self {
        let id = means.owner().named(name);
        Self {
            rest: limits::Rest::mark_only(id.clone()),
            id,
            launcher: means.launcher().to_owned(),
            group: None,
            now: Mutex::default(),
            left_behind: means.left_behind_counter(),
        }
    }

    /// Holds what is in the cage, and what will be, to `limits`: at once, tighter or looser.
    pub(crate) fn set(&self, limits: &CageLimits) -> Result<(), CageError> {
        if let Some(share) = limits.cpu_share.filter(|share| !(share.is_finite() && *share > 0.0)) {
            return Err(CageError::Limit { what: "a CPU share", value: share });
        }
        if limits.memory_bytes == Some(0) {
            return Err(CageError::Limit { what: "memory", value: 0.0 });
        }
        let mut now = self.now.lock();
        // One that cannot be set is no reason to leave the others as they are: whoever lifts them wants as many gone as can be.
        let of_group = match &self.group {
            Some(Group::V2(group)) => group.set(limits),
            Some(Group::V1(group)) => group.set(limits),
            None => Ok(()),
        };
        let of_processes = self.rest.set(limits, || self.processes());
        of_group.and(of_processes)?;
        *now = *limits;
        Ok(())
    }

    /// A command that will start in the cage, in a process group of its own, and die with the thread that starts it: it
    /// should be a thread that lives as long as the process.
    ///
    /// If it cannot start, it ends with one of [`launch`]'s exit codes and a line on stderr.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(&self.launcher);
        command.arg0("adumbra").process_group(0);
        let enter = match &self.group {
            Some(Group::V2(group)) => group.entrances(),
            Some(Group::V1(group)) => group.entrances(),
            None => Vec::new(),
        };
        let (nice, data_bytes) = self.rest.of_one(&self.now.lock());
        launch::Args { enter, nice, data_bytes, parent: std::process::id() }.put(&mut command);
        self.rest.mark(&mut command);
        command.arg("--").arg(program).args(args);
        command
    }

    /// What it has used since it was made. What this machine does not count is missing.
    pub(crate) fn usage(&self) -> Usage {
        match &self.group {
            Some(Group::V2(group)) => group.usage(),
            Some(Group::V1(group)) => group.usage(),
            None => self.rest.usage(),
        }
    }

    /// Begins to count from here, which takes a while where no group lists its processes, the peak of its memory included.
    pub(crate) fn mark(&self) -> Mark {
        let peak = match &self.group {
            Some(Group::V2(group)) => group.reset_peak(),
            Some(Group::V1(group)) => group.reset_peak(),
            None => {
                self.rest.look();
                usage::Peak::Whole
            }
        };
        Mark::new(self.usage(), peak)
    }

    /// What it has used since the mark.
    pub(crate) fn since(&self, mark: &Mark) -> Usage {
        mark.since(self.usage())
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        match &self.group {
            Some(Group::V2(group)) => group.processes(),
            Some(Group::V1(group)) => group.processes(),
            None => self.rest.processes(),
        }
    }

    /// Kills what is in it now, and does not wait: none of it runs another instruction of its own. What a process forked just
    /// then may be missed, so [`Self::kill`] must come after it.
    pub(crate) fn strike(&self) {
        match &self.group {
            Some(Group::V2(group)) => group.kill(),
            Some(Group::V1(group)) => group.kill(),
            None => owner::kill_each(&self.processes()),
        }
    }

    /// Kills everything in it, also what was forked and went into the background, and waits until it is gone.
    ///
    /// The cage can be used again.
    pub(crate) fn kill(&self) -> Result<(), CageError> {
        let until = Instant::now() + GONE_WITHIN;
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                break;
            }
            self.strike();
            if Instant::now() > until {
                return Err(CageError::Undying { name: self.id.clone(), processes: processes.len() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // To die fast they were let off their share.
        let limits = *self.now.lock();
        self.set(&limits)
    }

    /// Lets go of it, from where nothing may block: whoever has it last takes it away, on a thread for that.
    pub(super) fn let_go(self: Arc<Self>) {
        let Some(last) = Arc::into_inner(self) else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(last))),
            Err(_nothing_runs_here) => drop(last),
        }
    }

    /// What it holds its processes to.
    #[cfg(test)]
    pub(super) fn limits(&self) -> CageLimits {
        *self.now.lock()
    }

    /// Whether a process was there when all of them were looked for.
    #[cfg(test)]
    fn knows(&self, pid: i32) -> bool {
        self.rest.knows(pid)
    }

    /// Whoever sets limits waits while this is held, as for a kernel that looks for memory to take back.
    #[cfg(test)]
    pub(super) fn busy(&self) -> parking_lot::MutexGuard<'_, CageLimits> {
        self.now.lock()
    }

    /// One whose group of version 2 is plain files in `base`, which take whatever is written, and can be made not to.
    #[cfg(test)]
    pub(super) fn on_tree(base: &std::path::Path) -> Result<Self, CageError> {
        let place = v2::Place { base: base.to_owned(), cpu: true, memory: true };
        let group = v2::Group::new(&place, "cage")?;
        for file in ["cpu.max", "cpu.idle", "memory.max"] {
            std::fs::write(base.join("cage").join(file), "").expect("there is room");
        }
        let mut cage = Self::new(&Means::limits_only("/proc/self/exe".into()), "tree")?;
        cage.group = Some(Group::V2(group));
        Ok(cage)
    }

    fn remove(&self) -> Result<(), CageError> {
        self.kill()?;
        let directories = match &self.group {
            Some(Group::V2(group)) => group.directories(),
            Some(Group::V1(group)) => group.directories(),
            None => Vec::new(),
        };
        directories.iter().try_for_each(|directory| file::remove(directory, GONE_WITHIN))
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            self.left_behind.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(cage = self.id, error = &error as &dyn std::error::Error, "a cage stays behind");
        }
    }
}

#[cfg(test)]
mod tests;
