//! `adumbra lane-exec`: what a sidecar starts a caged command with. Nobody types it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::lane::cage::launch::{self, LaunchError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A `cgroup.procs` to enter; may be given again
    #[arg(long, value_name = "FILE")]
    enter: Vec<PathBuf>,
    /// The priority to take
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// The most private writable memory to have
    #[arg(long)]
    data_bytes: Option<u64>,
    /// The process that started this
    #[arg(long)]
    parent: u32,
    /// The command to become
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Comes back only with an error.
pub(super) fn run(args: Args) -> LaunchError {
    let mut command = args.command.into_iter();
    let program = command.next().unwrap_or_default();
    let of_program: Vec<OsString> = command.collect();
    let into = launch::Args { enter: args.enter, nice: args.nice, data_bytes: args.data_bytes, parent: args.parent };
    launch::launch(&into, program, &of_program)
}
