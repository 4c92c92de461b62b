//! Who this sidecar is to others, and who may send to it, changes with the file.

use tests::{Edited, Origin, Setup, Sidecar, Site, eventually, site};

const HEALTHY: &str = r#"adumbra_network_healthy{network="public"}"#;
const ACCEPTED: &str = r#"adumbra_peer_connections_open{side="accept"}"#;
const EVER_ACCEPTED: &str = r#"adumbra_peer_connections_accepted_total{network="other"}"#;
const EXPIRY: &str = r#"adumbra_certificate_expiry_timestamp_seconds{certificate="identity"}"#;

/// A sidecar that reaches `far` by mutual TLS, and is well with it.
async fn near(site: &Site, private: &Origin, far: &Sidecar) -> Sidecar {
    let setup = Setup::with_known_peer(private.url(), far).set("networks.public.health.every", r#""50ms""#);
    let near = site.place("private").sidecar(setup, &["public"]).start();
    near.metric_becomes(HEALTHY, 1.0).await;
    eventually("it has connected", async || far.metric(ACCEPTED).await >= 1.0).await;
    near
}

#[tokio::test]
async fn who_may_send_no_longer_is_cut_and_may_come_back() {
    let site = Site::new();
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let place = site.place("public");
    let setup = |peers: &[&str]| place.sidecar(Setup::alone(public.url()), peers);
    let far = Edited::start(&setup(&["private"]));
    let near = near(&site, &private, &far.sidecar).await;
    far.edit(&setup(&["other"])).await;
    far.sidecar.metric_becomes(ACCEPTED, 0.0).await;
    assert!(far.sidecar.sum("adumbra_peer_connections_cut_total", &[]).await >= 1.0);
    near.metric_becomes(HEALTHY, 0.0).await;
    let status = far.sidecar.status().await;
    assert_eq!(status["certificates"]["identity"]["peers"], serde_json::json!(["spiffe://test.example/other/render"]));
    far.edit(&setup(&["other", "private"])).await;
    near.metric_becomes(HEALTHY, 1.0).await;
}

#[tokio::test]
async fn a_certificate_elsewhere_is_taken_if_it_is_ours_and_refused_if_not() {
    let site = Site::new();
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let first = site.place("public");
    let far = Edited::start(&first.sidecar(Setup::alone(public.url()), &["private"]));
    let near = near(&site, &private, &far.sidecar).await;
    let before = far.sidecar.metric(EXPIRY).await;
    let anothers = site.place_of("anothers", &site::id("another"));
    let to_come = site.place_of("to-come", &site::id("public"));
    site.give(&to_come, &site::id("public"), site::to_come());
    for (place, why) in [(anothers, "needs a restart"), (to_come, "not valid now")] {
        let refused = far.refuses(&place.sidecar(Setup::alone(public.url()), &["private"]).text()).await;
        assert_eq!(refused["errors"][0]["key"], "identity.certificate", "{refused:#}");
        assert!(refused["shown"].as_str().is_some_and(|shown| shown.contains(why)), "{refused:#}");
    }
    let ours = site.place_of("moved", &site::id("public"));
    site.give(&ours, &site::id("public"), site::over_in(std::time::Duration::from_secs(12 * 3600)));
    far.edit(&ours.sidecar(Setup::alone(public.url()), &["private"])).await;
    assert!(far.sidecar.metric(EXPIRY).await < before, "it is the other certificate");
    let shown = far.sidecar.status().await["certificates"]["identity"]["expires_at_s"].as_f64();
    assert_eq!(shown, Some(far.sidecar.metric(EXPIRY).await));
    near.metric_becomes(HEALTHY, 1.0).await;
    let accepted = far.sidecar.metric(EVER_ACCEPTED).await;
    eventually("it still connects", async || far.sidecar.metric(EVER_ACCEPTED).await > accepted + 1.0).await;
    // What stands there is looked at from now on.
    site.give(&ours, &site::id("public"), site::terms());
    eventually("it is taken up", async || far.sidecar.metric(EXPIRY).await >= before).await;
}

#[tokio::test]
async fn an_identity_is_added_and_taken_away() {
    let site = Site::new();
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let clear = Setup::alone(public.url());
    let far = Edited::start(&clear);
    far.edit(&site.place("public").sidecar(clear.clone(), &["private"])).await;
    let near = near(&site, &private, &far.sidecar).await;
    assert!(far.sidecar.metric(EXPIRY).await > 0.0);
    far.edit(&clear).await;
    near.metric_becomes(HEALTHY, 0.0).await;
    far.sidecar.metric_becomes(ACCEPTED, 0.0).await;
    assert_eq!(far.sidecar.metric(EXPIRY).await, 0.0);
}

#[tokio::test]
async fn networks_come_to_be_reached_by_tls() {
    let site = Site::new();
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let far = site.place("public").sidecar(Setup::alone(public.url()), &["private"]).start();
    let alone = Setup::alone(private.url()).every(super::ON);
    let near = Edited::start(&alone);
    near.sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    let two = site.place("private").sidecar(Setup::with_known_peer(private.url(), &far).every(super::ON), &["public"]);
    near.edit(&two).await;
    near.sidecar.metric_becomes(HEALTHY, 1.0).await;
    assert_eq!(near.sidecar.get("/").await.text(), "public");
}
