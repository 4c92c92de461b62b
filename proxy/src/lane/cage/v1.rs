//! Control groups, version 1: a hierarchy per controller, so a cage is one group in each of them.
//!
//! To kill, the version 2 hierarchy that most machines mount beside them is the best there is, even without a controller:
//! `cgroup.kill` takes all processes at once. Without it they are frozen first, so that none forks while we count.

use std::path::{Path, PathBuf};

use super::usage::{Peak, Usage};
use super::{CageError, CageLimits, Weight, file, owner};

/// The groups we are in, under which cages are made. What is missing is not enforced by a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) cpu: Option<PathBuf>,
    pub(super) cpuacct: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) freezer: Option<PathBuf>,
    /// A version 2 hierarchy without controllers.
    pub(super) unified: Option<PathBuf>,
}

impl Place {
    /// Each directory once: controllers may be mounted together.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let all = [&self.cpu, &self.cpuacct, &self.memory, &self.freezer, &self.unified];
        let mut directories: Vec<PathBuf> = all.into_iter().flatten().cloned().collect();
        directories.sort();
        directories.dedup();
        directories
    }

    fn below(&self, name: &str) -> Self {
        let join = |directory: &Option<PathBuf>| directory.as_ref().map(|directory| directory.join(name));
        Self {
            cpu: join(&self.cpu),
            cpuacct: join(&self.cpuacct),
            memory: join(&self.memory),
            freezer: join(&self.freezer),
            unified: join(&self.unified),
        }
    }
}

/// One cage's groups.
#[derive(Debug)]
pub(super) struct Group {
    at: Place,
}

impl Group {
    pub(super) fn new(place: &Place, name: &str) -> Result<Self, CageError> {
        let at = place.below(name);
        let directories = at.directories();
        for (made, directory) in directories.iter().enumerate() {
            if let Err(error) = file::make(directory) {
                // They are empty, so nothing can hold them.
                directories[..made].iter().for_each(|made| drop(std::fs::remove_dir(made)));
                return Err(error);
            }
        }
        Ok(Self { at })
    }

    /// Sets each, also where another cannot be set.
    pub(super) fn set(&self, limits: &CageLimits) -> Result<(), CageError> {
        let cpu = self.at.cpu.as_deref();
        let share = cpu.map_or(Ok(()), |cpu| set_cpu(cpu, limits.cpu_share));
        let weight = cpu.map_or(Ok(()), |cpu| set_weight(cpu, limits.weight));
        let memory = self.at.memory.as_deref().map_or(Ok(()), |memory| set_memory(memory, limits.memory_bytes));
        share.and(weight).and(memory)
    }

    pub(super) fn usage(&self) -> Usage {
        let at = &self.at;
        let in_cpu = |name, key| file::keyed(&at.cpu.as_ref()?.join(name), key);
        let in_memory = |name| file::number(&at.memory.as_ref()?.join(name));
        let seconds = |ns: u64| ns as f64 / 1e9;
        Usage {
            cpu_s: at.cpuacct.as_ref().and_then(|at| file::number(&at.join("cpuacct.usage"))).map(seconds),
            throttled_s: in_cpu("cpu.stat", "throttled_time").map(seconds),
            stalled_s: at.unified.as_ref().and_then(|at| file::stalled_s(&at.join("cpu.pressure"))),
            memory_bytes: in_memory("memory.usage_in_bytes"),
            memory_peak_bytes: in_memory("memory.max_usage_in_bytes"),
            oom_kills: at.memory.as_ref().and_then(|at| file::keyed(&at.join("memory.oom_control"), "oom_kill")),
        }
    }

    pub(super) fn reset_peak(&self) -> Peak {
        let reset = self.at.memory.as_ref().map(|at| file::put(&at.join("memory.max_usage_in_bytes"), "0"));
        if matches!(reset, Some(Ok(()))) { Peak::Reset } else { Peak::Whole }
    }

    /// Where the launcher writes itself in.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        self.directories().iter().map(|directory| directory.join("cgroup.procs")).collect()
    }

    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.at.directories()
    }

    pub(super) fn processes(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self.entrances().iter().flat_map(|procs| file::processes(procs)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(super) fn kill(&self) {
        kill(&self.at, &self.processes());
    }
}

/// Kills what is in the groups now. Whoever asks looks again, and asks again.
fn kill(at: &Place, processes: &[i32]) {
    // What dies must run to do so, and gives its memory back no sooner: not at 5 % of a core.
    if let Some(cpu) = &at.cpu
        && let Err(error) = set_cpu(cpu, None)
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "what is killed stays throttled");
    }
    let at_once = at.unified.as_ref().map(|at| file::put(&at.join("cgroup.kill"), "1"));
    if matches!(at_once, Some(Ok(()))) {
        return;
    }
    // A frozen group may take a moment; a signal that comes before it is frozen works as well.
    let state = |to| at.freezer.as_ref().map(|at| file::put(&at.join("freezer.state"), to));
    let frozen = state("FROZEN");
    owner::kill_each(processes);
    if frozen.is_some()
        && let Some(Err(error)) = state("THAWED")
    {
        tracing::debug!(%error, "a cage cannot be thawed");
    }
}

/// How a share is written: microseconds of CPU time in each period.
pub(super) fn quota(share: f64) -> (u64, u64) {
    /// Short, so that a shadow's small share comes in even pieces; longer than the scheduler's tick.
    const PERIOD_US: u64 = 50_000;
    const PERIOD_MOST_US: u64 = 1_000_000;
    /// The kernel takes no less.
    const QUOTA_LEAST_US: f64 = 1_000.0;
    let fits = (QUOTA_LEAST_US / share).ceil() as u64;
    let period = PERIOD_US.max(fits).min(PERIOD_MOST_US);
    ((share * period as f64).round().max(QUOTA_LEAST_US) as u64, period)
}

fn set_cpu(cpu: &Path, share: Option<f64>) -> Result<(), CageError> {
    let at_quota = cpu.join("cpu.cfs_quota_us");
    let Some(share) = share else { return file::write(&at_quota, "-1") };
    let (quota, period) = quota(share);
    let at_period = cpu.join("cpu.cfs_period_us");
    if file::number(&at_period) != Some(period) {
        // The two are checked together at every write, so no quota may stand while the period changes.
        file::write(&at_quota, "-1")?;
        file::write(&at_period, &period.to_string())?;
    }
    file::write(&at_quota, &quota.to_string())
}

fn set_weight(cpu: &Path, weight: Weight) -> Result<(), CageError> {
    let idle = cpu.join("cpu.idle");
    if idle.exists() {
        return file::write(&idle, if weight == Weight::Idle { "1" } else { "0" });
    }
    // Before Linux 5.15: as little as there is.
    file::write(&cpu.join("cpu.shares"), if weight == Weight::Idle { "2" } else { "1024" })
}

fn set_memory(memory: &Path, bytes: Option<u64>) -> Result<(), CageError> {
    let value = bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let plain = memory.join("memory.limit_in_bytes");
    let with_swap = memory.join("memory.memsw.limit_in_bytes");
    let Some(now) = file::number(&with_swap) else { return file::write(&plain, &value) };
    // Memory and swap together may never be less than memory alone, not even between two writes.
    let grows = bytes.is_none_or(|bytes| bytes > now);
    let (first, second) = if grows { (&with_swap, &plain) } else { (&plain, &with_swap) };
    file::write(first, &value)?;
    file::write(second, &value)
}
