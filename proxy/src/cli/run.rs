//! `adumbra run`: a service with its sidecar in front of it, and the workers of its lane behind, until it is told to stop.
//!
//! Standard output is the service's alone; what the sidecar says of itself goes to standard error. SIGTERM and SIGINT end
//! the sidecar first: jobs in flight may end, then the service is told SIGTERM. Other signals that services take to mean
//! something go on to the service. The exit code is 0 after such an end, and the service's own if it never came up.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use config::Config;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, open};
use crate::app::{App, Configured};
use crate::lane::Recipe;

/// What `run` does without a file: one network, and nothing but the service on it. There is no other network to shadow on
/// or for, so there are no workers.
const DEFAULT: &str = "home = \"private\"\n[listen]\njobs = \"127.0.0.1:8080\"\n[networks.private]\n";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML, in which home has no `upstreams`, read again when it changes; without it, jobs come in at 127.0.0.1:8080
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The service's command, with {port} where the port goes that it must listen on at 127.0.0.1
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let recipe = Recipe::new(args.command.clone())?;
    let configured = match &args.config {
        Some(path) => Configured::from(open(path)?),
        None => default().into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    // Before anything is started: whoever sends a signal early means what is about to start, too.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let app = App::run(configured, recipe)?;
    super::serve::say_where(&app, &mut io::stderr().lock()).map_err(CliError::Output)?;
    let code = runtime.block_on(async {
        tokio::select! {
            () = signals.until_stopped(&app) => ExitCode::SUCCESS,
            code = app.given_up() => ExitCode::from(code),
        }
    });
    app.stop();
    Ok(code)
}

fn default() -> Config {
    config::parse(DEFAULT, "the default configuration")
        .expect("the default configuration is valid, which a test checks")
}

/// The signals that mean something, the first two to us and the rest to the service.
struct Signals {
    terminate: Listening,
    interrupt: Listening,
    hang_up: Listening,
    user: [Listening; 2],
}

type Listening = tokio::signal::unix::Signal;

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            user: [listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the word to stop, and passes on what is for the service meanwhile.
    async fn until_stopped(&mut self, app: &App) {
        let [one, two] = &mut self.user;
        loop {
            let signal = tokio::select! {
                _ = self.terminate.recv() => return tracing::info!("SIGTERM: stopping, jobs in flight may end"),
                _ = self.interrupt.recv() => return tracing::info!("SIGINT: stopping, jobs in flight may end"),
                _ = self.hang_up.recv() => Signal::HUP,
                _ = one.recv() => Signal::USR1,
                _ = two.recv() => Signal::USR2,
            };
            app.signal_service(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_leaves_home_to_run() {
        let config = default();
        assert!(config.is_for_run());
        assert_eq!(config.listen.peers, None, "nobody sends shadows here, so there need be no workers");
    }
}
