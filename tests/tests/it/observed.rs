//! What Prometheus and Grafana are given: read by Prometheus' own tool, and about nothing that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tests::binary::workspace;
use tests::{Origin, Raw, Setup, Sidecar};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

fn observe(file: &str) -> PathBuf {
    workspace().join("deploy/observe").join(file)
}

/// Runs promtool: whether it is content, and what it said.
async fn promtool(arguments: &[&str], stdin: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("tests/setup.sh installs promtool");
    let mut to = child.stdin.take().expect("it is piped");
    let (written, output) = tokio::join!(
        async move {
            let written = to.write_all(stdin.as_bytes()).await;
            drop(to);
            written
        },
        child.wait_with_output()
    );
    let output = output.expect("it is our child");
    // It need not read what it is not asked to.
    drop(written);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn scraped(sidecar: &Sidecar, accept: &str) -> (String, String) {
    let host = sidecar.admin();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    let answer = Raw::ask(host, request).await;
    (answer.values("content-type").concat(), answer.text())
}

/// A sidecar that has done a little of everything that counts without a model.
async fn busy() -> (Sidecar, Origin) {
    let origin = Origin::named("here").await;
    let sidecar = Setup::two(origin.url(), origin.url()).every("shadow = \"on\"").start();
    for _ in 0..3 {
        assert_eq!(sidecar.get("/").await.status, 200);
    }
    (sidecar, origin)
}

#[tokio::test]
async fn a_live_scrape_is_as_prometheus_has_it() {
    let (sidecar, _origin) = busy().await;
    let (kind, text) = scraped(&sidecar, "text/plain").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("# TYPE adumbra_jobs_total counter\n"), "{text}");
    let (is_content, said) = promtool(&["check", "metrics"], &text).await;
    assert!(is_content && said.is_empty(), "{said}");
    // What Prometheus itself asks for, and whoever does not say.
    for accept in ["application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "*/*"] {
        let (kind, open) = scraped(&sidecar, accept).await;
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(open.ends_with("# EOF\n") && open.contains("# TYPE adumbra_jobs counter\n"), "{open}");
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples(&open), samples(&text));
    }
}

#[tokio::test]
async fn the_alerts_are_valid_and_pass_their_tests() {
    let rules = observe("alerts.yml").display().to_string();
    let (is_content, said) = promtool(&["check", "rules", &rules], "").await;
    assert!(is_content, "{said}");
    let (is_content, said) = promtool(&["test", "rules", &observe("alerts.test.yml").display().to_string()], "").await;
    assert!(is_content, "{said}");
    let text = std::fs::read_to_string(rules).expect("the rules are there");
    let tests = std::fs::read_to_string(observe("alerts.test.yml")).expect("the tests are there");
    let named = |line: &str| line.trim().strip_prefix("- alert: ").map(str::to_owned);
    let alerts: Vec<String> = text.lines().filter_map(named).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let tested = alerts.iter().filter(|alert| tests.contains(&format!("alertname: {alert}"))).count();
    assert!(tested + 2 >= alerts.len(), "only {tested} of {} alerts are tested", alerts.len());
}

/// The series that there are: for each name, its labels and their values.
fn series(text: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut series: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (head, _value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) =
            head.split_once('{').map_or((head, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
        let known = series.entry(name.to_owned()).or_default();
        for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
            known.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    series
}

/// Every metric in a query, with what stands in braces behind it.
fn selectors(query: &str) -> Vec<(&str, &str)> {
    query
        .match_indices("adumbra_")
        .map(|(at, _)| {
            let rest = &query[at..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            (name, after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inside, _)| inside))
        })
        .collect()
}

/// Whether all that a query names is there: metrics, labels, and the words that labels are compared with.
fn check(query: &str, series: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) {
    let found = selectors(query);
    assert!(!found.is_empty(), "`{query}` is about nothing of ours");
    for (name, inside) in found {
        let labels = series.get(name).unwrap_or_else(|| panic!("there is no `{name}`, which `{query}` asks for"));
        for (label, compared) in inside.split("\",").filter_map(|pair| pair.split_once('=')) {
            let words = compared.trim_start_matches(['~', '"']).trim_end_matches('"');
            if label == "instance" {
                continue;
            }
            let values = labels.get(label).unwrap_or_else(|| panic!("`{name}` has no label `{label}`: `{query}`"));
            for word in words.split('|') {
                assert!(values.contains(word), "`{label}` of `{name}` is never `{word}`: `{query}`");
            }
        }
    }
}

#[tokio::test]
async fn every_query_is_about_what_there_is() {
    let (sidecar, _origin) = busy().await;
    let (_, text) = scraped(&sidecar, "text/plain").await;
    let series = series(&text);
    let rules = std::fs::read_to_string(observe("alerts.yml")).expect("the rules are there");
    let of_alerts = rules.split("expr:").skip(1).map(|rest| rest.split("labels:").next().unwrap_or_default());
    of_alerts.for_each(|query| check(query, &series));

    let dashboard = std::fs::read_to_string(observe("dashboard.json")).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("each has a query")).collect();
    assert!(queries.len() > 30, "{}", queries.len());
    queries.iter().for_each(|query| check(query, &series));

    // Prometheus reads queries only as rules.
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (n, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
        rules +=
            &format!("  - record: query:{n}\n    expr: {}\n", serde_json::to_string(&query).expect("text is JSON"));
    }
    let file = tempfile::NamedTempFile::new().expect("there is room for files");
    std::fs::write(file.path(), rules).expect("there is room for files");
    let (is_content, said) = promtool(&["check", "rules", &file.path().display().to_string()], "").await;
    assert!(is_content, "{said}");
}
