//! `adumbra serve`: the sidecar, until it is told to stop.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, open};
use crate::app::{App, Configured};
use crate::handover::{Inherited, Program, Successor};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, TOML, read again when it changes; `adumbra check FILE` says what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take over the listening sockets of the process that starts this one
    #[arg(long, hide = true)]
    take_over: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    // Before anybody replaces the file.
    let program = Program::of_this_process().map_err(CliError::Program)?;
    if !args.take_over {
        let inherited = Inherited::from_systemd()?;
        let (runtime, signals, app) = start(&args.config, inherited)?;
        say_where(&app, &mut io::stdout().lock()).map_err(CliError::Output)?;
        tell_systemd(NotifyState::Ready);
        return serve(&runtime, signals, app, &program);
    }
    let (inherited, predecessor) = Inherited::from_predecessor()?;
    match start(&args.config, inherited) {
        Ok((runtime, signals, app)) => {
            // Whoever started the first of us has read where we listen, and may have closed the output since.
            tracing::info!(jobs = %app.jobs(), admin = %app.admin(), version = env!("CARGO_PKG_VERSION"), "the listening sockets are taken over");
            predecessor.can_go();
            serve(&runtime, signals, app, &program)
        }
        Err(error) => {
            predecessor.must_stay(&super::one_line(&error));
            Err(error)
        }
    }
}

fn start(config: &Path, inherited: Inherited) -> Result<(Runtime, Signals, App), CliError> {
    let configured = Configured::from(open(config)?).inheriting(inherited);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Signals)?;
    // Before anything is started: whoever sends a signal early means what is about to start, too.
    let signals = runtime.block_on(async { Signals::listen() })?;
    Ok((runtime, signals, App::start(configured)?))
}

fn serve(runtime: &Runtime, mut signals: Signals, app: App, program: &Program) -> Result<(), CliError> {
    match runtime.block_on(signals.until_the_end(&app, program)) {
        End::Stop(signal) => {
            tracing::info!(signal, "stopping: jobs in flight may end");
            tell_systemd(NotifyState::Stopping);
            app.stop();
        }
        End::HandedOver(successor) => {
            tell_systemd(NotifyState::MainPid(successor.pid));
            let hurry = app.let_go();
            tracing::info!(pid = successor.pid, "another process serves from now on: jobs in flight may end");
            runtime.block_on(async {
                let ended = tokio::task::spawn_blocking(|| app.ended());
                tokio::pin!(ended);
                tokio::select! {
                    _ = &mut ended => return,
                    signal = signals.until_told_to_stop() => tracing::info!(signal, "open connections are waited for no longer"),
                }
                hurry();
                let _ended = ended.await;
            });
        }
    }
    Ok(())
}

/// systemd waits for this, if it started us.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told what becomes of this process");
    }
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

/// What serving ends with.
enum End {
    /// By this signal.
    Stop(&'static str),
    HandedOver(Successor),
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    upgrade: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            upgrade: listen(SignalKind::user_defined2())?,
        })
    }

    /// Waits for SIGTERM or SIGINT, or until another process has taken over. SIGHUP has the configuration read again, SIGUSR2
    /// starts the process that is to take over.
    async fn until_the_end(&mut self, app: &App, program: &Program) -> End {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Stop("SIGTERM"),
                _ = self.interrupt.recv() => return End::Stop("SIGINT"),
                _ = self.hang_up.recv() => app.reload(),
                _ = self.upgrade.recv() => {
                    tracing::info!(?program, "SIGUSR2: a new process is started to take over");
                    let offers = app.offers();
                    let started = tokio::select! {
                        // A stop that comes meanwhile is for both.
                        signal = self.until_told_to_stop() => return End::Stop(signal),
                        started = Successor::start(program, &offers) => started,
                    };
                    match started {
                        Ok(successor) => return End::HandedOver(successor),
                        Err(error) => {
                            let why = crate::oracle::shelf::chain(&error);
                            tracing::error!(why, "no other process takes over; this one goes on");
                        }
                    }
                }
            }
        }
    }

    async fn until_told_to_stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
