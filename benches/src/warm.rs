//! What warming is worth to transferred jobs: the same jobs with nothing fetched ahead, with what they declare, and with what
//! was learned of the jobs before.
//!
//! Each arm is two sidecars in processes of their own, a service with a few slots beside the far one, and a wide-area link
//! between the two sides, over which jobs and inputs come. All jobs are transferred: what is measured is not the choice but
//! what moves. The service takes a job when it has a free slot, reads its input through the far sidecar's egress, and then
//! holds the slot for the time that the job ran in the trace; it sleeps, for two cores cannot run what a cluster did.
//!
//! The arm without warming has the same data cache: what an earlier job has read is there for the next one in all of them.
//! Jobs, inputs and the times between them are the same for each arm, and each job is sent to all of them at once: what the
//! machine does meanwhile, it does to all.

pub mod arm;
pub mod far;
pub mod jobs;
pub mod link;
pub mod report;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use tokio::task::JoinSet;

use crate::machine::Machine;
use crate::peers::StartError;
use crate::pin::Cores;
use crate::site::{self, Own, Site};
use crate::trace::TraceError;

pub use arm::{Kind, Visit};

/// Measures what warming is worth.
#[derive(Clone, Debug, Parser)]
#[command(name = "warm")]
pub struct Arguments {
    /// The trace: jobs with `data_key` and `data_bytes`
    #[arg(long, value_name = "FILE", default_value = "../shared/traces/wfinstances.csv.gz")]
    pub trace: PathBuf,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Jobs of each arm
    #[arg(long, value_name = "N", default_value_t = 90)]
    pub jobs: usize,
    /// What bytes and the link's rate are multiplied by: times stay as they are, memory and CPU do not
    #[arg(long, value_name = "X", default_value_t = 0.25)]
    pub scale: f64,
    /// What the time a job runs is multiplied by
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub pace: f64,
    /// Slots of the service
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub slots: usize,
    /// The load on the slots, were nothing to be fetched
    #[arg(long, value_name = "X", default_value_t = 0.7)]
    pub load: f64,
    /// What draws the stretch of the trace
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub seed: u64,
    /// A run of seconds, to see that it runs: its figures say nothing
    #[arg(long)]
    pub quick: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// Bytes a second of the link.
pub const LINK_BYTES_PER_S: f64 = 20e6;
/// Round trip over it, milliseconds.
pub const ROUND_TRIP_MS: f64 = 40.0;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// An arm could not be started.
    #[error("an arm could not be started")]
    Start(#[from] StartError),
    /// There are no jobs.
    #[error("the trace cannot be used")]
    Trace(#[from] TraceError),
    /// A file, a core or a socket could not be had.
    #[error("could not {doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Runs the bench as the command line says and prints its report.
///
/// # Errors
/// When there is no report to print. A missed budget is a result, not an error.
pub fn run(own: Own) -> Result<(), WarmError> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.jobs, arguments.scale, arguments.pace) = (24, 0.01, 0.05);
    }
    let arguments = arguments;
    let machine = Machine::read();
    let cores = Cores::of_this_process().map_err(system("read the cores of this process"))?;
    site::lift_file_limit().map_err(system("lift the limit of open files"))?;
    let site = Site::new(cores, 0, PathBuf::new(), own).map_err(system("make a temporary folder"))?;
    let jobs = jobs::draw(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(system("start a runtime"))?;
    let mut arms = Vec::new();
    for kind in Kind::ALL {
        arms.push(Arc::new(runtime.block_on(arm::Arm::start(&site, kind, &arguments))?));
    }
    let mut running = JoinSet::new();
    for (place, arm) in arms.iter().enumerate() {
        let (arm, jobs) = (Arc::clone(arm), jobs.clone());
        running.spawn_on(async move { (place, arm.visit(&jobs).await) }, runtime.handle());
    }
    let mut visits: Vec<Visit> = vec![Visit::default(); arms.len()];
    while let Some(done) = runtime.block_on(running.join_next()) {
        let (place, visit) = done.map_err(io::Error::other).map_err(system("run an arm"))?;
        visits[place] = visit.map_err(system("send the jobs of an arm"))?;
    }
    let mut outcomes = Vec::new();
    for (arm, visit) in arms.iter().zip(visits) {
        let moved = runtime.block_on(arm.moved()).map_err(system("read an arm's metrics"))?;
        outcomes.push(report::Outcome { kind: arm.kind, visit, moved });
    }
    let run = report::Run { machine: &machine, arguments: &arguments, jobs: &jobs, outcomes: &outcomes };
    print!("{}", report::text(&run));
    if let Some(file) = &arguments.json {
        let text = format!("{:#}\n", report::json(&run));
        fs::write(crate::arguments::as_typed(file), text).map_err(system("write the file named by --json"))?;
    }
    Ok(())
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> WarmError {
    move |source| WarmError::System { doing, source }
}
