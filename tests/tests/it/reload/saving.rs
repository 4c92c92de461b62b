//! However a file is saved, it is read; and what it says is in force for the next request.

use std::os::unix::fs::symlink;
use std::path::Path;

use proxy::app::App;
use proxy::reload::ConfigFile;
use rustix::process::Signal;
use tests::{Binary, Origin, Raw, Setup, Sidecar, eventually};

use super::{ON, dear_away, faster_away, reloads};

#[tokio::test]
async fn a_file_that_is_saved_in_place_is_in_force_for_the_next_request() {
    let (_private, _public, setup, edited) = faster_away().await;
    let dear = dear_away(&setup).text();
    edited.save(&dear);
    edited.is_in_force(&dear).await;
    assert_eq!(edited.sidecar.get("/").await.text(), "private", "a price has changed, and so has the decision");
    edited.save(&setup.text());
    edited.is_in_force(&setup.text()).await;
    assert_eq!(edited.sidecar.get("/").await.text(), "public");
    assert_eq!(reloads(&edited.sidecar, "applied").await, 2.0);
    assert_eq!(reloads(&edited.sidecar, "refused").await, 0.0);
}

#[tokio::test]
async fn a_file_that_is_replaced_by_a_rename_is_taken_up() {
    let (_private, _public, setup, edited) = faster_away().await;
    let dear = dear_away(&setup).text();
    for text in [&dear, &setup.text(), &dear] {
        let beside = edited.directory().join("adumbra.toml.new");
        std::fs::write(&beside, text).expect("there is room for files");
        std::fs::rename(&beside, edited.path()).expect("it is on the same disk");
        edited.is_in_force(text).await;
    }
    assert_eq!(edited.sidecar.get("/").await.text(), "private");
}

/// Puts a version of a mounted directory in place as a ConfigMap's is: by one swap of one link.
fn mount(directory: &Path, version: &str, text: &str) {
    std::fs::create_dir(directory.join(version)).expect("a directory can be made");
    std::fs::write(directory.join(version).join("adumbra.toml"), text).expect("there is room for files");
    symlink(version, directory.join("..data_tmp")).expect("a link can be made");
    std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("links can be renamed");
}

#[tokio::test]
async fn a_link_that_is_swapped_two_directories_up_is_followed() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let setup = Setup::two(private.url(), public.url()).every(ON);
    let directory = tempfile::tempdir().expect("there is room for files");
    mount(directory.path(), "..2026_1", &setup.text());
    let path = directory.path().join("adumbra.toml");
    symlink("..data/adumbra.toml", &path).expect("a link can be made");
    let app = App::start(ConfigFile::read(&path).expect("it is valid")).expect("it starts");
    let sidecar = Sidecar::of(app);
    sidecar.swap_model(tests::model::settled(10.0, 9.0));
    assert_eq!(sidecar.get("/").await.text(), "public");
    mount(directory.path(), "..2026_2", &dear_away(&setup).text());
    sidecar.metric_becomes(r#"adumbra_config_reloads_total{outcome="applied"}"#, 1.0).await;
    assert_eq!(sidecar.get("/").await.text(), "private");
}

#[tokio::test]
async fn sighup_reads_it_at_once_and_says_so_where_nothing_has_changed() {
    let private = Origin::named("private").await;
    let setup = Setup::alone(private.url());
    let binary = Binary::start(setup.clone()).await;
    let unchanged = r#"adumbra_config_reloads_total{outcome="unchanged"}"#;
    // Time alone finds nothing to do, so this is by the signal.
    binary.signal(Signal::HUP);
    eventually("it was read", async || binary.metric(unchanged).await == 1.0).await;
    let routes = setup.clone().route("name = \"new\"\nmatch = { path = \"/new\" }").text();
    std::fs::write(binary.config(), routes).expect("there is room for files");
    binary.signal(Signal::HUP);
    let applied = r#"adumbra_config_reloads_total{outcome="applied"}"#;
    eventually("it is in force", async || binary.metric(applied).await == 1.0).await;
    let admin = binary.admin();
    let status = Raw::ask(admin, format!("GET /status HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")).await;
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    assert_eq!(status["routes"][0]["name"], "new");
    assert!(binary.log().contains("the changed configuration is in force"), "{}", binary.log());
    binary.stop().await;
}

#[tokio::test]
async fn routes_come_and_go() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let without = Setup::two(private.url(), public.url());
    let edited = tests::Edited::start(&without);
    edited.sidecar.swap_model(tests::model::settled(10.0, 1.0));
    let asked = async || edited.sidecar.get("/render/1").await.text();
    assert_eq!(asked().await, "private", "no route: home, untouched");
    edited.edit(&without.clone().route(&format!("name = \"render\"\nmatch = {{ path = \"/render*\" }}\n{ON}"))).await;
    assert_eq!(asked().await, "public");
    edited.edit(&without).await;
    assert_eq!(asked().await, "private");
}

#[tokio::test]
async fn what_the_file_says_and_what_is_in_force_can_be_told() {
    let (_private, _public, setup, edited) = faster_away().await;
    let said = edited.config().await;
    assert_eq!(said["in_force"]["text"], setup.text());
    assert_eq!(said["in_force"]["from"], "file");
    assert_eq!(said["in_force"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(said["listening"]["jobs"], edited.sidecar.jobs().to_string());
    assert!(said["refused"].is_null());
    assert_eq!(edited.sidecar.metric("adumbra_config_last_reload_successful").await, 1.0);
    let at_s = edited.sidecar.metric("adumbra_config_last_reload_success_timestamp_seconds").await;
    assert_eq!(said["in_force"]["read_at_s"].as_f64(), Some(at_s));
}
