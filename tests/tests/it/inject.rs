//! What the sidecar's own program has to do with injecting: it becomes another program, and it answers probes.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::{Binary, Setup, binary, within};

#[tokio::test]
async fn inject_becomes_the_program_that_stands_beside_it() {
    let program = tokio::task::spawn_blocking(binary::program).await.expect("no panic");
    let directory = tempfile::tempdir().expect("there is room for files");
    let own = directory.path().join("adumbra");
    std::fs::copy(program, &own).expect("there is room for files");
    let run = || Command::new(&own).args(["inject", "-f", "-", "--help"]).output().expect("it runs");
    let lacking = run();
    let said = String::from_utf8_lossy(&lacking.stderr).into_owned();
    assert!(!lacking.status.success() && said.contains("adumbra-inject; `adumbra inject` needs it beside"), "{said}");
    let beside = directory.path().join("adumbra-inject");
    std::fs::write(&beside, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("there is room for files");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let there = run();
    assert_eq!((there.status.code(), there.stdout.as_slice()), (Some(7), b"-f - --help\n".as_slice()));
}

#[tokio::test]
async fn a_probe_says_whether_the_sidecar_takes_jobs() {
    let sidecar = Binary::start(Setup::alone("http://127.0.0.1:9")).await;
    let admin = sidecar.admin().to_string();
    let probe = async || {
        let program = tokio::task::spawn_blocking(binary::program).await.expect("no panic");
        let asked = tokio::process::Command::new(program).args(["probe", "--admin", &admin]).output();
        within("the probe ends", asked).await.expect("it runs")
    };
    assert!(probe().await.status.success());
    sidecar.kill().await;
    let gone = probe().await;
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(!gone.status.success() && said.contains("cannot ask the sidecar's admin port"), "{said}");
}
