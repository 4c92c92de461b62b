//! What outlives a sidecar that is killed, for as long as it takes to take its cages away.
//!
//! The kernel kills a worker when the sidecar dies, but not what the worker has forked, and the next start may be long in
//! coming. So a sidecar with cages has a second process, `adumbra lane-reap`: it waits on a pipe of which the sidecar has the
//! other end, which closes whatever way the sidecar ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::mounts::Groups;
use super::owner::Owner;
use super::{GONE_WITHIN, LOOK_EVERY, Means, sweep};

/// The hidden command's name.
pub(crate) const COMMAND: &str = "lane-reap";

/// The process that takes a killed sidecar's cages away. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Reaper {
    pub(super) child: Child,
}

impl Reaper {
    /// For the cages of this process.
    pub(crate) fn start(means: &Means) -> io::Result<Self> {
        let mut command = Command::new(means.launcher());
        command.arg0("adumbra").arg(COMMAND).arg(means.owner().named("reaper"));
        // Of its own group, so that what ends the sidecar from a terminal does not end it first.
        let child = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        Ok(Self { child })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::debug!(%error, "the reaper of cages cannot be ended");
        }
    }
}

/// Waits for the end of standard input, and if `owner` has ended then, takes its cages away.
pub(crate) fn reap(owner: &str) -> io::Result<()> {
    let owner = Owner::of(owner).ok_or_else(|| io::Error::other("it is not the name of a cage"))?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    // A process closes its files first, and is gone a moment later.
    let until = Instant::now() + GONE_WITHIN;
    while !owner.is_gone() && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    sweep::sweep(&Groups::ours());
    Ok(())
}
