//! A file that was spoilt while the sidecar ran does not keep it from starting again.

use proxy::app::App;
use proxy::reload::ConfigFile;
use tests::{Edited, Origin, Raw, Setup, Sidecar, eventually};

use super::{ON, reloads};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Whether what is kept in `state` is `text`.
fn keeps(state: &std::path::Path, text: &str) -> bool {
    std::fs::read_to_string(state.join("last-good.toml")).is_ok_and(|kept| kept == text)
}

/// What `/config` says.
async fn config(sidecar: &Sidecar) -> serde_json::Value {
    serde_json::from_slice(&sidecar.ask("/config").await.body).expect("the page is JSON")
}

#[tokio::test]
async fn the_last_good_one_is_started_from_when_the_file_cannot_be_used_and_a_correction_is_taken_up() {
    let origin = Origin::named("private").await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let state = directory.path().join("state");
    let setup = Setup::alone(origin.url()).every(ON).set("state.directory", format!("{state:?}"));
    let edited = Edited::start(&setup);
    assert!(keeps(&state, &setup.text()), "it is kept once it has started");
    let good = setup.clone().set("drain", r#""6s""#);
    edited.edit(&good).await;
    eventually("it is kept", async || keeps(&state, &good.text())).await;
    let bad = good.text() + "[[routes]]\nnonsense = \n";
    edited.refuses(&bad).await;
    assert!(keeps(&state, &good.text()), "a bad one is not kept");
    assert_eq!(edited.sidecar.get("/").await.text(), "private");

    let path = directory.path().join("adumbra.toml");
    std::fs::write(&path, &bad).expect("there is room for files");
    let file = ConfigFile::read(&path).expect("there is a good one");
    assert_eq!(file.errors().map(::config::Errors::count), Some(1));
    let sidecar = Sidecar::of(App::start(file).expect("it starts"));
    assert_eq!(Raw::ask(sidecar.jobs(), GET).await.text(), "private");
    assert_eq!(sidecar.ask("/readyz").await.status, 200);
    let said = config(&sidecar).await;
    assert_eq!((&said["in_force"]["from"], &said["in_force"]["text"]), (&"last_good".into(), &good.text().into()));
    assert_eq!(said["refused"]["errors"][0]["code"], "syntax", "{said:#}");
    assert_eq!(sidecar.metric("adumbra_config_last_reload_successful").await, 0.0);

    std::fs::write(&path, good.text()).expect("there is room for files");
    eventually("the file is in force", async || config(&sidecar).await["in_force"]["from"] == "file").await;
    assert!(config(&sidecar).await["refused"].is_null());
    assert_eq!(sidecar.metric("adumbra_config_last_reload_successful").await, 1.0);
    assert_eq!(reloads(&sidecar, "refused").await, 0.0);
}

#[tokio::test]
async fn one_that_is_valid_and_cannot_be_started_gives_way_to_the_last_good_one_too() {
    let origin = Origin::named("private").await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let state = directory.path().join("state");
    let setup = Setup::alone(origin.url()).set("state.directory", format!("{state:?}"));
    drop(Edited::start(&setup));
    assert!(keeps(&state, &setup.text()));
    let unfit = setup.clone().set("networks.private.ca", r#""/nonexistent""#);
    let edited = Edited::start(&unfit);
    let said = edited.config().await;
    assert_eq!(said["in_force"]["from"], "last_good");
    assert_eq!(said["refused"]["errors"][0]["key"], "networks.private.ca", "{said:#}");
    assert!(keeps(&state, &setup.text()));
}

#[tokio::test]
async fn without_one_a_bad_file_stops_the_start() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("adumbra.toml");
    for text in ["home = 3\n", "state.directory = \"/nonexistent\"\nhome = 3\n"] {
        std::fs::write(&path, text).expect("there is room for files");
        assert!(ConfigFile::read(&path).is_err(), "{text}");
    }
}
