//! How far a job is shows before its answer, by every way a service has of showing it, and jobs are moved by it.

use serde_json::Value;
use tests::{Exchange, Origin, Raw, Reply, Setup, Sidecar, eventually};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const POLLED: &str =
    "shadow = \"on\"\nrepeatable = true\nprogress = { poll = \"/how-far/{id}?v=1\", every = \"10ms\" }";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A held service whose counter says `said` of every job: its jobs, and the names that the counter was asked for.
fn counting(
    origin: Origin,
    said: &'static str,
) -> (mpsc::UnboundedReceiver<Exchange>, mpsc::UnboundedReceiver<String>) {
    let ((jobs, their_jobs), (names, their_names)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        loop {
            let exchange = origin.next().await;
            match exchange.request.target.strip_prefix("/how-far/").and_then(|t| t.strip_suffix("?v=1")) {
                Some(name) => {
                    drop(names.send(name.to_owned()));
                    exchange.release(Reply::ok(said)).await;
                }
                None => drop(jobs.send(exchange)),
            }
        }
    });
    (their_jobs, their_names)
}

async fn asked(sidecar: &Sidecar, request: impl AsRef<[u8]>) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

/// What another sidecar is told of a dispatch.
async fn status(sidecar: &Sidecar, id: &str) -> Value {
    let request = format!("GET /.well-known/adumbra/dispatch/{id} HTTP/1.1\r\nhost: adumbra\r\n\r\n");
    serde_json::from_slice(&Raw::ask(sidecar.peers(), request).await.body).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_counter_that_the_route_names_moves_a_job() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let setup = Setup::two(private.url(), public.url()).every(POLLED);
    let (mut leads, mut asked_of_lead) = counting(private, r#"{"progress": 0.01}"#);
    let (mut shadows, mut asked_of_shadow) = counting(public, "0.9");
    let sidecar = setup.start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, GET).await;
    let mut lead = leads.recv().await.expect("a lead");
    let shadow = shadows.recv().await.expect("a shadow");
    // Each was told its own name, and is asked for it.
    let names = [lead.request.field("adumbra-dispatch"), shadow.request.field("adumbra-dispatch")];
    assert_ne!(names[0], names[1]);
    assert_eq!(asked_of_lead.recv().await.as_deref(), Some(names[0]));
    assert_eq!(asked_of_shadow.recv().await.as_deref(), Some(names[1]));
    lead.gone().await;
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!(line["progress"]["public"], serde_json::json!({ "share": 0.9, "source": "polled" }), "{line}");
    assert_eq!(line["progress"]["private"]["source"], "polled", "{line}");
    assert_eq!(sidecar.metric(r#"adumbra_progress_source_total{source="polled"}"#).await, 1.0);
}

#[tokio::test]
async fn a_counter_on_the_far_side_moves_a_job_and_the_near_side_knows_where_it_was_seen() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).every(POLLED).start();
    let near = Setup::with_peer(private.url(), &far).every("shadow = \"on\"\nrepeatable = true").start();
    near.swap_model(tests::model::open(1000.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let (mut shadows, _names) = counting(public, "0.9");
    let mut client = asked(&near, GET).await;
    let mut lead = private.next().await;
    let shadow = shadows.recv().await.expect("a shadow");
    lead.gone().await;
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    let line = near.logged(&answer.decision()).await;
    assert_eq!(line["progress"], serde_json::json!({ "public": { "share": 0.9, "source": "polled" } }), "{line}");
}

#[tokio::test]
async fn a_job_that_is_only_passed_on_is_not_asked_about() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).every(POLLED).start();
    let near = Setup::with_peer(private.url(), &far).every("shadow = \"on\"").start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    // What may not be repeated is not moved, whatever it shows, and so nobody looks at it.
    let mut first = asked(&near, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    let running = public.next().await;
    // One that is asked about: its counter is read many times while the other's is not read at all.
    let name = running.request.field("adumbra-dispatch").to_owned();
    let mut marked = Raw::connect(far.peers()).await;
    marked.write("GET / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: watched\r\n\r\n").await;
    let watched = public.next().await;
    assert_eq!(status(&far, "watched").await["progress"], Value::Null);
    for _ in 0..5 {
        let poll = public.next().await;
        assert_eq!(poll.request.target, "/how-far/watched?v=1", "{name} is nobody's question");
        poll.release(Reply::ok("0.5")).await;
    }
    eventually("the far side knows", async || status(&far, "watched").await["source"] == "polled").await;
    watched.release(Reply::ok("watched")).await;
    running.release(Reply::ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
}

#[tokio::test]
async fn the_replica_that_runs_a_job_is_the_one_that_is_asked() {
    let (one, other) = (Origin::held().await, Origin::held().await);
    let far =
        Setup::alone(one.url()).set("networks.private.upstreams", format!("[{:?}, {:?}]", one.url(), other.url()));
    let far = far.every(POLLED).start();
    let (busy, _held) = mpsc::unbounded_channel();
    let (mut jobs, mut names) = (Vec::new(), Vec::new());
    for origin in [one, other] {
        let (j, n) = counting(origin, "0.25");
        jobs.push(j);
        names.push(n);
    }
    for id in ["a", "b"] {
        let mut client = Raw::connect(far.peers()).await;
        client.write(format!("GET / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: {id}\r\n\r\n")).await;
        // Held by the test's runtime until its end.
        tokio::spawn(async move { client.answer().await });
        let (one, other) = jobs.split_at_mut(1);
        let (at, exchange) = tokio::select! {
            exchange = one[0].recv() => (0, exchange),
            exchange = other[0].recv() => (1, exchange),
        };
        eventually("it is asked about", async || status(&far, id).await["progress"] == 0.25).await;
        assert_eq!(names[at].recv().await.as_deref(), Some(id));
        while let Ok(name) = names[1 - at].try_recv() {
            assert_ne!(name, id, "the replica that does not run it was asked");
        }
        // The first stays busy, so that the second goes to the other.
        drop(busy.send(exchange));
    }
}

#[tokio::test]
async fn inputs_fetched_by_a_service_that_passes_its_baggage_on_are_progress() {
    let data = Origin::answering(|_| Reply::ok(vec![b'x'; 1000]).field("cache-control", "max-age=60")).await;
    let service = Origin::held().await;
    let far =
        Setup::alone(service.url()).set("data.origins", format!("[{:?}]", data.url())).every("warm = true").start();
    let links: Vec<String> = (0..4).map(|n| format!("<{}/{n}>; rel=preload", data.url())).collect();
    let mut client = Raw::connect(far.peers()).await;
    let head = format!("link: {}\r\nbaggage: tenant=7\r\nadumbra-transfer: reads\r\n", links.join(", "));
    client.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{head}\r\n")).await;
    let job = service.next().await;
    assert_eq!(job.request.values("baggage"), ["tenant=7", "adumbra-dispatch=reads"]);
    far.metric_becomes("adumbra_data_warmed_objects_total", 4.0).await;
    let fetch = async |path: &str, baggage: &str| {
        let request = format!("GET {}{path} HTTP/1.1\r\nhost: {}\r\n{baggage}\r\n", data.url(), data.address());
        assert_eq!(Raw::ask(far.egress(), request).await.body.len(), 1000);
    };
    // What is fetched without a name is nobody's.
    fetch("/0", "").await;
    fetch("/0", "baggage: tenant=7\r\n").await;
    assert_eq!(status(&far, "reads").await["progress"], Value::Null);
    for (path, share) in [("/0", 0.25), ("/1", 0.5), ("/2", 0.75)] {
        fetch(path, "baggage: tenant=7,adumbra-dispatch=reads;p=1\r\n").await;
        eventually("it is seen", async || status(&far, "reads").await["progress"] == share).await;
    }
    assert_eq!(status(&far, "reads").await["source"], "fetched");
    // Whoever has read everything says nothing of the work by it.
    fetch("/3", "adumbra-dispatch: reads\r\n").await;
    eventually("it is silent", async || status(&far, "reads").await["progress"].is_null()).await;
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    // Past the cache, to the origin itself, no name of ours goes along.
    let request = format!("GET {}/9 HTTP/1.1\r\nhost: {}\r\n", data.url(), data.address());
    Raw::ask(far.egress(), format!("{request}baggage: tenant=7, adumbra-dispatch=reads\r\n\r\n")).await;
    let seen = data.recorded().pop().expect("it was fetched");
    assert_eq!((seen.target.as_str(), seen.values("baggage")), ("/9", vec!["tenant=7"]));
}

const MIB: usize = 1 << 20;

/// A service that works on each piece of a body as it reads it, and never answers.
async fn working_as_it_reads() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut piece = vec![0; 128 << 10];
                while let Ok(1..) = socket.read(&mut piece).await {
                    // The work.
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_body_shows_progress_while_its_service_sets_the_pace_and_nothing_once_it_is_read() {
    let service = working_as_it_reads().await;
    let far = Setup::alone(service).set("spool.body", r#""64MiB""#).every("").start();
    let mut client = Raw::connect(far.peers()).await;
    let length = 32 * MIB;
    client
        .write(format!("POST / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: x\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    let sending = tokio::spawn(async move {
        client.write(vec![0; length]).await;
        client
    });
    let (mut last, mut looks) = (0.0, 0);
    eventually("its reading shows", async || {
        let status = status(&far, "x").await;
        if status["source"] == "taken" {
            let share = status["progress"].as_f64().expect("a share");
            assert!(share >= last && share < 1.0, "{share} after {last}");
            looks += u32::from(share > last);
            last = share;
        }
        looks >= 3
    })
    .await;
    eventually("all is taken, and that says nothing", async || {
        sending.is_finished() && status(&far, "x").await["progress"].is_null()
    })
    .await;
    assert_eq!(status(&far, "x").await["adopted"], false, "it still runs");
}
