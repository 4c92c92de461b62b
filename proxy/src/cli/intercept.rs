//! `adumbra intercept`: puts up and takes down the rules that bring connections to the sidecar, and says which there are.
//!
//! `watch` is for `fail = "open"`: rules are up while the sidecar takes jobs, and gone as soon as it does not.

mod watch;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use config::Config;
use config::value::Fail;

use super::{CliError, load};
use crate::intercept::rules::{self, Backend, ProgramError, Rules, There, Unruly};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put up the rules that the configuration wants, in the place of those there are
    Up(Up),
    /// Take down all that adumbra has put up
    Down,
    /// Say what is up; exit code 0 if that is what the configuration wants, else 1
    Status(Wanted),
    /// Keep rules up while the sidecar takes jobs, and down while it does not
    Watch(Wanted),
}

#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    wanted: Wanted,
    /// For a container that then ends: refuse what fails open, for nothing stays that would take it down
    #[arg(long)]
    once: bool,
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// The configuration, TOML, with its `[listen.intercept]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What puts rules up; left out: nftables, or iptables where there is no `nft`
    #[arg(long)]
    backend: Option<Backend>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum InterceptError {
    /// The configuration makes no rules.
    #[error("there are no rules to put up")]
    Unruly(#[from] Unruly),
    /// The kernel's rules were not changed, or not read.
    #[error("the kernel's rules are as they were")]
    Program(#[from] ProgramError),
    /// Nobody would take the rules down.
    #[error(
        "`listen.intercept.fail` is \"open\", and with `--once` nobody stays to take the rules down: say \"closed\", or run \
         `adumbra intercept watch` beside the sidecar"
    )]
    NobodyStays,
    /// There is nothing to watch for.
    #[error("`listen.intercept.fail` is \"closed\", so rules stay whatever happens: use `adumbra intercept up`")]
    NothingToWatch,
    /// The sidecar cannot be asked.
    #[error("`listen.admin` has port 0, so nobody can tell where to ask whether the sidecar is there: write a port")]
    NowhereToAsk,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.what {
        What::Up(Up { wanted, once }) => {
            let (config, rules, backend) = wanted.read()?;
            if is_open(&config) && *once {
                return Err(InterceptError::NobodyStays.into());
            }
            rules::up(&rules, backend).map_err(InterceptError::from)?;
            say(&format!("up by {backend}: {}", rules.digest()))?;
            if is_open(&config) {
                eprintln!("adumbra: these rules stay until `down`; only `adumbra intercept watch` has them fail open");
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Down => {
            rules::down().map_err(InterceptError::from)?;
            say("down")?;
            Ok(ExitCode::SUCCESS)
        }
        What::Status(wanted) => status(wanted),
        What::Watch(wanted) => {
            let (config, rules, backend) = wanted.read()?;
            if !is_open(&config) {
                return Err(InterceptError::NothingToWatch.into());
            }
            watch::run(&config, &rules, backend).map(|()| ExitCode::SUCCESS)
        }
    }
}

impl Wanted {
    fn read(&self) -> Result<(Config, Rules, Backend), CliError> {
        let config = load(&self.config)?;
        let rules = Rules::of(&config).map_err(InterceptError::from)?;
        let backend = self.backend.map_or_else(rules::usual, Ok).map_err(InterceptError::from)?;
        Ok((config, rules, backend))
    }
}

fn is_open(config: &Config) -> bool {
    config.listen.intercept.as_ref().is_some_and(|intercept| intercept.fail == Fail::Open)
}

fn status(wanted: &Wanted) -> Result<ExitCode, CliError> {
    let config = load(&wanted.config)?;
    let digest = Rules::of(&config).map_err(InterceptError::from)?.digest();
    let found = rules::status().map_err(InterceptError::from)?;
    let mut is_as_wanted = false;
    for (backend, there) in found {
        let word = match there {
            There::Nothing => "nothing",
            There::Rules(is) if is == digest => "up, as the configuration wants",
            There::Rules(_) => "up, from another configuration: `adumbra intercept up` replaces them",
            There::Remains => "something of adumbra's that is not whole: `adumbra intercept down` takes it away",
        };
        is_as_wanted |= there == There::Rules(digest);
        say(&format!("{backend}: {word}"))?;
    }
    Ok(if is_as_wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(line: &str) -> Result<(), CliError> {
    writeln!(io::stdout().lock(), "{line}").map_err(CliError::Output)
}
