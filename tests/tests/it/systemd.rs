//! What systemd says of the units in `deploy/systemd`, and what it would do with a sidecar.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tests::binary::{program, workspace};
use tests::kept::is_gone;
use tests::{Origin, Raw, Setup, within};
use tokio::net::UnixDatagram;
use tokio::process::Command;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// The worst of 10 that systemd calls well protected is 2.
const EXPOSURE_MOST: &str = "20";

/// The units, with this program in the place of the installed one.
async fn units(into: &Path) -> Vec<std::path::PathBuf> {
    let program = tokio::task::spawn_blocking(program).await.expect("no panic");
    let copied = ["adumbra.service", "adumbra.socket"].map(|name| {
        let text = std::fs::read_to_string(workspace().join("deploy/systemd").join(name)).expect("the unit is there");
        let text = text.replace("/usr/local/bin/adumbra", &program.display().to_string());
        std::fs::write(into.join(name), text).expect("there is room for files");
        into.join(name)
    });
    copied.into()
}

async fn analyze(arguments: &[&str], units: &[std::path::PathBuf]) -> (bool, String) {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).args(units).output().await.expect("systemd-analyze is installed");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn the_units_are_valid_and_well_protected() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let units = units(directory.path()).await;
    let (is_valid, said) = analyze(&["verify", "--man=no"], &units).await;
    let about_ours: Vec<&str> = said.lines().filter(|line| line.contains("adumbra")).collect();
    assert!(is_valid && about_ours.is_empty(), "{said}");
    let threshold = format!("--threshold={EXPOSURE_MOST}");
    let (is_protected, said) = analyze(&["security", "--offline=true", &threshold], &units[..1]).await;
    assert!(is_protected, "{said}");
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

async fn told(systemd: &UnixDatagram) -> String {
    let mut said = [0; 256];
    let read = within("systemd is told something", systemd.recv(&mut said)).await.expect("it is a datagram");
    String::from_utf8_lossy(&said[..read]).trim().to_owned()
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_taken_and_systemd_is_told_who_serves() {
    let origin = Origin::named("here").await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let (jobs, config) = (free(), directory.path().join("adumbra.toml"));
    let setup = Setup::alone(origin.url()).set("listen.jobs", format!("\"{jobs}\"")).unset("listen.peers");
    std::fs::write(&config, setup.unset("listen.egress").text()).expect("there is room for files");
    let notify = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&notify).expect("there is room for files");
    let program = tokio::task::spawn_blocking(program).await.expect("no panic");
    // It listens, and becomes the program when somebody connects.
    let mut first = Command::new("systemd-socket-activate")
        .arg(format!("--listen={jobs}"))
        .arg(format!("--setenv=NOTIFY_SOCKET={}", notify.display()))
        .arg(program)
        .args(["serve", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("systemd-socket-activate is installed");
    let waiting = async {
        loop {
            if let Ok(socket) = tokio::net::TcpStream::connect(jobs).await {
                return socket;
            }
            tokio::task::yield_now().await;
        }
    };
    // It connects before anybody accepts.
    let mut client = Raw::over(within("systemd listens", waiting).await);
    client.write(GET).await;
    assert_eq!(client.answer().await.text(), "here");
    assert_eq!(told(&systemd).await, "READY=1");
    let pid = first.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("it runs");
    kill_process(pid, Signal::USR2).expect("it runs");
    let said = told(&systemd).await;
    let successor = said.strip_prefix("MAINPID=").and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("a process");
    assert!(within("the old one ends", first.wait()).await.expect("it is our child").success());
    assert_eq!(Raw::ask(jobs, GET).await.text(), "here");
    kill_process(successor, Signal::TERM).expect("it runs");
    assert_eq!(told(&systemd).await, "STOPPING=1");
    is_gone(successor).await;
}
