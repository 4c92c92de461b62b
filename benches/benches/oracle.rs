//! How good the predictions are on real jobs: each is predicted when it comes, by what had ended by then, and judged when it
//! ends. The targets are 78 to 82 % of outcomes within the 80 % interval, with and without a second network.
//!
//! ```text
//! cargo bench -p benches --bench oracle -- [--json FILE] TRACE...
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use benches::machine::Machine;
use benches::oracle::{self, Score, Scores, Setting};
use benches::trace;
use clap::Parser;
use serde_json::{Value, json};

/// Predicts the jobs of traces and says how good that was.
#[derive(Debug, Parser)]
struct Options {
    /// Traces; see `benches/src/trace.rs` for their columns.
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Jobs of each trace, from its start.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// The longest job that counts, seconds.
    #[arg(long, default_value_t = 1e9)]
    longest: f64,
    /// Seeds what the trace cannot say of the second network.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The worlds: home alone; a second network whose ratio is fixed by class; one whose ratio differs from job to job. And home
/// alone without the corrections between fits, to see what those are worth.
const WORLDS: [(&str, bool, f64, bool); 4] = [
    ("uncorrected", false, 0.0, false),
    ("home", false, 0.0, true),
    ("two", true, 0.0, true),
    ("two-0.5", true, 0.5, true),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let machine = Machine::read();
    println!("machine  {}, {} cores, {}; virtual time", machine.processor, machine.cores, machine.kernel);
    println!("commit   {} · {}\ncommand  {}", machine.commit, machine.date, machine.command);
    println!("budget   0.78 to 0.82 of outcomes within the 80 % interval\n");
    println!("trace                    world        network       n  within80  within50  log RMSE  pinball  mean/true");
    let mut figures = serde_json::Map::new();
    for path in &options.traces {
        let mut jobs = match trace::read(path, 0.1..=options.longest) {
            Ok(jobs) => jobs,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        jobs.truncate(options.jobs);
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace(".csv", "").replace(".gz", "");
        let of_trace = WORLDS.map(|(world, two, ratio_sigma, corrected)| {
            let setting = Setting { seed: options.seed, two, ratio_sigma, corrected, ..Setting::DEFAULT };
            let scores = oracle::run(&jobs, setting);
            show(&name, world, &scores);
            (world.to_owned(), in_json(&scores))
        });
        figures.insert(name, Value::Object(of_trace.into_iter().collect()));
    }
    let Some(path) = options.json else { return ExitCode::SUCCESS };
    let report = json!({ "machine": machine.processor, "commit": machine.commit, "traces": figures });
    match std::fs::write(&path, format!("{report:#}\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}; give --json a file in a directory one can write to", path.display());
            ExitCode::FAILURE
        }
    }
}

fn show(trace: &str, world: &str, scores: &Scores) {
    for (network, score) in ["home", "other"].into_iter().zip(&scores.of.0).filter(|(_, score)| score.n > 0) {
        let within = |share: f64| if (0.78..=0.82).contains(&share) { ' ' } else { '!' };
        println!(
            "{trace:<24} {world:<12} {network:<7} {:>7}  {:>7.3}{} {:>8.3}  {:>8.3} {:>8.4}   {:>8.3}",
            score.n,
            score.coverage80(),
            within(score.coverage80()),
            score.coverage50(),
            score.log_rmse(),
            score.pinball(),
            score.mean_ratio(),
        );
    }
}

fn in_json(scores: &Scores) -> Value {
    let figures = |score: &Score| {
        json!({
            "n": score.n,
            "coverage80": score.coverage80(),
            "coverage50": score.coverage50(),
            "below_median": score.below_median(),
            "log_rmse": score.log_rmse(),
            "log_mae": score.log_mae(),
            "pinball": score.pinball(),
            "mean_ratio": score.mean_ratio(),
        })
    };
    let networks = scores.of.0.iter().filter(|score| score.n > 0).map(figures);
    json!({
        "all": figures(&scores.all),
        "networks": networks.collect::<Vec<_>>(),
        "refits": scores.refits,
        "swaps": scores.swaps,
        "refit_s": scores.refit_s,
    })
}
