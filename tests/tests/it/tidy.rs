//! The workspace keeps the shape that its documents say it has.

use std::path::{Path, PathBuf};

use tests::binary::workspace;
use toml::Table;

/// The arrows between crates; what only measures or tests may point anywhere.
const ARROWS: [(&str, &str); 5] =
    [("proxy", "certs"), ("proxy", "config"), ("proxy", "policy"), ("config", "policy"), ("inject", "certs")];
const EXEMPT: [&str; 2] = ["tests", "benches"];
/// Lines of a file, without its tests: a reason to look.
const LINES_MOST: usize = 400;
/// What a pure crate has no use for.
const BANNED: [&str; 10] =
    ["tokio", "hyper", "tracing", "rand", "std::fs", "std::net", "std::env", "Instant::now", "SystemTime", "async fn"];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(path: &Path) -> Table {
    read(&path.join("Cargo.toml")).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<String> {
    let root = manifest(workspace());
    let members = root["workspace"]["members"].as_array().expect("a workspace has members");
    members.iter().map(|member| member.as_str().expect("a folder").to_owned()).collect()
}

/// Every Rust file of the workspace, by its path in it.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = members().iter().map(|member| workspace().join(member)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path.strip_prefix(workspace()).expect("it is in the workspace").to_owned());
            }
        }
    }
    sources.sort();
    assert!(sources.len() > 50, "{} files were found", sources.len());
    sources
}

/// Every table of dependencies in a manifest, those for some targets only as well.
fn dependencies(manifest: &Table) -> Vec<(&String, &toml::Value)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let mut tables = vec![manifest];
    tables.extend(targets.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table));
    tables.iter().flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()).flatten()).collect()
}

#[test]
fn crates_point_only_where_the_design_says() {
    let members = members();
    for member in members.iter().filter(|member| !EXEMPT.contains(&member.as_str())) {
        let manifest = manifest(&workspace().join(member));
        assert_eq!(manifest["package"]["name"].as_str(), Some(member.as_str()), "a folder is a crate");
        for (name, value) in dependencies(&manifest) {
            let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            assert!(value.get("path").is_none(), "{member} → {package} goes by the workspace, not by a path");
            if members.iter().any(|other| other == package) {
                assert!(ARROWS.contains(&(member, package)), "{member} → {package} is not an arrow of the design");
            }
        }
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent: Vec<PathBuf> =
        sources().into_iter().filter(|path| !read(&workspace().join(path)).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "no `//!` opens {silent:#?}");
}

/// Lines of a source that are not tests: without `#[cfg(test)] mod … { … }`.
fn lines_but_tests(source: &str) -> usize {
    let mut lines = source.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let opens = |next: &&str| next.contains("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(opens) {
            lines.by_ref().find(|line| *line == "}");
        } else {
            count += 1;
        }
    }
    count
}

#[test]
fn no_file_is_long() {
    // In `src`, `tests` is what `#[cfg(test)]` stands before.
    let is_test = |path: &Path| {
        let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        parts.get(1) == Some(&"src") && parts[2..].iter().any(|part| matches!(*part, "tests" | "tests.rs"))
    };
    let long: Vec<(usize, PathBuf)> = sources()
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| (lines_but_tests(&read(&workspace().join(&path))), path))
        .filter(|(lines, _)| *lines > LINES_MOST)
        .collect();
    assert!(long.is_empty(), "more than {LINES_MOST} lines without tests: {long:#?}");
}

#[test]
fn tests_in_a_file_are_not_counted_as_its_lines() {
    assert_eq!(lines_but_tests("//! A.\n\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 4);
    assert_eq!(lines_but_tests("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
    assert_eq!(lines_but_tests("#[cfg(test)]\nmod tests {\n}\nfn a() {}\n"), 1);
}

#[test]
fn the_policy_has_no_world_to_look_at() {
    let is_word = |text: &str, at: usize, word: &str| {
        let part = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
        !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next())
    };
    for path in sources().iter().filter(|path| path.starts_with("policy/src")) {
        let text = read(&workspace().join(path));
        for word in BANNED {
            let used = text.match_indices(word).any(|(at, _)| is_word(&text, at, word));
            assert!(!used, "{} says `{word}`", path.display());
        }
    }
}

#[test]
fn no_test_is_passed_over_and_no_module_hides_its_name() {
    // Written so that this file does not say it.
    let ignoring = ["#[", "ignore"].concat();
    for path in sources() {
        assert!(path.file_name().is_some_and(|name| name != "mod.rs"), "{}", path.display());
        let ignores = read(&workspace().join(&path)).lines().any(|line| line.trim_start().starts_with(&ignoring));
        assert!(!ignores, "{} has a test that does not run", path.display());
    }
}
