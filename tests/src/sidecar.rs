//! A sidecar in process, and what an operator can read off it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::time::Duration;

use proxy::app::App;
use proxy::lane::Recipe;
use serde_json::Value;

use crate::raw::{Answer, Decided, Raw};
use crate::wait::within;

/// What a sidecar is started from: keys of its configuration, in dotted form, and its routes.
///
/// The defaults leave nothing to chance: no exploring, no sampling, no comparing, no model of its own making, and windows that are
/// longer than any test.
#[derive(Clone, Debug)]
pub struct Setup {
    keys: BTreeMap<String, String>,
    routes: Vec<String>,
}

const DEFAULTS: [(&str, &str); 22] = [
    ("home", r#""private""#),
    ("workers", "2"),
    ("drain", r#""5s""#),
    ("listen.jobs", r#""127.0.0.1:0""#),
    ("listen.peers", r#""127.0.0.1:0""#),
    ("listen.egress", r#""127.0.0.1:0""#),
    ("listen.admin", r#""127.0.0.1:0""#),
    ("shadow.window_share", "0.1"),
    ("shadow.window_min", r#""60s""#),
    ("shadow.levels.low.window", r#""60s""#),
    ("shadow.levels.medium.window", r#""60s""#),
    ("shadow.levels.high.window", r#""60s""#),
    ("shadow.serve.window", r#""60s""#),
    ("shadow.worthwhile", r#""1ms""#),
    ("shadow.sample_share", "0.0"),
    ("shadow.explore_share", "0.0"),
    ("guard.share", "0.0"),
    ("shadow.levels.medium.bytes_per_second", r#""1GiB""#),
    ("shadow.serve.bytes_per_second", r#""1GiB""#),
    ("oracle.first_after", "20000"),
    ("oracle.refit_after", "20000"),
    ("log.keep", "4096"),
];

impl Setup {
    /// One network, home, at `service`.
    #[must_use]
    pub fn alone(service: impl Display) -> Self {
        let keys = DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { keys, routes: Vec::new() }
            .set("networks.private.upstreams", format!(r#"["{service}"]"#))
            .set("networks.private.shadows", r#"{ in_flight = 64, per_second = 1000.0, bytes_per_second = "1GiB" }"#)
    }

    /// Two networks: `private`, which is home, and `public`, which is a little dearer.
    #[must_use]
    pub fn two(private: impl Display, public: impl Display) -> Self {
        Self::alone(private)
            .set("networks.public.upstreams", format!(r#"["{public}"]"#))
            .set("networks.public.price", "{ slot_second = 0.31 }")
            .set("networks.public.shadows", r#"{ in_flight = 64, per_second = 1000.0, bytes_per_second = "1GiB" }"#)
    }

    /// Two networks, of which `public` has a sidecar.
    #[must_use]
    pub fn with_peer(private: impl Display, peer: &Sidecar) -> Self {
        Self::with_peers(private, &[peer])
    }

    /// Two networks, of which `public` has several sidecars.
    #[must_use]
    pub fn with_peers(private: impl Display, peers: &[&Sidecar]) -> Self {
        Self::two(private, "").set_sidecars("public", peers)
    }

    /// The same, by mutual TLS.
    #[must_use]
    pub fn with_known_peer(private: impl Display, peer: &Sidecar) -> Self {
        let url = format!(r#"["https://{}"]"#, peer.peers());
        Self::with_peer(private, peer).set("networks.public.sidecars", url)
    }

    fn set_sidecars(mut self, network: &str, peers: &[&Sidecar]) -> Self {
        self.keys.remove(&format!("networks.{network}.upstreams"));
        let urls: Vec<String> = peers.iter().map(|peer| format!(r#""http://{}""#, peer.peers())).collect();
        self.set(&format!("networks.{network}.sidecars"), format!("[{}]", urls.join(", ")))
    }

    /// Sets a key to a TOML value, instead of what it was.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.keys.insert(key.to_owned(), value.to_string());
        self
    }

    /// Leaves a key to its own default.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// Adds a route: the lines of its table.
    #[must_use]
    pub fn route(mut self, lines: &str) -> Self {
        self.routes.push(lines.to_owned());
        self
    }

    /// Adds a route that takes everything, with these lines beside its name.
    #[must_use]
    pub fn every(self, lines: &str) -> Self {
        self.route(&format!("name = \"every\"\n{lines}"))
    }

    /// The configuration, as it stands in a file.
    ///
    /// # Panics
    /// Never: there is room for text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.keys {
            writeln!(text, "{key} = {value}").expect("a string takes text");
        }
        for route in &self.routes {
            writeln!(text, "[[routes]]\n{route}").expect("a string takes text");
        }
        text
    }

    /// Starts it.
    ///
    /// # Panics
    /// If the configuration has errors, or the sidecar does not start.
    #[must_use]
    pub fn start(self) -> Sidecar {
        let text = self.text();
        let config = config::parse(&text, "test").unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        Sidecar { app: Some(App::start(config).unwrap_or_else(|error| panic!("{error}: {error:?}"))) }
    }

    /// Starts it with its service, as `adumbra run` would with this command. Home must have no `upstreams`.
    ///
    /// # Panics
    /// If the configuration has errors, or the sidecar does not start.
    pub async fn run(self, command: &[String]) -> Sidecar {
        let launcher = tokio::task::spawn_blocking(crate::binary::program).await.expect("no panic");
        let text = self.text();
        let config = config::parse(&text, "test").unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        let recipe = Recipe::new(command.iter().map(Into::into).collect()).expect("it says where its port goes");
        let app = tokio::task::spawn_blocking(|| App::run(config, recipe.launched_by(launcher))).await;
        Sidecar { app: Some(app.expect("no panic").unwrap_or_else(|error| panic!("{error}: {error:?}"))) }
    }
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    app: Option<App>,
}

impl Sidecar {
    /// One that was started in another way.
    #[must_use]
    pub fn of(app: App) -> Self {
        Self { app: Some(app) }
    }

    /// Has the configuration read again.
    pub fn reload(&self) {
        self.app().reload();
    }

    fn app(&self) -> &App {
        self.app.as_ref().expect("only `stop` takes it, and it takes the sidecar too")
    }

    /// Where jobs come in.
    #[must_use]
    pub fn jobs(&self) -> SocketAddr {
        self.app().jobs()
    }

    /// Where other sidecars come in.
    #[must_use]
    pub fn peers(&self) -> SocketAddr {
        self.app().peers().expect("every test sidecar listens for peers")
    }

    /// The service's way out.
    #[must_use]
    pub fn egress(&self) -> SocketAddr {
        self.app().egress().expect("every test sidecar has an egress listener")
    }

    /// The operator's port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.app().admin()
    }

    /// Puts a model in force.
    pub fn swap_model(&self, model: policy::Model) {
        self.app().swap_model(model);
    }

    /// Lets jobs end, and returns when all is done.
    pub async fn stop(mut self) {
        let app = self.app.take().expect("a sidecar is stopped once");
        let stopped = tokio::task::spawn_blocking(move || app.stop());
        within("the sidecar stops", stopped).await.expect("stopping does not panic");
    }

    /// Sends `GET path` as a job.
    pub async fn get(&self, path: &str) -> Answer {
        Raw::ask(self.jobs(), format!("GET {path} HTTP/1.1\r\nhost: service\r\n\r\n")).await
    }

    /// Asks the operator's port.
    pub async fn ask(&self, path: &str) -> Answer {
        let host = self.admin();
        Raw::ask(host, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
    }

    /// What `/status` says.
    ///
    /// # Panics
    /// If it is not JSON.
    pub async fn status(&self) -> Value {
        let answer = self.ask("/status").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("the status is JSON")
    }

    /// Every series of `/metrics`, by its name and labels as they stand there.
    ///
    /// # Panics
    /// If a line is not a sample.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.ask("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("`{line}` is a sample"));
                (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("`{line}` has a value")))
            })
            .collect()
    }

    /// One series, `name{label="value"}`.
    ///
    /// # Panics
    /// If there is none of that name: every series exists from the start.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        *metrics.get(series).unwrap_or_else(|| panic!("there is no `{series}` among {:?}", metrics.keys()))
    }

    /// The sum of every series whose name and labels hold all of `parts`.
    pub async fn sum(&self, name: &str, parts: &[&str]) -> f64 {
        let metrics = self.metrics().await;
        let of_name = |series: &str| series.split('{').next() == Some(name);
        let fits = |series: &str| of_name(series) && parts.iter().all(|part| series.contains(part));
        assert!(metrics.keys().any(|series| fits(series)), "there is no `{name}` with {parts:?}");
        metrics.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }

    /// Waits until a series has a value.
    ///
    /// # Panics
    /// If it does not come to it.
    pub async fn metric_becomes(&self, series: &str, expected: f64) {
        let mut last = f64::NAN;
        let coming = async {
            loop {
                last = self.metric(series).await;
                if last == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(crate::BOUND, coming).await.is_ok();
        assert!(came, "`{series}` is {last}, not {expected}");
    }

    /// The log's line for a job that is over.
    pub async fn logged(&self, decided: &Decided) -> Value {
        let path = format!("/decisions/{}", decided.id);
        within("the decision is recorded", async {
            loop {
                let answer = self.ask(&path).await;
                if answer.status == 200 {
                    return serde_json::from_slice(&answer.body).expect("a decision is JSON");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// The newest decision in the log, once there are `least` of them.
    pub async fn decisions(&self, least: usize) -> Vec<Value> {
        within("the decisions are recorded", async {
            loop {
                let answer = self.ask("/decisions?n=1000").await;
                let decisions: Vec<Value> = serde_json::from_slice(&answer.body).unwrap_or_else(|_| {
                    answer.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
                });
                if decisions.len() >= least {
                    return decisions;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }
}
