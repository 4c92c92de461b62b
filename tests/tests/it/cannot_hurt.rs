//! Shadows take what live work leaves, and no network gets what is not for it.

use tests::origin::Exchange;
use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually, within};

const ON: &str = "shadow = \"on\"\nrepeatable = true";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn asked(sidecar: &Sidecar, request: impl AsRef<[u8]>) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

/// Jobs at `/live` run on the public network alone; all others are led at home and shadowed there.
fn with_live(private: &Origin, public: &Origin) -> Setup {
    Setup::two(private.url(), public.url())
        .route("name = \"live\"\nmatch = { path = \"/live\" }\nresidency = [\"public\"]")
        .every(ON)
}

#[tokio::test]
async fn shadows_have_no_more_than_their_share_of_a_network() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let budget = r#"{ in_flight = 64, per_second = 1000.0, bytes_per_second = "1GiB", share = "25%" }"#;
    let sidecar =
        with_live(&private, &public).set("networks.public.capacity", 8).set("networks.public.shadows", budget).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push((asked(&sidecar, GET).await, private.next().await));
    }
    let _two: [Exchange; 2] = [public.next().await, public.next().await];
    for (client, lead) in clients.iter_mut().rev().map(|(client, lead)| (client, lead)) {
        lead.offer(&Reply::ok("lead").bytes(false)).await;
        assert_eq!(client.answer().await.text(), "lead");
    }
    assert_eq!(public.begun(), 2, "a quarter of eight");
}

#[tokio::test]
async fn a_shadow_is_the_first_to_go_when_live_work_needs_its_room() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = with_live(&private, &public).set("networks.public.capacity", 1).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    let mut live = asked(&sidecar, "GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    shadow.gone().await;
    public.next().await.release(Reply::ok("live")).await;
    assert_eq!(live.answer().await.text(), "live");
    assert_eq!(sidecar.metric(r#"adumbra_shadows_shed_total{network="public"}"#).await, 1.0);
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
    sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 0.0).await;
    let started = sidecar.sum("adumbra_shadows_started_total", &[]).await;
    assert_eq!(started, sidecar.sum("adumbra_shadows_ended_total", &[]).await);
}

#[tokio::test]
async fn a_served_shadow_goes_when_the_far_side_needs_its_room_with_or_without_a_head() {
    for begun in [false, true] {
        let public = Origin::held().await;
        let far = Setup::alone(public.url()).set("networks.private.capacity", 1).start();
        let mut peer = Raw::connect(far.peers()).await;
        peer.write(
            "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id=s; level=medium; cpu=1; memory=1000000; \
                    bytes_per_s=1000000; window_ms=60000\r\n\r\n",
        )
        .await;
        let mut shadow = public.next().await;
        if begun {
            shadow.begin_chunked("").await;
            assert_eq!(peer.head().await.status, 200);
        }
        let mut live = asked(&far, GET).await;
        shadow.gone().await;
        public.next().await.release(Reply::ok("live")).await;
        assert_eq!(live.answer().await.text(), "live");
        far.metric_becomes(r#"adumbra_shadows_served_total{end="shed"}"#, 1.0).await;
        far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
        assert_eq!(far.metric(r#"adumbra_shadows_shed_total{network="private"}"#).await, 1.0);
    }
}

const SECRETS: &str = "GET / HTTP/1.1\r\nhost: a\r\nauthorization: me\r\ncookie: a=b\r\nx-kept: yes\r\n\r\n";

fn stripping(private: &str, public: &str) -> Setup {
    Setup::two(private, public)
        .set("networks.public.strip_headers", r#"["authorization"]"#)
        .set("networks.public.shadows", r#"{ in_flight = 64, per_second = 1000.0, strip_headers = ["cookie"] }"#)
        .every(ON)
}

#[tokio::test]
async fn a_network_gets_no_header_that_is_not_for_it_and_a_shadow_none_that_is_not_for_shadows() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = stripping(&private.url(), &public.url()).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, SECRETS).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    let has = |exchange: &Exchange| ["authorization", "cookie", "x-kept"].map(|name| exchange.request.has(name));
    assert_eq!((has(&lead), has(&shadow)), ([true, true, true], [false, false, true]));
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    // As a job of its own it has its cookie there.
    sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(&sidecar, SECRETS).await;
    let sent = public.next().await;
    assert_eq!(has(&sent), [false, true, true]);
    sent.release(Reply::ok("sent")).await;
    assert_eq!(client.answer().await.text(), "sent");
}

#[tokio::test]
async fn what_was_taken_off_for_one_network_is_there_for_the_next() {
    let private = Origin::held().await;
    let sidecar = stripping(&private.url(), "http://127.0.0.1:1").start();
    sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(&sidecar, SECRETS).await;
    let rescued = private.next().await;
    assert_eq!((rescued.request.field("authorization"), rescued.request.field("cookie")), ("me", "a=b"));
    rescued.release(Reply::ok("rescued")).await;
    assert_eq!(client.answer().await.decision().said(), ("private", "failover", "send"));
}

#[tokio::test]
async fn a_private_job_leaves_no_byte_on_the_public_side_whatever_becomes_of_it() {
    const MARK: &str = "s3cret";
    let (private, public) = (Origin::held().await, Origin::held_as_sidecar().await);
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let near = Setup::two(private.url(), "")
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!("[\"{}\"]", public.url()))
        .set("data.origins", format!("[\"{}\"]", private.url()))
        .set("log.decisions", format!("{:?}", log.path()))
        .set("shadow.sample_share", "1.0")
        .set("shadow.explore_share", "1.0")
        .every(&format!("{ON}\nresidency = [\"private\"]\nasynchronous = {{ delete = \"DELETE\" }}"))
        .start();
    let answering = async {
        loop {
            public.next_ever().await.release(Reply::ok(r#"{"in_flight":0,"capacity":9}"#)).await;
        }
    };
    let jobs = async {
        // Whatever says that it should be there: a model, a failure, being full, a location, an input.
        near.swap_model(tests::model::settled(1000.0, 1.0));
        let request = |target: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nhost: {MARK}\r\ncookie: {MARK}\r\nlink: <{}/{MARK}>; rel=preload\r\n\
                 content-length: 6\r\n\r\n{MARK}",
                private.url()
            )
        };
        let next_job = async || loop {
            let exchange = private.next().await;
            if exchange.request.method == "GET" {
                exchange.release(Reply::ok(MARK).field("cache-control", "max-age=60")).await;
            } else {
                return exchange;
            }
        };
        let mut client = asked(&near, request(&format!("/{MARK}/1"))).await;
        next_job().await.release(Reply::of(202, MARK).field("location", &format!("/{MARK}/at/1"))).await;
        assert_eq!(client.answer().await.status, 202);
        let mut client = asked(&near, request(&format!("/{MARK}/at/1"))).await;
        next_job().await.release(Reply::of(503, MARK)).await;
        assert_eq!(client.answer().await.status, 503);
        let mut client = asked(&near, request(&format!("/{MARK}/2?q={MARK}"))).await;
        // The first may have come over a connection that was kept, and then it is tried there once more.
        next_job().await.break_off();
        next_job().await.break_off();
        assert_eq!(client.answer().await.status, 502, "it is not tried elsewhere");
        eventually("they are logged", async || near.decisions(0).await.len() == 3).await;
    };
    let both = Box::pin(async {
        tokio::select! {
            () = answering => {}
            () = jobs => {}
        }
    });
    within("the jobs end", both).await;
    near.stop().await;
    let holds = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    let recorded = public.recorded();
    assert!(!recorded.is_empty(), "it was asked for its load");
    assert!(recorded.iter().all(|request| request.target.starts_with("/.well-known/adumbra/")), "{recorded:?}");
    assert!(!recorded.iter().any(|request| holds(&request.head) || holds(&request.body)), "{recorded:?}");
    let lines = std::fs::read(log.path()).expect("the log can be read");
    assert!(!lines.is_empty() && !holds(&lines), "{}", String::from_utf8_lossy(&lines));
}

#[tokio::test]
async fn a_sample_that_is_answered_without_end_is_read_for_its_window_at_its_rate() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.sample_share", "1.0")
        .set("shadow.window_min", r#""200ms""#)
        .set("shadow.sample_window", r#""200ms""#)
        .set("shadow.levels.medium.bytes_per_second", r#""1MiB""#)
        .every(ON)
        .start();
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    shadow.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await;
    within("it is closed", shadow.write_until_gone(&vec![b'x'; 1 << 20])).await;
    sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="public",end="cancelled"}"#, 1.0).await;
    let received = sidecar.metric(r#"adumbra_shadow_bytes_total{network="public",direction="received"}"#).await;
    assert!(received < (8 << 20) as f64, "{received} bytes of ten billion");
}
