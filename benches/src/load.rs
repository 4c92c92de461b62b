//! The load bench from end to end: what a request through each proxy costs, on one machine, in one interleaved run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs, io};

use clap::Parser;

use crate::arguments::Arguments;
use crate::backend;
use crate::child;
use crate::figures::Figures;
use crate::machine::Machine;
use crate::peers::{Arm, Kind, StartError};
use crate::pin::{self, Cores};
use crate::report::{self, Run};
use crate::rounds::{self, Series};
use crate::site::{self, Own, Site};
use crate::wrk::{self, Wrk};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line names what is not there.
    #[error("{0}")]
    Arguments(String),
    /// The closed loop has no generator.
    #[error("wrk is not installed: as root, benches/setup.sh installs it; else `apt-get install wrk`")]
    NoWrk,
    /// There is nothing to measure against.
    #[error("the backend could not be started")]
    Backend(#[source] StartError),
    /// No arm could be started or held any load.
    #[error("no arm could be measured; the lines above say why")]
    NothingMeasured,
    /// A file, a core or a limit could not be had.
    #[error("could not {doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The report could not be put together.
    #[error("could not format the report")]
    Format(#[from] fmt::Error),
}

/// Runs the bench as the command line says and prints its report.
///
/// # Errors
/// When there is no report to print. A missed budget is a result, not an error.
pub fn run(own: Own) -> Result<(), LoadError> {
    let arguments = Arguments::parse();
    let arms = arguments.arms().map_err(LoadError::Arguments)?;
    let machine = Machine::read();
    let tools = tools_folder(&own);
    if !arguments.no_setup {
        setup(&tools, &arms);
    }
    let connections = arguments.connections as usize;
    let cores = Cores::of_this_process().map_err(system("read the cores of this process"))?;
    site::lift_file_limit().map_err(system("lift the limit of open files"))?;
    let site = Site::new(cores, connections, tools, own).map_err(system("make a temporary folder"))?;
    let wrk = Wrk {
        program: child::find("wrk").ok_or(LoadError::NoWrk)?,
        core: cores.load,
        connections,
        directory: site.path().to_owned(),
    };

    let backend = backend::start(&site).map_err(LoadError::Backend)?;
    let (mut series, lacking) = start(&arms, &site, [backend.address, backend.other]);
    // From here on this process is the load generator; before, it may have had a compiler to run.
    pin::stay_on(cores.load).map_err(system("move to the load's core"))?;
    let rate_per_second = measure(&mut series, &arguments, &wrk, &site)?;

    let generator = format!("{} (closed loop); ours, epoll (open loop)", wrk::version(&wrk.program));
    let run = Run {
        machine: &machine,
        cores,
        shape: [arguments.rounds, arguments.seconds, arguments.connections],
        rate_per_second,
        others: &[("backend", backend.version.clone()), ("load", generator)],
        lacking: &lacking,
        figures: Figures::new(&series),
    };
    print!("{}", report::text(&run)?);
    if let Some(file) = arguments.json_file() {
        let text = format!("{:#}\n", report::json::value(&run));
        fs::write(file, text).map_err(system("write the file named by --json"))?;
    }
    Ok(())
}

/// Starts what can be started; the rest is lacking, with the reason.
fn start(arms: &[Arm], site: &Site, backends: [SocketAddr; 2]) -> (Vec<Series>, Vec<(String, String)>) {
    let (mut series, mut lacking) = (Vec::new(), Vec::new());
    for arm in arms {
        match arm.start(site, backends) {
            Ok(started) => series.push(Series::new(started)),
            Err(error) => {
                eprintln!("lacking {}: {error}", arm.name);
                lacking.push((arm.name.clone(), error.to_string()));
            }
        }
    }
    (series, lacking)
}

/// Memory, then all rounds of the closed loop, then all of the open one at the rate the first has shown.
fn measure(series: &mut [Series], arguments: &Arguments, wrk: &Wrk, site: &Site) -> Result<f64, LoadError> {
    let Arguments { rounds, seconds, .. } = *arguments;
    let visits = series.len() as u32 * rounds;
    let expected = visits * (2 * seconds + 3);
    eprintln!("{} arms, {rounds} rounds: about {} min", series.len(), expected.div_ceil(60));
    rounds::memory(series);
    for round in 0..rounds {
        eprintln!("closed loop, round {} of {rounds}", round + 1);
        rounds::closed(series, round as usize, wrk, seconds, site);
    }
    let chosen = arguments.rate.map(f64::from);
    let rate_per_second = chosen.or_else(|| rounds::common_rate(series)).ok_or(LoadError::NothingMeasured)?;
    for round in 0..rounds {
        eprintln!("open loop at {rate_per_second:.0} req/s, round {} of {rounds}", round + 1);
        rounds::open(series, round as usize, rate_per_second, seconds, site);
    }
    Ok(rate_per_second)
}

/// Lets the script install what is missing. What it cannot, the arms will miss and say.
fn setup(tools: &Path, arms: &[Arm]) {
    let on_demand = arms.iter().any(|arm| arm.kind == Kind::Pingora).then_some("pingora");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup.sh");
    let status = Command::new("bash").arg(&script).arg(tools).args(on_demand).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("{} ended with {status}; going on with what is there", script.display()),
        Err(error) => eprintln!("could not run {}: {error}; going on with what is there", script.display()),
    }
}

/// `target/bench-tools`: beside the profile's folder, in which our own programs lie.
fn tools_folder(own: &Own) -> PathBuf {
    let target = own.tcp_relay.ancestors().nth(2).unwrap_or(Path::new("target"));
    target.join("bench-tools")
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> LoadError {
    move |source| LoadError::System { doing, source }
}
