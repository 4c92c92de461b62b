//! A finished run as text for people; [`json`] has the same for programs.

use std::fmt::{self, Write};

use crate::budget;
use crate::figures::{Figures, Measure, REFERENCE, TWINS};
use crate::machine::Machine;
use crate::pin::Cores;
use crate::rounds::{HELD_CONNECTIONS, Series};
use crate::statistics::Summary;

pub mod json;

/// More than this share of the proxy's core taken by others, and the machine was not quiet.
const QUIET_SHARE: f64 = 0.05;

/// What the report is about.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Where and from what.
    pub machine: &'a Machine,
    /// Who ran where.
    pub cores: Cores,
    /// Rounds, seconds of each visit, connections.
    pub shape: [u32; 3],
    /// Requests per second of the open loop.
    pub rate_per_second: f64,
    /// Programs that are no arms: backend and load generator, with their versions.
    pub others: &'a [(&'static str, String)],
    /// Arms that were asked for and are not there, and why.
    pub lacking: &'a [(String, String)],
    /// The measurements.
    pub figures: Figures<'a>,
}

/// The whole report.
///
/// # Errors
/// None in practice: a `String` takes all text.
pub fn text(run: &Run<'_>) -> Result<String, fmt::Error> {
    let mut out = String::new();
    head(&mut out, run)?;
    table(&mut out, run)?;
    ratios(&mut out, run)?;
    noise(&mut out, run)?;
    targets(&mut out, run)?;
    Ok(out)
}

fn head(out: &mut String, run: &Run<'_>) -> fmt::Result {
    let machine = run.machine;
    let [rounds, seconds, connections] = run.shape;
    writeln!(out, "\nmachine  {}, {} cores, {} MiB", machine.processor, machine.cores, machine.memory_mib)?;
    writeln!(out, "kernel   {}", machine.kernel)?;
    writeln!(out, "commit   {} · {}", machine.commit, machine.date)?;
    writeln!(out, "command  {}", machine.command)?;
    let Cores { proxy, load } = run.cores;
    if run.cores.apart() {
        writeln!(out, "cores    proxy on {}; backend and load generator share {}", proxy.0, load.0)?;
    } else {
        writeln!(out, "cores    all on {}: there is but one, so rates and latencies mean little", proxy.0)?;
    }
    writeln!(out, "shape    {rounds} rounds of {seconds} s, {connections} connections, HTTP/1.1, 1 KiB bodies")?;
    for (role, version) in run.others {
        writeln!(out, "{role:<8} {version}")?;
    }
    for one in run.figures.arms() {
        writeln!(out, "arm      {}: {}", one.arm.name, one.arm.version)?;
    }
    for (name, why) in run.lacking {
        writeln!(out, "LACKING  {name}: {why}")?;
    }
    Ok(())
}

fn table(out: &mut String, run: &Run<'_>) -> fmt::Result {
    let rate = run.rate_per_second;
    writeln!(
        out,
        "\nMedians of the rounds. Closed loop: CPU, req/s, share of the core. Open loop at {rate:.0} req/s: p50, p99, CPU."
    )?;
    writeln!(out, "Memory: before load; and for each of {HELD_CONNECTIONS} idle keep-alive connections.\n")?;
    writeln!(
        out,
        "{:<12} {:>10} {:>9} {:>7} {:>9} {:>9} {:>12} {:>8} {:>9}",
        "", "CPU µs/req", "req/s", "core", "p50 µs", "p99 µs", "CPU at rate", "RSS MiB", "KiB/conn"
    )?;
    for one in run.figures.arms() {
        let name = &one.arm.name;
        let cell = |measure, digits| number(run.figures.of(name, measure).map(|got| got.median), digits);
        writeln!(
            out,
            "{name:<12} {:>10} {:>9} {:>7} {:>9} {:>9} {:>12} {:>8} {:>9}{}",
            cell(Measure::Cpu, 2),
            cell(Measure::Rate, 0),
            core_share(run, name),
            cell(Measure::P50, 0),
            cell(Measure::P99, 0),
            cell(Measure::CpuAtRate, 2),
            number(run.figures.resident_mib(name), 1),
            number(run.figures.connection_kib(name), 2),
            mark(one)
        )?;
    }
    Ok(())
}

/// How much of its core a proxy used in the closed loop: well below all of it, the load was the limit and not the proxy.
fn core_share(run: &Run<'_>, name: &str) -> String {
    let median = |measure| run.figures.of(name, measure).map(|got| got.median);
    let share = median(Measure::Cpu).zip(median(Measure::Rate)).map(|(us, rate)| us * rate / 1e6);
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn ratios(out: &mut String, run: &Run<'_>) -> fmt::Result {
    writeln!(out, "\nRatios to {REFERENCE} within each round: median [interval].\n")?;
    writeln!(out, "{:<12} {:<24} {:<24} {:<24}", "", "CPU", "CPU at rate", "p99")?;
    for one in run.figures.arms().filter(|one| one.arm.name != REFERENCE) {
        let name = &one.arm.name;
        let cell = |measure| interval(run.figures.ratio(name, REFERENCE, measure), 3);
        let cells = [Measure::Cpu, Measure::CpuAtRate, Measure::P99].map(cell);
        writeln!(out, "{name:<12} {:<24} {:<24} {:<24}", cells[0], cells[1], cells[2])?;
    }
    let some = run.figures.arms().find_map(|one| run.figures.of(&one.arm.name, Measure::Rate));
    if let Some(some) = some.filter(|some| some.coverage > 0.0) {
        writeln!(out, "An interval holds the median with {:.1} % (order statistics).", some.coverage * 100.0)?;
    }
    Ok(())
}

fn noise(out: &mut String, run: &Run<'_>) -> fmt::Result {
    writeln!(out, "\nNoise: the same thing twice (A/A), and what else went on.\n")?;
    for (one, twin) in TWINS {
        let cell = |measure| interval(run.figures.ratio(twin, one, measure), 3);
        let (cpu, rate, p99) = (cell(Measure::Cpu), cell(Measure::Rate), cell(Measure::P99));
        writeln!(out, "{twin}/{one}: CPU {cpu}, req/s {rate}, p99 {p99}")?;
    }
    if let Some(share) = run.figures.foreign_share() {
        let percent = [share.median, share.low, share.high].map(|share| share * 100.0);
        writeln!(
            out,
            "the proxy's core did something else for {:.1} % of the time [{:.1} to {:.1}]",
            percent[0], percent[1], percent[2]
        )?;
        if share.median > QUIET_SHARE {
            writeln!(
                out,
                "NOT QUIET: with that much beside them, take no figure here for more than a hint; run again"
            )?;
        }
    }
    if let Some(lag) = run.figures.worst_lag_us() {
        writeln!(out, "the open loop's generator was late by {lag:.0} µs at its p99, in the worst visit")?;
    }
    Ok(())
}

fn targets(out: &mut String, run: &Run<'_>) -> fmt::Result {
    writeln!(out, "\nBudget\n")?;
    for row in budget::rows(&run.figures) {
        let got = interval(row.got, 2);
        let doubt = row.doubt().map_or_else(String::new, |why| format!(" ({why})"));
        let target = format!("≤ {:.1} {}", row.target, row.unit);
        writeln!(out, "{:<8} {:<42} {target:<11} got {got} {}{doubt}", row.verdict().word(), row.what, row.unit)?;
    }
    if let Some(one) = run.figures.arms().find(|one| one.arm.name == "adumbra" && !mark(one).is_empty()) {
        writeln!(out, "adumbra did not come through cleanly, so no row counts:{}", mark(one))?;
    }
    writeln!(out, "{}", budget::ELSEWHERE)
}

fn mark(one: &Series) -> String {
    match (one.errors(), &one.failure) {
        (_, Some(why)) => format!("  FAILED: {why}"),
        (0, None) => String::new(),
        (errors, None) => format!("  {errors} ERRORS: do not trust this row"),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn interval(summary: Option<Summary>, digits: usize) -> String {
    match summary {
        Some(got) if got.low < got.high => {
            format!("{:.digits$} [{:.digits$}, {:.digits$}]", got.median, got.low, got.high)
        }
        other => number(other.map(|got| got.median), digits),
    }
}
