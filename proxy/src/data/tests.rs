//! Warming and fetching through the whole cache.

pub(super) mod stage;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use stage::{Egress, Origin, Step, cache_of, kept, settled};

fn send(text: impl Into<Bytes>) -> Step {
    Step::Send(text.into())
}

#[tokio::test]
async fn what_was_warmed_is_found() {
    let origin = Origin::start([("/x", vec![send(kept("hello"))])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    assert_eq!(egress.cache.contains(&origin.url("/x")), None);

    let warming = egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("allowed and idle");
    assert!(warming.done().await);
    assert_eq!(egress.cache.contains(&origin.url("/x")), Some(5));
    assert!(
        egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("here").done().await,
        "there is nothing to do"
    );

    let answer = egress.fetch(&origin.url("/x")).await;
    assert_eq!((answer.status, answer.cache(), answer.text()), (StatusCode::OK, "hit", "hello"));
    assert_eq!(answer.headers["age"], "0");
    assert_eq!(answer.headers["content-length"], "5");
    assert_eq!(answer.headers["x-kept"], "yes");
    assert!(!answer.headers.contains_key("connection"));
    assert_eq!(origin.requests(), 1);

    let stats = egress.cache.stats();
    assert_eq!((stats.held, stats.held_bytes, stats.hits, stats.misses), (1, 5, 1, 0));
    assert_eq!((stats.warmed, stats.warmed_bytes, stats.useful_bytes, stats.wasted_bytes), (1, 5, 5, 0));
}

#[tokio::test]
async fn warming_asks_for_what_may_be_given_to_everybody() {
    let origin = Origin::start([("/x", vec![send(kept("hello"))])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    assert!(egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("allowed").done().await);
    let request = origin.request(0);
    assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", origin.address())), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
}

#[tokio::test]
async fn many_waiters_share_one_fetch() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nCache-Control: max-age=60\r\n\r\n";
    let steps = vec![Step::Wait, send(head), send(vec![b'a'; 100_000]), Step::Wait, send(vec![b'b'; 100_000])];
    let origin = Origin::start([("/x", steps)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let waiters: Vec<_> = (0..20).map(|_| egress.fetching(&origin.url("/x"))).collect();
    settled(|| egress.cache.stats().memory_bytes == 0 && origin.requests() == 1).await;
    origin.release();
    settled(|| egress.cache.stats().joined == 19).await;
    origin.release();
    for waiter in waiters {
        let answer = waiter.await.expect("no panic");
        assert_eq!(answer.body.len(), 200_000);
        assert!(answer.body[..100_000].iter().all(|b| *b == b'a') && answer.body[100_000..].iter().all(|b| *b == b'b'));
    }
    let stats = egress.cache.stats();
    assert_eq!((origin.requests(), stats.misses, stats.joined, stats.hits), (1, 1, 19, 0));
    assert_eq!(egress.fetch(&origin.url("/x")).await.cache(), "hit");
}

#[tokio::test]
async fn an_object_is_read_as_it_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nfirst";
    let origin = Origin::start([("/x", vec![send(head), Step::Wait, send("again")])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let (mut leader, _leading) = egress.open(&origin.url("/x")).await;
    assert_eq!(leader.frame().await.expect("more").expect("whole").into_data().expect("data"), "first");
    let (mut follower, _following) = egress.open(&origin.url("/x")).await;
    assert_eq!(follower.frame().await.expect("more").expect("whole").into_data().expect("data"), "first");
    origin.release();
    assert_eq!(leader.collect().await.expect("whole").to_bytes(), "again");
    assert_eq!(follower.collect().await.expect("whole").to_bytes(), "again");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_waiter_that_leaves_takes_nothing_from_the_others() {
    let steps = vec![Step::Wait, send(kept("hello"))];
    let origin = Origin::start([("/x", steps)]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let leader = egress.fetching(&origin.url("/x"));
    settled(|| origin.requests() == 1).await;
    let follower = egress.fetching(&origin.url("/x"));
    settled(|| egress.tickets(&origin.url("/x")) == 2).await;
    leader.abort();
    settled(|| egress.tickets(&origin.url("/x")) == 1).await;
    origin.release();
    assert_eq!(follower.await.expect("no panic").text(), "hello");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_fetch_ends_with_its_last_waiter() {
    let origin = Origin::start([("/x", vec![Step::Wait, send(kept("hello"))])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let (one, two) = (egress.fetching(&origin.url("/x")), egress.fetching(&origin.url("/x")));
    settled(|| egress.tickets(&origin.url("/x")) == 2).await;
    one.abort();
    two.abort();
    settled(|| origin.hung_up() == 1).await;
    assert_eq!(egress.tickets(&origin.url("/x")), 0);
    assert_eq!(egress.cache.contains(&origin.url("/x")), None);
}

#[tokio::test]
async fn a_warming_that_is_given_up_is_cancelled_and_wasted() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nfirst";
    let origin = Origin::start([("/x", vec![send(head), Step::Wait, send("again")])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let warming = egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("allowed");
    settled(|| egress.cache.stats().warmed_bytes == 5).await;
    drop(warming);
    settled(|| origin.hung_up() == 1).await;
    settled(|| egress.cache.stats().memory_bytes == 0).await;
    let stats = egress.cache.stats();
    assert_eq!((stats.warmed, stats.warmed_bytes, stats.useful_bytes, stats.wasted_bytes), (0, 5, 0, 5));
}

#[tokio::test]
async fn a_warming_that_is_given_up_goes_on_for_who_asked_meanwhile() {
    let origin = Origin::start([("/x", vec![Step::Wait, send(kept("hello"))])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    let warming = egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("allowed");
    settled(|| origin.requests() == 1).await;
    let waiter = egress.fetching(&origin.url("/x"));
    settled(|| egress.tickets(&origin.url("/x")) == 2).await;
    drop(warming);
    origin.release();
    let answer = waiter.await.expect("no panic");
    assert_eq!((answer.text(), answer.cache()), ("hello", "hit"));
    let stats = egress.cache.stats();
    assert_eq!((stats.useful_bytes, stats.wasted_bytes, stats.joined), (5, 0, 1));
}

#[tokio::test]
async fn only_so_many_warmings_run_at_once() {
    let slow = || vec![Step::Wait, send(kept("hello"))];
    let origin = Origin::start([("/1", slow()), ("/2", slow()), ("/3", slow())]).await;
    let egress = Egress::start(&origin, |data| data.warming = 2).await;
    let one = egress.cache.warm(&origin.url("/1"), &egress.cache.allowance()).expect("allowed");
    let two = egress.cache.warm(&origin.url("/2"), &egress.cache.allowance()).expect("allowed");
    assert_eq!(egress.cache.warm(&origin.url("/3"), &egress.cache.allowance()).expect_err("two run"), NotWarmed::Busy);
    let again =
        egress.cache.warm(&origin.url("/1"), &egress.cache.allowance()).expect("it is on its way, which costs nothing");
    assert_eq!(egress.cache.stats().busy, 1);
    drop((again, one));
    // The place is free when the fetch has really ended.
    settled(|| egress.cache.warming.try_take().is_some()).await;
    let three = egress.cache.warm(&origin.url("/3"), &egress.cache.allowance()).expect("one has ended");
    origin.release();
    origin.release();
    assert!(two.done().await && three.done().await);
}

#[tokio::test]
async fn only_allowed_origins_are_warmed() {
    let origin = Origin::start([]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    for url in ["http://127.0.0.1:1/x", "/x", "https://elsewhere.example/"] {
        assert_eq!(
            egress.cache.warm(&Uri::from_static(url), &egress.cache.allowance()).expect_err("not allowed"),
            NotWarmed::Forbidden
        );
    }
    assert_eq!((egress.cache.stats().forbidden, origin.requests()), (3, 0));
}

#[tokio::test]
async fn warmed_bytes_that_nobody_asks_for_are_wasted_when_they_go() {
    let origin = Origin::start([("/x", vec![send(kept("hello"))])]).await;
    let egress = Egress::start(&origin, |_| ()).await;
    assert!(egress.cache.warm(&origin.url("/x"), &egress.cache.allowance()).expect("allowed").done().await);
    let metrics = Arc::clone(&egress.cache.metrics);
    egress.stop().await;
    settled(|| metrics.data.so_far().wasted_bytes == 5).await;
}

#[tokio::test]
async fn what_cannot_be_fetched_is_not_warm() {
    let origin = Origin::start([("/cut", vec![send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")])]).await;
    let egress = Egress::start(&origin, |data| data.timeout = Duration::from_secs(5)).await;
    for path in ["/cut", "/missing"] {
        assert!(!egress.cache.warm(&origin.url(path), &egress.cache.allowance()).expect("allowed").done().await);
        assert_eq!(egress.cache.contains(&origin.url(path)), None);
    }
    settled(|| egress.cache.stats().memory_bytes == 0).await;
    let stats = egress.cache.stats();
    assert_eq!((stats.failed, stats.not_storable, stats.wasted_bytes, stats.held), (1, 1, 3, 0));
}

#[tokio::test]
async fn a_runtime_that_ends_leaves_nobody_waiting() {
    let origin = Origin::start([("/x", vec![Step::Wait])]).await;
    let cache = cache_of(&origin, |_| ());
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let warming = {
        let _inside = other.enter();
        cache.warm(&origin.url("/x"), &cache.allowance()).expect("allowed")
    };
    settled(|| origin.requests() == 1).await;
    other.shutdown_background();
    assert!(!warming.done().await);

    let gone = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let handle = gone.handle().clone();
    gone.shutdown_background();
    let warming = {
        let _inside = handle.enter();
        cache.warm(&origin.url("/x"), &cache.allowance()).expect("allowed")
    };
    assert!(!warming.done().await);
}

/// An origin that speaks TLS, with a certificate for its address; and that certificate.
async fn encrypted_origin() -> (std::net::SocketAddr, String) {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("they belong together");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a listening socket");
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.expect("a request") > 0);
            stream.write_all(kept("secret").as_bytes()).await.expect("it reads");
            stream.shutdown().await.ok();
        }
    });
    (address, issued.cert.pem())
}

#[tokio::test]
async fn an_encrypted_origin_is_verified() {
    let (address, certificate) = encrypted_origin().await;
    let origin = config::value::Origin { scheme: Scheme::HTTPS, host: "127.0.0.1".into(), port: address.port() };
    let data = stage::data_of(origin);
    let metrics = || Arc::new(Metrics::new(&[]));
    let url = format!("https://{address}/x").parse().expect("a URL");

    let trusting = certs::client_config(Some(certificate.as_bytes()), &[b"http/1.1"]).expect("one root");
    let cache = Cache::with_roots(&data, metrics(), Some(trusting));
    assert!(cache.warm(&url, &cache.allowance()).expect("allowed").done().await);
    assert_eq!(cache.contains(&url), Some(6));

    for cache in [Cache::new(&data, metrics()), Cache::with_roots(&data, metrics(), None)] {
        assert!(!cache.warm(&url, &cache.allowance()).expect("allowed").done().await, "nobody vouches for it");
        assert_eq!(cache.stats().failed, 1);
    }
}
