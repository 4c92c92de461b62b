//! `adumbra serve`: the sidecar, until it is told to stop.

use std::io::{self, Write};
use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, open};
use crate::app::App;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML, read again when it changes; `adumbra check FILE` says what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let configured = open(&args.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    // Before anything is started: whoever sends a signal early means what is about to start, too.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let app = App::start(configured)?;
    say_where(&app, &mut io::stdout().lock()).map_err(CliError::Output)?;
    let signal = runtime.block_on(signals.until_told_to_stop(&app));
    tracing::info!(signal, "stopping: jobs in flight may end");
    app.stop();
    Ok(())
}

/// One line for each listener, for people and for whoever started this with port 0.
pub(super) fn say_where(app: &App, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "listening jobs={}", app.jobs())?;
    let others =
        [("peers", app.peers()), ("egress", app.egress()), ("inbound", app.inbound()), ("outbound", app.outbound())];
    for (what, address) in others {
        if let Some(address) = address {
            writeln!(out, "listening {what}={address}")?;
        }
    }
    writeln!(out, "listening admin={}", app.admin())?;
    out.flush()
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT, and says which it was. SIGHUP has the configuration read again.
    async fn until_told_to_stop(&mut self, app: &App) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => app.reload(),
            }
        }
    }
}
