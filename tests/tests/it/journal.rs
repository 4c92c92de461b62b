//! The journal outlives a kill, stays within its bounds, and says what another configuration would have done.

use std::path::Path;

use serde_json::Value;
use tests::{Binary, Origin, Raw, Setup, binary, eventually, stranger};

const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// Both networks, and a journal.
fn setup(private: &Origin, public: &Origin, journal: &Path) -> Setup {
    Setup::two(private.url(), public.url())
        .set("journal.directory", format!("{:?}", journal.display().to_string()))
        .set("journal.bytes", r#""1MiB""#)
        .every(ON)
}

async fn job(sidecar: &Binary, path: &str) -> String {
    let answer = Raw::ask(sidecar.jobs(), format!("GET {path} HTTP/1.1\r\nhost: service\r\n\r\n")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.decision().id
}

async fn adumbra(arguments: &[&str]) -> String {
    let program = tokio::task::spawn_blocking(binary::program).await.expect("no panic");
    stranger::said(tokio::process::Command::new(program).args(arguments)).await
}

async fn replayed(journal: &Path, setup: &Setup) -> Value {
    let directory = tempfile::tempdir().expect("there is room for files");
    let config = directory.path().join("other.toml");
    std::fs::write(&config, setup.text()).expect("there is room for files");
    let (journal, config) = (journal.display().to_string(), config.display().to_string());
    let said = adumbra(&["replay", "--journal", &journal, "--config", &config, "--json"]).await;
    serde_json::from_str(&said).expect("it is JSON")
}

#[tokio::test]
async fn what_was_decided_before_a_kill_is_explained_and_replayed_after_it() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let journal = directory.path().join("journal");
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let setup = setup(&private, &public, &journal);
    let sidecar = Binary::start(setup.clone()).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(job(&sidecar, &format!("/render?n={n}")).await);
    }
    // A job's entry, its line and its label, and what each segment says first.
    eventually("the journal has all of it", async || {
        sidecar.metric("adumbra_journal_written_total").await >= 3.0 * 20.0 + 2.0
    })
    .await;
    sidecar.kill().await;
    let segments: Vec<_> = std::fs::read_dir(&journal).expect("it is there").collect();
    let [Ok(segment)] = &segments[..] else { panic!("one segment: {segments:?}") };
    // What a kill in the middle of a write would leave.
    let mut bytes = std::fs::read(segment.path()).expect("it is there");
    bytes.extend_from_slice(&[77, 0, 0, 0, 1, 2, 3]);
    std::fs::write(segment.path(), bytes).expect("there is room for files");

    let told = adumbra(&["explain", &ids[7], "--journal", &journal.display().to_string()]).await;
    assert!(told.starts_with(&format!("job {} was answered by private: no_model_home", ids[7])), "{told}");
    let json = adumbra(&["explain", &ids[7], "--journal", &journal.display().to_string(), "--json"]).await;
    let line: Value = serde_json::from_str(&json).expect("a line is JSON");
    assert_eq!((line["id"].as_str(), line["planned"].as_str()), (Some(ids[7].as_str()), Some("private")));
    assert!(line["ran_s"].as_f64().is_some_and(|ran_s| ran_s > 0.0), "{line}");

    let same = replayed(&journal, &setup).await;
    assert_eq!((&same["jobs"], &same["compared"], &same["known"]), (&20.into(), &20.into(), &20.into()), "{same}");
    assert_eq!(same["happened_cost"], same["other_cost"], "the same configuration decides the same: {same}");
    assert_eq!((&same["other_low"], &same["other_high"]), (&same["other_cost"], &same["other_cost"]));
    assert_eq!((&same["lost_bytes"], &same["lost_segments"]), (&7.into(), &1.into()));
    assert_eq!(same["moves"]["private -> private"]["jobs"], 20);

    // Nobody has seen what they take where this would have sent them, and no model says it.
    let away = setup.text().replace("repeatable = true", "residency = [\"public\"]");
    let config = directory.path().join("away.toml");
    std::fs::write(&config, away).expect("there is room for files");
    let (at, config) = (journal.display().to_string(), config.display().to_string());
    let said = adumbra(&["replay", "--journal", &at, "--config", &config, "--json"]).await;
    let away: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((&away["compared"], &away["nothing_known"]), (&0.into(), &20.into()), "{away}");
    let text = adumbra(&["replay", "--journal", &at, "--config", &config]).await;
    assert!(text.contains("20 would have gone where nothing was seen and nothing is predicted"), "{text}");
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_costs_no_job_and_goes_on_when_it_can() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let journal = directory.path().join("journal");
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Binary::start(setup(&private, &public, &journal)).await;
    // Somebody removes it, and something else takes its place before it was ever written.
    std::fs::remove_dir_all(&journal).expect("it is there");
    std::fs::write(&journal, "in the way").expect("there is room for files");
    job(&sidecar, "/lost").await;
    eventually("it is said that it fails", async || sidecar.metric("adumbra_journal_failing").await == 1.0).await;
    assert!(sidecar.metric("adumbra_journal_unwritten_total").await > 0.0);
    std::fs::remove_file(&journal).expect("it is there");
    eventually("it is written again", async || {
        job(&sidecar, "/kept").await;
        sidecar.metric("adumbra_journal_failing").await == 0.0
    })
    .await;
    assert!(sidecar.log().contains("the journal is written again"), "{}", sidecar.log());
    sidecar.stop().await;
}
