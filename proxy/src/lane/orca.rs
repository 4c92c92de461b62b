//! What a replica says of one request's use, on its answer: ORCA's `endpoint-load-metrics`.
//!
//! It is a report of load, made for balancing; most of it is about the whole server (`cpu_utilization`, `rps_fractional`) and
//! says nothing of one request, so it is not read. What ORCA has for one request are costs under names of the service's
//! choice: `request_cost`, or `named_metrics`. Two of them mean something here, `cpu_seconds` and `memory_bytes`. The header
//! comes as `JSON {…}` or as `TEXT key=value, …`; the binary form is not read.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::Deserialize;

/// The header.
const HEADER: &str = "endpoint-load-metrics";
/// The name of a request's CPU seconds.
const CPU_SECONDS: &str = "cpu_seconds";
/// The name of the most memory it held.
const MEMORY_BYTES: &str = "memory_bytes";

/// What a replica says that a request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) cpu_s: Option<f64>,
    pub(crate) memory_bytes: Option<f64>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    request_cost: BTreeMap<String, f64>,
    #[serde(default)]
    named_metrics: BTreeMap<String, f64>,
}

/// What the answer's headers say. What makes no sense says nothing.
pub(crate) fn said(headers: &HeaderMap) -> Said {
    let Some(value) = headers.get(HEADER).and_then(|value| value.to_str().ok()) else { return Said::default() };
    let (format, report) = value.trim().split_once(' ').unwrap_or((value, ""));
    let (cpu_s, memory_bytes) = match format {
        "JSON" => match serde_json::from_str::<Report>(report) {
            Ok(report) => (report.cost(CPU_SECONDS), report.cost(MEMORY_BYTES)),
            Err(_) => (None, None),
        },
        "TEXT" => (text(report, CPU_SECONDS), text(report, MEMORY_BYTES)),
        _ => (None, None),
    };
    let sensible = |figure: Option<f64>| figure.filter(|figure| figure.is_finite() && *figure >= 0.0);
    Said { cpu_s: sensible(cpu_s), memory_bytes: sensible(memory_bytes) }
}

impl Report {
    fn cost(&self, name: &str) -> Option<f64> {
        self.request_cost.get(name).or_else(|| self.named_metrics.get(name)).copied()
    }
}

fn text(report: &str, name: &str) -> Option<f64> {
    let mut pairs = report.split(',').filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find_map(|(key, value)| {
        let (kind, key) = key.trim().split_once('.')?;
        (matches!(kind, "request_cost" | "named_metrics") && key == name).then_some(value)
    });
    value?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_a_request_has_cost() {
        let check = |value: &str, cpu_s, memory_bytes| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, value.parse().expect("a header's value"));
            assert_eq!(said(&headers), Said { cpu_s, memory_bytes }, "{value}");
        };
        check(r#"JSON {"cpu_utilization": 0.3, "request_cost": {"cpu_seconds": 1.5}}"#, Some(1.5), None);
        check(r#"JSON {"named_metrics": {"cpu_seconds": 2, "memory_bytes": 1e6}}"#, Some(2.0), Some(1e6));
        check(
            "TEXT cpu_utilization=0.3,request_cost.cpu_seconds=1.5, named_metrics.memory_bytes=64",
            Some(1.5),
            Some(64.0),
        );
        check("TEXT cpu_seconds=1.5", None, None);
        check("TEXT request_cost.cpu_seconds=-1,request_cost.memory_bytes=NaN", None, None);
        check("JSON {", None, None);
        check("BIN AAAA", None, None);
        check("", None, None);
        assert_eq!(said(&HeaderMap::new()), Said::default());
    }
}
