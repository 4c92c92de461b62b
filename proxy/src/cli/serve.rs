//! `adumbra serve`: the sidecar, until it is told to stop.

use std::io::{self, Write};
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, load};
use crate::app::App;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML; `adumbra check FILE` says what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let app = App::start(load(&args.config)?)?;
    say_where(&app, &mut io::stdout().lock()).map_err(CliError::Output)?;
    let signal = until_told_to_stop()?;
    tracing::info!(signal, "stopping: jobs in flight may end");
    app.stop();
    Ok(())
}

/// One line for each listener, for people and for whoever started this with port 0.
pub(super) fn say_where(app: &App, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "listening jobs={}", app.jobs())?;
    for (what, address) in [("peers", app.peers()), ("egress", app.egress())] {
        if let Some(address) = address {
            writeln!(out, "listening {what}={address}")?;
        }
    }
    writeln!(out, "listening admin={}", app.admin())?;
    out.flush()
}

/// Waits for SIGTERM or SIGINT, and says which it was.
fn until_told_to_stop() -> Result<&'static str, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        // By default it would end the process on the spot, and whoever sends it means no such thing.
        let mut hang_up = signal(SignalKind::hangup()).map_err(CliError::Signals)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok("SIGTERM"),
                _ = interrupt.recv() => return Ok("SIGINT"),
                _ = hang_up.recv() => tracing::warn!("SIGHUP does nothing: this version reads its configuration at its start only"),
            }
        }
    })
}
