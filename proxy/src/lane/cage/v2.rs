//! Control groups, version 2: one hierarchy, so a cage is one group.
//!
//! A group either holds processes or gives controllers to the groups below it, except the root of all. So where ours does
//! not give them yet, this process first moves into a group of its own beside the cages ([`Place::prepare`]).

use std::io;
use std::path::{Path, PathBuf};

use super::owner::{self, Owner};
use super::usage::{Peak, Usage};
use super::v1::quota;
use super::{CageError, CageLimits, Weight, file};

/// What the group is called that this process moves itself into; no cage may be.
pub(super) const SELF: &str = "@self";

/// Whether a group is one that a sidecar has moved itself into.
pub(super) fn is_self(group: &str) -> bool {
    Owner::of(group).is_some() && group.rsplit('.').next() == Some(SELF)
}

/// The group under which cages are made, and what it gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: PathBuf,
    pub(super) cpu: bool,
    pub(super) memory: bool,
}

impl Place {
    /// Makes our group give what it can to cages. What it cannot, and why, goes into `lacks`.
    pub(super) fn prepare(base: PathBuf, owner: &Owner, lacks: &mut Vec<String>) -> Self {
        let control = base.join("cgroup.subtree_control");
        let offered = file::words(&base.join("cgroup.controllers"));
        let given = file::words(&control);
        let way = if ["cpu", "memory"].iter().all(|wanted| given.iter().any(|one| one == wanted)) {
            Ok(())
        } else {
            make_way(&base, owner)
        };
        let mut gives = |controller: &str| {
            if given.iter().any(|one| one == controller) {
                return true;
            }
            let enabled = if offered.iter().any(|one| one == controller) {
                way.clone().and_then(|()| {
                    let enable = file::put(&control, &format!("+{controller}"));
                    enable.map_err(|error| format!("cannot write `+{controller}` to {}: {error}", control.display()))
                })
            } else {
                Err(format!("the groups above {} do not give it; with systemd, say `{DELEGATE}`", base.display()))
            };
            enabled.map_err(|why| lacks.push(format!("{controller}: {why}"))).is_ok()
        };
        let (cpu, memory) = (gives("cpu"), gives("memory"));
        Self { base, cpu, memory }
    }
}

/// What the unit of a sidecar needs.
const DELEGATE: &str = "Delegate=cpu memory";

/// Moves this process out of `base`, and sees that no other is left there.
///
/// The kernel would refuse the memory controller while there is one, but not the cpu controller: that it gives, and lets
/// nobody into the groups below.
fn make_way(base: &Path, owner: &Owner) -> Result<(), String> {
    let procs = base.join("cgroup.procs");
    // Only the root of all has no type, and may have both.
    if !base.join("cgroup.type").exists() || file::processes(&procs).is_empty() {
        return Ok(());
    }
    let own = base.join(owner.named(SELF));
    let moved = std::fs::create_dir(&own).and_then(|()| file::put(&own.join("cgroup.procs"), "0"));
    moved.map_err(|error| format!("cannot move this process into {}: {error}", own.display()))?;
    let others = file::processes(&procs);
    if others.is_empty() {
        return Ok(());
    }
    // Back: nothing is won by having moved.
    if file::put(&procs, "0").is_ok() {
        drop(std::fs::remove_dir(&own));
    }
    Err(format!(
        "the processes {others:?} are in the same group, {}: start adumbra in one of its own, as systemd does with \
         `{DELEGATE}`",
        base.display()
    ))
}

/// One cage's group.
#[derive(Debug)]
pub(super) struct Group {
    at: PathBuf,
    cpu: bool,
    memory: bool,
}

impl Group {
    pub(super) fn new(place: &Place, name: &str) -> Result<Self, CageError> {
        let group = Self { at: place.base.join(name), cpu: place.cpu, memory: place.memory };
        file::make(&group.at)?;
        if group.memory && group.at.join("memory.oom.group").exists() {
            // Half a worker is no worker.
            file::write(&group.at.join("memory.oom.group"), "1")
                .inspect_err(|_| drop(std::fs::remove_dir(&group.at)))?;
        }
        Ok(group)
    }

    /// Sets each, also where another cannot be set.
    pub(super) fn set(&self, limits: &CageLimits) -> Result<(), CageError> {
        let share = if self.cpu { self.set_cpu(limits.cpu_share) } else { Ok(()) };
        let weight = if self.cpu { self.set_weight(limits.weight) } else { Ok(()) };
        let memory = if self.memory { self.set_memory(limits.memory_bytes) } else { Ok(()) };
        share.and(weight).and(memory)
    }

    fn set_cpu(&self, share: Option<f64>) -> Result<(), CageError> {
        let value = share.map_or_else(
            || "max".to_owned(),
            |share| {
                let (quota, period) = quota(share);
                format!("{quota} {period}")
            },
        );
        file::write(&self.at.join("cpu.max"), &value)
    }

    fn set_weight(&self, weight: Weight) -> Result<(), CageError> {
        let idle = self.at.join("cpu.idle");
        if idle.exists() {
            return file::write(&idle, if weight == Weight::Idle { "1" } else { "0" });
        }
        // Before Linux 5.15: as little as there is.
        file::write(&self.at.join("cpu.weight"), if weight == Weight::Idle { "1" } else { "100" })
    }

    fn set_memory(&self, bytes: Option<u64>) -> Result<(), CageError> {
        let most = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        let swap = self.at.join("memory.swap.max");
        if swap.exists() {
            file::write(&swap, if bytes.is_some() { "0" } else { "max" })?;
        }
        file::write(&self.at.join("memory.max"), &most)
    }

    pub(super) fn usage(&self) -> Usage {
        let seconds = |us: u64| us as f64 / 1e6;
        let stat = self.at.join("cpu.stat");
        Usage {
            cpu_s: file::keyed(&stat, "usage_usec").map(seconds),
            throttled_s: file::keyed(&stat, "throttled_usec").map(seconds),
            stalled_s: file::stalled_s(&self.at.join("cpu.pressure")),
            memory_bytes: file::number(&self.at.join("memory.current")),
            memory_peak_bytes: file::number(&self.at.join("memory.peak")),
            oom_kills: file::keyed(&self.at.join("memory.events"), "oom_kill"),
        }
    }

    pub(super) fn reset_peak(&self) -> Peak {
        // Linux 6.12 and above: writing begins the peak anew, for the file that was written to.
        let open = std::fs::OpenOptions::new().read(true).write(true).open(self.at.join("memory.peak"));
        let reset = open.and_then(|mut file| io::Write::write_all(&mut file, b"reset\n").map(|()| file));
        reset.map_or(Peak::Whole, Peak::Own)
    }

    /// Where the launcher writes itself in.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        vec![self.at.join("cgroup.procs")]
    }

    pub(super) fn directories(&self) -> Vec<PathBuf> {
        vec![self.at.clone()]
    }

    pub(super) fn processes(&self) -> Vec<i32> {
        file::processes(&self.at.join("cgroup.procs"))
    }

    /// Kills what is in it now. Whoever asks looks again, and asks again.
    pub(super) fn kill(&self) {
        // What dies must run to do so, and gives its memory back no sooner: not at 5 % of a core.
        if self.cpu
            && let Err(error) = self.set_cpu(None)
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "what is killed stays throttled");
        }
        // Before Linux 5.14 there is no such file.
        if file::put(&self.at.join("cgroup.kill"), "1").is_err() {
            owner::kill_each(&self.processes());
        }
    }
}
