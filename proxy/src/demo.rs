//! `adumbra demo`: two networks on this machine, real jobs, and what it costs to place them in four ways.
//!
//! The demo starts this very binary several times: a sidecar, a job service and a device for each network, and a relay
//! that stands for the link between them. Then it sends the same stream of jobs through each arm, in interleaved rounds
//! that start drained, checks every answer byte for byte and counts what the services really used.
//!
//! What is real: the processes, the sockets, the sidecars, the work (rendering, ray tracing, compression in two
//! builds), its CPU time, and the model, which learns from this run alone. What is simulated, and said so in the
//! output: the devices (queueing processes) and the link (delay and rate). The two networks share this machine's cores,
//! and no CPU cap is enforced.
//!
//! Reading order: `world` has the numbers, `job` the work, `drive` the measuring, `result` and `report` what
//! is made of it.

mod arm;
mod arrivals;
mod catalogue;
mod children;
mod client;
pub mod device;
mod drive;
mod job;
pub mod kernel;
pub mod lifeline;
mod progress;
mod random;
pub mod relay;
mod report;
mod result;
pub mod service;
mod statistics;
mod status;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use self::arm::Arm;
use self::catalogue::Catalogue;
pub use self::children::ChildError;
use self::client::fetch_json;
use self::drive::{Segment, Tally};
use self::progress::Progress;
use self::report::Report;
use self::result::Books;
use self::world::{Places, World};

/// The options of `adumbra demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long the demo takes, in seconds, warm-up included.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u64).range(20..=3_600))]
    seconds: u64,
    /// Also print the result as one JSON object, on the last line.
    #[arg(long)]
    json: bool,
    /// Fixes the jobs and their arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the job services show no progress, as a service that knows nothing of adumbra would.
    #[arg(long)]
    opaque: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A child process did not come up.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A child process ended while the demo needed it.
    #[error("the demo's {name} ended by itself; its log ends:\n{log}")]
    Ended {
        /// Which child.
        name: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The machine would not let the demo run.
    #[error("could not set the demo up: no temporary directory, or no runtime")]
    SetUp(#[from] std::io::Error),
    /// Somebody asked it to stop.
    #[error("the demo was interrupted; its processes are gone")]
    Interrupted,
}

/// The most of the demo's time that goes into right answers before the first job is sent.
const WORK_OUT_SHARE: f64 = 0.12;

/// Runs the demo. Succeeds when every job of every arm was answered with the right bytes.
pub fn run(options: &Options) -> Result<ExitCode, DemoError> {
    let progress = Progress::new(options.seconds);
    let jobs = (options.seconds / 2).clamp(16, 80) as usize;
    let time = Duration::from_secs_f64(WORK_OUT_SHARE * options.seconds as f64);
    let catalogue = Catalogue::work_out(options.seed, jobs, time, &|done| {
        if done % 4 == 0 {
            progress.show(&format!("working out the right answers: {done} of {jobs}"));
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = measure(options, progress, &catalogue) => report,
            () = interrupted() => Err(DemoError::Interrupted),
        }
    });
    progress.end();
    let report = report?;
    print!("{report}");
    if options.json {
        println!("{}", report.to_json());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Rounds, and what part of the time goes where.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    warm_up_s: f64,
    rounds: usize,
}

/// Seconds a segment takes after its last arrival, until it has drained: what a schedule must allow for.
const TAIL_S: f64 = 1.5;

/// The shortest stretch of arrivals worth sending.
const SHORTEST_S: f64 = 1.5;

impl Schedule {
    /// For a demo with `left_s` seconds left: four rounds, so that every arm is first once, or fewer when they would be
    /// too short.
    fn new(left_s: f64) -> Self {
        let warm_up_s = (left_s * 0.18).clamp(4.0, 25.0);
        let rounds = match left_s - warm_up_s {
            rest if rest >= 75.0 => 4,
            rest if rest >= 36.0 => 2,
            _ => 1,
        };
        Self { warm_up_s, rounds }
    }

    /// Seconds of arrivals in a segment of a round with `left_s` seconds left for `rounds` rounds.
    fn segment_s(left_s: f64, rounds: usize) -> f64 {
        (left_s / (rounds * Arm::ALL.len()) as f64 - TAIL_S).max(SHORTEST_S)
    }
}

/// Starts the world, measures, stops it.
async fn measure(options: &Options, progress: Progress, catalogue: &Catalogue) -> Result<Report, DemoError> {
    let directory = tempfile::tempdir()?;
    progress.show("starting two networks");
    let mut world = World::start(directory.path(), catalogue.pace(), options.opaque).await?;
    let places = world.places();
    let schedule = Schedule::new(progress.left_s());
    let measured = rounds(options, progress, catalogue, schedule, &mut world).await;
    let (warm_up, segments) = measured.map_err(|name| DemoError::Ended {
        name,
        log: children::tail(&directory.path().join(format!("{name}.log"))),
    })?;
    let report = report(options, progress, schedule, places, &warm_up, &segments).await;
    world.stop().await;
    Ok(report)
}

/// The warm-up and all rounds; the name of a child when it ended too soon.
async fn rounds(
    options: &Options,
    progress: Progress,
    catalogue: &Catalogue,
    schedule: Schedule,
    world: &mut World,
) -> Result<(Segment, Vec<Segment>), &'static str> {
    let places = world.places();
    let rate = catalogue.rate();
    let draw = |round: usize, seconds| arrivals::draw(options.seed, round as u64, seconds, rate, catalogue.len());
    let one = async |arm: Arm, round: usize, label: &str, arrivals: &[arrivals::Arrival]| {
        let tally = Arc::new(Tally::default());
        let _following = progress.follow(format!("{label}, {}", arm.title()), arrivals.len(), tally.clone());
        drive::segment(places, catalogue, arm, (round, label), arrivals, &tally).await
    };

    let warm_up = one(Arm::Adumbra, 0, "warm-up", &draw(0, schedule.warm_up_s)).await;
    let mut segments = Vec::new();
    for round in 0..schedule.rounds {
        let arrivals = draw(round + 1, Schedule::segment_s(progress.left_s(), schedule.rounds - round));
        let label = format!("round {} of {}", round + 1, schedule.rounds);
        for arm in Arm::order(round) {
            segments.push(one(arm, round, &label, &arrivals).await);
            if let Some(name) = world.ended() {
                return Err(name);
            }
            // Health checks and idle connections settle between arms.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok((warm_up, segments))
}

async fn report(
    options: &Options,
    progress: Progress,
    schedule: Schedule,
    places: Places,
    warm_up: &Segment,
    segments: &[Segment],
) -> Report {
    let [private, public] = places.services;
    let (private, public) = (fetch_json(private, "/stats").await, fetch_json(public, "/stats").await);
    let books = Books::read([&private, &public]);
    let everything = || std::iter::once(warm_up).chain(segments).flat_map(|segment| &segment.records);
    let failures =
        everything().filter_map(|record| Some(format!("{}: {}", record.booked_as, record.failure.as_ref()?)));
    Report {
        arms: Arm::ALL.into_iter().map(|arm| result::summarise(arm, segments, &books)).collect(),
        speeds: result::speeds(segments, &books),
        seed: options.seed,
        rounds: schedule.rounds,
        seconds: progress.elapsed_s(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        model: fetch_json(places.admin, "/status").await["model"].take(),
        failures: failures.take(5).collect(),
        warm_up: (warm_up.records.len(), warm_up.records.iter().filter(|record| record.failure.is_some()).count()),
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn a_schedule_fits_its_time() {
        for (seconds, rounds) in [(20.0, 1), (30.0, 1), (60.0, 2), (140.0, 4), (600.0, 4)] {
            let schedule = Schedule::new(seconds);
            assert_eq!(schedule.rounds, rounds, "{seconds}");
            let segment = Schedule::segment_s(seconds - schedule.warm_up_s, rounds);
            let total = schedule.warm_up_s + rounds as f64 * 4.0 * (segment + super::TAIL_S);
            assert!((total - seconds).abs() < 1.0, "{seconds}: {total}");
        }
    }
}
