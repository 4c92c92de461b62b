//! What this machine offers to hold processes, found by trying.
//!
//! Rights, read-only mounts and missing controllers show in too many ways to be deduced, so the survey makes a group, sets
//! a limit and removes it. It also takes away what sidecars that were killed have left.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::mounts::Groups;
use super::owner::Owner;
use super::{CageLimits, file, launch, limits, sweep, v1, v2};

/// By what a cap is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// For all processes together.
    CgroupV2,
    /// For all processes together.
    CgroupV1,
    /// For each process by itself.
    Rlimit,
    /// For each process by itself.
    Nice,
    /// Processes are found by a mark in their environment.
    Mark,
    /// It is not enforced.
    Nothing,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV2 => "cgroup v2",
            Self::CgroupV1 => "cgroup v1",
            Self::Rlimit => "rlimit, each process by itself",
            Self::Nice => "nice, each process by itself",
            Self::Mark => "a mark in the environment",
            Self::Nothing => "nothing",
        })
    }
}

/// What is really enforced, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enforced {
    /// The share of a core.
    pub(crate) cpu: By,
    pub(crate) memory: By,
    /// Who waits when the cores are all wanted.
    pub(crate) weight: By,
    /// How everything in a cage is found and killed.
    pub(crate) kill: By,
}

/// The way cages are made here.
#[derive(Debug)]
pub(super) enum Way {
    V2(v2::Place),
    V1(v1::Place),
    Limits,
}

/// What this machine offers, and why it is not more.
#[derive(Debug)]
pub(crate) struct Means {
    pub(super) way: Way,
    lacks: Vec<String>,
    launcher: PathBuf,
    owner: Owner,
    left_behind: Arc<AtomicU64>,
}

impl Means {
    /// What there is. The launcher is this program.
    pub(crate) fn survey() -> Self {
        // Still right when the file has been replaced by a newer one.
        Self::survey_with(PathBuf::from("/proc/self/exe"))
    }

    /// What there is, with an `adumbra` at `launcher`: for a process that is not one.
    pub(crate) fn survey_with(launcher: PathBuf) -> Self {
        let groups = Groups::ours();
        let owner = Owner::us();
        sweep::sweep(&groups);
        let mut lacks = Vec::new();
        let way = way(&groups, &owner, &launcher, &mut lacks);
        Self { way, lacks, launcher, owner, left_behind: Arc::default() }
    }

    /// Only limits of single processes, whatever there is.
    #[cfg(test)]
    pub(crate) fn limits_only(launcher: PathBuf) -> Self {
        let lacks = vec!["control groups: not asked for".to_owned()];
        Self { way: Way::Limits, lacks, launcher, owner: Owner::us(), left_behind: Arc::default() }
    }

    /// What is really enforced.
    pub(crate) fn enforced(&self) -> Enforced {
        let (by, cpu, memory) = match &self.way {
            Way::V2(place) => (By::CgroupV2, place.cpu, place.memory),
            Way::V1(place) => (By::CgroupV1, place.cpu.is_some(), place.memory.is_some()),
            Way::Limits => (By::Mark, false, false),
        };
        let nice = if limits::may_raise_priority() { By::Nice } else { By::Nothing };
        Enforced {
            cpu: if cpu { by } else { By::Nothing },
            memory: if memory { by } else { By::Rlimit },
            weight: if cpu { by } else { nice },
            kill: by,
        }
    }

    /// What is not enforced by a control group, each with the reason.
    pub(crate) fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Cages that could not be taken away.
    pub(crate) fn left_behind(&self) -> u64 {
        self.left_behind.load(Ordering::Relaxed)
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn launcher(&self) -> &Path {
        &self.launcher
    }

    pub(super) fn left_behind_counter(&self) -> Arc<AtomicU64> {
        self.left_behind.clone()
    }
}

/// Version 2 if it has what a cage needs, else version 1, else what single processes are held by.
fn way(groups: &Groups, owner: &Owner, launcher: &Path, lacks: &mut Vec<String>) -> Way {
    let v2_has = |base: &&PathBuf| {
        let offers = file::words(&base.join("cgroup.controllers"));
        ["cpu", "memory"].iter().any(|one| offers.iter().any(|offer| offer == one))
    };
    if let Some(base) = groups.v2.iter().find(v2_has) {
        let place = v2::Place::prepare(base.clone(), owner, lacks);
        match try_v2(&place, owner, launcher) {
            Ok(()) => return Way::V2(place),
            Err(why) => lacks.push(why),
        }
    }
    if groups.v1.is_empty() {
        if lacks.is_empty() {
            lacks.push("control groups: none are mounted that give cpu or memory to a cage".to_owned());
        }
        return Way::Limits;
    }
    let Some(place) = try_v1(groups, owner, lacks) else { return Way::Limits };
    match try_v1_group(&place, owner, Some(launcher)) {
        Ok(()) => Way::V1(place),
        Err(why) => {
            lacks.push(why);
            Way::Limits
        }
    }
}

/// What a cage will be held to, to see whether it can be.
const TRIED: CageLimits =
    CageLimits { cpu_share: Some(0.5), memory_bytes: Some(64 << 20), weight: super::Weight::Idle };

fn try_v2(place: &v2::Place, owner: &Owner, launcher: &Path) -> Result<(), String> {
    if !(place.cpu || place.memory) {
        return Err("control groups, version 2: neither cpu nor memory can be given to a cage".to_owned());
    }
    let group = v2::Group::new(place, &owner.named("survey")).map_err(|error| because(&error))?;
    let set = group.set(&TRIED).map_err(|error| because(&error)).and_then(|()| enter(group.entrances(), launcher));
    group.directories().iter().for_each(|directory| sweep::remove(directory));
    set
}

fn try_v1(groups: &Groups, owner: &Owner, lacks: &mut Vec<String>) -> Option<v1::Place> {
    let mut find = |controller: &str, place: &dyn Fn(PathBuf) -> v1::Place| {
        let mut why = "its hierarchy is not mounted here".to_owned();
        for base in groups.of(controller) {
            match try_v1_group(&place(base.to_owned()), owner, None) {
                Ok(()) => return Some(base.to_owned()),
                Err(error) => why = error,
            }
        }
        lacks.push(format!("{controller}: {why}"));
        None
    };
    let empty = v1::Place::default;
    let place = v1::Place {
        cpu: find("cpu", &|base| v1::Place { cpu: Some(base), ..empty() }),
        cpuacct: find("cpuacct", &|base| v1::Place { cpuacct: Some(base), ..empty() }),
        memory: find("memory", &|base| v1::Place { memory: Some(base), ..empty() }),
        freezer: find("freezer", &|base| v1::Place { freezer: Some(base), ..empty() }),
        unified: groups
            .v2
            .iter()
            .find(|base| try_v1_group(&v1::Place { unified: Some((*base).clone()), ..empty() }, owner, None).is_ok())
            .cloned(),
    };
    (place.cpu.is_some() || place.memory.is_some()).then_some(place)
}

fn try_v1_group(place: &v1::Place, owner: &Owner, launcher: Option<&Path>) -> Result<(), String> {
    let group = v1::Group::new(place, &owner.named("survey")).map_err(|error| because(&error))?;
    let set = group.set(&TRIED).map_err(|error| because(&error));
    let set = set.and_then(|()| launcher.map_or(Ok(()), |launcher| enter(group.entrances(), launcher)));
    group.directories().iter().for_each(|directory| sweep::remove(directory));
    set
}

fn because(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Whether a command can be started there: the launcher becomes itself, to say its version.
fn enter(entrances: Vec<PathBuf>, launcher: &Path) -> Result<(), String> {
    let mut command = Command::new(launcher);
    launch::Args { enter: entrances, parent: std::process::id(), ..launch::Args::default() }.put(&mut command);
    let output = command.arg0("adumbra").arg("--").arg(launcher).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start the launcher {}: {error}", launcher.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("a process cannot enter a cage: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
