//! Sixteen reloads of everything that can change, under new and kept connections: no request fails.

use rustix::process::Signal;
use tests::{Askers, Binary, Service, Setup, eventually};

const RELOADS: usize = 16;
const REQUESTS: u64 = 3000;

/// The `n`th edit.
fn edit(setup: &Setup, service: &Service, free: &[std::net::SocketAddr], n: usize) -> Setup {
    let upstream = format!(r#"["{}"]"#, service.url());
    let edited = setup
        .clone()
        .set("networks.private.price.slot_second", format!("0.{}", 1 + n % 9))
        .set("networks.private.timeouts.total", format!("\"{}m\"", 10 + n))
        .set("pricing.time_value_per_second", 1 + n)
        .set("limits.connections", 1000 + n)
        .set("spool.body", 1_000_000 + n)
        .set("log.keep", 100 + n)
        .set("shadow.levels.low.memory", format!("\"{}MiB\"", 200 + n))
        .set("listen.egress", format!("\"{}\"", free[n % free.len()]))
        .every("shadow = \"off\"");
    match n % 4 {
        0 => edited,
        1 => edited.set("networks.other.upstreams", upstream).set("networks.other.health.path", r#""/health""#),
        2 => edited.set("networks.early.upstreams", upstream),
        // The same service by another name: another endpoint.
        _ => edited.set("networks.private.upstreams", upstream.replace("127.0.0.1", "localhost")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_reloads_fail_no_request() {
    let service = Service::start(tests::askers::echo).await;
    let setup = Setup::alone(service.url());
    let mut free = Vec::new();
    for _ in 0..3 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        free.push(listener.local_addr().expect("a bound socket has an address"));
    }
    let binary = Binary::start(edit(&setup, &service, &free, 0)).await;
    let askers = Askers::start(binary.jobs());
    let applied = r#"adumbra_config_reloads_total{outcome="applied"}"#;
    for n in 1..=RELOADS {
        // Some requests between any two reloads.
        askers.get_more(20).await;
        std::fs::write(binary.config(), edit(&setup, &service, &free, n).text()).expect("there is room for files");
        binary.signal(Signal::HUP);
        eventually("it is in force", async || binary.metric(applied).await == n as f64).await;
    }
    askers.get(REQUESTS).await;
    let (well, failed) = askers.end().await;
    assert_eq!(failed, 0, "of {}: {}", well + failed, binary.log());
    binary.stop().await;
}
