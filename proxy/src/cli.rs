//! The command line. Each command is a file; this one names them, sets logging up and turns an error into one line on
//! stderr that says what was attempted and what to do, and into the exit code.
//!
//! Exit codes: 0 for success, 1 for a command that failed or a file with errors, 2 for a command line that makes no sense.

mod certificates;
mod check;
mod explain;
mod http;
mod inject;
mod intercept;
mod lane_exec;
mod lane_reap;
mod logging;
mod model;
mod probe;
mod replay;
mod run;
mod schema;
mod serve;
mod words;

use std::error::Error as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::StartError;
use crate::demo;
use crate::lane::cage::launch::LaunchError;
use crate::reload::{ConfigFile, ConfigFileError};

/// Runs jobs where they cost least: a sidecar that places each job on the network where it is cheapest.
#[derive(Debug, Parser)]
#[command(name = "adumbra", version, arg_required_else_help = true, propagate_version = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar
    Serve(serve::Args),
    /// Start a service with its sidecar in front of it
    Run(run::Args),
    /// Say every error of a configuration file, or sum up what it says
    Check(check::Args),
    /// Make certificates for sidecars, with a CA of your own for development
    Certs(certificates::Args),
    /// Say what was decided for a job, or what would be for a request, and why
    Explain(explain::Args),
    /// Put up, take down and show the rules that bring connections to the sidecar
    Intercept(intercept::Args),
    /// Say what another configuration or model would have decided on what really happened
    Replay(replay::Args),
    /// Make, show, check and compare models that predict
    Model(model::Args),
    /// Put the sidecar into Kubernetes manifests
    Inject(inject::Args),
    /// Ask a sidecar whether it takes jobs
    Probe(probe::Args),
    /// Compare four ways of placing jobs, on two networks on this machine
    Demo(demo::Options),
    #[command(hide = true)]
    DemoService(demo::service::Args),
    #[command(hide = true)]
    DemoDevice(demo::device::Args),
    #[command(hide = true)]
    DemoRelay(demo::relay::Args),
    #[command(hide = true)]
    LaneExec(lane_exec::Args),
    #[command(hide = true)]
    LaneReap(lane_reap::Args),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The configuration cannot be read.
    #[error(transparent)]
    File(ConfigFileError),
    /// The configuration has errors, which have been shown.
    #[error("{} cannot be used as it is; correct what is marked above, and check it again", path.display())]
    Invalid { path: PathBuf },
    /// The sidecar cannot be asked.
    #[error(
        "cannot ask the sidecar's admin port at {address}; is it running, and is `--admin` what `listen.admin` says?"
    )]
    Unanswered {
        address: String,
        #[source]
        source: http::HttpError,
    },
    /// The sidecar answered, but not with what was asked for.
    #[error("{address} answered {status}: {detail}")]
    Refused { address: String, status: u16, detail: String },
    /// What answered is not an adumbra of this version.
    #[error("{address} answered something that is not a decision; is an adumbra of this version listening there?")]
    Foreign {
        address: String,
        #[source]
        source: serde_json::Error,
    },
    /// The command cannot start a service.
    #[error("cannot run the service")]
    Recipe(#[from] crate::lane::NoPort),
    /// Signals cannot be waited for, so a stop would cut what is in flight.
    #[error("cannot wait for SIGTERM and SIGINT")]
    Signals(#[source] io::Error),
    /// It is not known what this process was started by, so no other could take over from it.
    #[error("cannot find out which program this is")]
    Program(#[source] io::Error),
    /// Sockets that should have been passed were not.
    #[error("cannot listen on sockets that another process opened")]
    Inherit(#[from] crate::handover::InheritError),
    /// The sidecar cannot start.
    #[error("the sidecar cannot start")]
    Start(#[from] StartError),
    /// The demo, or one of its processes, failed.
    #[error("the demo failed")]
    Demo(#[source] Box<dyn std::error::Error>),
    /// A lane's command does not run.
    #[error("the lane's command does not run")]
    Launch(#[from] LaunchError),
    /// Cages of a killed sidecar stay.
    #[error("cannot take the cages of a killed sidecar away; the next start tries again")]
    Reap(#[source] io::Error),
    /// The CA did not do what it should.
    #[error("no certificate was made or revoked")]
    Certs(#[from] certs::AuthorityError),
    /// Nothing was put up, taken down or watched.
    #[error(transparent)]
    Intercept(#[from] intercept::InterceptError),
    /// Nothing was replayed.
    #[error(transparent)]
    Replay(#[from] replay::ReplayError),
    /// The decision is not in the journal.
    #[error("there is no decision {id} in the journal in {}", directory.display())]
    NotInJournal { id: String, directory: PathBuf },
    /// A model was not made, read or compared.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// The program that injects is not there.
    #[error(transparent)]
    Inject(inject::Lacking),
    /// The answer could not be shown.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let command = Line::parse().command;
    // The launcher becomes another program: its input and its stderr are that one's.
    if !matches!(command, Command::LaneExec(_)) {
        demo::lifeline::arm();
        logging::start();
    }
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("adumbra: {}", words::printable(&one_line(&error)));
            match error {
                CliError::Launch(error) => ExitCode::from(error.code()),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    let success = |()| ExitCode::SUCCESS;
    match command {
        Command::Serve(args) => serve::run(&args).map(success),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args).map(success),
        Command::Certs(args) => certificates::run(&args).map(success),
        Command::Explain(args) => explain::run(&args).map(success),
        Command::Intercept(args) => intercept::run(&args),
        Command::Replay(args) => replay::run(&args).map(success),
        Command::Model(args) => model::run(&args),
        Command::Inject(args) => Err(CliError::Inject(inject::run(&args))),
        Command::Probe(args) => probe::run(&args).map(success),
        Command::Demo(options) => demo::run(&options).map_err(|error| CliError::Demo(error.into())),
        Command::DemoService(args) => demo::service::run(&args).map(success).map_err(|e| CliError::Demo(e.into())),
        Command::DemoDevice(args) => demo::device::run(&args).map(success).map_err(|e| CliError::Demo(e.into())),
        Command::DemoRelay(args) => demo::relay::run(&args).map(success).map_err(|e| CliError::Demo(e.into())),
        Command::LaneExec(args) => Err(lane_exec::run(args).into()),
        Command::LaneReap(args) => lane_reap::run(&args).map(success).map_err(CliError::Reap),
    }
}

/// An error and what is behind it, without line breaks.
fn one_line(error: &CliError) -> String {
    let mut line = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        line += &format!(": {cause}");
        behind = cause.source();
    }
    line.replace('\n', " ")
}

/// The configuration in a file. Its errors are shown on stderr, all of them.
fn load(path: &Path) -> Result<config::Config, CliError> {
    let text = crate::reload::read_text(path).map_err(shown)?;
    config::parse(&text, &path.display().to_string()).map_err(|errors| {
        show(&errors);
        CliError::Invalid { path: path.to_owned() }
    })
}

/// The configuration in a file, to be started, or the last good one instead. Its errors are shown on stderr, all of them.
fn open(path: &Path) -> Result<ConfigFile, CliError> {
    let file = ConfigFile::read(path).map_err(shown)?;
    file.errors().into_iter().for_each(show);
    Ok(file)
}

fn shown(error: ConfigFileError) -> CliError {
    match error {
        ConfigFileError::Invalid { path, errors } => {
            show(&errors);
            CliError::Invalid { path }
        }
        other => CliError::File(other),
    }
}

fn show(errors: &config::Errors) {
    eprintln!("{}\n", errors.render(io::stderr().is_terminal()));
}

#[cfg(test)]
mod tests;
