//! A shadow has a worker of its own, which is capped, measured, and killed or used again when it is over.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::kept::{cpu_s, is_alive, is_gone};
use tests::{Kept, Stage, eventually};

use super::{CAP, adopt, asked, by, live, looked_at, setup};

async fn kept(workers: usize) -> (Stage, Kept) {
    let stage = Stage::default();
    let kept = Kept::start(setup(workers), &stage, "only").await;
    (stage, kept)
}

/// The share of a core that a process uses from now on, over a while.
async fn rate(pid: Pid, over: Duration) -> f64 {
    let (began, before) = (Instant::now(), cpu_s(pid));
    tokio::time::sleep(over).await;
    (cpu_s(pid) - before) / began.elapsed().as_secs_f64()
}

/// An ordinary process that wants a whole core. Dropping it ends it.
struct Spinner(std::process::Child);

impl Spinner {
    fn start() -> Self {
        let spinning = std::process::Command::new("python3").args(["-c", "while True: pass"]).spawn();
        Self(spinning.expect("there is Python, which the service is written in"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().expect("it was killed");
        }
    }
}

#[tokio::test]
async fn a_shadow_is_capped_and_measured_and_its_caps_are_lifted_when_it_is_adopted() {
    let (stage, kept) = kept(1).await;
    let mut peer = asked(&kept, "s", "/burn/job").await;
    let worker = stage.runs("job", "only").await;
    assert_ne!(worker, live(&kept).await, "it has a process of its own");
    // Whatever else runs on this machine, it cannot have more than its share; a little more is what the clock's ticks come to.
    let used = rate(worker, Duration::from_secs(2)).await;
    assert!(used <= CAP + 0.05, "it uses {used} of a core");
    let shown = looked_at(&kept, "s").await;
    let figure = |key: &str| shown[key].as_f64().unwrap_or_else(|| panic!("there is no {key} in {shown}"));
    assert!(figure("cpu_s") > 0.0 && figure("cpu_s") <= cpu_s(worker) + 0.05, "{shown}");
    assert!(figure("memory_bytes") > 1e6, "{shown}");
    assert!(figure("granted") < 0.6, "{shown}");
    assert_eq!(adopt(&kept, "s").await.status, 204);
    assert_eq!(kept.metric("adumbra_lane_lift_seconds_count").await, 1.0);
    kept.workers_become("adopted", 1).await;
    // More than its cap was, or, where the machine has not that much for anybody, about what an ordinary process gets; under
    // its caps it ran behind all of those.
    let spinner = Spinner::start();
    eventually("its caps are lifted", async || {
        let over = Duration::from_millis(500);
        let (its, ordinary) = tokio::join!(rate(worker, over), rate(spinner.pid(), over));
        its > 1.5 * CAP || its > 0.5 * ordinary
    })
    .await;
    drop(spinner);
    stage.go("job");
    assert_eq!(peer.answer().await.text(), by("only", worker));
    is_gone(worker).await;
    kept.metric_becomes(r#"adumbra_processes_ended_total{process="worker",end="recycled"}"#, 1.0).await;
    kept.workers_become("idle", 1).await;
}

#[tokio::test]
async fn a_shadow_that_is_cancelled_takes_its_process_along() {
    let (stage, kept) = kept(1).await;
    let peer = asked(&kept, "s", "/burn/job").await;
    let worker = stage.runs("job", "only").await;
    drop(peer);
    is_gone(worker).await;
    kept.metric_becomes(r#"adumbra_processes_ended_total{process="worker",end="cancelled"}"#, 1.0).await;
    kept.metric_becomes(r#"adumbra_shadows_served_total{end="cut"}"#, 1.0).await;
    kept.workers_become("idle", 1).await;
}

#[tokio::test]
async fn a_shadow_that_nobody_adopts_is_gone_with_its_lease() {
    let (stage, kept) = kept(1).await;
    let mut peer = tests::Raw::connect(kept.peers()).await;
    // Long enough for a worker to begin on a machine that is full: it runs behind everything else.
    peer.write(super::shadow("orphan", "/burn/job", 8_000)).await;
    let worker = stage.runs("job", "only").await;
    assert_eq!(peer.answer().await.status, 504);
    is_gone(worker).await;
}

#[tokio::test]
async fn a_worker_whose_shadow_was_whole_is_used_again() {
    let (stage, kept) = kept(1).await;
    let mut before = None;
    for key in ["one", "two"] {
        let mut peer = asked(&kept, key, &format!("/hold/{key}")).await;
        let worker = stage.runs(key, "only").await;
        assert_eq!(*before.get_or_insert(worker), worker);
        stage.go(key);
        assert_eq!(peer.answer().await.text(), by("only", worker));
        kept.workers_become("idle", 1).await;
    }
    assert!(is_alive(before.expect("it ran")));
}

#[tokio::test]
async fn a_shadow_without_a_worker_is_refused_and_the_live_service_is_left_alone() {
    let (stage, kept) = kept(1).await;
    let _first = asked(&kept, "one", "/hold/one").await;
    stage.runs("one", "only").await;
    let refused = asked(&kept, "two", "/").await.answer().await;
    assert_eq!((refused.status, refused.field("adumbra-not-executed")), (503, "1"), "{}", refused.text());
    assert_eq!(kept.metric(r#"adumbra_shadows_refused_total{network="private",reason="worker"}"#).await, 1.0);
    assert_eq!(kept.get("/").await.text(), by("only", live(&kept).await), "live jobs have their own");
}

#[tokio::test]
async fn a_peer_that_asks_for_less_memory_than_anything_runs_in_is_refused_and_kills_no_worker() {
    let (stage, kept) = kept(1).await;
    let mut worker = None;
    for (key, memory) in [("one", "1"), ("two", "16777215")] {
        let mut peer = asked(&kept, key, &format!("/hold/{key}")).await;
        let pid = stage.runs(key, "only").await;
        assert_eq!(*worker.get_or_insert(pid), pid);
        stage.go(key);
        assert_eq!(peer.answer().await.text(), by("only", pid));
        kept.workers_become("idle", 1).await;
        let tiny = super::shadow(&format!("{key}-tiny"), "/", 60_000);
        let mut peer = tests::Raw::connect(kept.peers()).await;
        peer.write(tiny.replace("memory=536870912", &format!("memory={memory}"))).await;
        let refused = peer.answer().await;
        assert_eq!((refused.status, refused.field("adumbra-not-executed")), (503, "1"), "{}", refused.text());
    }
    assert_eq!(kept.metric(r#"adumbra_shadows_refused_total{network="private",reason="memory"}"#).await, 2.0);
    assert!(is_alive(worker.expect("it ran")));
    kept.workers_become("idle", 1).await;
}

#[tokio::test]
async fn a_worker_that_holds_too_much_memory_is_killed_and_counted_and_comes_back() {
    let (_stage, kept) = kept(1).await;
    let answer = asked(&kept, "s", "/eat/2000").await.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    kept.metric_becomes("adumbra_lane_oom_kills_total", 1.0).await;
    kept.metric_becomes(r#"adumbra_processes_ended_total{process="worker",end="oom"}"#, 1.0).await;
    assert_eq!(kept.status().await["lane"]["oom_kills"], 1);
    kept.workers_become("idle", 1).await;
    let answer = asked(&kept, "again", "/").await.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_worker_that_is_killed_under_its_shadow_comes_back() {
    let (stage, kept) = kept(1).await;
    let mut peer = asked(&kept, "s", "/hold/job").await;
    let worker = stage.runs("job", "only").await;
    kill_process(worker, Signal::KILL).expect("it runs");
    assert_eq!(peer.answer().await.status, 502);
    kept.metric_becomes(r#"adumbra_processes_ended_total{process="worker",end="exited"}"#, 1.0).await;
    kept.metric_becomes(r#"adumbra_shadows_served_total{end="failed"}"#, 1.0).await;
    kept.workers_become("idle", 1).await;
    assert_eq!(kept.get("/").await.status, 200);
}

#[tokio::test]
async fn status_says_what_holds_the_workers() {
    let (_stage, kept) = kept(2).await;
    let status = kept.status().await;
    let lane = &status["lane"];
    assert_eq!((lane["kind"].as_str(), &lane["workers"]["idle"]), (Some("process"), &2.into()), "{status}");
    let words = status["networks"][0]["shadow_caps_enforced_by"].as_str().unwrap_or_default().to_owned();
    for cap in ["cpu", "memory", "weight"] {
        let by = lane["enforced"][cap].as_str().unwrap_or_else(|| panic!("{cap} in {status}"));
        assert!(words.contains(by), "{words}");
        assert!(by != "nothing" || !lane["lacks"].as_array().is_none_or(Vec::is_empty), "{status}");
    }
    assert_eq!(status["service"]["up"], true);
}
