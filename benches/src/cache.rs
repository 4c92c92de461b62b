//! What an answer from the response cache costs: the same two bodies from adumbra's and from nginx's, hits only.
//!
//! nginx does nothing else: no access log, one worker, `sendfile`, its files in the page cache. adumbra has everything on that
//! the load bench has. `adumbra` has the bodies in memory, `adumbra_disk` the long one in files only. Twins say how much of a
//! difference is noise. CPU time is that of the proxy's own processes over the answers that wrk counted; an arm counts only if
//! the service behind it was not asked while it was loaded.

pub mod arm;
pub mod report;

use std::path::PathBuf;
use std::{fs, io};

use clap::Parser;

use crate::accounting::{CpuTime, core_busy};
use crate::arguments::as_typed;
use crate::child;
use crate::machine::Machine;
use crate::peers::StartError;
use crate::pin::{self, Cores};
use crate::site::{self, Own, Site};
use crate::wrk::{self, Wrk};

use arm::{Arm, Which};

/// The bodies: their names, their lengths.
pub const BODIES: [(&str, usize); 2] = [("1KiB", 1 << 10), ("1MiB", 1 << 20)];

/// Compares what a cached answer costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "cache")]
struct Arguments {
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds of load on one arm with one body in one round
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Rounds; six are the fewest whose range is a 95 % interval of the median
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Keep-alive connections of the load
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A program is not there, or does not answer.
    #[error("`{name}` could not be started")]
    Start {
        /// Which.
        name: &'static str,
        /// Why not.
        #[source]
        source: StartError,
    },
    /// The load has no generator.
    #[error("wrk is not installed: as root, benches/setup.sh installs it; else `apt-get install wrk`")]
    NoWrk,
    /// What was measured were not hits.
    #[error("the service behind `{0}` was asked again while it was loaded: its figures are not of hits")]
    NotCached(&'static str),
    /// A file, a core or a load could not be had.
    #[error("the system refused a file, a core, or the load")]
    System(#[from] io::Error),
}

/// One visit of one arm with one body.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// CPU time of the proxy for each answer.
    pub cpu_us: f64,
    /// Answers per second.
    pub per_second: f64,
    /// Bad statuses and socket errors.
    pub errors: u64,
    /// Share of the proxy's core that was busy with something else.
    pub foreign_share: f64,
}

/// All visits of one arm: for each body, one for each round.
#[derive(Debug)]
pub struct Series {
    /// Which.
    pub which: Which,
    /// What it is, and its version.
    pub version: String,
    /// By the places of [`BODIES`].
    pub visits: [Vec<Visit>; BODIES.len()],
}

/// Runs the bench as the command line says and prints its report.
///
/// # Errors
/// When there is no report to print. A missed target is a result, not an error.
pub fn run(own: Own) -> Result<(), CacheError> {
    let arguments = Arguments::parse();
    let machine = Machine::read();
    let cores = Cores::of_this_process()?;
    site::lift_file_limit()?;
    let site = Site::new(cores, arguments.connections as usize, PathBuf::new(), own)?;
    let wrk = Wrk {
        program: child::find("wrk").ok_or(CacheError::NoWrk)?,
        core: cores.load,
        connections: site.connections,
        directory: site.path().to_owned(),
    };
    let mut arms = Vec::new();
    for which in Which::ALL {
        arms.push(Arm::start(&site, which).map_err(|source| CacheError::Start { name: which.name(), source })?);
    }
    pin::stay_on(cores.load)?;
    let mut series: Vec<Series> = arms.iter().map(Arm::series).collect();
    for round in 0..arguments.rounds as usize {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for at in (0..arms.len()).map(|at| (at + round) % arms.len()) {
            for (place, (name, _)) in BODIES.iter().enumerate() {
                let visit = visit(&arms[at], name, &wrk, arguments.seconds, &site)?;
                series[at].visits[place].push(visit);
            }
        }
    }
    for arm in &arms {
        if !arm.was_cached()? {
            return Err(CacheError::NotCached(arm.which.name()));
        }
    }
    print!("{}", report::text(&machine, &series, &wrk::version(&wrk.program)));
    if let Some(file) = &arguments.json {
        fs::write(as_typed(file), format!("{:#}\n", report::json(&machine, &series)))?;
    }
    Ok(())
}

fn visit(arm: &Arm, body: &str, wrk: &Wrk, seconds: u32, site: &Site) -> io::Result<Visit> {
    let path = format!("/{body}");
    wrk.get(arm.address, &path, 1)?;
    let core = site.cores.proxy.0;
    let (cpu, busy, began) = (CpuTime::of(arm.pid())?, core_busy(core)?, std::time::Instant::now());
    let counted = wrk.get(arm.address, &path, seconds)?;
    let (spent, lasted) = (CpuTime::of(arm.pid())?.since(&cpu), began.elapsed());
    let foreign = core_busy(core)?.saturating_sub(busy).saturating_sub(spent);
    Ok(Visit {
        cpu_us: spent.as_secs_f64() * 1e6 / counted.requests.max(1) as f64,
        per_second: counted.requests_per_second,
        errors: counted.bad_status + counted.socket_errors,
        foreign_share: foreign.as_secs_f64() / lasted.as_secs_f64(),
    })
}
