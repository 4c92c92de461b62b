//! Two sidecars that know each other by mutual TLS: everything works as in the clear, and nobody else gets anything.

mod commands;
mod parity;
mod refused;
mod revocation;
mod rotation;
mod start;

use tests::site::Place;
use tests::{Origin, Reply, Setup, Sidecar, Site, eventually};

/// A route that may do everything.
const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// Two sidecars, each with its service, and what each was given.
struct Two {
    site: Site,
    near_place: Place,
    far_place: Place,
    private: Origin,
    public: Origin,
    near: Sidecar,
    far: Sidecar,
}

/// Near is `private`, far is `public`; every job is led at home and shadowed on the far side.
async fn led() -> Two {
    let two = two_with(|near| near.every(ON), |far| far).await;
    two.near.swap_model(tests::model::open(1000.0));
    two
}

/// The same, but every job goes to the far side.
async fn transferring() -> Two {
    transferring_with(ON).await
}

async fn transferring_with(route: &str) -> Two {
    let two = two_with(|near| near.every(route), |far| far).await;
    two.near.swap_model(tests::model::settled(1000.0, 1.0));
    two
}

async fn two_with(near: impl FnOnce(Setup) -> Setup, far: impl FnOnce(Setup) -> Setup) -> Two {
    let site = Site::new();
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = far_place.sidecar(far(Setup::alone(public.url())), &["private"]).start();
    let setup = near(Setup::with_known_peer(private.url(), &far));
    let near = near_place.sidecar(setup, &["public"]).start();
    near.metric_becomes(HEALTHY, 1.0).await;
    Two { site, near_place, far_place, private, public, near, far }
}

const HEALTHY: &str = r#"adumbra_network_healthy{network="public"}"#;

fn refused(side: &str, reason: &str) -> String {
    format!(r#"adumbra_peer_handshakes_refused_total{{side="{side}",reason="{reason}"}}"#)
}

fn cut(reason: &str) -> String {
    format!(r#"adumbra_peer_connections_cut_total{{reason="{reason}"}}"#)
}

fn reloads(certificate: &str, result: &str) -> String {
    format!(r#"adumbra_certificate_reloads_total{{certificate="{certificate}",result="{result}"}}"#)
}

#[tokio::test]
async fn two_sidecars_that_know_each_other_show_whom_they_know() {
    let two = led().await;
    let Two { near, far, .. } = &two;
    let status = &near.status().await["certificates"]["identity"];
    assert_eq!(status["id"], "spiffe://test.example/private/render");
    assert_eq!(status["peers"], serde_json::json!(["spiffe://test.example/public/render"]));
    assert_eq!((&status["believable"], &status["reload_error"]), (&true.into(), &serde_json::Value::Null));
    assert!(status["expires_in_s"].as_f64().expect("a number") > 6.0 * 24.0 * 3600.0, "{status}");
    let expiry = near.metric(r#"adumbra_certificate_expiry_timestamp_seconds{certificate="identity"}"#).await;
    assert_eq!(Some(expiry), status["expires_at_s"].as_f64());
    // The far side knows no network of that name, but who may send.
    // Both sides count when they have seen the last of a handshake, and neither waits for the other.
    for (sidecar, series) in [
        (far, r#"adumbra_peer_connections_accepted_total{network="other"}"#),
        (far, r#"adumbra_peer_connections_open{side="accept"}"#),
        (near, r#"adumbra_peer_connections_open{side="connect"}"#),
    ] {
        eventually(series, async || sidecar.metric(series).await >= 1.0).await;
    }
    assert_eq!(near.ask("/readyz").await.status, 200);
}

#[test]
fn a_file_and_a_certificate_agree_on_what_an_identity_is() {
    let long = |length: usize| "a".repeat(length);
    let mut uris = vec!["".to_owned(), "spiffe://".to_owned()];
    for domain in ["a", "corp.example", "A", "a:1", "u@a", "", "é", "a%2e", "..", &long(255), &long(256)] {
        for path in ["", "/", "/b", "/b/c", "/b/c/", "/b/c/d", "//c", "/b/", "/./c", "/../c", "/b/...", "/B_1/c.d-e"] {
            uris.push(format!("spiffe://{domain}{path}"));
            uris.push(format!("SPIFFE://{domain}{path}"));
        }
    }
    for tail in ["c?d", "c#d", "c d", "%63", "é", "c\t", &long(64), &long(65)] {
        uris.push(format!("spiffe://a/b/{tail}"));
    }
    let mut good = 0;
    for uri in uris {
        let file = format!(
            "identity = {{ certificate = 'c', key = 'k', trust = 't', peers = [{uri:?}] }}\nhome = 'a'\n\
             listen.jobs = '127.0.0.1:1'\nnetworks.a.upstreams = ['http://h']\n"
        );
        let in_a_file = config::parse(&file, "file").is_ok();
        assert_eq!(in_a_file, certs::SpiffeId::parse(&uri).is_ok(), "{uri:?}");
        good += usize::from(in_a_file);
    }
    assert!(good > 8, "{good} were good");
}

/// Lets the far service answer the next job.
async fn answered(two: &Two, with: &'static str) {
    let mut client = tests::Raw::connect(two.near.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    two.public.next().await.release(Reply::ok(with)).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), (with, "public"));
}
