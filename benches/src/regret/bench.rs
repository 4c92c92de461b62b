//! The command line of the regret bench.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::compare::{Comparison, Verdict};
use super::{World, picture, report, synthetic};
use crate::arguments::as_typed;
use crate::machine::Machine;
use crate::trace;

/// Replays jobs in virtual time through fixed rules, balancers, adumbra and a clairvoyant, and says what each costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "regret")]
struct Options {
    /// A trace to replay (see benches/src/trace.rs for its columns); may be given again. Without one, a synthetic one
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// What is assumed of networks, speeds and link (benches/worlds/default.toml documents it)
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Work that arrives, as a share of what home can do; may be given again
    #[arg(long, value_name = "SHARE", default_values_t = [0.9])]
    load: Vec<f64>,
    /// Runs, each with other jobs of the trace and other draws
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Jobs of one run
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    jobs: u32,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a picture of each trace into this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Run these arms only, besides the clairvoyant
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Runs at once [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs the bench. Fails if anything cannot be read, or if an arm beats the clairvoyant.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(verdicts) => guard(&verdicts),
        Err(error) => {
            eprintln!("regret: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Vec<Verdict>, Box<dyn Error>> {
    if let Some(load) = options.load.iter().find(|load| !(load.is_finite() && **load > 0.0)) {
        return Err(format!("--load {load}: a load is above 0").into());
    }
    let world = options.world.as_deref().map_or_else(|| Ok(World::default()), |path| World::read(&as_typed(path)))?;
    let machine = Machine::read();
    let mut traces = Vec::new();
    for path in &options.trace {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        traces.push((name, trace::read(&as_typed(path), f64::MIN_POSITIVE..=f64::MAX)?));
    }
    if traces.is_empty() {
        traces.push(("synthetic".to_owned(), synthetic::trace(4 * options.jobs as usize)));
    }
    eprintln!("machine  {}, {} cores, {}; virtual time", machine.processor, machine.cores, machine.kernel);
    eprintln!("commit   {} · {}\ncommand  {}", machine.commit, machine.date, machine.command);
    let comparison = Comparison {
        world: &world,
        traces: &traces,
        loads: &options.load,
        seeds: options.seeds,
        jobs: options.jobs as usize,
        only: &options.only,
        threads: options.threads.unwrap_or(machine.cores),
    };
    let verdicts = comparison.run(|done, all| eprint!("\r{done} of {all} runs "));
    eprintln!();
    verdicts.iter().for_each(|verdict| eprint!("{}", report::table(verdict)));
    if let Some(path) = &options.json {
        std::fs::write(as_typed(path), serde_json::to_vec_pretty(&report::json(&verdicts, &machine))?)?;
    }
    if let Some(folder) = &options.pictures {
        let folder = as_typed(folder);
        std::fs::create_dir_all(&folder)?;
        for (name, _) in &traces {
            let of_trace: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.trace == *name).collect();
            std::fs::write(folder.join(format!("{name}.svg")), picture::draw(name, &of_trace))?;
        }
    }
    Ok(verdicts)
}

/// Nobody can beat one who knows everything by more than a better price would explain: whoever does shows a fault of the bench.
fn guard(verdicts: &[Verdict]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for verdict in verdicts {
        for row in verdict.impossible() {
            eprintln!(
                "regret: on {} `{}` beats the clairvoyant ({:.4} of its cost); that is a fault of the bench, not a result",
                verdict.name, row.name, row.regret
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}
