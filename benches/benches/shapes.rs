//! `cargo bench -p benches --bench shapes [-- ROUNDS]`: what a request costs in each runtime shape that adumbra could have.
//!
//! Decision record 2 rests on it. The same small proxy (`src/bin/shape.rs`) with two workers, free to run on all cores, under
//! wrk: on connections that are kept, and on one connection for each request, which is where accepting weighs. Arms are
//! visited in turn; `handed2` is `handed` again, and what differs between the two is noise. Ratios are to `handed`,
//! within a round.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use benches::accounting::CpuTime;
use benches::child::{self, Running};
use benches::machine::Machine;
use benches::open_loop::{self, Load};
use benches::peers::await_answer;
use benches::pin::{self, Cores};
use benches::site::{Own, Site, free_address};
use benches::statistics::Summary;
use benches::wrk::{Wrk, request_bytes};
use benches::{backend, site};

const SHAPES: [(&str, &str); 5] = [
    ("handed", "handed"),
    ("reuseport", "reuseport"),
    ("shared", "shared"),
    ("stealing", "stealing"),
    ("handed2", "handed"),
];
const WORKERS: &str = "2";
const CONNECTIONS: usize = 64;
const SECONDS: u32 = 2;

/// What is told of each arm.
const MEASURES: [&str; 4] = ["CPU kept", "CPU closed", "p50 kept", "p99 kept"];

type Samples = BTreeMap<(&'static str, &'static str), Vec<f64>>;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(6);
    let own = Own {
        tcp_relay: env!("CARGO_BIN_EXE_tcp_relay").into(),
        bare_hyper: env!("CARGO_BIN_EXE_bare_hyper").into(),
        tiny_backend: env!("CARGO_BIN_EXE_tiny_backend").into(),
    };
    // Before this process is kept on one core, which is all it would see.
    let machine = Machine::read();
    site::lift_file_limit()?;
    let cores = Cores::of_this_process()?;
    let site = Site::new(cores, CONNECTIONS, "target/bench-tools".into(), own)?;
    let wrk = Wrk {
        program: child::find("wrk").ok_or("wrk is not installed: `apt-get install wrk`")?,
        core: cores.load,
        connections: CONNECTIONS,
        directory: site.path().to_owned(),
    };
    let backend = backend::start(&site)?;
    let mut arms = Vec::new();
    for (name, shape) in SHAPES {
        let address = free_address()?;
        let mut command = child::program(Path::new(env!("CARGO_BIN_EXE_shape")));
        command.args([shape, WORKERS, &address.to_string(), &backend.address.to_string()]);
        let mut running = Running::start_anywhere(&mut command, site.folder(name)?.join("output"))?;
        await_answer(address, &mut running)?;
        arms.push((name, address, running));
    }
    pin::stay_on(cores.load)?;
    let mut samples = Samples::new();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for at in 0..arms.len() {
            let (name, address, running) = &arms[(at + round) % arms.len()];
            for (measure, headers) in [("CPU kept", &[][..]), ("CPU closed", &[("Connection", "close")][..])] {
                wrk.run_with(*address, 1, headers)?;
                let before = CpuTime::of(running.pid())?;
                let counted = wrk.run_with(*address, SECONDS, headers)?;
                let spent = CpuTime::of(running.pid())?.since(&before);
                if counted.bad_status > 0 || counted.requests == 0 {
                    return Err(format!("{name} did not answer as it should").into());
                }
                let us = spent.as_secs_f64() * 1e6 / counted.requests as f64;
                samples.entry((name, measure)).or_default().push(us);
            }
            let request = request_bytes(*address);
            let load = Load {
                target: *address,
                request: &request,
                expected: None,
                connections: CONNECTIONS,
                rate_per_second: 10_000.0,
                duration: Duration::from_secs(u64::from(SECONDS)),
            };
            let latency = open_loop::run(&load)?.latency_ns;
            for (measure, quantile) in [("p50 kept", 0.5), ("p99 kept", 0.99)] {
                samples.entry((name, measure)).or_default().push(latency.value_at_quantile(quantile) as f64 / 1e3);
            }
        }
    }
    print(&machine, &samples, rounds);
    Ok(())
}

fn print(machine: &Machine, samples: &Samples, rounds: usize) {
    println!("\nmachine  {}, {} cores, {}", machine.processor, machine.cores, machine.kernel);
    println!("commit   {} · {}\ncommand  {}", machine.commit, machine.date, machine.command);
    println!("shape    {rounds} rounds of {SECONDS} s, {CONNECTIONS} connections, {WORKERS} workers on all cores");
    println!("\nµs: CPU for each request on kept connections, on one connection each; latency at 10,000 req/s.");
    println!("Median, and the ratio to `handed` within a round with its interval.\n");
    for (name, _) in SHAPES {
        print!("{name:<10}");
        for measure in MEASURES {
            let (these, to) = (&samples[&(name, measure)], &samples[&("handed", measure)]);
            if let (Some(us), Some(ratio)) = (Summary::of(these.iter().copied()), Summary::of_ratios(these, to)) {
                let (median, low, high) = (ratio.median, ratio.low, ratio.high);
                print!("  {measure} {:>7.1} = {median:.2} [{low:.2}, {high:.2}]", us.median);
            }
        }
        println!();
    }
}
