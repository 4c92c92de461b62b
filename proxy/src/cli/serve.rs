//! `adumbra serve`: the sidecar, until it is told to stop.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, load};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML; `adumbra check FILE` says what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let config = load(&args.config)?;
    // To be wired: `let app = App::start(config)?;`, then the wait, then `app.stop()`.
    let _ = config;
    let _: fn() -> Result<&'static str, CliError> = until_told_to_stop;
    Err(CliError::NotBuilt)
}

/// Waits for SIGTERM or SIGINT, and says which it was.
fn until_told_to_stop() -> Result<&'static str, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        tokio::select! {
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
        }
    })
}
