//! The admin port's pages, with a made-up sidecar behind them.

use http::header::HOST;
use http_body_util::BodyExt;
use policy::{ClassId, NetworkSet, PerNetwork, Plan, Pricing, Reason, Shadowing};

use super::*;
use crate::record::tests::{generation, job, network, record};

/// An admin port with nothing behind it, and one decision.
struct Port {
    generation: Arc<Generation>,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    oracle: Oracle,
    ready: bool,
}

impl Port {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new(&["private".to_owned(), "public".to_owned()]));
        let log = config::value::Log { decisions: None, keep: 10, decisions_bytes: 1 << 20, decisions_files: 2 };
        let recorder =
            Recorder::start(&log, None, Arc::new(Classes::default()), Arc::clone(&metrics)).expect("a thread");
        recorder.submit(Box::new(record(1, 0.3)));
        while recorder.latest(1).is_empty() {
            std::thread::yield_now();
        }
        let generation = generation();
        let oracle =
            Oracle::start(&generation.config, &Arc::new(Classes::default()), Arc::clone(&metrics)).expect("a thread");
        Self { generation, metrics, recorder, oracle, ready: true }
    }

    fn ask(&self, method: Method, path: &str, host: &str) -> (http::response::Parts, String) {
        let request = Request::builder().method(method).uri(path).header(HOST, host).body(());
        self.ask_with(request.expect("a request"))
    }

    fn ask_with(&self, request: Request<()>) -> (http::response::Parts, String) {
        let seen = Seen {
            generation: &self.generation,
            metrics: &self.metrics,
            recorder: &self.recorder,
            oracle: &self.oracle,
            instance: 7,
            ready: self.ready,
            kept: None,
            located: &crate::path::Located::default(),
            certificates: &crate::identity::Certificates::default(),
            book: &Book::default(),
            listening: &[],
            standing: policy::Watchdog::new(0.0).standing(),
            spend_kept: &crate::spend::Kept::default(),
            classes: &Classes::default(),
            gains: &Gains::default(),
            networks: &|| statuses(&self.generation),
            preview: &|asked| (asked.uri.path() != "/refused").then(|| preview(&self.generation)),
        };
        let (head, body) = respond(&seen, &request.into_parts().0).into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let bytes = runtime.block_on(body.collect()).expect("a body").to_bytes();
        (head, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    fn get(&self, path: &str) -> (StatusCode, String) {
        let (head, body) = self.ask(Method::GET, path, "localhost:9900");
        (head.status, body)
    }

    fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }
}

fn preview(generation: &Generation) -> Preview {
    let job = job(ClassId(0));
    let mut view = policy::View {
        home: network(0),
        networks: NetworkSet::only(network(0)).with(network(1)),
        state: PerNetwork::default(),
        pricing: Pricing { time_value_per_s: [1.0; policy::Urgency::LEVELS] },
        shadowing: generation.config.shadow.limits,
    };
    view.state[network(0)].capacity = 4;
    let mut shut = PerNetwork::default();
    shut[network(1)] = Some(Reason::Health);
    let plan = Plan {
        target: network(0),
        reason: Reason::Health,
        arm: policy::Arm::Policy,
        shadowing: Shadowing::Direct,
        level: policy::Level::Medium,
        caps: generation.config.shadow.limits.caps.medium,
        eligible: NetworkSet::only(network(0)),
        predictions: PerNetwork::default(),
        costs: PerNetwork([f64::NAN; policy::MAX_NETWORKS]),
        worth: 0.0,
    };
    Preview { route: Some(0), class: "scene".to_owned(), job, view, shut, plan, model: None }
}

#[test]
fn probes_tell_up_from_ready() {
    let mut port = Port::new();
    assert_eq!(port.get("/healthz").0, StatusCode::OK);
    assert_eq!(port.get("/readyz").0, StatusCode::OK);
    port.ready = false;
    assert_eq!(port.get("/healthz").0, StatusCode::OK);
    assert_eq!(port.get("/readyz").0, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn foreign_names_are_refused_and_counted_before_anything_is_shown() {
    let port = Port::new();
    let (head, body) = port.ask(Method::GET, "/status", "evil.example");
    assert_eq!(head.status, StatusCode::FORBIDDEN);
    assert!(!body.contains("private"));
    assert!(port.get("/metrics").1.contains("adumbra_admin_refused_total 1\n"));
}

#[test]
fn only_get_and_head_are_answered_and_what_is_unknown_is_not_found() {
    let port = Port::new();
    let (head, _) = port.ask(Method::POST, "/status", "127.0.0.1");
    assert_eq!(
        (head.status, head.headers[ALLOW].to_str().expect("text")),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
    );
    let (head, body) = port.ask(Method::HEAD, "/", "127.0.0.1");
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers[CONTENT_LENGTH], INDEX.len().to_string());
    for path in ["/nothing", "/decisions/zz", "/decisions/1", "/decisions/", "/explain?url=/refused"] {
        assert_eq!(port.get(path).0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in
        ["/decisions?n=x", "/explain", "/explain?url=a%20b", "/explain?url=/&header=x", "/explain?url=/&method=%20"]
    {
        assert_eq!(port.get(path).0, StatusCode::BAD_REQUEST, "{path}");
    }
    assert!(port.get("/metrics").1.contains("adumbra_problems_total{problem=\"not_found\"} 5\n"));
}

/// A model of jobs that take a second.
fn model() -> policy::Model {
    let mut window = policy::learn::Window::new(100);
    for pair in 0..40 {
        let label = policy::learn::Label::Took(1.0);
        let row = policy::learn::Row {
            job: job(ClassId(0)),
            pair,
            network: network(0),
            label,
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
        };
        window.push(row).expect("a label that can be");
    }
    policy::learn::refit(&window, network(0), None).expect("enough labels")
}

#[test]
fn the_model_is_shown_as_a_file_that_can_be_read() {
    let port = Port::new();
    port.oracle.swap(model());
    let (status, text) = port.get("/model");
    assert_eq!(status, StatusCode::OK);
    let read = policy::model::file::read(&text).expect("it is whole");
    assert_eq!((read.home(), read.networks().len(), read.model().rows()), ("private", 2, 40));
    assert_eq!(read.extracts()[0].names, ["x_size"]);
}

#[test]
fn the_index_names_every_page() {
    let port = Port::new();
    let (_, index) = port.get("/");
    let pages: Vec<_> =
        index.lines().filter(|line| line.starts_with('/')).filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(pages.len(), 12);
    assert_eq!(port.get("/model").0, StatusCode::NOT_FOUND, "there is none yet");
    port.oracle.swap(model());
    assert!(pages.contains(&"/log-level"), "which tests have none of");
    for page in pages.into_iter().filter(|page| *page != "/log-level") {
        let page = page.replace("ID", "abc");
        assert_eq!(port.get(&page).0, StatusCode::OK, "{page}");
    }
}

#[test]
fn status_says_what_there_is() {
    let port = Port::new();
    port.metrics.job(&record(1, 0.3));
    drop(port.metrics.shadow_started(network(1)));
    let status = port.json("/status");
    assert_eq!(status["home"], "private");
    assert_eq!(status["kill_switch"], false);
    assert_eq!(status["model"], serde_json::Value::Null);
    assert_eq!(status["decisions"], serde_json::json!({ "cheaper": 1 }));
    assert_eq!(status["shadows"]["started"], 1);
    assert_eq!(status["shadows"]["cancelled"], 1);
    assert_eq!(status["routes"][0], serde_json::json!({ "name": "render", "mode": "on", "rollout": 1.0 }));
    assert_eq!(status["networks"][0]["capacity"], 4);
    assert_eq!(status["networks"][0]["endpoints"][0]["address"], "127.0.0.1:3000");
    assert!(
        status["networks"][1]["shadow_caps_enforced_by"]
            .as_str()
            .is_some_and(|text| text.contains("no CPU or memory cap"))
    );
    assert_eq!(status["data"]["hits"], 0);
}

#[test]
fn decisions_are_listed_and_found_by_id() {
    let port = Port::new();
    assert_eq!(port.json("/decisions").as_array().map(Vec::len), Some(1));
    assert_eq!(port.json("/decisions?n=0"), serde_json::json!([]));
    assert_eq!(port.json("/decisions/0000000000000abc")["target"], "public");
}

#[test]
fn an_explanation_shows_the_gates_by_name() {
    let port = Port::new();
    let explained = port.json("/explain?url=http://service/render%3Fsize%3D9&method=post&header=Priority:%20u=1");
    assert_eq!(explained["route"], "render");
    assert_eq!(explained["networks"][0]["shut"], serde_json::Value::Null);
    assert_eq!(explained["networks"][1]["shut"], "health");
    assert_eq!(explained["networks"][1]["cost"], serde_json::Value::Null);
}

#[test]
fn a_question_becomes_the_request_it_means() {
    let asked = Asked::parse("url=https://service:8443/a%3Fb=1&method=put&header=X-Kind:%20scene").expect("a question");
    assert_eq!((asked.method, asked.uri.to_string()), (Method::PUT, "/a?b=1".to_owned()));
    assert_eq!(asked.headers[HOST], "service:8443");
    assert_eq!(asked.headers["x-kind"], "scene");
}
