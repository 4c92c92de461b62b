//! Who is believed no longer is cut off, on whichever side it is noticed, and what it was sent for is told.

use std::time::Duration;

use tests::site::{id, over_in};
use tests::{Origin, Raw, Reply, Setup, Site};

use super::{Two, cut, refused, reloads, transferring_with};

/// A job that runs on the far side, and has begun to answer.
async fn begun(two: &Two) -> (Raw<tokio::net::TcpStream>, tests::Exchange) {
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut running = two.public.next().await;
    running.begin_chunked("").await;
    assert_eq!(client.head().await.status, 200);
    running.chunk(b"piece").await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"piece"[..]));
    (client, running)
}

#[tokio::test]
async fn a_live_connection_of_a_revoked_sidecar_is_cut_by_whoever_accepted_it() {
    let two = transferring_with("shadow = \"on\"").await;
    let (mut client, mut running) = begun(&two).await;
    two.site.revoke(&two.near_place);
    two.site.give_list(&two.far_place);
    // The service is told, and so is the client: its answer breaks off.
    running.gone().await;
    let rest = client.to_end().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a broken answer must not look whole");
    assert!(two.far.sum("adumbra_peer_connections_cut_total", &["revoked"]).await >= 1.0);
    two.far.metric_becomes(r#"adumbra_peer_connections_open{side="accept"}"#, 0.0).await;
    two.far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    // It does not get in again, and its jobs are not lost.
    let mut next = Raw::connect(two.near.jobs()).await;
    next.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
    two.private.next().await.release(Reply::ok("at home")).await;
    assert_eq!(next.answer().await.text(), "at home");
    assert!(two.far.metric(&refused("accept", "revoked")).await >= 1.0);
}

#[tokio::test]
async fn a_live_connection_to_a_revoked_sidecar_is_cut_by_whoever_made_it() {
    let two = transferring_with("shadow = \"on\"").await;
    let (mut client, mut running) = begun(&two).await;
    two.site.revoke(&two.far_place);
    two.site.give_list(&two.near_place);
    running.gone().await;
    let rest = client.to_end().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a broken answer must not look whole");
    assert!(two.near.sum("adumbra_peer_connections_cut_total", &["revoked"]).await >= 1.0);
    let mut next = Raw::connect(two.near.jobs()).await;
    next.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
    two.private.next().await.release(Reply::ok("at home")).await;
    assert_eq!(next.answer().await.text(), "at home");
    assert!(two.near.metric(&refused("connect", "revoked")).await >= 1.0);
}

#[tokio::test]
async fn an_upgraded_connection_is_cut_as_well() {
    let two = transferring_with("shadow = \"on\"").await;
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    let mut running = two.public.next().await;
    running.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 101);
    two.site.revoke(&two.near_place);
    two.site.give_list(&two.far_place);
    running.gone().await;
    assert!(client.to_end().await.is_empty());
}

#[tokio::test]
async fn a_shadow_of_a_revoked_sidecar_ends_and_its_job_does_not() {
    let two = super::led().await;
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (lead, mut shadow) = (two.private.next().await, two.public.next().await);
    two.site.revoke(&two.near_place);
    two.site.give_list(&two.far_place);
    shadow.gone().await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
}

#[tokio::test]
async fn a_live_connection_is_cut_when_its_certificate_expires() {
    let site = Site::new();
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = far_place.sidecar(Setup::alone(public.url()), &["private"]).start();
    // Long enough to begin a job, and no longer.
    site.give(&near_place, &id("private"), over_in(Duration::from_secs(4)));
    let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
    let near = near_place.sidecar(setup, &["public"]).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let two = Two { site, near_place, far_place, private, public, near, far };
    let (mut client, mut running) = begun(&two).await;
    running.gone().await;
    assert!(!client.to_end().await.ends_with(b"0\r\n\r\n"));
    assert!(two.far.metric(&cut("expired")).await >= 1.0);
    let identity = &two.near.status().await["certificates"]["identity"];
    assert_eq!(identity["believable"], false, "{identity}");
    assert_eq!(two.near.ask("/readyz").await.status, 200, "jobs still run at home");
    // A new one brings it back.
    two.site.give(&two.near_place, &id("private"), tests::site::terms());
    two.near.metric_becomes(&reloads("identity", "ok"), 1.0).await;
    tests::eventually("the far side takes jobs again", async || {
        let mut client = Raw::connect(two.near.jobs()).await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        tokio::select! {
            far = two.public.next() => { far.release(Reply::ok("far")).await; }
            home = two.private.next() => { home.release(Reply::ok("home")).await; }
        }
        client.answer().await.text() == "far"
    })
    .await;
}

#[tokio::test]
async fn a_ca_that_leaves_the_bundle_takes_its_connections_with_it() {
    let two = transferring_with("shadow = \"on\"").await;
    let (mut client, mut running) = begun(&two).await;
    let other = Site::new();
    two.far_place.put("crl.pem", &other.place("x").text("crl.pem"));
    two.far_place.put("trust.pem", other.bundle());
    running.gone().await;
    assert!(!client.to_end().await.ends_with(b"0\r\n\r\n"));
    assert!(two.far.metric(&cut("unknown_issuer")).await >= 1.0);
}

#[tokio::test]
async fn a_live_connection_is_cut_when_its_ca_expires_and_no_new_one_is_taken() {
    // Long enough to begin a job, and no longer; the certificates would hold for a week.
    let site = Site::of(over_in(Duration::from_secs(6)));
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = far_place.sidecar(Setup::alone(public.url()), &["private"]).start();
    let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
    let near = near_place.sidecar(setup, &["public"]).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let two = Two { site, near_place, far_place, private, public, near, far };
    let (mut client, mut running) = begun(&two).await;
    let identity = &two.near.status().await["certificates"]["identity"];
    let expires_at_s = two.near.metric(r#"adumbra_certificate_expiry_timestamp_seconds{certificate="trust"}"#).await;
    assert!(expires_at_s < identity["expires_at_s"].as_f64().expect("a number"), "{expires_at_s} {identity}");
    assert_eq!(identity["believable"], true, "{identity}");
    running.gone().await;
    assert!(!client.to_end().await.ends_with(b"0\r\n\r\n"));
    assert!(two.far.metric(&cut("expired")).await + two.near.metric(&cut("expired")).await >= 1.0);
    let identity = &two.near.status().await["certificates"]["identity"];
    assert_eq!(identity["believable"], false, "{identity}");
    assert!(identity["authorities"][0]["expires_in_s"].as_f64().expect("a number") < 0.0, "{identity}");
    let mut next = Raw::connect(two.near.jobs()).await;
    next.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
    two.private.next().await.release(Reply::ok("at home")).await;
    assert_eq!(next.answer().await.text(), "at home");
    tests::eventually("a handshake is refused", async || two.near.metric(&refused("connect", "expired")).await >= 1.0)
        .await;
}
