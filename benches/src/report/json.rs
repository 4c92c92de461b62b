//! The figures for programs: `cpu_us_per_request.<name>` and so on, one object.

use serde_json::{Map, Value, json};

use crate::budget;
use crate::figures::{Figures, Measure, REFERENCE, TWINS};
use crate::report::Run;
use crate::statistics::Summary;

/// The whole object. A figure that was not measured has no key.
#[must_use]
pub fn value(run: &Run<'_>) -> Value {
    let figures = &run.figures;
    let median = |measure| by_name(figures, |name| figures.of(name, measure).map(|got| json!(round(got.median))));
    let ratio = |measure| by_name(figures, |name| figures.ratio(name, REFERENCE, measure).map(interval));
    let ratio_median =
        |measure| by_name(figures, |name| figures.ratio(name, REFERENCE, measure).map(|got| json!(round(got.median))));
    let lacking: Vec<&str> = run.lacking.iter().map(|(name, _)| name.as_str()).collect();
    let reasons: Map<String, Value> = run.lacking.iter().map(|(name, why)| (name.clone(), json!(why))).collect();
    json!({
        "machine": machine(run),
        "rate_per_second": run.rate_per_second,
        "cpu_us_per_request": median(Measure::Cpu),
        "cpu_us_per_request_at_rate": median(Measure::CpuAtRate),
        "rps": median(Measure::Rate),
        "p50_us": median(Measure::P50),
        "p99_us": median(Measure::P99),
        "rss_mib": by_name(figures, |name| figures.resident_mib(name).map(|mib| json!(round(mib)))),
        "rss_per_connection_kib": by_name(figures, |name| figures.connection_kib(name).map(|kib| json!(round(kib)))),
        "cpu_ratio": ratio_median(Measure::Cpu),
        "cpu_ratio_interval": ratio(Measure::Cpu),
        "cpu_ratio_at_rate": ratio_median(Measure::CpuAtRate),
        "p99_ratio": ratio_median(Measure::P99),
        "p99_ratio_interval": ratio(Measure::P99),
        "errors": by_name(figures, |name| figures.arms().find(|one| one.arm.name == name).map(|one| json!(one.errors()))),
        "a_a": twins(figures),
        "budget": budget(figures),
        "foreign_share": figures.foreign_share().map(interval),
        "generator_lag_p99_us": figures.worst_lag_us(),
        "lacking": lacking,
        "lacking_reasons": reasons,
    })
}

fn machine(run: &Run<'_>) -> Value {
    let machine = run.machine;
    let [rounds, seconds, connections] = run.shape;
    let versions: Map<String, Value> = run
        .figures
        .arms()
        .map(|one| (one.arm.name.clone(), json!(one.arm.version)))
        .chain(run.others.iter().map(|(role, version)| ((*role).to_owned(), json!(version))))
        .collect();
    json!({
        "processor": machine.processor,
        "cores": machine.cores,
        "memory_mib": machine.memory_mib,
        "kernel": machine.kernel,
        "commit": machine.commit,
        "date": machine.date,
        "command": machine.command,
        "proxy_core": run.cores.proxy.0,
        "load_core": run.cores.load.0,
        "rounds": rounds,
        "seconds": seconds,
        "connections": connections,
        "versions": versions,
    })
}

fn twins(figures: &Figures<'_>) -> Value {
    let measured = TWINS.iter().filter_map(|(one, twin)| {
        let cpu = figures.ratio(twin, one, Measure::Cpu)?;
        let rate = figures.ratio(twin, one, Measure::Rate)?;
        let p99 = figures.ratio(twin, one, Measure::P99).map(interval);
        let ratios = json!({ "cpu_ratio": interval(cpu), "rps_ratio": interval(rate), "p99_ratio": p99 });
        Some(((*one).to_owned(), ratios))
    });
    Value::Object(measured.collect())
}

fn budget(figures: &Figures<'_>) -> Value {
    let row = |row: budget::Row| {
        json!({
            "what": row.what,
            "target": row.target,
            "unit": row.unit,
            "got": row.got.map(interval),
            "verdict": row.verdict().word().to_lowercase(),
            "doubt": row.doubt(),
        })
    };
    budget::rows(figures).into_iter().map(row).collect()
}

fn by_name(figures: &Figures<'_>, figure: impl Fn(&str) -> Option<Value>) -> Value {
    let named = |name: &str| Some((name.to_owned(), figure(name)?));
    Value::Object(figures.arms().filter_map(|one| named(&one.arm.name)).collect())
}

fn interval(got: Summary) -> Value {
    let [median, low, high] = [got.median, got.low, got.high].map(round);
    json!({ "median": median, "low": low, "high": high, "coverage": round(got.coverage) })
}

/// Digits beyond these are noise.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
