//! What is learned from jobs and shadows, what is not, and that a swapped model decides the next job and no other.

use policy::learn::LABELS_LEAST;
use std::collections::HashSet;
use std::sync::Arc;

use tests::{Exchange, Origin, Raw, Reply, Setup, Sidecar, eventually};

const ON: &str = "shadow = \"on\"\nrepeatable = true";
const LABELS: &str = "adumbra_labels_total";

async fn asked(sidecar: &Sidecar, path: &str) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    client
}

/// A model is tried as soon as there is anything new.
fn eager(setup: Setup) -> Setup {
    setup.set("oracle.first_after", 1).set("oracle.refit_after", 1).set("oracle.refit_every", r#""10ms""#)
}

async fn has_model(sidecar: &Sidecar) -> bool {
    sidecar.metric("adumbra_model_version").await > 0.0
}

#[tokio::test]
async fn labels_of_this_run_make_a_model_appear() {
    let private = Origin::named("private").await;
    let sidecar = eager(Setup::two(private.url(), private.url())).every(ON).start();
    for _ in 1..LABELS_LEAST {
        let answer = sidecar.get("/").await;
        assert_eq!(sidecar.logged(&answer.decision()).await["model"], 0);
    }
    sidecar.metric_becomes(LABELS, (LABELS_LEAST - 1) as f64).await;
    assert!(!has_model(&sidecar).await, "one more is needed");
    assert!(sidecar.metric(r#"adumbra_refits_total{result="too_few"}"#).await >= 1.0);
    assert_eq!(sidecar.status().await["model"], serde_json::Value::Null);
    sidecar.get("/").await;
    eventually("there is a model", async || has_model(&sidecar).await).await;
    assert!(sidecar.metric(r#"adumbra_refits_total{result="swapped"}"#).await >= 1.0);
    assert_eq!(sidecar.status().await["model"]["rows"], LABELS_LEAST);
    let line = sidecar.logged(&sidecar.get("/").await.decision()).await;
    assert_eq!(line["model"], 1, "{line}");
    assert!(line["predictions"]["private"]["mean_s"].as_f64().is_some_and(|mean_s| mean_s > 0.0), "{line}");
}

#[tokio::test]
async fn a_swap_changes_where_the_same_request_goes_next() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(ON).start();
    let before = sidecar.get("/same").await;
    assert_eq!(before.decision().said(), ("private", "no_model_home", "send"));
    let (faster_at_home, faster_away) = (tests::model::settled(10.0, 1000.0), tests::model::settled(1000.0, 10.0));
    for _ in 0..3 {
        sidecar.swap_model(faster_at_home.clone());
        assert_eq!(sidecar.get("/same").await.decision().said(), ("private", "cheaper", "send"));
        sidecar.swap_model(faster_away.clone());
        assert_eq!(sidecar.get("/same").await.decision().said(), ("public", "cheaper", "send"));
    }
    assert_eq!((private.begun(), public.begun()), (4, 3));
}

#[tokio::test]
async fn a_job_in_flight_keeps_the_model_that_it_was_planned_by() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(ON).start();
    let first = tests::model::settled(10.0, 1000.0);
    let second = tests::model::next_settled(&first, 1000.0, 10.0);
    assert_eq!((first.version(), second.version()), (1, 2));
    sidecar.swap_model(first);
    let mut before = asked(&sidecar, "/same").await;
    let in_flight = private.next().await;
    sidecar.swap_model(second);
    let mut after = asked(&sidecar, "/same").await;
    public.next().await.release(Reply::ok("after")).await;
    let after = after.answer().await;
    in_flight.release(Reply::ok("before")).await;
    let before = before.answer().await;
    for (answer, text, network, model) in [(&before, "before", "private", 1), (&after, "after", "public", 2)] {
        assert_eq!(answer.text(), text);
        let line = sidecar.logged(&answer.decision()).await;
        assert_eq!((line["target"].as_str(), line["model"].as_u64()), (Some(network), Some(model)), "{line}");
    }
}

#[tokio::test]
async fn only_jobs_that_succeed_are_learned_from() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).every(ON).start();
    for status in [200, 404, 500, 503, 200] {
        let mut client = asked(&sidecar, "/").await;
        private.next().await.release(Reply::of(status, "said")).await;
        assert_eq!(client.answer().await.status, status);
    }
    // Broken off before its head, broken off after it, and left by its client.
    let mut client = asked(&sidecar, "/").await;
    // Once more where it came over a connection that was kept.
    let answer = tokio::select! {
        answer = client.answer() => answer,
        () = async { loop { private.next().await.break_off() } } => unreachable!("it goes on for ever"),
    };
    assert_eq!(answer.status, 502);
    let mut client = asked(&sidecar, "/").await;
    let mut job = private.next().await;
    job.begin_chunked("").await;
    assert_eq!(client.head().await.status, 200);
    job.break_off();
    client.to_end().await;
    let client = asked(&sidecar, "/").await;
    let mut job = private.next().await;
    drop(client);
    job.gone().await;
    sidecar.decisions(8).await;
    // Labels are taken in order: when this job's is there, any of those before would be there, too.
    let mut client = asked(&sidecar, "/").await;
    private.next().await.release(Reply::ok("last")).await;
    assert_eq!(client.answer().await.text(), "last");
    sidecar.metric_becomes(LABELS, 3.0).await;
    for (outcome, jobs) in [("answered", 4.0), ("server_error", 2.0), ("refused", 1.0), ("broke_off", 1.0)] {
        let series = format!(r#"adumbra_jobs_total{{network="private",outcome="{outcome}"}}"#);
        assert_eq!(sidecar.metric(&series).await, jobs, "{outcome}");
    }
    assert_eq!(sidecar.sum("adumbra_labels_rejected_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_shadow_that_runs_to_its_end_is_a_label_of_its_network() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).set("shadow.sample_share", "1.0").every(ON).start();
    let mut client = asked(&sidecar, "/").await;
    let (lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow")).await;
    sidecar.metric_becomes(LABELS, 1.0).await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    sidecar.metric_becomes(LABELS, 2.0).await;
}

#[tokio::test]
async fn a_shadow_that_answers_an_error_is_not_learned_from() {
    for status in [404, 409, 429, 500] {
        let (private, public) = (Origin::held().await, Origin::held().await);
        let sidecar = Setup::two(private.url(), public.url()).set("shadow.sample_share", "1.0").every(ON).start();
        let mut client = asked(&sidecar, "/").await;
        let (lead, shadow) = (private.next().await, public.next().await);
        shadow.release(Reply::of(status, "no")).await;
        sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="public",end="failed"}"#, 1.0).await;
        lead.release(Reply::ok("lead")).await;
        assert_eq!(client.answer().await.text(), "lead");
        sidecar.metric_becomes(LABELS, 1.0).await;
    }
}

/// As many shadows as a first model needs are stopped at their window after `show`, and no job ends meanwhile.
async fn stopped_shadows<F: Future<Output = Exchange>>(show: impl Fn(Exchange) -> F) -> Sidecar {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = eager(Setup::two(private.url(), public.url()))
        .set("shadow.window_min", r#""1s""#)
        .set("shadow.sample_window", r#""1s""#)
        .set("shadow.sample_share", "1.0")
        .every(ON)
        .start();
    let (mut clients, mut shadows) = (Vec::new(), Vec::new());
    for _ in 0..LABELS_LEAST {
        clients.push(asked(&sidecar, "/").await);
        shadows.push(show(public.next().await).await);
    }
    for shadow in &mut shadows {
        shadow.gone().await;
    }
    sidecar.metric_becomes(LABELS, LABELS_LEAST as f64).await;
    let cancelled = r#"adumbra_shadows_ended_total{network="public",end="cancelled"}"#;
    assert_eq!(sidecar.metric(cancelled).await, LABELS_LEAST as f64);
    assert_eq!(private.running(), LABELS_LEAST);
    sidecar
}

#[tokio::test]
async fn a_stopped_shadow_that_showed_progress_teaches_by_its_rate() {
    let sidecar = stopped_shadows(async |mut shadow| {
        shadow.progress(0.25).await;
        shadow
    })
    .await;
    // Each says how long it would have taken, which is as good as having ended.
    eventually("there is a model", async || has_model(&sidecar).await).await;
    let said = sidecar.ask("/explain?url=/").await;
    let said: serde_json::Value = serde_json::from_slice(&said.body).expect("an explanation is JSON");
    let mean_s = said["networks"][1]["prediction"]["mean_s"].as_f64().expect("it is predicted");
    assert!(mean_s > 0.0 && mean_s < 10.0, "they were stopped after 1 s with a quarter done: {mean_s} s");
}

#[tokio::test]
async fn a_stopped_shadow_that_showed_nothing_says_only_that_it_takes_longer() {
    let sidecar = stopped_shadows(async |shadow| shadow).await;
    eventually("a refit has found them too few", async || {
        sidecar.metric(r#"adumbra_refits_total{result="too_few"}"#).await >= 1.0
    })
    .await;
    assert!(!has_model(&sidecar).await);
}

#[tokio::test]
async fn a_model_in_force_is_only_ever_followed_by_a_later_one() {
    let private = Origin::named("private").await;
    let sidecar = eager(Setup::alone(private.url())).every(ON).start();
    sidecar.swap_model(tests::model::settled(1.0, 1.0));
    let mut last = 1.0;
    for _ in 0..LABELS_LEAST * 2 {
        sidecar.get("/").await;
        let version = sidecar.metric("adumbra_model_version").await;
        assert!(version >= last, "{version} after {last}");
        last = version;
    }
    // Jobs that take next to no time are news to a model that has seen seconds.
    eventually("what was learned is in force", async || sidecar.metric("adumbra_model_version").await > 1.0).await;
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_body_does_not_make_the_job_a_long_one() {
    let private = Origin::named("private").await;
    let sidecar = eager(Setup::two(private.url(), private.url())).every(ON).start();
    let mut clients = Vec::new();
    for _ in 0..LABELS_LEAST {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab").await;
        clients.push(client);
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for client in &mut clients {
        client.write("cd").await;
        assert_eq!(client.answer().await.text(), "private");
    }
    eventually("there is a model", async || has_model(&sidecar).await).await;
    let line = sidecar.logged(&sidecar.get("/").await.decision()).await;
    let mean_s = line["predictions"]["private"]["mean_s"].as_f64().expect("it is predicted");
    assert!(mean_s < 1.0, "each waited two seconds for its body, and {mean_s} s are what a job is said to take");
}

#[tokio::test]
async fn a_far_shadow_that_ends_between_two_looks_has_its_use_in_its_label() {
    // A far sidecar that says what a shadow has used only when it is over.
    let (private, far) = (Origin::named("private").await, Arc::new(Origin::held_as_sidecar().await));
    let asked = Arc::clone(&far);
    let answering = tokio::spawn(async move {
        let mut over = HashSet::new();
        loop {
            let exchange = asked.next_ever().await;
            let target = exchange.request.target.clone();
            let answer = match target.strip_prefix("/.well-known/adumbra/") {
                Some("load") => Reply::ok(r#"{"in_flight":0,"capacity":0}"#),
                Some(question) => match question.strip_prefix("dispatch/") {
                    Some(id) if over.contains(id) => {
                        Reply::ok(r#"{"progress":null,"source":null,"cpu_s":1000.0,"memory_bytes":1.0,"granted":1.0}"#)
                    }
                    Some(_) => Reply::ok(r#"{"progress":null,"source":null}"#),
                    None => Reply::bare(204),
                },
                None => {
                    let marks = exchange.request.values("adumbra-shadow");
                    let ids = marks.iter().filter_map(|mark| mark.strip_prefix("id=")?.split(';').next());
                    over.extend(ids.map(str::to_owned));
                    Reply::ok("far")
                }
            };
            exchange.release(answer).await;
        }
    });
    let near = eager(Setup::two(private.url(), ""))
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!(r#"["{}"]"#, far.url()))
        .set("networks.public.price", "{ cpu_second = 1.0 }")
        .set("shadow.sample_share", "1.0")
        .every(ON)
        .start();
    eventually("there is a model that knows what the far side uses", async || {
        let line = near.logged(&near.get("/").await.decision()).await;
        line["costs"]["public"].as_f64().is_some_and(|cost| cost > 100.0)
    })
    .await;
    answering.abort();
}
