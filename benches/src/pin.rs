//! Which core runs what, so that a proxy's CPU time is not spent waiting behind the load that measures it.
//!
//! A child inherits the affinity of the thread that starts it, threads it makes later included. So a child is pinned by
//! pinning ourselves for the moment of its start: no thread of it ever ran elsewhere, and no unsafe hook is needed.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core(pub usize);

/// The two places of a load bench.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// Where the proxy under test runs, alone.
    pub proxy: Core,
    /// Where backend and load generator share a core.
    pub load: Core,
}

impl Cores {
    /// The first two cores this process may use; the same one twice if it has but one.
    ///
    /// # Errors
    /// When the kernel refuses to tell the affinity.
    pub fn of_this_process() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).map(Core);
        let proxy = cores.next().ok_or_else(|| io::Error::other("the affinity mask of this process is empty"))?;
        Ok(Self { proxy, load: cores.next().unwrap_or(proxy) })
    }

    /// Whether the proxy really has a core to itself.
    #[must_use]
    pub fn apart(&self) -> bool {
        self.proxy != self.load
    }
}

/// Keeps the calling thread on one core from now on.
///
/// # Errors
/// When the kernel refuses, for example because a container took the core away.
pub fn stay_on(core: Core) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core.0);
    Ok(sched_setaffinity(None, &only)?)
}

/// Runs `start` on one core and puts the thread back where it was; what `start` spawned stays there.
///
/// # Errors
/// When the kernel refuses either move.
pub fn while_on<T>(core: Core, start: impl FnOnce() -> T) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    stay_on(core)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    Ok(started)
}
