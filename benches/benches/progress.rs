//! What shadows buy a service that shows nothing, one that is seen reading, and one that says how far it is: real jobs in
//! virtual time, the same jobs and the same draws for every arm.
//!
//! ```text
//! cargo bench -p benches --bench progress -- TRACE...
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use benches::machine::Machine;
use benches::replay::{self, Arm, Came, Odds};
use benches::statistics::Summary;
use benches::trace::{self, TraceError, Traced};
use clap::Parser;

/// Replays traces of jobs and says what each kind of progress is worth.
#[derive(Debug, Parser)]
struct Options {
    /// Traces to replay; see `benches/src/trace.rs` for their columns.
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Jobs of one run.
    #[arg(long, default_value_t = 2500)]
    jobs: usize,
    /// Runs, each with other jobs of the trace and other draws.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The load of the private slots, were all jobs to run there.
    #[arg(long, default_value_t = 0.9)]
    load: f64,
    /// How much jobs of one class differ in how they take to the other network: a standard deviation in log time.
    #[arg(long, default_values_t = [0.0, 0.5])]
    ratio_sigma: Vec<f64>,
    /// The share of runs that are six times as slow as they should be.
    #[arg(long, default_value_t = 0.0)]
    stuck: f64,
    /// The longest job that is replayed, seconds.
    #[arg(long, default_value_t = 600.0)]
    longest: f64,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let machine = Machine::read();
    println!("machine  {}, {} cores, {}; virtual time", machine.processor, machine.cores, machine.kernel);
    println!("commit   {} · {}\ncommand  {}", machine.commit, machine.date, machine.command);
    match options.traces.iter().try_for_each(|path| replay_one(&options, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn replay_one(options: &Options, path: &std::path::Path) -> Result<(), TraceError> {
    let all = trace::read(&benches::arguments::as_typed(path), 0.1..=options.longest)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for sigma in &options.ratio_sigma {
        println!(
            "\n{name}: {} runs of {} jobs, load {}, {} % of runs stuck, ratio from job to job sd {sigma}",
            options.seeds,
            options.jobs,
            options.load,
            100.0 * options.stuck
        );
        println!("arm          cost of spill [95 % interval]   shadowed   moved  restarted  slots used by shadows");
        let mut came: Vec<Vec<Came>> = vec![Vec::new(); Arm::ALL.len()];
        for seed in 1..=options.seeds {
            let jobs = some(&all, seed, options);
            let odds = Odds::draw(seed, jobs.iter().map(|job| job.class), *sigma, options.stuck);
            for (arm, came) in Arm::ALL.into_iter().zip(&mut came) {
                came.push(replay::run(arm, &jobs, &odds));
            }
        }
        let costs = |arm: Arm| -> Vec<f64> {
            let place = Arm::ALL.iter().position(|other| *other == arm).expect("it is one of all");
            came[place].iter().map(|came| came.cost).collect()
        };
        for (arm, of_arm) in Arm::ALL.into_iter().zip(&came) {
            let Some(cost) = Summary::of_ratios(&costs(arm), &costs(Arm::Spill)) else { continue };
            let mean = |of: fn(&Came) -> f64| 100.0 * of_arm.iter().map(of).sum::<f64>() / of_arm.len() as f64;
            println!(
                "{:<12} {:.3} [{:.3}, {:.3}] {:>19.1} % {:>5.1} % {:>8.1} % {:>10.2} %",
                format!("{arm:?}").to_lowercase(),
                cost.median,
                cost.low,
                cost.high,
                mean(|came| came.shadowed),
                mean(|came| came.moved),
                mean(|came| came.restarted),
                mean(|came| came.shadow_share),
            );
        }
        let against = |one: Arm, other: Arm| {
            let Some(ratio) = Summary::of_ratios(&costs(one), &costs(other)) else { return };
            let saved = |ratio: f64| 100.0 * (1.0 - ratio);
            println!(
                "{one:?} saves {:+.1} % [{:+.1}, {:+.1}] of the cost of {other:?} (interval holds {:.0} %)",
                saved(ratio.median),
                saved(ratio.high),
                saved(ratio.low),
                100.0 * ratio.coverage
            );
        };
        against(Arm::Opaque, Arm::Unshadowed);
        against(Arm::Reading, Arm::Unshadowed);
        against(Arm::Watched, Arm::Unshadowed);
        against(Arm::Showing, Arm::Watched);
        against(Arm::Showing, Arm::Unshadowed);
    }
    Ok(())
}

/// A stretch of the trace, with its arrivals drawn out or in until they make the load.
fn some(all: &[Traced], seed: u64, options: &Options) -> Vec<Traced> {
    let most = all.len().saturating_sub(options.jobs);
    let from = if options.seeds > 1 { most * (seed as usize - 1) / (options.seeds as usize - 1) } else { 0 };
    let mut jobs: Vec<Traced> = all.iter().skip(from).take(options.jobs).cloned().collect();
    let (first_s, last_s) = (jobs[0].arrival_s, jobs[jobs.len() - 1].arrival_s);
    let work_s: f64 = jobs.iter().map(|job| job.service_s).sum();
    let wanted_s = work_s / (options.load * f64::from(replay::PRIVATE_SLOTS));
    let stretch = wanted_s / (last_s - first_s).max(1e-3);
    jobs.iter_mut().for_each(|job| job.arrival_s = (job.arrival_s - first_s) * stretch);
    jobs
}
