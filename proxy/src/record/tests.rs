//! Records from the path to the log and to `/decisions`.

use config::value::Log;
use policy::job::EXTRACTED;
use policy::{ClassId, Progress, ProgressSource, ShadowMode, Urgency};

use super::*;
use crate::upstream::{Making, Network};

/// A configuration with a private and a public network and one route.
pub(crate) fn generation() -> Arc<Generation> {
    let text = r#"
        home = "private"
        [listen]
        jobs = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        [networks.private]
        upstreams = ["http://127.0.0.1:3000"]
        capacity = 4
        [networks.public]
        upstreams = ["http://127.0.0.1:3001"]
        [[routes]]
        name = "render"
        match = { path = "/render*" }
        shadow = "on"
        repeatable = true
        extract = { x_size = "query:size" }
    "#;
    let config = config::parse(text, "test").unwrap_or_else(|errors| panic!("{errors}"));
    let metrics = Arc::default();
    let making = Making { config: &config, identity: None, workers: 1, metrics: &metrics };
    let network = |id| Network::new(making, id, None).expect("a network");
    let networks = config.network_ids().map(network).collect();
    Arc::new(Generation { config, networks })
}

pub(crate) fn network(index: usize) -> NetworkId {
    NetworkId::new(index).expect("few networks")
}

pub(crate) fn job(class: ClassId) -> Job {
    Job {
        class,
        urgency: Urgency::DEFAULT,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: Some(100),
        input_bytes: None,
        hour: 12.0,
        extracted: [f32::NAN; EXTRACTED],
        draw: 0.5,
    }
}

/// A job that `target` answered after `took_s` seconds.
pub(crate) fn record(target: usize, took_s: f64) -> Record {
    record_of(&generation(), 0xabc, target, took_s)
}

pub(super) fn record_of(generation: &Arc<Generation>, id: u64, target: usize, took_s: f64) -> Record {
    let mut predictions = PerNetwork::default();
    predictions[network(0)] =
        Some(Prediction { mean_s: 1.0, quantiles_s: [0.5, 0.7, 0.9, 1.2, 1.5], ..Prediction::default() });
    let mut costs = PerNetwork([f64::NAN; policy::MAX_NETWORKS]);
    costs[network(0)] = 0.25;
    let mut progress = PerNetwork::default();
    progress[network(1)] = Some(Progress { share: 0.4, at_s: 1.0, source: ProgressSource::Polled });
    Record {
        generation: Arc::clone(generation),
        id,
        unix_ms: 1_700_000_000_123,
        route: Some(0),
        job: job(ClassId(0)),
        plan: "lead",
        level: Level::Medium,
        plan_reason: Reason::Cheaper,
        eligible: NetworkSet::only(network(0)).with(network(1)),
        worth: 0.1,
        shadows: NetworkSet::only(network(1)),
        progress,
        target: network(target),
        action: Action::Keep,
        reason: Reason::Cheaper,
        predictions,
        costs,
        model_version: 2,
        status: 200,
        outcome: Outcome::Answered,
        took_s,
        head_s: 0.2,
        request_bytes: 100,
        response_bytes: 2000,
        possibly_running: 0,
        inputs: None,
        planned: network(0),
        ran_s: Some(took_s),
        waited_s: 0.0,
        terms: Some(policy::cost::Terms { running: 0.2, resources: 0.05, ..Default::default() }),
        happened: None,
    }
}

fn log() -> Log {
    Log { decisions: None, keep: 0, decisions_bytes: 1 << 20, decisions_files: 3 }
}

fn recorder(log: &Log) -> (Recorder, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(&["private".to_owned(), "public".to_owned()]));
    let classes = Arc::new(Classes::default());
    classes.id("render", "scene");
    (Recorder::start(log, None, classes, Arc::clone(&metrics)).expect("a thread"), metrics)
}

/// Waits until the recorder's thread has come to job `id`.
fn until(recorder: &Recorder, id: u64) {
    while recorder.find(id, None).is_none() {
        std::thread::yield_now();
    }
}

#[test]
fn a_line_says_all_of_a_job_by_name() {
    let classes = Classes::default();
    classes.id("render", "scene");
    let line: serde_json::Value =
        serde_json::from_str(&Writer::new(&classes).text(&record(1, 0.3), &[])).expect("JSON");
    let expected = serde_json::json!({
        "id": "0000000000000abc", "time": "2023-11-14T22:13:20.123Z", "route": "render", "class": "scene",
        "urgency": 3, "mode": "on", "plan": "lead", "level": "medium", "plan_reason": "cheaper", "eligible": ["private", "public"],
        "worth": 0.1, "shadows": ["public"], "progress": { "public": { "share": 0.4, "source": "polled" } },
        "target": "public", "action": "keep", "reason": "cheaper",
        "predictions": { "private": {
            "mean_s": 1.0, "p10_s": 0.5, "p25_s": 0.7, "p50_s": 0.9, "p75_s": 1.2, "p90_s": 1.5, "doubt": 0.0
        } },
        "costs": { "private": 0.25 }, "model": 2, "status": 200, "outcome": "answered", "took_s": 0.3, "head_s": 0.2,
        "request_bytes": 100, "response_bytes": 2000, "possibly_running": 0,
        "planned": "private", "ran_s": 0.3, "waited_s": 0.0,
        "terms": {
            "waiting": 0.0, "moving": 0.0, "running": 0.2, "resources": 0.05, "congestion": 0.0, "crossing": 0.0
        }
    });
    assert_eq!(line, expected);
}

#[test]
fn everything_submitted_is_in_the_file_when_the_recorder_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("decisions.jsonl");
    let generation = generation();
    let (recorder, metrics) = recorder(&Log { decisions: Some(path.clone()), keep: 4, ..log() });
    for id in 0..1000 {
        recorder.submit(Box::new(record_of(&generation, id, 0, 0.3)));
    }
    drop(recorder);
    let text = std::fs::read_to_string(&path).expect("a log");
    let ids: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Line<'_>>(line).expect("one JSON object a line").id)
        .map(|id| u64::from_str_radix(&id, 16).expect("hex"))
        .collect();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
    assert_eq!(metrics.records_so_far(), (1000, 0));
}

#[test]
fn the_latest_are_kept_newest_first_and_found_by_id() {
    let (recorder, _) = recorder(&Log { decisions: None, keep: 3, ..log() });
    let generation = generation();
    for id in 0..10 {
        recorder.submit(Box::new(record_of(&generation, id, 0, 0.3)));
    }
    until(&recorder, 9);
    let id = |line: &str| serde_json::from_str::<Line<'_>>(line).expect("JSON").id;
    assert_eq!(recorder.latest(2).iter().map(|l| id(l)).collect::<Vec<_>>(), ["0000000000000009", "0000000000000008"]);
    assert_eq!(recorder.latest(100).len(), 3);
    assert_eq!(recorder.find(7, None).map(|line| id(&line)), Some("0000000000000007".to_owned()));
    assert_eq!(recorder.find(6, None), None);
}

#[test]
fn kept_records_let_go_of_a_configuration_that_was_replaced() {
    let (recorder, _) = recorder(&Log { decisions: None, keep: 10, ..log() });
    let (old, new) = (generation(), generation());
    recorder.submit(Box::new(record_of(&old, 1, 0, 0.3)));
    recorder.submit(Box::new(record_of(&new, 2, 0, 0.3)));
    until(&recorder, 2);
    assert_eq!(Arc::strong_count(&old), 1);
    assert!(recorder.find(1, None).is_some_and(|line| line.contains(r#""target":"private""#)));
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let metrics = Arc::new(Metrics::new(&[]));
    let desk = Arc::new(Desk {
        queue: ArrayQueue::new(2),
        recent: Mutex::new(Recent::new(1)),
        classes: Arc::new(Classes::default()),
        metrics: Arc::clone(&metrics),
        turn: Mutex::default(),
        stop: AtomicBool::new(false),
        labels: Arc::new(Labels::new(Arc::clone(&metrics))),
        in_force: InForce::new(),
    });
    let recorder = Recorder { desk, thread: None };
    for _ in 0..5 {
        recorder.submit(Box::new(record(0, 0.1)));
    }
    assert!(metrics.text(Vec::new()).contains("adumbra_records_dropped_total 3\n"));
}

#[test]
fn a_long_log_is_renamed_and_the_oldest_goes() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("decisions.jsonl");
    let log = Log { decisions: Some(path.clone()), keep: 100, decisions_bytes: 1500, ..log() };
    let (recorder, metrics) = recorder(&log);
    for id in 1..=9 {
        recorder.submit(Box::new(record_of(&generation(), id, 1, 0.3)));
        until(&recorder, id);
        while metrics.records_so_far().0 < id {
            std::thread::yield_now();
        }
    }
    drop(recorder);
    let mut names: Vec<_> = std::fs::read_dir(directory.path())
        .expect("it is there")
        .map(|file| file.expect("it is there").file_name().into_string().expect("text"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["decisions.jsonl", "decisions.jsonl.1", "decisions.jsonl.2"]);
    let ids = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(directory.path().join(name)).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"));
        lines.map(|line| line["id"].as_str().expect("an id").trim_start_matches('0').to_owned()).collect()
    };
    let kept: Vec<String> = ["decisions.jsonl.2", "decisions.jsonl.1", "decisions.jsonl"].map(ids).concat();
    let last: Vec<String> = (1..=9).map(|id| id.to_string()).collect();
    assert!(kept.len() < 9 && last.ends_with(&kept), "the newest, in order: {kept:?}");
    assert_eq!(metrics.records_so_far(), (9, 0));
}
