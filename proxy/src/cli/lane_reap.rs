//! `adumbra lane-reap`: what a sidecar leaves to take its cages away if it is killed. Nobody types it.

use crate::lane::cage::reaper;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A cage of the sidecar
    owner: String,
}

pub(super) fn run(args: &Args) -> std::io::Result<()> {
    reaper::reap(&args.owner)
}
