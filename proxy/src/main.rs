//! The `adumbra` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proxy::demo;

#[derive(Parser)]
#[command(name = "adumbra")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Two networks on this machine, real jobs, a table at the end.
    Demo(demo::Options),
    #[command(hide = true)]
    DemoService(demo::service::Args),
    #[command(hide = true)]
    DemoDevice(demo::device::Args),
    #[command(hide = true)]
    DemoRelay(demo::relay::Args),
}

fn main() -> ExitCode {
    demo::lifeline::arm();
    let result: Result<ExitCode, Box<dyn std::error::Error>> = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options).map_err(Into::into),
        Command::DemoService(args) => demo::service::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::DemoDevice(args) => demo::device::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::DemoRelay(args) => demo::relay::run(&args).map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    result.unwrap_or_else(|error| {
        eprint!("adumbra: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprint!(": {error}");
            cause = error.source();
        }
        eprintln!();
        ExitCode::FAILURE
    })
}
