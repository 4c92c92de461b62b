//! What shadows cost the jobs they are shadows of: the same jobs with shadows off, on, and on a target that misbehaves.
//!
//! Each arm is a sidecar of its own with a live service of its own, both on the first core, and a second network to shadow
//! on. That stands for another machine: it runs on the second core, at the lowest priority, so that it gets what the load
//! generator leaves. Every job of an arm with shadows is sampled, so each has a shadow beside it, and how many really had
//! is read from the decision log: an arm counts only if at least half of its jobs did.
//!
//! All arms are visited in turn at one fixed rate, 60 % of what the arm without shadows can do. Each answer is checked byte
//! for byte.

pub mod arm;
pub mod job;
pub mod report;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::{fs, io};

use clap::Parser;

use crate::machine::Machine;
use crate::open_loop::{self, Load};
use crate::peers::StartError;
use crate::pin::{self, Cores};
use crate::site::{self, Own, Site};

use arm::{Arm, Target};

/// Share of the measured saturation that the arms are loaded with.
const RATE_SHARE: f64 = 0.6;
/// Arms are as many as there are ways to be a target.
const CONNECTIONS: usize = 64;

/// Measures what shadows cost the jobs they are shadows of.
#[derive(Clone, Debug, Parser)]
#[command(name = "shadow_tax")]
pub struct Arguments {
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Seconds of load on one arm in one round
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub seconds: u32,
    /// Rounds; six are the fewest whose range is a 95 % interval of the median
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub rounds: u32,
    /// Rounds of hashing in one job: 2000 are about 20 ms
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub work: u32,
    /// What cargo adds
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum TaxError {
    /// The arm that all others are compared with is lacking.
    #[error("an arm without shadows could not be started; there is nothing to compare with")]
    NoReference(#[source] StartError),
    /// A file, a core or a limit could not be had.
    #[error("could not {doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What one visit of one arm showed.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Answers that were not 200, not whole, not the right bytes, or did not come.
    pub errors: u64,
    /// Jobs sent.
    pub jobs: u64,
    /// Those of them beside which a shadow ran.
    pub overlapped: u64,
    /// Resident memory of the sidecar at its end.
    pub resident_bytes: u64,
    /// How late the generator itself was, 99th percentile.
    pub lag_p99_us: f64,
}

/// Runs the bench as the command line says and prints its report.
///
/// # Errors
/// When there is no report to print. A missed budget is a result, not an error.
pub fn run(own: Own, service: PathBuf) -> Result<(), TaxError> {
    let arguments = Arguments::parse();
    let machine = Machine::read();
    let cores = Cores::of_this_process().map_err(system("read the cores of this process"))?;
    site::lift_file_limit().map_err(system("lift the limit of open files"))?;
    let site = Site::new(cores, CONNECTIONS, PathBuf::new(), own).map_err(system("make a temporary folder"))?;
    let (mut arms, mut lacking) = (Vec::new(), Vec::new());
    for target in Target::ALL {
        match Arm::start(&site, &service, target, arguments.work) {
            Ok(arm) => arms.push((arm, Vec::new())),
            Err(why) if target == Target::Off => return Err(TaxError::NoReference(why)),
            Err(why) => {
                eprintln!("lacking {}: {why}", target.name());
                lacking.push((target.name(), why.to_string()));
            }
        }
    }
    pin::stay_on(cores.load).map_err(system("move to the load's core"))?;
    let per_second = RATE_SHARE * saturation(&arms[0].0).map_err(system("load the arm without shadows"))?;
    let each = Duration::from_secs(u64::from(arguments.seconds));
    for round in 0..arguments.rounds as usize {
        eprintln!("{per_second:.0} jobs/s, round {} of {}", round + 1, arguments.rounds);
        for at in 0..arms.len() {
            let at = (at + round) % arms.len();
            let (arm, visits) = &mut arms[at];
            // Not counted: it makes connections, and the first model.
            arm.visit(per_second, Duration::from_secs(1)).map_err(system("load an arm"))?;
            visits.push(arm.visit(per_second, each).map_err(system("load an arm"))?);
            // What shadows it left behind have a window of less than this.
            thread::sleep(Duration::from_millis(500));
        }
    }
    let run = report::Run { machine: &machine, arguments: &arguments, per_second, arms: &arms, lacking: &lacking };
    print!("{}", report::text(&run));
    if let Some(file) = &arguments.json {
        let text = format!("{:#}\n", report::json(&run));
        fs::write(crate::arguments::as_typed(file), text).map_err(system("write the file named by --json"))?;
    }
    Ok(())
}

/// Jobs per second when there are always more to do: an open loop far too fast is a closed one.
fn saturation(arm: &Arm) -> io::Result<f64> {
    let (duration, grace) = (Duration::from_secs(2), open_loop::GRACE);
    let load = arm.load(1e5, duration);
    open_loop::run(&Load { duration: Duration::from_millis(100), ..load })?;
    let outcome = open_loop::run(&load)?;
    Ok(outcome.latency_ns.len() as f64 / (duration + grace).as_secs_f64())
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> TaxError {
    move |source| TaxError::System { doing, source }
}
