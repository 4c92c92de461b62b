//! Cages with real processes in them. What they use is read by the tests themselves, from `/proc` and from the kernel's
//! own files, not through the code under test.

mod launching;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::*;

/// Far beyond what anything waited for takes.
const BOUND: Duration = Duration::from_secs(30);

/// The launcher: the `adumbra` beside this test's own executable, built if need be, or the one the environment names.
fn launcher() -> PathBuf {
    static LAUNCHER: OnceLock<PathBuf> = OnceLock::new();
    LAUNCHER.get_or_init(|| std::env::var_os("ADUMBRA_LAUNCHER").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its executable");
    let profile = own.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this test of its own package would make build scripts take themselves to be out of date.
    for (key, _) in std::env::vars_os() {
        let of_ours = ["CARGO_MANIFEST_", "CARGO_PKG_", "LD_LIBRARY_PATH"];
        if key.to_str().is_some_and(|key| of_ours.iter().any(|of_ours| key.starts_with(of_ours))) {
            build.env_remove(key);
        }
    }
    let built = build
        .args(["build", "--quiet", "--package", "proxy", "--bin", "adumbra", "--profile", name, "--target-dir"])
        .arg(profile.parent().expect("a profile is in the target directory"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    let program = profile.join("adumbra");
    assert!(built.is_ok_and(|status| status.success()) && program.exists(), "`adumbra` cannot be built");
    program
}

/// What the machine offers. If that is not control groups, the tests that need them say so, loudly.
fn means() -> Means {
    Means::survey_with(launcher())
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within {BOUND:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
