//! What came of it, for people and for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::arm::{Arm, Target};
use super::{Arguments, Visit};
use crate::machine::Machine;
use crate::statistics::Summary;

/// The most that shadows may cost, as a ratio of the 99th percentiles.
const TAX_MOST: f64 = 1.05;
/// The share of jobs that must have had a shadow beside them for an arm to count.
const OVERLAP_LEAST: f64 = 0.5;

/// By how much more than without shadows the sidecar's memory may grow from the first visit to the last. A job that was kept,
/// or an endless answer that was, shows in it within seconds.
const GROWTH_MOST_MIB: f64 = 2.0;

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Where and from what.
    pub machine: &'a Machine,
    /// How it was called.
    pub arguments: &'a Arguments,
    /// Jobs per second of every arm.
    pub per_second: f64,
    /// The arms with their visits, the reference first.
    pub arms: &'a [(Arm, Vec<Visit>)],
    /// Arms that could not be started, and why.
    pub lacking: &'a [(&'static str, String)],
}

/// One arm's figures.
struct Figures {
    target: Target,
    p50_us: f64,
    p99_us: f64,
    p50_ratio: Summary,
    p99_ratio: Summary,
    errors: u64,
    overlapped: f64,
    rss_mib: [f64; 2],
}

impl Run<'_> {
    fn figures(&self) -> Vec<Figures> {
        let Some((_, off)) = self.arms.first() else { return Vec::new() };
        let of = |(arm, visits): &(Arm, Vec<Visit>)| figures(arm.target, visits, off);
        self.arms.iter().filter_map(of).collect()
    }
}

fn figures(target: Target, visits: &[Visit], off: &[Visit]) -> Option<Figures> {
    let each = |visits: &[Visit], figure: fn(&Visit) -> f64| visits.iter().map(figure).collect::<Vec<_>>();
    let ratio = |figure| Summary::of_ratios(&each(visits, figure), &each(off, figure));
    let sum = |figure: fn(&Visit) -> u64| visits.iter().map(figure).sum::<u64>();
    let mib = |visit: &Visit| visit.resident_bytes as f64 / 1_048_576.0;
    Some(Figures {
        target,
        p50_us: Summary::of(each(visits, |visit| visit.p50_us))?.median,
        p99_us: Summary::of(each(visits, |visit| visit.p99_us))?.median,
        p50_ratio: ratio(|visit| visit.p50_us)?,
        p99_ratio: ratio(|visit| visit.p99_us)?,
        errors: sum(|visit| visit.errors),
        overlapped: sum(|visit| visit.overlapped) as f64 / sum(|visit| visit.jobs).max(1) as f64,
        rss_mib: [mib(visits.first()?), mib(visits.last()?)],
    })
}

/// The report for people.
#[must_use]
pub fn text(run: &Run<'_>) -> String {
    let mut out = String::new();
    write(&mut out, run).expect("a String takes all text");
    out
}

fn write(out: &mut String, run: &Run<'_>) -> std::fmt::Result {
    let machine = run.machine;
    let Arguments { rounds, seconds, work, .. } = run.arguments;
    writeln!(out, "\nmachine  {}, {} cores, {}", machine.processor, machine.cores, machine.kernel)?;
    writeln!(out, "commit   {} · {}\ncommand  {}", machine.commit, machine.date, machine.command)?;
    writeln!(
        out,
        "shape    {rounds} rounds of {seconds} s, {:.0} jobs/s, {work} rounds of hashing a job",
        run.per_second
    )?;
    for (name, why) in run.lacking {
        writeln!(out, "LACKING  {name}: {why}")?;
    }
    writeln!(out, "\nMedians of the rounds; ratios to `off` within a round, median [interval].\n")?;
    let heads = ["p50 µs", "p99 µs", "p50 ratio", "p99 ratio", "errors", "overlap", "RSS MiB"];
    let [p50, p99, p50_ratio, p99_ratio, errors, overlap, rss] = heads;
    writeln!(out, "{:<8} {p50:>8} {p99:>8} {p50_ratio:>21} {p99_ratio:>21} {errors:>7} {overlap:>8} {rss:>14}", "")?;
    let all = run.figures();
    for arm in &all {
        let [first, last] = arm.rss_mib;
        writeln!(
            out,
            "{:<8} {:>8.0} {:>8.0} {:>21} {:>21} {:>7} {:>6.0} % {first:>5.1} -> {last:>5.1}",
            arm.target.name(),
            arm.p50_us,
            arm.p99_us,
            interval(arm.p50_ratio),
            interval(arm.p99_ratio),
            arm.errors,
            arm.overlapped * 100.0,
        )?;
    }
    let lag = run.arms.iter().flat_map(|(_, visits)| visits).map(|visit| visit.lag_p99_us).fold(0.0, f64::max);
    writeln!(out, "\nthe generator was late by {lag:.0} µs at its p99, in the worst visit\n\nBudget\n")?;
    let noise = all.iter().find(|arm| arm.target == Target::Off2).map(|arm| arm.p99_ratio);
    let usual = all.iter().filter(|arm| !arm.target.shadows()).map(Figures::growth_mib).fold(0.0, f64::max);
    for arm in all.iter().filter(|arm| arm.target.shadows()) {
        writeln!(out, "{:<8} {}; {}", arm.target.name(), verdict(arm, noise), of_memory(arm, usual))?;
    }
    Ok(())
}

impl Figures {
    fn growth_mib(&self) -> f64 {
        self.rss_mib[1] - self.rss_mib[0]
    }
}

/// Whether an arm's memory is flat, in words; `usual` is what an arm without shadows grows by.
fn of_memory(arm: &Figures, usual: f64) -> String {
    let more = arm.growth_mib() - usual;
    if more <= GROWTH_MOST_MIB {
        format!("memory grows by {:.1} MiB, without shadows by {usual:.1}: pass", arm.growth_mib())
    } else {
        format!("memory grows by {more:.1} MiB more than without shadows, at most {GROWTH_MOST_MIB} is wanted: MISS")
    }
}

/// Whether an arm is within its budget, in words.
fn verdict(arm: &Figures, noise: Option<Summary>) -> String {
    if arm.errors > 0 {
        return format!("MISS: {} jobs were not answered as they should be", arm.errors);
    }
    if arm.overlapped < OVERLAP_LEAST {
        return format!("does not count: only {:.0} % of its jobs had a shadow", arm.overlapped * 100.0);
    }
    let ratio = arm.p99_ratio.median;
    match noise {
        _ if ratio <= TAX_MOST => format!("pass: p99 is {ratio:.3} of what it is without shadows"),
        Some(noise) if ratio <= noise.high => {
            format!("pass: p99 is {ratio:.3}, and without shadows it is up to {:.3} of itself", noise.high)
        }
        _ => format!("MISS: p99 is {ratio:.3} of what it is without shadows, at most {TAX_MOST} is wanted"),
    }
}

/// The report for programs.
#[must_use]
pub fn json(run: &Run<'_>) -> Value {
    let arms: Map<String, Value> =
        run.figures().iter().map(|arm| (arm.target.name().to_owned(), object(arm))).collect();
    let lacking: Map<String, Value> = run.lacking.iter().map(|(name, why)| ((*name).to_owned(), json!(why))).collect();
    let machine = run.machine;
    json!({
        "machine": { "processor": machine.processor, "cores": machine.cores, "commit": machine.commit, "date": machine.date },
        "command": machine.command,
        "rate_per_second": run.per_second,
        "arms": arms,
        "lacking": lacking,
    })
}

fn object(arm: &Figures) -> Value {
    let ratio = |ratio: Summary| json!({ "median": ratio.median, "low": ratio.low, "high": ratio.high });
    json!({
        "p50_us": arm.p50_us,
        "p99_us": arm.p99_us,
        "p50_ratio": ratio(arm.p50_ratio),
        "p99_ratio": ratio(arm.p99_ratio),
        "errors": arm.errors,
        "rss_mib": arm.rss_mib[1],
        "rss_mib_first": arm.rss_mib[0],
        "overlapped": arm.overlapped,
    })
}

fn interval(summary: Summary) -> String {
    format!("{:.3} [{:.3}, {:.3}]", summary.median, summary.low, summary.high)
}
