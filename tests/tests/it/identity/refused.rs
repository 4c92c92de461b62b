//! Whoever is not exactly who they should be is refused in the handshake, counted, and nothing of theirs is executed.

use std::sync::Arc;

use certs::{Expected, Pair, Role, SpiffeId, Trust, peer_client_config};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tests::site::{self, id};
use tests::{Origin, Raw, Reply, Setup, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Two, refused, transferring, transferring_with};

/// A client that shows `pair` and believes the far sidecar.
fn showing(site: &Site, pair: &Pair) -> Arc<ClientConfig> {
    let none: [&[u8]; 0] = [];
    let trust = Arc::new(Trust::new(site.bundle().as_bytes(), &none).expect("a bundle"));
    peer_client_config(pair, &Expected::new(trust, Arc::new([id("public")]), Role::Server), &[b"http/1.1"])
}

fn pair((certificate, key): &(String, String)) -> Pair {
    Pair::new(certificate.as_bytes(), key.as_bytes()).expect("a pair")
}

/// What comes back to a shadow that is asked for with `config`, if the handshake lets it through.
async fn asks(two: &Two, config: Arc<ClientConfig>) -> std::io::Result<Vec<u8>> {
    let tcp = TcpStream::connect(two.far.peers()).await?;
    let name = ServerName::try_from("public.test").expect("a name");
    let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
    // With TLS 1.3 a client that shows a bad certificate hears of it only now.
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id=x; level=medium; cpu=1; memory=1000000; bytes_per_s=1; window_ms=1\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[track_caller]
fn assert_refused(answered: &std::io::Result<Vec<u8>>) {
    match answered {
        Err(_) => {}
        Ok(answer) => assert!(answer.is_empty(), "it was answered: {}", String::from_utf8_lossy(answer)),
    }
}

#[tokio::test]
async fn whoever_shows_the_wrong_certificate_is_refused_in_the_handshake() {
    let two = transferring().await;
    let stranger = Site::new();
    let own = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("it can be signed");
    let revoked = two.site.place("revoked");
    let other = SpiffeId::new("test.example", "private", "other").expect("an identity");
    // Its list is the one that the far side has, once it has taken it up.
    two.site.revoke(&revoked);
    two.site.give_list(&two.far_place);
    two.far.metric_becomes(&super::reloads("trust", "ok"), 1.0).await;
    for (shown, reason) in [
        (two.site.pair(&other, site::terms()), "identity"),
        (two.site.pair(&id("public"), site::terms()), "identity"),
        (stranger.pair(&id("private"), site::terms()), "unknown_issuer"),
        ((own.cert.pem(), own.signing_key.serialize_pem()), "unknown_issuer"),
        (two.site.pair(&id("private"), site::over()), "expired"),
        (two.site.pair(&id("private"), site::to_come()), "not_yet_valid"),
        ((revoked.text("identity.pem"), revoked.text("identity.key")), "revoked"),
    ] {
        let before = two.far.metric(&refused("accept", reason)).await;
        assert_refused(&asks(&two, showing(&two.site, &pair(&shown))).await);
        two.far.metric_becomes(&refused("accept", reason), before + 1.0).await;
    }
    assert_eq!(two.public.begun(), 0, "nothing reached the service");
    // The certificate was all that stood against it.
    let good = two.site.pair(&id("private"), site::terms());
    let answered = tokio::spawn({
        let config = showing(&two.site, &pair(&good));
        let to = two.far.peers();
        async move {
            let tcp = TcpStream::connect(to).await.expect("it listens");
            let name = ServerName::try_from("public.test").expect("a name");
            let stream = TlsConnector::from(config).connect(name, tcp).await.expect("it is believed");
            let mut client = Raw::over(stream);
            client.write("GET / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: x\r\n\r\n").await;
            client.answer().await.text()
        }
    });
    two.public.next().await.release(Reply::ok("believed")).await;
    assert_eq!(answered.await.expect("no panic"), "believed");
}

#[tokio::test]
async fn whoever_shows_none_or_speaks_no_tls_13_is_refused() {
    let two = transferring().await;
    let roots = || {
        let mut roots = rustls::RootCertStore::empty();
        let bundle = two.site.bundle().as_bytes();
        for root in rustls::pki_types::pem::PemObject::pem_slice_iter(bundle) {
            roots.add(root.expect("a certificate")).expect("a root");
        }
        roots
    };
    let config = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ChainOnly(roots())))
            .with_no_client_auth()
    };
    assert_refused(&asks(&two, Arc::new(config(&[&rustls::version::TLS13]))).await);
    two.far.metric_becomes(&refused("accept", "no_certificate"), 1.0).await;
    let before = two.far.metric(&refused("accept", "protocol")).await;
    assert_refused(&asks(&two, Arc::new(config(&[&rustls::version::TLS12]))).await);
    two.far.metric_becomes(&refused("accept", "protocol"), before + 1.0).await;
    // In the clear there is nothing to be had, either.
    let clear = Raw::send(two.far.peers(), "GET /.well-known/adumbra/load HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!clear.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&clear));
    two.far.metric_becomes(&refused("accept", "protocol"), before + 2.0).await;
    assert_eq!(two.public.begun(), 0);
}

/// Believes whoever the roots vouch for, whatever its name.
#[derive(Debug)]
struct ChainOnly(rustls::RootCertStore);

impl rustls::client::danger::ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &rustls::pki_types::CertificateDer<'_>,
        intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.0,
            intermediates,
            now,
            algorithms.all,
        )?;
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_sidecar_that_is_not_who_it_should_be_gets_no_byte_of_a_job() {
    for (shown, reason) in [("other", "identity"), ("public", "unknown_issuer")] {
        let site = Site::new();
        let elsewhere = Site::new();
        let of = if reason == "identity" { &site } else { &elsewhere };
        let far_place = of.place_of("far", &id(shown));
        let near_place = site.place("private");
        let (private, public) = (Origin::named("private").await, Origin::named("public").await);
        let far = far_place.sidecar(Setup::alone(public.url()), &["private"]).start();
        let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
        let near = near_place.sidecar(setup, &["public"]).start();
        near.swap_model(tests::model::settled(1000.0, 1.0));
        // Not one that may be repeated: it is sent on only because it is known that nothing was executed.
        let body = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        let answer = Raw::ask(near.jobs(), body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "private"));
        assert!(near.metric(&refused("connect", reason)).await >= 1.0);
        assert_eq!(public.begun(), 0);
    }
}

#[tokio::test]
async fn a_job_is_not_lost_to_a_sidecar_that_does_not_believe_us() {
    let site = Site::new();
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let far = far_place.sidecar(Setup::alone(public.url()), &["somebody-else"]).start();
    let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
    let near = near_place.sidecar(setup, &["public"]).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    for _ in 0..3 {
        let body = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        let answer = Raw::ask(near.jobs(), body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "private"));
    }
    assert!(near.metric(&refused("connect", "by_peer")).await >= 1.0);
    assert!(far.metric(&refused("accept", "identity")).await >= 1.0);
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn an_upgrade_is_not_lost_to_a_sidecar_that_does_not_believe_us() {
    let site = Site::new();
    let (near_place, far_place) = (site.place("private"), site.place("public"));
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = far_place.sidecar(Setup::alone(public.url()), &["somebody-else"]).start();
    let setup = Setup::with_known_peer(private.url(), &far).every("shadow = \"on\"");
    // Nothing but the jobs themselves is to show what it is like there.
    let setup = setup.set("networks.public.health", "{ every = \"1h\", failures = 100 }");
    let near = near_place.sidecar(setup, &["public"]).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    for _ in 0..3 {
        let before = near.metric(&refused("connect", "by_peer")).await;
        let mut client = Raw::connect(near.jobs()).await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
        let mut service = private.next().await;
        service.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
        let answer = client.head().await;
        assert_eq!((answer.status, answer.decision().said()), (101, ("private", "failover", "send")));
        assert!(near.metric(&refused("connect", "by_peer")).await > before);
    }
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn a_stranger_with_a_good_certificate_gets_nothing_by_the_jobs_listener() {
    let Two { private, near, .. } = transferring_with("shadow = \"off\"").await;
    let marked = [
        "adumbra-shadow: id=x; level=medium; cpu=1; memory=1000000; bytes_per_s=1000; window_ms=1000",
        "adumbra-transfer: x",
        "adumbra-decision: public; cheaper",
        "adumbra-not-executed: 1",
    ];
    for mark in marked {
        let mut client = Raw::connect(near.jobs()).await;
        client.write(format!("GET /.well-known/adumbra/load HTTP/1.1\r\nhost: a\r\n{mark}\r\n\r\n")).await;
        let running = private.next().await;
        assert!(running.request.values(mark.split(':').next().expect("a name")).is_empty(), "{mark} went on");
        running.release(Reply::ok("as any other")).await;
        assert_eq!(client.answer().await.text(), "as any other");
    }
    assert_eq!(near.sum("adumbra_shadows_served_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_sidecar_can_ask_about_its_own_dispatches_only() {
    let site = Site::new();
    let public = Origin::held().await;
    let far = site.place("public").sidecar(Setup::alone(public.url()), &["private", "third"]).start();
    let connect = async |network: &str| {
        let config = showing(&site, &pair(&site.pair(&id(network), site::terms())));
        let tcp = TcpStream::connect(far.peers()).await.expect("it listens");
        let name = ServerName::try_from("public.test").expect("a name");
        Raw::over(TlsConnector::from(config).connect(name, tcp).await.expect("it is believed"))
    };
    let mut shadow = connect("private").await;
    shadow
        .write("GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id=x; level=medium; cpu=1; memory=1000000; bytes_per_s=1000000; window_ms=60000\r\n\r\n")
        .await;
    let running = public.next().await;
    let adopt = "POST /.well-known/adumbra/adopt/x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    let look = "GET /.well-known/adumbra/dispatch/x HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut third = connect("third").await;
    for question in [adopt, look] {
        third.write(question).await;
        assert_eq!(third.answer().await.status, 404, "{question}");
    }
    let mut owner = connect("private").await;
    for (question, status) in [(look, 200), (adopt, 204)] {
        owner.write(question).await;
        assert_eq!(owner.answer().await.status, status, "{question}");
    }
    running.release(Reply::ok("done")).await;
    assert_eq!(shadow.answer().await.text(), "done");
}
