//! The documents say what the parser does.

use std::collections::BTreeSet;

use config::{Fault, Presence, keys, parse, reference};
use toml::{Table, Value};

use crate::{EXAMPLE, SMALLEST};

/// The example with the lines that are commented out because most files do without them.
fn example_with_all() -> String {
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest)
            if rest
                .split_once(" = ")
                .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')) =>
        {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_is_what_the_parser_says() {
    let page = include_str!("../../../docs/config.md");
    assert!(page == reference(), "docs/config.md is old: run `cargo run -p config --example write_reference`");
}

#[test]
fn the_example_is_valid() {
    for text in [EXAMPLE.to_owned(), example_with_all()] {
        parse(&text, "adumbra.example.toml").unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_example_for_run_is_valid_and_leaves_home_to_it() {
    let text = include_str!("../../../deploy/adumbra.run.example.toml");
    let config = parse(text, "adumbra.run.example.toml").unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.is_for_run());
}

#[test]
fn the_configuration_beside_ffmpeg_is_valid() {
    let text = include_str!("../../../deploy/ffmpeg/adumbra.toml");
    let config = parse(text, "adumbra.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let poll = config.routes[0].progress.as_ref().expect("it names a counter");
    assert_eq!(poll.path("1f-2-s1"), "/progress/1f-2-s1");
}

#[test]
fn the_two_sidecars_of_the_example_know_each_other() {
    let read = |text: &str, name: &str| parse(text, name).unwrap_or_else(|errors| panic!("{errors}"));
    let near = read(include_str!("../../../deploy/two-sidecars/private.toml"), "private.toml");
    let far = read(include_str!("../../../deploy/two-sidecars/public.toml"), "public.toml");
    let peers =
        |config: &config::Config| config.identity.clone().and_then(|identity| identity.peers).unwrap_or_default();
    let expected: Vec<_> = near.networks.iter().filter_map(|network| network.identity.clone()).collect();
    assert_eq!(expected, peers(&near), "who is reached may send");
    assert_eq!(
        peers(&far).iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["spiffe://corp.example/private/render"]
    );
}

#[test]
fn the_example_has_every_key() {
    let text = example_with_all();
    let example: Table = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut written = BTreeSet::new();
    leaves(&Value::Table(example), "", &mut written);
    let known: BTreeSet<_> = keys().iter().filter(|row| !row.is_table()).map(config::KeyRow::path).collect();
    assert_eq!(written, known);
}

/// The keys of `value`, with names of the operator's choice as `NAME`.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let chosen = ["networks", "routes[].match.headers", "routes[].extract"].contains(&path);
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let key = if chosen { "NAME" } else { key };
                leaves(value, format!("{path}.{key}").trim_start_matches('.'), found);
            }
        }
        Value::Array(values) if values.iter().all(Value::is_table) && !values.is_empty() => {
            for value in values {
                leaves(value, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// A file in which this key has this value, and all that it needs beside.
fn with_key(path: &str, value: &str) -> String {
    let key = path.replace("NAME", "x_1");
    match key.strip_prefix("routes[].") {
        Some("name") => format!("{SMALLEST}[[routes]]\nname = {value}\n"),
        Some(key) => format!("{SMALLEST}[[routes]]\nname = 'r'\n{key} = {value}\n"),
        None => format!("{SMALLEST}{key} = {value}\n"),
    }
}

#[test]
fn every_key_of_the_page_is_read() {
    for row in keys().iter().filter(|row| !row.is_table()) {
        let text = with_key(&row.path(), &row.example);
        let Err(errors) = parse(&text, "one key") else { continue };
        let unread: Vec<_> = errors
            .iter()
            .filter(|error| matches!(error.fault, Fault::UnknownKey { .. } | Fault::Malformed { .. }))
            .collect();
        assert!(unread.is_empty(), "{}: {errors}", row.path());
    }
}

#[test]
fn every_table_refuses_keys_that_are_not_on_the_page() {
    for row in keys().iter().filter(|row| row.is_table()) {
        let text = with_key(&format!("{}.qqqq", row.table), "1");
        let errors = parse(&text, "one key").expect_err("there is no such key");
        let refused = errors.iter().any(|error| matches!(&error.fault, Fault::UnknownKey { key, .. } if key == "qqqq"));
        assert!(refused, "{}: {errors}", row.table);
    }
}

#[test]
fn every_key_says_what_it_is() {
    let mut paths = BTreeSet::new();
    for row in keys() {
        assert!(paths.insert(row.path()), "{} is described twice", row.path());
        assert!(row.about.ends_with('.') && !row.about.contains(['|', '\n']), "{}: {}", row.path(), row.about);
        assert!(!matches!(row.presence, Presence::Default(text) if text.is_empty()), "{}", row.path());
    }
}
