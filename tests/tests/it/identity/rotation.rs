//! Certificates that are replaced on disk are taken up without anybody noticing; bad ones change nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tests::site::{id, over, over_in, terms};
use tests::tls::Identity;
use tests::{Origin, Raw, Reply, Setup, Site};
use tokio::net::TcpStream;

use super::{Two, reloads, transferring, transferring_with, two_with};

/// The serial numbers, in effect, of what a sidecar shows now.
async fn shown(two: &Two) -> Vec<u8> {
    let pair = two.near_place.pair();
    let none: [&[u8]; 0] = [];
    let trust = Arc::new(certs::Trust::new(two.site.bundle().as_bytes(), &none).expect("a bundle"));
    let expected = certs::Expected::new(trust, Arc::new([id("public")]), certs::Role::Server);
    let config = certs::peer_client_config(&pair, &expected, &[b"h2"]);
    let tcp = TcpStream::connect(two.far.peers()).await.expect("it listens");
    let name = "public.test".try_into().expect("a name");
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.expect("it is believed");
    stream.get_ref().1.peer_certificates().expect("it has shown one")[0].to_vec()
}

#[tokio::test]
async fn new_certificates_are_shown_and_a_long_answer_goes_on_under_load() {
    let two = transferring().await;
    let mut client = Raw::connect(two.near.jobs()).await;
    client.write("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut long = two.public.next().await;
    long.begin_chunked("").await;
    assert_eq!(client.head().await.status, 200);
    let before = shown(&two).await;

    let (enough, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn({
        let (jobs, enough, answered) = (two.near.jobs(), Arc::clone(&enough), Arc::clone(&answered));
        async move {
            let mut client = Raw::connect(jobs).await;
            while !enough.load(Ordering::Acquire) {
                client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
                let answer = client.answer().await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "far"));
                answered.fetch_add(1, Ordering::AcqRel);
            }
        }
    });
    let Two { site, near_place, far_place, private, public, near, far } = two;
    let serving = Arc::new(public);
    let serve = tokio::spawn({
        let serving = Arc::clone(&serving);
        async move {
            loop {
                serving.next().await.release(Reply::ok("far")).await;
            }
        }
    });
    let more = async |than: u64| {
        tests::eventually("the load goes on", async || answered.load(Ordering::Acquire) >= than + 20).await;
        answered.load(Ordering::Acquire)
    };
    let mut so_far = more(0).await;
    for round in 1..=3 {
        site.give(&far_place, &id("public"), terms());
        far.metric_becomes(&reloads("identity", "ok"), f64::from(round)).await;
        so_far = more(so_far).await;
        site.give(&near_place, &id("private"), terms());
        near.metric_becomes(&reloads("identity", "ok"), f64::from(round)).await;
        so_far = more(so_far).await;
    }
    enough.store(true, Ordering::Release);
    load.await.expect("no job failed");
    serve.abort();
    assert!(serve.await.is_err(), "it runs until it is stopped");
    assert_eq!(private.begun(), 0, "no job went elsewhere");
    let two = Two { site, near_place, far_place, private, public: Origin::held().await, near, far };
    assert_ne!(shown(&two).await, before);
    assert_eq!(shown(&two).await, two.far_place.pair().chain()[0].to_vec());
    // The answer that began before all of that ends as it should.
    long.chunk(b"still here").await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"still here"[..]));
    long.end_chunked().await;
    assert_eq!(client.chunk().await, None);
    assert_eq!(two.far.sum("adumbra_peer_connections_cut_total", &[]).await, 0.0);
    assert_eq!(two.near.sum("adumbra_peer_connections_cut_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_before_it_expires_costs_no_job() {
    let site = Site::new();
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    for (place, network) in [(&near_place, "private"), (&far_place, "public")] {
        site.give(place, &id(network), over_in(Duration::from_secs(6)));
    }
    let expires = near_place.pair().validity().not_after.max(far_place.pair().validity().not_after);
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let far = far_place.sidecar(Setup::alone(public.url()), &["private"]).start();
    let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
    let near = near_place.sidecar(setup, &["public"]).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = Raw::connect(near.jobs()).await;
    let mut answered = async || {
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "public"));
    };
    answered().await;
    for (sidecar, place, network) in [(&near, &near_place, "private"), (&far, &far_place, "public")] {
        site.give(place, &id(network), terms());
        sidecar.metric_becomes(&reloads("identity", "ok"), 1.0).await;
    }
    // Never idle for long, so that no connection would have ended by itself; certificates count whole seconds.
    while SystemTime::now() < expires + Duration::from_secs(3) {
        answered().await;
    }
    for sidecar in [&near, &far] {
        assert_eq!(sidecar.sum("adumbra_peer_connections_cut_total", &[]).await, 0.0);
    }
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing_and_is_told() {
    let two = transferring().await;
    let before = shown(&two).await;
    let (good_pem, good_key) = (two.far_place.text("identity.pem"), two.far_place.text("identity.key"));
    let (other_pem, _other_key) = two.site.pair(&id("public"), terms());
    let (elsewhere_pem, elsewhere_key) = two.site.pair(&id("elsewhere"), terms());
    let (old_pem, old_key) = two.site.pair(&id("public"), over());
    let (stranger_pem, stranger_key) = tests::Site::new().pair(&id("public"), terms());
    let half = &good_pem[..good_pem.len() / 2];
    let mut failures = 0.0;
    for (pem, key, why) in [
        (other_pem.as_str(), good_key.as_str(), "does not belong to the certificate"),
        (half, &good_key, "damaged"),
        ("", "", "no certificate"),
        (&elsewhere_pem, &elsewhere_key, "another identity needs a restart"),
        (&old_pem, &old_key, "not valid now"),
        (&stranger_pem, &stranger_key, "would not believe"),
    ] {
        // The key first, so that between the two there is nothing that fits.
        two.far_place.put("identity.key", key);
        two.far_place.put("identity.pem", pem);
        tests::eventually("it is told", async || {
            let identity = two.far.status().await["certificates"]["identity"].clone();
            identity["reload_error"].as_str().is_some_and(|told| told.contains(why))
        })
        .await;
        let now = two.far.metric(&reloads("identity", "failed")).await;
        assert!(now > failures, "{why} was not counted");
        failures = now;
        assert_eq!(shown(&two).await, before, "{why}");
        super::answered(&two, "still").await;
    }
    two.far_place.put("identity.key", &good_key);
    two.far_place.put("identity.pem", &good_pem);
    tests::eventually("nothing is wrong any more", async || {
        two.far.status().await["certificates"]["identity"]["reload_error"].is_null()
    })
    .await;
    assert_eq!(two.far.metric(&reloads("identity", "ok")).await, 0.0);
}

#[tokio::test]
async fn a_bundle_or_a_list_that_cannot_be_used_leaves_the_old_ones_in_force() {
    let two = transferring_with("shadow = \"on\"").await;
    let foreign = tests::Site::new();
    for (file, text) in [
        ("crl.pem", foreign.place("x").text("crl.pem")),
        ("crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned()),
        ("trust.pem", String::new()),
        ("trust.pem", two.near_place.text("identity.pem")),
    ] {
        let good = two.far_place.text(file);
        two.far_place.put(file, &text);
        let error = async || two.far.status().await["certificates"]["identity"]["trust_reload_error"].clone();
        tests::eventually("it is told", async || error().await.is_string()).await;
        super::answered(&two, "still").await;
        two.far_place.put(file, &good);
        tests::eventually("nothing is wrong any more", async || error().await.is_null()).await;
    }
    assert!(two.far.metric(&reloads("trust", "failed")).await >= 4.0);
    assert_eq!(two.far.sum("adumbra_peer_connections_cut_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_new_ca_is_taken_in_and_the_old_one_let_go_without_a_job_lost() {
    let two = two_with(|near| near.every("shadow = \"on\""), |far| far).await;
    two.near.swap_model(tests::model::settled(1000.0, 1.0));
    let new = tests::Site::new();
    super::answered(&two, "old").await;
    let both = format!("{}{}", two.site.bundle(), new.bundle());
    let places = [(&two.near, &two.near_place, "private"), (&two.far, &two.far_place, "public")];
    for (sidecar, place, _) in places {
        place.put("trust.pem", &both);
        sidecar.metric_becomes(&reloads("trust", "ok"), 1.0).await;
    }
    super::answered(&two, "both").await;
    for (sidecar, place, network) in places {
        new.give(place, &id(network), terms());
        sidecar.metric_becomes(&reloads("identity", "ok"), 1.0).await;
        super::answered(&two, "one by one").await;
    }
    for (sidecar, place, _) in places {
        place.put("crl.pem", &new.place("x").text("crl.pem"));
        sidecar.metric_becomes(&reloads("trust", "ok"), 2.0).await;
        place.put("trust.pem", new.bundle());
        sidecar.metric_becomes(&reloads("trust", "ok"), 3.0).await;
        super::answered(&two, "new").await;
    }
    assert_eq!(two.private.begun(), 0);
}

#[tokio::test]
async fn the_certificate_for_clients_is_replaced_as_well() {
    let (old, new) = (Identity::new(), Identity::new());
    let origin = Origin::held().await;
    let toml = old.toml().replace(" }", ", reload_every = \"20ms\" }");
    let sidecar = Setup::alone(origin.url()).set("listen.tls", toml).start();
    let mut kept = Raw::over(old.connect(sidecar.jobs(), &[b"http/1.1"]).await);
    kept.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let running = origin.next().await;
    std::fs::copy(new.key(), old.key()).expect("a file can be replaced");
    sidecar.metric_becomes(&reloads("jobs", "failed"), 1.0).await;
    std::fs::copy(new.certificate(), old.certificate()).expect("a file can be replaced");
    sidecar.metric_becomes(&reloads("jobs", "ok"), 1.0).await;
    let _believed = new.connect(sidecar.jobs(), &[b"h2"]).await;
    running.release(Reply::ok("kept")).await;
    assert_eq!(kept.answer().await.text(), "kept");
}
