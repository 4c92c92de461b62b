//! `adumbra serve` as a process of its own, for what only a process has: its memory, its signals, its exit.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::kept::is_gone;
use crate::raw::Raw;
use crate::sidecar::Setup;
use crate::wait::{eventually, within};

/// A sidecar in a process. Dropping it kills it.
#[derive(Debug)]
pub struct Binary {
    child: Child,
    /// Those that have taken over from it, one after the other.
    successors: Vec<Pid>,
    addresses: BTreeMap<String, SocketAddr>,
    directory: TempDir,
}

impl Binary {
    /// Starts what `setup` says.
    ///
    /// # Panics
    /// If it does not listen.
    pub async fn start(setup: Setup) -> Self {
        Self::start_under(&[], setup).await
    }

    /// The same, by programs that run it in the end: `env` or `prlimit`, with their arguments.
    ///
    /// # Panics
    /// The same.
    pub async fn start_under(programs: &[&str], setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let config = directory.path().join("adumbra.toml");
        std::fs::write(&config, setup.text()).expect("there is room for files");
        let log = File::create(directory.path().join("log")).expect("there is room for files");
        let program = tokio::task::spawn_blocking(program).await.expect("no panic");
        let called = directory.path().join("adumbra");
        std::os::unix::fs::symlink(program, &called).expect("there is room for files");
        let mut command: Vec<std::ffi::OsString> = programs.iter().map(Into::into).collect();
        command.push(called.into());
        let mut child = tokio::process::Command::new(&command[0])
            .args(&command[1..])
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut addresses = BTreeMap::new();
        let listening = async {
            while !addresses.contains_key("admin") {
                let line = lines.next_line().await.expect("its output is text");
                let Some(line) = line else {
                    let log = std::fs::read_to_string(directory.path().join("log"));
                    panic!("it ended without listening: {}", log.unwrap_or_default());
                };
                let said = line.strip_prefix("listening ").and_then(|said| said.split_once('='));
                if let Some((what, address)) = said {
                    addresses.insert(what.to_owned(), address.parse().expect("an address"));
                }
            }
        };
        within("the binary listens", listening).await;
        Self { child, successors: Vec::new(), addresses, directory }
    }

    /// Where jobs come in.
    #[must_use]
    pub fn jobs(&self) -> SocketAddr {
        self.addresses["jobs"]
    }

    /// Where other sidecars come in.
    #[must_use]
    pub fn peers(&self) -> SocketAddr {
        self.addresses["peers"]
    }

    /// The operator's port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.addresses["admin"]
    }

    /// One series of `/metrics`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub async fn metric(&self, series: &str) -> f64 {
        let admin = self.admin();
        let question = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        let text = Raw::ask(admin, question).await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("there is no `{series}` in {text}"))
    }

    /// The most memory that was ever resident, bytes.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the system says what a process uses");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("a peak in KiB") * 1024
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("adumbra.toml")
    }

    /// Sends it, or the last that has taken over from it, a signal.
    pub fn signal(&self, signal: Signal) {
        let _gone = kill_process(self.pid(), signal);
    }

    /// The process that serves.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let first = || self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        self.successors.last().copied().or_else(first).expect("it runs")
    }

    /// What it is called by: a link to the program.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        self.directory.path().join("adumbra")
    }

    /// Has a new process take over, and says which one ends its connections now.
    ///
    /// # Panics
    /// If none does.
    pub async fn upgrade(&mut self) -> Pid {
        let old = self.pid();
        self.signal(Signal::USR2);
        let mut pids = Vec::new();
        eventually("another process has taken over", async || {
            let log = self.log();
            let said = log.lines().filter(|line| line.contains("another process serves from now on"));
            let pid = |line: &str| line.split_once("\"pid\":")?.1.split(['}', ',']).next()?.parse().ok();
            pids = said.filter_map(pid).filter_map(Pid::from_raw).collect();
            pids.len() > self.successors.len()
        })
        .await;
        self.successors = pids;
        old
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// What `/status` says.
    ///
    /// # Panics
    /// If it is not JSON.
    pub async fn status(&self) -> serde_json::Value {
        let admin = self.admin();
        let question = format!("GET /status HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        let text = Raw::ask(admin, question).await.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(mut self) {
        within("the binary is gone", self.child.kill()).await.expect("it is our child");
    }

    /// What a page of the admin port shows.
    pub async fn page(&self, path: &str) -> String {
        let admin = self.admin();
        Raw::ask(admin, format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")).await.text()
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not, or not well.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        if let Some(last) = self.successors.last().copied() {
            is_gone(last).await;
        }
        let status = within("the binary stops", self.child.wait()).await.expect("it is our child");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        for successor in &self.successors {
            let _gone = kill_process(*successor, Signal::KILL);
        }
    }
}

/// The binary beside this test's own executable, built if need be.
///
/// Cargo hands binaries only to the tests of their own package. A build that has nothing to do takes a moment, and without
/// it a test would run against whatever was built last.
#[must_use]
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build).clone()
}

const OF_OUR_PACKAGE: [&str; 3] = ["CARGO_MANIFEST_", "CARGO_PKG_", "LD_LIBRARY_PATH"];

fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its executable");
    let profile = own.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let target = profile.parent().expect("a profile is in the target directory");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // What cargo tells this test of its own package would make build scripts take themselves to be out of date.
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| OF_OUR_PACKAGE.iter().any(|of_ours| key.starts_with(of_ours))) {
            build.env_remove(key);
        }
    }
    let built = build
        .args(["build", "--quiet", "--package", "proxy", "--bin", "adumbra", "--profile", name, "--target-dir"])
        .arg(target)
        .current_dir(workspace())
        .status();
    let program = profile.join("adumbra");
    assert!(built.is_ok_and(|status| status.success()) && program.exists(), "`adumbra` cannot be built");
    program
}

/// The workspace's directory.
///
/// # Panics
/// Never: this package is in it.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package of the workspace is in its directory")
}
