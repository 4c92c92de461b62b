//! Models as files: they outlive the process that grew them, and the command line makes, shows, checks and compares them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::binary::{Binary, program};
use tests::{Origin, Raw, Setup, eventually};

const VERSION: &str = "adumbra_model_version";

/// A sidecar that learns from its first jobs and keeps its models in `models` in `directory`.
fn learning(origin: &Origin, directory: &Path) -> Setup {
    Setup::alone(origin.url())
        .set("oracle.first_after", 40)
        .set("oracle.refit_after", 20_000)
        .set("oracle.refit_every", r#""10ms""#)
        .set("state.directory", format!("{:?}", directory.display().to_string()))
        .every("shadow = \"on\"\nrepeatable = true\nclass_by = \"query:kind\"")
}

async fn jobs(sidecar: &Binary, n: usize) {
    for i in 0..n {
        let request = format!("GET /?kind={} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", ["a", "b"][i % 2]);
        assert_eq!(Raw::ask(sidecar.jobs(), request).await.status, 200);
    }
}

fn files(result: &str) -> String {
    format!(r#"adumbra_model_files_total{{result="{result}"}}"#)
}

/// The latest decisions, when `n` of them are kept.
async fn decisions(sidecar: &Binary, n: usize) -> Vec<serde_json::Value> {
    let mut kept = Vec::new();
    eventually("the decisions are kept", async || {
        kept = serde_json::from_str(&sidecar.page(&format!("/decisions?n={n}")).await).expect("a list");
        kept.len() == n
    })
    .await;
    kept
}

#[tokio::test]
async fn a_model_is_back_after_kill_9_and_a_damaged_one_gives_way_to_the_one_before() {
    let origin = Origin::named("private").await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let (state, kept) = (directory.path(), directory.path().join("models"));
    let first = Binary::start(learning(&origin, state)).await;
    assert_eq!(first.metric(VERSION).await, 0.0);
    jobs(&first, 60).await;
    eventually("a model is in force", async || first.metric(VERSION).await == 1.0).await;
    eventually("it is kept", async || first.metric(&files("saved")).await == 1.0).await;
    let grown = first.page("/model").await;
    first.kill().await;

    let second = Binary::start(learning(&origin, state)).await;
    assert_eq!((second.metric(VERSION).await, second.metric(&files("loaded")).await), (1.0, 1.0));
    let read = second.page("/model").await;
    let of = |text: &str| policy::model::file::read(text).expect("a model");
    let (grown, read) = (of(&grown), of(&read));
    assert!(grown.model().says_the_same_as(read.model()), "what comes back is what was there");
    assert_eq!(grown.classes(), read.classes());
    assert_eq!(read.classes().len(), 2, "{:?}", read.classes());
    jobs(&second, 1).await;
    assert_eq!(decisions(&second, 1).await[0]["model"], 1, "the first job after the start is decided by it");
    let status: serde_json::Value = serde_json::from_str(&second.page("/status").await).expect("JSON");
    assert_eq!((&status["model"]["trusted"], &status["learning"]["rollbacks"]), (&1.into(), &0.into()), "{status}");
    second.kill().await;

    // A newer version of which the end is missing, and one in which a digit has changed.
    let text = std::fs::read_to_string(kept.join("model-00000001.json")).expect("it was kept");
    std::fs::write(kept.join("model-00000002.json"), &text[..text.len() / 3]).expect("it can be written");
    std::fs::write(kept.join("model-00000003.json"), text.replacen("\"version\":1", "\"version\":7", 1))
        .expect("it can be");
    let third = Binary::start(learning(&origin, state)).await;
    assert_eq!(third.metric(VERSION).await, 1.0);
    for result in ["loaded", "truncated", "checksum"] {
        assert_eq!(third.metric(&files(result)).await, 1.0, "{result}");
    }
    let log = third.log();
    assert!(log.contains("model-00000002.json") && log.contains("its end is missing"), "{log}");
    assert!(log.contains("model-00000003.json") && log.contains("its checksum is"), "{log}");
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_fail_no_request_and_close_no_connection() {
    const CLIENTS: usize = 8;
    const EACH: usize = 375;
    let origin = Origin::named("private").await;
    let setup = Setup::two(origin.url(), origin.url()).every("shadow = \"on\"\nrepeatable = true");
    let sidecar = setup.set("shadow.enabled", "true").start();
    let first = tests::model::settled(10.0, 1000.0);
    let second = tests::model::next_settled(&first, 10.0, 1000.0);
    sidecar.swap_model(first.clone());
    let jobs = sidecar.jobs();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Raw::connect(jobs).await;
                for _ in 0..EACH {
                    client.write("GET /same HTTP/1.1\r\nhost: a\r\n\r\n").await;
                    let answer = client.answer().await;
                    assert_eq!((answer.status, answer.text().as_str()), (200, "private"));
                }
            })
        })
        .collect();
    let mut swaps = 0;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(1));
    while swaps < 100 || clients.iter().any(|client| !client.is_finished()) {
        sidecar.swap_model(if swaps % 2 == 0 { second.clone() } else { first.clone() });
        swaps += 1;
        pace.tick().await;
    }
    for client in clients {
        client.await.expect("every request was answered");
    }
    let answered = r#"adumbra_jobs_total{network="private",outcome="answered"}"#;
    sidecar.metric_becomes(answered, (CLIENTS * EACH) as f64).await;
    for line in sidecar.decisions(1000).await {
        assert!(line["model"] == first.version() || line["model"] == second.version(), "{line}");
    }
    println!("{swaps} swaps during {} requests", CLIENTS * EACH);
}

/// Runs `adumbra model …` in `directory`.
fn model(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(program()).arg("model").args(arguments).current_dir(directory).output().expect("the binary runs")
}

/// What it prints where it succeeds.
fn prints(directory: &Path, arguments: &[&str]) -> String {
    let output = model(directory, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// What it says on stderr where it fails.
fn fails(directory: &Path, arguments: &[&str]) -> String {
    let output = model(directory, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

/// Jobs of two classes on two networks, in pairs; those of `scene` take a second for each 100 kB, or `slower` times that.
fn recorded(directory: &Path, name: &str, slower: f64) -> PathBuf {
    let mut text = "arrival_s,group,class,network,pair,urgency,body_bytes,x_frames,service_s,cpu_s\n".to_owned();
    for i in 0..600_u32 {
        let bytes = 1000 + 1777 * u64::from(i * 37 % 600);
        let wobble = 1.0 + 0.1 * f64::from(i * 31 % 7);
        let (class, home_s) =
            if i % 3 == 0 { ("page", 0.2 * wobble) } else { ("scene", slower * bytes as f64 / 1e5 * wobble) };
        for (network, seconds) in [("private", home_s), ("public", home_s * if class == "page" { 2.0 } else { 0.5 })] {
            writeln!(text, "{i},g{},{class},{network},p{i},,{bytes},{},{seconds},{}", i / 50, i % 9, seconds / 2.0)
                .expect("a string takes text");
        }
    }
    let path = directory.join(name);
    std::fs::write(&path, text).expect("it can be written");
    path
}

#[tokio::test]
async fn a_model_can_be_trained_shown_checked_and_compared() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let at = directory.path();
    tokio::task::spawn_blocking(program).await.expect("no panic");
    recorded(at, "jobs.csv", 1.0);
    recorded(at, "slower.csv", 3.0);
    let said = prints(at, &["train", "jobs.csv", "-o", "a.json", "--route", "render"]);
    assert!(said.contains("1200 of 2 classes on private, public"), "{said}");
    assert!(said.contains("unseen    200 rows"), "whole groups are held out: {said}");
    assert!(said.contains("% of them within their interval of 80 %"), "{said}");
    let shown = prints(at, &["show", "a.json"]);
    assert!(shown.contains("networks  private, public; home is private"), "{shown}");
    assert!(shown.contains("x_0 is x_frames") && shown.contains("body_bytes ≤ "), "{shown}");
    let scene = prints(at, &["show", "a.json", "--class", "render/scene"]);
    assert!(scene.contains("0.50 /× ") && !scene.contains("render/page") && !scene.contains("class ≤"), "{scene}");
    assert!(fails(at, &["show", "a.json", "--class", "scene"]).contains("there is no class `scene`"));
    assert_eq!(prints(at, &["verify", "a.json"]), "a.json is a valid model of 1200 rows and 2 classes\n");

    prints(at, &["train", "slower.csv", "-o", "b.json", "--route", "render"]);
    let same = prints(at, &["diff", "a.json", "a.json"]);
    assert!(same.contains("they say the same of every job"), "{same}");
    let changed = prints(at, &["diff", "a.json", "b.json"]);
    let row = changed.lines().find(|line| line.contains("render/scene") && line.contains("private"));
    let times = row.and_then(|row| row.rsplit("× ").nth(1)?.trim().parse::<f64>().ok());
    assert!(times.is_some_and(|times| (2.0..4.5).contains(&times)), "three times as long: {changed}");
    assert!(changed.contains("questions\n"), "{changed}");
}

#[tokio::test]
async fn what_cannot_be_used_is_said_with_its_line_and_what_to_do() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let at = directory.path();
    tokio::task::spawn_blocking(program).await.expect("no panic");
    recorded(at, "jobs.csv", 1.0);
    let train = |file: &'static str| move |more: &[&'static str]| [&["train", file, "-o", "m.json"], more].concat();
    assert!(fails(at, &train("none.csv")(&["--route", "r"])).contains("cannot read none.csv: No such file"));
    assert!(fails(at, &train("jobs.csv")(&[])).contains("say --route NAME"));
    std::fs::write(at.join("few.csv"), "class,service_s\na,1\n").expect("it can be written");
    assert!(fails(at, &train("few.csv")(&["--route", "r"])).contains("1 labelled jobs are too few"));
    std::fs::write(at.join("other.csv"), "a,b\n1,2\n").expect("it can be written");
    assert!(fails(at, &train("other.csv")(&["--route", "r"])).contains("other.csv has no column `class`"));

    let mut text = std::fs::read_to_string(at.join("jobs.csv")).expect("it was written");
    for bad in ["-1", "NaN", "inf", "1e308", "1e-310", "fast", ""] {
        writeln!(text, "1,,scene,private,,,5,,{bad},").expect("a string takes text");
    }
    text += "1,,scene\n1,,scene,private,,9,5,,1,\n1,,scene,private,,,-5,,1,\n1,,scene,private,,,5,,1,-2\n";
    std::fs::write(at.join("bad.csv"), text).expect("it can be written");
    let said = fails(at, &train("bad.csv")(&["--route", "render"]));
    for line in [
        "bad.csv:1202: the label is not a finite, positive number",
        "bad.csv:1206: the label is not",
        "bad.csv:1207: service_s is `fast`, which is no number",
        "bad.csv:1208: service_s is missing",
        "bad.csv:1209: it has 3 cells, and the first line 10",
        "bad.csv:1210: urgency 9 is not 0 to 7",
        "bad.csv:1211: body_bytes -5 cannot be",
        "bad.csv:1212: a resource of the label",
        "11 rows cannot be used",
    ] {
        assert!(said.contains(line), "`{line}` is not in {said}");
    }
    assert!(!at.join("m.json").exists(), "nothing is written");
    let said = prints(at, &train("bad.csv")(&["--route", "render", "--skip-bad"]));
    assert!(said.contains("; 11 left out"), "{said}");
    assert!(fails(at, &train("jobs.csv")(&["--route", "render"])).contains("m.json is there already"));

    // What verify finds, one fault a line.
    let text = std::fs::read_to_string(at.join("m.json")).expect("it was written");
    let write = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("it can be written");
    write("cut.json", &text[..text.len() - 40]);
    write("edited.json", &text.replacen("\"left\":1", "\"left\":0", 1));
    let said = |file: &str| {
        let output = model(at, &["verify", file]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(said("cut.json").contains("cut.json: its end is missing"));
    let both = said("edited.json");
    assert!(both.contains("its checksum is") && both.contains("the children of node 0"), "{both}");
    assert!(said("jobs.csv").contains("it does not begin like a model file"));
    let error = fails(at, &["show", "cut.json"]);
    assert!(error.contains("cut.json is not a model that can be used: its end is missing"), "{error}");
}

#[tokio::test]
async fn a_model_trained_offline_decides_the_first_job_of_the_sidecar_it_was_made_for() {
    let origin = Origin::named("private").await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let at = directory.path();
    tokio::task::spawn_blocking(program).await.expect("no panic");
    std::fs::create_dir(at.join("models")).expect("there is room for files");
    let rows: String = (0..100).map(|i| format!("{},{}.{}\n", ["a", "b"][i % 2], 3 + i % 2 * 4, i % 7)).collect();
    std::fs::write(at.join("jobs.csv"), format!("class,service_s\n{rows}")).expect("it can be written");
    let setup = learning(&origin, at);
    std::fs::write(at.join("adumbra.toml"), setup.text()).expect("it can be written");
    prints(at, &["train", "jobs.csv", "-o", "models/model-1.json", "--config", "adumbra.toml"]);
    let said = prints(at, &["verify", "models/model-1.json", "--config", "adumbra.toml"]);
    assert!(said.contains("and fits adumbra.toml"), "{said}");
    std::fs::write(at.join("other.toml"), setup.text().replace("private", "elsewhere")).expect("it can be written");
    let output = model(at, &["verify", "models/model-1.json", "--config", "other.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("its times are those of home `private`, and home is `elsewhere` here"), "{said}");

    let sidecar = Binary::start(setup).await;
    jobs(&sidecar, 2).await;
    let decisions = decisions(&sidecar, 2).await;
    assert!(decisions.iter().all(|line| line["model"] == 1), "{decisions:?}");
    let median = |class: &str| {
        let of = decisions.iter().find(|line| line["class"] == class);
        of.and_then(|line| line["predictions"]["private"]["p50_s"].as_f64()).expect("it was predicted")
    };
    let (a, b) = (median("a"), median("b"));
    assert!((3.0..4.0).contains(&a) && (7.0..8.0).contains(&b), "{a} {b}");
    sidecar.stop().await;
}
