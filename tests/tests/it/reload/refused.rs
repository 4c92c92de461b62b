//! A bad edit changes nothing, and one is told what is wrong with it.

use rustix::process::Signal;
use tests::{Binary, Edited, Origin, Setup, eventually};

use super::{ON, dear_away, faster_away, reloads};

#[tokio::test]
async fn a_bad_edit_changes_nothing_and_is_told_with_line_and_column() {
    let (_private, _public, setup, edited) = faster_away().await;
    let sidecar = &edited.sidecar;
    // Good in all but one word.
    let bad = dear_away(&setup).text() + "[log]\nkeep = \"much\"\nnonsense = 1\n";
    let bad = bad.replacen("log.keep = 4096\n", "", 1);
    let refused = edited.refuses(&bad).await;
    let line = bad.lines().position(|line| line.starts_with("keep")).expect("it is there") + 1;
    assert_eq!(refused["count"], 2, "{refused:#}");
    let errors = refused["errors"].as_array().expect("a list");
    assert_eq!(
        (&errors[0]["line"], &errors[0]["column"], &errors[0]["key"]),
        (&line.into(), &8.into(), &"log.keep".into())
    );
    assert_eq!((&errors[1]["line"], &errors[1]["column"]), (&(line + 1).into(), &1.into()));
    assert_eq!(errors[1]["code"], "unknown-key");
    assert!(refused["shown"].as_str().is_some_and(|shown| shown.contains("keep = \"much\"")), "{refused:#}");
    assert_eq!(sidecar.get("/").await.text(), "public", "the price in it is not in force either");
    let config = edited.config().await;
    assert_eq!(config["in_force"]["text"], setup.text());
    assert_eq!(sidecar.metric("adumbra_config_last_reload_successful").await, 0.0);
    assert_eq!((reloads(sidecar, "refused").await, reloads(sidecar, "applied").await), (1.0, 0.0));
    assert_eq!(sidecar.ask("/readyz").await.status, 200);

    // To take it back is enough.
    edited.save(&setup.text());
    edited.is_in_force(&setup.text()).await;
    assert_eq!(sidecar.metric("adumbra_config_last_reload_successful").await, 1.0);
    assert_eq!((reloads(sidecar, "refused").await, reloads(sidecar, "unchanged").await), (1.0, 1.0));
    edited.edit(&dear_away(&setup)).await;
    assert_eq!(sidecar.get("/").await.text(), "private");
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_named_and_nothing_else_of_the_edit_is_in_force() {
    let (_private, _public, setup, edited) = faster_away().await;
    let edit = dear_away(&setup).set("workers", 1).set("run.grace", r#""1s""#).set("home", r#""public""#);
    let refused = edited.refuses(&edit.text()).await;
    let keys: Vec<_> = refused["errors"].as_array().expect("a list").iter().map(|error| error["key"].clone()).collect();
    assert_eq!(keys, ["home", "run.grace", "workers"], "{refused:#}");
    assert!(refused["shown"].as_str().is_some_and(|shown| shown.contains("restart to change it")), "{refused:#}");
    assert_eq!(edited.sidecar.get("/").await.text(), "public");
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_at_its_key() {
    let (_private, _public, setup, edited) = faster_away().await;
    let taken = tests::Origin::named("taken").await;
    let check = async |key: &str, edit: Setup| {
        let text = edit.text();
        let refused = edited.refuses(&text).await;
        assert_eq!((&refused["errors"][0]["key"], &refused["errors"][0]["code"]), (&key.into(), &"unfit".into()));
        let line = refused["errors"][0]["line"].as_u64().expect("a line") as usize;
        let written = text.lines().nth(line - 1).unwrap_or_default();
        assert!(written.starts_with(key.split('.').next().unwrap_or_default()), "{key} stands at {line}: {written}");
        edited.save(&setup.text());
        edited.is_in_force(&setup.text()).await;
    };
    check("listen.egress", dear_away(&setup).set("listen.egress", format!(r#""{}""#, taken.address()))).await;
    check("log.decisions", dear_away(&setup).set("log.decisions", r#""/nonexistent/decisions""#)).await;
    let tls = r#"{ certificate = "/nonexistent/cert", key = "/nonexistent/key" }"#;
    check("listen.tls.certificate", dear_away(&setup).set("listen.tls", tls)).await;
    check("networks.public.ca", dear_away(&setup).set("networks.public.ca", r#""/nonexistent/roots""#)).await;
    assert_eq!(edited.sidecar.get("/").await.text(), "public");
    assert_eq!(reloads(&edited.sidecar, "applied").await, 0.0);
}

#[tokio::test]
async fn a_file_that_is_gone_or_empty_or_no_text_changes_nothing() {
    let (_private, _public, setup, edited) = faster_away().await;
    std::fs::remove_file(edited.path()).expect("it was there");
    let refused = edited.is_refused(None).await;
    assert!(refused["shown"].as_str().is_some_and(|shown| shown.contains("cannot be read")), "{refused:#}");
    for text in ["", "home = \"private\"", "\u{feff}\u{1b}"] {
        edited.refuses(text).await;
        assert_eq!(edited.sidecar.get("/").await.text(), "public");
    }
    std::fs::write(edited.path(), b"home = \"\xff\"").expect("there is room for files");
    edited.sidecar.reload();
    edited.is_refused(None).await;
    edited.edit(&setup).await;
}

#[tokio::test]
async fn the_log_has_a_line_for_each_error() {
    let private = Origin::named("private").await;
    let setup = Setup::alone(private.url()).every(ON);
    let binary = Binary::start(setup.clone()).await;
    let bad = setup.text().replace("drain = \"5s\"", "drain = \"soon\"");
    std::fs::write(binary.config(), &bad).expect("there is room for files");
    binary.signal(Signal::HUP);
    let refused = r#"adumbra_config_reloads_total{outcome="refused"}"#;
    eventually("it is refused", async || binary.metric(refused).await == 1.0).await;
    let log = binary.log();
    let line = bad.lines().position(|line| line.starts_with("drain")).expect("it is there") + 1;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let told = lines.into_iter().find(|told| told["key"] == "drain").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&told["line"], &told["column"], &told["level"]), (&line.into(), &9.into(), &"ERROR".into()), "{told}");
    binary.stop().await;
}

#[tokio::test]
async fn a_ninth_name_needs_a_restart_and_says_so() {
    let origin = Origin::named("private").await;
    let setup = Setup::alone(origin.url());
    let named = |names: &[usize]| {
        let key = |n: &usize| format!("networks.n{n}.upstreams");
        names.iter().fold(setup.clone(), |setup, n| setup.set(&key(n), format!(r#"["{}"]"#, origin.url())))
    };
    let edited = Edited::start(&named(&[1, 2, 3, 4]));
    edited.edit(&named(&[5, 6, 7])).await;
    let refused = edited.refuses(&named(&[8]).text()).await;
    assert_eq!(refused["errors"][0]["code"], "no-place", "{refused:#}");
    edited.edit(&named(&[7, 1, 2])).await;
}
