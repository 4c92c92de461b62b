//! What a job needs without saying so in a `Link`: found in its request by its route's rules, or learned from the jobs before.

use tests::{Answer, Exchange, Origin, Raw, Reply, Setup, Sidecar};

const ON: &str = "shadow = \"on\"\nrepeatable = true\nwarm = true";
const WARMED: &str = "adumbra_data_warmed_objects_total";

async fn data() -> Origin {
    Origin::answering(|request| Reply::ok(format!("data of {}", request.target)).field("cache-control", "max-age=60"))
        .await
}

fn allowing(setup: Setup, data: &Origin) -> Setup {
    setup.set("data.origins", format!("[{:?}]", data.url()))
}

async fn asked(sidecar: &Sidecar, target: &str) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    client
}

async fn fetched(egress: &Sidecar, data: &Origin, path: &str, fields: &str) -> Answer {
    let (origin, address) = (data.url(), data.address());
    Raw::ask(egress.egress(), format!("GET {origin}{path} HTTP/1.1\r\nhost: {address}\r\n{fields}\r\n")).await
}

/// What a service passes on of the job that it runs.
fn passed_on(job: &Exchange) -> String {
    format!("baggage: {}\r\n", job.request.field("baggage"))
}

#[tokio::test]
async fn what_jobs_fetched_before_is_fetched_ahead_for_one_that_was_never_seen() {
    let (private, data) = (Origin::held().await, data().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    for scene in ["alps", "bay", "city"] {
        let mut client = asked(&sidecar, &format!("/render?scene={scene}")).await;
        let job = private.next().await;
        fetched(&sidecar, &data, &format!("/scenes/{scene}.bin"), &passed_on(&job)).await;
        job.release(Reply::ok("done")).await;
        assert_eq!(client.answer().await.text(), "done");
    }
    sidecar.decisions(3).await;
    assert_eq!(sidecar.metric(WARMED).await, 0.0);
    let mut client = asked(&sidecar, "/render?scene=desert").await;
    let job = private.next().await;
    sidecar.metric_becomes(WARMED, 1.0).await;
    let answer = fetched(&sidecar, &data, "/scenes/desert.bin", &passed_on(&job)).await;
    assert_eq!((answer.text().as_str(), answer.field("adumbra-cache")), ("data of /scenes/desert.bin", "hit"));
    job.release(Reply::ok("done")).await;
    let answer = client.answer().await;
    // What it came to is seen: of this job, of its network, of its class.
    let inputs = &sidecar.logged(&answer.decision()).await["inputs"];
    let bytes = "data of /scenes/desert.bin".len();
    assert_eq!((&inputs["hits"], &inputs["misses"], &inputs["hit_bytes"]), (&1.into(), &0.into(), &bytes.into()));
    assert!(inputs["saved_s"].is_number(), "three cold ones came before: {inputs}");
    for (found, expected) in [("warm", 1.0), ("cold", 3.0)] {
        let series = format!(r#"adumbra_job_inputs_total{{network="private",found="{found}"}}"#);
        assert_eq!(sidecar.metric(&series).await, expected, "{found}");
    }
    let class = &sidecar.status().await["inputs"][0];
    assert_eq!((&class["route"], &class["warm_jobs"], &class["cold_jobs"]), (&"every".into(), &1.into(), &3.into()));
}

#[tokio::test]
async fn what_is_fetched_while_one_job_runs_is_taken_for_its_own() {
    let (private, data) = (Origin::held().await, data().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(ON).start();
    let mut client = asked(&sidecar, "/report").await;
    let job = private.next().await;
    fetched(&sidecar, &data, "/index", "").await;
    job.release(Reply::ok("done")).await;
    client.answer().await;
    sidecar.decisions(1).await;
    // Same request, same input, which is still here: after one job, two thirds of it are expected to be needed.
    let explained = sidecar.ask("/explain?url=/report").await.text();
    let bytes = "data of /index".len() * 2 / 3;
    assert!(explained.contains(&format!("\"warm_bytes\": {bytes}")), "{explained}");
    let other = sidecar.ask("/explain?url=/other").await.text();
    assert!(other.contains("\"warm_bytes\": 0"), "{other}");
}

#[tokio::test]
async fn nothing_is_learned_where_the_operator_says_so() {
    let (private, data) = (Origin::held().await, data().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).set("data.learn", false).every(ON).start();
    for _ in 0..4 {
        let mut client = asked(&sidecar, "/report").await;
        let job = private.next().await;
        assert_eq!(job.request.values("baggage"), Vec::<&str>::new());
        fetched(&sidecar, &data, "/index", "cache-control: no-cache\r\n").await;
        job.release(Reply::ok("done")).await;
        client.answer().await;
    }
    sidecar.decisions(4).await;
    assert_eq!(sidecar.metric(WARMED).await, 0.0);
}

#[tokio::test]
async fn what_transferred_jobs_fetched_there_is_learned_here() {
    let (private, public, data) = (Origin::held().await, Origin::held().await, data().await);
    let far = allowing(Setup::alone(public.url()), &data).every("warm = true").start();
    let near = allowing(Setup::with_peer(private.url(), &far), &data).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    for scene in ["alps", "bay", "city"] {
        let mut client = asked(&near, &format!("/render?scene={scene}")).await;
        let job = public.next().await;
        fetched(&far, &data, &format!("/scenes/{scene}.bin"), &passed_on(&job)).await;
        job.release(Reply::ok("done")).await;
        let answer = client.answer().await;
        assert_eq!(answer.decision().said(), ("public", "cheaper", "send"));
        assert_eq!(answer.values("adumbra-inputs"), Vec::<&str>::new(), "that is between sidecars");
    }
    near.decisions(3).await;
    far.decisions(3).await;
    let _client = asked(&near, "/render?scene=desert").await;
    let job = public.next().await;
    far.metric_becomes(WARMED, 1.0).await;
    let answer = fetched(&far, &data, "/scenes/desert.bin", &passed_on(&job)).await;
    assert_eq!(answer.field("adumbra-cache"), "hit");
    assert_eq!(near.metric(WARMED).await, 0.0);
    drop(job);
}

#[tokio::test]
async fn what_is_warm_on_the_other_side_is_known_here() {
    let (private, public, data) = (Origin::held().await, Origin::held().await, data().await);
    let far = allowing(Setup::alone(public.url()), &data).start();
    let near = allowing(Setup::with_peer(private.url(), &far), &data).every(ON).start();
    fetched(&far, &data, "/index", "").await;
    let escaped: String = format!("link:<{}/index>; rel=preload", data.url())
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let question = format!("/explain?url=/render&header={escaped}");
    let expected = format!("\"warm_bytes\": {}", "data of /index".len());
    tests::wait::eventually("the report of what the other side holds", async || {
        near.ask(&question).await.text().contains(&expected)
    })
    .await;
}

/// A request whose route looks into its body: the service gets all of it, and its input is fetched ahead.
async fn check_body(kind: &str, rule: &str, body: impl Fn(&str) -> String) {
    let (private, data) = (Origin::held().await, data().await);
    let sidecar = allowing(Setup::alone(private.url()), &data).every(&format!("{ON}\ninputs = [{rule:?}]")).start();
    let body = body(&data.url());
    let mut client = Raw::connect(sidecar.jobs()).await;
    let length = body.len();
    client
        .write(format!("POST /job HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    // In two pieces.
    client.write(&body[..length / 2]).await;
    client.write(&body[length / 2..]).await;
    let job = private.next().await;
    assert_eq!(job.request.body, body.as_bytes());
    sidecar.metric_becomes(WARMED, 1.0).await;
    assert_eq!(fetched(&sidecar, &data, "/a", "").await.field("adumbra-cache"), "hit");
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn inputs_that_a_json_body_names_are_fetched_ahead() {
    check_body("application/json", "json:/inputs", |origin| format!(r#"{{"inputs": ["{origin}/a"]}}"#)).await;
}

#[tokio::test]
async fn inputs_that_a_form_names_are_fetched_ahead() {
    let escaped = |origin: &str| origin.replace(':', "%3A").replace('/', "%2F");
    check_body("application/x-www-form-urlencoded", "form:file", |origin| format!("x=1&file={}%2Fa", escaped(origin)))
        .await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_passed_on_as_it_is() {
    let (private, data) = (Origin::held().await, data().await);
    let setup = allowing(Setup::alone(private.url()), &data).every(&format!("{ON}\ninputs = [\"json:/a\"]"));
    let sidecar = setup.start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client
        .write("POST /job HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\n{\"a\": ")
        .await;
    let job = private.next().await;
    assert_eq!(job.request.body, b"{\"a\": ");
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
    assert_eq!((data.begun(), sidecar.metric(WARMED).await), (0, 0.0));
}

#[tokio::test]
async fn no_more_is_fetched_ahead_for_one_job_than_may_be() {
    let (private, data) = (Origin::held().await, data().await);
    let setup = allowing(Setup::alone(private.url()), &data).set("data.job", "\"15B\"");
    let sidecar = setup.every(&format!("{ON}\ninputs = [\"query:a\", \"query:b\"]")).start();
    let url = |path: &str| format!("{}{path}", data.url());
    let mut client = asked(&sidecar, &format!("/job?a={}&b={}", url("/a"), url("/b"))).await;
    let job = private.next().await;
    sidecar.metric_becomes(WARMED, 1.0).await;
    sidecar.metric_becomes(r#"adumbra_data_refused_total{reason="allowance"}"#, 1.0).await;
    for path in ["/a", "/b"] {
        // The service has it all the same.
        assert_eq!(fetched(&sidecar, &data, path, "").await.text(), format!("data of {path}"));
    }
    job.release(Reply::ok("done")).await;
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn jobs_that_read_the_same_go_to_the_replica_that_has_it() {
    let (private, data) = (Origin::held().await, data().await);
    let (one, other) = (Origin::named("one").await, Origin::named("other").await);
    let [left, right] = [&one, &other].map(|service| allowing(Setup::alone(service.url()), &data).start());
    let near = allowing(Setup::with_peers(private.url(), &[&left, &right]), &data).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut by_replica = std::collections::BTreeMap::<String, usize>::new();
    for input in 0..24 {
        let link = format!("link: <{}/{input}>; rel=preload", data.url());
        let mut ran_on = Vec::new();
        for job in 0..2 {
            let request = format!("GET /{job}/{input} HTTP/1.1\r\nhost: a\r\n{link}\r\n\r\n");
            ran_on.push(Raw::ask(near.jobs(), request).await.text());
        }
        assert_eq!(ran_on[0], ran_on[1], "input {input}");
        *by_replica.entry(ran_on.swap_remove(0)).or_default() += 1;
    }
    assert_eq!(by_replica.len(), 2, "each replica has a part of the inputs: {by_replica:?}");
}
