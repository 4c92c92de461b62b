//! The launcher: `adumbra lane-exec … -- CMD ARGS` goes into a cage and becomes the command.
//!
//! A process can be put into a group from outside, but then it has run before, and what it forked in between is out. The
//! usual way is code between fork and exec, which Rust calls unsafe, with reason. A program that is executed twice is not:
//! it costs about a millisecond, once a worker.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Signal, getppid, set_parent_process_death_signal, setpriority_process, setrlimit};

use super::{file, limits};

/// The hidden command's name.
pub(crate) const COMMAND: &str = "lane-exec";
/// The cage could not be entered.
pub(crate) const NOT_CAGED: u8 = 125;
/// The command is there but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub(crate) const NOT_FOUND: u8 = 127;

/// What the launcher is told; [`super::Cage::command`] writes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// The `cgroup.procs` files of the groups to enter.
    pub(crate) enter: Vec<PathBuf>,
    pub(crate) nice: Option<i32>,
    /// `RLIMIT_DATA`, soft.
    pub(crate) data_bytes: Option<u64>,
    /// Whose child the command must still be.
    pub(crate) parent: u32,
}

impl Args {
    /// Onto a command line.
    pub(super) fn put(&self, command: &mut Command) {
        command.arg(COMMAND).arg("--parent").arg(self.parent.to_string());
        for procs in &self.enter {
            command.arg("--enter").arg(procs);
        }
        if let Some(nice) = self.nice {
            command.arg("--nice").arg(nice.to_string());
        }
        if let Some(bytes) = self.data_bytes {
            command.arg("--data-bytes").arg(bytes.to_string());
        }
    }
}

/// Why the command does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The cage is gone, or may not be entered.
    #[error("cannot enter the cage by {}", path.display())]
    Enter {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A limit of the process itself.
    #[error("cannot set this process's {what}")]
    Limit {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// Nobody would end the command.
    #[error("the sidecar that started this has ended")]
    Orphan,
    /// It cannot be executed.
    #[error("cannot run `{}` in its cage; is it there, and on the PATH?", program.display())]
    Execute {
        program: OsString,
        #[source]
        source: io::Error,
    },
}

impl LaunchError {
    /// The exit code, as `env` and `nice` have them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Execute { .. } => NOT_EXECUTABLE,
            Self::Enter { .. } | Self::Limit { .. } | Self::Orphan => NOT_CAGED,
        }
    }
}

/// Enters the cage and becomes the command. Comes back only with an error.
pub(crate) fn launch(args: &Args, program: OsString, of_program: &[OsString]) -> LaunchError {
    if let Err(error) = enter(args) {
        return error;
    }
    let source = Command::new(&program).args(of_program).exec();
    LaunchError::Execute { program, source }
}

fn enter(args: &Args) -> Result<(), LaunchError> {
    let limit = |what| move |error: rustix::io::Errno| LaunchError::Limit { what, source: error.into() };
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(limit("parent death signal"))?;
    // It may have ended before the signal was asked for.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if parent != Some(args.parent) {
        return Err(LaunchError::Orphan);
    }
    for path in &args.enter {
        file::put(path, "0").map_err(|source| LaunchError::Enter { path: path.clone(), source })?;
    }
    if let Some(nice) = args.nice {
        setpriority_process(None, nice).map_err(limit("priority"))?;
    }
    if let Some(bytes) = args.data_bytes {
        setrlimit(Resource::Data, limits::data_limit(Some(bytes))).map_err(limit("data limit"))?;
    }
    Ok(())
}
