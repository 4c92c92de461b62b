//! A shadow runs beside the lead, harms it in no way, and becomes the real job when that is better.

mod adoption;
mod bodies;
mod bounds;
mod harmless;
mod peers;
mod several;

use tests::{Decided, Origin, Raw, Setup, Sidecar};

/// The lines of a route that may do everything.
const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// A job takes long, and nobody knows where it takes longer: each is led at home and shadowed on the other network.
async fn led(setup: Setup) -> Sidecar {
    let sidecar = setup.every(ON).start();
    sidecar.swap_model(tests::model::open(1000.0));
    sidecar
}

/// Two held services and a sidecar that leads at the first and shadows on the second.
async fn pair() -> (Origin, Origin, Sidecar) {
    pair_with(|setup| setup).await
}

async fn pair_with(change: impl FnOnce(Setup) -> Setup) -> (Origin, Origin, Sidecar) {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = led(change(Setup::two(private.url(), public.url()))).await;
    (private, public, sidecar)
}

/// A job under way: its client has sent it and waits.
async fn asked(sidecar: &Sidecar, request: impl AsRef<[u8]>) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn assert_ended(sidecar: &Sidecar, network: &str, end: &str, times: f64) {
    let series = format!(r#"adumbra_shadows_ended_total{{network="{network}",end="{end}"}}"#);
    sidecar.metric_becomes(&series, times).await;
}

/// Waits until nothing of this sidecar's runs on `network`, which tells that a shadow there is over.
async fn assert_idle(sidecar: &Sidecar, network: &str) {
    sidecar.metric_becomes(&format!(r#"adumbra_network_in_flight{{network="{network}"}}"#), 0.0).await;
}

/// Every shadow that was started has ended in one way, or runs.
async fn assert_sums_match(sidecar: &Sidecar) {
    for network in ["private", "public"] {
        let label = format!("network=\"{network}\"");
        let metrics = sidecar.metrics().await;
        let sum = |name: &str| -> f64 {
            let of_it = |series: &str| series.starts_with(&format!("{name}{{")) && series.contains(&label);
            metrics.iter().filter(|(series, _)| of_it(series)).map(|(_, value)| value).sum()
        };
        let (started, ended) = (sum("adumbra_shadows_started_total"), sum("adumbra_shadows_ended_total"));
        assert_eq!(started, ended + sum("adumbra_shadows_in_flight"), "{network}: {metrics:?}");
        let ended_so = |end: &str| metrics[&format!("adumbra_shadows_ended_total{{{label},end=\"{end}\"}}")];
        let not_executed = metrics[&format!("adumbra_shadows_refused_total{{{label},reason=\"not_executed\"}}")];
        assert!(not_executed <= ended_so("failed"), "what was not executed has failed: {metrics:?}");
        assert!(sum("adumbra_shadows_shed_total") <= ended, "what was shed has ended: {metrics:?}");
    }
}

/// The names in a list of a log's line.
fn names(line: &serde_json::Value, key: &str) -> Vec<String> {
    let list = line[key].as_array().unwrap_or_else(|| panic!("{key} is a list in {line}"));
    list.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// What a log's line says of a job that is over.
async fn assert_logged(sidecar: &Sidecar, decided: &Decided, plan: &str, shadows: &[&str]) {
    let line = sidecar.logged(decided).await;
    assert_eq!(line["plan"], plan, "{line}");
    assert_eq!(names(&line, "shadows"), shadows, "{line}");
    assert_eq!(line["target"], decided.network.as_str(), "{line}");
    assert_eq!(line["reason"], decided.reason.as_str(), "{line}");
    assert_eq!(line["action"], decided.action.as_str(), "{line}");
}
