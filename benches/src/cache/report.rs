//! What the cache bench prints, and the same as JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::arm::Which;
use super::{BODIES, Series, Visit};
use crate::machine::Machine;
use crate::statistics::Summary;

/// The most that a hit may cost, in hits of nginx.
const TARGET: f64 = 1.0;

fn values(series: &Series, place: usize, figure: impl Fn(&Visit) -> f64) -> Vec<f64> {
    series.visits[place].iter().map(figure).collect()
}

/// CPU time of one arm over another's, round by round.
fn ratio(all: &[Series], this: Which, to: Which, place: usize) -> Option<Summary> {
    let cpu = |which| Some(values(all.iter().find(|series| series.which == which)?, place, |visit| visit.cpu_us));
    Summary::of_ratios(&cpu(this)?, &cpu(to)?)
}

fn shown(summary: Option<Summary>, digits: usize) -> String {
    summary
        .map_or_else(|| "-".to_owned(), |s| format!("{:.digits$} [{:.digits$}, {:.digits$}]", s.median, s.low, s.high))
}

/// The report.
#[must_use]
pub fn text(machine: &Machine, all: &[Series], load: &str) -> String {
    let mut out = format!(
        "{}, {} cores, {}, {} MiB; commit {}, {}\n{}\nload: {load}\n\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.memory_mib,
        machine.commit,
        machine.date,
        machine.command
    );
    let mut row = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a string takes all text");
        out.push('\n');
    };
    row(format_args!("| body | arm | CPU, µs per answer | answers/s | errors | else on its core |"));
    row(format_args!("|---|---|---|---|---|---|"));
    for (place, (name, _)) in BODIES.iter().enumerate() {
        for series in all {
            let of = |figure: fn(&Visit) -> f64| Summary::of(values(series, place, figure));
            let errors: u64 = series.visits[place].iter().map(|visit| visit.errors).sum();
            let foreign = of(|visit| visit.foreign_share * 100.0);
            row(format_args!(
                "| {name} | {} | {} | {} | {errors} | {} % |",
                series.which.name(),
                shown(of(|visit| visit.cpu_us), 1),
                shown(of(|visit| visit.per_second), 0),
                shown(foreign, 0)
            ));
        }
    }
    row(format_args!("\n| CPU per answer | 1KiB | 1MiB |\n|---|---|---|"));
    let of = |this, to| [0, 1].map(|place| shown(ratio(all, this, to, place), 2));
    for (what, this, to) in pairs() {
        let [small, large] = of(this, to);
        row(format_args!("| {what} | {small} | {large} |"));
    }
    for (place, (name, _)) in BODIES.iter().enumerate() {
        let Some(got) = ratio(all, Which::Adumbra, Which::Nginx, place) else { continue };
        let verdict = if got.median <= TARGET { "pass" } else { "MISS" };
        row(format_args!("\n{name}: {:.2} of nginx, target {TARGET:.1}: {verdict}", got.median));
    }
    out.push('\n');
    for series in all {
        writeln!(out, "{}: {}", series.which.name(), series.version).expect("a string takes all text");
    }
    out
}

fn pairs() -> [(&'static str, Which, Which); 4] {
    [
        ("adumbra / nginx", Which::Adumbra, Which::Nginx),
        ("adumbra from disk / nginx", Which::AdumbraDisk, Which::Nginx),
        ("nginx2 / nginx (noise)", Which::Nginx2, Which::Nginx),
        ("adumbra2 / adumbra (noise)", Which::Adumbra2, Which::Adumbra),
    ]
}

/// The figures.
#[must_use]
pub fn json(machine: &Machine, all: &[Series]) -> Value {
    let summary = |s: Option<Summary>| s.map(|s| json!({ "median": s.median, "low": s.low, "high": s.high }));
    let mut cpu = Map::new();
    let mut ratios = Map::new();
    for (place, (name, _)) in BODIES.iter().enumerate() {
        let of = |series: &Series| summary(Summary::of(values(series, place, |visit| visit.cpu_us)));
        let arms: Map<String, Value> = all.iter().map(|s| (s.which.name().to_owned(), json!(of(s)))).collect();
        cpu.insert((*name).to_owned(), arms.into());
        let of = |this, to| json!(summary(ratio(all, this, to, place)));
        let rows: Map<String, Value> =
            pairs().into_iter().map(|(what, this, to)| (what.to_owned(), of(this, to))).collect();
        ratios.insert((*name).to_owned(), rows.into());
    }
    json!({
        "machine": { "processor": machine.processor, "cores": machine.cores, "kernel": machine.kernel },
        "commit": machine.commit,
        "command": machine.command,
        "date": machine.date,
        "cpu_us_per_answer": cpu,
        "cpu_ratio": ratios,
        "target": TARGET,
    })
}
