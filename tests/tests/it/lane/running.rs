//! `adumbra run` keeps a service as whoever starts one expects: its output, its signals, its exit code, nothing left.

use rustix::process::{Pid, Signal, kill_process};
use tests::kept::{is_alive, is_gone};
use tests::{Answer, Kept, Raw, Stage, eventually};

use super::{alone, by, live, setup};

#[tokio::test]
async fn what_the_service_writes_is_passed_on_and_what_workers_write_stands_apart() {
    let stage = Stage::default();
    let kept = Kept::start(setup(1), &stage, "only").await;
    let pid = live(&kept).await;
    assert_eq!(kept.stdout(), format!("only {pid} up\n"), "the sidecar writes nothing there");
    let written = kept.stderr();
    let workers: Vec<&str> = written.lines().filter(|line| line.starts_with("[worker 0] only ")).collect();
    assert!(matches!(workers[..], [line] if line.ends_with(" up")), "{written}");
}

#[tokio::test]
async fn a_stop_lets_jobs_end_then_the_service_and_leaves_no_process() {
    let stage = Stage::default();
    let mut kept = Kept::start(setup(1), &stage, "only").await;
    let pid = live(&kept).await;
    let mut client = Raw::connect(kept.jobs()).await;
    client.write("GET /hold/job HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(stage.runs("job", "only").await, pid);
    // Nobody waits for a shadow at the end.
    let _peer = super::asked(&kept, "s", "/hold/shadow").await;
    let worker = stage.runs("shadow", "only").await;
    kept.signal(Signal::TERM);
    eventually("it drains", async || kept.ready().await == 503).await;
    assert!(!kept.stdout().contains("told to end"), "the job is not done");
    stage.go("job");
    assert_eq!(client.answer().await.text(), by("only", pid));
    drop(client);
    assert_eq!(kept.ends().await, Some(0), "{}", kept.stderr());
    assert!(kept.stdout().ends_with(&format!("only {pid} told to end\n")), "{}", kept.stdout());
    is_gone(pid).await;
    is_gone(worker).await;
}

#[tokio::test]
async fn what_a_service_has_forked_has_its_grace_too() {
    let (stage, mut kept) = alone().await;
    for key in ["beside", "apart"] {
        assert_eq!(kept.get(&format!("/finish/{key}")).await.status, 200);
    }
    kept.signal(Signal::TERM);
    assert_eq!(kept.ends().await, Some(0), "{}", kept.stderr());
    assert!(stage.is_finished("beside"), "it is of the service's group");
    assert!(stage.is_finished("apart"), "it has a session of its own");
    assert!(!kept.stderr().contains("is killed"), "{}", kept.stderr());
}

#[tokio::test]
async fn other_signals_go_on_to_the_service() {
    let (_stage, kept) = alone().await;
    let pid = live(&kept).await;
    kept.signal(Signal::HUP);
    eventually("the service was told", async || kept.stdout().contains("told to reload")).await;
    assert_eq!(kept.get("/").await.text(), by("only", pid), "and goes on");
}

#[tokio::test]
async fn a_service_that_dies_is_started_again() {
    let (stage, kept) = alone().await;
    let first = live(&kept).await;
    let mut client = Raw::connect(kept.jobs()).await;
    client.write("GET /hold/job HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(stage.runs("job", "only").await, first);
    kill_process(first, Signal::KILL).expect("it runs");
    let answer = client.answer().await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    eventually("the next one takes jobs", async || kept.get("/").await.status == 200).await;
    let second = live(&kept).await;
    assert_ne!(first, second);
    assert_eq!(kept.get("/").await.text(), by("only", second));
    assert_eq!(kept.metric(r#"adumbra_processes_ended_total{process="live",end="exited"}"#).await, 1.0);
    // By itself, and well: a service is there to stay.
    let answer = kept.get("/die/0").await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.text());
    kept.metric_becomes(r#"adumbra_processes_ended_total{process="live",end="exited"}"#, 2.0).await;
    eventually("the third takes jobs", async || kept.get("/").await.status == 200).await;
}

#[tokio::test]
async fn a_job_that_comes_while_the_service_is_away_is_told_that_it_did_not_run() {
    let (stage, kept) = alone().await;
    let pid = live(&kept).await;
    stage.refuse_to_start();
    kill_process(pid, Signal::KILL).expect("it runs");
    kept.metric_becomes(r#"adumbra_network_healthy{network="private"}"#, 0.0).await;
    let answer = kept.get("/").await;
    assert_eq!((answer.status, answer.field("adumbra-not-executed")), (503, "1"), "{}", answer.text());
    assert!(kept.metric(r#"adumbra_processes_ended_total{process="live",end="exited"}"#).await >= 1.0);
}

#[tokio::test]
async fn a_sidecar_that_is_killed_takes_all_its_processes_along() {
    let stage = Stage::default();
    let mut kept = Kept::start(setup(2), &stage, "only").await;
    let pid = live(&kept).await;
    let _peer = super::asked(&kept, "s", "/burn/shadow").await;
    let worker = stage.runs("shadow", "only").await;
    // What they fork and put into the background, too.
    let of_live = forked(&kept.get("/fork").await);
    let of_worker = forked(&super::asked(&kept, "f", "/fork").await.answer().await);
    assert!(is_alive(of_live) && is_alive(of_worker));
    kept.signal(Signal::KILL);
    assert_eq!(kept.ends().await, None);
    for process in [pid, worker, of_live, of_worker] {
        is_gone(process).await;
    }
}

fn forked(answer: &Answer) -> Pid {
    answer.text().parse().ok().and_then(Pid::from_raw).expect("a process's number")
}

#[tokio::test]
async fn what_a_service_has_forked_ends_with_it() {
    let (_stage, kept) = alone().await;
    let in_background = forked(&kept.get("/fork").await);
    assert!(is_alive(in_background));
    kill_process(live(&kept).await, Signal::KILL).expect("it runs");
    is_gone(in_background).await;
}

#[tokio::test]
async fn a_service_that_never_comes_up_is_given_up_with_its_own_exit_code() {
    let stage = Stage::default();
    stage.refuse_to_start();
    let quick = setup(0).set("run.back_off", r#""10ms""#);
    let mut kept = Kept::spawn(Some(quick), &stage.command("only")).await;
    assert_eq!(kept.ends().await, Some(3), "{}", kept.stderr());
    assert!(kept.stderr().contains("is given up"), "{}", kept.stderr());
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_told_as_a_shell_would() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let check = async |command: &[&str], code: i32, told: &str| {
        let mut kept = Kept::spawn(Some(setup(0)), &words(command)).await;
        assert_eq!(kept.ends().await, Some(code), "{}", kept.stderr());
        assert!(kept.stderr().contains(told), "{}", kept.stderr());
    };
    check(&["adumbra-there-is-no-such-program", "{port}"], 127, "is it there").await;
    check(&["/dev/null", "{port}"], 126, "cannot run").await;
    check(&["python3", "-m", "http.server"], 1, "has no `{port}` in it").await;
}

#[tokio::test]
async fn what_only_one_of_serve_and_run_can_do_is_refused_by_the_other() {
    let stage = Stage::default();
    let twice = setup(0).set("networks.private.upstreams", r#"["http://127.0.0.1:1"]"#);
    let mut kept = Kept::spawn(Some(twice), &stage.command("only")).await;
    assert_eq!(kept.ends().await, Some(1));
    assert!(kept.stderr().contains("use `adumbra serve`"), "{}", kept.stderr());
    let start = |setup: tests::Setup| {
        let config = config::parse(&setup.text(), "test").unwrap_or_else(|errors| panic!("{errors}"));
        proxy::app::App::start(config).map(drop).expect_err("only `run` can start this").to_string()
    };
    assert!(start(setup(0)).contains("adumbra run"));
    let workers = setup(1).set("networks.private.upstreams", r#"["http://127.0.0.1:1"]"#);
    assert!(start(workers).contains("adumbra run"));
}
