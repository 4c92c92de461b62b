//! `adumbra run` as a process of its own, with a service of real processes behind it that does what a test tells it to.
//!
//! The service (`kept.py`) waits for files and leaves files: so a test knows which process runs what, and lets it go on.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::binary::program;
use crate::raw::{Answer, Raw};
use crate::sidecar::Setup;
use crate::wait::{at_last, eventually, within};

/// What one or several services are told, and say, through files.
#[derive(Clone, Debug)]
pub struct Stage {
    directory: Arc<TempDir>,
}

impl Default for Stage {
    fn default() -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        std::fs::write(directory.path().join("kept.py"), include_str!("kept.py")).expect("there is room for files");
        Self { directory: Arc::new(directory) }
    }
}

impl Stage {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command of a service called `name`, with `{port}` where its port goes.
    #[must_use]
    pub fn command(&self, name: &str) -> Vec<String> {
        let script = self.path("kept.py").display().to_string();
        let directory = self.directory.path().display().to_string();
        ["python3".to_owned(), script, "{port}".to_owned(), name.to_owned(), directory].into()
    }

    /// Lets every service go on with the job `key`.
    ///
    /// # Panics
    /// If there is no room for a file.
    pub fn go(&self, key: &str) {
        std::fs::write(self.path(&format!("{key}.go")), "").expect("there is room for files");
    }

    /// Lets the service called `name` show how far the job `key` is.
    ///
    /// # Panics
    /// If there is no room for a file.
    pub fn progress(&self, key: &str, name: &str, share: f64) {
        let file = self.path(&format!("{key}.{name}.progress"));
        let written = file.with_extension("new");
        std::fs::write(&written, share.to_string()).expect("there is room for files");
        std::fs::rename(written, file).expect("a file can be renamed");
    }

    /// Whether what `/finish/KEY` has put into the background has ended in order.
    #[must_use]
    pub fn is_finished(&self, key: &str) -> bool {
        self.path(&format!("{key}.done")).exists()
    }

    /// Services that start from now on end at once, with 3.
    ///
    /// # Panics
    /// If there is no room for a file.
    pub fn refuse_to_start(&self) {
        std::fs::write(self.path("refuse-to-start"), "").expect("there is room for files");
    }

    /// The process of the service called `name` that runs the job `key`.
    ///
    /// # Panics
    /// If none does within the bound.
    pub async fn runs(&self, key: &str, name: &str) -> Pid {
        let prefix = format!("{key}.{name}.");
        let mut found = None;
        at_last(&format!("{name} runs {key}"), async || {
            let files = std::fs::read_dir(self.directory.path()).expect("the directory is there");
            let pids = files.flatten().filter_map(|file| {
                let name = file.file_name();
                Pid::from_raw(name.to_str()?.strip_prefix(&prefix)?.parse().ok()?)
            });
            found = pids.last();
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }
}

/// `adumbra run` in a process. Dropping it kills it.
#[derive(Debug)]
pub struct Kept {
    child: Child,
    pid: Pid,
    addresses: BTreeMap<String, SocketAddr>,
    files: TempDir,
}

impl Kept {
    /// Starts what `setup` says in front of a service of this name, and waits until that is up, and all workers are.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(setup: Setup, stage: &Stage, name: &str) -> Self {
        let mut kept = Self::spawn(Some(setup), &stage.command(name)).await;
        kept.listens().await;
        at_last("the service and its workers are up", async || {
            let status = kept.status().await;
            let workers = status["lane"]["workers"].as_object().cloned().unwrap_or_default();
            let others_are_none = workers.iter().all(|(state, count)| state == "idle" || *count == 0);
            status["service"]["up"] == true && others_are_none
        })
        .await;
        kept
    }

    /// Starts `adumbra run` with this command, and does not wait for anything.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn spawn(setup: Option<Setup>, command: &[String]) -> Self {
        let files = tempfile::tempdir().expect("there is room for files");
        let file = |name: &str| File::create(files.path().join(name)).expect("there is room for files");
        let program = tokio::task::spawn_blocking(program).await.expect("no panic");
        let mut run = Command::new(program);
        run.arg("run").stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).kill_on_drop(true);
        if let Some(setup) = setup {
            let config = files.path().join("adumbra.toml");
            std::fs::write(&config, setup.text()).expect("there is room for files");
            run.arg("--config").arg(config);
        }
        let child = run.arg("--").args(command).spawn().expect("the binary runs");
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        Self { child, pid, addresses: BTreeMap::new(), files }
    }

    async fn listens(&mut self) {
        let log = self.files.path().join("stderr");
        let mut addresses = BTreeMap::new();
        eventually("it listens", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let said = text.lines().filter_map(|line| line.strip_prefix("listening ")?.split_once('='));
            addresses = said.filter_map(|(what, address)| Some((what.to_owned(), address.parse().ok()?))).collect();
            addresses.contains_key("admin")
        })
        .await;
        self.addresses = addresses;
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> std::path::PathBuf {
        self.files.path().join("adumbra.toml")
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

    /// What was written to its standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.files.path().join("stdout"))
    }

    /// What was written to its standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.files.path().join("stderr"))
    }

    /// Its own process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }

    /// Its exit code, when it has ended; `None` if a signal ended it.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ends(&mut self) -> Option<i32> {
        within("it ends", self.child.wait()).await.expect("it is our child").code()
    }

    /// Sends `GET path` as a job.
    pub async fn get(&self, path: &str) -> Answer {
        Raw::ask(self.jobs(), format!("GET {path} HTTP/1.1\r\nhost: service\r\n\r\n")).await
    }

    async fn ask(&self, path: &str) -> Answer {
        let host = self.addresses["admin"];
        Raw::ask(host, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
    }

    /// What `/status` says.
    ///
    /// # Panics
    /// If it is not JSON.
    pub async fn status(&self) -> Value {
        serde_json::from_slice(&self.ask("/status").await.body).expect("the status is JSON")
    }

    /// What `/readyz` answers.
    pub async fn ready(&self) -> u16 {
        self.ask("/readyz").await.status
    }

    /// One series of `/metrics`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.ask("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("there is no `{series}` in {text}"))
    }

    /// Waits until a series has a value.
    ///
    /// # Panics
    /// If it does not come to it.
    pub async fn metric_becomes(&self, series: &str, expected: f64) {
        eventually(&format!("{series} becomes {expected}"), async || self.metric(series).await == expected).await;
    }

    /// Waits until so many workers are in a state.
    ///
    /// # Panics
    /// If they do not come to it.
    pub async fn workers_become(&self, state: &str, count: u32) {
        let series = format!("adumbra_lane_workers{{state=\"{state}\"}}");
        at_last(&series, async || self.metric(&series).await == f64::from(count)).await;
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Whether a process is there. One that has ended and was not waited for is not.
#[must_use]
pub fn is_alive(pid: Pid) -> bool {
    let is_zombie = || read(Path::new(&format!("/proc/{pid}/stat"))).contains(") Z ");
    test_kill_process(pid).is_ok() && !is_zombie()
}

/// Waits until a process is gone.
///
/// # Panics
/// If it is not.
pub async fn is_gone(pid: Pid) {
    eventually(&format!("{pid} is gone"), async || !is_alive(pid)).await;
}

/// CPU seconds that a process and its threads have used, as the system counts them.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn cpu_s(pid: Pid) -> f64 {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")));
    let after_name = stat.rsplit_once(") ").expect("the process is there").1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    // Fields 14 and 15 of the file, in hundredths; the name was the second.
    let ticks = |field: usize| fields[field - 3].parse::<f64>().expect("a number");
    (ticks(14) + ticks(15)) / 100.0
}
