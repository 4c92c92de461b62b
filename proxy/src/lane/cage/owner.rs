//! Whose cage it is: by its name, so that what a killed sidecar left is told from what a live one uses.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const PREFIX: &str = "adumbra";

/// One sidecar, among all that ever ran since the machine started. A process identifier alone comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its process identifier means something only there.
    pub(super) namespace: String,
    pub(super) pid: i32,
    pub(super) started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn us() -> Self {
        let pid = std::process::id().cast_signed();
        Self {
            namespace: namespace(),
            pid,
            started: stat(pid).and_then(|stat| stat.get(STARTED)?.parse().ok()).unwrap_or_default(),
        }
    }

    /// A name for one of its groups, which no other has or had.
    pub(super) fn named(&self, name: &str) -> String {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        format!("{PREFIX}.{}.{}.{}.{count}.{name}", self.namespace, self.pid, self.started)
    }

    /// Whose group this is by its name, if it is one of ours.
    pub(super) fn of(group: &str) -> Option<Self> {
        let mut parts = group.split('.');
        if parts.next()? != PREFIX {
            return None;
        }
        let namespace = parts.next()?.to_owned();
        let pid = parts.next()?.parse().ok()?;
        let started = parts.next()?.parse().ok()?;
        parts.next().map(|_name| Self { namespace, pid, started })
    }

    /// Whether it is sure to be gone. Of what cannot be seen from here nothing is sure.
    pub(super) fn is_gone(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.namespace == namespace()) else { return false };
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return true;
        }
        // Another process has its number now, or it has ended and nobody has asked how.
        let ended = |stat: &Vec<String>| stat.first().is_some_and(|state| matches!(state.as_str(), "Z" | "X"));
        stat(self.pid).is_some_and(|stat| ended(&stat) || stat.get(STARTED) != Some(&self.started.to_string()))
    }
}

/// Which processes' numbers we see.
fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// When a process started, in ticks since the machine did: which field of [`stat`].
const STARTED: usize = 19;

/// The fields of `/proc/PID/stat` after the name, which may itself hold spaces and parentheses: the state is the first.
pub(super) fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// When it started, by its fields.
pub(super) fn started(stat: &[String]) -> &str {
    stat.get(STARTED).map_or("", String::as_str)
}

/// Kills each that is still there.
pub(super) fn kill_each(processes: &[i32]) {
    for pid in processes.iter().filter_map(|&pid| Pid::from_raw(pid)) {
        if let Err(error) = kill_process(pid, Signal::KILL)
            && error != Errno::SRCH
        {
            tracing::debug!(pid = pid.as_raw_nonzero().get(), %error, "a caged process cannot be killed");
        }
    }
}
