//! Caps on what a network may cost: who counts, what happens where one is reached, and that it outlives a kill.

use std::path::Path;

use serde_json::Value;
use tests::binary::Binary;
use tests::{Origin, Raw, Reply, Setup, eventually};

const ON: &str = "shadow = \"on\"\nrepeatable = true";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn asked(to: std::net::SocketAddr) -> Raw {
    let mut client = Raw::connect(to).await;
    client.write(GET).await;
    client
}

/// Home has one slot, and a job on the public network is dear enough that one of them spends the cap.
fn capped(private: &Origin, public: &Origin, state: &Path) -> Setup {
    Setup::two(private.url(), public.url())
        .set("networks.private.capacity", 1)
        .set("networks.public.price", "{ slot_second = 1e6 }")
        .set("networks.public.spend", "{ per_hour = 1.0, per_day = 1e9 }")
        .set("state.directory", format!("{state:?}"))
        .every(ON)
}

fn of<'a>(status: &'a Value, network: &str) -> &'a Value {
    let networks = status["networks"].as_array().expect("networks");
    networks.iter().find(|page| page["name"] == network).expect("it is one of them")
}

/// Says where a job goes while home is full, and lets it end.
async fn spills_to(binary: &Binary, private: &Origin, public: &Origin) -> (String, String) {
    let mut first = asked(binary.jobs()).await;
    let at_home = private.next().await;
    let mut second = asked(binary.jobs()).await;
    let exchange = tokio::select! {
        exchange = private.next() => exchange,
        exchange = public.next() => exchange,
    };
    exchange.release(Reply::ok("second")).await;
    let decided = second.answer().await.decision();
    at_home.release(Reply::ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    (decided.network, decided.reason)
}

fn said(network: &str, reason: &str) -> (String, String) {
    (network.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_cap_that_is_reached_sends_jobs_home_and_outlives_a_kill() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let state = tempfile::tempdir().expect("there is room");
    let binary = Binary::start(capped(&private, &public, state.path())).await;
    assert_eq!(spills_to(&binary, &private, &public).await, said("public", "spill"));
    let capped_now = r#"adumbra_network_spend_capped{network="public"}"#;
    eventually("it is paid", async || binary.metric(capped_now).await == 1.0).await;
    assert_eq!(spills_to(&binary, &private, &public).await, said("private", "spend"));
    assert!(binary.metric(r#"adumbra_decisions_total{reason="spend"}"#).await >= 1.0);
    let status = binary.status().await;
    let (spent, kept) = (&of(&status, "public")["spend"], &status["spend"]);
    assert!(spent["last_hour"].as_f64().is_some_and(|money| money >= 1.0), "{status}");
    assert!(spent["left"].as_f64().is_some_and(|money| money <= 0.0), "{status}");
    assert!(kept["kept_in"].as_str().is_some_and(|at| at.ends_with("spend.log")), "{status}");
    assert!(kept["scope"].as_str().is_some_and(|scope| scope.contains("this sidecar")), "{status}");
    let log = state.path().join("spend.log");
    eventually("it is written", async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("spent "))).await;
    binary.kill().await;

    let again = Binary::start(capped(&private, &public, state.path())).await;
    assert_eq!(spills_to(&again, &private, &public).await, said("private", "spend"), "it is still capped");
    again.kill().await;
    // Where nothing was kept, nothing is known: it is the file that remembers.
    let elsewhere = tempfile::tempdir().expect("there is room");
    let forgetful = Binary::start(capped(&private, &public, elsewhere.path())).await;
    assert_eq!(spills_to(&forgetful, &private, &public).await, said("public", "spill"));
}

#[tokio::test]
async fn what_is_in_flight_when_the_process_is_killed_counts_as_spent() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let state = tempfile::tempdir().expect("there is room");
    let binary = Binary::start(capped(&private, &public, state.path())).await;
    let _first = asked(binary.jobs()).await;
    let _at_home = private.next().await;
    let _second = asked(binary.jobs()).await;
    let _in_flight = public.next().await;
    let log = state.path().join("spend.log");
    let has_run_up = |text: String| {
        let open = text.lines().rev().find(|line| line.starts_with("open 0 public "));
        open.and_then(|line| line.split(' ').nth(3)?.parse::<f64>().ok()).is_some_and(|money| money >= 1.0)
    };
    eventually("what it has run up is written", async || std::fs::read_to_string(&log).is_ok_and(has_run_up)).await;
    binary.kill().await;
    let (private, public) = (Origin::held().await, Origin::held().await);
    let again = Binary::start(capped(&private, &public, state.path())).await;
    assert_eq!(spills_to(&again, &private, &public).await, said("private", "spend"));
}

#[tokio::test]
async fn a_job_that_may_run_nowhere_else_runs_and_is_counted() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.public.spend", "{ per_day = 0.0 }")
        .every(&format!("{ON}\nresidency = [\"public\"]"))
        .start();
    let answer = sidecar.get("/").await;
    assert_eq!((answer.text().as_str(), answer.decision().reason.as_str()), ("public", "nothing_eligible"));
    assert_eq!(sidecar.metric(r#"adumbra_spend_over_cap_total{network="public"}"#).await, 1.0);
}

#[tokio::test]
async fn a_failed_job_is_not_sent_on_to_where_nothing_may_be_spent() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar =
        Setup::two(private.url(), public.url()).set("networks.public.spend", "{ per_hour = 0.0 }").every(ON).start();
    let mut client = asked(sidecar.jobs()).await;
    private.next().await.break_off();
    assert_eq!(client.answer().await.status, 502);
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn shadows_are_on_the_bill_of_where_they_run() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(ON).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(sidecar.jobs()).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    let committed = of(&sidecar.status().await, "public")["spend"]["committed"].as_f64();
    assert!(committed.is_some_and(|money| money > 0.0), "as long as it runs it counts as expected: {committed:?}");
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    shadow.gone().await;
    eventually("it is paid", async || {
        let status = sidecar.status().await;
        let spent = &of(&status, "public")["spend"];
        spent["last_hour"].as_f64().is_some_and(|money| money > 0.0) && spent["committed"] == 0.0
    })
    .await;
    assert_eq!(sidecar.status().await["spend"]["kept_in"], "memory");
}

#[tokio::test]
async fn what_is_warmed_elsewhere_is_on_the_bill_by_its_bytes() {
    let data = Origin::answering(|_| Reply::ok("x".repeat(1000)).field("cache-control", "max-age=60")).await;
    let (private, public) = (Origin::named("private").await, Origin::held().await);
    let allowed = |setup: Setup| setup.set("data.origins", format!("[{:?}]", data.url()));
    let far = allowed(Setup::alone(public.url())).start();
    let near = allowed(Setup::with_peer(private.url(), &far))
        .set("networks.public.price", "{ slot_second = 0.0, gib_moved = 1e6 }")
        .every(&format!("{ON}\nwarm = true"))
        .start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = Raw::connect(near.jobs()).await;
    client.write(format!("GET / HTTP/1.1\r\nhost: a\r\nlink: <{}/a>; rel=preload\r\n\r\n", data.url())).await;
    let job = public.next().await;
    far.metric_becomes("adumbra_data_warmed_objects_total", 1.0).await;
    let bytes = 1000.0;
    let expected = 1e6 * bytes / f64::from(1 << 30);
    eventually("it is paid before the job is", async || {
        let spent = of(&near.status().await, "public")["spend"]["last_hour"].as_f64().expect("a figure");
        (spent / expected - 1.0).abs() < 1e-2
    })
    .await;
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}
