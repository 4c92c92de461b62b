//! What is scraped, and that the documents list the same.

use std::collections::BTreeMap;

use policy::budget::NoPermit;

use super::*;

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&["private".to_owned(), "public".to_owned()]))
}

fn network(index: usize) -> policy::NetworkId {
    policy::NetworkId::new(index).expect("few networks")
}

/// The value of one sample.
fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_job_counts_under_its_network_and_outcome_and_in_its_bucket() {
    let metrics = metrics();
    metrics.job(&crate::record::tests::record(1, 0.3));
    let text = metrics.text(Vec::new());
    assert_eq!(sample(&text, r#"adumbra_jobs_total{network="public",outcome="answered"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_jobs_total{network="private",outcome="answered"}"#), Some(0.0));
    assert_eq!(sample(&text, r#"adumbra_decisions_total{reason="cheaper"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_plans_total{plan="lead"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_job_seconds_bucket{le="0.25",network="public"}"#), Some(0.0));
    assert_eq!(sample(&text, r#"adumbra_job_seconds_bucket{le="0.5",network="public"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_job_seconds_sum{network="public"}"#), Some(0.3));
    assert_eq!(sample(&text, r#"adumbra_job_seconds_count{network="public"}"#), Some(1.0));
}

#[test]
fn shadows_add_up_however_they_end() {
    let metrics = metrics();
    let held = metrics.shadow_started(network(0));
    metrics.shadow_started(network(0)).ended(ShadowEnd::Adopted);
    metrics.shadow_started(network(1)).ended(ShadowEnd::Finished);
    metrics.shadow_started(network(1)).not_executed();
    drop(metrics.shadow_started(network(1)));
    metrics.shadow_refused(network(1), NoPermit::Rate);
    let so_far = metrics.shadows_so_far();
    let expected =
        ShadowsSoFar { started: 5, adopted: 1, cancelled: 1, finished: 1, failed: 1, refused: 2, in_flight: 1 };
    assert_eq!(so_far, expected);
    drop(held);
    let after = metrics.shadows_so_far();
    assert_eq!((after.cancelled, after.in_flight), (2, 0));
}

#[test]
fn a_network_without_a_name_shows_once_it_counts() {
    let metrics = metrics();
    let series = r##"adumbra_failovers_total{network="#2"}"##;
    assert_eq!(sample(&metrics.text(Vec::new()), series), None);
    metrics.failed_over(network(2));
    assert_eq!(sample(&metrics.text(Vec::new()), series), Some(1.0));
}

#[test]
fn the_gauge_of_open_connections_comes_back_to_nothing() {
    let metrics = metrics();
    metrics.connection_opened();
    let elsewhere = Arc::clone(&metrics);
    std::thread::spawn(move || elsewhere.connection_closed()).join().expect("it only counts");
    assert_eq!(sample(&metrics.text(Vec::new()), "adumbra_connections_open"), Some(0.0));
}

#[test]
fn a_prediction_is_scored_by_its_error_and_its_interval() {
    let metrics = metrics();
    let prediction =
        policy::Prediction { mean_s: 1.0, quantiles_s: [0.5, 0.7, 0.9, 1.2, 1.5], ..policy::Prediction::default() };
    metrics.predicted(network(0), Some(&prediction), 1.0);
    metrics.predicted(network(0), Some(&prediction), 2.0);
    let text = metrics.text(Vec::new());
    assert_eq!(sample(&text, r#"adumbra_predictions_scored_total{network="private",fell="inside"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_predictions_scored_total{network="private",fell="above"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_prediction_log_error_bucket{le="0.05",network="private"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"adumbra_prediction_log_error_bucket{le="1.0",network="private"}"#), Some(2.0));
}

/// What a family looks like from outside: its kind, its labels, its help.
type Described = (String, Vec<String>, String);

/// The families of a scrape, by the name that its samples have.
fn scraped(text: &str) -> BTreeMap<String, Described> {
    let mut help = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.insert(name.to_owned(), words.to_owned());
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name.to_owned(), kind.to_owned());
        }
    }
    let labels = |sample: &str| -> Vec<String> {
        let line =
            text.lines().find(|line| line.starts_with(sample)).unwrap_or_else(|| panic!("no sample of {sample}"));
        let inside = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let keys = inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, _)| key);
        keys.filter(|key| *key != "le").map(str::to_owned).collect()
    };
    kinds
        .into_iter()
        .map(|(name, kind)| {
            let (shown, first) = match kind.as_str() {
                "counter" => (format!("{name}_total"), format!("{name}_total")),
                "info" => (format!("{name}_info"), format!("{name}_info")),
                "histogram" => (name.clone(), format!("{name}_sum")),
                _ => (name.clone(), name.clone()),
            };
            let described = (kind, labels(&first), help.get(&name).cloned().unwrap_or_default());
            (shown, described)
        })
        .collect()
}

/// The rows of the tables in `docs/metrics.md`: name, kind, labels, help, what to do.
fn documented() -> BTreeMap<String, Described> {
    let page = include_str!("../../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help, then] = cells[..] else { panic!("a row without five cells: {row}") };
        assert!(!then.is_empty(), "{name} does not say what to do when it moves");
        let labels = labels.split(", ").map(|l| l.trim_matches('`').to_owned()).filter(|l| !l.is_empty()).collect();
        (name.trim_matches('`').to_owned(), (kind.to_owned(), labels, help.to_owned()))
    })
    .collect()
}

#[test]
fn the_page_of_metrics_lists_exactly_what_there_is() {
    let networks = crate::admin::statuses(&crate::record::tests::generation());
    let scraped = scraped(&metrics().text(networks));
    let documented = documented();
    for (name, described) in &scraped {
        assert_eq!(documented.get(name), Some(described), "docs/metrics.md is wrong about {name}");
    }
    for name in documented.keys() {
        assert!(scraped.contains_key(name), "docs/metrics.md lists {name}, which there is not");
    }
}
