//! Networks change, come, go and change places in the file, with jobs in flight on them, and keep what is theirs.

use serde_json::Value;
use tests::{Edited, Origin, Raw, Reply, Setup, Sidecar, eventually};

use super::{ON, dear_away};

async fn asked(sidecar: &Sidecar) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client
}

/// What `/status` says of a network.
async fn network(sidecar: &Sidecar, name: &str) -> Value {
    let status = sidecar.status().await;
    let networks = status["networks"].as_array().expect("a list");
    networks.iter().find(|network| network["name"] == name).cloned().unwrap_or(Value::Null)
}

/// Two services that hold what they are sent, and a model by which the one away is far the faster.
async fn held() -> (Origin, Origin, Setup, Edited) {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let setup = Setup::two(private.url(), public.url()).every(ON);
    let edited = Edited::start(&setup);
    edited.sidecar.swap_model(tests::model::settled(1000.0, 10.0));
    (private, public, setup, edited)
}

fn without(setup: &Setup, network: &str) -> Setup {
    let keys = ["upstreams", "price", "shadows"];
    keys.into_iter().fold(setup.clone(), |setup, key| setup.unset(&format!("networks.{network}.{key}")))
}

/// A network that stands first in the file, since keys are in order there.
fn with_first(setup: &Setup, url: &str) -> Setup {
    setup.clone().set("networks.away.upstreams", format!(r#"["{url}"]"#)).set("networks.away.price.slot_second", "50.0")
}

#[tokio::test]
async fn a_job_in_flight_on_a_network_that_is_removed_ends_well_and_its_name_comes_back_to_its_place() {
    let (private, public, setup, edited) = held().await;
    let sidecar = &edited.sidecar;
    let mut before = asked(sidecar).await;
    let in_flight = public.next().await;
    edited.edit(&without(&setup, "public")).await;
    assert_eq!(network(sidecar, "public").await, Value::Null);
    let mut after = asked(sidecar).await;
    private.next().await.release(Reply::ok("home")).await;
    assert_eq!(after.answer().await.text(), "home", "there is nowhere else");
    in_flight.release(Reply::ok("away")).await;
    let answer = before.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "away"));
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!((&line["target"], &line["outcome"]), (&"public".into(), &"answered".into()), "{line}");
    let answered = r#"adumbra_jobs_total{network="public",outcome="answered"}"#;
    assert_eq!(sidecar.metric(answered).await, 1.0);
    edited.edit(&with_first(&setup, &private.url())).await;
    let mut again = asked(sidecar).await;
    public.next().await.release(Reply::ok("back")).await;
    assert_eq!(again.answer().await.text(), "back", "what was learned of the name is known still");
    sidecar.metric_becomes(answered, 2.0).await;
}

#[tokio::test]
async fn what_was_learned_is_of_the_same_networks_whatever_their_order() {
    let (private, public, setup, edited) = held().await;
    let sidecar = &edited.sidecar;
    let first = with_first(&setup, &private.url());
    let lines = |text: &str| {
        let (mut ours, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("networks.public"));
        ours.extend(rest);
        ours.join("\n") + "\n"
    };
    for text in [first.text(), lines(&setup.text()), lines(&first.text()), setup.text()] {
        edited.save(&text);
        sidecar.reload();
        edited.is_in_force(&text).await;
        let mut client = asked(sidecar).await;
        public.next().await.release(Reply::ok("away")).await;
        let answer = client.answer().await;
        assert_eq!(answer.decision().said(), ("public", "cheaper", "send"), "{text}");
        let line = sidecar.logged(&answer.decision()).await;
        let mean_s = |network: &str| line["predictions"][network]["mean_s"].as_f64().unwrap_or_default();
        assert!(mean_s("private") > 500.0 && (1.0..100.0).contains(&mean_s("public")), "{line}");
    }
    assert_eq!(sidecar.metric(r#"adumbra_jobs_total{network="public",outcome="answered"}"#).await, 4.0);
}

#[tokio::test]
async fn a_network_that_is_added_is_measured_and_used_under_its_name() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let alone = Setup::alone(private.url()).every(ON);
    let edited = Edited::start(&alone);
    edited.sidecar.swap_model(tests::model::settled(1000.0, 10.0));
    assert_eq!(edited.sidecar.get("/").await.text(), "private");
    let checked = Setup::two(private.url(), public.url()).every(ON).set("networks.public.health.path", r#""/well""#);
    edited.edit(&checked).await;
    assert_eq!(edited.sidecar.get("/").await.text(), "public", "its place is the second, which the model knows");
    let metrics = edited.sidecar.metrics().await;
    assert_eq!(metrics.get(r#"adumbra_jobs_total{network="public",outcome="answered"}"#), Some(&1.0));
    assert_eq!(metrics.get(r#"adumbra_jobs_total{network="public",outcome="refused"}"#), Some(&0.0));
    assert!(metrics.keys().all(|series| !series.contains("#1")), "its series have its name");
    let asked_well = async || public.recorded().iter().any(|request| request.target == "/well");
    eventually("its health is asked for", asked_well).await;
}

#[tokio::test]
async fn a_change_of_a_price_forgets_nothing_of_a_network() {
    let (_private, public, setup, edited) = held().await;
    let sidecar = &edited.sidecar;
    let mut first = asked(sidecar).await;
    public.next().await.release(Reply::ok("one")).await;
    first.answer().await;
    assert_eq!(public.connections(), 1);
    let dearer =
        setup.clone().set("networks.public.price", "{ slot_second = 0.32 }").set("networks.public.capacity", 9);
    let mut client = asked(sidecar).await;
    let in_flight = public.next().await;
    edited.edit(&dearer).await;
    let now = network(sidecar, "public").await;
    assert_eq!((&now["in_flight"], &now["capacity"]), (&1.into(), &9.into()), "the ledger is the same one: {now}");
    in_flight.release(Reply::ok("two")).await;
    assert_eq!(client.answer().await.text(), "two");
    eventually("it is off the ledger", async || network(sidecar, "public").await["in_flight"] == 0).await;
    let opened = r#"adumbra_upstream_connections_total{network="public",how="made"}"#;
    let before = sidecar.metrics().await.get(opened).copied();
    // One for each worker that was met, and no more after the edit than before it.
    for _ in 0..8 {
        let mut client = asked(sidecar).await;
        public.next().await.release(Reply::ok("more")).await;
        client.answer().await;
    }
    assert!(public.connections() <= 2, "{} connections, {before:?}", public.connections());
}

#[tokio::test]
async fn a_breaker_stays_open_over_an_edit_and_is_another_for_another_endpoint() {
    let private = Origin::named("private").await;
    let dead = Origin::named("dead").await;
    let url = dead.url();
    drop(dead);
    let setup =
        Setup::two(private.url(), url).every(ON).set("networks.public.health", r#"{ failures = 1, open_for = "1h" }"#);
    let edited = Edited::start(&setup);
    let sidecar = &edited.sidecar;
    sidecar.swap_model(tests::model::settled(1000.0, 10.0));
    assert_eq!(sidecar.get("/").await.text(), "private", "it fails over");
    assert_eq!(network(sidecar, "public").await["healthy"], false);
    let edit = setup.clone().set("networks.public.price", "{ slot_second = 0.2 }");
    edited.edit(&edit).await;
    assert_eq!(network(sidecar, "public").await["healthy"], false, "a price says nothing of its health");
    let public = Origin::named("public").await;
    edited.edit(&edit.set("networks.public.upstreams", format!(r#"["{}"]"#, public.url()))).await;
    assert_eq!(network(sidecar, "public").await["healthy"], true);
    assert_eq!(sidecar.get("/").await.text(), "public");
}

#[tokio::test]
async fn a_job_in_flight_keeps_the_endpoint_that_it_was_sent_to() {
    let (_private, public, setup, edited) = held().await;
    let mut before = asked(&edited.sidecar).await;
    let in_flight = public.next().await;
    let other = Origin::held().await;
    edited.edit(&setup.clone().set("networks.public.upstreams", format!(r#"["{}"]"#, other.url()))).await;
    let mut after = asked(&edited.sidecar).await;
    other.next().await.release(Reply::ok("new")).await;
    assert_eq!(after.answer().await.text(), "new");
    in_flight.release(Reply::ok("old")).await;
    assert_eq!(before.answer().await.text(), "old");
}

#[tokio::test]
async fn a_job_in_flight_keeps_the_prices_and_the_next_one_has_the_new_ones() {
    let (private, public, setup, edited) = held().await;
    let mut before = asked(&edited.sidecar).await;
    let in_flight = public.next().await;
    edited.edit(&dear_away(&setup).set("networks.public.price", "{ slot_second = 9999.0 }")).await;
    let mut after = asked(&edited.sidecar).await;
    private.next().await.release(Reply::ok("home")).await;
    assert_eq!(after.answer().await.text(), "home");
    in_flight.release(Reply::ok("away")).await;
    assert_eq!(before.answer().await.text(), "away");
}

#[tokio::test]
async fn the_kill_switch_is_thrown_without_a_restart() {
    let (private, public, setup, edited) = held().await;
    edited.sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&edited.sidecar).await;
    let (lead, _shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    client.answer().await;
    edited.edit(&setup.clone().set("shadow.enabled", false)).await;
    assert_eq!(edited.sidecar.status().await["kill_switch"], true);
    let mut client = asked(&edited.sidecar).await;
    private.next().await.release(Reply::ok("lead")).await;
    client.answer().await;
    assert!(!public.has_next().await, "nothing is shadowed");
}
