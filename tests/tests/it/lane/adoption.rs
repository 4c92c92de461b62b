//! Shadows on workers, from a job to its answer: the sidecar's own, and between two sidecars that each keep their service.

use rustix::process::{Signal, kill_process};
use tests::kept::{is_alive, is_gone};
use tests::{Kept, Origin, Raw, Reply, Setup, Sidecar, Stage, at_last, eventually};

use super::{by, setup};

const ON: &str = "shadow = \"on\"\nrepeatable = true";
const GET: &str = "GET /hold/job HTTP/1.1\r\nhost: a\r\n\r\n";

/// A sidecar whose jobs are led elsewhere and shadowed at home, on a worker.
async fn shadowed_at_home(stage: &Stage, public: &Origin) -> Sidecar {
    let dearer = setup(1)
        .set("networks.private.price", "{ slot_second = 0.31 }")
        .set("networks.public.upstreams", format!(r#"["{}"]"#, public.url()))
        .every(ON);
    let sidecar = dearer.run(&stage.command("private")).await;
    sidecar.swap_model(tests::model::open(1000.0));
    is_idle(&sidecar).await;
    sidecar
}

/// Waits until its worker is free.
async fn is_idle(sidecar: &Sidecar) {
    at_last("a worker is idle", async || sidecar.metric(r#"adumbra_lane_workers{state="idle"}"#).await == 1.0).await;
}

async fn asked(sidecar: &Sidecar, request: &str) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

#[tokio::test]
async fn a_shadow_at_home_that_loses_is_known_to_be_gone() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let mut client = asked(&sidecar, GET).await;
    let lead = public.next().await;
    let worker = stage.runs("job", "private").await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("public", "lead_answered", "keep"));
    is_gone(worker).await;
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!(line["possibly_running"], 0, "{line}");
    assert_eq!(sidecar.metric("adumbra_dispatches_possibly_running_total").await, 0.0);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_shadow_at_home_is_adopted_and_its_worker_replaced() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let mut client = asked(&sidecar, "GET /large/job/3000000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut lead = public.next().await;
    let worker = stage.runs("job", "private").await;
    stage.progress("job", "private", 0.9);
    lead.gone().await;
    sidecar.metric_becomes(r#"adumbra_lane_workers{state="adopted"}"#, 1.0).await;
    assert_eq!(sidecar.metric("adumbra_lane_lift_seconds_count").await, 1.0);
    assert_eq!(sidecar.metric(r#"adumbra_network_in_flight{network="private"}"#).await, 1.0, "now it is a job");
    stage.go("job");
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("private", "switched", "adopt"));
    assert_eq!(answer.body, vec![b'x'; 3_000_000]);
    is_gone(worker).await;
    sidecar.metric_becomes(r#"adumbra_processes_ended_total{process="worker",end="recycled"}"#, 1.0).await;
    is_idle(&sidecar).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_job_whose_adopted_worker_dies_goes_on_elsewhere() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let mut client = asked(&sidecar, GET).await;
    let mut lead = public.next().await;
    let worker = stage.runs("job", "private").await;
    stage.progress("job", "private", 0.9);
    lead.gone().await;
    kill_process(worker, Signal::KILL).expect("it runs");
    public.next().await.release(Reply::ok("afresh")).await;
    assert_eq!(client.answer().await.text(), "afresh");
    is_idle(&sidecar).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_for_memory_does_not_harm_the_lead() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let mut client = asked(&sidecar, "GET /eat/2000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let lead = public.next().await;
    sidecar.metric_becomes("adumbra_lane_oom_kills_total", 1.0).await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "lead"));
    sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="private",end="failed"}"#, 1.0).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_plan_sees_that_no_worker_is_free() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let _first = asked(&sidecar, "GET /hold/first HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let _lead = public.next().await;
    stage.runs("first", "private").await;
    let mut client = asked(&sidecar, GET).await;
    public.next().await.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!(line["plan"], "direct", "{line}");
    sidecar.stop().await;
}

#[tokio::test]
async fn between_two_sidecars_a_shadow_runs_on_the_far_ones_worker_and_is_adopted_there() {
    let stage = Stage::default();
    let far = Kept::start(setup(1), &stage, "public").await;
    let near = setup(0)
        .set("networks.public.sidecars", format!(r#"["http://{}"]"#, far.peers()))
        .set("networks.public.price", "{ slot_second = 0.31 }")
        .every(ON)
        .run(&stage.command("private"))
        .await;
    near.swap_model(tests::model::open(1000.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 1.0).await;
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut client = asked(&near, GET).await;
    let (lead, worker) = (stage.runs("job", "private").await, stage.runs("job", "public").await);
    assert_ne!(worker, super::live(&far).await, "it is the worker");
    stage.progress("job", "public", 0.9);
    far.workers_become("adopted", 1).await;
    assert_eq!(far.metric("adumbra_lane_lift_seconds_count").await, 1.0);
    stage.go("job");
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    assert_eq!(answer.text(), by("public", worker));
    is_gone(worker).await;
    far.workers_become("idle", 1).await;
    assert!(is_alive(lead), "the near one's service is as it was");
    far.metric_becomes(r#"adumbra_shadows_served_total{end="finished"}"#, 1.0).await;
    near.stop().await;
    is_gone(lead).await;
}

#[tokio::test]
async fn a_shadow_that_a_worker_accepts_for_later_is_not_adopted_and_dies_with_its_worker() {
    let (stage, public) = (Stage::default(), Origin::held().await);
    let sidecar = shadowed_at_home(&stage, &public).await;
    let mut client = asked(&sidecar, "GET /later/job HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let lead = public.next().await;
    let worker = stage.runs("job", "private").await;
    stage.go("job");
    // The job is in the worker, where no later request would find it.
    is_gone(worker).await;
    sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="private",end="failed"}"#, 1.0).await;
    lead.release(Reply::of(202, "").field("location", "/jobs/lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("location")), (202, "/jobs/lead"));
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!((&line["target"], &line["possibly_running"]), (&"public".into(), &0.into()), "{line}");
    is_idle(&sidecar).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_far_worker_that_accepts_a_shadow_for_later_is_killed_and_nothing_was_executed() {
    let stage = Stage::default();
    let far = Kept::start(setup(1), &stage, "public").await;
    let mut peer = super::asked(&far, "s", "/later/job").await;
    let worker = stage.runs("job", "public").await;
    stage.go("job");
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.field("adumbra-not-executed")), (503, "1"), "{}", answer.text());
    is_gone(worker).await;
    far.metric_becomes(r#"adumbra_shadows_served_total{end="refused"}"#, 1.0).await;
    assert_eq!(super::adopt(&far, "s").await.status, 410, "it cannot be adopted any more");
    far.workers_become("idle", 1).await;
}

#[tokio::test]
async fn a_shadow_that_a_replica_accepts_for_later_is_not_adopted_but_deleted_there_or_counted_as_left_behind() {
    for (rule, event) in [("", "twin_kept"), ("\nasynchronous = { delete = \"DELETE\" }", "twin_deleted")] {
        let (live, replica, public) = (Origin::held().await, Origin::held().await, Origin::held().await);
        let sidecar = Setup::two(live.url(), public.url())
            .set("networks.private.price", "{ slot_second = 0.4 }")
            .set("lane", format!(r#"{{ kind = "address", upstreams = ["{}"] }}"#, replica.url()))
            .every(&format!("{ON}{rule}"))
            .start();
        sidecar.swap_model(tests::model::open(1000.0));
        let mut client = asked(&sidecar, GET).await;
        let (lead, shadow) = (public.next().await, replica.next().await);
        shadow.release(Reply::of(202, "").field("location", "/jobs/shadow")).await;
        sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="private",end="failed"}"#, 1.0).await;
        lead.release(Reply::ok("lead")).await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "public"));
        if event == "twin_deleted" {
            let delete = replica.next().await;
            assert_eq!((delete.request.method.as_str(), delete.request.target.as_str()), ("DELETE", "/jobs/shadow"));
            delete.release(Reply::bare(204)).await;
        }
        sidecar.metric_becomes(&format!(r#"adumbra_asynchronous_jobs_total{{event="{event}"}}"#), 1.0).await;
        assert_eq!(sidecar.logged(&answer.decision()).await["possibly_running"], 1);
        assert_eq!(live.begun(), 0, "it never heard of it");
    }
}

#[tokio::test]
async fn in_a_lane_of_addresses_another_sidecars_shadow_takes_no_slot_and_its_use_is_what_the_replica_says() {
    let (live, replica) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(live.url())
        .set("lane", format!(r#"{{ kind = "address", upstreams = ["{}"] }}"#, replica.url()))
        .set("networks.private.capacity", 1)
        .start();
    let mut peer = Raw::connect(far.peers()).await;
    peer.write(super::shadow("s", "/job", 60_000)).await;
    let mut shadow = replica.next().await;
    assert_eq!(
        far.metric(r#"adumbra_network_in_flight{network="private"}"#).await,
        0.0,
        "the live service runs nothing"
    );
    let looked_at = async || {
        let question = "GET /.well-known/adumbra/dispatch/s HTTP/1.1\r\nhost: adumbra\r\n\r\n";
        let answer = Raw::ask(far.peers(), question).await;
        serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON")
    };
    assert_eq!(looked_at().await["cpu_s"], serde_json::Value::Null);
    shadow
        .write(
            b"HTTP/1.1 200 OK\r\nendpoint-load-metrics: TEXT request_cost.cpu_seconds=1.5,\
            request_cost.memory_bytes=1000000\r\ncontent-length: 1\r\n\r\n",
        )
        .await;
    eventually("it is told what the replica says", async || {
        let shown = looked_at().await;
        (shown["cpu_s"].as_f64(), shown["memory_bytes"].as_f64()) == (Some(1.5), Some(1e6))
    })
    .await;
    shadow.write(b"x").await;
    assert_eq!(peer.answer().await.text(), "x");
}

#[tokio::test]
async fn in_a_lane_of_addresses_shadows_at_home_go_to_the_replica() {
    let (live, replica, public) = (Origin::held().await, Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(live.url(), public.url())
        .set("networks.private.price", "{ slot_second = 0.4 }")
        .set("lane", format!(r#"{{ kind = "address", upstreams = ["{}"] }}"#, replica.url()))
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, shadow) = (public.next().await, replica.next().await);
    let report = r#"JSON {"request_cost": {"cpu_seconds": 1.5, "memory_bytes": 1000000}}"#;
    shadow.release(Reply::ok("shadow").field("endpoint-load-metrics", report)).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("private", "shadow_finished", "adopt"));
    lead.gone().await;
    assert_eq!(live.begun(), 0);
    // Live jobs go where they always went.
    let status = sidecar.status().await;
    assert_eq!(status["lane"]["kind"], "address", "{status}");
    let caps = status["networks"][0]["shadow_caps_enforced_by"].as_str().unwrap_or_default();
    assert!(caps.contains("whoever runs the replicas"), "{caps}");
    eventually("the shadow is over", async || {
        sidecar.metric(r#"adumbra_network_in_flight{network="private"}"#).await == 0.0
    })
    .await;
}
