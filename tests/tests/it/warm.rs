//! The data that a job declares is on its way before anything is decided, to where the job leans, and the service finds it.

use tests::{Answer, Origin, Raw, Reply, Setup, Sidecar};

const ON: &str = "shadow = \"on\"\nrepeatable = true\nwarm = true";
const WARMED: &str = "adumbra_data_warmed_objects_total";

async fn data() -> Origin {
    Origin::answering(|request| Reply::ok(format!("data of {}", request.target)).field("cache-control", "max-age=60"))
        .await
}

fn allowing(setup: Setup, data: &Origin) -> Setup {
    setup.set("data.origins", format!("[{:?}]", data.url()))
}

/// A job that declares these inputs; its client waits.
async fn asked(sidecar: &Sidecar, data: &Origin, paths: &[&str]) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    let links: Vec<String> = paths.iter().map(|path| format!("<{}{path}>; rel=preload", data.url())).collect();
    client.write(format!("GET / HTTP/1.1\r\nhost: a\r\nlink: {}\r\n\r\n", links.join(", "))).await;
    client
}

/// The service asks for an input through its sidecar, as to a plain proxy.
async fn fetched(sidecar: &Sidecar, data: &Origin, path: &str) -> Answer {
    let (origin, address) = (data.url(), data.address());
    Raw::ask(sidecar.egress(), format!("GET {origin}{path} HTTP/1.1\r\nhost: {address}\r\n\r\n")).await
}

async fn lookups(sidecar: &Sidecar, result: &str) -> f64 {
    sidecar.metric(&format!(r#"adumbra_data_lookups_total{{result="{result}"}}"#)).await
}

#[tokio::test]
async fn what_a_job_declares_is_found_by_the_service_at_home() {
    let (private, data) = (Origin::held().await, data().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let mut client = asked(&sidecar, &data, &["/a", "/b"]).await;
    let job = private.next().await;
    sidecar.metric_becomes(WARMED, 2.0).await;
    for path in ["/a", "/b"] {
        let answer = fetched(&sidecar, &data, path).await;
        assert_eq!((answer.status, answer.field("adumbra-cache")), (200, "hit"));
        assert_eq!(answer.text(), format!("data of {path}"));
    }
    assert_eq!(data.begun(), 2, "each was fetched once");
    assert_eq!((lookups(&sidecar, "hit").await, lookups(&sidecar, "miss").await), (2.0, 0.0));
    let bytes = 2.0 * "data of /a".len() as f64;
    for series in ["adumbra_data_warmed_bytes_total", "adumbra_data_useful_bytes_total"] {
        assert_eq!(sidecar.metric(series).await, bytes, "{series}");
    }
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn data_moves_before_anything_of_the_job_is_sent() {
    let (private, public, data) = (Origin::held().await, Origin::held().await, data().await);
    let sidecar = allowing(Setup::two(private.url(), public.url()), &data).every(&format!("{ON}\nhold = true")).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = Raw::connect(sidecar.jobs()).await;
    let link = format!("link: <{}/a>; rel=preload", data.url());
    client.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{link}\r\ncontent-length: 10\r\n\r\nhello")).await;
    sidecar.metric_becomes(WARMED, 1.0).await;
    assert_eq!((private.begun(), public.begun()), (0, 0), "its body is not even whole");
    client.write("world").await;
    private.next().await.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    assert_eq!(fetched(&sidecar, &data, "/a").await.field("adumbra-cache"), "hit");
    assert_eq!(data.begun(), 1);
}

#[tokio::test]
async fn data_goes_to_the_sidecar_that_the_job_leans_to() {
    let (private, public, data) = (Origin::held().await, Origin::held().await, data().await);
    let far = allowing(Setup::alone(public.url()), &data).start();
    let near = allowing(Setup::with_peer(private.url(), &far), &data).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut client = asked(&near, &data, &["/a"]).await;
    let job = public.next().await;
    far.metric_becomes(WARMED, 1.0).await;
    let answer = fetched(&far, &data, "/a").await;
    assert_eq!((answer.text().as_str(), answer.field("adumbra-cache")), ("data of /a", "hit"));
    assert_eq!(data.begun(), 1, "once, and there");
    assert_eq!(near.metric(WARMED).await, 0.0);
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.decision().said(), ("public", "cheaper", "send"));
    assert_eq!(private.begun(), 0);
}

#[tokio::test]
async fn a_service_that_asks_while_the_data_is_on_its_way_shares_the_fetch() {
    let (private, data) = (Origin::held().await, Origin::held().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let mut client = asked(&sidecar, &data, &["/a"]).await;
    let job = private.next().await;
    let mut fetch = data.next().await;
    fetch.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncache-control: max-age=60\r\n\r\nhello").await;
    let mut service = Raw::connect(sidecar.egress()).await;
    service.write(format!("GET {}/a HTTP/1.1\r\nhost: {}\r\n\r\n", data.url(), data.address())).await;
    let head = service.head().await;
    assert_eq!((head.status, head.field("adumbra-cache")), (200, "hit"));
    assert_eq!(service.read(5).await, b"hello", "what has come so far is passed on at once");
    assert_eq!(lookups(&sidecar, "joined").await, 1.0);
    fetch.write(b"world").await;
    assert_eq!(service.read(5).await, b"world");
    assert_eq!(data.begun(), 1);
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn a_service_that_reads_along_keeps_the_fetch_when_its_job_is_over() {
    let (private, data) = (Origin::held().await, Origin::held().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let mut client = asked(&sidecar, &data, &["/a"]).await;
    let job = private.next().await;
    let mut fetch = data.next().await;
    fetch.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut service = Raw::connect(sidecar.egress()).await;
    service.write(format!("GET {}/a HTTP/1.1\r\nhost: {}\r\n\r\n", data.url(), data.address())).await;
    assert_eq!(service.head().await.status, 200);
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    sidecar.decisions(1).await;
    fetch.write(b"world").await;
    assert_eq!(service.read(10).await, b"helloworld");
}

#[tokio::test]
async fn one_input_that_two_jobs_declare_is_fetched_once() {
    let (private, data) = (Origin::held().await, Origin::held().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let _first = asked(&sidecar, &data, &["/a"]).await;
    let fetch = data.next().await;
    let first_job = private.next().await;
    let _second = asked(&sidecar, &data, &["/a"]).await;
    let second_job = private.next().await;
    // The first job ends; the data is still wanted by the second.
    first_job.release(Reply::ok("done")).await;
    sidecar.decisions(1).await;
    fetch.release(Reply::ok("data")).await;
    sidecar.metric_becomes(WARMED, 1.0).await;
    assert_eq!(data.begun(), 1);
    drop(second_job);
}

/// Nothing is fetched for a job, which is answered all the same.
async fn check_not_warmed(setup: impl FnOnce(Setup, &Origin) -> Setup, refused: f64) {
    let (private, data) = (Origin::named("private").await, data().await);
    let sidecar = setup(Setup::alone(private.url()), &data).start();
    for _ in 0..3 {
        assert_eq!(asked(&sidecar, &data, &["/a"]).await.answer().await.text(), "private");
    }
    assert_eq!(data.connections(), 0);
    assert_eq!(sidecar.metric(r#"adumbra_data_refused_total{reason="origin"}"#).await, refused);
    assert_eq!(sidecar.metric(WARMED).await, 0.0);
}

#[tokio::test]
async fn nothing_is_fetched_from_anywhere_by_default() {
    check_not_warmed(|setup, _| setup.every(ON), 3.0).await;
}

#[tokio::test]
async fn nothing_is_fetched_from_an_origin_that_is_not_named() {
    check_not_warmed(
        |setup, _| setup.set("data.origins", r#"["http://127.0.0.1:1", "http://localhost"]"#).every(ON),
        3.0,
    )
    .await;
}

#[tokio::test]
async fn a_route_that_says_so_warms_nothing() {
    check_not_warmed(|setup, data| allowing(setup, data).every("warm = false"), 0.0).await;
}

#[tokio::test]
async fn a_request_that_no_route_takes_warms_nothing() {
    check_not_warmed(|setup, data| allowing(setup, data).route("name = \"other\"\nmatch = { path = \"/other\" }"), 0.0)
        .await;
}

#[tokio::test]
async fn a_far_sidecar_fetches_only_from_what_it_allows_itself() {
    let (private, public, data) = (Origin::held().await, Origin::held().await, data().await);
    let far = Setup::alone(public.url()).start();
    let near = allowing(Setup::with_peer(private.url(), &far), &data).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut client = asked(&near, &data, &["/a"]).await;
    let job = public.next().await;
    far.metric_becomes(r#"adumbra_data_refused_total{reason="origin"}"#, 1.0).await;
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    assert_eq!(data.connections(), 0);
}

#[tokio::test]
async fn an_origin_that_fails_or_hangs_costs_the_job_nothing() {
    let (private, data) = (Origin::held().await, Origin::held().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let mut client = asked(&sidecar, &data, &["/broken", "/hung"]).await;
    let job = private.next().await;
    let (one, other) = (data.next().await, data.next().await);
    let (broken, mut hung) = if one.request.target == "/broken" { (one, other) } else { (other, one) };
    broken.break_off();
    sidecar.metric_becomes(r#"adumbra_data_refused_total{reason="failed"}"#, 1.0).await;
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    // With its job over, nobody wants it.
    hung.gone().await;
}

#[tokio::test]
async fn warming_stops_when_its_client_goes_away_unless_the_service_wants_it_too() {
    let (private, data) = (Origin::held().await, Origin::held().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let client = asked(&sidecar, &data, &["/wanted", "/unwanted"]).await;
    let mut job = private.next().await;
    let (one, other) = (data.next().await, data.next().await);
    let (mut wanted, mut unwanted) = if one.request.target == "/wanted" { (one, other) } else { (other, one) };
    wanted.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut service = Raw::connect(sidecar.egress()).await;
    service.write(format!("GET {}/wanted HTTP/1.1\r\nhost: {}\r\n\r\n", data.url(), data.address())).await;
    assert_eq!(service.head().await.status, 200);
    drop(client);
    job.gone().await;
    unwanted.gone().await;
    wanted.write(b"world").await;
    assert_eq!(service.read(10).await, b"helloworld");
    assert_eq!(data.begun(), 2);
}

#[tokio::test]
async fn a_sidecar_that_asks_has_no_more_warmed_than_a_job_may_declare() {
    let (service, data) = (Origin::named("here").await, data().await);
    let far = allowing(Setup::alone(service.url()).set("data.warming", 64), &data).start();
    let list: String = (0..40).map(|n| format!("{}/{n}\n", data.url())).collect();
    let head = "POST /.well-known/adumbra/warm HTTP/1.1\r\nhost: adumbra\r\ncontent-length:";
    let answer = Raw::ask(far.peers(), format!("{head} {}\r\n\r\n{list}", list.len())).await;
    // `data of /0` to `data of /15`: what was fetched is told in bytes, too.
    assert_eq!((answer.text().as_str(), data.begun()), (r#"{"fetched_bytes":166,"warmed":16}"#, 16));
}
